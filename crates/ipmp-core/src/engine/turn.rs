//! Commands: one at a time, answered when what it asked for is done, undone whole if the kernel refuses.
//!
//! One that brings up an address which others are to be asked for changes nothing until they were. What
//! happens meanwhile is none of its doing, and stays if it is refused after all; so does what happens while its
//! plans are under way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::conflicts::Serving;
use super::{Engine, LogicalKey};
use crate::asked::Logical;
use crate::command::{Answer, Command, Refusal};
use crate::desired::Desired;
use crate::kernel::{Address, AddressKey};
use crate::plan::Operation;
use crate::{Action, Asked, Family, Flags, InterfaceName, LogicalName, Time};

/// The command under way.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    /// Other hosts are asked first, for the address of this logical as it would be.
    Asks {
        id: u64,
        command: Command,
        candidate: Logical,
    },
    /// It waits until other hosts were asked for all addresses, and for nothing else.
    AwaitsChecks { id: u64 },
    /// It was carried out, and is answered when nothing is left to do for it.
    CarriedOut(Box<CarriedOut>),
}

/// A command that was carried out, and its plans are under way.
#[derive(Clone, Debug)]
pub(super) struct CarriedOut {
    id: u64,
    answer: Answer,
    before: Before,
    /// What had followed from it when its first plan was made.
    after: Option<Whereabouts>,
    /// What failed before it: not its fault.
    failing: BTreeSet<Operation>,
    /// Whether it changes a device and nothing of what is asked for: whatever follows from that is not its fault.
    is_of_device: bool,
    /// The address that it brings up.
    brings_up: Option<IpAddr>,
    /// The address that gives way to another, and that one.
    replaces: Option<(IpAddr, IpAddr)>,
}

/// What a command may change.
#[derive(Clone, Debug)]
struct Before {
    asked: Asked,
    whereabouts: Whereabouts,
    retired: BTreeSet<AddressKey>,
    found: BTreeMap<InterfaceName, Vec<Address>>,
    served: BTreeMap<IpAddr, Serving>,
}

/// What a command may change, and whatever happens may too: where addresses are, and where they stay.
#[derive(Clone, Debug)]
struct Whereabouts {
    places: BTreeMap<LogicalKey, LogicalName>,
    moved_to: BTreeMap<LogicalKey, InterfaceName>,
    returning: BTreeSet<InterfaceName>,
}

impl Whereabouts {
    /// As it was `before`, as far as it was another one right `after` that.
    fn undo(mut self, before: Self, after: &Self) -> Self {
        let changed = before.returning.symmetric_difference(&after.returning);
        for name in changed {
            self.returning.remove(name);
            self.returning.extend(before.returning.get(name).cloned());
        }
        Self {
            places: undo(self.places, before.places, &after.places),
            moved_to: undo(self.moved_to, before.moved_to, &after.moved_to),
            returning: self.returning,
        }
    }
}

