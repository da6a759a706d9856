//! Neighbour solicitations, and the advertisements that answer them.
//!
//! Answers to `::` go to all nodes, whose group every link with IPv6 is in.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use etherparse::icmpv6::{
    NdpOptionSlice, NdpOptionsIterator, NeighborAdvertisementHeader, TYPE_NEIGHBOR_ADVERTISEMENT,
};
use etherparse::{Icmpv6Type, PacketBuilder};
use ipmp_core::detect::{Advertisement, Reply, Solicitation};
use ipmp_core::{Family, MacAddress};
use nix::errno::Errno;

use super::filter::{self, Addresses, last_word};
use super::inbox::{Datagram, ROOM_FOR_ANSWERS};
use super::link::LinkSocket;
use crate::packet::HOP_LIMIT;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A socket for the neighbour solicitations of all interfaces.
#[derive(Debug)]
pub struct NeighbourSocket {
    link: LinkSocket,
    /// The links that were asked on, each with whether somebody asked: `::` is nobody.
    asked: BTreeMap<u32, Asker>,
    /// Whose advertisements pass the filter.
    targets: Addresses,
    /// Whether unsolicited ones do, as nobody asked somewhere: he cannot be told that he has.
    unsolicited: bool,
}

/// How a link's neighbours were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) mac: MacAddress,
    /// Who asked; without it answers go to all nodes.
    pub(super) source: Option<Ipv6Addr>,
}

impl NeighbourSocket {
    /// Opens the sockets. Fails without `CAP_NET_RAW`, or if the kernel lacks IPv6.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            link: LinkSocket::open(Family::Inet6, ROOM_FOR_ANSWERS)?,
            asked: BTreeMap::new(),
            targets: Addresses::none(),
            unsolicited: false,
        })
    }

    /// Sends solicitations for IPv6 targets. `unsent` is told which ones have not left and why: the
    /// link is gone or down, or its queue is full.
    pub fn send_all(
        &mut self,
        probes: &[&Solicitation],
        unsent: impl FnMut(&Solicitation, io::Error),
    ) {
        let (link, asked) = (&self.link, &mut self.asked);
        let (targets, unsolicited) = (&mut self.targets, &mut self.unsolicited);
        let letter = |probe: &Solicitation| {
            let (IpAddr::V6(target), None | Some(IpAddr::V6(_))) = (probe.target, probe.source)
            else {
                return Err(Errno::EAFNOSUPPORT.into());
            };
            let source = match probe.source {
                Some(IpAddr::V6(source)) => Some(source),
                _ => None,
            };
            let asker = Asker {
                mac: probe.mac,
                source,
            };
            let by_nobody = if asked.get(&probe.index) == Some(&asker) {
                *unsolicited
            } else {
                let mut others = asked.iter().filter(|(index, _)| **index != probe.index);
                source.is_none() || others.any(|(_, other)| other.source.is_none())
            };
            let more = targets.with(last_word(target));
            if more.is_some() || by_nobody != *unsolicited {
                let more = more.unwrap_or_else(|| targets.clone());
                *targets = link.pass(more, |targets| {
                    filter::neighbour_advertisements(targets, !by_nobody)
                })?;
                *unsolicited = by_nobody;
            }
            let frame = solicitation(probe.mac, source, target)?;
            let letter = link.letter(probe.index, frame)?;
            asked.insert(probe.index, asker);
            Ok(letter)
        };
        link.send_all(probes, letter, unsent);
    }

    /// Adds the advertisements that are there, at most one batch. Tells whether there may be more.
    pub fn receive(&mut self, replies: &mut Vec<Reply>) -> bool {
        let asked = &self.asked;
        let batch = self.link.receive(|datagram| {
            let asked = asked.get(&datagram.index);
            let told = asked.and_then(|&asked| advertisement(datagram, asked));
            replies.extend(told.map(Reply::Advertisement));
        });
        batch.is_full()
    }

    /// Forgets a link: advertisements on it are not asked for any more.
    pub fn forget(&mut self, index: u32) {
        self.asked.remove(&index);
    }
}

impl AsFd for NeighbourSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

/// "Who has this address?" Without a source it is the question of duplicate address detection, which
/// must not tell a hardware address (RFC 4861 section 4.3).
pub(super) fn solicitation(
    mac: MacAddress,
    source: Option<Ipv6Addr>,
    target: Ipv6Addr,
) -> io::Result<Vec<u8>> {
    let mut body = target.octets().to_vec();
    if source.is_some() {
        // Option 1, source link-layer address, 1 * 8 bytes long.
        body.extend_from_slice(&[1, 1]);
        body.extend_from_slice(&mac.0);
    }
    let [.., a, b, c] = target.octets();
    // The solicited-node group, and where Ethernet carries it (RFC 4291 section 2.7.1, RFC 2464
    // section 7).
    let group = Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(a),
        u16::from_be_bytes([b, c]),
    );
    let source = source.unwrap_or(Ipv6Addr::UNSPECIFIED);
    let frame = PacketBuilder::ethernet2(mac.0, [0x33, 0x33, 0xff, a, b, c])
        .ipv6(source.octets(), group.octets(), HOP_LIMIT)
        .icmpv6(Icmpv6Type::NeighborSolicitation);
    let mut bytes = Vec::with_capacity(96);
    frame.write(&mut bytes, &body).map_err(io::Error::other)?;
    Ok(bytes)
}

/// The advertisement that answers who asked so; `None` if the packet is anything else, or its options
/// are not sound.
pub(super) fn advertisement(datagram: &Datagram<'_>, asked: Asker) -> Option<Advertisement> {
    let heard = Heard::in_packet(datagram)?;
    let is_answer = match asked.source {
        Some(source) => heard.solicited && datagram.destination == Some(source.into()),
        // Nobody can be told that he has asked.
        None => !heard.solicited && datagram.destination == Some(ALL_NODES.into()),
    };
    (is_answer && heard.mac != asked.mac).then_some(Advertisement {
        index: datagram.index,
        target: heard.target.into(),
        mac: heard.mac,
        received: datagram.received,
    })
}

/// A neighbour advertisement that tells a hardware address.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) solicited: bool,
    pub(super) target: Ipv6Addr,
    pub(super) mac: MacAddress,
}

impl Heard {
    /// The advertisement in a packet; `None` if that is anything else, came from another link (RFC 4861
    /// section 7.1.2), or tells none. It may not be missing in the answer to a multicast (section 4.4).
    pub(super) fn in_packet(datagram: &Datagram<'_>) -> Option<Self> {
        let (&[kind, code, _, _, f0, f1, f2, f3], rest) = datagram.bytes.split_first_chunk()?;
        let (&target, options) = rest.split_first_chunk::<16>()?;
        let target = Ipv6Addr::from(target);
        if kind != TYPE_NEIGHBOR_ADVERTISEMENT
            || code != 0
            || datagram.hop_limit != Some(HOP_LIMIT.into())
            || target.is_multicast()
        {
            return None;
        }
        let solicited = NeighborAdvertisementHeader::from_bytes([f0, f1, f2, f3]).solicited;
        if solicited && datagram.destination.is_some_and(|to| to.is_multicast()) {
            return None;
        }
        let mut told = None;
        for option in NdpOptionsIterator::from_slice(options) {
            if let NdpOptionSlice::TargetLinkLayerAddress(address) = option.ok()? {
                told = Some(MacAddress(address.link_layer_address().try_into().ok()?));
            }
        }
        Some(Self {
            solicited,
            target,
            mac: told.filter(|mac| mac.is_unicast())?,
        })
    }
}

#[cfg(test)]
mod tests;
