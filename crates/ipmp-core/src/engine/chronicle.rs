//! Records of what changed: what is, compared with what was when last asked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Engine, LogicalKey};
use crate::asked::Logical;
use crate::message::Message;
use crate::record::{Cause, Direction, Record};
use crate::snapshot::{Conflict, Contested, GroupState, InterfaceState, LinkState, ProbeState};
use crate::{Action, Flags, GroupName, InterfaceName, Time};

/// What was.
#[derive(Clone, Debug, Default)]
pub(super) struct Chronicle {
    /// Whether anything may have changed since.
    is_due: bool,
    /// Whether there is something to compare with: where addresses were when the daemon came is no
    /// change.
    has_begun: bool,
    interfaces: BTreeMap<InterfaceName, Member>,
    groups: BTreeMap<GroupName, GroupState>,
    addresses: BTreeMap<LogicalKey, Place>,
    /// What is contested, by its name.
    contested: BTreeMap<String, Contested>,
    /// Addresses that another host has, and whether they are withheld.
    conflicts: BTreeMap<(IpAddr, bool), Conflict>,
}

/// A watched interface, as far as there are records of it.
#[derive(Clone, Debug, PartialEq)]
struct Member {
    state: InterfaceState,
    link: LinkState,
    group: Option<GroupName>,
    /// Why it is in that state.
    cause: Cause,
}

/// Where an address is received.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    address: IpAddr,
    at: InterfaceName,
}

impl Chronicle {
    /// Notes that everything was decided anew.
    pub(super) const fn settled(&mut self) {
        self.is_due = true;
    }

    /// The address that a logical was received by when that was looked at last, if it was.
    pub(super) fn received(&self, key: &LogicalKey) -> Option<IpAddr> {
        self.addresses.get(key).map(|place| place.address)
    }
}

impl Engine {
    /// Whether detection thinks otherwise of an interface than when everything was decided last. It
    /// does not say everything: that targets were found is no message.
    pub(super) fn has_health_changed(&self) -> bool {
        self.detection.has_health_changed()
    }

    /// Adds records of all that changed to the actions of this moment.
    pub(super) fn record(&mut self, now: Time, actions: &mut Vec<Action>) {
        let mut records: Vec<Action> = Vec::new();
        for action in actions.iter() {
            if let Action::Log(message) = action
                && !is_told_by_states(message)
            {
                records.push(Action::Record(Record::Message {
                    severity: message.severity(),
                    message: message.to_string(),
                }));
            }
        }
        if std::mem::take(&mut self.chronicle.is_due) {
            self.detection.note_healths();
            let first_causes = self.record_interfaces(&mut records);
            self.record_groups(&first_causes, &mut records);
            self.record_addresses(&mut records);
            self.record_contests(actions, &mut records);
            self.record_conflicts(actions, &mut records);
            self.account(now, actions, &mut records);
        }
        self.totals.count(&records);
        actions.extend(records);
    }

