//! Which metrics there are. Names follow the conventions of Prometheus: base units, `_total` for what
//! is counted, `_info` for what is in the labels. They are part of the interface (docs/metrics.md).

use std::collections::BTreeMap;
use std::io;

use ipmp_core::record::{Cause, Direction};
use ipmp_core::snapshot::{
    self, Group, GroupState, Interface, InterfaceState, LinkState, ProbeState, Probing,
};
use ipmp_core::totals::{Distribution, OutageCount};
use ipmp_core::{Family, GroupName, InterfaceName, Snapshot};

use super::exposition::{Exposition, Labels, number, seconds, truth};
use crate::document;

/// All metrics of what a daemon shows; without one, that there is none.
pub fn text(seen: Option<&Snapshot>) -> io::Result<String> {
    let mut metrics = Exposition::default();
    metrics.gauge(
        "ipmp_up",
        "Whether in.mpathd runs and answers.",
        [(vec![], truth(seen.is_some()))],
    );
    if let Some(snapshot) = seen {
        if let Some(daemon) = &snapshot.daemon {
            of_daemon(daemon, &mut metrics);
        }
        of_groups(&snapshot.groups, &mut metrics);
        let watched = snapshot.interfaces.iter();
        let watched: Vec<&Interface> = watched.filter(|i| i.tracked && !i.loopback).collect();
        of_interfaces(&watched, &mut metrics);
        of_addresses(snapshot, &mut metrics);
        of_probes(&watched, &mut metrics);
        of_outages(snapshot, &mut metrics);
        of_others(snapshot, &mut metrics);
    }
    metrics.text()
}

fn of_daemon(daemon: &snapshot::Daemon, metrics: &mut Exposition) {
    metrics.gauge(
        "ipmp_build_info",
        "The version of in.mpathd.",
        [(vec![("version", daemon.version.clone())], 1.0)],
    );
    metrics.gauge(
        "ipmp_start_time_seconds",
        "When in.mpathd was started, since 1970; all counters began at 0 then.",
        [(vec![], seconds(daemon.started))],
    );
    let resyncs = daemon.resyncs;
    metrics.counter(
        "ipmp_kernel_resyncs_total",
        "How often all that the kernel holds was read anew, by reason.",
        [
            ("periodic", resyncs.periodic),
            ("overrun", resyncs.overrun),
            ("carrier", resyncs.carrier),
            ("doubt", resyncs.doubt),
        ]
        .map(|(reason, count)| (vec![("reason", reason.to_owned())], count)),
    );
}

fn of_groups(groups: &[Group], metrics: &mut Exposition) {
    let each = |value: fn(&Group) -> f64| {
        let samples = groups.iter();
        samples.map(move |group| (vec![of_group(group.name.as_ref())], value(group)))
    };
    metrics.gauge(
        "ipmp_group_state",
        "1 for the state a group is in, 0 for the others.",
        groups.iter().flat_map(|group| {
            let states = [GroupState::Ok, GroupState::Degraded, GroupState::Failed];
            states.map(|state| {
                let labels = vec![
                    of_group(group.name.as_ref()),
                    ("state", state.as_str().to_owned()),
                ];
                (labels, truth(group.state == state))
            })
        }),
    );
    metrics.gauge(
        "ipmp_group_members",
        "How many interfaces a group has.",
        each(|group| count(group.active.len() + group.inactive.len() + group.unusable.len())),
    );
    metrics.gauge(
        "ipmp_group_usable_members",
        "How many of them could carry data: those in use, and those that wait.",
        each(|group| count(group.active.len() + group.inactive.len())),
    );
    metrics.gauge(
        "ipmp_group_active_members",
        "How many of them are in use for data.",
        each(|group| count(group.active.len())),
    );
    metrics.gauge(
        "ipmp_group_failure_detection_seconds",
        "The failure detection time in force; none where no member is probed.",
        groups.iter().filter_map(|group| {
            let time = group.failure_detection_time?;
            Some((vec![of_group(group.name.as_ref())], seconds(time)))
        }),
    );
}

