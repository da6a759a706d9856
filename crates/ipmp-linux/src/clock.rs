//! The one clock of the daemon, `CLOCK_MONOTONIC`, and how the kernel's receive stamps get onto it.

use std::time::Duration;

use ipmp_core::Time;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// The present on `CLOCK_MONOTONIC`.
pub fn monotonic_now() -> Time {
    Time::new(read(ClockId::CLOCK_MONOTONIC))
}

/// When, on the monotonic clock, something happened that the kernel stamped `stamp` on the real-time
/// clock (receive stamps come on no other). Both clocks are read now, so what happened cannot lie
/// after the present; only a step of the real-time clock in between can falsify the result.
pub(crate) fn monotonic_of(stamp: TimeSpec) -> Time {
    let age = read(ClockId::CLOCK_REALTIME).saturating_sub(stamp.into());
    monotonic_now() - age
}

fn read(clock: ClockId) -> Duration {
    // Neither clock can be missing on Linux; the origin is the harmless answer.
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}
