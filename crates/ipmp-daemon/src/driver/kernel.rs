//! What the kernel is asked for and what it tells, on its way to the engine.

use std::collections::VecDeque;

use ipmp_core::Event;
use ipmp_core::kernel::Change;
use ipmp_core::plan::Plan;
use ipmp_linux::monotonic_now;
use ipmp_linux::rtnl::{Overrun, Rtnl};

use super::{AGAIN, Driver, SCAN};
use crate::carrier::Found;
use crate::log::{BAD_PACKET, FAILOVER, LINK, LOGICAL, NIC, TARGET, TIMER};

impl Driver {
    /// Reads everything anew.
    pub(super) fn scan(&mut self) {
        tracing::debug!(target: TIMER, "reading everything");
        let now = monotonic_now();
        self.scan_at = now + SCAN;
        let mut events = VecDeque::new();
        self.observe(Vec::new(), &mut events);
        self.feed_all(events);
    }

    /// Links were found to have lost their carrier, or to have other sysctls. Where the kernel has not
    /// told of a loss, it may not have acted either: what else became of it has to be read.
    pub(super) fn look_after(&mut self, found: &Found) {
        let told = self.rtnl.get_mut().changes();
        self.listen(told);
        let lost = &found.lost;
        if lost.iter().any(|&link| self.engine.is_running(link)) {
            tracing::debug!(target: LINK, "links {lost:?} lost their carrier untold");
            self.resyncs.carrier += 1;
            self.scan();
            return;
        }
        let touched = found.touched.iter();
        let sysctls: Vec<Change> = touched
            .filter_map(|&link| Some((link, self.engine.link_name(link)?)))
            .flat_map(|(link, name)| Rtnl::sysctls(link, name))
            .collect();
        if !sysctls.is_empty() {
            self.feed(Event::Kernel(sysctls));
        }
    }

    /// Takes what the kernel told.
    pub(super) fn listen(&mut self, told: Result<Vec<Change>, Overrun>) {
        let mut events = VecDeque::new();
        self.changes(told, &mut events);
        self.feed_all(events);
    }

    /// Carries out a plan. What the kernel told of it goes to the engine before the results.
    pub(super) fn apply(&mut self, plan: &Plan, events: &mut VecDeque<Event>) {
        let results = self.rtnl.get_mut().apply(plan);
        for (operation, result) in plan.operations.iter().zip(&results) {
            match result {
                Ok(()) => tracing::debug!(target: FAILOVER, "{operation}"),
                Err(error) => tracing::debug!(target: FAILOVER, "{operation}: {error}"),
            }
        }
        let told = self.rtnl.get_mut().changes();
        self.changes(told, events);
        events.push_back(Event::Applied(results));
    }

    fn changes(&mut self, told: Result<Vec<Change>, Overrun>, events: &mut VecDeque<Event>) {
        match told {
            Ok(changes) => {
                for change in &changes {
                    self.note(change);
                }
                if !changes.is_empty() {
                    // How old a loss may be is known from before it only.
                    if changes.iter().any(is_loss) {
                        events.push_back(Event::Carriers(self.carriers.seen()));
                    }
                    events.push_back(Event::Kernel(changes));
                }
            }
            Err(overrun) => {
                tracing::debug!(target: BAD_PACKET, "{overrun}");
                self.resyncs.overrun += 1;
                self.observe(overrun.told, events);
            }
        }
    }

    fn note(&mut self, change: &Change) {
        match change {
            Change::Link(link) => {
                tracing::debug!(target: LINK, "{} up={} carrier={}", link.name, link.up, link.carrier);
            }
            Change::LinkGone(index) => {
                self.probes.link_gone(*index);
                tracing::debug!(target: NIC, "link {index} is gone");
            }
            Change::Address(address) => {
                tracing::debug!(target: LOGICAL, "{} on link {}", address.address, address.index);
            }
            Change::AddressGone(index, address) => {
                tracing::debug!(target: LOGICAL, "{address} gone from link {index}");
            }
            Change::By(hand) => {
                let hand = hand
                    .as_ref()
                    .map_or("nobody".to_owned(), ToString::to_string);
                tracing::debug!(target: LOGICAL, "asked for by {hand}:");
            }
            other => tracing::debug!(target: TARGET, "{other:?}"),
        }
    }

    /// Reads everything, after what was `told`.
    pub(super) fn observe(&mut self, told: Vec<Change>, events: &mut VecDeque<Event>) {
        let mut changes = told;
        match self.rtnl.get_mut().observe() {
            Ok(kernel) => {
                self.must_observe = false;
                changes.push(Change::Resync(kernel));
                // A loss that was not told may be in there.
                events.push_back(Event::Carriers(self.carriers.seen()));
                events.push_back(Event::Kernel(changes));
            }
            Err(error) => {
                tracing::warn!("cannot read what the kernel holds: {error}");
                self.must_observe = true;
                self.again_at.get_or_insert(monotonic_now() + AGAIN);
            }
        }
    }
}

/// Whether a link lost its carrier, or went away.
const fn is_loss(change: &Change) -> bool {
    match change {
        Change::Link(link) => !link.is_running(),
        Change::LinkGone(_) => true,
        _ => false,
    }
}
