//! Desired kernel state: what the kernel should hold of ours.
//!
//! * Each address in use is a kernel address on the link it is placed on, without an on-link route of
//!   the kernel's making.
//! * Each subnet of a group has an on-link route through a nexthop group over the members in use, and
//!   each gateway on it one over the same members. Losing a member then changes one object, and the
//!   kernel does it by itself when a link loses its carrier.
//! * A route that somebody else installed through one member is shadowed: ours stands in front of it.
//! * Subnets of interfaces outside groups have an ordinary on-link route.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::asked::NexthopKey;
use crate::kernel::{
    AddressKey, Hop, Kernel, LinkKind, Route, Slot, Sysctl, TABLE_MAIN, Via, on_link,
};
use crate::plan::NewAddress;
use crate::{Family, GroupName, InterfaceAddress, InterfaceName};

/// Metric of on-link IPv6 routes of groups: in front of the kernel's own, which has 256
/// (`IP6_RT_PRIO_ADDRCONF`).
const ON_LINK6_METRIC: u32 = 255;

/// Metric of on-link IPv6 routes of interfaces outside groups: as the kernel's own.
const SINGLE_ON_LINK6_METRIC: u32 = 256;

/// An address in use and the link it is placed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Index of the link.
    pub index: u32,
    /// Address and prefix length.
    pub address: InterfaceAddress,
    /// IPv4 broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// IPv4 label.
    pub label: Option<String>,
    /// Not to be used as a source.
    pub deprecated: bool,
    /// Stays on its link: a test address.
    pub fixed: bool,
    /// The group of its home.
    pub group: Option<GroupName>,
}

/// A member of a group as far as routes and sysctls go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Index of the link.
    pub index: u32,
    /// Its name.
    pub name: InterfaceName,
    /// Its group.
    pub group: GroupName,
    /// Families for which outbound traffic may use it.
    pub outbound: BTreeSet<Family>,
}

/// What the desired state follows from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Addresses in use.
    pub placed: Vec<Placed>,
    /// Addresses that are to be in use as soon as it is known that no other host has them.
    pub awaited: BTreeSet<IpAddr>,
    /// Members of groups that are present.
    pub members: Vec<Member>,
    /// Routes of others to stand in front of, with the group of the member they go through.
    pub shadowed: Vec<(GroupName, Route)>,
    /// Sysctls to be put back: link, name, which, value.
    pub restore: Vec<(u32, InterfaceName, Sysctl, i32)>,
    /// Addresses that are to be somebody else's again, in the order in which they stand.
    pub plain: Vec<NewAddress>,
    /// Routes of others to be put back.
    pub put_back: Vec<Route>,
}

/// What the kernel should hold of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Addresses.
    pub addresses: BTreeMap<AddressKey, NewAddress>,
    /// Addresses that are to be somewhere soon. Until then they are missed where another hand has put them.
    pub awaited: BTreeSet<IpAddr>,
    /// Groups of nexthops, each with the links it goes through; never empty.
    pub groups: BTreeMap<NexthopKey, BTreeSet<u32>>,
    /// Routes.
    pub routes: BTreeMap<Slot, Through>,
    /// Sysctls of members.
    pub sysctls: Vec<(u32, InterfaceName, Sysctl, i32)>,
    /// Sysctls to be put back, once nothing of ours has to leave the link any more.
    pub restore: Vec<(u32, InterfaceName, Sysctl, i32)>,
    /// How addresses are to be that are to be somebody else's again, in the order in which they stand.
    /// They are among `addresses` too, as ours: they get to their place as such.
    pub plain: Vec<NewAddress>,
    /// Routes of others to be put back.
    pub put_back: Vec<Route>,
}

/// Through what a desired route goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Through {
    /// The members of a group.
    Group {
        /// Which nexthop group.
        key: NexthopKey,
        /// Preferred source address, where the kernel would choose a bad one.
        source: Option<IpAddr>,
    },
    /// One link, on-link.
    Link {
        /// Index of the link.
        index: u32,
        /// Preferred source address, where the kernel would choose a bad one.
        source: Option<IpAddr>,
    },
}

impl NexthopKey {
    /// The nexthop of one link that belongs into this group.
    pub fn on_link(&self, index: u32) -> Option<Hop> {
        match self {
            Self::Link(_) => None,
            Self::Group {
                family, gateway, ..
            } => Some(Hop::Link {
                family: *family,
                index,
                gateway: *gateway,
            }),
        }
    }
}

impl Desired {
    /// Addresses that are to be on a link.
    pub fn on_link(&self, index: u32) -> impl Iterator<Item = &NewAddress> {
        on_link(&self.addresses, index)
    }
}

