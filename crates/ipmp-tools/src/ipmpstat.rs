//! `ipmpstat`: how groups, interfaces, addresses and probe targets are (manual `ipmpstat`).
//!
//! Everything shown comes out of one snapshot. Names for addresses are looked up in `/etc/hosts`
//! only.

mod columns;
mod modes;
mod names;

use std::io;

use modes::{Field, Mode};
use names::Names;
use nix::unistd::gethostname;

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};

const TOOL: &str = "ipmpstat";

/// Fields are shown without being asked for as long as they fit into this.
const WIDTH: usize = 80;

const USAGE: &str = "\
usage: ipmpstat [-n] [-o FIELD[,FIELD...] [-P]] -a|-g|-i|-t
  modes:
    -a    data addresses:   ADDRESS STATE GROUP INBOUND OUTBOUND
    -g    groups:           GROUP GROUPNAME STATE FDT INTERFACES
    -i    interfaces:       INTERFACE ACTIVE GROUP FLAGS LINK PROBE STATE
    -t    probe targets:    INTERFACE MODE TESTADDR TARGETS
  options:
    -n    addresses as numbers, not names
    -o    these fields in this order; all: every field
    -P    for programs: values joined by colons, no header
Examples:
  ipmpstat -g
  ipmpstat -P -o group,state -g
";

/// Runs `ipmpstat` with `arguments`, its name not among them. `rows` is how many lines the terminal
/// has if standard output is one.
pub fn run(
    arguments: &[String],
    rows: Option<usize>,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let result = match Options::parse(arguments) {
        Ok(options) => show(&options, rows, environment, console),
        Err(Complaint::Help) => console.out.write_all(USAGE.as_bytes()).map(|()| OK),
        Err(Complaint::Usage) => Ok(console.usage(USAGE)),
        Err(Complaint::Reason(reason)) => {
            console.complain(format_args!("{TOOL}: {reason}"));
            Ok(FAILED)
        }
    };
    console.finish(TOOL, result)
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    mode: Mode,
    numeric: bool,
    fields: Option<String>,
    parseable: bool,
}

/// Why nothing is shown.
#[derive(Debug, PartialEq, Eq)]
enum Complaint {
    Help,
    Usage,
    Reason(String),
}

impl From<&str> for Complaint {
    fn from(reason: &str) -> Self {
        Self::Reason(reason.to_owned())
    }
}

impl Options {
    /// Letters may be given together (`-nP`), and the list of `-o` with it or after it.
    fn parse(arguments: &[String]) -> Result<Self, Complaint> {
        let mut modes = Vec::new();
        let (mut numeric, mut fields, mut parseable) = (false, None, false);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--help" {
                return Err(Complaint::Help);
            }
            let mut letters = argument
                .strip_prefix('-')
                .filter(|letters| !letters.is_empty())
                .ok_or(Complaint::Usage)?
                .chars();
            while let Some(letter) = letters.next() {
                match letter {
                    'a' => modes.push(Mode::Addresses),
                    'g' => modes.push(Mode::Groups),
                    'i' => modes.push(Mode::Interfaces),
                    't' => modes.push(Mode::Targets),
                    'p' => return Err("-p: probes cannot be watched in this version".into()),
                    'n' => numeric = true,
                    'P' => parseable = true,
                    // A snapshot is always as fresh as can be.
                    'L' => {}
                    'o' => {
                        let rest = letters.as_str();
                        let list = match rest {
                            "" => arguments.next().ok_or(Complaint::Usage)?.as_str(),
                            rest => rest,
                        };
                        fields = Some(list.to_owned());
                        break;
                    }
                    _ => return Err(Complaint::Usage),
                }
            }
        }
        let mode = match modes.as_slice() {
            [] => return Err(Complaint::Usage),
            [mode] => *mode,
            _ => return Err("only one output format may be specified".into()),
        };
        if parseable {
            match fields.as_deref() {
                None => return Err("-P: the output fields must be named with -o".into()),
                Some(list) if list.eq_ignore_ascii_case("all") => {
                    return Err("-P: the output fields must be named, not 'all'".into());
                }
                Some(_) => {}
            }
        }
        Ok(Self {
            mode,
            numeric,
            fields,
            parseable,
        })
    }

    /// The fields to show, as positions in those of the mode, and the names that are none.
    fn positions(&self) -> (Vec<usize>, Vec<&str>) {
        let fields = self.mode.fields();
        let Some(list) = self.fields.as_deref() else {
            return (leading(fields), Vec::new());
        };
        if list.eq_ignore_ascii_case("all") {
            return ((0..fields.len()).collect(), Vec::new());
        }
        let mut unknown = Vec::new();
        let known = list.split(',').filter_map(|name| {
            let position = fields
                .iter()
                .position(|field| field.name.eq_ignore_ascii_case(name));
            if position.is_none() {
                unknown.push(name);
            }
            position
        });
        (known.collect(), unknown)
    }
}

/// The leading fields that fit side by side.
fn leading(fields: &[Field]) -> Vec<usize> {
    let mut width = 0;
    let fitting = fields.iter().take_while(|field| {
        width += field.width;
        width <= WIDTH
    });
    (0..fitting.count()).collect()
}

fn show(
    options: &Options,
    rows: Option<usize>,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let (positions, unknown) = options.positions();
    for name in &unknown {
        if options.parseable {
            console.complain(format_args!("{TOOL}: unknown output field: '{name}'"));
            return Ok(FAILED);
        }
        console.complain(format_args!(
            "{TOOL}: ignoring unknown output field: '{name}'"
        ));
    }
    if positions.is_empty() {
        console.complain(format_args!("{TOOL}: no valid output fields"));
        return Ok(FAILED);
    }
    let snapshot = match environment.daemon.snapshot() {
        Ok(snapshot) => snapshot,
        Err(Failure::Refused(_) | Failure::PermissionDenied | Failure::NotRunning) => {
            console.complain(format_args!(
                "{TOOL}: cannot contact in.mpathd(1M) -- is IPMP in use?"
            ));
            return Ok(FAILED);
        }
        Err(Failure::Unreachable(reason)) => {
            console.complain(format_args!(
                "{TOOL}: cannot contact in.mpathd(1M): {reason}"
            ));
            return Ok(FAILED);
        }
    };
    let names = if options.numeric {
        Names::default()
    } else {
        let host = gethostname().unwrap_or_default();
        Names::read(environment.etc, &host.to_string_lossy())
    };
    let fields: Vec<&Field> = positions
        .iter()
        .filter_map(|&position| options.mode.fields().get(position))
        .collect();
    let chosen = |values: &[String]| -> Vec<String> {
        let values = positions.iter().filter_map(|&at| values.get(at));
        values.cloned().collect()
    };
    // On a terminal the header stands atop every screen of rows.
    let screen = rows.map_or(usize::MAX, |rows| rows.saturating_sub(1).max(1));
    for (number, values) in options.mode.rows(&snapshot, &names).iter().enumerate() {
        if options.parseable {
            console.say(columns::parseable(&chosen(values)))?;
            continue;
        }
        if number % screen == 0 {
            console.say(columns::header(&fields))?;
        }
        console.say(columns::human(&fields, &chosen(values)))?;
    }
    Ok(OK)
}

#[cfg(test)]
mod tests;
