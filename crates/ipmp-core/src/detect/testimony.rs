//! What detection can tell afterwards: why an interface is marked failed, since when, and when it was
//! last known to work.

use super::Detection;
use super::member::{self, Member};
use super::prober::Prober;
use crate::record::Cause;
use crate::{InterfaceName, Time};

/// A failure as its consequences are accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Why.
    pub cause: Cause,
    /// When the interface was marked.
    pub at: Time,
    /// When its last answer to a probe came; `None` if there was none, or if nothing had failed: it was
    /// marked by hand, or before we came.
    pub answered: Option<Time>,
}

impl Detection {
    /// Whether the health of an interface is not as it was when it was noted last.
    pub fn has_health_changed(&self) -> bool {
        self.members.has_health_changed()
    }

    /// Notes everybody's health.
    pub fn note_healths(&mut self) {
        self.members.note_healths();
    }

    /// Why an interface is marked failed; `None` if it is not.
    pub fn declared(&self, interface: &InterfaceName) -> Option<Declared> {
        let member = self.members.get(interface)?;
        let failure = member.failure?;
        let (cause, answered) = match failure.cause {
            member::Cause::Link => (Cause::LinkDown, last_answer(member)),
            member::Cause::Probes => (Cause::ProbesLost, last_answer(member)),
            member::Cause::Adopted(_) => (Cause::FailedBefore, None),
            member::Cause::Hand => (Cause::Administrator, None),
        };
        Some(Declared {
            cause,
            at: failure.at,
            answered,
        })
    }
}

fn last_answer(member: &Member) -> Option<Time> {
    member.probers().filter_map(Prober::last_answer).max()
}