/// Leaves those of the links only that are better, if any are.
fn prefer(links: &mut BTreeSet<u32>, is_better: impl Fn(u32) -> bool) {
    let better: BTreeSet<u32> = links
        .iter()
        .copied()
        .filter(|link| is_better(*link))
        .collect();
    if !better.is_empty() {
        *links = better;
    }
}

impl Layout {
    /// The desired state.
    pub fn desired(&self, kernel: &Kernel) -> Desired {
        let mut desired = Desired {
            awaited: self.awaited.clone(),
            ..Desired::default()
        };
        for placed in &self.placed {
            let key = (placed.index, placed.address);
            let new = NewAddress {
                index: placed.index,
                address: placed.address,
                broadcast: placed.broadcast,
                label: placed.label.clone(),
                deprecated: placed.deprecated,
                no_prefix_route: !needs_own_route(placed),
                plain: None,
            };
            desired.addresses.insert(key, new);
        }
        for plain in &self.plain {
            let ours = NewAddress {
                no_prefix_route: true,
                plain: None,
                ..plain.clone()
            };
            let key = (plain.index, plain.address);
            desired.addresses.insert(key, ours);
        }
        for placed in &self.placed {
            self.add_on_link_route(&mut desired, kernel, placed);
        }
        for (group, route) in &self.shadowed {
            self.add_shadow(&mut desired, kernel, group, route);
        }
        for member in &self.members {
            for sysctl in Sysctl::ALL {
                if kernel.sysctls.contains_key(&(member.index, sysctl)) {
                    let value = sysctl.member_value();
                    desired
                        .sysctls
                        .push((member.index, member.name.clone(), sysctl, value));
                }
            }
        }
        desired.restore.clone_from(&self.restore);
        desired.plain.clone_from(&self.plain);
        desired.put_back.clone_from(&self.put_back);
        desired
    }

    /// Links that outbound traffic of a group may use for a family: those with an address of it, if there
    /// are any. Without one IPv4 asks for neighbours in the name of an address of another link, upon which
    /// they send what is for that one here; IPv6 sends nothing, as where it is turned off.
    fn outbound(
        &self,
        desired: &Desired,
        kernel: &Kernel,
        group: &GroupName,
        family: Family,
    ) -> BTreeSet<u32> {
        let members = self.members.iter();
        let members = members.filter(|member| member.group == *group);
        let members = members.filter(|member| member.outbound.contains(&family));
        let mut links: BTreeSet<u32> = members.map(|member| member.index).collect();
        prefer(&mut links, |index| {
            let mut wanted = desired.on_link(index);
            wanted.any(|wanted| wanted.address.family() == family)
                || kernel.addresses_on(index).any(|there| {
                    // An IPv4 address that somebody looks after stays; one of ours may be leaving.
                    there.address.family() == family && (there.dynamic || family == Family::Inet6)
                })
        });
        links
    }

    fn add_on_link_route(&self, desired: &mut Desired, kernel: &Kernel, placed: &Placed) {
        let subnet = placed.address.subnet();
        let family = subnet.family();
        if subnet.prefix == family.bits() || subnet.is_link_local6() {
            return;
        }
        let Some(group) = &placed.group else {
            let Some(link) = kernel.links.get(&placed.index) else {
                return;
            };
            let has_one = kernel.routes_to(TABLE_MAIN, subnet).any(|route| {
                route.protocol != crate::kernel::PROTOCOL
                    && route.via
                        == Via::Link {
                            index: placed.index,
                            gateway: None,
                        }
            });
            if link.up && link.kind != LinkKind::Loopback && !has_one {
                let metric = if family == Family::Inet {
                    0
                } else {
                    SINGLE_ON_LINK6_METRIC
                };
                let slot = Slot {
                    table: TABLE_MAIN,
                    destination: subnet,
                    metric,
                };
                let index = placed.index;
                let source = self.single_source(index, subnet);
                let through = Through::Link { index, source };
                desired.routes.entry(slot).or_insert(through);
            }
            return;
        };
        let metric = if family == Family::Inet {
            0
        } else {
            ON_LINK6_METRIC
        };
        let slot = Slot {
            table: TABLE_MAIN,
            destination: subnet,
            metric,
        };
        self.add_group_route(desired, kernel, group, slot, None, subnet);
    }

