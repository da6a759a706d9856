//! Addresses that the administrator moves.

use std::net::IpAddr;
use std::time::Duration;

use super::host::Host;
use super::labs::{lab1, lab2};
use crate::command::{Answer, Refusal};
use crate::record::{Cause, Direction};
use crate::snapshot::InterfaceState;
use crate::{Command, Record};

const DATA0: &str = "192.168.0.86";

fn asks(host: &mut Host, address: &str, nic: &str) -> Result<Answer, Refusal> {
    let address: IpAddr = address.parse().unwrap();
    let interface = nic.parse().unwrap();
    host.ask(Command::Move { address, interface })
}

/// Moves 192.168.0.86 to ge1, and waits until it has left ge0.
fn moved() -> Host {
    let mut host = lab1();
    assert_eq!(asks(&mut host, DATA0, "ge1"), Ok(Answer::Done));
    host.pass(Duration::from_secs(3));
    assert_eq!(host.holders(DATA0), ["ge1"]);
    host
}

#[test]
fn it_is_added_before_it_is_removed_and_neighbours_are_told() {
    let mut host = lab1();
    host.operations.clear();
    host.announced.clear();
    host.records.clear();
    asks(&mut host, DATA0, "ge1").unwrap();
    let said = |text: &str| {
        host.operations
            .iter()
            .position(|o| o.contains(text))
            .unwrap()
    };
    assert!(said("add address 192.168.0.86/24") < said("remove address 192.168.0.86/24"));
    let told = host.announced.first().unwrap();
    assert_eq!(told.interface.as_str(), "ge1");
    host.pass(Duration::from_secs(3));
    assert_eq!(host.holders(DATA0), ["ge1"]);
    let texts: Vec<_> = host.records.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "192.168.0.86 went from ge0 to ge1: asked for",
            "move to ge1: 1 address, moved in 0.0 ms, neighbours told after 0.0 ms",
        ]
    );
    assert!(host.logged("Moved 192.168.0.86 from NIC ge0 to NIC ge1 as asked"));
    let outages = host.engine.snapshot().outages;
    assert_eq!(outages[0].direction, Direction::Move);
    assert_eq!(outages[0].cause, Cause::Administrator);
    assert_eq!(outages[0].detection, None);
}

#[test]
fn it_stays_through_rescans_and_restarts() {
    let mut host = moved();
    host.restart();
    host.pass(Duration::from_mins(5));
    assert_eq!(host.holders(DATA0), ["ge1"]);
    assert_eq!(asks(&mut host, DATA0, "ge1"), Ok(Answer::AlreadyExists));
}

#[test]
fn a_daemon_killed_before_it_moved_is_followed_by_one_that_moves_it() {
    for failback_on in [true, false] {
        for after in 0..4 {
            let mut host = lab1();
            host.failback(failback_on);
            host.killed_after = Some(after);
            let _ = asks(&mut host, DATA0, "ge1");
            assert!(!host.holders(DATA0).is_empty());
            host.restart();
            host.pass(Duration::from_secs(3));
            assert_eq!(host.holders(DATA0), ["ge1"], "{after}");
        }
    }
}

#[test]
fn when_its_interface_fails_it_goes_home_and_returns() {
    let mut host = moved();
    host.records.clear();
    host.carrier("ge1", false);
    assert_eq!(host.holders(DATA0), ["ge0"]);
    host.carrier("ge1", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(host.holders(DATA0), ["ge1"]);
    let of_address = |record: &Record| match record {
        Record::Address { address, cause, .. } if address.to_string() == DATA0 => Some(*cause),
        _ => None,
    };
    let causes: Vec<Cause> = host.records.iter().filter_map(of_address).collect();
    assert_eq!(causes, [Cause::InterfaceFailed, Cause::MovedToUsable]);
    let directions = host.engine.snapshot().outages;
    let directions: Vec<_> = directions.iter().map(|o| (o.direction, o.cause)).collect();
    assert_eq!(
        directions,
        [
            (Direction::Move, Cause::Administrator),
            (Direction::Failover, Cause::LinkDown),
            (Direction::Failback, Cause::HomeUsable),
            (Direction::Failback, Cause::MovedToUsable),
        ]
        .into_iter()
        // Its own address and the one moved there return as one.
        .filter(|(_, cause)| *cause != Cause::HomeUsable)
        .collect::<Vec<_>>()
    );
}

#[test]
fn when_its_home_fails_nothing_becomes_of_it() {
    let mut host = moved();
    host.operations.clear();
    host.carrier("ge0", false);
    host.pass(Duration::from_secs(5));
    host.carrier("ge0", true);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders(DATA0), ["ge1"]);
    assert!(!host.operations.iter().any(|o| o.contains(DATA0)));
}

