//! Processes inside a host.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipmp_linux::netns::{Pidfd, send_signal};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::files::PATH;
use super::words;
use crate::error::{About, LabError};

/// Of the environment of this process, what is handed on to processes inside. The rest would tell
/// them about the machine (its session, its journal, its service manager).
const INHERITED: [&str; 4] = ["TERM", "RUST_BACKTRACE", "RUST_LOG", "LLVM_PROFILE_FILE"];

/// What a command said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// What it wrote to standard error; bytes that are no UTF-8 are replaced.
    pub stderr: String,
}

impl Output {
    /// Whether it ended with status 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

/// A process in a host that is still held on to. Dropping this kills it.
#[derive(Debug)]
pub struct Process {
    running: Arc<Running>,
    /// The read end of its standard output, until somebody takes it.
    pub stdout: Option<ChildStdout>,
    /// The read end of its standard error, until somebody takes it.
    pub stderr: Option<ChildStderr>,
}

/// A child process. Host and [`Process`] share it, since a pid namespace is not gone before every
/// process in it has been waited for by its parent, which is us.
#[derive(Debug)]
pub(crate) struct Running {
    line: String,
    pidfd: Pidfd,
    child: Mutex<Child>,
}

impl Running {
    /// Waits `within` that time for it to end.
    fn wait(&self, within: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.pidfd.wait(left)? || left.is_zero() {
                return self.lock().try_wait();
            }
        }
    }

    /// Kills it if it still runs, and waits for its end.
    pub(crate) fn end(&self) {
        let mut child = self.lock();
        if let Ok(None) = child.try_wait() {
            // It is there until it has been waited for, and SIGKILL is not refused.
            let _killed = child.kill();
            let _status = child.wait();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The command of a line, for a thread that has joined the host to start.
pub(crate) fn command(line: &str) -> Result<Command, LabError> {
    let words = words::split(line).about(line)?;
    let [program, arguments @ ..] = words.as_slice() else {
        return Err(LabError::new("command line", "nothing in it"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/");
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("PATH", PATH)
        .env("HOME", "/")
        .env("USER", "root")
        .env("LC_ALL", "C.UTF-8");
    Ok(command)
}

impl Process {
    /// Starts the command of a line with its output in pipes, from a thread that has joined the host;
    /// as that user, and in the group of the same number, where one is given.
    pub(crate) fn start(line: &str, user: Option<u32>) -> Result<Self, LabError> {
        let (input, output, errors) = (Stdio::null(), Stdio::piped(), Stdio::piped());
        Self::start_with([input, output, errors], line, user)
    }

    /// The same on a terminal.
    pub(crate) fn start_on(
        terminal: &OwnedFd,
        line: &str,
        user: Option<u32>,
    ) -> Result<Self, LabError> {
        let stdio = || terminal.try_clone().map(Stdio::from).about(line);
        Self::start_with([stdio()?, stdio()?, stdio()?], line, user)
    }

    fn start_with(stdio: [Stdio; 3], line: &str, user: Option<u32>) -> Result<Self, LabError> {
        let mut command = command(line)?;
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let [input, output, errors] = stdio;
        let mut child = command
            .stdin(input)
            .stdout(output)
            .stderr(errors)
            .spawn()
            .about(line)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let pidfd = match Pidfd::open(child.id()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _killed = child.kill();
                let _status = child.wait();
                return Err(LabError::new(line, error));
            }
        };
        let running = Arc::new(Running {
            line: line.to_owned(),
            pidfd,
            child: Mutex::new(child),
        });
        Ok(Self {
            running,
            stdout,
            stderr,
        })
    }

    pub(crate) fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Waits `within` that time for its end; how it ended, or `None` if it still runs.
    pub fn wait(&self, within: Duration) -> Result<Option<ExitStatus>, LabError> {
        self.running.wait(within).about(&self.running.line)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        send_signal(&self.running.pidfd, signal).about(&self.running.line)
    }

    /// Reads what it says until it has ended. What it started and left behind does not matter, even
    /// if that still holds the pipes.
    pub(crate) fn output(mut self, within: Duration) -> Result<Output, LabError> {
        let line = self.running.line.clone();
        let deadline = Instant::now() + within;
        let mut stdout = Pipe::new(self.stdout.take()).about(&line)?;
        let mut stderr = Pipe::new(self.stderr.take()).about(&line)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = vec![PollFd::new(self.running.pidfd.as_fd(), PollFlags::POLLIN)];
            fds.extend(stdout.poll());
            fds.extend(stderr.poll());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(LabError::new(line, error)),
            }
            // Asked before reading: what an ended process said is then in the pipes already.
            let status = self.wait(Duration::ZERO)?;
            stdout.read().about(&line)?;
            stderr.read().about(&line)?;
            if let Some(status) = status {
                return Ok(Output {
                    status,
                    stdout: stdout.text(),
                    stderr: stderr.text(),
                });
            }
            if left.is_zero() {
                let reason = format!(
                    "still running after {} ms; said: {}{}",
                    within.as_millis(),
                    stdout.text(),
                    stderr.text()
                );
                return Err(LabError::new(line, reason));
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.running.end();
    }
}

/// One of a process's outputs, read without blocking until it is closed.
struct Pipe<R> {
    source: Option<R>,
    read: Vec<u8>,
}

impl<R: Read + AsFd> Pipe<R> {
    fn new(source: Option<R>) -> io::Result<Self> {
        if let Some(source) = &source {
            fcntl(source, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self {
            source,
            read: Vec::new(),
        })
    }

    fn poll(&self) -> Option<PollFd<'_>> {
        let source = self.source.as_ref()?;
        Some(PollFd::new(source.as_fd(), PollFlags::POLLIN))
    }

    /// Reads what there is.
    fn read(&mut self) -> io::Result<()> {
        let Some(source) = &mut self.source else {
            return Ok(());
        };
        match source.read_to_end(&mut self.read) {
            Ok(_) => self.source = None,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}
