//! Whether a failure is over, and what holds its end back.
//!
//! | it failed | with targets | without, and nobody asked for probes | without, though there is a test address |
//! |---|---|---|---|
//! | by its link | when they answer | when its link is up | when its link is up |
//! | by its probes | when they answer | when its link is up and no other member works | when some are found and answer |
//! | before our time | when they answer | as by what it failed; after a while as by its link | after a while as by its link |
//! | by hand | by hand | by hand | by hand |
//!
//! One that has no means to probe is repaired by its link. As long as a group has lost all targets, links
//! repair nobody who has a test address.

use super::{Cause, Failure, Member, Turn};
use crate::{GroupSettings, Time};

impl Member {
    /// Whether nothing says any more that it does not work, and nothing holds it back.
    pub(in super::super) fn judge_repair(
        &mut self,
        now: Time,
        settings: &GroupSettings,
    ) -> Option<Turn> {
        let mut failure = self.failure?;
        if let Cause::Adopted(until) = failure.cause
            && until <= now
        {
            // From here on it is like any other failure.
            failure.cause = if self.is_capable() {
                Cause::Probes
            } else {
                Cause::Link
            };
            self.failure = Some(failure);
        }
        if !self.is_fit(failure) {
            self.fit_since = None;
            return None;
        }
        let since = *self.fit_since.get_or_insert(now);
        let damped = settings
            .dampening
            .and_then(|half_life| self.damping.held_until(half_life));
        // What the flap hold is about is the link; where probes tell, they tell more.
        let flaps = self.link.held_until().filter(|_| self.link_decides());
        // Of a failure that probes found the link alone says little; if that was before our time, as long as
        // somebody to probe may be found.
        let unasked = match failure.cause {
            Cause::Probes if self.lacks_targets() => {
                self.held_until = None;
                return None;
            }
            Cause::Adopted(until) if self.lacks_targets() && self.watched.silent => Some(until),
            _ => None,
        };
        self.held_until = [Some(since + settings.hold_down), damped, flaps, unasked]
            .into_iter()
            .flatten()
            .filter(|&until| until > now)
            .max();
        self.held_until.is_none().then_some(Turn::Mended)
    }

    /// Whether it might be probed, if there were anybody to probe.
    fn lacks_targets(&self) -> bool {
        self.probers().next().is_some() && !self.is_capable()
    }

    /// Until when it is held back, if it is and that is known.
    pub(in super::super) fn held_until(&self) -> Option<Time> {
        self.failure.and(self.fit_since).and(self.held_until)
    }

    /// Whether it would be in use again if it were not held back, for calm's sake or as nobody could be asked.
    pub(in super::super) const fn is_held_back(&self) -> bool {
        self.failure.is_some() && self.fit_since.is_some()
    }

    /// Whether probes or, where they cannot tell, the link show that its failure is over. A failure
    /// that probes found is not mended by a link that never went down.
    fn is_fit(&self, failure: Failure) -> bool {
        let answered = || {
            self.link.is_up()
                && failure.cause != Cause::Hand
                && self.probers().any(|prober| prober.is_repaired(failure.at))
        };
        self.link_decides() || answered()
    }

    /// Whether its failure ends with its being put back into service: link up, and no hand in it.
    pub(in super::super) fn may_be_taken_back(&self) -> bool {
        self.failure
            .is_some_and(|failure| failure.cause != Cause::Hand)
            && self.link.is_up()
    }

    /// Whether it is failed, and its link may tell that it is no longer.
    pub(super) fn link_decides(&self) -> bool {
        let Some(failure) = self.failure else {
            return false;
        };
        let without_test_address = self.counted().next().is_none();
        self.link.is_up()
            && match failure.cause {
                Cause::Hand => false,
                Cause::Link => !self.is_capable() && (!failure.dark || without_test_address),
                Cause::Probes | Cause::Adopted(_) => without_test_address,
            }
    }
}
