//! What a prober makes of replies.

use std::net::IpAddr;
use std::time::Duration;

use super::super::group::believable;
use super::super::history::{History, Outcome, Sample, comes_after};
use super::super::payload::{self, Kind};
use super::super::{Advertisement, EchoReply, Finding, Reply};
use super::{LIMITED, Pace, Prober, fate};
use crate::{InterfaceName, Time};

/// What a reply turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Accepted {
    /// No answer to a probe of ours that still waits.
    Unknown,
    /// Somebody answered who may become a target.
    Discovered(IpAddr),
    /// Somebody answered on the link layer, who was asked whether there is anybody at all.
    Noticed,
    /// A target answered. `true` if its critical time changed.
    Answered(IpAddr, bool),
}

impl Prober {
    /// Takes a reply. `learns` tells whether round trip times are to be learnt.
    pub(in super::super) fn accept(
        &mut self,
        now: Time,
        name: &InterfaceName,
        pace: Pace,
        learns: bool,
        reply: &Reply,
        findings: &mut Vec<Finding>,
    ) -> Accepted {
        let answered = match reply {
            Reply::Echo(reply) => self.answered_echo(reply),
            Reply::Advertisement(reply) => self.answered_solicitation(reply, pace),
        };
        let Some(sample) = answered else {
            self.tally.unknown += 1;
            return Accepted::Unknown;
        };
        match sample.kind {
            Kind::Discovery => Accepted::Discovered(reply.source()),
            Kind::Burst if sample.solicitation && self.means.has_echo() => {
                self.notice(reply.received(), pace);
                Accepted::Noticed
            }
            kind => {
                let limit = learns.then_some(pace.interval);
                let changed = self.measure(reply, kind, &sample, limit);
                if kind != Kind::RoundTrip {
                    self.tally.acknowledged += 1;
                    self.quiet_until = None;
                    self.last_answer = self.last_answer.max(Some(reply.received()));
                    self.end_silence(now, reply.received());
                    if self.tells {
                        let received = Some(reply.received());
                        let fate = fate(name, &self.targets, &sample, received);
                        findings.push(Finding::Probed(fate));
                    }
                }
                Accepted::Answered(reply.source(), changed)
            }
        }
    }

    /// The probe that an echo reply answers, as it was before.
    fn answered_echo(&mut self, reply: &EchoReply) -> Option<Sample> {
        if reply.identifier != self.identifier || !self.means.reaches(reply.source) {
            return None;
        }
        let (cookie, kind) = payload::decode(reply.payload)?;
        let history = match kind {
            Kind::Failure | Kind::Burst => &mut self.history,
            Kind::Discovery => &mut self.discovery,
            Kind::RoundTrip => &mut self.round_trip,
        };
        let sample = history.find(reply.sequence, cookie)?;
        let to_all = sample.target.is_multicast();
        if !to_all && (sample.target != reply.source || sample.outcome == Outcome::Answered) {
            return None;
        }
        let before = sample.clone();
        sample.outcome = Outcome::Answered;
        Some(before)
    }

    /// The solicitation that an advertisement answers, as it was before. Nothing in an answer tells
    /// which question it is for, so it is the newest one that waits; and none that is old.
    fn answered_solicitation(&mut self, reply: &Advertisement, pace: Pace) -> Option<Sample> {
        let oldest = pace.interval.max(LIMITED);
        let waits = |sample: &&mut Sample| {
            sample.solicitation
                && sample.target == reply.target
                && sample.outcome != Outcome::Answered
                && reply.received >= sample.sent
                && reply.received.since(sample.sent) <= oldest
        };
        let histories: [&mut History; 4] = [
            &mut self.side,
            &mut self.history,
            &mut self.round_trip,
            &mut self.discovery,
        ];
        let sample = histories
            .into_iter()
            .find_map(|history| history.newest_first().find(waits))?;
        let before = sample.clone();
        sample.outcome = Outcome::Answered;
        Some(before)
    }

    /// The targets are there, but do not answer echo requests: perhaps they limit how many they
    /// answer. They are given the time for one, as long as the link layer goes on answering: if that
    /// falls silent too, a limit does not explain it, and the failure is to be found in time.
    fn notice(&mut self, received: Time, pace: Pace) {
        self.last_advertisement = self.last_advertisement.max(Some(received));
        if let (Some(confirmation), Some(burst)) = (&mut self.confirmation, pace.confirm) {
            let in_time = pace.detection_time.saturating_sub(pace.interval);
            let silence = (burst.silence * 2).min(in_time);
            confirmation.answered_below(received, silence, pace.detection_time.max(LIMITED));
        }
    }

    /// There was an answer: whatever was suspected is not so.
    fn end_silence(&mut self, now: Time, received: Time) {
        self.targets_blamed = false;
        let Some(confirmation) = self.confirmation.take_if(|it| received >= it.since()) else {
            return;
        };
        if !confirmation.is_testimony() {
            self.patience
                .learn(now, received.since(confirmation.since()));
        }
        self.history.void_bursts();
    }

    /// Learns a target's round trip time. Only the newest answer of each target counts, and none
    /// that is older than the history.
    fn measure(
        &mut self,
        reply: &Reply,
        kind: Kind,
        sample: &Sample,
        limit: Option<Duration>,
    ) -> bool {
        let received = reply.received();
        // What was sent before anything was heard waited for the neighbour's hardware address, or for
        // a switch port to forward: that is not the target's round trip time.
        let heard = *self.heard.get_or_insert(received);
        let limit = limit.filter(|_| sample.sent >= heard);
        let Some(target) = self.targets.get_mut(reply.source()) else {
            return false;
        };
        let router = target.router;
        let newest = target
            .answered
            .is_none_or(|answered| comes_after(sample.sequence, answered));
        if newest {
            target.answered = Some(sample.sequence);
        }
        let time = received.since(sample.sent);
        let changed = limit.is_some_and(|limit| {
            newest
                && received >= sample.sent
                && time <= believable(limit)
                && match kind {
                    Kind::RoundTrip => target.estimate.take_lower(time),
                    _ => target.estimate.take(time, limit),
                }
        });
        if router && kind != Kind::RoundTrip {
            self.targets.router_answered();
        }
        changed
    }
}
