//! `if_mpadm`: takes an interface out of service and puts it back (manual `if_mpadm`).
//!
//! The daemon does it all: it moves the data addresses away, takes the test addresses down, and the
//! other way round. It must be running.

use std::time::Duration;

use ipmp_api::TO_START;
use ipmp_core::{Command, InterfaceName, Refusal};

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};
use crate::events::complain;

const TOOL: &str = "if_mpadm";

const USAGE: &str = "\
usage: if_mpadm -d|-r IF
  -d IF    take IF out of service: its addresses move away
  -r IF    put IF back into service
Examples:
  if_mpadm -d ge1
  if_mpadm -r ge1
";

/// How often a daemon that has too many clients is asked again, and how long after.
const RETRIES: usize = 3;
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Runs `if_mpadm` with `arguments`, its name not among them.
pub fn run(
    arguments: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    if let [help] = arguments
        && help == "--help"
    {
        return console.help(TOOL, USAGE);
    }
    let Some((undo, name)) = parse(arguments) else {
        return console.misused(arguments, USAGE);
    };
    match ask(undo, name, environment, console) {
        Ok(()) => OK,
        Err(reason) => {
            console.complain(format_args!("{TOOL}: fatal: {reason}"));
            FAILED
        }
    }
}

const OFFLINE_USAGE: &str = "\
usage: ipmp offline IF
  Takes IF out of service: its addresses move away.
Examples:
  ipmp offline ge1
See also: ipmp online IF
";

const ONLINE_USAGE: &str = "\
usage: ipmp online IF
  Puts IF back into service: its addresses come home.
Examples:
  ipmp online ge1
See also: ipmp offline IF
";

/// Runs `ipmp offline`, or with `undo` `ipmp online`, with `arguments`, the verb not among them.
pub fn native(
    undo: bool,
    arguments: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let (verb, usage) = if undo {
        ("online", ONLINE_USAGE)
    } else {
        ("offline", OFFLINE_USAGE)
    };
    let name = match arguments {
        [help] if help == "--help" => return console.help("ipmp", usage),
        [name] if !name.starts_with('-') => name,
        _ => return console.misused(arguments, usage),
    };
    let reason = match command(undo, name) {
        Some(command) => match execute(&command, environment, console) {
            Ok(()) => return OK,
            Err(Failure::Refused(refusal)) => refusal.to_string(),
            Err(failure) => {
                complain(&failure, console);
                return FAILED;
            }
        },
        None => "not the name of an interface".to_owned(),
    };
    console.complain(format_args!("ipmp: {verb}: {name}: {reason}"));
    FAILED
}

/// `-d IF`, `-dIF` and the same with `-r`, once.
fn parse(arguments: &[String]) -> Option<(bool, &str)> {
    let (option, name) = match arguments {
        [option, name] if option.len() == 2 => (option.as_str(), name.as_str()),
        [joined] => joined
            .split_at_checked(2)
            .filter(|(_, name)| !name.is_empty())?,
        _ => return None,
    };
    match option {
        "-d" => Some((false, name)),
        "-r" => Some((true, name)),
        _ => None,
    }
}

