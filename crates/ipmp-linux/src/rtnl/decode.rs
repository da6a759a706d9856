//! What the kernel says, in the core's words.
//!
//! Fixed parts are read by the packet crate; attributes one by one, and only those needed: one that a
//! newer kernel writes differently must not hide a whole link. What cannot be understood is `None`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use ipmp_core::kernel::{Address, Form, Link, LinkKind, Nexthop, Route, Via};
use ipmp_core::{Family, InterfaceAddress, InterfaceName, MacAddress};
use netlink_packet_core::{NLM_F_REPLACE, NlasIterator};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressFlags, AddressHeader};
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkLayerType};
use netlink_packet_route::route::{RouteFlags, RouteHeader, RouteType};
use nix::libc;

use super::nexthop;
use super::wire::{Message, text_of};

const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;

/// Attributes of a link (`IFLA_…`).
mod ifla {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const AF_SPEC: u16 = 26;
    pub(super) const INET_CONF: u16 = 1;
    pub(super) const INET6_CONF: u16 = 2;
    pub(super) const CARRIER_DOWN_COUNT: u16 = 48;
    pub(super) const PERM_ADDRESS: u16 = 54;
}

/// Attributes of an address (`IFA_…`).
mod ifa {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const LOCAL: u16 = 2;
    pub(super) const LABEL: u16 = 3;
    pub(super) const BROADCAST: u16 = 4;
    pub(super) const FLAGS: u16 = 8;
    pub(super) const RT_PRIORITY: u16 = 9;
    pub(super) const PROTO: u16 = 11;
}

/// Attributes of a route (`RTA_…`).
mod rta {
    pub(super) const DST: u16 = 1;
    pub(super) const OIF: u16 = 4;
    pub(super) const GATEWAY: u16 = 5;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const PREFSRC: u16 = 7;
    pub(super) const MULTIPATH: u16 = 9;
    pub(super) const TABLE: u16 = 15;
    pub(super) const VIA: u16 = 18;
    pub(super) const NH_ID: u16 = 30;
}

/// Something the kernel has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A link, and how often its carrier was lost since it was made.
    Link(Link, u32),
    /// A link is gone.
    LinkGone(u32),
    /// An address.
    Address(Address),
    /// An address is gone.
    AddressGone(u32, InterfaceAddress),
    /// A route, and whether it has taken another's place.
    Route(Route, bool),
    /// A route is gone.
    RouteGone(Route),
    /// A nexthop.
    Nexthop(Nexthop),
    /// A nexthop is gone.
    NexthopGone(u32),
}

/// Reads a notification or a part of a dump.
pub(super) fn told(message: Message<'_>) -> Option<Told> {
    let Message { kind, payload, .. } = message;
    match kind {
        libc::RTM_NEWLINK => link(payload).map(|(link, losses)| Told::Link(link, losses)),
        libc::RTM_DELLINK => link_index(payload).map(Told::LinkGone),
        libc::RTM_NEWADDR => address(payload).map(Told::Address),
        libc::RTM_DELADDR => address(payload).map(|a| Told::AddressGone(a.index, a.address)),
        libc::RTM_NEWROUTE => {
            route(payload).map(|r| Told::Route(r, message.flags & NLM_F_REPLACE != 0))
        }
        libc::RTM_DELROUTE => route(payload).map(Told::RouteGone),
        nexthop::NEW => nexthop::parse(payload).map(Told::Nexthop),
        nexthop::GONE => nexthop::parse(payload).map(|nexthop| Told::NexthopGone(nexthop.id)),
        _ => None,
    }
}

/// Header of a message about a link. Bridges tell of their ports, and of ports leaving them, in the
/// same messages with a family of their own: those are no links coming and going.
fn link_header(payload: &[u8]) -> Option<LinkHeader> {
    LinkHeader::parse(payload)
        .ok()
        .filter(|header| header.interface_family == AddressFamily::Unspec && header.index != 0)
}

