//! `ipmp status`: groups, their interfaces, and where each address is and belongs, on one screen.

use std::fmt::Write;
use std::io;

use ipmp_core::snapshot::{Interface, Logical, ProbeState};
use ipmp_core::{Flags, GroupName, Snapshot};

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};
use crate::ifconfig::display_name;

const TOOL: &str = "ipmp";

const USAGE: &str = "\
usage: ipmp status [--json]
  Shows groups, their interfaces, and where each address is and belongs.
  --json    everything, for programs
";

/// Runs `ipmp status` with `arguments`, the verb not among them.
pub fn run(
    arguments: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let result = match arguments {
        [] => show(false, environment, console),
        [json] if json == "--json" => show(true, environment, console),
        [help] if help == "--help" => console.out.write_all(USAGE.as_bytes()).map(|()| OK),
        _ => Ok(console.usage(USAGE)),
    };
    console.finish(TOOL, result)
}

fn show(
    json: bool,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let (seen, running) = match environment.daemon.snapshot() {
        Err(Failure::NotRunning) => (environment.daemon.view(), false),
        seen => (seen, true),
    };
    let snapshot = match seen {
        Ok(snapshot) => snapshot,
        Err(failure) => {
            console.complain(format_args!("{TOOL}: in.mpathd: {failure}"));
            return Ok(FAILED);
        }
    };
    if json {
        let text = serde_json::to_string_pretty(&snapshot)?;
        console.say(text)?;
        return Ok(OK);
    }
    if !running {
        console.say("in.mpathd is not running: nothing is watched")?;
    }
    console.out.write_all(screen(&snapshot).as_bytes())?;
    Ok(OK)
}

/// The screen.
fn screen(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for group in &snapshot.groups {
        let title = match &group.name {
            Some(name) => format!("group {name}"),
            None => "no group, but watched".to_owned(),
        };
        let detection = match group.failure_detection_time {
            Some(time) => format!("failures detected within {:.2}s", time.as_secs_f64()),
            None => "failures detected by link only".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{title}: {}, {detection}", group.state);
        members(&mut text, snapshot, group.name.as_ref(), true);
    }
    let has_others = snapshot
        .interfaces
        .iter()
        .any(|interface| !interface.tracked);
    if has_others {
        let _ = writeln!(text, "not watched:");
        members(&mut text, snapshot, None, false);
    }
    text
}

fn members(text: &mut String, snapshot: &Snapshot, group: Option<&GroupName>, tracked: bool) {
    let members = snapshot
        .interfaces
        .iter()
        .filter(|i| i.tracked == tracked && i.group.as_ref() == group);
    for interface in members {
        let name = interface.name.as_str();
        let _ = writeln!(text, "  {name:<10} {}", condition(interface));
        for logical in interface.logicals.iter().filter(|l| !l.placeholder) {
            let name = display_name(&logical.name);
            let address = logical.address.to_string();
            let _ = writeln!(text, "    {name:<12} {address:<24} {}", role(logical));
        }
    }
}

fn condition(interface: &Interface) -> String {
    if interface.index.is_none() {
        return "absent".to_owned();
    }
    let mut words = vec![
        interface.state.to_string(),
        format!("link {}", interface.link),
    ];
    if interface.tracked {
        words.push(match interface.probe {
            ProbeState::Unknown => "no probe target".to_owned(),
            ProbeState::Disabled => "not probed".to_owned(),
            probe => format!("probes {probe}"),
        });
    }
    let more = [
        (interface.standby, "standby"),
        (interface.inactive, "inactive"),
        (interface.down, "no address up"),
        (interface.duplicate_mac, "hardware address not unique"),
    ];
    words.extend(
        more.into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, word)| word.to_owned()),
    );
    words.join(", ")
}

fn role(logical: &Logical) -> String {
    let mut text = if logical.is_data() {
        "data"
    } else if logical.flags.contains(Flags::NOFAILOVER) {
        "test"
    } else if logical.address.is_link_local6() {
        "link-local"
    } else {
        "no address"
    }
    .to_owned();
    if logical.home.interface != logical.name.interface {
        let _ = write!(text, ", belongs to {}", display_name(&logical.home));
    }
    if !logical.flags.contains(Flags::UP) {
        text.push_str(", down");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etc::Etc;
    use crate::recorded::{Recorded, transcript};
    use crate::sample::lab1_failed;

    #[test]
    fn lab1_after_ge1_failed() {
        let expected = "\
group testgrp2: degraded, failures detected within 10.00s
  ge0        ok, link up, probes ok
    ge0          192.168.0.86/24          data
    ge0:1        192.168.0.87/24          test
    ge0:2        192.168.0.88/24          data, belongs to ge1
  ge1        failed, link up, probes failed
    ge1:1        192.168.0.89/24          test
not watched:
  lo         ok, link up
    lo0          127.0.0.1/8              data
";
        assert_eq!(screen(&lab1_failed()), expected);
    }

    #[test]
    fn with_and_without_a_daemon() {
        let etc = Etc::below(std::path::Path::new("/nonexistent"));
        let mut daemon = Recorded::showing(lab1_failed());
        let json = transcript(&mut daemon, &etc, "--json", run);
        let read: Snapshot = serde_json::from_str(&json).unwrap();
        assert_eq!(read, lab1_failed());
        daemon.is_down = true;
        let printed = transcript(&mut daemon, &etc, "", run);
        assert!(printed.starts_with("in.mpathd is not running"));
        assert!(transcript(&mut daemon, &etc, "x", run).ends_with("exit 1\n"));
    }
}
