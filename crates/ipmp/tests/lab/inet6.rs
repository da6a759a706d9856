//! Lab 1 with IPv6 as well: data addresses that move, link-local test addresses that do not.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use ipmp_core::Family;
use ipmp_core::snapshot::{InterfaceState, ProbeState};
use ipmp_lab::labs::LAB1;
use ipmp_lab::traffic::{TcpConnection, UdpStream};
use ipmp_lab::wait_until;
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, find, reaches, same};
use crate::scene::{DATA1, Fault, OFTEN, QUICK, WHILE, by_hand, fd, loses_nothing, recovers};
use crate::tap::{Packet, Tap};

tests![
    inet6_failover_and_failback,
    inet6_list_after_failback_is_the_list_before,
    inet6_probes_leave_with_link_local_addresses,
    inet6_neighbours_are_told,
    inet6_alone,
    both_families_must_fail,
    inet6_failback_loses_no_packet,
    inet6_address_deleted_by_hand_comes_back,
    inet6_outlives_admin_down,
    inet6_survives_a_restart,
];

/// What is typed for IPv6 after lab 1.
const LAB1_INET6: [&str; 4] = [
    "ifconfig ge0 inet6 plumb -failover up",
    "ifconfig ge0 inet6 addif fd00::86/64 up",
    "ifconfig ge1 inet6 plumb -failover up",
    "ifconfig ge1 inet6 addif fd00::88/64 up",
];

const DATA6: Ipv6Addr = fd(0x88);
const PEER6: Ipv6Addr = fd(2);

/// Both labs' lines, as asked for, and IPv6 probes answered.
fn bed6(lines: &[&str]) -> Result<Bed, Failed> {
    let bed = Bed::new(QUICK)?;
    bed.host2.configure("ge0", "fd00::2/64")?;
    for line in lines {
        bed.types(line)?;
    }
    bed.awaits("IPv6 probes are answered", |snapshot| {
        ["ge0", "ge1"].iter().all(|nic| {
            let probing = find(snapshot, nic).into_iter().flat_map(|nic| &nic.probing);
            let answered = probing.filter(|probing| probing.is_answered());
            answered
                .filter(|probing| probing.state == ProbeState::Ok)
                .any(|probing| probing.family == Family::Inet6)
        })
    })?;
    // host2's address is checked for duplicates first.
    wait_until("host2 has its address", PATIENCE, || {
        by_hand(&bed.host2, "ip -6 address show tentative").is_ok_and(|shown| shown.is_empty())
    })?;
    reaches(&bed.host2, "fd00::86")?;
    reaches(&bed.host2, "fd00::88")?;
    Ok(bed)
}

fn dual() -> Result<Bed, Failed> {
    let bed = bed6(&[&LAB1[..], &LAB1_INET6].concat())?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    Ok(bed)
}

fn inet6_failover_and_failback() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = dual()?;
        for (nic, data, other) in [(&bed.ge1, DATA6, "ge0"), (&bed.ge0, fd(0x86), "ge1")] {
            let ping = bed.pings(data)?;
            let connection = TcpConnection::start(
                (&bed.host1, data.into()),
                (&bed.host2, PEER6.into()),
                OFTEN,
                WHILE,
            )?;
            bed.fails(fault, nic)?;
            bed.awaits_holder(data, other)?;
            let before = link_locals(&bed)?;
            reaches(&bed.host2, &data.to_string())?;
            recovers(
                &ping.stop()?,
                Duration::from_millis(u64::from(QUICK) + 1000),
            )?;

            let ping = bed.pings(data)?;
            bed.repairs(nic)?;
            bed.awaits_holder(data, nic.name.as_str())?;
            reaches(&bed.host2, &data.to_string())?;
            loses_nothing("ping during failback", &ping.stop()?)?;
            same("tcp broke", &connection.stop()?.broken, &None)?;
            same("link-local addresses", &link_locals(&bed)?, &before)?;
        }
    }
    Ok(())
}

