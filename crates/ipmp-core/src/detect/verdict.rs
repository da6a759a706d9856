//! Who is to blame: one interface, or nobody because all lost their targets at once.

use std::collections::BTreeSet;

use super::group::Blackout;
use super::member::{Cause, Member, Turn};
use super::{Detection, Finding};
use crate::message::Message;
use crate::{GroupName, InterfaceName, Time};

/// Who or what is to blame for a loss.
enum Blame {
    /// Nobody: it is known, or does not count any more.
    Nobody,
    /// Targets that are there, and answer no echo requests.
    Echoes,
    /// Hosts that were found for a group and may be gone, all of them.
    Hosts(GroupName),
    /// The interface alone. Of one whose group has failed it `is_told` no more.
    Interface { is_told: bool },
    /// All interfaces of its group.
    Group(GroupName, Blackout),
}

impl Detection {
    /// Draws the consequences of what members found out about themselves, and says them.
    pub(super) fn settle(
        &mut self,
        now: Time,
        turns: &[(InterfaceName, Turn)],
        findings: &mut Vec<Finding>,
    ) {
        // Links that went down together are all down before anybody is asked for testimony.
        for (name, _) in turns.iter().filter(|(_, turn)| *turn == Turn::LinkLost) {
            if let Some(member) = self.members.get_mut(name) {
                member.mark(now, Cause::Link);
            }
        }
        let mut mended: Vec<_> = turns
            .iter()
            .filter(|(_, turn)| *turn == Turn::Mended)
            .map(|(name, _)| name.clone())
            .collect();
        for name in &mended {
            if let Some(member) = self.members.get_mut(name) {
                member.unmark();
            }
        }
        for (name, turn) in turns {
            let (since, blame) = match *turn {
                Turn::LinkLost | Turn::Marked => (None, self.who_is_to_blame(name, None)),
                Turn::ProbesLost(since) => (Some(since), self.who_is_to_blame(name, Some(since))),
                Turn::HostsLost(since) => (None, self.who_fell_silent(name, since)),
                Turn::Mended | Turn::Asks => continue,
            };
            match blame {
                Blame::Nobody => {}
                Blame::Echoes => self.acquit(name, findings),
                Blame::Hosts(group) => mended.extend(self.forget_hosts(now, &group, findings)),
                Blame::Interface { is_told } => self.fail(now, name, since, is_told, findings),
                Blame::Group(group, how) => self.black_out(now, &group, how, findings),
            }
        }
        for group in self.review_groups(findings) {
            for member in self.members.of_mut(&group) {
                member.set_dark(false);
            }
            mended.extend(self.repaired_by_links(now, &group));
        }
        for interface in mended {
            let member = self.members.get(&interface);
            // All may have failed in the moment in which this one was repaired.
            let Some(member) = member.filter(|member| !member.is_marked()) else {
                continue;
            };
            let group = member.watched.group.clone();
            findings.push(Finding::Say(Message::NicRepaired { interface, group }));
        }
    }

    /// Decides who is to blame for what an interface lost. `since` is when the loss of its probes began;
    /// without it the interface is marked already.
    fn who_is_to_blame(&self, interface: &InterfaceName, since: Option<Time>) -> Blame {
        let Some(member) = self.members.get(interface) else {
            return Blame::Nobody;
        };
        // With all others, a moment ago.
        if since.is_some() && (member.is_marked() || !member.loses_probes()) {
            return Blame::Nobody;
        }
        let key = &member.watched.group;
        let others = || {
            let others = self.members.iter().filter(|(other, member)| {
                *other != interface && key.is_some() && member.watched.group == *key
            });
            others.map(|(_, member)| member)
        };
        let heard_by_others = others().any(|member| member.witness().contradicts(since));
        // Of a limit of echoes one that is marked may have had its share.
        let hears = |member: &Member| member.works() && member.witness().contradicts(since);
        if let Some(since) = since
            && !others().any(hears)
            && member.hears_neighbours(since)
        {
            return Blame::Echoes;
        }
        // Where echoes are limited nobody may have heard one since then. Who hears the link layer, where
        // this one does not even do that, works.
        let is_only_here = heard_by_others
            || since.is_some_and(|since| others().any(|member| member.hears_neighbours(since)));
        let group = key.as_ref().filter(|_| !member.watched.offline);
        let Some(group) = group else {
            return Blame::Interface { is_told: true };
        };
        if since.is_some() && !is_only_here && self.may_lack_hosts(group) {
            return Blame::Hosts(group.clone());
        }
        if self.is_group_failed(group) {
            return Blame::Interface { is_told: false };
        }
        if is_only_here {
            return Blame::Interface { is_told: true };
        }
        let how = since.map_or(Blackout::Links, |_| Blackout::Targets);
        Blame::Group(group.clone(), how)
    }

    /// Decides whether anything follows from the silence of hosts since `since`, of an interface that is marked
    /// already: where no member works, those hosts may be all that keeps them from it.
    fn who_fell_silent(&self, interface: &InterfaceName, since: Time) -> Blame {
        let member = self.members.get(interface);
        let Some(group) = member.and_then(|member| member.watched.group.as_ref()) else {
            return Blame::Nobody;
        };
        let mut members = self.of_group(group);
        let is_heard =
            members.any(|member| member.works() || member.witness().contradicts(Some(since)));
        if is_heard || !self.may_lack_hosts(group) {
            return Blame::Nobody;
        }
        Blame::Hosts(group.clone())
    }

