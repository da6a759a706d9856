//! When to send: a strictly periodic base with jitter on top.
//!
//! The base keeps the rate exact, the jitter keeps hosts and interfaces from probing in step. Two
//! sends are never closer than half an interval.

use std::time::Duration;

use super::random::Random;
use crate::Time;

#[derive(Clone, Debug)]
pub(super) struct Schedule {
    base: Time,
    next: Time,
}

impl Schedule {
    /// Starts at a random point of the first interval.
    pub(super) fn new(now: Time, interval: Duration, random: &mut Random) -> Self {
        let first = now + random.up_to(interval);
        Self {
            base: first,
            next: first,
        }
    }

    pub(super) const fn next(&self) -> Time {
        self.next
    }

    /// Moves past the send that is due at `now`. Tells how many whole intervals were missed because
    /// the caller is late; they are skipped, not made up for.
    pub(super) fn advance(&mut self, now: Time, interval: Duration, random: &mut Random) -> u64 {
        let late = now.since(self.next).as_nanos();
        let missed = late.checked_div(interval.as_nanos()).unwrap_or(0);
        let skipped = Duration::from_nanos(
            u64::try_from(missed.saturating_mul(interval.as_nanos())).unwrap_or(u64::MAX),
        );
        let half = interval / 2;
        self.base = self.base + skipped;
        self.next = (self.base + half + random.up_to(half)).max(now + half);
        self.base = self.base + interval;
        u64::try_from(missed).unwrap_or(u64::MAX)
    }
}
