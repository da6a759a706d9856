//! What tools need of the host they run on.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use ipmp_api::interface::{Event, FinishedProbe};
use ipmp_api::{CallError, TO_START};
use ipmp_core::{Answer, Command, InterfaceName, Refusal, Snapshot, Time};
use ipmp_linux::monotonic_now;
use nix::net::if_::if_nametoindex;

use crate::etc::Etc;

/// The daemon as tools see it. [`crate::local::Local`] is the real one; tests have one that
/// records what it is asked.
pub trait Daemon {
    /// Asks for one change and waits until it has taken effect.
    fn execute(&mut self, command: Command) -> Result<Answer, Failure>;

    /// Asks it to put everything back as it was, and waits until it has ended.
    fn tear_down(&mut self) -> Result<Answer, Failure> {
        self.execute(Command::Teardown)
    }

    /// Everything there is to see, as the daemon sees it.
    fn snapshot(&mut self) -> Result<Snapshot, Failure>;

    /// The same, also while no daemon runs: then what an earlier one left, over what the kernel
    /// holds.
    fn view(&mut self) -> Result<Snapshot, Failure>;

    /// What changed, as far as it is remembered, oldest first. What is no daemon remembers nothing.
    fn events(&mut self) -> Result<Vec<Event>, Failure> {
        Err(Failure::NotRunning)
    }

    /// The same, and from then on whatever changes, until `each` breaks.
    fn follow(&mut self, _each: Each<'_>) -> Result<(), Failure> {
        Err(Failure::NotRunning)
    }

    /// What becomes of each probe from now on, until `each` breaks. Its first call is at once, without
    /// any.
    fn probes(&mut self, _each: EachProbes<'_>) -> Result<(), Failure> {
        Err(Failure::NotRunning)
    }

    /// Whether there is such a device, plumbed or not.
    fn has_device(&self, name: &InterfaceName) -> bool {
        if_nametoindex(name.as_str()).is_ok()
    }

    /// What its clock, and that on the wall, say at this moment.
    fn clocks(&self) -> Clocks {
        Clocks {
            monotonic: monotonic_now(),
            wall: SystemTime::now(),
        }
    }

    /// Waits before it is asked again.
    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The same moment on two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The daemon's, which never goes backwards.
    pub monotonic: Time,
    /// The one on the wall, which may be set.
    pub wall: SystemTime,
}

impl Clocks {
    /// How long ago something was.
    pub fn since(&self, then: Time) -> Duration {
        self.monotonic.since(then)
    }

    /// When something was, in UTC, to the millisecond (RFC 3339), as far as the clock on the wall was
    /// not set since.
    pub fn wall_time(&self, then: Time) -> String {
        let wall = self.wall.checked_sub(self.since(then));
        humantime::format_rfc3339_millis(wall.unwrap_or(SystemTime::UNIX_EPOCH)).to_string()
    }
}

/// What is done with events as they come.
pub type Each<'a> = &'a mut dyn FnMut(Vec<Event>) -> ControlFlow<()>;

/// What is done with probes as they are answered or lost.
pub type EachProbes<'a> = &'a mut dyn FnMut(Vec<FinishedProbe>) -> ControlFlow<()>;

/// Why the daemon did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Only root may ask that.
    #[error("permission denied")]
    PermissionDenied,
    /// It could not be asked: why not.
    #[error("{0}")]
    Unreachable(String),
    /// It has as many clients as it is prepared to have.
    #[error("too many clients")]
    Busy,
    /// It does not run, and was not to be started.
    #[error("in.mpathd is not running ({TO_START})")]
    NotRunning,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotRunning => Self::NotRunning,
            CallError::PermissionDenied => Self::PermissionDenied,
            CallError::Busy => Self::Busy,
            other => Self::Unreachable(other.to_string()),
        }
    }
}

impl Failure {
    /// The same as a complaint about the daemon, which is named once.
    pub fn of_daemon(&self) -> String {
        let reason = self.to_string();
        if reason.contains("in.mpathd") {
            reason
        } else {
            format!("in.mpathd: {reason}")
        }
    }
}

/// What a tool works on: the daemon, and the configuration files.
#[expect(
    missing_debug_implementations,
    reason = "the daemon is a connection, which has nothing to show"
)]
pub struct Environment<'a> {
    /// The daemon of this network namespace.
    pub daemon: &'a mut dyn Daemon,
    /// The configuration files.
    pub etc: &'a Etc,
    /// Whether hardware addresses may be seen: the effective user is root.
    pub privileged: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_is_named_once() {
        let text = "in.mpathd does not answer";
        assert_eq!(Failure::Unreachable(text.into()).of_daemon(), text);
        assert_eq!(Failure::Busy.of_daemon(), "in.mpathd: too many clients");
    }
}
