//! The engine: one function of (state, time, event).
//!
//! Every event ends in [`Engine::settle`], which asks in turn: which interfaces work (detection),
//! which should hold what (placement), what should the kernel hold then (desired), how does it get
//! there (plan)? There is no memory of what was being done: a restart, a lost notification, an
//! address deleted by somebody else and a move cut short are the same case, a difference to plan
//! away.
//!
//! | there is | owned by | what it is |
//! |---|---|---|
//! | one [`Asked`] | the engine | what the administrator typed; changed only by commands |
//! | one `places` | the engine | where each address that is not at home is |
//! | one [`Kernel`] | the engine | what netlink told last |
//! | one [`Detection`] | the engine | which interfaces work |
//! | one plan at most | the driver | operations under way; the next waits for their results |

mod adopt;
mod announce;
mod commands;
mod contest;
mod index;
mod layout;
mod picture;
mod shadow;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::asked::{Logical, NexthopKey, Saved};
use crate::command::{Answer, Command, Refusal};
use crate::detect::{Detection, Finding};
use crate::kernel::{AddressKey, Change, Sysctl};
use crate::plan::{self, Operation, OperationError, Plan};
use crate::{
    Action, Asked, Event, Family, InterfaceName, Kernel, LogicalName, Message, Settings, Snapshot,
    Time,
};

/// Which logical: where it belongs, and its family.
type LogicalKey = (LogicalName, Family);

/// First pause before operations that failed are tried again; it doubles up to [`MAX_RETRY`].
const MIN_RETRY: Duration = Duration::from_millis(100);

/// Longest pause before operations that failed are tried again.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// Everything IPMP knows about one network namespace.
#[derive(Clone, Debug)]
pub struct Engine {
    settings: Settings,
    asked: Asked,
    kernel: Kernel,
    index: index::Index,
    detection: Detection,
    /// Whether the kernel was seen; nothing is decided before.
    seen: bool,
    /// Where logicals are that are not at home.
    places: BTreeMap<LogicalKey, LogicalName>,
    /// Interfaces marked failed. Outlives the daemon, as the flag did in the original kernel.
    failed: BTreeSet<InterfaceName>,
    /// Interfaces whose hardware address another member of their group has: offline until it has not.
    duplicates: BTreeMap<InterfaceName, InterfaceName>,
    /// Interfaces put back into service, whose addresses come home even with `FAILBACK=no`.
    returning: BTreeSet<InterfaceName>,
    /// Sysctls as they were before their interface joined a group.
    sysctls: BTreeMap<(InterfaceName, Sysctl), i32>,
    /// Numbers of our nexthop objects.
    nexthops: BTreeMap<NexthopKey, u32>,
    shadows: shadow::Shadows,
    watch: watch::Watch,
    announcements: announce::Announcements,
    /// Addresses that were ours and are to go, though nothing asked for names them any more.
    retired: BTreeSet<AddressKey>,
    /// Operations that a command asked for and that are done once: link up, hardware address, MTU.
    once: Vec<Operation>,
    /// The plan under way.
    applying: Option<Plan>,
    /// The command under way and what to return to if the kernel refuses it.
    pending: Option<Pending>,
    /// Commands that wait for their turn.
    queue: VecDeque<(u64, Command)>,
    /// Messages about moves, said when the moves are done.
    moved: Vec<Message>,
    contests: contest::Contests,
    /// Operations that failed, and how often in a row.
    failing: Vec<Operation>,
    retries: u32,
    retry_at: Option<Time>,
    last_saved: Saved,
}

/// A command whose plan is under way.
#[derive(Clone, Debug)]
struct Pending {
    id: u64,
    answer: Answer,
    before: Before,
}

/// What a command may change.
#[derive(Clone, Debug)]
struct Before {
    asked: Asked,
    places: BTreeMap<LogicalKey, LogicalName>,
    returning: BTreeSet<InterfaceName>,
    retired: BTreeSet<AddressKey>,
}