/// The link-local addresses of host1 and where they are.
fn link_locals(bed: &Bed) -> Result<Vec<String>, Failed> {
    let kernel = bed.kernel()?;
    let ours = kernel
        .addresses
        .values()
        .filter(|address| address.address.is_link_local6());
    Ok(ours
        .map(|address| format!("{} on link {}", address.address, address.index))
        .collect())
}

fn inet6_list_after_failback_is_the_list_before() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = dual()?;
        let before = bed.types("ifconfig -a")?;
        bed.fails(fault, &bed.ge1)?;
        bed.awaits_holder(DATA6, "ge0")?;
        bed.awaits_holder(DATA1, "ge0")?;
        let during = bed.types("ifconfig -a")?;
        let entries: Vec<_> = during
            .lines()
            .filter(|line| line.contains("fd00::88"))
            .collect();
        same(
            "entries of fd00::88",
            &entries,
            &vec!["\tinet6 fd00::88/64 "],
        )?;
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA6, "ge1")?;
        bed.awaits_holder(DATA1, "ge1")?;
        same("list", bed.types("ifconfig -a")?.as_str(), &before)?;
    }
    Ok(())
}

fn inet6_probes_leave_with_link_local_addresses() -> Result<(), Failed> {
    let bed = dual()?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    for mac in [bed.ge0.mac, bed.ge1.mac] {
        let seen = tap.awaits("IPv6 probes of each NIC", |seen| {
            let probes = seen.iter().filter(|seen| {
                seen.mac == mac
                    && matches!(seen.packet, Packet::Echo { source, .. } if source.is_ipv6())
            });
            probes.count() >= 10
        })?;
        let sources: Vec<_> = seen
            .iter()
            .filter(|seen| seen.mac == mac)
            .filter_map(|seen| match seen.packet {
                Packet::Echo {
                    source: std::net::IpAddr::V6(source),
                    ..
                } => Some(source),
                _ => None,
            })
            .collect();
        let link_local = sources.iter().all(Ipv6Addr::is_unicast_link_local);
        let one = sources.iter().all(|source| sources.first() == Some(source));
        same(
            &format!("one link-local source in {sources:?}"),
            &(link_local && one),
            &true,
        )?;
    }
    Ok(())
}

fn inet6_neighbours_are_told() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = dual()?;
        bed.awaits_neighbour(DATA6, bed.ge1.mac)?;
        let tap = Tap::at(&bed.host2, "ge0")?;
        bed.fails(fault, &bed.ge1)?;
        told(&bed, || tap.advertisements(DATA6, bed.ge0.mac), "ge0")?;
        bed.repairs(&bed.ge1)?;
        told(&bed, || tap.advertisements(DATA6, bed.ge1.mac), "ge1")?;
    }
    Ok(())
}

/// Waits until host2 knows and has been told several times, over more than a second.
fn told(bed: &Bed, heard: impl Fn() -> Vec<Instant>, nic: &str) -> Result<(), Failed> {
    let mac = if nic == "ge0" {
        bed.ge0.mac
    } else {
        bed.ge1.mac
    };
    bed.awaits_neighbour(DATA6, mac)?;
    wait_until("advertisements", PATIENCE, || {
        let heard = heard();
        let spread = heard
            .first()
            .zip(heard.last())
            .map(|(first, last)| *last - *first);
        heard.len() >= 3 && spread.is_some_and(|spread| spread > Duration::from_secs(1))
    })
    .map_err(|error| format!("{error}: {} of {DATA6} on {nic}", heard().len()))?;
    Ok(())
}

fn inet6_alone() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let group = [
            "ifconfig ge0 inet6 plumb group testgrp2 -failover up",
            "ifconfig ge0 inet6 addif fd00::86/64 up",
            "ifconfig ge1 inet6 plumb group testgrp2 -failover up",
            "ifconfig ge1 inet6 addif fd00::88/64 up",
        ];
        let bed = bed6(&group)?;
        // The kernel gives out link-local addresses in its own time.
        bed.awaits_probes(&["ge0", "ge1"])?;
        let before = bed.types("ifconfig -a")?;
        bed.fails(fault, &bed.ge1)?;
        bed.awaits_holder(DATA6, "ge0")?;
        reaches(&bed.host2, "fd00::88")?;
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA6, "ge1")?;
        same("list", bed.types("ifconfig -a")?.as_str(), &before)?;
    }
    Ok(())
}

