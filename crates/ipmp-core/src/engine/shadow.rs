//! Routes of others that ours stand in front of.
//!
//! A route that DHCP, networkd or an administrator installed through one member dies with that
//! member. Ours, through all members in use, stands in front of it. It goes when theirs is withdrawn,
//! but not when theirs only went because the kernel deleted it with its link.

use std::time::Duration;

use crate::kernel::{Change, Kernel, PROTOCOL, Route, Via};
use crate::{InterfaceName, Time};

/// How long after a route's going its link must still be up for the route to count as withdrawn:
/// when a link goes down, the kernel tells of its routes first.
const WITHDRAWN_AFTER: Duration = Duration::from_millis(200);

/// Routes of others, present or deleted by the kernel.
#[derive(Clone, Debug)]
pub(super) struct Shadows {
    routes: Vec<(InterfaceName, Route)>,
    /// Routes that went while their link was up, and when.
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

    /// Takes note of a route that comes or goes.
    pub(super) fn observe(&mut self, now: Time, change: &Change) {
        match change {
            Change::RouteGone(route) if self.routes.iter().any(|(_, known)| known == route) => {
                self.going.push((now, route.clone()));
            }
            Change::Route(route) => self.going.retain(|(_, going)| going != route),
            _ => {}
        }
    }

    /// Takes the routes that go through members now, and forgets those of interfaces that are not.
    pub(super) fn update(&mut self, kernel: &Kernel, is_member: impl Fn(&InterfaceName) -> bool) {
        self.routes.retain(|(interface, _)| is_member(interface));
        for route in &kernel.routes {
            let Via::Link { index, .. } = route.via else {
                continue;
            };
            let Some(link) = kernel.links.get(&index) else {
                continue;
            };
            let is_local =
                route.destination.is_link_local6() || route.destination.ip.is_multicast();
            if route.protocol == PROTOCOL || is_local || !is_member(&link.name) {
                continue;
            }
            if !self.routes.iter().any(|(_, known)| known == route) {
                self.routes.push((link.name.clone(), route.clone()));
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
            let link_is_up = matches!(route.via, Via::Link { index, .. }
                if kernel.links.get(&index).is_some_and(|link| link.up));
            if link_is_up && !kernel.routes.contains(route) {
                self.routes.retain(|(_, known)| known != route);
            }
        }
        !due.is_empty()
    }
}