/// The index of the link that a message is about.
pub(super) fn link_index(payload: &[u8]) -> Option<u32> {
    link_header(payload).map(|header| header.index)
}

/// The index and the flags of the link that a message is about.
pub(super) fn link_flags(payload: &[u8]) -> Option<(u32, LinkFlags)> {
    link_header(payload).map(|header| (header.index, header.flags))
}

/// A number that stands for the sysctls of the link that a message is about. They come as one block for
/// each family (`IFLA_INET_CONF`, `IFLA_INET6_CONF`), which is not taken apart: newer kernels have more.
pub(super) fn link_sysctls(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut each = |families: &[u8]| {
        for family in NlasIterator::new(families).map_while(Result::ok) {
            let block = match i32::from(family.kind()) {
                libc::AF_INET => ifla::INET_CONF,
                libc::AF_INET6 => ifla::INET6_CONF,
                _ => continue,
            };
            let blocks = NlasIterator::new(family.value()).map_while(Result::ok);
            for block in blocks.filter(|attribute| attribute.kind() == block) {
                block.value().hash(&mut hasher);
            }
        }
    };
    let attributes = NlasIterator::new(payload.get(LINK_HEADER..).unwrap_or_default());
    for attribute in attributes.map_while(Result::ok) {
        if attribute.kind() == ifla::AF_SPEC {
            each(attribute.value());
        }
    }
    hasher.finish()
}

fn link(payload: &[u8]) -> Option<(Link, u32)> {
    let header = link_header(payload)?;
    let mut name: Option<InterfaceName> = None;
    let mut mtu = None;
    let mut mac = None;
    let mut permanent_mac = None;
    let mut losses = 0;
    for attribute in NlasIterator::new(payload.get(LINK_HEADER..)?).map_while(Result::ok) {
        let value = attribute.value();
        match attribute.kind() {
            ifla::IFNAME => name = text_of(value).parse().ok(),
            ifla::MTU => mtu = u32_of(value),
            ifla::ADDRESS => mac = mac_of(value),
            ifla::PERM_ADDRESS => permanent_mac = mac_of(value),
            ifla::CARRIER_DOWN_COUNT => losses = u32_of(value).unwrap_or(0),
            _ => {}
        }
    }
    let flags = header.flags;
    let ethernet = header.link_layer_type == LinkLayerType::Ether;
    let kind = if flags.contains(LinkFlags::Loopback) {
        LinkKind::Loopback
    } else if ethernet
        && flags.contains(LinkFlags::Broadcast | LinkFlags::Multicast)
        && !flags.contains(LinkFlags::Noarp)
    {
        LinkKind::Broadcast
    } else {
        LinkKind::Other
    };
    let link = Link {
        index: header.index,
        name: name?,
        mac: mac.filter(|_| ethernet),
        permanent_mac: permanent_mac.filter(|_| ethernet),
        // Without it the message is an event of a wireless driver, not the state of a link.
        mtu: mtu?,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        kind,
    };
    Some((link, losses))
}

