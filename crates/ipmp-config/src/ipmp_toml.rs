//! `/etc/ipmp.toml`: settings for all groups, for single ones, and for the daemon itself.
//!
//! Everything that is wrong is named, each with its line and what would be allowed; one error is
//! enough for nothing of the file to be used.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use ipmp_core::GroupName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::layer::{Layer, Origin};
use crate::problem::Problem;
use crate::setting::{Key, Raw, target};

/// Whether and how much of what happens is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The file; `None` to record nothing.
    pub path: Option<PathBuf>,
    /// No more bytes than this.
    pub limit: u64,
}

impl Recording {
    const MIN_LIMIT: u64 = 64 << 10;
    const MAX_LIMIT: u64 = 4 << 30;
}

impl Default for Recording {
    /// Nothing; if anything, about a day of two interfaces probed as by default.
    fn default() -> Self {
        Self {
            path: None,
            limit: 64 << 20,
        }
    }
}

/// What the file sets.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// `[defaults]`: for all groups.
    pub(crate) defaults: Layer,
    /// `[group.NAME]`: for single ones.
    pub(crate) groups: BTreeMap<GroupName, Layer>,
    /// `track-interfaces-only-with-groups`.
    pub(crate) track_only_groups: Option<bool>,
    /// `ignore-links`.
    pub(crate) ignore_links: Option<bool>,
    /// `multicast-targets-only`.
    pub(crate) multicast_targets_only: Option<bool>,
    /// `duplicate-address-detection`.
    pub(crate) duplicate_address_detection: Option<bool>,
    /// `record` and `record-limit`.
    pub(crate) recording: Recording,
    /// `hook`, and its line.
    pub(crate) hook: Option<(PathBuf, usize)>,
}

const DEFAULTS: &str = "defaults";
const GROUP: &str = "group";
const DAEMON: &str = "daemon";
const TABLES: [&str; 3] = [DAEMON, DEFAULTS, GROUP];

const TRACK: &str = "track-interfaces-only-with-groups";
const IGNORE_LINKS: &str = "ignore-links";
const MULTICAST: &str = "multicast-targets-only";
const DUPLICATE: &str = "duplicate-address-detection";
const RECORD: &str = "record";
const RECORD_LIMIT: &str = "record-limit";
const HOOK: &str = "hook";
const DAEMON_KEYS: [&str; 7] = [
    TRACK,
    IGNORE_LINKS,
    MULTICAST,
    DUPLICATE,
    RECORD,
    RECORD_LIMIT,
    HOOK,
];

const TRUE_OR_FALSE: &str = "true or false";

/// Takes what stands in the file; `None` if there is an error in it.
pub(crate) fn take(path: &Path, bytes: &[u8], problems: &mut Vec<Problem>) -> Option<Parsed> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(path, text, problems),
        Err(error) => {
            let before = bytes.iter().take(error.valid_up_to());
            problems.push(Problem {
                path: path.to_owned(),
                line: Some(before.filter(|byte| **byte == b'\n').count() + 1),
                text: "is not UTF-8".to_owned(),
                is_error: true,
            });
            None
        }
    }
}

/// Takes the file's text; `None` if there is an error in it.
pub(crate) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Option<Parsed> {
    let mut reader = Reader {
        path,
        text,
        problems: Vec::new(),
    };
    let readable = reader.readable();
    let document = DeTable::parse_recoverable(&readable).0;
    let parsed = reader.document(document.get_ref());
    let mut found = reader.problems;
    found.sort_by_key(|problem| problem.line);
    let is_sound = found.is_empty();
    problems.extend(found);
    is_sound.then_some(parsed)
}

type Name<'i> = Spanned<toml::de::DeString<'i>>;
type Value<'i> = Spanned<DeValue<'i>>;

