//! Operations that are done over and over: another hand undoes them, or the kernel does not do what
//! it says. They are left alone for a while; everything else goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Time;
use crate::plan::Operation;

/// How often an operation may be done within [`WINDOW`]. A cable that flaps once a second stays
/// below it, two programs that undo each other's work do not.
const LIMIT: usize = 20;

/// How far back operations are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Operations done of late.
#[derive(Clone, Debug, Default)]
pub(super) struct Contests {
    recent: BTreeMap<Operation, Vec<Time>>,
    pruned: Time,
    held_until: Option<Time>,
}

impl Contests {
    /// Takes note of an operation that is about to be done.
    pub(super) fn note(&mut self, now: Time, operation: &Operation) {
        if self.pruned + WINDOW <= now {
            self.pruned = now;
            self.recent.retain(|_, times| {
                times.retain(|&time| time + WINDOW > now);
                !times.is_empty()
            });
        }
        self.recent.entry(operation.clone()).or_default().push(now);
    }

    /// Whether an operation was done so often of late that it is to wait.
    pub(super) fn is_contested(&mut self, now: Time, operation: &Operation) -> bool {
        let Some(times) = self.recent.get_mut(operation) else {
            return false;
        };
        times.retain(|&time| time + WINDOW > now);
        if times.len() < LIMIT {
            return false;
        }
        let until = times.first().map(|&first| first + WINDOW);
        self.held_until = self.held_until.into_iter().chain(until).max();
        true
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.held_until
    }

    /// Lets operations that waited be tried again.
    pub(super) fn expire(&mut self, now: Time) {
        self.held_until = self.held_until.filter(|&until| until > now);
    }
}
