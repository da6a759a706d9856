//! Waiting for something to become true, with a bound.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::LabError;

/// Time between two looks.
const POLL: Duration = Duration::from_millis(2);

/// The most that counts of the time from one look to the next. A look takes its time too, where it waits for an
/// answer that does not come.
const LONGEST: Duration = Duration::from_secs(5);

/// Time that was waited. Where the machine stood still, as virtual ones do, nothing had the time to happen,
/// whatever the clock says: that does not count.
struct Waited {
    time: Duration,
    last: Instant,
}

impl Waited {
    const fn from(start: Instant) -> Self {
        Self {
            time: Duration::ZERO,
            last: start,
        }
    }

    /// Counts the time up to this look, and tells how much it is together.
    fn until(&mut self, now: Instant) -> Duration {
        self.time += (now - self.last).min(LONGEST);
        self.last = now;
        self.time
    }
}

/// Waits until `condition` holds, looking every 2 ms, and tells how long that took. When it does
/// not hold `within` that time, the error names `what` was awaited. The condition is looked at once
/// more when the time is over, and time in which nothing ran does not count, so that neither a loaded
/// machine nor one that stood still turns a late look into a failure.
pub fn wait_until(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<Duration, LabError> {
    let start = Instant::now();
    let mut waited = Waited::from(start);
    loop {
        let now = Instant::now();
        let is_last = waited.until(now) > within;
        if condition() {
            return Ok(now - start);
        }
        if is_last {
            let reason = format!("still not so after {} ms", within.as_millis());
            return Err(LabError::new(what, reason));
        }
        sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_stood_still_has_not_waited() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut waited = Waited::from(start);
        let ms: Vec<_> = [0, 2, 400, 70_400, 70_402]
            .map(|now| waited.until(at(now)).as_millis())
            .into();
        assert_eq!(ms, [0, 2, 400, 5400, 5402]);
    }
}
