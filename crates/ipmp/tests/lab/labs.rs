//! The two labs, step by step, with traffic flowing, and what the tools and the log say meanwhile.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipmp_core::snapshot::{GroupState, InterfaceState};
use ipmp_lab::Nic;
use ipmp_lab::labs::{LAB1, Moment, comparable};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, find, reaches, same, unhurried};
use crate::scene::{DATA0, DATA1, Fault, QUICK, TEST0, TEST1, loses_nothing, recovers};

tests![
    lab1_set_up,
    lab1_failover_of_ge1_while_pinging,
    lab1_failover_of_ge0_while_pinging,
    lab1_failback,
    lab1_both_cables_out,
    lab1_both_silent_at_once,
    lab2_set_up,
    lab2_as_typed_in_two_groups,
    lab2_failover_of_ge0_while_pinging,
    lab2_standby_out,
    lab2_restore,
    reboot_with_hostname_files,
    daemon_killed_during_failure_and_restarted,
    failback_no_leaves_the_repaired_nic_inactive,
    anonymous_group_is_watched_and_nothing_moves,
];

/// Longest outage of a failover: the failure detection time and a second.
const OUTAGE: Duration = Duration::from_millis(QUICK as u64 + 1000);

const GROUPS: &str = "GROUP       GROUPNAME   STATE     FDT       INTERFACES\n";

/// Checks `ipmpstat -g`: state and members of the one group.
fn group_is(bed: &Bed, state: &str, members: &str) -> Result<(), Failed> {
    let expected = format!("{GROUPS}testgrp2    testgrp2    {state:<10}1.00s     {members}\n");
    same("ipmpstat -g", bed.types("ipmpstat -g")?.as_str(), &expected)
}

/// Checks the row of a NIC in `ipmpstat -i`.
fn row_is(bed: &Bed, nic: &str, expected: &str) -> Result<(), Failed> {
    let table = bed.types("ipmpstat -i")?;
    let row = table
        .lines()
        .find(|line| line.starts_with(nic))
        .unwrap_or_default();
    let words: Vec<_> = row.split_whitespace().collect();
    same(
        &format!("ipmpstat -i, {nic}"),
        words.join(" ").as_str(),
        expected,
    )
}

fn lab1_set_up() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.lists(Moment::Lab1, true)?;
    group_is(&bed, "ok", "ge0 ge1")?;
    same(
        "ipmpstat -i",
        bed.types("ipmpstat -i")?.as_str(),
        "INTERFACE   ACTIVE  GROUP       FLAGS     LINK      PROBE     STATE\n\
         ge0         yes     testgrp2    --mb---   up        ok        ok\n\
         ge1         yes     testgrp2    -------   up        ok        ok\n",
    )
}

fn lab1_failover_of_ge1_while_pinging() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        fails_over(&bed, fault, &bed.ge1, "ge0", DATA1, Moment::Lab1WithoutGe1)?;
        group_is(&bed, "degraded", "ge0 [ge1]")?;
        row_is(&bed, "ge0", "ge0 yes testgrp2 --mb--- up ok ok")?;
        let link = if fault.leaves_link() { "up" } else { "down" };
        row_is(
            &bed,
            "ge1",
            &format!("ge1 no testgrp2 ------- {link} failed failed"),
        )?;
    }
    Ok(())
}

fn lab1_failover_of_ge0_while_pinging() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        fails_over(&bed, fault, &bed.ge0, "ge1", DATA0, Moment::Lab1WithoutGe0)?;
        group_is(&bed, "degraded", "ge1 [ge0]")?;
        row_is(&bed, "ge1", "ge1 yes testgrp2 --mb--- up ok ok")?;
        let link = if fault.leaves_link() { "up" } else { "down" };
        row_is(
            &bed,
            "ge0",
            &format!("ge0 no testgrp2 ------- {link} failed failed"),
        )?;
    }
    Ok(())
}

/// Breaks a NIC while its data address is pinged; the address moves to the other, the log says so, the
/// ping goes on.
fn fails_over(
    bed: &Bed,
    fault: Fault,
    nic: &Nic,
    other: &str,
    data: Ipv4Addr,
    moment: Moment,
) -> Result<(), Failed> {
    let name = nic.name.as_str();
    let said = bed.messages()?.len();
    let ping = bed.pings(data)?;
    bed.fails(fault, nic)?;
    bed.awaits_holder(data, other)?;
    let link_down = format!("The link has gone down on {name}");
    let failed = format!("NIC failure detected on {name} of group testgrp2");
    let moved = format!("Successfully failed over from NIC {name} to NIC {other}");
    match fault {
        Fault::Pull => bed.says(said, &[&link_down, &failed, &moved])?,
        Fault::Silence => {
            bed.says(said, &[&failed, &moved])?;
            bed.never_says(said, "link")?;
        }
    }
    bed.lists(moment, fault.leaves_link())?;
    reaches(&bed.host2, &data.to_string())?;
    recovers(&ping.stop()?, OUTAGE)
}

