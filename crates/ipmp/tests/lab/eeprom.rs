//! `eeprom 'local-mac-address?'`: whether NICs have a hardware address each.

use ipmp_core::MacAddress;
use libtest_mimic::Failed;

use crate::bed::{Bed, reaches, same};

const SLOW: u32 = 10_000;
const EEPROM: &str = "eeprom 'local-mac-address?'";
const EEPROM_TRUE: &str = "eeprom 'local-mac-address?=true'";
const EEPROM_FALSE: &str = "eeprom 'local-mac-address?=false'";

tests![
    eeprom_prints_false_when_two_nics_share_a_mac,
    eeprom_prints_false_when_false_is_stored,
    eeprom_true_is_stored_and_takes_effect_at_the_next_plumb,
    eeprom_true_leaves_nics_that_have_their_own_macs_alone,
    eeprom_false_gives_nics_one_mac_and_a_group_refuses_the_second,
];

fn eeprom_prints_false_when_two_nics_share_a_mac() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    same(
        "different MACs",
        bed.types(EEPROM)?.as_str(),
        "local-mac-address?=true\n",
    )?;
    bed.host1.nic_with_mac("ge2", &bed.switch, bed.ge0.mac)?;
    same(
        "two with one MAC",
        bed.types(EEPROM)?.as_str(),
        "local-mac-address?=false\n",
    )
}

fn eeprom_prints_false_when_false_is_stored() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    same(EEPROM_FALSE, bed.types(EEPROM_FALSE)?.as_str(), "")?;
    same(
        "stored",
        bed.types(EEPROM)?.as_str(),
        "local-mac-address?=false\n",
    )?;
    // The same while the daemon runs.
    bed.types("ifconfig ge0 plumb")?;
    same(
        "stored",
        bed.types(EEPROM)?.as_str(),
        "local-mac-address?=false\n",
    )
}

fn eeprom_true_is_stored_and_takes_effect_at_the_next_plumb() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1.nic_with_mac("ge2", &bed.switch, bed.ge0.mac)?;
    same(EEPROM_TRUE, bed.types(EEPROM_TRUE)?.as_str(), "")?;
    same(
        "the wish",
        bed.types(EEPROM)?.as_str(),
        "local-mac-address?=true\n",
    )?;
    same(
        "MAC of ge2 before plumb",
        mac(&bed, "ge2")?.as_str(),
        &bed.ge0.mac.to_string(),
    )?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    bed.types("ifconfig ge2 plumb 192.168.0.88 group testgrp2 up")?;
    if mac(&bed, "ge0")? == mac(&bed, "ge2")? {
        return Err(format!("ge0 and ge2 still share {}", mac(&bed, "ge0")?).into());
    }
    // With a MAC each, both are reached.
    for address in ["192.168.0.86", "192.168.0.88"] {
        reaches(&bed.host2, address)?;
    }
    same(
        "afterwards",
        bed.types(EEPROM)?.as_str(),
        "local-mac-address?=true\n",
    )
}

fn eeprom_true_leaves_nics_that_have_their_own_macs_alone() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types(EEPROM_TRUE)?;
    bed.types("ifconfig ge0 plumb")?;
    bed.types("ifconfig ge1 plumb")?;
    same(
        "MAC of ge0",
        mac(&bed, "ge0")?.as_str(),
        &bed.ge0.mac.to_string(),
    )?;
    same(
        "MAC of ge1",
        mac(&bed, "ge1")?.as_str(),
        &bed.ge1.mac.to_string(),
    )
}

fn eeprom_false_gives_nics_one_mac_and_a_group_refuses_the_second() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types(EEPROM_FALSE)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    bed.refuses(
        "ifconfig ge1 plumb 192.168.0.88 group testgrp2 up",
        "ifconfig: group: ge1: hardware address not unique: ge0 has the same \
         (another: ifconfig IF ether MAC, or eeprom 'local-mac-address?=true')",
    )?;
    same("MAC of ge1", &mac(&bed, "ge1")?, &mac(&bed, "ge0")?)?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "1000842")?;
    // The way out that the reason points to.
    bed.types("ifconfig ge1 unplumb")?;
    bed.types(EEPROM_TRUE)?;
    bed.types("ifconfig ge1 plumb 192.168.0.88 group testgrp2 up")?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "1000843")
}

/// The hardware address that the kernel shows, as the listing writes it.
fn mac(bed: &Bed, nic: &str) -> Result<String, Failed> {
    let text = bed
        .host1
        .read_file(&format!("/sys/class/net/{nic}/address"))?;
    Ok(text.trim().parse::<MacAddress>()?.to_string())
}
