//! What is counted: it never goes back as long as the daemon lives.

use std::collections::BTreeMap;
use std::time::Duration;

use super::host::Host;
use super::labs::lab1;
use crate::record::{Cause, Direction};

/// Every counter there is, by name.
fn counters(host: &Host) -> BTreeMap<String, u64> {
    let snapshot = host.engine.snapshot();
    let mut counters = BTreeMap::new();
    for interface in &snapshot.interfaces {
        for probing in &interface.probing {
            for (name, count) in [
                ("sent", probing.sent),
                ("answered", probing.acknowledged),
                ("lost", probing.lost),
                ("unknown", probing.unknown),
                ("missed", probing.missed),
                ("void", probing.void),
                ("confirmations", probing.confirmations),
            ] {
                let name = format!("{} {} {name}", interface.name, probing.family);
                counters.insert(name, count);
            }
        }
    }
    for failures in &snapshot.totals.failures {
        let name = format!("{} failed: {}", failures.interface, failures.cause);
        counters.insert(name, failures.count);
    }
    for outages in &snapshot.totals.outages {
        let name = format!("{} {}", outages.direction, outages.cause);
        counters.insert(name.clone(), outages.count);
        for (what, distribution) in [
            ("detection", &outages.detection),
            ("moved", &outages.moved),
            ("told", &outages.told),
        ] {
            counters.insert(format!("{name} {what}"), distribution.count);
        }
    }
    counters
}

#[test]
fn counters_never_go_back() {
    type Step = (&'static str, fn(&mut Host));
    let steps: [Step; 9] = [
        ("silence", |host| {
            host.silent.insert("ge1".into());
        }),
        ("voice", |host| {
            host.silent.clear();
        }),
        ("link down", |host| host.carrier("ge1", false)),
        ("link up", |host| host.carrier("ge1", true)),
        ("another test address", |host| {
            host.ifconfig("ge1 removeif 192.168.0.89");
            host.ifconfig("ge1 addif 192.168.0.90 deprecated -failover up");
        }),
        ("another group", |host| {
            host.ifconfig("ge1 group other");
        }),
        ("the same group again", |host| {
            host.ifconfig("ge1 group testgrp2");
        }),
        ("unplugged", |host| host.unplug("ge1")),
        ("plugged in", |host| host.plug("ge1")),
    ];
    let mut host = lab1();
    let mut before = counters(&host);
    assert!(before["ge1 IPv4 sent"] > 0);
    for (what, step) in steps {
        step(&mut host);
        for _ in 0..60 {
            host.pass(Duration::from_secs(1));
            let now = counters(&host);
            for (name, count) in &before {
                // An interface that is not there has none; when it is back they go on.
                if let Some(is) = now.get(name) {
                    assert!(is >= count, "{what}: {name} went from {count} to {is}");
                }
            }
            before.extend(now);
        }
    }
    for name in ["ge1 IPv4 lost", "ge1 failed: its link is down"] {
        assert!(before[name] > 0, "{name}: {before:?}");
    }
}

#[test]
fn failovers_and_failbacks_are_counted_by_cause() {
    let mut host = lab1();
    for _ in 0..3 {
        host.carrier("ge1", false);
        host.pass(Duration::from_secs(1));
        host.carrier("ge1", true);
        host.pass(Duration::from_mins(5));
    }
    let totals = host.engine.snapshot().totals;
    let counted: Vec<_> = totals
        .outages
        .iter()
        .map(|one| (one.direction, one.cause, one.count, one.addresses))
        .collect();
    assert_eq!(
        counted,
        [
            (Direction::Failover, Cause::LinkDown, 3, 3),
            (Direction::Failback, Cause::HomeUsable, 3, 3),
        ]
    );
    assert_eq!(totals.outages[0].detection.count, 3);
    assert_eq!(totals.outages[1].detection.count, 0);
    assert_eq!(totals.failures.len(), 1);
    assert_eq!(totals.failures[0].count, 3);
}
