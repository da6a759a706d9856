//! NICs whose link comes a while after they were put up, as that of hardware does, or not at all.

use libtest_mimic::Failed;

use crate::bed::{Bed, find, reaches, same};
use crate::duplicates::Rival;
use crate::scene::{DATA0, QUICK};
use crate::tap::Tap;

tests![
    others_are_asked_when_the_link_comes,
    a_link_that_does_not_come_is_waited_for_so_long,
];

/// A host that boots with its cable out.
fn booting() -> Result<Bed, Failed> {
    let bed = Bed::new(QUICK)?;
    let text = format!("{DATA0} group testgrp2 up\n");
    bed.host1.write_file("/etc/hostname.ge0", &text)?;
    bed.ge0.cable.pull()?;
    Ok(bed)
}

fn others_are_asked_when_the_link_comes() -> Result<(), Failed> {
    let bed = booting()?;
    let rival = Rival::with(&bed, DATA0)?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    let output = std::thread::scope(|scope| {
        let boot = scope.spawn(|| bed.host1.run("ipmp boot"));
        bed.awaits("ge0 is to have its address", |seen| {
            let ge0 = find(seen, "ge0");
            ge0.is_some_and(|ge0| ge0.logicals.iter().any(|one| one.address.ip == DATA0))
        })?;
        bed.ge0.cable.plug()?;
        Ok::<_, Failed>(boot.join().map_err(|_| "the boot broke off")??)
    })?;
    same("success", &output.success(), &false)?;
    let told = format!("{DATA0} is in use by {} on ge0", rival.nic.mac);
    same(&output.stderr, &output.stderr.contains(&told), &true)?;
    same("holders", &bed.holders(DATA0)?, &Vec::<String>::new())?;
    // The other one is not disturbed.
    let announced = tap.announcements(DATA0, bed.ge0.mac);
    same("announcements", &announced.len(), &0)?;
    reaches(&bed.host2, &DATA0.to_string())
}

fn a_link_that_does_not_come_is_waited_for_so_long() -> Result<(), Failed> {
    let bed = booting()?;
    bed.types("ipmp boot")?;
    same("holders", &bed.holders(DATA0)?, &vec!["ge0".to_owned()])?;
    bed.awaits_log(&format!(
        "Address {DATA0} was brought up without asking other hosts: no link"
    ))?;
    Ok(())
}
