//! `ipmp move`: puts a data address on another member of its group, where it stays.

use std::net::IpAddr;

use ipmp_core::{Answer, Command, Family, InterfaceAddress, InterfaceName, Refusal, Snapshot};

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};
use crate::events::complain;
use crate::ifconfig::parse_length;

const TOOL: &str = "ipmp";

/// What `--help` prints.
pub const USAGE: &str = "\
usage: ipmp move ADDRESS[/LENGTH] IF
  Moves a data address to another working member of its group, without losing a
  packet. It stays there, also when in.mpathd is started anew. When that
  interface fails the address goes home meanwhile. Moved to the interface it
  belongs to, it is as it was before. The address may be typed as it is shown,
  with its prefix length.
Examples:
  ipmp move 192.168.0.88 ge0
  ipmp explain 192.168.0.88
";

/// Runs `ipmp move` with `arguments`, the verb not among them.
pub fn run(
    arguments: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let (address, name) = match arguments {
        [help] if help == "--help" => return console.help(TOOL, USAGE),
        [address, name] if !address.starts_with('-') && !name.starts_with('-') => (address, name),
        _ => return console.misused(arguments, USAGE),
    };
    let mut refuse = |what: &str, reason: &dyn std::fmt::Display| {
        console.complain(format_args!("{TOOL}: move: {what}: {reason}"));
        FAILED
    };
    let (bare, length) = match address.split_once('/') {
        Some((bare, length)) => (bare, Some(length)),
        None => (address.as_str(), None),
    };
    let Ok(ip) = bare.parse::<IpAddr>() else {
        return refuse(address, &"not an address");
    };
    let Ok(interface) = name.parse::<InterfaceName>() else {
        return refuse(name, &"not the name of an interface");
    };
    if let Some(length) = length {
        let length = match parse_length(length, Family::of(ip)) {
            Ok(length) => length,
            Err(reason) => return refuse(address, &reason),
        };
        let snapshot = match environment.daemon.snapshot() {
            Ok(snapshot) => snapshot,
            Err(failure) => {
                complain(&failure, console);
                return FAILED;
            }
        };
        if let Some(other) = other_length(&snapshot, InterfaceAddress::new(ip, length)) {
            return refuse(address, &format_args!("its prefix length is {other}"));
        }
    }
    let command = Command::Move {
        address: ip,
        interface,
    };
    match environment.daemon.execute(command) {
        Ok(Answer::AlreadyExists) => {
            let result = console.say(format_args!("{ip} is on {name} already"));
            console.finish(TOOL, result.map(|()| OK))
        }
        Ok(_) => OK,
        Err(Failure::Refused(
            refusal @ (Refusal::NoSuchAddress | Refusal::NotMovable | Refusal::Kernel(..)),
        )) => refuse(address, &refusal),
        Err(Failure::Refused(refusal)) => refuse(name, &refusal),
        Err(failure) => {
            complain(&failure, console);
            FAILED
        }
    }
}