fn ask(
    undo: bool,
    name: &str,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> Result<(), String> {
    let verb = if undo { "undo offline" } else { "offline" };
    let cannot = |reason: &str| format!("{name}: cannot {verb}: {reason}");
    let command = command(undo, name)
        .ok_or_else(|| cannot("not a physical interface or not in an IPMP group"))?;
    let Err(failure) = execute(&command, environment, console) else {
        return Ok(());
    };
    Err(match failure {
        Failure::Refused(Refusal::AlreadyOffline) => {
            format!("interface {name} is already offline")
        }
        Failure::Refused(Refusal::NotOffline) => format!("interface {name} is not offline"),
        Failure::Refused(Refusal::NoSuchInterface) => format!("{name}: no such interface"),
        Failure::Refused(Refusal::NotInGroup) => {
            cannot("not a physical interface or not in an IPMP group")
        }
        Failure::Refused(Refusal::MinimumRedundancy) => {
            cannot("no other functioning interfaces are in its group")
        }
        Failure::Busy => cannot("device busy"),
        Failure::NotRunning => {
            format!("in.mpathd: cannot establish communication: not running ({TO_START})")
        }
        Failure::Unreachable(reason) => {
            format!("in.mpathd: cannot establish communication: {reason}")
        }
        other => cannot(&other.to_string()),
    })
}

/// What the daemon is to be asked; `None` if that is no name of an interface.
fn command(undo: bool, name: &str) -> Option<Command> {
    let interface: InterfaceName = name.parse().ok()?;
    Some(if undo {
        Command::Online { interface }
    } else {
        Command::Offline { interface }
    })
}

/// Asks the daemon, again if it has too many clients.
fn execute(
    command: &Command,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut outcome = environment.daemon.execute(command.clone());
    for _ in 0..RETRIES {
        if outcome != Err(Failure::Busy) {
            break;
        }
        console.complain("Retrying ...");
        environment.daemon.pause(RETRY_PAUSE);
        outcome = environment.daemon.execute(command.clone());
        if outcome != Err(Failure::Busy) {
            console.complain("Retry Successful.");
        }
    }
    outcome.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etc::Etc;
    use crate::recorded::{Recorded, refused, transcript};

    fn say(line: &str, answer: Option<Result<ipmp_core::Answer, Failure>>) -> (String, Recorded) {
        let mut daemon = Recorded::default();
        daemon.answers.extend(answer);
        let etc = Etc::below(std::path::Path::new("/nonexistent"));
        (transcript(&mut daemon, &etc, line, run), daemon)
    }

    #[test]
    fn off_and_on() {
        let interface: InterfaceName = "ge1".parse().unwrap();
        for (line, command) in [
            (
                "-d ge1",
                Command::Offline {
                    interface: interface.clone(),
                },
            ),
            ("-rge1", Command::Online { interface }),
        ] {
            let (printed, daemon) = say(line, None);
            assert_eq!(printed, "");
            assert_eq!(daemon.commands, [command]);
        }
        for line in ["", "-d", "ge1", "-d ge1 -r ge1", "-x ge1", "-é"] {
            let (printed, daemon) = say(line, None);
            assert!(printed.contains("usage: if_mpadm -d|-r IF\n"), "{line}");
            assert!(printed.ends_with("exit 1\n"));
            assert!(daemon.commands.is_empty());
        }
    }

    #[test]
    fn verbs_name_themselves() {
        let told = |undo, line: &str, answer| {
            let mut daemon = Recorded::default();
            daemon.answers.extend([answer]);
            let etc = Etc::below(std::path::Path::new("/nonexistent"));
            transcript(&mut daemon, &etc, line, |words, environment, console| {
                native(undo, words, environment, console)
            })
        };
        for (undo, line, answer, text) in [
            (
                false,
                "",
                refused(Refusal::NotInGroup),
                "ipmp offline: something is missing; usage: ipmp offline IF",
            ),
            (
                true,
                "a b",
                refused(Refusal::NotInGroup),
                "ipmp online: a b: does not fit; usage: ipmp online IF",
            ),
            (
                true,
                "ge1",
                refused(Refusal::NotOffline),
                "ipmp: online: ge1: is not offline",
            ),
            (
                false,
                "ge2",
                refused(Refusal::NotInGroup),
                "ipmp: offline: ge2: not in an IPMP group",
            ),
            (
                false,
                "ge0:1",
                refused(Refusal::NotInGroup),
                "ipmp: offline: ge0:1: not the name of an interface",
            ),
            (
                false,
                "ge1",
                Err(Failure::NotRunning),
                "ipmp: in.mpathd is not running (start it: systemctl start ipmp, or in.mpathd)",
            ),
            (
                false,
                "ge1",
                Err(Failure::PermissionDenied),
                "ipmp: in.mpathd: permission denied: only root may change anything",
            ),
        ] {
            assert_eq!(told(undo, line, answer), format!("2> {text}\nexit 1\n"));
        }
    }

    #[test]
    fn refusals_in_the_manuals_words() {
        for (line, refusal, text) in [
            (
                "-d ge1",
                Refusal::AlreadyOffline,
                "interface ge1 is already offline",
            ),
            (
                "-r ge1",
                Refusal::NotOffline,
                "interface ge1 is not offline",
            ),
            ("-d ge1", Refusal::NoSuchInterface, "ge1: no such interface"),
            (
                "-d ge1",
                Refusal::NotInGroup,
                "ge1: cannot offline: not a physical interface or not in an IPMP group",
            ),
            (
                "-d ge1",
                Refusal::MinimumRedundancy,
                "ge1: cannot offline: no other functioning interfaces are in its group",
            ),
            (
                "-r ge1",
                Refusal::DuplicateMac("ge0".parse().unwrap()),
                "ge1: cannot undo offline: hardware address not unique: ge0 has the same \
                 (another: ifconfig IF ether MAC, or eeprom 'local-mac-address?=true')",
            ),
        ] {
            let (printed, _) = say(line, Some(refused(refusal)));
            assert_eq!(printed, format!("2> if_mpadm: fatal: {text}\nexit 1\n"));
        }
        let (printed, _) = say("-d ge1", Some(Err(Failure::NotRunning)));
        assert_eq!(
            printed,
            "2> if_mpadm: fatal: in.mpathd: cannot establish communication: not running \
             (start it: systemctl start ipmp, or in.mpathd)\nexit 1\n"
        );
        let (printed, _) = say("-d ge1", Some(Err(Failure::Busy)));
        assert_eq!(printed, "2> Retrying ...\n2> Retry Successful.\n");
        let mut daemon = Recorded::default();
        daemon.answers.extend(vec![Err(Failure::Busy); 4]);
        let etc = Etc::below(std::path::Path::new("/nonexistent"));
        assert_eq!(
            transcript(&mut daemon, &etc, "-d ge1", run),
            "2> Retrying ...\n2> Retrying ...\n2> Retrying ...\n\
             2> if_mpadm: fatal: ge1: cannot offline: device busy\nexit 1\n"
        );
        let (printed, _) = say("-d ge1:1", None);
        assert!(printed.contains("not a physical interface"));
    }
}
