//! The kernel refuses: commands hear of it, everything else is tried again, and nothing spins.

use std::time::Duration;

use super::host::{Host, address, plumb_one_for_both_families};
use super::labs::{LAB1, lab1};
use crate::kernel::{Address, Change, TABLE_MAIN};
use crate::reference;

#[test]
fn an_address_that_a_link_refuses_goes_to_another_member() {
    let mut host = Host::new(&["ge0", "ge1", "ge2"]);
    for (i, nic) in ["ge0", "ge1", "ge2"].into_iter().enumerate() {
        host.ifconfig(&format!("{nic} plumb 192.168.0.{} group g up", 10 + i));
    }
    host.pass(Duration::from_mins(1));
    let on_ge1 = format!("on link {}", host.index("ge1"));
    host.refused = vec![format!("add address 192.168.0.10/24 {on_ge1}")];
    host.carrier("ge0", false);
    assert_eq!(host.holders("192.168.0.10"), ["ge2"]);
    // What it holds, it keeps; and it says why it does not hold the other one.
    assert_eq!(host.holders("192.168.0.11"), ["ge1"]);
    let refused = |host: &Host, nic: &str| {
        let snapshot = host.engine.snapshot();
        let mut interfaces = snapshot.interfaces.into_iter();
        interfaces.find(|i| i.name.as_str() == nic).unwrap().refused
    };
    let said = refused(&host, "ge1");
    assert_eq!(said.as_deref(), Some("cannot add 192.168.0.10: refused"));
    assert_eq!(refused(&host, "ge2"), None);

    // Nobody takes it: it stays where it is in the kernel, and nothing spins.
    host.refused = vec!["add address 192.168.0.10/24".to_owned()];
    host.carrier("ge2", false);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.10"), ["ge2"]);
    assert_eq!(host.holders("192.168.0.12"), ["ge1"]);
    let tried = host.operations.len();
    host.pass(Duration::from_mins(1));
    assert!(host.operations.len() < tried + 20);
    // All is well again.
    host.refused.clear();
    host.pass(Duration::from_mins(6));
    assert_eq!(host.holders("192.168.0.10"), ["ge1"]);
    assert_eq!(refused(&host, "ge1"), None);
    host.carrier("ge0", true);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.10"), ["ge0"]);
}

