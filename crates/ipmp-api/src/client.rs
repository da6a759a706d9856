//! The tools' end of the control socket.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipmp_core::{Answer, Command, Refusal, Snapshot};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::interface::{self, Event, Events, EventsAfter, Execute, Executed};
use crate::interface::{FinishedProbe, Pong, Probes, Refused, Seen};
use crate::rundir::{RunDirectory, RunDirectoryError};
use crate::start::TO_START;
use crate::wire::{Call, Decoder, FrameError, MAX_REPLY, MAX_REQUEST, Received};

/// How long a daemon may take. It answers a question in milliseconds, and a change within the time
/// the kernel needs for it; thousands of addresses on a busy machine take seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a call brought no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// No daemon runs in this network namespace.
    #[error("in.mpathd is not running ({TO_START})")]
    NotRunning,
    /// The place to look for it could not be found out.
    #[error("cannot contact in.mpathd: {0}")]
    RunDirectory(#[from] RunDirectoryError),
    /// The socket is there but cannot be used.
    #[error("cannot contact in.mpathd at {0}: {1}")]
    Connect(PathBuf, io::Error),
    /// It does not answer in time.
    #[error("in.mpathd does not answer")]
    Timeout,
    /// The connection broke. A change asked for may or may not have been made.
    #[error("in.mpathd closed the connection")]
    Closed,
    /// A system call failed.
    #[error("talking to in.mpathd: {0}")]
    Io(io::Error),
    /// Not a reply that is known here: the daemon is of another version.
    #[error("talking to in.mpathd: {0}")]
    Protocol(#[from] FrameError),
    /// Only root may do that.
    #[error("permission denied")]
    PermissionDenied,
    /// It has as many clients as it is prepared to have.
    #[error("in.mpathd has too many clients")]
    Busy,
    /// Another error than the ones a call may have.
    #[error("in.mpathd answered {0}")]
    Unexpected(String),
}

/// A connection to the daemon. Calls are made one after the other. After a call that failed it is of
/// no more use: a late answer to that one would be taken for the answer to the next.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    decoder: Decoder,
    is_broken: bool,
    audience: Option<OwnedFd>,
}

impl Client {
    /// Connects to the daemon of the network namespace the calling thread runs in.
    pub fn connect() -> Result<Self, CallError> {
        Self::connect_to(&RunDirectory::of_this_namespace()?.socket())
    }

