//! What `ipmpstat` can show: the fields of each mode, and how a snapshot fills them.
//!
//! There is no pseudo-interface here, so GROUP is the name of the group, INBOUND the interface an
//! address is configured on, and OUTBOUND all active members of its group. Rows are sorted by name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipmp_core::snapshot::{
    Group, GroupState, Interface, InterfaceState, LinkState, Logical, ProbeState, Probing,
    TargetMode,
};
use ipmp_core::{Family, Flags, InterfaceName, Snapshot};

use super::names::Names;

/// A column.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// As it stands in the header.
    pub(super) name: &'static str,
    /// How wide it is.
    pub(super) width: usize,
}

const fn field(name: &'static str, width: usize) -> Field {
    Field { name, width }
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Addresses,
    Groups,
    Interfaces,
    Targets,
}

const ADDRESSES: &[Field] = &[
    field("ADDRESS", 26),
    field("STATE", 7),
    field("GROUP", 12),
    field("INBOUND", 12),
    field("OUTBOUND", 23),
];
const GROUPS: &[Field] = &[
    field("GROUP", 12),
    field("GROUPNAME", 12),
    field("STATE", 10),
    field("FDT", 10),
    field("INTERFACES", 30),
];
const INTERFACES: &[Field] = &[
    field("INTERFACE", 12),
    field("ACTIVE", 8),
    field("GROUP", 12),
    field("FLAGS", 10),
    field("LINK", 10),
    field("PROBE", 10),
    field("STATE", 10),
];
const TARGETS: &[Field] = &[
    field("INTERFACE", 12),
    field("MODE", 10),
    field("TESTADDR", 20),
    field("TARGETS", 38),
];

impl Mode {
    /// Its fields, in the order in which they are shown unless another one is asked for.
    pub(super) const fn fields(self) -> &'static [Field] {
        match self {
            Self::Addresses => ADDRESSES,
            Self::Groups => GROUPS,
            Self::Interfaces => INTERFACES,
            Self::Targets => TARGETS,
        }
    }

    /// Its rows: one value for each of [`Mode::fields`].
    pub(super) fn rows(self, snapshot: &Snapshot, names: &Names) -> Vec<Vec<String>> {
        match self {
            Self::Addresses => addresses(snapshot, names),
            Self::Groups => groups(snapshot),
            Self::Interfaces => members(snapshot).into_iter().map(interface).collect(),
            Self::Targets => members(snapshot)
                .into_iter()
                .flat_map(|member| targets(member, names))
                .collect(),
        }
    }
}

fn members(snapshot: &Snapshot) -> Vec<&Interface> {
    let mut members: Vec<_> = snapshot
        .interfaces
        .iter()
        .filter(|interface| interface.tracked && !interface.loopback)
        .collect();
    members.sort_by_key(|interface| interface.name.instance());
    members
}

fn group_name(interface: &Interface) -> String {
    interface
        .group
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn joined<'a>(names: impl IntoIterator<Item = &'a InterfaceName>) -> String {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|name| name.instance());
    let names: Vec<_> = names.into_iter().map(InterfaceName::as_str).collect();
    names.join(" ")
}

fn groups(snapshot: &Snapshot) -> Vec<Vec<String>> {
    let mut groups: Vec<&Group> = snapshot.groups.iter().collect();
    // The anonymous group has no name and comes last.
    groups.sort_by_key(|group| (group.name.is_none(), &group.name));
    groups
        .into_iter()
        .map(|group| {
            let name = group
                .name
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let classes = [
                (&group.active, "", ""),
                (&group.inactive, "(", ")"),
                (&group.unusable, "[", "]"),
            ];
            let interfaces: Vec<_> = classes
                .into_iter()
                .filter(|(members, ..)| !members.is_empty())
                .map(|(members, open, close)| format!("{open}{}{close}", joined(members)))
                .collect();
            vec![
                name.clone(),
                name,
                match group.state {
                    GroupState::Ok => "ok",
                    GroupState::Degraded => "degraded",
                    GroupState::Failed => "failed",
                }
                .to_owned(),
                group
                    .failure_detection_time
                    .map(|time| format!("{:.2}s", time.as_secs_f64()))
                    .unwrap_or_default(),
                interfaces.join(" "),
            ]
        })
        .collect()
}

