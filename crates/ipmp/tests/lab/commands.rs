//! The commands of the labs, typed as in the manuals: what each prints, and what is so afterwards.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use ipmp_core::MacAddress;
use ipmp_core::snapshot::{InterfaceState, ProbeState};
use ipmp_lab::traffic::Ping;
use ipmp_lab::wait_until;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, PATIENCE, find, reaches, same};

tests![
    unplumb_removes_the_nic_with_all_its_logicals,
    unplumb_of_a_nic_that_is_not_plumbed_is_an_error,
    unplumb_hands_hosted_addresses_to_another_member,
    unplumb_hands_hosted_addresses_back_where_no_other_member_works,
    plumb_address_group_up_in_one_line,
    ps_shows_one_daemon_of_root_with_parent_1,
    daemon_started_by_hand_while_it_runs_ends_without_harm,
    daemon_started_by_hand_runs,
    daemon_started_many_times_at_once_runs_once,
    addif_test_address_names_the_new_logical_and_probes_from_it,
    plumb_ge1_like_ge0_with_another_index,
    addif_on_ge1,
    plumb_standby_is_one_idle_logical,
    listing_byte_for_byte,
    ping_from_host2_pauses_no_longer_than_detection,
    hostname_files_are_left_as_they_are,
];

/// Detection time of tests that wait for no failure: the default.
const SLOW: u32 = 10_000;

/// How many daemons are started at once.
const TOGETHER: usize = 20;

fn unplumb_removes_the_nic_with_all_its_logicals() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let ge1 = [bed.entry("ge1")?, bed.entry("ge1:1")?];
    same(
        "ifconfig ge0 unplumb",
        bed.types("ifconfig ge0 unplumb")?.as_str(),
        "",
    )?;
    let listing = bed.types("ifconfig -a")?;
    if listing.contains("ge0") {
        return Err(format!("ge0 is still listed:\n{listing}").into());
    }
    same("ge1", &[bed.entry("ge1")?, bed.entry("ge1:1")?], &ge1)
}

fn unplumb_of_a_nic_that_is_not_plumbed_is_an_error() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.refuses(
        "ifconfig ge0 unplumb",
        "ifconfig: unplumb: ge0: no such interface",
    )?;
    bed.types("ifconfig ge0 plumb")?;
    bed.types("ifconfig ge0 unplumb")?;
    bed.refuses(
        "ifconfig ge0 unplumb",
        "ifconfig: unplumb: ge0: no such interface",
    )
}

fn unplumb_hands_hosted_addresses_to_another_member() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    bed.host1.nic("ge2", &bed.switch)?;
    bed.types("ifconfig ge2 plumb 192.168.0.90 group testgrp2 up")?;
    bed.types("ifconfig ge2 addif 192.168.0.91 deprecated -failover up")?;
    bed.awaits_probes(&["ge2"])?;
    bed.ge1.cable.pull()?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    let host = home_of(&bed, "192.168.0.88")?;
    let other = if host == "ge0" { "ge2" } else { "ge0" };
    bed.types(&format!("ifconfig {host} unplumb"))?;
    same(
        "NIC of 192.168.0.88",
        home_of(&bed, "192.168.0.88")?.as_str(),
        other,
    )?;
    reaches(&bed.host2, "192.168.0.88")
}

fn unplumb_hands_hosted_addresses_back_where_no_other_member_works() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    bed.ge1.cable.pull()?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    same(
        "NIC of 192.168.0.88",
        home_of(&bed, "192.168.0.88")?.as_str(),
        "ge0",
    )?;
    bed.types("ifconfig ge0 unplumb")?;
    same(
        "NIC of 192.168.0.88",
        home_of(&bed, "192.168.0.88")?.as_str(),
        "ge1",
    )?;
    bed.ge1.cable.plug()?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    reaches(&bed.host2, "192.168.0.88")
}

