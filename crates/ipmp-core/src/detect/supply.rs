//! Supplying probers with targets: those named by the administrator, routers from the routing table,
//! hosts from each other and from the kernel's neighbour tables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::means::Means;
use super::member::Member;
use super::prober::Prober;
use super::{Detection, Finding, Neighbour};
use crate::{Family, GroupName, InterfaceName, Time};

impl Detection {
    /// Gives every member the probers that its means of probing need, and those their targets.
    pub(super) fn renew_probers(&mut self, now: Time) {
        let mut renewed = false;
        for (name, member) in self.members.iter_mut() {
            let Member {
                watched, probers, ..
            } = member;
            let settings = self.settings.of(watched.group.as_ref());
            for ((number, family), prober) in (0..).zip(Family::ALL).zip(probers.iter_mut()) {
                let means = Means::of(watched, family, settings.probe);
                let known = prober.as_ref().map(Prober::means);
                if known == means.as_ref() {
                    continue;
                }
                renewed = true;
                match (prober.as_mut(), means) {
                    (Some(prober), Some(means)) if means.continues(prober.means()) => {
                        prober.set_means(means);
                    }
                    (_, Some(means)) => {
                        // Two numbers for each link, one for each family.
                        let number = watched.index.wrapping_mul(2).wrapping_add(number);
                        let [.., high, low] = number.to_be_bytes();
                        let identifier = self
                            .identifiers
                            .wrapping_add(u16::from_be_bytes([high, low]));
                        let mut new = Prober::new(now, identifier, means, settings.quiet_period);
                        new.tell(self.tells);
                        if let Some(old) = prober.replace(new) {
                            self.past.take(name, family, old.tally());
                        }
                    }
                    (_, None) => {
                        if let Some(old) = prober.take() {
                            self.past.take(name, family, old.tally());
                        }
                    }
                }
            }
        }
        if renewed {
            self.retarget();
            self.share_hosts();
        }
    }

    /// Takes who is on which link by the kernel's neighbour tables: possible targets for all members
    /// of the groups that these links are in.
    pub fn neighbours(&mut self, neighbours: &[Neighbour]) {
        let group_of: BTreeMap<u32, Option<&GroupName>> = self
            .members
            .values()
            .map(|member| (member.watched.index, member.watched.group.as_ref()))
            .collect();
        let mut known: BTreeMap<Option<GroupName>, BTreeSet<(u32, IpAddr)>> = BTreeMap::new();
        for neighbour in neighbours {
            if let Some(group) = group_of.get(&neighbour.index)
                && !self.own.contains(&neighbour.address)
            {
                let known = known.entry(group.cloned()).or_default();
                known.insert((neighbour.index, neighbour.address));
            }
        }
        for member in self.members.values_mut() {
            let Some(known) = known.get(&member.watched.group) else {
                continue;
            };
            let index = member.watched.index;
            let everywhere = member.watched.group.is_some();
            let addresses: BTreeSet<IpAddr> = known
                .iter()
                .filter(|(on, _)| everywhere || *on == index)
                .map(|(_, address)| *address)
                .collect();
            for prober in member.probers_mut() {
                prober.set_candidates(addresses.iter().copied());
            }
        }
    }

    /// Asks for the neighbour tables of groups whose members look for hosts.
    pub(super) fn look_for_neighbours(&mut self, findings: &mut Vec<Finding>) {
        let mut links = BTreeSet::new();
        let mut groups = BTreeSet::new();
        for member in self.members.values_mut() {
            // All probers are asked, each for itself.
            let looks = member
                .probers_mut()
                .fold(false, |looks, prober| prober.take_look() | looks);
            if looks {
                links.insert(member.watched.index);
                groups.extend(member.watched.group.clone());
            }
        }
        if links.is_empty() {
            return;
        }
        for member in self.members.values() {
            if member
                .watched
                .group
                .as_ref()
                .is_some_and(|g| groups.contains(g))
            {
                links.insert(member.watched.index);
            }
        }
        findings.push(Finding::ReadNeighbours(links.into_iter().collect()));
    }

    /// Gives every prober its routers. While a group is dark the routing table may be a consequence
    /// of that, so routers that vanish from it stay targets.
    pub(super) fn retarget(&mut self) {
        let gateways: &[IpAddr] = if self.settings.multicast_targets_only {
            &[]
        } else {
            &self.gateways
        };
        for member in self.members.values_mut() {
            let keep = self
                .groups
                .get(&member.watched.group)
                .is_some_and(|group| group.failed.is_some())
                && !self.settings.multicast_targets_only;
            let named = &self.settings.of(member.watched.group.as_ref()).targets;
            for prober in member.probers_mut() {
                let family = prober.means().family();
                let is_named = named.iter().any(|target| Family::of(*target) == family);
                let wanted = if is_named { named } else { gateways };
                let routers: Vec<_> = wanted
                    .iter()
                    .copied()
                    .filter(|target| prober.means().reaches(*target))
                    .filter(|target| !self.own.contains(target))
                    .collect();
                let keep = keep && !is_named && !prober.targets.are_named();
                prober.targets.forget(|address| self.own.contains(&address));
                prober.targets.set_named(is_named);
                prober.targets.set_routers(routers.into_iter(), keep);
            }
        }
    }

    /// Lets probers that have no target begin with the hosts that other members of the group know.
    fn share_hosts(&mut self) {
        let known: Vec<_> = self
            .members
            .values()
            .flat_map(|member| {
                let hosts = member.probers().flat_map(|prober| prober.targets.hosts());
                hosts.map(|host| (member.watched.group.clone(), host))
            })
            .filter(|(group, _)| group.is_some())
            .collect();
        for member in self.members.values_mut() {
            let group = member.watched.group.clone();
            for prober in member.probers_mut().filter(|prober| !prober.is_capable()) {
                for (_, host) in known.iter().filter(|(of, _)| *of == group) {
                    if prober.means().reaches(*host) {
                        prober.offer_host(*host, false);
                    }
                }
            }
        }
    }

    /// Offers a host that answered on `interface` to all members of its group.
    pub(super) fn offer_host(
        &mut self,
        interface: &InterfaceName,
        group: Option<&GroupName>,
        host: IpAddr,
    ) {
        if self.own.contains(&host) {
            return;
        }
        for (name, member) in self.members.iter_mut() {
            let concerned =
                name == interface || (group.is_some() && member.watched.group.as_ref() == group);
            let is_marked = member.is_marked();
            for prober in member.probers_mut().filter(|_| concerned) {
                if prober.means().reaches(host) {
                    prober.offer_host(host, is_marked);
                }
            }
        }
    }
}
