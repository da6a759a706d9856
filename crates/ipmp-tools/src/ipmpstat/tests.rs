//! The manual's examples, in the order in which this one sorts them.

use ipmp_core::snapshot::{
    GroupState, Interface, InterfaceState, LinkState, ProbeState, TargetMode,
};
use ipmp_core::{Family, Snapshot};

use super::*;
use crate::etc::Etc;
use crate::recorded::{Recorded, transcript};
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
    }
}

fn ipmpstat(snapshot: Snapshot, line: &str, rows: Option<usize>) -> String {
    let root = tempfile::tempdir().unwrap();
    let etc = Etc::below(root.path());
    std::fs::create_dir(etc.directory()).unwrap();
    std::fs::write(etc.path("hosts"), "198.51.100.20 www\n").unwrap();
    let mut daemon = Recorded::showing(snapshot);
    transcript(&mut daemon, &etc, line, |words, environment, console| {
        run(words, rows, environment, console)
    })
}

#[test]
fn groups() {
    let expected = "\
GROUP       GROUPNAME   STATE     FDT       INTERFACES
mgmt        mgmt        failed    --        [eth6 eth7]
store       store       degraded  2.50s     eth3 (eth5) [eth4]
web         web         ok        10.00s    eth0 eth1
--          --          ok        10.00s    eth9
";
    assert_eq!(ipmpstat(host(), "-g", None), expected);
}

#[test]
fn groups_of_lab1() {
    let header = "GROUP       GROUPNAME   STATE     FDT       INTERFACES\n";
    assert_eq!(
        ipmpstat(lab1(), "-g", None),
        format!("{header}testgrp2    testgrp2    ok        10.00s    ge0 ge1\n")
    );
    assert_eq!(
        ipmpstat(lab1_failed(), "-g", None),
        format!("{header}testgrp2    testgrp2    degraded  10.00s    ge0 [ge1]\n")
    );
}

#[test]
fn addresses() {
    let expected = "\
ADDRESS                   STATE  GROUP       INBOUND     OUTBOUND
192.0.2.77                up     mgmt        --          --
198.51.100.20             up     web         eth1        eth0 eth1
198.51.100.21             up     web         eth0        eth0 eth1
203.0.113.9               up     store       eth3        eth3
203.0.113.10              down   store       --          --
2001:db8:40::20           up     web         eth0        eth0 eth1
";
    assert_eq!(ipmpstat(host(), "-an", None), expected);
    let named = ipmpstat(host(), "-a", None);
    assert!(named.contains("\nwww                       up     web "));
}

#[test]
fn interfaces() {
    let expected = "\
INTERFACE   ACTIVE  GROUP       FLAGS     LINK      PROBE     STATE
eth0        yes     web         --mbM--   up        ok        ok
eth1        yes     web         -------   up        ok        ok
eth3        yes     store       --mb---   up        ok        ok
eth4        no      store       -------   up        failed    failed
eth5        no      store       is-----   up        ok        ok
eth6        no      mgmt        -------   down      disabled  failed
eth7        no      mgmt        -----d-   up        disabled  offline
eth9        yes     --          -------   up        unknown   unknown
";
    assert_eq!(ipmpstat(host(), "-i", None), expected);
}

#[test]
fn targets() {
    let expected = "\
INTERFACE   MODE      TESTADDR            TARGETS
eth0        routes    198.51.100.11       198.51.100.1 198.51.100.2
eth0        multicast fe80::5054:ff:fe00:a fe80::5054:ff:fe00:c1 fe80::5054:ff:fe00:b7
eth1        routes    198.51.100.12       198.51.100.2 198.51.100.1
eth3        disabled  --                  --
eth4        routes    203.0.113.4         203.0.113.1
";
    assert!(ipmpstat(host(), "-nt", None).starts_with(expected));
    assert!(
        ipmpstat(host(), "-nt", None).contains("\neth7        disabled  --                  --\n")
    );
}

#[test]
fn for_programs() {
    assert_eq!(
        ipmpstat(host(), "-P -o group,state,fdt,interfaces -g", None),
        "mgmt:failed::[eth6 eth7]\nstore:degraded:2.50s:eth3 (eth5) [eth4]\n\
         web:ok:10.00s:eth0 eth1\n:ok:10.00s:eth9\n"
    );
    let lines = ipmpstat(host(), "-nP -o address,inbound -a", None);
    assert!(lines.ends_with("\n2001\\:db8\\:40\\:\\:20:eth0\n"));
    let lines = ipmpstat(host(), "-nPoADDRESS -a", None);
    assert!(lines.ends_with("\n2001:db8:40::20\n"));
}

#[test]
fn chosen_fields() {
    assert_eq!(
        ipmpstat(lab1(), "-o state,nonsense,group -g", None),
        "STATE     GROUP\nok        testgrp2\n\
         2> ipmpstat: ignoring unknown output field: 'nonsense'\n"
    );
    assert_eq!(
        ipmpstat(lab1(), "-g -o all", None),
        ipmpstat(lab1(), "-g", None)
    );
}

#[test]
fn the_header_stands_atop_every_screen() {
    assert_eq!(
        ipmpstat(host(), "-g -o group", Some(3)),
        "GROUP\nmgmt\nstore\nGROUP\nweb\n--\n"
    );
}

#[test]
fn errors() {
    for (line, text) in [
        ("-a -g", "only one output format may be specified"),
        ("-gg", "only one output format may be specified"),
        ("-P -g", "-P: the output fields must be named with -o"),
        (
            "-P -o all -g",
            "-P: the output fields must be named, not 'all'",
        ),
        ("-P -o group,x -g", "unknown output field: 'x'"),
        ("-p", "-p: probes cannot be watched in this version"),
    ] {
        let printed = ipmpstat(lab1(), line, None);
        assert_eq!(printed, format!("2> ipmpstat: {text}\nexit 1\n"), "{line}");
    }
    assert_eq!(
        ipmpstat(lab1(), "-o x -g", None),
        "2> ipmpstat: ignoring unknown output field: 'x'\n\
         2> ipmpstat: no valid output fields\nexit 1\n"
    );
    for line in ["", "-n", "-g more", "-x", "-", "-g -o"] {
        let printed = ipmpstat(lab1(), line, None);
        assert!(printed.starts_with("2> usage: ipmpstat"), "{line}");
        assert!(printed.ends_with("exit 1\n"), "{line}");
    }
    assert!(USAGE.lines().all(|line| line.len() <= 80));
}

#[test]
fn without_a_daemon() {
    let etc = Etc::below(std::path::Path::new("/nonexistent"));
    let mut daemon = Recorded::default();
    daemon.is_down = true;
    let printed = transcript(&mut daemon, &etc, "-g", |words, environment, console| {
        run(words, None, environment, console)
    });
    assert_eq!(
        printed,
        "2> ipmpstat: cannot contact in.mpathd(1M) -- is IPMP in use?\nexit 1\n"
    );
}
