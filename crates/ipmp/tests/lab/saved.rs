//! The saved state goes bad while no daemon runs, or finds no room while one does: addresses stay where
//! they are and answer, and it is said what has become of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ipmp_core::InterfaceAddress;
use ipmp_core::asked::Saved;
use ipmp_lab::labs::Moment;
use ipmp_lab::wait_until;
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, reaches, run_directory, same};
use crate::scene::{DATA0, DATA1, Fault, QUICK, loses_nothing};

tests![
    garbage_is_set_aside,
    truncated_state_is_set_aside,
    newer_state_is_set_aside,
    state_of_version_1_is_carried_on,
    full_disk_is_told_once_and_outlived,
];

/// Size of the disk that gets full.
const SIZE: &str = "128k";

/// A file of the run directory, as host1 sees it.
fn path(bed: &Bed, name: &str) -> Result<String, Failed> {
    let path: PathBuf = bed.host1.enter(run_directory)??.path().join(name);
    let path = path.to_str().ok_or("a path of other characters")?;
    Ok(path.to_owned())
}

impl Bed {
    fn addresses(&self) -> Result<BTreeSet<(u32, InterfaceAddress)>, Failed> {
        Ok(self.kernel()?.addresses.into_keys().collect())
    }

    fn awaits_answer_of_both(&self) -> Result<(), Failed> {
        for ip in [DATA0, DATA1] {
            reaches(&self.host2, &ip.to_string())?;
        }
        Ok(())
    }
}

/// A daemon finds this in place of what was saved.
fn is_set_aside(damage: impl Fn(&str) -> String, said: &str) -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let state = path(&bed, "state")?;
    let addresses = bed.addresses()?;
    let pings = [bed.pings(DATA0)?, bed.pings(DATA1)?];
    bed.kills_daemon()?;
    let damaged = damage(&bed.host1.read_file(&state)?);
    bed.host1.write_file(&state, &damaged)?;
    bed.types("in.mpathd")?;
    let aside = format!("{state}.damaged-1");
    bed.awaits_log(&format!("{state} {said}"))?;
    bed.awaits_log(&format!("; set aside as {aside}"))?;
    same(
        "what was set aside",
        &bed.host1.read_file(&aside)?,
        &damaged,
    )?;
    same("addresses", &bed.addresses()?, &addresses)?;
    // Which groups there were is not known any more; that has to be typed again.
    for nic in ["ge0", "ge1"] {
        bed.types(&format!("ifconfig {nic} group testgrp2"))?;
    }
    for ping in pings {
        loses_nothing("ping", &ping.stop()?)?;
    }
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    bed.awaits_answer_of_both()?;
    // What is saved since is good.
    bed.kills_daemon()?;
    bed.types("in.mpathd")?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA1, "ge1")?;
    let complaints = bed.log()?.matches("set aside").count();
    same("complaints", &complaints, &1)
}

fn garbage_is_set_aside() -> Result<(), Failed> {
    is_set_aside(|_| "\u{0}\u{7f}garbage\n".repeat(1000), "is damaged: ")
}

fn truncated_state_is_set_aside() -> Result<(), Failed> {
    let half = |state: &str| state.chars().take(state.len() / 2).collect();
    is_set_aside(half, "is damaged: ")
}

fn newer_state_is_set_aside() -> Result<(), Failed> {
    let (ours, next) = (Saved::VERSION, Saved::VERSION + 1);
    let version = |version| format!("\"version\": {version}");
    is_set_aside(
        |state| state.replacen(&version(ours), &version(next), 1),
        &format!("has format {next}, newer than {ours}"),
    )
}

fn state_of_version_1_is_carried_on() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let state = path(&bed, "state")?;
    bed.kills_daemon()?;
    let mut saved: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&bed.host1.read_file(&state)?)?;
    let was = saved.insert("version".into(), 1.into());
    same("version", &was, &Some(Saved::VERSION.into()))?;
    // A daemon of that version wrote none of these.
    saved.remove("links").ok_or("no links")?;
    for later in ["found", "retired", "unfinished"] {
        saved.remove(later);
    }
    bed.host1
        .write_file(&state, &serde_json::to_string(&saved)?)?;
    bed.types("in.mpathd")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.lists(Moment::Lab1, true)?;
    let log = bed.log()?;
    same("set aside", &log.contains("set aside"), &false)?;
    // What is saved since is of the version of today.
    let version = format!("\"version\": {}", Saved::VERSION);
    wait_until("it is saved", PATIENCE, || {
        let saved = bed.host1.read_file(&state);
        saved.is_ok_and(|saved| saved.contains(&version))
    })?;
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    bed.awaits_answer_of_both()
}

fn full_disk_is_told_once_and_outlived() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    let run = path(&bed, "")?;
    let run = run.trim_end_matches('/');
    // The log has room elsewhere.
    bed.types(&format!(
        "sh -c 'mkdir -p {run} && mount -t tmpfs -o mode=755,size={SIZE} full {run} && \
         touch {run}/log /run/log && mount --bind /run/log {run}/log'"
    ))?;
    bed.sets_up_lab1()?;
    let fills = format!("sh -c 'cat /dev/zero > {run}/filler'");
    same("filled", &bed.host1.run(&fills)?.success(), &false)?;
    let state = format!("{run}/state");
    let before = bed.host1.read_file(&state)?;

    // It goes on, with commands and with failures.
    bed.types("ifconfig ge0 addif 192.168.0.90 up")?;
    let complaint = format!("cannot write {state}: No space left on device");
    bed.awaits_log(&complaint)?;
    for _ in 0..2 {
        bed.fails(Fault::Pull, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA1, "ge1")?;
    }
    bed.awaits_answer_of_both()?;
    let complaints = || Ok::<_, Failed>(bed.log()?.matches(&complaint).count());
    same("complaints", &complaints()?, &1)?;
    same("the old state", &bed.host1.read_file(&state)?, &before)?;
    let is_there = |name: &str| Path::new(run).join(name);
    same(
        "what is left beside it",
        &bed.host1.enter(|| is_there("state.new").exists())?,
        &false,
    )?;

    // The next daemon goes on from there; what it has not been told it sees.
    bed.kills_daemon()?;
    bed.types("in.mpathd")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.awaits_answer_of_both()?;
    reaches(&bed.host2, "192.168.0.90")?;

    // There is room again, and nobody does anything.
    let complained = complaints()?;
    bed.types(&format!("rm {run}/filler"))?;
    bed.awaits_log(&format!("{state} is written again"))?;
    wait_until("it is saved", PATIENCE, || {
        bed.host1
            .read_file(&state)
            .is_ok_and(|state| state.contains("192.168.0.90"))
    })?;
    same("complaints", &complaints()?, &complained)?;
    bed.kills_daemon()?;
    bed.types("in.mpathd")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.types("ifconfig ge0 removeif 192.168.0.90")?;
    bed.lists(Moment::Lab1, true)
}
