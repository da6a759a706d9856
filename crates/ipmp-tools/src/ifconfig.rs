//! `ifconfig`: interfaces configured and listed in Solaris's words.
//!
//! ```text
//! ifconfig IF [inet|inet6] WORD ...     line::Line: one daemon command for each word
//! ifconfig -a[udD46ZvX] [WORD ...]      the same on every logical; without words a listing
//!                                       words: the table;  listing: a Snapshot as text
//! ```
//!
//! A word that changes something starts the daemon unless it runs. With `SUNW_NO_MPATHD` in the
//! environment none does, as a boot that starts the daemon itself wants it. Listing never starts it and
//! works without it.

mod address;
mod configinfo;
mod line;
mod listing;
mod words;

use std::ffi::OsStr;
use std::io;

use ipmp_core::{Family, LogicalName, Refusal};

pub(crate) use address::parse_length;
pub use line::{Line, Note, Target, WordError};
pub(crate) use listing::display_name;
pub use listing::{Selection, list};

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Environment, Failure};
use crate::local::Start;

const TOOL: &str = "ifconfig";

const USAGE: &str = "\
usage: ifconfig IF [inet|inet6] [WORD ...]
       ifconfig -a[udD46ZvX] [inet|inet6] [WORD ...]
  IF is an interface (ge0) or a logical one (ge0:1). Without words it is listed.
  Words are carried out from left to right:
    plumb unplumb              make IF known to IP, or forget it
    ADDRESS[/LENGTH]           set the address
    addif ADDRESS[/LENGTH]     create a logical interface; later words act on it
    removeif ADDRESS           remove the logical interface with this address
    netmask MASK|+             255.255.255.0, 0xffffff00, or as in /etc/netmasks
    broadcast ADDRESS|+        + computes it from address and netmask
    up down                    use the address, or do not
    group NAME|\"\"              join an IPMP group, or leave it
    [-]deprecated              not to be used as a source address
    -failover failover         never moves (a test address), or may move
    [-]standby                 waits until another interface of its group fails
    [-]failed                  marks it failed, for tests
    ether [MAC]                show or set the hardware address
    metric N  mtu N  configinfo  [-]private [-]xmit [-]local [-]router
    [-]preferred [-]nud [-]anycast
Examples:
  ifconfig -a
  ifconfig ge0 plumb 192.168.0.86 group web up
  ifconfig ge0 addif 192.168.0.87 deprecated -failover up
  ifconfig ge1 plumb 192.168.0.88 group web deprecated -failover standby up
";

/// Whether changes may start the daemon. `forbidden` is what `SUNW_NO_MPATHD` holds.
pub fn start(forbidden: Option<&OsStr>) -> Start {
    if forbidden.is_some() {
        Start::Never
    } else {
        Start::IfNeeded
    }
}

/// Runs `ifconfig` with `arguments`, its name not among them.
pub fn run(
    arguments: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let result = match arguments.split_first() {
        Some((help, [])) if help == "--help" => return console.help(TOOL, USAGE),
        Some((first, rest)) => dispatch(first, rest, environment, console),
        None => Ok(console.misused(arguments, USAGE)),
    };
    console.finish(TOOL, result)
}

fn dispatch(
    first: &str,
    rest: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let (named, words) = match rest.split_first() {
        Some((word, words)) if word == "inet" => (Some(Family::Inet), words),
        Some((word, words)) if word == "inet6" => (Some(Family::Inet6), words),
        _ => (None, rest),
    };
    if let Some(modifiers) = first.strip_prefix('-') {
        let Some(selection) = all(modifiers, named) else {
            return Ok(console.misused(&[first.to_owned()], USAGE));
        };
        return if words.is_empty() {
            show(&selection, named.is_none(), environment, console)
        } else {
            on_all(&selection, words, environment, console)
        };
    }
    let target = match Target::parse(first) {
        Ok(target) => target,
        Err(error) => {
            console.complain(format_args!("{TOOL}: interface: {first}: {error}"));
            return Ok(FAILED);
        }
    };
    if words.is_empty() {
        let selection = Selection {
            logical: Some(target.logical),
            family: named.or(Some(Family::Inet)),
            ..Selection::default()
        };
        return show(&selection, named.is_none(), environment, console);
    }
    let line = Line::new(target, named.unwrap_or(Family::Inet), words);
    carry_out(line, environment, console)
}

