//! Operations that the kernel refused: each is tried again after a pause of its own, as long as it is
//! still wanted, and holds up nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Engine;
use crate::Time;
use crate::kernel::PROTOCOL;
use crate::plan::Operation;
use crate::snapshot::Failing;

/// First pause before an operation is tried again; it doubles each time.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause before an operation is tried again.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(BTreeMap<Operation, Failure>);

/// How an operation failed.
#[derive(Clone, Debug)]
struct Failure {
    since: Time,
    /// How often in a row.
    times: u32,
    /// When to try again.
    again: Time,
    /// What the kernel said last.
    reason: String,
}

impl Failures {
    /// Notes that an operation failed at `now`, and why; whether that is to be told, which it is once.
    pub(super) fn note(&mut self, now: Time, operation: Operation, reason: String) -> bool {
        let told = if leans(&operation) { 2 } else { 1 };
        let failure = self.0.entry(operation).or_insert_with(|| Failure {
            since: now,
            times: 0,
            again: now,
            reason: String::new(),
        });
        failure.reason = reason;
        failure.again = now
            + MIN_PAUSE
                .saturating_mul(1 << failure.times.min(10))
                .min(MAX_PAUSE);
        failure.times = failure.times.saturating_add(1);
        failure.times == told
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
        let failure = self.0.get(operation);
        failure.is_some_and(|failure| failure.again > now)
    }

    /// What fails at present.
    pub(super) fn known(&self) -> BTreeSet<Operation> {
        self.0.keys().cloned().collect()
    }

    /// Has everything tried again at once, as a command is to be answered by what is.
    pub(super) fn release(&mut self, now: Time) {
        for failure in self.0.values_mut() {
            failure.again = now;
        }
    }

    /// When something is to be tried again, of what `is_free` to be tried.
    pub(super) fn next_deadline(&self, is_free: impl Fn(&Operation) -> bool) -> Option<Time> {
        let free = self.0.iter().filter(|(operation, _)| is_free(operation));
        free.map(|(_, failure)| failure.again).min()
    }
}

/// Whether an operation needs nexthops or addresses that may be gone already, with a link of whose loss the kernel
/// is about to tell. Then it means nothing that it is refused, unless it is again when that is known.
const fn leans(operation: &Operation) -> bool {
    match operation {
        Operation::AddRoute(route) | Operation::ReplaceRoute(route) => route.protocol == PROTOCOL,
        Operation::SetNexthop(_) => true,
        _ => false,
    }
}

impl Engine {
    /// Everything that the kernel refuses at present, for people to read.
    pub(super) fn failing(&self) -> Vec<Failing> {
        let failing = self.failures.0.iter();
        failing
            .map(|(operation, failure)| {
                let (interface, address) = self.about(operation);
                Failing {
                    what: self.name_of(operation),
                    interface,
                    address,
                    since: failure.since,
                    reason: failure.reason.clone(),
                    times: failure.times,
                    again: failure.again,
                }
            })
            .collect()
    }
}
