//! What the control socket bears: a crowd of ordinary users' clients that ask and do not read, follow
//! and do not read, and dribble, while a NIC fails.

use std::time::Duration;

use ipmp_core::record::Cause;
use ipmp_core::snapshot::InterfaceState;
use libtest_mimic::Failed;

use crate::bed::{Bed, run_directory, same};
use crate::crowd::{self, CLIENTS, CROWD};
use crate::ordinary_user::NOBODY;

/// Failure detection time in milliseconds.
const DETECTION: u32 = 2000;

/// How often a NIC is silenced: the quickest counts, as the machine may be slow once.
const TRIES: usize = 3;

tests![crowd_of_ordinary_users_holds_up_neither_detection_nor_root,];

fn crowd_of_ordinary_users_holds_up_neither_detection_nor_root() -> Result<(), Failed> {
    let bed = Bed::lab1(DETECTION)?;
    let socket = bed.host1.enter(run_directory)??.socket();
    let line = format!("/proc/self/exe {CROWD} {}", socket.display());
    let mut crowd = bed.host1.spawn_as(NOBODY, &line)?;
    let mut stdout = crowd.stdout.take().ok_or("no standard output")?;
    crowd::await_assembly(&mut stdout)?;

    // Root gets through, looks and commands; so it does again and again, as the crowd comes back.
    for number in 90..100 {
        for line in [
            "ifconfig -a".to_owned(),
            "ipmpstat -g".to_owned(),
            format!("ifconfig ge0 addif 192.168.0.{number} up"),
            format!("ifconfig ge0 removeif 192.168.0.{number}"),
        ] {
            bed.types(&line)
                .map_err(|failed| format!("beside {CLIENTS} clients: {failed:?}"))?;
        }
    }

    // A NIC that fails silently is found within the failure detection time, by the daemon's own account:
    // from the last answer to the declaration.
    let mut quickest = None;
    for count in 1..=TRIES {
        bed.ge1.cable.silence();
        bed.awaits("the failover is complete", |seen| {
            let lost = seen.totals.outages.iter();
            let lost = lost.filter(|one| one.cause == Cause::ProbesLost);
            lost.map(|one| one.count).sum::<u64>() == count as u64
        })?;
        let outages = bed.snapshot()?.outages;
        let mut found = outages.iter().filter_map(|one| one.detection);
        quickest = quickest.into_iter().chain(found.next_back()).min();
        bed.ge1.cable.heal()?;
        bed.awaits_state("ge1", InterfaceState::Ok)?;
        bed.awaits_probes(&["ge0", "ge1"])?;
    }
    let quickest = quickest.ok_or("no failure was accounted for")?;
    let is_within = quickest.as_millis() <= u128::from(DETECTION);
    same("found in time", &is_within, &true)
        .map_err(|_| format!("the quickest of {TRIES} failures was found after {quickest:?}"))?;

    // The crowd was there all the time.
    same("the crowd has ended", &crowd.wait(Duration::ZERO)?, &None)?;
    Ok(())
}
