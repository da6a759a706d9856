//! Recording what the engine is fed and what it decides, for `ipmp replay`.
//!
//! Writing never holds up the loop: a thread does it, at the end of a queue of bounded length. Where
//! the queue is full, the disk being slower than the network, the recording ends, as one with a hole
//! in it could not be replayed. It ends as well at the size it was given. Why it ended is its last
//! line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use ipmp_api::recording::{End, Header, Line, Step};
use ipmp_config::Recording;
use ipmp_core::asked::Saved;
use ipmp_core::{Action, Event, Settings, Time};
use nix::libc::O_NOFOLLOW;

/// How many steps wait to be written: seconds of a busy daemon.
const QUEUE: usize = 4096;

/// What the last line needs.
const LAST_LINE: u64 = 256;

/// A recording under way.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: Option<SyncSender<Noted>>,
    is_full: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// A step before anybody wrote it down: that takes time, which the loop has not.
#[derive(Debug)]
struct Noted {
    at: Time,
    event: Event,
    actions: Vec<Action>,
}

/// The first line.
pub(crate) fn header(seed: u64, settings: &Settings, saved: Option<&Saved>) -> Header {
    Header {
        recording: Header::VERSION,
        daemon: env!("CARGO_PKG_VERSION").to_owned(),
        seed,
        settings: settings.clone(),
        saved: saved.cloned(),
    }
}

impl Recorder {
    /// Begins to record, if that is asked for. That it cannot is said, and harms nobody.
    pub(crate) fn start(recording: &Recording, header: impl FnOnce() -> Header) -> Option<Self> {
        let path = recording.path.as_ref()?;
        match Self::open(path, recording.limit, &header()) {
            Ok(recorder) => {
                tracing::info!("recording to {}", path.display());
                Some(recorder)
            }
            Err(error) => {
                tracing::error!("cannot record to {}: {error}", path.display());
                None
            }
        }
    }

    fn open(path: &Path, limit: u64, header: &Header) -> io::Result<Self> {
        let mut writer = Writer {
            out: BufWriter::new(create(path)?),
            left: limit,
        };
        if !writer.write(header)? {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let (queue, noted) = sync_channel(QUEUE);
        let is_full = Arc::new(AtomicBool::new(false));
        let was_full = Arc::clone(&is_full);
        let path = path.to_owned();
        let thread = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || writer.run(&path, &noted, &was_full))?;
        Ok(Self {
            queue: Some(queue),
            is_full,
            thread,
        })
    }

    /// Notes that `actions` came of `event`. What comes after the end of the recording is not noted.
    pub(crate) fn note(&mut self, at: Time, event: Event, actions: &[Action]) {
        let Some(queue) = &self.queue else {
            return;
        };
        let noted = Noted {
            at,
            event,
            actions: actions.to_vec(),
        };
        if let Err(error) = queue.try_send(noted) {
            let is_full = matches!(error, std::sync::mpsc::TrySendError::Full(_));
            self.is_full.store(is_full, Ordering::Release);
            self.queue = None;
        }
    }

    /// Ends the recording: all that was noted is in the file after this.
    pub(crate) fn end(mut self) {
        self.queue = None;
        // It says itself what went wrong.
        drop(self.thread.join());
    }
}

/// Makes the file, for root's eyes only. One that is there is kept under another name: a daemon that
/// crashed is started again at once, and its recording is the one that matters.
fn create(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => fs::rename(path, old(path))?,
        Ok(_) => {
            let text = "something is there that is no file";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(O_NOFOLLOW)
        .open(path)
}

fn old(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

struct Writer<W: Write> {
    out: BufWriter<W>,
    /// How many bytes the file may still grow.
    left: u64,
}

impl<W: Write> Writer<W> {
    /// Writes what is noted until the recording ends.
    fn run(mut self, path: &Path, noted: &Receiver<Noted>, was_full: &AtomicBool) {
        let ended = self.take(noted).and_then(|reason| {
            let reason = match reason {
                None if was_full.load(Ordering::Acquire) => Some("writing is too slow"),
                other => other,
            };
            let end = reason.unwrap_or("the daemon ends").to_owned();
            self.left += LAST_LINE;
            self.write(&Line::End(End { end }))?;
            self.out.flush()?;
            Ok(reason)
        });
        match ended {
            Ok(None) => {}
            Ok(Some(reason)) => {
                tracing::warn!("recording to {} ended: {reason}", path.display());
            }
            Err(error) => tracing::error!("recording to {} ended: {error}", path.display()),
        }
    }

    /// Writes until nobody notes any more (`None`) or there is a reason to end.
    fn take(&mut self, noted: &Receiver<Noted>) -> io::Result<Option<&'static str>> {
        loop {
            let next = match noted.try_recv() {
                Err(TryRecvError::Empty) => {
                    // What happened is in the file while nothing happens.
                    self.out.flush()?;
                    noted.recv().ok()
                }
                next => next.ok(),
            };
            let Some(Noted { at, event, actions }) = next else {
                return Ok(None);
            };
            if !self.write(&Step::new(at, event, actions))? {
                return Ok(Some("it has the size it may have"));
            }
        }
    }

    /// Writes a line unless it would be too much.
    fn write(&mut self, line: &impl serde::Serialize) -> io::Result<bool> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let size = bytes.len() as u64;
        if size + LAST_LINE > self.left {
            return Ok(false);
        }
        self.left -= size;
        self.out.write_all(&bytes)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
