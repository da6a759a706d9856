//! `ipmpstat`: how groups, interfaces, addresses and probe targets are (manual `ipmpstat`).
//!
//! Everything shown comes out of one snapshot, but for probes, which are told as they come. Names for addresses are looked up in `/etc/hosts`
//! only.

mod columns;
mod modes;
mod names;
mod probes;

use std::io;
use std::time::Duration;

use ipmp_api::TO_START;
use ipmp_core::Snapshot;
use modes::{Field, Mode};
use names::Names;
use nix::unistd::gethostname;

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};
use crate::terminal::{Size, Terminal, Waited};

const TOOL: &str = "ipmpstat";

/// Fields are shown without being asked for as long as they fit into this.
const WIDTH: usize = 80;

const USAGE: &str = "\
usage: ipmpstat -a|-g|-i|-p|-t [-n] [-o FIELD[,...] [-P] | --json] [--watch[=S]]
  modes:
    -a    data addresses:   ADDRESS STATE GROUP INBOUND OUTBOUND
    -g    groups:           GROUP GROUPNAME STATE FDT INTERFACES
    -i    interfaces:       INTERFACE ACTIVE GROUP FLAGS LINK PROBE STATE
    -p    probes, until interrupted (only root may watch them):
          TIME INTERFACE PROBE NETRTT RTT RTTAVG TARGET RTTDEV
    -t    probe targets:    INTERFACE MODE TESTADDR TARGETS
  options:
    -n    addresses as numbers, not names
    -o    these fields in this order; all: every field
    -P    for programs: values joined by colons, no header
    --json             one JSON document with all there is to tell; of probes
                       one object a line (docs/json.md)
    --watch[=SECONDS]  again every second, or as often, until interrupted
Examples:
  ipmpstat -g
  ipmpstat -P -o group,state -g
  ipmpstat -pn
  ipmpstat --json -g | jq -r '.groups[] | select(.state != \"ok\") | .group'
";

