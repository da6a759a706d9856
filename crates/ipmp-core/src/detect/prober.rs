//! Probing of one interface in one family: what is sent, what comes back, what is lost.
//!
//! There are three kinds of probes. *Failure probes* go to one target after the other; only they
//! decide whether the interface works. *Discovery* multicasts look for hosts to use as targets.
//! *RTT-only* probes go out while the group's detection time is raised, to see whether it can be
//! lowered again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::group::believable;
use super::history::{HISTORY, History, Losses, Outcome, Sample, comes_after};
use super::payload::{self, Kind};
use super::random::Random;
use super::schedule::Schedule;
use super::targets::{Reserve, Targets};
use super::{Finding, Probe, Reply};
use crate::address::is_link_local6;
use crate::snapshot::{ProbeState, Probing, Target, TargetMode};
use crate::{Family, InterfaceAddress, InterfaceName, Time};

/// Losses in a row that make a failure.
pub(super) const LOSSES_TO_FAIL: usize = 5;
/// Answers in a row that make a repair.
pub(super) const ANSWERS_TO_REPAIR: usize = 10;
/// How long after its beginning probing declares no failure, unless a probe was answered before:
/// a switch port may take that long until it forwards (spanning tree, 2 x 15 s and a margin).
pub(super) const QUIET_PERIOD: Duration = Duration::from_secs(40);
/// Losses in a row of the only router, from which on hosts are looked for.
const LOSSES_TO_DOUBT: usize = 2;
/// How many discovery and RTT-only probes are remembered, of each.
const SIDE_HISTORY: usize = 8;
/// The all-hosts groups.
const ALL_HOSTS: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1));
const ALL_NODES: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));

/// How fast a group probes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Interval of failure probes, in force.
    pub(super) interval: Duration,
    /// Interval as configured; shorter while the one in force is raised.
    pub(super) configured: Duration,
}

/// What a reply turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// No answer to a probe of ours that still waits.
    Unknown,
    /// Somebody answered a multicast.
    Discovered(IpAddr),
    /// A target answered. `true` if its critical time changed.
    Answered(IpAddr, bool),
}

#[derive(Clone, Debug)]
pub(super) struct Prober {
    index: u32,
    identifier: u16,
    test: InterfaceAddress,
    pub(super) targets: Targets,
    history: History,
    discovery: History,
    round_trip: History,
    sequence: u16,
    /// Failure probes and discovery; none while the link is down or the interface offline.
    schedule: Option<Schedule>,
    /// RTT-only probes.
    extra: Option<Schedule>,
    /// When the last probe but one is decided, if that is before the next send.
    decision: Option<Time>,
    quiet_until: Option<Time>,
    /// When the first answer came.
    heard: Option<Time>,
    last_answer: Option<Time>,
    extra_turn: usize,
    sent: u64,
    acknowledged: u64,
    unknown: u64,
    missed: u64,
}

impl Prober {
    /// Begins a quiet period; [`Prober::start`] begins to send.
    pub(super) fn new(now: Time, index: u32, identifier: u16, test: InterfaceAddress) -> Self {
        Self {
            index,
            identifier,
            test,
            targets: Targets::default(),
            history: History::new(HISTORY),
            discovery: History::new(SIDE_HISTORY),
            round_trip: History::new(SIDE_HISTORY),
            sequence: 0,
            schedule: None,
            extra: None,
            decision: None,
            quiet_until: Some(now + QUIET_PERIOD),
            heard: None,
            last_answer: None,
            extra_turn: 0,
            sent: 0,
            acknowledged: 0,
            unknown: 0,
            missed: 0,
        }
    }

    pub(super) const fn test(&self) -> InterfaceAddress {
        self.test
    }

    const fn family(&self) -> Family {
        self.test.family()
    }

