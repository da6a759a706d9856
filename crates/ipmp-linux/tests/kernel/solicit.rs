//! ARP probes and neighbour solicitations across a cable; the kernel at the other end answers, and a
//! packet socket there says what it would not.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use etherparse::icmpv6::NeighborAdvertisementHeader;
use etherparse::{ArpEthIpv4Packet, ArpOperation, Icmpv6Type, PacketBuilder};
use ipmp_core::MacAddress;
use ipmp_core::detect::{Advertisement, Reply, Solicitation};
use ipmp_core::plan::Operation;
use ipmp_linux::monotonic_now;
use ipmp_linux::probe::{ArpSocket, NeighbourSocket};
use ipmp_linux::rtnl::Rtnl;
use ipmp_linux::wire::{HEADER, Wire};

use crate::world::{PATIENCE, Sends, Test, World, add_address, ip, must, name, wait_readable};

pub(crate) const TESTS: &[Test] = &[
    ("arp_probes_are_answered", arp_probes_are_answered),
    (
        "arp_probes_leave_no_trace_at_the_target",
        arp_probes_leave_no_trace_at_the_target,
    ),
    (
        "only_arp_replies_to_us_are_handed_in",
        only_arp_replies_to_us_are_handed_in,
    ),
    (
        "so_many_targets_are_not_told_apart",
        so_many_targets_are_not_told_apart,
    ),
    ("solicitations_are_answered", solicitations_are_answered),
    (
        "only_advertisements_to_us_are_handed_in",
        only_advertisements_to_us_are_handed_in,
    ),
    (
        "only_advertisements_to_all_answer_nobody",
        only_advertisements_to_all_answer_nobody,
    ),
    (
        "nothing_leaves_a_link_that_is_down",
        nothing_leaves_a_link_that_is_down,
    ),
];

/// The far link's addresses.
const TARGET4: &str = "192.0.2.254";
const TARGET6: &str = "fe80::254";
/// The near link's.
const SOURCE6: &str = "fe80::1";

/// Hardware addresses of nobody here.
pub(crate) const STRANGER: [u8; 6] = [2, 0, 0, 0, 0x77, 1];
pub(crate) const OTHER: [u8; 6] = [2, 0, 0, 0, 0x77, 2];

/// A socket under test.
trait Solicitor: Sends<Solicitation> + AsFd + Sized {
    fn receive(&mut self, replies: &mut Vec<Reply>) -> bool;

    /// Waits for something to come and gives all that has.
    fn answers(&mut self) -> Vec<Advertisement> {
        let mut replies = Vec::new();
        while replies.is_empty() {
            assert!(wait_readable(self, PATIENCE), "no answer");
            while self.receive(&mut replies) {}
        }
        let told = |reply| match reply {
            Reply::Advertisement(told) => told,
            Reply::Echo(other) => panic!("{other:?}"),
        };
        replies.into_iter().map(told).collect()
    }
}

impl Solicitor for ArpSocket {
    fn receive(&mut self, replies: &mut Vec<Reply>) -> bool {
        self.receive(replies)
    }
}

impl Solicitor for NeighbourSocket {
    fn receive(&mut self, replies: &mut Vec<Reply>) -> bool {
        self.receive(replies)
    }
}

pub(crate) fn mac_of(rtnl: &mut Rtnl, index: u32) -> MacAddress {
    rtnl.observe().unwrap().links[&index].mac.unwrap()
}

fn probe(world: &mut World, index: u32, source: Option<&str>, target: &str) -> Solicitation {
    Solicitation {
        interface: name("ge0"),
        index,
        mac: mac_of(&mut world.near, index),
        source: source.map(ip),
        target: ip(target),
    }
}

fn set_far_sysctl(world: &World, path: &str, value: &str) {
    let path = format!("/proc/sys/net/{path}");
    world.far_namespace.run(|| fs::write(path, value)).unwrap();
}

