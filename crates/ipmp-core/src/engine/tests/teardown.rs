//! Everything is put back as it was (`ipmp teardown`).

use std::time::Duration;

use proptest::prelude::*;

use super::host::Host;
use super::labs::lab1;
use super::model;
use crate::command::{Answer, Refusal};
use crate::kernel::{Address, Change, Form, PROTOCOL, Route, TABLE_MAIN, Via};
use crate::random_histories::always_the_same;
use crate::{Command, Kernel};

/// An address that was there before.
pub(super) fn found(host: &Host, nic: &str, address: &str, secondary: bool) -> Address {
    Address {
        index: host.index(nic),
        address: super::host::address(address),
        broadcast: None,
        label: Some(nic.to_owned()),
        protocol: 0,
        deprecated: false,
        secondary,
        no_prefix_route: false,
        duplicate: false,
        dynamic: false,
        form: Form::default(),
    }
}

/// A host with addresses of somebody else's on two NICs, one of which has two and a route; what its
/// kernel holds.
fn configured() -> (Host, Kernel) {
    let mut host = Host::new(&["ge0", "ge1"]);
    let mut second = found(&host, "ge0", "192.168.0.10", true);
    second.form.metric = 50;
    let six = |nic, address| Address {
        label: None,
        ..found(&host, nic, address, false)
    };
    let addresses = [
        found(&host, "ge0", "192.168.0.86", false),
        second,
        found(&host, "ge1", "192.168.0.88", false),
        six("ge0", "fd00::86/64"),
        six("ge1", "fd00::88/64"),
    ];
    host.changes(addresses.map(Change::Address).to_vec());
    let route = Route {
        table: TABLE_MAIN,
        destination: super::host::address("0.0.0.0/0"),
        metric: 0,
        protocol: 3,
        via: Via::Link {
            index: host.index("ge0"),
            gateway: Some("192.168.0.2".parse().unwrap()),
        },
        source: None,
    };
    host.change(Change::Route(route));
    let kernel = host.kernel.clone();
    (host, kernel)
}

/// Puts both NICs into a group, with test addresses.
fn grouped() -> (Host, Kernel) {
    let (mut host, before) = configured();
    for (nic, test) in [("ge0", "192.168.0.87"), ("ge1", "192.168.0.89")] {
        assert_eq!(host.ifconfig(&format!("{nic} group g")), "");
        host.ifconfig(&format!("{nic} addif {test} deprecated -failover up"));
    }
    host.pass(Duration::from_mins(1));
    assert_ne!(host.kernel, before);
    (host, before)
}

pub(super) fn tear_down(host: &mut Host) {
    let id = host.begin(Command::Teardown);
    // The last address of an interface goes a moment after it moved.
    host.pass(Duration::from_secs(1));
    assert_eq!(host.answer(id), Some(Ok(Answer::Done)));
    assert!(host.engine.is_over());
}

/// Fails if anything of ours is left, in the kernel or to be remembered.
fn assert_foreign_only(host: &Host) {
    let kernel = &host.kernel;
    assert!(kernel.addresses.values().all(|a| a.protocol != PROTOCOL));
    assert!(kernel.routes.iter().all(|r| r.protocol != PROTOCOL));
    assert!(kernel.nexthops.values().all(|n| n.protocol != PROTOCOL));
    let saved = host.saved.clone().unwrap_or_default();
    assert_eq!(saved.asked, crate::Asked::default());
    assert!(saved.found.is_empty() && saved.sysctls.is_empty() && saved.nexthops.is_empty());
    assert!(saved.places.is_empty() && saved.shadowed.is_empty() && saved.retired.is_empty());
}

#[test]
fn the_kernel_holds_what_it_held() {
    let (mut host, before) = grouped();
    tear_down(&mut host);
    assert_foreign_only(&host);
    assert_eq!(host.kernel, before);
}

#[test]
fn it_does_so_after_failover_and_failback() {
    for nic in ["ge0", "ge1"] {
        let (mut host, before) = grouped();
        host.carrier(nic, false);
        host.pass(Duration::from_mins(1));
        host.carrier(nic, true);
        host.pass(Duration::from_mins(5));
        tear_down(&mut host);
        assert_foreign_only(&host);
        assert_eq!(host.kernel, before);
    }
}

#[test]
fn addresses_go_home_to_a_nic_that_has_failed() {
    for nic in ["ge0", "ge1"] {
        let (mut host, before) = grouped();
        host.silent.insert(nic.to_owned());
        host.pass(Duration::from_mins(1));
        let other = if nic == "ge0" { "ge1" } else { "ge0" };
        for data in ["192.168.0.86", "192.168.0.88", "fd00::86", "fd00::88"] {
            assert_eq!(host.holders(data), [other], "{data}");
        }
        tear_down(&mut host);
        assert_eq!(host.kernel, before);
    }
}

/// The group, the kernel before there was one, and a route of others that went with a failure.
fn without_a_route() -> (Host, Kernel, Route) {
    let (mut host, before) = grouped();
    let route = before.routes.iter().next().unwrap().clone();
    host.carrier("ge0", false);
    // The last address leaves, and the kernel drops the routes of the link.
    host.change(Change::RouteGone(route.clone()));
    host.pass(Duration::from_mins(1));
    host.carrier("ge0", true);
    host.pass(Duration::from_mins(5));
    (host, before, route)
}

