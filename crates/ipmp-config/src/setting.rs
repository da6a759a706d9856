//! What can be set for a group: names, what is allowed, how it is written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use humantime::format_duration;
use ipmp_core::{Confirm, GroupSettings, ProbeMethod};

/// No time that is set is longer. Whoever means never has another word for it.
const MAX_TIME: Duration = Duration::from_hours(24);

/// No more targets than this for a group: each is probed in its turn, and the first would wait long
/// for its next one.
const MAX_TARGETS: usize = 64;

/// What can be set for a group, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// [`GroupSettings::failure_detection_time`].
    FailureDetectionTime,
    /// [`GroupSettings::failback`].
    Failback,
    /// [`GroupSettings::probe`].
    ProbeMethod,
    /// [`GroupSettings::targets`].
    ProbeTargets,
    /// Whether there is [`GroupSettings::confirm`].
    Confirm,
    /// [`Confirm::silence`].
    ConfirmSilence,
    /// [`Confirm::probes`].
    ConfirmProbes,
    /// [`GroupSettings::hold_down`].
    HoldDown,
    /// [`GroupSettings::dampening`].
    DampeningHalfLife,
    /// [`GroupSettings::quiet_period`].
    QuietPeriod,
}

/// What is set for a group, always something that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// How long a failure may take to be detected.
    FailureDetectionTime(Duration),
    /// Whether addresses come home by themselves.
    Failback(bool),
    /// How targets are probed.
    ProbeMethod(ProbeMethod),
    /// Whom to probe; empty for those that are found.
    ProbeTargets(Vec<IpAddr>),
    /// Whether a late probe is followed by a burst of them.
    Confirm(bool),
    /// How long all must be silent; `None` for what follows from the failure detection time.
    ConfirmSilence(Option<Duration>),
    /// How many probes are in a burst.
    ConfirmProbes(u8),
    /// How long an interface must work before it counts as repaired.
    HoldDown(Duration),
    /// Half-life of the penalty for failures; `None` for no penalty.
    DampeningHalfLife(Option<Duration>),
    /// How long probing declares no failure at first.
    QuietPeriod(Duration),
}

/// A value as it stands in a file, before anybody knows whether it is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    /// Yes or no.
    Switch(bool),
    /// A number.
    Number(u64),
    /// A duration.
    Time(Duration),
    /// A word.
    Word(String),
    /// Several words.
    List(Vec<String>),
}