fn of_interfaces(watched: &[&Interface], metrics: &mut Exposition) {
    let each = |value: fn(&Interface) -> bool| {
        let samples = watched.iter();
        samples.map(move |interface| (of_interface(interface), truth(value(interface))))
    };
    metrics.gauge(
        "ipmp_interface_state",
        "1 for the state an interface is in, 0 for the others.",
        states(
            watched,
            |interface| interface.state,
            [
                InterfaceState::Ok,
                InterfaceState::Failed,
                InterfaceState::Offline,
                InterfaceState::Unknown,
            ],
            InterfaceState::as_str,
        ),
    );
    metrics.gauge(
        "ipmp_interface_link_state",
        "1 for the state its link is in, 0 for the others.",
        states(
            watched,
            |interface| interface.link,
            [LinkState::Up, LinkState::Down, LinkState::Unknown],
            LinkState::as_str,
        ),
    );
    metrics.gauge(
        "ipmp_interface_probe_state",
        "1 for what its probes say, 0 for the others.",
        states(
            watched,
            |interface| interface.probe,
            [
                ProbeState::Ok,
                ProbeState::Failed,
                ProbeState::Unknown,
                ProbeState::Disabled,
            ],
            ProbeState::as_str,
        ),
    );
    metrics.gauge(
        "ipmp_interface_present",
        "Whether its device is there.",
        each(|interface| interface.index.is_some()),
    );
    metrics.gauge(
        "ipmp_interface_active",
        "Whether it is in use for data.",
        each(|interface| interface.active),
    );
    metrics.gauge(
        "ipmp_interface_inactive",
        "Whether it carries no data though it works: a standby that waits.",
        each(|interface| interface.inactive),
    );
    metrics.gauge(
        "ipmp_interface_standby",
        "Whether it is set aside until another one fails.",
        each(|interface| interface.standby),
    );
    metrics.gauge(
        "ipmp_interface_offline",
        "Whether it was taken out of service.",
        each(|interface| interface.state == InterfaceState::Offline),
    );
    metrics.gauge(
        "ipmp_interface_refused",
        "Whether the kernel refused to put an address on it of late.",
        each(|interface| interface.refused.is_some()),
    );
}

fn of_addresses(snapshot: &Snapshot, metrics: &mut Exposition) {
    let addresses = document::addresses(snapshot);
    metrics.gauge(
        "ipmp_address_info",
        "Where a data address is and where it belongs; interface is empty while it is not received.",
        addresses.iter().map(|address| {
            let inbound = address.inbound.as_ref();
            let labels = vec![
                ("address", address.address.to_string()),
                of_group(address.group.as_ref()),
                ("home", address.home.interface.to_string()),
                ("interface", inbound.map_or_else(String::new, ToString::to_string)),
            ];
            (labels, 1.0)
        }),
    );
    let each = |value: fn(&document::Address) -> bool| {
        let samples = addresses.iter();
        samples.map(move |address| {
            let labels = vec![
                ("address", address.address.to_string()),
                of_group(address.group.as_ref()),
            ];
            (labels, truth(value(address)))
        })
    };
    metrics.gauge(
        "ipmp_address_received",
        "Whether a data address is received on an interface that works.",
        each(|address| address.inbound.is_some()),
    );
    metrics.gauge(
        "ipmp_address_at_home",
        "Whether it is on the interface where it belongs.",
        each(|address| address.logical.interface == address.home.interface),
    );
}

