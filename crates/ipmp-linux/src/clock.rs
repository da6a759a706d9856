//! The one clock of the daemon, `CLOCK_MONOTONIC`, and how the kernel's receive stamps get onto it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use ipmp_core::Time;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};

/// The present on `CLOCK_MONOTONIC`.
pub fn monotonic_now() -> Time {
    Time::new(read(ClockId::CLOCK_MONOTONIC))
}

/// Both clocks at one moment. The kernel stamps what it receives on the real-time clock (it offers no
/// other); of what was received before this moment it is known how long before.
///
/// Nothing can come out to lie after that moment; only a step of the real-time clock between the stamp
/// and it can falsify the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    monotonic: Time,
    real: Duration,
}

impl Moment {
    /// The present.
    pub(crate) fn now() -> Self {
        Self {
            real: read(ClockId::CLOCK_REALTIME),
            monotonic: monotonic_now(),
        }
    }

    /// This moment on the monotonic clock.
    pub(crate) const fn monotonic(self) -> Time {
        self.monotonic
    }

    /// When, on the monotonic clock, something happened that was stamped so before this moment.
    pub(crate) fn monotonic_of(self, stamp: TimeSpec) -> Time {
        self.monotonic - self.real.saturating_sub(stamp.into())
    }
}

/// Rings once, at a point of `CLOCK_MONOTONIC`, to the microsecond: its descriptor becomes readable.
/// Timers of event loops are rounded to whole milliseconds.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    set: Option<Time>,
}

impl Alarm {
    /// One that is not set.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(timerfd::ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Self { timer, set: None })
    }

    /// Sets it, to ring at once if that is past. It does not ring twice for the same point.
    pub fn set(&mut self, at: Time) -> io::Result<()> {
        if self.set != Some(at) {
            // Zero would mean never.
            let at_least = at.since_origin().max(Duration::from_nanos(1));
            let expiration = Expiration::OneShot(TimeSpec::from_duration(at_least));
            self.timer
                .set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            self.set = Some(at);
        }
        Ok(())
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_fd().as_raw_fd()
    }
}

fn read(clock: ClockId) -> Duration {
    // Neither clock can be missing on Linux; the origin is the harmless answer.
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}