/// What is, but for what was changed between `before` and `after`: that is as it was.
fn undo<K: Ord, V: PartialEq>(
    mut is: BTreeMap<K, V>,
    before: BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> BTreeMap<K, V> {
    is.retain(|key, _| before.contains_key(key) || !after.contains_key(key));
    let changed = before
        .into_iter()
        .filter(|(key, was)| after.get(key) != Some(was));
    is.extend(changed);
    is
}

impl Engine {
    /// Answers the command under way: nothing is left to do for it.
    pub(super) fn answer(&mut self, actions: &mut Vec<Action>) {
        let (id, answer) = match self.pending.take() {
            Some(Pending::CarriedOut(done)) => {
                let taken = done.brings_up.and_then(|ip| self.taken(ip, None));
                (done.id, taken.map_or(Ok(done.answer), Err))
            }
            Some(Pending::AwaitsChecks { id }) => (id, Ok(Answer::Done)),
            other => {
                self.pending = other;
                return;
            }
        };
        actions.push(Action::Answer { id, answer });
    }

    /// Refuses the command under way, and undoes what it changed.
    pub(super) fn refuse(&mut self, refusal: Refusal, actions: &mut Vec<Action>) {
        let id = match self.pending.take() {
            None => return,
            Some(Pending::CarriedOut(done)) => {
                self.restore(done.before, done.after);
                done.id
            }
            Some(Pending::Asks { id, .. } | Pending::AwaitsChecks { id }) => id,
        };
        actions.push(Action::Answer {
            id,
            answer: Err(refusal),
        });
    }

    /// The refusal of an address that another host has; `kept` is in service in its stead.
    fn taken(&self, address: IpAddr, kept: Option<IpAddr>) -> Option<Refusal> {
        let (mac, interface) = self.conflicts.taken_by(address)?;
        Some(Refusal::Taken {
            address,
            mac,
            interface,
            kept,
        })
    }

    /// Whether the command under way waits for other hosts to be asked.
    pub(super) fn awaits_others(&self) -> bool {
        match &self.pending {
            None | Some(Pending::CarriedOut(_)) => false,
            Some(Pending::Asks { .. }) => true,
            Some(Pending::AwaitsChecks { .. }) => self.conflicts.is_asking_any(),
        }
    }

    /// The logical that the command under way is to bring up once others were asked for its address.
    pub(super) const fn candidate(&self) -> Option<&Logical> {
        match &self.pending {
            Some(Pending::Asks { candidate, .. }) => Some(candidate),
            _ => None,
        }
    }

    /// Whether an operation is done because of the command under way.
    pub(super) fn is_by_command(&self, operation: &Operation) -> bool {
        match &self.pending {
            Some(Pending::CarriedOut(done)) if done.is_of_device => {
                matches!(
                    operation,
                    Operation::SetMtu { .. } | Operation::SetMac { .. }
                )
            }
            Some(Pending::CarriedOut(done)) => !done.failing.contains(operation),
            _ => false,
        }
    }

    /// The address that stays as yet, as the command under way replaces it by one that is not in place.
    pub(super) fn held_back(&self, desired: &Desired) -> Option<IpAddr> {
        let Some(Pending::CarriedOut(done)) = &self.pending else {
            return None;
        };
        let (old, new) = done.replaces?;
        let mut wanted = desired.addresses.keys().filter(|(_, on)| on.ip == new);
        let is_missing = wanted.any(|key| !self.kernel.addresses.contains_key(key));
        is_missing.then_some(old)
    }

    /// The logical that a command has brought up.
    fn brought_up(&self, command: &Command) -> Option<Logical> {
        let logical = match command {
            Command::SetFlag {
                logical,
                family,
                flag: Flags::UP,
                on: true,
                ..
            } => self.named_now(logical, *family),
            Command::SetAddress { logical, address } => self.named_now(logical, address.family()),
            Command::Move { address, .. } => self.with_address(*address),
            _ => None,
        };
        logical.filter(|logical| logical.is_up()).cloned()
    }

    /// The address that a command replaces by another, and that one.
    fn replaced(&self, command: &Command) -> Option<(IpAddr, IpAddr)> {
        let Command::SetAddress { logical, address } = command else {
            return None;
        };
        let family = address.family();
        let old = match self.named_now(logical, family) {
            Some(logical) => logical.address.ip,
            // Somebody else's, which is to become ours.
            None => self.foreign_named(logical, family)?.1.address.ip,
        };
        let is_other = !old.is_unspecified() && old != address.ip;
        is_other.then_some((old, address.ip))
    }

    fn named_now(&self, name: &LogicalName, family: Family) -> Option<&Logical> {
        self.homed_at(&self.find(name, family)?, family)
    }

    /// A command that calls a logical by the name it has now: it may have moved since.
    fn renamed(&self, command: &Command, candidate: &Logical) -> Command {
        let place = self.place_of(candidate);
        let is_there = self.link(&place.interface).is_some();
        let name = if is_there {
            place
        } else {
            candidate.home.clone()
        };
        let mut command = command.clone();
        if let Command::SetFlag { logical, .. } | Command::SetAddress { logical, .. } = &mut command
        {
            *logical = name;
        }
        command
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
        if command == Command::AwaitChecks {
            self.pending = Some(Pending::AwaitsChecks { id });
        } else {
            self.carry_out(now, id, command, false, actions);
        }
        true
    }

    /// Carries out the command under way that waited for others to be asked, or refuses it; whether the
    /// time for that has come.
    pub(super) fn carries_out_checked(&mut self, now: Time, actions: &mut Vec<Action>) -> bool {
        let Some(Pending::Asks {
            id,
            command,
            candidate,
        }) = &self.pending
        else {
            return false;
        };
        let (id, ip) = (*id, candidate.address.ip);
        if self.conflicts.is_asking(ip) {
            return false;
        }
        let command = self.renamed(command, candidate);
        // The address that it was to replace is better than none.
        let kept = self.replaced(&command).map(|(old, _)| old);
        if kept.is_some()
            && let Some(refusal) = self.taken(ip, kept)
        {
            self.conflicts.forget(ip);
            self.refuse(refusal, actions);
            return true;
        }
        if self.applying.is_some() {
            return false;
        }
        self.pending = None;
        self.carry_out(now, id, command, true, actions);
        true
    }

    /// Carries out a command, unless others are to be asked first, and were not.
    fn carry_out(
        &mut self,
        now: Time,
        id: u64,
        command: Command,
        is_checked: bool,
        actions: &mut Vec<Action>,
    ) {
        // Whatever stands in the way of putting everything back, it is what that command cannot do.
        let failing = match command {
            Command::Teardown => BTreeSet::new(),
            _ => self.failures.known(),
        };
        let before = Before {
            asked: self.asked.clone(),
            whereabouts: self.whereabouts(),
            retired: self.retired.clone(),
            found: self.found.clone(),
            served: self.conflicts.served(),
        };
        let replaces = self.replaced(&command);
        let outcome = self.command(now, command.clone(), actions);
        self.index.renew_asked(&self.asked);
        self.forget_found();
        let answer = match outcome {
            Ok(answer) => answer,
            Err(refusal) => {
                self.restore(before, None);
                actions.push(Action::Answer {
                    id,
                    answer: Err(refusal),
                });
                return;
            }
        };
        let is_waited_for = !matches!(command, Command::SetFlag { wait: false, .. });
        let is_of_device = matches!(command, Command::SetMtu { .. } | Command::SetMac { .. });
        let brought_up = self.brought_up(&command);
        if let Some(candidate) = &brought_up
            && !is_checked
        {
            self.conflicts.release(now, candidate.address.ip);
            if is_waited_for && self.is_withheld(candidate) {
                // It can be done; now it is tried whether it may.
                let candidate = candidate.clone();
                self.restore(before, None);
                self.pending = Some(Pending::Asks {
                    id,
                    command,
                    candidate,
                });
                return;
            }
        }
        self.failures.release(now);
        self.contests.release();
        let brings_up = brought_up.map(|logical| logical.address.ip);
        self.pending = Some(Pending::CarriedOut(Box::new(CarriedOut {
            id,
            answer,
            before,
            after: None,
            failing,
            is_of_device,
            brings_up: brings_up.filter(|_| is_waited_for),
            replaces,
        })));
    }

    fn whereabouts(&self) -> Whereabouts {
        let logicals = self.asked.logicals.iter();
        let moved_to = logicals.filter_map(|logical| {
            let key = (logical.home.clone(), logical.family());
            Some((key, logical.moved_to.clone()?))
        });
        Whereabouts {
            places: self.places.clone(),
            moved_to: moved_to.collect(),
            returning: self.returning.clone(),
        }
    }

    /// Takes note of what follows from the command under way, if it was just carried out: what follows
    /// later does so from something else.
    pub(super) fn note_consequences(&mut self) {
        let after = match &self.pending {
            Some(Pending::CarriedOut(done)) if done.after.is_none() => self.whereabouts(),
            _ => return,
        };
        if let Some(Pending::CarriedOut(done)) = &mut self.pending {
            done.after = Some(after);
        }
    }

    /// Gives logicals other units that came upon one which is another's by what was undone.
    fn part_places(&mut self) {
        let mut taken = BTreeSet::new();
        let places = self.places.iter();
        let is_taken = |((_, family), place): &(&LogicalKey, &LogicalName)| {
            self.is_home(place, *family) || !taken.insert(((*place).clone(), *family))
        };
        let homeless = places.filter(is_taken);
        let homeless: Vec<(LogicalKey, InterfaceName)> = homeless
            .map(|(key, place)| (key.clone(), place.interface.clone()))
            .collect();
        for ((home, family), interface) in homeless {
            let unit = self.free_unit(&interface, family);
            self.set_place(&home, family, LogicalName::new(interface, unit));
        }
    }

    /// Undoes what a command has changed, and what followed from that; nothing else has happened since if
    /// that was not noted.
    fn restore(&mut self, before: Before, after: Option<Whereabouts>) {
        let Whereabouts {
            mut places,
            mut moved_to,
            returning,
        } = match after {
            Some(after) => self.whereabouts().undo(before.whereabouts, &after),
            None => before.whereabouts,
        };
        self.asked = before.asked;
        self.index.renew_asked(&self.asked);
        for logical in &mut self.asked.logicals {
            let key = (logical.home.clone(), logical.family());
            logical.moved_to = moved_to.remove(&key);
        }
        places.retain(|(home, family), _| self.is_home(home, *family));
        let places = std::mem::replace(&mut self.places, places);
        self.part_places();
        self.disown_moves(&places);
        self.returning = returning;
        self.retired = before.retired;
        self.found = before.found;
        self.conflicts.serve(before.served);
        self.teardown = None;
        self.once.clear();
        self.unfinished.clear();
    }
}
