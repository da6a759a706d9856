//! What the files in `/etc` do: the daemon's settings, the boot files of the labs as printed, and
//! NICs that are missing when the host boots.

use std::path::Path;

use ipmp_api::RunDirectory;
use ipmp_core::kernel::{Route, Via};
use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::labs::{LAB1, LAB2, comparable};
use ipmp_lab::wait_until;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, PATIENCE, find, reaches, same};
use crate::scene::DATA1;

tests![
    boot_seed_hme0_and_hme1,
    boot_seed_ge0_and_ge1,
    boot_seed_ge1_wrapped_is_refused,
    boot_gives_the_same_list_as_by_hand_in_lab_1,
    boot_gives_the_same_list_as_by_hand_in_lab_2,
    boot_twice_leaves_the_list_as_it_is,
    boot_single_line_gets_netmask_broadcast_up,
    boot_of_several_lines_appends_nothing,
    boot_of_an_empty_file_plumbs,
    boot_of_ipv6,
    boot_uses_netmasks,
    boot_uses_names_from_hosts,
    boot_uses_defaultrouter_through_the_group,
    boot_with_a_nic_missing_serves_its_address_until_it_appears,
    boot_with_a_nic_missing_and_nobody_to_take_its_address,
    boot_check_touches_nothing,
    boot_check_finds_what_is_wrong,
];

const SLOW: u32 = 10_000;

const HME0: &str = "192.168.10.215 broadcast + netmask + up group test \\
addif 192.168.10.216 -failover deprecated netmask + broadcast + up
";
const HME1: &str = "192.168.10.217 broadcast + netmask + up group test \\
addif 192.168.10.218 -failover deprecated netmask + broadcast + up
";
const GE0: &str = "192.168.0.86 netmask 255.255.255.0 broadcast + group host1 up \\
addif 192.168.0.87 deprecated -failover netmask 255.255.255.0 broadcast + up
";
const GE1: &str =
    "192.168.0.88 netmask 255.255.255.0 broadcast + group host1 deprecated -failover standby up\n";
/// As it was printed: the page had wrapped the line after a hyphen.
const GE1_WRAPPED: &str = "192.168.0.88 netmask 255.255.255.0 broadcast + group host1 deprecated -
failover standby up
";

/// Lab 1 as boot files.
pub(crate) const LAB1_GE0: &str =
    "192.168.0.86 group testgrp2 up addif 192.168.0.87 deprecated -failover up\n";
pub(crate) const LAB1_GE1: &str =
    "192.168.0.88 group testgrp2 up addif 192.168.0.89 deprecated -failover up\n";
/// The other one of lab 2.
pub(crate) const LAB2_GE1: &str = "192.168.0.88 group testgrp2 deprecated -failover standby up\n";

fn boot_seed_hme0_and_hme1() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    for (nic, text) in [("hme0", HME0), ("hme1", HME1)] {
        bed.host1.nic(nic, &bed.switch)?;
        bed.host1
            .write_file(&format!("/etc/hostname.{nic}"), text)?;
    }
    bed.types("ipmp boot")?;
    shows(
        &bed,
        "hme0",
        "1000843",
        "192.168.10.215 netmask ffffff00 broadcast 192.168.10.255",
        "test",
    )?;
    shows(
        &bed,
        "hme0:1",
        "9040843",
        "192.168.10.216 netmask ffffff00 broadcast 192.168.10.255",
        "",
    )?;
    shows(
        &bed,
        "hme1",
        "1000843",
        "192.168.10.217 netmask ffffff00 broadcast 192.168.10.255",
        "test",
    )?;
    shows(
        &bed,
        "hme1:1",
        "9040843",
        "192.168.10.218 netmask ffffff00 broadcast 192.168.10.255",
        "",
    )?;
    // NICs without a file are left alone.
    same("ge0", bed.entry("ge0")?.as_str(), "")
}

fn boot_seed_ge0_and_ge1() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    boots(&bed, &[("ge0", GE0), ("ge1", GE1)])?;
    shows(
        &bed,
        "ge0",
        "1000843",
        "192.168.0.86 netmask ffffff00 broadcast 192.168.0.255",
        "host1",
    )?;
    shows(
        &bed,
        "ge0:1",
        "9040843",
        "192.168.0.87 netmask ffffff00 broadcast 192.168.0.255",
        "",
    )?;
    shows(
        &bed,
        "ge1",
        "69040843",
        "192.168.0.88 netmask ffffff00 broadcast 192.168.0.255",
        "host1",
    )?;
    same("ge1:1", bed.entry("ge1:1")?.as_str(), "")
}

