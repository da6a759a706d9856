//! How far it is known of one address whether another host has it.

use std::time::Duration;

use crate::message::Unasked;
use crate::{InterfaceName, MacAddress, Time};

/// How often others are asked before an address is brought up, as in RFC 5227 section 1.1.
const ENQUIRIES: u8 = 3;

/// How long they have to answer each time. RFC 5227 section 1.1 waits for seconds, with slow and sleeping
/// hosts in mind; servers on a wired link answer within a millisecond, and an administrator waits.
const ANSWER: Duration = Duration::from_millis(40);

/// How long after it was put up a link is waited for: copper negotiates for one to four seconds.
pub(super) const NEGOTIATION: Duration = Duration::from_secs(5);

/// After how many enquiries in a row that did not leave nobody can be asked.
const UNSENT: u8 = 10;

/// How often others are asked about an address that was put into place, unasked for there.
const LATER_ENQUIRIES: u8 = 2;

/// Pause between these, and before one that did not leave is tried again.
const LATER: Duration = Duration::from_secs(1);

/// How long after others were asked for an address it is as good as if they just were.
const FRESH: Duration = Duration::from_secs(1);

/// How long after an address was brought up others are asked once more: a switch port may pass nothing in the
/// first 30 s, twice the forward delay of spanning trees (IEEE 802.1D).
const FORWARDING: Duration = Duration::from_secs(35);

/// How long an address is left alone first that another host has. It doubles each time it still has it.
const MIN_PAUSE: Duration = Duration::from_secs(10);

/// How long it is left alone at most, and how long an address in service is not defended at most.
const MAX_PAUSE: Duration = Duration::from_mins(5);

/// How long at least an address in service is not defended after it was: `DEFEND_INTERVAL` of RFC 5227
/// section 1.1. Two hosts that both defend an address do nothing else.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// How long nobody must have claimed an address for its conflict to be over.
const SILENCE: Duration = Duration::from_mins(1);

/// Everything is due at multiples of this, so that it is due together for many addresses.
const SLOT: Duration = Duration::from_millis(10);

/// How far it is known of one address.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// No link runs on which others could be asked, but one may in a moment; it is withheld until then.
    Waiting(Time),
    /// Others are asked for it; it is withheld meanwhile.
    Asking(Round),
    /// Another host has it; it is withheld.
    Taken(Taken),
    /// It may be in place.
    Serving(Serving),
}

/// Asking for an address that is withheld.
#[derive(Clone, Debug)]
pub(super) struct Round {
    /// On which link.
    pub(super) index: u32,
    /// Enquiries that left.
    left: u8,
    /// Enquiries since then that did not.
    unsent: u8,
    /// When there is more to do; `None` while an enquiry is under way to the driver.
    at: Option<Time>,
    /// Others had their time to answer, and what they said was heard.
    is_heard_out: bool,
}

/// What became of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nobody claims the address.
    Free,
    /// Nobody could be asked.
    Unasked,
}

impl Round {
    pub(super) const fn new(now: Time, index: u32) -> Self {
        Self {
            index,
            left: 0,
            unsent: 0,
            at: Some(now),
            is_heard_out: false,
        }
    }

    /// Whether an enquiry is to be sent; it is under way from then on.
    pub(super) fn sends(&mut self, now: Time) -> bool {
        let sends = self.left < ENQUIRIES && self.at.is_some_and(|at| at <= now);
        if sends {
            self.at = None;
        }
        sends
    }

    /// Takes what became of the enquiry under way.
    pub(super) fn sent(&mut self, now: Time, has_left: bool) {
        if has_left {
            self.left += 1;
            self.unsent = 0;
        } else {
            self.unsent += 1;
        }
        self.at = Some(slot(now + ANSWER));
    }

    /// Ends it if it was long enough.
    pub(super) fn hear_out(&mut self, now: Time) {
        self.is_heard_out |= self.left == ENQUIRIES && self.at.is_some_and(|at| at <= now);
    }

    /// What became of it, if it is over.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        if self.unsent >= UNSENT {
            Some(Outcome::Unasked)
        } else {
            self.is_heard_out.then_some(Outcome::Free)
        }
    }

    const fn next_deadline(&self) -> Option<Time> {
        self.at
    }
}

