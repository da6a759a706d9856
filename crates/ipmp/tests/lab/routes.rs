//! Which way packets leave, and from which address: load spread over the members in use, routes that
//! others installed through one member, and sources.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ipmp_core::MacAddress;
use ipmp_lab::traffic::Ping;
use ipmp_lab::{Host, wait_until};
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, reaches, same};
use crate::scene::{DATA0, DATA1, Fault, OFTEN, QUICK, WHILE, by_hand, loses_nothing, recovers};
use crate::tap::{Packet, Tap};

tests![
    traffic_is_spread_over_active_members,
    unusable_members_get_no_outbound_traffic,
    idle_standby_gets_no_outbound_traffic,
    default_route_of_another_hand_survives_failover,
    default_route_of_another_hand_survives_admin_down,
    default_route_of_another_hand_survives_taking_its_nic_out_of_service,
    inet6_default_route_of_another_hand_survives_failover,
    routes_of_another_table_survive_failover,
    shadow_goes_with_the_route_it_shadows,
    shadow_goes_when_the_nic_leaves_the_group,
    foreign_routes_are_never_touched,
    source_is_never_a_test_address,
];

/// How many addresses host2 has for flows to go to. That chance sends all of them through one of two
/// NICs has a probability of one in two thousand million.
const PEERS: u8 = 32;

/// The off-link host.
const AWAY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

fn peers() -> impl Iterator<Item = Ipv4Addr> {
    (0..PEERS).map(|number| Ipv4Addr::new(192, 168, 0, 101 + number))
}

/// Gives host2 more addresses.
fn with_peers(bed: &Bed) -> Result<(), Failed> {
    for peer in peers() {
        bed.host2.configure("ge0", &format!("{peer}/24"))?;
    }
    Ok(())
}

/// Sends a datagram to every peer from a socket of its own; which NIC each left by.
fn ways(bed: &Bed) -> Result<BTreeMap<Ipv4Addr, MacAddress>, Failed> {
    let tap = Tap::at(&bed.host2, "ge0")?;
    bed.host1.enter(|| {
        peers().try_for_each(|peer| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect((peer, 9))?;
            socket.send(b"which way?")?;
            Ok::<_, io::Error>(())
        })
    })??;
    let arrived = || -> BTreeMap<Ipv4Addr, MacAddress> {
        let seen = tap.seen();
        let datagrams = seen.iter().filter_map(|seen| match seen.packet {
            Packet::Other {
                to: IpAddr::V4(to), ..
            } => Some((to, seen.mac)),
            _ => None,
        });
        datagrams
            .filter(|(to, _)| peers().any(|peer| peer == *to))
            .collect()
    };
    wait_until("a datagram to each peer", PATIENCE, || {
        arrived().len() == usize::from(PEERS)
    })?;
    Ok(arrived())
}

/// Fails unless the flows leave by these NICs, each carrying some.
fn leave_by(bed: &Bed, what: &str, nics: &[MacAddress]) -> Result<(), Failed> {
    let seen: BTreeSet<_> = ways(bed)?.into_values().collect();
    let expected: BTreeSet<_> = nics.iter().copied().collect();
    same(
        &format!("NICs by which flows leave {what}"),
        &seen,
        &expected,
    )
}

fn traffic_is_spread_over_active_members() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    with_peers(&bed)?;
    leave_by(&bed, "in lab 1", &[bed.ge0.mac, bed.ge1.mac])?;
    // A flow stays on its way.
    let first = ways(&bed)?;
    same("ways of the flows, again", &ways(&bed)?, &first)
}

fn unusable_members_get_no_outbound_traffic() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        with_peers(&bed)?;
        for (nic, data, other) in [(&bed.ge1, DATA1, &bed.ge0), (&bed.ge0, DATA0, &bed.ge1)] {
            bed.fails(fault, nic)?;
            bed.awaits_holder(data, other.name.as_str())?;
            leave_by(&bed, &format!("without {}", nic.name), &[other.mac])?;
            bed.repairs(nic)?;
            bed.awaits_holder(data, nic.name.as_str())?;
            leave_by(&bed, "after the repair", &[bed.ge0.mac, bed.ge1.mac])?;
        }
    }
    Ok(())
}