    /// Connects to the daemon whose control socket is at `path`.
    pub fn connect_to(path: &Path) -> Result<Self, CallError> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CallError::NotRunning,
            _ => CallError::Connect(path.to_owned(), error),
        })?;
        let mut client = Self {
            stream,
            decoder: Decoder::new(MAX_REPLY),
            is_broken: false,
            audience: None,
        };
        client.set_patience(TIMEOUT)?;
        Ok(client)
    }

    /// Waits no longer than this for each answer; half a minute if nothing is said.
    pub fn set_patience(&mut self, patience: Duration) -> Result<(), CallError> {
        let stream = &self.stream;
        stream
            .set_read_timeout(Some(patience))
            .and_then(|()| stream.set_write_timeout(Some(patience)))
            .map_err(CallError::Io)
    }

    /// Tells for whom it is, by what he reads from, that [`Client::follow`] and [`Client::probes`] follow: they
    /// end when he does, which they would else notice only when there is something to say to him.
    pub fn set_audience(&mut self, audience: OwnedFd) {
        self.audience = Some(audience);
    }

    /// Is it there?
    pub fn ping(&mut self) -> Result<Pong, CallError> {
        result(&self.call(interface::PING, &())?)
    }

    /// Everything there is to see.
    pub fn snapshot(&mut self) -> Result<Snapshot, CallError> {
        result(&self.call(interface::SNAPSHOT, &())?).map(|seen: Seen| seen.snapshot)
    }

    /// Changes something. When it returns, the change is in effect, or it was refused and nothing
    /// changed.
    pub fn execute(&mut self, command: &Command) -> Result<Result<Answer, Refusal>, CallError> {
        let execute = Execute {
            command: command.clone(),
        };
        let reply = self.call(interface::EXECUTE, &execute)?;
        if reply.error.as_deref() == Some(interface::REFUSED) {
            let refused: Refused = reply.parameters()?;
            return Ok(Err(refused.refusal));
        }
        result(&reply).map(|executed: Executed| Ok(executed.answer))
    }

    /// Waits until the daemon has ended, as it does after [`Command::Teardown`].
    pub fn await_end(mut self) -> Result<(), CallError> {
        match self.receive() {
            Err(CallError::Closed) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(CallError::Unexpected("what nobody asked".to_owned())),
        }
    }

    /// What changed after the event of this number, or all that is remembered.
    pub fn events(&mut self, after: Option<u64>) -> Result<Vec<Event>, CallError> {
        result(&self.call(interface::EVENTS, &EventsAfter { after })?)
            .map(|told: Events| told.events)
    }

    /// The same, and from then on what changes: calls `each` with what came, until it breaks. The
    /// first call is at once, and may be without events.
    pub fn follow(
        self,
        after: Option<u64>,
        mut each: impl FnMut(Vec<Event>) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        let call = Call::new(interface::EVENTS, &EventsAfter { after })?;
        self.stream(call, |told: Events| each(told.events))
    }

    /// What becomes of each probe from now on: calls `each` with those that were answered or lost, until
    /// it breaks. The first call is at once, and without any.
    pub fn probes(
        self,
        mut each: impl FnMut(Vec<FinishedProbe>) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        let call = Call::new(interface::PROBES, &())?;
        self.stream(call, |told: Probes| each(told.probes))
    }

    /// Makes a call that is answered again and again, until `each` breaks.
    fn stream<T: for<'de> Deserialize<'de>>(
        mut self,
        mut call: Call,
        mut each: impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        call.more = true;
        match self.send(&call) {
            Ok(()) | Err(CallError::Closed) => {}
            Err(error) => return Err(error),
        }
        // There may be nothing new for days.
        self.stream.set_read_timeout(None).map_err(CallError::Io)?;
        while let Some(reply) = self.receive_for_audience()? {
            let more = reply.continues;
            if each(result(&reply)?).is_break() || !more {
                break;
            }
        }
        Ok(())
    }

    fn call(&mut self, method: &str, parameters: &impl Serialize) -> Result<Received, CallError> {
        let call = Call::new(method, parameters)?;
        if self.is_broken {
            return Err(CallError::Closed);
        }
        let reply = match self.send(&call) {
            // Who is turned away is told why before the call is heard.
            Ok(()) | Err(CallError::Closed) => self.receive(),
            Err(error) => Err(error),
        };
        self.is_broken = reply.is_err();
        reply
    }

    fn send(&mut self, call: &Call) -> Result<(), CallError> {
        let call = crate::wire::encode(call, MAX_REQUEST)?;
        self.stream.write_all(&call).map_err(from_io)
    }

    fn receive(&mut self) -> Result<Received, CallError> {
        loop {
            if let Some(reply) = self.decoder.message()? {
                return Ok(reply);
            }
            self.read()?;
        }
    }

    /// The next reply; none if there is no audience any more.
    fn receive_for_audience(&mut self) -> Result<Option<Received>, CallError> {
        loop {
            if let Some(reply) = self.decoder.message()? {
                return Ok(Some(reply));
            }
            if !self.awaits_for_audience().map_err(CallError::Io)? {
                return Ok(None);
            }
            self.read()?;
        }
    }

    /// Waits until there is something to read; whether that was before the audience went.
    fn awaits_for_audience(&self) -> io::Result<bool> {
        let Some(audience) = &self.audience else {
            return Ok(true);
        };
        let mut both = [
            PollFd::new(self.stream.as_fd(), PollFlags::POLLIN),
            // That nobody reads is told unasked, as an error.
            PollFd::new(audience.as_fd(), PollFlags::empty()),
        ];
        while let Err(error) = poll(&mut both, PollTimeout::NONE) {
            if error != nix::errno::Errno::EINTR {
                return Err(error.into());
            }
        }
        let [stream, _] = both;
        Ok(stream.any().unwrap_or(true))
    }

    /// Reads what there is of replies.
    fn read(&mut self) -> Result<(), CallError> {
        let mut chunk = [0; 16384];
        let count = loop {
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                count => break count.map_err(from_io)?,
            }
        };
        if count == 0 {
            return Err(CallError::Closed);
        }
        self.decoder.feed(chunk.get(..count).unwrap_or_default());
        Ok(())
    }
}

fn from_io(error: io::Error) -> CallError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CallError::Timeout,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => CallError::Closed,
        _ => CallError::Io(error),
    }
}

fn result<T: for<'de> Deserialize<'de>>(reply: &Received) -> Result<T, CallError> {
    match reply.error.as_deref() {
        None => Ok(reply.parameters()?),
        Some(interface::PERMISSION_DENIED) => Err(CallError::PermissionDenied),
        Some(interface::BUSY) => Err(CallError::Busy),
        Some(other) => Err(CallError::Unexpected(other.to_owned())),
    }
}

#[cfg(test)]
mod tests;
