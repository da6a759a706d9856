//! `ipmp events`: what changed, when, and why.

use std::io;
use std::ops::ControlFlow;

use ipmp_api::interface::Event;

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};
use crate::terminal::{Terminal, fitted};

const TOOL: &str = "ipmp";

const USAGE: &str = "\
usage: ipmp events [--follow] [--json]
  Shows what changed since in.mpathd was started, as far as it remembers: states
  of links, interfaces and groups, where addresses went, what failovers took.
  -f, --follow    go on with what changes, until interrupted
  --json          one JSON object a line (docs/json.md)
Examples:
  ipmp events --follow
  ipmp events --json | jq -r 'select(.kind == \"outage\") | .detection_ms'
";

/// Runs `ipmp events` with `arguments`, the verb not among them.
pub fn run(
    arguments: &[String],
    terminal: &dyn Terminal,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let (mut follow, mut json) = (false, false);
    for argument in arguments {
        match argument.as_str() {
            "-f" | "--follow" => follow = true,
            "--json" => json = true,
            "--help" => return console.help(TOOL, USAGE),
            _ => return console.misused(arguments, USAGE),
        }
    }
    // At each print, as windows are resized.
    let style = || match terminal.size() {
        _ if json => Style::Json,
        Some(size) => Style::Columns(size.columns),
        None => Style::Lines,
    };
    let (told, result) = if follow {
        let mut printed = Ok(());
        let told = environment.daemon.follow(&mut |events| {
            printed = print(&events, style(), console);
            match printed {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        (told, printed)
    } else {
        match environment.daemon.events() {
            Ok(events) => (Ok(()), print(&events, style(), console)),
            Err(failure) => (Err(failure), Ok(())),
        }
    };
    let result = result.map(|()| match told {
        Ok(()) => OK,
        Err(failure) => {
            complain(&failure, console);
            FAILED
        }
    });
    console.finish(TOOL, result)
}

/// Says why the daemon could not be asked.
pub(crate) fn complain(failure: &Failure, console: &mut Console<'_>) {
    match failure {
        Failure::NotRunning => console.complain(format_args!("{TOOL}: {failure}")),
        Failure::Unreachable(reason) => console.complain(format_args!("{TOOL}: {reason}")),
        Failure::PermissionDenied => console.complain(format_args!(
            "{TOOL}: in.mpathd: permission denied: only root may change anything"
        )),
        other => console.complain(format_args!("{TOOL}: in.mpathd: {other}")),
    }
}

/// For whom the events are.
#[derive(Clone, Copy)]
enum Style {
    /// Whoever looks at a terminal of so many columns.
    Columns(usize),
    /// `grep` and the like: one line each, however long.
    Lines,
    /// Programs.
    Json,
}

/// Columns that the time takes, and what stands between it and the text.
const INDENT: usize = 26;

fn print(events: &[Event], style: Style, console: &mut Console<'_>) -> io::Result<()> {
    for event in events {
        let Event { time, text, .. } = event;
        // To the millisecond.
        let time = time.get(..23).unwrap_or(time);
        let line = format!("{time}Z  {text}");
        match style {
            Style::Columns(columns) => {
                for line in fitted(&line, columns, INDENT) {
                    console.say(line)?;
                }
            }
            Style::Lines => console.say(line)?,
            Style::Json => console.say(serde_json::to_string(event)?)?,
        }
    }
    console.out.flush()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use insta::assert_snapshot;

    use super::*;
    use crate::etc::Etc;
    use crate::recorded::{Recorded, Staged, transcript};
    use crate::sample;

    fn printed(daemon: &mut Recorded, line: &str, terminal: &Staged) -> String {
        let etc = Etc::below(Path::new("/nonexistent"));
        transcript(daemon, &etc, line, |words, environment, console| {
            run(words, terminal, environment, console)
        })
    }

    fn ipmp_events(line: &str) -> String {
        let mut daemon = Recorded::default();
        daemon.events = sample::events();
        printed(&mut daemon, line, &Staged::pipe())
    }

    #[test]
    fn they_fit_into_a_terminal() {
        let terminal = Staged {
            rows: [24].into(),
            waits: 0,
        };
        let mut daemon = Recorded::default();
        daemon.events = sample::events();
        let text = printed(&mut daemon, "", &terminal);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert_snapshot!("events_on_a_terminal", text);
        // Followed they are the same; what is for programs stays one line each.
        assert!(printed(&mut daemon, "--follow", &terminal).starts_with(&text));
        assert_eq!(printed(&mut daemon, "--json", &terminal), "");
        daemon.events = sample::events();
        assert_eq!(
            printed(&mut daemon, "--json", &terminal),
            ipmp_events("--json")
        );
    }

    #[test]
    fn history() {
        assert_snapshot!("events", ipmp_events(""));
        assert_snapshot!("events_json", ipmp_events("--json"));
        assert_snapshot!("events_usage", ipmp_events("--help"));
    }

    #[test]
    fn followed_until_the_daemon_ends() {
        let expected = format!(
            "{}2> ipmp: in.mpathd closed the connection\nexit 1\n",
            ipmp_events("")
        );
        assert_eq!(ipmp_events("--follow"), expected);
    }

    #[test]
    fn without_a_daemon_it_is_said_how_to_start_it() {
        let mut daemon = Recorded::default();
        daemon.is_down = true;
        for line in ["", "--follow --json"] {
            assert_eq!(
                printed(&mut daemon, line, &Staged::pipe()),
                "2> ipmp: in.mpathd is not running (start it: systemctl start ipmp, or in.mpathd)\n\
                 exit 1\n"
            );
        }
        assert!(ipmp_events("more").ends_with("exit 1\n"));
    }
}
