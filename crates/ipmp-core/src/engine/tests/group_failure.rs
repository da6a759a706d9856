//! Whole groups that fail and return: whatever ails each interface and in whatever order they go and
//! come, all data addresses are served as soon as one of them works.

use std::time::Duration;

use super::host::{Host, plumb_one_for_both_families};
use crate::kernel::Change;

const NAMES: [&str; 3] = ["ge0", "ge1", "ge2"];

/// Longer than a silence takes to be found.
const FOUND: Duration = Duration::from_secs(20);

/// Longer than a repair takes to be found by probes.
const REPAIRED: Duration = Duration::from_secs(30);

/// A group whose interfaces have a data and a test address each, but the last only the latter if it is a
/// standby. And its data addresses.
fn group(count: usize, standby: bool) -> (Host, Vec<String>) {
    let names = &NAMES[..count];
    let mut host = Host::new(names);
    let mut data = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let test = format!("192.168.0.{}", 100 + i);
        if standby && i + 1 == count {
            host.ifconfig(&format!(
                "{name} plumb {test} group g deprecated -failover standby up"
            ));
        } else {
            let ip = format!("192.168.0.{}", 10 + i);
            host.ifconfig(&format!("{name} plumb {ip} group g up"));
            host.ifconfig(&format!("{name} addif {test} deprecated -failover up"));
            data.push(ip);
        }
    }
    host.pass(Duration::from_mins(1));
    (host, data)
}

/// All orders of so many.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    shorter
        .iter()
        .flat_map(|order| {
            (0..count).map(|at| {
                let mut order = order.clone();
                order.insert(at, count - 1);
                order
            })
        })
        .collect()
}

fn assert_served(host: &Host, data: &[String], working: &[usize], history: &str) {
    if working.is_empty() {
        return;
    }
    for ip in data {
        let holders = host.holders(ip);
        assert_eq!(holders.len(), 1, "{history}: {ip} is on {holders:?}");
        assert!(
            working.iter().any(|&i| holders[0] == NAMES[i]),
            "{history}: {ip} is on {holders:?}"
        );
    }
}

/// Each interface's cable is pulled or its probes are swallowed, in one order, and all is mended in
/// another.
fn every_order(count: usize, standby: bool) {
    for is_pulled in 0..1_usize << count {
        let pulled = |i: usize| is_pulled & (1 << i) != 0;
        for going in &orders(count) {
            for coming in orders(count) {
                let history = format!("pulled {is_pulled:#b}, fail {going:?}, return {coming:?}");
                let (mut host, data) = group(count, standby);
                let mut working: Vec<usize> = (0..count).collect();
                assert_served(&host, &data, &working, &history);
                for &i in going {
                    if pulled(i) {
                        host.carrier(NAMES[i], false);
                    } else {
                        host.silent.insert(NAMES[i].to_owned());
                    }
                    host.pass(FOUND);
                    working.retain(|&working| working != i);
                    assert_served(&host, &data, &working, &history);
                }
                for i in coming {
                    if pulled(i) {
                        host.carrier(NAMES[i], true);
                    } else {
                        host.silent.remove(NAMES[i]);
                    }
                    host.pass(REPAIRED);
                    working.push(i);
                    assert_served(&host, &data, &working, &history);
                }
            }
        }
    }
}

#[test]
fn two_interfaces_fail_and_return_in_every_order() {
    every_order(2, false);
}

#[test]
fn one_interface_and_a_standby_fail_and_return_in_every_order() {
    every_order(2, true);
}

#[test]
fn three_interfaces_fail_and_return_in_every_order() {
    every_order(3, false);
}

#[test]
fn two_interfaces_and_a_standby_fail_and_return_in_every_order() {
    every_order(3, true);
}

/// The original tried again only where the link was up: what was on a member whose link stayed down was
/// dead until that came back, whoever else did.
#[test]
fn member_without_link_is_emptied_when_another_recovers_from_group_failure() {
    let (mut host, data) = group(2, false);
    host.silent.insert("ge0".to_owned());
    host.pass(FOUND);
    host.carrier("ge1", false);
    host.pass(FOUND);
    assert_eq!(host.holders(&data[0]), ["ge1"]);
    assert_eq!(host.holders(&data[1]), ["ge1"]);
    host.silent.clear();
    host.pass(REPAIRED);
    assert_served(&host, &data, &[0], "only ge0 is back");
}

/// The original left a member marked failed that was repaired while no daemon ran, until its link
/// went and came once more.
#[test]
fn link_repaired_while_no_daemon_runs_is_found_repaired() {
    let mut host = Host::new(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb 192.168.0.10 group g up");
    host.ifconfig("ge1 plumb 192.168.0.11 group g up");
    host.pass(Duration::from_mins(1));
    host.carrier("ge1", false);
    host.pass(FOUND);
    assert_eq!(host.holders("192.168.0.11"), ["ge0"]);
    let mut link = host.kernel.links[&host.index("ge1")].clone();
    link.carrier = true;
    host.kernel.apply(Change::Link(link));
    host.restart();
    host.pass(REPAIRED);
    assert_eq!(host.holders("192.168.0.11"), ["ge1"]);
    assert_eq!(host.holders("192.168.0.10"), ["ge0"]);
}

/// Whom it can ask a new daemon finds only after a while, where there is no router.
#[test]
fn who_is_silent_and_cannot_be_asked_yet_is_not_given_its_address_by_a_new_daemon() {
    let mut host = Host::new(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb 192.168.0.10 group g up");
    host.ifconfig("ge1 plumb 192.168.0.11 group g up");
    host.pass(Duration::from_mins(1));
    host.silent.insert("ge0".to_owned());
    host.pass(FOUND);
    assert_eq!(host.holders("192.168.0.10"), ["ge1"]);
    let before = host.operations.len();
    host.restart();
    host.pass(Duration::from_mins(2));
    assert_eq!(host.operations.get(before..), Some(&[][..]));
    host.silent.clear();
    host.pass(REPAIRED);
    assert_eq!(host.holders("192.168.0.10"), ["ge0"]);
}

/// The original left all addresses of an interface where they were if no other member was plumbed for
/// both of its families.
#[test]
fn a_family_that_nobody_else_has_does_not_hold_up_the_other() {
    let mut host = Host::new(&["ge0", "ge1"]);
    plumb_one_for_both_families(&mut host);
    host.carrier("ge0", false);
    assert_eq!(host.holders("192.168.0.10"), ["ge1"]);
    assert_eq!(host.holders("2001:db8::10"), ["ge0"]);
    host.carrier("ge0", true);
    host.pass(REPAIRED);
    assert_eq!(host.holders("192.168.0.10"), ["ge0"]);
    host.unplug("ge0");
    assert_eq!(host.holders("192.168.0.10"), ["ge1"]);
    host.plug("ge0");
    host.pass(REPAIRED);
    assert_eq!(host.holders("192.168.0.10"), ["ge0"]);
    assert_eq!(host.holders("2001:db8::10"), ["ge0"]);
}
