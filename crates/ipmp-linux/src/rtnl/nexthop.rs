//! Nexthop objects on the wire (`linux/nexthop.h`, kernel 5.3 and later). No netlink crate knows them.
//!
//! ```text
//! struct nhmsg { u8 family, scope, protocol, reserved; u32 flags; }     then attributes:
//! NHA_ID u32 | NHA_GROUP [{ u32 id; u8 weight - 1; u8 reserved; u16 reserved }] | NHA_OIF u32 | NHA_GATEWAY address
//! ```

use std::net::IpAddr;

use ipmp_core::Family;
use ipmp_core::kernel::{Hop, Nexthop};
use netlink_packet_core::{DefaultNla, NlasIterator};
use nix::libc;

use super::decode::{ip_of, u32_of};
use super::wire::bytes_of;

/// `RTM_NEWNEXTHOP`.
pub(super) const NEW: u16 = 104;
/// `RTM_DELNEXTHOP`.
pub(super) const GONE: u16 = 105;
/// `RTM_GETNEXTHOP`.
pub(super) const READ: u16 = 106;

const ID: u16 = 1;
const GROUP: u16 = 2;
const LINK: u16 = 5;
const GATEWAY: u16 = 6;

/// `RTNH_F_ONLINK`: the gateway is on the link, whatever the routes say.
const ON_LINK: u32 = 4;

/// Length of `struct nhmsg`.
const HEADER: usize = 8;

const INET: u8 = 2;
const INET6: u8 = 10;
const _: () = assert!(libc::AF_INET == 2 && libc::AF_INET6 == 10);

/// Why the kernel is to believe that a gateway can be reached over its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// We say so: there may be no on-link route yet.
    Asserted,
    /// A route says so.
    Routed,
}

/// The body of a request that makes or replaces a nexthop.
pub(super) fn set(nexthop: &Nexthop, reach: Reach) -> Vec<u8> {
    let (family, flags) = match &nexthop.hop {
        Hop::Link {
            family, gateway, ..
        } => (
            match family {
                Family::Inet => INET,
                Family::Inet6 => INET6,
            },
            if gateway.is_some() && reach == Reach::Asserted {
                ON_LINK
            } else {
                0
            },
        ),
        Hop::Group(_) => (0, 0),
    };
    let mut body = header(family, nexthop.protocol, flags);
    push(&mut body, ID, nexthop.id.to_ne_bytes().to_vec());
    match &nexthop.hop {
        Hop::Link { index, gateway, .. } => {
            push(&mut body, LINK, index.to_ne_bytes().to_vec());
            match gateway {
                Some(IpAddr::V4(ip)) => push(&mut body, GATEWAY, ip.octets().to_vec()),
                Some(IpAddr::V6(ip)) => push(&mut body, GATEWAY, ip.octets().to_vec()),
                None => {}
            }
        }
        Hop::Group(members) => {
            let entries = members.iter().flat_map(|id| {
                let [a, b, c, d] = id.to_ne_bytes();
                [a, b, c, d, 0, 0, 0, 0]
            });
            push(&mut body, GROUP, entries.collect());
        }
    }
    body
}

/// The body of a request that removes a nexthop.
pub(super) fn remove(id: u32) -> Vec<u8> {
    let mut body = header(0, 0, 0);
    push(&mut body, ID, id.to_ne_bytes().to_vec());
    body
}

/// The body of a request for all nexthops.
pub(super) fn all() -> Vec<u8> {
    header(0, 0, 0)
}

/// Reads what the kernel says about a nexthop. Blackholes and encapsulations are none of ours and come
/// out as an empty group: their numbers must be known to be taken.
pub(super) fn parse(payload: &[u8]) -> Option<Nexthop> {
    let (&[family, _, protocol, ..], attributes) = payload.split_first_chunk::<HEADER>()?;
    let mut id = None;
    let mut group = None;
    let mut link = None;
    let mut gateway = None;
    for attribute in NlasIterator::new(attributes).map_while(Result::ok) {
        let value = attribute.value();
        match attribute.kind() {
            ID => id = u32_of(value),
            GROUP => group = Some(members(value)),
            LINK => link = u32_of(value),
            GATEWAY => gateway = ip_of(value),
            _ => {}
        }
    }
    let family = match family {
        INET => Some(Family::Inet),
        INET6 => Some(Family::Inet6),
        _ => None,
    };
    let hop = match (group, link, family) {
        (Some(members), ..) => Hop::Group(members),
        (None, Some(index), Some(family)) => Hop::Link {
            family,
            index,
            gateway,
        },
        _ => Hop::Group(Vec::new()),
    };
    Some(Nexthop {
        id: id?,
        protocol,
        hop,
    })
}

fn members(value: &[u8]) -> Vec<u32> {
    value
        .chunks_exact(8)
        .filter_map(|entry| u32_of(entry.get(..4)?))
        .collect()
}

fn header(family: u8, protocol: u8, flags: u32) -> Vec<u8> {
    let [a, b, c, d] = flags.to_ne_bytes();
    vec![family, 0, protocol, 0, a, b, c, d]
}

fn push(body: &mut Vec<u8>, kind: u16, value: Vec<u8>) {
    body.extend_from_slice(&bytes_of(&DefaultNla::new(kind, value)));
}

#[cfg(test)]
mod tests;