/// Checks that the far link's answer comes and nothing else.
fn is_answered(world: &mut World, far: u32, socket: &mut impl Solicitor, probe: &Solicitation) {
    let start = monotonic_now();
    socket.send(probe).unwrap();
    // A new IPv6 address hears questions when the kernel's queue of addresses has had its turn.
    while !wait_readable(socket, Duration::from_millis(100)) {
        assert!(monotonic_now().since(start) < PATIENCE, "no answer");
        socket.send(probe).unwrap();
    }
    for seen in socket.answers() {
        let expected = Advertisement {
            index: probe.index,
            target: probe.target,
            mac: mac_of(&mut world.far, far),
            received: seen.received,
        };
        assert_eq!(seen, expected);
        assert!(seen.received <= monotonic_now());
    }
}

/// Sends frames from the far end of a cable, as they are.
pub(crate) fn inject(world: &World, far: u32, frames: &[Vec<u8>]) {
    let wire = world.far_namespace.run(|| Wire::open(far)).unwrap();
    for frame in frames {
        wire.send(&[&[0; HEADER], frame.as_slice()].concat())
            .unwrap();
    }
}

fn arp_probes_are_answered(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.254/24");
    let mut socket = ArpSocket::open().unwrap();
    let probe = probe(&mut world, index, None, TARGET4);
    // One that is strict about whom it answers answers nobody all the same.
    for (ignore, announce) in [("0", "0"), ("1", "2"), ("2", "2")] {
        set_far_sysctl(&world, "ipv4/conf/sw0/arp_ignore", ignore);
        set_far_sysctl(&world, "ipv4/conf/sw0/arp_announce", announce);
        is_answered(&mut world, far, &mut socket, &probe);
    }
}

fn arp_probes_leave_no_trace_at_the_target(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.254/24");
    let mut socket = ArpSocket::open().unwrap();
    let probe = probe(&mut world, index, None, TARGET4);
    is_answered(&mut world, far, &mut socket, &probe);
    assert_eq!(world.far_neighbours("sw0"), "");
}

/// An ARP packet in a frame to `to`.
pub(crate) fn arp(to: [u8; 6], packet: &ArpEthIpv4Packet) -> Vec<u8> {
    let frame = PacketBuilder::ethernet2(STRANGER, to).arp(packet.to_arp_packet());
    let mut bytes = Vec::new();
    frame.write(&mut bytes).unwrap();
    bytes
}

fn only_arp_replies_to_us_are_handed_in(mut world: World) {
    let cables = [world.cable("ge0", "sw0"), world.cable("ge1", "sw1")];
    let [(index, far), (second, far_second)] = cables;
    let (ours, other_link) = [index, second].map(|i| mac_of(&mut world.near, i).0).into();
    let mut socket = ArpSocket::open().unwrap();
    // Nobody answers these: there is no address at the far ends.
    for (at, _) in cables {
        let probe = probe(&mut world, at, None, TARGET4);
        socket.send(&probe).unwrap();
    }
    let reply = ArpEthIpv4Packet {
        operation: ArpOperation::REPLY,
        sender_mac: STRANGER,
        sender_ipv4: [192, 0, 2, 254],
        target_mac: ours,
        target_ipv4: [0; 4],
    };
    let gratuitous = ArpEthIpv4Packet {
        target_ipv4: reply.sender_ipv4,
        ..reply
    };
    let to_another = ArpEthIpv4Packet {
        target_mac: OTHER,
        ..reply
    };
    let request = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        ..reply
    };
    let of_another = ArpEthIpv4Packet {
        sender_ipv4: [192, 0, 2, 253],
        ..reply
    };
    let whole = arp(ours, &reply);
    let mut frames = vec![
        arp(ours, &of_another),
        arp(MacAddress::BROADCAST.0, &gratuitous),
        arp(MacAddress::BROADCAST.0, &reply),
        arp(ours, &gratuitous),
        arp(ours, &to_another),
        arp(OTHER, &reply),
        arp(ours, &request),
        arp(other_link, &reply),
    ];
    // Cut off anywhere behind the Ethernet header, without which no frame leaves.
    frames.extend((15..whole.len()).map(|length| whole[..length].to_vec()));
    frames.push(whole);
    // What is for one link is nothing on another.
    inject(&world, far_second, &frames);
    inject(&world, far, &frames);
    // The last one is all that comes.
    let seen = socket.answers();
    let expected = Advertisement {
        index,
        target: ip(TARGET4),
        mac: MacAddress(STRANGER),
        received: seen[0].received,
    };
    assert_eq!(seen, [expected]);
    // A link that is forgotten is not asked.
    socket.forget(index);
    inject(&world, far, &frames);
    let reply = ArpEthIpv4Packet {
        target_mac: other_link,
        ..reply
    };
    inject(&world, far_second, &[arp(other_link, &reply)]);
    let seen = socket.answers();
    assert_eq!(
        seen.iter().map(|told| told.index).collect::<Vec<_>>(),
        [second]
    );
}