fn plumb_address_group_up_in_one_line() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    same(
        "daemons before",
        &bed.host1.pids_of("in.mpathd")?,
        &Vec::<i32>::new(),
    )?;
    let output = bed
        .host1
        .run("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    let seen = (
        output.status.code(),
        output.stdout.as_str(),
        output.stderr.as_str(),
    );
    same(
        "exit status, standard output and error",
        &seen,
        &(Some(0), "", ""),
    )?;
    same(
        "ge0",
        &bed.entry("ge0")?,
        &data_entry(&bed, "ge0", bed.ge0.mac, "192.168.0.86")?,
    )?;
    same("daemons after", &bed.host1.pids_of("in.mpathd")?.len(), &1)?;
    bed.snapshot().map(drop)
}

fn ps_shows_one_daemon_of_root_with_parent_1() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let pids = bed.host1.pids_of("in.mpathd")?;
    let [pid] = pids.as_slice() else {
        return Err(format!("one in.mpathd expected, seen: {pids:?}").into());
    };
    let line = bed.host1.read_file(&format!("/proc/{pid}/cmdline"))?;
    let line = line.trim_end_matches('\0');
    if !line.ends_with("/sbin/in.mpathd") {
        return Err(format!("the command line is '{line}'").into());
    }
    let status = bed.host1.read_file(&format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    same("parent", &field("PPid:"), &Some("1".to_owned()))?;
    same("user ids", &field("Uid:"), &Some("0 0 0 0".to_owned()))?;
    if !Path::new("/bin/ps").exists() {
        return Ok(());
    }
    let listing = bed.types("ps -ef")?;
    let lines: Vec<&str> = listing
        .lines()
        .filter(|line| line.contains("mpath"))
        .collect();
    let [line] = lines.as_slice() else {
        return Err(format!("one line with mpath expected in:\n{listing}").into());
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let (user, parent, command) = (words.first(), words.get(2), words.last());
    same("user in ps", &user, &Some(&"root"))?;
    same("parent in ps", &parent, &Some(&"1"))?;
    same(
        "command in ps",
        &command.is_some_and(|c| c.ends_with("/sbin/in.mpathd")),
        &true,
    )
}

fn daemon_started_by_hand_while_it_runs_ends_without_harm() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let (pids, listing) = (bed.host1.pids_of("in.mpathd")?, bed.types("ifconfig -a")?);
    bed.types("in.mpathd")?;
    // The one that gave way is gone when its launcher is, or soon after.
    wait_until("the first in.mpathd alone", PATIENCE, || {
        bed.host1.pids_of("in.mpathd").is_ok_and(|now| now == pids)
    })?;
    same("ifconfig -a", &bed.types("ifconfig -a")?, &listing)?;
    bed.awaits_log("another in.mpathd is active").map(drop)
}

fn daemon_started_by_hand_runs() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    // Ready when it returns: no waiting here.
    bed.types("in.mpathd")?;
    bed.snapshot()?;
    let pids = bed.host1.pids_of("in.mpathd")?;
    let [pid] = pids.as_slice() else {
        return Err(format!("one in.mpathd expected, seen: {pids:?}").into());
    };
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    same("daemons", &bed.host1.pids_of("in.mpathd")?, &pids)?;
    // It ends when told to, and the next one is another.
    let listing = bed.types("ifconfig -a")?;
    bed.host1.kill(*pid, Signal::SIGTERM)?;
    bed.awaits_no_daemon()?;
    bed.types("in.mpathd")?;
    same("ifconfig -a", &bed.types("ifconfig -a")?, &listing)
}

fn daemon_started_many_times_at_once_runs_once() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let started: Vec<_> = (0..TOGETHER)
        .map(|_| bed.host1.spawn("in.mpathd"))
        .collect();
    for process in started {
        let status = process?.wait(PATIENCE)?;
        same(
            "exit status",
            &status.and_then(|status| status.code()),
            &Some(0),
        )?;
    }
    // Those that found another one are gone when their launchers are, or soon after.
    wait_until("one in.mpathd", PATIENCE, || {
        bed.host1
            .pids_of("in.mpathd")
            .is_ok_and(|pids| pids.len() == 1)
    })?;
    let said = bed.messages()?;
    let text = "another in.mpathd is active in this network namespace; this one ends without harm";
    let lost = said.iter().filter(|said| *said == text);
    same("those that say so", &lost.count(), &(TOGETHER - 1))?;
    bed.snapshot().map(drop)
}