impl Engine {
    /// An engine that has not seen the kernel yet: the first event must be a [`Change::Resync`].
    /// `saved` is what an earlier daemon left; `seed` de-synchronises this host's probes from
    /// others'.
    pub fn new(settings: Settings, saved: Option<Saved>, seed: u64) -> Self {
        let saved = saved.unwrap_or_default();
        Self {
            detection: Detection::new(settings.clone(), seed),
            settings,
            kernel: Kernel::default(),
            index: index::Index::default(),
            seen: false,
            places: saved
                .places
                .iter()
                .map(|(home, family, place)| ((home.clone(), *family), place.clone()))
                .collect(),
            failed: saved.failed.clone(),
            duplicates: BTreeMap::new(),
            returning: BTreeSet::new(),
            sysctls: saved
                .sysctls
                .iter()
                .map(|(interface, sysctl, value)| ((interface.clone(), *sysctl), *value))
                .collect(),
            nexthops: saved.nexthops.iter().cloned().collect(),
            shadows: shadow::Shadows::new(saved.shadowed.clone()),
            watch: watch::Watch::default(),
            announcements: announce::Announcements::default(),
            retired: BTreeSet::new(),
            once: Vec::new(),
            applying: None,
            pending: None,
            queue: VecDeque::new(),
            moved: Vec::new(),
            contests: contest::Contests::default(),
            failing: Vec::new(),
            retries: 0,
            retry_at: None,
            asked: saved.asked.clone(),
            last_saved: saved,
        }
    }

