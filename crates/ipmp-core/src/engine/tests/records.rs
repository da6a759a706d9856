//! The history: one record for each change, with its cause, and what failovers took.

use std::time::Duration;

use super::host::Host;
use super::labs::lab1;
use crate::Record;
use crate::kernel::Change;
use crate::record::{Cause, Direction, Evidence, Outage};

/// What was recorded since it was last asked, as text.
fn recorded(host: &mut Host) -> Vec<String> {
    let records = std::mem::take(&mut host.records);
    records.iter().map(ToString::to_string).collect()
}

fn outages(host: &mut Host) -> Vec<Outage> {
    let records = std::mem::take(&mut host.records);
    let outages = records.into_iter().filter_map(|record| match record {
        Record::Outage(outage) => Some(outage),
        _ => None,
    });
    outages.collect()
}

#[test]
fn a_link_that_goes_and_comes() {
    let mut host = lab1();
    recorded(&mut host);
    host.carrier("ge1", false);
    assert_eq!(
        recorded(&mut host),
        [
            "link of ge1 is down",
            "ge1 is failed: its link is down",
            "group testgrp2 is degraded: ge1: its link is down",
            "192.168.0.88 went from ge1 to ge0: the interface failed",
            "failover from ge1: 1 address, detected in 40 ms, moved in 0.0 ms, \
             neighbours told after 0.0 ms",
        ]
    );
    host.carrier("ge1", true);
    host.pass(Duration::from_secs(30));
    assert_eq!(
        recorded(&mut host),
        [
            "link of ge1 is up",
            "ge1 is ok: its probes are answered",
            "group testgrp2 is ok: ge1: its probes are answered",
            "192.168.0.88 went from ge0 to ge1: the interface it belongs to works",
            "failback to ge1: 1 address, moved in 0.0 ms, neighbours told after 0.0 ms",
        ]
    );
}

#[test]
fn a_silent_failure_is_accounted_for_from_the_last_answer_on() {
    let mut host = lab1();
    let cut = host.now;
    host.silent.insert("ge1".into());
    host.pass(Duration::from_mins(1));
    let outages = outages(&mut host);
    assert_eq!(outages.len(), 1);
    let outage = &outages[0];
    assert_eq!(outage.cause, Cause::ProbesLost);
    assert_eq!(outage.direction, Direction::Failover);
    let detection = outage.detection.unwrap();
    assert_eq!(outage.last_good_by, Some(Evidence::Reply));
    assert_eq!(outage.last_good, Some(outage.declared - detection));
    // The last answer may be as old as one probe interval when the line is cut.
    let since_cut = outage.declared.since(cut);
    assert!(detection >= since_cut && detection <= since_cut + Duration::from_secs(3));
    assert!(outage.moved.is_some() && outage.told >= outage.moved);
    assert_eq!(host.engine.snapshot().outages, outages);
}

