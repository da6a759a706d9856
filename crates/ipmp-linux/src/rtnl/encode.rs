//! Operations as netlink requests.

use std::collections::BTreeMap;

use ipmp_core::kernel::{Hop, Nexthop, PROTOCOL, Route, Via};
use ipmp_core::plan::NewAddress;
use ipmp_core::{Family, InterfaceAddress, MacAddress};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteScope, RouteType,
};
use nix::libc;

use super::nexthop::{self, Reach};
use super::wire::bytes_of;

/// A request that is to be acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// `nlmsg_type`.
    pub(super) kind: u16,
    /// `nlmsg_flags` besides request and acknowledgement.
    pub(super) flags: u16,
    /// Header and attributes of the message's type.
    pub(super) body: Vec<u8>,
    /// Error numbers that say that all is as wanted already.
    pub(super) forgiven: &'static [i32],
}

pub(super) fn add_address(new: &NewAddress) -> Request {
    let ip = new.address.ip;
    let mut flags = AddressFlags::empty();
    flags.set(AddressFlags::Noprefixroute, new.no_prefix_route);
    // IPv4 has no such check and would drop the flag.
    let nodad = new.plain.is_none_or(|plain| plain.form.nodad);
    flags.set(AddressFlags::Nodad, ip.is_ipv6() && nodad);
    let mut message = address_message(new.index, new.address);
    message.attributes.push(AddressAttribute::Flags(flags));
    // Kernels before 5.18 do not know the protocol and pass over it; 0 is what they have.
    let protocol = new.plain.map_or(PROTOCOL, |plain| plain.protocol);
    if protocol != 0 {
        let protocol = AddressAttribute::Protocol(AddressProtocol::Other(protocol));
        message.attributes.push(protocol);
    }
    if let Some(plain) = new.plain {
        message.header.scope = plain.form.scope.into();
        if plain.form.metric != 0 {
            let metric = AddressAttribute::RoutePriority(plain.form.metric);
            message.attributes.push(metric);
        }
    }
    if let Some(broadcast) = new.broadcast {
        message
            .attributes
            .push(AddressAttribute::Broadcast(broadcast));
    }
    if let Some(label) = &new.label {
        message
            .attributes
            .push(AddressAttribute::Label(label.clone()));
    }
    if new.deprecated {
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_valid = u32::MAX; // for ever; preferred: not at all
        message
            .attributes
            .push(AddressAttribute::CacheInfo(lifetimes));
    }
    Request {
        kind: libc::RTM_NEWADDR,
        // One that is there gets the lifetimes of this one: that is how it is deprecated or used again.
        flags: NLM_F_CREATE | NLM_F_REPLACE,
        body: bytes_of(&message),
        forgiven: &[libc::EEXIST],
    }
}

/// An address that nobody tells to be ours.
pub(super) fn add_plain_address(index: u32, address: InterfaceAddress) -> Request {
    let mut message = address_message(index, address);
    if address.ip.is_ipv6() {
        let flags = AddressAttribute::Flags(AddressFlags::Nodad);
        message.attributes.push(flags);
    }
    Request {
        kind: libc::RTM_NEWADDR,
        flags: NLM_F_CREATE | NLM_F_EXCL,
        body: bytes_of(&message),
        forgiven: &[],
    }
}

pub(super) fn remove_address(index: u32, address: InterfaceAddress) -> Request {
    Request {
        kind: libc::RTM_DELADDR,
        flags: 0,
        body: bytes_of(&address_message(index, address)),
        // The link may have gone, and the address with it.
        forgiven: &[libc::EADDRNOTAVAIL, libc::ENODEV],
    }
}

fn address_message(index: u32, address: InterfaceAddress) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.family());
    message.header.prefix_len = address.prefix;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(address.ip),
        AddressAttribute::Address(address.ip),
    ];
    message
}

pub(super) fn set_nexthop(nexthop: &Nexthop, reach: Reach) -> Request {
    Request {
        kind: nexthop::NEW,
        flags: NLM_F_CREATE | NLM_F_REPLACE,
        body: nexthop::set(nexthop, reach),
        forgiven: &[],
    }
}

pub(super) fn remove_nexthop(id: u32) -> Request {
    Request {
        kind: nexthop::GONE,
        flags: 0,
        body: nexthop::remove(id),
        forgiven: &[libc::ENOENT],
    }
}

