//! Who is to blame: one interface, or nobody because all lost their targets at once.

use std::collections::BTreeSet;

use super::group::Blackout;
use super::member::{Cause, Member, Turn};
use super::{Detection, Finding};
use crate::message::Message;
use crate::{GroupName, InterfaceName, Time};

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
        let mended: Vec<_> = turns
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
            match *turn {
                Turn::LinkLost | Turn::Marked => self.blame(now, name, None, findings),
                Turn::ProbesLost(since) => self.blame(now, name, Some(since), findings),
                Turn::Mended | Turn::Asks => {}
            }
        }
        self.review_groups(findings);
        for interface in mended {
            let group = self
                .members
                .get(&interface)
                .and_then(|member| member.watched.group.clone());
            findings.push(Finding::Say(Message::NicRepaired { interface, group }));
        }
    }

    /// Decides whether an interface failed or its whole group did. `since` is when the loss of its
    /// probes began; without it the interface is marked already.
    fn blame(
        &mut self,
        now: Time,
        interface: &InterfaceName,
        since: Option<Time>,
        findings: &mut Vec<Finding>,
    ) {
        let Some(member) = self.members.get_mut(interface) else {
            return;
        };
        // With the whole group, a moment ago.
        if since.is_some() && member.is_marked() {
            return;
        }
        let key = member.watched.group.clone();
        let offline = member.watched.offline;
        let others = || {
            let others = self.members.iter().filter(|(other, member)| {
                *other != interface && key.is_some() && member.watched.group == key
            });
            others.map(|(_, member)| member)
        };
        let heard_by_others = others().any(|member| member.witness().contradicts(since));
        // Where echoes are limited nobody may have heard one since then. Who hears the link layer, where
        // this one does not even do that, works.
        let is_only_here = heard_by_others
            || since.is_some_and(|since| others().any(|member| member.hears_neighbours(since)));
        let Some(member) = self.members.get_mut(interface) else {
            return;
        };
        if let Some(since) = since {
            if !heard_by_others && member.hears_neighbours(since) {
                if member.acquit() {
                    findings.push(Finding::Say(Message::TargetsSilent {
                        interface: interface.clone(),
                    }));
                }
                return;
            }
            if let Some(group) = key.as_ref().filter(|_| !is_only_here)
                && self.loses_hosts(group)
            {
                findings.push(Finding::Say(Message::HostsSilent {
                    group: group.clone(),
                }));
                return;
            }
        }
        let is_failed = match (&key, self.groups.get(&key)) {
            (Some(group), Some(state)) if !offline => {
                if state.failed.is_none() && !is_only_here {
                    let how = since.map_or(Blackout::Links, |_| Blackout::Targets);
                    self.black_out(now, group, how, findings);
                    return;
                }
                state.failed.is_some()
            }
            _ => false,
        };
        if let Some(member) = self.members.get_mut(interface).filter(|_| since.is_some()) {
            member.mark(now, Cause::Probes);
        }
        if is_failed {
            return;
        }
        findings.push(Finding::Say(Message::NicFailed {
            interface: interface.clone(),
            group: key.clone(),
        }));
        if let Some(member) = self.members.get_mut(interface) {
            let settings = self.settings.of(key.as_ref());
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
            if member.watched.offline || member.is_marked() {
                continue;
            }
            member.mark(now, Cause::Probes);
            if how == Blackout::Targets {
                member.probers_mut().for_each(|p| p.targets.flush_hosts());
            }
        }
    }

    /// Whether the silence of all working members of a group says nothing of them: nobody asked for probes
    /// of one of them, and the hosts that were chosen for it may be gone. Then all of them forget their hosts,
    /// and have lost nothing. Those marked before have still to be answered.
    fn loses_hosts(&mut self, group: &GroupName) -> bool {
        let working = || {
            let members = self.members.values();
            members.filter(|m| m.watched.group.as_ref() == Some(group) && m.works())
        };
        let is_excused = working().any(Member::asks_hosts_unasked);
        if is_excused {
            let working = self.members.of_mut(group).filter(|member| member.works());
            for prober in working.flat_map(Member::probers_mut) {
                prober.forget_hosts();
            }
        }
        is_excused
    }

    /// Where nothing works, those that are only held back for calm's sake are taken.
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
    /// failed ones that have a working member again.
    fn review_groups(&mut self, findings: &mut Vec<Finding>) {
        let mut recovered = false;
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
                    recovered = true;
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
        if recovered {
            self.retarget();
        }
    }
}
