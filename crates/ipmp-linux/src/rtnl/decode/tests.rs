use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteScope};

use super::super::wire::bytes_of;
use super::*;

fn message(kind: u16, payload: &[u8]) -> Message<'_> {
    Message {
        port: 0,
        kind,
        flags: 0,
        sequence: 0,
        payload,
    }
}

fn link_message() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = 3;
    message.header.link_layer_type = LinkLayerType::Ether;
    message.header.flags =
        LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Broadcast | LinkFlags::Multicast;
    message.attributes = vec![
        LinkAttribute::IfName("ge0".to_owned()),
        LinkAttribute::Mtu(1500),
        LinkAttribute::Address(vec![8, 0, 0x20, 1, 2, 3]),
        LinkAttribute::PermAddress(vec![8, 0, 0x20, 4, 5, 6]),
        LinkAttribute::CarrierDownCount(5),
    ];
    message
}

fn address_message() -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = 24;
    message.header.index = 3;
    message.attributes = vec![
        AddressAttribute::Address("192.0.2.9".parse().unwrap()),
        AddressAttribute::Local("192.0.2.1".parse().unwrap()),
        AddressAttribute::Label("ge0:1".to_owned()),
        AddressAttribute::Broadcast(Ipv4Addr::new(192, 0, 2, 255)),
        AddressAttribute::Flags(AddressFlags::Deprecated | AddressFlags::Noprefixroute),
        AddressAttribute::Protocol(AddressProtocol::Other(73)),
    ];
    message
}

fn route_message() -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = 24;
    message.header.table = 254;
    message.header.protocol = 16.into();
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![
        RouteAttribute::Table(254),
        RouteAttribute::Destination(IpAddr::from([192, 0, 2, 0]).into()),
        RouteAttribute::Priority(100),
        RouteAttribute::PrefSource(IpAddr::from([192, 0, 2, 1]).into()),
        RouteAttribute::Gateway(IpAddr::from([198, 51, 100, 1]).into()),
        RouteAttribute::Oif(3),
    ];
    message
}

fn link_of(message: &LinkMessage) -> Option<Told> {
    told(self::message(libc::RTM_NEWLINK, &bytes_of(message)))
}

fn route_of(message: &RouteMessage) -> Option<Told> {
    told(self::message(libc::RTM_NEWROUTE, &bytes_of(message)))
}

#[test]
fn a_link() {
    let expected = Link {
        index: 3,
        name: "ge0".parse().unwrap(),
        mac: Some(MacAddress([8, 0, 0x20, 1, 2, 3])),
        permanent_mac: Some(MacAddress([8, 0, 0x20, 4, 5, 6])),
        mtu: 1500,
        up: true,
        carrier: true,
        kind: LinkKind::Broadcast,
    };
    assert_eq!(link_of(&link_message()), Some(Told::Link(expected, 5)));
}

