//! Operations that the kernel refused: each is tried again after a pause of its own, as long as it is
//! still wanted, and holds up nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Time;
use crate::plan::Operation;

/// First pause before an operation is tried again; it doubles each time.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause before an operation is tried again.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What failed, how often in a row, and when to try again.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(BTreeMap<Operation, (u32, Time)>);

impl Failures {
    /// Notes that an operation failed at `now`; whether it is the first time.
    pub(super) fn note(&mut self, now: Time, operation: Operation) -> bool {
        let (times, again) = self.0.entry(operation).or_insert((0, now));
        *again = now
            + MIN_PAUSE
                .saturating_mul(1 << (*times).min(10))
                .min(MAX_PAUSE);
        *times = times.saturating_add(1);
        *times == 1
    }

    /// Notes that an operation was done.
    pub(super) fn forget(&mut self, operation: &Operation) {
        self.0.remove(operation);
    }

    /// Forgets what is not wanted any more.
    pub(super) fn retain(&mut self, wanted: &[Operation]) {
        if !self.0.is_empty() {
            let wanted: BTreeSet<&Operation> = wanted.iter().collect();
            self.0.retain(|operation, _| wanted.contains(operation));
        }
    }

    /// Whether an operation is to wait.
    pub(super) fn holds(&self, now: Time, operation: &Operation) -> bool {
        self.0.get(operation).is_some_and(|&(_, again)| again > now)
    }

    /// What fails at present.
    pub(super) fn known(&self) -> BTreeSet<Operation> {
        self.0.keys().cloned().collect()
    }

    /// Has everything tried again at once, as a command is to be answered by what is.
    pub(super) fn release(&mut self, now: Time) {
        for (_, again) in self.0.values_mut() {
            *again = now;
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.0.values().map(|&(_, again)| again).min()
    }
}