    /// Whether the silence of all members of a group may come from this alone: the hosts that were found for
    /// them are gone. Nobody has named targets, and of one member nobody even asked that it be probed.
    fn may_lack_hosts(&self, group: &GroupName) -> bool {
        let hearing = || self.of_group(group).filter(|member| member.may_hear());
        !hearing().any(Member::probes_routers) && hearing().any(Member::probes_unasked)
    }

    fn of_group<'m>(&'m self, group: &'m GroupName) -> impl Iterator<Item = &'m Member> {
        let members = self.members.values();
        members.filter(move |member| member.watched.group.as_ref() == Some(group))
    }

    /// Lets all members of a group look for other hosts; those that their links repair by that.
    fn forget_hosts(
        &mut self,
        now: Time,
        group: &GroupName,
        findings: &mut Vec<Finding>,
    ) -> Vec<InterfaceName> {
        let state = self.groups.get_mut(&Some(group.clone()));
        if state.is_some_and(|state| state.tells_of_hosts(now)) {
            let group = group.clone();
            findings.push(Finding::Say(Message::HostsSilent { group }));
        }
        for member in self.members.of_mut(group) {
            member.forget_hosts();
        }
        self.repaired_by_links(now, group)
    }

    /// Repairs members of a group whose links decide about that by now.
    fn repaired_by_links(&mut self, now: Time, group: &GroupName) -> Vec<InterfaceName> {
        let key = Some(group.clone());
        let settings = self.settings.of(key.as_ref());
        let mut repaired = Vec::new();
        for (name, member) in self.members.iter_mut() {
            if member.watched.group == key && member.judge_repair(now, settings).is_some() {
                member.unmark();
                repaired.push(name.clone());
            }
        }
        repaired
    }

    /// Drops a suspicion, as targets are to blame that answer on the link layer only.
    fn acquit(&mut self, interface: &InterfaceName, findings: &mut Vec<Finding>) {
        let member = self.members.get_mut(interface);
        if member.is_some_and(Member::acquit) {
            findings.push(Finding::Say(Message::TargetsSilent {
                interface: interface.clone(),
            }));
        }
    }

    /// Takes it that an interface failed alone. With its group's failure all was told.
    fn fail(
        &mut self,
        now: Time,
        interface: &InterfaceName,
        since: Option<Time>,
        is_told: bool,
        findings: &mut Vec<Finding>,
    ) {
        let Some(member) = self.members.get_mut(interface) else {
            return;
        };
        if since.is_some() {
            member.mark(now, Cause::Probes);
        }
        if is_told {
            let group = member.watched.group.clone();
            findings.push(Finding::Say(Message::NicFailed {
                interface: interface.clone(),
                group: group.clone(),
            }));
            let settings = self.settings.of(group.as_ref());
            member.punish(now, interface, settings, findings);
        }
    }

    /// Marks all members of a group, as none of them works.
    fn black_out(
        &mut self,
        now: Time,
        group: &GroupName,
        how: Blackout,
        findings: &mut Vec<Finding>,
    ) {
        if let Some(state) = self.groups.get_mut(&Some(group.clone())) {
            state.failed = Some(how);
        }
        findings.push(Finding::Say(Message::GroupFailed {
            group: group.clone(),
        }));
        for member in self.members.of_mut(group) {
            if !member.watched.offline && !member.is_marked() {
                member.mark(now, Cause::Probes);
            }
            if how == Blackout::Targets {
                member.set_dark(true);
                member.forget_hosts();
            }
        }
    }

    /// Where nothing works, those that are only held back are taken: see [`Member::is_held_back`].
    pub(super) fn release_held(&mut self, now: Time, findings: &mut Vec<Finding>) {
        let working: BTreeSet<Option<GroupName>> = self
            .members
            .values()
            .filter(|member| member.works())
            .map(|member| member.watched.group.clone())
            .collect();
        let turns: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| {
                let group = &member.watched.group;
                group.is_some() && !working.contains(group) && member.is_held_back()
            })
            .map(|(name, _)| (name.clone(), Turn::Mended))
            .collect();
        if !turns.is_empty() {
            self.settle(now, &turns, findings);
        }
    }

    /// Finds groups that have lost their last working member by other ways than its failure, and
    /// failed ones that have a working member again; these.
    fn review_groups(&mut self, findings: &mut Vec<Finding>) -> Vec<GroupName> {
        let mut recovered = Vec::new();
        for (key, group) in &mut self.groups {
            let Some(name) = key else {
                continue;
            };
            let mut members = self
                .members
                .iter()
                .filter(|(_, member)| member.watched.group == *key);
            let working = members.clone().find(|(_, member)| member.works());
            match (group.failed, working) {
                (Some(_), Some((interface, _))) => {
                    group.failed = None;
                    recovered.push(name.clone());
                    findings.push(Finding::Say(Message::GroupRepaired {
                        interface: interface.clone(),
                        group: name.clone(),
                    }));
                }
                (None, None) if members.any(|(_, member)| !member.watched.offline) => {
                    group.failed = Some(Blackout::Links);
                    findings.push(Finding::Say(Message::GroupFailed {
                        group: name.clone(),
                    }));
                }
                _ => {}
            }
        }
        if !recovered.is_empty() {
            self.retarget();
        }
        recovered
    }
}