    /// Whether there is somebody to probe.
    pub(super) fn is_capable(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Whether probes go out.
    pub(super) const fn is_running(&self) -> bool {
        self.schedule.is_some()
    }

    /// When a target answered last.
    pub(super) const fn last_answer(&self) -> Option<Time> {
        self.last_answer
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

    /// Whether enough probes sent since `failed` were answered in a row, over all targets or by one.
    pub(super) fn is_repaired(&self, failed: Time) -> bool {
        let Some(newest) = self.history.newest_decided() else {
            return false;
        };
        newest.outcome == Outcome::Answered
            && (self.history.answers(None, failed) >= ANSWERS_TO_REPAIR
                || self.history.answers(Some(newest.target), failed) >= ANSWERS_TO_REPAIR)
    }

    /// Starts sending, at a random point of the first interval.
    pub(super) fn start(&mut self, now: Time, pace: Pace, random: &mut Random) {
        self.schedule = Some(Schedule::new(now, pace.interval, random));
        self.extra = None;
        self.decision = None;
    }

    /// Stops sending and forgets what was sent.
    pub(super) fn stop(&mut self) {
        self.schedule = None;
        self.extra = None;
        self.decision = None;
        self.history.clear();
        self.discovery.clear();
        self.round_trip.clear();
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        let schedule = self.schedule.as_ref()?;
        let mut first = schedule.next();
        if let Some(decision) = self.decision {
            first = first.min(decision);
        }
        if let Some(extra) = &self.extra {
            first = first.min(extra.next());
        }
        Some(first)
    }

    /// Decides which probes are lost. If we come more than an interval too late, nobody can tell any
    /// more which answers would have been in time: what is undecided then is void.
    pub(super) fn decide(&mut self, now: Time, interval: Duration) {
        let late = self
            .deadline()
            .is_some_and(|deadline| now.since(deadline) > interval);
        self.decision = self.decision.filter(|&decision| decision > now);
        for sample in self.history.undecided() {
            if late {
                sample.outcome = Outcome::Void;
                continue;
            }
            let patience = patience(&self.targets, sample.target, interval);
            if now.since(sample.sent) >= patience {
                sample.outcome = Outcome::Lost(now);
            }
        }
    }

    /// Sends what is due.
    pub(super) fn send(
        &mut self,
        now: Time,
        name: &InterfaceName,
        pace: Pace,
        random: &mut Random,
        findings: &mut Vec<Finding>,
    ) {
        if let Some(schedule) = self.schedule.as_mut().filter(|s| s.next() <= now) {
            self.missed += schedule.advance(now, pace.interval, random);
            self.targets.recover(now);
            self.send_failure_probe(now, name, pace.interval, random, findings);
        }
        self.send_extra(now, name, pace, random, findings);
    }

    /// Looks for hosts by multicast.
    pub(super) fn discover(
        &mut self,
        now: Time,
        name: &InterfaceName,
        random: &mut Random,
        findings: &mut Vec<Finding>,
    ) {
        let everybody = match self.family() {
            Family::Inet => ALL_HOSTS,
            Family::Inet6 => ALL_NODES,
        };
        let (sample, probe) = self.probe(now, name, Kind::Discovery, everybody, random);
        self.discovery.push(sample);
        findings.push(Finding::Send(probe));
    }

    /// Takes a reply. `limit` is the interval by which the target's round trip time is judged, none
    /// while round trip times are not to be learnt.
    pub(super) fn accept(&mut self, reply: &Reply, limit: Option<Duration>) -> Accepted {
        let accepted = self.classify(reply, limit);
        if accepted == Accepted::Unknown {
            self.unknown += 1;
        }
        accepted
    }

    /// What there is to see.
    pub(super) fn probing(&self, offline: bool, failed: bool) -> Probing {
        let routers = self.targets.has_routers();
        let (mode, state) = if offline {
            (TargetMode::Disabled, ProbeState::Disabled)
        } else {
            let mode = if routers {
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
        Probing {
            family: self.family(),
            mode,
            test_address: Some(self.test.ip),
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
            sent: self.sent,
            acknowledged: self.acknowledged,
            unknown: self.unknown,
            missed: self.missed,
        }
    }

    /// Whether `address` can be a target: somebody on the test address's subnet. For IPv6 that is
    /// the link itself.
    pub(super) fn may_answer(&self, address: IpAddr) -> bool {
        let near = match address {
            IpAddr::V4(ip) => {
                !ip.is_unspecified()
                    && !ip.is_multicast()
                    && !ip.is_broadcast()
                    && self.test.contains(address)
            }
            IpAddr::V6(_) => self.family() == Family::Inet6 && is_link_local6(address),
        };
        near && address != self.test.ip
    }

    /// Sends a probe to the next target, and a multicast if there are too few.
    fn send_failure_probe(
        &mut self,
        now: Time,
        name: &InterfaceName,
        interval: Duration,
        random: &mut Random,
        findings: &mut Vec<Finding>,
    ) {
        // Probes before this one are decided at the next send, or before it when their time is over.
        self.decision = self
            .history
            .undecided()
            .map(|sample| sample.sent + patience(&self.targets, sample.target, interval))
            .filter(|&decision| decision > now)
            .min();
        if let Some(target) = self.targets.take_turn() {
            let (sample, probe) = self.probe(now, name, Kind::Failure, target, random);
            self.sent += 1;
            self.history.push(sample);
            findings.push(Finding::Send(probe));
        }
        if self.wants_hosts() {
            self.discover(now, name, random, findings);
        }
    }

    /// Whether to look for hosts along with this probe: there is no target, only one host, or only
    /// one router and that seems not to answer.
    fn wants_hosts(&mut self) -> bool {
        if self.targets.is_empty() {
            return true;
        }
        let Some(sole) = self.targets.sole() else {
            return false;
        };
        let (address, router) = (sole.address, sole.router);
        if router {
            let doubtful = self.history.losses(Some(address)).count >= LOSSES_TO_DOUBT;
            if doubtful {
                self.targets.seek_fallback();
            }
            return doubtful;
        }
        true
    }

    /// While the group is slower than configured, probes at the configured rate tell when it can be
    /// faster again.
    fn send_extra(
        &mut self,
        now: Time,
        name: &InterfaceName,
        pace: Pace,
        random: &mut Random,
        findings: &mut Vec<Finding>,
    ) {
        if self.schedule.is_none() || pace.interval <= pace.configured {
            self.extra = None;
            return;
        }
        let Some(extra) = &mut self.extra else {
            // A jitter of nothing is possible: the first one must still come later than now.
            let mut extra = Schedule::new(now, pace.configured, random);
            extra.advance(now, pace.configured, random);
            self.extra = Some(extra);
            return;
        };
        if extra.next() > now {
            return;
        }
        extra.advance(now, pace.configured, random);
        self.extra_turn = self.extra_turn.wrapping_add(1);
        let active = self.targets.active();
        let Some(target) = self
            .extra_turn
            .checked_rem(active.len())
            .and_then(|at| active.get(at))
        else {
            return;
        };
        let (sample, probe) = self.probe(now, name, Kind::RoundTrip, target.address, random);
        self.round_trip.push(sample);
        findings.push(Finding::Send(probe));
    }

    fn probe(
        &mut self,
        now: Time,
        name: &InterfaceName,
        kind: Kind,
        target: IpAddr,
        random: &mut Random,
    ) -> (Sample, Probe) {
        self.sequence = self.sequence.wrapping_add(1);
        let cookie = random.number();
        let sample = Sample {
            sequence: self.sequence,
            cookie,
            target,
            sent: now,
            outcome: Outcome::Undecided,
        };
        let probe = Probe {
            interface: name.clone(),
            index: self.index,
            source: self.test.ip,
            target,
            identifier: self.identifier,
            sequence: self.sequence,
            payload: payload::encode(cookie, kind, self.sequence),
        };
        (sample, probe)
    }

    fn classify(&mut self, reply: &Reply, limit: Option<Duration>) -> Accepted {
        if reply.identifier != self.identifier || !self.may_answer(reply.source) {
            return Accepted::Unknown;
        }
        let Some((cookie, kind)) = payload::decode(reply.payload) else {
            return Accepted::Unknown;
        };
        let history = match kind {
            Kind::Failure => &mut self.history,
            Kind::Discovery => &mut self.discovery,
            Kind::RoundTrip => &mut self.round_trip,
        };
        let Some(sample) = history.find(reply.sequence, cookie) else {
            return Accepted::Unknown;
        };
        if kind == Kind::Discovery {
            return Accepted::Discovered(reply.source);
        }
        if sample.target != reply.source || sample.outcome == Outcome::Answered {
            return Accepted::Unknown;
        }
        sample.outcome = Outcome::Answered;
        let sent = sample.sent;
        if kind == Kind::Failure {
            self.acknowledged += 1;
            self.quiet_until = None;
            self.last_answer = self.last_answer.max(Some(reply.received));
        }
        // What was sent before anything was heard waited for the neighbour's hardware address, or for
        // a switch port to forward: that is not the target's round trip time.
        let heard = *self.heard.get_or_insert(reply.received);
        let limit = limit.filter(|_| sent >= heard);
        let changed = self.measure(reply, kind, sent, limit);
        Accepted::Answered(reply.source, changed)
    }

    /// Learns a target's round trip time. Only the newest answer of each target counts, and none
    /// that is older than the history.
    fn measure(&mut self, reply: &Reply, kind: Kind, sent: Time, limit: Option<Duration>) -> bool {
        let Some(target) = self.targets.get_mut(reply.source) else {
            return false;
        };
        let router = target.router;
        let newest = target
            .answered
            .is_none_or(|answered| comes_after(reply.sequence, answered));
        if newest {
            target.answered = Some(reply.sequence);
        }
        let sample = reply.received.since(sent);
        let changed = limit.is_some_and(|limit| {
            newest
                && reply.received >= sent
                && sample <= believable(limit)
                && match kind {
                    Kind::RoundTrip => target.estimate.take_lower(sample),
                    _ => target.estimate.take(sample, limit),
                }
        });
        if router && kind == Kind::Failure {
            self.targets.router_answered();
        }
        changed
    }

    /// Stops probing a target that does not answer while others do. Tells whether another one must
    /// be looked for.
    pub(super) fn drop_dead(&mut self, now: Time, target: IpAddr) -> bool {
        self.targets.set_aside(target, Reserve::Dead(now))
    }
}

/// How long an answer is waited for: as long as the target is expected to take, not less than the
/// shortest gap between two probes and not more than an interval.
fn patience(targets: &Targets, target: IpAddr, interval: Duration) -> Duration {
    targets
        .active()
        .iter()
        .find(|t| t.address == target)
        .and_then(|t| t.estimate.critical())
        .map_or(interval, |critical| critical.clamp(interval / 2, interval))
}
