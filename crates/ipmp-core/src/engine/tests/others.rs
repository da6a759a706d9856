//! What others do on the host: their routes, addresses and devices, and what becomes of ours beside
//! them.

use std::net::IpAddr;
use std::time::Duration;

use super::host::Host;
use super::labs::{LAB1, lab1};
use crate::command::{Answer, Command, Refusal};
use crate::kernel::{Address, Change, Hop, Kernel, Link, PROTOCOL, Route, TABLE_MAIN, Via};
use crate::{Event, InterfaceAddress, InterfaceName, Time};

/// What DHCP clients mark their routes with (`RTPROT_DHCP`).
const DHCP: u8 = 16;

fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

fn subnet(text: &str) -> InterfaceAddress {
    let (ip, prefix) = text.split_once('/').unwrap();
    InterfaceAddress::new(ip.parse().unwrap(), prefix.parse().unwrap())
}

/// A default route of somebody else's.
fn default_route(host: &Host, interface: &str, gateway: &str) -> Route {
    Route {
        table: TABLE_MAIN,
        destination: subnet("0.0.0.0/0"),
        metric: 0,
        protocol: DHCP,
        via: Via::Link {
            index: host.index(interface),
            gateway: Some(gateway.parse().unwrap()),
        },
        source: None,
    }
}

/// The gateway that our default route goes through.
fn our_gateway(host: &Host) -> Option<String> {
    our_gateway_in(host, TABLE_MAIN)
}

fn our_gateway_in(host: &Host, table: u32) -> Option<String> {
    let mut defaults = host.kernel.routes_to(table, subnet("0.0.0.0/0"));
    let ours = defaults.find(|route| route.protocol == PROTOCOL)?;
    let hop = |id: u32| &host.kernel.nexthops[&id].hop;
    let Via::Nexthop(id) = ours.via else {
        return None;
    };
    let first = match hop(id) {
        Hop::Group(members) => hop(members[0]),
        single @ Hop::Link { .. } => single,
    };
    match first {
        Hop::Link { gateway, .. } => gateway.map(|gateway| gateway.to_string()),
        Hop::Group(_) => None,
    }
}

/// All is read anew, after `change` happened without a notification.
fn resync(host: &mut Host, change: impl FnOnce(&mut Kernel)) {
    let mut kernel = host.kernel.clone();
    change(&mut kernel);
    host.change(Change::Resync(kernel));
}

fn foreign(host: &Host, interface: &str, address: &str, label: Option<&str>) -> Address {
    Address {
        index: host.index(interface),
        address: subnet(address),
        broadcast: None,
        label: label.map(str::to_owned),
        protocol: 0,
        deprecated: false,
        secondary: false,
        no_prefix_route: false,
        duplicate: false,
        dynamic: false,
        form: crate::kernel::Form::default(),
    }
}

#[test]
fn a_route_that_was_replaced_unseen_is_replaced_by_ours_too() {
    let mut host = lab1();
    let old = default_route(&host, "ge0", "192.168.0.1");
    let new = default_route(&host, "ge0", "192.168.0.3");
    host.change(Change::Route(old.clone()));
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.1"));
    host.change(Change::Route(new));
    resync(&mut host, |kernel| {
        kernel.routes.retain(|route| *route != old);
    });
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.3"));
}

#[test]
fn a_route_that_was_withdrawn_unseen_goes() {
    let mut host = lab1();
    let route = default_route(&host, "ge0", "192.168.0.1");
    host.change(Change::Route(route.clone()));
    resync(&mut host, |kernel| {
        kernel.routes.retain(|there| *there != route);
    });
    host.pass(Duration::from_secs(1));
    assert_eq!(our_gateway(&host), None);
}