#[test]
fn kinds_of_links() {
    use LinkKind::{Broadcast, Loopback, Other};
    let kind = |change: fn(&mut LinkMessage)| {
        let mut message = link_message();
        change(&mut message);
        match link_of(&message) {
            Some(Told::Link(link, _)) => (link.kind, link.mac.is_some()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kind(|_| {}), (Broadcast, true));
    assert_eq!(kind(|m| m.header.flags |= LinkFlags::Loopback).0, Loopback);
    assert_eq!(kind(|m| m.header.flags |= LinkFlags::Noarp), (Other, true));
    assert_eq!(
        kind(|m| m.header.flags -= LinkFlags::Multicast),
        (Other, true)
    );
    let tunnel = |m: &mut LinkMessage| m.header.link_layer_type = LinkLayerType::Ipgre;
    assert_eq!(kind(tunnel), (Other, false));
}

#[test]
fn messages_that_are_not_about_a_links_state() {
    let mut bridge = link_message();
    bridge.header.interface_family = AddressFamily::Bridge;
    assert_eq!(link_of(&bridge), None);
    let gone = told(message(libc::RTM_DELLINK, &bytes_of(&bridge)));
    assert_eq!(gone, None);
    let mut wireless = link_message();
    wireless
        .attributes
        .retain(|a| !matches!(a, LinkAttribute::Mtu(_)));
    assert_eq!(link_of(&wireless), None);
    let gone = told(message(libc::RTM_DELLINK, &bytes_of(&wireless)));
    assert_eq!(gone, Some(Told::LinkGone(3)));
}

#[test]
fn one_attribute_that_cannot_be_read_hides_nothing() {
    let mut bytes = bytes_of(&link_message());
    // IFLA_OPERSTATE and IFLA_STATS64 with lengths nobody expects, and an unknown attribute.
    for kind in [16_u16, 23, 0x3fff] {
        bytes.extend_from_slice(&5_u16.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&[1, 0, 0, 0]);
    }
    let read = told(message(libc::RTM_NEWLINK, &bytes));
    assert_eq!(read, link_of(&link_message()));
}

#[test]
fn an_address() {
    let expected = Address {
        index: 3,
        address: InterfaceAddress::new("192.0.2.1".parse().unwrap(), 24),
        broadcast: Some(Ipv4Addr::new(192, 0, 2, 255)),
        label: Some("ge0:1".to_owned()),
        protocol: 73,
        deprecated: true,
        secondary: false,
        no_prefix_route: true,
        duplicate: false,
        dynamic: true,
        form: Form::default(),
    };
    let bytes = bytes_of(&address_message());
    assert_eq!(
        told(message(libc::RTM_NEWADDR, &bytes)),
        Some(Told::Address(expected.clone()))
    );
    assert_eq!(
        told(message(libc::RTM_DELADDR, &bytes)),
        Some(Told::AddressGone(3, expected.address))
    );
}

#[test]
fn a_route() {
    let expected = Route {
        table: 254,
        destination: InterfaceAddress::new("192.0.2.0".parse().unwrap(), 24),
        metric: 100,
        protocol: 16,
        via: Via::Link {
            index: 3,
            gateway: Some("198.51.100.1".parse().unwrap()),
        },
        source: Some("192.0.2.1".parse().unwrap()),
    };
    for table in [254, 100, 70_000] {
        let mut message = route_message();
        message.attributes.push(RouteAttribute::Table(table));
        let expected = Route {
            table,
            ..expected.clone()
        };
        assert_eq!(route_of(&message), Some(Told::Route(expected, false)));
    }
}

#[test]
fn ways_of_routes() {
    let via = |change: fn(&mut RouteMessage)| {
        let mut message = route_message();
        change(&mut message);
        match route_of(&message) {
            Some(Told::Route(route, _)) => Some(route.via),
            _ => None,
        }
    };
    let other = |m: &mut RouteMessage| {
        m.attributes
            .retain(|a| !matches!(a, RouteAttribute::Oif(_)));
    };
    assert_eq!(via(other), Some(Via::Other));
    let nexthop = |m: &mut RouteMessage| m.attributes.push(RouteAttribute::NhId(10));
    assert_eq!(via(nexthop), Some(Via::Nexthop(10)));
    for not_ours in [
        (|m| m.header.kind = RouteType::Local) as fn(&mut RouteMessage),
        |m| m.attributes.push(RouteAttribute::Table(255)),
        |m| m.header.tos = 8,
        |m| m.header.source_prefix_length = 8,
        |m| m.header.flags |= RouteFlags::Cloned,
        |m| m.header.address_family = AddressFamily::Mpls,
    ] {
        assert_eq!(via(not_ours), None);
    }
}

#[test]
fn broken_messages_do_no_harm() {
    for (kind, whole) in [
        (libc::RTM_NEWLINK, bytes_of(&link_message())),
        (libc::RTM_NEWADDR, bytes_of(&address_message())),
        (libc::RTM_NEWROUTE, bytes_of(&route_message())),
    ] {
        for length in 0..whole.len() {
            let _ = told(message(kind, &whole[..length]));
        }
        for position in 0..whole.len() {
            for value in [0, 1, 2, 3, 5, 0x7f, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[position] = value;
                let _ = told(message(kind, &broken));
            }
        }
    }
}