fn addif_test_address_names_the_new_logical_and_probes_from_it() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    let said = bed.types("ifconfig ge0 addif 192.168.0.87 deprecated -failover up")?;
    same(
        "standard output",
        said.as_str(),
        "Created new logical interface ge0:1\n",
    )?;
    same("flags of ge0:1", bed.flags("ge0:1")?.as_str(), "9040843")?;
    // PATIENCE is the 20 seconds this may take.
    bed.awaits("ge0 probes from 192.168.0.87", |snapshot| {
        find(snapshot, "ge0").is_some_and(|ge0| {
            ge0.probe == ProbeState::Ok
                && ge0.probing.iter().any(|probing| {
                    probing
                        .test_address
                        .is_some_and(|ip| ip.to_string() == "192.168.0.87")
                })
        })
    })
    .map(drop)
}

fn plumb_ge1_like_ge0_with_another_index() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    let said = bed.types("ifconfig ge1 plumb 192.168.0.88 group testgrp2 up")?;
    same("standard output", said.as_str(), "")?;
    same(
        "ge1",
        &bed.entry("ge1")?,
        &data_entry(&bed, "ge1", bed.ge1.mac, "192.168.0.88")?,
    )?;
    if index(&bed, "ge0")? == index(&bed, "ge1")? {
        return Err("ge0 and ge1 have the same index".into());
    }
    Ok(())
}

fn addif_on_ge1() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    bed.types("ifconfig ge1 plumb 192.168.0.88 group testgrp2 up")?;
    let said = bed.types("ifconfig ge1 addif 192.168.0.89 deprecated -failover up")?;
    same(
        "standard output",
        said.as_str(),
        "Created new logical interface ge1:1\n",
    )?;
    same("flags of ge1:1", bed.flags("ge1:1")?.as_str(), "9040843")
}

fn plumb_standby_is_one_idle_logical() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
    bed.types("ifconfig ge0 addif 192.168.0.87 deprecated -failover up")?;
    let line = "ifconfig ge1 plumb 192.168.0.88 group testgrp2 deprecated -failover standby up";
    same("standard output", bed.types(line)?.as_str(), "")?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "69040843")?;
    let listing = bed.types("ifconfig -a")?;
    same(
        "logicals of ge1",
        &listing.lines().filter(|l| l.starts_with("ge1")).count(),
        &1,
    )?;
    let snapshot = bed.snapshot()?;
    let ge1 = find(&snapshot, "ge1").ok_or("no ge1 in the snapshot")?;
    same(
        "ge1 is in use, inactive",
        &(ge1.active, ge1.inactive),
        &(false, true),
    )
}

fn listing_byte_for_byte() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let loopback = bed.host1.read_file("/sys/class/net/lo/mtu")?;
    let loopback = format!(
        "lo0: flags=1000849<UP,LOOPBACK,RUNNING,MULTICAST,IPv4> mtu {} index 1\n\
         \tinet 127.0.0.1 netmask ff000000 \n",
        loopback.trim()
    );
    let expected = [
        loopback,
        data_entry(&bed, "ge0", bed.ge0.mac, "192.168.0.86")?,
        test_entry(&bed, "ge0", "192.168.0.87")?,
        data_entry(&bed, "ge1", bed.ge1.mac, "192.168.0.88")?,
        test_entry(&bed, "ge1", "192.168.0.89")?,
    ]
    .concat();
    // IPv6, which comes after all of IPv4, has a test of its own.
    same("ifconfig -a4", &bed.types("ifconfig -a4")?, &expected)?;
    let all = bed.types("ifconfig -a")?;
    let (inet, inet6) = all
        .split_at_checked(expected.len())
        .ok_or("ifconfig -a is too short")?;
    same("ifconfig -a, IPv4", inet, expected.as_str())?;
    let is_loopback = |line: &str| line.starts_with("lo0:") || line.starts_with('\t');
    same(
        "ifconfig -a, rest only of lo0",
        &inet6.lines().all(is_loopback),
        &true,
    )
}

