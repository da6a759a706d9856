//! What tools need of the host they run on.

use ipmp_core::{Answer, Command, Refusal, Snapshot};

use crate::etc::Etc;

/// The daemon as tools see it. [`crate::local::Local`] is the real one; tests have one that
/// records what it is asked.
pub trait Daemon {
    /// Asks for one change and waits until it has taken effect.
    fn execute(&mut self, command: Command) -> Result<Answer, Failure>;

    /// Everything there is to see, as the daemon sees it.
    fn snapshot(&mut self) -> Result<Snapshot, Failure>;

    /// The same, also while no daemon runs: then what an earlier one left, over what the kernel
    /// holds.
    fn view(&mut self) -> Result<Snapshot, Failure>;
}

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
    /// It does not run, and was not to be started.
    #[error("not running")]
    NotRunning,
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
