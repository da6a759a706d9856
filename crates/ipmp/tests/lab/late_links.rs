//! NICs whose link comes a while after they were put up, as that of hardware does, or not at all.

use std::net::IpAddr;

use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::labs::{LAB1, LAB2};
use libtest_mimic::Failed;

use crate::bed::{Bed, find, reaches, same};
use crate::duplicates::Rival;
use crate::files::{LAB1_GE0, LAB1_GE1, LAB2_GE1, boots};
use crate::scene::{DATA0, DATA1, QUICK, TEST0, TEST1, fd};
use crate::tap::Tap;

tests![
    others_are_asked_when_the_link_comes,
    a_link_that_does_not_come_is_waited_for_so_long,
    a_cable_that_is_out_at_boot_costs_no_address,
    a_cable_that_is_out_at_boot_costs_no_inet6_address,
    a_nic_without_a_cable_is_configured_like_any_other,
];

/// Where the addresses of the labs are at home, and whether they are data addresses.
const LAB1_HOMES: [(&str, IpAddr, bool); 4] = [
    ("ge0", IpAddr::V4(DATA0), true),
    ("ge0", IpAddr::V4(TEST0), false),
    ("ge1", IpAddr::V4(DATA1), true),
    ("ge1", IpAddr::V4(TEST1), false),
];
const LAB2_HOMES: [(&str, IpAddr, bool); 3] = [
    ("ge0", IpAddr::V4(DATA0), true),
    ("ge0", IpAddr::V4(TEST0), false),
    ("ge1", IpAddr::V4(DATA1), false),
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

fn a_cable_that_is_out_at_boot_costs_no_address() -> Result<(), Failed> {
    for nic in ["ge0", "ge1"] {
        let files = [("ge0", LAB1_GE0), ("ge1", LAB1_GE1)];
        lacks(nic, &LAB1_HOMES, |bed| boots(bed, &files))?;
        let files = [("ge0", LAB1_GE0), ("ge1", LAB2_GE1)];
        lacks(nic, &LAB2_HOMES, |bed| boots(bed, &files))?;
        // Of several lines, and with a test address that is up before it is one.
        lacks(nic, &LAB1_HOMES, |bed| {
            let file = |data, test| {
                format!(
                    "{data} group testgrp2 up\nnetmask + broadcast +\n\
                     addif {test} up deprecated -failover\n"
                )
            };
            let (ge0, ge1) = (file(DATA0, TEST0), file(DATA1, TEST1));
            boots(bed, &[("ge0", ge0.as_str()), ("ge1", ge1.as_str())])
        })?;
    }
    Ok(())
}

fn a_cable_that_is_out_at_boot_costs_no_inet6_address() -> Result<(), Failed> {
    let homes: Vec<(&str, IpAddr, bool)> = vec![
        ("ge0", fd(0x86).into(), true),
        ("ge1", fd(0x88).into(), true),
        ("ge0", DATA0.into(), true),
    ];
    for nic in ["ge0", "ge1"] {
        lacks(nic, &homes, |bed| {
            bed.host2.configure("ge0", "fd00::2/64")?;
            for (nic, last) in [("ge0", "86"), ("ge1", "88")] {
                // It is brought up after its lines, whether or not that was said.
                let text = format!("fd00::{last}/64 group testgrp2 up\n");
                bed.host1
                    .write_file(&format!("/etc/hostname6.{nic}"), &text)?;
            }
            let ge0 = format!("{DATA0} group testgrp2 up\n");
            boots(bed, &[("ge0", ge0.as_str()), ("ge1", "group testgrp2\n")])
        })?;
    }
    Ok(())
}

fn a_nic_without_a_cable_is_configured_like_any_other() -> Result<(), Failed> {
    let by_hand = |bed: &Bed, lines: &[&str]| {
        let mut lines = lines.iter();
        lines.try_for_each(|line| bed.types(line).map(drop))
    };
    for nic in ["ge0", "ge1"] {
        lacks(nic, &LAB1_HOMES, |bed| by_hand(bed, &LAB1))?;
        lacks(nic, &LAB2_HOMES, |bed| by_hand(bed, &LAB2))?;
    }
    Ok(())
}

/// Configures a host while the cable of a NIC is out, and plugs it in.
fn lacks(
    nic: &str,
    homes: &[(&str, IpAddr, bool)],
    configure: impl Fn(&Bed) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    let (lacking, other) = match nic {
        "ge0" => (&bed.ge0, "ge1"),
        _ => (&bed.ge1, "ge0"),
    };
    lacking.cable.pull()?;
    configure(&bed)?;
    for &(home, ip, is_data) in homes {
        let expected = if is_data { other } else { home };
        let what = format!("holders of {ip} without {nic}");
        same(&what, &bed.holders(ip)?, &vec![expected.to_owned()])?;
        if is_data {
            reaches(&bed.host2, &ip.to_string())?;
        }
    }
    lacking.cable.plug()?;
    bed.awaits_state(nic, InterfaceState::Ok)?;
    for &(home, ip, _) in homes {
        bed.awaits_holder(ip, home)?;
    }
    Ok(())
}
