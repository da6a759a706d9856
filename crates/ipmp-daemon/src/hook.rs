//! The hook: a program of the administrator's that is run once for each event.
//!
//! ```text
//! loop --event--> queue of bounded length --> thread "hook" --spawn--> undress --exec--> program
//!                 (full: dropped, counted)        |                                   | |
//!                                                 +--the event as JSON, one line------+ |
//!                                                 +<-what it prints goes to the log-----+
//! ```
//!
//! Events are told one at a time and in order; the next one waits until the program has ended, or was
//! ended after [`LIMIT`]. Whatever the program does, the loop is never held up: it puts events into the
//! queue and never waits, and starting the program, which takes a moment, is the thread's business.
//!
//! The program has nothing of the daemon's. The thread cannot take off between fork and exec what a
//! child inherits, as that would be unsafe code; so what it starts is this executable once more, which
//! takes off everything ([`undress`]) and becomes the program.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use std::{env, process};

use caps::CapSet;
use ipmp_api::interface::Event;
use ipmp_config::{HookError, verify_hook};
use ipmp_linux::process::close_files_on_exec;
use ipmp_linux::realtime::be_ordinary;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::NAME;

/// How long the program may take for one event.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// How long what it printed last is waited for once it has ended: another process may hold its output
/// open for ever.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Events that wait: as many as the history remembers, a failover of 4096 addresses among them.
const QUEUE: usize = 8192;

/// Lines of output that are logged for one event, and how long each may be.
const LINES: usize = 32;
const LINE: usize = 512;

/// The whole environment of the program.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The option by which this executable is told to undress and become the program named next.
pub(crate) const UNDRESS: &str = "--become-hook";

/// A hook that is told events. It ends when this is dropped: what waits is not told any more.
#[derive(Debug)]
pub(crate) struct Hook {
    queue: mpsc::Sender<Arc<Event>>,
    dropped: Arc<AtomicU64>,
    _end: oneshot::Sender<Infallible>,
}

/// Why an event was not told.
#[derive(Debug, Error)]
enum Untold {
    /// The file will not do.
    #[error(transparent)]
    Unfit(#[from] HookError),
    /// It could not be started, or not be waited for.
    #[error("cannot be run: {0}")]
    Unstartable(#[from] io::Error),
    /// It took too long.
    #[error("ended after {} seconds", LIMIT.as_secs())]
    TooSlow,
    /// It says that it failed.
    #[error("failed: {0}")]
    Failed(ExitStatus),
}

impl Hook {
    /// Tells events to this program from now on, if there is one.
    pub(crate) fn start(program: Option<&PathBuf>) -> Option<Self> {
        let program = program?.clone();
        let (queue, events) = mpsc::channel(QUEUE);
        let (end, ended) = oneshot::channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let runner = Runner {
            program,
            dropped: Arc::clone(&dropped),
            complaint: None,
        };
        let thread = thread::Builder::new().name("hook".to_owned());
        match thread.spawn(move || runner.run(events, ended)) {
            Ok(_) => Some(Self {
                queue,
                dropped,
                _end: end,
            }),
            Err(error) => {
                tracing::error!("cannot run the hook: {error}");
                None
            }
        }
    }

    /// Has it told of an event, after those that wait. Where too many wait, it is dropped and counted.
    pub(crate) fn tell(&self, event: Arc<Event>) {
        if self.queue.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the thread works with.
struct Runner {
    program: PathBuf,
    dropped: Arc<AtomicU64>,
    /// What was wrong last, as far as it has been said.
    complaint: Option<String>,
}

impl Runner {
    fn run(
        mut self,
        mut events: mpsc::Receiver<Arc<Event>>,
        mut end: oneshot::Receiver<Infallible>,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!("cannot run the hook: {error}");
                return;
            }
        };
        runtime.block_on(async {
            while let Some(event) = events.recv().await {
                let Some(outcome) = self.told(&event, &mut end).await else {
                    return;
                };
                self.note(outcome);
            }
        });
    }

    /// Says what came of it, once until it is something else.
    fn note(&mut self, outcome: Result<(), Untold>) {
        let program = self.program.display();
        match outcome {
            Ok(()) if self.complaint.take().is_some() => {
                tracing::info!("hook {program}: succeeds again");
            }
            Ok(()) => {}
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    tracing::warn!("hook {program}: {complaint}");
                    self.complaint = Some(complaint);
                }
            }
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!("hook {program}: too slow; {dropped} events were not told");
        }
    }