#[test]
fn without_failback_a_failure_ends_the_move() {
    let mut host = moved();
    host.failback(false);
    host.carrier("ge1", false);
    assert_eq!(host.holders(DATA0), ["ge0"]);
    // It went home, and that was a failover.
    let outage = host.engine.snapshot().outages.pop().unwrap();
    assert_eq!(outage.direction, Direction::Failover);
    assert_eq!(outage.cause, Cause::LinkDown);
    assert!(host.records.iter().any(|record| matches!(record,
        Record::Address { address, to: Some(to), cause: Cause::InterfaceFailed, .. }
            if address.to_string() == DATA0 && to.as_str() == "ge0")));
    host.carrier("ge1", true);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders(DATA0), ["ge0"]);
    // Put out of service and back, an interface gets what is its own, even so.
    asks(&mut host, DATA0, "ge1").unwrap();
    host.pass(Duration::from_secs(3));
    host.ifconfig("ge1 offline");
    host.pass(Duration::from_secs(3));
    assert_eq!(host.holders(DATA0), ["ge0"]);
    host.ifconfig("ge1 online");
    host.pass(Duration::from_secs(3));
    assert_eq!(host.holders(DATA0), ["ge1"]);
}

#[test]
fn without_failback_it_can_be_moved_home() {
    let mut host = lab1();
    host.failback(false);
    host.carrier("ge0", false);
    host.carrier("ge0", true);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders(DATA0), ["ge1"]);
    asks(&mut host, DATA0, "ge0").unwrap();
    host.pass(Duration::from_secs(3));
    assert_eq!(host.holders(DATA0), ["ge0"]);
}

#[test]
fn moved_home_it_is_as_before() {
    let mut host = moved();
    let typed = lab1().list();
    assert_eq!(asks(&mut host, DATA0, "ge0"), Ok(Answer::Done));
    host.pass(Duration::from_secs(3));
    assert_eq!(host.holders(DATA0), ["ge0"]);
    assert_eq!(host.list(), typed);
    host.carrier("ge1", false);
    host.carrier("ge1", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(host.holders(DATA0), ["ge0"]);
}

#[test]
fn where_a_failure_sent_it_it_can_be_made_to_stay() {
    let mut host = lab1();
    host.carrier("ge0", false);
    assert_eq!(asks(&mut host, DATA0, "ge1"), Ok(Answer::Done));
    host.carrier("ge0", true);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders(DATA0), ["ge1"]);
}

#[test]
fn a_standby_that_is_given_one_is_in_use() {
    let mut host = lab2();
    asks(&mut host, DATA0, "ge1").unwrap();
    host.pass(Duration::from_secs(3));
    assert_eq!(host.holders(DATA0), ["ge1"]);
    let is_inactive = |host: &Host| host.engine.snapshot().interfaces[2].inactive;
    assert!(!is_inactive(&host));
    asks(&mut host, DATA0, "ge0").unwrap();
    host.pass(Duration::from_secs(3));
    assert!(is_inactive(&host));
}

