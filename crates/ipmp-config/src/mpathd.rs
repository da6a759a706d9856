//! `/etc/default/mpathd`: variables for all groups (manual `in.mpathd`, FILES).
//!
//! Three are the original's, with its rules. The others set what `/etc/ipmp.toml` can set for all
//! groups, under the same names in capitals.
//!
//! Nothing in it keeps the daemon from running: what cannot be used is complained about, with its
//! line, and the default stands.

use std::path::Path;
use std::time::Duration;

use crate::layer::{Layer, Origin};
use crate::problem::Problem;
use crate::setting::{Key, Raw, Setting};

/// Least failure detection time that this file can ask for, as in the original.
const MIN_FAILURE_DETECTION_TIME: Duration = Duration::from_millis(100);

const TRACK: &str = "TRACK_INTERFACES_ONLY_WITH_GROUPS";

/// What the file sets.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// For all groups.
    pub(crate) common: Layer,
    /// `TRACK_INTERFACES_ONLY_WITH_GROUPS`.
    pub(crate) track_only_groups: Option<bool>,
}

/// What a variable sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variable {
    Track,
    Group(Key),
}

impl Variable {
    fn named(name: &str) -> Option<Self> {
        let groups = Key::ALL.into_iter().map(Self::Group);
        [Self::Track]
            .into_iter()
            .chain(groups)
            .find(|variable| variable.name().eq_ignore_ascii_case(name))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Track => TRACK,
            Self::Group(key) => key.variable(),
        }
    }
}

/// What to say of a value that is not used as it stands, and what is used instead.
enum Bad {
    /// Nothing like it: the default.
    Invalid(String),
    /// Meant well: this.
    Corrected(String, bool, Setting),
}

/// Takes what stands in the file.
pub(crate) fn take(path: &Path, bytes: &[u8], problems: &mut Vec<Problem>) -> Parsed {
    parse(path, &String::from_utf8_lossy(bytes), problems)
}

/// Takes the file's text.
pub(crate) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Parsed {
    let mut parsed = Parsed::default();
    let mut seen: Vec<Variable> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut complain = |text: String, is_error| {
            problems.push(Problem {
                path: path.to_owned(),
                line: Some(number),
                text,
                is_error,
            });
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            complain(format!("'{line}' is not NAME=value; ignored"), false);
            continue;
        };
        let (name, value) = (name.trim(), unquoted(value.trim()));
        let Some(variable) = Variable::named(name) else {
            complain(format!("unknown variable '{name}'; ignored"), false);
            continue;
        };
        let name = variable.name();
        if seen.contains(&variable) {
            complain(
                format!("{name} is set again; the last value is used"),
                false,
            );
        }
        seen.push(variable);
        match variable {
            Variable::Track => {
                let (taken, problem) = yes_or_no(name, value);
                if let Some((text, is_error)) = problem {
                    complain(text, is_error);
                }
                parsed.track_only_groups = Some(taken);
            }
            Variable::Group(key) => {
                let setting = setting(key, value).unwrap_or_else(|bad| match bad {
                    Bad::Corrected(text, is_error, setting) => {
                        complain(text, is_error);
                        setting
                    }
                    Bad::Invalid(text) => {
                        complain(text, true);
                        key.default()
                    }
                });
                let origin = Origin::Line(path.to_owned(), number);
                parsed.common.insert(key, (setting, origin));
            }
        }
    }
    parsed
}

fn setting(key: Key, value: &str) -> Result<Setting, Bad> {
    let name = key.variable();
    let raw = match key {
        Key::FailureDetectionTime => return detection_time(value),
        Key::Failback | Key::Confirm => {
            let (taken, problem) = yes_or_no(name, value);
            let raw = Raw::Switch(taken);
            if let (Some((text, is_error)), Some(setting)) = (problem, key.take(&raw)) {
                return Err(Bad::Corrected(text, is_error, setting));
            }
            raw
        }
        Key::ProbeTargets => Raw::List(
            value
                .split(|c: char| c == ',' || c.is_whitespace())
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect(),
        ),
        Key::ConfirmProbes => c_number(value).map_or(Raw::Word(String::new()), Raw::Number),
        Key::ProbeMethod
        | Key::ConfirmSilence
        | Key::HoldDown
        | Key::DampeningHalfLife
        | Key::QuietPeriod => match time(value) {
            Some(time) => Raw::Time(time),
            None => Raw::Word(value.to_ascii_lowercase()),
        },
    };
    key.take(&raw).ok_or_else(|| {
        let allowed = key.allowed("yes or no", "");
        let default = key.default();
        Bad::Invalid(format!(
            "invalid value '{value}' for {name}, not {allowed}; using {default}"
        ))
    })
}

/// The original's rules.
fn detection_time(value: &str) -> Result<Setting, Bad> {
    let taken = |time| Setting::FailureDetectionTime(time);
    match time(value).filter(|time| !time.is_zero()) {
        Some(time) if time < MIN_FAILURE_DETECTION_TIME => {
            let least = MIN_FAILURE_DETECTION_TIME.as_millis();
            let text = format!(
                "failure detection time '{value}' is too small; using minimum of {least} ms"
            );
            Err(Bad::Corrected(
                text,
                true,
                taken(MIN_FAILURE_DETECTION_TIME),
            ))
        }
        Some(time) => Ok(taken(time)),
        None => {
            let default = ipmp_core::GroupSettings::default().failure_detection_time;
            let default = default.as_millis();
            Err(Bad::Invalid(format!(
                "invalid failure detection time '{value}'; using {default} ms"
            )))
        }
    }
}

/// Files of this directory are shell scripts elsewhere, so that people quote.
fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

/// Milliseconds, or a number of `s` or `ms`.
fn time(value: &str) -> Option<Duration> {
    let lower = value.to_ascii_lowercase();
    let ms = if let Some(ms) = lower.strip_suffix("ms") {
        c_number(ms.trim_end())?
    } else if let Some(s) = lower.strip_suffix('s') {
        c_number(s.trim_end())?.checked_mul(1000)?
    } else {
        c_number(&lower)?
    };
    Some(Duration::from_millis(ms))
}

/// A number as C has it: decimal, hexadecimal after `0x`, octal after `0`.
pub fn c_number(text: &str) -> Option<u64> {
    let (digits, radix) = if let Some(hex) = text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        (hex, 16)
    } else if text.len() > 1 && text.starts_with('0') {
        (text, 8)
    } else {
        (text, 10)
    };
    // `from_str_radix` would take a sign.
    digits
        .chars()
        .all(|digit| digit.is_digit(radix))
        .then(|| u64::from_str_radix(digits, radix).ok())?
}

/// What is taken for `value`, and what to say of it, as an error or not. Solaris compared the first
/// letters only.
fn yes_or_no(name: &str, value: &str) -> (bool, Option<(String, bool)>) {
    let starts = |word: &str| {
        value
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    for (word, taken) in [("yes", true), ("no", false)] {
        if starts(word) {
            let text = || format!("value '{value}' for {name} is taken as {word}; write {word}");
            let problem = (value.len() != word.len()).then(|| (text(), false));
            return (taken, problem);
        }
    }
    let text = format!("invalid value '{value}' for {name}, not yes or no; using yes");
    (true, Some((text, true)))
}

#[cfg(test)]
mod tests;
