//! Where logicals are that are not at home, and when they have got there.

use std::collections::BTreeSet;

use super::{Engine, LogicalKey};
use crate::asked::Logical;
use crate::{Action, Family, LogicalName, Message};

impl Engine {
    /// Where a logical is now.
    pub(super) fn place_of(&self, logical: &Logical) -> LogicalName {
        self.places
            .get(&(logical.home.clone(), logical.family()))
            .cloned()
            .unwrap_or_else(|| logical.home.clone())
    }

    pub(super) fn set_place(&mut self, home: &LogicalName, family: Family, place: LogicalName) {
        let key = (home.clone(), family);
        if place == *home {
            self.places.remove(&key);
        } else {
            self.places.insert(key, place);
        }
    }

    /// Says which moves are done: when all addresses that one message is about are in place.
    pub(super) fn report_moves(&mut self, actions: &mut Vec<Action>) {
        self.forget_vain_moves();
        let mut under_way: BTreeSet<Message> = BTreeSet::new();
        for (key, message) in &self.moved {
            if !self.is_in_place(key) {
                under_way.insert(message.clone());
            }
        }
        let mut done: Vec<Message> = Vec::new();
        self.moved.retain(|_, message| {
            let is_under_way = under_way.contains(message);
            if !is_under_way && !done.contains(message) {
                done.push(message.clone());
            }
            is_under_way
        });
        actions.extend(done.into_iter().map(Action::Log));
    }

    /// Forgets moves of addresses that other hosts have: these are nowhere, wherever they are placed.
    fn forget_vain_moves(&mut self) {
        let moves = self.moved.keys();
        let is_vain = |(home, family): &&LogicalKey| {
            let logical = self.homed_at(home, *family);
            logical.is_some_and(|logical| self.conflicts.is_taken(logical.address.ip))
        };
        let vain: Vec<LogicalKey> = moves.filter(is_vain).cloned().collect();
        for key in vain {
            self.outages.forget(&key);
            self.moved.remove(&key);
        }
    }

    /// Whether the kernel holds a logical where it is placed, if it is to hold it at all. As long as others
    /// are being asked for it, that is not known.
    pub(super) fn is_in_place(&self, (home, family): &LogicalKey) -> bool {
        let logical = self.homed_at(home, *family);
        let Some(logical) = logical.filter(|logical| self.is_asked_for(logical)) else {
            return true;
        };
        let place = self.place_of(logical);
        self.link(&place.interface).is_some_and(|link| {
            self.kernel
                .addresses
                .contains_key(&(link.index, logical.address))
        })
    }
}
