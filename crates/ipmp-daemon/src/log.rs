//! Where the daemon's messages go.
//!
//! | when | where |
//! |---|---|
//! | `-d` | standard error |
//! | systemd's journal is there | the journal, with the fields of [`journal`] |
//! | `/dev/log` is there | syslog, facility daemon |
//! | neither, as in containers | `log` in the run directory, at most [`FILE_SIZE`] and as much again in `log.old` |
//!
//! Nothing here waits: a journal that has stopped reading must not stop detection. That is why the
//! journal's protocol, three lines of text in a datagram, is spoken here; the library for it sends
//! on a blocking socket. What could not be sent is counted, and the next message says so.

use std::fmt::{self, Write as _};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::BitOr;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use ipmp_core::message::{Message, Severity};
use ipmp_core::{Action, Record};
use nix::libc::O_NOFOLLOW;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::NAME;
use crate::journal::{self, Causes, Fields};

/// Target of what only the journal gets.
const JOURNAL_ONLY: &str = "journal";

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";

/// Syslog's facility for daemons, in place for a priority to be added.
const FACILITY_DAEMON: u8 = 3 << 3;

/// How long the log file in the run directory becomes before it is put aside.
const FILE_SIZE: u64 = 1 << 20;

/// What is said in detail (manual `in.mpathd`, option `-D`). Each bit has a target of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Debug(pub(crate) u64);

/// Probes sent and answered.
pub(crate) const PROBE: &str = "probe";
/// Operations on the kernel, and announcements.
pub(crate) const FAILOVER: &str = "failover";
/// Interfaces that come, change and go.
pub(crate) const NIC: &str = "nic";
/// Addresses that come and go.
pub(crate) const LOGICAL: &str = "logical";
/// Routes and nexthops, from which targets come.
pub(crate) const TARGET: &str = "target";
/// Deadlines and scans.
pub(crate) const TIMER: &str = "timer";
/// Packets that could not be received.
pub(crate) const BAD_PACKET: &str = "bad-packet";
/// Links that were looked at because notifications may be late.
pub(crate) const LINK: &str = "link";

impl Debug {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);

    fn wants(self, target: &str) -> bool {
        let bits = [
            PROBE, FAILOVER, NIC, LOGICAL, TARGET, TIMER, BAD_PACKET, LINK,
        ];
        match bits.iter().position(|bit| *bit == target) {
            Some(bit) => self.0 & (1 << bit) != 0,
            None => self == Self::ALL && target.starts_with("ipmp"),
        }
    }
}

impl BitOr for Debug {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Says what the engine has to say at one moment: its messages and, to the journal, the records that none
/// of them tells of.
pub(crate) fn tell(actions: &[Action], causes: &mut Causes) {
    causes.note(actions);
    for action in actions {
        match action {
            Action::Log(message) => say(message, &journal::fields(message, actions, causes)),
            Action::Record(record) => {
                if let Some(fields) = journal::entry(record, actions) {
                    note(record, &fields);
                }
            }
            _ => {}
        }
    }
}

fn say(message: &Message, fields: &Fields) {
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                message_id = fields.id,
                ipmp_interface = fields.interface,
                ipmp_group = fields.group,
                ipmp_cause = fields.cause,
                ipmp_address = fields.address,
                "{message}"
            )
        };
    }
    match message.severity() {
        Severity::Error => say!(error),
        Severity::Warning => say!(warn),
        Severity::Info => say!(info),
    }
}

fn note(record: &Record, fields: &Fields) {
    tracing::info!(
        target: JOURNAL_ONLY,
        message_id = fields.id,
        ipmp_interface = fields.interface,
        ipmp_group = fields.group,
        ipmp_cause = fields.cause,
        "{record}"
    );
}

/// Sends everything said from now on to standard error, or to the best place there is. `file` is
/// the last resort.
pub(crate) fn start(to_stderr: bool, mask: Debug, file: PathBuf) {
    let sink = if to_stderr {
        Sink::Stderr
    } else if let Ok(socket) = connect(JOURNAL) {
        Sink::Journal(socket)
    } else if let Ok(socket) = connect(SYSLOG) {
        Sink::Syslog(socket)
    } else {
        Sink::File(file)
    };
    let log = Log {
        mask,
        sink: Mutex::new((sink, 0)),
    };
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    // Only fails where there is one already, and then that one it is.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(log));
}

