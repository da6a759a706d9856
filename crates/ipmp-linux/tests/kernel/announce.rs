//! Announcements, as a neighbour takes them.

use std::time::Instant;

use ipmp_core::action::Announcement;
use ipmp_core::detect::Echo;
use ipmp_core::plan::Operation;
use ipmp_core::{Family, InterfaceAddress, MacAddress};
use ipmp_linux::announce::Announcer;
use ipmp_linux::probe::EchoSocket;

use crate::world::{PATIENCE, Sends, Test, World, add_address, ip, must, name, wait_readable};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_neighbour_learns_the_new_place",
        a_neighbour_learns_the_new_place,
    ),
    ("errors_name_the_address", errors_name_the_address),
];

/// The neighbour entry of an address in the far namespace, as the kernel prints it.
fn neighbour(world: &World, address: &str) -> String {
    world
        .far_namespace
        .run(|| {
            std::process::Command::new("ip")
                .args(["neighbour", "show", address])
                .output()
        })
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap()
}

fn a_neighbour_learns_the_new_place(mut world: World) {
    let (index, far) = world.cable("ge0", "sw0");
    let new_mac = MacAddress([2, 0, 0, 0, 0, 0x77]);
    for (ours, theirs) in [
        ("192.0.2.1/24", "192.0.2.254/24"),
        ("2001:db8::1/64", "2001:db8::254/64"),
    ] {
        world.far_address(far, theirs);
        must(&mut world.near, [add_address(index, ours)]);
        let plain = |text: &str| text.split_once('/').unwrap().0.to_owned();
        let (ours, theirs) = (plain(ours), plain(theirs));
        // It must know the address: nobody learns one from an announcement alone.
        let mut socket = EchoSocket::open(Family::of(ip(&ours))).unwrap();
        let probe = Echo {
            interface: name("ge0"),
            index,
            source: ip(&ours),
            target: ip(&theirs),
            identifier: 1,
            sequence: 1,
            payload: [0; 16],
        };
        socket.send(&probe).unwrap();
        assert!(wait_readable(&socket, PATIENCE));
        let before = neighbour(&world, &ours);
        assert!(before.contains("lladdr"), "{before}");
        assert!(!before.contains("02:00:00:00:00:77"), "{before}");

        let errors = Announcer::new().announce(&Announcement {
            interface: name("ge0"),
            index,
            mac: new_mac,
            addresses: vec![ip(&ours)],
        });
        assert!(errors.is_empty(), "{errors:?}");
        // The frames are on their way through the far namespace's receive queue.
        let start = Instant::now();
        while !neighbour(&world, &ours).contains("02:00:00:00:00:77") {
            assert!(start.elapsed() < PATIENCE, "{}", neighbour(&world, &ours));
        }
    }
}

fn errors_name_the_address(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    must(
        &mut world.near,
        [
            Operation::AddAddress(crate::world::new_address(index, "192.0.2.1/24")),
            Operation::SetUp { index, up: false },
        ],
    );
    let addresses: Vec<_> = ["192.0.2.1/24", "2001:db8::1/64"]
        .map(crate::world::net)
        .map(|InterfaceAddress { ip, .. }| ip)
        .into();
    let errors = Announcer::new().announce(&Announcement {
        interface: name("ge0"),
        index,
        mac: MacAddress([2, 0, 0, 0, 0, 1]),
        addresses,
    });
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "cannot announce 192.0.2.1 on ge0: Network is down (os error 100)",
            "cannot announce 2001:db8::1 on ge0: Network is down (os error 100)",
        ]
    );
}
