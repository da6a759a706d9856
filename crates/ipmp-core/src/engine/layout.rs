//! From what was asked and where it is placed to the layout the kernel should have; and placement.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::units::Units;
use super::{Engine, LogicalKey};
use crate::asked::Logical;
use crate::desired::{Layout, Member, Placed};
use crate::detect::Health;
use crate::kernel::{Link, LinkKind, Sysctl};
use crate::placement::{self, Fitness, Movable, Move, placement};
use crate::record::Direction;
use crate::{Family, Flags, GroupName, InterfaceName, LogicalName, Message, Time};

impl Engine {
    /// Moves addresses in the model, the plan then moves them in the kernel; whether any moved.
    pub(super) fn place(&mut self, now: Time) -> bool {
        let mut moved = false;
        let mut units = Units::default();
        let groups: BTreeSet<Option<GroupName>> = self
            .asked
            .interfaces
            .values()
            .map(|interface| interface.group.clone())
            .collect();
        for group in groups {
            let members = self.placement_members(now, group.as_ref());
            let failback = self.settings.of(group.as_ref()).failback;
            let addresses = self.movables(group.as_ref());
            let moves = match &group {
                _ if self.teardown.is_some() => self.homeward(&addresses),
                Some(_) => placement(&members, &addresses),
                // Outside groups nothing moves, but what an interface brought along goes home.
                None => astray(&addresses),
            };
            for Move { key, from, to } in moves {
                let asked = self.teardown.as_ref().map(|_| Direction::Move);
                self.account_for(now, &key, &from, &to, asked);
                let message = self.message_of_move(&key, from.clone(), &to);
                if !failback && !self.is_offline(&from) {
                    self.end_move(&key, &from);
                }
                self.move_logical(now, &key, &to, message, &mut units);
                moved = true;
            }
        }
        let returning = std::mem::take(&mut self.returning);
        self.returning = returning
            .into_iter()
            .filter(|name| !self.failed.contains(name) && self.has_away(name))
            .collect();
        moved
    }

    /// The moves that bring all addresses home whose interface is there, whether it works or not.
    fn homeward(&self, addresses: &[Movable<LogicalKey>]) -> Vec<Move<LogicalKey>> {
        let mut moves = astray(addresses);
        moves.retain(|step| self.link(&step.to).is_some());
        moves
    }

    fn message_of_move(
        &self,
        key: &LogicalKey,
        from: InterfaceName,
        to: &InterfaceName,
    ) -> Message {
        let to = to.clone();
        if to == self.resting_place(key) {
            Message::FailedBack { to }
        } else {
            Message::FailedOver { from, to }
        }
    }

    /// Puts a logical on another interface; `message` is said when it is there.
    pub(super) fn move_logical(
        &mut self,
        now: Time,
        key: &LogicalKey,
        to: &InterfaceName,
        message: Message,
        units: &mut Units,
    ) {
        let (home, family) = key;
        let place = units.place(self, home, *family, to);
        let from = self.places.get(key).unwrap_or(home);
        units.moved(home, *family, [from, &place]);
        self.set_place(home, *family, place);
        self.announce_present(now, key, to);
        self.moved.insert(key.clone(), message);
    }

    /// Has neighbours told of an address that moves to where the kernel holds it already, as it had not
    /// left yet: nothing is to be done there, but they may have heard that it is elsewhere.
    fn announce_present(&mut self, now: Time, (home, family): &LogicalKey, to: &InterfaceName) {
        let moved = self.homed_at(home, *family).map(|logical| logical.address);
        if let (Some(address), Some(index)) = (moved, self.link(to).map(|link| link.index))
            && self.kernel.addresses.contains_key(&(index, address))
        {
            self.announce(now, index, address.ip);
        }
    }

    /// Whether an address of an interface is elsewhere, and nobody moved it there.
    fn has_away(&self, name: &InterfaceName) -> bool {
        let away = self.places.iter();
        let mut away = away.filter(|((home, _), _)| home.interface == *name);
        away.any(|(key, place)| place.interface != self.resting_place(key))
    }

