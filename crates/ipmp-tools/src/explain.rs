//! `ipmp explain`: why an interface or an address is as it is, and what would change it, in plain words.

use std::net::IpAddr;

use ipmp_core::snapshot::{Interface, InterfaceState, LinkState, Logical, ProbeState, TargetMode};
use ipmp_core::{Flags, InterfaceName, Snapshot};

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Clocks, Environment};
use crate::events::complain;
use crate::ifconfig::display_name;
use crate::status::{by_which, by_whom, how_often, why_away};

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
    let sentences = match what.parse::<IpAddr>() {
        Ok(ip) => address(&snapshot, ip).map(|mut says| {
            says.extend(troubles(&snapshot, clocks, |_, address| {
                address == Some(ip)
            }));
            says
        }),
        Err(_) => interface(&snapshot, what).map(|mut says| {
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
    let mut lines = sentences.iter().flat_map(|sentence| wrapped(sentence));
    let result = lines.try_for_each(|line| console.say(line));
    console.finish(TOOL, result.map(|()| OK))
}

/// Breaks a sentence into lines.
fn wrapped(sentence: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in sentence.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn interface(snapshot: &Snapshot, name: &str) -> Option<Vec<String>> {
    let interface = snapshot
        .interfaces
        .iter()
        .find(|i| i.name.as_str() == name)?;
    if interface.loopback {
        return Some(vec![format!(
            "{name} is the loopback interface: nothing to be watched."
        )]);
    }
    let mut says = vec![membership(interface)];
    if !interface.tracked {
        says.push(
            "in.mpathd does not watch it: it is in no group. To put it into one: \
             ifconfig IF group NAME."
                .replace("IF", name),
        );
        return Some(says);
    }
    says.extend(state(snapshot, interface));
    says.extend(probing(interface));
    says.extend(duties(snapshot, interface));
    let refused = interface.refused.as_ref();
    says.extend(refused.map(|refused| format!("Its kernel refused something of late: {refused}.")));
    Some(says)
}

fn membership(interface: &Interface) -> String {
    let name = &interface.name;
    let state = match interface.state {
        _ if interface.index.is_none() => "is absent",
        InterfaceState::Ok if interface.inactive => "works and waits",
        InterfaceState::Ok => "works",
        InterfaceState::Failed => "has failed",
        InterfaceState::Offline => "is out of service",
        InterfaceState::Unknown => "seems to work, but nothing proves it",
    };
    match &interface.group {
        Some(group) => format!("{name} is in group {group} and {state}."),
        None => format!("{name} is in no group and {state}."),
    }
}

/// Why it is in its state, and what would end that.
fn state(snapshot: &Snapshot, interface: &Interface) -> Vec<String> {
    let name = &interface.name;
    let group = snapshot.groups.iter().find(|g| g.name == interface.group);
    let time = group.and_then(|group| group.failure_detection_time);
    let within = time.map_or_else(String::new, |time| {
        format!(" for {:.2} seconds", time.as_secs_f64())
    });
    let link = match interface.link {
        LinkState::Up => "Its link is up",
        LinkState::Down => "Its link is down",
        LinkState::Unknown => "Its driver does not tell about its link",
    };
    let is_probed = interface.probe != ProbeState::Disabled;
    match interface.state {
        _ if interface.index.is_none() => vec![format!(
            "There is no device called {name}. When it appears, it is set up as it was."
        )],
        InterfaceState::Offline if interface.duplicate_mac => vec![
            "Another member of its group has the same hardware address, and neither neighbours \
             nor switches could tell the two apart."
                .to_owned(),
            "It comes back by itself when its hardware address is its own: ifconfig IF ether MAC, \
             or eeprom 'local-mac-address?=true' before it is plumbed."
                .replace("IF", name.as_str()),
        ],
        InterfaceState::Offline => vec![
            "The administrator took it out of service (if_mpadm -d). It is not probed.".to_owned(),
            format!("To put it back: if_mpadm -r {name}, or ipmp online {name}."),
        ],
        InterfaceState::Failed if interface.link == LinkState::Down => vec![
            format!("{link}: there is no signal on the line, or it was set down."),
            if is_probed {
                "It counts as repaired when the link is up and its probes are answered again."
            } else {
                "It counts as repaired when the link is up again."
            }
            .to_owned(),
        ],
        InterfaceState::Failed if is_probed => vec![
            format!("{link}, but its probes are not answered."),
            "It counts as repaired when they are answered again, ten in a row by default."
                .to_owned(),
        ],
        InterfaceState::Failed => vec![
            format!("{link}. It was marked failed by hand, or before in.mpathd was started."),
            format!("To mark it repaired: ifconfig {name} -failed."),
        ],
        InterfaceState::Unknown => vec![
            format!(
                "{link}, but no target answers, so that only its link would tell of a failure."
            ),
            "A target is a router of the routing table, or a host that answers pings; a host \
             route names one: ip route add HOST via HOST dev IF."
                .replace("IF", name.as_str()),
        ],
        InterfaceState::Ok if is_probed => vec![
            format!("{link} and its probes are answered."),
            format!(
                "It would fail if its link went down, or if its probes were not answered{within} \
                 while other members' are."
            ),
        ],
        InterfaceState::Ok => vec![format!(
            "{link}. It would fail if its link went down; nothing else would be noticed, as it \
             is not probed."
        )],
    }
}

fn probing(interface: &Interface) -> Vec<String> {
    let probed = interface
        .probing
        .iter()
        .filter(|p| p.mode != TargetMode::Disabled);
    probed
        .map(|probing| {
            let targets: Vec<_> = probing
                .targets
                .iter()
                .map(|t| t.address.to_string())
                .collect();
            let from = match probing.test_address {
                Some(test) => format!(" from {test}"),
                None => String::new(),
            };
            let whom = match targets.as_slice() {
                [] => "nobody yet".to_owned(),
                [one] => one.clone(),
                [first, rest @ ..] => format!("{first} and {} more", rest.len()),
            };
            format!(
                "It probes {whom}{from}: {} sent, {} answered.",
                probing.sent, probing.acknowledged
            )
        })
        .collect()
}

/// What it carries, and where its addresses are.
fn duties(snapshot: &Snapshot, interface: &Interface) -> Vec<String> {
    let mut says = Vec::new();
    if interface.standby && interface.inactive {
        says.push(
            "It is a standby: it carries nothing until another member of its group fails."
                .to_owned(),
        );
    } else if interface.standby {
        says.push("It is a standby, and has taken over for another member.".to_owned());
    } else if interface.inactive {
        says.push(
            "It carries nothing: with FAILBACK=no its addresses stay where they are.".to_owned(),
        );
    }
    let all = || {
        snapshot
            .interfaces
            .iter()
            .flat_map(|i| i.logicals.iter().map(move |l| (i, l)))
    };
    for (at, logical) in all().filter(|(_, logical)| logical.is_data()) {
        let ip = logical.address.ip;
        let home = &logical.home.interface;
        if at.name == interface.name && logical.moved_to.as_ref() == Some(&at.name) {
            says.push(format!("It has {ip} of {home}, which was moved here."));
        } else if *home == interface.name && logical.moved_to.as_ref() == Some(&at.name) {
            says.push(format!("Its address {ip} was moved to {}.", at.name));
        } else if *home == interface.name && at.name != interface.name {
            says.push(format!("Its address {ip} is on {} meanwhile.", at.name));
        } else if at.name == interface.name && *home != interface.name {
            let belongs = snapshot.interfaces.iter().find(|i| i.name == *home);
            says.push(format!("It has {ip} because {home} {}.", why_away(belongs)));
        }
    }
    says
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
        .filter(|conflict| is_it(Some(conflict.interface.as_str()), Some(conflict.address)))
        .map(|conflict| {
            let (ip, whose) = (conflict.address, by_which(conflict, clocks));
            format!("In use by another host: {ip} {whose}.")
        });
    contested.chain(conflicts).chain(failing).collect()
}

fn address(snapshot: &Snapshot, ip: IpAddr) -> Option<Vec<String>> {
    let (interface, logical) = snapshot
        .interfaces
        .iter()
        .flat_map(|i| i.logicals.iter().map(move |l| (i, l)))
        .filter(|(_, logical)| !logical.placeholder)
        .find(|(_, logical)| logical.address.ip == ip)?;
    let place = display_name(&logical.name);
    let mut says = Vec::new();
    let is_withheld =
        logical.flags.contains(Flags::DUPLICATE) && !logical.flags.contains(Flags::UP);
    if is_withheld {
        // It is nowhere: what would become of it on its interface is for when it is brought up.
        says.push(belongs_to(interface, logical));
    } else if logical.flags.contains(Flags::NOFAILOVER) {
        says.push(format!(
            "{ip} is the test address of {}: probes are sent from it, and it never moves.",
            interface.name
        ));
    } else if logical.is_data() && interface.group.is_some() {
        says.extend(data_address(snapshot, interface, logical));
    } else {
        says.push(format!("{ip} is on {place} and never moves."));
    }
    if !logical.flags.contains(Flags::UP) {
        // IPv4 is meant unless it is said.
        let family = if ip.is_ipv6() { "inet6 " } else { "" };
        let up = format!("ifconfig {place} {family}up");
        let mut why = format!("It is down: nobody can reach it. To use it: {up}.");
        if is_withheld {
            why = format!("It is not brought up, as another host has it. To try it at once: {up}.");
        } else if interface.state == InterfaceState::Offline {
            why = format!("It is down while {} is out of service.", interface.name);
        }
        says.push(why);
    }
    Some(says)
}

/// What an address is, and whose, wherever it may be.
fn belongs_to(at: &Interface, logical: &Logical) -> String {
    let (ip, home) = (logical.address.ip, &logical.home.interface);
    match &at.group {
        _ if logical.flags.contains(Flags::NOFAILOVER) => {
            format!("{ip} is to be the test address of {home}.")
        }
        Some(group) if logical.is_data() => {
            format!("{ip} is a data address of group {group}. It belongs to {home}.")
        }
        _ => format!("{ip} belongs to {home}."),
    }
}

fn data_address(snapshot: &Snapshot, at: &Interface, logical: &Logical) -> Vec<String> {
    let mut says = place_of(snapshot, at, logical);
    if let Some(moved_to) = &logical.moved_to
        && *moved_to != at.name
    {
        let chosen = snapshot.interfaces.iter().find(|i| i.name == *moved_to);
        says.push(format!(
            "It was moved to {moved_to}, which {}; it returns there when {moved_to} works.",
            why_away(chosen)
        ));
    }
    says
}

fn place_of(snapshot: &Snapshot, at: &Interface, logical: &Logical) -> Vec<String> {
    let (ip, place) = (logical.address.ip, display_name(&logical.name));
    let home = &logical.home.interface;
    let group = at.group.as_ref().map_or("", |group| group.as_str());
    if logical.moved_to.as_ref() == Some(&at.name) {
        return vec![
            format!(
                "{ip} is a data address of group {group}. It belongs to {home}, and was moved to \
                 {place} by hand (ipmp move)."
            ),
            format!(
                "If {} failed, it would go home, or to another member of the group, and return when \
                 {} works again. To move it home: ipmp move {ip} {home}.",
                at.name, at.name
            ),
        ];
    }
    if *home == at.name {
        let (mut is, mut would) = (
            format!("{ip} is a data address of group {group}. It is on {place}, where it belongs."),
            format!("If {home} failed, it would go to another member of the group."),
        );
        let works = matches!(at.state, InterfaceState::Ok | InterfaceState::Unknown);
        if !works {
            is = format!("{ip} is a data address of group {group}, and on {place}.");
            would = format!(
                "{home} does not work, and no other member of the group can take it: it goes to \
                 the first that works."
            );
        }
        return vec![is, would];
    }
    let belongs = snapshot.interfaces.iter().find(|i| i.name == *home);
    vec![
        format!(
            "{ip} is a data address of group {group}. It belongs to {home}, and is on {place} \
             because {home} {}.",
            why_away(belongs)
        ),
        match belongs.map(|home| home.state) {
            Some(InterfaceState::Offline) => {
                format!("It goes home when {home} is put back into service: if_mpadm -r {home}.")
            }
            Some(InterfaceState::Ok | InterfaceState::Unknown) => format!(
                "It goes home when that is asked for: with FAILBACK=no, if_mpadm -d {home} and \
                 if_mpadm -r {home}."
            ),
            _ => format!("It goes home when {home} works again, unless FAILBACK=no is set."),
        },
    ]
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;

    use insta::assert_snapshot;

    use super::*;
    use crate::etc::Etc;
    use crate::recorded::{Recorded, transcript};
    use crate::sample::{lab1, lab1_failed, lab2, lab2_failed, probing, troubled};

    fn explain(snapshot: &Snapshot, what: &str) -> String {
        let mut daemon = Recorded::showing(snapshot.clone());
        let etc = Etc::below(Path::new("/nonexistent"));
        transcript(&mut daemon, &etc, what, run)
    }

    fn offline() -> Snapshot {
        let mut snapshot = lab1_failed();
        if let Some(ge1) = snapshot.interfaces.get_mut(2) {
            ge1.state = InterfaceState::Offline;
        }
        snapshot
    }

    /// Lab 1 after `ipmp move 192.168.0.88 ge0`.
    fn moved() -> Snapshot {
        let mut snapshot = lab1_failed();
        for interface in &mut snapshot.interfaces {
            interface.state = InterfaceState::Ok;
            interface.link = LinkState::Up;
            for logical in &mut interface.logicals {
                if logical.address.ip.to_string() == "192.168.0.88" {
                    logical.moved_to = Some("ge0".parse().unwrap());
                }
            }
        }
        snapshot
    }

    /// The same when ge0 has failed.
    fn moved_and_failed() -> Snapshot {
        let mut snapshot = lab1();
        if let Some(ge0) = snapshot.interfaces.get_mut(1) {
            ge0.state = InterfaceState::Failed;
        }
        if let Some(ge1) = snapshot.interfaces.get_mut(2) {
            ge1.logicals[0].moved_to = Some("ge0".parse().unwrap());
        }
        snapshot
    }

    /// Lab 1 while another host has both addresses of ge0.
    fn withheld() -> Snapshot {
        let mut snapshot = lab1();
        for logical in &mut snapshot.interfaces[1].logicals {
            logical.flags = logical.flags.with(Flags::UP, false) | Flags::DUPLICATE;
        }
        snapshot
    }

    fn probed() -> Snapshot {
        let mut snapshot = lab1();
        if let Some(ge0) = snapshot.interfaces.get_mut(1) {
            ge0.probing = vec![probing(
                TargetMode::Routes,
                "192.168.0.87",
                &["192.168.0.1", "192.168.0.2"],
            )];
        }
        if let Some(ge1) = snapshot.interfaces.get_mut(2) {
            ge1.state = InterfaceState::Unknown;
        }
        snapshot
    }

    #[test]
    fn words() {
        let mut text = String::new();
        for (title, snapshot, whats) in [
            (
                "lab 1",
                lab1(),
                &["ge0", "192.168.0.86", "192.168.0.87", "lo"][..],
            ),
            ("ge1 failed", lab1_failed(), &["ge0", "ge1", "192.168.0.88"]),
            ("ge1 offline", offline(), &["ge1", "192.168.0.88"]),
            ("ge1 without target", probed(), &["ge0", "ge1"]),
            (
                "192.168.0.88 moved",
                moved(),
                &["ge0", "ge1", "192.168.0.88"],
            ),
            (
                "192.168.0.88 moved, ge0 failed",
                moved_and_failed(),
                &["192.168.0.88"],
            ),
            (
                "other hands",
                troubled(),
                &["ge1", "192.168.0.86", "192.168.0.88"],
            ),
            (
                "both are another host's",
                withheld(),
                &["192.168.0.86", "192.168.0.87"],
            ),
            ("lab 2", lab2(), &["ge1"]),
            ("lab 2, ge0 failed", lab2_failed(), &["ge1", "192.168.0.86"]),
        ] {
            for what in whats {
                let told = explain(&snapshot, what);
                assert!(told.lines().all(|line| line.len() <= WIDTH), "{told}");
                let _ = writeln!(text, "({title}) $ ipmp explain {what}\n{told}");
            }
        }
        assert_snapshot!(text);
    }

    #[test]
    fn errors() {
        assert_eq!(
            explain(&lab1(), "10.0.0.1"),
            "2> ipmp: explain: 10.0.0.1: no such interface or address\nexit 1\n"
        );
        assert!(explain(&lab1(), "").starts_with("2> ipmp explain: something is missing"));
        assert_snapshot!("explain_usage", explain(&lab1(), "--help"));
    }
}
