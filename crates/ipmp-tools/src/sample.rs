//! Hosts for golden tests, in the states the labs go through.

use std::time::Duration;

use ipmp_api::interface::{Event, FinishedProbe, ProbeKind};
use ipmp_core::message::Severity;
use ipmp_core::record::{Cause, Direction, Evidence, Moved, Outage};
use ipmp_core::snapshot::{
    Conflict, Contested, Failing, Group, GroupState, Interface, InterfaceState, LinkState, Logical,
    ProbeState, Probing, Target, TargetMode,
};
use ipmp_core::{
    Family, Flags, GroupName, InterfaceAddress, InterfaceName, LogicalName, MacAddress, Record,
    Snapshot, Time,
};

/// A logical: its name, address with length, flags.
pub(crate) fn logical(name: &str, address: &str, flags: u64) -> Logical {
    let name: LogicalName = name.parse().unwrap();
    let address = address_of(address);
    let placeholder = address.ip.is_unspecified();
    Logical {
        home: name.clone(),
        name,
        broadcast: address.default_broadcast().filter(|_| !placeholder),
        address,
        flags: Flags(flags),
        metric: 0,
        moved_to: None,
        set_down: false,
        mtu: if placeholder { 0 } else { 1500 },
        placeholder,
    }
}

/// Reads `ADDRESS/LENGTH`.
pub(crate) fn address_of(text: &str) -> InterfaceAddress {
    let (ip, prefix) = text.split_once('/').unwrap();
    InterfaceAddress::new(ip.parse().unwrap(), prefix.parse().unwrap())
}

/// A member of a group that works.
pub(crate) fn member(name: &str, index: u32, group: &str, logicals: Vec<Logical>) -> Interface {
    Interface {
        name: name.parse().unwrap(),
        index: Some(index),
        loopback: false,
        mac: Some(
            format!("08:00:20:c0:ff:{:02x}", 0xe6 + index)
                .parse()
                .unwrap(),
        ),
        group: (!group.is_empty()).then(|| group.parse().unwrap()),
        tracked: true,
        state: InterfaceState::Ok,
        link: LinkState::Up,
        probe: ProbeState::Ok,
        active: true,
        standby: false,
        inactive: false,
        duplicate_mac: false,
        refused: None,
        held_until: None,
        down: false,
        nominee: vec![],
        logicals,
        probing: vec![],
    }
}

/// The loopback interface.
pub(crate) fn loopback() -> Interface {
    let mut address = logical("lo", "127.0.0.1/8", 0x100_0849);
    address.mtu = 8232;
    Interface {
        mac: Some("0:0:0:0:0:0".parse().unwrap()),
        loopback: true,
        tracked: false,
        ..member("lo", 1, "", vec![address])
    }
}

/// A group in the order active, inactive, unusable.
pub(crate) fn group(name: &str, state: GroupState, ms: u64, members: [&[&str]; 3]) -> Group {
    let names = |class: &[&str]| class.iter().map(|name| name.parse().unwrap()).collect();
    let [active, inactive, unusable] = members;
    Group {
        name: (!name.is_empty()).then(|| name.parse().unwrap()),
        state,
        failure_detection_time: (ms > 0).then(|| Duration::from_millis(ms)),
        active: names(active),
        inactive: names(inactive),
        unusable: names(unusable),
    }
}

/// Probing from `address` at `targets`.
pub(crate) fn probing(mode: TargetMode, address: &str, targets: &[&str]) -> Probing {
    let test_address = address.parse().ok();
    Probing {
        family: test_address.map_or(Family::Inet, Family::of),
        mode,
        test_address,
        targets: targets
            .iter()
            .map(|target| Target {
                address: target.parse().unwrap(),
                rtt_average: None,
                rtt_deviation: None,
            })
            .collect(),
        state: if mode == TargetMode::Disabled {
            ProbeState::Disabled
        } else {
            ProbeState::Ok
        },
        sent: 0,
        acknowledged: 0,
        lost: 0,
        unknown: 0,
        missed: 0,
        void: 0,
        confirmations: 0,
        answered_again: 0,
    }
}

const DATA: u64 = 0x100_0843;
const TEST: u64 = 0x904_0843;

/// Lab 1: two active paths.
pub(crate) fn lab1() -> Snapshot {
    Snapshot {
        interfaces: vec![
            loopback(),
            member(
                "ge0",
                6,
                "testgrp2",
                vec![
                    logical("ge0", "192.168.0.86/24", DATA),
                    logical("ge0:1", "192.168.0.87/24", TEST),
                ],
            ),
            member(
                "ge1",
                7,
                "testgrp2",
                vec![
                    logical("ge1", "192.168.0.88/24", DATA),
                    logical("ge1:1", "192.168.0.89/24", TEST),
                ],
            ),
        ],
        groups: vec![group(
            "testgrp2",
            GroupState::Ok,
            10_000,
            [&["ge0", "ge1"], &[], &[]],
        )],
        local_mac_address: true,
        outages: vec![],
        totals: ipmp_core::Totals::default(),
        daemon: None,
        contested: vec![],
        conflicts: vec![],
        failing: vec![],
    }
}

