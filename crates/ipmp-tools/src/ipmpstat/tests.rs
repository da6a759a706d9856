//! The manual's examples, in the order in which this one sorts them.

use std::fmt::Write;

use insta::assert_snapshot;
use ipmp_core::snapshot::{
    GroupState, Interface, InterfaceState, LinkState, ProbeState, TargetMode,
};
use ipmp_core::{Family, Snapshot};

use super::*;
use crate::etc::Etc;
use crate::recorded::{Recorded, Staged, transcript};
use crate::sample::{group, lab1, lab1_failed, logical, member, probing};

const DATA: u64 = 0x100_0843;
const DOWN: u64 = 0x100_0842;
const TEST: u64 = 0x904_0843;

/// The host of the manual: a healthy group, a degraded one with a standby, a failed one, and an
/// interface in no group that is watched.
fn host() -> Snapshot {
    let nominated = |interface: Interface, nominee: &[Family]| Interface {
        nominee: nominee.to_vec(),
        ..interface
    };
    let unusable = |interface: Interface, link, probe, state| Interface {
        active: false,
        link,
        probe,
        state,
        ..interface
    };
    let eth0 = Interface {
        probing: vec![
            probing(
                TargetMode::Routes,
                "198.51.100.11",
                &["198.51.100.1", "198.51.100.2"],
            ),
            probing(
                TargetMode::Multicast,
                "fe80::5054:ff:fe00:a",
                &["fe80::5054:ff:fe00:c1", "fe80::5054:ff:fe00:b7"],
            ),
        ],
        ..member(
            "eth0",
            2,
            "web",
            vec![
                logical("eth0", "198.51.100.21/24", DATA),
                logical("eth0:1", "198.51.100.11/24", TEST),
                logical("eth0", "fe80::5054:ff:fe00:a/64", 0x200_0841),
                logical("eth0:1", "2001:db8:40::20/64", 0x200_0841),
            ],
        )
    };
    let eth1 = Interface {
        probing: vec![probing(
            TargetMode::Routes,
            "198.51.100.12",
            &["198.51.100.2", "198.51.100.1"],
        )],
        ..member(
            "eth1",
            3,
            "web",
            vec![logical("eth1", "198.51.100.20/24", DATA)],
        )
    };
    let eth3 = member(
        "eth3",
        4,
        "store",
        vec![
            logical("eth3", "203.0.113.9/24", DATA),
            logical("eth3:1", "203.0.113.10/24", DOWN),
        ],
    );
    let eth4 = Interface {
        probing: vec![probing(TargetMode::Routes, "203.0.113.4", &["203.0.113.1"])],
        ..member("eth4", 5, "store", vec![])
    };
    let eth5 = Interface {
        active: false,
        inactive: true,
        standby: true,
        ..member("eth5", 6, "store", vec![])
    };
    let eth6 = member("eth6", 7, "mgmt", vec![]);
    let eth7 = Interface {
        down: true,
        probing: vec![probing(TargetMode::Disabled, "", &[])],
        ..member(
            "eth7",
            8,
            "mgmt",
            vec![logical("eth7", "192.0.2.77/24", DATA)],
        )
    };
    let eth9 = Interface {
        probe: ProbeState::Unknown,
        state: InterfaceState::Unknown,
        ..member("eth9", 9, "", vec![])
    };
    let (up, failed, disabled) = (LinkState::Up, ProbeState::Failed, ProbeState::Disabled);
    Snapshot {
        interfaces: vec![
            nominated(eth0, &Family::ALL),
            eth1,
            nominated(eth3, &[Family::Inet]),
            unusable(eth4, up, failed, InterfaceState::Failed),
            eth5,
            unusable(eth6, LinkState::Down, disabled, InterfaceState::Failed),
            unusable(eth7, up, disabled, InterfaceState::Offline),
            eth9,
        ],
        groups: vec![
            group("", GroupState::Ok, 10_000, [&["eth9"], &[], &[]]),
            group("web", GroupState::Ok, 10_000, [&["eth1", "eth0"], &[], &[]]),
            group(
                "store",
                GroupState::Degraded,
                2_500,
                [&["eth3"], &["eth5"], &["eth4"]],
            ),
            group("mgmt", GroupState::Failed, 0, [&[], &[], &["eth7", "eth6"]]),
        ],
        local_mac_address: true,
        ..Snapshot::default()
    }
}

fn ipmpstat(snapshot: Snapshot, line: &str, rows: Option<usize>) -> String {
    let mut terminal = Staged {
        rows: rows.into_iter().collect(),
        waits: 0,
    };
    on(&mut terminal, snapshot, line)
}

fn on(terminal: &mut Staged, snapshot: Snapshot, line: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let etc = Etc::below(root.path());
    std::fs::create_dir(etc.directory()).unwrap();
    std::fs::write(etc.path("hosts"), "198.51.100.20 www\n").unwrap();
    let mut daemon = Recorded::showing(snapshot);
    transcript(&mut daemon, &etc, line, |words, environment, console| {
        run(words, terminal, environment, console)
    })
}

