use std::fmt::Write;
use std::path::Path;

use insta::assert_snapshot;
use ipmp_core::snapshot::{
    Conflict, GroupState, InterfaceState, LinkState, ProbeState, Probing, TargetMode,
};
use ipmp_core::{Flags, MacAddress, Time};

use super::*;
use crate::etc::Etc;
use crate::recorded::{Recorded, transcript};
use crate::sample::{group, lab1, lab1_failed, lab2, lab2_failed, logical, probing, troubled};

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

/// The same as ge1 has the hardware address of ge0, so that its test address is down.
fn twins() -> Snapshot {
    let mut snapshot = offline();
    let ge1 = &mut snapshot.interfaces[2];
    ge1.duplicate_mac = true;
    let test = &mut ge1.logicals[1];
    test.flags = test.flags.with(Flags::UP, false);
    snapshot
}

/// Lab 2 with a data address of the standby, which is on ge0.
fn given_away() -> Snapshot {
    let mut snapshot = lab2();
    let given = Logical {
        home: "ge1:1".parse().unwrap(),
        ..logical("ge0:2", "192.168.0.90/24", 0x100_0843)
    };
    snapshot.interfaces[1].logicals.push(given);
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

/// Lab 1 after `ifconfig ge0 down` and `ifconfig ge0:1 down`.
fn set_down() -> Snapshot {
    let mut snapshot = lab1();
    for logical in &mut snapshot.interfaces[1].logicals {
        logical.flags = logical.flags.with(Flags::UP, false);
        logical.set_down = true;
    }
    snapshot.interfaces[1].down = true;
    snapshot
}

/// The same when ge1 has failed, and its address was set down on ge0.
fn set_down_elsewhere() -> Snapshot {
    let mut snapshot = lab1_failed();
    let moved = &mut snapshot.interfaces[1].logicals[2];
    moved.flags = moved.flags.with(Flags::UP, false);
    moved.set_down = true;
    snapshot
}

/// Lab 1 with IPv6 on ge0 only, whose second address was not brought up.
fn inet6() -> Snapshot {
    let mut snapshot = lab1();
    let mut down = logical("ge0:2", "2001:db8::2/64", 0x200_0842);
    down.set_down = true;
    let up = logical("ge0:1", "2001:db8::1/64", 0x200_0843);
    let local = logical("ge0", "fe80::1/10", 0x200_0843);
    snapshot.interfaces[1].logicals.extend([local, up, down]);
    snapshot
}

/// The same when ge0 has failed, what IPv6 addresses it has being without refuge.
fn inet6_failed() -> Snapshot {
    let mut snapshot = inet6();
    snapshot.interfaces[1].state = InterfaceState::Failed;
    snapshot
}

/// Lab 1 with ge1 failed, which has an address of a DHCP client's.
fn leased() -> Snapshot {
    let mut snapshot = lab1_failed();
    let mut leased = logical("ge1:2", "192.168.0.90/24", 0x100_0843);
    leased.flags = leased.flags.with(Flags::DHCP, true);
    snapshot.interfaces[2].logicals.push(leased);
    snapshot
}

/// ge0 of lab 1 in a group of its own.
fn alone() -> Snapshot {
    let mut snapshot = lab1();
    snapshot.interfaces.truncate(2);
    snapshot.groups = vec![group(
        "testgrp2",
        GroupState::Ok,
        10_000,
        [&["ge0"], &[], &[]],
    )];
    snapshot
}

/// The same when it is a standby.
fn standby_alone() -> Snapshot {
    let mut snapshot = alone();
    let ge0 = &mut snapshot.interfaces[1];
    (ge0.standby, ge0.inactive) = (true, true);
    snapshot
}

/// The same when it has failed.
fn alone_and_failed() -> Snapshot {
    let mut snapshot = alone();
    snapshot.interfaces[1].state = InterfaceState::Failed;
    snapshot
}

/// Lab 1 while its addresses are asked for, or cannot be.
fn not_up_yet(state: InterfaceState, index: Option<u32>) -> Snapshot {
    let mut snapshot = lab1();
    let ge0 = &mut snapshot.interfaces[1];
    (ge0.state, ge0.index) = (state, index);
    for logical in &mut ge0.logicals {
        logical.flags = logical.flags.with(Flags::UP, false);
    }
    snapshot
}

/// Lab 1 when ge0's target answers ARP only.
fn silent_target() -> Snapshot {
    let mut snapshot = lab1();
    snapshot.interfaces[1].probe = ProbeState::Failed;
    snapshot.interfaces[2].probe = ProbeState::Unknown;
    snapshot
}

/// Lab 1 while another host has both addresses of ge0, which was heard on ge1.
fn withheld() -> Snapshot {
    let mut snapshot = lab1();
    for logical in &mut snapshot.interfaces[1].logicals {
        logical.flags = logical.flags.with(Flags::UP, false) | Flags::DUPLICATE;
        snapshot.conflicts.push(Conflict {
            address: logical.address.ip,
            interface: "ge1".parse().unwrap(),
            mac: MacAddress([8, 0, 0x20, 1, 2, 3]),
            since: Time::from_millis(86_403_000),
            heard: Time::from_millis(86_470_000),
            withheld: true,
            again: Some(Time::from_millis(86_510_000)),
        });
    }
    snapshot
}

/// Lab 2 when ge0 has failed and then its standby too, which keeps what it has.
fn standby_failed(state: InterfaceState, index: Option<u32>) -> Snapshot {
    let mut snapshot = lab2_failed();
    let ge1 = &mut snapshot.interfaces[2];
    (ge1.state, ge1.index, ge1.active) = (state, index, false);
    snapshot
}

/// Lab 2 when the standby cannot take over. Out of service or absent it is INACTIVE all the same.
fn standby_broken(state: InterfaceState, index: Option<u32>) -> Snapshot {
    let mut snapshot = lab2();
    let ge1 = &mut snapshot.interfaces[2];
    (ge1.state, ge1.index) = (state, index);
    ge1.inactive = state == InterfaceState::Offline || index.is_none();
    snapshot
}

/// Lab 2 after `ipmp move 192.168.0.86 ge1`.
fn moved_to_standby() -> Snapshot {
    let mut snapshot = lab2_failed();
    snapshot.interfaces[1].state = InterfaceState::Ok;
    snapshot.interfaces[2].logicals[1].moved_to = "ge1".parse().ok();
    snapshot
}

/// Lab 2 when ge0 has failed, its address having been set down.
fn nothing_taken_over() -> Snapshot {
    let mut snapshot = lab2_failed();
    let down = &mut snapshot.interfaces[2].logicals[1];
    down.flags = down.flags.with(Flags::UP, false);
    down.set_down = true;
    snapshot
}

/// Lab 1 with `FAILBACK=no`, its ge1 repaired or out of service.
fn waiting(state: InterfaceState) -> Snapshot {
    let mut snapshot = lab1_failed();
    let ge1 = &mut snapshot.interfaces[2];
    (ge1.state, ge1.probe, ge1.inactive) = (state, ProbeState::Ok, true);
    snapshot
}

/// Lab 1 when ge1 is answered again: not often enough yet, or often enough and too soon after too many failures.
fn answered_again(held_until: Option<Time>) -> Snapshot {
    let mut snapshot = lab1_failed();
    let ge1 = &mut snapshot.interfaces[2];
    ge1.held_until = held_until;
    let probing = probing(TargetMode::Routes, "192.168.0.89", &["192.168.0.1"]);
    ge1.probing = vec![Probing {
        answered_again: if held_until.is_some() { 10 } else { 4 },
        ..probing
    }];
    snapshot
}

/// Lab 1 when ge0 has just been plumbed, and nobody has answered it yet.
fn not_answered_yet() -> Snapshot {
    let mut snapshot = lab1();
    let probing = Probing {
        sent: 3,
        ..probing(TargetMode::Routes, "192.168.0.87", &["192.168.0.1"])
    };
    snapshot.interfaces[1].probing = vec![probing];
    snapshot
}

/// Lab 1 when ge1 works and does not take its address.
fn refusing() -> Snapshot {
    let mut snapshot = lab1_failed();
    let ge1 = &mut snapshot.interfaces[2];
    (ge1.state, ge1.probe) = (InterfaceState::Ok, ProbeState::Ok);
    ge1.refused = Some("cannot add 192.168.0.88: Invalid argument".to_owned());
    snapshot
}

/// Lab 1 when ge1 is in no group.
fn unwatched(link: LinkState) -> Snapshot {
    let mut snapshot = lab1();
    let ge1 = &mut snapshot.interfaces[2];
    (ge1.tracked, ge1.group, ge1.link) = (false, None, link);
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
        ("ge0 not answered yet", not_answered_yet(), &["ge0"]),
        ("ge1 answered again", answered_again(None), &["ge1"]),
        (
            "ge1 held back",
            answered_again(Some(Time::from_millis(86_586_000))),
            &["ge1"],
        ),
        (
            "ge1 refuses its address",
            refusing(),
            &["ge1", "192.168.0.88"],
        ),
        ("ge1 in no group", unwatched(LinkState::Up), &["ge1"]),
        (
            "the same without link",
            unwatched(LinkState::Down),
            &["ge1"],
        ),
        ("ge1 failed, with a lease", leased(), &["192.168.0.90"]),
        ("ge1 offline", offline(), &["ge1", "192.168.0.88"]),
        (
            "ge1 has the hardware address of ge0",
            twins(),
            &["ge1", "192.168.0.88", "192.168.0.89"],
        ),
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
            &["ge0", "ge1", "192.168.0.86", "192.168.0.87"],
        ),
        (
            "both set down",
            set_down(),
            &["ge0", "192.168.0.86", "192.168.0.87"],
        ),
        (
            "192.168.0.88 set down on ge0",
            set_down_elsewhere(),
            &["ge0", "ge1", "192.168.0.88"],
        ),
        (
            "IPv6 on ge0 only",
            inet6(),
            &["2001:db8::1", "2001:db8::2", "fe80::1"],
        ),
        (
            "IPv6 on ge0 only, which failed",
            inet6_failed(),
            &["2001:db8::1"],
        ),
        ("ge0 alone", alone(), &["ge0", "192.168.0.86"]),
        (
            "ge0 alone, and failed",
            alone_and_failed(),
            &["ge0", "192.168.0.86"],
        ),
        ("ge0 alone, a standby", standby_alone(), &["ge0"]),
        (
            "others are asked",
            not_up_yet(InterfaceState::Ok, Some(6)),
            &["192.168.0.86"],
        ),
        (
            "ge0 is absent",
            not_up_yet(InterfaceState::Failed, None),
            &["192.168.0.86"],
        ),
        (
            "ge0 offline",
            not_up_yet(InterfaceState::Offline, Some(6)),
            &["192.168.0.87"],
        ),
        (
            "ge0 offline, and others are asked",
            not_up_yet(InterfaceState::Offline, Some(6)),
            &["192.168.0.86"],
        ),
        ("target answers ARP only", silent_target(), &["ge0", "ge1"]),
        ("ge1 failed", lab1_failed(), &["192.168.0.86"]),
        ("lab 2", lab2(), &["ge1"]),
        ("lab 2, ge0 failed", lab2_failed(), &["ge1", "192.168.0.86"]),
        (
            "lab 2, ge0 failed, then ge1",
            standby_failed(InterfaceState::Failed, Some(7)),
            &["ge1"],
        ),
        (
            "lab 2, ge1 failed",
            standby_broken(InterfaceState::Failed, Some(7)),
            &["ge1"],
        ),
        (
            "lab 2, ge1 offline",
            standby_broken(InterfaceState::Offline, Some(7)),
            &["ge1"],
        ),
        (
            "lab 2, ge1 absent",
            standby_broken(InterfaceState::Failed, None),
            &["ge1"],
        ),
        (
            "lab 2, 192.168.0.86 moved",
            moved_to_standby(),
            &["ge1", "192.168.0.86"],
        ),
        (
            "lab 2, ge0 failed, 192.168.0.86 down",
            nothing_taken_over(),
            &["ge1"],
        ),
        (
            "lab 2, 192.168.0.90 of ge1",
            given_away(),
            &["192.168.0.90"],
        ),
        (
            "FAILBACK=no, ge1 repaired",
            waiting(InterfaceState::Ok),
            &["ge1", "192.168.0.88"],
        ),
        (
            "FAILBACK=no, ge1 offline",
            waiting(InterfaceState::Offline),
            &["ge1"],
        ),
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
    for same in ["192.168.0.87/24", "ge0:1"] {
        assert_eq!(explain(&lab1(), same), explain(&lab1(), "192.168.0.87"));
    }
    assert!(explain(&lab1(), "ge0:7").ends_with("no such interface or address\nexit 1\n"));
    assert!(explain(&lab1(), "").starts_with("2> ipmp explain: something is missing"));
    assert_snapshot!("explain_usage", explain(&lab1(), "--help"));
}
