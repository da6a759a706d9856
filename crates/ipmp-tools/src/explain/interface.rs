//! Why an interface is as it is.

use ipmp_core::snapshot::{
    Interface, InterfaceState, LinkState, Logical, ProbeState, Probing, TargetMode,
};
use ipmp_core::{Flags, Snapshot};

use super::{to_put_back, works};
use crate::daemon::Clocks;
use crate::status::{is_elsewhere, why_away};

/// What there is to say of an interface, a sentence each; `None` if there is no such interface.
pub(super) fn interface(snapshot: &Snapshot, name: &str, clocks: Clocks) -> Option<Vec<String>> {
    let interface = snapshot
        .interfaces
        .iter()
        .find(|i| i.name.as_str() == name)?;
    if interface.loopback {
        return Some(vec![format!(
            "{name} is the loopback interface: nothing to be watched."
        )]);
    }
    if !interface.tracked {
        let mut says = vec![unwatched(interface)];
        says.push(
            "in.mpathd does not watch it. To put it into a group: ifconfig IF group NAME."
                .replace("IF", name),
        );
        return Some(says);
    }
    let mut says = vec![membership(interface)];
    says.extend(state(snapshot, interface, clocks));
    says.extend(probing(interface));
    says.extend(duties(snapshot, interface));
    let refused = interface.refused.as_ref();
    says.extend(refused.map(|refused| format!("Its kernel refused something of late: {refused}.")));
    Some(says)
}

