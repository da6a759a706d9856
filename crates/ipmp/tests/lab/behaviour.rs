//! How the daemon behaves, row by row: when it starts, how it detects, what it moves and when that
//! comes home.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::Nic;
use ipmp_lab::labs::Moment;
use libtest_mimic::Failed;

use crate::bed::{Bed, same};
use crate::scene::{
    DATA0, DATA1, Fault, PEER, QUICK, TEST0, TEST1, by_hand, loses_nothing, recovers, within,
};
use crate::tap::{Packet, Tap};

tests![
    daemon_is_started_by_the_group_command,
    link_loss_is_acted_on_within_a_second,
    silent_loss_is_found_in_its_time,
    without_confirmation_silent_loss_is_found_as_on_solaris,
    nothing_fails_in_the_quiet_period_before_the_first_answer,
    probes_leave_with_the_test_address_from_its_nic,
    probes_leave_by_their_nic_whatever_routes_say,
    test_addresses_do_not_fail_over,
    failback_takes_ten_good_probes_and_no_command,
    failback_without_test_addresses_is_at_once,
    list_after_failback_is_the_list_before,
    any_nic_takes_over_for_any_other,
    standby_takes_over_for_active,
    standby_rests_after_the_repair,
    active_never_takes_over_for_an_idle_standby,
    interval_is_configured_in_etc_default_mpathd,
];

/// Measurements of one thing. A loaded machine makes detection late, never early: all of them have to
/// keep the lower bound, and the quickest the upper one.
const TRIES: u32 = 3;

/// What a loaded machine may add even to the quickest.
const ALLOWANCE: Duration = Duration::from_millis(500);

fn daemon_is_started_by_the_group_command() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    bed.types("ifconfig -a")?;
    same("daemons before", &bed.host1.pids_of("in.mpathd")?.len(), &0)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    same("daemons", &bed.host1.pids_of("in.mpathd")?.len(), &1)?;
    bed.types("ifconfig ge1 plumb 192.168.0.88 group testgrp2 up")?;
    same(
        "daemons after another",
        &bed.host1.pids_of("in.mpathd")?.len(),
        &1,
    )
}

fn link_loss_is_acted_on_within_a_second() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let mut quickest = Duration::MAX;
    for _ in 0..TRIES {
        let ping = bed.pings(DATA1)?;
        bed.fails(Fault::Pull, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.awaits_neighbour(DATA1, bed.ge0.mac)?;
        let trail = ping.stop()?;
        quickest = quickest.min(trail.longest_outage());
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA1, "ge1")?;
    }
    within("outage", quickest, Duration::ZERO, Duration::from_secs(1))
}

fn silent_loss_is_found_in_its_time() -> Result<(), Failed> {
    // The next probe is at most one and a half of the 7 intervals away that a failure detection time
    // has; a tenth of that time must be silent then.
    detects_within("FAILURE_DETECTION_TIME=2000\n", 200, 650)
}

fn without_confirmation_silent_loss_is_found_as_on_solaris() -> Result<(), Failed> {
    // 4.5 to 6.5 of the 7 intervals.
    detects_within("FAILURE_DETECTION_TIME=2000\nCONFIRM=no\n", 1280, 1860)
}

fn interval_is_configured_in_etc_default_mpathd() -> Result<(), Failed> {
    detects_within("FAILURE_DETECTION_TIME=4000\n", 400, 1280)?;
    detects_within("FAILURE_DETECTION_TIME=10000\n", 1000, 3170)
}

/// Measures how long a silent failure takes to be found, in milliseconds.
fn detects_within(settings: &str, least: u64, most: u64) -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    bed.settings(settings)?;
    bed.sets_up_lab1()?;
    let mut quickest = Duration::MAX;
    for _ in 0..TRIES {
        let took = bed.fails(Fault::Silence, &bed.ge1)?;
        within(
            "failure found after",
            took,
            Duration::from_millis(least),
            Duration::MAX,
        )?;
        quickest = quickest.min(took);
        bed.repairs(&bed.ge1)?;
        bed.awaits_probes(&["ge0", "ge1"])?;
    }
    let most = Duration::from_millis(most) + ALLOWANCE;
    within(
        "quickest of the failures found after",
        quickest,
        Duration::ZERO,
        most,
    )
}