fn lab1_failback() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        for (nic, data, other) in [(&bed.ge1, DATA1, "ge0"), (&bed.ge0, DATA0, "ge1")] {
            bed.fails(fault, nic)?;
            bed.awaits_holder(data, other)?;
            let said = bed.messages()?.len();
            // The pings of failover are measured elsewhere; those of failback must all be answered.
            let ping = bed.pings(data)?;
            bed.repairs(nic)?;
            bed.awaits_holder(data, nic.name.as_str())?;
            let link_up = format!("The link has come up on {}", nic.name);
            let repaired = format!("NIC repair detected on {} of group testgrp2", nic.name);
            let back = format!("Successfully failed back to NIC {}", nic.name);
            match fault {
                Fault::Pull => bed.says(said, &[&link_up, &repaired, &back])?,
                Fault::Silence => bed.says(said, &[&repaired, &back])?,
            }
            bed.lists(Moment::Lab1, true)?;
            group_is(&bed, "ok", "ge0 ge1")?;
            reaches(&bed.host2, &data.to_string())?;
            loses_nothing("ping", &ping.stop()?)?;
        }
    }
    Ok(())
}

fn lab1_both_cables_out() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    let said = bed.messages()?.len();
    bed.fails(Fault::Pull, &bed.ge0)?;
    bed.says(said, &["All Interfaces in group testgrp2 have failed"])?;
    bed.never_says(said, "failed over")?;
    for data in [DATA0, DATA1] {
        same(
            &format!("NICs with {data}"),
            &bed.holders(data)?,
            &vec!["ge0".to_owned()],
        )?;
    }
    for logical in ["ge0", "ge0:1", "ge1", "ge1:1"] {
        let entry = bed.entry(logical)?;
        same(
            &format!("FAILED in: {entry}"),
            &entry.contains("FAILED"),
            &true,
        )?;
    }
    group_is(&bed, "failed", "[ge0 ge1]")?;
    // The one that returns is not the one that has the addresses.
    let said = bed.messages()?.len();
    bed.repairs(&bed.ge1)?;
    bed.says(
        said,
        &["At least 1 interface (ge1) of group testgrp2 has repaired"],
    )?;
    for data in [DATA0, DATA1] {
        bed.awaits_holder(data, "ge1")?;
        reaches(&bed.host2, &data.to_string())?;
    }
    group_is(&bed, "degraded", "ge1 [ge0]")?;
    bed.repairs(&bed.ge0)?;
    bed.awaits_holder(DATA0, "ge0")?;
    bed.lists(Moment::Lab1, true)
}

fn lab1_both_silent_at_once() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let said = bed.messages()?.len();
    // As when the switch, or the only target, dies.
    bed.ge0.cable.silence();
    bed.fails(Fault::Silence, &bed.ge1)?;
    bed.awaits_state("ge0", InterfaceState::Failed)?;
    bed.says(said, &["All Interfaces in group testgrp2 have failed"])?;
    bed.never_says(said, "failed over")?;
    bed.awaits_holder(DATA0, "ge0")?;
    bed.awaits_holder(DATA1, "ge1")?;
    bed.awaits("the group has failed", |snapshot| {
        snapshot
            .groups
            .iter()
            .all(|group| group.state == GroupState::Failed)
    })?;
    bed.ge0.cable.heal()?;
    bed.ge1.cable.heal()?;
    bed.awaits_state("ge0", InterfaceState::Ok)?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.awaits_holder(DATA0, "ge0")?;
    bed.awaits_holder(DATA1, "ge1")?;
    bed.lists(Moment::Lab1, true)
}

fn lab2_set_up() -> Result<(), Failed> {
    let bed = Bed::lab2(QUICK)?;
    bed.lists(Moment::Lab2, true)?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "69040843")?;
    group_is(&bed, "ok", "ge0 (ge1)")?;
    same(
        "ipmpstat -i",
        bed.types("ipmpstat -i")?.as_str(),
        "INTERFACE   ACTIVE  GROUP       FLAGS     LINK      PROBE     STATE\n\
         ge0         yes     testgrp2    --mb---   up        ok        ok\n\
         ge1         no      testgrp2    is-----   up        ok        ok\n",
    )
}

