//! From what the kernel holds to what it should hold, make before break.
//!
//! The order of a plan:
//!
//! 1. sysctls of members, so that nothing answers from the wrong link or takes other addresses along;
//! 2. new addresses, those good as a source before the others;
//! 3. routes that are to name their source, nexthops, their groups, other routes;
//! 4. addresses go that have no successor or whose successor is in place;
//! 5. old routes, groups and nexthops go, in this order, as each holds the next;
//! 6. sysctls are put back where nothing of ours is left to go.
//!
//! Where addresses are to be somebody else's again, that is done when nothing of ours is left to go from
//! anywhere (the module `plain`), and routes of others are put back when it is done.
//!
//! A batch is no transaction, so nothing is taken away in the plan that puts its successor into
//! place: old things go when the kernel was seen to hold the new ones, in the next plan. So a plan
//! cut off anywhere, or refused in part, leaves every address that was somewhere somewhere, and
//! planning again reaches the same end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::asked::NexthopKey;
use crate::desired::{Desired, Through};
use crate::kernel::{Address, AddressKey, Hop, Kernel, Nexthop, PROTOCOL, Route, Sysctl, Via};
use crate::plan::{NewAddress, Operation, Plan, plain};
use crate::{Family, InterfaceAddress, InterfaceName};

/// First number of our nexthop objects: "IP" in ASCII, far from what people type.
pub const FIRST_NEXTHOP: u32 = 0x4950_0000;

/// Plans the way from `kernel` to `desired`.
///
/// `numbers` holds the numbers of our nexthop objects; new ones are added. `is_ours` tells which
/// addresses may be removed.
pub fn plan(
    kernel: &Kernel,
    desired: &Desired,
    numbers: &mut BTreeMap<NexthopKey, u32>,
    is_ours: impl Fn(&Address) -> bool,
) -> Plan {
    let mut operations = Vec::new();
    let is_settled = plain::is_settled(kernel, desired);
    set_sysctls(kernel, desired.sysctls.iter(), &mut operations);
    new_addresses(kernel, desired, &mut operations);
    let mut hops = Vec::new();
    let wanted = nexthops(kernel, desired, numbers, &mut hops);
    let mut ways = Vec::new();
    routes(kernel, desired, numbers, &mut ways);
    // A route names its source before it leads through links whose own choice would be bad, and as long
    // as it does.
    let names_source = |operation: &Operation| {
        matches!(operation, Operation::ReplaceRoute(Route { via: Via::Nexthop(id), source: Some(_), .. })
            if kernel.nexthops.contains_key(id))
    };
    let (first, then): (Vec<_>, Vec<_>) = ways.into_iter().partition(names_source);
    operations.extend(first.into_iter().chain(hops).chain(then));

    put_back(kernel, desired, &mut operations);

    let going: Vec<&Address> = kernel
        .addresses
        .values()
        .filter(|there| {
            !desired
                .addresses
                .contains_key(&(there.index, there.address))
        })
        .filter(|there| is_ours(there))
        .collect();
    old_addresses(kernel, desired, &going, is_settled, &mut operations);
    let leaving: BTreeSet<u32> = going.iter().map(|address| address.index).collect();
    let are_strangers_left = going
        .iter()
        .any(|address| !plain::holds_place(desired, address));
    if !are_strangers_left {
        plain::convert(kernel, desired, &mut operations);
    }
    for route in &kernel.routes {
        if route.protocol == PROTOCOL && !desired.routes.contains_key(&route.slot()) {
            operations.push(Operation::RemoveRoute(route.clone()));
        }
    }
    let used = used(kernel, desired, &wanted);
    let mut unwanted: Vec<&Nexthop> = kernel
        .nexthops
        .values()
        .filter(|nexthop| nexthop.protocol == PROTOCOL && !wanted.contains(&nexthop.id))
        .filter(|nexthop| !used.contains(&nexthop.id))
        .collect();
    unwanted.sort_by_key(|nexthop| (matches!(nexthop.hop, Hop::Link { .. }), nexthop.id));
    operations.extend(
        unwanted
            .into_iter()
            .map(|nexthop| Operation::RemoveNexthop(nexthop.id)),
    );
    let restored = desired
        .restore
        .iter()
        .filter(|(index, ..)| !leaving.contains(index));
    set_sysctls(kernel, restored, &mut operations);
    Plan { operations }
}

