//! What `ipmpstat` can show: the fields of each mode, and how a snapshot fills them.
//!
//! There is no pseudo-interface here, so GROUP is the name of the group, INBOUND the interface an
//! address is configured on, and OUTBOUND all active members of its group. Rows are sorted by name.

use ipmp_core::{Family, InterfaceName, Snapshot};

use super::names::Names;
use crate::document::{self, Document};

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
    Probes,
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
const PROBES: &[Field] = &[
    field("TIME", 10),
    field("INTERFACE", 12),
    field("PROBE", 7),
    field("NETRTT", 10),
    field("RTT", 10),
    field("RTTAVG", 10),
    field("TARGET", 20),
    field("RTTDEV", 10),
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
            Self::Probes => PROBES,
            Self::Targets => TARGETS,
        }
    }

    /// Its rows: one value for each of [`Mode::fields`]. Of probes there is nothing in a snapshot.
    pub(super) fn rows(self, snapshot: &Snapshot, names: &Names) -> Vec<Vec<String>> {
        match self {
            Self::Addresses => document::addresses(snapshot)
                .into_iter()
                .map(|row| address(row, names))
                .collect(),
            Self::Groups => document::groups(snapshot).into_iter().map(group).collect(),
            Self::Interfaces => document::interfaces(snapshot)
                .into_iter()
                .map(interface)
                .collect(),
            Self::Probes => Vec::new(),
            Self::Targets => document::targets(snapshot)
                .iter()
                .map(|row| target(row, names))
                .collect(),
        }
    }

    /// The same as a document.
    pub(super) fn document(self, snapshot: &Snapshot) -> Document {
        let mut document = Document::new();
        match self {
            Self::Addresses => document.addresses = Some(document::addresses(snapshot)),
            Self::Groups => document.groups = Some(document::groups(snapshot)),
            Self::Interfaces => document.interfaces = Some(document::interfaces(snapshot)),
            Self::Probes => {}
            Self::Targets => document.targets = Some(document::targets(snapshot)),
        }
        document
    }
}

/// What there is, or nothing, which the columns show in their way.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn joined(names: &[InterfaceName]) -> String {
    let names: Vec<_> = names.iter().map(InterfaceName::as_str).collect();
    names.join(" ")
}

fn group(group: document::Group) -> Vec<String> {
    let name = text(group.group);
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
    let time = group.failure_detection_ms;
    vec![
        name.clone(),
        name,
        group.state.to_string(),
        text(time.map(|ms| format!("{}.{:02}s", ms / 1000, ms % 1000 / 10))),
        interfaces.join(" "),
    ]
}

fn address(address: document::Address, names: &Names) -> Vec<String> {
    vec![
        names.of(address.address),
        if address.up { "up" } else { "down" }.to_owned(),
        text(address.group),
        text(address.inbound),
        joined(&address.outbound),
    ]
}

fn interface(interface: document::Interface) -> Vec<String> {
    let letter = |letter: char, on: bool| if on { letter } else { '-' };
    let nominated = |family| interface.nominated.contains(&family);
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
        interface.interface.to_string(),
        if interface.active { "yes" } else { "no" }.to_owned(),
        text(interface.group),
        flags.into_iter().collect(),
        interface.link.to_string(),
        interface.probe.to_string(),
        interface.state.to_string(),
    ]
}

fn target(probing: &document::Probing, names: &Names) -> Vec<String> {
    let targets = probing.targets.iter();
    let targets: Vec<_> = targets.map(|target| names.of(target.address)).collect();
    vec![
        probing.interface.to_string(),
        probing.mode.to_string(),
        probing
            .test_address
            .map(|ip| names.of(ip))
            .unwrap_or_default(),
        targets.join(" "),
    ]
}
