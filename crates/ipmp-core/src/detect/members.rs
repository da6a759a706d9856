//! The watched interfaces: by name, by link, and by who is due next.
//!
//! With hundreds of interfaces something is due each fraction of a millisecond, and replies come as
//! often. Neither may cost a look at all of them. So there is an agenda, and whoever changes one
//! interface through [`Members::revise`] leaves its entry true. Everything that is open to change as a
//! whole, which is rare, is entered anew when it is needed next.

use std::collections::{BTreeMap, BTreeSet};

use super::Health;
use super::member::Member;
use crate::{GroupName, InterfaceName, Time};

/// Where an interface stands in the list; good until one is added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(usize);

#[derive(Clone, Debug)]
struct Entry {
    name: InterfaceName,
    member: Member,
    /// When it is due by the agenda.
    due: Option<Time>,
    /// What was thought of it when that was noted last; `None` if it never was.
    noted: Option<Health>,
}

/// All watched interfaces.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    /// By name.
    list: Vec<Entry>,
    by_link: BTreeMap<u32, Place>,
    agenda: BTreeSet<(Time, Place)>,
    /// Whether anything may have changed past the agenda.
    is_stale: bool,
    /// Whether, as far as the agenda is true, somebody's health is not as noted.
    differs: bool,
}

impl Members {
    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, name: &InterfaceName) -> Option<&Member> {
        let at = self.place(name).ok()?;
        self.list.get(at).map(|entry| &entry.member)
    }

    /// Opens one to change. Where it is done often, [`Members::revise`] is the way.
    pub(super) fn get_mut(&mut self, name: &InterfaceName) -> Option<&mut Member> {
        let at = self.place(name).ok()?;
        self.is_stale = true;
        self.list.get_mut(at).map(|entry| &mut entry.member)
    }

    /// By name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&InterfaceName, &Member)> + Clone {
        self.list.iter().map(|entry| (&entry.name, &entry.member))
    }

    /// By name, open to change.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&InterfaceName, &mut Member)> {
        self.is_stale = true;
        self.list
            .iter_mut()
            .map(|entry| (&entry.name, &mut entry.member))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Member> {
        self.list.iter().map(|entry| &entry.member)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.is_stale = true;
        self.list.iter_mut().map(|entry| &mut entry.member)
    }

    /// Those of a group, open to change.
    pub(super) fn of_mut(&mut self, group: &GroupName) -> impl Iterator<Item = &mut Member> {
        self.values_mut()
            .filter(move |member| member.watched.group.as_ref() == Some(group))
    }

    /// Adds one, or replaces the one of that name.
    pub(super) fn insert(&mut self, name: InterfaceName, member: Member) {
        self.is_stale = true;
        match self.place(&name) {
            Ok(at) => {
                if let Some(entry) = self.list.get_mut(at) {
                    entry.member = member;
                }
            }
            Err(at) => self.list.insert(
                at,
                Entry {
                    name,
                    member,
                    due: None,
                    noted: None,
                },
            ),
        }
    }

    /// Keeps those only of which `keep` is true.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&InterfaceName, &Member) -> bool) {
        self.is_stale = true;
        self.list.retain(|entry| keep(&entry.name, &entry.member));
    }

    /// The one on a link.
    pub(super) fn on_link(&mut self, index: u32) -> Option<Place> {
        self.renew();
        self.by_link.get(&index).copied()
    }

    /// Changes one, whose entry in the agenda is kept true.
    pub(super) fn revise<T>(
        &mut self,
        place: Place,
        change: impl FnOnce(&InterfaceName, &mut Member) -> T,
    ) -> Option<T> {
        let entry = self.list.get_mut(place.0)?;
        let result = change(&entry.name, &mut entry.member);
        self.differs |= entry.noted != Some(entry.member.health());
        let due = entry.member.deadline();
        if due != entry.due {
            if let Some(before) = entry.due {
                self.agenda.remove(&(before, place));
            }
            self.agenda.extend(due.map(|at| (at, place)));
            entry.due = due;
        }
        Some(result)
    }

    /// Those that are due, by name.
    pub(super) fn due(&mut self, now: Time) -> Vec<Place> {
        self.renew();
        let due = self.agenda.iter().take_while(|(at, _)| *at <= now);
        let mut places: Vec<Place> = due.map(|&(_, place)| place).collect();
        places.sort_unstable();
        places
    }

    /// When the next one is due.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        if self.is_stale {
            self.values().filter_map(Member::deadline).min()
        } else {
            self.agenda.first().map(|&(at, _)| at)
        }
    }

    /// Whether somebody's health is not as it was noted.
    pub(super) fn has_health_changed(&self) -> bool {
        if self.is_stale {
            let mut entries = self.list.iter();
            entries.any(|entry| entry.noted != Some(entry.member.health()))
        } else {
            self.differs
        }
    }

    /// Notes everybody's health.
    pub(super) fn note_healths(&mut self) {
        for entry in &mut self.list {
            entry.noted = Some(entry.member.health());
        }
        self.differs = false;
    }

    /// Makes the agenda true.
    fn renew(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        self.by_link.clear();
        self.agenda.clear();
        self.differs = false;
        for (at, entry) in self.list.iter_mut().enumerate() {
            let place = Place(at);
            // Of two with the same number, which cannot be, the first counts.
            self.by_link
                .entry(entry.member.watched.index)
                .or_insert(place);
            entry.due = entry.member.deadline();
            self.agenda.extend(entry.due.map(|due| (due, place)));
            self.differs |= entry.noted != Some(entry.member.health());
        }
    }

    fn place(&self, name: &InterfaceName) -> Result<usize, usize> {
        self.list.binary_search_by(|entry| entry.name.cmp(name))
    }
}
