//! A process that is to be on time: real-time priority, memory that is never paged out, timers that
//! are not put off. Each is had where it is allowed and done without where it is not.

use std::hint::black_box;
use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl::set_timerslack;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Priority among real-time processes, 1 to 99. Low: before everything ordinary, behind what has been
/// given a place among real-time processes on purpose.
pub const PRIORITY: i32 = 10;

/// Timers of an ordinary process may be put off by 50 microseconds; this many nanoseconds are the least
/// that can be asked for.
const TIMER_SLACK_NS: libc::c_ulong = 1;

/// What ordinary processes have of these: the kernel's defaults.
const USUAL_TIMER_SLACK_NS: libc::c_ulong = 50_000;
const USUAL_MEMLOCK: u64 = 8 << 20;

/// Bytes of stack that are used once, so that they are there when they are needed.
const STACK: usize = 128 << 10;

/// What could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RealtimeError {
    /// `CAP_SYS_NICE`, or `RLIMIT_RTPRIO` of at least [`PRIORITY`], is what it takes.
    #[error("no real-time priority: {0}")]
    Priority(io::Error),
    /// `RLIMIT_MEMLOCK` without limit, or the right to lift it, is what it takes.
    #[error("memory is not locked: {0}")]
    Memory(io::Error),
    /// Timers may be late by 50 microseconds.
    #[error("timers may be put off: {0}")]
    TimerSlack(io::Error),
}

/// Makes the calling process one that is on time, as far as it is allowed to be; what it is not. To
/// be called by its only thread, before privileges are dropped. Child processes have none of it.
#[must_use]
pub fn be_on_time() -> Vec<RealtimeError> {
    [
        set_priority(PRIORITY).map_err(RealtimeError::Priority),
        lock_memory().map_err(RealtimeError::Memory),
        set_timerslack(TIMER_SLACK_NS).map_err(|errno| RealtimeError::TimerSlack(errno.into())),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect()
}

/// Makes the calling process an ordinary one, whatever its parent was: no real-time priority and no
/// right to one, no precedence, nothing locked, timers as everybody's. To be called by its only thread.
#[expect(unsafe_code, reason = "no library that is here wraps the calls")]
pub fn be_ordinary() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the structure outlives the call, which reads it; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const parameters) };
    Errno::result(result)?;
    // SAFETY: takes numbers only. Less than ordinary precedence stays, which this may not lift.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
    setrlimit(Resource::RLIMIT_RTPRIO, 0, 0)?;
    let (_, most) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    let usual = most.min(USUAL_MEMLOCK);
    setrlimit(Resource::RLIMIT_MEMLOCK, usual, usual)?;
    set_timerslack(USUAL_TIMER_SLACK_NS)?;
    Ok(())
}

/// Gives the calling thread a real-time priority, 1 to 99: first come, first served, among those that have
/// the same (`SCHED_FIFO`, sched(7)). Children are ordinary. Fails without the right to it.
#[expect(unsafe_code, reason = "no library that is here wraps the call")]
pub fn set_priority(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the structure outlives the call, which reads it; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    Ok(Errno::result(result).map(drop)?)
}

/// Everything the process has and will have stays in memory, program text included: what is done at a
/// failure may not have been done for months.
#[expect(
    clippy::large_stack_arrays,
    reason = "that there is much stack is the point"
)]
fn lock_memory() -> io::Result<()> {
    // With a limit, memory asked for later would be refused when it is reached. Rather none at all.
    let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    if limit != RLIM_INFINITY {
        setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)?;
    }
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)?;
    // What stack there will be is taken when it is used first.
    black_box([0_u8; STACK]);
    Ok(())
}
