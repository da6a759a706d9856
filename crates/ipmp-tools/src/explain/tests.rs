use std::fmt::Write;
use std::path::Path;

use insta::assert_snapshot;
use ipmp_core::Flags;
use ipmp_core::snapshot::{InterfaceState, LinkState, TargetMode};

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
