use ipmp_core::InterfaceAddress;
use ipmp_core::kernel::{Address, Form, LinkKind, TABLE_MAIN};

use super::*;

fn link(up: bool, carrier: bool, losses: u32) -> Told {
    let link = Link {
        index: 3,
        name: "ge0".parse().unwrap(),
        mac: None,
        permanent_mac: None,
        mtu: 1500,
        up,
        carrier,
        kind: LinkKind::Broadcast,
    };
    Told::Link(link, losses)
}

fn route(destination: &str, protocol: u8, via: Via) -> Route {
    let (ip, prefix) = destination.split_once('/').unwrap();
    Route {
        table: TABLE_MAIN,
        destination: InterfaceAddress::new(ip.parse().unwrap(), prefix.parse().unwrap()),
        metric: 0,
        protocol,
        via,
        source: None,
    }
}

fn on_link() -> Via {
    Via::Link {
        index: 3,
        gateway: None,
    }
}

fn knowing(told: impl IntoIterator<Item = Told>) -> Memory {
    let mut memory = Memory::default();
    for told in told {
        assert_eq!(memory.notice(told).gap, None);
    }
    memory
}

#[test]
fn a_new_link_has_sysctls_to_be_read() {
    let mut memory = Memory::default();
    let then = memory.notice(link(true, true, 0));
    assert_eq!(then.new_link, Some((3, "ge0".parse().unwrap())));
    assert_eq!(memory.notice(link(true, false, 1)).new_link, None);
}

#[test]
fn a_carrier_lost_and_back_unseen_is_a_gap() {
    let mut memory = knowing([
        link(true, true, 0),
        link(true, false, 1),
        link(true, true, 1),
    ]);
    assert!(memory.notice(link(true, true, 2)).gap.is_some());
    assert_eq!(memory.notice(link(true, true, 2)).gap, None);
}

#[test]
fn a_link_set_down_takes_its_ipv4_routes() {
    let gone = route("192.0.2.0/24", 2, on_link());
    let six = route("2001:db8::/64", 2, on_link());
    let hop = route("0.0.0.0/0", 73, Via::Nexthop(1));
    let mut memory = knowing([
        link(true, true, 0),
        Told::Route(gone.clone(), false),
        Told::Route(six, false),
        Told::Route(hop, false),
    ]);
    // Losing the carrier does not.
    assert_eq!(memory.notice(link(true, false, 1)).changes.len(), 1);
    let then = memory.notice(link(false, false, 1));
    assert_eq!(then.gap, None);
    assert_eq!(then.changes[1..], [Change::RouteGone(gone.clone())]);
    // And the link's end likewise, before it is told of.
    memory.notice(Told::Route(gone.clone(), false));
    let then = memory.notice(Told::LinkGone(3));
    assert_eq!(then.changes, [Change::RouteGone(gone), Change::LinkGone(3)]);
}

#[test]
fn a_link_without_addresses_has_no_ipv4_routes() {
    let address = |ip: &str| Address {
        index: 3,
        address: InterfaceAddress::new(ip.parse().unwrap(), 24),
        broadcast: None,
        label: None,
        protocol: 0,
        deprecated: false,
        secondary: false,
        no_prefix_route: false,
        duplicate: false,
        dynamic: false,
        form: Form::default(),
    };
    let gone = |ip| Told::AddressGone(3, address(ip).address);
    let default = route("0.0.0.0/0", 3, on_link());
    let mut memory = knowing([
        link(true, true, 0),
        Told::Address(address("192.0.2.1")),
        Told::Address(address("192.0.2.2")),
        Told::Address(address("2001:db8::1")),
        Told::Route(default.clone(), false),
    ]);
    assert_eq!(memory.notice(gone("192.0.2.2")).changes.len(), 1);
    let then = memory.notice(gone("192.0.2.1"));
    assert_eq!(then.changes[1..], [Change::RouteGone(default)]);
}

#[test]
fn a_multipath_route_may_lose_a_path_unseen() {
    let multipath = route("0.0.0.0/0", 4, Via::Other);
    let mut memory = knowing([link(true, true, 0), Told::Route(multipath, false)]);
    assert!(memory.notice(link(false, false, 1)).gap.is_some());
}

#[test]
fn routes_that_take_others_places() {
    let known = route("0.0.0.0/0", 4, Via::Nexthop(1));
    let new = route("0.0.0.0/0", 4, Via::Nexthop(2));
    let mut memory = knowing([Told::Route(known.clone(), false)]);
    // The kernel tells of the routes through a nexthop again when that is replaced.
    assert_eq!(memory.notice(Told::Route(known.clone(), true)).gap, None);
    assert!(memory.notice(Told::Route(new.clone(), true)).gap.is_some());
    assert_eq!(memory.notice(Told::RouteGone(new.clone())).gap, None);
    assert!(memory.notice(Told::RouteGone(new)).gap.is_some());

    let single = route("::/0", 4, on_link());
    let joined = route("::/0", 4, Via::Other);
    let mut memory = knowing([Told::Route(single, false)]);
    assert!(memory.notice(Told::Route(joined, false)).gap.is_some());
}

#[test]
fn a_preferred_source_that_goes_is_a_gap() {
    let ip = "192.0.2.1".parse().unwrap();
    let sourced = |protocol| Route {
        source: Some(ip),
        ..route("0.0.0.0/0", protocol, on_link())
    };
    let gone = || Told::AddressGone(3, InterfaceAddress::new(ip, 24));
    let mut memory = knowing([Told::Route(sourced(PROTOCOL_KERNEL), false)]);
    assert_eq!(memory.notice(gone()).gap, None);
    memory.notice(Told::Route(sourced(4), false));
    assert!(memory.notice(gone()).gap.is_some());
}

#[test]
fn rivals_are_ours_of_the_same_slot() {
    let ours = [1, 2].map(|id| route("0.0.0.0/0", 73, Via::Nexthop(id)));
    let others = [
        route("0.0.0.0/0", 4, Via::Nexthop(1)),
        route("192.0.2.0/24", 73, Via::Nexthop(1)),
        Route {
            metric: 1,
            ..ours[0].clone()
        },
        Route {
            table: 100,
            ..ours[0].clone()
        },
    ];
    let all = ours.iter().chain(&others).cloned();
    let memory = knowing(all.map(|route| Told::Route(route, false)));
    assert_eq!(memory.rivals(&ours[1]), [ours[0].clone()]);
    assert!(!memory.is_mistakable(&ours[0]));
    // Only the one of metric 1 is there through nexthop 1, which "metric 0" would hit.
    let memory = knowing([Told::Route(others[2].clone(), false)]);
    assert!(memory.is_mistakable(&ours[0]));
    assert!(!memory.is_mistakable(&ours[1]));
}
