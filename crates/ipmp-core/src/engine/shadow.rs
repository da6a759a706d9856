//! Routes of others that ours stand in front of.
//!
//! A route that DHCP, networkd or an administrator installed through one member dies with that
//! member. Ours, through all members in use, stands in front of it. It goes when theirs is withdrawn,
//! that is, when theirs goes while its link runs; not when theirs went with its link, whether the
//! kernel deleted it or whoever looks after it did. Nor when it went with its link's last IPv4 address, as
//! the kernel deletes all IPv4 routes of a link without one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::kernel::{Change, Kernel, Link, PROTOCOL, Route, Via};
use crate::{InterfaceName, Time};

/// How long after a route's going its link must still run for the route to count as withdrawn: when
/// a link goes down, the kernel tells of its routes first.
const WITHDRAWN_AFTER: Duration = Duration::from_millis(200);

/// Stands for the link of a route that went with its link. No link has this number. It is saved like
/// that, so that the next daemon does not take the route for one withdrawn meanwhile.
const NO_LINK: u32 = 0;

/// Routes of others, present or gone with their link. There may be many: nothing here looks at each
/// of them for each of them.
#[derive(Clone, Debug)]
pub(super) struct Shadows {
    /// By the interface they go through.
    routes: BTreeMap<InterfaceName, BTreeSet<Route>>,
    /// Routes that went while their link ran, and when.
    going: BTreeMap<Route, Time>,
}

impl Shadows {
    pub(super) fn new(saved: Vec<(InterfaceName, Route)>) -> Self {
        let mut routes: BTreeMap<InterfaceName, BTreeSet<Route>> = BTreeMap::new();
        for (interface, route) in saved {
            routes.entry(interface).or_default().insert(route);
        }
        Self {
            routes,
            going: BTreeMap::new(),
        }
    }