    /// The lowest unit of an interface that nothing is on and nothing belongs on.
    pub(super) fn free_unit(&self, interface: &InterfaceName, family: Family) -> u32 {
        Units::default().free(self, interface, family)
    }

    pub(super) fn placement_members(
        &self,
        now: Time,
        group: Option<&GroupName>,
    ) -> Vec<placement::Member> {
        self.asked
            .interfaces
            .iter()
            .filter(|(_, interface)| interface.group.as_ref() == group)
            .map(|(name, interface)| placement::Member {
                name: name.clone(),
                families: interface.families.clone(),
                fitness: self.fitness(now, name, group),
                standby: interface.standby,
                failback: self.settings.of(group).failback || self.returning.contains(name),
            })
            .collect()
    }

    fn fitness(&self, now: Time, name: &InterfaceName, group: Option<&GroupName>) -> Fitness {
        let Some(link) = self.link(name) else {
            return Fitness::Absent;
        };
        if self.is_offline(name) {
            Fitness::Unfit
        } else if self.failed.contains(name) {
            let waits =
                link.is_running() && group.is_some_and(|g| self.watch.is_recovering(now, g));
            if waits {
                Fitness::Waiting
            } else {
                Fitness::Unfit
            }
        } else {
            match self.detection.health(name) {
                Some(Health::Ok) => Fitness::Usable,
                Some(Health::NoTargets) => Fitness::LastResort,
                None if link.is_running() => Fitness::Usable,
                Some(Health::Failed) | None => Fitness::Unfit,
            }
        }
    }

    /// Whether an interface is out of service, by the administrator or for its hardware address.
    pub(super) fn is_offline(&self, name: &InterfaceName) -> bool {
        self.duplicates.contains_key(name)
            || self
                .asked
                .interfaces
                .get(name)
                .is_some_and(|interface| interface.offline)
    }

    pub(super) fn movables(&self, group: Option<&GroupName>) -> Vec<Movable<LogicalKey>> {
        let members = self.asked.interfaces.iter();
        let members = members.filter(|(_, interface)| interface.group.as_ref() == group);
        // Of all addresses at once, as there may be thousands, and hundreds of members.
        let mut holders: BTreeMap<IpAddr, Vec<&InterfaceName>> = BTreeMap::new();
        for (name, link) in members.filter_map(|(name, _)| Some((name, self.link(name)?))) {
            let there = self.kernel.addresses_on(link.index);
            for there in there.filter(|there| !there.duplicate) {
                holders.entry(there.address.ip).or_default().push(name);
            }
        }
        let held_by = |ip: IpAddr, at: &InterfaceName| {
            let holders = holders.get(&ip).into_iter().flatten();
            holders
                .filter(|name| **name != at)
                .map(|name| (*name).clone())
                .collect()
        };
        self.asked
            .logicals
            .iter()
            .filter(|logical| self.group_of(&logical.home.interface) == group)
            .filter(|logical| logical.is_movable())
            .map(|logical| {
                let at = self.place_of(logical).interface;
                let is_up = logical.is_up();
                let held_by = || held_by(logical.address.ip, &at);
                Movable {
                    key: (logical.home.clone(), logical.family()),
                    family: logical.family(),
                    home: logical.home.interface.clone(),
                    moved_to: logical.moved_to.clone(),
                    up: is_up,
                    withheld: is_up && self.is_withheld(logical),
                    barred: self.barred(logical.address.ip),
                    held_by: is_up.then(held_by).unwrap_or_default(),
                    at,
                }
            })
            .collect()
    }

    /// The group of an interface.
    pub(super) fn group_of(&self, name: &InterfaceName) -> Option<&GroupName> {
        self.asked
            .interfaces
            .get(name)
            .and_then(|interface| interface.group.as_ref())
    }

    /// Whether an interface works but carries no data at present: a standby that is not needed, or
    /// one whose addresses did not come home because they do not by themselves.
    pub(super) fn is_inactive(&self, name: &InterfaceName) -> bool {
        let Some(interface) = self.asked.interfaces.get(name) else {
            return false;
        };
        if self.failed.contains(name) {
            return false;
        }
        if interface.standby {
            return !self.carries_foreign(name);
        }
        interface.group.is_some()
            && !self.settings.of(interface.group.as_ref()).failback
            && !self.returning.contains(name)
            && self.has_away(name)
            && !self.asked.logicals.iter().any(|logical| {
                logical.is_movable()
                    && self.is_effectively_up(logical)
                    && self.place_of(logical).interface == *name
            })
    }

