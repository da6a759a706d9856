//! When the kernel is read anew though it told of nothing.
//!
//! Everything is read every 20 s, as in.mpathd always did. Link notifications of ordinary
//! interfaces may be late by up to a second when another one came just before (the kernel's link
//! watch), though reading tells the driver's state at once. So when a link changed, all are read
//! again a few times in the second after: a switch that fails takes several links along.

use std::time::Duration;

use ipmp_core::Time;

/// Interval of full scans (manual `in.mpathd`).
const SCAN: Duration = Duration::from_secs(20);

/// From a change of a link to the first look.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// From one look to the next.
const NEXT_LOOK: Duration = Duration::from_millis(250);

/// After this long notifications are no longer late.
const SETTLED: Duration = Duration::from_secs(1);

/// When to look next.
#[derive(Debug)]
pub(crate) struct Looks {
    scan: Time,
    look: Option<Time>,
    settled: Time,
}

impl Looks {
    /// Everything was read at `now`.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            scan: now + SCAN,
            look: None,
            settled: now,
        }
    }

    /// A link changed.
    pub(crate) fn link_changed(&mut self, now: Time) {
        self.settled = now + SETTLED;
        self.look.get_or_insert(now + FIRST_LOOK);
    }

    /// When to look next at the latest.
    pub(crate) fn next(&self) -> Time {
        self.look.map_or(self.scan, |look| look.min(self.scan))
    }

    /// Whether to look now; if so, it counts as done.
    pub(crate) fn is_due(&mut self, now: Time) -> bool {
        if now < self.next() {
            return false;
        }
        self.scan = now + SCAN;
        self.look = (now < self.settled).then(|| now + NEXT_LOOK);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times at which looks are taken until `end`, if links change at `changes`.
    fn looks(changes: &[u64], end: u64) -> Vec<u64> {
        let mut looks = Looks::new(Time::ZERO);
        let mut taken = Vec::new();
        for ms in 0..=end {
            let now = Time::from_millis(ms);
            if changes.contains(&ms) {
                looks.link_changed(now);
            }
            if looks.is_due(now) {
                taken.push(ms);
            }
            assert!(looks.next() > now);
        }
        taken
    }

    #[test]
    fn everything_is_read_every_twenty_seconds() {
        assert_eq!(looks(&[], 50_000), [20_000, 40_000]);
    }

    #[test]
    fn links_are_looked_at_after_a_change() {
        assert_eq!(looks(&[1000], 21_000), [1100, 1350, 1600, 1850, 2100]);
        assert_eq!(
            looks(&[1000], 22_500),
            [1100, 1350, 1600, 1850, 2100, 22_100]
        );
    }

    #[test]
    fn a_burst_neither_delays_nor_ends_the_looks() {
        let every: Vec<u64> = (1000..3000).step_by(50).collect();
        let taken = looks(&every, 5000);
        assert!(
            taken.windows(2).all(|pair| pair[1] - pair[0] <= 250),
            "{taken:?}"
        );
        assert!(taken.iter().any(|&at| at >= 2950 + 1000), "{taken:?}");
    }
}
