//! How long a target takes to answer: mean and mean deviation, in integers.
//!
//! The arithmetic is that of Jacobson ("Congestion avoidance and control", 1988, appendix A) in
//! microseconds. What counts is the *critical* time, mean plus four deviations: later than that, an
//! answer is not to be expected any more.

use std::time::Duration;

/// The estimate for one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Estimate {
    /// Eight times the mean, and four times the mean deviation, once there was a sample.
    value: Option<Value>,
    /// A sample that alone would slow down the whole group. The next one tells whether to believe it.
    suspicious: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    mean8: i64,
    deviation4: i64,
}

impl Value {
    const fn first(sample: i64) -> Self {
        Self {
            mean8: sample.saturating_mul(8),
            deviation4: sample.saturating_mul(2),
        }
    }

    fn after(self, sample: i64) -> Self {
        let error = sample - self.mean8 / 8;
        Self {
            mean8: (self.mean8 + error).max(0),
            deviation4: self.deviation4 + error.abs() - self.deviation4 / 4,
        }
    }

    const fn critical(self) -> i64 {
        self.mean8 / 8 + self.deviation4
    }
}

impl Estimate {
    /// Mean plus four deviations; `None` before the first sample.
    pub(super) fn critical(&self) -> Option<Duration> {
        self.value.map(|value| duration(value.critical()))
    }

    pub(super) fn mean(&self) -> Option<Duration> {
        self.value.map(|value| duration(value.mean8 / 8))
    }

    pub(super) fn deviation(&self) -> Option<Duration> {
        self.value.map(|value| duration(value.deviation4 / 4))
    }

    /// Takes the sample of a failure probe. One that alone would push the critical time over
    /// `limit` is put aside; if the next does the same both are believed, otherwise it is dropped.
    /// Tells whether the estimate changed.
    pub(super) fn take(&mut self, sample: Duration, limit: Duration) -> bool {
        let sample = micros(sample);
        let next = self.with(sample);
        if duration(next.critical()) <= limit {
            self.suspicious = None;
            self.value = Some(next);
            return true;
        }
        match self.suspicious.take() {
            None => {
                self.suspicious = Some(sample);
                false
            }
            Some(first) => {
                self.value = Some(self.with(first).after(sample));
                true
            }
        }
    }

    /// Takes the sample of an RTT-only probe, if it lowers the critical time. Tells whether it did.
    pub(super) fn take_lower(&mut self, sample: Duration) -> bool {
        let Some(value) = self.value else {
            return false;
        };
        let next = value.after(micros(sample));
        let lowers = next.critical() < value.critical();
        if lowers {
            self.value = Some(next);
        }
        lowers
    }

    fn with(&self, sample: i64) -> Value {
        self.value
            .map_or_else(|| Value::first(sample), |value| value.after(sample))
    }
}

/// Samples are cut at a day, far from where the arithmetic could overflow.
fn micros(time: Duration) -> i64 {
    const DAY: i64 = 86_400_000_000;
    i64::try_from(time.as_micros()).map_or(DAY, |micros| micros.min(DAY))
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
