//! `ipmp explain`: why an interface or an address is as it is, and what would change it, in plain words.

mod address;
mod interface;

use std::net::IpAddr;

use ipmp_core::snapshot::{Interface, InterfaceState, Logical};
use ipmp_core::{InterfaceName, Snapshot};

use self::address::address;
use self::interface::interface;

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Clocks, Environment};
use crate::events::complain;
use crate::ifconfig::display_name;
use crate::status::{by_which, by_whom, how_often};
use crate::terminal::fitted;

const TOOL: &str = "ipmp";

const USAGE: &str = "\
usage: ipmp explain IF|ADDRESS
  Says in plain words why an interface or an address is as it is, and what would
  have to happen for it to change.
Examples:
  ipmp explain ge1
  ipmp explain 192.168.0.88
";

/// Columns a line may take.
const WIDTH: usize = 79;

/// Runs `ipmp explain` with `arguments`, the verb not among them.
pub fn run(
    arguments: &[String],
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let what = match arguments {
        [help] if help == "--help" => return console.help(TOOL, USAGE),
        [what] if !what.starts_with('-') => what,
        _ => return console.misused(arguments, USAGE),
    };
    let snapshot = match environment.daemon.snapshot() {
        Ok(snapshot) => snapshot,
        Err(failure) => {
            complain(&failure, console);
            return FAILED;
        }
    };
    let clocks = environment.daemon.clocks();
    let sentences = match address_meant(&snapshot, what) {
        Some(ip) => address(&snapshot, ip).map(|mut says| {
            says.extend(troubles(&snapshot, clocks, |_, address| {
                address == Some(ip)
            }));
            says
        }),
        None => interface(&snapshot, what, clocks).map(|mut says| {
            let is_it = |name: Option<&str>, _| name == Some(what);
            says.extend(troubles(&snapshot, clocks, is_it));
            says
        }),
    };
    let Some(sentences) = sentences else {
        console.complain(format_args!(
            "{TOOL}: explain: {what}: no such interface or address"
        ));
        return FAILED;
    };
    let mut lines = sentences
        .iter()
        .flat_map(|sentence| fitted(sentence, WIDTH, 0));
    let result = lines.try_for_each(|line| console.say(line));
    console.finish(TOOL, result.map(|()| OK))
}

/// The address that is meant, if it is one: itself, with its length as listings have it, or that of a
/// logical such as `ge0:1`.
fn address_meant(snapshot: &Snapshot, what: &str) -> Option<IpAddr> {
    let bare = what.split_once('/').map_or(what, |(bare, _)| bare);
    let named = || {
        let mut logicals = snapshot.interfaces.iter().flat_map(|it| &it.logicals);
        let named =
            |logical: &&Logical| logical.name.unit > 0 && display_name(&logical.name) == what;
        Some(logicals.find(named)?.address.ip)
    };
    bare.parse().ok().or_else(named)
}

/// The interface to which an address belongs.
fn home_of(snapshot: &Snapshot, ip: IpAddr) -> Option<&InterfaceName> {
    let mut logicals = snapshot.interfaces.iter().flat_map(|it| &it.logicals);
    let found = logicals.find(|logical| !logical.placeholder && logical.address.ip == ip);
    found.map(|logical| &logical.home.interface)
}

/// Whether an interface works, or at least nothing tells that it does not.
fn works(interface: &Interface) -> bool {
    interface.index.is_some()
        && matches!(
            interface.state,
            InterfaceState::Ok | InterfaceState::Unknown
        )
}

/// What puts an interface back that is out of service. `if_mpadm -r` does not where that is for its hardware
/// address.
fn to_put_back(interface: &Interface) -> String {
    if interface.duplicate_mac {
        "IF comes back by itself when its hardware address is its own: ifconfig IF ether MAC, or \
         eeprom 'local-mac-address?=true' before it is plumbed."
    } else {
        "To put IF back: if_mpadm -r IF, or ipmp online IF."
    }
    .replace("IF", interface.name.as_str())
}

/// What other hands, other hosts and the kernel do to an interface or an address.
fn troubles(
    snapshot: &Snapshot,
    clocks: Clocks,
    is_it: impl Fn(Option<&str>, Option<IpAddr>) -> bool,
) -> Vec<String> {
    let name = |interface: &Option<InterfaceName>| interface.as_ref().map(ToString::to_string);
    let contested = snapshot.contested.iter();
    let contested = contested
        .filter(|contested| is_it(name(&contested.interface).as_deref(), contested.address))
        .map(|contested| {
            let (what, whom) = (&contested.what, by_whom(contested, clocks));
            format!("Contested: {what}: {whom}.")
        });
    let failing = snapshot.failing.iter();
    let failing = failing
        .filter(|failing| is_it(name(&failing.interface).as_deref(), failing.address))
        .map(|failing| {
            let (what, why) = (&failing.what, how_often(failing, clocks));
            format!("Refused by the kernel: {what}: {why}.")
        });
    let conflicts = snapshot.conflicts.iter();
    let conflicts = conflicts
        .filter(|conflict| {
            let ip = conflict.address;
            // Where the other host was heard, which may be any member of the group, and where it is missed.
            let interfaces = [Some(&conflict.interface), home_of(snapshot, ip)];
            let mut interfaces = interfaces.into_iter().flatten();
            interfaces.any(|interface| is_it(Some(interface.as_str()), Some(ip)))
        })
        .map(|conflict| {
            let (ip, whose) = (conflict.address, by_which(conflict, clocks));
            format!("In use by another host: {ip} {whose}.")
        });
    contested.chain(conflicts).chain(failing).collect()
}

#[cfg(test)]
mod tests;