#[test]
fn what_ends_a_move() {
    for line in [
        "ge1 group none",
        "ge1 group other",
        "ge1 unplumb",
        "ge0 group other",
    ] {
        let mut host = moved();
        host.ifconfig(line);
        host.pass(Duration::from_secs(3));
        assert_eq!(host.holders(DATA0), ["ge0"], "{line}");
        host.ifconfig("ge1 plumb group testgrp2");
        host.ifconfig("ge0 group testgrp2");
        host.pass(Duration::from_mins(1));
        assert_eq!(host.holders(DATA0), ["ge0"], "{line}");
    }
    // Another address in its place was never moved.
    let mut host = moved();
    let place = "ge1:2 192.168.0.90";
    host.ifconfig(place);
    host.pass(Duration::from_secs(3));
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
}

#[test]
fn unplumbed_for_its_family_the_interface_gets_it_back_no_more() {
    let mut host = moved();
    host.ifconfig("ge1 inet6 plumb");
    host.ifconfig("ge1 unplumb");
    host.pass(Duration::from_secs(3));
    assert_eq!(host.holders(DATA0), ["ge0"]);
    host.ifconfig("ge1 plumb");
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders(DATA0), ["ge0"]);
    // The other family goes, and what was moved stays.
    asks(&mut host, DATA0, "ge1").unwrap();
    host.ifconfig("ge1 inet6 unplumb");
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders(DATA0), ["ge1"]);
}

#[test]
fn refusals_change_nothing() {
    let mut host = lab1();
    host.plug("ge2");
    host.plug("ge3");
    host.ifconfig("ge2 plumb 10.0.0.1 up");
    host.ifconfig("ge3 plumb 192.168.0.91 group testgrp2 up");
    host.ifconfig("ge3 offline");
    host.pass(Duration::from_secs(3));
    let (listed, saved) = (host.list(), host.saved.clone());
    for (address, nic, refusal) in [
        ("192.168.0.87", "ge1", Refusal::NotMovable),
        ("10.0.0.1", "ge0", Refusal::NotMovable),
        ("127.0.0.1", "ge0", Refusal::NotMovable),
        ("0.0.0.0", "ge0", Refusal::NoSuchAddress),
        ("192.168.0.99", "ge1", Refusal::NoSuchAddress),
        (DATA0, "ge9", Refusal::NoSuchInterface),
        (DATA0, "ge2", Refusal::NotInItsGroup),
        (DATA0, "ge3", Refusal::NotUsable(InterfaceState::Offline)),
    ] {
        assert_eq!(
            asks(&mut host, address, nic),
            Err(refusal),
            "{address} {nic}"
        );
        assert_eq!(host.list(), listed);
        assert_eq!(host.saved, saved);
    }
    host.carrier("ge1", false);
    let failed = Refusal::NotUsable(InterfaceState::Failed);
    assert_eq!(asks(&mut host, DATA0, "ge1"), Err(failed));
    host.unplug("ge1");
    assert_eq!(asks(&mut host, DATA0, "ge1"), Err(Refusal::Absent));
    let mut host = lab2();
    host.ifconfig("ge1 addif 192.168.0.95 up");
    assert_eq!(host.holders("192.168.0.95"), ["ge0"]);
    let standby = Refusal::HomeIsStandby;
    assert_eq!(asks(&mut host, "192.168.0.95", "ge1"), Err(standby));
}

#[test]
fn what_the_kernel_refuses_was_never_asked_for() {
    let mut host = lab1();
    host.records.clear();
    host.refused = vec!["add address 192.168.0.86/24".into()];
    assert!(matches!(
        asks(&mut host, DATA0, "ge1"),
        Err(Refusal::Kernel(..))
    ));
    host.refused.clear();
    host.pass(Duration::from_mins(2));
    assert_eq!(host.holders(DATA0), ["ge0"]);
    assert_eq!(host.records, []);
    assert_eq!(host.engine.snapshot().outages, []);
    assert!(!host.logged("Moved"));
}

#[test]
fn saved_state_of_before_is_read_and_what_was_not_moved_is_saved_as_before() {
    let host = lab1();
    let text = serde_json::to_string(&host.saved).unwrap();
    assert!(!text.contains("moved_to"));
    let read: Option<crate::asked::Saved> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, host.saved);
    let text = serde_json::to_string(&moved().saved).unwrap();
    assert!(text.contains("\"moved_to\":\"ge1\""));
}
