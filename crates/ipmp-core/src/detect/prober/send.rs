//! What a prober sends, and when.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::super::Finding;
use super::super::confirm::Due;
use super::super::history::{Outcome, Sample};
use super::super::payload::{self, Kind};
use super::super::random::Random;
use super::super::schedule::Schedule;
use super::{LOSSES_TO_FAIL, Pace, Prober};
use crate::{Family, InterfaceName, Time};

/// Losses in a row of the only router, from which on hosts are looked for.
const LOSSES_TO_DOUBT: usize = 2;
/// How often the kernel is asked for neighbours at most, and how many of them are tried at once.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
const CANDIDATES_AT_ONCE: usize = 2;
/// The all-hosts groups.
const ALL_HOSTS: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1));
const ALL_NODES: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));

impl Prober {
    /// Sends what is due.
    pub(in super::super) fn send(
        &mut self,
        now: Time,
        name: &InterfaceName,
        pace: Pace,
        random: &mut Random,
        findings: &mut Vec<Finding>,
    ) {
        if let Some(schedule) = self.schedule.as_mut().filter(|s| s.next() <= now) {
            self.tally.missed += schedule.advance(now, pace.interval, random);
            self.targets.recover(now);
            self.send_failure_probe(now, name, pace, random, findings);
        }
        self.send_burst(now, name, pace, random, findings);
        self.send_extra(now, name, pace, random, findings);
    }

    /// Looks for hosts: everybody by multicast, and some of those whom the kernel knows.
    pub(in super::super) fn discover(
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
        if self.means.has_echo() {
            self.emit(now, name, Kind::Discovery, everybody, random, findings);
        }
        for _ in 0..CANDIDATES_AT_ONCE.min(self.candidates.len()) {
            self.candidates.rotate_left(1);
            if let Some(&candidate) = self.candidates.last()
                && !self.targets.is_active(candidate)
            {
                self.emit(now, name, Kind::Discovery, candidate, random, findings);
            }
        }
        if now >= self.look_at {
            self.look_at = now + LOOK_INTERVAL;
            self.looks = true;
        }
    }

    /// Sends a probe to the next target, and looks for hosts if there are too few.
    fn send_failure_probe(
        &mut self,
        now: Time,
        name: &InterfaceName,
        pace: Pace,
        random: &mut Random,
        findings: &mut Vec<Finding>,
    ) {
        // Without confirmation, probes before this one are decided at the next send, or before it
        // when their time is over; with it, this one too is decided when its time is over.
        let earlier = self.next_decision(now, pace);
        if let Some(target) = self.targets.take_turn() {
            self.tally.sent += 1;
            self.emit(now, name, Kind::Failure, target, random, findings);
        }
        self.decision = match pace.confirm {
            None => earlier,
            Some(_) => self.next_decision(now, pace),
        };
        if self.wants_hosts() {
            self.discover(now, name, random, findings);
        }
    }

    /// Sends a probe of a burst, and asks the link layer along with it.
    fn send_burst(
        &mut self,
        now: Time,
        name: &InterfaceName,
        pace: Pace,
        random: &mut Random,
        findings: &mut Vec<Finding>,
    ) {
        let Some(due) = self.confirmation.as_mut().and_then(|it| it.take_probe(now)) else {
            return;
        };
        let Some(target) = self.targets.take_turn() else {
            return;
        };
        if due == Due::Probe {
            self.tally.sent += 1;
            self.emit(now, name, Kind::Burst, target, random, findings);
            self.decision = self.next_decision(now, pace);
        }
        if self.means.has_echo()
            && let Some(probe) = self.means.solicitation(name, target)
        {
            self.sequence = self.sequence.wrapping_add(1);
            self.side.push(Sample {
                sequence: self.sequence,
                cookie: 0,
                kind: Kind::Burst,
                solicitation: true,
                target,
                sent: now,
                outcome: Outcome::Undecided,
            });
            findings.push(Finding::Send(probe));
        }
    }

    /// Whether to look for hosts along with this probe: there is no target, only one host, hosts that are
    /// all silent, or only one router and that seems not to answer.
    fn wants_hosts(&mut self) -> bool {
        if self.targets.are_named() {
            return false;
        }
        let are_silent = || self.losses().count >= LOSSES_TO_FAIL && !self.targets.has_routers();
        if self.targets.is_empty() || are_silent() {
            return true;
        }
        let Some(sole) = self.targets.sole() else {
            return false;
        };
        let (address, router) = (sole.address, sole.router);
        if router {
            let doubtful = self.losses_of(address) >= LOSSES_TO_DOUBT;
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
        let target = self
            .extra_turn
            .checked_rem(active.len())
            .and_then(|at| active.get(at))
            .map(|target| target.address);
        if let Some(target) = target {
            self.emit(now, name, Kind::RoundTrip, target, random, findings);
        }
    }

    /// Sends one probe and remembers it.
    fn emit(
        &mut self,
        now: Time,
        name: &InterfaceName,
        kind: Kind,
        target: IpAddr,
        random: &mut Random,
        findings: &mut Vec<Finding>,
    ) {
        self.sequence = self.sequence.wrapping_add(1);
        let cookie = random.number();
        let payload = payload::encode(cookie, kind, self.sequence);
        let echo = self
            .means
            .echo(name, target, self.identifier, self.sequence, payload);
        let solicitation = echo.is_none();
        let Some(probe) = echo.or_else(|| self.means.solicitation(name, target)) else {
            return;
        };
        let history = match kind {
            Kind::Failure | Kind::Burst => &mut self.history,
            Kind::Discovery => &mut self.discovery,
            Kind::RoundTrip => &mut self.round_trip,
        };
        history.push(Sample {
            sequence: self.sequence,
            cookie,
            kind,
            solicitation,
            target,
            sent: now,
            outcome: Outcome::Undecided,
        });
        findings.push(Finding::Send(probe));
    }
}
