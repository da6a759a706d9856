//! What must be remembered of what the kernel told, to notice what it does not tell.
//!
//! Some changes have no notification of their own, or one that leaves out half. Where what is known
//! allows it, the missing half is added here; where not, the story has a [`Gap`] and all must be read
//! anew.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipmp_core::kernel::{
    AddressKey, Change, Hop, Kernel, Link, Nexthop, PROTOCOL_KERNEL, Route, Via, in_slot,
};
use ipmp_core::{Family, InterfaceAddress, InterfaceName};

use super::decode::Told;

/// Something changed of which the kernel did not tell enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap(pub(super) &'static str);

/// What is known of the namespace. A superset at times: what vanished silently may still be in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    links: BTreeMap<u32, LinkMemory>,
    /// IPv4 addresses, with the link each is on.
    addresses: BTreeSet<AddressKey>,
    routes: BTreeSet<Route>,
    /// How many IPv4 routes prefer each source, of those of which the kernel may not tell.
    sources: BTreeMap<IpAddr, usize>,
    pub(super) nexthops: BTreeMap<u32, Nexthop>,
}

#[derive(Clone, Copy, Debug)]
struct LinkMemory {
    up: bool,
    running: bool,
    losses: u32,
}

impl Memory {
    /// Whether a link was last told to be up with carrier.
    pub(super) fn is_running(&self, index: u32) -> bool {
        self.links
            .get(&index)
            .is_some_and(|link| link.up && link.running)
    }

    /// Whether there is a nexthop through one link, and that runs.
    pub(super) fn has_running(&self, id: u32) -> bool {
        let hop = self.nexthops.get(&id).map(|nexthop| &nexthop.hop);
        matches!(hop, Some(Hop::Link { index, .. }) if self.is_running(*index))
    }
}

impl LinkMemory {
    fn of(link: &Link, losses: u32) -> Self {
        Self {
            up: link.up,
            running: link.is_running(),
            losses,
        }
    }
}

/// What follows from something told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Consequences {
    /// Changes to pass on, in order.
    pub(super) changes: Vec<Change>,
    /// A link that was not there before: its sysctls are to be read.
    pub(super) new_link: Option<(u32, InterfaceName)>,
    /// What is missing.
    pub(super) gap: Option<Gap>,
}

impl Memory {
    /// What was just read: everything, and how often each link has lost its carrier.
    pub(super) fn new(kernel: &Kernel, losses: &BTreeMap<u32, u32>) -> Self {
        let links = kernel.links.values().map(|link| {
            let losses = losses.get(&link.index).copied().unwrap_or(0);
            (link.index, LinkMemory::of(link, losses))
        });
        let mut memory = Self {
            links: links.collect(),
            addresses: kernel.addresses.keys().copied().filter(is_inet).collect(),
            routes: BTreeSet::new(),
            sources: BTreeMap::new(),
            nexthops: kernel.nexthops.clone(),
        };
        for route in &kernel.routes {
            memory.learn(route);
        }
        memory
    }

    /// Remembers a route; whether it is new.
    fn learn(&mut self, route: &Route) -> bool {
        let is_new = self.routes.insert(route.clone());
        if let Some(source) = preferred(route).filter(|_| is_new) {
            *self.sources.entry(source).or_insert(0) += 1;
        }
        is_new
    }

    /// Forgets a route; whether it was known.
    fn forget(&mut self, route: &Route) -> bool {
        let was_known = self.routes.remove(route);
        if let Some(source) = preferred(route).filter(|_| was_known)
            && let Some(count) = self.sources.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
        was_known
    }