/// One that answers from an address have their own table, with gateways that are no targets.
#[test]
fn a_route_of_another_table_has_ours_in_front_of_it_in_that_table() {
    let mut host = lab1();
    let gateway = "192.168.0.1";
    let theirs = Route {
        table: 100,
        ..default_route(&host, "ge0", gateway)
    };
    host.change(Change::Route(theirs.clone()));
    assert_eq!(our_gateway_in(&host, 100).as_deref(), Some(gateway));
    assert_eq!(our_gateway(&host), None);
    host.pass(Duration::from_mins(1));
    let probed = host.engine.snapshot().interfaces.into_iter();
    let probed = probed.flat_map(|interface| interface.probing);
    let mut targets = probed.flat_map(|probing| probing.targets);
    assert!(targets.all(|target| target.address.to_string() != gateway));

    // It leads through those that work.
    let links = |host: &Host| {
        let hops = host.kernel.nexthops.values();
        let hops = hops.filter_map(|nexthop| match nexthop.hop {
            Hop::Link {
                index,
                gateway: Some(_),
                ..
            } => Some(host.kernel.links[&index].name.to_string()),
            _ => None,
        });
        hops.collect::<Vec<_>>()
    };
    assert_eq!(links(&host), ["ge0", "ge1"]);
    host.silent.insert("ge0".to_owned());
    host.pass(Duration::from_secs(20));
    assert_eq!(links(&host), ["ge1"]);
    host.silent.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(links(&host), ["ge0", "ge1"]);

    // Another one to the same destination is another route.
    let main = default_route(&host, "ge0", "192.168.0.3");
    host.change(Change::Route(main.clone()));
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.3"));
    host.change(Change::RouteGone(main));
    host.pass(Duration::from_secs(1));
    assert_eq!(our_gateway(&host), None);
    assert_eq!(our_gateway_in(&host, 100).as_deref(), Some(gateway));
    host.ifconfig("ge0 group none");
    assert_eq!(our_gateway_in(&host, 100), None);
    assert!(host.kernel.routes.contains(&theirs));
}

#[test]
fn a_route_that_was_withdrawn_while_no_daemon_ran_goes() {
    let mut host = lab1();
    let route = default_route(&host, "ge0", "192.168.0.1");
    host.change(Change::Route(route.clone()));
    host.kernel.routes.retain(|there| *there != route);
    host.restart();
    host.pass(Duration::from_secs(1));
    assert_eq!(our_gateway(&host), None);
}

#[test]
fn a_route_that_went_with_its_link_is_kept_over_a_restart() {
    let mut host = lab1();
    let route = default_route(&host, "ge0", "192.168.0.1");
    host.change(Change::Route(route.clone()));
    let mut link = host.kernel.link(&name("ge0")).unwrap().clone();
    // The kernel tells of the routes first.
    host.change(Change::RouteGone(route));
    link.up = false;
    host.change(Change::Link(link.clone()));
    link.up = true;
    host.change(Change::Link(link));
    host.pass(Duration::from_secs(30));
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.1"));
    host.restart();
    host.pass(Duration::from_secs(30));
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.1"));
}

#[test]
fn a_route_that_went_with_the_last_address_of_its_link_is_kept() {
    let mut host = lab1();
    let route = default_route(&host, "ge0", "192.168.0.1");
    host.change(Change::Route(route.clone()));
    host.ifconfig("ge0 offline");
    host.pass(Duration::from_millis(500));
    // The kernel deletes it with the last address of ge0, which runs.
    assert_eq!(host.kernel.addresses_on(host.index("ge0")).count(), 0);
    host.change(Change::RouteGone(route.clone()));
    host.pass(Duration::from_secs(1));
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.1"));
    host.ifconfig("ge0 online");
    host.pass(Duration::from_secs(1));
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.1"));
    // Whoever installed it does so again, and withdraws it.
    host.change(Change::Route(route.clone()));
    host.change(Change::RouteGone(route));
    host.pass(Duration::from_secs(1));
    assert_eq!(our_gateway(&host), None);
}

#[test]
fn a_route_withdrawn_for_want_of_carrier_is_kept_and_comes_back() {
    let mut host = lab1();
    let route = default_route(&host, "ge0", "192.168.0.1");
    host.change(Change::Route(route.clone()));
    host.carrier("ge0", false);
    host.change(Change::RouteGone(route.clone()));
    host.pass(Duration::from_secs(1));
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.1"));

    host.carrier("ge0", true);
    host.change(Change::Route(route.clone()));
    host.pass(Duration::from_secs(30));
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.1"));

    host.change(Change::RouteGone(route));
    host.pass(Duration::from_secs(1));
    assert_eq!(our_gateway(&host), None, "withdrawn");
}

#[test]
fn a_route_of_a_device_that_was_exchanged_is_learnt_anew() {
    let mut host = lab1();
    host.change(Change::Route(default_route(&host, "ge0", "192.168.0.1")));
    host.unplug("ge0");
    host.pass(Duration::from_secs(1));
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.1"));

    host.plug("ge0");
    let route = default_route(&host, "ge0", "192.168.0.3");
    host.change(Change::Route(route.clone()));
    assert_eq!(our_gateway(&host).as_deref(), Some("192.168.0.3"));
    host.change(Change::RouteGone(route));
    host.pass(Duration::from_secs(1));
    assert_eq!(our_gateway(&host), None, "neither of them is left");
}

