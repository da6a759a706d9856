//! Calm for interfaces that fail again and again.
//!
//! Every failure adds a penalty of one, which decays with a half-life, as routes that flap are damped
//! (RFC 2439 section 4.2). A failure that lifts the penalty over [`SUPPRESS`] keeps the interface out
//! of use, though it works again, until the penalty has fallen to [`REUSE`]. Failure is never delayed,
//! and where nothing else works the hold is ignored.

use std::time::Duration;

use crate::Time;

/// One failure, and the unit of what follows.
const FAILURE: u64 = 1_000;
/// With a penalty above this an interface is held.
const SUPPRESS: u64 = 3 * FAILURE;
/// At this penalty it is released.
const REUSE: u64 = FAILURE;
/// No penalty is higher: the longest hold is four half-lives.
const CEILING: u64 = 16 * FAILURE;

/// The penalty of one interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Damping {
    penalty: u64,
    at: Time,
    held: bool,
}

impl Damping {
    /// It failed. Tells whether it is held from now on, and was not before.
    pub(super) fn failed(&mut self, now: Time, half_life: Duration) -> bool {
        self.decay(now, half_life);
        self.penalty = (self.penalty + FAILURE).min(CEILING);
        let begins = !self.held && self.penalty > SUPPRESS;
        self.held |= begins;
        begins
    }

    /// Until when it is held; `None` if it is not.
    pub(super) fn held_until(&self, half_life: Duration) -> Option<Time> {
        if !self.held || self.penalty <= REUSE {
            return None;
        }
        // The penalty falls on straight lines between its halves: see `decay`.
        let mut until = self.at;
        let mut penalty = self.penalty;
        while penalty / 2 > REUSE {
            penalty /= 2;
            until = until + half_life;
        }
        let fall = penalty - REUSE;
        let share = u32::try_from(fall * 2 * 1_000 / penalty.max(1)).unwrap_or(1_000);
        Some(until + half_life * share.min(1_000) / 1_000)
    }

    /// Whether its repair is held back at `now`.
    pub(super) fn is_held(&self, now: Time, half_life: Duration) -> bool {
        self.held_until(half_life).is_some_and(|until| now < until)
    }

    /// Halves the penalty for every half-life that has passed, in between by its share: whole numbers,
    /// so that it is the same on every machine.
    fn decay(&mut self, now: Time, half_life: Duration) {
        if self.held && !self.is_held(now, half_life) {
            self.held = false;
        }
        let (Some(halvings), Some(rest)) = (
            now.since(self.at)
                .as_micros()
                .checked_div(half_life.as_micros()),
            now.since(self.at)
                .as_micros()
                .checked_rem(half_life.as_micros()),
        ) else {
            self.penalty = 0;
            return;
        };
        let halvings = u32::try_from(halvings).unwrap_or(u32::MAX);
        let penalty = self.penalty.checked_shr(halvings).unwrap_or(0);
        let share = u64::try_from(rest * 1_000 / half_life.as_micros().max(1)).unwrap_or(1_000);
        self.penalty = penalty - penalty / 2 * share / 1_000;
        self.at = now;
    }
}
