//! Addresses that are to be somebody else's again, as they were before they were ours.
//!
//! IPv6 changes all of an address where it is. IPv4 cannot give it an on-link route of the kernel's
//! making, another label or another place among others: it is removed and added again, while a second
//! entry with another prefix length holds its place, so that it is served all the time.
//!
//! The order in which addresses are added is the order in which they stand on their link, and in which
//! the routes to their subnets stand behind each other: if one is wrong, all are put anew.

use std::collections::BTreeSet;

use crate::desired::Desired;
use crate::kernel::{Address, Kernel, PROTOCOL, Route, Via};
use crate::plan::{NewAddress, Operation, Plain};
use crate::{Family, InterfaceAddress};

/// Whether all addresses are as they are to be.
pub(crate) fn is_settled(kernel: &Kernel, desired: &Desired) -> bool {
    Family::ALL
        .iter()
        .all(|&family| is_family_settled(kernel, desired, family))
}

/// Makes addresses plain, if they are all in their place: in two steps for IPv4.
pub(super) fn convert(kernel: &Kernel, desired: &Desired, operations: &mut Vec<Operation>) {
    for family in Family::ALL {
        let is_there =
            |plain: &NewAddress| kernel.addresses.contains_key(&(plain.index, plain.address));
        if !of(desired, family).all(is_there) || is_family_settled(kernel, desired, family) {
            continue;
        }
        match family {
            Family::Inet => convert4(kernel, desired, operations),
            Family::Inet6 => convert6(kernel, desired, operations),
        }
    }
}

/// Whether an address stands in for one that is put anew.
pub(super) fn holds_place(desired: &Desired, address: &Address) -> bool {
    let holding = |plain: &NewAddress| {
        plain.index == address.index && holder(plain.address) == address.address
    };
    address.address.family() == Family::Inet && of(desired, Family::Inet).any(holding)
}

fn of(desired: &Desired, family: Family) -> impl Iterator<Item = &NewAddress> {
    let plain = desired.plain.iter();
    plain.filter(move |plain| plain.address.family() == family)
}

fn convert4(kernel: &Kernel, desired: &Desired, operations: &mut Vec<Operation>) {
    let holders: Vec<NewAddress> = of(desired, Family::Inet)
        .map(|plain| NewAddress {
            address: holder(plain.address),
            broadcast: None,
            no_prefix_route: true,
            plain: None,
            ..plain.clone()
        })
        .filter(|holder| {
            let key = (holder.index, holder.address);
            !kernel.addresses.contains_key(&key)
        })
        .collect();
    if !holders.is_empty() {
        operations.extend(holders.into_iter().map(Operation::AddAddress));
        return;
    }
    let plain = || of(desired, Family::Inet);
    operations.extend(plain().map(|plain| Operation::RemoveAddress {
        index: plain.index,
        address: plain.address,
    }));
    operations.extend(plain().cloned().map(Operation::AddAddress));
}

/// The routes to their subnets go and come again, to be in order; ours stand in front of them. One of ours
/// through the same link alone makes way: beside it the kernel adds none.
fn convert6(kernel: &Kernel, desired: &Desired, operations: &mut Vec<Operation>) {
    let plain = || of(desired, Family::Inet6);
    for plain in plain() {
        let without_route = NewAddress {
            no_prefix_route: true,
            ..plain.clone()
        };
        operations.push(Operation::AddAddress(without_route));
    }
    let makes_way = |route: &&Route| {
        route.protocol == PROTOCOL
            && plain().any(|plain| {
                let via = Via::Link {
                    index: plain.index,
                    gateway: None,
                };
                !plain.no_prefix_route
                    && route.via == via
                    && route.destination == plain.address.subnet()
            })
    };
    let making_way = kernel.routes.iter().filter(makes_way);
    operations.extend(making_way.cloned().map(Operation::RemoveRoute));
    operations.extend(plain().cloned().map(Operation::AddAddress));
}

fn is_family_settled(kernel: &Kernel, desired: &Desired, family: Family) -> bool {
    // The first of a subnet on a link is primary, those behind it are secondary.
    let mut subnets: BTreeSet<(u32, InterfaceAddress)> = BTreeSet::new();
    let keys: BTreeSet<_> = of(desired, family)
        .map(|plain| (plain.index, plain.address))
        .collect();
    of(desired, family).all(|plain| {
        let is_behind = !subnets.insert((plain.index, plain.address.subnet()));
        let there = kernel.addresses.get(&(plain.index, plain.address));
        there.is_some_and(|there| {
            is_as(there, plain)
                && (family == Family::Inet6
                    || there.secondary
                        == (is_behind
                            || kernel.addresses_on(plain.index).any(|other| {
                                !other.secondary
                                    && other.address.subnet() == plain.address.subnet()
                                    && !keys.contains(&(other.index, other.address))
                            })))
        })
    })
}

/// Whether an address is as it is to be.
fn is_as(there: &Address, wanted: &NewAddress) -> bool {
    let plain = Plain {
        protocol: there.protocol,
        form: there.form,
    };
    Some(plain) == wanted.plain
        && there.deprecated == wanted.deprecated
        && there.no_prefix_route == wanted.no_prefix_route
        && there.broadcast == wanted.broadcast
        && (wanted.label.is_none() || there.label == wanted.label)
}

/// What holds the place of an IPv4 address: the same one as a network of its own.
fn holder(address: InterfaceAddress) -> InterfaceAddress {
    let bits = address.family().bits();
    let prefix = if address.prefix == bits {
        bits - 1
    } else {
        bits
    };
    InterfaceAddress::new(address.ip, prefix)
}