    pub(super) fn saved(&self) -> Vec<(InterfaceName, Route)> {
        self.routes()
            .map(|(interface, route)| (interface.clone(), route.clone()))
            .collect()
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = (&InterfaceName, &Route)> {
        self.routes
            .iter()
            .flat_map(|(interface, routes)| routes.iter().map(move |route| (interface, route)))
    }

    /// Routes that went with their link, or with its last IPv4 address, and were not put back.
    pub(super) fn lost(&self, kernel: &Kernel) -> impl Iterator<Item = (&InterfaceName, &Route)> {
        self.routes().filter(|(_, route)| {
            !kernel.routes.contains(*route) && !self.going.contains_key(*route)
        })
    }

    /// Takes note of a route that comes or goes, and of a link that does. `kernel` is what was known
    /// before.
    pub(super) fn observe(&mut self, now: Time, change: &Change, kernel: &Kernel) {
        match change {
            Change::RouteGone(route) if self.knows(route) => {
                if runs(kernel, route) {
                    self.going.insert(route.clone(), now);
                } else {
                    self.keep(route);
                }
            }
            Change::Route(route) => {
                self.going.remove(route);
            }
            Change::Link(link) if !link.is_running() => self.keep_going_of(link.index),
            Change::LinkGone(index) => {
                for route in self.through(*index) {
                    self.keep(&route);
                }
                self.keep_going_of(*index);
            }
            Change::Resync(new) => self.compare(now, kernel, new),
            _ => {}
        }
    }

    /// Finds out from a dump which routes went unseen.
    fn compare(&mut self, now: Time, before: &Kernel, new: &Kernel) {
        let missing: Vec<Route> = self
            .routes()
            .map(|(_, route)| route)
            .filter(|route| index(route) != Some(NO_LINK) && !new.routes.contains(route))
            .cloned()
            .collect();
        for route in missing {
            // Nothing is known of before in the first dump.
            let ran = index(&route)
                .and_then(|index| before.links.get(&index))
                .is_none_or(Link::is_running);
            if !ran || !runs(new, &route) {
                self.keep(&route);
            } else {
                self.going.entry(route).or_insert(now);
            }
        }
        self.going
            .retain(|going, _| !new.routes.contains(going) && runs(new, going));
    }

    fn knows(&self, route: &Route) -> bool {
        self.routes.values().any(|routes| routes.contains(route))
    }

    /// Remembers a route that went with its link.
    fn keep(&mut self, gone: &Route) {
        for routes in self.routes.values_mut() {
            if let Some(mut route) = routes.take(gone) {
                if let Via::Link { index, .. } = &mut route.via {
                    *index = NO_LINK;
                }
                routes.insert(route);
            }
        }
    }

    /// A link stopped running: routes through it that just went did so for that reason.
    fn keep_going_of(&mut self, stopped: u32) {
        let (kept, going): (BTreeMap<Route, Time>, _) = std::mem::take(&mut self.going)
            .into_iter()
            .partition(|(route, _)| index(route) == Some(stopped));
        self.going = going;
        for route in kept.keys() {
            self.keep(route);
        }
    }

    fn through(&self, link: u32) -> Vec<Route> {
        self.routes()
            .map(|(_, route)| route)
            .filter(|route| index(route) == Some(link))
            .cloned()
            .collect()
    }

    /// Takes the routes that go through members now, and forgets those of interfaces that are not.
    /// A route that is there takes the place of one of its destination, metric and interface that is
    /// not: it was replaced, or learnt anew after its link came back.
    pub(super) fn update(&mut self, kernel: &Kernel, is_member: impl Fn(&InterfaceName) -> bool) {
        let members: BTreeMap<u32, &InterfaceName> = kernel
            .links
            .values()
            .filter(|link| is_member(&link.name))
            .map(|link| (link.index, &link.name))
            .collect();
        self.routes.retain(|interface, routes| {
            routes.retain(|known| {
                let replaces = |other: &Route| {
                    other.metric == known.metric
                        && is_foreign(other)
                        && through(other, &members) == Some(interface)
                };
                kernel.routes.contains(known) || !kernel.routes_to(known.destination).any(replaces)
            });
            is_member(interface)
        });
        for route in kernel.routes.iter().filter(|route| is_foreign(route)) {
            if let Some(interface) = through(route, &members) {
                match self.routes.get_mut(interface) {
                    Some(known) if known.contains(route) => {}
                    Some(known) => {
                        known.insert(route.clone());
                    }
                    None => {
                        let first = BTreeSet::from([route.clone()]);
                        self.routes.insert(interface.clone(), first);
                    }
                }
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.going
            .values()
            .min()
            .map(|&since| since + WITHDRAWN_AFTER)
    }

    /// Forgets routes that were withdrawn.
    pub(super) fn expire(&mut self, now: Time, kernel: &Kernel) {
        let (due, going): (BTreeMap<Route, Time>, _) = std::mem::take(&mut self.going)
            .into_iter()
            .partition(|&(_, since)| since + WITHDRAWN_AFTER <= now);
        self.going = going;
        for route in due.keys().filter(|route| !kernel.routes.contains(*route)) {
            for routes in self.routes.values_mut() {
                routes.remove(route);
            }
        }
    }
}

/// Whether a route is somebody else's and leads somewhere beyond its link.
fn is_foreign(route: &Route) -> bool {
    route.protocol != PROTOCOL
        && !route.destination.is_link_local6()
        && !route.destination.ip.is_multicast()
}

/// The member that a route goes through.
fn through<'m>(
    route: &Route,
    members: &BTreeMap<u32, &'m InterfaceName>,
) -> Option<&'m InterfaceName> {
    members.get(&index(route)?).copied()
}

/// The number of the link that a route goes through.
const fn index(route: &Route) -> Option<u32> {
    match route.via {
        Via::Link { index, .. } => Some(index),
        Via::Nexthop(_) | Via::Other => None,
    }
}

/// Whether the link of a route runs and can have routes.
fn runs(kernel: &Kernel, route: &Route) -> bool {
    let link = index(route).and_then(|index| kernel.links.get(&index));
    link.is_some_and(|link| {
        let has_address = || {
            let mut addresses = kernel.addresses_on(link.index);
            addresses.any(|there| there.address.ip.is_ipv4())
        };
        link.is_running() && (route.destination.ip.is_ipv6() || has_address())
    })
}
