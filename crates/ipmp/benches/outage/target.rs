//! What was measured in several runs, and whether it is good enough.

use std::time::Duration;

use crate::measure::Span;

/// Least, median and most of each quantity, each by itself.
pub(crate) struct Spread {
    pub(crate) least: Span,
    pub(crate) median: Span,
    pub(crate) most: Span,
}

impl Spread {
    /// The spread of at least one measurement.
    pub(crate) fn of(spans: impl Iterator<Item = Span>) -> Self {
        let spans: Vec<Span> = spans.collect();
        let at = |place: fn(usize) -> usize| Span {
            to: ranked(&spans, place, |span| span.to),
            from: ranked(&spans, place, |span| span.from),
            outage: ranked(&spans, place, |span| span.outage),
            found: ranked(&spans, place, |span| span.found),
        };
        Self {
            least: at(|_| 0),
            median: at(|count| count / 2),
            most: at(|count| count.saturating_sub(1)),
        }
    }
}

/// The value that stands at a place when all are sorted.
fn ranked<T: Ord + Copy + Default>(
    spans: &[Span],
    place: fn(usize) -> usize,
    value: fn(&Span) -> T,
) -> T {
    let mut values: Vec<T> = spans.iter().map(value).collect();
    values.sort_unstable();
    values.get(place(values.len())).copied().unwrap_or_default()
}

/// What is good enough.
pub(crate) enum Limits {
    /// Datagrams lost each way: at most so many as a rule, and in the worst run.
    Lost { median: usize, most: usize },
    /// The outage of every run is in this range.
    Outage { least_ms: u64, most_ms: u64 },
    /// As a rule it is declared within this time.
    Found { median_ms: u64 },
}

impl Limits {
    /// What is not good enough, if it is not.
    pub(crate) fn missed(&self, seen: &Spread) -> Option<String> {
        match *self {
            Self::Lost { median, most } => {
                let lost = |span: Span| span.to.max(span.from);
                let (usual, worst) = (lost(seen.median), lost(seen.most));
                (usual > median || worst > most).then(|| {
                    format!(
                        "{usual} lost (median), {worst} (max); to be at most {median} and {most}"
                    )
                })
            }
            Self::Outage { least_ms, most_ms } => {
                let (least, most) = (seen.least.outage, seen.most.outage);
                let is_met = least >= Duration::from_millis(least_ms)
                    && most <= Duration::from_millis(most_ms);
                (!is_met).then(|| {
                    let (least, most) = (ms(least), ms(most));
                    format!("outage of {least:.1} to {most:.1} ms; to be {least_ms} to {most_ms}")
                })
            }
            Self::Found { median_ms } => {
                let found = seen.median.found;
                (found > Duration::from_millis(median_ms)).then(|| {
                    let found = ms(found);
                    format!("found after {found:.1} ms (median); to be at most {median_ms}")
                })
            }
        }
    }
}

/// A time in milliseconds, for the table.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
