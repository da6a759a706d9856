//! Claims of addresses across a cable: the kernel at the other end answers who asks, and a packet socket
//! there says what it would not.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use etherparse::{ArpEthIpv4Packet, ArpOperation};
use ipmp_core::plan::Operation;
use ipmp_core::{Claim, Enquiry, Family, MacAddress};
use ipmp_linux::monotonic_now;
use ipmp_linux::probe::ClaimSocket;

use crate::solicit::{
    ALL_NODES, ALL_NODES_MAC, OTHER, STRANGER, advertisement_of, arp, inject,
    long_advertisement_of, mac_of,
};
use crate::world::{PATIENCE, Test, World, add_address, ip, must, wait_readable};

pub(crate) const TESTS: &[Test] = &[
    ("who_has_an_address_says_so", who_has_an_address_says_so),
    ("nobody_has_a_free_address", nobody_has_a_free_address),
    (
        "a_question_leaves_no_trace_at_the_others",
        a_question_leaves_no_trace_at_the_others,
    ),
    (
        "arp_claims_of_ours_are_handed_in_and_nothing_else",
        arp_claims_of_ours_are_handed_in_and_nothing_else,
    ),
    (
        "advertised_claims_of_ours_are_handed_in_and_nothing_else",
        advertised_claims_of_ours_are_handed_in_and_nothing_else,
    ),
    (
        "other_hosts_questions_are_no_claims",
        other_hosts_questions_are_no_claims,
    ),
    (
        "claims_of_another_vlan_are_not_handed_in",
        claims_of_another_vlan_are_not_handed_in,
    ),
    (
        "claims_of_many_addresses_are_told_apart",
        claims_of_many_addresses_are_told_apart,
    ),
    (
        "claims_that_are_too_long_count_as_taken",
        claims_that_are_too_long_count_as_taken,
    ),
    (
        "no_question_leaves_a_link_that_is_down",
        no_question_leaves_a_link_that_is_down,
    ),
];

const OURS4: &str = "192.0.2.1";
const OURS6: &str = "2001:db8::1";

/// More than are taken off a socket at a time are taken at the end of what was asked for.
const BATCH: usize = 32;

/// A socket that listens to these on a link.
fn listening(index: u32, addresses: &[&str]) -> ClaimSocket {
    let mut socket = ClaimSocket::open(Family::of(ip(addresses[0]))).unwrap();
    let places = addresses.iter().map(|address| (index, ip(address)));
    socket.listen(&places.collect()).unwrap();
    socket
}

/// Asks on a link; why it did not leave, if it did not.
fn ask(socket: &ClaimSocket, enquiry: &Enquiry) -> Option<i32> {
    let mut unsent = None;
    socket.ask_all(&[enquiry], |_, error| unsent = error.raw_os_error());
    unsent
}

/// How many datagrams there are up to a claim of that address, which stands last in what was sent, and who
/// claims what in them.
fn taken_until(socket: &mut ClaimSocket, last: &str, most: usize) -> (usize, Vec<IpAddr>) {
    let mut taken = 0;
    let mut seen = Vec::new();
    while seen.last() != Some(&ip(last)) {
        assert!(wait_readable(socket, PATIENCE), "no claim");
        let now = socket.receive(most, |claim| seen.push(claim.ip));
        // The last batch is taken whole.
        assert!(now < most + BATCH, "{now} were taken at once");
        taken += now;
    }
    (taken, seen)
}

/// Waits for something to come and gives all that has.
fn claims(socket: &mut ClaimSocket) -> Vec<Claim> {
    let mut claims = Vec::new();
    while claims.is_empty() {
        assert!(wait_readable(socket, PATIENCE), "no claim");
        socket.receive(1000, |claim| claims.push(claim));
    }
    claims
}

/// Who claims what, in the order in which it comes, up to the address that stands last in what was sent.
fn until(socket: &mut ClaimSocket, last: &str) -> Vec<(u32, IpAddr, MacAddress)> {
    let mut seen = Vec::new();
    loop {
        for claim in claims(socket) {
            seen.push((claim.index, claim.ip, claim.mac));
        }
        if seen
            .last()
            .is_some_and(|(_, claimed, _)| *claimed == ip(last))
        {
            return seen;
        }
    }
}

