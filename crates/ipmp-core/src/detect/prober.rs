//! Probing of one interface in one family: what is sent, what comes back, what is lost.
//!
//! There are three kinds of probes. *Failure probes* go to one target after the other; only they
//! decide whether the interface works. *Discovery* looks for hosts to use as targets: by multicast,
//! and by asking those whom the kernel knows as neighbours. *RTT-only* probes go out while the group's
//! detection time is raised, to see whether it can be lowered again.
//!
//! Where a failure is confirmed, a late failure probe is followed by a burst of them: see [`confirm`].
//! Where echo requests are sent, ARP requests or neighbour solicitations go along with the burst. Their
//! answers do not show that the path works (a switch may answer ARP for hosts behind it), but that the
//! targets may be to blame, which perhaps limit how many echo requests they answer.
//!
//! [`confirm`]: super::confirm

mod accept;
mod send;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

pub(super) use self::accept::Accepted;
use super::confirm::{Confirmation, Patience};
use super::history::{HISTORY, History, Losses, Outcome, Sample};
use super::means::Means;
use super::random::Random;
use super::schedule::Schedule;
use super::tally::Tally;
use super::targets::{Reserve, Targets};
use super::{Finding, Probed, not_probing};
use crate::snapshot::{ProbeState, Probing, Target, TargetMode};
use crate::{Family, InterfaceName, Time};

/// Losses in a row that make a failure.
pub(super) const LOSSES_TO_FAIL: usize = 5;
/// Answers in a row that make a repair.
pub(super) const ANSWERS_TO_REPAIR: usize = 10;
/// How many discovery, RTT-only and side probes are remembered, of each.
const SIDE_HISTORY: usize = 8;
/// Targets whose echo limit is one a second are given the time for one answer, and a half.
const LIMITED: Duration = Duration::from_millis(1_500);

/// How fast a group probes, and how it decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Interval of failure probes, in force.
    pub(super) interval: Duration,
    /// Interval as configured; shorter while the one in force is raised.
    pub(super) configured: Duration,
    /// Failure detection time in force.
    pub(super) detection_time: Duration,
    /// How failures are confirmed; `None` if they are not.
    pub(super) confirm: Option<Burst>,
}

/// How a failure is confirmed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    /// How long everything must be silent.
    pub(super) silence: Duration,
    /// How many probes are sent meanwhile.
    pub(super) probes: u8,
}

#[derive(Clone, Debug)]
pub(super) struct Prober {
    means: Means,
    identifier: u16,
    pub(super) targets: Targets,
    history: History,
    discovery: History,
    round_trip: History,
    /// Solicitations that go along with echo requests.
    side: History,
    sequence: u16,
    /// Failure probes and discovery; none while the link is down or the interface offline.
    schedule: Option<Schedule>,
    /// RTT-only probes.
    extra: Option<Schedule>,
    /// When the next probe is decided, if that is before the next send.
    decision: Option<Time>,
    confirmation: Option<Confirmation>,
    patience: Patience,
    /// Up to when everything due was done.
    done: Time,
    quiet_until: Option<Time>,
    /// When the first answer came.
    heard: Option<Time>,
    last_answer: Option<Time>,
    /// When somebody answered on the link layer, though perhaps no echo came back.
    last_advertisement: Option<Time>,
    /// Whether it was said that targets do not answer though they are there.
    targets_blamed: bool,
    extra_turn: usize,
    /// Whom the kernel knows as neighbours, and whom it may have forgotten: asked in turn while hosts are
    /// looked for.
    candidates: Vec<IpAddr>,
    /// Hosts that were probed until all of them fell silent.
    former: Vec<IpAddr>,
    /// From when on the kernel may be asked for neighbours again.
    look_at: Time,
    looks: bool,
    /// Whether every probe's fate is told.
    tells: bool,
    tally: Tally,
}

impl Prober {
    /// Begins a quiet period; [`Prober::start`] begins to send.
    pub(super) fn new(now: Time, identifier: u16, means: Means, quiet: Duration) -> Self {
        Self {
            means,
            identifier,
            targets: Targets::default(),
            history: History::new(HISTORY),
            discovery: History::new(SIDE_HISTORY),
            round_trip: History::new(SIDE_HISTORY),
            side: History::new(SIDE_HISTORY),
            sequence: 0,
            schedule: None,
            extra: None,
            decision: None,
            confirmation: None,
            patience: Patience::default(),
            done: now,
            quiet_until: Some(now + quiet),
            heard: None,
            last_answer: None,
            last_advertisement: None,
            targets_blamed: false,
            extra_turn: 0,
            candidates: Vec::new(),
            former: Vec::new(),
            look_at: now,
            looks: false,
            tells: false,
            tally: Tally::default(),
        }
    }

