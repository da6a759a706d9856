//! The two labs, step by step.

use ipmp_lab::labs::{LAB1, LAB2, Moment};

use super::stage::{Failure, Stage};

/// What both labs need: a hardware address for each NIC.
pub(super) fn own_addresses(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    stage.title("Before the labs: a hardware address for each NIC")?;
    stage.types("eeprom 'local-mac-address?'")?;
    stage.types("eeprom 'local-mac-address?=true'")?;
    let answer = stage.types("eeprom 'local-mac-address?'")?;
    let stored = answer.trim().rsplit('=').next().unwrap_or_default();
    stage.check("local-mac-address?", "true", stored)
}

/// Lab 1: two active paths, no standby.
pub(super) fn lab1(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    stage.title("Lab 1: two active NICs, each takes over for the other")?;
    stage.types("ifconfig ge0 unplumb")?;
    stage.types("ifconfig ge1 unplumb")?;
    for line in LAB1 {
        stage.types(line)?;
    }
    stage.shows_daemon()?;
    stage.awaits_probes(&["ge0", "ge1"])?;
    stage.lists("lab 1 set up", Moment::Lab1)?;

    stage.fails(&Failure {
        nic: "ge1",
        pinged: "192.168.0.88",
        moves: true,
        during: Moment::Lab1WithoutGe1,
        after: Moment::Lab1,
    })?;
    stage.fails(&Failure {
        nic: "ge0",
        pinged: "192.168.0.86",
        moves: true,
        during: Moment::Lab1WithoutGe0,
        after: Moment::Lab1,
    })
}

/// Lab 2: one active path and a standby.
pub(super) fn lab2(stage: &mut Stage<'_>) -> anyhow::Result<()> {
    stage.title("Lab 2: one active NIC, one standby")?;
    stage.types("ifconfig ge0 unplumb")?;
    stage.types("ifconfig ge1 unplumb")?;
    for line in LAB2 {
        stage.types(line)?;
    }
    stage.awaits_probes(&["ge0", "ge1"])?;
    stage.lists("lab 2 set up", Moment::Lab2)?;

    stage.fails(&Failure {
        nic: "ge0",
        pinged: "192.168.0.86",
        moves: true,
        during: Moment::Lab2WithoutGe0,
        after: Moment::Lab2,
    })?;
    stage.fails(&Failure {
        nic: "ge1",
        pinged: "192.168.0.86",
        moves: false,
        during: Moment::Lab2WithoutStandby,
        after: Moment::Lab2,
    })
}
