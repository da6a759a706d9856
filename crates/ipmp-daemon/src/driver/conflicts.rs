//! What others say of our addresses, on its way to the engine.

use ipmp_core::kernel::Change;
use ipmp_core::{Event, MacAddress, Time};
use ipmp_linux::monotonic_now;

use super::Driver;

impl Driver {
    /// Takes claims of others.
    pub(super) fn hear_claims(&mut self) {
        let engine = &self.engine;
        let is_own = |mac: MacAddress| engine.macs().any(|own| own == mac);
        let claims = self.claims.take(monotonic_now(), is_own);
        if !claims.is_empty() {
            self.feed(Event::Claims(claims));
        }
    }

    /// Takes note of the hardware addresses of our links before they change by this: what was sent from
    /// one is still on its way to the others.
    pub(super) fn remember_macs(&mut self, now: Time, event: &Event) {
        let Event::Kernel(changes) = event else {
            return;
        };
        if !self.engine.looks_for_conflicts() {
            return;
        }
        let in_between = changes.iter().filter_map(|change| match change {
            Change::Link(link) => link.mac,
            _ => None,
        });
        let touches_links = |change: &Change| {
            matches!(
                change,
                Change::Link(_) | Change::LinkGone(_) | Change::Resync(_)
            )
        };
        if changes.iter().any(touches_links) {
            self.claims
                .remember(now, self.engine.macs().chain(in_between));
        }
    }
}