fn addresses(snapshot: &Snapshot, names: &Names) -> Vec<Vec<String>> {
    let mut found: BTreeMap<IpAddr, (&Interface, &Logical)> = BTreeMap::new();
    for interface in members(snapshot) {
        for logical in interface.logicals.iter().filter(|l| is_data(l)) {
            // The same on two members is listed once, and the one in use counts.
            let known = found
                .entry(logical.address.ip)
                .or_insert((interface, logical));
            if !known.1.flags.contains(Flags::UP) {
                *known = (interface, logical);
            }
        }
    }
    found
        .into_iter()
        .map(|(ip, (interface, logical))| {
            let up = logical.flags.contains(Flags::UP);
            let works = !matches!(
                interface.state,
                InterfaceState::Failed | InterfaceState::Offline
            ) && interface.index.is_some();
            let (inbound, outbound) = if up && works {
                let active = snapshot
                    .groups
                    .iter()
                    .find(|group| group.name == interface.group)
                    .map(|group| joined(&group.active));
                (interface.name.to_string(), active.unwrap_or_default())
            } else {
                (String::new(), String::new())
            };
            vec![
                names.of(ip),
                if up { "up" } else { "down" }.to_owned(),
                group_name(interface),
                inbound,
                outbound,
            ]
        })
        .collect()
}

/// A data address: one that may move.
fn is_data(logical: &Logical) -> bool {
    !logical.placeholder
        && !logical.flags.contains(Flags::NOFAILOVER)
        && !logical.address.ip.is_unspecified()
        && !logical.address.is_link_local6()
}

fn interface(interface: &Interface) -> Vec<String> {
    let letter = |letter: char, on: bool| if on { letter } else { '-' };
    let nominated = |family| interface.nominee.contains(&family);
    let flags = [
        letter('i', interface.inactive),
        letter('s', interface.standby),
        letter('m', nominated(Family::Inet)),
        letter('b', nominated(Family::Inet)),
        letter('M', nominated(Family::Inet6)),
        letter('d', interface.down),
        letter('h', interface.duplicate_mac),
    ];
    vec![
        interface.name.to_string(),
        if interface.active { "yes" } else { "no" }.to_owned(),
        group_name(interface),
        flags.into_iter().collect(),
        match interface.link {
            LinkState::Up => "up",
            LinkState::Down => "down",
            LinkState::Unknown => "unknown",
        }
        .to_owned(),
        match interface.probe {
            ProbeState::Ok => "ok",
            ProbeState::Failed => "failed",
            ProbeState::Unknown => "unknown",
            ProbeState::Disabled => "disabled",
        }
        .to_owned(),
        match interface.state {
            InterfaceState::Ok => "ok",
            InterfaceState::Failed => "failed",
            InterfaceState::Offline => "offline",
            InterfaceState::Unknown => "unknown",
        }
        .to_owned(),
    ]
}

/// The IPv4 row unless only IPv6 is probed, and the IPv6 row only if it is.
fn targets(interface: &Interface, names: &Names) -> Vec<Vec<String>> {
    let of = |family| interface.probing.iter().find(move |p| p.family == family);
    let inet6 = of(Family::Inet6).filter(|probing| probing.mode != TargetMode::Disabled);
    let inet =
        of(Family::Inet).filter(|probing| probing.mode != TargetMode::Disabled || inet6.is_none());
    if inet.is_none() && inet6.is_none() {
        return vec![target_row(interface, None, names)];
    }
    [inet, inet6]
        .into_iter()
        .flatten()
        .map(|probing| target_row(interface, Some(probing), names))
        .collect()
}

fn target_row(interface: &Interface, probing: Option<&Probing>, names: &Names) -> Vec<String> {
    let probing = probing.filter(|probing| probing.mode != TargetMode::Disabled);
    let mode = match probing.map(|probing| probing.mode) {
        Some(TargetMode::Routes) => "routes",
        Some(TargetMode::Multicast) => "multicast",
        Some(TargetMode::Disabled) | None => "disabled",
    };
    let targets: Vec<_> = probing
        .iter()
        .flat_map(|probing| &probing.targets)
        .map(|target| names.of(target.address))
        .collect();
    vec![
        interface.name.to_string(),
        mode.to_owned(),
        probing
            .and_then(|probing| probing.test_address)
            .map(|ip| names.of(ip))
            .unwrap_or_default(),
        targets.join(" "),
    ]
}