fn of_probes(watched: &[&Interface], metrics: &mut Exposition) {
    let probing = || {
        watched.iter().flat_map(|interface| {
            let probing = interface.probing.iter();
            probing.map(|probing| (of_family(interface, probing.family), probing))
        })
    };
    // A family in which an interface never probed is left out.
    let each = |value: fn(&Probing) -> u64| {
        let samples = probing();
        samples
            .filter(|(_, probing)| probing.sent > 0 || probing.state != ProbeState::Disabled)
            .map(move |(labels, probing)| (labels, value(probing)))
    };
    metrics.counter(
        "ipmp_probes_sent_total",
        "Probes sent, those of bursts among them.",
        each(|probing| probing.sent),
    );
    metrics.counter(
        "ipmp_probes_answered_total",
        "Probes answered.",
        each(|probing| probing.acknowledged),
    );
    metrics.counter(
        "ipmp_probes_lost_total",
        "Probes that were not answered in time.",
        each(|probing| probing.lost),
    );
    metrics.counter(
        "ipmp_probes_missed_total",
        "Probes that were not sent, as the daemon was late.",
        each(|probing| probing.missed),
    );
    metrics.counter(
        "ipmp_probes_void_total",
        "Probes whose fate is not known, as the daemon was late; they count for nothing.",
        each(|probing| probing.void),
    );
    metrics.counter(
        "ipmp_probe_confirmations_total",
        "How often a late probe was followed by a burst of them.",
        each(|probing| probing.confirmations),
    );
    let targets = |value: fn(&snapshot::Target) -> Option<std::time::Duration>| {
        probing().flat_map(move |(labels, probing)| {
            let targets = probing.targets.iter();
            targets.filter_map(move |target| {
                let mut labels = labels.clone();
                labels.push(("target", target.address.to_string()));
                Some((labels, seconds(value(target)?)))
            })
        })
    };
    metrics.gauge(
        "ipmp_probe_rtt_seconds",
        "Smoothed round trip time to a target.",
        targets(|target| target.rtt_average),
    );
    metrics.gauge(
        "ipmp_probe_rtt_deviation_seconds",
        "Smoothed mean deviation of the round trip time to a target.",
        targets(|target| target.rtt_deviation),
    );
}

fn of_outages(snapshot: &Snapshot, metrics: &mut Exposition) {
    let totals = &snapshot.totals;
    metrics.counter(
        "ipmp_interface_failures_total",
        "How often an interface failed, by cause.",
        failures(snapshot)
            .into_iter()
            .map(|((interface, cause), count)| {
                let labels = vec![
                    ("interface", interface.to_string()),
                    ("cause", cause.as_str().to_owned()),
                ];
                (labels, count)
            }),
    );
    let counted = |direction: Direction| {
        let counts = moves(snapshot, direction).into_iter();
        counts.map(|((group, cause), count)| {
            let labels = vec![of_group(group), ("cause", cause.as_str().to_owned())];
            (labels, count)
        })
    };
    metrics.counter(
        "ipmp_failovers_total",
        "Failovers that are complete.",
        counted(Direction::Failover),
    );
    metrics.counter(
        "ipmp_failbacks_total",
        "Failbacks that are complete.",
        counted(Direction::Failback),
    );
    metrics.counter(
        "ipmp_moves_total",
        "Moves that were asked for and are complete.",
        counted(Direction::Move),
    );
    let distributed = |value: fn(&OutageCount) -> &Distribution| {
        let outages = totals.outages.iter();
        outages
            .filter(move |outages| value(outages).count > 0)
            .map(move |outages| {
                let labels = vec![
                    of_group(outages.group.as_ref()),
                    ("direction", outages.direction.as_str().to_owned()),
                    ("cause", outages.cause.as_str().to_owned()),
                ];
                (labels, value(outages))
            })
    };
    metrics.histogram(
        "ipmp_outage_detection_seconds",
        "From the last sign of life of an interface to its being declared failed.",
        distributed(|outages| &outages.detection),
    );
    metrics.histogram(
        "ipmp_outage_move_seconds",
        "From then until the kernel had all addresses in place.",
        distributed(|outages| &outages.moved),
    );
    metrics.histogram(
        "ipmp_outage_told_seconds",
        "From then until all neighbours had been told once.",
        distributed(|outages| &outages.told),
    );
}

