//! A kernel to try the engine on: what Linux does for an operation and for other hands, and a network
//! that answers probes. Only tests and fuzz targets have it (feature `reference`).
//!
//! As in Linux, not everything is told: that a sysctl went is not.

use std::net::IpAddr;
use std::time::Duration;

use crate::detect::{Advertisement, EchoReply, Probe, Reply};
use crate::kernel::{
    Address, Change, Form, Hop, Kernel, Link, Nexthop, PROTOCOL, Route, Sysctl, Via,
};
use crate::plan::{Operation, OperationError};
use crate::{Family, InterfaceAddress, MacAddress, Time};

/// Smallest MTU with which the kernel has IPv6 on a link (`IPV6_MIN_MTU`, RFC 8200 section 5).
const MIN_MTU6: u32 = 1280;

/// How long an answer takes.
const ROUND_TRIP: Duration = Duration::from_micros(300);

/// Who answers a multicast echo request.
const NEIGHBOUR: [&str; 2] = ["192.168.0.2", "fe80::2"];

/// Carries out an operation; what netlink tells of it.
///
/// # Errors
///
/// As the kernel refuses it.
pub fn carry_out(
    kernel: &mut Kernel,
    operation: &Operation,
) -> Result<Vec<Change>, OperationError> {
    match operation {
        Operation::AddAddress(new) => add_address(
            kernel,
            Address {
                index: new.index,
                address: new.address,
                broadcast: new.broadcast,
                label: new.label.clone(),
                protocol: new.plain.map_or(PROTOCOL, |plain| plain.protocol),
                deprecated: new.deprecated,
                secondary: false,
                no_prefix_route: new.no_prefix_route,
                duplicate: false,
                dynamic: false,
                form: new.plain.map_or(
                    Form {
                        nodad: new.address.family() == Family::Inet6,
                        ..Form::default()
                    },
                    |plain| plain.form,
                ),
            },
        ),
        Operation::RemoveAddress { index, address } => Ok(remove_address(kernel, *index, *address)),
        Operation::SetNexthop(nexthop) => set_nexthop(kernel, nexthop),
        Operation::RemoveNexthop(id) => Ok(told(kernel, vec![Change::NexthopGone(*id)])),
        Operation::AddRoute(route) | Operation::ReplaceRoute(route) => set_route(kernel, route),
        Operation::RemoveRoute(route) => Ok(told(kernel, vec![Change::RouteGone(route.clone())])),
        Operation::SetUp { index, up } => set_link(kernel, *index, |link| link.up = *up),
        Operation::SetMac { index, mac } => set_link(kernel, *index, |link| link.mac = Some(*mac)),
        Operation::SetMtu { index, mtu } => set_link(kernel, *index, |link| link.mtu = *mtu),
        Operation::SetSysctl {
            index,
            sysctl,
            value,
            ..
        } => match kernel.sysctls.get_mut(&(*index, *sysctl)) {
            Some(known) => {
                *known = *value;
                Ok(Vec::new())
            }
            None => Err(error(2, "No such file or directory")),
        },
    }
}

/// A device appears: up, with carrier, with the kernel's own sysctls.
pub fn plug(kernel: &mut Kernel, link: Link) -> Vec<Change> {
    for sysctl in Sysctl::ALL {
        kernel.sysctls.insert((link.index, sysctl), 0);
    }
    told(kernel, vec![Change::Link(link)])
}

/// A device disappears, with what is on it.
pub fn unplug(kernel: &mut Kernel, index: u32) -> Vec<Change> {
    told(kernel, vec![Change::LinkGone(index)])
}

/// Changes a link; what netlink tells of that, and of the IPv6 addresses that go with its state or its
/// MTU.
///
/// # Errors
///
/// There is no such link.
pub fn set_link(
    kernel: &mut Kernel,
    index: u32,
    set: impl FnOnce(&mut Link),
) -> Result<Vec<Change>, OperationError> {
    let was = kernel.links.get(&index);
    let was = was.cloned().ok_or_else(|| error(19, "No such device"))?;
    let mut is = was.clone();
    set(&mut is);
    let (had_inet6, has_inet6) = (was.mtu >= MIN_MTU6, is.mtu >= MIN_MTU6);
    let keeps = kernel.sysctls.get(&(index, Sysctl::KeepAddrOnDown)) == Some(&1);
    let goes = |address: &InterfaceAddress| {
        let goes_down = was.up && !is.up && (!keeps || address.is_link_local6());
        address.family() == Family::Inet6 && (goes_down || !has_inet6)
    };
    let going = kernel.addresses_on(index).map(|there| there.address);
    let going: Vec<_> = going.filter(goes).collect();
    if !has_inet6 {
        let is_inet6 = |sysctl: &Sysctl| sysctl.file().0 == Family::Inet6;
        kernel
            .sysctls
            .retain(|(on, sysctl), _| *on != index || !is_inet6(sysctl));
    }
    let going = going.into_iter();
    let mut changes = vec![Change::Link(is)];
    if !had_inet6 && has_inet6 {
        let inet6 = Sysctl::ALL.into_iter();
        let inet6 = inet6.filter(|sysctl| sysctl.file().0 == Family::Inet6);
        changes.extend(inet6.map(|sysctl| Change::Sysctl(index, sysctl, 0)));
    }
    changes.extend(going.map(|address| Change::AddressGone(index, address)));
    Ok(told(kernel, changes))
}

