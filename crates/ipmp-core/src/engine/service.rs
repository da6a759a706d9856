//! Interfaces that are taken out of service and put back: `if_mpadm`, `ipmp offline` and `ipmp online`.

use super::Engine;
use super::commands::Outcome;
use crate::placement::{Fitness, placement};
use crate::{Answer, GroupName, InterfaceName, Refusal, Time};

impl Engine {
    pub(super) fn offline(&mut self, now: Time, name: &InterfaceName) -> Outcome {
        self.plumbed(name)?;
        let group = self.group_of(name).cloned().ok_or(Refusal::NotInGroup)?;
        if self.is_offline(name) {
            return Err(Refusal::AlreadyOffline);
        }
        let group_failed = self.detection.is_group_failed(&group);
        let others = self.asked.interfaces.iter().filter(|(other, interface)| {
            *other != name
                && interface.group.as_ref() == Some(&group)
                && self.link(other).is_some()
                && !self.is_offline(other)
                && (group_failed || !self.failed.contains(*other))
        });
        if others.count() == 0 || self.would_strand(now, name, &group) {
            return Err(Refusal::MinimumRedundancy);
        }
        self.returning.remove(name);
        if let Some(interface) = self.asked.interfaces.get_mut(name) {
            interface.offline = true;
        }
        Ok(Answer::Done)
    }

    /// Whether an address on an interface would have nowhere to go if the interface were taken out of
    /// service.
    fn would_strand(&self, now: Time, name: &InterfaceName, group: &GroupName) -> bool {
        let mut members = self.placement_members(now, Some(group));
        for member in members.iter_mut().filter(|member| member.name == *name) {
            member.fitness = Fitness::Unfit;
        }
        let addresses = self.movables(Some(group));
        let moves = placement(&members, &addresses);
        addresses
            .iter()
            .filter(|address| address.at == *name && address.up)
            .any(|address| !moves.iter().any(|step| step.key == address.key))
    }

    pub(super) fn online(&mut self, name: &InterfaceName) -> Outcome {
        self.plumbed(name)?;
        if let Some(twin) = self.duplicates.get(name) {
            return Err(Refusal::DuplicateMac(twin.clone()));
        }
        match self.asked.interfaces.get_mut(name) {
            Some(interface) if interface.offline => interface.offline = false,
            _ => return Err(Refusal::NotOffline),
        }
        self.returning.insert(name.clone());
        Ok(Answer::Done)
    }
}
