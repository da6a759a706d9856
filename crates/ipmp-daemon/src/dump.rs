//! What USR1 writes to the log: the tables and the probe statistics.

use ipmp_core::Snapshot;
use ipmp_core::snapshot::{Group, Interface, Logical, Probing};

/// What the engine does not know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    /// Probes that could not be sent.
    pub(crate) unsent: u64,
    /// Datagrams looked at that the kernel took for claims of addresses of ours.
    pub(crate) claims: u64,
}

/// One line each.
pub(crate) fn lines(snapshot: &Snapshot, counters: Counters) -> Vec<String> {
    let Counters { unsent, claims } = counters;
    let mut lines = vec!["probe statistics:".to_owned()];
    let (mut missed, mut occasions) = (0_u64, 0_u64);
    for interface in &snapshot.interfaces {
        for probing in &interface.probing {
            lines.push(statistics(interface, probing));
            missed = missed.saturating_add(probing.missed);
            occasions += u64::from(probing.missed > 0);
        }
    }
    lines.push(format!(
        "missed {missed} sends on {occasions} interfaces, {unsent} sends refused by the kernel"
    ));
    lines.push(format!("claims of addresses looked at: {claims}"));
    lines.push("groups:".to_owned());
    lines.extend(snapshot.groups.iter().map(group));
    lines.push("interfaces:".to_owned());
    for one in &snapshot.interfaces {
        lines.push(interface(one));
        lines.extend(one.logicals.iter().map(logical));
        lines.extend(one.probing.iter().flat_map(targets));
    }
    lines
}

fn statistics(interface: &Interface, probing: &Probing) -> String {
    format!(
        "  {} {}: sent {}, acknowledged {}, lost {}, unknown {}",
        interface.name,
        probing.family,
        probing.sent,
        probing.acknowledged,
        probing.sent.saturating_sub(probing.acknowledged),
        probing.unknown,
    )
}

fn group(group: &Group) -> String {
    let name = group
        .name
        .as_ref()
        .map_or("(anonymous)", |name| name.as_str());
    let list = |names: &[ipmp_core::InterfaceName]| {
        let names: Vec<&str> = names.iter().map(ipmp_core::InterfaceName::as_str).collect();
        if names.is_empty() {
            "-".to_owned()
        } else {
            names.join(" ")
        }
    };
    let time = group
        .failure_detection_time
        .map_or("-".to_owned(), |time| format!("{} ms", time.as_millis()));
    format!(
        "  {name}: {:?}, failure detection time {time}, active {}, inactive {}, unusable {}",
        group.state,
        list(&group.active),
        list(&group.inactive),
        list(&group.unusable),
    )
}

fn interface(interface: &Interface) -> String {
    let index = interface
        .index
        .map_or("absent".to_owned(), |index| format!("index {index}"));
    let group = interface.group.as_ref().map_or("-", |name| name.as_str());
    let marks: Vec<&str> = [
        (interface.standby, "standby"),
        (interface.inactive, "inactive"),
        (interface.duplicate_mac, "duplicate hardware address"),
        (interface.down, "down"),
    ]
    .into_iter()
    .filter_map(|(is, mark)| is.then_some(mark))
    .collect();
    format!(
        "  {}: {index}, group {group}, {:?}, link {:?}, probes {:?} {}",
        interface.name,
        interface.state,
        interface.link,
        interface.probe,
        marks.join(", "),
    )
    .trim_end()
    .to_owned()
}

fn logical(logical: &Logical) -> String {
    let home = if logical.home == logical.name {
        String::new()
    } else {
        format!(", home {}", logical.home)
    };
    let placeholder = if logical.placeholder {
        ", placeholder"
    } else {
        ""
    };
    format!(
        "    {} {} flags={:x}{home}{placeholder}",
        logical.name, logical.address, logical.flags.0
    )
}

fn targets(probing: &Probing) -> Vec<String> {
    let from = probing
        .test_address
        .map_or("-".to_owned(), |address| address.to_string());
    let mut lines = vec![format!(
        "    {} probes from {from}, {:?}",
        probing.family, probing.mode
    )];
    lines.extend(probing.targets.iter().map(|target| {
        let ms = |time: Option<std::time::Duration>| {
            time.map_or("-".to_owned(), |time| {
                format!("{:.3} ms", time.as_secs_f64() * 1000.0)
            })
        };
        format!(
            "      target {} round trip {} deviation {}",
            target.address,
            ms(target.rtt_average),
            ms(target.rtt_deviation),
        )
    }));
    lines
}
