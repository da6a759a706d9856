//! When to tell the neighbours: several times, spaced, as a single frame may be lost and some
//! neighbours answer a first one with doubt.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::action::Announcement;
use crate::{Action, Kernel, Time};

/// When an address is announced after it was put into place. The first frames are for switches and
/// neighbours that listen, the later ones for those that were busy or lost them.
const AFTER: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(800),
    Duration::from_secs(2),
];

/// Announcements to come.
#[derive(Clone, Debug, Default)]
pub(super) struct Announcements {
    /// When each address was put into place on a link, and how often it has been announced since.
    due: BTreeMap<(u32, IpAddr), (Time, usize)>,
}

impl Announcements {
    /// Announces an address on a link from now on.
    pub(super) fn add(&mut self, now: Time, index: u32, ip: IpAddr) {
        self.due.insert((index, ip), (now, 0));
    }

    /// Forgets what is not to be announced on a link any more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(u32, IpAddr) -> bool) {
        self.due.retain(|&(index, ip), _| is_wanted(index, ip));
    }

    /// Whether there is more to be announced of an address on a link.
    pub(super) fn is_pending(&self, index: u32, ip: IpAddr) -> bool {
        self.due.contains_key(&(index, ip))
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due
            .values()
            .filter_map(|&(start, done)| Some(start + *AFTER.get(done)?))
            .min()
    }

    /// Makes the announcements due at `now`, one action for each link.
    pub(super) fn due(&mut self, now: Time, kernel: &Kernel, actions: &mut Vec<Action>) {
        if self.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let mut rounds: BTreeMap<u32, Vec<IpAddr>> = BTreeMap::new();
        self.due.retain(|&(index, ip), (start, done)| {
            let is_there = kernel.has_address(index, ip);
            let runs = kernel
                .links
                .get(&index)
                .is_some_and(crate::kernel::Link::is_running);
            if !is_there || !runs {
                return false;
            }
            if AFTER.get(*done).is_some_and(|&after| *start + after <= now) {
                *done += 1;
                rounds.entry(index).or_default().push(ip);
            }
            *done < AFTER.len()
        });
        for (index, addresses) in rounds {
            if let Some(link) = kernel.links.get(&index)
                && let Some(mac) = link.mac
                && link.kind == crate::kernel::LinkKind::Broadcast
            {
                let interface = link.name.clone();
                actions.push(Action::Announce(Announcement {
                    interface,
                    index,
                    mac,
                    addresses,
                }));
            }
        }
    }
}
