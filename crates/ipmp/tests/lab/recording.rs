//! What a daemon recorded, `ipmp replay` decides again.
//!
//! The three recordings are those of `crates/ipmp-tools/tests/recordings`: with `IPMP_RECORDINGS`
//! naming that directory, they are written there.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, same, unhurried};
use crate::scene::{DATA1, Fault};

tests![
    recording_of_a_pulled_cable,
    recording_of_a_silent_failure,
    recording_of_a_flapping_nic,
    recording_ends_at_its_size_and_the_daemon_goes_on,
    recording_asked_for_by_option,
    recording_that_cannot_be_harms_nothing,
];

/// Below `/run`, as that is the host's own.
const FILE: &str = "/run/ipmp-events";

/// Slow enough for the recording to stay small.
const UNHURRIED: u32 = 2000;

impl Bed {
    /// Ends the daemon and replays what it recorded; the timeline. Kept under `name` where recordings
    /// are asked for.
    fn replays(&self, name: Option<&str>) -> Result<String, Failed> {
        self.signals_daemon(Signal::SIGTERM)?;
        self.awaits_no_daemon()?;
        let told = self.types(&format!("ipmp replay {FILE}"))?;
        let last = told.lines().last().unwrap_or_default();
        if !last.starts_with("same decisions: ") || !last.ends_with("; the daemon ends") {
            return Err(format!("the last line is: {last}").into());
        }
        if let (Some(name), Some(directory)) = (name, env::var_os("IPMP_RECORDINGS")) {
            let (bytes, _) = self.recorded()?;
            let path = Path::new(&directory).join(name);
            fs::write(path.with_extension("jsonl"), bytes)?;
            fs::write(path.with_extension("txt"), &told)?;
        }
        Ok(told)
    }

    /// What was recorded, and the mode of the file.
    fn recorded(&self) -> Result<(Vec<u8>, u32), Failed> {
        let read = self
            .host1
            .enter(|| Ok::<_, std::io::Error>((fs::read(FILE)?, fs::metadata(FILE)?.mode())))?;
        Ok(read?)
    }
}

/// Fails unless a timeline has these texts at line ends, in this order.
fn tells(told: &str, expected: &[&str]) -> Result<(), Failed> {
    let mut lines = told.lines();
    for expected in expected {
        if !lines.any(|line| line.ends_with(expected)) {
            return Err(format!("'{expected}' is not told, or not in its place:\n{told}").into());
        }
    }
    Ok(())
}

fn recording_of_a_pulled_cable() -> Result<(), Failed> {
    let bed = Bed::lab1_with(UNHURRIED, &format!("record = \"{FILE}\"\n"))?;
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_log("Successfully failed back to NIC ge1")?;
    let told = bed.replays(Some("pull"))?;
    same("mode", &(bed.recorded()?.1 & 0o777), &0o600)?;
    tells(
        &told,
        &[
            "The link has gone down on ge1",
            "NIC failure detected on ge1 of group testgrp2",
            "Successfully failed over from NIC ge1 to NIC ge0",
            "The link has come up on ge1",
            "NIC repair detected on ge1 of group testgrp2",
            "Successfully failed back to NIC ge1",
        ],
    )?;
    tells(&told, &["ge1: ok -> failed", "ge1: failed -> ok"])
}

fn recording_of_a_silent_failure() -> Result<(), Failed> {
    let bed = Bed::lab1_with(UNHURRIED, &format!("record = \"{FILE}\"\n"))?;
    bed.fails(Fault::Silence, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_log("Successfully failed back to NIC ge1")?;
    let told = bed.replays(Some("silent"))?;
    tells(
        &told,
        &[
            "NIC failure detected on ge1 of group testgrp2",
            "Successfully failed over from NIC ge1 to NIC ge0",
            "NIC repair detected on ge1 of group testgrp2",
            "Successfully failed back to NIC ge1",
        ],
    )?;
    same("link changes told", &told.contains("The link"), &false)
}

fn recording_of_a_flapping_nic() -> Result<(), Failed> {
    let bed = Bed::lab1_with(UNHURRIED, &format!("record = \"{FILE}\"\n"))?;
    for _ in 0..3 {
        bed.fails(Fault::Pull, &bed.ge1)?;
        bed.repairs(&bed.ge1)?;
    }
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_log("NIC ge1 fails again and again; failback is held")?;
    let told = bed.replays(Some("flapping"))?;
    let held = told.contains("NIC ge1 fails again and again; failback is held");
    same("the hold is told", &held, &true)
}

fn recording_ends_at_its_size_and_the_daemon_goes_on() -> Result<(), Failed> {
    let bed = Bed::lab1_with(
        UNHURRIED,
        &format!("record = \"{FILE}\"\nrecord-limit = \"64KiB\"\n"),
    )?;
    // Commands fill it.
    while !bed.log()?.contains("ended: it has the size it may have") {
        bed.types("ifconfig ge0 addif 192.168.0.95 up")?;
        bed.types("ifconfig ge0 removeif 192.168.0.95")?;
    }
    let (bytes, _) = bed.recorded()?;
    same(
        "it is not longer than it may be",
        &(bytes.len() <= 64 << 10),
        &true,
    )?;
    let told = bed.types(&format!("ipmp replay {FILE}"))?;
    let is_replayed = told.ends_with("; it has the size it may have\n");
    same("it can be replayed", &is_replayed, &true)?;
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    let said = bed.log()?.matches("recording to").count();
    same("messages about recording", &said, &2)
}

fn recording_asked_for_by_option() -> Result<(), Failed> {
    let bed = Bed::new(UNHURRIED)?;
    // What an earlier daemon recorded is kept.
    bed.host1.write_file(FILE, "earlier\n")?;
    bed.types(&format!("in.mpathd -r {FILE}"))?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    let told = bed.replays(None)?;
    tells(&told, &["ge0: ok"])?;
    let earlier = bed
        .host1
        .enter(|| fs::read_to_string(format!("{FILE}.old")))?;
    same("what was there", earlier?.as_str(), "earlier\n")
}

fn recording_that_cannot_be_harms_nothing() -> Result<(), Failed> {
    let bed = Bed::new(UNHURRIED)?;
    bed.host1
        .enter(|| std::os::unix::fs::symlink("/etc/default/mpathd", FILE))??;
    bed.host1.write_file(
        "/etc/ipmp.toml",
        &format!("[daemon]\nrecord = \"{FILE}\"\n"),
    )?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    bed.awaits_log(&format!("cannot record to {FILE}: something is there"))?;
    let mpathd = bed
        .host1
        .enter(|| fs::read_to_string("/etc/default/mpathd"))??;
    same(
        "what the link points to",
        mpathd.as_str(),
        &unhurried(UNHURRIED),
    )
}