fn address(payload: &[u8]) -> Option<Address> {
    let header = AddressHeader::parse(payload).ok()?;
    let mut local = None;
    let mut peer = None;
    let mut label = None;
    let mut broadcast = None;
    let mut flags = AddressFlags::from_bits_retain(u32::from(header.flags.bits()));
    let mut protocol = 0;
    let mut metric = 0;
    for attribute in NlasIterator::new(payload.get(ADDRESS_HEADER..)?).map_while(Result::ok) {
        let value = attribute.value();
        match attribute.kind() {
            ifa::LOCAL => local = ip_of(value),
            ifa::ADDRESS => peer = ip_of(value),
            ifa::LABEL => label = Some(text_of(value)),
            ifa::BROADCAST => broadcast = ip_of(value),
            ifa::FLAGS => {
                if let Some(bits) = u32_of(value) {
                    flags = AddressFlags::from_bits_retain(bits);
                }
            }
            ifa::RT_PRIORITY => metric = u32_of(value).unwrap_or(0),
            ifa::PROTO => protocol = value.first().copied().unwrap_or(0),
            _ => {}
        }
    }
    // On a point-to-point link "address" is the other end's.
    let ip = local.or(peer)?;
    let family = family_of(header.family).filter(|&family| family == Family::of(ip))?;
    let is_v4 = family == Family::Inet;
    Some(Address {
        index: header.index,
        address: InterfaceAddress::new(ip, header.prefix_len),
        broadcast: broadcast.and_then(|ip| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        }),
        label,
        protocol,
        deprecated: flags.contains(AddressFlags::Deprecated),
        // IPv6 uses the same bit for temporary addresses.
        secondary: is_v4 && flags.contains(AddressFlags::Secondary),
        no_prefix_route: flags.contains(AddressFlags::Noprefixroute),
        duplicate: !is_v4 && flags.contains(AddressFlags::Dadfailed),
        dynamic: !flags.contains(AddressFlags::Permanent),
        form: Form {
            scope: if is_v4 { header.scope.into() } else { 0 },
            metric,
            nodad: !is_v4 && flags.contains(AddressFlags::Nodad),
        },
    })
}

/// A unicast route of any table but the local one; `None` for all others.
fn route(payload: &[u8]) -> Option<Route> {
    let header = RouteHeader::parse(payload).ok()?;
    let family = family_of(header.address_family)?;
    if header.kind != RouteType::Unicast
        || header.flags.contains(RouteFlags::Cloned)
        // Routes for one type of service or one source subnet are none that we deal with.
        || header.tos != 0
        || header.source_prefix_length != 0
    {
        return None;
    }
    let mut table = u32::from(header.table);
    let mut destination = family.unspecified();
    let mut metric = 0;
    let mut source = None;
    let mut link = None;
    let mut gateway = None;
    let mut nexthop = None;
    let mut multipath = false;
    for attribute in NlasIterator::new(payload.get(ROUTE_HEADER..)?).map_while(Result::ok) {
        let value = attribute.value();
        match attribute.kind() {
            rta::TABLE => table = u32_of(value)?,
            rta::DST => destination = ip_of(value)?,
            rta::PRIORITY => metric = u32_of(value)?,
            rta::PREFSRC => source = ip_of(value),
            rta::OIF => link = u32_of(value),
            rta::GATEWAY => gateway = ip_of(value),
            // A gateway of the other family: u16 family, then the address.
            rta::VIA => gateway = ip_of(value.get(2..)?),
            rta::NH_ID => nexthop = u32_of(value),
            rta::MULTIPATH => multipath = true,
            _ => {}
        }
    }
    if table == u32::from(libc::RT_TABLE_LOCAL) {
        return None;
    }
    let via = match (nexthop, link) {
        (Some(id), _) => Via::Nexthop(id),
        (None, Some(index)) if !multipath => Via::Link { index, gateway },
        _ => Via::Other,
    };
    Some(Route {
        table,
        destination: InterfaceAddress::new(destination, header.destination_prefix_length),
        metric,
        protocol: header.protocol.into(),
        via,
        source,
    })
}

/// The address of a local route.
pub(super) fn local_address(payload: &[u8]) -> Option<IpAddr> {
    let header = RouteHeader::parse(payload).ok()?;
    if header.kind != RouteType::Local {
        return None;
    }
    NlasIterator::new(payload.get(ROUTE_HEADER..)?)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == rta::DST)
        .and_then(|attribute| ip_of(attribute.value()))
}

fn family_of(family: AddressFamily) -> Option<Family> {
    match family {
        AddressFamily::Inet => Some(Family::Inet),
        AddressFamily::Inet6 => Some(Family::Inet6),
        _ => None,
    }
}

fn mac_of(value: &[u8]) -> Option<MacAddress> {
    value.try_into().ok().map(MacAddress)
}

/// A number of 32 bits in the machine's byte order.
pub(super) fn u32_of(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

/// An address of either family, told apart by its length.
pub(super) fn ip_of(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value)
            .ok()
            .map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