/// What each command line prints, one after the other.
fn transcript_of(lines: &[&str], host: fn() -> Snapshot) -> String {
    let mut text = String::new();
    for line in lines {
        let printed = ipmpstat(host(), line, None);
        let _ = writeln!(text, "$ ipmpstat {line}\n{printed}");
    }
    text
}

#[test]
fn modes() {
    let lines = ["-g", "-a", "-an", "-i", "-nt"];
    assert_snapshot!(transcript_of(&lines, host));
}

#[test]
fn labs() {
    assert_snapshot!("lab1", transcript_of(&["-g", "-an", "-i", "-nt"], lab1));
    assert_snapshot!(
        "lab1_after_ge1_failed",
        transcript_of(&["-g", "-an", "-i", "-nt"], lab1_failed)
    );
}

#[test]
fn json() {
    let lines = ["--json -g", "--json -a", "-i --json", "-t --json"];
    assert_snapshot!(transcript_of(&lines, host));
}

#[test]
fn chosen_fields() {
    assert_snapshot!(transcript_of(
        &[
            "-o state,nonsense,group -g",
            "-g -o all",
            "-P -o group,state,fdt,interfaces -g",
            "-nP -o address,inbound -a",
            "-nPoADDRESS -a",
        ],
        host
    ));
}

#[test]
fn usage() {
    assert_snapshot!(transcript_of(&["--help"], host));
    assert!(USAGE.lines().all(|line| line.len() <= 80));
    for line in [
        "",
        "-n",
        "-g more",
        "-x",
        "-",
        "-g -o",
        "--nonsense -g",
        "--json=x -g",
    ] {
        let printed = ipmpstat(lab1(), line, None);
        assert!(printed.starts_with("2> ipmpstat: "), "{line}");
        assert!(printed.contains("usage: ipmpstat -a|-g"), "{line}");
        assert_eq!(printed.matches("2> ").count(), 1, "{line}");
        assert!(printed.ends_with("exit 1\n"), "{line}");
    }
}

#[test]
fn errors() {
    assert_snapshot!(transcript_of(
        &[
            "-a -g",
            "-gg",
            "-P -g",
            "-P -o all -g",
            "-P -o group,x -g",
            "-o x -g",
            "--json -o group -g",
            "--json -P -g",
            "--watch=0 -g",
            "--watch=nan -g",
            "--watch=x -g",
            "-p",
        ],
        lab1
    ));
}

#[test]
fn without_a_daemon() {
    let etc = Etc::below(std::path::Path::new("/nonexistent"));
    let mut daemon = Recorded::default();
    daemon.is_down = true;
    for line in ["-g", "-g --watch", "-g --json"] {
        let printed = transcript(&mut daemon, &etc, line, |words, environment, console| {
            run(words, &mut Staged::pipe(), environment, console)
        });
        assert_eq!(
            printed,
            "2> ipmpstat: cannot contact in.mpathd(1M) -- is IPMP in use? \
             (start it: systemctl start ipmp, or in.mpathd)\nexit 1\n"
        );
    }
}

#[test]
fn the_header_stands_atop_every_screen() {
    assert_eq!(
        ipmpstat(host(), "-g -o group", Some(3)),
        "GROUP\nmgmt\nstore\nGROUP\nweb\n--\n"
    );
    assert_eq!(
        ipmpstat(host(), "-g -o group", Some(1)),
        "GROUP\nmgmt\nGROUP\nstore\nGROUP\nweb\nGROUP\n--\n"
    );
}

#[test]
fn watched_on_a_terminal_it_fits_whatever_the_size_becomes() {
    let mut terminal = Staged {
        rows: [24, 4].into(),
        waits: 1,
    };
    let clear = "\u{1b}[H\u{1b}[J";
    assert_eq!(
        on(&mut terminal, host(), "-g -o group --watch"),
        format!("{clear}GROUP\nmgmt\nstore\nweb\n--\n{clear}GROUP\nmgmt\n... and 3 more\n")
    );
}

#[test]
fn watched_through_a_pipe_tables_and_documents_follow_each_other() {
    let watched = |line| {
        let mut pipe = Staged {
            waits: 1,
            ..Staged::pipe()
        };
        on(&mut pipe, lab1(), line)
    };
    assert_eq!(
        watched("-g -o group,state --watch=5"),
        "GROUP       STATE\ntestgrp2    ok\n\nGROUP       STATE\ntestgrp2    ok\n"
    );
    assert_eq!(
        watched("-gP -o group,state --watch"),
        "testgrp2:ok\ntestgrp2:ok\n"
    );
    let documents = watched("-g --json --watch");
    assert_eq!(documents.lines().count(), 2);
    for line in documents.lines() {
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(document["version"], 1);
        assert_eq!(document["groups"][0]["group"], "testgrp2");
    }
}
