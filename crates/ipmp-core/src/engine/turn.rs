//! Commands: one at a time, answered when what it asked for is done, undone whole if the kernel refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Engine, LogicalKey};
use crate::command::{Answer, Command, Refusal};
use crate::kernel::{Address, AddressKey};
use crate::plan::Operation;
use crate::{Action, Asked, Flags, InterfaceName, LogicalName, Time};

/// A command whose plan is under way.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) id: u64,
    answer: Answer,
    pub(super) before: Before,
    /// What failed before it: not its fault.
    failing: BTreeSet<Operation>,
    /// Which addresses others are to be asked for before it is answered.
    awaits: Awaits,
    /// Whether all else was done for it.
    is_checking: bool,
}

/// Which addresses others are to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    Nothing,
    Address(IpAddr),
    All,
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
        let Some(pending) = self.pending.take() else {
            return;
        };
        let taken = match pending.awaits {
            Awaits::Address(ip) => Some(ip).zip(self.conflicts.taken_by(ip)),
            Awaits::Nothing | Awaits::All => None,
        };
        let answer = match taken {
            Some((address, (mac, interface))) => Err(Refusal::Taken {
                address,
                mac,
                interface,
            }),
            None => Ok(pending.answer),
        };
        let id = pending.id;
        actions.push(Action::Answer { id, answer });
    }

    /// Whether the command under way waits for other hosts to be asked. What else goes on meanwhile is not
    /// its doing.
    pub(super) fn is_checking(&mut self) -> bool {
        let Some(pending) = &mut self.pending else {
            return false;
        };
        pending.is_checking = match pending.awaits {
            Awaits::Nothing => false,
            Awaits::Address(ip) => self.conflicts.is_asking(ip),
            Awaits::All => self.conflicts.is_asking_any(),
        };
        pending.is_checking
    }

    /// Whether an operation is done because of the command under way.
    pub(super) fn is_by_command(&self, operation: &Operation) -> bool {
        let Some(pending) = &self.pending else {
            return false;
        };
        let is_meant = match pending.awaits {
            _ if !pending.is_checking => true,
            Awaits::Address(ip) => self.about(operation).1 == Some(ip),
            Awaits::Nothing | Awaits::All => false,
        };
        is_meant && !pending.failing.contains(operation)
    }

    /// The address that a command is to bring up.
    fn brought_up(&self, command: &Command) -> Option<IpAddr> {
        match command {
            Command::SetFlag {
                logical,
                family,
                flag: Flags::UP,
                on: true,
                ..
            } => {
                let home = self.find(logical, *family)?;
                Some(self.homed_at(&home, *family)?.address.ip)
            }
            Command::SetAddress { address, .. } => Some(address.ip),
            Command::Move { address, .. } => Some(*address),
            _ => None,
        }
    }

    /// Takes the next command that waits; whether there was one.
    pub(super) fn takes_command(&mut self, now: Time, actions: &mut Vec<Action>) -> bool {
        // What nobody else has is to stay; nobody is asked any more once everything is put back.
        let next = self.queue.front().map(|(_, command)| command);
        if next == Some(&Command::Teardown) && self.conflicts.is_asking_first() {
            return false;
        }
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
        let outcome = self.command(now, command.clone(), actions);
        self.index.renew_asked(&self.asked);
        self.forget_found();
        match outcome {
            Ok(answer) => {
                let ip = self.brought_up(&command);
                if let Some(ip) = ip {
                    self.conflicts.release(now, ip);
                }
                let awaits = match (&command, ip) {
                    (Command::AwaitChecks, _) => Awaits::All,
                    (Command::SetFlag { wait: false, .. }, _) | (_, None) => Awaits::Nothing,
                    (_, Some(ip)) => Awaits::Address(ip),
                };
                self.pending = Some(Pending {
                    id,
                    answer,
                    before,
                    failing,
                    awaits,
                    is_checking: false,
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