fn connect(path: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

enum Sink {
    Stderr,
    Journal(UnixDatagram),
    Syslog(UnixDatagram),
    File(PathBuf),
}

struct Log {
    mask: Debug,
    /// The sink, and how many messages it lost since it took one.
    sink: Mutex<(Sink, u64)>,
}

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::INFO || self.mask.wants(metadata.target())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.mask == Debug::NONE {
            LevelFilter::INFO
        } else {
            LevelFilter::DEBUG
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        let mut guard = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let (sink, lost) = &mut *guard;
        if event.metadata().target() == JOURNAL_ONLY && !matches!(sink, Sink::Journal(_)) {
            return;
        }
        if *lost > 0 {
            let note = Line::of(format!("{lost} messages were lost"));
            if sink.send(4, &note).is_err() {
                *lost += 1;
                return;
            }
            *lost = 0;
        }
        if sink.send(priority, &line).is_err() {
            *lost += 1;
        }
    }
}

/// A message, on one line, and the journal's fields for it.
#[derive(Default)]
struct Line {
    text: String,
    fields: Vec<(String, String)>,
}

impl Line {
    fn of(text: String) -> Self {
        Self {
            text,
            fields: Vec::new(),
        }
    }

    fn take(&mut self, field: &Field, value: &str) {
        // One message is one line, whatever the kernel or a client said.
        let value = value.replace(|c: char| c.is_control(), " ");
        match field.name() {
            "message" => self.text.insert_str(0, &value),
            name if name == "message_id" || name.starts_with("ipmp_") => {
                self.fields.push((name.to_ascii_uppercase(), value));
            }
            // Writing to a string cannot fail.
            name => drop(write!(self.text, " {name}={value}")),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }
}

impl Sink {
    fn send(&mut self, priority: u8, line: &Line) -> io::Result<()> {
        let pid = std::process::id();
        let text = &line.text;
        match self {
            Self::Stderr => writeln!(io::stderr(), "{NAME}: {text}"),
            Self::Journal(socket) => {
                let mut entry = format!(
                    "MESSAGE={text}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER={NAME}\nSYSLOG_FACILITY=3\n"
                );
                for (name, value) in &line.fields {
                    let _ = writeln!(entry, "{name}={value}");
                }
                datagram(socket, JOURNAL, entry.as_bytes())
            }
            Self::Syslog(socket) => {
                let entry = format!("<{}>{NAME}[{pid}]: {text}", FACILITY_DAEMON | priority);
                datagram(socket, SYSLOG, entry.as_bytes())
            }
            Self::File(path) => {
                let when = humantime::format_rfc3339_millis(SystemTime::now());
                let mut file = bounded(path)?;
                file.write_all(format!("{when} {NAME}[{pid}]: {text}\n").as_bytes())
            }
        }
    }
}

/// Sends without waiting, and again to whoever took the place of a receiver that ended.
fn datagram(socket: &mut UnixDatagram, path: &str, bytes: &[u8]) -> io::Result<()> {
    match socket.send(bytes) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            *socket = connect(path)?;
            socket.send(bytes)?;
        }
        sent => drop(sent?),
    }
    Ok(())
}

fn bounded(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.len() >= FILE_SIZE) {
        fs::rename(path, path.with_extension("old"))?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .custom_flags(O_NOFOLLOW)
        .open(path)
}

#[cfg(test)]
mod tests {
    use ipmp_core::record::Cause;
    use ipmp_core::snapshot::InterfaceState;

    use super::*;