/// The prefix length of an address that is not there with the one that is named.
fn other_length(snapshot: &Snapshot, named: InterfaceAddress) -> Option<u8> {
    let logicals = snapshot.interfaces.iter().flat_map(|it| &it.logicals);
    let mut there = logicals
        .map(|logical| logical.address)
        .filter(|address| address.ip == named.ip);
    let first = there.next()?;
    (first != named && !there.any(|address| address == named)).then_some(first.prefix)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ipmp_core::snapshot::InterfaceState;

    use super::*;
    use crate::etc::Etc;
    use crate::recorded::{Recorded, refused, transcript};
    use crate::sample::lab1;

    fn ipmp_move(line: &str, answer: Result<Answer, Failure>) -> (String, Vec<Command>) {
        let mut daemon = Recorded::showing(lab1());
        daemon.answers.push_back(answer);
        let etc = Etc::below(Path::new("/nonexistent"));
        let printed = transcript(&mut daemon, &etc, line, run);
        (printed, daemon.commands)
    }

    #[test]
    fn it_asks_for_the_move() {
        let (printed, asked) = ipmp_move("192.168.0.88 ge0", Ok(Answer::Done));
        assert_eq!(printed, "");
        let command = Command::Move {
            address: "192.168.0.88".parse().unwrap(),
            interface: "ge0".parse().unwrap(),
        };
        assert_eq!(asked, [command]);
        let (printed, _) = ipmp_move("fd00::1 ge0", Ok(Answer::AlreadyExists));
        assert_eq!(printed, "fd00::1 is on ge0 already\n");
    }

    #[test]
    fn address_may_be_typed_as_it_is_shown() {
        let (printed, asked) = ipmp_move("192.168.0.88/24 ge0", Ok(Answer::Done));
        assert_eq!(printed, "");
        let (_, bare) = ipmp_move("192.168.0.88 ge0", Ok(Answer::Done));
        assert_eq!(asked, bare);
        let answer = refused(Refusal::NoSuchAddress);
        let (printed, _) = ipmp_move("192.168.0.99/24 ge0", answer);
        assert_eq!(
            printed,
            "2> ipmp: move: 192.168.0.99/24: no such address\nexit 1\n"
        );
        let mut daemon = Recorded::default();
        daemon.is_down = true;
        let etc = Etc::below(Path::new("/nonexistent"));
        let printed = transcript(&mut daemon, &etc, "192.168.0.88/24 ge0", run);
        assert!(printed.starts_with("2> ipmp: in.mpathd is not running"));
    }

    #[test]
    fn what_is_refused_is_named() {
        let line = "192.168.0.88 ge0";
        for (refusal, text) in [
            (Refusal::NoSuchAddress, "192.168.0.88: no such address"),
            (
                Refusal::NotMovable,
                "192.168.0.88: never moves: it is no data address of a group",
            ),
            (Refusal::NoSuchInterface, "ge0: no such interface"),
            (
                Refusal::NotInItsGroup,
                "ge0: is not in the group of the address",
            ),
            (Refusal::NotUsable(InterfaceState::Failed), "ge0: is failed"),
            (Refusal::Absent, "ge0: is absent"),
            (
                Refusal::HomeIsStandby,
                "ge0: is a standby, which gives its own addresses to others",
            ),
            (
                Refusal::Kernel(13, "Permission denied".into()),
                "192.168.0.88: Permission denied",
            ),
        ] {
            let (printed, _) = ipmp_move(line, refused(refusal));
            assert_eq!(printed, format!("2> ipmp: move: {text}\nexit 1\n"));
        }
    }

    #[test]
    fn bad_words_ask_nothing() {
        for (line, text) in [
            ("ge0 192.168.0.88", "ipmp: move: ge0: not an address"),
            (
                "192.168.0.88/16 ge0",
                "ipmp: move: 192.168.0.88/16: its prefix length is 24\n",
            ),
            (
                "192.168.0.88/33 ge0",
                "ipmp: move: 192.168.0.88/33: '33' is not an IPv4 prefix length\n",
            ),
            (
                "192.168.0.88/ ge0",
                "ipmp: move: 192.168.0.88/: '' is not an IPv4 prefix length\n",
            ),
            ("ge1/24 ge0", "ipmp: move: ge1/24: not an address\n"),
            ("192.168.0.88 ge0:1", "ipmp: move: ge0:1: not the name"),
            ("", "ipmp move: something is missing; usage: "),
            ("192.168.0.88", "ipmp move: 192.168.0.88: does not fit"),
            ("192.168.0.88 ge0 ge1", "ipmp move: 192.168.0.88 ge0 ge1: "),
            ("-f ge0", "ipmp move: -f ge0: does not fit; usage: "),
        ] {
            let (printed, asked) = ipmp_move(line, Ok(Answer::Done));
            assert!(printed.starts_with(&format!("2> {text}")), "{printed}");
            assert!(printed.ends_with("exit 1\n"));
            assert!(asked.is_empty());
        }
    }
}
