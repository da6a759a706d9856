use super::*;

fn nexthop(hop: Hop) -> Nexthop {
    Nexthop {
        id: 7,
        protocol: 73,
        hop,
    }
}

fn all_kinds() -> Vec<Nexthop> {
    let link = |family, gateway: Option<&str>| Hop::Link {
        family,
        index: 3,
        gateway: gateway.map(|ip| ip.parse().unwrap()),
    };
    [
        link(Family::Inet, None),
        link(Family::Inet, Some("192.0.2.254")),
        link(Family::Inet6, None),
        link(Family::Inet6, Some("fe80::1")),
        Hop::Group(vec![1, 2]),
        Hop::Group(Vec::new()),
    ]
    .map(nexthop)
    .to_vec()
}

#[test]
#[cfg(target_endian = "little")]
fn on_the_wire() {
    let gateway = &all_kinds()[1];
    #[rustfmt::skip]
    let expected = [
        2, 0, 73, 0, 4, 0, 0, 0,    // IPv4, ours, on-link
        8, 0, 1, 0, 7, 0, 0, 0,     // number
        8, 0, 5, 0, 3, 0, 0, 0,     // link
        8, 0, 6, 0, 192, 0, 2, 254, // gateway
    ];
    assert_eq!(set(gateway, Reach::Asserted), expected);
}

#[test]
fn what_is_written_is_read() {
    for nexthop in all_kinds() {
        assert_eq!(parse(&set(&nexthop, Reach::Asserted)), Some(nexthop));
    }
}

#[test]
fn what_we_have_no_words_for_is_an_empty_group() {
    let mut blackhole = header(INET, 4, 0);
    push(&mut blackhole, ID, 9_u32.to_ne_bytes().to_vec());
    push(&mut blackhole, 4, Vec::new());
    let read = parse(&blackhole).unwrap();
    assert_eq!((read.id, read.protocol), (9, 4));
    assert_eq!(read.hop, Hop::Group(Vec::new()));
    assert_eq!(parse(&all()), None);
}

#[test]
fn broken_messages_do_no_harm() {
    for nexthop in all_kinds() {
        let whole = set(&nexthop, Reach::Asserted);
        for length in 0..whole.len() {
            let _ = parse(&whole[..length]);
        }
        for position in 0..whole.len() {
            for value in [0, 1, 3, 5, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[position] = value;
                let _ = parse(&broken);
            }
        }
    }
}
