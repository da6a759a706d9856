//! The last address of a link that its addresses leave while it works, as one that is taken out of
//! service.
//!
//! What is under way to an address when it moves still comes in by the old link. The kernel takes it
//! there as long as the link has an IPv4 address, whichever, and drops it when there is none left
//! (reverse path filter, `__fib_validate_source`). So the last one stays until the neighbours, who have
//! just been told, have had time to turn. Meanwhile the link does not answer for it by ARP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use crate::kernel::Sysctl;
use crate::plan::Operation;
use crate::{Family, InterfaceAddress, Time};

/// How long the last address stays after its successor is in place and was first announced. Longer
/// than what is under way in a network of one link takes, and than the first two announcements.
const LINGER: Duration = Duration::from_millis(200);

/// `arp_ignore`: answer for no address at all.
const NO_ANSWER: i32 = 8;

/// Links whose last address could go, since when, and whether it may by now.
#[derive(Clone, Debug, Default)]
pub(super) struct Lingering(BTreeMap<u32, (Time, bool)>);

impl Lingering {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.0
            .values()
            .filter(|(_, is_over)| !is_over)
            .map(|&(since, _)| since + LINGER)
            .min()
    }

    /// Lets addresses go that could not before.
    pub(super) fn expire(&mut self, now: Time) {
        for (since, is_over) in self.0.values_mut() {
            *is_over |= *since + LINGER <= now;
        }
    }

    /// Whether the last address of some link is waiting.
    #[cfg(test)]
    pub(super) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Engine {
    /// Takes from a plan what would leave a working member without an IPv4 address too early.
    pub(super) fn linger(&mut self, now: Time, operations: &mut Vec<Operation>) {
        let last = self.last_addresses(operations);
        self.lingering.0.retain(|index, _| last.contains_key(index));
        for (index, address) in last {
            let (since, is_over) = self.lingering.0.entry(index).or_insert((now, false));
            *is_over |= *since + LINGER <= now;
            let is_over = *is_over;
            let stays = Operation::RemoveAddress { index, address };
            operations.retain(|operation| {
                let answers_again = matches!(
                    operation,
                    Operation::SetSysctl { index: on, sysctl: Sysctl::ArpIgnore, .. } if *on == index
                );
                // Once it is gone the next plan has the link answer for what may come.
                !answers_again && (is_over || *operation != stays)
            });
            let answers = self.kernel.sysctls.get(&(index, Sysctl::ArpIgnore));
            if answers.is_some_and(|&value| value != NO_ANSWER)
                && let Some(link) = self.kernel.links.get(&index)
                && !is_over
            {
                operations.push(Operation::SetSysctl {
                    index,
                    interface: link.name.clone(),
                    sysctl: Sysctl::ArpIgnore,
                    value: NO_ANSWER,
                });
            }
        }
    }

    /// The last address of each working member that has none any more after these operations, if it is
    /// on another link by now.
    fn last_addresses(&self, operations: &[Operation]) -> BTreeMap<u32, InterfaceAddress> {
        let mut going: BTreeMap<u32, BTreeSet<InterfaceAddress>> = BTreeMap::new();
        for operation in operations {
            if let Operation::RemoveAddress { index, address } = operation
                && address.family() == Family::Inet
            {
                going.entry(*index).or_default().insert(*address);
            }
        }
        going.retain(|index, going| {
            let link = self.kernel.links.get(index);
            let works = link.is_some_and(|link| link.is_running() && self.is_member(&link.name));
            let is_left = self.kernel.addresses_on(*index).any(|there| {
                there.address.family() == Family::Inet && !going.contains(&there.address)
            });
            let is_new = operations.iter().any(
                |operation| matches!(operation, Operation::AddAddress(new) if new.index == *index),
            );
            works && !is_left && !is_new
        });
        going
            .into_iter()
            .filter_map(|(index, going)| {
                let elsewhere: BTreeSet<IpAddr> = self
                    .kernel
                    .addresses
                    .keys()
                    .filter(|(on, _)| *on != index)
                    .map(|(_, address)| address.ip)
                    .collect();
                let moved = going
                    .into_iter()
                    .find(|address| elsewhere.contains(&address.ip));
                Some((index, moved?))
            })
            .collect()
    }
}