/// What `-a` with these modifiers selects; `None` if it is not `-a`. Zones (`Z`), verbosity (`v`) and
/// members below a pseudo-interface (`X`) are no different here.
fn all(modifiers: &str, named: Option<Family>) -> Option<Selection> {
    let mut selection = Selection {
        family: named,
        ..Selection::default()
    };
    for modifier in modifiers.strip_prefix('a')?.chars() {
        match modifier {
            'u' => selection.up = Some(true),
            'd' => selection.up = Some(false),
            'D' => selection.without_dhcp = true,
            '4' => selection.family = Some(Family::Inet),
            '6' => selection.family = Some(Family::Inet6),
            'Z' | 'v' | 'X' => {}
            _ => return None,
        }
    }
    Some(selection)
}

/// Lists. `is_default`: no family was named.
fn show(
    selection: &Selection,
    is_default: bool,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let snapshot = match environment.daemon.view() {
        Ok(snapshot) => snapshot,
        Err(failure) => return Ok(unseen(&failure, console)),
    };
    let with_ether = is_default && environment.privileged;
    let mut listed = list(&snapshot, selection, with_ether);
    if let (Some(logical), true) = (&selection.logical, listed.is_empty()) {
        // IPv4 is meant unless said otherwise, and unless there is nothing else.
        let other = Selection {
            family: Some(Family::Inet6),
            ..selection.clone()
        };
        if is_default {
            listed = list(&snapshot, &other, with_ether);
        }
        if listed.is_empty() {
            let name = listing::display_name(logical);
            let reason = Refusal::NoSuchInterface;
            let family = selection.family.unwrap_or(Family::Inet);
            let hint = to_plumb(logical, family, environment);
            console.complain(format_args!("{TOOL}: status: {name}: {reason}{hint}"));
            return Ok(FAILED);
        }
    }
    console.out.write_all(listed.as_bytes())?;
    Ok(OK)
}

/// What to type first, if an interface that is no such interface is there and was not plumbed.
fn to_plumb(logical: &LogicalName, family: Family, environment: &Environment<'_>) -> String {
    let name = &logical.interface;
    let family = match family {
        Family::Inet => "",
        Family::Inet6 => " inet6",
    };
    if logical.unit == 0 && environment.daemon.has_device(name) {
        format!(" (plumb it first: ifconfig {name}{family} plumb)")
    } else {
        String::new()
    }
}

/// Carries out `words` on each logical that is selected, as long as it is there: words on one may
/// make another vanish.
fn on_all(
    selection: &Selection,
    words: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let selection = Selection {
        family: selection.family.or(Some(Family::Inet)),
        ..selection.clone()
    };
    // `-a unplumb` means all interfaces that can be, each with all that is on it.
    let unplumbs = words.iter().any(|word| word == "unplumb");
    let selected = |environment: &mut Environment<'_>| {
        let snapshot = environment.daemon.view()?;
        let logicals = selection.of(&snapshot);
        Ok(logicals
            .filter(|(interface, logical)| {
                !unplumbs || !interface.loopback && logical.name.unit == 0
            })
            .map(|(_, logical)| (logical.name.clone(), logical.address.family()))
            .collect::<Vec<_>>())
    };
    let all = match selected(environment) {
        Ok(all) => all,
        Err(failure) => return Ok(unseen(&failure, console)),
    };
    for next in all {
        match selected(environment) {
            Ok(now) if !now.contains(&next) => continue,
            Ok(_) => {}
            Err(failure) => return Ok(unseen(&failure, console)),
        }
        let (logical, family) = next;
        let target = Target {
            logical,
            with_unit: false,
        };
        let code = carry_out(Line::new(target, family, words), environment, console)?;
        if code != OK {
            return Ok(code);
        }
    }
    Ok(OK)
}

fn unseen(failure: &Failure, console: &mut Console<'_>) -> u8 {
    console.complain(format_args!("{TOOL}: {}", failure.of_daemon()));
    FAILED
}

fn carry_out(
    mut line: Line<'_>,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let mut printed = Ok(());
    while let Some(step) = line.step(environment) {
        match step {
            // That nobody reads must not leave an interface half configured.
            Ok(Some(Note::Result(text))) => printed = printed.and(console.say(text)),
            Ok(Some(Note::Remark(text))) => console.complain(format_args!("{TOOL}: {text}")),
            Ok(None) => {}
            Err(error) => {
                console.complain(format_args!("{TOOL}: {error}"));
                return Ok(FAILED);
            }
        }
    }
    printed.map(|()| OK)
}

#[cfg(test)]
mod tests;
