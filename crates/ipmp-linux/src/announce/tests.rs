use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

#[test]
fn gratuitous_arp_tells_of_its_sender() {
    let ip = Ipv4Addr::new(192, 0, 2, 1);
    #[rustfmt::skip]
    let request = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, // to all, from us, ARP
        0, 1, 8, 0, 6, 4, 0, 1,                                     // Ethernet, IPv4, request
        2, 0, 0, 0, 0, 1, 192, 0, 2, 1,
        0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
    ];
    assert_eq!(
        gratuitous_arp(MAC, ip, ArpOperation::REQUEST).unwrap(),
        request
    );
    let mut reply = request;
    reply[21] = 2;
    reply[32..38].fill(0xff);
    assert_eq!(gratuitous_arp(MAC, ip, ArpOperation::REPLY).unwrap(), reply);
}

#[test]
fn neighbour_advertisement_overrides() {
    let ip: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let frame = neighbour_advertisement(MAC, ip).unwrap();
    assert_eq!(
        frame[..14],
        [0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]
    );
    let packet = SlicedPacket::from_ethernet(&frame).unwrap();
    let Some(NetSlice::Ipv6(six)) = packet.net else {
        panic!("no IPv6");
    };
    let header = six.header();
    assert_eq!(header.source_addr(), ip);
    assert_eq!(header.destination_addr(), ALL_NODES);
    assert_eq!(header.hop_limit(), 255);
    let Some(TransportSlice::Icmpv6(icmp)) = packet.transport else {
        panic!("no ICMPv6");
    };
    assert!(icmp.is_checksum_valid(header.source(), header.destination()));
    let mut expected = vec![0x20, 0, 0, 0]; // override, neither router nor solicited
    expected.extend_from_slice(&ip.octets());
    expected.extend_from_slice(&[2, 1, 2, 0, 0, 0, 0, 1]);
    assert_eq!(icmp.slice()[0], 136);
    assert_eq!(icmp.slice()[4..], expected);
}
