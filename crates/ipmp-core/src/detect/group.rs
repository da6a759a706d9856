//! What members of a group share: how fast they probe, and whether they all have failed.

use std::time::Duration;

use super::history::HISTORY;
use super::prober::{Burst, Pace};
use crate::{GroupSettings, Time};

/// Lost probes and spare ones that fit into the failure detection time.
const PROBES_PER_DETECTION: u32 = 5 + 2;
/// Least failure detection time of the original.
const ORIGINAL_MINIMUM: Duration = Duration::from_millis(100);
/// How long after it was raised the detection time stays.
const SETTLING: Duration = Duration::from_mins(1);

/// The interval between two probes for a failure detection time: whole milliseconds, as ever; below
/// the original's least time, where that would be a difference, whole microseconds.
fn interval(detection_time: Duration) -> Duration {
    let detection_time = detection_time.max(GroupSettings::MIN_FAILURE_DETECTION_TIME);
    let interval = detection_time / PROBES_PER_DETECTION;
    if detection_time < ORIGINAL_MINIMUM {
        Duration::from_micros(u64::try_from(interval.as_micros()).unwrap_or(u64::MAX))
    } else {
        Duration::from_millis(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX))
    }
}

/// How it was found that a group has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blackout {
    /// The last working member lost its link, or left.
    Links,
    /// All members lost their targets at the same time. Their links are no evidence then, not even
    /// that of a member which joins.
    Targets,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Whether no member works, and how that was found.
    pub(super) failed: Option<Blackout>,
    settings: GroupSettings,
    /// The interval in force and since when, while it is longer than configured.
    raised: Option<(Duration, Time)>,
    /// When it was last said that hosts do not answer any more.
    hosts_told: Option<Time>,
}

impl Group {
    pub(super) const fn new(settings: GroupSettings) -> Self {
        Self {
            failed: None,
            settings,
            raised: None,
            hosts_told: None,
        }
    }

    /// Whether it is to be said that hosts do not answer any more; if so, it counts as said. Hosts may come
    /// and go all day.
    pub(super) fn tells_of_hosts(&mut self, now: Time) -> bool {
        const AGAIN: Duration = Duration::from_mins(10);
        let tells = self.hosts_told.is_none_or(|told| now.since(told) >= AGAIN);
        if tells {
            self.hosts_told = Some(now);
        }
        tells
    }

    pub(super) fn pace(&self) -> Pace {
        let configured = interval(self.settings.failure_detection_time);
        let detection_time = self.detection_time();
        Pace {
            interval: self.raised.map_or(configured, |(interval, _)| interval),
            configured,
            detection_time,
            confirm: self.settings.confirm.map(|confirm| Burst {
                silence: self.settings.silence(detection_time),
                probes: confirm.probes,
            }),
        }
    }

    pub(super) const fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// The failure detection time in force.
    pub(super) fn detection_time(&self) -> Duration {
        self.raised
            .map_or(self.settings.failure_detection_time, |(interval, _)| {
                interval.saturating_mul(PROBES_PER_DETECTION)
            })
    }

    /// Takes other settings. Keeps a raised detection time as long as that is longer.
    pub(super) fn configure(&mut self, settings: GroupSettings) {
        let configured = settings.failure_detection_time;
        self.settings = settings;
        self.raised = self
            .raised
            .filter(|&(raised, _)| raised > interval(configured));
    }

    /// Slows down so that a target with this critical time can answer.
    pub(super) fn raise(&mut self, now: Time, critical: Duration) {
        let doubled = critical.saturating_mul(2).as_millis();
        let interval = Duration::from_millis(u64::try_from(doubled).unwrap_or(u64::MAX));
        self.raised = Some((interval, now));
    }

    /// Whether a critical time is short enough for the group to become faster.
    pub(super) fn is_fast(&self, critical: Duration) -> bool {
        critical < self.pace().interval / 4
    }

    /// Whether the group is slower than configured, and has been for long enough.
    pub(super) fn may_improve(&self, now: Time) -> bool {
        self.raised
            .is_some_and(|(_, since)| now.since(since) >= SETTLING)
    }

    /// Halves the detection time, but not below the configured one.
    pub(super) fn improve(&mut self) {
        let halved = self.detection_time() / 2;
        self.raised = self
            .raised
            .map(|(_, since)| (interval(halved), since))
            .filter(|_| halved > self.settings.failure_detection_time);
    }
}

/// What another member tells about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// Nothing: it has no link, or is offline.
    Silent,
    /// It has its link. It cannot probe, so that is all there is to know.
    Link,
    /// It has its link and targets, one of which answered then.
    Probes(Option<Time>),
    /// The same, of one that is marked failed: it may be about to be repaired.
    Marked(Option<Time>),
}

impl Witness {
    /// Whether this shows that a failure is not the whole group's. `since` is when the losses of the
    /// failing member's probes began; without it its link went down, which says nothing of the
    /// others' targets.
    pub(super) fn contradicts(self, since: Option<Time>) -> bool {
        match (self, since) {
            (Self::Silent, _) | (Self::Marked(_), None) => false,
            (Self::Link, _) | (Self::Probes(_), None) => true,
            (Self::Probes(answered) | Self::Marked(answered), Some(since)) => {
                answered.is_some_and(|at| at > since)
            }
        }
    }
}

/// The longest round trip time that is believed at an interval.
pub(super) fn believable(interval: Duration) -> Duration {
    interval.saturating_mul(u32::try_from(HISTORY).unwrap_or(u32::MAX))
}
