//! What detection must do, by tables: the transitions of an interface and of its group.

mod arbitrary;
mod calm;
mod confirm;
mod hosts;
mod links;
mod probes;
mod solicit;
mod units;

use std::time::Duration;

use super::simulation::{Nic, World, nic, peer, settings};
use super::{Echo, EchoReply, Finding, Health, Probe, Reply};
use crate::message::Message;
use crate::snapshot::{ProbeState, TargetMode};
use crate::{Family, GroupName, InterfaceName, Time};

/// Probe interval at a detection time of 10 s.
const T: Duration = Duration::from_millis(1_428);
const V4: &[Family] = &[Family::Inet];

fn group() -> GroupName {
    "g".parse().unwrap()
}

fn name(nic: usize) -> InterfaceName {
    format!("ge{nic}").parse().unwrap()
}

/// Interfaces with test addresses of these families.
fn nics(families: &[&[Family]]) -> Vec<Nic> {
    (0..)
        .zip(families)
        .map(|(n, families)| nic(n, families))
        .collect()
}

/// A host whose interfaces have these families, and a router that answers in both.
fn world(families: &[&[Family]]) -> World {
    let peers = vec![peer("10.0.0.254", false), peer("fe80::254", false)];
    let mut world = World::new(settings(Duration::from_secs(10)), 7, nics(families), peers);
    world.route(&[0, 1]);
    world.watch();
    world
}

/// One that has been running quietly for a minute and a half.
fn running(families: &[&[Family]]) -> World {
    let mut world = world(families);
    world.run(Duration::from_secs(90));
    world.said.clear();
    world
}

fn health(world: &World) -> Vec<Health> {
    world
        .nics
        .iter()
        .map(|nic| world.detection.health(&nic.name).unwrap())
        .collect()
}

/// What was said since the last time, in short.
fn said(world: &mut World) -> Vec<String> {
    std::mem::take(&mut world.said)
        .into_iter()
        .map(|(_, message)| match message {
            Message::NicFailed { interface, .. } => format!("{interface} failed"),
            Message::NicRepaired { interface, .. } => format!("{interface} repaired"),
            Message::GroupFailed { group } => format!("{group} failed"),
            Message::GroupRepaired { interface, group } => {
                format!("{group} repaired by {interface}")
            }
            Message::LinkDown { interface } => format!("{interface} down"),
            Message::LinkUp { interface } => format!("{interface} up"),
            Message::FlapHold { interface, allowed } => format!("{interface} held {allowed}"),
            Message::NoTestAddress { interface } => format!("{interface} untested"),
            Message::TestAddress { interface } => format!("{interface} tested"),
            other => other.to_string(),
        })
        .collect()
}

use Health::{Failed, NoTargets, Ok};

#[test]
fn row_1_new_interfaces_work_until_shown_otherwise() {
    for (families, running, expected, messages) in [
        (V4, true, Ok, vec![]),
        (&[], true, Ok, vec![]),
        (V4, false, Failed, vec!["ge1 down", "ge1 failed"]),
        (&[], false, Failed, vec!["ge1 down", "ge1 failed"]),
    ] {
        let mut world = world(&[V4, families]);
        world.nics[1].watched.index += 100;
        world.nics[1].watched.running = running;
        world.watch();
        assert_eq!(health(&world), [Ok, expected]);
        assert_eq!(said(&mut world), messages);
    }
}

#[test]
fn rows_2_to_4_targets_come_and_go() {
    let mut world = World::new(
        settings(Duration::from_secs(10)),
        1,
        nics(&[V4, V4]),
        vec![peer("10.0.0.254", false), peer("10.0.0.253", true)],
    );
    world.peers[1].alive = false;
    world.watch();
    assert_eq!(health(&world), [NoTargets, NoTargets]);
    world.run(T * 10);
    let probing = &world.detection.probing(&name(0))[0];
    assert_eq!(
        (probing.mode, probing.state),
        (TargetMode::Multicast, ProbeState::Unknown)
    );
    assert_eq!(probing.sent, 0, "discovery does not count");
    world.peers[1].alive = true;
    world.run(T * 2);
    assert_eq!(health(&world), [Ok, Ok]);
    world.route(&[0]);
    let probing = &world.detection.probing(&name(0))[0];
    assert_eq!(
        (probing.mode, probing.state),
        (TargetMode::Routes, ProbeState::Ok)
    );
    assert_eq!(probing.targets.len(), 1, "a router drives out hosts");
    world.peers[1].alive = false;
    world.route(&[]);
    assert_eq!(health(&world), [NoTargets, NoTargets]);
    assert_eq!(said(&mut world), [] as [&str; 0]);
}