fn nothing_fails_in_the_quiet_period_before_the_first_answer() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    // ge1 is silent from the first; host2 answers ge0, and is a target of both from then on.
    bed.ge1.cable.silence();
    for line in ipmp_lab::labs::LAB1 {
        bed.types(line)?;
    }
    bed.awaits_probes(&["ge0"])?;
    std::thread::sleep(Duration::from_millis(u64::from(3 * QUICK)));
    bed.never_says(0, "NIC failure")?;
    // One answer ends it.
    bed.ge1.cable.unsilence();
    bed.awaits_probes(&["ge1"])?;
    bed.fails(Fault::Silence, &bed.ge1).map(|_| ())
}

fn probes_leave_with_the_test_address_from_its_nic() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    probes_are_right(&bed)
}

fn probes_leave_by_their_nic_whatever_routes_say() -> Result<(), Failed> {
    for nic in ["ge0", "ge1"] {
        let bed = Bed::lab1(QUICK)?;
        by_hand(
            &bed.host1,
            &format!("ip route add default via {PEER} dev {nic}"),
        )?;
        by_hand(&bed.host1, &format!("ip route add {PEER}/32 dev {nic}"))?;
        probes_are_right(&bed)?;
        // Also those of a NIC that nothing else uses any more.
        for failing in [&bed.ge0, &bed.ge1] {
            failing.cable.one_way(ipmp_lab::Direction::Transmit);
            bed.awaits_state(failing.name.as_str(), InterfaceState::Failed)?;
            probes_are_right(&bed)?;
            bed.repairs(failing)?;
        }
    }
    Ok(())
}

/// Fails unless host2 sees probes of both NICs, each with its own test address, and no other.
fn probes_are_right(bed: &Bed) -> Result<(), Failed> {
    let tap = Tap::at(&bed.host2, "ge0")?;
    let pairs = [
        (bed.ge0.mac, IpAddr::from(TEST0)),
        (bed.ge1.mac, IpAddr::from(TEST1)),
    ];
    let seen = tap.awaits("ten probes of each NIC", |seen| {
        pairs.iter().all(|&(mac, test)| {
            let probes = seen.iter().filter(|seen| {
                seen.mac == mac
                    && matches!(seen.packet, Packet::Echo { source, .. } if source == test)
            });
            probes.count() >= 10
        })
    })?;
    for probe in &seen {
        if let Packet::Echo { source, .. } = probe.packet {
            let from = (probe.mac, source);
            if !pairs.contains(&from) {
                return Err(format!("a probe\n  seen:     {from:?}\n  expected: {pairs:?}").into());
            }
        }
    }
    Ok(())
}

fn test_addresses_do_not_fail_over() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        for (nic, data, other) in [(&bed.ge0, DATA0, "ge1"), (&bed.ge1, DATA1, "ge0")] {
            bed.fails(fault, nic)?;
            bed.awaits_holder(data, other)?;
            tests_are_home(&bed)?;
            bed.repairs(nic)?;
            bed.awaits_holder(data, nic.name.as_str())?;
            tests_are_home(&bed)?;
        }
    }
    Ok(())
}

fn tests_are_home(bed: &Bed) -> Result<(), Failed> {
    for (test, nic, logical) in [(TEST0, "ge0", "ge0:1"), (TEST1, "ge1", "ge1:1")] {
        same(
            &format!("NICs with {test}"),
            &bed.holders(test)?,
            &vec![nic.to_owned()],
        )?;
        let entry = bed.entry(logical)?;
        same(
            &format!("{test} in: {entry}"),
            &entry.contains(&format!("inet {test} ")),
            &true,
        )?;
    }
    Ok(())
}

