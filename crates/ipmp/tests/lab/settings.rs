//! `/etc/default/mpathd`: the daemon's settings, good and bad, and when they are read.

use std::time::Duration;

use ipmp_core::Snapshot;
use ipmp_core::snapshot::{Group, InterfaceState};
use ipmp_lab::labs::{LAB1, Moment, comparable};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, find, same};
use crate::scene::{Fault, QUICK};

const SLOW: u32 = 10_000;

tests![
    mpathd_missing_means_defaults,
    mpathd_detection_time_in_all_its_forms,
    mpathd_bad_detection_times_are_named_and_replaced,
    mpathd_bad_yes_or_no_is_named_and_yes_used,
    mpathd_failback_no_leaves_addresses_until_hup_says_yes,
    mpathd_track_no_watches_nics_outside_groups,
    mpathd_is_read_again_on_hup_only,
    toml_sets_one_group_and_not_the_other,
    toml_with_an_error_changes_nothing,
    toml_with_an_error_does_not_keep_the_daemon_from_starting,
    check_says_what_the_daemon_would,
    hup_forgets_no_probe,
    hup_does_not_delay_a_repair,
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

fn toml_sets_one_group_and_not_the_other() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1.write_file(
        "/etc/ipmp.toml",
        "[defaults]\nfailure-detection-time = \"5s\"\n\
         [group.fast]\nfailure-detection-time = \"50ms\"\n",
    )?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group fast up")?;
    bed.types("ifconfig ge0 addif 192.168.0.87 deprecated -failover up")?;
    bed.types("ifconfig ge1 plumb 192.168.0.88 group slow up")?;
    bed.types("ifconfig ge1 addif 192.168.0.89 deprecated -failover up")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    let seen = bed.snapshot()?;
    let of = |name: &str| {
        let named = |group: &&Group| group.name.as_ref().is_some_and(|n| n.as_str() == name);
        let group = seen.groups.iter().find(named);
        group.and_then(|group| group.failure_detection_time)
    };
    // A busy machine may have made it grow already, but not to that of the others.
    let fast = of("fast").unwrap_or(Duration::MAX);
    same("fast", &(fast < Duration::from_secs(5)), &true)?;
    same("slow", &of("slow"), &Some(Duration::from_secs(5)))
}

fn toml_with_an_error_changes_nothing() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    bed.settings("FAILURE_DETECTION_TIME=3000\n")?;
    bed.host1.write_file(
        "/etc/ipmp.toml",
        "[defaults]\nfailure-detection-time = \"2s\"\nhold-dwon = \"1s\"\n",
    )?;
    bed.signals_daemon(Signal::SIGHUP)?;
    bed.awaits_log(
        "/etc/ipmp.toml:3: unknown key 'hold-dwon' in [defaults]; did you mean 'hold-down'?",
    )?;
    bed.awaits_log("/etc/ipmp.toml: not used; all settings stay")?;
    same(
        "detection time",
        &detection(&bed.snapshot()?),
        &Some(Duration::from_secs(10)),
    )?;
    bed.host1.write_file(
        "/etc/ipmp.toml",
        "[defaults]\nfailure-detection-time = \"2s\"\n",
    )?;
    bed.signals_daemon(Signal::SIGHUP)?;
    bed.awaits("2 s", |seen| {
        detection(seen) == Some(Duration::from_secs(2))
    })?;
    bed.host1.remove_file("/etc/ipmp.toml")?;
    bed.signals_daemon(Signal::SIGHUP)?;
    bed.awaits("3 s", |seen| {
        detection(seen) == Some(Duration::from_secs(3))
    })?;
    Ok(())
}

fn toml_with_an_error_does_not_keep_the_daemon_from_starting() -> Result<(), Failed> {
    let bed = Bed::new(3000)?;
    bed.host1
        .write_file("/etc/ipmp.toml", "[defaults]\nfailback = \"no\"\n")?;
    for line in LAB1 {
        bed.types(line)?;
    }
    bed.awaits_log("/etc/ipmp.toml:2: failback: true or false, not \"no\"")?;
    bed.awaits_log("/etc/ipmp.toml: not used; starting without it")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    same(
        "detection time",
        &detection(&bed.snapshot()?),
        &Some(Duration::from_secs(3)),
    )
}