/// Removes addresses that nobody misses.
fn old_addresses(
    kernel: &Kernel,
    desired: &Desired,
    going: &[&Address],
    is_settled: bool,
    operations: &mut Vec<Operation>,
) {
    if going.is_empty() {
        return;
    }
    let successors = successors(desired);
    let wanted = |there: &Address| desired.addresses.get(&(there.index, there.address));
    let all_taken: BTreeSet<AddressKey> = going
        .iter()
        .flat_map(|old| taken_along(kernel, old))
        .filter_map(wanted)
        .map(|wanted| (wanted.index, wanted.address))
        .collect();
    for old in going {
        let is_missed = is_missed(kernel, desired, &successors, old, is_settled, &all_taken);
        if is_missed
            || takes_others(kernel, desired, &successors, old, is_settled)
            || would_take_new(kernel, desired, old)
        {
            continue;
        }
        // Secondaries that go along are put anew; second entries hold their places.
        let taken: Vec<&NewAddress> = taken_along(kernel, old).filter_map(wanted).collect();
        let unheld: Vec<NewAddress> = taken
            .iter()
            .map(|taken| holding(taken))
            .filter(|holding| {
                let key = (holding.index, holding.address);
                !kernel.addresses.contains_key(&key)
            })
            .collect();
        if unheld.is_empty() {
            let (index, address) = (old.index, old.address);
            operations.push(Operation::RemoveAddress { index, address });
            let anew = taken.into_iter().cloned();
            operations.extend(anew.map(Operation::AddAddress));
        } else {
            operations.extend(unheld.into_iter().map(Operation::AddAddress));
        }
    }
}

/// What is to hold each address, wherever that is.
type Successors<'d> = BTreeMap<IpAddr, Vec<&'d NewAddress>>;

fn successors(desired: &Desired) -> Successors<'_> {
    let mut successors = Successors::new();
    for wanted in desired.addresses.values() {
        successors
            .entry(wanted.address.ip)
            .or_default()
            .push(wanted);
    }
    successors
}

/// A second entry for an address, with the longest prefix, by which it stays reachable while it is put
/// anew.
fn holding(address: &NewAddress) -> NewAddress {
    let bits = address.address.family().bits();
    NewAddress {
        address: InterfaceAddress::new(address.address.ip, bits),
        plain: None,
        ..address.clone()
    }
}

/// The addresses that the kernel removes with one: its secondaries, unless one is promoted.
fn taken_along<'k>(kernel: &'k Kernel, old: &Address) -> impl Iterator<Item = &'k Address> {
    let takes = !old.secondary && !kernel.promotes_secondaries(old.index);
    let subnet = old.address.subnet();
    kernel
        .addresses_on(old.index)
        .take_while(move |_| takes)
        .filter(move |there| there.secondary && there.address.subnet() == subnet)
}

/// Whether an address that is to go would be missed: its successor is not in place yet, or holds no
/// longer than the addresses that are `taken` along with others.
fn is_missed(
    kernel: &Kernel,
    desired: &Desired,
    successors: &Successors,
    old: &Address,
    is_settled: bool,
    taken: &BTreeSet<AddressKey>,
) -> bool {
    let is_holding = old.address.prefix == old.address.family().bits();
    let mut successors = successors.get(&old.address.ip).into_iter().flatten();
    successors.any(|wanted| {
        let key = (wanted.index, wanted.address);
        kernel.addresses.get(&key).is_none_or(|there| {
            // It holds the place of one that is being put behind or anew.
            stands_first(kernel, desired, there)
                || is_outdated(kernel, desired, there, wanted)
                || (!is_settled && there.index == old.index)
                || (is_holding && taken.contains(&key))
        })
    })
}

/// Whether others go with an address that is to go, and it must wait for that: until they are promoted,
/// on a member, where they are as soon as the sysctl can be set; until their own successors are in place,
/// or it is known where these are to be.
fn takes_others(
    kernel: &Kernel,
    desired: &Desired,
    successors: &Successors,
    old: &Address,
    is_settled: bool,
) -> bool {
    let promote = (old.index, Sysctl::PromoteSecondaries);
    let should_promote = desired
        .sysctls
        .iter()
        .any(|(index, _, sysctl, _)| (*index, *sysctl) == promote);
    taken_along(kernel, old).any(|other| {
        let key = (other.index, other.address);
        let is_wanted = desired.addresses.contains_key(&key);
        let is_awaited = desired.awaited.contains(&other.address.ip);
        let is_missed = || {
            let none = BTreeSet::new();
            is_missed(kernel, desired, successors, other, is_settled, &none)
        };
        should_promote || !is_wanted && (is_awaited || is_missed())
    })
}