/// Puts an address on a link, whoever asks for it.
///
/// # Errors
///
/// There is no such link, or it has no IPv6, or has that IPv6 address already.
pub fn add_address(kernel: &mut Kernel, address: Address) -> Result<Vec<Change>, OperationError> {
    let link = kernel.links.get(&address.index);
    let link = link.ok_or_else(|| error(19, "No such device"))?;
    let family = address.address.family();
    if family == Family::Inet6 && link.mtu < MIN_MTU6 {
        return Err(error(22, "Invalid argument"));
    }
    let is_any = |is_it: &dyn Fn(&Address) -> bool| kernel.addresses_on(address.index).any(is_it);
    let known = kernel.addresses.get(&(address.index, address.address));
    let new = if let Some(known) = known.filter(|_| family == Family::Inet) {
        // The rest stays as it was.
        Address {
            protocol: address.protocol,
            deprecated: address.deprecated,
            ..known.clone()
        }
    } else if family == Family::Inet6 {
        let other = |there: &Address| {
            there.address.ip == address.address.ip && there.address != address.address
        };
        if is_any(&other) {
            return Err(error(17, "File exists"));
        }
        address
    } else {
        let secondary = is_any(&|there| {
            !there.secondary
                && there.address.family() == family
                && there.address.subnet() == address.address.subnet()
        });
        Address {
            secondary,
            ..address
        }
    };
    Ok(told(kernel, vec![Change::Address(new)]))
}

/// Takes an address away. With the first IPv4 address of a subnet go the others, unless one is promoted.
pub fn remove_address(kernel: &mut Kernel, index: u32, address: InterfaceAddress) -> Vec<Change> {
    let Some(gone) = kernel.addresses.get(&(index, address)) else {
        return Vec::new();
    };
    let mut changes = vec![Change::AddressGone(index, address)];
    if !gone.secondary && address.family() == Family::Inet {
        let mut secondaries = kernel
            .addresses_on(index)
            .filter(|there| there.secondary && there.address.subnet() == address.subnet());
        if kernel.promotes_secondaries(index) {
            let promoted = secondaries.next().map(|there| Address {
                secondary: false,
                ..there.clone()
            });
            changes.extend(promoted.map(Change::Address));
        } else {
            changes.extend(secondaries.map(|there| Change::AddressGone(index, there.address)));
        }
    }
    told(kernel, changes)
}

fn set_nexthop(kernel: &mut Kernel, nexthop: &Nexthop) -> Result<Vec<Change>, OperationError> {
    let is_possible = match &nexthop.hop {
        Hop::Link { index, .. } => kernel.links.get(index).is_some_and(Link::is_running),
        Hop::Group(members) => members.iter().all(|id| kernel.nexthops.contains_key(id)),
    };
    if !is_possible {
        return Err(error(100, "Carrier for nexthop device is down"));
    }
    Ok(told(kernel, vec![Change::Nexthop(nexthop.clone())]))
}

fn set_route(kernel: &mut Kernel, route: &Route) -> Result<Vec<Change>, OperationError> {
    if let Via::Nexthop(id) = route.via
        && !kernel.nexthops.contains_key(&id)
    {
        return Err(error(22, "Nexthop id does not exist"));
    }
    let there = kernel
        .routes_in(route.slot())
        .filter(|there| there.protocol == route.protocol);
    let mut changes: Vec<Change> = there.cloned().map(Change::RouteGone).collect();
    changes.push(Change::Route(route.clone()));
    Ok(told(kernel, changes))
}

/// What comes back for a probe that a link sends: from the host it is for, or if it is for everybody
/// from one neighbour.
pub fn answer(kernel: &Kernel, now: Time, probe: &Probe) -> Option<(Time, Reply)> {
    let link = kernel.links.get(&probe.index());
    link.filter(|link| link.is_running())?;
    let [neighbour, neighbour6] = NEIGHBOUR;
    let source = match probe.target() {
        IpAddr::V4(target) if target.is_multicast() => neighbour.parse().ok()?,
        IpAddr::V6(target) if target.is_multicast() => neighbour6.parse().ok()?,
        target => target,
    };
    let received = now + ROUND_TRIP;
    let reply = match probe {
        Probe::Echo(echo) => Reply::Echo(EchoReply {
            index: echo.index,
            source,
            destination: echo.source,
            identifier: echo.identifier,
            sequence: echo.sequence,
            payload: echo.payload,
            received,
        }),
        Probe::Solicitation(solicitation) => Reply::Advertisement(Advertisement {
            index: solicitation.index,
            target: source,
            mac: MacAddress([2, 0, 0, 0, 0, 0xfe]),
            received,
        }),
    };
    Some((received, reply))
}

/// The kernel is like that now, and says so.
fn told(kernel: &mut Kernel, changes: Vec<Change>) -> Vec<Change> {
    for change in &changes {
        kernel.apply(change.clone());
    }
    changes
}

fn error(errno: i32, text: &str) -> OperationError {
    OperationError {
        errno,
        text: text.to_owned(),
    }
}
