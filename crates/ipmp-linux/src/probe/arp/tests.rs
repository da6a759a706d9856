use ipmp_core::Time;

use super::*;

const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

#[rustfmt::skip]
const REPLY: [u8; 42] = [
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 6, // to us, from them, ARP
    0, 1, 8, 0, 6, 4, 0, 2,                   // Ethernet, IPv4, reply
    2, 0, 0, 0, 0, 9, 192, 0, 2, 254,
    2, 0, 0, 0, 0, 1, 0, 0, 0, 0,
];

fn parse(bytes: &[u8]) -> Option<Advertisement> {
    let datagram = Datagram {
        bytes,
        index: 3,
        source: None,
        destination: None,
        hop_limit: None,
        received: Time::from_millis(1),
    };
    advertisement(&datagram, OURS)
}

#[test]
fn a_probe_names_no_sender() {
    #[rustfmt::skip]
    let expected = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, // to all, from us, ARP
        0, 1, 8, 0, 6, 4, 0, 1,                                     // Ethernet, IPv4, request
        2, 0, 0, 0, 0, 1, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 192, 0, 2, 254,
    ];
    let made = request(OURS, Ipv4Addr::new(192, 0, 2, 254)).unwrap();
    assert_eq!(made, expected);
}

#[test]
fn a_reply_tells_of_its_sender() {
    let expected = Advertisement {
        index: 3,
        target: [192, 0, 2, 254].into(),
        mac: MacAddress([2, 0, 0, 0, 0, 9]),
        received: Time::from_millis(1),
    };
    assert_eq!(parse(&REPLY), Some(expected.clone()));
    // Short frames are padded on the wire.
    let mut padded = REPLY.to_vec();
    padded.resize(60, 0);
    assert_eq!(parse(&padded), Some(expected));
}

#[test]
fn what_is_no_reply_to_us_is_not_read() {
    for length in 0..REPLY.len() {
        assert_eq!(parse(&REPLY[..length]), None, "{length}");
    }
    let changed = |changes: &[(usize, u8)]| {
        let mut frame = REPLY;
        for &(at, value) in changes {
            frame[at] = value;
        }
        parse(&frame)
    };
    for (what, changes) in [
        ("a request", &[(21, 1)][..]),
        ("frame to another", &[(5, 7)]),
        ("ARP to another", &[(37, 7)]),
        ("from nobody", &[(28, 0), (29, 0), (30, 0), (31, 0)]),
        ("from a group address", &[(28, 224)]),
        ("of a group's hardware address", &[(22, 3)]),
        ("from ourselves", &[(27, 1)]),
        ("gratuitous", &[(38, 192), (39, 0), (40, 2), (41, 254)]),
        ("not Ethernet", &[(15, 6)]),
        ("not IPv4", &[(17, 1)]),
        ("another length of hardware address", &[(18, 8)]),
        ("another length of address", &[(19, 16)]),
        ("another protocol", &[(13, 0)]),
    ] {
        assert_eq!(changed(changes), None, "{what}");
    }
    for at in 0..REPLY.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let _ = changed(&[(at, value)]);
        }
    }
}
