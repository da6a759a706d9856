//! Probes across a cable; the kernel at the other end answers.

use ipmp_core::detect::{Echo, EchoReply};
use ipmp_core::kernel::{Sysctl, Via};
use ipmp_core::plan::{NewAddress, Operation};
use ipmp_linux::monotonic_now;
use ipmp_linux::probe::ProbeSocket;

use crate::world::{
    PATIENCE, Test, World, add_address, hop, ip, must, name, new_address, route, wait_readable,
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
    (
        "a_socket_needs_its_link_and_address",
        a_socket_needs_its_link_and_address,
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

fn open(index: u32, source: &str) -> ProbeSocket {
    ProbeSocket::open(index, &name("ge0"), ip(source), IDENTIFIER).unwrap()
}

fn answer(socket: &ProbeSocket) -> EchoReply {
    assert!(wait_readable(socket, PATIENCE), "no answer");
    socket.receive().unwrap()
}

/// Sends one probe and checks everything about its answer.
fn echo(socket: &ProbeSocket, probe: &Echo) {
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
    assert_eq!(socket.receive(), None);
}

fn echo_over_ipv4(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.254/24");
    must(&mut world.near, [add_address(index, "192.0.2.1/24")]);
    let socket = open(index, "192.0.2.1");
    for sequence in [1, 2, u16::MAX] {
        echo(&socket, &probe(index, "192.0.2.1", "192.0.2.254", sequence));
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
        echo(&open(index, source), &probe(index, source, target, 7));
    }
}

fn without_route(index: u32, text: &str) -> Operation {
    Operation::AddAddress(NewAddress {
        no_prefix_route: true,
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
    let socket = open(index, "192.0.2.1");
    echo(&socket, &probe(index, "192.0.2.1", "192.0.2.254", 1));
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
    let socket = open(index, "192.0.2.1");
    echo(&socket, &probe(index, "192.0.2.1", "192.0.2.254", 1));
}

fn ipv6_needs_a_route_of_its_subnet(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "2001:db8::254/64");
    must(&mut world.near, [without_route(index, "2001:db8::1/64")]);
    let socket = open(index, "2001:db8::1");
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
    echo(&socket, &probe);
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
        let socket = open(index, source);
        socket.send(&probe(index, source, all, 3)).unwrap();
        let reply = answer(&socket);
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
        let ours = open(index, source);
        let stranger = ProbeSocket::open(index, &name("ge0"), ip(source), 99).unwrap();
        let mut others = probe(index, source, target, 1);
        others.identifier = 99;
        stranger.send(&others).unwrap();
        assert_eq!(answer(&stranger).identifier, 99);
        // Both sockets are served from the same packet, so ours has nothing and never will.
        assert_eq!(ours.receive(), None);
        echo(&ours, &probe(index, source, target, 2));
    }
}

fn a_socket_needs_its_link_and_address(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    // In a namespace that never had an address the kernel lets everything be bound.
    must(&mut world.near, [add_address(index, "198.51.100.1/24")]);
    let open = |index, link: &str, source: &str| {
        ProbeSocket::open(index, &name(link), ip(source), IDENTIFIER)
            .unwrap_err()
            .raw_os_error()
    };
    assert_eq!(open(index, "ge9", "192.0.2.1"), Some(nix::libc::ENODEV));
    assert_eq!(open(index + 1, "ge0", "192.0.2.1"), Some(nix::libc::ENODEV));
    assert_eq!(
        open(index, "ge0", "192.0.2.1"),
        Some(nix::libc::EADDRNOTAVAIL)
    );
    // On a link that is down nothing leaves.
    must(&mut world.near, [add_address(index, "192.0.2.1/24")]);
    let socket = self::open(index, "192.0.2.1");
    world.near.set_link_up(index, false).unwrap();
    socket
        .send(&probe(index, "192.0.2.1", "192.0.2.254", 1))
        .unwrap_err();
    // Nor on one that is gone, and receiving just finds nothing.
    world.near.delete_link(index).unwrap();
    socket
        .send(&probe(index, "192.0.2.1", "192.0.2.254", 1))
        .unwrap_err();
    assert_eq!(socket.receive(), None);
}
