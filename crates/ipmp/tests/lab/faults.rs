//! Faults beyond a dead path, other hands on what is ours, and what traffic notices of it all.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use ipmp_core::snapshot::{InterfaceState, ProbeState};
use ipmp_lab::traffic::{TcpConnection, UdpStream};
use ipmp_lab::{Direction, Host, wait_until};
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, find, reaches, same};
use crate::scene::{
    DATA0, DATA1, Fault, OFTEN, PEER, QUICK, WHILE, by_hand, loses_nothing, recovers, text_of,
    within,
};
use crate::tap::Tap;

tests![
    one_way_fault_is_found_by_probes,
    hosts_that_go_are_no_failure_where_nobody_asked_for_probes,
    hot_unplug_and_return_under_traffic,
    duplicate_mac_is_offlined_and_returns,
    address_deleted_by_hand_comes_back,
    address_added_elsewhere_by_hand_does_not_confuse,
    route_deleted_by_hand_comes_back,
    nexthop_deleted_by_hand_comes_back,
    neighbours_are_told_of_failover_and_failback,
    tcp_lives_through_failover_and_failback,
    failback_loses_no_packet,
    taking_a_nic_out_of_service_loses_no_packet,
];

const MILLISECOND: Duration = Duration::from_millis(1);

fn one_way_fault_is_found_by_probes() -> Result<(), Failed> {
    // What still gets through; the link says nothing in either case.
    for open in [Direction::Receive, Direction::Transmit] {
        let bed = Bed::lab1(QUICK)?;
        let said = bed.messages()?.len();
        let ping = bed.pings(DATA1)?;
        bed.ge1.cable.one_way(open);
        bed.awaits_state("ge1", InterfaceState::Failed)?;
        bed.awaits_holder(DATA1, "ge0")?;
        same("flags of ge1", bed.flags("ge1")?.as_str(), "19000842")?;
        bed.never_says(said, "link")?;
        reaches(&bed.host2, "192.168.0.88")?;
        recovers(
            &ping.stop()?,
            Duration::from_millis(u64::from(QUICK) + 1000),
        )?;
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA1, "ge1")?;
    }
    Ok(())
}

/// There is neither a router nor a test address, and one host, which is switched off for a while.
fn hosts_that_go_are_no_failure_where_nobody_asked_for_probes() -> Result<(), Failed> {
    let bed = Bed::among_hosts(QUICK)?;
    let said = bed.messages()?.len();
    bed.host2.set_up("ge0", false)?;
    bed.awaits_log("No host answers on any interface of group testgrp2 any more")?;
    for nic in ["ge0", "ge1"] {
        bed.awaits("nobody is probed, and it is in use", |snapshot| {
            find(snapshot, nic).is_some_and(|nic| {
                nic.state == InterfaceState::Ok && nic.probe == ProbeState::Disabled
            })
        })?;
    }
    bed.host2.set_up("ge0", true)?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    for failure in ["NIC failure", "have failed"] {
        bed.never_says(said, failure)?;
    }
    // Now there is somebody to tell of this.
    bed.fails(Fault::Silence, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    Ok(())
}

fn hot_unplug_and_return_under_traffic() -> Result<(), Failed> {
    for nic in ["ge0", "ge1"] {
        let (other, data) = if nic == "ge0" {
            ("ge1", DATA0)
        } else {
            ("ge0", DATA1)
        };
        let bed = Bed::lab1(QUICK)?;
        let ping = bed.pings(data)?;
        let connection = TcpConnection::start(
            (&bed.host1, data.into()),
            (&bed.host2, PEER.into()),
            OFTEN,
            WHILE,
        )?;
        bed.host1.unplug_nic(nic)?;
        bed.awaits_holder(data, other)?;
        reaches(&bed.host2, &data.to_string())?;
        bed.host1.plug_nic(nic)?;
        bed.awaits_state(nic, InterfaceState::Ok)?;
        bed.awaits_holder(data, nic)?;
        reaches(&bed.host2, &data.to_string())?;
        bed.lists(ipmp_lab::labs::Moment::Lab1, true)?;
        recovers(&ping.stop()?, Duration::from_secs(1))?;
        same("tcp", &connection.stop()?.broken, &None)?;
    }
    Ok(())
}

fn duplicate_mac_is_offlined_and_returns() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let (own, twin) = (text_of(bed.ge1.mac), text_of(bed.ge0.mac));
    by_hand(&bed.host1, &format!("ip link set ge1 address {twin}"))?;
    bed.awaits(
        "ge1 has ge0's hardware address and is offline",
        |snapshot| {
            find(snapshot, "ge1").is_some_and(|nic| {
                nic.duplicate_mac && nic.state == InterfaceState::Offline && !nic.active
            })
        },
    )?;
    bed.awaits_log("Hardware address of ge1 is not unique in its group")?;
    bed.awaits_holder(DATA1, "ge0")?;
    // The switch first has to learn again behind which port the hardware address is.
    for address in ["192.168.0.86", "192.168.0.88"] {
        wait_until("all pings are answered", PATIENCE, || {
            reaches(&bed.host2, address).is_ok()
        })?;
    }
    let table = bed.types("ipmpstat -i")?;
    let row = table
        .lines()
        .find(|line| line.starts_with("ge1"))
        .unwrap_or_default();
    same(
        &format!("h in the flags in: {row}"),
        &row.contains("h "),
        &true,
    )?;
    let undo = bed.host1.run("if_mpadm -r ge1")?;
    same(
        "exit status of if_mpadm -r ge1",
        &undo.status.code(),
        &Some(1),
    )?;

    by_hand(&bed.host1, &format!("ip link set ge1 address {own}"))?;
    bed.awaits_log("Hardware address of ge1 is unique in its group")?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.awaits_holder(DATA1, "ge1")?;
    reaches(&bed.host2, "192.168.0.88")
}