/// Whether addresses that this plan adds would go with an address that is to go.
fn would_take_new(kernel: &Kernel, desired: &Desired, old: &Address) -> bool {
    !old.secondary
        && old.address.family() == Family::Inet
        && !kernel.promotes_secondaries(old.index)
        && desired.on_link(old.index).any(|new| {
            new.address.subnet() == old.address.subnet()
                && !kernel.addresses.contains_key(&(new.index, new.address))
        })
}

/// Nexthops through which something still goes that is to stay.
fn used(kernel: &Kernel, desired: &Desired, wanted: &BTreeSet<u32>) -> BTreeSet<u32> {
    let routes = kernel
        .routes
        .iter()
        .filter(|route| route.protocol == PROTOCOL)
        .filter(|route| desired.routes.contains_key(&route.slot()));
    let by_route = routes.filter_map(|route| match route.via {
        Via::Nexthop(id) => Some(id),
        Via::Link { .. } | Via::Other => None,
    });
    let staying = kernel
        .nexthops
        .values()
        .filter(|nexthop| wanted.contains(&nexthop.id));
    let by_group = staying.filter_map(|nexthop| match &nexthop.hop {
        Hop::Group(members) => Some(members.iter().copied()),
        Hop::Link { .. } => None,
    });
    by_route.chain(by_group.flatten()).collect()
}

/// Whether a test address stands before a data address of its subnet, so that it would be taken as
/// the source of new connections (an IPv4 matter; IPv6 has rules for it).
fn stands_first(kernel: &Kernel, desired: &Desired, there: &Address) -> bool {
    desired.plain.is_empty()
        && there.deprecated
        && !there.secondary
        && there.address.family() == Family::Inet
        && kernel.promotes_secondaries(there.index)
        && desired
            .on_link(there.index)
            .any(|other| !other.deprecated && other.address.subnet() == there.address.subnet())
}

/// Whether an address of ours has another broadcast address than it should: the kernel does not
/// change it.
fn is_outdated(kernel: &Kernel, desired: &Desired, there: &Address, wanted: &NewAddress) -> bool {
    desired.plain.is_empty()
        && there.protocol == PROTOCOL
        && (there.secondary || kernel.promotes_secondaries(there.index))
        && wanted.broadcast.is_some()
        && there.broadcast != wanted.broadcast
        && wanted.address.prefix < wanted.address.family().bits()
}

/// Sets the sysctls that are not as they should be.
fn set_sysctls<'d>(
    kernel: &Kernel,
    sysctls: impl Iterator<Item = &'d (u32, InterfaceName, Sysctl, i32)>,
    operations: &mut Vec<Operation>,
) {
    let mut wrong: Vec<_> = sysctls
        .filter(|(index, _, sysctl, value)| {
            kernel
                .sysctls
                .get(&(*index, *sysctl))
                .is_some_and(|now| now != value)
        })
        .collect();
    // Before anything else: without it, an address takes others with it when it goes.
    wrong.sort_by_key(|(_, _, sysctl, _)| *sysctl != Sysctl::PromoteSecondaries);
    operations.extend(wrong.into_iter().map(|(index, interface, sysctl, value)| {
        Operation::SetSysctl {
            index: *index,
            interface: interface.clone(),
            sysctl: *sysctl,
            value: *value,
        }
    }));
}

fn new_addresses(kernel: &Kernel, desired: &Desired, operations: &mut Vec<Operation>) {
    let mut new: Vec<&NewAddress> = desired
        .addresses
        .iter()
        .filter(|(key, wanted)| {
            kernel.addresses.get(key).is_none_or(|there| {
                there.deprecated != wanted.deprecated && !wanted.address.is_link_local6()
            })
        })
        .map(|(_, wanted)| wanted)
        .collect();
    new.sort_by_key(|wanted| (wanted.deprecated, wanted.index, wanted.address));
    for wanted in new {
        // IPv6 has an address once on a link, whatever its prefix: the old one makes way.
        let mut entries = kernel.entries(wanted.index, wanted.address.ip);
        let other_prefix = entries.find(|there| {
            there.address != wanted.address && there.address.family() == Family::Inet6
        });
        if let Some(&Address { index, address, .. }) = other_prefix {
            operations.push(Operation::RemoveAddress { index, address });
        }
        operations.push(Operation::AddAddress(wanted.clone()));
    }

    // A test address that stands first goes behind, one whose broadcast address changed is put anew,
    // and both stay reachable meanwhile: a second entry, with the longest prefix, holds the place.
    for wanted in desired.addresses.values() {
        let there = kernel.addresses.get(&(wanted.index, wanted.address));
        if !there.is_some_and(|there| {
            stands_first(kernel, desired, there) || is_outdated(kernel, desired, there, wanted)
        }) {
            continue;
        }
        let holding = holding(wanted);
        if kernel
            .addresses
            .contains_key(&(holding.index, holding.address))
        {
            let (index, address) = (wanted.index, wanted.address);
            operations.push(Operation::RemoveAddress { index, address });
            operations.push(Operation::AddAddress(wanted.clone()));
        } else {
            operations.push(Operation::AddAddress(holding));
        }
    }
}