fn lab2_as_typed_in_two_groups() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::new(QUICK)?;
        for line in [
            "ifconfig ge0 plumb 192.168.0.86 group testgrp2 up",
            "ifconfig ge0 addif 192.168.0.87 deprecated -failover up",
            "ifconfig ge1 plumb 192.168.0.88 group testgrp1 deprecated -failover standby up",
        ] {
            bed.types(line)?;
        }
        bed.awaits_log("share a subnet but not a group; neither takes over for the other")?;
        bed.awaits_log("Group testgrp1 has standby interfaces but no active one")?;
        bed.awaits_probes(&["ge0", "ge1"])?;
        same("groups", &bed.snapshot()?.groups.len(), &2)?;
        reaches(&bed.host2, "192.168.0.86")?;
        reaches(&bed.host2, "192.168.0.88")?;
        let before = bed.types("ifconfig -a")?;
        bed.fails(fault, &bed.ge0)?;
        same("flags of ge1", bed.flags("ge1")?.as_str(), "69040843")?;
        same(
            "NICs with .86",
            &bed.holders(DATA0)?,
            &vec!["ge0".to_owned()],
        )?;
        bed.never_says(0, "failed over")?;
        bed.repairs(&bed.ge0)?;
        same(
            "list after the repair",
            bed.types("ifconfig -a")?.as_str(),
            &before,
        )?;
        reaches(&bed.host2, "192.168.0.86")?;
    }
    Ok(())
}

fn lab2_failover_of_ge0_while_pinging() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab2(QUICK)?;
        fails_over(&bed, fault, &bed.ge0, "ge1", DATA0, Moment::Lab2WithoutGe0)?;
        group_is(&bed, "degraded", "ge1 [ge0]")?;
        row_is(&bed, "ge1", "ge1 yes testgrp2 -smb--- up ok ok")?;
    }
    Ok(())
}

fn lab2_standby_out() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab2(QUICK)?;
        let said = bed.messages()?.len();
        let ping = bed.pings(DATA0)?;
        bed.fails(fault, &bed.ge1)?;
        bed.lists(Moment::Lab2WithoutStandby, fault.leaves_link())?;
        group_is(&bed, "degraded", "ge0 [ge1]")?;
        bed.repairs(&bed.ge1)?;
        bed.lists(Moment::Lab2, true)?;
        loses_nothing("ping", &ping.stop()?)?;
        bed.never_says(said, "failed over")?;
    }
    Ok(())
}

fn lab2_restore() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab2(QUICK)?;
        bed.fails(fault, &bed.ge0)?;
        bed.awaits_holder(DATA0, "ge1")?;
        let said = bed.messages()?.len();
        let ping = bed.pings(DATA0)?;
        bed.repairs(&bed.ge0)?;
        bed.awaits_holder(DATA0, "ge0")?;
        bed.says(
            said,
            &[
                "NIC repair detected on ge0 of group testgrp2",
                "Successfully failed back to NIC ge0",
            ],
        )?;
        bed.lists(Moment::Lab2, true)?;
        group_is(&bed, "ok", "ge0 (ge1)")?;
        reaches(&bed.host2, "192.168.0.86")?;
        loses_nothing("ping", &ping.stop()?)?;
    }
    Ok(())
}

fn reboot_with_hostname_files() -> Result<(), Failed> {
    let by_hand = Bed::lab1(QUICK)?;
    let expected = comparable(&by_hand.types("ifconfig -a")?);
    let bed = Bed::new(QUICK)?;
    for (nic, data, test) in [("ge0", DATA0, TEST0), ("ge1", DATA1, TEST1)] {
        bed.host1.write_file(
            &format!("/etc/hostname.{nic}"),
            &format!(
                "{data} netmask + broadcast + group testgrp2 up \\\n\
                 addif {test} deprecated -failover netmask + broadcast + up\n"
            ),
        )?;
    }
    bed.types("ipmp boot")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    same(
        "ifconfig -a",
        comparable(&bed.types("ifconfig -a")?).as_str(),
        &expected,
    )?;
    // And it heals as if built by hand.
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    bed.lists(Moment::Lab1WithoutGe1, false)
}

fn daemon_killed_during_failure_and_restarted() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        bed.fails(fault, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        restarts_unnoticed(
            &bed,
            [Moment::Lab1WithoutGe1, Moment::Lab1],
            fault,
            &bed.ge1,
            DATA1,
        )?;

        let bed = Bed::lab2(QUICK)?;
        bed.fails(fault, &bed.ge0)?;
        bed.awaits_holder(DATA0, "ge1")?;
        restarts_unnoticed(
            &bed,
            [Moment::Lab2WithoutGe0, Moment::Lab2],
            fault,
            &bed.ge0,
            DATA0,
        )?;
    }
    Ok(())
}