/// Installs a route in front of others in its slot: `NLM_F_CREATE` alone, as
/// `ip route prepend` does. (IPv6 keeps routes of one metric in the order in which they came.)
pub(super) fn add_route(route: &Route, nexthops: &BTreeMap<u32, Nexthop>) -> Request {
    let scope = match (
        route.destination.family(),
        has_gateway(&route.via, nexthops),
    ) {
        // Only a route of this scope makes gateways on its subnet acceptable to the kernel, for
        // routes that others install through them; a nexthop with a gateway refuses it.
        (Family::Inet, Some(false)) => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    Request {
        kind: libc::RTM_NEWROUTE,
        flags: NLM_F_CREATE,
        body: bytes_of(&route_message(route, scope)),
        forgiven: &[libc::EEXIST],
    }
}

/// Puts a route in the place of the first one in its slot.
pub(super) fn replace_route(route: &Route, nexthops: &BTreeMap<u32, Nexthop>) -> Request {
    Request {
        flags: NLM_F_CREATE | NLM_F_REPLACE,
        ..add_route(route, nexthops)
    }
}

/// Removes the route with this slot, protocol and nexthop and no other.
pub(super) fn remove_route(route: &Route) -> Request {
    let scope = match route.destination.family() {
        Family::Inet => RouteScope::NoWhere, // stands for any
        Family::Inet6 => RouteScope::Universe,
    };
    Request {
        kind: libc::RTM_DELROUTE,
        flags: 0,
        body: bytes_of(&route_message(route, scope)),
        forgiven: match route.via {
            // A nexthop that is no more took its routes with it; the kernel says EINVAL then, for
            // which a well-formed request through a nexthop gives no other reason.
            Via::Nexthop(_) => &[libc::ESRCH, libc::EINVAL],
            Via::Link { .. } | Via::Other => &[libc::ESRCH, libc::ENODEV],
        },
    }
}

fn route_message(route: &Route, scope: RouteScope) -> RouteMessage {
    let destination = route.destination.subnet();
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family(destination.family()),
        destination_prefix_length: destination.prefix,
        // Larger numbers are in the attribute, which goes before this.
        table: u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
        protocol: route.protocol.into(),
        scope,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    if destination.prefix > 0 {
        message
            .attributes
            .push(RouteAttribute::Destination(destination.ip.into()));
    }
    if message.header.table == RouteHeader::RT_TABLE_UNSPEC {
        message.attributes.push(RouteAttribute::Table(route.table));
    }
    message
        .attributes
        .push(RouteAttribute::Priority(route.metric));
    if let Some(source) = route.source {
        message
            .attributes
            .push(RouteAttribute::PrefSource(source.into()));
    }
    match route.via {
        Via::Nexthop(id) => message.attributes.push(RouteAttribute::NhId(id)),
        Via::Link { index, gateway } => {
            message.attributes.push(RouteAttribute::Oif(index));
            message
                .attributes
                .extend(gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
        }
        Via::Other => {}
    }
    message
}

/// Whether a route goes through a gateway; `None` if that cannot be told.
fn has_gateway(via: &Via, nexthops: &BTreeMap<u32, Nexthop>) -> Option<bool> {
    let hop = |id: &u32| nexthops.get(id).map(|nexthop| &nexthop.hop);
    match via {
        Via::Link { gateway, .. } => Some(gateway.is_some()),
        Via::Nexthop(id) => {
            let first = match hop(id)? {
                Hop::Group(members) => hop(members.first()?)?,
                single @ Hop::Link { .. } => single,
            };
            match first {
                Hop::Link { gateway, .. } => Some(gateway.is_some()),
                Hop::Group(_) => None,
            }
        }
        Via::Other => None,
    }
}

pub(super) fn set_up(index: u32, up: bool) -> Request {
    let mut message = link_message(index);
    message.header.flags.set(LinkFlags::Up, up);
    message.header.change_mask = LinkFlags::Up;
    set_link(&message)
}

pub(super) fn set_mac(index: u32, mac: MacAddress) -> Request {
    let mut message = link_message(index);
    message.attributes = vec![LinkAttribute::Address(mac.0.to_vec())];
    set_link(&message)
}

pub(super) fn set_mtu(index: u32, mtu: u32) -> Request {
    let mut message = link_message(index);
    message.attributes = vec![LinkAttribute::Mtu(mtu)];
    set_link(&message)
}

/// A message about the link `index` that asks for nothing yet.
pub(super) fn link_message(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

/// Changes a link.
pub(super) fn set_link(message: &LinkMessage) -> Request {
    Request {
        kind: libc::RTM_SETLINK,
        flags: 0,
        body: bytes_of(message),
        forgiven: &[],
    }
}

/// The packet crate's family.
pub(super) fn family(family: Family) -> AddressFamily {
    match family {
        Family::Inet => AddressFamily::Inet,
        Family::Inet6 => AddressFamily::Inet6,
    }
}

/// Whether two routes differ in nothing but their preferred source, so that a request to remove
/// `old`, which names none, may hit `new`.
pub(super) fn differ_in_source_only(old: &Route, new: &Route) -> bool {
    old.source.is_none() && new.source.is_some() && old.via == new.via
}
