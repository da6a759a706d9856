//! The terminal a tool may be printing on: how large it is, and waiting at it.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use std::{env, fmt};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use terminal_size::{Height, Width};

/// How many columns and rows there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
}

/// What terminals have been taken for that do not tell, since there were any.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The time was up.
    Elapsed,
    /// The user, or the system, wants an end.
    End,
}

/// Where a tool prints that goes on printing.
pub trait Terminal {
    /// Its size at this moment; `None` if standard output is no terminal.
    fn size(&self) -> Option<Size>;

    /// Whether colours are welcome: it is a terminal that has them, and `NO_COLOR` is not set.
    fn has_colours(&self) -> bool;

    /// Waits for so long, or until it is told to end.
    fn wait(&mut self, time: Duration) -> io::Result<Waited>;
}

/// Colours, where they are welcome. Words say the same without them.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    /// As it should be.
    pub fn good(self, word: impl fmt::Display) -> String {
        self.with("32", word)
    }

    /// Deserves a look.
    pub fn warning(self, word: impl fmt::Display) -> String {
        self.with("33", word)
    }

    /// Broken.
    pub fn bad(self, word: impl fmt::Display) -> String {
        self.with("1;31", word)
    }

    fn with(self, colour: &str, word: impl fmt::Display) -> String {
        if self.0 {
            format!("\x1b[{colour}m{word}\x1b[m")
        } else {
            word.to_string()
        }
    }
}

/// The terminal of the process, if standard output is one.
#[derive(Debug, Default)]
pub struct Tty {
    /// `SIGINT`, `SIGTERM` and `SIGHUP`, from the first wait on.
    signals: Option<SignalFd>,
}

impl Tty {
    fn signals(&mut self) -> io::Result<BorrowedFd<'_>> {
        if self.signals.is_none() {
            let mut ends = SigSet::empty();
            for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
                ends.add(signal);
            }
            ends.thread_block()?;
            let signals = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC)?;
            self.signals = Some(signals);
        }
        let signals = self.signals.as_ref().map(AsFd::as_fd);
        signals.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Terminal for Tty {
    fn size(&self) -> Option<Size> {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return None;
        }
        let lines = || env::var("LINES").ok()?.parse().ok();
        Some(match terminal_size::terminal_size_of(stdout) {
            Some((Width(columns), Height(rows))) if columns > 0 && rows > 0 => Size {
                columns: columns.into(),
                rows: rows.into(),
            },
            // A serial line knows no size; its user may.
            _ => Size {
                rows: lines().unwrap_or(USUAL.rows),
                ..USUAL
            },
        })
    }

    fn has_colours(&self) -> bool {
        // https://no-color.org: set, to whatever but nothing.
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        io::stdout().is_terminal() && !is_dumb && !is_set("NO_COLOR")
    }

    fn wait(&mut self, time: Duration) -> io::Result<Waited> {
        let mut waited = [PollFd::new(self.signals()?, PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut waited, timeout) {
            Ok(0) | Err(Errno::EINTR) => Ok(Waited::Elapsed),
            Ok(_) => Ok(Waited::End),
            Err(errno) => Err(errno.into()),
        }
    }
}