/// Its link has failed and the other one refused it, so it waits where it is of no use. Where another hand
/// puts it, it is served.
#[test]
fn an_address_stays_where_another_hand_puts_it_though_that_link_had_refused_it() {
    let mut host = Host::new(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb 192.168.0.10 group g up");
    host.ifconfig("ge1 plumb 192.168.0.11 group g up");
    host.pass(Duration::from_mins(1));
    host.refused = vec!["add address 192.168.0.10/24".to_owned()];
    host.carrier("ge0", false);
    // Repaired, and failed again while the other one is passed over.
    host.carrier("ge0", true);
    host.pass(Duration::from_secs(15));
    host.carrier("ge0", false);
    assert_eq!(host.holders("192.168.0.10"), ["ge0"]);

    let at_home = host.kernel.addresses_on(host.index("ge0")).next().unwrap();
    let by_hand = Address {
        index: host.index("ge1"),
        label: None,
        protocol: 0,
        ..at_home.clone()
    };
    host.by_hand(|kernel| reference::add_address(kernel, by_hand).unwrap());
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.10"), ["ge1"]);
    host.refused.clear();
    host.carrier("ge0", true);
    host.pass(Duration::from_mins(5));
    assert_eq!(host.holders("192.168.0.10"), ["ge0"]);
}

/// The same where its link has failed and no other member is plumbed for its family.
#[test]
fn an_address_stays_where_another_hand_puts_it_though_that_member_is_not_plumbed_for_its_family() {
    for prefix in [64, 128] {
        for failback in [true, false] {
            let mut host = Host::new(&["ge0", "ge1"]);
            host.failback(failback);
            plumb_one_for_both_families(&mut host);
            host.carrier("ge0", false);
            host.pass(Duration::from_secs(1));
            assert_eq!(host.holders("2001:db8::10"), ["ge0"]);

            let mut addresses = host.kernel.addresses_on(host.index("ge0"));
            let is_it = |there: &&Address| there.address.ip.to_string() == "2001:db8::10";
            let mut by_hand = addresses.find(is_it).unwrap().clone();
            drop(addresses);
            by_hand.index = host.index("ge1");
            by_hand.address.prefix = prefix;
            by_hand.protocol = 0;
            host.log.clear();
            host.by_hand(|kernel| reference::add_address(kernel, by_hand).unwrap());
            host.pass(Duration::from_mins(1));
            assert_eq!(host.lost, [""; 0]);
            assert_eq!(host.holders("2001:db8::10"), ["ge1"]);
            assert!(host.logged("Successfully failed over from NIC ge0 to NIC ge1"));
            // What is sent to it is answered.
            let subnet = address("2001:db8::/64");
            assert_eq!(host.kernel.routes_to(TABLE_MAIN, subnet).count(), 1);
            host.restart();
            host.pass(Duration::from_mins(1));
            assert_eq!(host.holders("2001:db8::10"), ["ge1"]);

            host.carrier("ge0", true);
            host.pass(Duration::from_mins(5));
            assert_eq!(host.holders("2001:db8::10"), ["ge0"]);
            assert_eq!(host.lost, [""; 0]);
        }
    }
}

#[test]
fn a_refused_command_changes_nothing_however_often_it_is_typed() {
    let mut host = lab1();
    host.refused.push("192.168.0.90".to_owned());
    for _ in 0..3 {
        assert_eq!(host.ifconfig("ge0 addif 192.168.0.90"), "ge0:2");
        assert_eq!(host.ifconfig("ge0:2 up"), "up: refused");
        assert_eq!(host.ifconfig("ge0 removeif 192.168.0.90"), "");
    }
    assert_eq!(host.list(), LAB1);
    host.operations.clear();
    host.pass(Duration::from_hours(1));
    assert_eq!(host.operations, [""; 0]);
}

#[test]
fn a_failed_operation_is_tried_again_with_pauses_and_holds_up_nothing() {
    let mut host = lab1();
    host.refused
        .push("add address 192.168.0.88/24 on link 2".to_owned());
    host.log.clear();
    host.carrier("ge1", false);
    assert_eq!(
        host.holders("192.168.0.88"),
        ["ge1"],
        "not taken away before it is elsewhere"
    );
    host.pass(Duration::from_mins(1));
    let tries = host
        .operations
        .iter()
        .filter(|o| o.starts_with("add address 192.168.0.88"))
        .count();
    assert!((5..=30).contains(&tries), "{tries} tries");
    let complaints = host
        .log
        .iter()
        .filter(|line| *line == "Cannot add address 192.168.0.88/24 on ge0: refused")
        .count();
    assert_eq!(complaints, 1, "{:?}", host.log);
    assert!(!host.logged("Successfully failed over"));

    // Something else goes its way meanwhile.
    assert_eq!(host.ifconfig("ge0 addif 192.168.0.90 up"), "ge0:3");
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);

    host.refused.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    assert!(host.logged("Successfully failed over from NIC ge1 to NIC ge0"));
}

/// A link that is taken away loses its addresses first, and that is told first. So it is with a VLAN or a bridge that
/// is deleted.
#[test]
fn what_a_link_refuses_that_is_on_its_way_out_is_not_told() {
    let mut host = lab1();
    host.log.clear();
    let ge1 = host.index("ge1");
    let test = address("192.168.0.89/24");
    host.refused = vec![format!("on link {ge1}")];
    host.meanwhile.push_back(|host| host.unplug("ge1"));
    host.change(Change::AddressGone(ge1, test));
    assert!(
        host.operations
            .iter()
            .any(|operation| operation.starts_with("add address 192.168.0.89/24"))
    );
    assert!(host.logged("Interface ge1 has been removed from kernel"));
    assert!(!host.logged("Cannot"), "{:?}", host.log);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);

    host.refused.clear();
    host.plug("ge1");
    host.pass(Duration::from_mins(1));
    assert_eq!(host.list(), LAB1);
}