fn both_families_must_fail() -> Result<(), Failed> {
    for (ignore, family) in [
        ("net/ipv4/icmp_echo_ignore_all", Family::Inet),
        ("net/ipv6/icmp/echo_ignore_all", Family::Inet6),
    ] {
        let bed = dual()?;
        let said = bed.messages()?.len();
        bed.host2.set_sysctl(ignore, "1")?;
        bed.awaits("probes of one family fail", |snapshot| {
            find(snapshot, "ge1").is_some_and(|nic| {
                nic.probing
                    .iter()
                    .any(|probing| probing.family == family && probing.state != ProbeState::Ok)
            })
        })?;
        std::thread::sleep(Duration::from_millis(u64::from(2 * QUICK)));
        bed.never_says(said, "failure")?;
        bed.never_says(said, "have failed")?;
        // The other family finds it alone then.
        bed.fails(Fault::Silence, &bed.ge1)?;
        bed.awaits_holder(DATA6, "ge0")?;
        bed.awaits_holder(DATA1, "ge0")?;
        // And one family is enough for the repair.
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA6, "ge1")?;
        bed.awaits_holder(DATA1, "ge1")?;
    }
    Ok(())
}

fn inet6_failback_loses_no_packet() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = dual()?;
        bed.fails(fault, &bed.ge1)?;
        bed.awaits_holder(DATA6, "ge0")?;
        reaches(&bed.host2, "fd00::88")?;
        let stream = UdpStream::start(
            (&bed.host1, DATA6.into()),
            (&bed.host2, PEER6.into()),
            Duration::from_millis(1),
            WHILE,
        )?;
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA6, "ge1")?;
        std::thread::sleep(Duration::from_millis(2500));
        let report = stream.stop()?;
        loses_nothing("from host1", &report.forth)?;
        loses_nothing("to host1", &report.back)?;
    }
    Ok(())
}

fn inet6_address_deleted_by_hand_comes_back() -> Result<(), Failed> {
    let bed = dual()?;
    let ping = bed.pings(DATA6)?;
    by_hand(&bed.host1, "ip -6 address del fd00::88/64 dev ge1")?;
    bed.awaits_holder(DATA6, "ge1")?;
    std::thread::sleep(Duration::from_secs(1));
    recovers(&ping.stop()?, Duration::from_secs(1))?;
    reaches(&bed.host2, "fd00::88")
}

fn inet6_outlives_admin_down() -> Result<(), Failed> {
    let bed = dual()?;
    // The kernel takes the NIC's routes away, and its addresses too unless told to keep them.
    let ping = bed.pings(DATA6)?;
    bed.host1.set_up("ge1", false)?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    bed.awaits_holder(DATA6, "ge0")?;
    std::thread::sleep(Duration::from_secs(1));
    recovers(&ping.stop()?, Duration::from_secs(1))?;

    let ping = bed.pings(DATA6)?;
    bed.host1.set_up("ge1", true)?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.awaits_holder(DATA6, "ge1")?;
    std::thread::sleep(Duration::from_secs(1));
    loses_nothing("ping during failback", &ping.stop()?)
}

fn inet6_survives_a_restart() -> Result<(), Failed> {
    let bed = dual()?;
    let before = bed.types("ifconfig -a")?;
    bed.fails(Fault::Silence, &bed.ge1)?;
    bed.awaits_holder(DATA6, "ge0")?;
    let during = bed.types("ifconfig -a")?;
    bed.signals_daemon(nix::sys::signal::Signal::SIGKILL)?;
    bed.awaits_no_daemon()?;
    bed.types("in.mpathd")?;
    same(
        "list after the restart",
        bed.types("ifconfig -a")?.as_str(),
        &during,
    )?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA6, "ge1")?;
    bed.awaits_holder(DATA1, "ge1")?;
    same(
        "list after the repair",
        bed.types("ifconfig -a")?.as_str(),
        &before,
    )
}
