//! What operators look at: events, outages, JSON.

use ipmp_core::record::{Cause, Direction};
use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::wait_until;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::bed::{Bed, PATIENCE, same};

tests![
    events_tell_what_changed_and_why,
    outages_are_accounted_for_and_in_order,
    ipmpstat_json_says_what_its_tables_say,
];

/// The events so far, each as its object.
fn events(bed: &Bed) -> Result<Vec<Value>, Failed> {
    let lines = bed.types("ipmp events --json")?;
    let events = lines.lines().map(serde_json::from_str);
    Ok(events.collect::<Result<_, _>>()?)
}

/// Waits for as many outages that are over.
fn awaits_outages(bed: &Bed, count: usize) -> Result<(), Failed> {
    bed.awaits(&format!("{count} outages"), |snapshot| {
        let outages = snapshot.outages.iter();
        outages.filter(|outage| outage.told.is_some()).count() == count
    })?;
    Ok(())
}

fn events_tell_what_changed_and_why() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    let before = events(&bed)?.len();
    bed.ge1.cable.pull()?;
    awaits_outages(&bed, 1)?;
    let told = events(&bed)?;
    let new = told.get(before..).unwrap_or_default();
    let texts: Vec<_> = new
        .iter()
        .filter_map(|event| event["text"].as_str())
        .collect();
    same(
        "events after the cable was pulled",
        texts.get(..4).unwrap_or_default(),
        [
            "link of ge1 is down",
            "ge1 is failed: its link is down",
            "group testgrp2 is degraded: ge1: its link is down",
            "192.168.0.88 went from ge1 to ge0: the interface failed",
        ]
        .as_slice(),
    )?;
    let last = new.last().ok_or("no events")?;
    same("kind of the last", &last["kind"], &"outage")?;
    for (event, sequence) in told.iter().zip(1_u64..) {
        same("sequence", &event["sequence"], &sequence)?;
    }
    Ok(())
}

fn outages_are_accounted_for_and_in_order() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    bed.ge1.cable.silence();
    awaits_outages(&bed, 1)?;
    bed.ge1.cable.unsilence();
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    awaits_outages(&bed, 2)?;
    let outages = bed.snapshot()?.outages;
    let [failover, failback] = outages.as_slice() else {
        return Err(format!("{outages:?}").into());
    };
    same("cause", &failover.cause, &Cause::ProbesLost)?;
    same("direction", &failback.direction, &Direction::Failback)?;
    let detection = failover.detection.ok_or("detection is unknown")?;
    // Five probes of a second's fifth each, and what a loaded machine makes of it.
    if detection.is_zero() || detection > PATIENCE {
        return Err(format!("detected in {detection:?}").into());
    }
    for outage in &outages {
        if outage.moved > outage.told || outage.moved.is_none() {
            return Err(format!("told before it was there: {outage:?}").into());
        }
    }
    Ok(())
}

fn ipmpstat_json_says_what_its_tables_say() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    bed.ge1.cable.pull()?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    awaits_outages(&bed, 1)?;
    let document: Value = serde_json::from_str(&bed.types("ipmpstat --json -a")?)?;
    let addresses = document
        .pointer("/addresses")
        .and_then(Value::as_array)
        .ok_or("no addresses")?;
    let inbound: Vec<_> = addresses
        .iter()
        .filter_map(|a| a["inbound"].as_str())
        .collect();
    let table = bed.types("ipmpstat -nP -o inbound -a")?;
    same("inbound", &inbound, &table.lines().collect::<Vec<_>>())?;
    same("inbound", &inbound, &["ge0", "ge0"])?;
    // Watched through a pipe that is closed it ends by itself.
    wait_until("the end of ipmpstat --watch", PATIENCE, || {
        bed.types("sh -c 'ipmpstat -g --watch=0.1 | head -n 3'")
            .is_ok()
    })?;
    Ok(())
}