fn who_has_an_address_says_so(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.1/24");
    world.far_address(far, "2001:db8::1/64");
    let theirs = mac_of(&mut world.far, far);
    for address in [OURS4, OURS6] {
        let mut socket = listening(index, &[address]);
        let enquiry = Enquiry {
            index,
            mac: mac_of(&mut world.near, index),
            ip: ip(address),
        };
        assert_eq!(ask(&socket, &enquiry), None);
        let start = monotonic_now();
        // A new IPv6 address hears questions when the kernel's queue of addresses has had its turn.
        while !wait_readable(&socket, Duration::from_millis(100)) {
            assert!(monotonic_now().since(start) < PATIENCE, "no answer");
            assert_eq!(ask(&socket, &enquiry), None);
        }
        for claim in claims(&mut socket) {
            let expected = Claim {
                index,
                ip: ip(address),
                mac: theirs,
                received: claim.received,
            };
            assert_eq!(claim, expected);
            assert!(claim.received <= monotonic_now());
        }
    }
}

fn nobody_has_a_free_address(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.2/24");
    let mut socket = listening(index, &[OURS4, "192.0.2.2"]);
    let mac = mac_of(&mut world.near, index);
    // That the second is answered shows that the first has had its time.
    for address in [OURS4, "192.0.2.2"] {
        let ip = ip(address);
        assert_eq!(ask(&socket, &Enquiry { index, mac, ip }), None);
    }
    let seen = until(&mut socket, "192.0.2.2");
    assert!(
        seen.iter()
            .all(|(_, claimed, _)| *claimed == ip("192.0.2.2")),
        "{seen:?}"
    );
}

fn a_question_leaves_no_trace_at_the_others(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    world.far_address(far, "192.0.2.2/24");
    let mut socket = listening(index, &["192.0.2.2"]);
    let mac = mac_of(&mut world.near, index);
    assert_eq!(
        ask(
            &socket,
            &Enquiry {
                index,
                mac,
                ip: ip("192.0.2.2")
            }
        ),
        None
    );
    claims(&mut socket);
    assert_eq!(world.far_neighbours("sw0"), "");
}

/// Somebody's ARP packet in which `sender` is at `mac`.
fn told(operation: ArpOperation, sender: &str, mac: [u8; 6], target: &str) -> ArpEthIpv4Packet {
    let octets = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    ArpEthIpv4Packet {
        operation,
        sender_mac: mac,
        sender_ipv4: octets(sender),
        target_mac: [0; 6],
        target_ipv4: octets(target),
    }
}

fn arp_claims_of_ours_are_handed_in_and_nothing_else(mut world: World) {
    let cables = [world.cable("ge0", "sw0"), world.cable("ge1", "sw1")];
    let [(index, far), (second, far_second)] = cables;
    let ours = mac_of(&mut world.near, index).0;
    let last = "192.0.2.99";
    let places = [(index, OURS4), (index, last), (second, last)].map(|(on, text)| (on, ip(text)));
    let mut socket = ClaimSocket::open(Family::Inet).unwrap();
    socket.listen(&places.into()).unwrap();
    let all = MacAddress::BROADCAST.0;
    let (request, reply) = (ArpOperation::REQUEST, ArpOperation::REPLY);
    let claim = told(request, OURS4, STRANGER, OURS4);
    let mut frames = vec![
        // Claims.
        arp(all, &claim),
        arp(all, &told(reply, OURS4, STRANGER, OURS4)),
        arp(all, &told(request, OURS4, STRANGER, "192.0.2.254")),
        arp(ours, &told(reply, OURS4, STRANGER, "0.0.0.0")),
        arp(ours, &told(request, OURS4, STRANGER, OURS4)),
        // Somebody else's, somebody's question, nobody's, and what is for somebody else.
        arp(all, &told(request, "192.0.2.2", STRANGER, OURS4)),
        arp(all, &told(request, "0.0.0.0", STRANGER, OURS4)),
        arp(all, &told(request, OURS4, all, OURS4)),
        arp(OTHER, &claim),
    ];
    let whole = arp(all, &claim);
    frames.extend((15..whole.len()).map(|length| whole[..length].to_vec()));
    frames.push(arp(all, &told(request, last, STRANGER, last)));
    let of = |index: u32, text: &str| (index, ip(text), MacAddress(STRANGER));
    inject(&world, far, &frames);
    let mut expected = vec![of(index, OURS4); 5];
    expected.push(of(index, last));
    assert_eq!(until(&mut socket, last), expected);
    // What is ours on one link may be another's on the next.
    inject(&world, far_second, &frames);
    assert_eq!(until(&mut socket, last), [of(second, last)]);
    // What is not listened to any more is not told.
    socket.listen(&BTreeSet::from([(index, ip(last))])).unwrap();
    inject(&world, far, &frames);
    assert_eq!(until(&mut socket, last), [of(index, last)]);
}

