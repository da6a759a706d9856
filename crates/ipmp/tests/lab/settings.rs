//! `/etc/default/mpathd`: the daemon's settings, good and bad, and when they are read.

use std::time::Duration;

use ipmp_core::Snapshot;
use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::labs::{LAB1, Moment, comparable};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, find, same};

const SLOW: u32 = 10_000;

tests![
    mpathd_missing_means_defaults,
    mpathd_detection_time_in_all_its_forms,
    mpathd_bad_detection_times_are_named_and_replaced,
    mpathd_bad_yes_or_no_is_named_and_yes_used,
    mpathd_failback_no_leaves_addresses_until_hup_says_yes,
    mpathd_track_no_watches_nics_outside_groups,
    mpathd_is_read_again_on_hup_only,
];

fn mpathd_missing_means_defaults() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1.remove_file("/etc/default/mpathd")?;
    for line in LAB1 {
        bed.types(line)?;
    }
    bed.types("ifconfig ge0 group ''")?;
    let seen = bed.awaits_probes(&["ge1"]).and_then(|_| bed.snapshot())?;
    same(
        "detection time",
        &detection(&seen),
        &Some(Duration::from_secs(10)),
    )?;
    same(
        "ge0, in no group, is watched",
        &find(&seen, "ge0").map(|ge0| ge0.tracked),
        &Some(false),
    )
}

fn mpathd_detection_time_in_all_its_forms() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    for (text, ms) in [
        ("FAILURE_DETECTION_TIME=2000", 2000),
        ("# a comment\n\nfailure_detection_time=3000\n", 3000),
        ("FAILURE_DETECTION_TIME=0x7d0", 2000),
        ("FAILURE_DETECTION_TIME=010000", 4096),
        ("FAILURE_DETECTION_TIME=100", 100),
        ("FAILURE_DETECTION_TIME=3600000", 3_600_000),
        ("", 10_000),
    ] {
        bed.settings(text)?;
        bed.signals_daemon(Signal::SIGHUP)?;
        bed.awaits(&format!("{ms} ms for '{text}'"), |seen| {
            detection(seen) == Some(Duration::from_millis(ms))
        })?;
    }
    Ok(())
}

fn mpathd_bad_detection_times_are_named_and_replaced() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    for (value, ms, complaint) in [
        (
            "0",
            10_000,
            "invalid failure detection time '0'; using 10000 ms",
        ),
        (
            "-1",
            10_000,
            "invalid failure detection time '-1'; using 10000 ms",
        ),
        (
            "soon",
            10_000,
            "invalid failure detection time 'soon'; using 10000 ms",
        ),
        (
            "50",
            100,
            "failure detection time '50' is too small; using minimum of 100 ms",
        ),
    ] {
        // Away from what the bad value shall lead to.
        bed.settings("FAILURE_DETECTION_TIME=5000\n")?;
        bed.signals_daemon(Signal::SIGHUP)?;
        bed.awaits("5 s", |seen| {
            detection(seen) == Some(Duration::from_secs(5))
        })?;
        bed.settings(&format!("# settings\nFAILURE_DETECTION_TIME={value}\n"))?;
        bed.signals_daemon(Signal::SIGHUP)?;
        bed.awaits_log(&format!("/etc/default/mpathd:2: {complaint}"))?;
        bed.awaits(&format!("{ms} ms"), |seen| {
            detection(seen) == Some(Duration::from_millis(ms))
        })?;
    }
    Ok(())
}

fn mpathd_bad_yes_or_no_is_named_and_yes_used() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.settings(
        "FAILURE_DETECTION_TIME=1000\nFAILBACK=perhaps\nTRACK_INTERFACES_ONLY_WITH_GROUPS=1\n",
    )?;
    for line in LAB1 {
        bed.types(line)?;
    }
    bed.awaits_log("mpathd:2: invalid value 'perhaps' for FAILBACK, not yes or no; using yes")?;
    bed.awaits_log(
        "mpathd:3: invalid value '1' for TRACK_INTERFACES_ONLY_WITH_GROUPS, not yes or no; using yes",
    )?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.ge1.cable.pull()?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    bed.ge1.cable.plug()?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    lists(&bed, &Moment::Lab1.listing(true))
}

fn mpathd_failback_no_leaves_addresses_until_hup_says_yes() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.settings("FAILURE_DETECTION_TIME=1000\nFAILBACK=no\n")?;
    for line in LAB1 {
        bed.types(line)?;
    }
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.ge1.cable.pull()?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    bed.ge1.cable.plug()?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    same(
        "192.168.0.88 is on ge0:2",
        &bed.entry("ge0:2")?.contains("inet 192.168.0.88 "),
        &true,
    )?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "49000842")?;
    same("flags of ge1:1", bed.flags("ge1:1")?.as_str(), "49040843")?;
    bed.settings("FAILURE_DETECTION_TIME=1000\nFAILBACK=yes\n")?;
    bed.signals_daemon(Signal::SIGHUP)?;
    bed.awaits("192.168.0.88 is home", |seen| {
        find(seen, "ge1").is_some_and(|ge1| ge1.logicals.iter().all(|l| !l.placeholder))
    })?;
    lists(&bed, &Moment::Lab1.listing(true))
}

fn mpathd_track_no_watches_nics_outside_groups() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.settings("FAILURE_DETECTION_TIME=1000\nTRACK_INTERFACES_ONLY_WITH_GROUPS=no\n")?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    bed.types("ifconfig ge1 plumb 192.168.0.88 up")?;
    bed.ge1.cable.pull()?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    // It is reported, and nothing moves.
    same("flags of ge1", bed.flags("ge1")?.as_str(), "11000803")?;
    same(
        "192.168.0.88 is on ge1",
        &bed.entry("ge1")?.contains("inet 192.168.0.88 "),
        &true,
    )?;
    let log = bed.log()?;
    let told = log
        .lines()
        .any(|line| line.ends_with("NIC failure detected on ge1"));
    same("failure of ge1, of no group, in the log", &told, &true)?;
    bed.ge1.cable.plug()?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "1000843")
}

fn mpathd_is_read_again_on_hup_only() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let (pids, before) = (bed.host1.pids_of("in.mpathd")?, bed.types("ifconfig -a")?);
    bed.settings("FAILURE_DETECTION_TIME=3000\n")?;
    // A change of anything else does not make it look.
    bed.types("ifconfig ge0 addif 192.168.0.95 up")?;
    bed.types("ifconfig ge0 removeif 192.168.0.95")?;
    same(
        "before HUP",
        &detection(&bed.snapshot()?),
        &Some(Duration::from_secs(10)),
    )?;
    bed.signals_daemon(Signal::SIGHUP)?;
    bed.awaits("3 s", |seen| {
        detection(seen) == Some(Duration::from_secs(3))
    })?;
    same("daemons", &bed.host1.pids_of("in.mpathd")?, &pids)?;
    same("ifconfig -a", &bed.types("ifconfig -a")?, &before)
}

/// The failure detection time of the first group.
fn detection(snapshot: &Snapshot) -> Option<Duration> {
    snapshot.groups.first()?.failure_detection_time
}

/// Checks the listing but for what differs from host to host.
fn lists(bed: &Bed, expected: &str) -> Result<(), Failed> {
    same(
        "ifconfig -a",
        comparable(&bed.types("ifconfig -a")?).as_str(),
        expected,
    )
}
