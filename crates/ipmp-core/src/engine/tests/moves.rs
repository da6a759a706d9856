//! What a move looks like from outside while it is under way.

use std::net::IpAddr;
use std::time::Duration;

use super::host::Host;
use super::labs::{lab1, lab2};
use crate::kernel::{Hop, Sysctl};
use crate::{Command, Family, reference};

/// What an address is called now.
fn placed(host: &Host, ip: &str) -> String {
    let logical = host.engine.with_address(ip.parse().unwrap()).unwrap();
    host.engine.place_of(logical).to_string()
}

fn arp_ignore(host: &Host, nic: &str) -> i32 {
    host.kernel.sysctls[&(host.index(nic), Sysctl::ArpIgnore)]
}

#[test]
fn the_last_address_of_a_working_interface_stays_for_a_moment() {
    for mut host in [lab1(), lab2()] {
        host.ifconfig("ge0 offline");
        // It is in its new place, and for what is under way still in the old one, unseen by ARP.
        let mut holders = host.holders("192.168.0.86");
        holders.sort();
        assert_eq!(holders, ["ge0", "ge1"]);
        assert_eq!(arp_ignore(&host, "ge0"), 8);
        assert_eq!(arp_ignore(&host, "ge1"), 1);
        assert!(
            host.announced
                .iter()
                .any(|said| said.interface.as_str() == "ge1")
        );
        host.pass(Duration::from_millis(199));
        assert_eq!(host.holders("192.168.0.86").len(), 2);
        host.pass(Duration::from_millis(1));
        assert_eq!(host.holders("192.168.0.86"), ["ge1"]);
        assert_eq!(arp_ignore(&host, "ge0"), 1);
        assert!(host.kernel.addresses_on(host.index("ge0")).next().is_none());
    }
}

#[test]
fn put_back_into_service_while_the_last_address_stays() {
    let mut host = lab1();
    host.ifconfig("ge0 offline");
    host.pass(Duration::from_millis(100));
    host.announced.clear();
    host.ifconfig("ge0 online");
    // Neighbours have heard that it is on ge1.
    let told = host.announced.first().unwrap();
    assert_eq!(told.interface.as_str(), "ge0");
    assert_eq!(told.addresses, ["192.168.0.86".parse::<IpAddr>().unwrap()]);
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert_eq!(arp_ignore(&host, "ge0"), 1);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
}

#[test]
fn what_leaves_a_dead_interface_does_not_linger() {
    let mut host = lab1();
    host.ifconfig("ge0 removeif 192.168.0.87");
    host.carrier("ge0", false);
    assert_eq!(host.holders("192.168.0.86"), ["ge1"]);
}

#[test]
fn a_daemon_killed_while_the_last_address_stays_leaves_nothing_behind() {
    let mut host = lab1();
    host.ifconfig("ge0 offline");
    assert_eq!(arp_ignore(&host, "ge0"), 8);
    host.restart();
    host.pass(Duration::from_millis(200));
    assert_eq!(host.holders("192.168.0.86"), ["ge1"]);
    assert_eq!(arp_ignore(&host, "ge0"), 1);
}

#[test]
fn no_route_takes_a_test_address_for_its_source() {
    for (mut host, last) in [(lab1(), "ge1"), (lab2(), "ge0")] {
        assert_eq!(host.bad_sources.len(), 0);
        for silent in [false, true] {
            for nic in ["ge0", last] {
                if silent {
                    host.silent.insert(nic.to_owned());
                } else {
                    host.carrier(nic, false);
                }
                host.pass(Duration::from_mins(1));
                host.silent.clear();
                host.carrier(nic, true);
                host.pass(Duration::from_mins(2));
                assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
            }
        }
        host.ifconfig("ge0 offline");
        host.pass(Duration::from_secs(1));
        host.ifconfig("ge0 online");
        assert_eq!(host.bad_sources.len(), 0, "{:?}", host.bad_sources);
    }
}

#[test]
fn an_address_is_made_on_its_own_interface_whatever_that_is_good_for() {
    // One out of service has none of its own up.
    let out_of_service: &[&str] = &[];
    for (unfit, on) in [
        ("-", &["ge1"][..]),
        ("ge1 standby", &["ge1"][..]),
        ("ge1 offline", out_of_service),
    ] {
        let mut host = Host::new(&["ge0", "ge1"]);
        host.ifconfig("ge0 plumb 192.168.0.86 group g up");
        if unfit == "-" {
            host.carrier("ge1", false);
            assert_eq!(host.ifconfig("ge1 plumb 192.168.0.88 group g up"), "");
            assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
        } else {
            host.ifconfig("ge1 plumb group g");
            host.ifconfig(unfit);
        }
        // A test address is none until two words later.
        let line = "ge1 addif 192.168.0.89 deprecated -failover up";
        assert_eq!(host.ifconfig(line), "ge1:1", "{unfit}");
        assert_eq!(host.holders("192.168.0.89"), on, "{unfit}");
        // What is to be reached goes where it is.
        host.ifconfig("ge1 addif 192.168.0.90 up");
        assert_eq!(host.holders("192.168.0.90"), ["ge0"], "{unfit}");
    }
}

#[test]
fn what_is_not_up_keeps_no_interface_in_service() {
    for line in ["ge1 addif 192.168.0.90", "ge1 down"] {
        let mut host = lab1();
        host.ifconfig(line);
        assert_eq!(host.ifconfig("ge1 offline"), "", "{line}");
    }
}

