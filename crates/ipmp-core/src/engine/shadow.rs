//! Routes of others that ours stand in front of.
//!
//! A route that DHCP, networkd or an administrator installed through one member dies with that
//! member. Ours, through all members in use, stands in front of it. It goes when theirs is withdrawn,
//! that is, when theirs goes while its link runs; not when theirs went with its link, whether the
//! kernel deleted it or whoever looks after it did. Nor when it went with its link's last IPv4 address, as
//! the kernel deletes all IPv4 routes of a link without one. What went like that while its interface was a
//! member is put back when it is none any more and the kernel would take it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::kernel::{Change, Kernel, Link, PROTOCOL, PROTOCOLS_OF_KERNEL, Route, TABLE_MAIN, Via};
use crate::{InterfaceAddress, InterfaceName, Time};

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
    /// Routes that went while their interface was a member, which it is no more: they are to be put back.
    owed: BTreeMap<InterfaceName, BTreeSet<Route>>,
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
            owed: BTreeMap::new(),
        }
    }

    pub(super) fn saved(&self) -> Vec<(InterfaceName, Route)> {
        self.routes()
            .chain(each(&self.owed))
            .map(|(interface, route)| (interface.clone(), route.clone()))
            .collect()
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = (&InterfaceName, &Route)> {
        each(&self.routes)
    }

    /// Routes that went with their link, or with its last IPv4 address, and were not put back.
    pub(super) fn lost(&self, kernel: &Kernel) -> impl Iterator<Item = (&InterfaceName, &Route)> {
        let lost = self.routes().filter(|(_, route)| {
            !kernel.routes.contains(*route) && !self.going.contains_key(*route)
        });
        lost.chain(each(&self.owed))
    }

    /// Routes to be put back that the kernel would take now.
    pub(super) fn due(&self, kernel: &Kernel) -> Vec<Route> {
        let owed = each(&self.owed);
        owed.filter_map(|(name, route)| anew(kernel, route, kernel.link(name)?))
            .filter(|route| would_take(kernel, route))
            .collect()
    }

    /// Forgets a route that was to be put back.
    pub(super) fn let_go(&mut self, route: &Route) {
        for owed in self.owed.values_mut() {
            owed.retain(|owed| owed.slot() != route.slot());
        }
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
    /// A route that is there takes the place of one of its slot and interface that is not: it was
    /// replaced, or learnt anew after its link came back. What an interface lost that is no member any more
    /// is owed to it, as long as it is plumbed.
    pub(super) fn update(
        &mut self,
        kernel: &Kernel,
        is_member: impl Fn(&InterfaceName) -> bool,
        is_plumbed: impl Fn(&InterfaceName) -> bool,
    ) {
        let members: BTreeMap<u32, &InterfaceName> = kernel
            .links
            .values()
            .filter(|link| is_member(&link.name))
            .map(|link| (link.index, &link.name))
            .collect();
        let back = self
            .owed
            .extract_if(.., |interface, _| is_member(interface));
        for (interface, routes) in back {
            self.routes.entry(interface).or_default().extend(routes);
        }
        let (going, owed) = (&self.going, &mut self.owed);
        self.routes.retain(|interface, routes| {
            routes.retain(|known| {
                let replaces = |other: &Route| {
                    is_foreign(other) && through(other, &members) == Some(interface)
                };
                kernel.routes.contains(known) || !kernel.routes_in(known.slot()).any(replaces)
            });
            let stays = is_member(interface);
            if !stays {
                let is_lost = |route: &&Route| {
                    !PROTOCOLS_OF_KERNEL.contains(&route.protocol)
                        && !kernel.routes.contains(*route)
                        && !going.contains_key(*route)
                };
                let lost = routes.iter().filter(is_lost).cloned();
                owed.entry(interface.clone()).or_default().extend(lost);
            }
            stays
        });
        self.owed.retain(|interface, routes| {
            let on = kernel.link(interface).map(|link| link.index);
            routes.retain(|owed| {
                let is_it = |there: &Route| is_foreign(there) && index(there) == on;
                on.is_none() || !kernel.routes_in(owed.slot()).any(is_it)
            });
            !routes.is_empty() && is_plumbed(interface)
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

fn each(
    routes: &BTreeMap<InterfaceName, BTreeSet<Route>>,
) -> impl Iterator<Item = (&InterfaceName, &Route)> {
    routes
        .iter()
        .flat_map(|(interface, routes)| routes.iter().map(move |route| (interface, route)))
}

/// A route that went, as it is to be put back on its link; none that the kernel made.
pub(super) fn anew(kernel: &Kernel, route: &Route, link: &Link) -> Option<Route> {
    let Via::Link { gateway, .. } = route.via else {
        return None;
    };
    let via = Via::Link {
        index: link.index,
        gateway,
    };
    let is_the_kernels = || {
        PROTOCOLS_OF_KERNEL.contains(&route.protocol)
            && !(gateway.is_none() && lacks_on_link_route(kernel, link.index, route.destination))
    };
    (link.up && !is_the_kernels()).then(|| Route {
        via,
        ..route.clone()
    })
}

/// Whether a link has an address of somebody else's in a subnet for which the kernel makes no on-link
/// route. Who configures it so makes that route himself, and `NetworkManager` gives it the kernel's protocol.
fn lacks_on_link_route(kernel: &Kernel, index: u32, subnet: InterfaceAddress) -> bool {
    kernel.addresses_on(index).any(|there| {
        there.no_prefix_route && there.protocol != PROTOCOL && there.address.subnet() == subnet
    })
}

/// Whether the kernel has all that a route through a link needs. It looks for the gateway in the first on-link
/// route to it, in the table of the route itself if there is one, and no further than a nexthop object.
fn would_take(kernel: &Kernel, route: &Route) -> bool {
    let Via::Link { index, gateway } = route.via else {
        return false;
    };
    let mut there = kernel.addresses_on(index).map(|there| there.address);
    let has_source = match route.source {
        Some(source) => there.any(|address| address.ip == source),
        None => there.any(|address| address.family() == route.destination.family()),
    };
    has_source
        && gateway.is_none_or(|gateway| {
            let in_table = |table: u32| {
                let routes = kernel.routes.iter().filter(move |r| r.table == table);
                routes.filter(|r| {
                    let may_be_on_link =
                        matches!(r.via, Via::Link { gateway: None, .. } | Via::Nexthop(_));
                    may_be_on_link && r.destination.prefix > 0 && r.destination.contains(gateway)
                })
            };
            let has_any = in_table(route.table).next().is_some();
            let table = if has_any { route.table } else { TABLE_MAIN };
            let to_gateway = || in_table(table);
            let longest = to_gateway().map(|route| route.destination.prefix).max();
            let first = || to_gateway().filter(|r| Some(r.destination.prefix) == longest);
            let on_link = Via::Link {
                index,
                gateway: None,
            };
            first().any(|route| route.via == on_link)
                && !first().any(|route| matches!(route.via, Via::Nexthop(_)))
        })
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
