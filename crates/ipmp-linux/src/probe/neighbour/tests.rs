use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use ipmp_core::Time;

use super::*;

const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 9];
const US: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const THEM: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x12, 0x3456);

/// An advertisement from its ICMP header on.
fn packet(solicited: bool) -> Vec<u8> {
    let mut bytes = vec![136, 0, 0, 0, if solicited { 0x60 } else { 0x20 }, 0, 0, 0];
    bytes.extend_from_slice(&THEM.octets());
    bytes.extend_from_slice(&[2, 1]);
    bytes.extend_from_slice(&THEIRS);
    bytes
}

fn parse(
    bytes: &[u8],
    hop_limit: i32,
    destination: Ipv6Addr,
    source: Option<Ipv6Addr>,
) -> Option<Advertisement> {
    let datagram = Datagram {
        bytes,
        index: 3,
        source: Some(THEM.into()),
        destination: Some(destination.into()),
        hop_limit: Some(hop_limit),
        received: Time::from_millis(1),
    };
    advertisement(&datagram, Asker { mac: OURS, source })
}

/// As it should be, but for the bytes.
fn parse_bytes(bytes: &[u8]) -> Option<Advertisement> {
    parse(bytes, 255, US, Some(US))
}

#[test]
fn a_solicitation_asks_the_solicited_nodes() {
    for source in [Some(US), None] {
        let frame = solicitation(OURS, source, THEM).unwrap();
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        assert_eq!(frame[6..12], OURS.0);
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Ipv6(ip)) = packet.net else {
            panic!("no IPv6")
        };
        let header = ip.header();
        assert_eq!(
            header.source_addr(),
            source.unwrap_or(Ipv6Addr::UNSPECIFIED)
        );
        let group: Ipv6Addr = "ff02::1:ff12:3456".parse().unwrap();
        assert_eq!(header.destination_addr(), group);
        assert_eq!(header.hop_limit(), 255);
        let Some(TransportSlice::Icmpv6(icmp)) = packet.transport else {
            panic!("no ICMPv6")
        };
        assert!(icmp.is_checksum_valid(header.source(), header.destination()));
        assert_eq!((icmp.type_u8(), icmp.code_u8()), (135, 0));
        let mut body = THEM.octets().to_vec();
        if source.is_some() {
            body.extend_from_slice(&[1, 1, 2, 0, 0, 0, 0, 1]);
        }
        assert_eq!(icmp.payload(), body);
    }
}

#[test]
fn an_answer_is_read() {
    let expected = Some(Advertisement {
        index: 3,
        target: THEM.into(),
        mac: MacAddress(THEIRS),
        received: Time::from_millis(1),
    });
    assert_eq!(parse_bytes(&packet(true)), expected);
    assert_eq!(parse(&packet(false), 255, ALL_NODES, None), expected);
    // Options that mean nothing here are passed over.
    let mut more = packet(true);
    more.extend_from_slice(&[14, 1, 1, 2, 3, 4, 5, 6]);
    assert_eq!(parse_bytes(&more), expected);
}

#[test]
fn what_is_no_answer_is_not_read() {
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    for (what, solicited, hop_limit, destination, source) in [
        ("through a router", true, 254, US, Some(US)),
        ("not asked for", false, 255, US, Some(US)),
        (
            "to all, though somebody asked",
            false,
            255,
            ALL_NODES,
            Some(US),
        ),
        ("solicited, to all", true, 255, ALL_NODES, Some(US)),
        ("to another", true, 255, other, Some(US)),
        ("to somebody, though nobody asked", true, 255, US, None),
        ("to nobody, yet solicited", true, 255, ALL_NODES, None),
    ] {
        let seen = parse(&packet(solicited), hop_limit, destination, source);
        assert_eq!(seen, None, "{what}");
    }
    let whole = packet(true);
    for length in 0..whole.len() {
        assert_eq!(parse_bytes(&whole[..length]), None, "{length}");
    }
    let changed = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        parse_bytes(&bytes)
    };
    for (what, at, value) in [
        ("a solicitation", 0, 135),
        ("another code", 1, 1),
        ("of a group", 8, 0xff),
        ("no hardware address", 24, 1),
        ("an option without length", 25, 0),
        ("an option that is too long", 25, 2),
        ("a group's hardware address", 26, 3),
        ("our hardware address", 31, 1),
    ] {
        assert_eq!(changed(at, value), None, "{what}");
    }
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let _ = changed(at, value);
        }
    }
}
