//! What the kernel was last seen to hold: links, addresses, routes, nexthops, sysctls.
//!
//! [`Kernel`] is filled by a dump ([`Change::Resync`]) and kept true by netlink notifications. Where
//! the kernel changes something without telling (nexthops and their routes vanish silently when a
//! link loses its carrier, `net/ipv4/nexthop.c`), [`Kernel::apply`] follows the kernel's own rule.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::hand::Hand;
use crate::{Family, InterfaceAddress, InterfaceName, MacAddress};

/// The protocol number of addresses, routes and nexthops that are ours (`IFA_PROTO`,
/// `rtm_protocol`, `nh_protocol`): 73, the letter I. Free in the kernel's `rtnetlink.h` and in
/// iproute2's `rt_protos`.
pub const PROTOCOL: u8 = 73;

/// The protocol number of routes that the kernel made itself (`RTPROT_KERNEL`).
pub const PROTOCOL_KERNEL: u8 = 2;

/// The protocol numbers of routes that the kernel makes and forgets by itself: by redirects
/// (`RTPROT_REDIRECT`), for addresses, and by router advertisements (`RTPROT_RA`).
pub const PROTOCOLS_OF_KERNEL: [u8; 3] = [1, PROTOCOL_KERNEL, 9];

/// The main routing table (`RT_TABLE_MAIN`).
pub const TABLE_MAIN: u32 = 254;

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The kernel's number for it. Not used again while the namespace lives.
    pub index: u32,
    /// Its name.
    pub name: InterfaceName,
    /// Its hardware address, where it has an Ethernet one.
    pub mac: Option<MacAddress>,
    /// The hardware address its maker gave it, where the driver tells (`IFLA_PERM_ADDRESS`).
    pub permanent_mac: Option<MacAddress>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Signal on the line (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Capabilities that decide whether it may be in a group.
    pub kind: LinkKind,
}

impl Link {
    /// Whether it can carry traffic now as far as the link tells: up, with carrier.
    pub const fn is_running(&self) -> bool {
        self.up && self.carrier
    }
}

/// What sort of device a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// Broadcasts and multicasts, uses ARP: may be in a group.
    Broadcast,
    /// The loopback device.
    Loopback,
    /// Point-to-point, or without ARP or multicast.
    Other,
}

/// An address on a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The link it is on.
    pub index: u32,
    /// The address and its prefix length.
    pub address: InterfaceAddress,
    /// IPv4 broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// IPv4 label, such as `ge0:1`.
    pub label: Option<String>,
    /// Who configured it (`IFA_PROTO`); 0 where nobody said or the kernel is older than 5.18.
    pub protocol: u8,
    /// Not to be used as a source for new connections (`IFA_F_DEPRECATED`).
    pub deprecated: bool,
    /// IPv4: another address of the same subnet stands before it (`IFA_F_SECONDARY`). Sources are
    /// chosen among those that are not.
    pub secondary: bool,
    /// Without an on-link route of the kernel's making (`IFA_F_NOPREFIXROUTE`).
    pub no_prefix_route: bool,
    /// IPv6: duplicate address detection found another owner (`IFA_F_DADFAILED`).
    pub duplicate: bool,
    /// Whether it goes away by itself, as DHCP's and autoconfiguration's do.
    pub dynamic: bool,
    /// What else the kernel keeps of it.
    #[serde(default)]
    pub form: Form,
}

/// What else the kernel keeps of an address: it means nothing to us, and is needed to put one back as
/// it was.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Form {
    /// Where it is valid (`ifa_scope`, `RT_SCOPE_…`); 0 is everywhere. IPv6 finds it out by itself.
    pub scope: u8,
    /// Metric of the on-link route of the kernel's making (`IFA_RT_PRIORITY`); 0 is the usual one.
    pub metric: u32,
    /// IPv6: configured without duplicate address detection (`IFA_F_NODAD`).
    pub nodad: bool,
}

/// Where a route stands. Of several in one slot the kernel takes the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// Number of the routing table.
    pub table: u32,
    /// Destination network.
    pub destination: InterfaceAddress,
    /// Priority; lower goes first.
    pub metric: u32,
}

/// A unicast route. Routes of other types (local, broadcast, multicast) and those of the local table are
/// not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// Number of the routing table it is in (`ip rule` says who looks there).
    #[serde(default = "main_table", skip_serializing_if = "is_main_table")]
    pub table: u32,
    /// Destination network; `0.0.0.0/0` or `::/0` for default.
    pub destination: InterfaceAddress,
    /// Priority; lower goes first. IPv4 default is 0, IPv6 default is 1024.
    pub metric: u32,
    /// Who installed it (`rtm_protocol`).
    pub protocol: u8,
    /// Through what it goes.
    pub via: Via,
    /// Preferred source address (`RTA_PREFSRC`).
    pub source: Option<IpAddr>,
}