#[test]
fn a_route_of_others_that_went_with_its_addresses_is_put_back() {
    let (mut host, before, route) = without_a_route();
    assert!(!host.kernel.routes.contains(&route));
    host.operations.clear();
    tear_down(&mut host);
    assert_eq!(host.kernel, before);
    let put_back = host
        .operations
        .iter()
        .position(|o| o == "add route 0.0.0.0/0");
    let taken = host
        .operations
        .iter()
        .position(|o| o == "remove route 0.0.0.0/0");
    assert!(put_back.unwrap() < taken.unwrap(), "{:?}", host.operations);
}

#[test]
fn a_route_of_others_comes_back_when_its_nic_leaves_its_group() {
    for order in [["ge0", "ge1"], ["ge1", "ge0"]] {
        let (mut host, _, route) = without_a_route();
        for nic in order {
            assert_eq!(host.ifconfig(&format!("{nic} group none")), "");
            host.pass(Duration::from_secs(1));
        }
        assert!(host.kernel.routes.contains(&route), "{order:?}");
        // It is somebody else's again.
        host.change(Change::RouteGone(route.clone()));
        host.pass(Duration::from_mins(1));
        assert!(!host.kernel.routes.contains(&route), "{order:?}");
        assert!(host.saved.clone().unwrap_or_default().shadowed.is_empty());
    }
}

/// Another route of that table leads to its gateway, through a gateway, which counts for nothing.
#[test]
fn a_route_of_another_table_comes_back_when_its_nic_leaves_its_group() {
    let (mut host, before) = grouped();
    let main = before.routes.first().unwrap();
    let [wide, all] = ["192.0.0.0/8", "0.0.0.0/0"].map(|destination| Route {
        table: 100,
        destination: super::host::address(destination),
        ..main.clone()
    });
    host.changes(
        [&wide, &all]
            .map(|route| Change::Route(route.clone()))
            .into(),
    );
    host.carrier("ge0", false);
    host.change(Change::RouteGone(all.clone()));
    host.pass(Duration::from_mins(1));
    host.carrier("ge0", true);
    host.pass(Duration::from_mins(5));
    assert!(!host.kernel.routes.contains(&all));
    for nic in ["ge0", "ge1"] {
        assert_eq!(host.ifconfig(&format!("{nic} group none")), "");
        host.pass(Duration::from_secs(1));
    }
    assert!(host.kernel.routes.contains(&all));
    assert!(host.kernel.routes.contains(&wide));
}

#[test]
fn what_is_owed_to_a_nic_that_is_unplumbed_is_forgotten() {
    let (mut host, _, route) = without_a_route();
    host.carrier("ge0", false);
    host.pass(Duration::from_mins(1));
    for line in ["ge0 unplumb", "ge0 inet6 unplumb"] {
        assert_eq!(host.ifconfig(line), "");
        host.pass(Duration::from_secs(1));
    }
    assert!(!host.kernel.routes.contains(&route));
    let saved = host.saved.clone().unwrap_or_default();
    assert!(
        saved
            .shadowed
            .iter()
            .all(|(name, _)| name.as_str() != "ge0")
    );
}

#[test]
fn a_route_through_a_nic_that_has_failed_is_put_back_when_ours_are_gone() {
    let (mut host, before) = configured();
    for nic in ["ge0", "ge1"] {
        assert_eq!(host.ifconfig(&format!("{nic} group g")), "");
    }
    let route = before.routes.iter().next().unwrap().clone();
    host.carrier("ge0", false);
    host.change(Change::RouteGone(route));
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.86"), ["ge1"]);
    tear_down(&mut host);
    assert_foreign_only(&host);
    assert_eq!(host.kernel.routes, before.routes);
    assert!(!host.logged("add route 0.0.0.0/0"));
}

#[test]
fn a_route_of_ours_that_the_kernel_never_took_does_not_keep_the_group() {
    for refused in ["add route 0.0.0.0/0", "set nexthop"] {
        let (mut host, before) = configured();
        host.refused.push(refused.to_owned());
        for nic in ["ge0", "ge1"] {
            host.ifconfig(&format!("{nic} group g"));
            // What a command may not begin with, it meets later.
            host.refused.clear();
            host.ifconfig(&format!("{nic} group g"));
            host.refused.push(refused.to_owned());
        }
        host.carrier("ge1", false);
        host.pass(Duration::from_mins(1));
        host.carrier("ge1", true);
        host.pass(Duration::from_mins(5));
        tear_down(&mut host);
        assert_foreign_only(&host);
        assert_eq!(host.kernel.addresses, before.addresses, "{refused}");
    }
}

#[test]
fn a_route_that_the_kernel_does_not_take_is_passed_over() {
    let (mut host, ..) = without_a_route();
    host.refused.push("add route 0.0.0.0/0".to_owned());
    tear_down(&mut host);
    assert_foreign_only(&host);
    assert!(host.logged("add route 0.0.0.0/0"));
}