/// Kills the daemon and starts it again, then heals the NIC.
fn restarts_unnoticed(
    bed: &Bed,
    [broken, healed]: [Moment; 2],
    fault: Fault,
    nic: &Nic,
    data: Ipv4Addr,
) -> Result<(), Failed> {
    let ping = bed.pings(data)?;
    bed.signals_daemon(Signal::SIGKILL)?;
    bed.awaits_no_daemon()?;
    bed.lists(broken, fault.leaves_link())?;
    bed.types("in.mpathd")?;
    bed.lists(broken, fault.leaves_link())?;
    // Until it has found its targets again, and then some.
    let working = if nic.name.as_str() == "ge0" {
        "ge1"
    } else {
        "ge0"
    };
    bed.awaits_probes(&[working])?;
    std::thread::sleep(Duration::from_millis(u64::from(QUICK)));
    bed.lists(broken, fault.leaves_link())?;
    bed.repairs(nic)?;
    bed.awaits_holder(data, nic.name.as_str())?;
    bed.lists(healed, true)?;
    loses_nothing("ping", &ping.stop()?)
}

fn failback_no_leaves_the_repaired_nic_inactive() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::new(QUICK)?;
        bed.settings(&(unhurried(QUICK) + "FAILBACK=no\n"))?;
        for line in LAB1 {
            bed.types(line)?;
        }
        bed.awaits_probes(&["ge0", "ge1"])?;
        bed.fails(fault, &bed.ge0)?;
        bed.awaits_holder(DATA0, "ge1")?;
        bed.repairs(&bed.ge0)?;
        same("flags of ge0", bed.flags("ge0")?.as_str(), "49000842")?;
        same("flags of ge0:1", bed.flags("ge0:1")?.as_str(), "49040843")?;
        bed.awaits_holder(DATA0, "ge1")?;
        group_is(&bed, "ok", "ge1 (ge0)")?;
        // The idle one takes all of the next that fails.
        bed.fails(fault, &bed.ge1)?;
        bed.awaits_holder(DATA0, "ge0")?;
        bed.awaits_holder(DATA1, "ge0")?;
        reaches(&bed.host2, "192.168.0.88")?;
        bed.repairs(&bed.ge1)?;
        same("flags of ge1", bed.flags("ge1")?.as_str(), "49000842")?;
        // Changing one's mind brings them home.
        bed.settings(&(unhurried(QUICK) + "FAILBACK=yes\n"))?;
        bed.signals_daemon(Signal::SIGHUP)?;
        bed.awaits_holder(DATA1, "ge1")?;
        bed.lists(Moment::Lab1, true)?;
    }
    Ok(())
}

fn anonymous_group_is_watched_and_nothing_moves() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::new(QUICK)?;
        bed.settings(&(unhurried(QUICK) + "TRACK_INTERFACES_ONLY_WITH_GROUPS=no\n"))?;
        for line in [
            "ifconfig ge0 plumb 192.168.0.86 up",
            "ifconfig ge0 addif 192.168.0.87 deprecated -failover up",
            "ifconfig ge1 plumb 192.168.0.88 up",
            "ifconfig ge1 addif 192.168.0.89 deprecated -failover up",
        ] {
            bed.types(line)?;
        }
        bed.awaits_probes(&["ge0", "ge1"])?;
        let before = bed.types("ifconfig -a")?;
        let said = bed.messages()?.len();
        bed.fails(fault, &bed.ge1)?;
        bed.says(said, &["NIC failure detected on ge1"])?;
        same(
            "NICs with .88",
            &bed.holders(DATA1)?,
            &vec!["ge1".to_owned()],
        )?;
        let flags = if fault.leaves_link() {
            "11000843"
        } else {
            "11000803"
        };
        same("flags of ge1", bed.flags("ge1")?.as_str(), flags)?;
        let link = if fault.leaves_link() { "up" } else { "down" };
        row_is(
            &bed,
            "ge1",
            &format!("ge1 no -- ------- {link} failed failed"),
        )?;
        same(
            "ipmpstat -g",
            bed.types("ipmpstat -g")?.as_str(),
            &format!("{GROUPS}--          --          degraded  1.00s     ge0 [ge1]\n"),
        )?;
        bed.repairs(&bed.ge1)?;
        bed.says(said, &["NIC repair detected on ge1"])?;
        bed.never_says(said, "failed over")?;
        bed.never_says(said, "failed back")?;
        same(
            "list after the repair",
            bed.types("ifconfig -a")?.as_str(),
            &before,
        )?;
        let snapshot = bed.snapshot()?;
        same(
            "group of ge1",
            &find(&snapshot, "ge1").and_then(|nic| nic.group.clone()),
            &None,
        )?;
    }
    Ok(())
}
