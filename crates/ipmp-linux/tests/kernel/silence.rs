//! What the kernel changes without telling.

use std::process::Command;

use ipmp_core::kernel::{Change, PROTOCOL, Route, Sysctl, Via};
use ipmp_core::plan::{NewAddress, Operation};

use crate::world::{
    Test, World, add_address, group, hop, ip, keeps_step, must, name, net, new_address, route,
    routes_to, take, until,
};

pub(crate) const TESTS: &[Test] = &[
    ("carrier_loss_shrinks_groups", carrier_loss_shrinks_groups),
    (
        "the_last_carrier_takes_group_and_routes",
        the_last_carrier_takes_group_and_routes,
    ),
    (
        "a_link_set_down_takes_its_routes",
        a_link_set_down_takes_its_routes,
    ),
    (
        "a_preferred_source_takes_its_routes",
        a_preferred_source_takes_its_routes,
    ),
    (
        "a_route_that_somebody_replaces_is_missed",
        a_route_that_somebody_replaces_is_missed,
    ),
    (
        "ipv6_routes_that_join_are_seen",
        ipv6_routes_that_join_are_seen,
    ),
    (
        "replaced_nexthops_leave_no_gap",
        replaced_nexthops_leave_no_gap,
    ),
    (
        "promoted_addresses_are_told_of",
        promoted_addresses_are_told_of,
    ),
];

/// Cables ge0 and ge1 with nexthops 1 and 2, both in group 10, over which a subnet is reached.
fn grouped(world: &mut World) -> [(u32, u32); 2] {
    let cables = [world.cable("ge0", "sw0"), world.cable("ge1", "sw1")];
    let [(first, _), (second, _)] = cables;
    must(
        &mut world.near,
        [
            Operation::AddAddress(NewAddress {
                no_prefix_route: true,
                plain: None,
                ..new_address(first, "192.0.2.1/24")
            }),
            Operation::SetNexthop(hop(1, first, None)),
            Operation::SetNexthop(hop(2, second, None)),
            Operation::SetNexthop(group(10, &[1, 2])),
            Operation::AddRoute(route("192.0.2.0/24", 0, Via::Nexthop(10))),
        ],
    );
    cables
}

fn carrier_loss_shrinks_groups(mut world: World) {
    let [(first, far), _] = grouped(&mut world);
    let mut kernel = world.near.observe().unwrap();
    world.far.set_link_up(far, false).unwrap();
    let changes = until(
        &mut world.near,
        |change| matches!(change, Change::Link(link) if link.index == first && !link.carrier),
    );
    take(&mut kernel, changes);
    assert_eq!(kernel.nexthops[&10], group(10, &[2]));
    assert_eq!(world.near.observe().unwrap().nexthops, kernel.nexthops);
    keeps_step(&mut world.near, &mut kernel);
    // Back again, and the nexthop is not.
    world.far.set_link_up(far, true).unwrap();
    let changes = until(
        &mut world.near,
        |change| matches!(change, Change::Link(link) if link.index == first && link.carrier),
    );
    take(&mut kernel, changes);
    keeps_step(&mut world.near, &mut kernel);
    must(
        &mut world.near,
        [
            Operation::SetNexthop(hop(1, first, None)),
            Operation::SetNexthop(group(10, &[1, 2])),
        ],
    );
    keeps_step(&mut world.near, &mut kernel);
    assert_eq!(kernel.nexthops[&10], group(10, &[1, 2]));
}

fn the_last_carrier_takes_group_and_routes(mut world: World) {
    let cables = grouped(&mut world);
    let mut kernel = world.near.observe().unwrap();
    for (_, far) in cables {
        world.far.set_link_up(far, false).unwrap();
    }
    for (near, _) in cables {
        let changes = until(
            &mut world.near,
            |change| matches!(change, Change::Link(link) if link.index == near && !link.carrier),
        );
        take(&mut kernel, changes);
        if kernel.links.values().filter(|link| link.carrier).count() == 0 {
            break; // both losses came at once
        }
    }
    keeps_step(&mut world.near, &mut kernel);
    assert!(kernel.nexthops.is_empty());
    assert!(
        !kernel
            .routes
            .iter()
            .any(|route| matches!(route.via, Via::Nexthop(_)))
    );
}

fn a_link_set_down_takes_its_routes(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    must(
        &mut world.near,
        [
            add_address(index, "192.0.2.1/24"),
            Operation::AddRoute(route(
                "0.0.0.0/0",
                0,
                Via::Link {
                    index,
                    gateway: Some(ip("192.0.2.254")),
                },
            )),
        ],
    );
    let mut kernel = world.near.observe().unwrap();
    assert_eq!(
        kernel
            .routes
            .iter()
            .filter(|r| r.destination.ip.is_ipv4())
            .count(),
        2
    );
    world.near.set_link_up(index, false).unwrap();
    keeps_step(&mut world.near, &mut kernel);
    assert!(kernel.routes.is_empty());
    world.near.set_link_up(index, true).unwrap();
    keeps_step(&mut world.near, &mut kernel);
}