fn idle_standby_gets_no_outbound_traffic() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab2(QUICK)?;
        with_peers(&bed)?;
        leave_by(&bed, "in lab 2", &[bed.ge0.mac])?;
        bed.fails(fault, &bed.ge0)?;
        bed.awaits_holder(DATA0, "ge1")?;
        leave_by(&bed, "without ge0", &[bed.ge1.mac])?;
        bed.repairs(&bed.ge0)?;
        bed.awaits_holder(DATA0, "ge0")?;
        leave_by(&bed, "after the repair", &[bed.ge0.mac])?;
    }
    Ok(())
}

/// Puts a router on the switch, `192.168.0.1` and `fd00::1`, and a host behind it.
fn with_router(bed: &Bed) -> Result<Host, Failed> {
    let outside = bed.lab.switch();
    let nets = [(&bed.switch, "192.168.0.1/24"), (&outside, "10.9.0.1/24")];
    let router = bed.lab.router("router", &nets)?;
    router.configure("net0", "fd00::1/64")?;
    router.configure("net1", "fd09::1/64")?;
    let away = bed.lab.host("away")?;
    away.nic("ge0", &outside)?;
    away.configure("ge0", "10.9.0.2/24")?;
    away.configure("ge0", "fd09::2/64")?;
    away.route("0.0.0.0/0", "10.9.0.1".parse()?)?;
    away.route("::/0", "fd09::1".parse()?)?;
    for host in [&router, &away] {
        wait_until("its addresses", PATIENCE, || {
            by_hand(host, "ip -6 address show tentative").is_ok_and(|shown| shown.is_empty())
        })?;
    }
    Ok(away)
}

/// Waits until the default routes of host1 are so many.
fn awaits_defaults(bed: &Bed, family: &str, count: usize) -> Result<(), Failed> {
    let show = format!("ip -{family} route show default");
    let seen = || by_hand(&bed.host1, &show);
    let starts = |line: &&str| line.starts_with("default");
    wait_until(&format!("{count} default routes"), PATIENCE, || {
        seen().is_ok_and(|seen| seen.lines().filter(starts).count() == count)
    })
    .map_err(|error| {
        let messages = bed.messages().unwrap_or_default();
        format!("{error}; seen: {:?}; the log: {messages:#?}", seen())
    })?;
    Ok(())
}

fn default_route_of_another_hand_survives_failover() -> Result<(), Failed> {
    for (nic, origin) in [
        ("ge0", "proto static"),
        ("ge1", "proto boot"),
        ("ge1", "proto dhcp src 192.168.0.88 metric 100"),
    ] {
        for fault in Fault::BOTH {
            let bed = Bed::lab1(QUICK)?;
            let away = with_router(&bed)?;
            let route = format!("default via 192.168.0.1 dev {nic} {origin}");
            by_hand(&bed.host1, &format!("ip route add {route}"))?;
            awaits_defaults(&bed, "4", 2)?;
            reaches(&bed.host1, "10.9.0.2")?;
            let failing = if nic == "ge0" { &bed.ge0 } else { &bed.ge1 };
            let (data, other) = if nic == "ge0" {
                (DATA0, "ge1")
            } else {
                (DATA1, "ge0")
            };

            // From host1, and from outside to the address that moves.
            let out = Ping::start(&bed.host1, AWAY.into(), OFTEN, WHILE)?;
            let into = Ping::start(&away, data.into(), OFTEN, WHILE)?;
            bed.fails(fault, failing)?;
            bed.awaits_holder(data, other)?;
            reaches(&bed.host1, "10.9.0.2")?;
            reaches(&away, &data.to_string())?;
            let limit = Duration::from_millis(u64::from(QUICK) + 1000);
            recovers(&out.stop()?, limit)?;
            recovers(&into.stop()?, limit)?;

            let out = Ping::start(&bed.host1, AWAY.into(), OFTEN, WHILE)?;
            bed.repairs(failing)?;
            bed.awaits_holder(data, nic)?;
            reaches(&bed.host1, "10.9.0.2")?;
            loses_nothing("off-link ping during failback", &out.stop()?)?;
            let theirs = by_hand(&bed.host1, "ip route show default")?;
            // ip does not tell of this origin.
            let route = route.replace(" proto boot", "");
            same(
                &format!("their route in: {theirs}"),
                &theirs.contains(&route),
                &true,
            )?;
        }
    }
    Ok(())
}

