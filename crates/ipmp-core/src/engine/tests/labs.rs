//! The two labs and their neighbourhood, in virtual time.

use std::time::Duration;

use super::host::Host;

const HOUR: Duration = Duration::from_hours(1);

pub(super) fn lab1() -> Host {
    let mut host = Host::new(&["ge0", "ge1"]);
    for line in [
        "ge0 plumb 192.168.0.86 group testgrp2 up",
        "ge0 addif 192.168.0.87 deprecated -failover up",
        "ge1 plumb 192.168.0.88 group testgrp2 up",
        "ge1 addif 192.168.0.89 deprecated -failover up",
    ] {
        host.ifconfig(line);
    }
    host.pass(Duration::from_mins(1));
    host
}

pub(super) fn lab2() -> Host {
    let mut host = Host::new(&["ge0", "ge1"]);
    for line in [
        "ge0 plumb 192.168.0.86 group testgrp2 up",
        "ge0 addif 192.168.0.87 deprecated -failover up",
        "ge1 plumb 192.168.0.88 group testgrp2 deprecated -failover standby up",
    ] {
        host.ifconfig(line);
    }
    host.pass(Duration::from_mins(1));
    host
}

pub(super) const LAB1: &str = "\
ge0 1000843 192.168.0.86
ge0:1 9040843 192.168.0.87
ge1 1000843 192.168.0.88
ge1:1 9040843 192.168.0.89
";

