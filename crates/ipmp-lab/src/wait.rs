//! Waiting for something to become true, with a bound.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::LabError;

/// Time between two looks.
const POLL: Duration = Duration::from_millis(2);

/// Waits until `condition` holds, looking every 2 ms, and tells how long that took. When it does
/// not hold `within` that time, the error names `what` was awaited. The condition is looked at once
/// more when the time is over, so a loaded machine does not turn a late look into a failure.
pub fn wait_until(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<Duration, LabError> {
    let start = Instant::now();
    loop {
        let waited = start.elapsed();
        if condition() {
            return Ok(waited);
        }
        if waited > within {
            let reason = format!("still not so after {} ms", within.as_millis());
            return Err(LabError::new(what, reason));
        }
        sleep(POLL);
    }
}