fn boot_seed_ge1_wrapped_is_refused() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1.write_file("/etc/hostname.ge0", GE0)?;
    bed.host1.write_file("/etc/hostname.ge1", GE1_WRAPPED)?;
    for command in ["ipmp boot --check", "ipmp boot"] {
        let output = bed.host1.run(command)?;
        let said = format!("{}{}", output.stdout, output.stderr);
        let names_it = |line: &str| {
            ["/etc/hostname.ge1", "1", "'-'", "-failover"]
                .iter()
                .all(|part| line.contains(part))
        };
        if output.success() || !said.lines().any(names_it) {
            return Err(format!("{command}: {}: {said}", output.status).into());
        }
    }
    // The other NIC is configured, and what could move off an idle standby is not up.
    same("flags of ge0", bed.flags("ge0")?.as_str(), "1000843")?;
    let seen = bed.snapshot()?;
    let is_movable = |logical: &ipmp_core::snapshot::Logical| {
        use ipmp_core::Flags;
        logical.flags.contains(Flags::UP) && !logical.flags.contains(Flags::NOFAILOVER)
    };
    let movable = find(&seen, "ge1").map_or(0, |ge1| {
        ge1.logicals.iter().filter(|l| is_movable(l)).count()
    });
    same("movable addresses that are up on ge1", &movable, &0)?;
    same(
        "192.168.0.88 is up anywhere",
        &bed.has_address("192.168.0.88")?,
        &false,
    )
}

fn boot_gives_the_same_list_as_by_hand_in_lab_1() -> Result<(), Failed> {
    let by_hand = by_hand(&LAB1)?;
    let bed = Bed::new(SLOW)?;
    boots(&bed, &[("ge0", LAB1_GE0), ("ge1", LAB1_GE1)])?;
    same("ifconfig -a", &bed.types("ifconfig -a")?, &by_hand)
}

fn boot_gives_the_same_list_as_by_hand_in_lab_2() -> Result<(), Failed> {
    let by_hand = by_hand(&LAB2)?;
    let bed = Bed::new(SLOW)?;
    boots(&bed, &[("ge0", LAB1_GE0), ("ge1", LAB2_GE1)])?;
    same("ifconfig -a", &bed.types("ifconfig -a")?, &by_hand)
}

fn boot_twice_leaves_the_list_as_it_is() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    boots(&bed, &[("ge0", LAB1_GE0), ("ge1", LAB1_GE1)])?;
    let (listing, before) = (bed.types("ifconfig -a")?, bed.kernel()?);
    // Whatever it says of addresses that are there already.
    bed.host1.run("ipmp boot")?;
    same("ifconfig -a", &bed.types("ifconfig -a")?, &listing)?;
    same("addresses", &bed.kernel()?.addresses, &before.addresses)
}

fn boot_single_line_gets_netmask_broadcast_up() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1
        .write_file("/etc/netmasks", "192.168.0.0 255.255.255.128\n")?;
    boots(&bed, &[("ge0", "192.168.0.86\n")])?;
    shows(
        &bed,
        "ge0",
        "1000843",
        "192.168.0.86 netmask ffffff80 broadcast 192.168.0.127",
        "",
    )
}

fn boot_of_several_lines_appends_nothing() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    boots(
        &bed,
        &[(
            "ge0",
            "192.168.0.86 group g up\n\n# the test address\naddif 192.168.0.87 -failover\n",
        )],
    )?;
    shows(
        &bed,
        "ge0",
        "1000843",
        "192.168.0.86 netmask ffffff00 broadcast 192.168.0.255",
        "g",
    )?;
    same("flags of ge0:1", bed.flags("ge0:1")?.as_str(), "9000842")
}

fn boot_of_an_empty_file_plumbs() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    boots(&bed, &[("ge0", "")])?;
    shows(&bed, "ge0", "1000842", "0.0.0.0 netmask 0 ", "")
}

fn boot_of_ipv6() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1
        .write_file("/etc/hostname6.ge0", "group g\naddif fd00::86/64 up\n")?;
    boots(&bed, &[("ge0", "192.168.0.86 group g up\n")])?;
    same(
        "inet6 fd00::86/64 is listed",
        &bed.types("ifconfig -a6")?.contains("inet6 fd00::86/64 "),
        &true,
    )?;
    same("in the kernel", &bed.has_address("fd00::86")?, &true)
}

fn boot_uses_netmasks() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1.write_file(
        "/etc/netmasks",
        "# corners\n192.168.10.192 255.255.255.192\n192.168.10.0 255.255.255.0\n",
    )?;
    for (nic, text) in [("hme0", HME0), ("hme1", HME1)] {
        bed.host1.nic(nic, &bed.switch)?;
        bed.host1
            .write_file(&format!("/etc/hostname.{nic}"), text)?;
    }
    bed.types("ipmp boot")?;
    for (logical, last) in [
        ("hme0", 215),
        ("hme0:1", 216),
        ("hme1", 217),
        ("hme1:1", 218),
    ] {
        let text = format!("inet 192.168.10.{last} netmask ffffffc0 broadcast 192.168.10.255");
        same(&text, &bed.entry(logical)?.contains(&text), &true)?;
    }
    Ok(())
}