impl Route {
    /// Where it stands.
    pub const fn slot(&self) -> Slot {
        Slot {
            table: self.table,
            destination: self.destination,
            metric: self.metric,
        }
    }

    /// No other one in a slot comes before this in their order.
    pub const fn lowest(slot: Slot) -> Self {
        Self {
            table: slot.table,
            destination: slot.destination,
            metric: slot.metric,
            protocol: 0,
            via: Via::Link {
                index: 0,
                gateway: None,
            },
            source: None,
        }
    }
}

const fn main_table() -> u32 {
    TABLE_MAIN
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "so it is called")]
const fn is_main_table(table: &u32) -> bool {
    *table == TABLE_MAIN
}

/// Through what a route goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// A link, and a gateway on it unless the destination is on the link itself.
    Link {
        /// Index of the link.
        index: u32,
        /// The gateway.
        gateway: Option<IpAddr>,
    },
    /// A nexthop object.
    Nexthop(u32),
    /// Several links, or something we need not understand.
    Other,
}

/// A nexthop object (`ip nexthop`; kernel 5.3 and later).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nexthop {
    /// Its number; nexthops of both families share the number space.
    pub id: u32,
    /// Who made it.
    pub protocol: u8,
    /// What it is.
    pub hop: Hop,
}

/// What a nexthop object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hop {
    /// A link, and a gateway on it (taken as on-link) unless the destination itself is there.
    Link {
        /// Address family.
        family: Family,
        /// Index of the link.
        index: u32,
        /// The gateway.
        gateway: Option<IpAddr>,
    },
    /// Several nexthops of equal weight, one chosen per flow.
    Group(Vec<u32>),
}

/// A per-interface sysctl that members of a group need set (see `docs/linux.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sysctl {
    /// IPv4: answer ARP only for addresses of the interface asked on.
    ArpIgnore,
    /// IPv4: ask by ARP only from addresses of the interface asking.
    ArpAnnounce,
    /// IPv4: reverse path filter.
    RpFilter,
    /// IPv4: keep secondary addresses when their primary goes.
    PromoteSecondaries,
    /// IPv4: do not use routes whose link is down.
    IgnoreRoutesWithLinkdown,
    /// IPv6: keep addresses when the interface goes down.
    KeepAddrOnDown,
    /// IPv6: do not use routes whose link is down.
    IgnoreRoutesWithLinkdown6,
}

impl Sysctl {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ArpIgnore,
        Self::ArpAnnounce,
        Self::RpFilter,
        Self::PromoteSecondaries,
        Self::IgnoreRoutesWithLinkdown,
        Self::KeepAddrOnDown,
        Self::IgnoreRoutesWithLinkdown6,
    ];

    /// Family and file name below `/proc/sys/net/{ipv4,ipv6}/conf/<interface>/`.
    pub const fn file(self) -> (Family, &'static str) {
        match self {
            Self::ArpIgnore => (Family::Inet, "arp_ignore"),
            Self::ArpAnnounce => (Family::Inet, "arp_announce"),
            Self::RpFilter => (Family::Inet, "rp_filter"),
            Self::PromoteSecondaries => (Family::Inet, "promote_secondaries"),
            Self::IgnoreRoutesWithLinkdown => (Family::Inet, "ignore_routes_with_linkdown"),
            Self::KeepAddrOnDown => (Family::Inet6, "keep_addr_on_down"),
            Self::IgnoreRoutesWithLinkdown6 => (Family::Inet6, "ignore_routes_with_linkdown"),
        }
    }

    /// What a member of a group needs it to be.
    pub const fn member_value(self) -> i32 {
        match self {
            Self::ArpAnnounce | Self::RpFilter => 2,
            Self::ArpIgnore
            | Self::PromoteSecondaries
            | Self::IgnoreRoutesWithLinkdown
            | Self::KeepAddrOnDown
            | Self::IgnoreRoutesWithLinkdown6 => 1,
        }
    }
}

/// Key of an address: the kernel may hold the same address on several links, and on one link with
/// several prefix lengths.
pub type AddressKey = (u32, InterfaceAddress);

