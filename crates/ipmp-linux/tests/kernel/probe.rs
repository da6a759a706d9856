//! Probes across a cable; the kernel at the other end answers.

use ipmp_core::Family;
use ipmp_core::detect::{Echo, EchoReply, Reply};
use ipmp_core::kernel::{Sysctl, Via};
use ipmp_core::plan::{NewAddress, Operation};
use ipmp_linux::monotonic_now;
use ipmp_linux::probe::EchoSocket;

use crate::world::{
    PATIENCE, Sends, Test, World, add_address, hop, ip, must, name, new_address, route,
    wait_readable,
};

pub(crate) const TESTS: &[Test] = &[
    ("echo_over_ipv4", echo_over_ipv4),
    ("echo_over_ipv6", echo_over_ipv6),
    (
        "probing_from_a_device_that_no_route_uses",
        probing_from_a_device_that_no_route_uses,
    ),
    ("probing_past_a_default_route", probing_past_a_default_route),
    (
        "ipv6_needs_a_route_of_its_subnet",
        ipv6_needs_a_route_of_its_subnet,
    ),
    ("all_hosts_can_be_asked", all_hosts_can_be_asked),
    (
        "answers_to_others_do_not_come_up",
        answers_to_others_do_not_come_up,
    ),
    ("one_socket_serves_all_links", one_socket_serves_all_links),
    ("many_are_taken_at_a_time", many_are_taken_at_a_time),
    (
        "what_is_refused_holds_up_nothing",
        what_is_refused_holds_up_nothing,
    ),
    (
        "a_probe_needs_its_link_and_address",
        a_probe_needs_its_link_and_address,
    ),
];

const IDENTIFIER: u16 = 0x4950;

fn probe(index: u32, source: &str, target: &str, sequence: u16) -> Echo {
    Echo {
        interface: name("ge0"),
        index,
        source: ip(source),
        target: ip(target),
        identifier: IDENTIFIER,
        sequence,
        payload: *b"sixteen octets !",
    }
}

fn open(source: &str) -> EchoSocket {
    EchoSocket::open(Family::of(ip(source))).unwrap()
}

/// What is there to be received now.
fn received(socket: &mut EchoSocket) -> Vec<EchoReply> {
    let mut replies = Vec::new();
    while socket.receive(&mut replies) {}
    let echo = |reply| match reply {
        Reply::Echo(reply) => reply,
        Reply::Advertisement(other) => panic!("{other:?}"),
    };
    replies.into_iter().map(echo).collect()
}

fn answer(socket: &mut EchoSocket) -> EchoReply {
    assert!(wait_readable(socket, PATIENCE), "no answer");
    let mut replies = received(socket);
    assert_eq!(replies.len(), 1, "{replies:?}");
    replies.remove(0)
}

/// Sends one probe and checks everything about its answer.
fn echo(socket: &mut EchoSocket, probe: &Echo) {
    let sent = monotonic_now();
    socket.send(probe).unwrap();
    let reply = answer(socket);
    let now = monotonic_now();
    assert!(reply.received <= now, "{} after {now}", reply.received);
    // The clocks are read one after the other; a stamp may seem a little too early for that.
    let early = sent.since(reply.received);
    assert!(early.as_millis() < 50, "{early:?} before it was sent");
    let expected = EchoReply {
        index: probe.index,
        source: probe.target,
        destination: probe.source,
        identifier: probe.identifier,
        sequence: probe.sequence,
        payload: probe.payload,
        received: reply.received,
    };
    assert_eq!(reply, expected);
}

fn echo_over_ipv4(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.254/24");
    must(&mut world.near, [add_address(index, "192.0.2.1/24")]);
    let mut socket = open("192.0.2.1");
    for sequence in [1, 2, u16::MAX] {
        echo(
            &mut socket,
            &probe(index, "192.0.2.1", "192.0.2.254", sequence),
        );
    }
}

fn echo_over_ipv6(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "fe80::254/64");
    world.far_address(far, "2001:db8::254/64");
    must(
        &mut world.near,
        [
            add_address(index, "fe80::1/64"),
            add_address(index, "2001:db8::1/64"),
        ],
    );
    for (source, target) in [("fe80::1", "fe80::254"), ("2001:db8::1", "2001:db8::254")] {
        echo(&mut open(source), &probe(index, source, target, 7));
    }
}

fn without_route(index: u32, text: &str) -> Operation {
    Operation::AddAddress(NewAddress {
        no_prefix_route: true,
        plain: None,
        ..new_address(index, text)
    })
}