    /// The causes by group are returned: what happened first to a member explains the group.
    fn record_interfaces(
        &mut self,
        records: &mut Vec<Action>,
    ) -> BTreeMap<GroupName, (InterfaceName, Cause)> {
        let mut causes = BTreeMap::new();
        let mut before = std::mem::take(&mut self.chronicle.interfaces);
        let names: Vec<InterfaceName> = self
            .asked
            .interfaces
            .iter()
            .filter(|(name, interface)| interface.group.is_some() || self.is_tracked(name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let was = before.remove(&name);
            let is = self.member(&name, was.as_ref());
            if was.as_ref().is_some_and(|was| was.link != is.link) {
                records.push(Action::Record(Record::Link {
                    interface: name.clone(),
                    group: is.group.clone(),
                    to: is.link,
                }));
            }
            if was.as_ref().is_none_or(|was| was.state != is.state) {
                if let Some(group) = &is.group {
                    causes
                        .entry(group.clone())
                        .or_insert_with(|| (name.clone(), is.cause));
                }
                records.push(Action::Record(Record::Interface {
                    interface: name.clone(),
                    group: is.group.clone(),
                    from: was.map(|was| was.state),
                    to: Some(is.state),
                    cause: is.cause,
                }));
            }
            self.chronicle.interfaces.insert(name, is);
        }
        for (interface, was) in before {
            records.push(Action::Record(Record::Interface {
                interface,
                group: was.group,
                from: Some(was.state),
                to: None,
                cause: Cause::Administrator,
            }));
        }
        causes
    }

    fn member(&self, name: &InterfaceName, was: Option<&Member>) -> Member {
        let link = self.link(name);
        let state = self.state(name, link);
        let changed = was.is_none_or(|was| was.state != state);
        let cause = match was {
            Some(was) if !changed => was.cause,
            _ => self.cause_of(name, state, was),
        };
        Member {
            state,
            link: self.link_state(name),
            group: self.group_of(name).cloned(),
            cause,
        }
    }

    /// Why an interface came into a state.
    fn cause_of(&self, name: &InterfaceName, state: InterfaceState, was: Option<&Member>) -> Cause {
        match state {
            InterfaceState::Offline if self.duplicates.contains_key(name) => Cause::DuplicateMac,
            InterfaceState::Offline => Cause::Administrator,
            InterfaceState::Failed if self.link(name).is_none() => Cause::DeviceGone,
            InterfaceState::Failed => match self.detection.declared(name) {
                Some(declared) => declared.cause,
                None if self.link_state(name) == LinkState::Down => Cause::LinkDown,
                None => Cause::FailedBefore,
            },
            InterfaceState::Unknown => Cause::NoTarget,
            InterfaceState::Ok => match was.map(|was| was.cause) {
                None | Some(Cause::Administrator) => Cause::Administrator,
                Some(Cause::DuplicateMac) => Cause::UniqueMac,
                Some(Cause::DeviceGone) => Cause::DeviceBack,
                Some(_) if self.is_answered(name) => Cause::ProbesAnswered,
                Some(_) => Cause::LinkUp,
            },
        }
    }

    fn is_answered(&self, name: &InterfaceName) -> bool {
        let probing = self.detection.probing(name);
        probing.iter().any(|family| family.state == ProbeState::Ok)
    }

    fn record_groups(
        &mut self,
        causes: &BTreeMap<GroupName, (InterfaceName, Cause)>,
        records: &mut Vec<Action>,
    ) {
        let up: BTreeSet<InterfaceName> = self
            .asked
            .logicals
            .iter()
            .filter(|logical| {
                self.is_effectively_up(logical)
                    || (logical.address.ip.is_unspecified() && logical.flags.contains(Flags::UP))
            })
            .map(|logical| self.place_of(logical).interface)
            .collect();
        let mut groups: BTreeMap<GroupName, (usize, usize)> = BTreeMap::new();
        for (name, member) in &self.chronicle.interfaces {
            let Some(group) = &member.group else {
                continue;
            };
            let link = self.link(name);
            let has_address = up.contains(name) || self.has_foreign(name);
            let works = matches!(member.state, InterfaceState::Ok | InterfaceState::Unknown);
            let (usable, all) = groups.entry(group.clone()).or_default();
            *usable += usize::from(works && link.is_some() && has_address);
            *all += 1;
        }
        let is: BTreeMap<GroupName, GroupState> = groups
            .into_iter()
            .map(|(name, (usable, all))| (name, GroupState::of(usable, all)))
            .collect();
        let mut was = std::mem::replace(&mut self.chronicle.groups, is.clone());
        for (group, to) in is {
            let from = was.remove(&group);
            if from == Some(to) {
                continue;
            }
            let (interface, cause) = causes.get(&group).cloned().unzip();
            records.push(Action::Record(Record::Group {
                group,
                from,
                to: Some(to),
                interface,
                cause,
            }));
        }
        for (group, from) in was {
            records.push(Action::Record(Record::Group {
                group,
                from: Some(from),
                to: None,
                interface: None,
                cause: None,
            }));
        }
    }

    fn record_addresses(&mut self, records: &mut Vec<Action>) {
        let mut was = std::mem::take(&mut self.chronicle.addresses);
        let mut is = BTreeMap::new();
        let mut changes: Vec<(LogicalKey, IpAddr, [Option<InterfaceName>; 2])> = Vec::new();
        for logical in &self.asked.logicals {
            if !logical.is_movable() || !logical.is_up() {
                continue;
            }
            let key = (logical.home.clone(), logical.family());
            let old = was
                .remove(&key)
                .filter(|place| place.address == logical.address.ip);
            // What the kernel does not have where it should be is still where it was.
            let at = self
                .received_at(logical)
                .or_else(|| old.as_ref().map(|place| place.at.clone()));
            let from = old.map(|place| place.at);
            if from != at {
                changes.push((key.clone(), logical.address.ip, [from, at.clone()]));
            }
            if let Some(at) = at {
                let address = logical.address.ip;
                is.insert(key, Place { address, at });
            }
        }
        changes.extend(
            was.into_iter()
                .map(|(key, place)| (key, place.address, [Some(place.at), None])),
        );
        self.chronicle.addresses = is;
        if !std::mem::replace(&mut self.chronicle.has_begun, true) {
            return;
        }
        for (key, address, [from, to]) in changes {
            let cause = self.cause_of_move(&key, from.as_ref(), to.as_ref());
            let (home, _) = key;
            records.push(Action::Record(Record::Address {
                address,
                group: self.group_of(&home.interface).cloned(),
                home,
                from,
                to,
                cause,
            }));
        }
    }

    /// Says, too, what is contested, as only here it is known what was.
    fn record_contests(&mut self, actions: &mut Vec<Action>, records: &mut Vec<Action>) {
        let contested = self.contested().into_iter();
        let is: BTreeMap<String, Contested> = contested
            .map(|contested| (contested.what.clone(), contested))
            .collect();
        let was = std::mem::replace(&mut self.chronicle.contested, is.clone());
        let begun = is.iter().filter(|(what, _)| !was.contains_key(*what));
        let ended = was.iter().filter(|(what, _)| !is.contains_key(*what));
        let begun = begun.map(|(_, contested)| (contested, true));
        for (contested, begins) in begun.chain(ended.map(|(_, contested)| (contested, false))) {
            let (what, by) = (contested.what.clone(), contested.by.clone());
            actions.push(Action::Log(if begins {
                Message::Contested {
                    what: what.clone(),
                    by: by.clone(),
                }
            } else {
                Message::Uncontested { what: what.clone() }
            }));
            records.push(Action::Record(Record::Contest {
                what,
                interface: contested.interface.clone(),
                address: contested.address,
                by,
                contested: begins,
            }));
        }
    }

    /// Says, too, which addresses another host has, for the same reason.
    fn record_conflicts(&mut self, actions: &mut Vec<Action>, records: &mut Vec<Action>) {
        let conflicts = self.conflicts.seen().into_iter();
        let is: BTreeMap<(IpAddr, bool), Conflict> = conflicts
            .map(|conflict| ((conflict.address, conflict.withheld), conflict))
            .collect();
        let was = std::mem::replace(&mut self.chronicle.conflicts, is.clone());
        let ended = was.iter().filter(|(key, _)| !is.contains_key(key));
        let begun = is.iter().filter(|(key, _)| !was.contains_key(key));
        let ended = ended.map(|(_, conflict)| (conflict, false));
        for (conflict, begins) in ended.chain(begun.map(|(_, conflict)| (conflict, true))) {
            let (address, withheld) = (conflict.address, conflict.withheld);
            let (interface, mac) = (conflict.interface.clone(), conflict.mac);
            let logical = self.with_address(address);
            let message = match (begins, withheld) {
                (true, true) => Some(Message::AddressTaken {
                    address,
                    interface: interface.clone(),
                    mac,
                }),
                (true, false) => Some(Message::AddressClaimed {
                    address,
                    interface: interface.clone(),
                    mac,
                }),
                // What nobody asks for any more is nobody's concern.
                (false, _) if !logical.is_some_and(Logical::is_up) => None,
                // Not that it was over: it is another conflict now, or nobody looks any more.
                (false, _)
                    if is.contains_key(&(address, !withheld))
                        || !self.settings.duplicate_address_detection =>
                {
                    None
                }
                (false, true) => Some(Message::AddressFree { address }),
                (false, false) => Some(Message::AddressUnclaimed { address }),
            };
            actions.extend(message.map(Action::Log));
            let group = logical.and_then(|logical| self.group_of(&logical.home.interface));
            records.push(Action::Record(Record::Conflict {
                address,
                group: group.cloned(),
                interface,
                mac,
                withheld,
                conflict: begins,
            }));
        }
    }

    fn cause_of_move(
        &self,
        key: &LogicalKey,
        from: Option<&InterfaceName>,
        to: Option<&InterfaceName>,
    ) -> Cause {
        let (Some(from), Some(to)) = (from, to) else {
            return Cause::Administrator;
        };
        let direction = self.outages.direction(key);
        if direction == Some(Direction::Move) {
            return Cause::Administrator;
        }
        // A failover that ended a move goes home, and not because home works.
        if *to == self.resting_place(key) && direction != Some(Direction::Failover) {
            let is_home = *to == key.0.interface;
            return if is_home {
                Cause::HomeUsable
            } else {
                Cause::MovedToUsable
            };
        }
        match self.state(from, self.link(from)) {
            InterfaceState::Offline => Cause::InterfaceOffline,
            InterfaceState::Failed => Cause::InterfaceFailed,
            InterfaceState::Ok | InterfaceState::Unknown => Cause::Administrator,
        }
    }

    fn link_state(&self, name: &InterfaceName) -> LinkState {
        match self.link(name) {
            Some(link) if link.is_running() => LinkState::Up,
            _ => LinkState::Down,
        }
    }
}

/// Whether records of states say what a message says.
const fn is_told_by_states(message: &Message) -> bool {
    matches!(
        message,
        Message::NicFailed { .. }
            | Message::NicRepaired { .. }
            | Message::FailedOver { .. }
            | Message::FailedBack { .. }
            | Message::Moved { .. }
            | Message::GroupFailed { .. }
            | Message::GroupRepaired { .. }
            | Message::LinkDown { .. }
            | Message::LinkUp { .. }
            | Message::DuplicateMac { .. }
            | Message::UniqueMac { .. }
            | Message::AddressTaken { .. }
            | Message::AddressFree { .. }
            | Message::AddressClaimed { .. }
            | Message::AddressUnclaimed { .. }
            | Message::InterfaceRemoved { .. }
    )
}
