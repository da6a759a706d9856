//! Why an address is where it is, or nowhere.

use std::net::IpAddr;

use ipmp_core::snapshot::{Interface, InterfaceState, Logical};
use ipmp_core::{Family, Flags, InterfaceName, Snapshot};

use super::{to_put_back, works};
use crate::ifconfig::display_name;
use crate::status::{is_leased, is_refusing, why_away};

/// What there is to say of an address, a sentence each; `None` if there is no such address.
pub(super) fn address(snapshot: &Snapshot, ip: IpAddr) -> Option<Vec<String>> {
    let (interface, logical) = snapshot
        .interfaces
        .iter()
        .flat_map(|i| i.logicals.iter().map(move |l| (i, l)))
        .filter(|(_, logical)| !logical.placeholder)
        .find(|(_, logical)| logical.address.ip == ip)?;
    if !logical.flags.contains(Flags::UP) {
        // It is nowhere: what would become of it on its interface is for when it is brought up.
        let mut says = vec![belongs_to(interface, logical)];
        says.extend(why_down(interface, logical));
        return Some(says);
    }
    Some(if logical.flags.contains(Flags::NOFAILOVER) {
        vec![format!(
            "{ip} is the test address of {}: probes are sent from it, and it never moves.",
            interface.name
        )]
    } else if is_leased(logical) {
        leased(interface, logical)
    } else if logical.is_data() && interface.group.is_some() {
        data_address(snapshot, interface, logical)
    } else {
        let place = display_name(&logical.name);
        vec![format!("{ip} is on {place} and never moves.")]
    })
}

/// What an address is that comes and goes by itself, and what would have it taken over by others.
fn leased(at: &Interface, logical: &Logical) -> Vec<String> {
    let (ip, name) = (logical.address.ip, &at.name);
    let by = if logical.flags.contains(Flags::DHCP) {
        "DHCP"
    } else {
        "autoconfiguration"
    };
    let place = display_name(&logical.name);
    let mut says = vec![format!(
        "{ip} is on {place}, and its lifetime is limited, as {by} does it. It stays with whoever looks \
         after it, and never moves."
    )];
    if at.group.is_some() {
        says.push(format!(
            "If {name} fails, nobody takes it over. For that, give {name} a lasting address."
        ));
    }
    says
}

/// What an address is that is not up, and whose, wherever it would be.
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

/// Why an address is not up, and what would bring it up.
fn why_down(at: &Interface, logical: &Logical) -> Vec<String> {
    let (name, place) = (&at.name, display_name(&logical.name));
    // IPv4 is meant unless it is said.
    let family = match logical.address.family() {
        Family::Inet => "",
        Family::Inet6 => "inet6 ",
    };
    let is_down = "It is down, so that no link has it and nobody can reach it";
    if logical.set_down {
        return vec![
            format!("{is_down}: the administrator set it down, or has not brought it up yet."),
            format!("To bring it up: ifconfig {place} {family}up."),
        ];
    }
    // Other addresses are elsewhere while it is out of service, or stay if nobody else can take them.
    let is_test = logical.flags.contains(Flags::NOFAILOVER);
    if is_test && at.state == InterfaceState::Offline {
        return vec![
            format!("It is down while {name} is out of service."),
            to_put_back(at),
        ];
    }
    vec![if logical.flags.contains(Flags::DUPLICATE) {
        format!(
            "It is not brought up, as another host has it. To try it at once: ifconfig {place} \
             {family}up."
        )
    } else if at.index.is_none() {
        format!("{is_down}: there is no device called {name}.")
    } else {
        "It is not up yet: other hosts are asked first whether one of them has it.".to_owned()
    }]
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
        let others = others(snapshot, at, logical.address.family());
        return if works(at) {
            vec![
                format!(
                    "{ip} is a data address of group {group}. It is on {place}, where it belongs."
                ),
                would_go(home, others),
            ]
        } else {
            vec![
                format!("{ip} is a data address of group {group}, and on {place}."),
                stays(home, others),
            ]
        };
    }
    let belongs = snapshot.interfaces.iter().find(|i| i.name == *home);
    let mut says = vec![format!(
        "{ip} is a data address of group {group}. It belongs to {home}, and is on {place} because \
         {home} {}.",
        why_away(belongs)
    )];
    says.extend(way_home(home, belongs));
    says
}

/// What brings an address home that is on another member. `at_home`: how its `home` is.
fn way_home(home: &InterfaceName, at_home: Option<&Interface>) -> Vec<String> {
    match at_home {
        Some(at_home) if at_home.standby => vec![format!(
            "A standby gives its own addresses to others. This one goes home when {home} is no \
             standby any more (ifconfig {home} -standby), unless FAILBACK=no is set."
        )],
        Some(at_home) if at_home.state == InterfaceState::Offline => vec![
            format!("It goes home when {home} is back in service."),
            to_put_back(at_home),
        ],
        Some(at_home) if is_refusing(at_home) => vec![format!(
            "It goes home when {home} takes it, which is tried every half minute."
        )],
        Some(at_home) if works(at_home) => vec![format!(
            "It goes home when that is asked for: with FAILBACK=no, if_mpadm -d {home} and \
             if_mpadm -r {home}."
        )],
        _ => vec![format!(
            "It goes home when {home} works again, unless FAILBACK=no is set."
        )],
    }
}

/// Who else there is in a group to take an address.
#[derive(Clone, Copy)]
enum Others {
    /// A member that works.
    Working,
    /// Members that do not work at present.
    Broken,
    /// Members that are not plumbed for its family, which is this one.
    Unplumbed(Family),
    /// Nobody.
    Nobody,
}

/// Who else there is in the group of the interface `at` to take an address of this family.
fn others(snapshot: &Snapshot, at: &Interface, family: Family) -> Others {
    let all = snapshot.interfaces.iter();
    let others = all.filter(|other| other.group == at.group && other.name != at.name);
    let others: Vec<&Interface> = others.collect();
    let is_plumbed = |other: &Interface| {
        let mut logicals = other.logicals.iter();
        logicals.any(|logical| logical.address.family() == family)
    };
    let plumbed: Vec<&Interface> = others
        .iter()
        .copied()
        .filter(|other| is_plumbed(other))
        .collect();
    if others.is_empty() {
        Others::Nobody
    } else if plumbed.is_empty() {
        Others::Unplumbed(family)
    } else if plumbed.into_iter().any(works) {
        Others::Working
    } else {
        Others::Broken
    }
}

/// What would become of an address on its `home`, which works.
fn would_go(home: &InterfaceName, others: Others) -> String {
    let nowhere = format!("If {home} failed, it could go nowhere");
    match others {
        Others::Working => format!("If {home} failed, it would go to another member of the group."),
        Others::Broken => format!("{nowhere}: no other member of the group works at present."),
        Others::Unplumbed(family) => {
            format!("{nowhere}: no other member of the group is plumbed for {family}.")
        }
        Others::Nobody => format!("{nowhere}: {home} is the only member of the group."),
    }
}

/// What keeps an address on its `home`, which does not work, and what would change that.
fn stays(home: &InterfaceName, others: Others) -> String {
    match others {
        Others::Working | Others::Broken => format!(
            "{home} does not work, and no other member of the group can take it: it goes to the \
             first that works."
        ),
        Others::Unplumbed(family) => format!(
            "{home} does not work, and no other member of the group is plumbed for {family}: it \
             can be reached again when {home} works."
        ),
        Others::Nobody => format!(
            "{home} does not work, and is the only member of the group: it can be reached again \
             when {home} works."
        ),
    }
}