fn a_preferred_source_takes_its_routes(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    must(
        &mut world.near,
        [
            add_address(index, "192.0.2.1/24"),
            add_address(index, "198.51.100.1/32"),
            Operation::AddRoute(Route {
                source: Some(ip("198.51.100.1")),
                ..route(
                    "0.0.0.0/0",
                    0,
                    Via::Link {
                        index,
                        gateway: Some(ip("192.0.2.254")),
                    },
                )
            }),
        ],
    );
    world.near.observe().unwrap();
    must(
        &mut world.near,
        [Operation::RemoveAddress {
            index,
            address: net("198.51.100.1/32"),
        }],
    );
    // Nothing tells that the route is gone; so all has to be read.
    world.near.changes().unwrap_err();
    let mut kernel = world.near.observe().unwrap();
    assert!(
        !kernel
            .routes
            .iter()
            .any(|route| route.source == Some(ip("198.51.100.1")))
    );
    keeps_step(&mut world.near, &mut kernel);
}

fn promoted_addresses_are_told_of(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    let mut kernel = world.near.observe().unwrap();
    must(
        &mut world.near,
        [
            Operation::SetSysctl {
                index,
                interface: name("ge0"),
                sysctl: Sysctl::PromoteSecondaries,
                value: 1,
            },
            add_address(index, "192.0.2.1/24"),
            add_address(index, "192.0.2.2/24"),
        ],
    );
    keeps_step(&mut world.near, &mut kernel);
    let second = (index, net("192.0.2.2/24"));
    assert!(kernel.addresses[&second].secondary);
    must(
        &mut world.near,
        [Operation::RemoveAddress {
            index,
            address: net("192.0.2.1/24"),
        }],
    );
    keeps_step(&mut world.near, &mut kernel);
    assert!(!kernel.addresses[&second].secondary);
}

/// What somebody else does with `ip`.
fn ip_command(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split_whitespace())
        .status()
        .unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn a_route_that_somebody_replaces_is_missed(mut world: World) {
    let cables = grouped(&mut world);
    must(
        &mut world.near,
        [
            Operation::SetNexthop(hop(3, cables[0].0, Some("192.0.2.254"))),
            Operation::AddRoute(route("0.0.0.0/0", 0, Via::Nexthop(3))),
        ],
    );
    let defaults = |world: &mut World| {
        world.near.observe().unwrap();
        routes_to("0.0.0.0/0")
    };
    assert_eq!(defaults(&mut world)[0].protocol, PROTOCOL);
    // The notification names the new route only; that ours had to go is for us to find out.
    ip_command("route replace default via 192.0.2.9 dev ge0 onlink");
    world.near.changes().unwrap_err();
    let left = defaults(&mut world);
    assert_eq!(left.len(), 1);
    assert_ne!(left[0].protocol, PROTOCOL);
}

fn ipv6_routes_that_join_are_seen(mut world: World) {
    grouped(&mut world);
    let mut kernel = world.near.observe().unwrap();
    let mut step = |command: &str| {
        ip_command(command);
        match world.near.changes() {
            Ok(changes) => take(&mut kernel, changes),
            Err(_) => kernel = world.near.observe().unwrap(),
        }
        keeps_step(&mut world.near, &mut kernel);
    };
    step("-6 route add default via fe80::1 dev ge0");
    step("-6 route append default via fe80::2 dev ge1");
    step("-6 route append default via fe80::3 dev ge1");
    step("-6 route delete default via fe80::2 dev ge1");
    step("-6 route delete default via fe80::1 dev ge0");
    step("-6 route delete default via fe80::3 dev ge1");
}

fn replaced_nexthops_leave_no_gap(mut world: World) {
    let [(first, _), (second, _)] = grouped(&mut world);
    let mut kernel = world.near.observe().unwrap();
    for operation in [
        Operation::SetNexthop(group(10, &[2])),
        Operation::SetNexthop(group(10, &[1])),
        Operation::SetNexthop(hop(1, second, None)),
        Operation::RemoveNexthop(2),
        Operation::SetNexthop(hop(1, first, None)),
    ] {
        must(&mut world.near, [operation]);
        keeps_step(&mut world.near, &mut kernel);
    }
    // With the link its nexthops go, and with the last of them the group.
    world.near.delete_link(first).unwrap();
    keeps_step(&mut world.near, &mut kernel);
    assert!(kernel.nexthops.is_empty());
}
