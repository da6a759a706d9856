//! Commands: one at a time, answered when what it asked for is done, undone whole if the kernel refuses.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, LogicalKey};
use crate::command::{Answer, Command};
use crate::kernel::{Address, AddressKey};
use crate::plan::Operation;
use crate::{Action, Asked, InterfaceName, LogicalName, Time};

/// A command whose plan is under way.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) id: u64,
    answer: Answer,
    pub(super) before: Before,
    /// What failed before it: not its fault.
    pub(super) failing: BTreeSet<Operation>,
}

/// What a command may change.
#[derive(Clone, Debug)]
pub(super) struct Before {
    asked: Asked,
    places: BTreeMap<LogicalKey, LogicalName>,
    returning: BTreeSet<InterfaceName>,
    retired: BTreeSet<AddressKey>,
    found: BTreeMap<InterfaceName, Vec<Address>>,
}

impl Engine {
    /// Answers the command under way: nothing is left to do for it.
    pub(super) fn answer(&mut self, actions: &mut Vec<Action>) {
        if let Some(pending) = self.pending.take() {
            actions.push(Action::Answer {
                id: pending.id,
                answer: Ok(pending.answer),
            });
        }
    }

    /// Takes the next command that waits; whether there was one.
    pub(super) fn takes_command(&mut self, now: Time, actions: &mut Vec<Action>) -> bool {
        let Some((id, command)) = self.queue.pop_front() else {
            return false;
        };
        self.failures.release(now);
        self.contests.release();
        // Whatever stands in the way of putting everything back, it is what that command cannot do.
        let failing = match command {
            Command::Teardown => BTreeSet::new(),
            _ => self.failures.known(),
        };
        let before = Before {
            asked: self.asked.clone(),
            places: self.places.clone(),
            returning: self.returning.clone(),
            retired: self.retired.clone(),
            found: self.found.clone(),
        };
        let outcome = self.command(now, command, actions);
        self.index.renew_asked(&self.asked);
        self.forget_found();
        match outcome {
            Ok(answer) => {
                self.pending = Some(Pending {
                    id,
                    answer,
                    before,
                    failing,
                });
            }
            Err(refusal) => {
                self.restore(before);
                actions.push(Action::Answer {
                    id,
                    answer: Err(refusal),
                });
            }
        }
        true
    }

    /// Returns to what was before a command.
    pub(super) fn restore(&mut self, before: Before) {
        self.asked = before.asked;
        self.index.renew_asked(&self.asked);
        let places = std::mem::replace(&mut self.places, before.places);
        self.disown_moves(&places);
        self.returning = before.returning;
        self.retired = before.retired;
        self.found = before.found;
        self.teardown = None;
        self.once.clear();
    }
}