/// Runs `ipmpstat` with `arguments`, its name not among them.
pub fn run(
    arguments: &[String],
    terminal: &mut dyn Terminal,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let result = match Options::parse(arguments) {
        Ok(options) => show(&options, terminal, environment, console),
        Err(Complaint::Help) => return console.help(TOOL, USAGE),
        Err(Complaint::Usage) => Ok(console.misused(arguments, USAGE)),
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
    style: Style,
    /// How often, if again and again.
    watch: Option<Duration>,
}

/// For whom the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// People: columns with a header.
    Columns,
    /// Shell scripts: values joined by colons.
    Colons,
    /// Programs.
    Json,
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
        let (mut json, mut watch) = (false, None);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if let Some(word) = argument.strip_prefix("--") {
                match word.split_once('=') {
                    None if word == "help" => return Err(Complaint::Help),
                    None if word == "json" => json = true,
                    None if word == "watch" => watch = Some(Duration::from_secs(1)),
                    Some(("watch", seconds)) => watch = Some(interval(seconds)?),
                    _ => return Err(Complaint::Usage),
                }
                continue;
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
                    'p' => modes.push(Mode::Probes),
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
        if json && (parseable || fields.is_some()) {
            return Err("--json has all fields: not with -o or -P".into());
        }
        if mode == Mode::Probes && watch.is_some() {
            return Err("-p goes on by itself: not with --watch".into());
        }
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
            style: match (json, parseable) {
                (true, _) => Style::Json,
                (_, true) => Style::Colons,
                _ => Style::Columns,
            },
            watch,
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

/// How often to look, out of seconds as they were typed.
fn interval(seconds: &str) -> Result<Duration, Complaint> {
    let bounds = 0.1..=3600.0;
    match seconds.parse::<f64>() {
        Ok(time) if bounds.contains(&time) => Ok(Duration::from_secs_f64(time)),
        _ => Err(Complaint::Reason(format!(
            "--watch: '{seconds}' is not a time from 0.1 to 3600 seconds"
        ))),
    }
}

fn show(
    options: &Options,
    terminal: &mut dyn Terminal,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let (positions, unknown) = options.positions();
    for name in &unknown {
        if options.style == Style::Colons {
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
    let names = if options.numeric {
        Names::default()
    } else {
        let host = gethostname().unwrap_or_default();
        Names::read(environment.etc, &host.to_string_lossy())
    };
    let table = Table {
        options,
        fields: positions
            .iter()
            .filter_map(|&position| options.mode.fields().get(position))
            .collect(),
        positions,
        names,
    };
    if options.mode == Mode::Probes {
        return probes::watch(&table, terminal, environment, console);
    }
    let Some(every) = options.watch else {
        return Ok(match seen(environment, console) {
            Some(snapshot) => {
                let size = terminal.size();
                table.print(&table.lines(&snapshot)?, size, console)?;
                OK
            }
            None => FAILED,
        });
    };
    for turn in 0_u64.. {
        let Some(snapshot) = seen(environment, console) else {
            return Ok(FAILED);
        };
        table.redraw(turn, &snapshot, terminal.size(), console)?;
        console.out.flush()?;
        if terminal.wait(every)? == Waited::End {
            break;
        }
    }
    Ok(OK)
}

/// What there is to see; it is said why there is nothing.
fn seen(environment: &mut Environment<'_>, console: &mut Console<'_>) -> Option<Snapshot> {
    let reason = match environment.daemon.snapshot() {
        Ok(snapshot) => return Some(snapshot),
        Err(Failure::Unreachable(reason)) => format!(": {reason}"),
        Err(Failure::Busy) => format!(": {}", Failure::Busy),
        // The manual's words first: monitoring looks for them.
        Err(Failure::NotRunning) => format!(" -- is IPMP in use? ({TO_START})"),
        Err(Failure::Refused(_) | Failure::PermissionDenied) => " -- is IPMP in use?".to_owned(),
    };
    console.complain(format_args!("{TOOL}: cannot contact in.mpathd(1M){reason}"));
    None
}

/// What is to be shown, and how.
struct Table<'a> {
    options: &'a Options,
    positions: Vec<usize>,
    fields: Vec<&'a Field>,
    names: Names,
}

impl Table<'_> {
    /// The rows, or the document.
    fn lines(&self, snapshot: &Snapshot) -> io::Result<Vec<String>> {
        let mode = self.options.mode;
        if self.options.style == Style::Json {
            let document = mode.document(snapshot);
            return Ok(vec![document.text(self.options.watch.is_some())?]);
        }
        let rows = mode.rows(snapshot, &self.names);
        Ok(rows.iter().map(|values| self.line(values)).collect())
    }

    /// One row, of the values of all fields of the mode.
    fn line(&self, values: &[String]) -> String {
        let chosen = self.positions.iter().filter_map(|&at| values.get(at));
        let chosen: Vec<String> = chosen.cloned().collect();
        match self.options.style {
            Style::Colons => columns::parseable(&chosen),
            _ => columns::human(&self.fields, &chosen),
        }
    }

    /// On a terminal the header stands atop every screen of rows, elsewhere atop them all.
    fn print(
        &self,
        lines: &[String],
        size: Option<Size>,
        console: &mut Console<'_>,
    ) -> io::Result<()> {
        for (number, line) in lines.iter().enumerate() {
            if self.is_topmost(number, size) {
                console.say(columns::header(&self.fields))?;
            }
            console.say(line)?;
        }
        Ok(())
    }

    /// Whether the header stands above this row.
    fn is_topmost(&self, number: usize, size: Option<Size>) -> bool {
        self.options.style == Style::Columns && number.is_multiple_of(rows_below_header(size))
    }

    /// Shows it anew: on a terminal in the place of what was shown, as much as it has room for;
    /// elsewhere after it.
    fn redraw(
        &self,
        turn: u64,
        snapshot: &Snapshot,
        size: Option<Size>,
        console: &mut Console<'_>,
    ) -> io::Result<()> {
        let mut lines = self.lines(snapshot)?;
        if let Some(size) = size {
            // The header, and the line the cursor stands on.
            let room = size.rows.saturating_sub(2).max(1);
            if lines.len() > room {
                let more = lines.len() - room + 1;
                lines.truncate(room - 1);
                lines.push(format!("... and {more} more"));
            }
            // Cursor home, clear what is below.
            console.out.write_all(b"\x1b[H\x1b[J")?;
        } else if turn > 0 && self.options.style == Style::Columns {
            console.say("")?;
        }
        self.print(&lines, size, console)
    }
}

/// How many rows there are on a screen beside the header.
fn rows_below_header(size: Option<Size>) -> usize {
    size.map_or(usize::MAX, |size| size.rows.saturating_sub(1).max(1))
}

#[cfg(test)]
mod tests;