#[test]
fn rows_5_and_6_an_interface_fails_and_is_repaired() {
    for inactive in [false, true] {
        let mut world = running(&[V4, V4]);
        world.nics[1].watched.inactive = inactive;
        world.nics[1].watched.standby = inactive;
        world.watch();
        world.nics[1].broken = [true, true];
        world.run(T * 7);
        assert_eq!(health(&world), [Ok, Failed]);
        assert_eq!(said(&mut world), ["ge1 failed"]);
        assert!(!world.detection.is_group_failed(&group()));
        world.nics[1].broken = [false, false];
        world.run(T * 9);
        assert_eq!(health(&world), [Ok, Failed], "not yet");
        world.run(T * 3);
        assert_eq!(health(&world), [Ok, Ok]);
        assert_eq!(said(&mut world), ["ge1 repaired"]);
    }
}

#[test]
fn rows_7_and_11_a_group_fails_and_is_repaired_by_its_first_member() {
    let mut world = running(&[V4, V4, V4]);
    world.nics[2].watched.offline = true;
    world.watch();
    world.peers[0].alive = false;
    world.run(T * 7);
    assert_eq!(
        health(&world),
        [Failed, Failed, Ok],
        "who is offline is spared"
    );
    assert_eq!(said(&mut world), ["g failed"]);
    assert!(world.detection.is_group_failed(&group()));
    world.route(&[]);
    assert_eq!(
        world.detection.probing(&name(0))[0].targets.len(),
        1,
        "routers are kept"
    );
    world.peers[0].alive = true;
    world.nics[0].broken = [true, true];
    world.run(T * 12);
    assert_eq!(
        health(&world),
        [Failed, NoTargets, NoTargets],
        "repaired for itself only; and now the table is believed"
    );
    assert_eq!(said(&mut world), ["g repaired by ge1", "ge1 repaired"]);
    assert_eq!(world.detection.probing(&name(1))[0].targets, []);
}

#[test]
fn row_7_hosts_are_flushed_and_sought_anew() {
    let mut world = World::new(
        settings(Duration::from_secs(10)),
        1,
        nics(&[V4, V4]),
        vec![peer("10.0.0.253", true), peer("10.0.0.252", true)],
    );
    world.watch();
    world.run(Duration::from_mins(1));
    assert_eq!(world.detection.probing(&name(1))[0].targets.len(), 2);
    world.peers.iter_mut().for_each(|peer| peer.alive = false);
    world.run(T * 7);
    assert_eq!(health(&world), [Failed, Failed]);
    assert_eq!(said(&mut world), ["g failed"]);
    assert_eq!(world.detection.probing(&name(1))[0].targets, []);
    world.run(T * 100);
    assert_eq!(health(&world), [Failed, Failed]);
    world.peers[0].alive = true;
    world.run(T * 14);
    assert_eq!(health(&world), [Ok, Ok]);
}

#[test]
fn row_12_offline_interfaces_are_not_probed() {
    let mut world = running(&[V4, V4]);
    world.nics[1].watched.offline = true;
    world.watch();
    world.records = true;
    world.nics[1].broken = [true, true];
    world.run(T * 30);
    assert!(world.sent.iter().all(|probe| *probe.interface() == name(0)));
    assert_eq!(health(&world), [Ok, Ok]);
    assert_eq!(
        world.detection.probing(&name(1))[0].state,
        ProbeState::Disabled
    );
    world.set_link(1, false);
    assert_eq!(health(&world), [Ok, Failed]);
    assert_eq!(said(&mut world), ["ge1 down", "ge1 failed"]);
}

#[test]
fn row_12_the_last_one_in_service_is_a_group() {
    let mut world = running(&[V4, V4]);
    world.nics[1].watched.offline = true;
    world.watch();
    world.set_link(0, false);
    assert_eq!(said(&mut world), ["ge0 down", "g failed"]);
    world.nics[1].watched.offline = false;
    world.watch();
    assert_eq!(health(&world), [Failed, Ok]);
    assert_eq!(said(&mut world), ["g repaired by ge1"]);
}

#[test]
fn row_13_back_into_service_by_link() {
    for (running_link, expected, messages) in [
        (true, Ok, vec!["ge1 repaired"]),
        (false, Failed, vec!["ge1 down"]),
    ] {
        let mut world = running(&[V4, V4]);
        world.nics[1].broken = [true, true];
        world.run(T * 7);
        world.nics[1].watched.offline = true;
        world.watch();
        said(&mut world);
        world.nics[1].watched.running = running_link;
        world.nics[1].watched.offline = false;
        world.watch();
        assert_eq!(health(&world), [Ok, expected]);
        assert_eq!(said(&mut world), messages);
    }
}

