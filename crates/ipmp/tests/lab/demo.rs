//! `ipmp demo`, as a newcomer plays it.

use std::process::Command;

use libtest_mimic::Failed;

use crate::bed::{PROGRAM, same};

tests![each_lab_can_be_played_alone];

fn each_lab_can_be_played_alone() -> Result<(), Failed> {
    for lab in ["1", "2"] {
        let output = Command::new(PROGRAM)
            .args(["demo", "--lab", lab])
            .output()?;
        let told = String::from_utf8_lossy(&output.stdout);
        let played = (output.status.success(), told.contains(" 0 failed"));
        same(&format!("lab {lab}: {told}"), &played, &(true, true))?;
    }
    Ok(())
}