fn so_many_targets_are_not_told_apart(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    let ours = mac_of(&mut world.near, index).0;
    let mut socket = ArpSocket::open().unwrap();
    // One more than are told apart.
    let mut targets: Vec<String> = (0..1025u32)
        .map(|n| Ipv4Addr::from(0xc612_0000 + n).to_string())
        .collect();
    targets.extend(["192.0.2.1".to_owned(), "192.0.2.100".to_owned()]);
    for target in &targets {
        let probe = probe(&mut world, index, None, target);
        socket.send(&probe).unwrap();
    }
    // The last one was not asked, and passes.
    let replies = [1, 100, 200].map(|last| ArpEthIpv4Packet {
        operation: ArpOperation::REPLY,
        sender_mac: STRANGER,
        sender_ipv4: [192, 0, 2, last],
        target_mac: ours,
        target_ipv4: [0; 4],
    });
    inject(&world, far, &replies.map(|reply| arp(ours, &reply)));
    let seen = socket.answers();
    let seen: Vec<_> = seen.iter().map(|told| told.target.to_string()).collect();
    assert_eq!(seen, ["192.0.2.1", "192.0.2.100", "192.0.2.200"]);
}

fn solicitations_are_answered(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "fe80::254/64");
    world.far_address(far, "2001:db8::254/64");
    must(&mut world.near, [add_address(index, "fe80::1/64")]);
    let mut socket = NeighbourSocket::open().unwrap();
    for source in [Some(SOURCE6), None] {
        for target in [TARGET6, "2001:db8::254"] {
            let probe = probe(&mut world, index, source, target);
            is_answered(&mut world, far, &mut socket, &probe);
        }
    }
}

/// An advertisement of the target in a frame; `solicited` or not.
fn advertisement(to: Ipv6Addr, mac: [u8; 6], hop_limit: u8, solicited: bool) -> Vec<u8> {
    advertisement_of(TARGET6, to, mac, hop_limit, solicited)
}

/// The same of another.
pub(crate) fn advertisement_of(
    target: &str,
    to: Ipv6Addr,
    mac: [u8; 6],
    hop_limit: u8,
    solicited: bool,
) -> Vec<u8> {
    long_advertisement_of(target, to, mac, hop_limit, solicited, 1)
}

/// One that tells the hardware address so often.
pub(crate) fn long_advertisement_of(
    target: &str,
    to: Ipv6Addr,
    mac: [u8; 6],
    hop_limit: u8,
    solicited: bool,
    options: usize,
) -> Vec<u8> {
    let kind = Icmpv6Type::NeighborAdvertisement(NeighborAdvertisementHeader {
        router: false,
        solicited,
        r#override: true,
    });
    let target: Ipv6Addr = target.parse().unwrap();
    let mut body = target.octets().to_vec();
    for _ in 0..options {
        body.extend_from_slice(&[2, 1]);
        body.extend_from_slice(&STRANGER);
    }
    let frame = PacketBuilder::ethernet2(STRANGER, mac)
        .ipv6(target.octets(), to.octets(), hop_limit)
        .icmpv6(kind);
    let mut bytes = Vec::new();
    frame.write(&mut bytes, &body).unwrap();
    bytes
}

pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

fn only_advertisements_to_us_are_handed_in(mut world: World) {
    let cables = [world.cable("ge0", "sw0"), world.cable("ge1", "sw1")];
    let [(index, far), (second, far_second)] = cables;
    must(
        &mut world.near,
        [
            add_address(index, "fe80::1/64"),
            add_address(second, "fe80::2/64"),
        ],
    );
    let (ours, other_link) = [index, second].map(|i| mac_of(&mut world.near, i).0).into();
    let mut socket = NeighbourSocket::open().unwrap();
    for (at, source) in [(index, SOURCE6), (second, "fe80::2")] {
        let probe = probe(&mut world, at, Some(source), TARGET6);
        socket.send(&probe).unwrap();
    }
    let us: Ipv6Addr = SOURCE6.parse().unwrap();
    let whole = advertisement(us, ours, 255, true);
    let mut broken = whole.clone();
    broken[60] ^= 1;
    let mut frames = vec![
        advertisement_of("fe80::253", us, ours, 255, true),
        advertisement(us, ours, 254, true),
        advertisement(us, ours, 1, true),
        advertisement(us, ours, 255, false),
        advertisement(us, OTHER, 255, true),
        advertisement(ALL_NODES, ALL_NODES_MAC, 255, false),
        advertisement(ALL_NODES, ALL_NODES_MAC, 255, true),
        advertisement(us, other_link, 255, true),
        broken,
    ];
    frames.extend((15..whole.len()).map(|length| whole[..length].to_vec()));
    frames.push(whole);
    inject(&world, far_second, &frames);
    inject(&world, far, &frames);
    let seen = socket.answers();
    let expected = Advertisement {
        index,
        target: ip(TARGET6),
        mac: MacAddress(STRANGER),
        received: seen[0].received,
    };
    assert_eq!(seen, [expected]);
    socket.forget(index);
    inject(&world, far, &frames);
    let to_second = advertisement("fe80::2".parse().unwrap(), other_link, 255, true);
    inject(&world, far_second, &[to_second]);
    let seen = socket.answers();
    assert_eq!(
        seen.iter().map(|told| told.index).collect::<Vec<_>>(),
        [second]
    );
}

fn only_advertisements_to_all_answer_nobody(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    must(&mut world.near, [add_address(index, "fe80::1/64")]);
    let ours = mac_of(&mut world.near, index).0;
    let mut socket = NeighbourSocket::open().unwrap();
    let probe = probe(&mut world, index, None, TARGET6);
    socket.send(&probe).unwrap();
    let us: Ipv6Addr = SOURCE6.parse().unwrap();
    inject(
        &world,
        far,
        &[
            advertisement(us, ours, 255, true),
            advertisement(us, ours, 255, false),
            advertisement(ALL_NODES, ALL_NODES_MAC, 254, false),
            advertisement(ALL_NODES, ALL_NODES_MAC, 255, true),
            advertisement(ALL_NODES, ALL_NODES_MAC, 255, false),
        ],
    );
    assert_eq!(socket.answers().len(), 1);
}

fn nothing_leaves_a_link_that_is_down(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    must(&mut world.near, [Operation::SetUp { index, up: false }]);
    let four = probe(&mut world, index, None, TARGET4);
    let six = probe(&mut world, index, None, TARGET6);
    let mut arp = ArpSocket::open().unwrap();
    let mut neighbours = NeighbourSocket::open().unwrap();
    let down = Some(nix::libc::ENETDOWN);
    assert_eq!(arp.send(&four).unwrap_err().raw_os_error(), down);
    assert_eq!(neighbours.send(&six).unwrap_err().raw_os_error(), down);
    // Each asks in its own family.
    let other = Some(nix::libc::EAFNOSUPPORT);
    assert_eq!(arp.send(&six).unwrap_err().raw_os_error(), other);
    assert_eq!(neighbours.send(&four).unwrap_err().raw_os_error(), other);
}
