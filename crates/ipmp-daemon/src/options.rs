//! The daemon's options (manual `in.mpathd`, OPTIONS).

use std::ffi::OsString;
use std::path::{PathBuf, absolute};

use ipmp_config::{Called, c_number};
use thiserror::Error;

use crate::log::Debug;

/// How the daemon was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// `-a`: end at once if there is nothing to watch.
    pub(crate) adopt: bool,
    /// `-d`: stay in the foreground and say everything on standard error.
    pub(crate) debug: bool,
    /// `--foreground`: stay in the foreground, for a service manager.
    pub(crate) foreground: bool,
    /// `-D MASK`: what to say in detail.
    pub(crate) mask: Debug,
    /// `-m`: find targets by multicast only.
    pub(crate) multicast_targets_only: bool,
    /// `-l`: ignore link state.
    pub(crate) ignore_links: bool,
    /// `-r FILE`: record there all that happens.
    pub(crate) record: Option<PathBuf>,
}

/// What was typed is not what the daemon takes.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum UsageError {
    /// No such option, or an argument that is none.
    #[error("unknown argument '{0}' (see in.mpathd --help)")]
    Unknown(String),
    /// The mask is missing or no number.
    #[error("-D needs a number such as 0x21 (see in.mpathd --help)")]
    Mask,
    /// The file is missing.
    #[error("-r needs the file to record to (see in.mpathd --help)")]
    Record,
    /// `--help`, `-h` or `-?`.
    #[error("{USAGE}")]
    Help,
}

const USAGE: &str = "\
usage: in.mpathd [-adlm] [-D mask] [-r file] [--foreground]
  -a            end at once if no interface is to be watched
  -d            stay in the foreground, say everything on standard error
  -D mask       say in detail: 0x1 probes, 0x2 failovers, 0x4 interfaces,
                0x8 addresses, 0x10 routes, 0x20 timers, 0x40 bad packets,
                0x80 links
  -l            ignore link state
  -m            find probe targets by multicast only
  -r file       record there all that happens, for ipmp replay
  --foreground  stay in the foreground, for a service manager
Examples:
  in.mpathd
  in.mpathd -d -r /var/log/mpathd.record";

impl Options {
    pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut options = Self {
            adopt: false,
            debug: false,
            foreground: false,
            mask: Debug::NONE,
            multicast_targets_only: false,
            ignore_links: false,
            record: None,
        };
        let mut args = args
            .into_iter()
            .map(|arg| arg.to_string_lossy().into_owned());
        while let Some(arg) = args.next() {
            if arg == "--foreground" {
                options.foreground = true;
                continue;
            }
            if arg == "--help" {
                return Err(UsageError::Help);
            }
            let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                return Err(UsageError::Unknown(arg));
            };
            for (at, letter) in letters.char_indices() {
                match letter {
                    'a' => options.adopt = true,
                    'd' => {
                        options.debug = true;
                        options.mask = Debug::ALL;
                    }
                    'm' => options.multicast_targets_only = true,
                    'l' => options.ignore_links = true,
                    'D' | 'r' => {
                        // As getopt has it: the rest of the word, else the next word.
                        let value = match letters.get(at + 1..) {
                            Some("") | None => args.next(),
                            Some(rest) => Some(rest.to_owned()),
                        };
                        if letter == 'r' {
                            // The daemon's directory is another one than the caller's.
                            let path = value.and_then(|value| absolute(value).ok());
                            options.record = Some(path.ok_or(UsageError::Record)?);
                        } else {
                            let mask = value
                                .and_then(|mask| c_number(&mask))
                                .ok_or(UsageError::Mask)?;
                            options.mask = options.mask | Debug(mask);
                        }
                        break;
                    }
                    'h' | '?' => return Err(UsageError::Help),
                    _ => return Err(UsageError::Unknown(arg)),
                }
            }
        }
        Ok(options)
    }

    /// What of it settings have as well.
    pub(crate) const fn called(&self) -> Called {
        Called {
            ignore_links: self.ignore_links,
            multicast_targets_only: self.multicast_targets_only,
        }
    }

    /// Whether the process that was called becomes the daemon itself.
    pub(crate) const fn stays(&self) -> bool {
        self.debug || self.foreground
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(line: &str) -> Result<Options, UsageError> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options() {
        let none = parse("").unwrap();
        assert!(!none.stays());
        assert_eq!(none.mask, Debug::NONE);
        let all = parse("-am -l -D 0x21 --foreground").unwrap();
        assert!(all.adopt && all.multicast_targets_only && all.ignore_links && all.foreground);
        assert_eq!(all.mask, Debug(0x21));
        assert!(!all.debug);
        assert_eq!(parse("-aD0x80").unwrap().mask, Debug(0x80));
        assert_eq!(parse("-D 16").unwrap().mask, Debug(16));
        assert_eq!(parse("-d").unwrap().mask, Debug::ALL);
        assert!(parse("-d").unwrap().stays());
        for line in ["-ar /tmp/events", "-ar/tmp/events"] {
            let record = parse(line).unwrap().record.unwrap();
            assert_eq!(record, Path::new("/tmp/events"), "{line}");
        }
        assert!(parse("-r events").unwrap().record.unwrap().is_absolute());
    }

    #[test]
    fn what_is_none() {
        for line in ["-x", "-", "ge0", "--debug", "-a ge0"] {
            assert!(matches!(parse(line), Err(UsageError::Unknown(_))), "{line}");
        }
        for line in ["-D", "-D x", "-D -1", "-aD"] {
            assert_eq!(parse(line), Err(UsageError::Mask), "{line}");
        }
        for line in ["-r", "-ar"] {
            assert_eq!(parse(line), Err(UsageError::Record), "{line}");
        }
        assert_eq!(parse("-?"), Err(UsageError::Help));
    }
}