/// Another host that has an address.
#[derive(Clone, Debug)]
pub(super) struct Rival {
    pub(super) mac: MacAddress,
    /// Where it was heard last.
    pub(super) interface: InterfaceName,
    pub(super) since: Time,
    pub(super) heard: Time,
}

impl Rival {
    /// Hears of it, or of another one, again.
    fn renew(&mut self, other: Self) {
        let since = self.since;
        *self = Self { since, ..other };
    }
}

/// An address that is not brought up as another host has it.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) rival: Rival,
    pause: Duration,
    /// When it is tried again.
    pub(super) again: Time,
    /// It is being tried again.
    pub(super) round: Option<Round>,
}

impl Taken {
    pub(super) fn new(now: Time, rival: Rival) -> Self {
        Self {
            rival,
            pause: MIN_PAUSE,
            again: slot(now + MIN_PAUSE),
            round: None,
        }
    }

    /// The other host still has it.
    pub(super) fn claimed(&mut self, now: Time, rival: Rival) {
        self.rival.renew(rival);
        if self.round.take().is_some() {
            self.pause = (self.pause * 2).min(MAX_PAUSE);
            self.again = slot(now + self.pause);
        }
    }

    /// It could not be tried again now.
    pub(super) fn put_off(&mut self, now: Time) {
        self.round = None;
        if self.again <= now {
            self.again = slot(now + MIN_PAUSE);
        }
    }
}

/// An address that is in place, or comes into place as soon as it can.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Serving {
    /// The link where it is to be; `None` where nobody can be asked.
    pub(super) index: Option<u32>,
    /// Why nobody was asked before it was brought up, until that is said.
    pub(super) unasked: Option<Unasked>,
    /// No link ran on which others could be asked, and the kernel was not seen to hold it since.
    pub(super) is_unheld: bool,
    /// When nobody had it, until it is put into place.
    free: Option<Time>,
    /// How often others are still to be asked.
    enquiries: u8,
    next: Next,
    pub(super) dispute: Option<Dispute>,
}

/// When others are asked next about an address in service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// As soon as it is in place on a link that runs.
    #[default]
    Ready,
    /// Then.
    At(Time),
    /// An enquiry is under way to the driver.
    UnderWay,
}

/// Another host claims an address that is in service.
#[derive(Clone, Debug)]
pub(super) struct Dispute {
    pub(super) rival: Rival,
    pause: Duration,
    /// When it may be defended next.
    defend: Time,
    /// Whether it was claimed since it was defended last.
    is_claimed: bool,
}

impl Serving {
    /// An address that nobody else has.
    pub(super) fn asked(now: Time) -> Self {
        Self {
            free: Some(now),
            ..Self::default()
        }
    }

    /// An address of which it is not known, and that is served all the same; and why, if that is to be said.
    pub(super) fn unasked(reason: Option<Unasked>) -> Self {
        Self {
            unasked: reason,
            is_unheld: reason == Some(Unasked::NoLink),
            enquiries: LATER_ENQUIRIES,
            ..Self::default()
        }
    }

    /// It was put into place on a link.
    pub(super) fn placed(&mut self, now: Time) {
        let free = self.free.take();
        if free.is_some_and(|at| now.since(at) <= FRESH) {
            self.enquiries = 1;
            self.next = Next::At(slot(now + FORWARDING));
            return;
        }
        self.enquiries = LATER_ENQUIRIES;
        if self.next != Next::UnderWay {
            self.next = Next::Ready;
        }
    }

    /// Another host claims it; whether none did before.
    pub(super) fn claimed(&mut self, now: Time, rival: Rival) -> bool {
        if self.enquiries == 0 {
            // Its silence is to be more than that of somebody who has nothing to say.
            self.enquiries = 1;
            self.next = Next::At(slot(now + SILENCE / 2));
        }
        if let Some(dispute) = &mut self.dispute {
            dispute.rival.renew(rival);
            dispute.is_claimed = true;
            return false;
        }
        self.dispute = Some(Dispute {
            rival,
            pause: DEFEND_INTERVAL,
            defend: now,
            is_claimed: true,
        });
        true
    }