    /// Runs the program for one event; `None` when it is not wanted any more.
    async fn told(
        &self,
        event: &Event,
        end: &mut oneshot::Receiver<Infallible>,
    ) -> Option<Result<(), Untold>> {
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(error) => return Some(Err(error)),
        };
        // Until it has been waited for, nobody else has its number.
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let ended = select! {
            ended = timeout(LIMIT, converse(&mut child, event)) => Some(ended),
            _ = end => None,
        };
        if !matches!(ended, Some(Ok(_)))
            && let Some(group) = group
        {
            // That it has just ended is no error.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        Some(match ended? {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Untold::Failed(status)),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                // It is gone in a moment, unless the kernel holds it.
                let _ = timeout(LAST_WORDS, child.wait()).await;
                Err(Untold::TooSlow)
            }
        })
    }

    fn spawn(&self) -> Result<Child, Untold> {
        verify_hook(&self.program)?;
        let child = Command::new("/proc/self/exe")
            .arg0(NAME)
            .arg(UNDRESS)
            .arg(&self.program)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(child)
    }
}

/// Writes the event to the program, logs what it prints, and waits for its end.
async fn converse(child: &mut Child, event: &Event) -> io::Result<ExitStatus> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let talk = async {
        let say = async {
            if let Some(mut stdin) = stdin {
                // It need not listen.
                let _ = stdin.write_all(&line).await;
            }
        };
        tokio::join!(say, log(stdout), log(stderr));
    };
    tokio::pin!(talk);
    let status = select! {
        status = child.wait() => status?,
        () = &mut talk => return child.wait().await,
    };
    let _ = timeout(LAST_WORDS, talk).await;
    Ok(status)
}

/// Logs what the program prints: whole lines, but not too long, and not too many.
async fn log(from: Option<impl AsyncRead + Unpin>) {
    let Some(mut from) = from else {
        return;
    };
    let mut lines = 0;
    let mut say = |line: &[u8]| {
        lines += 1;
        match lines {
            ..=LINES => tracing::info!("hook: {}", String::from_utf8_lossy(line)),
            _ if lines == LINES + 1 => tracing::info!("hook: ... and more"),
            _ => {}
        }
    };
    let mut line = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        for &byte in chunk.iter().take(count) {
            match byte {
                b'\n' => say(&std::mem::take(&mut line)),
                _ if line.len() < LINE => line.push(byte),
                _ => {}
            }
        }
    }
    if !line.is_empty() {
        say(&line);
    }
}

/// Becomes the hook: takes off what is the daemon's, then runs `program` in this process. Returns if
/// that cannot be.
pub(crate) fn undress(program: Option<&OsStr>) -> ExitCode {
    let Some(program) = program.map(Path::new) else {
        return ExitCode::FAILURE;
    };
    let error = match take_off() {
        Ok(()) => process::Command::new(program)
            .env_clear()
            .env("PATH", PATH)
            .exec(),
        Err(error) => error,
    };
    // The daemon logs it; nothing else can be done about it here.
    let _ = writeln!(io::stderr(), "{}: {error}", program.display());
    ExitCode::FAILURE
}

/// Leaves a process of root's without any power of root's but its name: no capability, and none by
/// what it executes; no real-time priority, no locked memory, no limits lifted for these; no file of
/// the daemon's but the standard streams.
fn take_off() -> io::Result<()> {
    be_ordinary()?;
    set_no_new_privs()?;
    for set in [
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    close_files_on_exec()?;
    env::set_current_dir("/")
}

#[cfg(test)]
mod tests {
    use ipmp_core::message::Severity;
    use ipmp_core::{Record, Time};

    use super::*;
    use crate::control::History;

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let (queue, mut events) = mpsc::channel(2);
        let hook = Hook {
            queue,
            dropped: Arc::default(),
            _end: oneshot::channel().0,
        };
        let history = History::default();
        for number in 0..5 {
            let record = Record::Message {
                severity: Severity::Info,
                message: number.to_string(),
            };
            hook.tell(history.add(Time::ZERO, record));
        }
        assert_eq!(hook.dropped.load(Ordering::Relaxed), 3);
        // The oldest have their turn, in order.
        assert_eq!(events.try_recv().unwrap().text, "0");
        assert_eq!(events.try_recv().unwrap().text, "1");
        assert!(events.try_recv().is_err());
    }
}
