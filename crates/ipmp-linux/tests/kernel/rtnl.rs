//! Operations, and what is to be seen of them afterwards.

use std::net::IpAddr;

use ipmp_core::kernel::{Change, Hop, LinkKind, Nexthop, PROTOCOL, Sysctl, Via};
use ipmp_core::plan::{NewAddress, Operation, Plan};
use ipmp_core::{Family, MacAddress};
use ipmp_linux::netns::NetNs;
use ipmp_linux::rtnl::{Rtnl, VethEnd};
use nix::libc;
use std::os::fd::AsFd;

use crate::world::{
    Test, World, add_address, end, fails, group, hop, keeps_step, must, name, net, new_address,
    route, take, until,
};

pub(crate) const TESTS: &[Test] = &[
    ("every_operation_is_seen", every_operation_is_seen),
    (
        "addresses_keep_what_they_are_given",
        addresses_keep_what_they_are_given,
    ),
    (
        "addresses_are_deprecated_in_place",
        addresses_are_deprecated_in_place,
    ),
    (
        "changes_are_there_when_the_result_is",
        changes_are_there_when_the_result_is,
    ),
    (
        "what_is_so_already_is_success",
        what_is_so_already_is_success,
    ),
    ("the_kernel_says_why", the_kernel_says_why),
    (
        "one_failure_does_not_stop_the_rest",
        one_failure_does_not_stop_the_rest,
    ),
    ("a_full_buffer_is_an_overrun", a_full_buffer_is_an_overrun),
    ("links_come_move_and_go", links_come_move_and_go),
    ("thousands_of_operations", thousands_of_operations),
];

fn every_operation_is_seen(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    let mut kernel = world.near.observe().unwrap();
    let six = Nexthop {
        id: 3,
        protocol: PROTOCOL,
        hop: Hop::Link {
            family: Family::Inet6,
            index,
            gateway: Some("fe80::1".parse().unwrap()),
        },
    };
    let on_link = route("192.0.2.0/24", 0, Via::Nexthop(10));
    let default = route("0.0.0.0/0", 5, Via::Nexthop(2));
    let default6 = route("::/0", 100, Via::Nexthop(3));
    let mac = MacAddress([2, 0, 0, 0, 0, 9]);
    for operation in [
        add_address(index, "192.0.2.1/24"),
        add_address(index, "2001:db8::1/64"),
        Operation::SetNexthop(hop(1, index, None)),
        Operation::SetNexthop(group(10, &[1])),
        Operation::SetNexthop(hop(2, index, Some("192.0.2.254"))),
        Operation::SetNexthop(hop(2, index, Some("192.0.2.253"))),
        Operation::SetNexthop(six),
        Operation::AddRoute(on_link.clone()),
        Operation::AddRoute(default.clone()),
        Operation::AddRoute(default6.clone()),
        Operation::SetMtu { index, mtu: 1400 },
        Operation::SetMac { index, mac },
        Operation::SetSysctl {
            index,
            interface: name("ge0"),
            sysctl: Sysctl::ArpAnnounce,
            value: 2,
        },
        Operation::RemoveRoute(default6),
        Operation::RemoveRoute(on_link.clone()),
        Operation::AddRoute(on_link),
        Operation::RemoveNexthop(1),
        Operation::RemoveAddress {
            index,
            address: net("2001:db8::1/64"),
        },
        Operation::RemoveAddress {
            index,
            address: net("192.0.2.1/24"),
        },
        Operation::SetUp { index, up: false },
        Operation::SetUp { index, up: true },
    ] {
        let before = kernel.clone();
        must(&mut world.near, [operation.clone()]);
        keeps_step(&mut world.near, &mut kernel);
        assert_ne!(before, kernel, "{operation}");
    }
    let link = &kernel.links[&index];
    assert_eq!((link.mtu, link.mac), (1400, Some(mac)));
    assert_eq!(link.kind, LinkKind::Broadcast);
    assert_eq!(kernel.sysctls[&(index, Sysctl::ArpAnnounce)], 2);
    let lo = kernel.link(&name("lo")).unwrap();
    assert_eq!(lo.kind, LinkKind::Loopback);
}

