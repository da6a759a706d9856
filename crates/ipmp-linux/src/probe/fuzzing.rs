//! Doors to the packet parsers, for fuzz targets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipmp_core::detect::Reply;
use ipmp_core::{Claim, Family, MacAddress, Time};

use super::inbox::Datagram;
use super::neighbour::Asker;
use super::{arp, claims, echo, neighbour};

const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const OWN: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
const THEM: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));
const ALL_NODES: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));

/// A packet as it comes off a socket.
fn datagram(bytes: &[u8], source: IpAddr, destination: IpAddr) -> Datagram<'_> {
    Datagram {
        bytes,
        index: 2,
        source: Some(source),
        destination: Some(destination),
        hop_limit: Some(255),
        received: Time::new(Duration::from_secs(1)),
    }
}

/// What the parser of each family takes for a claim in a packet.
pub(crate) fn claims(bytes: &[u8]) -> Vec<Claim> {
    let datagram = datagram(bytes, THEM, ALL_NODES);
    let claims = Family::ALL.map(|family| claims::claim(&datagram, family));
    claims.into_iter().flatten().collect()
}

/// What each parser takes for an answer in a packet.
pub(crate) fn answers(bytes: &[u8]) -> Vec<Reply> {
    let v4 = datagram(
        bytes,
        Ipv4Addr::new(192, 0, 2, 2).into(),
        Ipv4Addr::new(192, 0, 2, 1).into(),
    );
    let v6 = datagram(bytes, THEM, OWN);
    let to_all = datagram(bytes, THEM, ALL_NODES);
    let asked_by = |source| Asker { mac: MAC, source };
    let own = match OWN {
        IpAddr::V6(own) => Some(own),
        IpAddr::V4(_) => None,
    };
    let echoes = [
        echo::echo_reply(&v4, Family::Inet),
        echo::echo_reply(&v6, Family::Inet6),
    ];
    let advertisements = [
        arp::advertisement(&v4, MAC),
        neighbour::advertisement(&v6, asked_by(own)),
        neighbour::advertisement(&to_all, asked_by(None)),
    ];
    let echoes = echoes.into_iter().flatten().map(Reply::Echo);
    let advertisements = advertisements.into_iter().flatten();
    echoes
        .chain(advertisements.map(Reply::Advertisement))
        .collect()
}