fn probing_from_a_device_that_no_route_uses(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    let (other, _) = world.cable("ge1", "sw1");
    world.far_address(far, "192.0.2.254/24");
    must(
        &mut world.near,
        [
            Operation::SetSysctl {
                index,
                interface: name("ge0"),
                sysctl: Sysctl::RpFilter,
                value: 2,
            },
            without_route(index, "192.0.2.1/24"),
            // The subnet is reached by the other link only.
            Operation::SetNexthop(hop(1, other, None)),
            Operation::AddRoute(route("192.0.2.0/24", 0, Via::Nexthop(1))),
        ],
    );
    let mut socket = open("192.0.2.1");
    echo(&mut socket, &probe(index, "192.0.2.1", "192.0.2.254", 1));
}

fn probing_past_a_default_route(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.254/24");
    must(
        &mut world.near,
        [
            without_route(index, "192.0.2.1/24"),
            // All goes to a gateway that is not there.
            Operation::SetNexthop(hop(1, index, Some("192.0.2.99"))),
            Operation::AddRoute(route("0.0.0.0/0", 0, Via::Nexthop(1))),
        ],
    );
    let mut socket = open("192.0.2.1");
    echo(&mut socket, &probe(index, "192.0.2.1", "192.0.2.254", 1));
}

fn ipv6_needs_a_route_of_its_subnet(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    let (other, _) = world.cable("ge1", "sw1");
    world.far_address(far, "2001:db8::254/64");
    must(
        &mut world.near,
        [
            without_route(index, "2001:db8::1/64"),
            // Another link's is not taken for it.
            Operation::AddRoute(route(
                "2001:db8::/64",
                1,
                Via::Link {
                    index: other,
                    gateway: None,
                },
            )),
        ],
    );
    let mut socket = open("2001:db8::1");
    let probe = probe(index, "2001:db8::1", "2001:db8::254", 1);
    let refused = socket.send(&probe).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(nix::libc::ENETUNREACH));
    let via = Via::Link {
        index,
        gateway: None,
    };
    must(
        &mut world.near,
        [Operation::AddRoute(route("2001:db8::/64", 2048, via))],
    );
    echo(&mut socket, &probe);
}

fn all_hosts_can_be_asked(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.254/24");
    world.far_address(far, "fe80::254/64");
    world
        .far_namespace
        .run(|| std::fs::write("/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts", "0"))
        .unwrap();
    must(
        &mut world.near,
        [
            without_route(index, "192.0.2.1/24"),
            add_address(index, "fe80::1/64"),
        ],
    );
    for (source, all, target) in [
        ("192.0.2.1", "224.0.0.1", "192.0.2.254"),
        ("fe80::1", "ff02::1", "fe80::254"),
    ] {
        let mut socket = open(source);
        socket.send(&probe(index, source, all, 3)).unwrap();
        let reply = answer(&mut socket);
        // The far link has another address of the kernel's choice; either may answer.
        if reply.source.is_ipv4() {
            assert_eq!(reply.source, ip(target));
        }
        assert_eq!((reply.destination, reply.sequence), (ip(source), 3));
    }
}

fn answers_to_others_do_not_come_up(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.254/24");
    world.far_address(far, "fe80::254/64");
    must(
        &mut world.near,
        [
            add_address(index, "192.0.2.1/24"),
            add_address(index, "fe80::1/64"),
        ],
    );
    for (source, target) in [("192.0.2.1", "192.0.2.254"), ("fe80::1", "fe80::254")] {
        let mut ours = open(source);
        echo(&mut ours, &probe(index, source, target, 1));
        let mut stranger = open(source);
        let mut others = probe(index, source, target, 1);
        others.identifier = IDENTIFIER + 1;
        stranger.send(&others).unwrap();
        assert_eq!(answer(&mut stranger).identifier, IDENTIFIER + 1);
        // Both sockets are served from the same packet, so ours has nothing and never will.
        assert!(!wait_readable(&ours, std::time::Duration::ZERO));
        echo(&mut ours, &probe(index, source, target, 2));
    }
}

fn one_socket_serves_all_links(mut world: World) {
    let cables = [world.cable("ge0", "sw0"), world.cable("ge1", "sw1")];
    for (at, (index, far)) in (0..).zip(cables) {
        world.far_address(far, &format!("10.0.{at}.254/24"));
        // The same on both: only the link tells which one is meant.
        world.far_address(far, "fe80::254/64");
        let own = [format!("10.0.{at}.1/24"), format!("fe80::{}/64", at + 1)];
        must(&mut world.near, own.map(|own| add_address(index, &own)));
    }
    let (mut four, mut six) = (open("10.0.0.1"), open("fe80::1"));
    // There and back, so that every turn changes the link.
    for sequence in 1..=4 {
        for (at, (index, _)) in (0..).zip(cables) {
            let one = |source: String, target: String| Echo {
                // Numbers far apart, in an order that makes the range grow both ways.
                identifier: [0x4950, 0x4000][at],
                ..probe(index, &source, &target, sequence)
            };
            let (own, far) = (format!("10.0.{at}.1"), format!("10.0.{at}.254"));
            echo(&mut four, &one(own, far));
            let own = format!("fe80::{}", at + 1);
            echo(&mut six, &one(own, "fe80::254".to_owned()));
        }
    }
}