fn default_route_of_another_hand_survives_admin_down() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let _away = with_router(&bed)?;
    by_hand(
        &bed.host1,
        "ip route add default via 192.168.0.1 dev ge1 proto static",
    )?;
    awaits_defaults(&bed, "4", 2)?;
    // The kernel deletes their route with the link. It was not withdrawn.
    bed.host1.set_up("ge1", false)?;
    bed.awaits_holder(DATA1, "ge0")?;
    std::thread::sleep(Duration::from_secs(1));
    awaits_defaults(&bed, "4", 1)?;
    reaches(&bed.host1, "10.9.0.2")?;
    bed.host1.set_up("ge1", true)?;
    bed.awaits_holder(DATA1, "ge1")?;
    reaches(&bed.host1, "10.9.0.2")
}

fn default_route_of_another_hand_survives_taking_its_nic_out_of_service() -> Result<(), Failed> {
    for bed in [Bed::lab1(QUICK)?, Bed::lab2(QUICK)?] {
        let _away = with_router(&bed)?;
        by_hand(
            &bed.host1,
            "ip route add default via 192.168.0.1 dev ge0 proto static",
        )?;
        awaits_defaults(&bed, "4", 2)?;
        let out = Ping::start(&bed.host1, AWAY.into(), OFTEN, WHILE)?;
        bed.types("if_mpadm -d ge0")?;
        bed.awaits_holder(DATA0, "ge1")?;
        // The kernel deletes their route with the last address of its NIC. It was not withdrawn.
        awaits_defaults(&bed, "4", 1)?;
        std::thread::sleep(Duration::from_secs(1));
        awaits_defaults(&bed, "4", 1)?;
        bed.types("if_mpadm -r ge0")?;
        bed.awaits_holder(DATA0, "ge0")?;
        reaches(&bed.host1, "10.9.0.2")?;
        loses_nothing("off-link ping", &out.stop()?)?;
    }
    Ok(())
}

fn inet6_default_route_of_another_hand_survives_failover() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        for nic in ["ge0", "ge1"] {
            bed.types(&format!("ifconfig {nic} inet6 plumb -failover up"))?;
        }
        bed.types("ifconfig ge0 inet6 addif fd00::86/64 up")?;
        bed.types("ifconfig ge1 inet6 addif fd00::88/64 up")?;
        let _away = with_router(&bed)?;
        by_hand(
            &bed.host1,
            "ip -6 route add default via fd00::1 dev ge1 proto static",
        )?;
        awaits_defaults(&bed, "6", 2)?;
        reaches(&bed.host1, "fd09::2")?;
        bed.awaits_probes(&["ge0", "ge1"])?;
        let out = Ping::start(&bed.host1, "fd09::2".parse()?, OFTEN, WHILE)?;
        bed.fails(fault, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        reaches(&bed.host1, "fd09::2")?;
        recovers(&out.stop()?, Duration::from_millis(u64::from(QUICK) + 1000))?;
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA1, "ge1")?;
        reaches(&bed.host1, "fd09::2")?;
    }
    Ok(())
}