/// From the next plan on, the kernel accepts what it has refused.
fn accepts_what_it_has_refused(host: &mut Host) {
    let refused = &host.refused;
    let has_refused = |operation: &String| refused.iter().any(|what| operation.contains(what));
    if host.operations.iter().any(has_refused) {
        host.refused.clear();
    } else {
        host.meanwhile.push_back(accepts_what_it_has_refused);
    }
}

/// With a link go the nexthops, addresses and routes that others need, and the kernel tells of some of them before it
/// tells of the link, of others not at all.
#[test]
fn a_route_is_told_to_be_refused_if_it_is_again() {
    for what in ["add route 192.168.0.0/24", "replace route", "set nexthop"] {
        for lasts in [false, true] {
            let mut host = lab1();
            host.log.clear();
            host.operations.clear();
            host.refused = vec![what.to_owned()];
            if !lasts {
                host.meanwhile.push_back(accepts_what_it_has_refused);
            }
            host.carrier("ge1", false);
            host.carrier("ge0", false);
            host.carrier("ge1", true);
            host.pass(Duration::from_mins(5));
            assert_eq!(host.refused.is_empty(), !lasts, "{what} is asked for");
            let told = format!("Cannot {what}");
            assert_eq!(host.logged(&told), lasts, "{what}: {:?}", host.log);
        }
    }
}

#[test]
fn what_failed_and_is_not_wanted_any_more_is_forgotten() {
    let mut host = lab1();
    host.refused.push("set nexthop".to_owned());
    host.carrier("ge1", false);
    host.carrier("ge1", true);
    host.carrier("ge1", false);
    host.refused.clear();
    host.pass(Duration::from_mins(1));
    host.operations.clear();
    // Would not return if a deadline stayed in the past.
    host.pass(Duration::from_hours(1));
    assert_eq!(host.operations, [""; 0]);
}

#[test]
fn a_device_that_comes_back_under_another_name_first_is_set_up() {
    let mut host = lab1();
    let mut link = host.kernel.link(&"ge1".parse().unwrap()).unwrap().clone();
    host.unplug("ge1");
    link.index = 77;
    link.up = false;
    link.name = "eth7".parse().unwrap();
    host.change(crate::kernel::Change::Link(link.clone()));
    link.name = "ge1".parse().unwrap();
    host.change(crate::kernel::Change::Link(link));
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    assert_eq!(host.list(), LAB1);
}

#[test]
fn leaving_a_group_takes_no_address_along() {
    let mut host = Host::new(&["ge0", "ge1", "ge2"]);
    host.ifconfig("ge0 plumb 192.168.0.86 group g up");
    host.ifconfig("ge1 plumb 192.168.0.88 group g deprecated -failover standby up");
    host.ifconfig("ge2 plumb 192.168.0.90 group g up");
    host.pass(Duration::from_mins(1));
    host.carrier("ge0", false);
    assert_eq!(host.holders("192.168.0.86"), ["ge1"]);
    host.operations.clear();
    assert_eq!(host.ifconfig("ge1 group none"), "");
    assert_eq!(host.holders("192.168.0.86"), ["ge2"]);
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    let lost = host
        .operations
        .iter()
        .any(|o| o.starts_with("add address 192.168.0.88/24"));
    assert!(
        !lost,
        "the kernel took the test address along: {:?}",
        host.operations
    );
    let index = host.index("ge1");
    let kept = crate::kernel::Sysctl::ALL;
    assert!(
        kept.iter()
            .all(|&sysctl| host.kernel.sysctls[&(index, sysctl)] == 0)
    );
}

#[test]
fn an_address_of_ours_elsewhere_is_somebody_elses() {
    let mut host = lab1();
    let lo = host.index("lo");
    let vip = crate::kernel::Address {
        index: lo,
        address: crate::InterfaceAddress::new("192.168.0.88".parse().unwrap(), 32),
        broadcast: None,
        label: Some("lo".to_owned()),
        protocol: 0,
        deprecated: false,
        secondary: false,
        no_prefix_route: false,
        duplicate: false,
        dynamic: false,
        form: crate::kernel::Form::default(),
    };
    host.operations.clear();
    host.change(crate::kernel::Change::Address(vip));
    host.pass(Duration::from_mins(1));
    assert_eq!(host.operations, [""; 0]);
}
