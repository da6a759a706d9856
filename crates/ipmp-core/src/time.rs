//! Time as data.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on a clock that never goes backwards, counted from an arbitrary origin.
///
/// The daemon uses the kernel's `CLOCK_MONOTONIC`, a simulation counts from zero. The core only
/// compares and subtracts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(Duration);

impl Time {
    /// The origin of the clock.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The point `since_origin` after the clock's origin.
    pub const fn new(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// The point `ms` milliseconds after the clock's origin.
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// How long after the clock's origin this is.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// Stops at the clock's origin.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0.as_secs(), self.0.subsec_micros())
    }
}

/// A length of time in milliseconds, to the microsecond, as it is shown to people and programs.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Out of milliseconds; nonsense is no time at all.
fn from_milliseconds(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

/// For serde: a [`Time`] in milliseconds after the clock's origin.
pub mod time_in_milliseconds {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Time, from_milliseconds, milliseconds};

    /// Writes it.
    pub fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(milliseconds(time.since_origin()))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        f64::deserialize(from).map(|ms| Time::new(from_milliseconds(ms)))
    }
}

/// For serde: a length of time, if there is one, in milliseconds.
pub mod optional_milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{from_milliseconds, milliseconds};

    /// Writes it.
    pub fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        time.map(milliseconds).serialize(to)
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<f64>::deserialize(from)?.map(from_milliseconds))
    }
}

/// For serde: a [`Time`], if there is one, in milliseconds after the clock's origin.
pub mod optional_time_in_milliseconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Time, from_milliseconds, milliseconds};

    /// Writes it.
    pub fn serialize<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
        time.map(|time| milliseconds(time.since_origin()))
            .serialize(to)
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
        let ms = Option::<f64>::deserialize(from)?;
        Ok(ms.map(|ms| Time::new(from_milliseconds(ms))))
    }
}
