//! What the administrator has set: `/etc/default/mpathd` and `/etc/ipmp.toml`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::GroupName;

/// The daemon's settings (manual `in.mpathd`, FILES).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `TRACK_INTERFACES_ONLY_WITH_GROUPS`: whether interfaces outside groups are left alone.
    pub track_only_groups: bool,
    /// Whether link state is ignored (option `-l` of the daemon).
    pub ignore_links: bool,
    /// Whether targets are found by multicast only (option `-m` of the daemon).
    pub multicast_targets_only: bool,
    /// Whether other hosts are asked for addresses before these are brought up, and listened to after
    /// that (`duplicate-address-detection`). Off where it is not written down: recordings of daemons
    /// that had no such thing.
    #[serde(default)]
    pub duplicate_address_detection: bool,
    /// For all groups that have nothing of their own, and for interfaces outside groups.
    pub common: GroupSettings,
    /// For single groups, complete: what a group does not set is what `common` has.
    pub groups: BTreeMap<GroupName, GroupSettings>,
}

/// What can be set for each group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSettings {
    /// `FAILURE_DETECTION_TIME`: upper bound of the time from a failure to its declaration.
    /// At least [`GroupSettings::MIN_FAILURE_DETECTION_TIME`].
    pub failure_detection_time: Duration,
    /// `FAILBACK`: whether addresses come home by themselves when an interface is repaired.
    pub failback: bool,
    /// How targets are probed.
    pub probe: ProbeMethod,
    /// Whom to probe, and nobody else; empty for routers and hosts that are found.
    pub targets: Vec<IpAddr>,
    /// Confirming by a burst of probes what one late probe suggests; `None` for the original's way,
    /// five probes lost in a row at the steady rate.
    pub confirm: Option<Confirm>,
    /// How long at least an interface must work before it counts as repaired.
    pub hold_down: Duration,
    /// Half-life of the penalty that every failure adds to an interface, and by which ones that fail
    /// again and again are kept out of use longer and longer; `None` for no such thing.
    pub dampening: Option<Duration>,
    /// How long after its beginning probing declares no failure unless a probe was answered before: a
    /// switch port may take that long until it forwards (spanning tree, 2 x 15 s and a margin).
    pub quiet_period: Duration,
}

/// How a late probe is confirmed to be a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// How long everything must be silent, so that a short interruption of the path is outlasted;
    /// `None` for what [`GroupSettings::silence`] takes from the failure detection time.
    pub silence: Option<Duration>,
    /// How many probes are sent meanwhile, evenly spread: [`Confirm::MIN_PROBES`] to
    /// [`Confirm::MAX_PROBES`].
    pub probes: u8,
}

/// How targets are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeMethod {
    /// By echo requests where there is a test address, else by ARP and neighbour solicitations.
    #[default]
    Auto,
    /// By echo requests only: an interface without test address is not probed.
    Icmp,
    /// By ARP requests and neighbour solicitations only, from no address.
    Arp,
}

impl Settings {
    /// What holds for a group, or outside groups.
    pub fn of(&self, group: Option<&GroupName>) -> &GroupSettings {
        group
            .and_then(|group| self.groups.get(group))
            .unwrap_or(&self.common)
    }
}

impl GroupSettings {
    /// Least failure detection time. Below, a probe interval would be no longer than round trips and
    /// wake-ups take.
    pub const MIN_FAILURE_DETECTION_TIME: Duration = Duration::from_millis(20);

    /// The silence that confirms a failure, unless set: a tenth of the failure detection time, but
    /// long enough to outlast what a busy host, a full queue or a short outage on the path make of
    /// it, and never more than half the detection time.
    ///
    /// `detection_time` is the one in force, which may have grown over the one set.
    pub fn silence(&self, detection_time: Duration) -> Duration {
        const MICROBURST: Duration = Duration::from_millis(50);
        self.confirm
            .and_then(|confirm| confirm.silence)
            .unwrap_or((detection_time / 10).max(MICROBURST))
            .min(detection_time / 2)
    }
}

impl Confirm {
    /// Fewer would be less than the original demands: with the late one, five.
    pub const MIN_PROBES: u8 = 4;
    /// More would not fit into the history of probes.
    pub const MAX_PROBES: u8 = 40;
}

impl Default for Confirm {
    fn default() -> Self {
        Self {
            silence: None,
            probes: 10,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            track_only_groups: true,
            ignore_links: false,
            multicast_targets_only: false,
            duplicate_address_detection: true,
            common: GroupSettings::default(),
            groups: BTreeMap::new(),
        }
    }
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            failure_detection_time: Duration::from_secs(10),
            failback: true,
            probe: ProbeMethod::Auto,
            targets: Vec::new(),
            confirm: Some(Confirm::default()),
            hold_down: Duration::ZERO,
            dampening: Some(Duration::from_mins(1)),
            quiet_period: Duration::from_secs(40),
        }
    }
}
