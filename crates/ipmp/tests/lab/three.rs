//! Three NICs: two active and a standby, and what one after the other does to them.

use std::net::Ipv4Addr;

use ipmp_lab::Nic;
use ipmp_lab::labs::LAB1;
use libtest_mimic::Failed;

use crate::bed::{Bed, reaches, same};
use crate::scene::{DATA0, DATA1, Fault, QUICK};

tests![
    standby_is_chosen_before_an_active_nic,
    an_address_that_hops_remembers_its_home,
    last_nic_carries_everything,
];

/// Lab 1 with a standby beside it.
fn three() -> Result<(Bed, Nic), Failed> {
    let bed = Bed::new(QUICK)?;
    let ge2 = bed.host1.nic("ge2", &bed.switch)?;
    for line in LAB1 {
        bed.types(line)?;
    }
    bed.types("ifconfig ge2 plumb 192.168.0.90 group testgrp2 deprecated -failover standby up")?;
    bed.awaits_probes(&["ge0", "ge1", "ge2"])?;
    Ok((bed, ge2))
}

fn standby_is_chosen_before_an_active_nic() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let (bed, ge2) = three()?;
        let before = bed.types("ifconfig -a")?;
        for (nic, data) in [(&bed.ge0, DATA0), (&bed.ge1, DATA1)] {
            bed.fails(fault, nic)?;
            bed.awaits_holder(data, "ge2")?;
            same("flags of ge2", bed.flags("ge2")?.as_str(), "29040843")?;
            same("flags of ge2:1", bed.flags("ge2:1")?.as_str(), "21000843")?;
            bed.repairs(nic)?;
            bed.awaits_holder(data, nic.name.as_str())?;
            same("list", bed.types("ifconfig -a")?.as_str(), &before)?;
        }
        // Idle, it is healed by nobody.
        bed.fails(fault, &ge2)?;
        bed.awaits_holder(DATA0, "ge0")?;
        bed.awaits_holder(DATA1, "ge1")?;
        bed.repairs(&ge2)?;
        same("list", bed.types("ifconfig -a")?.as_str(), &before)?;
    }
    Ok(())
}

fn an_address_that_hops_remembers_its_home() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let (bed, ge2) = three()?;
        let before = bed.types("ifconfig -a")?;
        bed.fails(fault, &bed.ge0)?;
        bed.awaits_holder(DATA0, "ge2")?;
        bed.fails(fault, &ge2)?;
        bed.awaits_holder(DATA0, "ge1")?;
        reaches(&bed.host2, "192.168.0.86")?;
        // It is not the standby's: that has nothing of its own to be brought home.
        bed.repairs(&ge2)?;
        reaches(&bed.host2, "192.168.0.86")?;
        bed.repairs(&bed.ge0)?;
        bed.awaits_holder(DATA0, "ge0")?;
        bed.awaits("the standby rests", |snapshot| {
            crate::bed::find(snapshot, "ge2").is_some_and(|nic| nic.inactive)
        })?;
        same("list", bed.types("ifconfig -a")?.as_str(), &before)?;
    }
    Ok(())
}

fn last_nic_carries_everything() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let (bed, ge2) = three()?;
        let before = bed.types("ifconfig -a")?;
        let all: [(Ipv4Addr, &str); 2] = [(DATA0, "192.168.0.86"), (DATA1, "192.168.0.88")];
        bed.fails(fault, &ge2)?;
        bed.fails(fault, &bed.ge0)?;
        for (data, text) in all {
            bed.awaits_holder(data, "ge1")?;
            reaches(&bed.host2, text)?;
        }
        // The other way round, in one go.
        bed.repairs(&bed.ge0)?;
        bed.awaits_holder(DATA0, "ge0")?;
        bed.fails(fault, &bed.ge1)?;
        for (data, text) in all {
            bed.awaits_holder(data, "ge0")?;
            reaches(&bed.host2, text)?;
        }
        bed.repairs(&bed.ge1)?;
        bed.repairs(&ge2)?;
        bed.awaits_holder(DATA1, "ge1")?;
        same("list", bed.types("ifconfig -a")?.as_str(), &before)?;
    }
    Ok(())
}
