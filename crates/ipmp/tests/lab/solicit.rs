//! Probing by ARP and neighbour solicitations, and targets that do not answer echoes as one wishes.

use std::time::Duration;

use ipmp_core::snapshot::{InterfaceState, ProbeState, Probing, Snapshot, TargetMode};
use ipmp_lab::wait_until;
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, find, reaches, same};
use crate::scene::{DATA0, DATA1, Fault, QUICK};

tests![
    a_group_of_data_addresses_is_probed_by_arp,
    a_group_of_inet6_data_addresses_is_probed_by_solicitations,
    a_standby_without_test_address_is_probed_too,
    targets_are_found_in_the_neighbour_table,
    a_target_that_limits_echo_replies_is_no_failure,
    targets_that_ignore_echo_requests_are_told_and_not_blamed_on_nics,
];

/// Two members with data addresses only.
pub(crate) const ONLY_DATA: [&str; 2] = [
    "ifconfig ge0 plumb 192.168.0.86 netmask + broadcast + group g up",
    "ifconfig ge1 plumb 192.168.0.88 netmask + broadcast + group g up",
];

fn mode(snapshot: &Snapshot, nic: &str, family: usize) -> Option<TargetMode> {
    let interface = find(snapshot, nic)?;
    interface.probing.get(family).map(|probing| probing.mode)
}

/// Waits until these are probed so, with success.
pub(crate) fn probed_by(
    bed: &Bed,
    nics: &[&str],
    family: usize,
    wanted: TargetMode,
) -> Result<(), Failed> {
    bed.awaits("all are probed", |snapshot| {
        nics.iter().all(|nic| {
            mode(snapshot, nic, family) == Some(wanted)
                && find(snapshot, nic).is_some_and(|nic| {
                    nic.probe == ProbeState::Ok && nic.probing.iter().any(Probing::is_answered)
                })
        })
    })?;
    Ok(())
}

fn a_group_of_data_addresses_is_probed_by_arp() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    for line in ONLY_DATA {
        bed.types(line)?;
    }
    // Talking to the neighbour makes it known; it is found without any address for tests.
    reaches(&bed.host2, &DATA0.to_string())?;
    probed_by(&bed, &["ge0", "ge1"], 0, TargetMode::Arp)?;
    let targets = bed.types("ipmpstat -nt")?;
    for nic in ["ge0", "ge1"] {
        let row = targets.lines().find(|line| line.starts_with(nic));
        let words: Vec<_> = row.unwrap_or_default().split_whitespace().collect();
        same("row", &words, &vec![nic, "arp", "--", "192.168.0.2"])?;
    }
    bed.fails(Fault::Silence, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    reaches(&bed.host2, &DATA1.to_string())?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA1, "ge1")?;
    Ok(())
}

/// A group of IPv6 data addresses, whose members are probed by solicitations.
pub(crate) fn solicited(detection_ms: u32) -> Result<Bed, Failed> {
    let bed = Bed::new(detection_ms)?;
    bed.host2.configure("ge0", "2001:db8::2/64")?;
    for line in [
        "ifconfig ge0 inet6 plumb group g up",
        "ifconfig ge1 inet6 plumb group g up",
        "ifconfig ge0 inet6 addif 2001:db8::86/64 up",
        "ifconfig ge1 inet6 addif 2001:db8::88/64 up",
    ] {
        bed.types(line)?;
    }
    // Both ends make sure first that nobody else has their addresses.
    wait_until("an answer", PATIENCE, || {
        reaches(&bed.host2, "2001:db8::86").is_ok()
    })?;
    probed_by(&bed, &["ge0", "ge1"], 1, TargetMode::Arp)?;
    Ok(bed)
}

fn a_group_of_inet6_data_addresses_is_probed_by_solicitations() -> Result<(), Failed> {
    let bed = solicited(QUICK)?;
    bed.fails(Fault::Silence, &bed.ge1)?;
    reaches(&bed.host2, "2001:db8::88")?;
    bed.repairs(&bed.ge1).map(|_| ())
}

fn a_standby_without_test_address_is_probed_too() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    bed.types(ONLY_DATA[0])?;
    bed.types("ifconfig ge1 plumb group g standby up")?;
    reaches(&bed.host2, &DATA0.to_string())?;
    probed_by(&bed, &["ge0", "ge1"], 0, TargetMode::Arp)?;
    // It is known to be broken before it is needed.
    bed.fails(Fault::Silence, &bed.ge1)?;
    bed.repairs(&bed.ge1)?;
    bed.fails(Fault::Silence, &bed.ge0)?;
    bed.awaits_holder(DATA0, "ge1")?;
    reaches(&bed.host2, &DATA0.to_string())
}

fn targets_are_found_in_the_neighbour_table() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    // As Linux does by default.
    bed.host2
        .set_sysctl("net/ipv4/icmp_echo_ignore_broadcasts", "1")?;
    for line in ipmp_lab::labs::LAB1 {
        bed.types(line)?;
    }
    bed.awaits_state("ge0", InterfaceState::Unknown)?;
    reaches(&bed.host2, &DATA0.to_string())?;
    probed_by(&bed, &["ge0", "ge1"], 0, TargetMode::Multicast)?;
    bed.fails(Fault::Silence, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    Ok(())
}

fn a_target_that_limits_echo_replies_is_no_failure() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    // Echo replies are type 0: one a second to each of us, and seven are asked for.
    bed.host2.set_sysctl("net/ipv4/icmp_ratelimit", "1000")?;
    bed.host2.set_sysctl("net/ipv4/icmp_ratemask", "1")?;
    let sent = probes_sent(&bed, "ge1")?;
    bed.awaits("a hundred probes more", |snapshot| {
        find(snapshot, "ge1").is_some_and(|nic| {
            nic.probing
                .iter()
                .any(|probing| probing.sent > sent + 100 && probing.confirmations > 3)
        })
    })?;
    bed.never_says(0, "failure")?;
    // The cable that breaks is found all the same.
    bed.fails(Fault::Silence, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    Ok(())
}

fn targets_that_ignore_echo_requests_are_told_and_not_blamed_on_nics() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.host2.set_sysctl("net/ipv4/icmp_echo_ignore_all", "1")?;
    for nic in ["ge0", "ge1"] {
        bed.awaits_log(&format!("The probe targets of {nic} answer ARP"))?;
    }
    bed.never_says(0, "failure detected")?;
    bed.never_says(0, "failed")?;
    bed.host2.set_sysctl("net/ipv4/icmp_echo_ignore_all", "0")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.fails(Fault::Silence, &bed.ge1).map(|_: Duration| ())
}

fn probes_sent(bed: &Bed, nic: &str) -> Result<u64, Failed> {
    let snapshot = bed.snapshot()?;
    let interface = find(&snapshot, nic).ok_or("no such interface")?;
    Ok(interface.probing.iter().map(|probing| probing.sent).sum())
}