    /// Whether an enquiry is to be sent, if it is in place; it is under way from then on.
    pub(super) fn sends(&mut self, now: Time, is_in_place: impl FnOnce() -> bool) -> bool {
        let is_due = match self.next {
            Next::Ready => true,
            Next::At(at) => at <= now,
            Next::UnderWay => false,
        };
        if self.enquiries == 0 || !is_due {
            return false;
        }
        let sends = is_in_place();
        self.next = if sends { Next::UnderWay } else { Next::Ready };
        sends
    }

    /// Takes what became of the enquiry under way.
    pub(super) fn sent(&mut self, now: Time, has_left: bool) {
        if self.next == Next::UnderWay {
            self.enquiries -= u8::from(has_left).min(self.enquiries);
            self.next = Next::At(slot(now + LATER));
        }
    }

    /// Whether it is to be defended now, if it is in place. It counts as defended then.
    pub(super) fn defends(&mut self, now: Time, is_in_place: impl FnOnce() -> bool) -> bool {
        let Some(dispute) = &mut self.dispute else {
            return false;
        };
        if !dispute.is_claimed || dispute.defend > now {
            return false;
        }
        if !is_in_place() {
            dispute.defend = slot(now + DEFEND_INTERVAL);
            return false;
        }
        dispute.is_claimed = false;
        dispute.defend = slot(now + dispute.pause);
        dispute.pause = (dispute.pause * 2).min(MAX_PAUSE);
        true
    }

    /// Ends a dispute of which nothing was heard for long, though others were asked.
    pub(super) fn expire(&mut self, now: Time) {
        if self.ends().is_some_and(|at| at <= now) {
            self.dispute = None;
        }
    }

    fn ends(&self) -> Option<Time> {
        let dispute = self.dispute.as_ref()?;
        (self.enquiries == 0).then(|| slot(dispute.rival.heard + SILENCE))
    }

    fn next_deadline(&self) -> Option<Time> {
        let ask = match self.next {
            Next::At(at) if self.enquiries > 0 => Some(at),
            Next::At(_) | Next::Ready | Next::UnderWay => None,
        };
        let dispute = self.dispute.as_ref();
        let defend = dispute.filter(|dispute| dispute.is_claimed);
        [ask, defend.map(|dispute| dispute.defend), self.ends()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl State {
    /// Asking that is under way for an address that is withheld.
    pub(super) const fn round(&mut self) -> Option<&mut Round> {
        match self {
            Self::Asking(round) => Some(round),
            Self::Taken(taken) => taken.round.as_mut(),
            Self::Waiting(_) | Self::Serving(_) => None,
        }
    }

    /// Has it tried again at once, if another host has it.
    pub(super) fn release(&mut self, now: Time) {
        if let Self::Taken(taken) = self
            && taken.round.is_none()
        {
            taken.again = now;
        }
    }

    /// When there is something to do.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        match self {
            Self::Waiting(until) => Some(*until),
            Self::Asking(round) => round.next_deadline(),
            Self::Taken(taken) => match &taken.round {
                Some(round) => round.next_deadline(),
                None => Some(taken.again),
            },
            Self::Serving(serving) => serving.next_deadline(),
        }
    }

    /// The link on which claims are listened for.
    pub(super) const fn listens(&self) -> Option<u32> {
        match self {
            Self::Asking(round)
            | Self::Taken(Taken {
                round: Some(round), ..
            }) => Some(round.index),
            Self::Waiting(_) | Self::Taken(Taken { round: None, .. }) => None,
            Self::Serving(serving) => serving.index,
        }
    }

    /// Whether it is being found out whether it can be brought up.
    pub(super) const fn is_asking(&self) -> bool {
        matches!(
            self,
            Self::Waiting(_) | Self::Asking(_) | Self::Taken(Taken { round: Some(_), .. })
        )
    }
}

/// The next time at which things are due together.
fn slot(at: Time) -> Time {
    let slots = at.since_origin().as_nanos().div_ceil(SLOT.as_nanos());
    u64::try_from(slots * SLOT.as_nanos())
        .map_or(at, |nanos| Time::new(Duration::from_nanos(nanos)))
}