    fn add_shadow(&self, desired: &mut Desired, kernel: &Kernel, group: &GroupName, route: &Route) {
        let Via::Link { gateway, .. } = route.via else {
            return;
        };
        let destination = route.destination;
        let metric = match destination.family() {
            // Among default routes of one metric IPv4 prefers one whose gateway answered of late
            // (`fib_select_default`), unless the first has several paths. 0 cannot be beaten, there ours
            // goes in front.
            Family::Inet => route.metric.saturating_sub(1),
            // IPv6 has no order among routes of one metric; one that has the best cannot be beaten.
            Family::Inet6 if route.metric <= 1 => return,
            Family::Inet6 => route.metric - 1,
        };
        let source_subnet = match gateway {
            Some(gateway) => self
                .placed
                .iter()
                .map(|placed| placed.address)
                .find(|address| address.contains(gateway))
                .map_or(destination, InterfaceAddress::subnet),
            None => destination,
        };
        let slot = Slot {
            metric,
            ..route.slot()
        };
        self.add_group_route(desired, kernel, group, slot, gateway, source_subnet);
    }

    fn add_group_route(
        &self,
        desired: &mut Desired,
        kernel: &Kernel,
        group: &GroupName,
        slot: Slot,
        gateway: Option<IpAddr>,
        source_subnet: InterfaceAddress,
    ) {
        if desired.routes.contains_key(&slot) {
            return;
        }
        let family = slot.destination.family();
        let mut links = self.outbound(desired, kernel, group, family);
        if links.is_empty() {
            return;
        }
        prefer(&mut links, |index| {
            !self.is_being_put_in_order(kernel, index)
        });
        let source = self.source(kernel, group, &links, source_subnet, gateway.is_some());
        let key = NexthopKey::Group {
            group: group.clone(),
            family,
            gateway,
        };
        desired.groups.insert(key.clone(), links);
        desired.routes.insert(slot, Through::Group { key, source });
    }

    /// The source address the on-link route of an interface outside groups must name: there, a
    /// deprecated address that came first cannot be put behind.
    fn single_source(&self, index: u32, subnet: InterfaceAddress) -> Option<IpAddr> {
        let on_link = || {
            self.placed
                .iter()
                .filter(move |placed| placed.index == index && placed.address.subnet() == subnet)
        };
        let has_bad = on_link().any(|placed| placed.deprecated);
        let good = on_link()
            .filter(|placed| !placed.deprecated)
            .map(|placed| placed.address.ip);
        good.min()
            .filter(|_| has_bad && subnet.family() == Family::Inet)
    }

    /// Whether a test address of a link still stands before its data addresses, or holds its place while
    /// it is being put behind them: it is the source of whatever leaves by that link meanwhile.
    fn is_being_put_in_order(&self, kernel: &Kernel, index: u32) -> bool {
        let on_link = || {
            let placed = self.placed.iter();
            placed.filter(move |placed| {
                placed.index == index && placed.address.family() == Family::Inet
            })
        };
        kernel.promotes_secondaries(index)
            && on_link().any(|placed| !placed.deprecated)
            && kernel.addresses_on(index).any(|there| {
                there.deprecated
                    && !there.secondary
                    && on_link()
                        .any(|placed| placed.deprecated && placed.address.ip == there.address.ip)
                    && on_link().any(|placed| {
                        !placed.deprecated && placed.address.contains(there.address.ip)
                    })
            })
    }

    /// The source address a route must name because the kernel, left alone, would take a bad one on
    /// one of its links. The kernel takes the link's first primary address; with a gateway, the first
    /// in the gateway's subnet (`inet_select_addr`). IPv6 chooses by RFC 6724 and needs no help.
    fn source(
        &self,
        kernel: &Kernel,
        group: &GroupName,
        links: &BTreeSet<u32>,
        subnet: InterfaceAddress,
        has_gateway: bool,
    ) -> Option<IpAddr> {
        if subnet.family() == Family::Inet6 {
            return None;
        }
        let kernel_chooses_well = |&index: &u32| {
            let good = self.placed.iter().any(|placed| {
                placed.index == index && !placed.deprecated && placed.address.subnet() == subnet
            });
            let ours = self.placed.iter().filter(|placed| placed.index == index);
            let others = kernel.addresses_on(index);
            let one_subnet = ours
                .map(|placed| placed.address)
                .chain(others.map(|address| address.address))
                .filter(|address| address.family() == Family::Inet)
                .all(|address| address.subnet() == subnet);
            good && (has_gateway || one_subnet) && !self.is_being_put_in_order(kernel, index)
        };
        if links.iter().all(kernel_chooses_well) {
            return None;
        }
        self.placed
            .iter()
            .filter(|placed| placed.group.as_ref() == Some(group) && !placed.deprecated)
            .filter(|placed| placed.address.subnet() == subnet)
            .map(|placed| placed.address.ip)
            .min()
    }
}

/// Whether an address needs the on-link route the kernel makes for it: IPv6 sends nothing out of a
/// link that has no route to the destination, not even if told to use that link. Link-local
/// addresses live by that, and probes from a test address do.
fn needs_own_route(placed: &Placed) -> bool {
    placed.address.family() == Family::Inet6 && (placed.fixed || placed.address.is_link_local6())
}
