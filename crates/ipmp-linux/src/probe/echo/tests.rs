use etherparse::PacketBuilder;
use ipmp_core::Time;

use super::*;

const DATA: [u8; 16] = *b"sixteen octets !";

fn reply4() -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([192, 0, 2, 254], [192, 0, 2, 1], 64)
        .icmpv4_echo_reply(0x4950, 7)
        .write(&mut packet, &DATA)
        .unwrap();
    packet
}

fn parse(bytes: &[u8], family: Family) -> Option<EchoReply> {
    let datagram = Datagram {
        bytes,
        index: 3,
        source: Some([192, 0, 2, 254].into()),
        destination: Some([192, 0, 2, 1].into()),
        hop_limit: None,
        received: Time::from_millis(1),
    };
    echo_reply(&datagram, family)
}

#[test]
fn an_answer_is_read() {
    let expected = Some(EchoReply {
        index: 3,
        source: [192, 0, 2, 254].into(),
        destination: [192, 0, 2, 1].into(),
        identifier: 0x4950,
        sequence: 7,
        payload: DATA,
        received: Time::from_millis(1),
    });
    assert_eq!(parse(&reply4(), Family::Inet), expected);
    let mut six = vec![129, 0, 0, 0, 0x49, 0x50, 0, 7];
    six.extend_from_slice(&DATA);
    assert_eq!(parse(&six, Family::Inet6), expected);
    // More than was sent: padding.
    six.extend_from_slice(&[0; 8]);
    assert_eq!(parse(&six, Family::Inet6), expected);
}

#[test]
fn what_is_no_answer_is_not_read() {
    let whole = reply4();
    for length in 0..whole.len() {
        assert_eq!(parse(&whole[..length], Family::Inet), None, "{length}");
    }
    // Any octet behind the IP header belongs to the checksum.
    for position in 20..whole.len() {
        let mut broken = whole.clone();
        broken[position] ^= 0x55;
        assert_eq!(parse(&broken, Family::Inet), None, "{position}");
    }
    for position in 0..whole.len() {
        for value in [0, 0x4f, 0xff] {
            let mut broken = whole.clone();
            broken[position] = value;
            let _ = parse(&broken, Family::Inet);
            let _ = parse(&broken, Family::Inet6);
        }
    }
    let request = [
        128, 0, 0, 0, 0x49, 0x50, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(parse(&request, Family::Inet6), None);
}
