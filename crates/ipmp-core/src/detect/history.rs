//! What became of the last probes.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::payload::Kind;
use crate::Time;

/// How many failure probes are remembered: enough for the ten answers of a repair from each of five
/// targets, and two under way.
pub(super) const HISTORY: usize = 52;

/// Whether `a` comes after `b` among 16-bit numbers that wrap (RFC 1982).
pub(super) const fn comes_after(a: u16, b: u16) -> bool {
    let ahead = a.wrapping_sub(b);
    ahead != 0 && ahead < 0x8000
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is still time for the answer.
    Undecided,
    /// It was answered, in time or late.
    Answered,
    /// It was not answered in time, which was found at the time given.
    Lost(Time),
    /// It tells nothing: we were too late ourselves to know whether there was an answer in time.
    Void,
}

/// A probe that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) sequence: u16,
    /// What the reply must bring back, so that nobody can answer a probe he has not seen.
    pub(super) cookie: u64,
    /// What it is for.
    pub(super) kind: Kind,
    /// Whether it is an ARP request or neighbour solicitation.
    pub(super) solicitation: bool,
    pub(super) target: IpAddr,
    pub(super) sent: Time,
    pub(super) outcome: Outcome,
}

/// Losses in a row, up to the newest decided probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    pub(super) count: usize,
    /// When the first of them was found to be lost.
    pub(super) since: Option<Time>,
}

/// The last probes of one kind, at most `capacity`, oldest first.
#[derive(Clone, Debug)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    capacity: usize,
    /// How many of the oldest ones are known to be decided, which they stay.
    decided: usize,
}

impl History {
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            samples: VecDeque::new(),
            capacity,
            decided: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.decided = 0;
    }

    /// Takes in a probe just sent; the oldest one makes room for it.
    pub(super) fn push(&mut self, sample: Sample) {
        if self.samples.len() >= self.capacity {
            self.samples.pop_front();
            self.decided = self.decided.saturating_sub(1);
        }
        self.samples.push_back(sample);
    }

    /// The probe that this reply may be the answer to: still remembered, and with the same cookie.
    pub(super) fn find(&mut self, sequence: u16, cookie: u64) -> Option<&mut Sample> {
        self.samples
            .iter_mut()
            .rev()
            .find(|sample| sample.sequence == sequence && sample.cookie == cookie)
    }

    /// All probes, newest first.
    pub(super) fn newest_first(&mut self) -> impl Iterator<Item = &mut Sample> {
        self.samples.iter_mut().rev()
    }

    /// The probes that are not decided, newest first.
    pub(super) fn undecided(&mut self) -> impl Iterator<Item = &mut Sample> {
        let is_decided = |sample: &Sample| sample.outcome != Outcome::Undecided;
        while self.samples.get(self.decided).is_some_and(is_decided) {
            self.decided += 1;
        }
        let rest = self.samples.len().saturating_sub(self.decided);
        self.newest_first()
            .take(rest)
            .filter(|sample| sample.outcome == Outcome::Undecided)
    }

    /// Probes of a burst that were not answered say nothing any more: the burst is over.
    pub(super) fn void_bursts(&mut self) {
        for sample in &mut self.samples {
            if sample.kind == Kind::Burst && sample.outcome != Outcome::Answered {
                sample.outcome = Outcome::Void;
            }
        }
    }

    /// Losses say nothing any more, whosever fault they were.
    pub(super) fn void_all(&mut self) {
        for sample in &mut self.samples {
            if sample.outcome != Outcome::Answered {
                sample.outcome = Outcome::Void;
            }
        }
    }

    /// The newest probe of which it is known whether it was answered.
    pub(super) fn newest_decided(&self) -> Option<&Sample> {
        self.decided().next()
    }

    /// Losses in a row over all targets, or of one.
    pub(super) fn losses(&self, target: Option<IpAddr>) -> Losses {
        let mut losses = Losses::default();
        for sample in self
            .decided()
            .filter(|s| target.is_none_or(|t| s.target == t))
        {
            let Outcome::Lost(at) = sample.outcome else {
                break;
            };
            losses.count += 1;
            losses.since = Some(at);
        }
        losses
    }

    /// Answers in a row over all targets, or of one, to probes sent at `since` or later.
    pub(super) fn answers(&self, target: Option<IpAddr>, since: Time) -> usize {
        self.decided()
            .take_while(|sample| sample.sent >= since)
            .filter(|sample| target.is_none_or(|t| sample.target == t))
            .take_while(|sample| sample.outcome == Outcome::Answered)
            .count()
    }

    fn decided(&self) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .rev()
            .filter(|s| matches!(s.outcome, Outcome::Answered | Outcome::Lost(_)))
    }
}
