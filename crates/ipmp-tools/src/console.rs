//! Where tools print, and how they end.

use std::fmt;
use std::io::{self, Write};

/// Exit code of success.
pub const OK: u8 = 0;

/// Exit code of every failure.
pub const FAILED: u8 = 1;

/// Standard output and standard error of a tool.
#[expect(
    missing_debug_implementations,
    reason = "a pair of writers has nothing to show"
)]
pub struct Console<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Errors.
    pub err: &'a mut dyn Write,
}

impl Console<'_> {
    /// Prints one line of a result.
    pub fn say(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    /// Prints one line of complaint, and one line it stays: words and files that are complained of
    /// are quoted as they are, and control characters in them are not for the terminal to obey. That
    /// nobody reads it must not stop the tool.
    pub fn complain(&mut self, line: impl fmt::Display) {
        let mut text = String::new();
        for c in line.to_string().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        // In the order in which it was said, where both go to the same place.
        let _ = self.out.flush();
        let _ = writeln!(self.err, "{text}");
    }

    /// Prints the help text of `tool`, and ends it.
    pub fn help(&mut self, tool: &str, text: &str) -> u8 {
        let result = self.out.write_all(text.as_bytes()).map(|()| OK);
        self.finish(tool, result)
    }

    /// Complains in one line that `arguments` are not what the tool of this help text takes, and is a
    /// failure. The text begins with `usage: `, the tool's words and what may follow them.
    pub fn misused(&mut self, arguments: &[String], help: &str) -> u8 {
        let first = help.lines().next().unwrap_or_default();
        let usage = first.split("  ").next().unwrap_or_default();
        let named = usage.trim_start_matches("usage: ").split(' ');
        let tool: Vec<&str> = named
            .take_while(|word| {
                word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains('|')
            })
            .collect();
        let tool = tool.join(" ");
        if arguments.is_empty() {
            self.complain(format_args!("{tool}: something is missing; {usage}"));
        } else {
            let arguments = arguments.join(" ");
            self.complain(format_args!("{tool}: {arguments}: does not fit; {usage}"));
        }
        FAILED
    }

    /// Ends `tool`: a reader that went away (`ipmpstat | head`) is a quiet success.
    pub fn finish(&mut self, tool: &str, result: io::Result<u8>) -> u8 {
        match result.and_then(|code| self.out.flush().map(|()| code)) {
            Ok(code) => code,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => OK,
            Err(error) => {
                self.complain(format_args!("{tool}: standard output: {error}"));
                FAILED
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_complaint_is_one_line_without_control_characters() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console {
            out: &mut out,
            err: &mut err,
        };
        console.complain("ifconfig: a\u{1b}[2Jb\nc: ge0: 'ä'");
        assert_eq!(
            String::from_utf8(err).unwrap(),
            "ifconfig: a\\u{1b}[2Jb\\nc: ge0: 'ä'\n"
        );
    }

    #[test]
    fn misuse_is_told_in_one_line() {
        let told = |arguments: &[&str], help| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut console = Console {
                out: &mut out,
                err: &mut err,
            };
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            assert_eq!(console.misused(&arguments, help), FAILED);
            assert!(out.is_empty());
            String::from_utf8(err).unwrap()
        };
        assert_eq!(
            told(&[], "usage: ipmp explain IF|ADDRESS\n  Says why.\n"),
            "ipmp explain: something is missing; usage: ipmp explain IF|ADDRESS\n"
        );
        assert_eq!(
            told(&[], "usage: ipmp completions bash|zsh\n"),
            "ipmp completions: something is missing; usage: ipmp completions bash|zsh\n"
        );
        assert_eq!(
            told(&["-x", "a\nb"], "usage: if_mpadm -d IF    take IF out\n"),
            "if_mpadm: -x a\\nb: does not fit; usage: if_mpadm -d IF\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_a_quiet_end() {
        let mut err = Vec::new();
        let mut console = Console {
            out: &mut Closed,
            err: &mut err,
        };
        let result = console.say("row").map(|()| FAILED);
        assert_eq!(console.finish("ipmpstat", result), OK);
        assert!(err.is_empty());
    }
}
