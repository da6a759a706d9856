//! `/etc/hostname.IF` and `/etc/hostname6.IF`: words for `ifconfig`, one call for each line.
//!
//! Lines are read as a shell reads them: a backslash at the end joins the next line. Lines that begin
//! with `#` are comments, empty ones do not count. An IPv4 file of exactly one line gets `netmask +
//! broadcast + up` appended; an IPv6 interface is brought up after its lines.

use std::fs;
use std::path::{Path, PathBuf};

use ipmp_core::Family;

use crate::etc::Etc;
use crate::ifconfig::Target;

/// What a single line of an IPv4 file goes without saying.
const APPENDED: [&str; 5] = ["netmask", "+", "broadcast", "+", "up"];

/// A file with the words for one interface.
#[derive(Debug)]
pub(super) struct HostnameFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The interface it is for.
    pub(super) target: Target,
    /// The family it is for.
    pub(super) family: Family,
    /// Its calls of `ifconfig`, in order.
    pub(super) calls: Vec<Call>,
}

/// The words of one call of `ifconfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// The words.
    pub(super) words: Vec<String>,
    /// The line of the file each word is on, counted from 1.
    pub(super) lines: Vec<usize>,
}

impl Call {
    /// The line of the file that the word at `position` is on.
    pub(super) fn line_of(&self, position: usize) -> usize {
        let line = self.lines.get(position).or(self.lines.last());
        line.copied().unwrap_or(1)
    }

    fn push(&mut self, word: &str, line: usize) {
        self.words.push(word.to_owned());
        self.lines.push(line);
    }
}

/// Something wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Which file.
    pub(super) path: PathBuf,
    /// Which line, where it is about one.
    pub(super) line: Option<usize>,
    /// What.
    pub(super) reason: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.reason),
            None => write!(f, "{}: {}", self.path.display(), self.reason),
        }
    }
}

/// The files there are: by family, by interface and unit.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Those that were read.
    pub(super) files: Vec<HostnameFile>,
    /// Those that could not be.
    pub(super) problems: Vec<Problem>,
    /// Those whose names do not end in a digit, as those of editors and packagers do.
    pub(super) ignored: Vec<PathBuf>,
}

/// Finds and reads the files.
pub(super) fn find(etc: &Etc) -> Found {
    let mut found = Found::default();
    let problem = |path: &Path, reason: String| Problem {
        path: path.to_owned(),
        line: None,
        reason,
    };
    let entries = match fs::read_dir(etc.directory()) {
        Ok(entries) => entries,
        Err(error) => {
            found
                .problems
                .push(problem(etc.directory(), error.to_string()));
            return found;
        }
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((family, interface)) = name.to_str().and_then(interface_of) else {
            continue;
        };
        let path = entry.path();
        // Solaris's boot skips this one, the pattern of a file that installers leave.
        if interface == "xx0" {
            continue;
        }
        if !interface.ends_with(|c: char| c.is_ascii_digit()) {
            found.ignored.push(path);
            continue;
        }
        let read = Target::parse(interface)
            .map_err(|error| format!("'{interface}': {error}"))
            .and_then(|target| {
                Ok((
                    target,
                    fs::read_to_string(&path).map_err(|e| e.to_string())?,
                ))
            });
        match read {
            Ok((target, text)) => found.files.push(HostnameFile {
                path,
                target,
                family,
                calls: calls(&text, family),
            }),
            Err(reason) => found.problems.push(problem(&path, reason)),
        }
    }
    found.files.sort_by(|one, other| {
        let key = |file: &HostnameFile| (file.family, file.target.logical.unit);
        let name = |file: &HostnameFile| file.target.logical.interface.clone();
        (one.family)
            .cmp(&other.family)
            .then_with(|| name(one).instance().cmp(&name(other).instance()))
            .then_with(|| key(one).cmp(&key(other)))
    });
    found
        .problems
        .sort_by(|one, other| one.path.cmp(&other.path));
    found.ignored.sort();
    found
}

/// Family and interface of a file called `name`.
fn interface_of(name: &str) -> Option<(Family, &str)> {
    if let Some(interface) = name.strip_prefix("hostname6.") {
        Some((Family::Inet6, interface))
    } else {
        let interface = name.strip_prefix("hostname.")?;
        Some((Family::Inet, interface))
    }
}