    /// Takes a notification.
    pub(super) fn notice(&mut self, told: Told) -> Consequences {
        let mut then = Consequences::default();
        match told {
            Told::Link(link, losses) => {
                let now = LinkMemory::of(&link, losses);
                let index = link.index;
                then.changes.push(Change::Link(link.clone()));
                match self.links.insert(index, now) {
                    None => then.new_link = Some((index, link.name)),
                    Some(before) => {
                        if before.up && !now.up {
                            self.stop(index, |_| true, &mut then);
                        }
                        // Gone and back before the kernel got round to telling: its nexthops went.
                        if before.running && now.running && before.losses != now.losses {
                            then.gap = Some(Gap("a link lost its carrier for a moment"));
                        }
                    }
                }
            }
            Told::LinkGone(index) => {
                self.links.remove(&index);
                self.addresses.retain(|&(on, _)| on != index);
                self.stop(index, |_| true, &mut then);
                then.changes.push(Change::LinkGone(index));
            }
            Told::Address(address) => {
                let key = (address.index, address.address);
                self.addresses.extend(Some(key).filter(is_inet));
                then.changes.push(Change::Address(address));
            }
            Told::AddressGone(index, address) => {
                // IPv4 routes that prefer a source vanish with it without a word (`fib_sync_down_addr`).
                if self.sources.contains_key(&address.ip) {
                    then.gap = Some(Gap("an address went that routes prefer as source"));
                }
                then.changes.push(Change::AddressGone(index, address));
                if self.addresses.remove(&(index, address)) && !self.has_address(index) {
                    // Of the routes of its own making the kernel tells then.
                    let is_silent = |route: &Route| route.protocol != PROTOCOL_KERNEL;
                    self.stop(index, is_silent, &mut then);
                }
            }
            Told::Route(route, replaces) => {
                let displaces = replaces || self.joins_others(&route);
                if self.learn(&route) && displaces {
                    then.gap = Some(Gap("a route took the place of another"));
                }
                then.changes.push(Change::Route(route));
            }
            Told::RouteGone(route) => {
                if !self.forget(&route) {
                    then.gap = Some(Gap("a route went that was not known"));
                }
                then.changes.push(Change::RouteGone(route));
            }
            Told::Nexthop(nexthop) => {
                self.nexthops.insert(nexthop.id, nexthop.clone());
                then.changes.push(Change::Nexthop(nexthop));
            }
            Told::NexthopGone(id) => {
                self.nexthops.remove(&id);
                then.changes.push(Change::NexthopGone(id));
            }
        }
        then
    }

    /// The routes with this one's slot and protocol, other than itself.
    pub(super) fn rivals(&self, route: &Route) -> Vec<Route> {
        self.same_slot(route)
            .filter(|other| other.protocol == route.protocol && *other != route)
            .cloned()
            .collect()
    }

    /// Whether a route is the only one in its slot, whosever.
    pub(super) fn has_alone(&self, route: &Route) -> bool {
        let mut there = self.same_slot(route);
        there.next() == Some(route) && there.next().is_none()
    }

    /// Remembers one route in the place of another.
    pub(super) fn replace(&mut self, old: &Route, new: &Route) {
        self.forget(old);
        self.learn(new);
    }

    /// Whether a request to remove `route` would hit another one. In IPv4 metric 0 in such a request
    /// stands for any metric.
    pub(super) fn is_mistakable(&self, route: &Route) -> bool {
        route.destination.ip.is_ipv4()
            && route.metric == 0
            && !self.routes.contains(route)
            && self.routes.iter().any(|other| {
                (other.table, other.destination) == (route.table, route.destination)
                    && other.protocol == route.protocol
                    && other.via == route.via
            })
    }

    fn has_address(&self, index: u32) -> bool {
        let lowest = InterfaceAddress::new(Family::Inet.unspecified(), 0);
        let mut from = self.addresses.range((index, lowest)..);
        from.next().is_some_and(|&(on, _)| on == index)
    }

    /// IPv4 routes on a link that is set down, or that has lost its last IPv4 address, vanish without a
    /// word (`fib_disable_ip`), those that `is_silent` says.
    fn stop(&mut self, index: u32, is_silent: impl Fn(&Route) -> bool, then: &mut Consequences) {
        let gone = |route: &Route| {
            matches!(route.via, Via::Link { index: i, .. } if i == index) && is_silent(route)
        };
        let inet = self.routes.iter().filter(|r| r.destination.ip.is_ipv4());
        if inet.clone().any(|route| route.via == Via::Other) {
            then.gap = Some(Gap("a link of a multipath route may have stopped"));
        }
        let gone: Vec<Route> = inet.filter(|route| gone(route)).cloned().collect();
        for route in gone {
            self.forget(&route);
            then.changes.push(Change::RouteGone(route));
        }
    }

    /// IPv6 routes in one slot become one multipath route, of which alone is told.
    fn joins_others(&self, route: &Route) -> bool {
        route.destination.ip.is_ipv6()
            && route.via == Via::Other
            && self.same_slot(route).next().is_some()
    }

    /// The known routes in this one's slot.
    fn same_slot(&self, route: &Route) -> impl Iterator<Item = &Route> {
        in_slot(&self.routes, route.slot())
    }
}

/// The source that an IPv4 route prefers, unless the kernel made the route: of those it tells.
fn preferred(route: &Route) -> Option<IpAddr> {
    route
        .source
        .filter(|source| source.is_ipv4() && route.protocol != PROTOCOL_KERNEL)
}

fn is_inet((_, address): &AddressKey) -> bool {
    address.ip.is_ipv4()
}

#[cfg(test)]
mod tests;