/// What answers from an address goes by a table of its own, as providers of virtual machines have it.
fn routes_of_another_table_survive_failover() -> Result<(), Failed> {
    let ends = [(100, "ifconfig ge1 group ''"), (70_000, "ipmp teardown")];
    for (fault, (table, end)) in Fault::BOTH.into_iter().zip(ends) {
        let bed = Bed::lab1(QUICK)?;
        let away = with_router(&bed)?;
        let show = format!("ip route show table {table}");
        for route in [
            "192.168.0.0/24 dev ge1 proto static scope link",
            "default via 192.168.0.1 dev ge1 proto static",
        ] {
            by_hand(&bed.host1, &format!("ip route add {route} table {table}"))?;
        }
        let theirs = || by_hand(&bed.host1, &format!("{show} proto static"));
        let before = theirs()?;
        by_hand(
            &bed.host1,
            &format!("ip rule add from {DATA1} lookup {table}"),
        )?;
        let of_ours = |count: usize| {
            let seen = || by_hand(&bed.host1, &format!("{show} proto 73"));
            wait_until(&format!("{count} routes of ours"), PATIENCE, || {
                // Paths stand indented below.
                let is_route = |line: &&str| !line.starts_with('\t');
                seen().is_ok_and(|seen| seen.lines().filter(is_route).count() == count)
            })
            .map_err(|error| format!("{error}; seen: {:?}", seen()))
        };
        of_ours(2)?;
        bed.awaits_probes(&["ge0", "ge1"])?;

        // There is no other way to there.
        let into = Ping::start(&away, DATA1.into(), OFTEN, WHILE)?;
        bed.fails(fault, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        reaches(&away, &DATA1.to_string())?;
        reaches(&bed.host2, &DATA1.to_string())?;
        recovers(
            &into.stop()?,
            Duration::from_millis(u64::from(QUICK) + 1000),
        )?;

        let into = Ping::start(&away, DATA1.into(), OFTEN, WHILE)?;
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA1, "ge1")?;
        bed.types("if_mpadm -d ge1")?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.types("if_mpadm -r ge1")?;
        bed.awaits_holder(DATA1, "ge1")?;
        reaches(&away, &DATA1.to_string())?;
        loses_nothing("ping to the address", &into.stop()?)?;

        bed.types(end)?;
        of_ours(0)?;
        same("routes of their table", &theirs()?, &before)?;
    }
    Ok(())
}

fn shadow_goes_with_the_route_it_shadows() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let _away = with_router(&bed)?;
    by_hand(
        &bed.host1,
        "ip route add default via 192.168.0.1 dev ge1 proto static",
    )?;
    awaits_defaults(&bed, "4", 2)?;
    by_hand(
        &bed.host1,
        "ip route del default via 192.168.0.1 dev ge1 proto static",
    )?;
    awaits_defaults(&bed, "4", 0)?;
    let seen = by_hand(&bed.host1, "ip nexthop show")?;
    same(
        &format!("the gateway in: {seen}"),
        &seen.contains("192.168.0.1"),
        &false,
    )
}

fn shadow_goes_when_the_nic_leaves_the_group() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let _away = with_router(&bed)?;
    let route = "default via 192.168.0.1 dev ge1 proto static";
    by_hand(&bed.host1, &format!("ip route add {route}"))?;
    awaits_defaults(&bed, "4", 2)?;
    bed.types("ifconfig ge1 group ''")?;
    awaits_defaults(&bed, "4", 1)?;
    let seen = by_hand(&bed.host1, "ip route show default")?;
    same("default route", seen.trim_end(), route)?;
    reaches(&bed.host1, "10.9.0.2")
}

