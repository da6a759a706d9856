//! What is counted for as long as the daemon lives, for metrics. Nothing here ever goes back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::{Cause, Direction, Outage};
use crate::{GroupName, InterfaceName};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Totals {
    /// How often each interface failed, by name and cause.
    pub failures: Vec<FailureCount>,
    /// Failovers and failbacks, by direction, cause and group.
    pub outages: Vec<OutageCount>,
    /// How often something was left alone for a while, as another hand undid it again and again.
    pub contests: u64,
}

/// How often an interface failed for one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureCount {
    /// Which interface.
    pub interface: InterfaceName,
    /// Why.
    pub cause: Cause,
    /// How often.
    pub count: u64,
}

/// Failovers or failbacks of one group, for one cause, that are complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutageCount {
    /// Which way.
    pub direction: Direction,
    /// Why.
    pub cause: Cause,
    /// The group.
    pub group: Option<GroupName>,
    /// How many.
    pub count: u64,
    /// How many addresses moved.
    pub addresses: u64,
    /// From the last sign of life to the declaration; of those where something had failed.
    pub detection: Distribution,
    /// From then until the kernel had all addresses in place.
    pub moved: Distribution,
    /// From then until all neighbours had been told once; of those where there was somebody to tell.
    pub told: Distribution,
}

impl OutageCount {
    /// None yet.
    pub fn none(direction: Direction, cause: Cause, group: Option<GroupName>) -> Self {
        Self {
            direction,
            cause,
            group,
            count: 0,
            addresses: 0,
            detection: Distribution::default(),
            moved: Distribution::default(),
            told: Distribution::default(),
        }
    }

    /// Counts one.
    pub fn add(&mut self, outage: &Outage) {
        self.count += 1;
        self.addresses += outage.addresses.len() as u64;
        for (distribution, time) in [
            (&mut self.detection, outage.detection),
            (&mut self.moved, outage.moved),
            (&mut self.told, outage.told),
        ] {
            if let Some(time) = time {
                distribution.add(time);
            }
        }
    }
}

/// How lengths of time are distributed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Distribution {
    /// How many there are.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
    /// How many are within each bound, those within smaller ones among them; bounds ascend.
    pub within: Vec<Within>,
}

/// How many are within a bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Within {
    /// The bound.
    pub bound: Duration,
    /// How many are not longer.
    pub count: u64,
}

/// Bounds in milliseconds: a link failure is detected and moved within a few; silence takes the failure
/// detection time, 10 s unless it is set; a loaded machine may take longer.
const BOUNDS_MS: [u64; 14] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000,
];

impl Default for Distribution {
    fn default() -> Self {
        let within = BOUNDS_MS.map(|ms| Within {
            bound: Duration::from_millis(ms),
            count: 0,
        });
        Self {
            count: 0,
            sum: Duration::ZERO,
            within: within.into(),
        }
    }
}

impl Distribution {
    /// Counts one.
    pub fn add(&mut self, time: Duration) {
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
        for within in &mut self.within {
            within.count += u64::from(time <= within.bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_what_is_not_longer() {
        let mut distribution = Distribution::default();
        for us in [900, 1_000, 1_001, 60_000_000] {
            distribution.add(Duration::from_micros(us));
        }
        assert_eq!(distribution.count, 4);
        assert_eq!(distribution.sum, Duration::from_micros(60_002_901));
        let counts: Vec<u64> = distribution.within.iter().map(|w| w.count).collect();
        assert_eq!(counts[..3], [2, 3, 3]);
        assert_eq!(counts.last(), Some(&3));
    }

    #[test]
    fn what_an_older_daemon_does_not_tell_is_nothing() {
        let totals: Totals = serde_json::from_str("{}").unwrap();
        assert_eq!(totals, Totals::default());
    }
}
