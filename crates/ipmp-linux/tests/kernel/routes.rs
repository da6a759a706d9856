//! Our routes beside other people's.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};

use ipmp_core::Family;
use ipmp_core::kernel::{Change, Hop, Nexthop, Route, Via};
use ipmp_core::plan::Operation;

use crate::world::{
    Test, World, add_address, fails, group, hop, ip, keeps_step, must, net, route, routes_of,
    routes_to, until,
};

/// `RTPROT_DHCP`: somebody else.
const SOMEBODY: u8 = 16;

pub(crate) const TESTS: &[Test] = &[
    ("ours_goes_in_front", ours_goes_in_front),
    (
        "replacing_leaves_foreign_routes_alone",
        replacing_leaves_foreign_routes_alone,
    ),
    (
        "routes_of_another_table_are_its_own",
        routes_of_another_table_are_its_own,
    ),
    ("replacing_a_preferred_source", replacing_a_preferred_source),
    (
        "replacing_a_preferred_source_leaves_no_gap",
        replacing_a_preferred_source_leaves_no_gap,
    ),
    (
        "replacing_a_preferred_source_without_the_first_of_a_group",
        replacing_a_preferred_source_without_the_first_of_a_group,
    ),
    (
        "removing_hits_only_the_one_meant",
        removing_hits_only_the_one_meant,
    ),
    ("routes_of_ipv6", routes_of_ipv6),
    (
        "gateways_of_ipv6_on_the_subnet_of_a_group",
        gateways_of_ipv6_on_the_subnet_of_a_group,
    ),
    (
        "gateways_on_our_subnet_are_acceptable",
        gateways_on_our_subnet_are_acceptable,
    ),
];

fn foreign(destination: &str, metric: u32, index: u32, gateway: Option<&str>) -> Route {
    Route {
        protocol: SOMEBODY,
        ..route(
            destination,
            metric,
            Via::Link {
                index,
                gateway: gateway.map(ip),
            },
        )
    }
}

/// Two cables, an address on the first, and gateway nexthops 1 and 2 of ours on them.
fn two_paths(world: &mut World) -> (u32, u32) {
    let (first, _) = world.cable("ge0", "sw0");
    let (second, _) = world.cable("ge1", "sw1");
    must(
        &mut world.near,
        [
            add_address(first, "192.0.2.1/24"),
            Operation::SetNexthop(hop(1, first, Some("192.0.2.254"))),
            Operation::SetNexthop(hop(2, second, Some("192.0.2.254"))),
        ],
    );
    (first, second)
}

fn ours_goes_in_front(mut world: World) {
    let (first, _) = two_paths(&mut world);
    let theirs = foreign("0.0.0.0/0", 0, first, Some("192.0.2.9"));
    let ours = route("0.0.0.0/0", 0, Via::Nexthop(1));
    must(
        &mut world.near,
        [
            Operation::AddRoute(theirs.clone()),
            Operation::AddRoute(ours.clone()),
        ],
    );
    assert_eq!(routes_to("0.0.0.0/0"), [ours, theirs]);
}

fn replacing_leaves_foreign_routes_alone(mut world: World) {
    let (first, _) = two_paths(&mut world);
    let theirs = foreign("0.0.0.0/0", 0, first, Some("192.0.2.9"));
    let [one, two] = [1, 2].map(|id| route("0.0.0.0/0", 0, Via::Nexthop(id)));
    let mut kernel = world.near.observe().unwrap();
    // Ours in front of theirs.
    must(
        &mut world.near,
        [
            Operation::AddRoute(theirs.clone()),
            Operation::AddRoute(one.clone()),
            Operation::ReplaceRoute(two.clone()),
        ],
    );
    assert_eq!(routes_to("0.0.0.0/0"), [two.clone(), theirs.clone()]);
    keeps_step(&mut world.near, &mut kernel);
    // Theirs in front of ours.
    must(
        &mut world.near,
        [
            Operation::RemoveRoute(theirs.clone()),
            Operation::AddRoute(theirs.clone()),
        ],
    );
    assert_eq!(routes_to("0.0.0.0/0"), [theirs.clone(), two]);
    must(&mut world.near, [Operation::ReplaceRoute(one.clone())]);
    assert_eq!(routes_to("0.0.0.0/0"), [one, theirs]);
    keeps_step(&mut world.near, &mut kernel);
}

fn routes_of_another_table_are_its_own(mut world: World) {
    let (first, _) = two_paths(&mut world);
    let main = foreign("0.0.0.0/0", 0, first, Some("192.0.2.9"));
    must(&mut world.near, [Operation::AddRoute(main.clone())]);
    let mut kernel = world.near.observe().unwrap();
    for table in [100, 70_000] {
        let theirs = Route {
            table,
            ..main.clone()
        };
        let [one, two] = [1, 2].map(|id| Route {
            table,
            ..route("0.0.0.0/0", 0, Via::Nexthop(id))
        });
        must(
            &mut world.near,
            [
                Operation::AddRoute(theirs.clone()),
                Operation::AddRoute(one),
                Operation::ReplaceRoute(two.clone()),
            ],
        );
        assert_eq!(routes_of(table, "0.0.0.0/0"), [two.clone(), theirs.clone()]);
        keeps_step(&mut world.near, &mut kernel);
        must(&mut world.near, [Operation::RemoveRoute(two)]);
        assert_eq!(routes_of(table, "0.0.0.0/0"), [theirs]);
        keeps_step(&mut world.near, &mut kernel);
    }
    // What they lose silently is known.
    let down = Operation::SetUp {
        index: first,
        up: false,
    };
    must(&mut world.near, [down]);
    keeps_step(&mut world.near, &mut kernel);
    assert_eq!(routes_to("0.0.0.0/0"), []);
}

