//! `eeprom`: the one variable of Solaris's firmware that IPMP is about.
//!
//! `local-mac-address?` says whether each interface gets its own hardware address or all share the
//! host's. A PC has no such variable; the wish is kept in `/etc/ipmp/eeprom` and takes effect at the
//! next plumb, like on a SPARC at the next boot.

use std::io;

use ipmp_core::Command;

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};

const TOOL: &str = "eeprom";
const VARIABLE: &str = "local-mac-address?";

const USAGE: &str = "\
usage: eeprom 'local-mac-address?[=true|false]'
  =true    a hardware address for each interface
  =false   the host's one for all interfaces
What is set takes effect when an interface is plumbed next.
Examples:
  eeprom 'local-mac-address?'
  eeprom 'local-mac-address?=true'
";

/// Runs `eeprom` with `arguments`, its name not among them.
pub fn run(
    arguments: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let result = match arguments {
        [help] if help == "--help" => return console.help(TOOL, USAGE),
        [] => Ok(console.misused(arguments, USAGE)),
        [flag, ..] if flag.starts_with('-') => Ok(console.misused(arguments, USAGE)),
        arguments => each(arguments, environment, console),
    };
    console.finish(TOOL, result)
}

fn each(
    arguments: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    for argument in arguments {
        let (variable, value) = match argument.split_once('=') {
            Some((variable, value)) => (variable, Some(value)),
            None => (argument.as_str(), None),
        };
        let done = match (variable, value.map(str::parse)) {
            (VARIABLE, None) => match query(environment) {
                Ok(local) => {
                    console.say(format_args!("{VARIABLE}={local}"))?;
                    Ok(())
                }
                Err(failure) => Err(failure.of_daemon()),
            },
            (VARIABLE, Some(Ok(local))) => store(local, environment),
            (VARIABLE, Some(Err(_))) => Err(format!("{VARIABLE}: neither true nor false")),
            _ => Err(format!("{variable}: there is only {VARIABLE} here")),
        };
        if let Err(reason) = done {
            console.complain(format_args!("{TOOL}: {reason}"));
            return Ok(FAILED);
        }
    }
    Ok(OK)
}

/// What was stored, else what is: whether no two interfaces share a hardware address.
fn query(environment: &mut Environment<'_>) -> Result<bool, Failure> {
    match environment.etc.local_mac() {
        Some(local) => Ok(local),
        None => Ok(environment.daemon.view()?.local_mac_address),
    }
}

/// Stores the wish, and tells the daemon if one runs; one that is started later is told by
/// `ifconfig … plumb`.
fn store(local: bool, environment: &mut Environment<'_>) -> Result<(), String> {
    let stored = environment.etc.set_local_mac(local);
    stored.map_err(|error| {
        format!(
            "{}: {error}",
            environment.etc.path(crate::etc::EEPROM).display()
        )
    })?;
    let told = environment
        .daemon
        .execute(Command::SetLocalMac { local: Some(local) });
    match told {
        Ok(_) | Err(Failure::NotRunning) => Ok(()),
        Err(failure) => Err(failure.of_daemon()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etc::Etc;
    use crate::recorded::{Recorded, transcript};

    #[test]
    fn asked_and_set() {
        let root = tempfile::tempdir().unwrap();
        let etc = Etc::below(root.path());
        let mut daemon = Recorded::default();
        let mut eeprom = |line: &str| transcript(&mut daemon, &etc, line, run);
        assert_eq!(eeprom("local-mac-address?"), "local-mac-address?=false\n");
        assert_eq!(eeprom("local-mac-address?=true"), "");
        assert_eq!(eeprom("local-mac-address?"), "local-mac-address?=true\n");
        assert_eq!(
            eeprom("local-mac-address?=yes"),
            "2> eeprom: local-mac-address?: neither true nor false\nexit 1\n"
        );
        assert_eq!(
            eeprom("boot-device"),
            "2> eeprom: boot-device: there is only local-mac-address? here\nexit 1\n"
        );
        assert!(eeprom("").ends_with("exit 1\n"));
        assert_eq!(
            daemon.commands,
            [Command::SetLocalMac { local: Some(true) }]
        );
    }

    #[test]
    fn without_a_daemon_the_wish_is_stored_all_the_same() {
        let root = tempfile::tempdir().unwrap();
        let etc = Etc::below(root.path());
        let mut daemon = Recorded::default();
        daemon.answers.push_back(Err(Failure::NotRunning));
        let printed = transcript(&mut daemon, &etc, "local-mac-address?=true", run);
        assert_eq!(printed, "");
        assert_eq!(etc.local_mac(), Some(true));
    }
}
