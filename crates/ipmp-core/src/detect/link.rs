//! Link evidence, and the hold on links that flap.
//!
//! A link that goes down counts at once. One that comes up a third time within a minute is not
//! trusted until it has been quiet: only repair is ever delayed, never failure.

use std::time::Duration;

use crate::Time;

/// How many times a link may come up within [`FLAP_PERIOD`] before its repair is held back.
pub(super) const LINK_UPS_ALLOWED: u32 = 2;
const FLAP_PERIOD: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
pub(super) struct Link {
    up: bool,
    /// When it last came up, the older first.
    ups: [Option<Time>; LINK_UPS_ALLOWED as usize],
    held_until: Option<Time>,
}

impl Link {
    /// Counts as up until told otherwise, so that a link which is down from the start goes down like
    /// any other.
    pub(super) const fn new() -> Self {
        Self {
            up: true,
            ups: [None; LINK_UPS_ALLOWED as usize],
            held_until: None,
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        self.up
    }

    pub(super) const fn goes_down(&mut self) {
        self.up = false;
        self.held_until = None;
    }

    /// Tells whether the link's repair is to be held back.
    pub(super) fn comes_up(&mut self, now: Time) -> bool {
        self.up = true;
        let [older, newer] = self.ups;
        self.ups = [newer, Some(now)];
        let flaps = older.is_some_and(|older| now.since(older) < FLAP_PERIOD);
        self.held_until = newer.filter(|_| flaps).map(|newer| newer + FLAP_PERIOD);
        self.is_held(now)
    }

    /// Until when repair is held back; `None` if it is not.
    pub(super) const fn held_until(&self) -> Option<Time> {
        self.held_until
    }

    pub(super) fn is_held(&self, now: Time) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }

    /// Ends a hold whose time is over.
    pub(super) fn release(&mut self, now: Time) {
        self.held_until = self.held_until.filter(|&until| now < until);
    }
}