/// What the kernel holds, as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Dump", into = "Dump")]
pub struct Kernel {
    /// Links by index.
    pub links: BTreeMap<u32, Link>,
    /// Addresses.
    pub addresses: BTreeMap<AddressKey, Address>,
    /// Unicast routes of all tables but the local one. Which of several in one slot stands first in the
    /// kernel is not kept.
    pub routes: BTreeSet<Route>,
    /// Nexthop objects by number.
    pub nexthops: BTreeMap<u32, Nexthop>,
    /// Sysctls by link index; a missing entry could not be read.
    pub sysctls: BTreeMap<(u32, Sysctl), i32>,
}

/// A [`Kernel`] as lists: how it is written down (JSON has no maps with structured keys).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Dump {
    links: Vec<Link>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
    nexthops: Vec<Nexthop>,
    sysctls: Vec<(u32, Sysctl, i32)>,
}

impl From<Dump> for Kernel {
    fn from(dump: Dump) -> Self {
        Self {
            links: dump
                .links
                .into_iter()
                .map(|link| (link.index, link))
                .collect(),
            addresses: dump
                .addresses
                .into_iter()
                .map(|a| ((a.index, a.address), a))
                .collect(),
            routes: dump.routes.into_iter().collect(),
            nexthops: dump.nexthops.into_iter().map(|hop| (hop.id, hop)).collect(),
            sysctls: dump
                .sysctls
                .into_iter()
                .map(|(i, key, value)| ((i, key), value))
                .collect(),
        }
    }
}

impl From<Kernel> for Dump {
    fn from(kernel: Kernel) -> Self {
        Self {
            links: kernel.links.into_values().collect(),
            addresses: kernel.addresses.into_values().collect(),
            routes: kernel.routes.into_iter().collect(),
            nexthops: kernel.nexthops.into_values().collect(),
            sysctls: kernel
                .sysctls
                .into_iter()
                .map(|((i, key), v)| (i, key, v))
                .collect(),
        }
    }
}

/// Something in the kernel changed, or was found to be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A link is there now, or is different.
    Link(Link),
    /// A link is gone, and with it everything on it.
    LinkGone(u32),
    /// An address is there now, or is different.
    Address(Address),
    /// An address is gone.
    AddressGone(u32, InterfaceAddress),
    /// A route is there now.
    Route(Route),
    /// A route is gone.
    RouteGone(Route),
    /// A nexthop is there now, or is different.
    Nexthop(Nexthop),
    /// A nexthop is gone, and with it the routes through it.
    NexthopGone(u32),
    /// A sysctl of a link was read: link index, which, value.
    Sysctl(u32, Sysctl, i32),
    /// Whose doing the changes of this event are that follow, up to the next of these; `None`, and what
    /// comes before the first: ours, or nobody said.
    By(Option<Hand>),
    /// All was read anew.
    Resync(Kernel),
}

/// What is known of the addresses on link `index`.
pub(crate) fn on_link<T>(
    addresses: &BTreeMap<AddressKey, T>,
    index: u32,
) -> impl Iterator<Item = &T> {
    let lowest = InterfaceAddress::new(Family::Inet.unspecified(), 0);
    addresses
        .range((index, lowest)..)
        .take_while(move |((on, _), _)| *on == index)
        .map(|(_, known)| known)
}

/// Those of `routes` that are in a slot.
pub fn in_slot(routes: &BTreeSet<Route>, slot: Slot) -> impl Iterator<Item = &Route> {
    routes
        .range(Route::lowest(slot)..)
        .take_while(move |route| route.slot() == slot)
}

