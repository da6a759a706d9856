//! What is said about users who command without being allowed to: once a minute for each, so that
//! none of them can fill the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long nothing more is said about a user.
const PAUSE: Duration = Duration::from_mins(1);

/// How many users are remembered; about more at once nothing is said.
const USERS: usize = 1000;

/// The users who were denied something lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Denied(Arc<Mutex<BTreeMap<u32, Lately>>>);

#[derive(Debug)]
struct Lately {
    said: Instant,
    /// Commands since then of which nothing was said.
    unsaid: u64,
}

impl Denied {
    /// Takes note of a user's command. Tells whether something is to be said, and then how many there
    /// were before of which nothing was.
    pub(super) fn note(&self, uid: u32, now: Instant) -> Option<u64> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |lately: &Lately| now.duration_since(lately.said) >= PAUSE;
        if let Some(lately) = users.get_mut(&uid) {
            if !is_over(lately) {
                lately.unsaid += 1;
                return None;
            }
            lately.said = now;
            return Some(std::mem::take(&mut lately.unsaid));
        }
        if users.len() >= USERS {
            users.retain(|_, lately| !is_over(lately));
            if users.len() >= USERS {
                return None;
            }
        }
        users.insert(
            uid,
            Lately {
                said: now,
                unsaid: 0,
            },
        );
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_is_told_of_once_a_minute() {
        let denied = Denied::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(denied.note(1000, at(0)), Some(0));
        assert_eq!(denied.note(1000, at(1)), None);
        assert_eq!(denied.note(1000, at(59)), None);
        assert_eq!(denied.note(1001, at(59)), Some(0));
        assert_eq!(denied.note(1000, at(60)), Some(2));
        assert_eq!(denied.note(1000, at(120)), Some(0));
    }

    #[test]
    fn memory_is_bounded() {
        let denied = Denied::default();
        let now = Instant::now();
        let said = (0..5000).filter(|&uid| denied.note(uid, now).is_some());
        assert_eq!(said.count(), USERS);
        assert_eq!(denied.note(9999, now + PAUSE), Some(0));
    }
}