fn check_says_what_the_daemon_would() -> Result<(), Failed> {
    let bed = Bed::new(3000)?;
    bed.host1
        .write_file("/etc/ipmp.toml", "[group.web]\nfailback = 1\n")?;
    let output = bed.host1.run("ipmp check")?;
    same("exit status", &output.status.code(), &Some(1))?;
    let complaint = "ipmp: /etc/ipmp.toml:2: failback: true or false, not 1";
    let told = output.stderr.lines().any(|line| line == complaint);
    same(&format!("complaint in {}", output.stderr), &told, &true)?;
    bed.host1
        .write_file("/etc/ipmp.toml", "[group.web]\nfailback = false\n")?;
    let listing = bed.types("ipmp check")?;
    for line in [
        "  failure-detection-time  3s              /etc/default/mpathd:1",
        "  failback                no              /etc/ipmp.toml:2",
    ] {
        let listed = listing.lines().any(|listed| listed == line);
        same(&format!("'{line}' in {listing}"), &listed, &true)?;
    }
    Ok(())
}

fn hup_forgets_no_probe() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.fails(Fault::Silence, &bed.ge1)?;
    let before = bed.snapshot()?;
    let said = bed.messages()?.len();
    bed.settings(&format!("FAILURE_DETECTION_TIME={}\n", QUICK + 500))?;
    bed.host1.write_file(
        "/etc/ipmp.toml",
        "[group.testgrp2]\nquiet-period = \"1s\"\n",
    )?;
    bed.signals_daemon(Signal::SIGHUP)?;
    let wanted = Some(Duration::from_millis(u64::from(QUICK + 500)));
    bed.awaits("the other detection time", |seen| detection(seen) == wanted)?;
    let after = bed.snapshot()?;
    for nic in ["ge0", "ge1"] {
        let (before, after) = (counted(&before, nic), counted(&after, nic));
        let goes_on = before.0 > 0 && after.0 >= before.0 && after.1 >= before.1;
        let what = format!("{nic}: sent and answered, {before:?} before and {after:?} after");
        same(&what, &goes_on, &true)?;
    }
    same(
        "state of ge1",
        &find(&after, "ge1").map(|ge1| ge1.state),
        &Some(InterfaceState::Failed),
    )?;
    for message in ["NIC failure", "NIC repair", "failed over", "failed back"] {
        bed.never_says(said, message)?;
    }
    Ok(())
}

/// A repair takes ten answers. With settings read anew after every third, it would never come if
/// what was answered before were forgotten.
fn hup_does_not_delay_a_repair() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.fails(Fault::Silence, &bed.ge1)?;
    bed.ge1.cable.heal()?;
    let mut answered = counted(&bed.snapshot()?, "ge1").1;
    let is_ok =
        |seen: &Snapshot| find(seen, "ge1").is_some_and(|ge1| ge1.state == InterfaceState::Ok);
    for round in 0.. {
        bed.awaits("three answers, or the repair", |seen| {
            is_ok(seen) || counted(seen, "ge1").1 >= answered + 3
        })?;
        let seen = bed.snapshot()?;
        if is_ok(&seen) {
            return same("read again meanwhile", &(round > 0), &true);
        }
        same("rounds without a repair", &(round > 10), &false)?;
        answered = counted(&seen, "ge1").1;
        let time = QUICK + 100 * (1 + round % 2);
        bed.settings(&format!("FAILURE_DETECTION_TIME={time}\n"))?;
        bed.signals_daemon(Signal::SIGHUP)?;
        let wanted = Some(Duration::from_millis(u64::from(time)));
        bed.awaits("the other detection time", |seen| {
            is_ok(seen) || detection(seen) == wanted
        })?;
    }
    Ok(())
}

/// Probes sent and answered on an interface.
fn counted(snapshot: &Snapshot, nic: &str) -> (u64, u64) {
    let probing = find(snapshot, nic).and_then(|nic| nic.probing.first());
    probing.map_or((0, 0), |probing| (probing.sent, probing.acknowledged))
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