fn advertised_claims_of_ours_are_handed_in_and_nothing_else(mut world: World) {
    let cables = [world.cable("ge0", "sw0"), world.cable("ge1", "sw1")];
    let [(index, far), (second, far_second)] = cables;
    must(&mut world.near, [add_address(index, "fe80::1/64")]);
    let ours = mac_of(&mut world.near, index).0;
    let (us, last) = ("fe80::1".parse().unwrap(), "2001:db8::99");
    let places = [(index, OURS6), (index, last), (second, last)].map(|(on, text)| (on, ip(text)));
    let mut socket = ClaimSocket::open(Family::Inet6).unwrap();
    socket.listen(&places.into()).unwrap();
    let whole = advertisement_of(OURS6, ALL_NODES, ALL_NODES_MAC, 255, false);
    let mut broken = whole.clone();
    broken[60] ^= 1;
    let mut frames = vec![
        // Claims.
        whole.clone(),
        advertisement_of(OURS6, us, ours, 255, true),
        advertisement_of(OURS6, us, ours, 255, false),
        // Somebody else's, through a router, for somebody else, and what is not sound.
        advertisement_of("2001:db8::2", ALL_NODES, ALL_NODES_MAC, 255, false),
        advertisement_of(OURS6, ALL_NODES, ALL_NODES_MAC, 254, false),
        advertisement_of(OURS6, us, OTHER, 255, true),
        advertisement_of(OURS6, ALL_NODES, ALL_NODES_MAC, 255, true),
        // The same end, another address.
        advertisement_of("2001:db8:1::1", ALL_NODES, ALL_NODES_MAC, 255, false),
        broken,
    ];
    frames.extend((15..whole.len()).map(|length| whole[..length].to_vec()));
    frames.push(advertisement_of(last, ALL_NODES, ALL_NODES_MAC, 255, false));
    let of = |index: u32, text: &str| (index, ip(text), MacAddress(STRANGER));
    inject(&world, far, &frames);
    let mut expected = vec![of(index, OURS6); 3];
    expected.push(of(index, last));
    assert_eq!(until(&mut socket, last), expected);
    inject(&world, far_second, &frames);
    assert_eq!(until(&mut socket, last), [of(second, last)]);
}

fn other_hosts_questions_are_no_claims(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    let theirs = mac_of(&mut world.far, far);
    let all = MacAddress::BROADCAST.0;
    let claimed = "192.0.2.99";
    let claim = arp(
        all,
        &told(ArpOperation::REQUEST, claimed, STRANGER, claimed),
    );
    let claimed6 = "2001:db8::99";
    let claim6 = advertisement_of(claimed6, ALL_NODES, ALL_NODES_MAC, 255, false);
    // The far end asks as we do; that a claim which follows is heard shows that the question was there.
    for (address, last, claim) in [(OURS4, claimed, claim), (OURS6, claimed6, claim6)] {
        let mut socket = listening(index, &[address, last]);
        let other = world
            .far_namespace
            .run(|| ClaimSocket::open(Family::of(ip(address))));
        let enquiry = Enquiry {
            index: far,
            mac: theirs,
            ip: ip(address),
        };
        assert_eq!(ask(&other.unwrap(), &enquiry), None);
        inject(&world, far, &[claim]);
        let expected = [(index, ip(last), MacAddress(STRANGER))];
        assert_eq!(until(&mut socket, last), expected);
    }
}

fn claims_of_another_vlan_are_not_handed_in(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    let mut socket = listening(index, &[OURS4, "192.0.2.99"]);
    let all = MacAddress::BROADCAST.0;
    let request = ArpOperation::REQUEST;
    let mut tagged = arp(all, &told(request, OURS4, STRANGER, OURS4));
    // Tag 5 (IEEE 802.1Q), of which there is no link here.
    tagged.splice(12..12, [0x81, 0, 0, 5]);
    let last = arp(all, &told(request, "192.0.2.99", STRANGER, "192.0.2.99"));
    inject(&world, far, &[tagged, last]);
    let expected = [(index, ip("192.0.2.99"), MacAddress(STRANGER))];
    assert_eq!(until(&mut socket, "192.0.2.99"), expected);
}