fn foreign_routes_are_never_touched() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let foreign = |bed: &Bed| -> Result<Vec<String>, Failed> {
        let shown = by_hand(&bed.host1, "ip route show")?;
        let theirs = shown.lines().filter(|line| line.contains("proto static"));
        Ok(theirs
            .map(|line| line.replace(" linkdown", "").replace(" dead", ""))
            .collect())
    };
    for route in [
        "10.1.0.0/16 via 192.168.0.2 dev ge0",
        "10.2.0.0/16 via 192.168.0.2 dev ge1 metric 50",
        "10.3.0.1 via 192.168.0.2 dev ge1",
        "10.4.0.0/16 dev ge0 scope link",
    ] {
        by_hand(&bed.host1, &format!("ip route add {route} proto static"))?;
    }
    let before: Vec<String> = foreign(&bed)?
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    same("foreign routes", &before.len(), &4)?;
    for (nic, data, other) in [(&bed.ge1, DATA1, "ge0"), (&bed.ge0, DATA0, "ge1")] {
        bed.fails(Fault::Pull, nic)?;
        bed.awaits_holder(data, other)?;
        bed.repairs(nic)?;
        bed.awaits_holder(data, nic.name.as_str())?;
        let after: Vec<String> = foreign(&bed)?
            .iter()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        same("foreign routes", &after, &before)?;
    }
    Ok(())
}

/// Asks the kernel for the sources of connections to many places, again and again until the moment is
/// [`OVER`]; for each source it chose when first and where to, and how often it was asked for all.
fn sources(bed: &Bed, moment: &AtomicUsize) -> Result<(Sources, u32), Failed> {
    bed.host1.enter(|| {
        let (mut seen, mut rounds) = (Sources::new(), 0);
        loop {
            let now = moment.load(Ordering::Relaxed);
            if now == OVER {
                break;
            }
            rounds += 1;
            for to in peers().chain((1..=PEERS).map(|number| Ipv4Addr::new(10, 9, 0, number))) {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
                match socket.connect(SocketAddr::from((to, 9))) {
                    Ok(()) => {
                        let source = socket.local_addr()?.ip();
                        seen.entry(source).or_insert((now, to));
                    }
                    // When the link of the only active NIC goes, the kernel has no route for a moment.
                    Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok((seen, rounds))
    })?
}

/// Sources, each with the moment when it was seen first, and where the connection went.
type Sources = BTreeMap<IpAddr, (usize, Ipv4Addr)>;

/// The moment after all others.
const OVER: usize = usize::MAX;

fn source_is_never_a_test_address() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        for bed in [Bed::lab1(QUICK)?, Bed::lab2(QUICK)?] {
            let _away = with_router(&bed)?;
            by_hand(
                &bed.host1,
                "ip route add default via 192.168.0.1 dev ge0 proto static metric 100",
            )?;
            awaits_defaults(&bed, "4", 2)?;
            let standby = bed.flags("ge1")? == "69040843";
            let data: BTreeSet<IpAddr> = if standby {
                [DATA0.into()].into()
            } else {
                [DATA0.into(), DATA1.into()].into()
            };
            let moment = AtomicUsize::new(0);
            let (seen, rounds) = std::thread::scope(|scope| -> Result<_, Failed> {
                let asking = scope.spawn(|| sources(&bed, &moment));
                let next = || moment.fetch_add(1, Ordering::Relaxed);
                let moves = || -> Result<(), Failed> {
                    for nic in [&bed.ge0, &bed.ge1] {
                        let other = if nic.name == bed.ge0.name {
                            "ge1"
                        } else {
                            "ge0"
                        };
                        bed.fails(fault, nic)?;
                        bed.awaits_holder(DATA0, other)?;
                        next();
                        bed.repairs(nic)?;
                        bed.awaits_holder(DATA0, "ge0")?;
                        bed.awaits_holder(DATA1, "ge1")?;
                        next();
                    }
                    bed.types("if_mpadm -d ge0")?;
                    bed.awaits_holder(DATA0, "ge1")?;
                    next();
                    bed.types("if_mpadm -r ge0")?;
                    bed.awaits_holder(DATA0, "ge0")
                };
                let moved = moves();
                moment.store(OVER, Ordering::Relaxed);
                let seen = asking.join().map_err(|_| "asking broke off")?;
                moved.and(seen)
            })?;
            same(
                &format!("{fault:?}: sources {seen:?} in {rounds} rounds among {data:?}"),
                &seen.keys().all(|source| data.contains(source)),
                &true,
            )?;
            same("whether the kernel was asked often", &(rounds > 100), &true)?;
        }
    }
    Ok(())
}
