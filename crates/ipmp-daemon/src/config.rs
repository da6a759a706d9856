//! `/etc/default/mpathd`: three variables, for all groups (manual `in.mpathd`, FILES).
//!
//! Nothing in it keeps the daemon from running: what cannot be used is complained about, with its
//! line, and the default stands.

use std::fmt;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use ipmp_core::{GroupSettings, Settings};

use crate::options::Options;

/// Least failure detection time that this file can ask for, as in the original.
const MIN_FAILURE_DETECTION_TIME: Duration = Duration::from_millis(100);

/// Something to complain about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Line in the file, from 1.
    line: usize,
    what: What,
    /// Whether the value is not used as it stands.
    pub(crate) is_error: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    NotAnAssignment(String),
    UnknownName(String),
    Again(&'static str),
    NotATime(String),
    TooShort(String),
    NotYesOrNo(&'static str, String),
    AlmostYesOrNo(&'static str, String, bool),
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        let default = GroupSettings::default().failure_detection_time.as_millis();
        let least = MIN_FAILURE_DETECTION_TIME.as_millis();
        match &self.what {
            What::NotAnAssignment(text) => write!(f, "'{text}' is not NAME=value; ignored"),
            What::UnknownName(name) => write!(f, "unknown variable '{name}'; ignored"),
            What::Again(name) => write!(f, "{name} is set again; the last value is used"),
            What::NotATime(value) => {
                write!(
                    f,
                    "invalid failure detection time '{value}'; using {default} ms"
                )
            }
            What::TooShort(value) => write!(
                f,
                "failure detection time '{value}' is too small; using minimum of {least} ms"
            ),
            What::NotYesOrNo(name, value) => {
                write!(
                    f,
                    "invalid value '{value}' for {name}, not yes or no; using yes"
                )
            }
            What::AlmostYesOrNo(name, value, taken) => {
                let taken = if *taken { "yes" } else { "no" };
                write!(
                    f,
                    "value '{value}' for {name} is taken as {taken}; write {taken}"
                )
            }
        }
    }
}

/// Reads the file; without one, everything has its default.
pub(crate) fn read(path: &Path, options: &Options) -> io::Result<(Settings, Vec<Complaint>)> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        text => text?,
    };
    Ok(parse(&String::from_utf8_lossy(&text), options))
}

const DETECTION_TIME: &str = "FAILURE_DETECTION_TIME";
const FAILBACK: &str = "FAILBACK";
const TRACK: &str = "TRACK_INTERFACES_ONLY_WITH_GROUPS";

/// Takes the file's text; what it leaves open has its default.
pub(crate) fn parse(text: &str, options: &Options) -> (Settings, Vec<Complaint>) {
    let mut settings = Settings {
        ignore_links: options.ignore_links,
        multicast_targets_only: options.multicast_targets_only,
        ..Settings::default()
    };
    let mut complaints = Vec::new();
    let mut seen: Vec<&'static str> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut complain = |what, is_error| {
            complaints.push(Complaint {
                line: number,
                what,
                is_error,
            });
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            complain(What::NotAnAssignment(line.to_owned()), false);
            continue;
        };
        let (name, value) = (name.trim(), unquoted(value.trim()));
        let Some(known) = [DETECTION_TIME, FAILBACK, TRACK]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name))
        else {
            complain(What::UnknownName(name.to_owned()), false);
            continue;
        };
        if seen.contains(&known) {
            complain(What::Again(known), false);
        }
        seen.push(known);
        if known == DETECTION_TIME {
            let defaults = GroupSettings::default();
            settings.common.failure_detection_time = match time(value) {
                Some(time) if time < MIN_FAILURE_DETECTION_TIME => {
                    complain(What::TooShort(value.to_owned()), true);
                    MIN_FAILURE_DETECTION_TIME
                }
                Some(time) => time,
                None => {
                    complain(What::NotATime(value.to_owned()), true);
                    defaults.failure_detection_time
                }
            };
            continue;
        }
        let setting = if known == FAILBACK {
            &mut settings.common.failback
        } else {
            &mut settings.track_only_groups
        };
        *setting = match yes_or_no(value) {
            Some((taken, true)) => taken,
            Some((taken, false)) => {
                complain(What::AlmostYesOrNo(known, value.to_owned(), taken), false);
                taken
            }
            None => {
                complain(What::NotYesOrNo(known, value.to_owned()), true);
                true
            }
        };
    }
    (settings, complaints)
}

/// Files of this directory are shell scripts elsewhere, so that people quote.
fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

/// Milliseconds, or a number of `s` or `ms`; never zero.
fn time(value: &str) -> Option<Duration> {
    let lower = value.to_ascii_lowercase();
    let time = if let Some(ms) = lower.strip_suffix("ms") {
        Duration::from_millis(c_number(ms.trim_end())?)
    } else if let Some(s) = lower.strip_suffix('s') {
        Duration::from_millis(c_number(s.trim_end())?.checked_mul(1000)?)
    } else {
        Duration::from_millis(c_number(&lower)?)
    };
    (!time.is_zero()).then_some(time)
}

/// A number as C has it: decimal, hexadecimal after `0x`, octal after `0`.
pub(crate) fn c_number(text: &str) -> Option<u64> {
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

/// The value, and whether it was exact: Solaris compared the first letters only.
fn yes_or_no(value: &str) -> Option<(bool, bool)> {
    let starts = |word: &str| {
        value
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    [("yes", true), ("no", false)]
        .into_iter()
        .find(|(word, _)| starts(word))
        .map(|(word, taken)| (taken, value.len() == word.len()))
}

#[cfg(test)]
mod tests;