    /// Whether an interface has addresses that belong to others: what is withheld it does not have, wherever
    /// it is placed.
    fn carries_foreign(&self, name: &InterfaceName) -> bool {
        let mut places = self.places.iter();
        places.any(|((home, family), place)| {
            place.interface == *name
                && home.interface != *name
                && !self
                    .homed_at(home, *family)
                    .is_some_and(|logical| logical.is_up() && self.is_withheld(logical))
        })
    }

    /// Whether a logical is in use now: asked for, and not withheld.
    pub(super) fn is_effectively_up(&self, logical: &Logical) -> bool {
        self.is_asked_for(logical) && !self.is_withheld(logical)
    }

    /// Whether a logical is configured for use now. Test addresses of an interface that is out of
    /// service are not.
    pub(super) fn is_asked_for(&self, logical: &Logical) -> bool {
        logical.is_up()
            && !(logical.flags.contains(Flags::NOFAILOVER)
                && self.is_offline(&logical.home.interface))
    }

    /// The layout of everything we own.
    pub(super) fn layout(&mut self) -> Layout {
        let members = self.layout_members();
        self.remember_sysctls(&members);
        let restore = self.sysctls_to_restore(&members, false);
        let in_group: BTreeSet<InterfaceName> = self
            .asked
            .interfaces
            .iter()
            .filter(|(_, interface)| interface.group.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        let plumbed = &self.asked.interfaces;
        self.shadows.update(
            &self.kernel,
            |name| in_group.contains(name),
            |name| plumbed.contains_key(name),
        );
        let shadowed = self
            .shadows
            .routes()
            .filter_map(|(name, route)| Some((self.group_of(name)?.clone(), route.clone())))
            .collect();
        Layout {
            placed: self.placed(),
            awaited: self.awaited(),
            members,
            shadowed,
            restore,
            plain: Vec::new(),
            put_back: self.shadows.due(&self.kernel),
        }
    }

    fn placed(&self) -> Vec<Placed> {
        self.asked
            .logicals
            .iter()
            .filter(|logical| self.is_effectively_up(logical))
            // The kernel makes these itself, from the hardware address of the link.
            .filter(|logical| !logical.address.is_link_local6())
            .filter_map(|logical| {
                let place = self.place_of(logical);
                let link = self.link(&place.interface)?;
                Some(Placed {
                    index: link.index,
                    address: logical.address,
                    broadcast: logical.broadcast,
                    label: label(&place, logical.family()),
                    deprecated: logical.flags.contains(Flags::DEPRECATED),
                    fixed: logical.flags.contains(Flags::NOFAILOVER),
                    group: self.group_of(&logical.home.interface).cloned(),
                })
            })
            .collect()
    }

    fn awaited(&self) -> BTreeSet<IpAddr> {
        let logicals = self.asked.logicals.iter();
        let asked_for = logicals.filter(|logical| self.is_asked_for(logical));
        asked_for
            .map(|logical| logical.address.ip)
            .filter(|&ip| self.conflicts.is_asking(ip) && !self.conflicts.is_taken(ip))
            .collect()
    }

    fn layout_members(&self) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::new();
        let mut fallback: BTreeMap<(GroupName, Family), Vec<usize>> = BTreeMap::new();
        let places = self.places.iter();
        let there: BTreeSet<(&InterfaceName, Family)> = places
            .map(|((_, family), place)| (&place.interface, *family))
            .collect();
        for (name, interface) in &self.asked.interfaces {
            let (Some(group), Some(link)) = (&interface.group, self.link(name)) else {
                continue;
            };
            let may_carry = link.is_running() && !self.is_offline(name);
            let in_use = may_carry && !self.failed.contains(name) && !self.is_inactive(name);
            // What it has of a family for which it is not plumbed is to be answered all the same.
            let mut families = interface.families.clone();
            families.extend(
                Family::ALL
                    .into_iter()
                    .filter(|&family| there.contains(&(name, family))),
            );
            if may_carry {
                for family in &families {
                    fallback
                        .entry((group.clone(), *family))
                        .or_default()
                        .push(members.len());
                }
            }
            let outbound = if in_use { families } else { BTreeSet::new() };
            members.push(Member {
                index: link.index,
                name: name.clone(),
                group: group.clone(),
                outbound,
            });
        }
        // When no member works, all that have a link are used: nothing is lost by trying.
        for ((group, family), candidates) in fallback {
            let none = !members
                .iter()
                .any(|m| m.group == group && m.outbound.contains(&family));
            for i in candidates.into_iter().filter(|_| none) {
                if let Some(member) = members.get_mut(i) {
                    member.outbound.insert(family);
                }
            }
        }
        members
    }