    /// Takes one event at `now` and says what is to be done. `now` never goes backwards.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Reply(reply) => {
                let findings = self.detection.reply(now, &reply);
                if !report(findings, &mut actions) {
                    return actions;
                }
            }
            Event::Tick => {
                let findings = self.detection.tick(now);
                let spoke = report(findings, &mut actions);
                let due = self.announcements.due(now, &self.kernel, &mut actions)
                    | self.shadows.due(now, &self.kernel)
                    | self.retry_at.is_some_and(|at| at <= now)
                    | self.watch.is_due(now)
                    | self.contests.is_due(now);
                if !spoke && !due {
                    return actions;
                }
            }
            Event::Kernel(change) => {
                self.observe(now, change, &mut actions);
                // What the kernel tells of a plan under way says nothing until the plan is done.
                if self.applying.is_some() {
                    return actions;
                }
            }
            Event::Settings(settings) => {
                self.settings = settings.clone();
                let findings = self.detection.configure(now, settings);
                report(findings, &mut actions);
            }
            Event::Command { id, command } => self.queue.push_back((id, command)),
            Event::Applied(results) => self.applied(now, results, &mut actions),
        }
        if self.seen {
            self.settle(now, &mut actions);
            self.announcements.due(now, &self.kernel, &mut actions);
        }
        actions
    }

    /// When [`Event::Tick`] is to be fed next at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        [
            self.detection.next_deadline(),
            self.announcements.next_deadline(),
            self.shadows.next_deadline(),
            self.watch.next_deadline(),
            self.contests.next_deadline(),
            self.retry_at.filter(|_| self.applying.is_none()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What there is to see without a daemon: what an earlier one left, over what the kernel holds.
    pub fn view(saved: Option<Saved>, kernel: Kernel) -> Snapshot {
        let mut engine = Self::new(Settings::default(), saved, 0);
        engine.kernel = kernel;
        engine.index.renew_links(&engine.kernel);
        engine.adopt();
        engine.snapshot()
    }

    fn observe(&mut self, now: Time, change: Change, actions: &mut Vec<Action>) {
        let first = !self.seen && matches!(change, Change::Resync(_));
        self.seen |= first;
        self.shadows.observe(now, &change);
        let appeared = match &change {
            Change::Link(link) if !self.kernel.links.contains_key(&link.index) => {
                Some((link.name.clone(), link.index, link.up))
            }
            _ => None,
        };
        let gone = match &change {
            Change::LinkGone(index) => self.kernel.links.get(index).map(|link| link.name.clone()),
            _ => None,
        };
        let is_about_links = matches!(
            change,
            Change::Link(_) | Change::LinkGone(_) | Change::Resync(_)
        );
        self.kernel.apply(change);
        if is_about_links {
            self.index.renew_links(&self.kernel);
        }
        if first {
            self.adopt();
            // An earlier daemon may have been killed between putting an address into place and
            // telling the neighbours.
            let names = self.asked.interfaces.keys();
            let members: Vec<InterfaceName> =
                names.filter(|name| self.is_member(name)).cloned().collect();
            for name in &members {
                self.announce_all(now, name);
            }
        }
        if let Some(interface) = gone.filter(|name| self.is_member(name)) {
            actions.push(Action::Log(Message::InterfaceRemoved { interface }));
        }
        // A device that comes back is plumbed again, as it was.
        if let Some((name, index, up)) = appeared
            && self.asked.interfaces.contains_key(&name)
        {
            if !up {
                self.once.push(Operation::SetUp { index, up: true });
            }
            // Its sysctls are new too.
            actions.push(Action::Observe);
        }
        self.adopt_link_local();
    }

    /// Decides everything anew and starts on the difference, if nothing is under way.
    fn settle(&mut self, now: Time, actions: &mut Vec<Action>) {
        loop {
            self.watch_all(now, actions);
            if self.place(now) {
                // Placement decides who is inactive, which detection must know.
                self.watch_all(now, actions);
            }
            if self.applying.is_some() {
                break;
            }
            let plan = self.plan(now);
            if !plan.is_empty() {
                self.save(actions);
                self.applying = Some(plan.clone());
                actions.push(Action::Apply(plan));
                break;
            }
            actions.extend(std::mem::take(&mut self.moved).into_iter().map(Action::Log));
            self.save(actions);
            if let Some(pending) = self.pending.take() {
                actions.push(Action::Answer {
                    id: pending.id,
                    answer: Ok(pending.answer),
                });
            }
            let Some((id, command)) = self.queue.pop_front() else {
                break;
            };
            let before = Before {
                asked: self.asked.clone(),
                places: self.places.clone(),
                returning: self.returning.clone(),
                retired: self.retired.clone(),
            };
            let outcome = self.command(now, command, actions);
            self.index.renew_asked(&self.asked);
            match outcome {
                Ok(answer) => self.pending = Some(Pending { id, answer, before }),
                Err(refusal) => {
                    self.restore(before);
                    actions.push(Action::Answer {
                        id,
                        answer: Err(refusal),
                    });
                }
            }
        }
    }

    fn restore(&mut self, before: Before) {
        self.asked = before.asked;
        self.index.renew_asked(&self.asked);
        self.places = before.places;
        self.returning = before.returning;
        self.retired = before.retired;
        self.once.clear();
    }

    fn plan(&mut self, now: Time) -> Plan {
        let waiting = self.retry_at.is_some_and(|at| at > now);
        let layout = self.layout();
        let desired = layout.desired(&self.kernel);
        let ours = self.our_addresses();
        let retired = &self.retired;
        let mut plan = plan::plan(&self.kernel, &desired, &mut self.nexthops, |address| {
            address.protocol == crate::kernel::PROTOCOL
                || retired.contains(&(address.index, address.address))
                || ours.contains(&address.address.ip)
        });
        self.retired
            .retain(|key| self.kernel.addresses.contains_key(key));
        // What failed a moment ago is not tried again at once, but does not hold up the rest.
        if waiting {
            plan.operations
                .retain(|operation| !self.failing.contains(operation));
        }
        plan.operations
            .retain(|operation| !self.contests.is_contested(now, operation));
        // A link is set up before anything is put on it, and down after everything has left it.
        let (downs, ups) = std::mem::take(&mut self.once)
            .into_iter()
            .partition(|operation| matches!(operation, Operation::SetUp { up: false, .. }));
        let downs: Vec<Operation> = downs;
        plan.operations.splice(0..0, ups);
        plan.operations.extend(downs);
        for operation in &plan.operations {
            self.contests.note(now, operation);
        }
        plan
    }

    fn applied(
        &mut self,
        now: Time,
        results: Vec<Result<(), OperationError>>,
        actions: &mut Vec<Action>,
    ) {
        let Some(plan) = self.applying.take() else {
            return;
        };
        let mut failed = Vec::new();
        for (operation, result) in plan.operations.into_iter().zip(results) {
            match result {
                Ok(()) => self.succeeded(now, &operation),
                Err(error) => failed.push((operation, error)),
            }
        }
        let is_new = |operation: &Operation| !self.failing.contains(operation);
        let refused = failed
            .iter()
            .find(|(operation, _)| is_new(operation))
            .cloned();
        for (operation, error) in &failed {
            if self.pending.is_none() && is_new(operation) {
                actions.push(Action::Log(Message::OperationFailed {
                    operation: operation.to_string(),
                    reason: error.to_string(),
                }));
            }
        }
        if failed.is_empty() {
            if self.retry_at.is_none_or(|at| at <= now) {
                self.failing.clear();
                self.retries = 0;
                self.retry_at = None;
            }
        } else {
            let pause = MIN_RETRY
                .saturating_mul(1 << self.retries.min(10))
                .min(MAX_RETRY);
            self.retries = self.retries.saturating_add(1);
            self.retry_at = Some(now + pause);
            self.failing = failed.into_iter().map(|(operation, _)| operation).collect();
            self.moved.clear();
            // What we believe of the kernel did not hold.
            actions.push(Action::Observe);
        }
        if let Some((_, error)) = refused
            && let Some(pending) = self.pending.take()
        {
            self.restore(pending.before);
            let refusal = Refusal::Kernel(error.errno, error.text);
            actions.push(Action::Answer {
                id: pending.id,
                answer: Err(refusal),
            });
        }
    }

    fn succeeded(&mut self, now: Time, operation: &Operation) {
        match operation {
            Operation::AddAddress(new) => {
                self.announcements.add(now, new.index, new.address.ip);
            }
            // The kernel tells of some sysctls only.
            Operation::SetSysctl {
                index,
                sysctl,
                value,
                ..
            } => {
                self.kernel.apply(Change::Sysctl(*index, *sysctl, *value));
            }
            _ => {}
        }
    }

    fn save(&mut self, actions: &mut Vec<Action>) {
        let saved = Saved {
            version: Saved::VERSION,
            asked: self.asked.clone(),
            places: self
                .places
                .iter()
                .map(|((home, family), place)| (home.clone(), *family, place.clone()))
                .collect(),
            failed: self.failed.clone(),
            sysctls: self
                .sysctls
                .iter()
                .map(|((name, sysctl), value)| (name.clone(), *sysctl, *value))
                .collect(),
            nexthops: self
                .nexthops
                .iter()
                .map(|(key, id)| (key.clone(), *id))
                .collect(),
            shadowed: self.shadows.saved(),
        };
        if saved != self.last_saved {
            self.last_saved = saved.clone();
            actions.push(Action::Save(Box::new(saved)));
        }
    }

    /// Where a logical is now.
    fn place_of(&self, logical: &Logical) -> LogicalName {
        self.places
            .get(&(logical.home.clone(), logical.family()))
            .cloned()
            .unwrap_or_else(|| logical.home.clone())
    }

    fn set_place(&mut self, home: &LogicalName, family: Family, place: LogicalName) {
        let key = (home.clone(), family);
        if place == *home {
            self.places.remove(&key);
        } else {
            self.places.insert(key, place);
        }
    }

    /// Whether an interface is in a group.
    fn is_member(&self, name: &InterfaceName) -> bool {
        self.asked
            .interfaces
            .get(name)
            .is_some_and(|interface| interface.group.is_some())
    }
}

/// Passes on what detection found; whether it said something, which may have consequences.
fn report(findings: Vec<Finding>, actions: &mut Vec<Action>) -> bool {
    let mut spoke = false;
    for finding in findings {
        match finding {
            Finding::Send(probe) => actions.push(Action::Probe(probe)),
            Finding::Say(message) => {
                spoke = true;
                actions.push(Action::Log(message));
            }
        }
    }
    spoke
}

#[cfg(test)]
mod tests;