#[test]
fn what_is_not_known_to_have_worked_is_not_accounted_for() {
    let mut host = lab1();
    host.records.clear();
    let mut link = host.kernel.link(&"ge1".parse().unwrap()).unwrap().clone();
    host.silent.extend(["ge0".into(), "ge1".into()]);
    link.carrier = false;
    host.change(Change::Link(link));
    let known = outages(&mut host).remove(0);
    // No carrier was asked for: the last answer to a probe is what there is.
    assert_eq!(known.cause, Cause::LinkDown);
    assert_eq!(known.last_good_by, Some(Evidence::Reply));

    let mut host = Host::new(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb 192.168.0.86 group testgrp2 up");
    host.ifconfig("ge1 plumb 192.168.0.88 group testgrp2 up");
    host.records.clear();
    host.unplug("ge1");
    let gone = outages(&mut host).remove(0);
    assert_eq!(gone.cause, Cause::DeviceGone);
    assert_eq!((gone.last_good, gone.detection), (None, None));
}

#[test]
fn out_of_service_and_back() {
    let mut host = lab1();
    recorded(&mut host);
    host.ifconfig("ge1 offline");
    host.ifconfig("ge1 online");
    host.pass(Duration::from_secs(5));
    let told = recorded(&mut host);
    assert_eq!(
        told,
        [
            "ge1 is offline: asked for",
            "group testgrp2 is degraded: ge1: asked for",
            "192.168.0.88 went from ge1 to ge0: the interface was taken out of service",
            "failover from ge1: 1 address, moved in 0.0 ms, neighbours told after 0.0 ms",
            "ge1 is ok: asked for",
            "group testgrp2 is ok: ge1: asked for",
            "192.168.0.88 went from ge0 to ge1: the interface it belongs to works",
            "failback to ge1: 1 address, moved in 0.0 ms, neighbours told after 0.0 ms",
        ]
    );
}

#[test]
fn a_move_the_kernel_refuses_stays_open() {
    let mut host = lab1();
    host.records.clear();
    host.refused = vec!["add address 192.168.0.88/24".into()];
    host.carrier("ge1", false);
    assert!(outages(&mut host).is_empty());
    let seen = host.engine.snapshot().outages;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].moved, None);
    host.pass(Duration::from_secs(1));
    host.refused.clear();
    host.pass(Duration::from_mins(1));
    let closed = outages(&mut host);
    assert_eq!(closed.len(), 1);
    assert!(closed[0].moved.unwrap() > Duration::from_millis(500));
}

#[test]
fn json_is_flat_and_in_milliseconds() {
    let mut host = lab1();
    host.records.clear();
    host.carrier("ge1", false);
    let json = serde_json::to_value(&host.records).unwrap();
    let members = |number: usize| {
        let object = json[number].as_object().unwrap();
        object.keys().map(String::as_str).collect::<Vec<_>>()
    };
    assert_eq!(
        members(1),
        ["cause", "from", "group", "interface", "kind", "to"]
    );
    assert_eq!(json[1]["cause"], "link_down");
    assert_eq!(json[4]["kind"], "outage");
    assert_eq!(json[4]["detection_ms"], 40.0);
    assert_eq!(json[4]["last_good_by"], "carrier");
    assert_eq!(json[4]["addresses"][0]["to"], "ge0");
    let read: Vec<Record> = serde_json::from_value(json).unwrap();
    assert_eq!(read, host.records);
}

#[test]
fn targets_that_are_found_are_no_message_but_a_record() {
    let mut host = Host::new(&["ge0", "ge1"]);
    host.silent.extend(["ge0".into(), "ge1".into()]);
    for line in [
        "ge0 plumb 192.168.0.86 group testgrp2 up",
        "ge0 addif 192.168.0.87 deprecated -failover up",
        "ge1 plumb 192.168.0.88 group testgrp2 up",
    ] {
        host.ifconfig(line);
    }
    host.pass(Duration::from_secs(10));
    assert!(recorded(&mut host).contains(&"ge0 is unknown: no target answers".into()));
    host.silent.clear();
    host.pass(Duration::from_secs(10));
    assert!(recorded(&mut host).contains(&"ge0 is ok: its probes are answered".into()));
}

#[test]
fn words_are_those_of_json() {
    for cause in [
        Cause::LinkDown,
        Cause::LinkUp,
        Cause::ProbesLost,
        Cause::ProbesAnswered,
        Cause::NoTarget,
        Cause::DeviceGone,
        Cause::DeviceBack,
        Cause::DuplicateMac,
        Cause::UniqueMac,
        Cause::FailedBefore,
        Cause::Administrator,
        Cause::InterfaceFailed,
        Cause::InterfaceOffline,
        Cause::HomeUsable,
    ] {
        assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
    }
    for direction in [Direction::Failover, Direction::Failback] {
        assert_eq!(serde_json::to_value(direction).unwrap(), direction.as_str());
    }
}
