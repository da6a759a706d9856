//! The engine: one function of (state, time, event).
//!
//! Every event ends in [`Engine::settle`], which asks in turn: which interfaces work (detection),
//! which should hold what (placement), what should the kernel hold then (desired), how does it get
//! there (plan)? A restart, a lost notification, an address deleted by somebody else and a move cut
//! short are the same case, a difference to plan away. What a difference does not tell is remembered:
//! what a command wants done once (`unfinished`), and which addresses were ours and are to go
//! (`retired`).
//!
//! | there is | owned by | what it is | room |
//! |---|---|---|---|
//! | one [`Asked`] | the engine | what the administrator typed; changed by commands, and where a move ended | `commands`, `turn`, `moving` |
//! | one [`Kernel`] | the engine | what netlink told last | `observe`, `index` |
//! | one [`Detection`] | the engine | which interfaces work | `watch` |
//! | one `places` | the engine | where each address that is not at home is | `places`, `layout` |
//! | one plan at most | the driver | operations under way; the next waits for their results | `perform` |

mod about;
mod adopt;
mod announce;
mod chronicle;
mod commands;
mod conflicts;
mod contest;
mod failures;
mod index;
mod layout;
mod linger;
mod lookup;
mod moving;
mod observe;
mod outages;
mod perform;
mod picture;
mod places;
mod refusals;
mod save;
mod service;
mod shadow;
mod teardown;
mod totals;
mod turn;
mod units;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::asked::{NexthopKey, Saved};
use crate::command::Command;
use crate::detect::{Detection, Finding};
use crate::kernel::{Address, AddressKey, Sysctl};
use crate::plan::{Operation, Plan};
use crate::{
    Action, Asked, Event, Family, InterfaceName, Kernel, LogicalName, MacAddress, Message,
    Settings, Snapshot, Time,
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
    /// Those of them whose probes were lost while their link was up: of them a link says little.
    silent: BTreeSet<InterfaceName>,
    /// Interfaces whose hardware address another member of their group has: offline until it has not.
    duplicates: BTreeMap<InterfaceName, InterfaceName>,
    /// Interfaces put back into service, whose addresses come home even with `FAILBACK=no`.
    returning: BTreeSet<InterfaceName>,
    /// Sysctls as they were before their interface joined a group.
    sysctls: BTreeMap<(InterfaceName, Sysctl), i32>,
    /// Addresses as they were before they became ours, by the interface they are on.
    found: BTreeMap<InterfaceName, Vec<Address>>,
    /// Everything is being put back as it was.
    teardown: Option<teardown::Teardown>,
    /// Everything was.
    is_over: bool,
    /// Numbers of our nexthop objects.
    nexthops: BTreeMap<NexthopKey, u32>,
    shadows: shadow::Shadows,
    watch: watch::Watch,
    announcements: announce::Announcements,
    /// Addresses that were ours and are to go, though nothing asked for names them any more.
    retired: BTreeSet<AddressKey>,
    /// Operations that a command asked for and that are done once: link up, hardware address, MTU.
    once: Vec<Operation>,
    /// Those of them that are planned and not done yet. A daemon that was killed amid them leaves them to the
    /// next.
    unfinished: Vec<Operation>,
    /// Interfaces whose device came back and has to be set up again.
    raising: BTreeSet<InterfaceName>,
    /// The plan under way.
    applying: Option<Plan>,
    /// The command under way.
    pending: Option<turn::Pending>,
    /// Commands that wait for their turn.
    queue: VecDeque<(u64, Command)>,
    /// Moves that are to be reported, each when the address is in its place.
    moved: BTreeMap<LogicalKey, Message>,
    contests: contest::Contests,
    conflicts: conflicts::Conflicts,
    failures: failures::Failures,
    chronicle: chronicle::Chronicle,
    outages: outages::Outages,
    totals: totals::Counted,
    lingering: linger::Lingering,
    refusals: refusals::Refusals,
    last_saved: Saved,
}

impl Engine {
    /// An engine that has not seen the kernel yet: the first event must be a [`Change::Resync`](crate::kernel::Change::Resync).
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
            silent: saved.silent.clone(),
            duplicates: BTreeMap::new(),
            returning: BTreeSet::new(),
            sysctls: saved
                .sysctls
                .iter()
                .map(|(interface, sysctl, value)| ((interface.clone(), *sysctl), *value))
                .collect(),
            found: saved.found.clone(),
            teardown: None,
            is_over: false,
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
            conflicts: conflicts::Conflicts::default(),
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
        if self.is_over {
            return Vec::new();
        }
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
            Event::Enquired { left } => {
                if !self.enquired(now, &left) {
                    return actions;
                }
            }
            Event::Claims(claims) => {
                if !self.claimed(now, &claims) {
                    self.enquire(now, &mut actions);
                    return actions;
                }
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
                if self.conflicts.next_deadline().is_some_and(|at| at <= now) {
                    self.conflicts.hear_out(now);
                    self.enquire(now, &mut actions);
                }
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
                self.conflicts.release_all(now);
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
        if self.is_over {
            return None;
        }
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
            self.conflicts
                .next_deadline()
                .filter(|_| self.teardown.is_none()),
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

    /// The hardware addresses of all links.
    pub fn macs(&self) -> impl Iterator<Item = MacAddress> {
        self.kernel.links.values().filter_map(|link| link.mac)
    }

    /// Whether other hosts are asked for addresses and believed if they claim one.
    pub const fn looks_for_conflicts(&self) -> bool {
        self.settings.duplicate_address_detection
    }

    /// Whether others are being asked for an address that is to be brought up: the next tick may decide on it,
    /// and what they have answered until then goes before.
    pub fn awaits_claims(&self) -> bool {
        self.conflicts.is_asking_any()
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
        // Nobody is asked, so that nothing waits for an answer.
        let settings = Settings {
            duplicate_address_detection: false,
            ..Settings::default()
        };
        let mut engine = Self::new(settings, saved, 0);
        engine.kernel = kernel;
        engine.index.renew_links(&engine.kernel);
        engine.adopt();
        engine.snapshot()
    }

    /// Decides everything anew and starts on the difference, if nothing is under way.
    fn settle(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.is_unsettled = false;
        self.chronicle.settled();
        loop {
            self.find_duplicates(actions);
            self.find_conflicts(now, actions);
            self.watch_all(now, actions);
            if self.place(now) {
                self.find_conflicts(now, actions);
                // Placement decides who is inactive, which detection must know.
                self.watch_all(now, actions);
                // What is where it goes already is told before it is taken from where it was.
                self.announcements.due(now, &self.kernel, actions);
            }
            self.note_consequences();
            if self.carries_out_checked(now, actions) {
                continue;
            }
            if self.applying.is_some() {
                break;
            }
            let plan = self.plan(now, actions);
            if !plan.is_empty() {
                if !self.count_plan(actions) {
                    continue;
                }
                self.save(actions);
                self.applying = Some(plan.clone());
                actions.push(Action::Apply(plan));
                break;
            }
            self.unfinished.clear();
            self.report_moves(actions);
            // Until then something is left to wait for.
            let waits = self.teardown.is_some() && !self.end();
            self.save(actions);
            if waits || self.awaits_others() {
                break;
            }
            self.answer(actions);
            if self.is_over || !self.takes_command(now, actions) {
                break;
            }
        }
        // Behind the plan, as no move waits for that.
        self.listen(actions);
        self.enquire(now, actions);
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
