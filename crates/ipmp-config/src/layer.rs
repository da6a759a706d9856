//! Settings laid over each other.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ipmp_core::{Confirm, GroupSettings};

use crate::problem::Problem;
use crate::setting::{Key, Setting};

/// Some settings, and where each was made.
pub type Layer = BTreeMap<Key, (Setting, Origin)>;

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In this file, on this line.
    Line(PathBuf, usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// What holds for a group, complete: every [`Key`] has its setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective(Layer);

impl Effective {
    /// What holds with these layers over the defaults, the last one on top.
    pub fn of(layers: &[&Layer]) -> Self {
        let defaults = Key::ALL.map(|key| (key, (key.default(), Origin::Default)));
        let mut effective = Layer::from(defaults);
        for layer in layers {
            effective.extend(layer.iter().map(|(key, set)| (*key, set.clone())));
        }
        Self(effective)
    }

    /// Every setting with its name and where it was made, in the order of [`Key::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Setting, &Origin)> {
        self.0
            .iter()
            .map(|(key, (setting, origin))| (*key, setting, origin))
    }

    /// As the engine has it.
    pub fn settings(&self) -> GroupSettings {
        let mut settings = GroupSettings::default();
        let mut confirm = Confirm::default();
        let mut confirms = settings.confirm.is_some();
        for (setting, _) in self.0.values() {
            match setting {
                Setting::FailureDetectionTime(time) => settings.failure_detection_time = *time,
                Setting::Failback(on) => settings.failback = *on,
                Setting::ProbeMethod(method) => settings.probe = *method,
                Setting::ProbeTargets(targets) => settings.targets.clone_from(targets),
                Setting::Confirm(on) => confirms = *on,
                Setting::ConfirmSilence(silence) => confirm.silence = *silence,
                Setting::ConfirmProbes(probes) => confirm.probes = *probes,
                Setting::HoldDown(time) => settings.hold_down = *time,
                Setting::DampeningHalfLife(time) => settings.dampening = *time,
                Setting::QuietPeriod(time) => settings.quiet_period = *time,
            }
        }
        settings.confirm = confirms.then_some(confirm);
        settings
    }

    /// Settings that are allowed each, but make little sense together.
    pub(crate) fn oddities(&self) -> Vec<Problem> {
        let settings = self.settings();
        let half = settings.failure_detection_time / 2;
        let set = settings.confirm.and_then(|confirm| confirm.silence);
        let mut oddities = Vec::new();
        if let Some((_, Origin::Line(path, line))) = self.0.get(&Key::ConfirmSilence)
            && let Some(silence) = set.filter(|silence| *silence > half)
        {
            let name = Key::ConfirmSilence.name();
            let text = format!(
                "{name} {} is more than half of a {} of {}; {} is used",
                format(silence),
                Key::FailureDetectionTime.name(),
                format(settings.failure_detection_time),
                format(half),
            );
            oddities.push(Problem {
                path: path.clone(),
                line: Some(*line),
                text,
                is_error: false,
            });
        }
        oddities
    }
}

fn format(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}
