//! The daemon dies at bad moments, and NICs fail and return while it is dead.

use std::time::Duration;

use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::labs::Moment;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, reaches};
use crate::scene::{DATA0, DATA1, Fault, QUICK, loses_nothing};

tests![
    restart_in_peace_is_not_noticed,
    fault_while_the_daemon_is_dead,
    repair_while_the_daemon_is_dead,
    daemon_killed_at_any_moment_of_failover,
    daemon_killed_at_any_moment_of_failback,
];

impl Bed {
    /// Kills the daemon of host1 and waits until it is gone.
    pub(crate) fn kills_daemon(&self) -> Result<(), Failed> {
        self.signals_daemon(Signal::SIGKILL)?;
        self.awaits_no_daemon()
    }
}

fn restart_in_peace_is_not_noticed() -> Result<(), Failed> {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let bed = Bed::lab1(QUICK)?;
        let pings = [bed.pings(DATA0)?, bed.pings(DATA1)?];
        bed.signals_daemon(signal)?;
        bed.awaits_no_daemon()?;
        bed.lists(Moment::Lab1, true)?;
        bed.types("in.mpathd")?;
        bed.awaits_probes(&["ge0", "ge1"])?;
        bed.lists(Moment::Lab1, true)?;
        for ping in pings {
            loses_nothing("ping", &ping.stop()?)?;
        }
    }
    Ok(())
}

fn fault_while_the_daemon_is_dead() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.kills_daemon()?;
    bed.ge1.cable.pull()?;
    bed.types("in.mpathd")?;
    bed.awaits_holder(DATA1, "ge0")?;
    bed.lists(Moment::Lab1WithoutGe1, false)?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA1, "ge1")?;
    bed.lists(Moment::Lab1, true)
}

fn repair_while_the_daemon_is_dead() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        bed.fails(fault, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.kills_daemon()?;
        bed.ge1.cable.heal()?;
        bed.types("in.mpathd")?;
        bed.awaits_state("ge1", InterfaceState::Ok)?;
        bed.awaits_holder(DATA1, "ge1")?;
        bed.lists(Moment::Lab1, true)?;

        // Without test addresses nothing but the link is there to tell.
        let bed = Bed::new(QUICK)?;
        bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
        bed.types("ifconfig ge1 plumb 192.168.0.88 group testgrp2 up")?;
        bed.fails(Fault::Pull, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.kills_daemon()?;
        bed.ge1.cable.plug()?;
        bed.types("in.mpathd")?;
        bed.awaits_holder(DATA1, "ge1")?;
    }
    Ok(())
}

/// Moments after a change at which the daemon is killed: before, amid and after what it does then.
const MOMENTS: [u64; 8] = [0, 1, 2, 3, 5, 8, 15, 40];

fn daemon_killed_at_any_moment_of_failover() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    for after in MOMENTS {
        bed.ge1.cable.pull()?;
        std::thread::sleep(Duration::from_millis(after));
        bed.kills_daemon()?;
        bed.types("in.mpathd")?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.lists(Moment::Lab1WithoutGe1, false)?;
        reaches(&bed.host2, "192.168.0.88")?;
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA1, "ge1")?;
        bed.lists(Moment::Lab1, true)?;
    }
    Ok(())
}

fn daemon_killed_at_any_moment_of_failback() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    for after in MOMENTS {
        bed.fails(Fault::Pull, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.repairs(&bed.ge1)?;
        std::thread::sleep(Duration::from_millis(after));
        bed.kills_daemon()?;
        reaches(&bed.host2, "192.168.0.88")?;
        bed.types("in.mpathd")?;
        bed.awaits_state("ge1", InterfaceState::Ok)?;
        bed.awaits_holder(DATA1, "ge1")?;
        bed.awaits_probes(&["ge0", "ge1"])?;
        bed.lists(Moment::Lab1, true)?;
    }
    Ok(())
}
