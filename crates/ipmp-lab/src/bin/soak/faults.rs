//! What can happen, and how a round of it is drawn from the seed.

use std::time::Duration;

use ipmp_lab::Dice;

use crate::stage::{Group, NICS};

/// What happens to a NIC, to the daemon, or to what the daemon has put into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The cable is pulled.
    Pull,
    /// The cable swallows everything, the link stays up.
    Silent,
    /// The cable swallows what comes to the NIC.
    Deaf,
    /// The cable swallows what the NIC sends.
    Mute,
    /// The cable is pulled and put back a few times.
    Flap,
    /// The device disappears, and comes back.
    Unplug,
    /// Somebody sets the NIC down, and up again.
    Down,
    /// The cable loses frames.
    Loss,
    /// The cable is slow.
    Delay,
    /// `if_mpadm -d`, and `-r`.
    Offline,
    /// The daemon is killed, and started again.
    Kill,
    /// Other settings are written, and the daemon told.
    Reload,
    /// Another hand deletes the data addresses on a NIC.
    AddressesDeleted,
    /// Another hand adds a data address to a NIC that does not hold it.
    AddressAdded,
    /// Another hand deletes the daemon's routes.
    RoutesDeleted,
    /// Another hand deletes the daemon's nexthops.
    NexthopsDeleted,
    /// Another hand sets sysctls of a NIC to what they are by default.
    SysctlsReset,
}

/// How likely each is, of the sum of all.
const WEIGHTS: [(Kind, u64); 17] = [
    (Kind::Pull, 14),
    (Kind::Silent, 14),
    (Kind::Deaf, 5),
    (Kind::Mute, 5),
    (Kind::Flap, 4),
    (Kind::Unplug, 6),
    (Kind::Down, 6),
    (Kind::Loss, 4),
    (Kind::Delay, 4),
    (Kind::Offline, 8),
    (Kind::Kill, 20),
    (Kind::Reload, 4),
    (Kind::AddressesDeleted, 6),
    (Kind::AddressAdded, 4),
    (Kind::RoutesDeleted, 4),
    (Kind::NexthopsDeleted, 4),
    (Kind::SysctlsReset, 4),
];

impl Kind {
    /// What it is called in log and table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pull => "cable pulled",
            Self::Silent => "port silent",
            Self::Deaf => "nothing received",
            Self::Mute => "nothing sent",
            Self::Flap => "link flaps",
            Self::Unplug => "device gone",
            Self::Down => "set down by hand",
            Self::Loss => "frames lost",
            Self::Delay => "frames delayed",
            Self::Offline => "if_mpadm -d",
            Self::Kill => "daemon killed",
            Self::Reload => "settings reloaded",
            Self::AddressesDeleted => "addresses deleted",
            Self::AddressAdded => "address added",
            Self::RoutesDeleted => "routes deleted",
            Self::NexthopsDeleted => "nexthops deleted",
            Self::SysctlsReset => "sysctls reset",
        }
    }

    /// Whether it is over at once.
    pub(crate) const fn is_momentary(self) -> bool {
        matches!(
            self,
            Self::Reload
                | Self::AddressesDeleted
                | Self::AddressAdded
                | Self::RoutesDeleted
                | Self::NexthopsDeleted
                | Self::SysctlsReset
        )
    }

    /// Whether a NIC is no path while it lasts. One that loses frames may be used or not.
    pub(crate) const fn breaks_nic(self) -> bool {
        matches!(
            self,
            Self::Pull
                | Self::Silent
                | Self::Deaf
                | Self::Mute
                | Self::Flap
                | Self::Unplug
                | Self::Down
                | Self::Loss
                | Self::Offline
        )
    }

    /// Whether packets may be lost as long as it lasts.
    pub(crate) const fn loses_throughout(self) -> bool {
        matches!(self, Self::Loss | Self::Flap)
    }
}

/// Something that happens in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What.
    pub(crate) kind: Kind,
    /// To which NIC, or to what is on it.
    pub(crate) nic: &'static str,
    /// The group of that NIC.
    pub(crate) group: Group,
    /// When, counted from the beginning of the round.
    pub(crate) from: Duration,
    /// For how long; zero if it is over at once.
    pub(crate) lasts: Duration,
    /// A number for what needs one.
    pub(crate) chance: u64,
}

/// Longest time from the beginning of a round to its last fault.
const SPREAD_MS: u64 = 2_000;
/// Length of a fault.
const SHORTEST_MS: u64 = 100;
const LONGEST_MS: u64 = 4_500;

/// How soon after the beginning or end of another fault the daemon is killed half of the times: while
/// it has its hands full.
const AMID_MS: u64 = 60;

/// The faults of the next round: one to six, no two of one NIC, the daemon killed once at most.
pub(crate) fn round(dice: &mut Dice) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for _ in 0..=dice.below(6) {
        let mut fault = one(dice);
        let other = usize::try_from(dice.below(faults.len() as u64)).unwrap_or_default();
        if fault.kind == Kind::Kill
            && dice.roll(50)
            && let Some(other) = faults.get(other)
        {
            let change = other.from
                + if dice.roll(50) {
                    Duration::ZERO
                } else {
                    other.lasts
                };
            fault.from = change + Duration::from_millis(dice.below(AMID_MS));
        }
        let clashes = faults.iter().any(|other| {
            if is_of_daemon(&fault) {
                is_of_daemon(other)
            } else {
                !is_of_daemon(other) && other.nic == fault.nic
            }
        });
        if !clashes {
            faults.push(fault);
        }
    }
    faults
}

fn is_of_daemon(fault: &Fault) -> bool {
    matches!(fault.kind, Kind::Kill | Kind::Reload)
}

fn one(dice: &mut Dice) -> Fault {
    let sum = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut left = dice.below(sum);
    let drawn = WEIGHTS.iter().find(|(_, weight)| {
        let found = left < *weight;
        left = left.saturating_sub(*weight);
        found
    });
    let kind = drawn.map_or(Kind::Pull, |(kind, _)| *kind);
    let (nic, group) = usize::try_from(dice.below(NICS.len() as u64))
        .ok()
        .and_then(|index| NICS.get(index))
        .copied()
        .unwrap_or(("ge0", Group::Web));
    let from = Duration::from_millis(dice.below(SPREAD_MS));
    let lasts = Duration::from_millis(SHORTEST_MS + dice.below(LONGEST_MS - SHORTEST_MS));
    Fault {
        kind,
        nic,
        group,
        from,
        lasts: if kind.is_momentary() {
            Duration::ZERO
        } else {
            lasts
        },
        chance: dice.below(1 << 16),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_seed_is_one_sequence() {
        let sequence = |seed| {
            let mut dice = Dice::new(seed, 0);
            (0..50).map(|_| round(&mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
    }

    #[test]
    fn everything_happens_and_a_nic_has_one_fault_at_a_time() {
        let mut dice = Dice::new(1, 0);
        let mut seen = BTreeSet::new();
        for _ in 0..500 {
            let faults = round(&mut dice);
            let of_nics = faults.iter().filter(|fault| !is_of_daemon(fault));
            let nics: BTreeSet<_> = of_nics.clone().map(|fault| fault.nic).collect();
            assert_eq!(nics.len(), of_nics.count());
            assert!(!faults.is_empty());
            seen.extend(faults.iter().map(|fault| fault.kind));
        }
        assert_eq!(seen.len(), WEIGHTS.len());
    }
}
