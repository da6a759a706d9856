//! Confirming a suspicion: probing fast for a short time, instead of slowly for a long one.
//!
//! When a probe is late, by what its target is known to take, a burst of probes follows, to all
//! targets in turn. One answer ends it. If everything stays silent for as long as
//! [`GroupSettings::silence`](crate::GroupSettings::silence) says, the interface has failed.
//!
//! A silence that ended by itself teaches: for some time after, one twice as long is awaited, so that
//! a path which is interrupted now and then, or a target that answers so many probes a second and no
//! more, does not make an interface fail again and again.

use std::time::Duration;

use crate::Time;

/// A burst for less than this would come faster than the loop can send.
const MIN_GAP: Duration = Duration::from_millis(1);

/// Once the burst is out, and while the link layer answers, it is asked so often in the time in which it
/// must answer once: packets get lost.
const QUESTIONS: u32 = 8;

/// What silences taught is half forgotten after this long.
const FORGETTING: Duration = Duration::from_mins(10);

/// A burst of probes under way.
#[derive(Clone, Debug)]
pub(super) struct Confirmation {
    /// From when on there was no answer: when the first probe of those lost was sent.
    since: Time,
    /// When it was noticed.
    began: Time,
    /// How long the silence must last.
    silence: Duration,
    gap: Duration,
    left: u8,
    next: Time,
    /// Whether others of the group were asked whether they hear something.
    asked: bool,
    /// Whether it is only testimony for another interface, no suspicion of this one.
    testimony: bool,
    /// What the link layer has said to it.
    below: Option<Below>,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A probe of the burst.
    Probe,
    /// A question to the link layer alone: targets that limit how many echoes they answer are not to be
    /// asked for more.
    Below,
}

/// Answers on the link layer while no echo comes back.
#[derive(Clone, Copy, Debug)]
struct Below {
    /// The last one.
    at: Time,
    /// How long they may stay away.
    silence: Duration,
    /// How long echoes are waited for while they come, from the beginning.
    longest: Duration,
}

impl Confirmation {
    /// Begins at `now`, when it was noticed that since `since` nothing came back. `left` probes are
    /// sent until `silence` is over.
    pub(super) fn new(now: Time, since: Time, silence: Duration, probes: u8) -> Self {
        let remaining = silence.saturating_sub(now.since(since));
        Self {
            since,
            began: now,
            silence,
            gap: (remaining / u32::from(probes.max(1))).max(MIN_GAP),
            left: probes,
            next: now,
            asked: false,
            testimony: false,
            below: None,
        }
    }

    /// Begins because another interface suspects itself: does this one still hear its targets?
    pub(super) fn testimony(now: Time, silence: Duration, probes: u8) -> Self {
        Self {
            testimony: true,
            ..Self::new(now, now, silence, probes)
        }
    }

    pub(super) const fn since(&self) -> Time {
        self.since
    }

    pub(super) const fn began(&self) -> Time {
        self.began
    }

    pub(super) const fn is_testimony(&self) -> bool {
        self.testimony
    }

    /// When there is something to do: a probe to send, or the silence is over.
    pub(super) fn deadline(&self, now_or_before: Time) -> Option<Time> {
        let over = self.until();
        let next = self.has_probes().then_some(self.next);
        [next, Some(over), self.asks_at()]
            .into_iter()
            .flatten()
            .filter(|&at| at > now_or_before)
            .min()
    }

    /// When the silence has lasted long enough.
    pub(super) fn until(&self) -> Time {
        let until = self.since + self.silence;
        self.below.map_or(until, |below| {
            let silent = below.at + below.silence;
            until.max(silent.min(self.since + below.longest))
        })
    }

    pub(super) fn is_over(&self, now: Time) -> bool {
        now >= self.until()
    }

    /// There was an answer at `at`, on the link layer only. As long as there is one within each
    /// `silence`, echoes are waited for until `longest` is over.
    pub(super) fn answered_below(&mut self, at: Time, silence: Duration, longest: Duration) {
        let at = self.below.map_or(at, |below| below.at.max(at));
        self.below = Some(Below {
            at,
            silence,
            longest,
        });
    }

    /// A stretch in which we slept ourselves is no silence of others.
    pub(super) fn overslept(&mut self, late: Duration) {
        if late > self.gap {
            self.since = self.since + late;
            if let Some(below) = &mut self.below {
                below.at = below.at + late;
            }
        }
    }

    /// What is due now, if anything; it counts as sent.
    pub(super) fn take_probe(&mut self, now: Time) -> Option<Due> {
        if !self.has_probes() || now < self.next {
            return None;
        }
        let due = if self.left > 0 {
            Due::Probe
        } else {
            Due::Below
        };
        self.left = self.left.saturating_sub(1);
        self.next = now
            + match self.below {
                Some(below) if self.left == 0 => (below.silence / QUESTIONS).max(MIN_GAP),
                _ => self.gap,
            };
        Some(due)
    }

    const fn has_probes(&self) -> bool {
        self.left > 0 || self.below.is_some()
    }

    /// When the others are asked: not at once, for most suspicions end soon, but early enough for
    /// their answers.
    fn asks_at(&self) -> Option<Time> {
        (!self.asked && !self.testimony).then(|| self.since + self.silence / 2)
    }

    /// Whether others are to be asked now; if so, it counts as done.
    pub(super) fn take_question(&mut self, now: Time) -> bool {
        let due = self.asks_at().is_some_and(|at| at <= now);
        self.asked |= due;
        due
    }
}

/// What silences that ended by themselves have taught.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience {
    longest: Duration,
    at: Time,
}

impl Patience {
    /// A silence ended by itself after so long.
    pub(super) fn learn(&mut self, now: Time, silence: Duration) {
        let known = self.longest(now);
        if silence >= known {
            self.longest = silence;
            self.at = now;
        }
    }

    /// How long one must last at least to be taken seriously.
    pub(super) fn least(&self, now: Time) -> Duration {
        self.longest(now).saturating_mul(2)
    }

    fn longest(&self, now: Time) -> Duration {
        let halvings = now.since(self.at).as_millis() / FORGETTING.as_millis();
        let divisor = 1u32
            .checked_shl(u32::try_from(halvings).unwrap_or(u32::MAX))
            .unwrap_or(0);
        self.longest.checked_div(divisor).unwrap_or_default()
    }
}
