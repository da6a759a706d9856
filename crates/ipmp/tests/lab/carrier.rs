//! NICs as those of hardware are: the kernel may tell up to a second late that they lost their carrier.

use std::time::{Duration, Instant};

use ipmp_lab::{Host, wait_until};
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, same};
use crate::scene::{DATA0, DATA1, QUICK, by_hand};

tests![a_cable_pulled_after_another_event_is_found_by_asking];

/// How late the kernel tells when the link watch ran just before, less what the test needs to pull the
/// next cable.
const TOLD: Duration = Duration::from_millis(900);

/// Pulls the cable of a NIC on another host and waits until the kernel has told of it: just now its link
/// watch has run, and it runs again in a second.
fn disturbs(host: &Host) -> Result<(), Failed> {
    let nic = host.find_nic("net1")?;
    nic.cable.heal()?;
    let has_carrier = |wanted: bool| {
        move || {
            let link = by_hand(host, "ip -oneline link show net1").unwrap_or_default();
            link.contains("LOWER_UP") == wanted && link.contains("state DOWN") != wanted
        }
    };
    wait_until("net1 has its carrier", PATIENCE, has_carrier(true))?;
    nic.cable.pull()?;
    wait_until("net1 is told to have lost it", PATIENCE, has_carrier(false))?;
    Ok(())
}

fn a_cable_pulled_after_another_event_is_found_by_asking() -> Result<(), Failed> {
    let bed = Bed::with(QUICK, Host::ordinary_nic)?;
    // No test addresses: only the links tell.
    for (nic, data) in [("ge0", DATA0), ("ge1", DATA1)] {
        bed.types(&format!("ifconfig {nic} plumb {data} group testgrp2 up"))?;
    }
    let away = bed.lab.host("away")?;
    away.ordinary_nic("net1", &bed.switch)?;
    away.set_up("net1", true)?;
    let mut found = Vec::new();
    // More than once, as the machine is not ours alone. Each twice: a link that comes up three times in a
    // minute is held for unstable.
    for (nic, data, other) in [(&bed.ge0, DATA0, "ge1"), (&bed.ge1, DATA1, "ge0")].repeat(2) {
        let name = nic.name.as_str();
        bed.awaits_holder(data, name)?;
        disturbs(&away)?;
        let start = Instant::now();
        nic.cable.pull()?;
        bed.awaits_holder(data, other)?;
        found.push(start.elapsed());
        // The kernel holds nothing of ours on the dead link that it would use.
        let way = by_hand(&bed.host1, "ip route show 192.168.0.0/24")?;
        same(&format!("{name} in: {way}"), &way.contains(name), &false)?;
        bed.repairs(nic)?;
    }
    found.sort();
    let median = found.get(found.len() / 2).copied().unwrap_or_default();
    same(
        &format!("whether they were found before they were told of, after {found:?}"),
        &(median < TOLD / 2),
        &true,
    )
}
