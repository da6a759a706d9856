//! What detection is told, and what is kept of what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Engine, report};
use crate::detect::{Health, Watched};
use crate::kernel::{LinkKind, PROTOCOL, TABLE_MAIN, Via};
use crate::record::Cause;
use crate::{
    Action, Family, Flags, GroupName, InterfaceAddress, InterfaceName, MacAddress, Message, Time,
};

/// What was told and said before, so that it is told and said once.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    watched: BTreeMap<InterfaceName, Watched>,
    gateways: Vec<IpAddr>,
    own: Vec<IpAddr>,
    /// Groups that had failed when detection was last asked.
    failed_groups: BTreeSet<GroupName>,
    /// Until when members of a group that just recovered may follow its first one.
    recovering: BTreeMap<GroupName, Time>,
    /// Which member of a group has a hardware address by right, should another one have it too.
    rightful: BTreeMap<(GroupName, MacAddress), InterfaceName>,
    ambiguous: BTreeSet<(InterfaceName, IpAddr)>,
    lacking: BTreeSet<(InterfaceName, Family)>,
    across: BTreeSet<(InterfaceName, InterfaceName)>,
    only_standbys: BTreeSet<GroupName>,
}

impl Watch {
    /// Whether failed members of a group that just recovered may still follow its first one.
    pub(super) fn is_recovering(&self, now: Time, group: &GroupName) -> bool {
        self.recovering.get(group).is_some_and(|&until| until > now)
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.recovering.values().min().copied()
    }

    /// Ends waits for followers.
    pub(super) fn expire(&mut self, now: Time) {
        self.recovering.retain(|_, until| *until > now);
    }
}

impl Engine {
    /// Tells detection what there is to watch, and marks interfaces by what it says.
    pub(super) fn watch_all(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.find_oddities(actions);
        let watched = self.watched(actions);
        let (gateways, own) = (self.gateways(), self.own());
        if gateways != self.watch.gateways || own != self.watch.own {
            report(self.detection.routers(now, &gateways, &own), actions);
            self.watch.gateways = gateways;
            self.watch.own = own;
        }
        if watched != self.watch.watched {
            report(self.detection.watch(now, watched.clone()), actions);
            let before = std::mem::replace(&mut self.watch.watched, watched);
            self.announce_new_macs(now, &before);
        }
        self.find_recovered(now);
        self.mark(now);
        self.drop_stale_announcements();
    }