/// What is known of one that nobody watches.
fn unwatched(interface: &Interface) -> String {
    let name = &interface.name;
    match interface.link {
        _ if interface.index.is_none() => format!("{name} is in no group and is absent."),
        LinkState::Up => format!("{name} is in no group, and its link is up."),
        LinkState::Down => format!("{name} is in no group, and its link is down."),
        LinkState::Unknown => format!("{name} is in no group."),
    }
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
fn state(snapshot: &Snapshot, interface: &Interface, clocks: Clocks) -> Vec<String> {
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
    let is_alone = is_alone(snapshot, interface);
    let again = interface.probing.iter().map(|p| p.answered_again).max();
    match interface.state {
        _ if interface.index.is_none() => vec![format!(
            "There is no device called {name}. When it appears, it is set up as it was."
        )],
        InterfaceState::Offline if interface.duplicate_mac => vec![
            "Another member of its group has the same hardware address, and neither neighbours \
             nor switches could tell the two apart."
                .to_owned(),
            to_put_back(interface),
        ],
        InterfaceState::Offline => vec![
            "The administrator took it out of service (if_mpadm -d). It is not probed.".to_owned(),
            to_put_back(interface),
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
        InterfaceState::Failed if let Some(until) = interface.held_until => vec![
            format!("{link}, and nothing says any more that it does not work."),
            format!(
                "It is held back, so that addresses do not go to and fro: it is in use again in {} \
                 s if that lasts, or at once if no other member works.",
                until.since(clocks.monotonic).as_secs()
            ),
        ],
        InterfaceState::Failed if is_probed && again.unwrap_or(0) > 0 => vec![
            format!("{link}, and its probes are answered again."),
            format!(
                "It counts as repaired when ten in a row are: {} by now.",
                again.unwrap_or(0)
            ),
        ],
        InterfaceState::Failed if is_probed => vec![
            format!("{link}, but its probes are not answered."),
            "It counts as repaired when they are answered again, ten in a row by default."
                .to_owned(),
        ],
        InterfaceState::Failed => vec![
            format!(
                "{link}. It was marked failed by hand, before in.mpathd was started, or when probes \
                 were lost, and there is nobody to ask now whether it works."
            ),
            format!("To mark it repaired: ifconfig {name} -failed."),
        ],
        InterfaceState::Unknown => vec![
            format!(
                "{link}, but no target answers, so that only its link would tell of a failure."
            ),
            "A target is a router of the main routing table, or a host that answers pings; a \
             host route names one: ip route add HOST via HOST dev IF."
                .replace("IF", name.as_str()),
        ],
        InterfaceState::Ok if is_probed => vec![
            match interface.probe {
                ProbeState::Failed => format!(
                    "{link}, but its probes are not answered at present. It is not blamed for that: \
                     the time is not up, or its targets answer ARP or neighbour solicitations (ipmp \
                     events tells)."
                ),
                // Not lost is not answered.
                ProbeState::Ok if is_unanswered(interface) => {
                    format!("{link}. Its probes are not answered yet; they are given time for it.")
                }
                ProbeState::Unknown => {
                    format!("{link}. Whether its probes are answered is not known yet.")
                }
                ProbeState::Ok | ProbeState::Disabled => {
                    format!("{link} and its probes are answered.")
                }
            },
            format!(
                "It would fail if its link went down, or if its probes were not answered{within}{}.",
                if is_alone {
                    ""
                } else {
                    " while other members' are"
                }
            ),
        ],
        InterfaceState::Ok => vec![format!(
            "{link}. It would fail if its link went down; nothing else would be noticed, as it \
             is not probed."
        )],
    }
}

/// Whether probes are sent of which none was answered yet.
fn is_unanswered(interface: &Interface) -> bool {
    let mut probed = probed(interface).peekable();
    probed.peek().is_some() && !probed.any(Probing::is_answered)
}

/// The families in which it is probed.
fn probed(interface: &Interface) -> impl Iterator<Item = &Probing> {
    let probing = interface.probing.iter();
    probing.filter(|probing| probing.mode != TargetMode::Disabled)
}

fn probing(interface: &Interface) -> Vec<String> {
    probed(interface)
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
    if is_alone(snapshot, interface) {
        says.push(
            "It is the only member of its group: there is nobody to take over for it.".to_owned(),
        );
    }
    says.extend(part(snapshot, interface));
    let all = || {
        snapshot
            .interfaces
            .iter()
            .flat_map(|i| i.logicals.iter().map(move |l| (i, l)))
    };
    for (at, logical) in all().filter(|(_, logical)| logical.is_data()) {
        let ip = logical.address.ip;
        if !logical.flags.contains(Flags::UP) {
            // What is down is nowhere. What is kept down is told of as a conflict.
            if logical.set_down && logical.home.interface == interface.name {
                says.push(format!("Its address {ip} is down, and on no link."));
            }
            continue;
        }
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

/// Which part it plays in its group, if it does not simply carry what is its own.
fn part(snapshot: &Snapshot, interface: &Interface) -> Option<String> {
    let is_in_service = interface.index.is_some() && interface.state != InterfaceState::Offline;
    if interface.down && is_in_service && !is_elsewhere(snapshot, &interface.name) {
        Some("It carries nothing: none of its addresses is up.".to_owned())
    } else if interface.standby && is_alone(snapshot, interface) {
        Some("It is a standby, with nobody to wait for.".to_owned())
    } else if interface.standby {
        Some(format!("It is a standby{}.", standing_by(interface)))
    } else if interface.inactive && works(interface) {
        Some("It carries nothing: with FAILBACK=no its addresses stay where they are.".to_owned())
    } else {
        None
    }
}

/// What a standby does at present, where there are others. INACTIVE does not tell: one that has failed never
/// is, and one that is out of service or absent may be.
fn standing_by(interface: &Interface) -> &'static str {
    let name = &interface.name;
    let others = interface.logicals.iter().filter(|logical| {
        logical.is_data() && logical.flags.contains(Flags::UP) && logical.home.interface != *name
    });
    let others: Vec<&Logical> = others.collect();
    let is_moved = |logical: &&Logical| logical.moved_to.as_ref() == Some(name);
    if works(interface) && others.is_empty() {
        ": it carries nothing until it takes over for another member"
    } else if works(interface) && others.iter().all(is_moved) {
        ", in use for what was moved to it"
    } else if works(interface) {
        ", and has taken over for another member"
    } else if interface.index.is_none() {
        ", and cannot take over until its device is there"
    } else if !others.is_empty() {
        ", and keeps what it has of others until another member can take it"
    } else if interface.state == InterfaceState::Offline {
        ", and cannot take over until it is back in service"
    } else {
        ", and cannot take over until it works again"
    }
}

/// Whether there is nobody else in an interface's group.
fn is_alone(snapshot: &Snapshot, interface: &Interface) -> bool {
    let mut all = snapshot.interfaces.iter();
    interface.group.is_some()
        && all.all(|other| other.name == interface.name || other.group != interface.group)
}
