//! What `/etc/default/mpathd` sets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The daemon's settings, the same for all groups (manual `in.mpathd`, FILES).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `FAILURE_DETECTION_TIME`: upper bound of the time from a failure to its declaration.
    /// At least [`Settings::MIN_FAILURE_DETECTION_TIME`].
    pub failure_detection_time: Duration,
    /// `FAILBACK`: whether addresses come home by themselves when an interface is repaired.
    pub failback: bool,
    /// `TRACK_INTERFACES_ONLY_WITH_GROUPS`: whether interfaces outside groups are left alone.
    pub track_only_groups: bool,
    /// Whether link state is ignored (option `-l` of the daemon).
    pub ignore_links: bool,
    /// Whether targets are found by multicast only (option `-m` of the daemon).
    pub multicast_targets_only: bool,
}

impl Settings {
    /// Below this, probes would be later than answers (manual `in.mpathd`).
    pub const MIN_FAILURE_DETECTION_TIME: Duration = Duration::from_millis(100);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            failure_detection_time: Duration::from_secs(10),
            failback: true,
            track_only_groups: true,
            ignore_links: false,
            multicast_targets_only: false,
        }
    }
}