fn failback_takes_ten_good_probes_and_no_command() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(2000)?;
        let mut quickest = Duration::MAX;
        for _ in 0..TRIES {
            bed.fails(fault, &bed.ge1)?;
            bed.awaits_holder(DATA1, "ge0")?;
            let took = bed.repairs(&bed.ge1)?;
            // 8.5 to 11.5 intervals; the first probe after a link came up is up to one later. Ten
            // probes, each up to half an interval before its turn, and what the tenth one finds is
            // seen as soon as its answer is overdue.
            within(
                "repair found after",
                took,
                Duration::from_millis(2420),
                Duration::MAX,
            )?;
            bed.awaits_holder(DATA1, "ge1")?;
            quickest = quickest.min(took);
        }
        let most = Duration::from_millis(3580) + ALLOWANCE;
        within(
            "quickest of the repairs found after",
            quickest,
            Duration::ZERO,
            most,
        )?;
    }
    Ok(())
}

fn failback_without_test_addresses_is_at_once() -> Result<(), Failed> {
    let bed = Bed::new(10_000)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    bed.types("ifconfig ge1 plumb 192.168.0.88 group testgrp2 up")?;
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    let took = bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA1, "ge1")?;
    // With probes it would be 13.6 seconds.
    within(
        "repair found after",
        took,
        Duration::ZERO,
        Duration::from_secs(5),
    )
}

fn list_after_failback_is_the_list_before() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        for bed in [Bed::lab1(QUICK)?, Bed::lab2(QUICK)?] {
            let before = bed.types("ifconfig -a")?;
            for nic in [&bed.ge0, &bed.ge1] {
                bed.fails(fault, nic)?;
                bed.repairs(nic)?;
                bed.awaits_holder(DATA0, "ge0")?;
                bed.awaits_holder(DATA1, "ge1")?;
                let after = bed.types("ifconfig -a")?;
                same(
                    &format!("list after {fault:?} of {}", nic.name),
                    after.as_str(),
                    &before,
                )?;
            }
        }
    }
    Ok(())
}

fn any_nic_takes_over_for_any_other() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        takes_over(&bed, fault, &bed.ge0, DATA0, "ge1", Moment::Lab1WithoutGe0)?;
        takes_over(&bed, fault, &bed.ge1, DATA1, "ge0", Moment::Lab1WithoutGe1)?;
    }
    Ok(())
}

/// Breaks and heals a NIC, and follows its data address there and back.
fn takes_over(
    bed: &Bed,
    fault: Fault,
    nic: &Nic,
    data: Ipv4Addr,
    other: &str,
    moment: Moment,
) -> Result<(), Failed> {
    let ping = bed.pings(data)?;
    bed.fails(fault, nic)?;
    bed.awaits_holder(data, other)?;
    bed.lists(moment, fault.leaves_link())?;
    bed.repairs(nic)?;
    bed.awaits_holder(data, nic.name.as_str())?;
    let limit = Duration::from_millis(u64::from(QUICK)) + Duration::from_secs(1);
    recovers(&ping.stop()?, limit)
}

fn standby_takes_over_for_active() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab2(QUICK)?;
        bed.fails(fault, &bed.ge0)?;
        bed.awaits_holder(DATA0, "ge1")?;
        bed.lists(Moment::Lab2WithoutGe0, fault.leaves_link())?;
    }
    Ok(())
}

fn standby_rests_after_the_repair() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab2(QUICK)?;
        bed.fails(fault, &bed.ge0)?;
        bed.awaits_holder(DATA0, "ge1")?;
        bed.repairs(&bed.ge0)?;
        bed.awaits_holder(DATA0, "ge0")?;
        bed.lists(Moment::Lab2, true)?;
    }
    Ok(())
}

fn active_never_takes_over_for_an_idle_standby() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab2(QUICK)?;
        let said = bed.messages()?.len();
        let ping = bed.pings(DATA0)?;
        bed.fails(fault, &bed.ge1)?;
        bed.lists(Moment::Lab2WithoutStandby, fault.leaves_link())?;
        bed.says(said, &["NIC failure detected on ge1 of group testgrp2"])?;
        bed.repairs(&bed.ge1)?;
        bed.says(said, &["NIC repair detected on ge1 of group testgrp2"])?;
        loses_nothing("ping", &ping.stop()?)?;
        bed.never_says(said, "failed over")?;
        bed.never_says(said, "have failed")?;
        bed.lists(Moment::Lab2, true)?;
    }
    Ok(())
}