fn addresses_keep_what_they_are_given(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    let new = NewAddress {
        broadcast: Some("192.0.2.255".parse().unwrap()),
        label: Some("ge0:3".to_owned()),
        deprecated: true,
        no_prefix_route: true,
        plain: None,
        ..new_address(index, "192.0.2.1/24")
    };
    let second = new_address(index, "192.0.2.2/24");
    let six = NewAddress {
        deprecated: true,
        no_prefix_route: true,
        plain: None,
        ..new_address(index, "2001:db8::1/64")
    };
    must(
        &mut world.near,
        [new.clone(), second.clone(), six.clone()].map(Operation::AddAddress),
    );
    let kernel = world.near.observe().unwrap();
    let got = &kernel.addresses[&(index, new.address)];
    assert_eq!(got.broadcast, new.broadcast);
    assert_eq!(got.label, new.label);
    assert_eq!(got.protocol, PROTOCOL);
    assert!(got.deprecated && got.no_prefix_route && !got.secondary && !got.dynamic);
    let got = &kernel.addresses[&(index, second.address)];
    assert!(!got.deprecated && !got.no_prefix_route && got.secondary);
    assert_eq!(got.label.as_deref(), Some("ge0"));
    let got = &kernel.addresses[&(index, six.address)];
    assert!(got.deprecated && got.no_prefix_route && !got.duplicate && !got.dynamic);
    assert_eq!(got.protocol, PROTOCOL);
    // None has brought a route: neither those told not to, nor a secondary one.
    let mut routes = kernel.routes.iter();
    assert!(routes.all(|route| route.destination.is_link_local6()));
}

fn addresses_are_deprecated_in_place(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    let mut kernel = world.near.observe().unwrap();
    for text in ["192.0.2.1/24", "2001:db8::1/64"] {
        for deprecated in [false, true, false, true] {
            let new = NewAddress {
                deprecated,
                no_prefix_route: true,
                plain: None,
                ..new_address(index, text)
            };
            must(&mut world.near, [Operation::AddAddress(new)]);
            keeps_step(&mut world.near, &mut kernel);
            let address = &kernel.addresses[&(index, net(text))];
            assert_eq!(address.deprecated, deprecated, "{text}");
            assert!(!address.dynamic && address.no_prefix_route, "{text}");
        }
    }
}

fn changes_are_there_when_the_result_is(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    world.near.observe().unwrap();
    must(&mut world.near, [add_address(index, "192.0.2.1/24")]);
    let changes = world.near.changes().unwrap();
    assert!(
        changes.iter().any(|change| {
            matches!(change, Change::Address(a) if a.address == net("192.0.2.1/24"))
        }),
        "{changes:?}"
    );
}

fn what_is_so_already_is_success(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    let on_link = route("192.0.2.0/24", 0, Via::Nexthop(1));
    let on_link6 = route("2001:db8::/64", 50, Via::Nexthop(2));
    let mut six = hop(2, index, None);
    six.hop = Hop::Link {
        family: Family::Inet6,
        index,
        gateway: None,
    };
    let there = [
        add_address(index, "192.0.2.1/32"),
        add_address(index, "2001:db8::1/128"),
        Operation::SetNexthop(hop(1, index, None)),
        Operation::SetNexthop(six),
        Operation::AddRoute(on_link.clone()),
        Operation::AddRoute(on_link6.clone()),
        Operation::ReplaceRoute(on_link.clone()),
        Operation::ReplaceRoute(on_link6.clone()),
    ];
    must(&mut world.near, there.clone());
    must(&mut world.near, there);
    let gone = [
        Operation::RemoveRoute(on_link.clone()),
        Operation::RemoveRoute(on_link6.clone()),
        Operation::RemoveRoute(on_link.clone()),
        Operation::RemoveRoute(on_link6.clone()),
        Operation::RemoveNexthop(1),
        Operation::RemoveNexthop(2),
        Operation::RemoveRoute(on_link),
        Operation::RemoveRoute(on_link6),
        Operation::RemoveAddress {
            index,
            address: net("192.0.2.1/32"),
        },
        Operation::RemoveAddress {
            index,
            address: net("2001:db8::1/128"),
        },
    ];
    must(&mut world.near, gone.clone());
    must(&mut world.near, gone);
    for address in ["192.0.2.1/24", "2001:db8::1/64"] {
        must(
            &mut world.near,
            [Operation::RemoveAddress {
                index: 9999,
                address: net(address),
            }],
        );
    }
}

fn the_kernel_says_why(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    let error = fails(
        &mut world.near,
        Operation::AddRoute(route("192.0.2.0/24", 0, Via::Nexthop(77))),
    );
    assert_eq!(error.errno, libc::EINVAL);
    assert_eq!(error.text, "Nexthop id does not exist");
    world.near.set_link_up(index, false).unwrap();
    let error = fails(&mut world.near, Operation::SetNexthop(hop(1, index, None)));
    assert_eq!(error.errno, libc::ENETDOWN);
    assert_eq!(error.text, "Nexthop device is not up");
    // Nothing in the kernel's own words: the C library's.
    let error = fails(&mut world.near, add_address(9999, "192.0.2.1/24"));
    assert_eq!(error.errno, libc::ENODEV);
    assert!(!error.text.is_empty(), "{error:?}");
    let error = fails(
        &mut world.near,
        Operation::SetSysctl {
            index: 9999,
            interface: name("none"),
            sysctl: Sysctl::RpFilter,
            value: 2,
        },
    );
    assert_eq!(error.errno, libc::ENOENT);
    let refused = world.near.delete_link(9999).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cannot delete link 9999: No such device"
    );
}

