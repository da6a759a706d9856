//! Why an address is where it is, or nowhere.

use std::net::IpAddr;

use ipmp_core::snapshot::{Interface, InterfaceState, Logical};
use ipmp_core::{Flags, Snapshot};

use crate::ifconfig::display_name;
use crate::status::why_away;

/// What there is to say of an address, a sentence each; `None` if there is no such address.
pub(super) fn address(snapshot: &Snapshot, ip: IpAddr) -> Option<Vec<String>> {
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