#[test]
fn typed_data_addresses_stay_as_plain_ones_and_test_addresses_go() {
    let mut host = lab1();
    tear_down(&mut host);
    assert_foreign_only(&host);
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    for test in ["192.168.0.87", "192.168.0.89"] {
        assert!(host.holders(test).is_empty(), "{test}");
    }
    for address in host.kernel.addresses.values() {
        assert_eq!(address.protocol, 0);
        assert!(!address.no_prefix_route && !address.secondary);
    }
}

#[test]
fn without_data_addresses_the_host_keeps_its_test_addresses() {
    let mut host = Host::new(&["ge0", "ge1"]);
    for (nic, test) in [("ge0", "192.168.0.87"), ("ge1", "192.168.0.89")] {
        host.ifconfig(&format!(
            "{nic} plumb {test} deprecated -failover group g up"
        ));
    }
    tear_down(&mut host);
    assert_foreign_only(&host);
    assert_eq!(host.holders("192.168.0.87"), ["ge0"]);
}

#[test]
fn an_address_whose_nic_is_not_there_stays_where_it_is() {
    let mut host = lab1();
    host.unplug("ge1");
    host.pass(Duration::from_mins(1));
    tear_down(&mut host);
    assert_foreign_only(&host);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
}

#[test]
fn an_address_is_served_after_every_operation() {
    let (mut host, _) = grouped();
    host.carrier("ge0", false);
    host.pass(Duration::from_mins(1));
    host.carrier("ge0", true);
    host.pass(Duration::from_mins(5));
    let held = model::data_held(&host);
    for after in 0.. {
        host.killed_after = Some(after);
        let id = host.begin(Command::Teardown);
        host.pass(Duration::from_secs(1));
        model::assert_held(&host, &held);
        if host.answer(id).is_some() {
            assert!(after > 10, "{after} operations");
            break;
        }
        host.restart();
        host.pass(Duration::from_mins(1));
    }
    assert_foreign_only(&host);
}

#[test]
fn where_there_is_nothing_of_ours_nothing_is_done() {
    let (mut host, before) = configured();
    assert_eq!(host.ask(Command::Teardown), Ok(Answer::AlreadyExists));
    assert!(host.engine.is_over());
    assert_eq!(host.kernel, before);
    let (mut host, _) = grouped();
    tear_down(&mut host);
    host.restart();
    assert_eq!(host.ask(Command::Teardown), Ok(Answer::AlreadyExists));
}

#[test]
fn what_the_kernel_refuses_leaves_everything_as_it_was() {
    let (mut host, before) = grouped();
    host.refused.push("remove address 192.168.0.87".to_owned());
    let asked = host.saved.clone();
    assert!(matches!(
        host.ask(Command::Teardown),
        Err(Refusal::Kernel(..))
    ));
    assert!(!host.engine.is_over());
    host.refused.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(
        host.saved.as_ref().map(|s| &s.asked),
        asked.as_ref().map(|s| &s.asked)
    );
    assert_eq!(host.holders("192.168.0.87"), ["ge0"]);
    tear_down(&mut host);
    assert_eq!(host.kernel, before);
}

/// What was tried before, and is tried again now, is the command's as well.
#[test]
fn what_the_kernel_refused_before_and_refuses_again_ends_it() {
    let (mut host, before) = grouped();
    let route = before.routes.iter().next().unwrap().clone();
    // With its nexthop the route would go too.
    host.refused = vec!["remove route 0.0.0.0/0".into(), "remove nexthop".into()];
    host.change(Change::RouteGone(route));
    host.pass(Duration::from_secs(1));
    // The kernel refuses nothing but what it has refused.
    let failing = host.engine.failures.known().into_iter();
    host.refused = failing.map(|operation| operation.to_string()).collect();
    assert!(host.refused.len() > 1, "{:?}", host.refused);
    assert!(matches!(
        host.ask(Command::Teardown),
        Err(Refusal::Kernel(..))
    ));
    host.refused.clear();
    tear_down(&mut host);
    assert_foreign_only(&host);
}

proptest! {
    #![proptest_config(always_the_same(1))]

    #[test]
    fn it_ends_from_every_state(
        count in 2..=4_usize,
        standby_last: bool,
        with_tests: bool,
        with_inet6: bool,
        steps in prop::collection::vec(model::step(), 0..20),
        killed_after in prop::option::of(0..40_usize),
    ) {
        let mut host = model::set_up(count, standby_last, with_tests, with_inet6);
        for step in &steps {
            model::take(&mut host, step);
        }
        model::mend(&mut host);
        let held = model::data_held(&host);
        host.killed_after = killed_after;
        let id = host.begin(Command::Teardown);
        host.pass(Duration::from_secs(1));
        model::assert_held(&host, &held);
        if killed_after.is_some() && host.answer(id).is_none() {
            host.restart();
            host.pass(Duration::from_mins(2));
            tear_down(&mut host);
        }
        assert!(host.engine.is_over());
        assert_foreign_only(&host);
        model::assert_held(&host, &held);
    }
}