/// Reads tables and collects what is wrong.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Complains about what is no TOML; what is left without it, everything in its place. The parser
    /// gives up at some errors, and what is wrong behind them is to be named all the same.
    fn readable(&mut self) -> String {
        /// Whoever has more to mend has to look again.
        const ROUNDS: usize = 20;
        let mut text = self.text.to_owned();
        for _ in 0..ROUNDS {
            let errors = DeTable::parse_recoverable(&text).1;
            let mut unreadable = BTreeSet::new();
            for error in errors {
                let at = error.span().unwrap_or_default();
                let line = self.line(&at);
                if self.problems.iter().all(|known| known.line != Some(line)) {
                    self.complain(&at, error.message().replace('\n', ", "));
                    unreadable.insert(line);
                }
            }
            if unreadable.is_empty() {
                break;
            }
            text = without(&text, &unreadable);
        }
        text
    }

    fn document(&mut self, document: &DeTable<'_>) -> Parsed {
        let mut parsed = Parsed::default();
        for (name, value) in document {
            match name.get_ref().as_ref() {
                DAEMON => {
                    if let Some(table) = self.table(name, value, "[daemon]") {
                        self.daemon(table, &mut parsed);
                    }
                }
                DEFAULTS => {
                    if let Some(table) = self.table(name, value, "[defaults]") {
                        parsed.defaults = self.layer(table, "[defaults]");
                    }
                }
                GROUP => {
                    if let Some(table) = self.table(name, value, "[group.NAME]") {
                        parsed.groups = self.groups(table);
                    }
                }
                _ => self.unknown(name, "outside of tables", &TABLES),
            }
        }
        parsed
    }

    fn groups(&mut self, table: &DeTable<'_>) -> BTreeMap<GroupName, Layer> {
        let mut groups = BTreeMap::new();
        for (name, value) in table {
            let text = name.get_ref();
            if Key::ALL.iter().any(|key| key.name() == text.as_ref()) {
                let text =
                    format!("{text}: goes into [defaults] or [group.NAME], not into [group]");
                self.complain(&name.span(), text);
                continue;
            }
            let Some(own) = self.table(name, value, "[group.NAME]") else {
                continue;
            };
            match text.parse::<GroupName>() {
                Ok(group) => {
                    let layer = self.layer(own, &format!("[group.{group}]"));
                    groups.insert(group, layer);
                }
                Err(error) => {
                    self.complain(&name.span(), format!("group '{text}': {error}"));
                }
            }
        }
        groups
    }

    fn layer(&mut self, table: &DeTable<'_>, of: &str) -> Layer {
        let mut layer = Layer::new();
        for (name, value) in table {
            let text = name.get_ref().as_ref();
            let Some(key) = Key::ALL.into_iter().find(|key| key.name() == text) else {
                let names = Key::ALL.map(Key::name);
                self.unknown(name, &format!("in {of}"), &names);
                continue;
            };
            let raw = raw(key, value.get_ref());
            if let Some(setting) = raw.and_then(|raw| key.take(&raw)) {
                let origin = Origin::Line(self.path.to_owned(), self.line(&name.span()));
                layer.insert(key, (setting, origin));
                continue;
            }
            let allowed = key.allowed(TRUE_OR_FALSE, "\"");
            let wrong = match value.get_ref() {
                DeValue::Array(list) if key == Key::ProbeTargets => list
                    .iter()
                    .find(|item| item.get_ref().as_str().and_then(target).is_none()),
                _ => None,
            };
            self.not_allowed(text, &allowed, wrong.unwrap_or(value));
        }
        layer
    }

    fn daemon(&mut self, table: &DeTable<'_>, parsed: &mut Parsed) {
        for (name, value) in table {
            let text = name.get_ref().as_ref();
            let word = value.get_ref().as_str();
            let switch = match text {
                TRACK => &mut parsed.track_only_groups,
                IGNORE_LINKS => &mut parsed.ignore_links,
                MULTICAST => &mut parsed.multicast_targets_only,
                DUPLICATE => &mut parsed.duplicate_address_detection,
                RECORD => {
                    if let Some(path) = path(value) {
                        parsed.recording.path = path;
                    } else {
                        let allowed = "\"off\" or a path such as \"/var/log/ipmp/events\"";
                        self.not_allowed(text, allowed, value);
                    }
                    continue;
                }
                HOOK => {
                    if let Some(path) = path(value) {
                        parsed.hook = path.map(|path| (path, self.line(&name.span())));
                    } else {
                        let allowed = "\"off\" or a path such as \"/etc/ipmp/hook\"";
                        self.not_allowed(text, allowed, value);
                    }
                    continue;
                }
                RECORD_LIMIT => {
                    let allowed = Recording::MIN_LIMIT..=Recording::MAX_LIMIT;
                    let bytes = word.and_then(|word| word.parse().ok()).map(|ByteSize(n)| n);
                    if let Some(bytes) = bytes.filter(|bytes| allowed.contains(bytes)) {
                        parsed.recording.limit = bytes;
                    } else {
                        let allowed = "a size from \"64KiB\" to \"4GiB\" such as \"64MiB\"";
                        self.not_allowed(text, allowed, value);
                    }
                    continue;
                }
                _ => {
                    self.unknown(name, "in [daemon]", &DAEMON_KEYS);
                    continue;
                }
            };
            match value.get_ref() {
                DeValue::Boolean(on) => *switch = Some(*on),
                _ => self.not_allowed(text, TRUE_OR_FALSE, value),
            }
        }
    }

    fn table<'v, 'i>(
        &mut self,
        name: &Name<'_>,
        value: &'v Value<'i>,
        header: &str,
    ) -> Option<&'v DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let text = format!("{}: is a table; write {header}", name.get_ref());
            self.complain(&name.span(), text);
        }
        table
    }

    fn not_allowed(&mut self, name: &str, allowed: &str, value: &Value<'_>) {
        let written = self.text.get(value.span()).unwrap_or_default();
        let written = written.lines().next().unwrap_or_default();
        let kind = match value.get_ref() {
            DeValue::Table(_) => "a table".to_owned(),
            DeValue::Array(_) => "this list".to_owned(),
            _ => written.to_owned(),
        };
        self.complain(&value.span(), format!("{name}: {allowed}, not {kind}"));
    }

    /// Refuses a name, and says what may have been meant: the same name where it belongs, or else
    /// the nearest one.
    fn unknown(&mut self, name: &Name<'_>, place: &str, known: &[&str]) {
        let text = name.get_ref().as_ref();
        let plain = text.to_ascii_lowercase().replace('_', "-");
        let belongs = if Key::ALL.iter().any(|key| key.name() == plain) {
            Some(format!("[{DEFAULTS}] or [{GROUP}.NAME]"))
        } else if DAEMON_KEYS.contains(&plain.as_str()) {
            Some(format!("[{DAEMON}]"))
        } else {
            None
        };
        let advice = if let Some(near) = nearest(&plain, known) {
            format!("; did you mean '{near}'?")
        } else if let Some(table) = belongs {
            format!("; '{plain}' goes into {table}")
        } else {
            String::new()
        };
        self.complain(
            &name.span(),
            format!("unknown key '{text}' {place}{advice}"),
        );
    }

    fn complain(&mut self, at: &Range<usize>, text: String) {
        self.problems.push(Problem {
            path: self.path.to_owned(),
            line: Some(self.line(at)),
            text,
            is_error: true,
        });
    }

    /// The line on which something begins, from 1.
    fn line(&self, at: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(at.start);
        before.filter(|byte| **byte == b'\n').count() + 1
    }
}

