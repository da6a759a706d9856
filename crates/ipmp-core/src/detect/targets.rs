//! Whom to probe: the targets of one interface in one family.
//!
//! A list holds routers, or, where there are none, hosts that answered a multicast. At most
//! [`MAX_ACTIVE`] are probed, in turn; further routers wait in reserve. A router that stops
//! answering while others answer, or that is too slow for the group, is set aside and comes back by
//! and by; a host is forgotten and another one looked for.
//!
//! One exception: when the *only* router stops answering, hosts are looked for before the interface
//! is blamed. Those found stand beside the router as a fallback until it answers again.

use std::net::IpAddr;
use std::time::Duration;

use super::rtt::Estimate;
use crate::Time;

/// How many targets are probed.
pub(super) const MAX_ACTIVE: usize = 5;
/// How many routers are brought back at once when none is left.
const REFILL: usize = 3;
/// How many routers are known beyond those probed. A routing table can name any number.
const MAX_RESERVE: usize = 59;
/// How long a router stays set aside: dead becomes slow, slow becomes unused.
const RECOVERY: Duration = Duration::from_mins(1);
/// With fewer other targets than this, none is set aside for being slow.
const MIN_OTHERS: usize = 3;

/// A target that is probed.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: IpAddr,
    pub(super) router: bool,
    pub(super) estimate: Estimate,
    /// The newest probe that it answered.
    pub(super) answered: Option<u16>,
}

impl Target {
    fn new(address: IpAddr, router: bool) -> Self {
        Self {
            address,
            router,
            estimate: Estimate::default(),
            answered: None,
        }
    }
}

/// Why a router is not probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserve {
    /// There are enough others.
    Unused,
    /// It took too long to answer.
    Slow(Time),
    /// It did not answer while others did.
    Dead(Time),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    /// Those probed, the next one first.
    active: Vec<Target>,
    /// Routers that are not probed now, preferred ones first.
    reserve: Vec<(IpAddr, Reserve)>,
    /// Whether the administrator has named them: nobody else is probed then.
    named: bool,
    /// Whether hosts are wanted although there is a router.
    fallback: bool,
}

impl Targets {
    /// Those probed, in the order in which they will be.
    pub(super) fn active(&self) -> &[Target] {
        &self.active
    }