/// Sets nexthops and their groups; the numbers of all that are wanted.
fn nexthops(
    kernel: &Kernel,
    desired: &Desired,
    numbers: &mut BTreeMap<NexthopKey, u32>,
    operations: &mut Vec<Operation>,
) -> BTreeSet<u32> {
    let mut wanted = BTreeSet::new();
    let mut set = |id: u32, hop: Hop, operations: &mut Vec<Operation>| {
        let there = kernel
            .nexthops
            .get(&id)
            .map(|nexthop| same_order(nexthop.hop.clone()));
        if wanted.insert(id) && there.as_ref() != Some(&hop) {
            operations.push(Operation::SetNexthop(Nexthop {
                id,
                protocol: PROTOCOL,
                hop,
            }));
        }
    };
    for (key, links) in &desired.groups {
        let mut members = Vec::new();
        for hop in links.iter().filter_map(|&index| key.on_link(index)) {
            let id = number(kernel, numbers, &NexthopKey::Link(hop.clone()));
            members.push(id);
            set(id, hop, operations);
        }
        let id = number(kernel, numbers, key);
        set(id, same_order(Hop::Group(members)), operations);
    }
    numbers.retain(|_, id| wanted.contains(id));
    wanted
}

/// The members of a group in ascending order: their order means nothing.
fn same_order(mut hop: Hop) -> Hop {
    if let Hop::Group(members) = &mut hop {
        members.sort_unstable();
    }
    hop
}

/// The number of a nexthop of ours, a new one if it has none yet.
fn number(kernel: &Kernel, numbers: &mut BTreeMap<NexthopKey, u32>, key: &NexthopKey) -> u32 {
    if let Some(&id) = numbers.get(key) {
        return id;
    }
    let taken: BTreeSet<u32> = numbers.values().copied().collect();
    let id = (FIRST_NEXTHOP..=u32::MAX)
        .find(|id| !taken.contains(id) && !kernel.nexthops.contains_key(id))
        .unwrap_or(FIRST_NEXTHOP);
    numbers.insert(key.clone(), id);
    id
}

/// Puts routes of others back, in front of ours.
fn put_back(kernel: &Kernel, desired: &Desired, operations: &mut Vec<Operation>) {
    let missing = desired.put_back.iter();
    let missing = missing.filter(|route| !kernel.routes.contains(*route));
    operations.extend(missing.cloned().map(Operation::AddRoute));
}

fn routes(
    kernel: &Kernel,
    desired: &Desired,
    numbers: &BTreeMap<NexthopKey, u32>,
    operations: &mut Vec<Operation>,
) {
    for (&slot, through) in &desired.routes {
        let (via, source) = match through {
            Through::Link { index, source } => {
                let index = *index;
                (
                    Via::Link {
                        index,
                        gateway: None,
                    },
                    *source,
                )
            }
            Through::Group { key, source } => match numbers.get(key) {
                Some(&id) => (Via::Nexthop(id), *source),
                None => continue,
            },
        };
        let wanted = Route {
            protocol: PROTOCOL,
            via,
            source,
            ..Route::lowest(slot)
        };
        let (right, wrong): (Vec<&Route>, Vec<&Route>) = kernel
            .routes_in(slot)
            .filter(|route| route.protocol == PROTOCOL)
            .partition(|route| **route == wanted);
        if !right.is_empty() {
            // A replacement that was cut short leaves two.
            operations.extend(wrong.into_iter().cloned().map(Operation::RemoveRoute));
        } else if wrong.is_empty() {
            operations.push(Operation::AddRoute(wanted));
        } else {
            operations.push(Operation::ReplaceRoute(wanted));
        }
    }
}