#[test]
fn lab_1_link_failure_and_repair() {
    let mut host = lab1();
    assert_eq!(host.list(), LAB1);

    host.carrier("ge1", false);
    assert_eq!(
        host.list(),
        "ge0 1000843 192.168.0.86\n\
         ge0:1 9040843 192.168.0.87\n\
         ge0:2 1000843 192.168.0.88\n\
         ge1 19000802 0.0.0.0\n\
         ge1:1 19040803 192.168.0.89\n"
    );
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    assert!(host.logged("The link has gone down on ge1"));
    assert!(host.logged("NIC failure detected on ge1 of group testgrp2"));
    assert!(host.logged("Successfully failed over from NIC ge1 to NIC ge0"));

    host.carrier("ge1", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(host.list(), LAB1);
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    assert!(host.logged("The link has come up on ge1"));
    assert!(host.logged("NIC repair detected on ge1 of group testgrp2"));
    assert!(host.logged("Successfully failed back to NIC ge1"));
    assert_source_order(&host);
}

/// No test address stands before a data address of its subnet.
fn assert_source_order(host: &Host) {
    for address in host
        .kernel
        .addresses
        .values()
        .filter(|address| address.deprecated)
    {
        let has_company = host
            .kernel
            .addresses_on(address.index)
            .any(|other| !other.deprecated && other.address.subnet() == address.address.subnet());
        assert!(
            !has_company || address.secondary,
            "{} stands first",
            address.address
        );
    }
}

#[test]
fn lab_1_silent_failure_and_repair() {
    let mut host = lab1();
    host.silent.insert("ge1".into());
    host.pass(Duration::from_secs(10));
    assert_eq!(
        host.list(),
        "ge0 1000843 192.168.0.86\n\
         ge0:1 9040843 192.168.0.87\n\
         ge0:2 1000843 192.168.0.88\n\
         ge1 19000842 0.0.0.0\n\
         ge1:1 19040843 192.168.0.89\n"
    );
    host.silent.clear();
    host.pass(Duration::from_secs(30));
    assert_eq!(host.list(), LAB1);
}

#[test]
fn lab_1_both_cables_out() {
    let mut host = lab1();
    host.carrier("ge1", false);
    host.carrier("ge0", false);
    assert!(host.logged("All Interfaces in group testgrp2 have failed"));
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);

    host.carrier("ge1", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(host.holders("192.168.0.86"), ["ge1"]);
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);

    host.carrier("ge0", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(host.list(), LAB1);
}

#[test]
fn lab_2_standby_takes_over_and_rests_again() {
    let mut host = lab2();
    let idle = "ge0 1000843 192.168.0.86\n\
                ge0:1 9040843 192.168.0.87\n\
                ge1 69040843 192.168.0.88\n";
    assert_eq!(host.list(), idle);
    host.carrier("ge0", false);
    assert_eq!(
        host.list(),
        "ge0 19000802 0.0.0.0\n\
         ge0:1 19040803 192.168.0.87\n\
         ge1 29040843 192.168.0.88\n\
         ge1:1 21000843 192.168.0.86\n"
    );
    host.carrier("ge0", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(host.list(), idle);
}

#[test]
fn lab_2_idle_standby_fails() {
    let mut host = lab2();
    host.operations.clear();
    host.carrier("ge1", false);
    host.pass(Duration::from_secs(5));
    assert!(
        host.list().contains("ge1 39040803 192.168.0.88"),
        "{}",
        host.list()
    );
    assert!(
        !host
            .operations
            .iter()
            .any(|operation| operation.contains("address"))
    );
    host.carrier("ge1", true);
    host.pass(Duration::from_secs(30));
    assert!(
        host.list().contains("ge1 69040843 192.168.0.88"),
        "{}",
        host.list()
    );
}

#[test]
fn without_failback_the_repaired_one_waits() {
    let mut host = lab1();
    host.failback(false);
    host.carrier("ge0", false);
    host.carrier("ge0", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(
        host.list(),
        "ge0 49000842 0.0.0.0\n\
         ge0:1 49040843 192.168.0.87\n\
         ge1 1000843 192.168.0.88\n\
         ge1:1 9040843 192.168.0.89\n\
         ge1:2 1000843 192.168.0.86\n"
    );
    host.carrier("ge1", false);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);

    host.carrier("ge1", true);
    host.failback(true);
    host.pass(Duration::from_secs(30));
    assert_eq!(host.list(), LAB1);
}

#[test]
fn offline_and_online() {
    let mut host = lab1();
    assert_eq!(host.ifconfig("ge1 offline"), "");
    assert_eq!(
        host.list(),
        "ge0 1000843 192.168.0.86\n\
         ge0:1 9040843 192.168.0.87\n\
         ge0:2 1000843 192.168.0.88\n\
         ge1 89000842 0.0.0.0\n\
         ge1:1 89040842 192.168.0.89\n"
    );
    assert_eq!(host.holders("192.168.0.89"), [""; 0]);
    assert!(host.ifconfig("ge1 offline").contains("already offline"));
    assert!(
        host.ifconfig("ge0 offline")
            .contains("no other functioning interface")
    );
    assert_eq!(host.ifconfig("ge1 online"), "");
    assert_eq!(host.list(), LAB1);
    assert!(host.ifconfig("ge1 online").contains("not offline"));
}

#[test]
fn killed_and_restarted_during_a_failure() {
    let mut host = lab1();
    host.carrier("ge1", false);
    let during = host.list();
    host.operations.clear();
    host.announced.clear();
    host.restart();
    // The one that was killed may have had no time to tell.
    host.pass(Duration::from_secs(1));
    let moved = "192.168.0.88".parse().unwrap();
    assert!(host.announced.iter().any(|announcement| {
        announcement.interface.as_str() == "ge0" && announcement.addresses.contains(&moved)
    }));
    host.pass(Duration::from_secs(5));
    assert_eq!(host.list(), during);
    assert_eq!(host.operations, [""; 0]);
    host.carrier("ge1", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(host.list(), LAB1);
}

#[test]
fn an_interface_that_was_missing_gets_its_addresses_when_it_appears() {
    let mut host = Host::new(&["ge0"]);
    host.ifconfig("ge0 plumb 192.168.0.86 group testgrp2 up");
    host.ifconfig("ge1 plumb 192.168.0.88 group testgrp2 up");
    host.ifconfig("ge1 addif 192.168.0.89 -failover deprecated up");
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    assert_eq!(host.holders("192.168.0.89"), [""; 0]);
    host.plug("ge1");
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    assert_eq!(host.holders("192.168.0.89"), ["ge1"]);
}

#[test]
fn unplugged_under_traffic_and_back() {
    let mut host = lab1();
    host.unplug("ge1");
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    let snapshot = host.engine.snapshot();
    assert!(
        snapshot
            .interfaces
            .iter()
            .any(|i| i.name.as_str() == "ge1" && i.tracked)
    );
    host.plug("ge1");
    host.pass(Duration::from_mins(1));
    assert_eq!(host.list(), LAB1);
}

#[test]
fn a_dissolved_group_leaves_no_trace() {
    let mut host = lab1();
    let sysctls_of_members: Vec<_> = host.kernel.sysctls.values().copied().collect();
    assert!(sysctls_of_members.contains(&2));
    assert!(!host.kernel.nexthops.is_empty());
    host.ifconfig("ge0 unplumb");
    host.ifconfig("ge1 unplumb");
    assert!(host.kernel.nexthops.is_empty());
    assert_eq!(host.kernel.routes, [].into());
    assert!(host.kernel.sysctls.values().all(|&value| value == 0));
    assert_eq!(host.kernel.addresses.len(), 1, "127.0.0.1");
    assert_eq!(host.list(), "");
}

#[test]
fn a_quiet_day_plans_nothing() {
    let mut host = lab1();
    host.operations.clear();
    host.log.clear();
    host.pass(HOUR);
    assert_eq!(host.operations, [""; 0]);
    assert_eq!(host.log, [""; 0]);
}

#[test]
fn another_hand_is_not_fought_endlessly() {
    let mut host = lab1();
    host.operations.clear();
    let index = host.index("ge0");
    for _ in 0..100 {
        let key = *host
            .kernel
            .addresses
            .keys()
            .find(|(on, address)| *on == index && address.ip.to_string() == "192.168.0.87")
            .unwrap_or(&(
                0,
                crate::InterfaceAddress::new("0.0.0.0".parse().unwrap(), 0),
            ));
        if key.0 == 0 {
            break;
        }
        host.change(crate::kernel::Change::AddressGone(key.0, key.1));
    }
    let fought = host.operations.len();
    assert!(fought < 40, "{fought} operations");
    assert_eq!(host.holders("192.168.0.87"), [""; 0]);
    host.pass(Duration::from_secs(15));
    assert_eq!(host.holders("192.168.0.87"), ["ge0"]);
}

#[test]
fn without_targets_the_link_decides() {
    let mut host = Host::new(&["ge0", "ge1"]);
    host.silent.extend(["ge0".to_owned(), "ge1".to_owned()]);
    host.ifconfig("ge0 plumb 192.168.0.86 group testgrp2 up");
    host.ifconfig("ge0 addif 192.168.0.87 deprecated -failover up");
    host.ifconfig("ge1 plumb 192.168.0.88 group testgrp2 up");
    host.ifconfig("ge1 addif 192.168.0.89 deprecated -failover up");
    host.pass(Duration::from_mins(1));
    assert_eq!(host.list(), LAB1);
    host.carrier("ge1", false);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    host.carrier("ge1", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(host.list(), LAB1);
}

#[test]
fn an_unplumbed_interface_hands_back_what_nobody_else_can_take() {
    let mut host = lab1();
    host.carrier("ge1", false);
    assert_eq!(host.ifconfig("ge0 unplumb"), "");
    assert_eq!(
        host.list(),
        "ge1 11000803 192.168.0.88\n\
         ge1:1 19040803 192.168.0.89\n"
    );
    host.carrier("ge1", true);
    host.pass(Duration::from_mins(1));
    assert_eq!(
        host.list(),
        "ge1 1000843 192.168.0.88\n\
         ge1:1 9040843 192.168.0.89\n"
    );
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
}
