//! When probes left, for those who watch them.
//!
//! The engine knows when it decided to probe; by the time the kernel is handed the probe, the daemon has
//! written it and those that leave with it. Who measures the network is not to be told that part. What
//! was decided at one time and is of one kind leaves with one system call, as a rule, so that a time for
//! each call is enough. Nothing is remembered while nobody watches.

use std::collections::VecDeque;

use ipmp_core::detect::Probed;
use ipmp_core::{Family, Time};

/// How many are remembered: at the quickest pace of few interfaces, and at the usual one of hundreds,
/// far longer than an answer may take.
const REMEMBERED: usize = 4096;

/// When the latest probes left.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    /// In the order in which they were decided.
    latest: VecDeque<Departure>,
    is_watched: bool,
}

#[derive(Debug)]
struct Departure {
    decided: Time,
    kind: Kind,
    left: Time,
}

/// What leaves with one system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) family: Family,
    pub(crate) solicitation: bool,
}

impl Departures {
    /// Whether anybody watches from now on.
    pub(crate) fn watch(&mut self, is_watched: bool) {
        self.is_watched = is_watched;
        if !is_watched {
            self.latest = VecDeque::new();
        }
    }

    /// Takes note that what was `decided` then leaves now, which `clock` tells if it matters.
    pub(crate) fn note(&mut self, decided: Time, kind: Kind, clock: impl FnOnce() -> Time) {
        if !self.is_watched {
            return;
        }
        if self.latest.len() >= REMEMBERED {
            self.latest.pop_front();
        }
        self.latest.push_back(Departure {
            decided,
            kind,
            left: clock(),
        });
    }

    /// When a probe left; when it was decided if nothing better is known.
    pub(crate) fn of(&self, probed: &Probed) -> Time {
        let kind = Kind {
            family: Family::of(probed.target),
            solicitation: probed.solicitation,
        };
        let first = self
            .latest
            .partition_point(|departure| departure.decided < probed.sent);
        self.latest
            .range(first..)
            .take_while(|departure| departure.decided == probed.sent)
            .find(|departure| departure.kind == kind)
            .map_or(probed.sent, |departure| departure.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO4: Kind = Kind {
        family: Family::Inet,
        solicitation: false,
    };
    const SOLICITATION4: Kind = Kind {
        family: Family::Inet,
        solicitation: true,
    };
    const ECHO6: Kind = Kind {
        family: Family::Inet6,
        solicitation: false,
    };

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    fn probed(kind: Kind, decided: u64) -> Probed {
        let target = match kind.family {
            Family::Inet => "192.168.0.2",
            Family::Inet6 => "fe80::2",
        };
        Probed {
            interface: "ge0".parse().unwrap(),
            sequence: 7,
            target: target.parse().unwrap(),
            solicitation: kind.solicitation,
            sent: at(decided),
            received: None,
            rtt_average: None,
            rtt_deviation: None,
        }
    }

    #[test]
    fn each_kind_has_a_time_of_its_own() {
        let mut departures = Departures::default();
        departures.watch(true);
        for (decided, kind, left) in [
            (10, ECHO4, 11),
            (10, SOLICITATION4, 12),
            (20, ECHO4, 24),
            (20, ECHO6, 25),
        ] {
            departures.note(at(decided), kind, || at(left));
        }
        for (decided, kind, left) in [
            (10, ECHO4, 11),
            (10, SOLICITATION4, 12),
            (20, ECHO4, 24),
            (20, ECHO6, 25),
            // Not known: the time of the decision.
            (10, ECHO6, 10),
            (15, ECHO4, 15),
            (30, ECHO4, 30),
        ] {
            assert_eq!(
                departures.of(&probed(kind, decided)),
                at(left),
                "{kind:?} {decided}"
            );
        }
    }

    #[test]
    fn nothing_is_remembered_while_nobody_watches() {
        let mut departures = Departures::default();
        departures.note(at(10), ECHO4, || unreachable!("the clock is not asked"));
        departures.watch(true);
        departures.note(at(20), ECHO4, || at(21));
        assert_eq!(departures.of(&probed(ECHO4, 20)), at(21));
        departures.watch(false);
        assert_eq!(departures.of(&probed(ECHO4, 20)), at(20));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut departures = Departures::default();
        departures.watch(true);
        let last = REMEMBERED as u64 + 1;
        for decided in 1..=last {
            departures.note(at(decided), ECHO4, || at(decided + 1));
        }
        assert_eq!(departures.latest.len(), REMEMBERED);
        assert_eq!(departures.of(&probed(ECHO4, 1)), at(1));
        assert_eq!(departures.of(&probed(ECHO4, last)), at(last + 1));
    }
}
