//! Routes of others that ours stand in front of.
//!
//! A route that DHCP, networkd or an administrator installed through one member dies with that
//! member. Ours, through all members in use, stands in front of it. It goes when theirs is withdrawn,
//! that is, when theirs goes while its link runs; not when theirs went with its link, whether the
//! kernel deleted it or whoever looks after it did.

use std::time::Duration;

use crate::kernel::{Change, Kernel, Link, PROTOCOL, Route, Via};
use crate::{InterfaceName, Time};

/// How long after a route's going its link must still run for the route to count as withdrawn: when
/// a link goes down, the kernel tells of its routes first.
const WITHDRAWN_AFTER: Duration = Duration::from_millis(200);

/// Stands for the link of a route that went with its link. No link has this number. It is saved like
/// that, so that the next daemon does not take the route for one withdrawn meanwhile.
const NO_LINK: u32 = 0;

/// Routes of others, present or gone with their link.
#[derive(Clone, Debug)]
pub(super) struct Shadows {
    routes: Vec<(InterfaceName, Route)>,
    /// Routes that went while their link ran, and when.
    going: Vec<(Time, Route)>,
}

impl Shadows {
    pub(super) fn new(routes: Vec<(InterfaceName, Route)>) -> Self {
        Self {
            routes,
            going: Vec::new(),
        }
    }

    pub(super) fn saved(&self) -> Vec<(InterfaceName, Route)> {
        self.routes.clone()
    }

    pub(super) fn routes(&self) -> &[(InterfaceName, Route)] {
        &self.routes
    }

    /// Takes note of a route that comes or goes, and of a link that does. `kernel` is what was known
    /// before.
    pub(super) fn observe(&mut self, now: Time, change: &Change, kernel: &Kernel) {
        match change {
            Change::RouteGone(route) if self.routes.iter().any(|(_, known)| known == route) => {
                if runs(kernel, route) {
                    self.going.push((now, route.clone()));
                } else {
                    self.keep(route);
                }
            }
            Change::Route(route) => self.going.retain(|(_, going)| going != route),
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
            .routes
            .iter()
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
            } else if !self.going.iter().any(|(_, going)| *going == route) {
                self.going.push((now, route));
            }
        }
        self.going
            .retain(|(_, going)| !new.routes.contains(going) && runs(new, going));
    }

    /// Remembers a route that went with its link.
    fn keep(&mut self, gone: &Route) {
        for (_, route) in self.routes.iter_mut().filter(|(_, route)| route == gone) {
            if let Via::Link { index, .. } = &mut route.via {
                *index = NO_LINK;
            }
        }
    }

    /// A link stopped running: routes through it that just went did so for that reason.
    fn keep_going_of(&mut self, stopped: u32) {
        let (kept, going) = std::mem::take(&mut self.going)
            .into_iter()
            .partition(|(_, route)| index(route) == Some(stopped));
        self.going = going;
        let kept: Vec<(Time, Route)> = kept;
        for (_, route) in kept {
            self.keep(&route);
        }
    }

    fn through(&self, link: u32) -> Vec<Route> {
        self.routes
            .iter()
            .map(|(_, route)| route)
            .filter(|route| index(route) == Some(link))
            .cloned()
            .collect()
    }

    /// Takes the routes that go through members now, and forgets those of interfaces that are not.
    /// A route that is there takes the place of one of its destination, metric and interface that is
    /// not: it was replaced, or learnt anew after its link came back.
    pub(super) fn update(&mut self, kernel: &Kernel, is_member: impl Fn(&InterfaceName) -> bool) {
        let mut present: Vec<(InterfaceName, Route)> = Vec::new();
        for route in &kernel.routes {
            let Some(link) = index(route).and_then(|index| kernel.links.get(&index)) else {
                continue;
            };
            let is_local =
                route.destination.is_link_local6() || route.destination.ip.is_multicast();
            if route.protocol != PROTOCOL && !is_local && is_member(&link.name) {
                present.push((link.name.clone(), route.clone()));
            }
        }
        self.routes.retain(|known| {
            let (interface, route) = known;
            let is_replaced = || {
                present.iter().any(|(through, other)| {
                    through == interface
                        && (other.destination, other.metric) == (route.destination, route.metric)
                })
            };
            is_member(interface) && (present.contains(known) || !is_replaced())
        });
        for entry in present {
            if !self.routes.contains(&entry) {
                self.routes.push(entry);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.going
            .iter()
            .map(|&(since, _)| since + WITHDRAWN_AFTER)
            .min()
    }

    /// Forgets routes that were withdrawn; whether there was anything to decide.
    pub(super) fn due(&mut self, now: Time, kernel: &Kernel) -> bool {
        let (due, going) = self
            .going
            .drain(..)
            .partition(|&(since, _)| since + WITHDRAWN_AFTER <= now);
        self.going = going;
        let due: Vec<(Time, Route)> = due;
        for (_, route) in &due {
            if !kernel.routes.contains(route) {
                self.routes.retain(|(_, known)| known != route);
            }
        }
        !due.is_empty()
    }
}

/// The number of the link that a route goes through.
const fn index(route: &Route) -> Option<u32> {
    match route.via {
        Via::Link { index, .. } => Some(index),
        Via::Nexthop(_) | Via::Other => None,
    }
}

/// Whether the link of a route runs.
fn runs(kernel: &Kernel, route: &Route) -> bool {
    index(route)
        .and_then(|index| kernel.links.get(&index))
        .is_some_and(Link::is_running)
}