/// The calls of `ifconfig` that `text` stands for.
pub(super) fn calls(text: &str, family: Family) -> Vec<Call> {
    let mut calls = logical_lines(text);
    let last_line = text.lines().count().max(1);
    match (family, calls.as_mut_slice()) {
        (Family::Inet, [only]) => {
            let line = only.line_of(usize::MAX);
            for word in APPENDED {
                only.push(word, line);
            }
        }
        (Family::Inet, _) => {}
        (Family::Inet6, _) => {
            let mut up = Call::default();
            up.push("up", last_line);
            calls.push(up);
        }
    }
    calls
}

/// Lines joined at backslashes, without comments and empty ones.
fn logical_lines(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut call = Call::default();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let (line, is_joined) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        for word in line.split_whitespace() {
            call.push(&word.replace('\\', ""), number);
        }
        if !is_joined {
            calls.push(std::mem::take(&mut call));
        }
    }
    calls.push(call);
    calls.retain(|call| !call.words.is_empty());
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, family: Family) -> Vec<String> {
        let calls = calls(text, family);
        calls.iter().map(|call| call.words.join(" ")).collect()
    }

    #[test]
    fn one_line_gets_words_appended() {
        let joined = "192.168.10.215 broadcast + netmask + up group test \\\n\
                      addif 192.168.10.216 -failover deprecated netmask + broadcast + up\n";
        let expected = "192.168.10.215 broadcast + netmask + up group test \
                        addif 192.168.10.216 -failover deprecated netmask + broadcast + up \
                        netmask + broadcast + up";
        for text in [joined.to_owned(), format!("# us\n\n{joined}\n\n")] {
            assert_eq!(words(&text, Family::Inet), [expected]);
        }
        let [call] = calls(joined, Family::Inet).try_into().unwrap();
        assert_eq!(call.line_of(0), 1);
        assert_eq!(call.line_of(9), 2);
        assert_eq!(call.line_of(99), 2);
    }

    #[test]
    fn several_lines_get_none() {
        assert_eq!(
            words("10.0.0.1 up\n\n  # more\naddif 10.0.0.2 up\n", Family::Inet),
            ["10.0.0.1 up", "addif 10.0.0.2 up"]
        );
    }

    #[test]
    fn ipv6_is_brought_up_at_the_end() {
        assert_eq!(
            words("addif 2001:db8::1/64 up\n", Family::Inet6),
            ["addif 2001:db8::1/64 up", "up"]
        );
        assert_eq!(words("", Family::Inet6), ["up"]);
    }

    #[test]
    fn odd_ends() {
        assert!(words("", Family::Inet).is_empty());
        assert_eq!(
            words("10.0.0.1 \\", Family::Inet),
            ["10.0.0.1 netmask + broadcast + up"]
        );
        assert_eq!(
            words("10.0.0.1 \\\n# between\nup", Family::Inet),
            ["10.0.0.1 up netmask + broadcast + up"]
        );
    }

    #[test]
    fn which_files_count() {
        let root = tempfile::tempdir().unwrap();
        let etc = Etc::below(root.path());
        fs::create_dir(etc.directory()).unwrap();
        for name in [
            "hostname",
            "hostname.ge10",
            "hostname.ge2",
            "hostname.ge2:1",
            "hostname.ge2.bak",
            "hostname.ge2~",
            "hostname.xx0",
            "hostname6.ge2",
            "hostname.toolonganame123456",
        ] {
            fs::write(etc.path(name), "").unwrap();
        }
        let found = find(&etc);
        let names: Vec<_> = found
            .files
            .iter()
            .map(|file| file.path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "hostname.ge2",
                "hostname.ge2:1",
                "hostname.ge10",
                "hostname6.ge2"
            ]
        );
        assert_eq!(found.ignored.len(), 2);
        let [problem] = found.problems.as_slice() else {
            panic!("{:?}", found.problems)
        };
        assert_eq!(
            problem.reason,
            "'toolonganame123456': name longer than 15 characters"
        );
    }
}