fn one_failure_does_not_stop_the_rest(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    let plan = Plan {
        operations: vec![
            add_address(index, "192.0.2.1/24"),
            add_address(9999, "192.0.2.2/24"),
            Operation::AddRoute(route("0.0.0.0/0", 0, Via::Nexthop(77))),
            add_address(index, "192.0.2.3/24"),
        ],
    };
    let done: Vec<bool> = world.near.apply(&plan).iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, false, false, true]);
}

fn a_full_buffer_is_an_overrun(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    // The kernel gives a little more than that, room for a handful of messages.
    let mut small = Rtnl::with_receive_buffer(1).unwrap();
    small.observe().unwrap();
    let addresses = |range: std::ops::Range<u8>| {
        range.map(move |i| add_address(index, &format!("192.0.2.{i}/32")))
    };
    must(&mut world.near, addresses(1..100));
    let overrun = small.changes().unwrap_err();
    assert_eq!(
        overrun.to_string(),
        "kernel notifications are incomplete: the receive buffer was full"
    );
    let mut kernel = small.observe().unwrap();
    assert_eq!(
        kernel
            .addresses_on(index)
            .filter(|a| a.protocol == PROTOCOL)
            .count(),
        99
    );
    must(&mut world.near, addresses(100..101));
    keeps_step(&mut small, &mut kernel);

    // Whose acknowledgements are lost, the operations have failed as far as anyone knows.
    let plan = Plan {
        operations: addresses(101..164).collect(),
    };
    let results = small.apply(&plan);
    assert!(
        results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .any(|error| error.errno == libc::ENOBUFS),
        "{results:?}"
    );
    small.changes().unwrap_err();
    let kernel = small.observe().unwrap();
    assert_eq!(
        kernel
            .addresses_on(index)
            .filter(|a| a.protocol == PROTOCOL)
            .count(),
        163
    );
}

fn links_come_move_and_go(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    let mut kernel = world.near.observe().unwrap();
    world.near.rename_link(index, &name("net7")).unwrap();
    keeps_step(&mut world.near, &mut kernel);
    assert_eq!(kernel.links[&index].name, name("net7"));
    assert_eq!(world.near.link_index(&name("ge0")).unwrap(), None);

    let mac = MacAddress([2, 0, 0, 0, 0, 7]);
    world.near.set_mac(index, mac).unwrap();
    keeps_step(&mut world.near, &mut kernel);
    assert_eq!(kernel.links[&index].mac, Some(mac));

    let elsewhere = NetNs::create().unwrap();
    world.near.move_link(index, elsewhere.as_fd()).unwrap();
    let changes = until(&mut world.near, |change| *change == Change::LinkGone(index));
    take(&mut kernel, changes);
    keeps_step(&mut world.near, &mut kernel);

    // A new link comes with its sysctls.
    let here = NetNs::current().unwrap();
    let (a, b) = (name("ge1"), name("sw1"));
    world
        .near
        .create_veth(
            &VethEnd {
                mac: Some(mac),
                ..end(&a, here.as_fd())
            },
            &end(&b, world.far_namespace.as_fd()),
        )
        .unwrap();
    keeps_step(&mut world.near, &mut kernel);
    let made = kernel.link(&a).unwrap();
    assert_eq!(made.mac, Some(mac));
    assert!(
        kernel
            .sysctls
            .contains_key(&(made.index, Sysctl::ArpIgnore))
    );
    let made = made.index;
    world.near.delete_link(made).unwrap();
    keeps_step(&mut world.near, &mut kernel);
    assert!(!kernel.links.contains_key(&made));
    assert_eq!(world.far.link_index(&b).unwrap(), None);
}

fn thousands_of_operations(mut world: World) {
    let (index, _) = world.cable("ge0", "sw0");
    let mut kernel = world.near.observe().unwrap();
    let addresses: Vec<_> = (0..2000_u16)
        .map(|i| format!("10.0.{}.{}/32", i / 250, i % 250))
        .collect();
    must(
        &mut world.near,
        addresses.iter().map(|address| add_address(index, address)),
    );
    keeps_step(&mut world.near, &mut kernel);
    let count = |kernel: &ipmp_core::Kernel| {
        kernel
            .addresses_on(index)
            .filter(|a| matches!(a.address.ip, IpAddr::V4(_)))
            .count()
    };
    assert_eq!(count(&kernel), addresses.len());
    must(
        &mut world.near,
        addresses.iter().map(|address| Operation::RemoveAddress {
            index,
            address: net(address),
        }),
    );
    keeps_step(&mut world.near, &mut kernel);
    assert_eq!(count(&kernel), 0);
}
