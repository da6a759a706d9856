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
//! | one [`Asked`] | the engine | what the administrator typed; changed by commands, and where a move ended (`moving`) |
//! | one `places` | the engine | where each address that is not at home is |
//! | one [`Kernel`] | the engine | what netlink told last |
//! | one [`Detection`] | the engine | which interfaces work |
//! | one plan at most | the driver | operations under way; the next waits for their results |

mod adopt;
mod announce;
mod chronicle;
mod commands;
mod contest;
mod failures;
mod index;
mod layout;
mod linger;
mod lookup;
mod moving;
mod outages;
mod picture;
mod refusals;
mod shadow;
mod totals;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// Whether something was found of which the consequences are still to be drawn, at once.
    is_unsettled: bool,
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
    /// Those of them that are under way. A daemon that was killed amid them leaves them to the next.
    unfinished: Vec<Operation>,
    /// Interfaces whose device came back and has to be set up again.
    raising: BTreeSet<InterfaceName>,
    /// The plan under way.
    applying: Option<Plan>,
    /// The command under way and what to return to if the kernel refuses it.
    pending: Option<Pending>,
    /// Commands that wait for their turn.
    queue: VecDeque<(u64, Command)>,
    /// Moves that are to be reported, each when the address is in its place.
    moved: BTreeMap<LogicalKey, Message>,
    contests: contest::Contests,
    failures: failures::Failures,
    chronicle: chronicle::Chronicle,
    outages: outages::Outages,
    totals: totals::Counted,
    lingering: linger::Lingering,
    refusals: refusals::Refusals,
    last_saved: Saved,
}