/// Lab 1 after ge1 failed, and with whatever else may be wrong.
pub(crate) fn troubled() -> Snapshot {
    let at = |seconds: u64| Time::from_millis(86_400_000 + seconds * 1000);
    let mut snapshot = lab1_failed();
    if let Some(ge1) = snapshot.interfaces.get_mut(2) {
        ge1.refused = Some("cannot add 192.168.0.86: Permission denied".to_owned());
    }
    snapshot.contested = vec![Contested {
        what: "address 192.168.0.88 on ge0".to_owned(),
        interface: "ge0".parse().ok(),
        address: "192.168.0.88".parse().ok(),
        since: at(0),
        by: Some("systemd-network[812]".to_owned()),
        again: Some(at(95)),
    }];
    let conflict = |address: &str, again| Conflict {
        address: address.parse().unwrap(),
        interface: "ge0".parse().unwrap(),
        mac: MacAddress([8, 0, 0x20, 1, 2, 3]),
        since: at(3),
        heard: at(70),
        withheld: again == Some(at(110)),
        again,
    };
    snapshot.conflicts = vec![
        conflict("192.168.0.86", Some(at(110))),
        conflict("192.168.0.88", None),
    ];
    let ge0 = snapshot.interfaces.get_mut(1);
    if let Some(first) = ge0.and_then(|ge0| ge0.logicals.first_mut()) {
        first.flags = Flags(DATA).with(Flags::UP, false) | Flags::DUPLICATE;
    }
    snapshot.failing = vec![Failing {
        what: "arp_ignore of ge1".to_owned(),
        interface: "ge1".parse().ok(),
        address: None,
        since: at(0),
        reason: "Read-only file system".to_owned(),
        times: 7,
        again: at(102),
    }];
    snapshot
}

/// Lab 1 after ge1 failed by probes.
pub(crate) fn lab1_failed() -> Snapshot {
    let moved = Logical {
        home: "ge1".parse().unwrap(),
        ..logical("ge0:2", "192.168.0.88/24", DATA)
    };
    let mut snapshot = lab1();
    let [_, ge0, ge1] = snapshot.interfaces.as_mut_slice() else {
        unreachable!()
    };
    ge0.logicals.push(moved);
    ge1.logicals = vec![
        logical("ge1", "0.0.0.0/0", 0x1900_0842),
        logical("ge1:1", "192.168.0.89/24", 0x1904_0843),
    ];
    ge1.state = InterfaceState::Failed;
    ge1.probe = ProbeState::Failed;
    ge1.active = false;
    snapshot.groups = vec![group(
        "testgrp2",
        GroupState::Degraded,
        10_000,
        [&["ge0"], &[], &["ge1"]],
    )];
    snapshot
}

/// What a daemon tells of lab 1 when the link of ge1 goes.
pub(crate) fn events() -> Vec<Event> {
    let (ge0, ge1): (InterfaceName, InterfaceName) =
        ("ge0".parse().unwrap(), "ge1".parse().unwrap());
    let group: Option<GroupName> = "testgrp2".parse().ok();
    let address = "192.168.0.88".parse().unwrap();
    let records = [
        Record::Link {
            interface: ge1.clone(),
            group: group.clone(),
            to: LinkState::Down,
        },
        Record::Interface {
            interface: ge1.clone(),
            group: group.clone(),
            from: Some(InterfaceState::Ok),
            to: Some(InterfaceState::Failed),
            cause: Cause::LinkDown,
        },
        Record::Group {
            group: "testgrp2".parse().unwrap(),
            from: Some(GroupState::Ok),
            to: Some(GroupState::Degraded),
            interface: Some(ge1.clone()),
            cause: Some(Cause::LinkDown),
        },
        Record::Address {
            address,
            group: group.clone(),
            home: "ge1".parse().unwrap(),
            from: Some(ge1.clone()),
            to: Some(ge0.clone()),
            cause: Cause::InterfaceFailed,
        },
        Record::Outage(outage()),
        Record::Contest {
            what: "address 192.168.0.88 on ge0".to_owned(),
            interface: Some(ge0.clone()),
            address: Some(address),
            by: Some("systemd-network[812]".to_owned()),
            contested: true,
        },
        Record::Conflict {
            address,
            group: group.clone(),
            interface: ge0.clone(),
            mac: MacAddress([8, 0, 0x20, 1, 2, 3]),
            withheld: false,
            conflict: true,
        },
        Record::Message {
            severity: Severity::Warning,
            message: "The link has been unstable".to_owned(),
        },
    ];
    records
        .into_iter()
        .zip(7..)
        .map(|(record, sequence)| Event {
            sequence,
            time: format!("2026-11-24T00:31:02.{sequence:06}Z"),
            monotonic_ms: 86_400_000.5,
            text: record.to_string(),
            record,
        })
        .collect()
}