    /// Neighbours have the old hardware address of an interface that got another one.
    fn announce_new_macs(&mut self, now: Time, before: &BTreeMap<InterfaceName, Watched>) {
        let watched = self.watch.watched.iter();
        let changed: Vec<InterfaceName> = watched
            .filter(|(name, is)| {
                before
                    .get(*name)
                    .is_some_and(|was| was.index == is.index && was.mac != is.mac)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in &changed {
            self.announce_all(now, name);
        }
    }

    /// Gives members of a group whose first one works again the time to follow, whichever way it was
    /// found: probes may have ended the group's failure since this was last asked.
    fn find_recovered(&mut self, now: Time) {
        let groups = self.groups();
        let failed: BTreeSet<GroupName> = groups
            .iter()
            .filter(|group| self.detection.is_group_failed(group))
            .cloned()
            .collect();
        let before = std::mem::replace(&mut self.watch.failed_groups, failed);
        for group in before {
            if groups.contains(&group) && !self.watch.failed_groups.contains(&group) {
                let until = now + self.detection.failure_detection_time(Some(&group));
                self.watch.recovering.insert(group, until);
            }
        }
    }

    /// What has left a link, or is about to, is not announced there any more.
    fn drop_stale_announcements(&mut self) {
        if self.announcements.next_deadline().is_none() {
            return;
        }
        let placed: BTreeSet<(u32, IpAddr)> = self
            .asked
            .logicals
            .iter()
            .filter(|logical| self.is_effectively_up(logical))
            .filter_map(|logical| {
                let link = self.link(&self.place_of(logical).interface)?;
                Some((link.index, logical.address.ip))
            })
            .collect();
        self.announcements
            .retain(|index, ip| placed.contains(&(index, ip)));
    }

    /// Sets and clears the mark of failed interfaces.
    fn mark(&mut self, now: Time) {
        let names: Vec<InterfaceName> = self.watch.watched.keys().cloned().collect();
        for name in names {
            match self.detection.health(&name) {
                Some(Health::Failed) => {
                    self.failed.insert(name);
                }
                Some(Health::Ok | Health::NoTargets) if self.failed.remove(&name) => {
                    self.announce_all(now, &name);
                }
                Some(Health::Ok | Health::NoTargets) | None => {}
            }
        }
        let mut failed = std::mem::take(&mut self.failed);
        failed.retain(|name| {
            let is_absent = self.link(name).is_none();
            self.watch.watched.contains_key(name)
                || (is_absent && self.asked.interfaces.contains_key(name))
        });
        self.failed = failed;
        for name in &self.failed {
            match self.detection.declared(name).map(|declared| declared.cause) {
                Some(Cause::ProbesLost) => {
                    self.silent.insert(name.clone());
                }
                // It was so before, and nothing is known of one that is absent.
                Some(Cause::FailedBefore) | None => {}
                Some(_) => {
                    self.silent.remove(name);
                }
            }
        }
        self.silent.retain(|name| self.failed.contains(name));
    }

    /// An interface tells its neighbours again what it has: after its repair they may have forgotten.
    pub(super) fn announce_all(&mut self, now: Time, name: &InterfaceName) {
        if let Some(index) = self.link(name).map(|link| link.index) {
            let logicals = self.asked.logicals.iter();
            let there: Vec<IpAddr> = logicals
                .filter(|logical| self.place_of(logical).interface == *name && logical.is_up())
                .map(|logical| logical.address.ip)
                .collect();
            for ip in there {
                self.announce(now, index, ip);
            }
        }
    }

    pub(super) fn groups(&self) -> BTreeSet<GroupName> {
        self.asked
            .interfaces
            .values()
            .filter_map(|interface| interface.group.clone())
            .collect()
    }

    /// Whether detection is to watch an interface.
    pub(super) fn is_tracked(&self, name: &InterfaceName) -> bool {
        let Some(interface) = self.asked.interfaces.get(name) else {
            return false;
        };
        let groupable = self.link(name).is_some_and(Self::is_groupable);
        groupable && (interface.group.is_some() || !self.settings.track_only_groups)
    }

    fn watched(&mut self, actions: &mut Vec<Action>) -> BTreeMap<InterfaceName, Watched> {
        let subnets = self.subnets();
        let link_locals = self.link_locals();
        let mut watched = BTreeMap::new();
        for (name, interface) in &self.asked.interfaces {
            let Some(link) = self.link(name).filter(|_| self.is_tracked(name)) else {
                continue;
            };
            // What it found out itself is no news to detection: it would judge everybody anew for that.
            let known = self.watch.watched.get(name);
            let known =
                known.filter(|known| (known.index, &known.group) == (link.index, &interface.group));
            let (failed, silent) = known.map_or_else(
                || (self.failed.contains(name), self.silent.contains(name)),
                |known| (known.failed, known.silent),
            );
            let entry = Watched {
                index: link.index,
                group: interface.group.clone(),
                running: link.is_running(),
                offline: self.is_offline(name),
                inactive: self.is_inactive(name),
                standby: interface.standby,
                test: [
                    self.test_address(name, Family::Inet),
                    self.test_address(name, Family::Inet6),
                ],
                mac: link.mac,
                link_local: link_locals.get(&link.index).copied(),
                subnets: subnets.get(&self.domain(name)).cloned().unwrap_or_default(),
                failed,
                silent,
            };
            watched.insert(name.clone(), entry);
        }
        self.disable_ambiguous(&mut watched, actions);
        watched
    }

    /// Whose addresses are one interface's concern: its group's, or its own if it has none.
    fn domain(&self, name: &InterfaceName) -> Result<GroupName, InterfaceName> {
        self.group_of(name).cloned().ok_or_else(|| name.clone())
    }

    /// Subnets of the addresses in use, of each group and of each interface outside groups.
    fn subnets(&self) -> BTreeMap<Result<GroupName, InterfaceName>, Vec<InterfaceAddress>> {
        let mut subnets: BTreeMap<_, BTreeSet<InterfaceAddress>> = BTreeMap::new();
        for logical in &self.asked.logicals {
            let is_alone = logical.address.prefix == logical.family().bits();
            if logical.is_up() && !logical.address.is_link_local6() && !is_alone {
                let subnets = subnets.entry(self.domain(&logical.home.interface));
                subnets.or_default().insert(logical.address.subnet());
            }
        }
        let vectors = subnets.into_iter();
        vectors
            .map(|(domain, subnets)| (domain, subnets.into_iter().collect()))
            .collect()
    }

    /// An IPv6 link-local address of each link that has one.
    fn link_locals(&self) -> BTreeMap<u32, IpAddr> {
        let addresses = self.kernel.addresses.keys().rev();
        addresses
            .filter(|(_, address)| address.is_link_local6())
            .map(|(index, address)| (*index, address.ip))
            .collect()
    }

    /// The address probes of an interface are sent from: in use, not movable, IPv4 rather a
    /// deprecated one, IPv6 rather link-local and rather not deprecated.
    fn test_address(&self, name: &InterfaceName, family: Family) -> Option<InterfaceAddress> {
        self.homed(name)
            .filter(|logical| logical.family() == family)
            .filter(|logical| {
                let unfit = Flags::NOXMIT | Flags::NOLOCAL;
                self.is_effectively_up(logical)
                    && logical.flags.contains(Flags::NOFAILOVER)
                    && (logical.flags & unfit) == Flags::NONE
            })
            .min_by_key(|logical| {
                let deprecated = logical.flags.contains(Flags::DEPRECATED);
                match family {
                    Family::Inet => (false, !deprecated, logical.home.unit),
                    Family::Inet6 => (
                        !logical.address.is_link_local6(),
                        deprecated,
                        logical.home.unit,
                    ),
                }
            })
            .map(|logical| logical.address)
    }

    /// Takes away test addresses that two members of a group have in common, as link-local ones of
    /// equal hardware addresses are.
    fn disable_ambiguous(
        &mut self,
        watched: &mut BTreeMap<InterfaceName, Watched>,
        actions: &mut Vec<Action>,
    ) {
        let mut users: BTreeMap<(Option<GroupName>, IpAddr), Vec<InterfaceName>> = BTreeMap::new();
        for (name, entry) in watched.iter() {
            for address in entry.test.iter().flatten() {
                users
                    .entry((entry.group.clone(), address.ip))
                    .or_default()
                    .push(name.clone());
            }
        }
        let ambiguous: BTreeSet<(InterfaceName, IpAddr)> = users
            .into_iter()
            .filter(|((group, _), names)| group.is_some() && names.len() > 1)
            .flat_map(|((_, ip), names)| names.into_iter().map(move |name| (name, ip)))
            .collect();
        for (name, ip) in &ambiguous {
            if let Some(entry) = watched.get_mut(name) {
                for test in &mut entry.test {
                    if test.is_some_and(|address| address.ip == *ip) {
                        *test = None;
                    }
                }
            }
        }
        let known = std::mem::replace(&mut self.watch.ambiguous, ambiguous.clone());
        for (interface, address) in ambiguous.difference(&known).cloned() {
            actions.push(Action::Log(Message::TestAddressNotUnique {
                address,
                interface,
            }));
        }
        for (interface, address) in known.difference(&ambiguous).cloned() {
            actions.push(Action::Log(Message::TestAddressUnique {
                address,
                interface,
            }));
        }
    }

    /// Gateways of all routes of the main table that are not ours, those of host routes first: these are
    /// how administrators name targets.
    fn gateways(&self) -> Vec<IpAddr> {
        let kept = self.shadows.routes().map(|(_, route)| route);
        let mut routes: Vec<_> = self
            .kernel
            .routes
            .iter()
            .filter(|route| route.protocol != PROTOCOL)
            .chain(kept)
            .filter(|route| route.table == TABLE_MAIN)
            .filter_map(|route| match route.via {
                Via::Link {
                    gateway: Some(gateway),
                    ..
                } => {
                    let is_host = route.destination.prefix == route.destination.family().bits();
                    Some((!is_host, gateway))
                }
                _ => None,
            })
            .collect();
        routes.sort();
        routes.dedup();
        let mut seen = BTreeSet::new();
        routes
            .into_iter()
            .map(|(_, gateway)| gateway)
            .filter(|ip| seen.insert(*ip))
            .collect()
    }

    fn own(&self) -> Vec<IpAddr> {
        let addresses = self.kernel.addresses.keys().map(|(_, address)| address.ip);
        let mut own: Vec<IpAddr> = addresses
            .chain(self.asked.logicals.iter().map(|l| l.address.ip))
            .collect();
        own.sort();
        own.dedup();
        own
    }

    /// Puts out of service all but one of the members with the same hardware address: neither ARP nor
    /// switches can tell them apart. The one that had the address before its twins goes on working,
    /// unless its link does not run and a twin's does.
    pub(super) fn find_duplicates(&mut self, actions: &mut Vec<Action>) {
        let mut holders: BTreeMap<(GroupName, MacAddress), Vec<(bool, &InterfaceName)>> =
            BTreeMap::new();
        for (name, interface) in &self.asked.interfaces {
            if let (Some(group), Some(link)) = (&interface.group, self.link(name))
                && let Some(mac) = link.mac
            {
                let holders = holders.entry((group.clone(), mac)).or_default();
                holders.push((link.is_running(), name));
            }
        }
        let mut rightful = BTreeMap::new();
        let mut duplicates = BTreeMap::new();
        for (key, holders) in holders {
            let incumbent = self.watch.rightful.get(&key);
            let first = holders
                .iter()
                .min_by_key(|&&(runs, name)| (!runs, incumbent != Some(name), name));
            let Some(&(_, first)) = first else {
                continue;
            };
            let others = holders.iter().filter(|(_, name)| *name != first);
            duplicates.extend(others.map(|&(_, name)| (name.clone(), first.clone())));
            rightful.insert(key, first.clone());
        }
        self.watch.rightful = rightful;
        for (interface, twin) in &duplicates {
            if !self.duplicates.contains_key(interface) {
                let (interface, twin) = (interface.clone(), twin.clone());
                actions.push(Action::Log(Message::DuplicateMac { interface, twin }));
            }
        }
        for interface in self.duplicates.keys() {
            if !duplicates.contains_key(interface) {
                self.returning.insert(interface.clone());
                actions.push(Action::Log(Message::UniqueMac {
                    interface: interface.clone(),
                }));
            }
        }
        self.duplicates = duplicates;
    }

    /// Says what looks like a mistake, once each.
    fn find_oddities(&mut self, actions: &mut Vec<Action>) {
        let lacking = self.lacking();
        let across = self.across();
        let only_standbys = self.only_standbys();
        for (interface, family) in lacking.difference(&self.watch.lacking) {
            if let Some(group) = self.group_of(interface).cloned() {
                let (interface, family) = (interface.clone(), *family);
                actions.push(Action::Log(Message::FamilyMissing {
                    interface,
                    group,
                    family,
                }));
            }
        }
        for (interface, family) in self.watch.lacking.difference(&lacking) {
            if let Some(group) = self.group_of(interface).cloned() {
                let (interface, family) = (interface.clone(), *family);
                actions.push(Action::Log(Message::FamilyConsistent {
                    interface,
                    group,
                    family,
                }));
            }
        }
        for (interface, other) in across.difference(&self.watch.across).cloned() {
            actions.push(Action::Log(Message::SubnetAcrossGroups {
                interface,
                other,
            }));
        }
        for group in only_standbys.difference(&self.watch.only_standbys).cloned() {
            actions.push(Action::Log(Message::OnlyStandbys { group }));
        }
        self.watch.lacking = lacking;
        self.watch.across = across;
        self.watch.only_standbys = only_standbys;
    }

    fn lacking(&self) -> BTreeSet<(InterfaceName, Family)> {
        let mut lacking = BTreeSet::new();
        for group in self.groups() {
            let members = || {
                self.asked
                    .interfaces
                    .iter()
                    .filter(|(_, i)| i.group.as_ref() == Some(&group))
            };
            for family in Family::ALL {
                if members().any(|(_, interface)| interface.families.contains(&family)) {
                    lacking.extend(
                        members()
                            .filter(|(_, interface)| !interface.families.contains(&family))
                            .map(|(name, _)| (name.clone(), family)),
                    );
                }
            }
        }
        lacking
    }

    /// Pairs of interfaces with addresses in use on one subnet that are not in one group, at least
    /// one of them in some group.
    fn across(&self) -> BTreeSet<(InterfaceName, InterfaceName)> {
        let mut by_subnet: BTreeMap<InterfaceAddress, BTreeSet<&InterfaceName>> = BTreeMap::new();
        for logical in &self.asked.logicals {
            let is_loopback = self
                .link(&logical.home.interface)
                .is_some_and(|link| link.kind == LinkKind::Loopback);
            if logical.is_up() && !logical.address.is_link_local6() && !is_loopback {
                let names = by_subnet.entry(logical.address.subnet()).or_default();
                names.insert(&logical.home.interface);
            }
        }
        let mut pairs = BTreeSet::new();
        for names in by_subnet.values() {
            for one in names {
                for other in names.range::<InterfaceName, _>((
                    std::ops::Bound::Excluded(*one),
                    std::ops::Bound::Unbounded,
                )) {
                    if self.group_of(one) != self.group_of(other) {
                        pairs.insert(((*one).clone(), (*other).clone()));
                    }
                }
            }
        }
        pairs
    }

    fn only_standbys(&self) -> BTreeSet<GroupName> {
        self.groups()
            .into_iter()
            .filter(|group| {
                self.asked
                    .interfaces
                    .values()
                    .filter(|interface| interface.group.as_ref() == Some(group))
                    .all(|interface| interface.standby)
            })
            .collect()
    }
}
