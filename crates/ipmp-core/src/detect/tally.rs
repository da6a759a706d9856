//! What became of an interface's probes in one family, counted for as long as the daemon lives: a
//! counter that is shown never goes back, whatever comes and goes.

use std::ops::AddAssign;

use crate::remembered::Remembered;
use crate::snapshot::Probing;
use crate::{Family, InterfaceName};

/// Counters; each has its meaning at the member of [`Probing`] of the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) lost: u64,
    pub(super) unknown: u64,
    pub(super) missed: u64,
    pub(super) void: u64,
    pub(super) confirmations: u64,
}

impl Tally {
    /// Adds what was counted to what there is to see.
    pub(super) const fn add_to(&self, probing: &mut Probing) {
        probing.sent += self.sent;
        probing.acknowledged += self.acknowledged;
        probing.lost += self.lost;
        probing.unknown += self.unknown;
        probing.missed += self.missed;
        probing.void += self.void;
        probing.confirmations += self.confirmations;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.unknown += other.unknown;
        self.missed += other.missed;
        self.void += other.void;
        self.confirmations += other.confirmations;
    }
}

/// What probers counted that are no more: a new test address makes a new prober, and so does an
/// interface that changes groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Past(Remembered<InterfaceName, [Tally; 2]>);

impl Past {
    /// Takes what a prober counted that goes.
    pub(super) fn take(&mut self, interface: &InterfaceName, family: Family, tally: Tally) {
        let [inet, inet6] = self.0.change(interface.clone(), Default::default);
        match family {
            Family::Inet => *inet += tally,
            Family::Inet6 => *inet6 += tally,
        }
    }

    /// Adds what was counted before to what there is to see.
    pub(super) fn add_to(&self, interface: &InterfaceName, probing: &mut Probing) {
        let Some([inet, inet6]) = self.0.get(interface) else {
            return;
        };
        match probing.family {
            Family::Inet => inet.add_to(probing),
            Family::Inet6 => inet6.add_to(probing),
        }
    }
}
