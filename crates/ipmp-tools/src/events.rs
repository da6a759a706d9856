//! `ipmp events`: what changed, when, and why.

use std::io;
use std::ops::ControlFlow;

use ipmp_api::interface::Event;

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};

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
    let (told, result) = if follow {
        let mut printed = Ok(());
        let told = environment.daemon.follow(&mut |events| {
            printed = print(&events, json, console);
            match printed {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        (told, printed)
    } else {
        match environment.daemon.events() {
            Ok(events) => (Ok(()), print(&events, json, console)),
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
        other => console.complain(format_args!("{TOOL}: in.mpathd: {other}")),
    }
}

fn print(events: &[Event], json: bool, console: &mut Console<'_>) -> io::Result<()> {
    for event in events {
        if json {
            console.say(serde_json::to_string(event)?)?;
        } else {
            let Event { time, text, .. } = event;
            // To the millisecond; a line is to fit into a terminal.
            let time = time.get(..23).unwrap_or(time);
            console.say(format_args!("{time}Z  {text}"))?;
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
    use crate::recorded::{Recorded, transcript};
    use crate::sample;

    fn ipmp_events(line: &str) -> String {
        let mut daemon = Recorded::default();
        daemon.events = sample::events();
        transcript(
            &mut daemon,
            &Etc::below(Path::new("/nonexistent")),
            line,
            run,
        )
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
        let etc = Etc::below(Path::new("/nonexistent"));
        for line in ["", "--follow --json"] {
            assert_eq!(
                transcript(&mut daemon, &etc, line, run),
                "2> ipmp: in.mpathd is not running (start it: systemctl start ipmp, or in.mpathd)\n\
                 exit 1\n"
            );
        }
        assert!(ipmp_events("more").ends_with("exit 1\n"));
    }
}