fn address_deleted_by_hand_comes_back() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let before = bed.types("ifconfig -a")?;
    for (address, nic) in [
        ("192.168.0.88", "ge1"),
        ("192.168.0.89", "ge1"),
        ("192.168.0.86", "ge0"),
    ] {
        let ip: Ipv4Addr = address.parse()?;
        let ping = bed.pings(DATA0)?;
        by_hand(
            &bed.host1,
            &format!("ip address del {address}/24 dev {nic}"),
        )?;
        bed.awaits_holder(ip, nic)?;
        let limit = Duration::from_secs(1);
        recovers(&ping.stop()?, limit)?;
    }
    // All at once, as a careless script does. `ip` looks ten times whether anything is left, and gives
    // up if the daemon was quicker each time: its exit status tells nothing here.
    bed.host1.run("ip address flush dev ge1")?;
    bed.awaits_holder(DATA1, "ge1")?;
    wait_until("the same list", PATIENCE, || {
        bed.types("ifconfig -a").is_ok_and(|list| list == before)
    })?;
    reaches(&bed.host2, "192.168.0.88")
}

fn address_added_elsewhere_by_hand_does_not_confuse() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    by_hand(&bed.host1, "ip address add 192.168.0.200/24 dev ge1")?;
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    // Not ours: it stays where its owner put it.
    same(
        "NICs with .200",
        &bed.holders(Ipv4Addr::new(192, 168, 0, 200))?,
        &vec!["ge1".to_owned()],
    )?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA1, "ge1")?;
    same(
        "NICs with .200",
        &bed.holders(Ipv4Addr::new(192, 168, 0, 200))?,
        &vec!["ge1".to_owned()],
    )
}

/// Waits until `ip` shows the same on host1 as before.
fn awaits_same(host: &Host, show: &str, expected: &str) -> Result<(), Failed> {
    let seen = || by_hand(host, show);
    wait_until(&format!("{show} shows the same"), PATIENCE, || {
        seen().is_ok_and(|seen| seen == expected)
    })
    .map_err(|error| {
        format!(
            "{error}\n  seen:     {:?}\n  expected: {expected:?}",
            seen()
        )
    })?;
    Ok(())
}

fn route_deleted_by_hand_comes_back() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let show = "ip -details route show 192.168.0.0/24";
    let before = by_hand(&bed.host1, show)?;
    same(
        &format!("a route in: {before}"),
        &before.contains("192.168.0.0/24"),
        &true,
    )?;
    by_hand(&bed.host1, "ip route del 192.168.0.0/24")?;
    awaits_same(&bed.host1, show, &before)?;
    reaches(&bed.host1, "192.168.0.2")
}

fn nexthop_deleted_by_hand_comes_back() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let show = "ip nexthop show";
    let before = by_hand(&bed.host1, show)?;
    let ids: Vec<_> = before
        .lines()
        .filter_map(|line| line.strip_prefix("id ")?.split_whitespace().next())
        .collect();
    same(&format!("nexthops in: {before}"), &ids.is_empty(), &false)?;
    for id in ids {
        by_hand(&bed.host1, &format!("ip nexthop del id {id}"))?;
        wait_until("both ways are back", PATIENCE, || {
            let routes = by_hand(&bed.host1, "ip route show 192.168.0.0/24").unwrap_or_default();
            routes.contains("ge0") && routes.contains("ge1")
        })?;
        reaches(&bed.host1, "192.168.0.2")?;
    }
    by_hand(&bed.host1, "ip nexthop flush")?;
    wait_until("as many nexthops", PATIENCE, || {
        by_hand(&bed.host1, show).is_ok_and(|now| now.lines().count() == before.lines().count())
    })?;
    reaches(&bed.host1, "192.168.0.2")
}

