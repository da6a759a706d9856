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

/// Breaks a line at blanks into lines of so many columns, all but the first `indent` columns in. A word that
/// is wider than that stays whole. Escape sequences of [`Paint`] take no room.
pub(crate) fn fitted(line: &str, columns: usize, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0;
    for word in line.split(' ') {
        let width = width(word);
        match lines.last_mut() {
            // Blanks at the beginning belong to the first word.
            Some(last) if used + 1 + width <= columns || last.trim_start().is_empty() => {
                last.push(' ');
                last.push_str(word);
                used += 1 + width;
            }
            // Nothing begins with a blank that there was no room for.
            Some(_) if word.is_empty() => {}
            Some(last) => {
                last.truncate(last.trim_end().len());
                lines.push(format!("{:indent$}{word}", ""));
                used = indent + width;
            }
            None => {
                lines.push(word.to_owned());
                used = width;
            }
        }
    }
    lines
}

/// Columns that a word takes.
fn width(word: &str) -> usize {
    let mut is_escaped = false;
    let shown = word.chars().filter(|&c| {
        let was_escaped = is_escaped;
        is_escaped = c == '\x1b' || (is_escaped && c != 'm');
        !was_escaped && !is_escaped
    });
    shown.count()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_blanks() {
        assert_eq!(fitted("  a bc  de", 10, 4), ["  a bc  de"]);
        assert_eq!(fitted("  a bc  def", 10, 4), ["  a bc", "    def"]);
        assert_eq!(fitted("  a bc  def", 6, 3), ["  a bc", "   def"]);
        assert_eq!(
            fitted("a wider-than-all b", 6, 2),
            ["a", "  wider-than-all", "  b"]
        );
        assert_eq!(fitted("", 10, 2), [""]);
    }

    #[test]
    fn colours_take_no_room() {
        let bad = Paint(true).bad("failed");
        let line = format!("ge1 {bad}, link");
        assert_eq!(fitted(&line, 16, 2).join("\n"), line);
        assert_eq!(
            fitted(&line, 15, 2),
            [format!("ge1 {bad},"), "  link".to_owned()]
        );
    }
}