#[test]
fn row_14_another_index_or_group_is_another_interface() {
    for change in [
        |nic: &mut Nic| nic.watched.index = 99,
        |nic: &mut Nic| nic.watched.group = Some("h".parse().unwrap()),
    ] {
        let mut world = running(&[V4, V4]);
        world.nics[1].broken = [true, true];
        world.run(T * 7);
        assert_eq!(health(&world), [Ok, Failed]);
        let before = world.detection.probing(&name(1));
        change(&mut world.nics[1]);
        world.watch();
        assert_eq!(health(&world), [Ok, Ok]);
        // Nothing is known of it but what was counted.
        let probing = world.detection.probing(&name(1));
        assert!(probing[0].targets != before[0].targets || probing[0].state != before[0].state);
        assert_eq!(probing[0].sent, before[0].sent);
    }
}

#[test]
fn row_15_without_test_address_the_link_decides() {
    let mut world = running(&[V4, V4]);
    world.nics[1].broken = [true, true];
    world.run(T * 7);
    said(&mut world);
    world.nics[1].watched.test = [None, None];
    world.watch();
    assert_eq!(health(&world), [Ok, Ok]);
    assert_eq!(said(&mut world), ["ge1 repaired"]);
}

#[test]
fn who_joins_a_dark_group_must_prove_himself() {
    let mut world = running(&[V4, V4]);
    world.peers[0].alive = false;
    world.run(T * 7);
    assert_eq!(said(&mut world), ["g failed"]);
    world.nics.push(nic(2, V4));
    world.watch();
    assert_eq!(health(&world), [Failed, Failed, Failed]);
    world.nics.push(nic(3, &[]));
    world.watch();
    assert_eq!(health(&world), [Failed, Failed, Failed, Ok]);
    assert_eq!(said(&mut world), ["g repaired by ge3", "ge3 repaired"]);
}

#[test]
fn who_joins_a_group_without_links_works() {
    let mut world = running(&[V4]);
    world.set_link(0, false);
    assert_eq!(said(&mut world), ["ge0 down", "g failed"]);
    world.nics.push(nic(1, V4));
    world.watch();
    assert_eq!(health(&world), [Failed, Ok]);
    assert_eq!(said(&mut world), ["g repaired by ge1"]);
}

#[test]
fn a_group_fails_when_its_last_working_member_leaves() {
    let mut world = running(&[V4, V4]);
    world.set_link(0, false);
    said(&mut world);
    world.nics.remove(1);
    world.watch();
    assert_eq!(said(&mut world), ["g failed"]);
    world.nics.clear();
    world.watch();
    assert!(!world.detection.is_group_failed(&group()));
    assert_eq!(world.detection.next_deadline(), None);
}

#[test]
fn without_a_group_every_failure_is_its_own() {
    let mut world = running(&[V4, V4]);
    for nic in &mut world.nics {
        nic.watched.group = None;
    }
    world.watch();
    world.run(Duration::from_mins(1));
    world.peers[0].alive = false;
    world.run(T * 7);
    let mut messages = said(&mut world);
    messages.sort();
    assert_eq!(messages, ["ge0 failed", "ge1 failed"]);
}

#[test]
fn both_families_must_fail_and_one_repairs() {
    let mut world = running(&[&Family::ALL, &Family::ALL]);
    world.nics[1].broken = [true, false];
    world.run(T * 20);
    assert_eq!(health(&world), [Ok, Ok]);
    let states: Vec<_> = world
        .detection
        .probing(&name(1))
        .iter()
        .map(|p| p.state)
        .collect();
    assert_eq!(
        states,
        [ProbeState::Failed, ProbeState::Ok],
        "but it can be seen"
    );
    world.nics[1].broken = [true, true];
    world.run(T * 7);
    assert_eq!(health(&world), [Ok, Failed]);
    world.nics[1].broken = [true, false];
    world.run(T * 12);
    assert_eq!(health(&world), [Ok, Ok]);
}

#[test]
fn a_member_without_probes_testifies_by_its_link() {
    let mut world = running(&[V4, &[]]);
    world.peers[0].alive = false;
    world.run(T * 7);
    assert_eq!(health(&world), [Failed, Ok]);
    assert_eq!(said(&mut world), ["ge0 failed"]);
}

#[test]
fn test_addresses_are_remarked_on_after_a_while() {
    let mut world = world(&[V4, &[]]);
    world.run(Duration::from_millis(19_999));
    assert_eq!(said(&mut world), [] as [&str; 0]);
    world.run(Duration::from_mins(1));
    assert_eq!(said(&mut world), ["ge1 untested"]);
    let test = nic(1, V4).watched.test;
    world.nics[1].watched.test = test;
    world.watch();
    assert_eq!(said(&mut world), ["ge1 tested"]);
    world.nics[1].watched.test = [None, None];
    world.watch();
    world.run(Duration::from_secs(5));
    world.nics[1].watched.test = test;
    world.watch();
    world.run(Duration::from_mins(1));
    assert_eq!(said(&mut world), [] as [&str; 0]);
}