fn boot_uses_names_from_hosts() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1.write_file(
        "/etc/hosts",
        "127.0.0.1 localhost\n192.168.0.86 host1.example host1 # data\n192.168.0.87\thost1-test0\n",
    )?;
    boots(
        &bed,
        &[(
            "ge0",
            "host1 group g up addif host1-test0 deprecated -failover up\n",
        )],
    )?;
    shows(
        &bed,
        "ge0",
        "1000843",
        "192.168.0.86 netmask ffffff00 broadcast 192.168.0.255",
        "g",
    )?;
    shows(
        &bed,
        "ge0:1",
        "9040843",
        "192.168.0.87 netmask ffffff00 broadcast 192.168.0.255",
        "",
    )
}

fn boot_uses_defaultrouter_through_the_group() -> Result<(), Failed> {
    let bed = Bed::new(1000)?;
    let outside = bed.lab.switch();
    bed.lab.router(
        "router",
        &[(&bed.switch, "192.168.0.1/24"), (&outside, "10.0.0.1/24")],
    )?;
    let far = bed.lab.host("far")?;
    far.nic("ge0", &outside)?;
    far.configure("ge0", "10.0.0.2/24")?;
    far.route("0.0.0.0/0", "10.0.0.1".parse()?)?;
    bed.host1
        .write_file("/etc/hosts", "192.168.0.1 gateway\n")?;
    bed.host1
        .write_file("/etc/defaultrouter", "# the way out\ngateway\n")?;
    boots(&bed, &[("ge0", LAB1_GE0), ("ge1", LAB1_GE1)])?;
    awaits_default_route(&bed)?;
    reaches(&bed.host1, "10.0.0.2")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    for nic in [&bed.ge0, &bed.ge1] {
        nic.cable.pull()?;
        bed.awaits_state(nic.name.as_str(), InterfaceState::Failed)?;
        awaits_default_route(&bed)?;
        reaches(&bed.host1, "10.0.0.2")?;
        nic.cable.plug()?;
        bed.awaits_state(nic.name.as_str(), InterfaceState::Ok)?;
        reaches(&bed.host1, "10.0.0.2")?;
    }
    // The daemon's end does not take it away.
    bed.signals_daemon(Signal::SIGTERM)?;
    bed.awaits_no_daemon()?;
    reaches(&bed.host1, "10.0.0.2")
}

fn boot_with_a_nic_missing_serves_its_address_until_it_appears() -> Result<(), Failed> {
    let by_hand = comparable(&by_hand(&LAB1)?);
    let bed = Bed::new(1000)?;
    bed.host1.unplug_nic("ge1")?;
    bed.host1.write_file("/etc/hostname.ge0", LAB1_GE0)?;
    bed.host1.write_file("/etc/hostname.ge1", LAB1_GE1)?;
    let output = bed.host1.run("ipmp boot")?;
    let said = format!("{}{}", output.stdout, output.stderr);
    let told = "moving addresses from failed IPv4 interfaces: ge1 (moved to ge0).";
    same(
        &format!("'{told}' in: {said}"),
        &said.lines().any(|line| line == told),
        &true,
    )?;
    // The data address is served by the other member, the test address is not there.
    let entry = bed.entry("ge0:2")?;
    same(
        &format!("192.168.0.88 is in: {entry}"),
        &entry.contains("inet 192.168.0.88 "),
        &true,
    )?;
    same("flags of ge0:2", bed.flags("ge0:2")?.as_str(), "1000843")?;
    same(
        "192.168.0.89 in the kernel",
        &bed.has_address("192.168.0.89")?,
        &false,
    )?;
    same("ge1", bed.entry("ge1")?.as_str(), "")?;
    reaches(&bed.host2, "192.168.0.88")?;
    bed.host1.plug_nic("ge1")?;
    bed.awaits("ge1 has its address", |seen| {
        find(seen, "ge1").is_some_and(|ge1| {
            ge1.index.is_some()
                && ge1.logicals.len() == 2
                && ge1.logicals.iter().all(|l| !l.placeholder)
        })
    })?;
    lists(&bed, &by_hand)?;
    reaches(&bed.host2, "192.168.0.88")
}