fn replacing_a_preferred_source(mut world: World) {
    two_paths(&mut world);
    let plain = route("0.0.0.0/0", 0, Via::Nexthop(1));
    let with_source = Route {
        source: Some(ip("192.0.2.1")),
        ..plain.clone()
    };
    must(&mut world.near, [Operation::AddRoute(plain.clone())]);
    let mut kernel = world.near.observe().unwrap();
    // In one step, of which the kernel tells half; the other half is known.
    for route in [with_source, plain] {
        must(&mut world.near, [Operation::ReplaceRoute(route.clone())]);
        keeps_step(&mut world.near, &mut kernel);
        assert_eq!(routes_to("0.0.0.0/0"), [route]);
    }
    let unknown = route("0.0.0.0/0", 0, Via::Nexthop(77));
    fails(&mut world.near, Operation::ReplaceRoute(unknown));
    keeps_step(&mut world.near, &mut kernel);
}

fn replacing_a_preferred_source_leaves_no_gap(mut world: World) {
    let (_, second) = two_paths(&mut world);
    must(
        &mut world.near,
        [
            add_address(second, "198.51.100.1/24"),
            Operation::SetNexthop(group(10, &[1])),
        ],
    );
    // Through the first NIC, in front of somebody else's through the second.
    let plain = route("0.0.0.0/0", 0, Via::Nexthop(10));
    let with_source = Route {
        source: Some(ip("192.0.2.1")),
        ..plain.clone()
    };
    let theirs = foreign("0.0.0.0/0", 0, second, Some("198.51.100.9"));
    must(
        &mut world.near,
        [theirs, plain.clone()].map(Operation::AddRoute),
    );
    let mut kernel = world.near.observe().unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut seen, mut rounds) = (BTreeSet::new(), 0);
            while !is_over.load(Ordering::Relaxed) {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.connect("203.0.113.1:9").unwrap();
                seen.insert(socket.local_addr().unwrap().ip());
                rounds += 1;
            }
            (seen, rounds)
        });
        for _ in 0..300 {
            for route in [&with_source, &plain] {
                must(&mut world.near, [Operation::ReplaceRoute(route.clone())]);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let (seen, rounds) = asking.join().unwrap();
        assert_eq!(seen, [ip("192.0.2.1")].into(), "in {rounds} rounds");
    });
    keeps_step(&mut world.near, &mut kernel);
    assert_eq!(routes_to("0.0.0.0/0").len(), 2);
}

/// The kernel does not tell that the nexthop of a link without carrier went.
fn replacing_a_preferred_source_without_the_first_of_a_group(mut world: World) {
    let (first, far) = world.cable("ge0", "sw0");
    let (second, _) = world.cable("ge1", "sw1");
    let theirs = foreign("0.0.0.0/0", 0, second, Some("192.0.2.9"));
    let plain = route("0.0.0.0/0", 0, Via::Nexthop(10));
    let with_source = Route {
        source: Some(ip("192.0.2.1")),
        ..plain.clone()
    };
    must(
        &mut world.near,
        [
            add_address(second, "192.0.2.1/24"),
            Operation::SetNexthop(hop(1, first, Some("192.0.2.254"))),
            Operation::SetNexthop(hop(2, second, Some("192.0.2.254"))),
            Operation::SetNexthop(group(10, &[1, 2])),
            Operation::AddRoute(theirs.clone()),
            Operation::AddRoute(plain.clone()),
        ],
    );
    world.far.set_link_up(far, false).unwrap();
    until(
        &mut world.near,
        |change| matches!(change, Change::Link(link) if link.index == first && !link.carrier),
    );
    for route in [with_source, plain] {
        must(&mut world.near, [Operation::ReplaceRoute(route.clone())]);
        assert_eq!(routes_to("0.0.0.0/0"), [route, theirs.clone()]);
    }
}

