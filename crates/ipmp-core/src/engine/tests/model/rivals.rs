//! What must be so among other hosts that want our addresses, beside what must be so anyway.
//!
//! It is reckoned from what the kernel held and what other hosts had, not from what the engine believes:
//!
//! * what was in service is not withheld, whoever claims it, until it is asked for no more;
//! * a claim alone moves nothing;
//! * what another host has, as one can hear, is not brought up;
//! * asking is over within a moment, and what is withheld after that somebody has, or had until minutes ago;
//! * a link is waited for where none runs, and for so long.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::super::host::Host;
use super::Step;
use crate::asked::Logical;
use crate::{InterfaceName, Time};

/// How long asking takes at most while enquiries leave.
pub(super) const ASKING: Duration = Duration::from_millis(200);

/// How long a link is waited for at most after it was put up.
const WAITING: Duration = Duration::from_secs(5);

/// How long an address is left alone at most that another host had: the longest pause, and one for want of
/// a link.
const LEFT_ALONE: Duration = Duration::from_secs(5 * 60 + 10 + 1);

/// What was before a step.
#[derive(Default)]
pub(super) struct Rivals {
    /// Addresses that are in service.
    served: BTreeSet<IpAddr>,
    /// When another host had an address last, or nobody could be asked for it.
    had: BTreeMap<IpAddr, Time>,
    /// Addresses that others have and we can hear that they have, none of them in the kernel.
    denied: BTreeSet<IpAddr>,
    /// Addresses that wait for a link.
    waiting: BTreeSet<IpAddr>,
    /// Operations until then, if the kernel does all that it is told.
    operations: Option<usize>,
}

impl Rivals {
    /// Takes note of what is before a step.
    pub(super) fn before(&mut self, host: &Host) {
        self.operations = super::is_undisturbed(host).then_some(host.operations.len());
        self.denied.clear();
        if !host.settings.duplicate_address_detection {
            return;
        }
        let engine = &host.engine;
        for ip in host.rivals.keys() {
            let is_held = host.kernel.addresses.keys().any(|(_, held)| held.ip == *ip);
            let mut asked = engine.asked.logicals.iter();
            let is_free = asked.any(|logical| {
                logical.address.ip == *ip && logical.is_up() && !engine.is_withheld(logical)
            });
            if !is_held && !is_free && !engine.conflicts.is_asking(*ip) && is_all_heard(host) {
                self.denied.insert(*ip);
            }
        }
    }

    /// Asserts what must be so right after a step, before time passes.
    pub(super) fn right_after(&mut self, host: &Host, step: &Step) {
        if !host.settings.duplicate_address_detection {
            *self = Self::default();
            return;
        }
        if let (Step::Rival(..), Some(operations)) = (step, self.operations) {
            assert_eq!(
                host.operations.get(operations..),
                Some(&[][..]),
                "for a claim"
            );
        }
        if let Step::Kill { .. } = step {
            // The next daemon knows what the kernel held when it came.
            let held = held(host);
            self.served.retain(|ip| held.contains(ip));
        }
        let up = || up(host);
        self.served
            .retain(|ip| up().any(|logical| logical.address.ip == *ip));
        self.are_served(host);
        let is_quiet = matches!(
            step,
            Step::Type(_)
                | Step::Pass(_)
                | Step::Failback(_)
                | Step::Refuse(_)
                | Step::Fail(_)
                | Step::Permit
                | Step::Rival(..)
        );
        if !is_quiet || !is_all_heard(host) {
            self.denied.clear();
        }
        self.denied.retain(|ip| host.rivals.contains_key(ip));
        self.are_denied(host);
    }