fn neighbours_are_told_of_failover_and_failback() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        reaches(&bed.host2, "192.168.0.88")?;
        bed.awaits_neighbour(DATA1, bed.ge1.mac)?;

        let tap = Tap::at(&bed.host2, "ge0")?;
        bed.fails(fault, &bed.ge1)?;
        tells(&tap, DATA1, &bed, "ge0")?;
        drop(tap);

        let tap = Tap::at(&bed.host2, "ge0")?;
        bed.repairs(&bed.ge1)?;
        tells(&tap, DATA1, &bed, "ge1")?;
    }
    Ok(())
}

/// Waits for several announcements that an address is on a NIC now, spread over more than a second,
/// and until host2 believes them. Nothing is sent to the address meanwhile.
fn tells(tap: &Tap, ip: Ipv4Addr, bed: &Bed, nic: &str) -> Result<(), Failed> {
    let mac = if nic == "ge0" {
        bed.ge0.mac
    } else {
        bed.ge1.mac
    };
    bed.awaits_neighbour(ip, mac)?;
    let heard = || tap.announcements(ip, mac);
    let spread = |heard: &[Instant]| match (heard.first(), heard.last()) {
        (Some(first), Some(last)) => *last - *first,
        _ => Duration::ZERO,
    };
    // Each is at most a request and a reply.
    wait_until("announcements", PATIENCE, || {
        let heard = heard();
        heard.len() >= 3 && spread(&heard) > Duration::from_secs(1)
    })
    .map_err(|error| {
        let heard = heard();
        let gaps: Vec<_> = heard
            .iter()
            .zip(heard.iter().skip(1))
            .map(|(a, b)| *b - *a)
            .collect();
        format!(
            "{error}: of {ip} on {nic}\n  seen:     {} {gaps:?} apart",
            heard.len()
        )
    })?;
    Ok(())
}

fn tcp_lives_through_failover_and_failback() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        // One made by host1 and one by host2.
        let (here, there): (IpAddr, IpAddr) = (DATA1.into(), PEER.into());
        let out = TcpConnection::start((&bed.host1, here), (&bed.host2, there), OFTEN, WHILE)?;
        let into = TcpConnection::start((&bed.host2, there), (&bed.host1, here), OFTEN, WHILE)?;
        for _ in 0..2 {
            bed.fails(fault, &bed.ge1)?;
            bed.awaits_holder(DATA1, "ge0")?;
            bed.repairs(&bed.ge1)?;
            bed.awaits_holder(DATA1, "ge1")?;
        }
        for (name, connection) in [("from host1", out), ("from host2", into)] {
            let report = connection.stop()?;
            same(&format!("tcp {name} broke"), &report.broken, &None)?;
            // Lost segments are sent again after 0.2, 0.6, 1.4, 3.0 seconds.
            within(
                &format!("longest stall of tcp {name}"),
                report.longest_stall,
                Duration::ZERO,
                Duration::from_millis(3500),
            )?;
        }
    }
    Ok(())
}

fn failback_loses_no_packet() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        for (nic, data, other) in [(&bed.ge1, DATA1, "ge0"), (&bed.ge0, DATA0, "ge1")] {
            bed.fails(fault, nic)?;
            bed.awaits_holder(data, other)?;
            reaches(&bed.host2, &data.to_string())?;
            let stream = UdpStream::start(
                (&bed.host1, data.into()),
                (&bed.host2, PEER.into()),
                MILLISECOND,
                WHILE,
            )?;
            bed.repairs(nic)?;
            bed.awaits_holder(data, nic.name.as_str())?;
            // As long as neighbours are being told.
            std::thread::sleep(Duration::from_millis(2500));
            let report = stream.stop()?;
            let name = &nic.name;
            loses_nothing(&format!("{fault:?} of {name}, from host1"), &report.forth)?;
            loses_nothing(&format!("{fault:?} of {name}, to host1"), &report.back)?;
        }
    }
    Ok(())
}

fn taking_a_nic_out_of_service_loses_no_packet() -> Result<(), Failed> {
    // if_mpadm -d moves before it takes away, in lab 2 to the standby and back. What is under way to
    // host1 when the address moves comes in by the old NIC.
    let bed = Bed::lab2(QUICK)?;
    let under_way = Duration::from_millis(20);
    bed.host2.find_nic("ge0")?.cable.delay(under_way);
    let stream = UdpStream::start(
        (&bed.host1, DATA0.into()),
        (&bed.host2, PEER.into()),
        MILLISECOND,
        WHILE,
    )?;
    // For a while, and at once: then it has not gone before it comes back.
    for pause in [Duration::from_secs(1), Duration::ZERO] {
        bed.types("if_mpadm -d ge0")?;
        if !pause.is_zero() {
            bed.awaits_holder(DATA0, "ge1")?;
        }
        std::thread::sleep(pause);
        bed.types("if_mpadm -r ge0")?;
        bed.awaits_holder(DATA0, "ge0")?;
        std::thread::sleep(Duration::from_secs(1));
    }
    let report = stream.stop()?;
    loses_nothing("from host1", &report.forth)?;
    loses_nothing("to host1", &report.back)
}