fn removing_hits_only_the_one_meant(mut world: World) {
    let (first, _) = two_paths(&mut world);
    let ours = route("0.0.0.0/0", 0, Via::Nexthop(1));
    let other_hop = route("0.0.0.0/0", 0, Via::Nexthop(2));
    let other_metric = route("0.0.0.0/0", 7, Via::Nexthop(1));
    let theirs = Route {
        protocol: SOMEBODY,
        ..ours.clone()
    };
    let plain = foreign("0.0.0.0/0", 0, first, Some("192.0.2.254"));
    let others = [other_hop, theirs, plain, other_metric];
    for route in &others {
        must(&mut world.near, [Operation::AddRoute(route.clone())]);
    }
    let before = routes_to("0.0.0.0/0");
    must(
        &mut world.near,
        [
            Operation::AddRoute(ours.clone()),
            Operation::RemoveRoute(ours.clone()),
            // Not there any more, and nothing else goes in its place.
            Operation::RemoveRoute(ours),
        ],
    );
    assert_eq!(routes_to("0.0.0.0/0"), before);
    assert_eq!(before.len(), others.len());
}

fn routes_of_ipv6(mut world: World) {
    let (first, _) = world.cable("ge0", "sw0");
    let (second, _) = world.cable("ge1", "sw1");
    let six = |id, index| {
        let mut nexthop = hop(id, index, Some("fe80::9"));
        if let ipmp_core::kernel::Hop::Link { family, .. } = &mut nexthop.hop {
            *family = ipmp_core::Family::Inet6;
        }
        Operation::SetNexthop(nexthop)
    };
    let theirs = foreign("::/0", 1024, first, Some("fe80::9"));
    let [one, two, both] = [1, 2, 10].map(|id| route("::/0", 1024, Via::Nexthop(id)));
    let mut kernel = world.near.observe().unwrap();
    must(
        &mut world.near,
        [
            six(1, first),
            six(2, second),
            Operation::SetNexthop(group(10, &[1, 2])),
            Operation::AddRoute(theirs.clone()),
            Operation::AddRoute(one),
            Operation::ReplaceRoute(two),
            Operation::ReplaceRoute(both.clone()),
        ],
    );
    keeps_step(&mut world.near, &mut kernel);
    assert_eq!(routes_to("::/0"), [theirs.clone(), both.clone()]);
    must(&mut world.near, [Operation::RemoveRoute(both)]);
    keeps_step(&mut world.near, &mut kernel);
    assert_eq!(routes_to("::/0"), [theirs]);
}

fn gateways_on_our_subnet_are_acceptable(mut world: World) {
    let (first, _) = world.cable("ge0", "sw0");
    let (second, _) = world.cable("ge1", "sw1");
    // Our on-link route is the only one to that subnet; another's default route goes through a
    // gateway there, on either link.
    must(
        &mut world.near,
        [
            add_address(first, "192.0.2.1/32"),
            Operation::SetNexthop(hop(1, first, None)),
            Operation::SetNexthop(hop(2, second, None)),
            Operation::SetNexthop(group(10, &[1, 2])),
            Operation::AddRoute(route("192.0.2.0/24", 0, Via::Nexthop(10))),
        ],
    );
    must(
        &mut world.near,
        [
            Operation::AddRoute(foreign("0.0.0.0/0", 1, first, Some("192.0.2.254"))),
            Operation::AddRoute(foreign("0.0.0.0/0", 2, second, Some("192.0.2.254"))),
        ],
    );
    let error = fails(
        &mut world.near,
        Operation::AddRoute(foreign("0.0.0.0/0", 3, first, Some("198.51.100.1"))),
    );
    assert_eq!(error.text, "Nexthop has invalid gateway");
    // A group of gateways is for routes that go further; the kernel takes that scope too.
    must(
        &mut world.near,
        [
            Operation::SetNexthop(hop(3, first, Some("192.0.2.254"))),
            Operation::SetNexthop(hop(4, second, Some("192.0.2.254"))),
            Operation::SetNexthop(group(11, &[3, 4])),
            Operation::AddRoute(route("203.0.113.0/24", 0, Via::Nexthop(11))),
        ],
    );
    assert_eq!(
        routes_to("203.0.113.0/24")[0].destination,
        net("203.0.113.0/24")
    );
}

/// The kernel takes a gateway on the second link of the group's subnet for a mismatch at first.
fn gateways_of_ipv6_on_the_subnet_of_a_group(mut world: World) {
    let (first, _) = world.cable("ge0", "sw0");
    let (second, _) = world.cable("ge1", "sw1");
    let hop6 = |id, index, gateway: Option<&str>| {
        let gateway = gateway.map(ip);
        let hop = Hop::Link {
            family: Family::Inet6,
            index,
            gateway,
        };
        Operation::SetNexthop(Nexthop {
            hop,
            ..group(id, &[])
        })
    };
    let gateway = Some("2001:db8::254");
    let ours = route("::/0", 1023, Via::Nexthop(6));
    must(
        &mut world.near,
        [
            add_address(first, "2001:db8::1/64"),
            add_address(second, "2001:db8::2/64"),
            hop6(1, first, None),
            hop6(2, second, None),
            Operation::SetNexthop(group(3, &[1, 2])),
            Operation::AddRoute(route("2001:db8::/64", 255, Via::Nexthop(3))),
            hop6(4, first, gateway),
            hop6(5, second, gateway),
            Operation::SetNexthop(group(6, &[4, 5])),
            Operation::AddRoute(ours.clone()),
        ],
    );
    assert_eq!(routes_to("::/0"), [ours]);
}
