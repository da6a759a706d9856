//! Addresses that the kernel refuses to put on a link, as IPv6 ones where IPv6 was turned off: another
//! member is tried. After a while, or with another MTU, the link counts as any other again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use crate::kernel::{Change, Link};
use crate::plan::{Operation, OperationError};
use crate::{InterfaceName, Kernel, Time};

/// How long a link is passed over for an address that it refused.
const PASSED_OVER: Duration = Duration::from_secs(30);

/// Error numbers that say nothing about the next attempt: `EINTR`, `EAGAIN`, `ENOMEM`, `EBUSY`,
/// `ENODEV`, `ENETDOWN`, `ENOBUFS`.
const PASSING: [i32; 7] = [4, 11, 12, 16, 19, 100, 105];

/// What was refused, by link and address: until when the link is passed over for it, and what the
/// kernel said.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(BTreeMap<(u32, IpAddr), (Time, String)>);

impl Refusals {
    /// Takes note of an operation that failed.
    pub(super) fn note(&mut self, now: Time, operation: &Operation, error: &OperationError) {
        if let Operation::AddAddress(new) = operation
            && !PASSING.contains(&error.errno)
        {
            let until = now + PASSED_OVER;
            self.0
                .insert((new.index, new.address.ip), (until, error.text.clone()));
        }
    }

    /// Takes note of an operation that succeeded.
    pub(super) fn forget(&mut self, operation: &Operation) {
        if let Operation::AddAddress(new) = operation {
            self.0.remove(&(new.index, new.address.ip));
        }
    }

    /// Takes note of links whose MTU changes: a small one turns IPv6 off, and a large one turns it on.
    pub(super) fn observe(&mut self, change: &Change, kernel: &Kernel) {
        let is_other = |link: &Link| {
            let was = kernel.links.get(&link.index);
            was.is_some_and(|was| was.mtu != link.mtu)
        };
        match change {
            Change::Link(link) if is_other(link) => {
                self.0.retain(|(index, _), _| *index != link.index);
            }
            Change::Resync(seen) => {
                let links = &seen.links;
                self.0
                    .retain(|(index, _), _| !links.get(index).is_some_and(is_other));
            }
            _ => {}
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.0.values().map(|&(until, _)| until).min()
    }

    /// Lets links count again.
    pub(super) fn expire(&mut self, now: Time) {
        self.0.retain(|_, (until, _)| *until > now);
    }
}

impl Engine {
    /// The interfaces whose links refused an address of late, and do not have it all the same: where
    /// another hand put it, it is served.
    pub(super) fn barred(&self, ip: IpAddr) -> BTreeSet<InterfaceName> {
        let standing = self.standing_refusals();
        let refused = standing.filter(|((_, refused), _)| *refused == ip);
        refused
            .filter_map(|((index, _), _)| self.kernel.links.get(index))
            .map(|link| link.name.clone())
            .collect()
    }

    /// What the kernel refused on an interface of late, for people to read; the first of several.
    pub(super) fn refusal(&self, name: &InterfaceName) -> Option<String> {
        let index = self.link(name)?.index;
        self.standing_refusals()
            .find(|((on, _), _)| *on == index)
            .map(|((_, ip), reason)| format!("cannot add {ip}: {reason}"))
    }

    /// What was refused and is not there, and what the kernel said.
    fn standing_refusals(&self) -> impl Iterator<Item = (&(u32, IpAddr), &String)> {
        let refused = self.refusals.0.iter();
        let standing = refused.filter(|((index, ip), _)| !self.kernel.has_address(*index, *ip));
        standing.map(|(refused, (_, reason))| (refused, reason))
    }
}