#[test]
fn what_is_brought_up_elsewhere_was_in_service_nowhere() {
    let mut host = lab1();
    host.carrier("ge1", false);
    host.pass(Duration::from_hours(3));
    let before = host.engine.snapshot().outages;
    assert_eq!(before.len(), 1);
    host.ifconfig("ge1 addif 192.168.0.90 up");
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
    assert_eq!(host.engine.snapshot().outages, before);
}

#[test]
fn an_address_that_went_elsewhere_comes_home_as_test_address() {
    let mut host = Host::new(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb 192.168.0.86 group g up");
    host.ifconfig("ge1 plumb 192.168.0.88 group g up");
    host.carrier("ge1", false);
    host.ifconfig("ge1 addif 192.168.0.89 up");
    let there = placed(&host, "192.168.0.89");
    assert_eq!(there, "ge0:2");
    for word in ["deprecated", "-failover"] {
        assert_eq!(host.ifconfig(&format!("{there} {word}")), "");
    }
    assert_eq!(host.holders("192.168.0.89"), ["ge1"]);
    assert_eq!(placed(&host, "192.168.0.89"), "ge1:1");
    assert_eq!(host.lost, [""; 0]);
}

#[test]
fn with_failback_off_a_repaired_interface_waits_with_what_is_added_to_it() {
    let mut host = lab1();
    host.failback(false);
    host.carrier("ge1", false);
    host.pass(Duration::from_mins(1));
    host.carrier("ge1", true);
    host.pass(Duration::from_mins(1));
    assert!(host.engine.is_inactive(&"ge1".parse().unwrap()));
    assert_eq!(host.ifconfig("ge1 addif 192.168.0.90 up"), "ge0:3");
    assert!(host.engine.is_inactive(&"ge1".parse().unwrap()));
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
}

#[test]
fn what_is_not_up_is_called_as_before_when_its_device_is_back() {
    let mut host = lab1();
    host.ifconfig("ge1 addif 192.168.0.90");
    host.unplug("ge1");
    host.pass(Duration::from_secs(1));
    host.plug("ge1");
    host.carrier("ge1", false);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.ifconfig("ge1:2 up"), "");
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
}

/// The interfaces that on-link traffic of a family leaves by.
fn ways(host: &Host, family: Family) -> Vec<&str> {
    let hops = host.kernel.nexthops.values();
    let mut ways: Vec<&str> = hops
        .filter_map(|nexthop| match nexthop.hop {
            Hop::Link {
                family: of,
                index,
                gateway: None,
            } if of == family => Some(index),
            _ => None,
        })
        .map(|index| host.kernel.links[&index].name.as_str())
        .collect();
    ways.sort_unstable();
    ways
}

#[test]
fn what_has_no_address_sends_nothing_in_the_name_of_others() {
    let mut host = Host::new(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb 192.168.0.86 group g up");
    host.ifconfig("ge1 plumb 192.168.0.88 group g up");
    host.pass(Duration::from_secs(3));
    assert_eq!(ways(&host, Family::Inet), ["ge0", "ge1"]);
    for (to, expected) in [("ge0", vec!["ge0"]), ("ge1", vec!["ge0", "ge1"])] {
        let address = "192.168.0.88".parse().unwrap();
        let interface = to.parse().unwrap();
        host.ask(Command::Move { address, interface }).unwrap();
        host.pass(Duration::from_secs(3));
        assert_eq!(ways(&host, Family::Inet), expected);
    }
    // A test address is one as well.
    host.ifconfig("ge1 addif 192.168.0.89 deprecated -failover up");
    host.ifconfig("ge1 removeif 192.168.0.88");
    host.pass(Duration::from_secs(3));
    assert_eq!(ways(&host, Family::Inet), ["ge0", "ge1"]);
}

#[test]
fn what_has_no_inet6_sends_none() {
    let mut host = Host::new(&["ge0", "ge1"]);
    for (nic, data) in [("ge0", "fd00::86"), ("ge1", "fd00::88")] {
        host.ifconfig(&format!("{nic} inet6 plumb group g up"));
        host.ifconfig(&format!("{nic} inet6 addif {data}/64 up"));
    }
    host.pass(Duration::from_secs(3));
    assert_eq!(ways(&host, Family::Inet6), ["ge0", "ge1"]);
    let ge1 = host.index("ge1");
    let mtu = |mtu| {
        move |kernel: &mut crate::Kernel| {
            reference::set_link(kernel, ge1, |link| link.mtu = mtu).unwrap()
        }
    };
    host.by_hand(mtu(1000));
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("fd00::88"), ["ge0"]);
    assert_eq!(ways(&host, Family::Inet6), ["ge0"]);
    host.by_hand(mtu(1500));
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("fd00::88"), ["ge1"]);
    assert_eq!(ways(&host, Family::Inet6), ["ge0", "ge1"]);
}

#[test]
fn an_mtu_that_turns_inet6_off_and_on_is_set_and_addresses_follow() {
    let mut host = Host::new(&["ge0", "ge1"]);
    for (nic, data) in [("ge0", "fd00::86"), ("ge1", "fd00::88")] {
        host.ifconfig(&format!("{nic} inet6 plumb group g up"));
        host.ifconfig(&format!("{nic} inet6 addif {data}/64 up"));
    }
    host.pass(Duration::from_secs(3));
    for (mtu, on) in [(1200, "ge0"), (1500, "ge1")] {
        let interface = "ge1".parse().unwrap();
        host.ask(Command::SetMtu { interface, mtu }).unwrap();
        host.pass(Duration::from_secs(1));
        assert_eq!(host.holders("fd00::88"), [on], "{mtu}");
    }
}