    fn log_to(sink: Sink, mask: Debug, work: impl FnOnce()) {
        let log = Log {
            mask,
            sink: Mutex::new((sink, 0)),
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), work);
    }

    fn failed() -> Message {
        Message::NicFailed {
            interface: "ge1".parse().unwrap(),
            group: Some("testgrp2".parse().unwrap()),
        }
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[test]
    fn journal_entries_have_fields() {
        let (ours, journal) = UnixDatagram::pair().unwrap();
        log_to(Sink::Journal(ours), Debug::NONE, || {
            tell(&[Action::Log(failed())], &mut Causes::default());
            tracing::warn!(reason = "a\nb", "two\nlines");
        });
        assert_eq!(
            received(&journal),
            "MESSAGE=NIC failure detected on ge1 of group testgrp2\nPRIORITY=3\n\
             SYSLOG_IDENTIFIER=in.mpathd\nSYSLOG_FACILITY=3\n\
             MESSAGE_ID=0043e66253ad49d1a90163128c8e5bdd\nIPMP_INTERFACE=ge1\nIPMP_GROUP=testgrp2\n"
        );
        assert!(received(&journal).starts_with("MESSAGE=two lines reason=a b\nPRIORITY=4\n"));
    }

    #[test]
    fn what_no_message_tells_of_is_for_the_journal_alone() {
        let offline = || {
            let record = Record::Interface {
                interface: "ge1".parse().unwrap(),
                group: None,
                from: Some(InterfaceState::Ok),
                to: Some(InterfaceState::Offline),
                cause: Cause::Administrator,
            };
            tell(&[Action::Record(record)], &mut Causes::default());
            tracing::info!("last");
        };
        let (ours, journal) = UnixDatagram::pair().unwrap();
        log_to(Sink::Journal(ours), Debug::NONE, offline);
        let entry = received(&journal);
        assert!(entry.starts_with("MESSAGE=ge1 is offline: asked for\nPRIORITY=6\n"));
        assert!(entry.ends_with("IPMP_INTERFACE=ge1\nIPMP_CAUSE=administrator\n"));
        assert!(received(&journal).starts_with("MESSAGE=last\n"));
        let (ours, syslog) = UnixDatagram::pair().unwrap();
        log_to(Sink::Syslog(ours), Debug::NONE, offline);
        assert!(received(&syslog).ends_with("]: last"));
    }

    #[test]
    fn syslog_lines_have_a_priority() {
        let (ours, syslog) = UnixDatagram::pair().unwrap();
        log_to(Sink::Syslog(ours), Debug::NONE, || {
            tell(&[Action::Log(failed())], &mut Causes::default());
        });
        let pid = std::process::id();
        assert_eq!(
            received(&syslog),
            format!("<27>in.mpathd[{pid}]: NIC failure detected on ge1 of group testgrp2")
        );
    }

    #[test]
    fn a_log_nobody_reads_does_not_stop_us_and_losses_are_told() {
        let (ours, journal) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let log = Log {
            mask: Debug::NONE,
            sink: Mutex::new((Sink::Journal(ours), 0)),
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || {
            // A connected pair cannot be connected anew by path, so that a full queue is all there is.
            for number in 0..10_000 {
                tracing::info!("{number}");
            }
            journal.set_nonblocking(true).unwrap();
            let mut buffer = [0; 4096];
            let mut taken = 0;
            while journal.recv(&mut buffer).is_ok() {
                taken += 1;
            }
            assert!(taken < 10_000);
            tracing::info!("after");
            let lost = 10_000 - taken;
            assert!(received(&journal).contains(&format!("MESSAGE={lost} messages were lost")));
            assert!(received(&journal).contains("MESSAGE=after"));
        });
    }

    #[test]
    fn the_file_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, "x".repeat(1 << 20)).unwrap();
        log_to(Sink::File(path.clone()), Debug::NONE, || {
            tell(&[Action::Log(failed())], &mut Causes::default());
        });
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.ends_with("]: NIC failure detected on ge1 of group testgrp2\n"),
            "{text}"
        );
        assert_eq!(
            fs::metadata(path.with_extension("old")).unwrap().len(),
            FILE_SIZE
        );
    }

    #[test]
    fn masks() {
        assert!(Debug(0x1).wants(PROBE) && !Debug(0x1).wants(TIMER));
        assert!(Debug(0x20).wants(TIMER) && Debug(0x40).wants(BAD_PACKET));
        assert!(Debug::ALL.wants("ipmp_linux::rtnl") && !Debug::ALL.wants("mio"));
        assert!(!Debug(0xff).wants("ipmp_linux::rtnl"));
        let (ours, syslog) = UnixDatagram::pair().unwrap();
        log_to(Sink::Syslog(ours), Debug(0x1), || {
            tracing::debug!(target: TIMER, "no");
            tracing::debug!(target: PROBE, "yes");
        });
        assert!(received(&syslog).starts_with("<31>"));
    }
}