#[test]
fn a_group_that_lost_its_targets_and_finds_them_again_moves_nothing() {
    let mut host = lab1();
    host.operations.clear();
    host.silent.extend(["ge0".to_owned(), "ge1".to_owned()]);
    host.pass(Duration::from_secs(40));
    assert!(host.logged("All Interfaces in group testgrp2 have failed"));
    host.silent.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(host.list(), LAB1);
    let of_addresses: Vec<_> = host
        .operations
        .iter()
        .filter(|operation| operation.contains("address"))
        .collect();
    assert_eq!(of_addresses, [""; 0]);
}

fn set_mac_of(host: &mut Host, interface: &str, twin: &str) {
    let mac = host.kernel.link(&name(twin)).unwrap().mac;
    let mut link = host.kernel.link(&name(interface)).unwrap().clone();
    link.mac = mac;
    host.change(Change::Link(link));
}

fn duplicates(host: &Host) -> Vec<String> {
    let snapshot = host.engine.snapshot();
    let duplicates = snapshot.interfaces.iter().filter(|i| i.duplicate_mac);
    duplicates.map(|i| i.name.to_string()).collect()
}

#[test]
fn of_two_equal_hardware_addresses_the_one_that_was_there_first_works_on() {
    let mut host = lab1();
    set_mac_of(&mut host, "ge0", "ge1");
    assert_eq!(duplicates(&host), ["ge0"]);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.86"), ["ge1"]);

    // The other one takes over when its link does not run, and then it is the one that works.
    host.carrier("ge1", false);
    assert_eq!(duplicates(&host), ["ge1"]);
    host.pass(Duration::from_secs(30));
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    host.carrier("ge1", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(duplicates(&host), ["ge1"]);
}

#[test]
fn a_hardware_address_on_a_dead_link_puts_nobody_out_of_service() {
    let mut host = lab1();
    host.carrier("ge0", false);
    set_mac_of(&mut host, "ge1", "ge0");
    assert_eq!(duplicates(&host), ["ge0"]);
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
}

#[test]
fn a_restart_takes_no_address_from_outside_the_group_for_ours() {
    let mut host = Host::new(&["ge0", "ge1", "ge2"]);
    for line in [
        "ge0 plumb 192.168.0.86 group testgrp2 up",
        "ge0 addif 192.168.0.87 deprecated -failover up",
        "ge1 plumb 192.168.0.88 group testgrp2 up",
        "ge1 addif 192.168.0.89 deprecated -failover up",
    ] {
        host.ifconfig(line);
    }
    let before = host.list();
    // Neither is where it was: the test address on a mate, the data address on a stranger.
    for (ip, from, to) in [
        ("192.168.0.89/24", "ge1", "ge0"),
        ("192.168.0.88/24", "ge1", "ge2"),
    ] {
        let key = (host.index(from), subnet(ip));
        host.kernel.addresses.remove(&key);
        let stray = foreign(&host, to, ip, None);
        host.kernel
            .addresses
            .insert((stray.index, stray.address), stray);
    }
    host.restart();
    let list = host.list();
    let ours: Vec<&str> = list
        .lines()
        .filter(|line| !line.starts_with("ge2"))
        .collect();
    assert_eq!(ours, before.lines().collect::<Vec<_>>());
    assert_eq!(host.holders("192.168.0.89"), ["ge1"]);
    assert!(host.holders("192.168.0.88").contains(&"ge1".to_owned()));
}

#[test]
fn the_second_address_of_somebody_else_answers_to_the_name_it_shows() {
    let mut host = Host::new(&["ge0"]);
    for ip in ["192.168.0.86/24", "192.168.0.90/24"] {
        host.change(Change::Address(foreign(&host, "ge0", ip, Some("ge0"))));
    }
    let shown = host.list();
    assert!(shown.contains("ge0:1 1000843 192.168.0.90"), "{shown}");
    assert_eq!(host.ifconfig("ge0:1 down"), "");
    assert_eq!(host.holders("192.168.0.90"), [""; 0]);
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert!(host.list().contains("ge0:1 1000842 192.168.0.90"));
    assert!(host.list().contains("ge0 1000843 192.168.0.86"));
}

#[test]
fn joining_a_group_keeps_the_names_of_others_addresses() {
    let mut host = Host::new(&["ge0"]);
    for ip in ["192.168.0.90/24", "192.168.0.86/24", "192.168.0.91/24"] {
        host.change(Change::Address(foreign(&host, "ge0", ip, None)));
    }
    let shown = host.list();
    host.ifconfig("ge0 group g");
    assert_eq!(host.list(), shown);
}

fn unit_0(host: &Host) -> String {
    let snapshot = host.engine.snapshot();
    let ge0 = snapshot
        .interfaces
        .iter()
        .find(|i| i.name.as_str() == "ge0");
    let addresses = ge0.unwrap().logicals.iter().map(|l| l.address.ip);
    addresses
        .filter(IpAddr::is_ipv6)
        .map(|ip| ip.to_string())
        .collect()
}

#[test]
fn the_link_local_address_is_the_kernels() {
    let mut host = Host::new(&["ge0"]);
    host.ifconfig("ge0 inet6 plumb up group g");
    let one = foreign(&host, "ge0", "fe80::1/64", None);
    host.change(Change::Address(one.clone()));
    assert_eq!(unit_0(&host), "fe80::1");

    host.change(Change::AddressGone(one.index, one.address));
    let two = foreign(&host, "ge0", "fe80::2/64", None);
    host.change(Change::Address(two));
    assert_eq!(unit_0(&host), "fe80::2");

    host.unplug("ge0");
    assert_eq!(unit_0(&host), "::");
    host.plug("ge0");
    let three = foreign(&host, "ge0", "fe80::3/64", None);
    host.change(Change::Address(three));
    assert_eq!(unit_0(&host), "fe80::3");
    assert!(!host.operations.iter().any(|o| o.contains("fe80")));
}

#[test]
fn an_interface_whose_addresses_nobody_can_take_stays_in_service() {
    let mut host = Host::new(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb 192.168.0.86 group g up");
    host.ifconfig("ge1 plumb 192.168.0.88 group g up");
    host.ifconfig("ge0 inet6 plumb up");
    host.ifconfig("ge0 inet6 addif 2001:db8::86/64 up");
    let offline = Command::Offline {
        interface: name("ge0"),
    };
    assert_eq!(host.ask(offline.clone()), Err(Refusal::MinimumRedundancy));
    assert_eq!(host.holders("2001:db8::86"), ["ge0"]);
    host.ifconfig("ge1 inet6 plumb up");
    assert_eq!(host.ask(offline), Ok(Answer::Done));
    assert_eq!(host.holders("2001:db8::86"), ["ge1"]);
}

#[test]
fn the_unit_of_a_logical_that_is_away_is_taken() {
    let mut host = lab1();
    host.ifconfig("ge1 addif 192.168.0.90 up");
    host.carrier("ge1", false);
    let plumb = Command::Plumb {
        logical: "ge1:2".parse().unwrap(),
        family: crate::Family::Inet,
        absent: false,
    };
    let before = host.list();
    assert_eq!(host.ask(plumb), Ok(Answer::AlreadyExists));
    assert_eq!(host.list(), before);
}

#[test]
fn the_address_that_another_one_replaces_goes_whoever_set_it() {
    let mut host = Host::new(&["ge0"]);
    let old = foreign(&host, "ge0", "192.168.0.86/24", Some("ge0"));
    host.change(Change::Address(old));
    assert_eq!(host.ifconfig("ge0 192.168.0.90"), "");
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
}

#[test]
fn a_logical_without_address_is_at_home() {
    let mut host = lab1();
    host.carrier("ge1", false);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    assert_eq!(host.ifconfig("ge0:2 0.0.0.0"), "");
    assert_eq!(host.holders("192.168.0.88"), [""; 0]);
    assert!(!host.list().contains("ge0:2"), "{}", host.list());
    assert_eq!(host.ifconfig("ge1 192.168.0.90"), "");
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
}

#[test]
fn only_what_is_watched_can_be_marked_failed() {
    let mut host = Host::new(&["ge0"]);
    host.ifconfig("ge0 plumb 192.168.0.86 up");
    let failed = Command::SetFailed {
        interface: name("ge0"),
        on: true,
    };
    assert_eq!(host.ask(failed.clone()), Err(Refusal::NotInGroup));
    host.ifconfig("ge0 group g");
    assert_eq!(host.ask(failed), Ok(Answer::Done));
}

#[test]
fn what_is_about_to_leave_a_link_is_not_announced_there() {
    let mut host = lab1();
    host.pass(Duration::from_mins(1));
    // The kernel is slow: the plan that moves the address away stays under way.
    let moving: IpAddr = "192.168.0.88".parse().unwrap();
    let index = host.index("ge1");
    host.engine.announcements.add(host.now, index, moving);
    let offline = Command::Offline {
        interface: name("ge1"),
    };
    let mut actions = host.engine.handle(
        host.now,
        Event::Command {
            id: 99,
            command: offline,
        },
    );
    let later: Time = host.now + Duration::from_secs(5);
    actions.extend(host.engine.handle(later, Event::Tick));
    let announced = actions
        .iter()
        .any(|action| matches!(action, crate::Action::Announce(_)));
    assert!(!announced, "{actions:?}");
}

#[test]
fn a_bridge_has_the_hardware_address_of_its_port_by_nature() {
    let mut host = Host::new(&["br0", "ge0", "ge1"]);
    let of = |host: &Host| host.engine.snapshot().local_mac_address;
    for port in ["ge0", "ge1"] {
        let mut link = host.kernel.link(&name(port)).unwrap().clone();
        link.permanent_mac = link.mac;
        host.change(Change::Link(link));
    }
    set_mac_of(&mut host, "br0", "ge0");
    assert!(of(&host), "the bridge is not in use");
    host.ifconfig("br0 plumb 192.168.0.86 up");
    assert!(of(&host), "the port is not in use");
    set_mac_of(&mut host, "ge1", "br0");
    host.ifconfig("ge1 plumb 192.168.0.88 up");
    assert!(!of(&host), "both are in use");
}

#[test]
fn two_devices_with_one_hardware_address_are_seen_before_they_are_plumbed() {
    let mut host = Host::new(&["ge0", "ge1"]);
    assert!(host.engine.snapshot().local_mac_address);
    set_mac_of(&mut host, "ge1", "ge0");
    assert!(!host.engine.snapshot().local_mac_address);
}

#[test]
fn what_is_told_at_once_is_decided_at_once() {
    let mut host = Host::new(&["ge0", "ge1", "ge2"]);
    for (i, nic) in ["ge0", "ge1", "ge2"].into_iter().enumerate() {
        host.ifconfig(&format!("{nic} plumb 192.168.0.{} group g up", 10 + i));
    }
    host.pass(Duration::from_secs(30));
    let without_carrier = |nic: &str| {
        let mut link = host.kernel.link(&name(nic)).unwrap().clone();
        link.carrier = false;
        Change::Link(link)
    };
    let (lost, before) = (
        vec![without_carrier("ge0"), without_carrier("ge1")],
        host.operations.len(),
    );
    host.changes(lost);
    assert_eq!(host.holders("192.168.0.10"), ["ge2"]);
    assert_eq!(host.holders("192.168.0.11"), ["ge2"]);
    // Nothing went to ge1 on its way.
    let by_ge1 = format!("on link {}", host.index("ge1"));
    let detours: Vec<_> = host.operations[before..]
        .iter()
        .filter(|operation| operation.starts_with("add") && operation.ends_with(&by_ge1))
        .collect();
    assert!(detours.is_empty(), "{detours:?}");
}

#[test]
fn a_device_that_went_and_came_back_between_two_looks_is_set_up_again() {
    let mut host = lab1();
    let old = host.kernel.link(&name("ge1")).unwrap().clone();
    let index = 77;
    host.changes(vec![
        Change::LinkGone(old.index),
        Change::Link(Link {
            index,
            up: false,
            ..old
        }),
    ]);
    assert!(host.kernel.links[&index].up);
    assert!(host.logged("ge1"));
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    assert_eq!(host.holders("192.168.0.89"), ["ge1"]);
}

#[test]
fn a_device_that_came_back_while_no_daemon_ran_is_set_up_again() {
    // It may have gone before the daemon did, or after.
    for seen in [false, true] {
        let mut host = lab1();
        let old = host.kernel.link(&name("ge1")).unwrap().clone();
        let mut gone = host.kernel.clone();
        gone.apply(Change::LinkGone(old.index));
        if seen {
            host.change(Change::LinkGone(old.index));
        }
        host.kernel = gone;
        let index = 77;
        host.kernel.apply(Change::Link(Link {
            index,
            up: false,
            ..old
        }));
        host.restart();
        assert!(host.kernel.links[&index].up);
        host.pass(Duration::from_mins(1));
        assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
        assert_eq!(host.holders("192.168.0.89"), ["ge1"]);
    }
}

#[test]
fn a_link_that_was_set_down_while_no_daemon_ran_stays_down() {
    let mut host = lab1();
    let link = host.kernel.link(&name("ge1")).unwrap().clone();
    let index = link.index;
    host.kernel.apply(Change::Link(Link { up: false, ..link }));
    host.restart();
    host.pass(Duration::from_mins(1));
    assert!(!host.kernel.links[&index].up);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
}