impl Key {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 10] = [
        Self::FailureDetectionTime,
        Self::Failback,
        Self::ProbeMethod,
        Self::ProbeTargets,
        Self::Confirm,
        Self::ConfirmSilence,
        Self::ConfirmProbes,
        Self::HoldDown,
        Self::DampeningHalfLife,
        Self::QuietPeriod,
    ];

    /// Its name in `/etc/ipmp.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailureDetectionTime => "failure-detection-time",
            Self::Failback => "failback",
            Self::ProbeMethod => "probe-method",
            Self::ProbeTargets => "probe-targets",
            Self::Confirm => "confirm",
            Self::ConfirmSilence => "confirm-silence",
            Self::ConfirmProbes => "confirm-probes",
            Self::HoldDown => "hold-down",
            Self::DampeningHalfLife => "dampening-half-life",
            Self::QuietPeriod => "quiet-period",
        }
    }

    /// Its name in `/etc/default/mpathd`.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::FailureDetectionTime => "FAILURE_DETECTION_TIME",
            Self::Failback => "FAILBACK",
            Self::ProbeMethod => "PROBE_METHOD",
            Self::ProbeTargets => "PROBE_TARGETS",
            Self::Confirm => "CONFIRM",
            Self::ConfirmSilence => "CONFIRM_SILENCE",
            Self::ConfirmProbes => "CONFIRM_PROBES",
            Self::HoldDown => "HOLD_DOWN",
            Self::DampeningHalfLife => "DAMPENING_HALF_LIFE",
            Self::QuietPeriod => "QUIET_PERIOD",
        }
    }

    /// The times that are allowed.
    const fn times(self) -> RangeInclusive<Duration> {
        let least = match self {
            Self::FailureDetectionTime => GroupSettings::MIN_FAILURE_DETECTION_TIME,
            Self::ConfirmSilence => Duration::from_millis(1),
            Self::DampeningHalfLife => Duration::from_secs(1),
            _ => Duration::ZERO,
        };
        least..=MAX_TIME
    }

    /// The word that stands for no time at all.
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::ConfirmSilence => Some("auto"),
            Self::DampeningHalfLife => Some("off"),
            _ => None,
        }
    }

    /// What is allowed, for whoever wrote something else. Words are quoted by `quote`, if at all.
    pub(crate) fn allowed(self, yes_or_no: &str, quote: &str) -> String {
        let quoted = |word: &str| format!("{quote}{word}{quote}");
        match self {
            Self::Failback | Self::Confirm => yes_or_no.to_owned(),
            Self::ProbeMethod => {
                let [auto, icmp, arp] = ["auto", "icmp", "arp"].map(quoted);
                format!("{auto}, {icmp} or {arp}")
            }
            Self::ProbeTargets => {
                format!("at most {MAX_TARGETS} unicast addresses of other hosts")
            }
            Self::ConfirmProbes => {
                let (least, most) = (Confirm::MIN_PROBES, Confirm::MAX_PROBES);
                format!("a number from {least} to {most}")
            }
            _ => {
                let times = self.times();
                let time = format!(
                    "a time from {} to {} such as {}",
                    format_duration(*times.start()),
                    format_duration(*times.end()),
                    quoted("10s")
                );
                match self.word() {
                    Some(word) => format!("{} or {time}", quoted(word)),
                    None => time,
                }
            }
        }
    }

    /// What it is set to by `raw`; `None` if that is not allowed.
    pub(crate) fn take(self, raw: &Raw) -> Option<Setting> {
        Some(match (self, raw) {
            (Self::Failback, &Raw::Switch(on)) => Setting::Failback(on),
            (Self::Confirm, &Raw::Switch(on)) => Setting::Confirm(on),
            (Self::ProbeMethod, Raw::Word(word)) => Setting::ProbeMethod(method(word)?),
            (Self::ProbeTargets, Raw::List(words)) => Setting::ProbeTargets(targets(words)?),
            (Self::ConfirmProbes, &Raw::Number(number)) => {
                let number = u8::try_from(number).ok()?;
                let allowed = Confirm::MIN_PROBES..=Confirm::MAX_PROBES;
                Setting::ConfirmProbes(allowed.contains(&number).then_some(number)?)
            }
            (_, &Raw::Time(time)) => {
                let time = self.times().contains(&time).then_some(time)?;
                match self {
                    Self::FailureDetectionTime => Setting::FailureDetectionTime(time),
                    Self::ConfirmSilence => Setting::ConfirmSilence(Some(time)),
                    Self::HoldDown => Setting::HoldDown(time),
                    Self::DampeningHalfLife => Setting::DampeningHalfLife(Some(time)),
                    Self::QuietPeriod => Setting::QuietPeriod(time),
                    _ => return None,
                }
            }
            (_, Raw::Word(word)) if self.word() == Some(word) => match self {
                Self::ConfirmSilence => Setting::ConfirmSilence(None),
                Self::DampeningHalfLife => Setting::DampeningHalfLife(None),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// What holds where nobody set it.
    pub fn default(self) -> Setting {
        let defaults = GroupSettings::default();
        let confirm = defaults.confirm.unwrap_or_default();
        match self {
            Self::FailureDetectionTime => {
                Setting::FailureDetectionTime(defaults.failure_detection_time)
            }
            Self::Failback => Setting::Failback(defaults.failback),
            Self::ProbeMethod => Setting::ProbeMethod(defaults.probe),
            Self::ProbeTargets => Setting::ProbeTargets(defaults.targets),
            Self::Confirm => Setting::Confirm(defaults.confirm.is_some()),
            Self::ConfirmSilence => Setting::ConfirmSilence(confirm.silence),
            Self::ConfirmProbes => Setting::ConfirmProbes(confirm.probes),
            Self::HoldDown => Setting::HoldDown(defaults.hold_down),
            Self::DampeningHalfLife => Setting::DampeningHalfLife(defaults.dampening),
            Self::QuietPeriod => Setting::QuietPeriod(defaults.quiet_period),
        }
    }
}

fn method(word: &str) -> Option<ProbeMethod> {
    match word {
        "auto" => Some(ProbeMethod::Auto),
        "icmp" => Some(ProbeMethod::Icmp),
        "arp" => Some(ProbeMethod::Arp),
        _ => None,
    }
}

/// Addresses that one host can have, each once.
fn targets(words: &[String]) -> Option<Vec<IpAddr>> {
    let mut targets = Vec::new();
    for word in words {
        let target = target(word)?;
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    (targets.len() <= MAX_TARGETS).then_some(targets)
}

/// The address of another host that `word` is.
pub(crate) fn target(word: &str) -> Option<IpAddr> {
    let ip: IpAddr = word.parse().ok()?;
    let is_unicast = !ip.is_unspecified()
        && !ip.is_multicast()
        && !ip.is_loopback()
        && ip != IpAddr::V4(Ipv4Addr::BROADCAST);
    is_unicast.then_some(ip)
}

/// As it is listed.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failback(on) | Self::Confirm(on) => f.write_str(if *on { "yes" } else { "no" }),
            Self::ProbeMethod(method) => f.write_str(match method {
                ProbeMethod::Auto => "auto",
                ProbeMethod::Icmp => "icmp",
                ProbeMethod::Arp => "arp",
            }),
            Self::ProbeTargets(targets) if targets.is_empty() => f.write_str("found"),
            Self::ProbeTargets(targets) => {
                let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
                f.write_str(&targets.join(","))
            }
            Self::ConfirmProbes(number) => write!(f, "{number}"),
            Self::ConfirmSilence(None) => f.write_str("auto"),
            Self::DampeningHalfLife(None) => f.write_str("off"),
            Self::FailureDetectionTime(time)
            | Self::HoldDown(time)
            | Self::QuietPeriod(time)
            | Self::ConfirmSilence(Some(time))
            | Self::DampeningHalfLife(Some(time)) => write!(f, "{}", format_duration(*time)),
        }
    }
}