fn many_are_taken_at_a_time(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.254/24");
    must(&mut world.near, [add_address(index, "192.0.2.1/24")]);
    let mut socket = open("192.0.2.1");
    echo(&mut socket, &probe(index, "192.0.2.1", "192.0.2.254", 0));
    // More than the system's usual receive buffer holds.
    let count = 1000;
    let probes: Vec<Echo> = (1..=count)
        .map(|sequence| probe(index, "192.0.2.1", "192.0.2.254", sequence))
        .collect();
    let all: Vec<&Echo> = probes.iter().collect();
    socket.send_all(&all, |probe, error| panic!("{}: {error}", probe.sequence));
    let mut sequences = Vec::new();
    while sequences.len() < usize::from(count) {
        assert!(wait_readable(&socket, PATIENCE), "{} came", sequences.len());
        sequences.extend(received(&mut socket).iter().map(|reply| reply.sequence));
    }
    assert!(sequences.into_iter().eq(1..=count));
}

/// Probes over IPv4, IPv6 of the link and of a subnet, sent together with some that cannot leave.
fn what_is_refused_holds_up_nothing(mut world: World) {
    let cables = [world.cable("ge0", "sw0"), world.cable("ge1", "sw1")];
    for (at, (index, far)) in (0..).zip(cables) {
        for subnet in [
            format!("10.0.{at}."),
            "fe80::".to_owned(),
            format!("2001:db8:{at}::"),
        ] {
            let length = if subnet.starts_with('1') { 24 } else { 64 };
            world.far_address(far, &format!("{subnet}254/{length}"));
            let own = add_address(index, &format!("{subnet}{}/{length}", at + 1));
            must(&mut world.near, [own]);
        }
    }
    let gone = cables.map(|(index, _)| index).into_iter().max().unwrap() + 100;
    let send = |subnets: [&str; 2]| {
        let mut socket = open(&format!("{}1", subnets[0]));
        let mut probes = Vec::new();
        for sequence in 1..=6 {
            let at = usize::from(sequence % 2);
            let (own, far) = (at + 1, format!("{}254", subnets[at]));
            let mut one = probe(
                cables[at].0,
                &format!("{}{own}", subnets[at]),
                &far,
                sequence,
            );
            one.interface = name(["ge0", "ge1"][at]);
            match sequence {
                // No such source, no such link, another family's target.
                1 => one.source = ip(&format!("{}99", subnets[at])),
                3 => one.index = gone,
                6 => one.target = ip(["127.0.0.1", "::1"][usize::from(one.target.is_ipv4())]),
                _ => {}
            }
            probes.push(one);
        }
        let mut unsent = Vec::new();
        let all: Vec<&Echo> = probes.iter().collect();
        socket.send_all(&all, |probe, _| unsent.push(probe.sequence));
        unsent.sort_unstable();
        assert_eq!(unsent, [1, 3, 6], "{subnets:?}");
        let mut answered = Vec::new();
        while answered.len() < 3 {
            assert!(
                wait_readable(&socket, PATIENCE),
                "{answered:?} of {subnets:?}"
            );
            answered.extend(received(&mut socket).iter().map(|reply| reply.sequence));
        }
        answered.sort_unstable();
        assert_eq!(answered, [2, 4, 5], "{subnets:?}");
    };
    send(["10.0.0.", "10.0.1."]);
    send(["fe80::", "fe80::"]);
    send(["2001:db8:0::", "2001:db8:1::"]);
}

fn a_probe_needs_its_link_and_address(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    must(
        &mut world.near,
        [
            add_address(index, "198.51.100.1/24"),
            add_address(index, "fe80::1/64"),
        ],
    );
    let refused = |index, source: &str, target: &str| {
        open(source)
            .send(&probe(index, source, target, 1))
            .unwrap_err()
    };
    let (four, six) = ("192.0.2.254", "fe80::254");
    refused(index + 1, "198.51.100.1", four);
    refused(index + 1, "fe80::1", six);
    // A source that is no address of this host.
    refused(index, "192.0.2.1", four);
    refused(index, "fe80::9", six);
    // On a link that is down nothing leaves.
    must(&mut world.near, [add_address(index, "192.0.2.1/24")]);
    let mut socket = open("192.0.2.1");
    let probe = probe(index, "192.0.2.1", "192.0.2.254", 1);
    world.near.set_link_up(index, false).unwrap();
    socket.send(&probe).unwrap_err();
    // Nor on one that is gone, and receiving just finds nothing.
    world.near.delete_link(index).unwrap();
    socket.send(&probe).unwrap_err();
    assert_eq!(received(&mut socket), []);
}