fn claims_of_many_addresses_are_told_apart(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    let many = |count: u32| (0..count).map(|n| Ipv4Addr::from(0xc612_0000 + 2 * n));
    let all = MacAddress::BROADCAST.0;
    let claim = |ip: &str| arp(all, &told(ArpOperation::REQUEST, ip, STRANGER, ip));
    let others = ["198.18.0.1", "198.18.3.1", "192.0.2.1"];
    for (memory, count, has_room) in [
        // As many as a program tells apart, and more.
        (PLENTY, 1024, true),
        (PLENTY, 1500, false),
        // Before 6.8 there was less memory.
        (SCANTY, 200, true),
        (SCANTY, 400, true),
        (SCANTY, 1024, false),
    ] {
        allow_options(memory);
        let mut socket = ClaimSocket::open(Family::Inet).unwrap();
        let listen = |socket: &mut ClaimSocket, index: u32| {
            let places = many(count).map(|ip| (index, ip.into()));
            socket.listen(&places.collect()).unwrap();
        };
        listen(&mut socket, index + 1);
        // The same addresses, elsewhere: nothing is asked of the kernel.
        allow_options(0);
        listen(&mut socket, index);
        inject(&world, far, &others.map(claim));
        let last = Ipv4Addr::from(0xc612_0000 + 2 * (count - 1)).to_string();
        let ours = ["198.18.0.0", "198.18.1.2", &last];
        inject(&world, far, &ours.map(claim));
        // Those of others come as far as the socket only if the kernel cannot tell.
        let heard = ours.len() + if has_room { 0 } else { others.len() };
        let (taken, seen) = taken_until(&mut socket, ours[2], 1000);
        assert_eq!(seen, ours.map(ip));
        assert_eq!(taken, heard, "{count} addresses, {memory} bytes");
        // As long as there is room for one program, the next one takes its place.
        allow_options(memory);
        let places = many(count - 1).map(|ip| (index, ip.into()));
        socket.listen(&places.collect()).unwrap();
        inject(&world, far, &others.map(claim));
        inject(&world, far, &[claim(ours[1])]);
        let heard = 1 + if has_room { 0 } else { others.len() };
        let (taken, _) = taken_until(&mut socket, ours[1], 1000);
        assert_eq!(taken, heard, "{} addresses, {memory} bytes", count - 1);
    }
}

/// `net.core.optmem_max` as it is from 6.8 on, and as it was before.
const PLENTY: u32 = 128 << 10;
const SCANTY: u32 = 20 << 10;

/// Bounds the memory that each socket of this namespace may have for its filter: a namespace has a bound of
/// its own since 6.8.
fn allow_options(bytes: u32) {
    fs::write("/proc/sys/net/core/optmem_max", bytes.to_string()).unwrap();
}

fn claims_that_are_too_long_count_as_taken(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    let all = MacAddress::BROADCAST.0;
    let arp_of = |ip| arp(all, &told(ArpOperation::REQUEST, ip, STRANGER, ip));
    let mut long = arp_of(OURS4);
    long.resize(300, 0);
    let (last, last6) = ("192.0.2.99", "2001:db8::99");
    let to = (ALL_NODES, ALL_NODES_MAC);
    let long6 = long_advertisement_of(OURS6, to.0, to.1, 255, false, 32);
    assert!(long6.len() > 300);
    let end6 = advertisement_of(last6, to.0, to.1, 255, false);
    for (addresses, long, end) in [
        ([OURS4, last], long, arp_of(last)),
        ([OURS6, last6], long6, end6),
    ] {
        let mut socket = listening(index, &addresses);
        let mut frames = vec![long; 200];
        frames.push(end);
        inject(&world, far, &frames);
        let (taken, seen) = taken_until(&mut socket, addresses[1], 64);
        assert_eq!((taken, seen), (201, vec![ip(addresses[1])]));
    }
}

fn no_question_leaves_a_link_that_is_down(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    must(&mut world.near, [Operation::SetUp { index, up: false }]);
    let mac = mac_of(&mut world.near, index);
    for (address, other) in [(OURS4, OURS6), (OURS6, OURS4)] {
        let socket = listening(index, &[address]);
        let ask = |text: &str| {
            ask(
                &socket,
                &Enquiry {
                    index,
                    mac,
                    ip: ip(text),
                },
            )
        };
        assert_eq!(ask(address), Some(nix::libc::ENETDOWN));
        // Each asks in its own family.
        assert_eq!(ask(other), Some(nix::libc::EAFNOSUPPORT));
    }
}
