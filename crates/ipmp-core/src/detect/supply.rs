//! Supplying probers with targets: routers from the routing table, hosts from each other.

use std::net::IpAddr;

use super::Detection;
use super::member::Member;
use super::prober::Prober;
use crate::{GroupName, InterfaceName, Time};

impl Detection {
    /// Gives every member the probers that its test addresses need, and those their targets.
    pub(super) fn renew_probers(&mut self, now: Time) {
        let mut renewed = false;
        for member in self.members.values_mut() {
            let Member {
                watched, probers, ..
            } = member;
            for (family, (prober, test)) in (0..).zip(probers.iter_mut().zip(&watched.test)) {
                if prober.as_ref().map(Prober::test) != *test {
                    // Two numbers for each link, one for each family.
                    let number = watched.index.wrapping_mul(2).wrapping_add(family);
                    let [.., high, low] = number.to_be_bytes();
                    let identifier = self
                        .identifiers
                        .wrapping_add(u16::from_be_bytes([high, low]));
                    *prober = test.map(|test| Prober::new(now, watched.index, identifier, test));
                    renewed = true;
                }
            }
        }
        if renewed {
            self.retarget();
            self.share_hosts();
        }
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
            for prober in member.probers_mut() {
                let routers: Vec<_> = gateways
                    .iter()
                    .copied()
                    .filter(|&gateway| prober.may_answer(gateway))
                    .collect();
                prober.targets.forget(|address| self.own.contains(&address));
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
                    if prober.may_answer(*host) {
                        prober.targets.offer_host(*host);
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
        for (name, member) in &mut self.members {
            let concerned =
                name == interface || (group.is_some() && member.watched.group.as_ref() == group);
            for prober in member.probers_mut().filter(|_| concerned) {
                if prober.may_answer(host) {
                    prober.targets.offer_host(host);
                }
            }
        }
    }
}