fn ping_from_host2_pauses_no_longer_than_detection() -> Result<(), Failed> {
    const DETECTION: Duration = Duration::from_secs(2);
    let bed = Bed::lab1(2000)?;
    let to: IpAddr = "192.168.0.88".parse()?;
    let every = Duration::from_millis(20);
    let start = Instant::now();
    let ping = Ping::start(&bed.host2, to, every, Duration::from_mins(1))?;
    std::thread::sleep(Duration::from_millis(500));
    bed.ge1.cable.silence();
    let fault = Instant::now();
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    std::thread::sleep(Duration::from_millis(500));
    let trail = ping.stop()?;
    // Packets under way when the cable falls silent are lost, but sent before.
    let certain = fault.checked_sub(every).ok_or("no such time")?;
    let before = trail.sent() - trail.since(certain).sent();
    let lost_before = trail.lost() - trail.since(certain).lost();
    same("lost before the fault", &lost_before, &0)?;
    same("pings before the fault", &(before > 0), &true)?;
    let outage = trail.longest_outage();
    same(
        &format!("gap of {outage:?} is within bounds"),
        &(outage <= DETECTION + Duration::from_secs(1)),
        &true,
    )?;
    let after = trail.since(fault + DETECTION + Duration::from_secs(1));
    same(
        &format!("answered after {:?}", start.elapsed()),
        &after.lost(),
        &0,
    )?;
    reaches(&bed.host2, "192.168.0.88")
}

fn hostname_files_are_left_as_they_are() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let texts = [
        (
            "/etc/hostname.ge0",
            "192.168.0.86 netmask + broadcast + group testgrp2 up \\\naddif 192.168.0.87 deprecated -failover up\n",
        ),
        (
            "/etc/hostname.ge1",
            "# a comment\n192.168.0.88 group testgrp2 deprecated -failover standby up",
        ),
    ];
    for (path, text) in texts {
        bed.host1.write_file(path, text)?;
    }
    bed.types("ipmp boot --check")?;
    bed.types("ipmp boot")?;
    bed.types("ifconfig ge0 addif 192.168.0.95 up")?;
    bed.types("ifconfig ge1 unplumb")?;
    for (path, text) in texts {
        same(path, bed.types(&format!("cat {path}"))?.as_str(), text)?;
    }
    Ok(())
}

/// The NIC an address is on, in the listing.
fn home_of(bed: &Bed, address: &str) -> Result<String, Failed> {
    let listing = bed.types("ifconfig -a")?;
    let mut name = "";
    for line in listing.lines() {
        if line.starts_with('\t') {
            if line.split_whitespace().nth(1) == Some(address) {
                return Ok(name.split(':').next().unwrap_or_default().to_owned());
            }
        } else {
            name = line.split(": ").next().unwrap_or_default();
        }
    }
    Err(format!("{address} is nowhere:\n{listing}").into())
}

fn index(bed: &Bed, nic: &str) -> Result<String, Failed> {
    let text = bed
        .host1
        .read_file(&format!("/sys/class/net/{nic}/ifindex"))?;
    Ok(text.trim().to_owned())
}

/// How a NIC of testgrp2 is listed that carries its data address.
fn data_entry(bed: &Bed, nic: &str, mac: MacAddress, ip: &str) -> Result<String, Failed> {
    // Octets without leading zero, one blank at the end of the line.
    let octets: Vec<String> = mac.0.iter().map(|octet| format!("{octet:x}")).collect();
    Ok(format!(
        "{nic}: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index {}\n\
         \tinet {ip} netmask ffffff00 broadcast 192.168.0.255\n\
         \tgroupname testgrp2\n\tether {} \n",
        index(bed, nic)?,
        octets.join(":")
    ))
}

/// How the test address of a NIC is listed, as its first logical.
fn test_entry(bed: &Bed, nic: &str, ip: &str) -> Result<String, Failed> {
    Ok(format!(
        "{nic}:1: flags=9040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER> \
         mtu 1500 index {}\n\
         \tinet {ip} netmask ffffff00 broadcast 192.168.0.255\n",
        index(bed, nic)?
    ))
}