fn boot_with_a_nic_missing_and_nobody_to_take_its_address() -> Result<(), Failed> {
    let bed = Bed::new(1000)?;
    bed.host1.unplug_nic("ge1")?;
    bed.host1
        .write_file("/etc/hostname.ge0", "192.168.0.86 group other up\n")?;
    bed.host1.write_file("/etc/hostname.ge1", LAB1_GE1)?;
    let output = bed.host1.run("ipmp boot")?;
    let said = format!("{}{}", output.stdout, output.stderr);
    let told = "moving addresses from failed IPv4 interfaces: \
                ge1 (couldn't move, no alternative interface).";
    same(
        &format!("'{told}' in: {said}"),
        &said.lines().any(|line| line == told),
        &true,
    )?;
    same(
        "192.168.0.88 in the kernel",
        &bed.has_address("192.168.0.88")?,
        &false,
    )?;
    bed.host1.plug_nic("ge1")?;
    bed.awaits("ge1 is there", |seen| {
        find(seen, "ge1").is_some_and(|ge1| ge1.index.is_some() && ge1.logicals.len() == 2)
    })?;
    // Its link comes up a little later.
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    // And others are asked then.
    bed.awaits_holder(DATA1, "ge1")?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "1000843")?;
    reaches(&bed.host2, "192.168.0.88")
}

fn boot_check_touches_nothing() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1.write_file("/etc/hostname.ge0", LAB1_GE0)?;
    bed.host1.write_file("/etc/hostname.ge1", LAB1_GE1)?;
    bed.host1
        .write_file("/etc/defaultrouter", "192.168.0.1\n")?;
    let before = bed.kernel()?;
    bed.types("ipmp boot --check")?;
    same("kernel", &bed.kernel()?, &before)?;
    same("daemons", &bed.host1.pids_of("in.mpathd")?.len(), &0)?;
    let is_there = bed.host1.enter(|| Path::new(RunDirectory::BASE).exists())?;
    same("run directory is there", &is_there, &false)
}

fn boot_check_finds_what_is_wrong() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1
        .write_file("/etc/hostname.ge0", "192.168.0.86 netmsk + group g up\n")?;
    bed.host1
        .write_file("/etc/hostname.ge1", "192.168.0.88 group\n")?;
    let before = bed.kernel()?;
    let output = bed.host1.run("ipmp boot --check")?;
    same("exit status", &output.status.code(), &Some(1))?;
    for (file, word) in [
        ("/etc/hostname.ge0", "'netmsk'"),
        ("/etc/hostname.ge1", "group"),
    ] {
        let told = output
            .stderr
            .lines()
            .any(|line| line.contains(file) && line.contains(word));
        same(
            &format!("{file} and {word} in: {}", output.stderr),
            &told,
            &true,
        )?;
    }
    same("kernel", &bed.kernel()?, &before)?;
    same("daemons", &bed.host1.pids_of("in.mpathd")?.len(), &0)
}

/// Writes boot files and boots.
pub(crate) fn boots(bed: &Bed, files: &[(&str, &str)]) -> Result<(), Failed> {
    for (nic, text) in files {
        bed.host1
            .write_file(&format!("/etc/hostname.{nic}"), text)?;
    }
    bed.types("ipmp boot").map(drop)
}

/// The listing after these lines were typed on a host of its own.
fn by_hand(lines: &[&str]) -> Result<String, Failed> {
    let bed = Bed::new(SLOW)?;
    for line in lines {
        bed.types(line)?;
    }
    bed.types("ifconfig -a")
}

/// Checks a logical's entry: flags, what follows `inet`, and group.
fn shows(bed: &Bed, logical: &str, flags: &str, inet: &str, group: &str) -> Result<(), Failed> {
    same(
        &format!("flags of {logical}"),
        bed.flags(logical)?.as_str(),
        flags,
    )?;
    let entry = bed.entry(logical)?;
    let after = |head: &str| {
        entry
            .lines()
            .find_map(|line| line.strip_prefix(head))
            .unwrap_or_default()
    };
    same(&format!("address of {logical}"), after("\tinet "), inet)?;
    same(&format!("group of {logical}"), after("\tgroupname "), group)
}

/// Checks the listing but for what differs from host to host.
fn lists(bed: &Bed, expected: &str) -> Result<(), Failed> {
    same(
        "ifconfig -a",
        comparable(&bed.types("ifconfig -a")?).as_str(),
        expected,
    )
}

/// Waits until an IPv4 default route goes through the group.
fn awaits_default_route(bed: &Bed) -> Result<(), Failed> {
    let leads_out = |route: &Route| {
        route.destination.prefix == 0
            && route.destination.ip.is_ipv4()
            && matches!(route.via, Via::Nexthop(_))
    };
    let waited = wait_until("a default route through the group", PATIENCE, || {
        bed.kernel()
            .is_ok_and(|kernel| kernel.routes.iter().any(leads_out))
    });
    let routes = bed.kernel()?.routes;
    waited
        .map(drop)
        .map_err(|error| format!("{error}; {routes:?}").into())
}
