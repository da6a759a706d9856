//! Addresses that the administrator moves (`ipmp move`).

use std::time::Duration;

use ipmp_core::record::{Cause, Direction};
use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::traffic::UdpStream;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, same};
use crate::scene::{DATA0, PEER, QUICK, WHILE, loses_nothing};

tests![
    moving_an_address_loses_no_packet,
    moved_address_stays_and_returns,
    bad_moves_are_refused_in_one_line,
];

fn moving_an_address_loses_no_packet() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    // What is under way to host1 when the address moves comes in by the old NIC.
    let under_way = Duration::from_millis(20);
    bed.host2.find_nic("ge0")?.cable.delay(under_way);
    let stream = UdpStream::start(
        (&bed.host1, DATA0.into()),
        (&bed.host2, PEER.into()),
        Duration::from_millis(1),
        WHILE,
    )?;
    for _ in 0..3 {
        for (nic, at) in [("ge1", &bed.ge1), ("ge0", &bed.ge0)] {
            same(
                "output",
                bed.types(&format!("ipmp move {DATA0} {nic}"))?.as_str(),
                "",
            )?;
            bed.awaits_holder(DATA0, nic)?;
            bed.awaits_neighbour(DATA0, at.mac)?;
        }
    }
    let report = stream.stop()?;
    loses_nothing("from host1", &report.forth)?;
    loses_nothing("to host1", &report.back)?;
    let outages = bed.snapshot()?.outages;
    same("moves", &outages.len(), &6)?;
    for outage in outages {
        same("direction", &outage.direction, &Direction::Move)?;
        same("cause", &outage.cause, &Cause::Administrator)?;
        same("there is no failure to detect", &outage.detection, &None)?;
    }
    Ok(())
}

fn moved_address_stays_and_returns() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    // As status shows it.
    bed.types("ipmp move 192.168.0.86/24 ge1")?;
    bed.awaits_holder(DATA0, "ge1")?;
    let told = bed.types("ipmp explain 192.168.0.86")?;
    let why = "belongs to ge0, and was moved to ge1:2 by hand";
    same(why, &told.replace('\n', " ").contains(why), &true)?;
    // A daemon that was killed is followed by one that knows.
    bed.signals_daemon(Signal::SIGKILL)?;
    bed.awaits_no_daemon()?;
    bed.types("in.mpathd")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.awaits_holder(DATA0, "ge1")?;
    bed.ge1.cable.pull()?;
    bed.awaits_holder(DATA0, "ge0")?;
    bed.ge1.cable.heal()?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.awaits_holder(DATA0, "ge1")?;
    bed.types("ipmp move 192.168.0.86 ge0")?;
    bed.awaits_holder(DATA0, "ge0")
}

fn bad_moves_are_refused_in_one_line() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.types("if_mpadm -d ge1")?;
    for (line, complaint) in [
        ("192.168.0.99 ge0", "192.168.0.99: no such address"),
        (
            "192.168.0.87 ge1",
            "192.168.0.87: never moves: it is no data address of a group",
        ),
        (
            "192.168.0.86/16 ge1",
            "192.168.0.86/16: its prefix length is 24",
        ),
        ("192.168.0.86/24 ge1", "ge1: is offline"),
        ("192.168.0.86 ge9", "ge9: no such interface"),
        ("192.168.0.86 lo", "lo: is not in the group of the address"),
    ] {
        bed.refuses(
            &format!("ipmp move {line}"),
            &format!("ipmp: move: {complaint}"),
        )?;
    }
    bed.signals_daemon(Signal::SIGTERM)?;
    bed.awaits_no_daemon()?;
    bed.refuses(
        "ipmp move 192.168.0.86 ge1",
        "ipmp: in.mpathd is not running (start it: systemctl start ipmp, or in.mpathd)",
    )
}
