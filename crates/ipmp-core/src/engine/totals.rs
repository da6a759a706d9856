//! Counting what is recorded: whatever has no record is not counted, and nothing has a record that is
//! not.

use crate::record::{Cause, Direction};
use crate::remembered::Remembered;
use crate::snapshot::InterfaceState;
use crate::totals::{FailureCount, OutageCount, Totals};
use crate::{Action, GroupName, InterfaceName, Record};

/// The counters.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    failures: Remembered<(InterfaceName, Cause), u64>,
    outages: Remembered<(Direction, Cause, Option<GroupName>), OutageCount>,
    contests: u64,
}

impl Counted {
    /// Counts what has been recorded just now.
    pub(super) fn count(&mut self, records: &[Action]) {
        for action in records {
            match action {
                Action::Record(Record::Interface {
                    interface,
                    to: Some(InterfaceState::Failed),
                    cause,
                    ..
                }) => {
                    let failure = (interface.clone(), *cause);
                    *self.failures.change(failure, u64::default) += 1;
                }
                Action::Record(Record::Outage(outage)) => {
                    let (direction, cause) = (outage.direction, outage.cause);
                    self.outages
                        .change((direction, cause, outage.group.clone()), || {
                            OutageCount::none(direction, cause, outage.group.clone())
                        })
                        .add(outage);
                }
                Action::Record(Record::Contest {
                    contested: true, ..
                }) => self.contests += 1,
                _ => {}
            }
        }
    }

    /// What there is to see.
    pub(super) fn seen(&self) -> Totals {
        let failures = self.failures.iter();
        Totals {
            failures: failures
                .map(|((interface, cause), count)| FailureCount {
                    interface: interface.clone(),
                    cause: *cause,
                    count: *count,
                })
                .collect(),
            outages: self
                .outages
                .iter()
                .map(|(_, count)| count.clone())
                .collect(),
            contests: self.contests,
        }
    }
}
