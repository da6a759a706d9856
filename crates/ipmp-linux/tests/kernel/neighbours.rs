//! The neighbour tables, filled by hand and by talking.

use std::fmt::Write as _;
use std::process::Command;

use ipmp_core::Family;
use ipmp_core::detect::{Echo, Neighbour};
use ipmp_linux::neighbours::neighbours;
use ipmp_linux::probe::EchoSocket;

use crate::world::{PATIENCE, Sends, Test, World, add_address, ip, must, name, wait_readable};

pub(crate) const TESTS: &[Test] = &[
    ("neighbours_of_one_link", neighbours_of_one_link),
    ("neighbours_that_answered", neighbours_that_answered),
    (
        "more_neighbours_than_one_part",
        more_neighbours_than_one_part,
    ),
];

fn types(line: &str) {
    let status = Command::new("ip").args(line.split(' ')).status().unwrap();
    assert!(status.success(), "ip {line}");
}

/// Those on these links in a hand's own subnets; the kernel talks of its own accord too.
fn known(links: &[u32]) -> Vec<(u32, String)> {
    let own = |address: &str| address.starts_with("192.0.2.") || address.starts_with("2001:db8:");
    neighbours(links)
        .unwrap()
        .into_iter()
        .map(|Neighbour { index, address }| (index, address.to_string()))
        .filter(|(_, address)| own(address))
        .collect()
}

fn neighbours_of_one_link(mut world: World) {
    let [(first, _), (second, _)] = [world.cable("ge0", "sw0"), world.cable("ge1", "sw1")];
    for (address, more) in [
        ("192.0.2.1", "lladdr 02:00:00:00:00:01 nud reachable"),
        ("192.0.2.2", "lladdr 02:00:00:00:00:02 nud stale"),
        ("192.0.2.3", "lladdr 02:00:00:00:00:03 nud delay"),
        ("192.0.2.4", "lladdr 02:00:00:00:00:04 nud probe"),
        ("192.0.2.5", "lladdr 02:00:00:00:00:05 nud permanent"),
        ("2001:db8::6", "lladdr 02:00:00:00:00:06 nud stale"),
        // These are nobody.
        ("192.0.2.100", "nud failed"),
        ("192.0.2.101", "lladdr 02:00:00:00:00:0b nud noarp"),
        ("192.0.2.102", "lladdr 03:00:00:00:00:0c nud permanent"),
        ("224.0.0.77", "lladdr 02:00:00:00:00:0d nud permanent"),
        ("2001:db8::100", "nud failed"),
    ] {
        types(&format!("neighbour add {address} dev ge0 {more}"));
    }
    types("neighbour add proxy 192.0.2.103 dev ge0");
    types("neighbour add 192.0.2.7 dev ge1 lladdr 02:00:00:00:00:07 nud stale");
    let on_first = [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
        "192.0.2.4",
        "192.0.2.5",
        "2001:db8::6",
    ]
    .map(|address| (first, address.to_owned()));
    let on_second = [(second, "192.0.2.7".to_owned())];
    assert_eq!(known(&[first]), on_first);
    assert_eq!(known(&[second]), on_second);
    assert_eq!(
        known(&[second, first, second]),
        [&on_first[..], &on_second].concat()
    );
    assert_eq!(known(&[second + 100]), []);
    assert_eq!(neighbours(&[]).unwrap(), []);
}

fn neighbours_that_answered(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    for (ours, theirs) in [
        ("192.0.2.1", "192.0.2.254"),
        ("2001:db8::1", "2001:db8::254"),
    ] {
        let prefix = if ip(ours).is_ipv4() { 24 } else { 64 };
        world.far_address(far, &format!("{theirs}/{prefix}"));
        must(
            &mut world.near,
            [add_address(index, &format!("{ours}/{prefix}"))],
        );
        let mut socket = EchoSocket::open(Family::of(ip(ours))).unwrap();
        let probe = Echo {
            interface: name("ge0"),
            index,
            source: ip(ours),
            target: ip(theirs),
            identifier: 1,
            sequence: 1,
            payload: [0; 16],
        };
        socket.send(&probe).unwrap();
        assert!(wait_readable(&socket, PATIENCE));
        assert!(known(&[index]).contains(&(index, theirs.to_owned())));
    }
}

fn more_neighbours_than_one_part(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    let count = 600;
    let mut batch = String::new();
    for n in 0..count {
        let address = format!("2001:db8::1:{n:x}");
        let mac = "02:00:00:00:01:01";
        writeln!(
            batch,
            "neighbour add {address} dev ge0 lladdr {mac} nud permanent"
        )
        .unwrap();
    }
    let file = std::env::temp_dir().join(format!("ipmp-neighbours-{}", std::process::id()));
    std::fs::write(&file, batch).unwrap();
    types(&format!("-6 -batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(known(&[index]).len(), count);
}