/// The text with blanks for these lines, and for the whole table where its header is among them:
/// what stands in it belongs to no other.
fn without(text: &str, lines: &BTreeSet<usize>) -> String {
    let mut is_headless = false;
    let blanked = (1..).zip(text.split_inclusive('\n')).map(|(number, line)| {
        let is_header = line.trim_start().starts_with('[');
        let is_unreadable = lines.contains(&number);
        if is_header {
            is_headless = is_unreadable;
        }
        if is_headless || is_unreadable {
            let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
            line.bytes().map(blank).collect()
        } else {
            line.to_owned()
        }
    });
    blanked.collect()
}

/// An absolute path, or none for `off`; `None` if it is neither.
#[expect(
    clippy::option_option,
    reason = "what is no value and what is no path are two things"
)]
fn path(value: &Value<'_>) -> Option<Option<PathBuf>> {
    match value.get_ref().as_str()? {
        "off" => Some(None),
        word => Some(Some(PathBuf::from(word))).filter(|path| {
            let path = path.as_deref();
            path.is_some_and(Path::is_absolute)
        }),
    }
}

/// A value in the terms of its key; `None` if it is of no kind that the key has.
fn raw(key: Key, value: &DeValue<'_>) -> Option<Raw> {
    Some(match value {
        DeValue::Boolean(on) => Raw::Switch(*on),
        DeValue::Integer(number) => {
            Raw::Number(u64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Array(list) => {
            let words = list.iter().map(|item| item.get_ref().as_str());
            Raw::List(
                words
                    .map(|word| word.map(str::to_owned))
                    .collect::<Option<_>>()?,
            )
        }
        DeValue::String(text) => {
            // A word that is no time is some other word; a method is never a time.
            let time = humantime::parse_duration(text).ok();
            match time.filter(|_| key != Key::ProbeMethod) {
                Some(time) => Raw::Time(time),
                None => Raw::Word(text.to_string()),
            }
        }
        _ => return None,
    })
}

/// The name that is most like this one, if one is.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Below, names have little more in common than letters.
    const ALIKE: f64 = 0.8;
    known
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), *known))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests;
