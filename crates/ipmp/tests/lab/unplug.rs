//! NICs that are torn out under traffic and come back under the same name with the same hardware
//! address.

use std::time::Duration;

use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::labs::Moment;
use ipmp_lab::wait_until;
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, reaches};
use crate::scene::{DATA0, DATA1, Fault, QUICK, fd, recovers};

tests![
    standby_serves_while_a_nic_is_unplugged,
    inet6_addresses_outlive_unplugging,
    unplugged_again_before_it_is_at_rest,
    back_while_no_daemon_runs,
];

/// The bound of a failure of the link, as in the other tests of it.
const BOUND: Duration = Duration::from_secs(1);

impl Bed {
    fn awaits_list(&self, moment: Moment) -> Result<(), Failed> {
        wait_until("the list as before", PATIENCE, || {
            self.lists(moment, true).is_ok()
        })
        .map_err(|error| format!("{error}: {:?}", self.lists(moment, true).err()))?;
        Ok(())
    }
}

fn standby_serves_while_a_nic_is_unplugged() -> Result<(), Failed> {
    let bed = Bed::lab2(QUICK)?;
    let before = bed.flags("ge1")?;
    let ping = bed.pings(DATA0)?;
    bed.host1.unplug_nic("ge0")?;
    bed.awaits_holder(DATA0, "ge1")?;
    bed.host1.plug_nic("ge0")?;
    bed.awaits_state("ge0", InterfaceState::Ok)?;
    bed.awaits_holder(DATA0, "ge0")?;
    recovers(&ping.stop()?, BOUND)?;
    wait_until("the standby rests", PATIENCE, || {
        bed.flags("ge1").is_ok_and(|flags| flags == before)
    })?;
    Ok(())
}

fn inet6_addresses_outlive_unplugging() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    for line in [
        "ifconfig ge0 inet6 plumb up",
        "ifconfig ge1 inet6 plumb up",
        "ifconfig ge1 inet6 addif fd00::88/64 up",
    ] {
        bed.types(line)?;
    }
    bed.awaits_holder(fd(0x88), "ge1")?;
    bed.host1.unplug_nic("ge1")?;
    bed.awaits_holder(fd(0x88), "ge0")?;
    bed.awaits_holder(DATA1, "ge0")?;
    bed.host1.plug_nic("ge1")?;
    bed.awaits_holder(fd(0x88), "ge1")?;
    bed.awaits_holder(DATA1, "ge1")
}

fn unplugged_again_before_it_is_at_rest() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let ping = bed.pings(DATA1)?;
    for _ in 0..2 {
        bed.host1.unplug_nic("ge1")?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.host1.plug_nic("ge1")?;
    }
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.awaits_holder(DATA1, "ge1")?;
    bed.awaits_list(Moment::Lab1)?;
    recovers(&ping.stop()?, BOUND)
}

fn back_while_no_daemon_runs() -> Result<(), Failed> {
    // It went while a daemon ran, or after.
    for is_seen_going in [true, false] {
        let bed = Bed::lab1(QUICK)?;
        if is_seen_going {
            bed.host1.unplug_nic("ge1")?;
            bed.awaits_holder(DATA1, "ge0")?;
        }
        bed.kills_daemon()?;
        if !is_seen_going {
            bed.host1.unplug_nic("ge1")?;
        }
        // It is down, and nothing is on it.
        bed.host1.plug_nic("ge1")?;
        bed.types("in.mpathd")?;
        bed.awaits_holder(DATA1, "ge1")?;
        bed.awaits_probes(&["ge0", "ge1"])?;
        bed.awaits_list(Moment::Lab1)?;
        reaches(&bed.host2, "192.168.0.88")?;
        // It fails and returns as ever.
        bed.fails(Fault::Pull, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA1, "ge1")?;
    }
    Ok(())
}
