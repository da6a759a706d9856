//! What a group leaves behind in the kernel when it is gone: nothing.

use std::fs;

use ipmp_core::kernel::Kernel;
use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::wait_until;
use ipmp_linux::rtnl::Rtnl;
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, same};

tests![
    group_leaves_no_trace_after_unplumb,
    group_leaves_no_trace_after_leaving,
];

fn group_leaves_no_trace_after_unplumb() -> Result<(), Failed> {
    let bed = Bed::new(1000)?;
    let before = trace(&bed)?;
    for line in ipmp_lab::labs::LAB1 {
        bed.types(line)?;
    }
    bed.types("ifconfig ge0 inet6 plumb up")?;
    bed.types("ifconfig ge1 inet6 plumb up")?;
    bed.types("ifconfig ge1 inet6 addif fd00::88/64 up")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.ge1.cable.pull()?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    bed.ge1.cable.plug()?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    for nic in ["ge0", "ge1"] {
        bed.types(&format!("ifconfig {nic} inet6 unplumb"))?;
        bed.types(&format!("ifconfig {nic} unplumb"))?;
    }
    leaves(&bed, &before)
}

fn group_leaves_no_trace_after_leaving() -> Result<(), Failed> {
    let bed = Bed::new(1000)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 up")?;
    bed.types("ifconfig ge1 plumb 192.168.10.88 up")?;
    bed.host1.route("10.0.0.0/8", "192.168.0.2".parse()?)?;
    awaits_link_locals(&bed)?;
    let before = trace(&bed)?;
    for nic in ["ge0", "ge1"] {
        bed.types(&format!("ifconfig {nic} group testgrp2"))?;
    }
    bed.types("ifconfig ge0 addif 192.168.0.87 deprecated -failover up")?;
    bed.types("ifconfig ge1 addif 192.168.10.89 deprecated -failover up")?;
    bed.awaits_probes(&["ge0"])?;
    if trace(&bed)?.0 == before.0 {
        return Err("the group has changed nothing in the kernel".into());
    }
    bed.types("ifconfig ge0 removeif 192.168.0.87")?;
    bed.types("ifconfig ge1 removeif 192.168.10.89")?;
    for nic in ["ge0", "ge1"] {
        bed.types(&format!("ifconfig {nic} group ''"))?;
    }
    leaves(&bed, &before)
}

/// What the kernel holds of the network of host1: what netlink tells, and every sysctl of every
/// interface.
fn trace(bed: &Bed) -> Result<(Kernel, Vec<(String, String)>), Failed> {
    bed.host1.enter(|| -> Result<_, Failed> {
        let kernel = Rtnl::open()?.observe()?;
        let mut sysctls = Vec::new();
        for family in ["ipv4", "ipv6"] {
            for interface in fs::read_dir(format!("/proc/sys/net/{family}/conf"))? {
                for file in fs::read_dir(interface?.path())? {
                    let path = file?.path();
                    // Some can be written only, or read only once they were.
                    if let Ok(value) = fs::read_to_string(&path) {
                        sysctls.push((path.display().to_string(), value));
                    }
                }
            }
        }
        sysctls.sort();
        Ok((kernel, sysctls))
    })?
}

/// Waits until the kernel holds what it held before.
fn leaves(bed: &Bed, before: &(Kernel, Vec<(String, String)>)) -> Result<(), Failed> {
    let waited = wait_until("no trace", PATIENCE, || {
        trace(bed).is_ok_and(|now| now == *before)
    });
    if waited.is_ok() {
        return Ok(());
    }
    let (kernel, sysctls) = trace(bed)?;
    same("links", &kernel.links, &before.0.links)?;
    same("addresses", &kernel.addresses, &before.0.addresses)?;
    same("routes", &kernel.routes, &before.0.routes)?;
    same("nexthops", &kernel.nexthops, &before.0.nexthops)?;
    let changed = |of: &[(String, String)], other: &[(String, String)]| -> Vec<(String, String)> {
        of.iter()
            .filter(|sysctl| !other.contains(sysctl))
            .cloned()
            .collect()
    };
    same(
        "sysctls",
        &changed(&sysctls, &before.1),
        &changed(&before.1, &sysctls),
    )?;
    same("sysctls of the model", &kernel.sysctls, &before.0.sysctls)
}

/// Waits until the kernel has given both NICs their link-local addresses, which takes it a moment.
fn awaits_link_locals(bed: &Bed) -> Result<(), Failed> {
    wait_until("link-local addresses", PATIENCE, || {
        trace(bed).is_ok_and(|(kernel, _)| {
            let there = kernel
                .addresses
                .values()
                .filter(|a| a.address.is_link_local6());
            there.count() == 2
        })
    })?;
    Ok(())
}