/// A command whose plan is under way.
#[derive(Clone, Debug)]
struct Pending {
    id: u64,
    answer: Answer,
    before: Before,
    /// What failed before it: not its fault.
    failing: BTreeSet<Operation>,
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
            is_unsettled: false,
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
            retired: saved.retired.iter().copied().collect(),
            once: saved.unfinished.clone(),
            unfinished: Vec::new(),
            raising: BTreeSet::new(),
            applying: None,
            pending: None,
            queue: VecDeque::new(),
            moved: BTreeMap::new(),
            contests: contest::Contests::default(),
            failures: failures::Failures::default(),
            chronicle: chronicle::Chronicle::default(),
            outages: outages::Outages::default(),
            totals: totals::Counted::default(),
            lingering: linger::Lingering::default(),
            refusals: refusals::Refusals::default(),
            asked: saved.asked.clone(),
            last_saved: saved,
        }
    }

    /// Takes one event at `now` and says what is to be done. `now` never goes backwards.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        let mut actions = self.decide(now, event);
        self.record(now, &mut actions);
        actions
    }

    fn decide(&mut self, now: Time, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Reply(reply) => {
                let findings = self.detection.reply(now, &reply);
                if !report(findings, &mut actions) && !self.has_health_changed() {
                    return actions;
                }
            }
            Event::Neighbours(neighbours) => {
                self.detection.neighbours(&neighbours);
                return actions;
            }
            Event::Carriers(seen) => {
                self.note_carriers(&seen);
                return actions;
            }
            Event::TellProbes(tells) => {
                self.detection.tell_probes(tells);
                return actions;
            }
            Event::Tick => {
                let is_left_over = std::mem::take(&mut self.is_unsettled);
                let spoke = is_left_over || {
                    let findings = self.detection.tick(now);
                    report(findings, &mut actions) || self.has_health_changed()
                };
                let is_due = self.next_own_deadline().is_some_and(|at| at <= now);
                if !spoke && !is_due {
                    return actions;
                }
                // To decide everything anew takes time, by which probes would leave late and their
                // round trips seem long: they go first.
                if actions
                    .iter()
                    .any(|action| matches!(action, Action::Probe(_)))
                {
                    self.is_unsettled = true;
                    return actions;
                }
                self.announcements.due(now, &self.kernel, &mut actions);
                self.shadows.expire(now, &self.kernel);
                self.watch.expire(now);
                self.contests.expire(now);
                self.lingering.expire(now);
                self.refusals.expire(now);
            }
            Event::Kernel(changes) => {
                self.observe(now, changes, &mut actions);
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
            Event::Applied(results) => {
                self.applied(now, results, &mut actions);
                // Neighbours hear of new places before anything else is done: until they do, traffic
                // goes to the old ones.
                self.announcements.due(now, &self.kernel, &mut actions);
            }
        }
        if self.seen {
            self.settle(now, &mut actions);
            self.announcements.due(now, &self.kernel, &mut actions);
        }
        actions
    }

    /// When [`Event::Tick`] is to be fed next at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.is_unsettled {
            return Some(Time::ZERO);
        }
        [self.detection.next_deadline(), self.next_own_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// When something other than detection has something to do.
    fn next_own_deadline(&self) -> Option<Time> {
        [
            self.announcements.next_deadline(),
            self.shadows.next_deadline(),
            self.watch.next_deadline(),
            self.contests
                .next_deadline()
                .filter(|_| self.applying.is_none()),
            self.lingering.next_deadline(),
            self.refusals.next_deadline(),
            self.failures
                .next_deadline(|operation| !self.contests.holds(operation))
                .filter(|_| self.applying.is_none()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The links of interfaces that are watched, by number, in ascending order.
    pub fn tracked_links(&self) -> Vec<u32> {
        let tracked = self.asked.interfaces.keys();
        let links = tracked
            .filter(|name| self.is_tracked(name))
            .filter_map(|name| self.link(name));
        let mut links: Vec<u32> = links.map(|link| link.index).collect();
        links.sort_unstable();
        links
    }

    /// The name of a link, by number.
    pub fn link_name(&self, link: u32) -> Option<&InterfaceName> {
        self.kernel.links.get(&link).map(|link| &link.name)
    }

    /// Whether a link, by number, is up with carrier as far as the kernel has told.
    pub fn is_running(&self, link: u32) -> bool {
        self.kernel
            .links
            .get(&link)
            .is_some_and(crate::kernel::Link::is_running)
    }

    /// What there is to see without a daemon: what an earlier one left, over what the kernel holds.
    pub fn view(saved: Option<Saved>, kernel: Kernel) -> Snapshot {
        let mut engine = Self::new(Settings::default(), saved, 0);
        engine.kernel = kernel;
        engine.index.renew_links(&engine.kernel);
        engine.adopt();
        engine.snapshot()
    }

    fn observe(&mut self, now: Time, changes: Vec<Change>, actions: &mut Vec<Action>) {
        let mut first = false;
        let mut is_about_links = false;
        let mut hand = None;
        for change in changes {
            if let Change::By(by) = change {
                hand = by;
                continue;
            }
            first |= !self.seen && matches!(change, Change::Resync(_));
            is_about_links |= matches!(
                change,
                Change::Link(_) | Change::LinkGone(_) | Change::Resync(_)
            );
            self.shadows.observe(now, &change, &self.kernel);
            let index = &self.index;
            self.contests
                .observe(now, &change, hand.as_ref(), &self.kernel, |ip| {
                    index.is_asked(ip)
                });
            if let Change::LinkGone(index) = &change
                && let Some(link) = self.kernel.links.get(index)
                && self.is_member(&link.name)
            {
                let interface = link.name.clone();
                actions.push(Action::Log(Message::InterfaceRemoved { interface }));
            }
            self.kernel.apply(change);
        }
        self.seen |= first;
        if is_about_links {
            let before = self.index.renew_links(&self.kernel);
            if !first {
                self.find_returned(&before, actions);
            }
        }
        if first {
            self.find_exchanged();
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
        self.adopt_link_local();
    }

    /// A plumbed interface whose device came back, under whatever circumstances, is set up again.
    fn find_returned(&mut self, before: &BTreeMap<InterfaceName, u32>, actions: &mut Vec<Action>) {
        let returned: Vec<InterfaceName> = self
            .asked
            .interfaces
            .keys()
            .filter(|name| {
                let index = self.link(name).map(|link| link.index);
                index.is_some() && index != before.get(*name).copied()
            })
            .cloned()
            .collect();
        if !returned.is_empty() {
            // Its sysctls are new too.
            actions.push(Action::Observe);
        }
        self.raising.extend(returned);
    }

    /// The same, when the device came back while no daemon ran. One that is as it was, but down, was set
    /// down by somebody.
    fn find_exchanged(&mut self) {
        let exchanged: Vec<InterfaceName> = self
            .last_saved
            .links
            .iter()
            .filter(|(name, index)| self.link(name).is_some_and(|l| Some(l.index) != **index))
            .map(|(name, _)| name.clone())
            .collect();
        self.raising.extend(exchanged);
    }

    /// Decides everything anew and starts on the difference, if nothing is under way.
    fn settle(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.is_unsettled = false;
        self.chronicle.settled();
        loop {
            self.watch_all(now, actions);
            if self.place(now) {
                // Placement decides who is inactive, which detection must know.
                self.watch_all(now, actions);
                // What is where it goes already is told before it is taken from where it was.
                self.announcements.due(now, &self.kernel, actions);
            }
            if self.applying.is_some() {
                break;
            }
            let plan = self.plan(now, actions);
            if !plan.is_empty() {
                self.save(actions);
                self.applying = Some(plan.clone());
                actions.push(Action::Apply(plan));
                break;
            }
            self.unfinished.clear();
            self.report_moves(actions);
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
            self.failures.release(now);
            self.contests.release();
            let failing = self.failures.known();
            let before = Before {
                asked: self.asked.clone(),
                places: self.places.clone(),
                returning: self.returning.clone(),
                retired: self.retired.clone(),
            };
            let outcome = self.command(now, command, actions);
            self.index.renew_asked(&self.asked);
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
        }
    }

    fn restore(&mut self, before: Before) {
        self.asked = before.asked;
        self.index.renew_asked(&self.asked);
        let places = std::mem::replace(&mut self.places, before.places);
        self.disown_moves(&places);
        self.returning = before.returning;
        self.retired = before.retired;
        self.once.clear();
    }

    fn plan(&mut self, now: Time, actions: &mut Vec<Action>) -> Plan {
        let layout = self.layout();
        let desired = layout.desired(&self.kernel);
        let ours = self.our_addresses();
        let retired = &self.retired;
        let mut plan = plan::plan(&self.kernel, &desired, &mut self.nexthops, |address| {
            address.protocol == crate::kernel::PROTOCOL
                || retired.contains(&(address.index, address.address))
                || ours.contains(&(address.index, address.address.ip))
        });
        self.linger(now, &mut plan.operations);
        let index = &self.index;
        self.raising.retain(|name| {
            let link = index
                .link(name)
                .and_then(|index| self.kernel.links.get(&index));
            link.is_some_and(|link| !link.up)
        });
        let raised = self.raising.iter().filter_map(|name| index.link(name));
        let ups: Vec<Operation> = raised
            .map(|index| Operation::SetUp { index, up: true })
            .collect();
        self.retired
            .retain(|key| self.kernel.addresses.contains_key(key));

        plan.operations.splice(0..0, ups);

        // What failed a moment ago is not tried again at once, but does not hold up the rest.
        self.failures.retain(&plan.operations);
        self.contests.retain(&plan.operations);
        plan.operations.retain(|operation| {
            !self.failures.holds(now, operation) && !self.contests.is_contested(now, operation)
        });
        self.say_undone(&plan.operations, actions);

        // What a command asked for is done once, and so never left out. A link is set up before anything
        // is put on it, and down after everything was told to leave.
        self.unfinished.append(&mut self.once);
        let (downs, once): (Vec<Operation>, Vec<Operation>) = self
            .unfinished
            .iter()
            .cloned()
            .partition(|operation| matches!(operation, Operation::SetUp { up: false, .. }));
        plan.operations.splice(0..0, once);
        plan.operations.extend(downs);
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
        self.unfinished.clear();
        let mut refused = None;
        let mut failed = false;
        for (operation, result) in plan.operations.into_iter().zip(results) {
            let error = match result {
                Ok(()) => {
                    self.succeeded(now, &operation);
                    self.contests.note(now, &operation);
                    self.failures.forget(&operation);
                    self.refusals.forget(&operation);
                    continue;
                }
                Err(error) => error,
            };
            failed = true;
            let by_command = self
                .pending
                .as_ref()
                .is_some_and(|pending| !pending.failing.contains(&operation));
            if by_command {
                refused.get_or_insert(error);
                continue;
            }
            self.refusals.note(now, &operation, &error);
            let text = operation.to_string();
            let reason = error.to_string();
            if self.failures.note(now, operation, reason.clone()) {
                actions.push(Action::Log(Message::OperationFailed {
                    operation: text,
                    reason,
                }));
            }
        }
        if failed {
            // What we believe of the kernel did not hold.
            actions.push(Action::Observe);
        }
        if let Some(error) = refused
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

    /// Says which moves are done: when all addresses that one message is about are in place.
    fn report_moves(&mut self, actions: &mut Vec<Action>) {
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

    /// Whether the kernel holds a logical where it is placed, if it is to hold it at all.
    fn is_in_place(&self, (home, family): &LogicalKey) -> bool {
        let logical = self
            .asked
            .logicals
            .iter()
            .find(|logical| logical.home == *home && logical.family() == *family);
        let Some(logical) = logical.filter(|logical| self.is_effectively_up(logical)) else {
            return true;
        };
        let place = self.place_of(logical);
        self.link(&place.interface).is_some_and(|link| {
            self.kernel
                .addresses
                .contains_key(&(link.index, logical.address))
        })
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
            retired: self.retired.iter().copied().collect(),
            unfinished: self.unfinished.clone(),
            links: self
                .asked
                .interfaces
                .keys()
                .map(|name| (name.clone(), self.link(name).map(|link| link.index)))
                .collect(),
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
            Finding::Probed(probed) => actions.push(Action::Probed(probed)),
            Finding::ReadNeighbours(links) => actions.push(Action::ReadNeighbours(links)),
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
