use std::net::{Ipv4Addr, Ipv6Addr};

use ipmp_core::{MacAddress, Time};

use super::*;

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OURS6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const ALL_NODES: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
const THEIRS: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

/// An announcement: a request in which sender and target are the same.
#[rustfmt::skip]
const GRATUITOUS: [u8; 42] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 6, // to all, from them, ARP
    0, 1, 8, 0, 6, 4, 0, 1,                                     // Ethernet, IPv4, request
    2, 0, 0, 0, 0, 9, 192, 0, 2, 1,
    0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
];

fn advertisement() -> Vec<u8> {
    let mut bytes = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    bytes.extend_from_slice(&OURS6.octets());
    bytes.extend_from_slice(&[2, 1]);
    bytes.extend_from_slice(&THEIRS.0);
    bytes
}

fn parse(bytes: &[u8], family: Family) -> Option<Claim> {
    let datagram = Datagram {
        bytes,
        index: 3,
        source: None,
        destination: (family == Family::Inet6).then_some(ALL_NODES),
        hop_limit: (family == Family::Inet6).then_some(255),
        received: Time::from_millis(1),
    };
    claim(&datagram, family)
}

fn of(ip: impl Into<IpAddr>) -> Claim {
    Claim {
        index: 3,
        ip: ip.into(),
        mac: THEIRS,
        received: Time::from_millis(1),
    }
}

fn changed(bytes: &[u8], changes: &[(usize, u8)], family: Family) -> Option<Claim> {
    let mut bytes = bytes.to_vec();
    for &(at, value) in changes {
        bytes[at] = value;
    }
    parse(&bytes, family)
}

#[test]
fn arp_in_which_somebody_names_himself_is_a_claim() {
    assert_eq!(parse(&GRATUITOUS, Family::Inet), Some(of(OURS)));
    for (what, changes) in [
        ("a reply", &[(21, 2)][..]),
        ("a question about another", &[(41, 254)]),
        (
            "to one host",
            &[(0, 2), (1, 0), (2, 0), (3, 0), (4, 0), (5, 1)],
        ),
    ] {
        let seen = changed(&GRATUITOUS, changes, Family::Inet);
        assert_eq!(seen, Some(of(OURS)), "{what}");
    }
}

#[test]
fn arp_in_which_nobody_names_himself_is_none() {
    for (what, changes) in [
        ("a probe", &[(28, 0), (29, 0), (30, 0), (31, 0)][..]),
        ("of a group address", &[(28, 224)]),
        ("of a group's hardware address", &[(22, 3)]),
        ("not Ethernet", &[(15, 6)]),
        ("not IPv4", &[(17, 1)]),
        ("another protocol", &[(13, 0)]),
    ] {
        let seen = changed(&GRATUITOUS, changes, Family::Inet);
        assert_eq!(seen, None, "{what}");
    }
    for length in 0..GRATUITOUS.len() {
        assert_eq!(parse(&GRATUITOUS[..length], Family::Inet), None, "{length}");
    }
}

#[test]
fn an_advertisement_is_a_claim_whether_it_overrides_or_not() {
    let whole = advertisement();
    assert_eq!(parse(&whole, Family::Inet6), Some(of(OURS6)));
    assert_eq!(changed(&whole, &[(4, 0)], Family::Inet6), Some(of(OURS6)));
    for (what, changes) in [
        ("a solicitation", &[(0, 135)][..]),
        ("another code", &[(1, 1)]),
        ("of a group", &[(8, 0xff)]),
        ("of a group's hardware address", &[(26, 3)]),
        ("no hardware address", &[(24, 1)]),
        ("solicited, and to all", &[(4, 0x60)]),
    ] {
        let seen = changed(&whole, changes, Family::Inet6);
        assert_eq!(seen, None, "{what}");
    }
    for length in 0..whole.len() {
        assert_eq!(parse(&whole[..length], Family::Inet6), None, "{length}");
    }
}

#[test]
fn what_came_through_a_router_is_none() {
    let bytes = advertisement();
    let datagram = Datagram {
        bytes: &bytes,
        index: 3,
        source: None,
        destination: Some(OURS6.into()),
        hop_limit: Some(254),
        received: Time::from_millis(1),
    };
    assert_eq!(claim(&datagram, Family::Inet6), None);
}