    /// Notes what members' sysctls were before we change them.
    fn remember_sysctls(&mut self, members: &[Member]) {
        for member in members {
            for sysctl in Sysctl::ALL {
                if let Some(&value) = self.kernel.sysctls.get(&(member.index, sysctl)) {
                    self.sysctls
                        .entry((member.name.clone(), sysctl))
                        .or_insert(value);
                }
            }
        }
    }

    /// Sysctls of interfaces that are members no more, or of all. Forgotten once the kernel has them back.
    pub(super) fn sysctls_to_restore(
        &mut self,
        members: &[Member],
        all: bool,
    ) -> Vec<(u32, InterfaceName, Sysctl, i32)> {
        let mut restore = Vec::new();
        let kernel = &self.kernel;
        let asked = &self.asked;
        self.sysctls.retain(|(name, sysctl), value| {
            let is_member = members.iter().any(|member| member.name == *name)
                || asked
                    .interfaces
                    .get(name)
                    .is_some_and(|interface| interface.group.is_some());
            if is_member && !all {
                return true;
            }
            let Some(link) = kernel.link(name) else {
                return false;
            };
            let differs = kernel
                .sysctls
                .get(&(link.index, *sysctl))
                .is_some_and(|now| now != value);
            if differs {
                restore.push((link.index, name.clone(), *sysctl, *value));
            }
            differs
        });
        restore
    }

    /// Addresses that are ours to remove though they bear no mark: those of logicals, on interfaces
    /// of their group. What another hand does with them elsewhere is not ours.
    pub(super) fn our_addresses(&self) -> BTreeSet<(u32, IpAddr)> {
        let mut mates: BTreeMap<&GroupName, Vec<u32>> = BTreeMap::new();
        for (name, interface) in &self.asked.interfaces {
            if let (Some(group), Some(link)) = (&interface.group, self.link(name)) {
                mates.entry(group).or_default().push(link.index);
            }
        }
        let mut ours = BTreeSet::new();
        for logical in &self.asked.logicals {
            let address = logical.address;
            if address.ip.is_unspecified() || address.is_link_local6() {
                continue;
            }
            let home = &logical.home.interface;
            let mates = self.group_of(home).and_then(|group| mates.get(group));
            ours.extend(self.link(home).map(|link| (link.index, address.ip)));
            ours.extend(
                mates
                    .into_iter()
                    .flatten()
                    .map(|&index| (index, address.ip)),
            );
        }
        ours
    }

    /// Whether a link may be in a group.
    pub(super) fn is_groupable(link: &Link) -> bool {
        link.kind == LinkKind::Broadcast
    }
}

/// The moves that bring addresses home which their interface, leaving its group, left behind.
fn astray(addresses: &[Movable<LogicalKey>]) -> Vec<Move<LogicalKey>> {
    addresses
        .iter()
        .filter(|address| address.at != address.home)
        .map(|address| Move {
            key: address.key.clone(),
            from: address.at.clone(),
            to: address.home.clone(),
        })
        .collect()
}

/// The label of an address, where the kernel takes it: IPv4, at most 15 characters.
pub(super) fn label(place: &LogicalName, family: Family) -> Option<String> {
    let label = place.to_string();
    (family == Family::Inet && label.len() <= InterfaceName::MAX).then_some(label)
}