    pub(super) const fn means(&self) -> &Means {
        &self.means
    }

    /// What was counted since it began.
    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes means by which what is known stays true.
    pub(super) fn set_means(&mut self, means: Means) {
        self.targets.forget(|address| !means.reaches(address));
        self.means = means;
    }

    /// Whether every probe's fate is told from now on.
    pub(super) const fn tell(&mut self, tells: bool) {
        self.tells = tells;
    }

    pub(super) const fn family(&self) -> Family {
        self.means.family()
    }

    /// Whether there is somebody to probe.
    pub(super) fn is_capable(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Whether it matters: without targets, one that nobody asked for does not.
    pub(super) fn counts(&self) -> bool {
        !self.means.is_optional() || self.is_capable()
    }

    /// Whether probes go out.
    pub(super) const fn is_running(&self) -> bool {
        self.schedule.is_some()
    }

    /// When a target answered last.
    pub(super) const fn last_answer(&self) -> Option<Time> {
        self.last_answer
    }

    /// Whether the link layer answers since `since`, though no echo does.
    pub(super) fn hears_neighbours(&self, since: Time) -> bool {
        self.means.has_echo() && self.last_advertisement.is_some_and(|at| at > since)
    }

    pub(super) fn is_quiet(&self, now: Time) -> bool {
        self.quiet_until.is_some_and(|until| now < until)
    }

    pub(super) fn losses(&self) -> Losses {
        self.history.losses(None)
    }

    /// The target of the newest decided probe if that was lost.
    pub(super) fn just_lost(&self) -> Option<IpAddr> {
        let newest = self.history.newest_decided()?;
        (newest.outcome != Outcome::Answered).then_some(newest.target)
    }

    pub(super) fn losses_of(&self, target: IpAddr) -> usize {
        self.history.losses(Some(target)).count
    }

    /// Whether losses have lasted long enough to be believed.
    pub(super) fn is_confirmed(&self, now: Time, pace: Pace) -> bool {
        pace.confirm.is_none()
            || self
                .confirmation
                .as_ref()
                .is_some_and(|confirmation| confirmation.is_over(now))
    }

    /// Whether the other members of the group are to be asked now whether they hear something; if so,
    /// it counts as done.
    pub(super) fn take_question(&mut self, now: Time) -> bool {
        self.confirmation
            .as_mut()
            .is_some_and(|confirmation| confirmation.take_question(now))
    }

    /// Finds out at once whether targets still answer, because another interface suspects itself.
    pub(super) fn testify(&mut self, now: Time, pace: Pace) {
        let is_over = |known: &Confirmation| known.is_testimony() && known.is_over(now);
        if let Some(burst) = pace.confirm
            && self.is_running()
            && self.is_capable()
            && self.confirmation.as_ref().is_none_or(is_over)
        {
            let silence = self.silence(now, pace, burst);
            self.confirmation = Some(Confirmation::testimony(now, silence, burst.probes));
        }
    }

    /// Whether a suspicion is being confirmed that began in this very moment.
    pub(super) fn begins_to_suspect(&self, now: Time) -> bool {
        self.confirmation
            .as_ref()
            .is_some_and(|confirmation| confirmation.began() == now && !confirmation.is_testimony())
    }

    /// Ends a suspicion: there was a verdict.
    pub(super) fn convict(&mut self) {
        self.confirmation = None;
    }

    /// Ends a suspicion: the targets are to blame, and what was lost meanwhile counts for nothing.
    /// Tells whether that is news.
    pub(super) fn acquit(&mut self) -> bool {
        self.confirmation = None;
        self.history.void_all();
        !std::mem::replace(&mut self.targets_blamed, true)
    }

    /// Looks for other hosts than those that it probed, who may be gone: what was lost with them counts for
    /// nothing.
    pub(super) fn forget_hosts(&mut self) {
        self.confirmation = None;
        self.history.void_all();
        let hosts: Vec<IpAddr> = self.targets.hosts().collect();
        if !hosts.is_empty() {
            self.former = hosts;
            let neighbours = self.candidates.clone();
            self.set_candidates(neighbours.into_iter());
        }
        self.targets.flush_hosts();
    }

    /// Whether enough probes sent since `failed` were answered in a row, over all targets or by one.
    pub(super) fn is_repaired(&self, failed: Time) -> bool {
        self.answers(failed) >= ANSWERS_TO_REPAIR
    }

    /// How many probes sent since `failed` were answered in a row: over all targets or by the one that was
    /// asked last, whichever is more.
    pub(super) fn answers(&self, failed: Time) -> usize {
        let by_last = self.history.newest_decided().map_or(0, |newest| {
            self.history.answers(Some(newest.target), failed)
        });
        by_last.max(self.history.answers(None, failed))
    }

    /// Starts sending, at a random point of the first interval.
    pub(super) fn start(&mut self, now: Time, pace: Pace, random: &mut Random) {
        self.schedule = Some(Schedule::new(now, pace.interval, random));
        self.done = now;
        self.extra = None;
        self.decision = None;
        self.confirmation = None;
    }

    /// Stops sending and forgets what was sent.
    pub(super) fn stop(&mut self) {
        self.schedule = None;
        self.extra = None;
        self.decision = None;
        self.confirmation = None;
        self.history.clear();
        self.discovery.clear();
        self.round_trip.clear();
        self.side.clear();
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        let schedule = self.schedule.as_ref()?;
        [
            Some(schedule.next()),
            self.decision,
            self.extra.as_ref().map(Schedule::next),
            self.confirmation
                .as_ref()
                .and_then(|confirmation| confirmation.deadline(self.done)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Decides which probes are lost, and begins to suspect. If we come more than an interval too
    /// late, nobody can tell any more which answers would have been in time: what is undecided then is
    /// void. `suspects` tells whether there is anything to suspect: a failed interface is known to
    /// have failed.
    pub(super) fn decide(
        &mut self,
        now: Time,
        name: &InterfaceName,
        pace: Pace,
        suspects: bool,
        findings: &mut Vec<Finding>,
    ) {
        let late = self
            .deadline()
            .map_or(Duration::ZERO, |deadline| now.since(deadline));
        if let Some(confirmation) = &mut self.confirmation {
            confirmation.overslept(late);
        }
        let mut lost = None;
        for sample in self.history.undecided() {
            if late > pace.interval {
                self.tally.void += 1;
                sample.outcome = Outcome::Void;
            } else if now.since(sample.sent) >= patience(&self.targets, sample.target, pace) {
                sample.outcome = Outcome::Lost(now);
                self.tally.lost += 1;
                lost = Some((sample.sent, sample.target));
                if self.tells {
                    findings.push(Finding::Probed(fate(name, &self.targets, sample, None)));
                }
            }
        }
        self.done = now;
        self.decision = self.next_decision(now, pace);
        if let (Some((sent, target)), Some(burst)) = (lost, pace.confirm)
            && suspects
            && self.confirmation.is_none()
            && self.is_suspicious(target)
        {
            let silence = self.silence(now, pace, burst);
            self.confirmation = Some(Confirmation::new(now, sent, silence, burst.probes));
            self.tally.confirmations += 1;
        }
    }

    /// What there is to see.
    pub(super) fn probing(&self, offline: bool, failed: bool) -> Probing {
        let (mode, state) = if offline || !self.counts() {
            (TargetMode::Disabled, ProbeState::Disabled)
        } else {
            let mode = if !self.means.has_echo() {
                TargetMode::Arp
            } else if self.targets.are_named() {
                TargetMode::Configured
            } else if self.targets.has_routers() {
                TargetMode::Routes
            } else {
                TargetMode::Multicast
            };
            let state = if failed || self.losses().count >= LOSSES_TO_FAIL {
                ProbeState::Failed
            } else if self.is_capable() {
                ProbeState::Ok
            } else {
                ProbeState::Unknown
            };
            (mode, state)
        };
        let mut probing = Probing {
            mode,
            test_address: self.means.test().map(|test| test.ip),
            targets: self
                .targets
                .active()
                .iter()
                .map(|target| Target {
                    address: target.address,
                    rtt_average: target.estimate.mean(),
                    rtt_deviation: target.estimate.deviation(),
                })
                .collect(),
            state,
            ..not_probing(self.family())
        };
        self.tally.add_to(&mut probing);
        probing
    }

    /// Stops probing a target that does not answer while others do. Tells whether another one must
    /// be looked for.
    pub(super) fn drop_dead(&mut self, now: Time, target: IpAddr) -> bool {
        self.targets.set_aside(target, Reserve::Dead(now))
    }

    /// Takes those whom the kernel knows as neighbours; only those in reach are of use.
    pub(super) fn set_candidates(&mut self, neighbours: impl Iterator<Item = IpAddr>) {
        /// A switch segment may have thousands.
        const MOST: usize = 64;
        let known = neighbours.chain(self.former.iter().copied());
        let mut known: BTreeSet<IpAddr> = known.filter(|&ip| self.means.reaches(ip)).collect();
        // Those that were not asked yet are next, and the others go on in turn.
        self.candidates.retain(|candidate| known.remove(candidate));
        let room = MOST.saturating_sub(self.candidates.len());
        self.candidates.splice(..0, known.into_iter().take(room));
    }

    /// Takes a host as a target, if there is use for it. Of one that `is_marked` the targets may have gone since:
    /// one that lost enough probes makes way.
    pub(super) fn offer_host(&mut self, host: IpAddr, is_marked: bool) {
        let is_silent = |host: &IpAddr| is_marked && self.losses_of(*host) >= LOSSES_TO_FAIL;
        let silent = self.targets.hosts().find(is_silent);
        self.targets.offer_host(host, silent);
    }

    /// Whether the kernel is to be asked for neighbours.
    pub(super) const fn looks(&self) -> bool {
        self.looks
    }

    /// The same; if so, it counts as done.
    pub(super) fn take_look(&mut self) -> bool {
        std::mem::take(&mut self.looks)
    }

    /// Whether the loss of a probe to `target` may be more than that target's fault: it is the first
    /// that this one loses, or others lost theirs before.
    fn is_suspicious(&self, target: IpAddr) -> bool {
        self.losses().count > 1 || self.losses_of(target) == 1 || self.targets.sole().is_some()
    }

    /// How long silence must last now: as long as set, twice as long as one that ended by itself, and
    /// long enough for answers; but five intervals suffice in any case, as they do without bursts.
    fn silence(&self, now: Time, pace: Pace, burst: Burst) -> Duration {
        /// Round trips that must fit in.
        const ROUND_TRIPS: u32 = 4;
        let slowest = self.targets.active().iter();
        let slowest = slowest.map(|target| patience(&self.targets, target.address, pace));
        let answers = slowest.max().unwrap_or_default() * ROUND_TRIPS;
        let longest = pace.interval.saturating_mul(5).max(burst.silence);
        burst
            .silence
            .max(self.patience.least(now))
            .max(answers)
            .min(longest)
    }

    /// With nothing left to decide there is nothing to do before the next send.
    pub(super) fn rest(&mut self) {
        if self.history.undecided().next().is_none() {
            self.decision = None;
        }
    }

    fn next_decision(&mut self, now: Time, pace: Pace) -> Option<Time> {
        self.history
            .undecided()
            .map(|sample| sample.sent + patience(&self.targets, sample.target, pace))
            .filter(|&decision| decision > now)
            .min()
    }
}

/// How long an answer is waited for. Without confirmation: as long as the target is expected to take,
/// not less than the shortest gap between two probes and not more than an interval. With it: as long
/// as the target is expected to take, and a little more for hiccups, as being wrong costs no more than
/// a few probes.
fn patience(targets: &Targets, target: IpAddr, pace: Pace) -> Duration {
    /// Hiccups of hosts are shorter than this.
    const HICCUP: Duration = Duration::from_millis(20);
    /// Wake-ups are no more exact than this.
    const WAKE_UP: Duration = Duration::from_millis(1);
    let interval = pace.interval;
    let critical = targets
        .active()
        .iter()
        .find(|t| t.address == target)
        .and_then(|t| t.estimate.critical());
    match pace.confirm {
        None => critical.map_or(interval, |critical| critical.clamp(interval / 2, interval)),
        Some(burst) => critical
            .unwrap_or_else(|| burst.silence / 4)
            .max((interval / 10).clamp(WAKE_UP, HICCUP))
            .min(interval),
    }
}

/// What is told of a decided probe.
fn fate(
    name: &InterfaceName,
    targets: &Targets,
    sample: &Sample,
    received: Option<Time>,
) -> Probed {
    let target = targets.active().iter().find(|t| t.address == sample.target);
    Probed {
        interface: name.clone(),
        sequence: sample.sequence,
        target: sample.target,
        solicitation: sample.solicitation,
        sent: sample.sent,
        received,
        rtt_average: target.and_then(|target| target.estimate.mean()),
        rtt_deviation: target.and_then(|target| target.estimate.deviation()),
    }
}
