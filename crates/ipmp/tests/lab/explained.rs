//! `ipmp explain` of what the real daemon has: what it says is so, and what it says to type does it.

use ipmp_core::snapshot::InterfaceState;
use libtest_mimic::Failed;

use crate::bed::{Bed, same};
use crate::duplicates::Rival;
use crate::scene::{DATA0, DATA1};

tests![
    what_was_set_down_comes_up_as_explained,
    a_lone_member_has_nobody_to_take_over,
    what_has_the_hardware_address_of_another_comes_back_as_explained,
    standby_takes_over_if_it_can,
    conflict_is_told_of_where_the_address_belongs,
];

const SLOW: u32 = 10_000;

/// What is said, on one line.
fn explained(bed: &Bed, what: &str) -> Result<String, Failed> {
    let told = bed.types(&format!("ipmp explain {what}"))?;
    Ok(told.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Checks that this is said of it.
fn says(bed: &Bed, what: &str, part: &str) -> Result<(), Failed> {
    let told = explained(bed, what)?;
    same(&format!("'{part}' in: {told}"), &told.contains(part), &true)
}

fn what_was_set_down_comes_up_as_explained() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    bed.types("ifconfig ge0 inet6 plumb up")?;
    bed.types("ifconfig ge0 inet6 addif 2001:db8::86/64 up")?;
    bed.types("ifconfig ge0 addif 192.168.0.90")?;
    for (down, address) in [
        ("ifconfig ge0 down", "192.168.0.86"),
        ("ifconfig ge0:1 down", "192.168.0.87"),
        ("ifconfig ge0:1 inet6 down", "2001:db8::86"),
        // It has never been up.
        ("true", "192.168.0.90"),
    ] {
        bed.types(down)?;
        same("in the kernel", &bed.has_address(address)?, &false)?;
        let told = explained(&bed, address)?;
        let is_told = told.contains("It is down") && told.contains("the administrator set it down");
        same(&told, &is_told, &true)?;
        // Nothing is said of where it would go, as it is nowhere.
        same(&told, &told.contains("If ge0 failed"), &false)?;
        let up = told.split_once("To bring it up: ");
        let (_, up) = up.ok_or_else(|| format!("no command in: {told}"))?;
        bed.types(up.trim_end_matches('.'))?;
        same("in the kernel", &bed.has_address(address)?, &true)?;
        let told = explained(&bed, address)?;
        same(&told, &told.contains("down"), &false)?;
    }
    Ok(())
}

fn a_lone_member_has_nobody_to_take_over() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let address = "192.168.0.86";
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    says(&bed, "ge0", "It is the only member of its group")?;
    let nowhere = "it could go nowhere: ge0 is the only member of the group";
    says(&bed, address, nowhere)?;
    bed.ge0.cable.pull()?;
    bed.awaits_state("ge0", InterfaceState::Failed)?;
    let when = "can be reached again when ge0 works";
    says(&bed, address, when)?;
    bed.ge0.cable.heal()?;
    bed.awaits_state("ge0", InterfaceState::Ok)?;
    // Somebody who does not work is nobody either, until it does.
    bed.types("ifconfig ge1 plumb 192.168.0.88 group testgrp2 up")?;
    says(&bed, address, "it would go to another member of the group")?;
    bed.ge1.cable.pull()?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    let broken = "it could go nowhere: no other member of the group works at present";
    says(&bed, address, broken)
}

fn what_has_the_hardware_address_of_another_comes_back_as_explained() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let twin = bed.ge0.mac;
    bed.types(&format!("ifconfig ge1 ether {twin}"))?;
    bed.awaits_state("ge1", InterfaceState::Offline)?;
    bed.awaits_holder(DATA1, "ge0")?;
    let mut way = String::new();
    // The interface, its data address, which is on ge0, and its test address, which is down.
    for what in ["ge1", "192.168.0.88", "192.168.0.89"] {
        let told = explained(&bed, what)?;
        let is_by_itself = "ge1 comes back by itself when its hardware address is its own: ";
        let line = told.split_once(is_by_itself);
        let line = line.and_then(|(_, rest)| rest.split_once(" MAC"));
        let (line, _) = line.ok_or_else(|| format!("no command in: {told}"))?;
        line.clone_into(&mut way);
        // It would be refused.
        same(&told, &told.contains("if_mpadm"), &false)?;
    }
    let refused = bed.host1.run("if_mpadm -r ge1")?;
    same("exit status", &refused.status.code(), &Some(1))?;
    bed.types(&format!("{way} {}", bed.ge1.mac))?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.awaits_holder(DATA1, "ge1")
}

fn standby_takes_over_if_it_can() -> Result<(), Failed> {
    let bed = Bed::lab2(SLOW)?;
    let standby = |what: &str| says(&bed, "ge1", &format!("It is a standby{what}."));
    standby(": it carries nothing until it takes over for another member")?;
    bed.ge1.cable.pull()?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    standby(", and cannot take over until it works again")?;
    bed.ge1.cable.heal()?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.types("if_mpadm -d ge1")?;
    standby(", and cannot take over until it is back in service")?;
    bed.types("if_mpadm -r ge1")?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.types("ipmp move 192.168.0.86 ge1")?;
    bed.awaits_holder(DATA0, "ge1")?;
    standby(", in use for what was moved to it")?;
    bed.types("ipmp move 192.168.0.86 ge0")?;
    bed.awaits_holder(DATA0, "ge0")?;
    bed.ge0.cable.pull()?;
    bed.awaits_holder(DATA0, "ge1")?;
    standby(", and has taken over for another member")?;
    // Now nobody can take it, and it stays.
    bed.ge1.cable.pull()?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    standby(", and keeps what it has of others until another member can take it")
}

fn conflict_is_told_of_where_the_address_belongs() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let rival = Rival::with(&bed, DATA1)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    // Its own link cannot be asked on.
    bed.ge1.cable.pull()?;
    let line = "ifconfig ge1 plumb 192.168.0.88 group testgrp2 up";
    let output = bed.host1.run(line)?;
    let by = format!("by {} on ge0", rival.nic.mac);
    let is_refused = output.stderr.contains(&format!("{DATA1} is in use {by}"));
    same(&output.stderr, &is_refused, &true)?;
    let told = format!("In use by another host: {DATA1} {by}");
    for nic in ["ge0", "ge1"] {
        says(&bed, nic, &told)?;
    }
    Ok(())
}
