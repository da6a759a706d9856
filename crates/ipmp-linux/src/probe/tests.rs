use etherparse::PacketBuilder;

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

#[test]
fn an_answer_is_read() {
    let expected = Some(Answer {
        identifier: 0x4950,
        sequence: 7,
        payload: DATA,
    });
    assert_eq!(Answer::parse(&reply4(), true), expected);
    let mut six = vec![129, 0, 0, 0, 0x49, 0x50, 0, 7];
    six.extend_from_slice(&DATA);
    assert_eq!(Answer::parse(&six, false), expected);
    // More than was sent: padding.
    six.extend_from_slice(&[0; 8]);
    assert_eq!(Answer::parse(&six, false), expected);
}

#[test]
fn what_is_no_answer_is_not_read() {
    let whole = reply4();
    for length in 0..whole.len() {
        assert_eq!(Answer::parse(&whole[..length], true), None, "{length}");
    }
    // Any octet behind the IP header belongs to the checksum.
    for position in 20..whole.len() {
        let mut broken = whole.clone();
        broken[position] ^= 0x55;
        assert_eq!(Answer::parse(&broken, true), None, "{position}");
    }
    for position in 0..whole.len() {
        for value in [0, 0x4f, 0xff] {
            let mut broken = whole.clone();
            broken[position] = value;
            let _ = Answer::parse(&broken, true);
            let _ = Answer::parse(&broken, false);
        }
    }
    let request = [
        128, 0, 0, 0, 0x49, 0x50, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(Answer::parse(&request, false), None);
}

#[test]
fn filters_are_as_long_as_their_jumps_say() {
    assert_eq!(filter(true, 1).len(), 7);
    assert_eq!(filter(false, 1).len(), 6);
}
