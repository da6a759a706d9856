//! What is counted, and the table of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::oracle::Cause;
use crate::stage::Timing;

/// The figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// One entry for each time that a cause was there.
    pub(crate) causes: BTreeMap<Cause, Vec<Loss>>,
    /// Rounds played.
    pub(crate) rounds: u32,
    /// How often a data address left its home NIC, as seen in the kernel.
    pub(crate) failovers: u32,
    /// How often one came home.
    pub(crate) failbacks: u32,
    /// Datagrams sent.
    pub(crate) sent: usize,
    /// Datagrams lost outside every window.
    pub(crate) unexcused: usize,
    /// How often a data address was on no NIC outside every window, or at a round's end.
    pub(crate) lost_addresses: u32,
    /// TCP connections made.
    pub(crate) connections: usize,
    /// Those that ended, or stood still at the end.
    pub(crate) broken: usize,
    /// `if_mpadm -d` refused though another NIC could be used.
    pub(crate) refused: u32,
    /// Things that did not come about in their time.
    pub(crate) late: u32,
}

/// What one window cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Datagrams lost, of all streams, both ways.
    pub(crate) datagrams: usize,
    /// From when the bound counts until the last of them was sent.
    pub(crate) last: Duration,
}

impl Figures {
    /// Whether nothing was lost that should not have been.
    pub(crate) const fn is_clean(&self) -> bool {
        self.unexcused == 0
            && self.lost_addresses == 0
            && self.broken == 0
            && self.late == 0
            && self.refused == 0
    }

    /// The table, at most 80 columns wide.
    pub(crate) fn table(&self, timing: Timing) -> String {
        let mut text = String::new();
        let _infallible = writeln!(text, "{:>45}{:>19}", "datagrams lost", "ms until the last");
        let _infallible = writeln!(
            text,
            "{:<20}{:>6}{:>10}{:>9}{:>10}{:>9}{:>8}  RESULT",
            "WHAT", "TIMES", "median", "max", "median", "max", "BOUND"
        );
        for (cause, losses) in &self.causes {
            let datagrams = losses.iter().map(|loss| loss.datagrams).collect();
            let last = losses.iter().map(|loss| loss.last.as_millis()).collect();
            let (datagrams, last) = (median_and_max(datagrams), median_and_max(last));
            let bound = cause.bound(timing).as_millis();
            let result = if last.1 <= bound && (bound > 0 || datagrams.1 == 0) {
                "pass"
            } else {
                "FAIL"
            };
            let _infallible = writeln!(
                text,
                "{:<20}{:>6}{:>10}{:>9}{:>10}{:>9}{:>8}  {result}",
                cause.name(),
                losses.len(),
                datagrams.0,
                datagrams.1,
                last.0,
                last.1,
                bound,
            );
        }
        let rows: [(&str, String); 9] = [
            ("rounds", self.rounds.to_string()),
            ("failovers of an address", self.failovers.to_string()),
            ("failbacks of an address", self.failbacks.to_string()),
            ("datagrams sent", self.sent.to_string()),
            (
                "datagrams lost outside the bounds",
                self.unexcused.to_string(),
            ),
            ("addresses lost", self.lost_addresses.to_string()),
            (
                "TCP connections broken",
                format!("{} of {}", self.broken, self.connections),
            ),
            (
                "if_mpadm -d refused without reason",
                self.refused.to_string(),
            ),
            ("other things too late", self.late.to_string()),
        ];
        text.push('\n');
        for (what, value) in rows {
            let _infallible = writeln!(text, "{what:<36}{value:>12}");
        }
        text
    }
}

/// Of two in the middle the upper one.
fn median_and_max<T: Ord + Copy + Default>(mut values: Vec<T>) -> (T, T) {
    values.sort_unstable();
    let median = values.get(values.len() / 2).copied().unwrap_or_default();
    (median, values.last().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Kind;

    #[test]
    fn the_table_fits_80_columns_and_tells_what_failed() {
        let mut figures = Figures {
            sent: 123_456_789,
            ..Figures::default()
        };
        let loss = |datagrams, ms| Loss {
            datagrams,
            last: Duration::from_millis(ms),
        };
        let pull = Cause::Fault(Kind::Pull);
        figures
            .causes
            .insert(pull, vec![loss(1, 20), loss(99_999, 900)]);
        figures
            .causes
            .insert(Cause::NoPath, vec![loss(1, 20), loss(2, 99_999)]);
        figures.causes.insert(Cause::Repair, vec![loss(0, 0)]);
        let table = figures.table(Timing::SOAK);
        assert!(table.lines().all(|line| line.len() <= 80), "{table}");
        let result = |name: &str| {
            let line = table.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().last().unwrap().to_owned()
        };
        assert_eq!(result("cable pulled"), "pass");
        assert_eq!(result("no NIC with a path"), "FAIL");
        assert_eq!(result("fault over"), "pass");
    }

    #[test]
    fn clean_is_without_anything_lost() {
        assert!(Figures::default().is_clean());
        let figures = Figures {
            broken: 1,
            ..Figures::default()
        };
        assert!(!figures.is_clean());
    }
}