    /// Asserts what must be so when nobody is being asked any more.
    pub(super) fn after(&mut self, host: &mut Host) {
        if !host.settings.duplicate_address_detection {
            return;
        }
        // One step comes amid the waiting, not more of them, as any may put up another link. So may the engine
        // itself where it could not before.
        let waiting = waiting(host);
        if !waiting.is_disjoint(&self.waiting) && super::is_undisturbed(host) {
            host.pass(WAITING);
            assert!(waiting.is_disjoint(&self::waiting(host)), "{waiting:?}");
        }
        self.waiting = self::waiting(host);
        self.are_served(host);
        self.are_denied(host);
        let engine = &host.engine;
        let mut had = BTreeMap::new();
        for logical in up(host) {
            let ip = logical.address.ip;
            let place = engine.place_of(logical).interface;
            let can_be_asked = engine.is_asked_for(logical)
                && engine.link(&place).is_some()
                && near(host, logical).any(|runs| runs);
            let is_taken = host.rivals.contains_key(&ip) || !can_be_asked;
            let last = Some(host.now).filter(|_| is_taken);
            let last = last.or_else(|| self.had.remove(&ip));
            if engine.is_withheld(logical) {
                let is_fair = last.is_some_and(|last| host.now.since(last) <= LEFT_ALONE);
                assert!(
                    is_fair || engine.conflicts.is_asking(ip),
                    "{ip} is withheld"
                );
            }
            had.extend(last.map(|last| (ip, last)));
        }
        self.had = had;
        self.served.extend(held(host));
    }

    /// All other hosts have gone.
    pub(super) fn left(&mut self) {
        self.denied.clear();
    }

    fn are_served(&self, host: &Host) {
        for logical in up(host) {
            let ip = logical.address.ip;
            let is_withheld = self.served.contains(&ip) && host.engine.is_withheld(logical);
            assert!(!is_withheld, "{ip} was in service, and is withheld");
        }
    }

    fn are_denied(&self, host: &Host) {
        for logical in up(host) {
            let ip = logical.address.ip;
            let is_brought_up = self.denied.contains(&ip) && !host.engine.is_withheld(logical);
            assert!(!is_brought_up, "{ip} is brought up, and another host's");
        }
    }
}

/// Addresses that others will be asked for when a link runs, one of which may in a moment.
pub(super) fn waiting(host: &Host) -> BTreeSet<IpAddr> {
    let mut waiting = BTreeSet::new();
    for logical in &host.engine.asked.logicals {
        let ip = logical.address.ip;
        if host.engine.conflicts.is_asking(ip) && !near(host, logical).any(|runs| runs) {
            waiting.insert(ip);
        }
    }
    waiting
}

/// Logicals that are asked up and that others can be asked for.
fn up(host: &Host) -> impl Iterator<Item = &Logical> {
    let asked = host.engine.asked.logicals.iter();
    asked.filter(|logical| {
        let address = logical.address;
        logical.is_up() && !address.is_link_local6() && !address.ip.is_unspecified()
    })
}

/// Addresses asked up that the kernel holds where they may be.
fn held(host: &Host) -> BTreeSet<IpAddr> {
    let held = up(host).filter(|logical| !super::holders(host, logical).is_empty());
    held.map(|logical| logical.address.ip).collect()
}

/// Whether each link runs on which others may be asked for an address.
fn near<'h>(host: &'h Host, logical: &'h Logical) -> impl Iterator<Item = bool> {
    let home = &logical.home.interface;
    let group = host.engine.group_of(home);
    let is_near = move |name: &InterfaceName| {
        let interface = host.engine.asked.interfaces.get(name);
        let is_of_family =
            |interface: &crate::asked::Interface| interface.families.contains(&logical.family());
        name == home
            || group.is_some()
                && host.engine.group_of(name) == group
                && interface.is_some_and(is_of_family)
    };
    let links = host.kernel.links.values();
    let links = links.filter(move |link| is_near(&link.name));
    links.map(crate::kernel::Link::is_running)
}

/// Whether all interfaces are there and run, and whatever is said on them is heard.
fn is_all_heard(host: &Host) -> bool {
    let mut names = host.engine.asked.interfaces.keys();
    host.silent.is_empty()
        && names.all(|name| {
            let link = host.kernel.link(name);
            link.is_some_and(crate::kernel::Link::is_running)
        })
}