impl Kernel {
    /// Takes in one change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Link(link) => {
                if !link.is_running() {
                    self.drop_nexthops_of(link.index);
                }
                self.links.insert(link.index, link);
            }
            Change::LinkGone(index) => {
                self.drop_nexthops_of(index);
                self.links.remove(&index);
                self.addresses.retain(|&(on, _), _| on != index);
                self.routes
                    .retain(|route| !matches!(route.via, Via::Link { index: i, .. } if i == index));
                self.sysctls.retain(|&(on, _), _| on != index);
            }
            Change::Address(address) => {
                self.addresses
                    .insert((address.index, address.address), address);
            }
            Change::AddressGone(index, address) => {
                self.addresses.remove(&(index, address));
            }
            Change::Route(route) => {
                self.routes.insert(route);
            }
            Change::RouteGone(route) => {
                self.routes.remove(&route);
            }
            Change::Nexthop(nexthop) => {
                self.nexthops.insert(nexthop.id, nexthop);
            }
            Change::NexthopGone(id) => self.drop_nexthops([id].into()),
            Change::Sysctl(index, sysctl, value) => {
                self.sysctls.insert((index, sysctl), value);
            }
            Change::By(_) => {}
            Change::Resync(kernel) => *self = kernel,
        }
    }

    /// The link called `name`.
    pub fn link(&self, name: &InterfaceName) -> Option<&Link> {
        self.links.values().find(|link| link.name == *name)
    }

    /// The addresses on link `index`, in no particular order of importance.
    pub fn addresses_on(&self, index: u32) -> impl Iterator<Item = &Address> {
        on_link(&self.addresses, index)
    }

    /// The entries of one address on link `index`: one for each of its prefix lengths.
    pub fn entries(&self, index: u32, ip: IpAddr) -> impl Iterator<Item = &Address> {
        let longest = Family::of(ip).bits();
        let [first, last] = [0, longest].map(|prefix| (index, InterfaceAddress { ip, prefix }));
        self.addresses.range(first..=last).map(|(_, there)| there)
    }

    /// Whether link `index` has an address, with whatever prefix length.
    pub fn has_address(&self, index: u32, ip: IpAddr) -> bool {
        self.entries(index, ip).next().is_some()
    }

    /// Whether secondary addresses of a link stay when their primary goes.
    pub fn promotes_secondaries(&self, index: u32) -> bool {
        self.sysctls.get(&(index, Sysctl::PromoteSecondaries)) == Some(&1)
    }

    /// The routes of a table to a destination, the best metric first.
    pub fn routes_to(
        &self,
        table: u32,
        destination: InterfaceAddress,
    ) -> impl Iterator<Item = &Route> {
        let first = Slot {
            table,
            destination,
            metric: 0,
        };
        self.routes
            .range(Route::lowest(first)..)
            .take_while(move |route| (route.table, route.destination) == (table, destination))
    }

    /// The routes in a slot.
    pub fn routes_in(&self, slot: Slot) -> impl Iterator<Item = &Route> {
        in_slot(&self.routes, slot)
    }

    /// Nexthops go, their groups shrink, empty groups go too, and so do routes through any of them
    /// (`remove_nexthop` in the kernel).
    fn drop_nexthops(&mut self, mut going: BTreeSet<u32>) {
        going.retain(|id| self.nexthops.remove(id).is_some());
        if going.is_empty() {
            return;
        }
        for nexthop in self.nexthops.values_mut() {
            if let Hop::Group(members) = &mut nexthop.hop {
                let before = members.len();
                members.retain(|member| !going.contains(member));
                // No group is in another one, so that once round is enough.
                if members.is_empty() && before > 0 {
                    going.insert(nexthop.id);
                }
            }
        }
        self.nexthops.retain(|id, _| !going.contains(id));
        self.routes
            .retain(|route| !matches!(route.via, Via::Nexthop(id) if going.contains(&id)));
    }

    /// The kernel forgets a link's nexthops when it goes down or loses its carrier
    /// (`nh_netdev_event` in the kernel).
    fn drop_nexthops_of(&mut self, index: u32) {
        let on_link = self
            .nexthops
            .values()
            .filter(|nexthop| matches!(nexthop.hop, Hop::Link { index: i, .. } if i == index))
            .map(|nexthop| nexthop.id)
            .collect();
        self.drop_nexthops(on_link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, carrier: bool) -> Link {
        Link {
            index,
            name: format!("ge{index}").parse().unwrap(),
            mac: None,
            permanent_mac: None,
            mtu: 1500,
            up: true,
            carrier,
            kind: LinkKind::Broadcast,
        }
    }

    #[test]
    fn carrier_loss_takes_nexthops_groups_and_routes() {
        let mut kernel = Kernel::default();
        let on = |index| Hop::Link {
            family: Family::Inet,
            index,
            gateway: None,
        };
        for index in [1, 2] {
            kernel.apply(Change::Link(link(index, true)));
            kernel.apply(Change::Nexthop(Nexthop {
                id: index,
                protocol: PROTOCOL,
                hop: on(index),
            }));
        }
        kernel.apply(Change::Nexthop(Nexthop {
            id: 10,
            protocol: PROTOCOL,
            hop: Hop::Group(vec![1, 2]),
        }));
        kernel.apply(Change::Route(Route {
            table: TABLE_MAIN,
            destination: InterfaceAddress::new("192.168.0.0".parse().unwrap(), 24),
            metric: 0,
            protocol: PROTOCOL,
            via: Via::Nexthop(10),
            source: None,
        }));

        kernel.apply(Change::Link(link(1, false)));
        assert_eq!(kernel.nexthops[&10].hop, Hop::Group(vec![2]));
        assert_eq!(kernel.routes.len(), 1);

        kernel.apply(Change::Link(link(2, false)));
        assert!(kernel.nexthops.is_empty());
        assert!(kernel.routes.is_empty());
    }
}