/// What others, and the kernel, do not let be.
fn of_others(snapshot: &Snapshot, metrics: &mut Exposition) {
    metrics.gauge(
        "ipmp_contested",
        "How many things another hand undoes again and again, so that they are left alone for a while.",
        [(vec![], count(snapshot.contested.len()))],
    );
    metrics.counter(
        "ipmp_contests_total",
        "How often that began.",
        [(vec![], snapshot.totals.contests)],
    );
    let conflicts = |withheld: bool| {
        let all = snapshot.conflicts.iter();
        let some = all.filter(|conflict| conflict.withheld == withheld);
        let withheld = ("withheld", withheld.to_string());
        (vec![withheld], count(some.count()))
    };
    metrics.gauge(
        "ipmp_address_conflicts",
        "How many addresses another host has, too; those withheld are not brought up for that.",
        [conflicts(false), conflicts(true)],
    );
    metrics.gauge(
        "ipmp_failing",
        "How many operations the kernel refuses at present; they are tried again.",
        [(vec![], count(snapshot.failing.len()))],
    );
}

/// Failures by interface and cause. What may well happen is there from the beginning, as 0: of a
/// counter that appears with its first count, nobody sees that it went up.
fn failures(snapshot: &Snapshot) -> BTreeMap<(&InterfaceName, Cause), u64> {
    let watched = snapshot.interfaces.iter();
    let watched = watched.filter(|interface| interface.tracked && !interface.loopback);
    let likely = watched.flat_map(|interface| {
        [Cause::LinkDown, Cause::ProbesLost, Cause::DeviceGone].map(|c| ((&interface.name, c), 0))
    });
    let counted = snapshot.totals.failures.iter();
    let counted = counted.map(|one| ((&one.interface, one.cause), one.count));
    likely.chain(counted).collect()
}

/// The same of failovers or failbacks, by group and cause.
fn moves(snapshot: &Snapshot, direction: Direction) -> BTreeMap<(Option<&GroupName>, Cause), u64> {
    let causes: &[Cause] = match direction {
        Direction::Failover => &[Cause::LinkDown, Cause::ProbesLost, Cause::DeviceGone],
        Direction::Failback => &[Cause::HomeUsable],
        Direction::Move => &[Cause::Administrator],
    };
    // Nothing moves where there is no group.
    let groups = snapshot.groups.iter().filter(|group| group.name.is_some());
    let likely = groups.flat_map(|group| {
        let causes = causes.iter();
        causes.map(|&cause| ((group.name.as_ref(), cause), 0))
    });
    let counted = snapshot.totals.outages.iter();
    let counted = counted
        .filter(|one| one.direction == direction)
        .map(|one| ((one.group.as_ref(), one.cause), one.count));
    likely.chain(counted).collect()
}

/// A sample for each interface and each state it may be in.
fn states<'a, S: Copy + PartialEq + 'a, const N: usize>(
    watched: &'a [&Interface],
    state: fn(&Interface) -> S,
    all: [S; N],
    word: fn(S) -> &'static str,
) -> impl Iterator<Item = (Labels, f64)> + 'a {
    watched.iter().flat_map(move |interface| {
        all.map(|one| {
            let mut labels = of_interface(interface);
            labels.push(("state", word(one).to_owned()));
            (labels, truth(state(interface) == one))
        })
    })
}

/// The label of a group; empty, which is to have none, for the anonymous one.
fn of_group(group: Option<&GroupName>) -> (&'static str, String) {
    ("group", group.map_or_else(String::new, ToString::to_string))
}

fn of_interface(interface: &Interface) -> Labels {
    vec![
        ("interface", interface.name.to_string()),
        of_group(interface.group.as_ref()),
    ]
}

fn of_family(interface: &Interface, family: Family) -> Labels {
    let family = match family {
        Family::Inet => "inet",
        Family::Inet6 => "inet6",
    };
    vec![
        ("interface", interface.name.to_string()),
        ("family", family.to_owned()),
    ]
}

fn count(members: usize) -> f64 {
    number(members as u64)
}