    /// The state of a router that is not probed.
    #[cfg(test)]
    pub(super) fn reserve(&self, address: IpAddr) -> Option<Reserve> {
        self.reserve
            .iter()
            .find(|(a, _)| *a == address)
            .map(|&(_, r)| r)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// The only target, if there is just one.
    pub(super) fn sole(&self) -> Option<&Target> {
        match self.active.as_slice() {
            [target] => Some(target),
            _ => None,
        }
    }

    /// Whether an address is probed.
    pub(super) fn is_active(&self, address: IpAddr) -> bool {
        self.active.iter().any(|target| target.address == address)
    }

    /// Whether the administrator has named them.
    pub(super) const fn are_named(&self) -> bool {
        self.named
    }

    /// Takes whether the administrator has named those that are called routers.
    pub(super) fn set_named(&mut self, named: bool) {
        self.named = named;
        if named {
            self.flush_hosts();
        }
    }

    pub(super) fn has_routers(&self) -> bool {
        !self.reserve.is_empty() || self.active.iter().any(|target| target.router)
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = IpAddr> {
        self.active.iter().filter(|t| !t.router).map(|t| t.address)
    }

    pub(super) fn get_mut(&mut self, address: IpAddr) -> Option<&mut Target> {
        self.active
            .iter_mut()
            .find(|target| target.address == address)
    }

    /// Whom to probe now.
    pub(super) fn take_turn(&mut self) -> Option<IpAddr> {
        let address = self.active.first()?.address;
        self.active.rotate_left(1);
        Some(address)
    }

    /// Takes the routers there are, preferred ones first. Ones not among them are dropped, unless
    /// `keep` says that the routing table is not to be trusted now.
    pub(super) fn set_routers(
        &mut self,
        routers: impl Iterator<Item = IpAddr> + Clone,
        keep: bool,
    ) {
        if !keep {
            self.active
                .retain(|t| !t.router || routers.clone().any(|r| r == t.address));
            self.reserve
                .retain(|(a, _)| routers.clone().any(|r| r == *a));
        }
        if !self.has_routers() && routers.clone().next().is_some() {
            self.active.clear();
            self.fallback = false;
        }
        for router in routers {
            if self.reserve.len() >= MAX_RESERVE {
                break;
            }
            if !self.knows(router) {
                self.reserve.push((router, Reserve::Unused));
            }
        }
        self.fill();
    }

    /// Makes whoever answered a multicast a target, if there is use for him. New ones are probed
    /// next. Where there are enough it takes the place of `silent`, if there is such a one.
    pub(super) fn offer_host(&mut self, address: IpAddr, silent: Option<IpAddr>) {
        let wanted = !self.named && (self.fallback || !self.has_routers());
        if !wanted || self.knows(address) {
            return;
        }
        if self.active.len() >= MAX_ACTIVE {
            self.active.retain(|target| Some(target.address) != silent);
        }
        if self.active.len() < MAX_ACTIVE {
            self.active.insert(0, Target::new(address, false));
        }
    }

    /// Looks for hosts although there is a router, which seems not to answer.
    pub(super) const fn seek_fallback(&mut self) {
        self.fallback = true;
    }

    /// A router answers: hosts are no longer needed in its place.
    pub(super) fn router_answered(&mut self) {
        if self.fallback {
            self.fallback = false;
            self.active.retain(|target| target.router);
        }
    }

    /// Forgets all hosts.
    pub(super) fn flush_hosts(&mut self) {
        self.fallback = false;
        self.active.retain(|target| target.router);
        self.fill();
    }

    /// Drops targets that turn out to be the host itself.
    pub(super) fn forget(&mut self, own: impl Fn(IpAddr) -> bool) {
        self.active.retain(|target| !own(target.address));
    }

    pub(super) fn reset_estimates(&mut self) {
        for target in &mut self.active {
            target.estimate = Estimate::default();
            target.answered = None;
        }
    }

    /// Stops probing a target that is `Slow` or `Dead`. Tells whether it was a host, so that another
    /// one must be looked for.
    pub(super) fn set_aside(&mut self, address: IpAddr, why: Reserve) -> bool {
        let Some(at) = self.active.iter().position(|t| t.address == address) else {
            return false;
        };
        let target = self.active.remove(at);
        if target.router {
            self.reserve.push((address, why));
        }
        self.fill();
        !target.router
    }

    /// Whether a target is the exception: it alone takes longer than half of `interval`, and there
    /// are enough others to judge by.
    pub(super) fn is_exception(&self, address: IpAddr, interval: Duration) -> bool {
        let others = self.active.iter().filter(|t| t.address != address);
        others.clone().count() >= MIN_OTHERS
            && others
                .filter_map(|target| target.estimate.critical())
                .all(|critical| critical <= interval / 2)
    }

    /// Gives routers that were set aside long enough another chance.
    pub(super) fn recover(&mut self, now: Time) {
        if self.reserve.is_empty() {
            return;
        }
        for (_, why) in &mut self.reserve {
            match *why {
                Reserve::Dead(since) if now.since(since) >= RECOVERY => *why = Reserve::Slow(now),
                Reserve::Slow(since) if now.since(since) >= RECOVERY => *why = Reserve::Unused,
                _ => {}
            }
        }
        self.fill();
    }

    fn knows(&self, address: IpAddr) -> bool {
        self.is_active(address) || self.reserve.iter().any(|(a, _)| *a == address)
    }

    /// Puts routers from the reserve to use: unused ones while there is room, and if nothing at all
    /// is left to probe then the slow and at last the dead ones, for there is nothing better.
    fn fill(&mut self) {
        let none_left = self.active.is_empty();
        while self.active.len() < MAX_ACTIVE && self.promote(|why| why == Reserve::Unused) {}
        if none_left {
            while self.active.len() < REFILL && self.promote(|why| matches!(why, Reserve::Slow(_)))
            {
            }
            while self.active.len() < REFILL && self.promote(|why| matches!(why, Reserve::Dead(_)))
            {
            }
        }
    }

    fn promote(&mut self, which: impl Fn(Reserve) -> bool) -> bool {
        let Some(at) = self.reserve.iter().position(|&(_, why)| which(why)) else {
            return false;
        };
        let (address, _) = self.reserve.remove(at);
        self.active.push(Target::new(address, true));
        true
    }
}