/// Probes of lab 1, the first one sent before anybody asked: answered, lost, and by whom there is no
/// estimate yet.
pub(crate) fn probes() -> Vec<FinishedProbe> {
    let micros = |us: u64| (us > 0).then(|| Duration::from_micros(us));
    let probe = |ms: u64, nic: &str, sequence, times: [u64; 4], target: &str| FinishedProbe {
        time: format!(
            "2026-11-24T00:32:{:02}.{:03}000Z",
            ms / 1000 % 60,
            ms % 1000
        ),
        started: Time::from_millis(86_490_000 - 410 + ms),
        interface: nic.parse().unwrap(),
        target: target.parse().unwrap(),
        kind: if nic == "ge1" {
            ProbeKind::Solicitation
        } else {
            ProbeKind::Echo
        },
        sequence,
        answered: times[1] > 0,
        network_rtt: micros(times[0]),
        rtt: micros(times[1]),
        rtt_average: micros(times[2]),
        rtt_deviation: micros(times[3]),
    };
    vec![
        probe(0, "ge0", 5087, [220, 350, 310, 40], "192.168.0.2"),
        probe(470, "ge1", 9310, [180, 270, 290, 35], "192.168.0.2"),
        probe(730, "ge0", 5088, [0, 0, 310, 40], "192.168.0.2"),
        probe(1120, "ge1", 9311, [0, 0, 0, 0], "192.168.0.3"),
        probe(
            1990,
            "ge0",
            77,
            [11_410, 11_550, 0, 0],
            "fe80::a8:1ff:fe00:1",
        ),
    ]
}

/// What a failover from ge1 took.
pub(crate) fn outage() -> Outage {
    Outage {
        direction: Direction::Failover,
        interface: "ge1".parse().unwrap(),
        group: "testgrp2".parse().ok(),
        cause: Cause::ProbesLost,
        declared: Time::from_millis(86_400_000),
        last_good: Some(Time::from_millis(86_399_897)),
        last_good_by: Some(Evidence::Reply),
        detection: Some(Duration::from_micros(102_345)),
        moved: Some(Duration::from_micros(3_210)),
        told: Some(Duration::from_micros(3_300)),
        addresses: vec![Moved {
            address: "192.168.0.88".parse().unwrap(),
            to: "ge0".parse().unwrap(),
        }],
    }
}

/// Lab 2: one active path and a standby.
pub(crate) fn lab2() -> Snapshot {
    let mut snapshot = lab1();
    let [_, ge0, ge1] = snapshot.interfaces.as_mut_slice() else {
        unreachable!()
    };
    ge0.mac = None;
    *ge1 = Interface {
        index: Some(5),
        mac: None,
        standby: true,
        inactive: true,
        active: false,
        ..member(
            "ge1",
            7,
            "testgrp2",
            vec![logical("ge1", "192.168.0.88/24", 0x6904_0843)],
        )
    };
    snapshot.groups = vec![group(
        "testgrp2",
        GroupState::Ok,
        10_000,
        [&["ge0"], &["ge1"], &[]],
    )];
    snapshot
}

/// Lab 2 after ge0 failed by probes.
pub(crate) fn lab2_failed() -> Snapshot {
    let mut snapshot = lab2();
    let [_, ge0, ge1] = snapshot.interfaces.as_mut_slice() else {
        unreachable!()
    };
    ge0.logicals = vec![
        logical("ge0", "0.0.0.0/0", 0x1900_0842),
        logical("ge0:1", "192.168.0.87/24", 0x1904_0843),
    ];
    ge0.state = InterfaceState::Failed;
    ge0.active = false;
    ge1.inactive = false;
    ge1.active = true;
    ge1.logicals = vec![
        logical("ge1", "192.168.0.88/24", 0x2904_0843),
        Logical {
            home: "ge0".parse().unwrap(),
            ..logical("ge1:1", "192.168.0.86/24", 0x2100_0843)
        },
    ];
    snapshot.groups = vec![group(
        "testgrp2",
        GroupState::Degraded,
        10_000,
        [&["ge1"], &[], &["ge0"]],
    )];
    snapshot
}
