//! What changed, kept for those who ask later and told to those who follow.
//!
//! The loop adds to it and never waits: a follower that falls [`BEHIND`] events back is dropped by
//! whoever serves it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ipmp_api::interface::{Event, Events};
use ipmp_api::wire::{FrameError, Reply};
use ipmp_core::time::milliseconds;
use ipmp_core::{Record, Time};
use tokio::sync::broadcast;

/// How many events are remembered: a failover of 4096 addresses leaves room for what led to it, and
/// a reply with all of them is within its bound.
const KEPT: usize = 8192;

/// How many events a follower may be behind.
const BEHIND: usize = KEPT;

/// How many may follow at a time, so that others find a place to ask.
const FOLLOWERS: usize = 32;

/// All that is remembered.
#[derive(Clone, Debug)]
pub(crate) struct History(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    sequence: u64,
    followers: broadcast::Sender<Arc<Event>>,
}

impl Default for History {
    fn default() -> Self {
        let kept = Kept {
            events: VecDeque::new(),
            sequence: 0,
            followers: broadcast::Sender::new(BEHIND),
        };
        Self(Arc::new(Mutex::new(kept)))
    }
}

impl History {
    /// Adds what changed at `now`.
    pub(crate) fn add(&self, now: Time, record: Record) -> Arc<Event> {
        let mut kept = self.lock();
        kept.sequence += 1;
        let event = Arc::new(Event {
            sequence: kept.sequence,
            time: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
            monotonic_ms: milliseconds(now.since_origin()),
            text: record.to_string(),
            record,
        });
        if kept.events.len() == KEPT {
            kept.events.pop_front();
        }
        kept.events.push_back(event.clone());
        // That nobody follows is no error.
        let _ = kept.followers.send(event.clone());
        event
    }

    /// What came after this event.
    pub(super) fn reply(&self, after: Option<u64>) -> Result<Reply, FrameError> {
        Reply::result(&self.lock().after(after))
    }

    /// What came after this event, and what will come; `None` if there are too many followers.
    pub(super) fn follow(
        &self,
        after: Option<u64>,
    ) -> Option<(Events, broadcast::Receiver<Arc<Event>>)> {
        let kept = self.lock();
        let has_room = kept.followers.receiver_count() < FOLLOWERS;
        has_room.then(|| (kept.after(after), kept.followers.subscribe()))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn after(&self, after: Option<u64>) -> Events {
        let events = self.events.iter();
        let wanted = events.filter(|event| after.is_none_or(|after| event.sequence > after));
        Events {
            events: wanted.map(|event| Event::clone(event)).collect(),
        }
    }
}

/// A reply with these.
pub(super) fn several(events: &[Arc<Event>]) -> Result<Reply, FrameError> {
    Reply::result(&Events {
        events: events.iter().map(|event| Event::clone(event)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use ipmp_core::message::Severity;

    use super::*;

    fn message(number: usize) -> Record {
        Record::Message {
            severity: Severity::Info,
            message: number.to_string(),
        }
    }

    #[test]
    fn the_oldest_go_and_a_full_history_fits_into_a_reply() {
        let history = History::default();
        for number in 0..KEPT + 10 {
            history.add(Time::ZERO, message(number));
        }
        let kept = history.lock().after(None).events;
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0].sequence, 11);
        assert_eq!(
            history
                .lock()
                .after(Some(kept[0].sequence + 5))
                .events
                .len(),
            KEPT - 6
        );
        let reply = history.reply(None).unwrap();
        ipmp_api::wire::encode(&reply, ipmp_api::wire::MAX_REPLY).unwrap();
    }

    #[test]
    fn followers_are_bounded_and_nothing_is_missed_between_history_and_news() {
        let history = History::default();
        history.add(Time::ZERO, message(1));
        let (told, mut news) = history.follow(None).unwrap();
        assert_eq!(told.events.len(), 1);
        history.add(Time::ZERO, message(2));
        assert_eq!(news.try_recv().unwrap().sequence, 2);
        let others: Vec<_> = (1..FOLLOWERS)
            .map(|_| history.follow(None).unwrap())
            .collect();
        assert!(history.follow(None).is_none());
        drop(others);
        assert!(history.follow(None).is_some());
    }
}
