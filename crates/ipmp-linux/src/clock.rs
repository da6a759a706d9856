//! The one clock of the daemon, `CLOCK_MONOTONIC`, and how the kernel's receive stamps get onto it.

use std::time::Duration;

use ipmp_core::Time;
use nix::sys::time::TimeSpec;
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

fn read(clock: ClockId) -> Duration {
    // Neither clock can be missing on Linux; the origin is the harmless answer.
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}
