//! Neighbour solicitations, and the advertisements that answer them.
//!
//! What is sent are frames, so that a link without any address can ask. What is received comes from a
//! raw `ICMPv6` socket: the kernel has checked the checksum, and only `ICMPv6` for this host is looked
//! at, where a packet socket would be given every IPv6 packet of the host. Answers to `::` go to all
//! nodes, whose group every link with IPv6 is in.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use etherparse::icmpv6::{
    NdpOptionSlice, NdpOptionsIterator, NeighborAdvertisementHeader, TYPE_NEIGHBOR_ADVERTISEMENT,
};
use etherparse::{EtherType, Icmpv6Type, PacketBuilder};
use ipmp_core::MacAddress;
use ipmp_core::detect::{Advertisement, Reply, Solicitation};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::filter::{self, Targets, last_word};
use super::inbox::{Datagram, Inbox};
use super::outbox::{Letter, post};
use crate::packet::{self, HOP_LIMIT, device_address};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A socket for the neighbour solicitations of all interfaces.
#[derive(Debug)]
pub struct NeighbourSocket {
    /// Sends.
    frames: Socket,
    /// Receives.
    icmp: Socket,
    inbox: Inbox,
    /// The links that were asked on, each with whether somebody asked: `::` is nobody.
    asked: BTreeMap<u32, Asker>,
    /// Whose advertisements pass the filter.
    targets: Targets,
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
        let icmp = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        icmp.attach_filter(&filter::nothing())?;
        let inbox = Inbox::open(&icmp)?;
        setsockopt(&icmp, sockopt::Ipv6RecvPacketInfo, &true)?;
        setsockopt(&icmp, sockopt::Ipv6RecvHopLimit, &true)?;
        Ok(Self {
            frames: packet::open()?,
            icmp,
            inbox,
            asked: BTreeMap::new(),
            targets: Targets::none(),
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
        let (icmp, asked) = (&self.icmp, &mut self.asked);
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
                icmp.attach_filter(&filter::neighbour_advertisements(&more, !by_nobody))?;
                (*targets, *unsolicited) = (more, by_nobody);
            }
            let letter = Letter {
                bytes: solicitation(probe.mac, source, target)?,
                to: device_address(probe.index, EtherType::IPV6)?,
                info: (),
            };
            asked.insert(probe.index, asker);
            Ok(letter)
        };
        post(&self.frames, probes, letter, unsent);
    }

    /// Adds the advertisements that are there, at most one batch. Tells whether there may be more.
    pub fn receive(&mut self, replies: &mut Vec<Reply>) -> bool {
        let asked = &self.asked;
        self.inbox.receive(&self.icmp, |datagram| {
            let asked = asked.get(&datagram.index);
            let told = asked.and_then(|&asked| advertisement(datagram, asked));
            replies.extend(told.map(Reply::Advertisement));
        })
    }

    /// Forgets a link: advertisements on it are not asked for any more.
    pub fn forget(&mut self, index: u32) {
        self.asked.remove(&index);
    }
}

impl AsFd for NeighbourSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.icmp.as_fd()
    }
}

impl AsRawFd for NeighbourSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.icmp.as_raw_fd()
    }
}

/// "Who has this address?" Without a source it is the question of duplicate address detection, which
/// must not tell a hardware address (RFC 4861 section 4.3).
fn solicitation(
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
    let flags = NeighborAdvertisementHeader::from_bytes([f0, f1, f2, f3]);
    let is_answer = match asked.source {
        Some(source) => flags.solicited && datagram.destination == Some(source.into()),
        // Nobody can be told that he has asked.
        None => !flags.solicited && datagram.destination == Some(ALL_NODES.into()),
    };
    let mut told = None;
    for option in NdpOptionsIterator::from_slice(options) {
        if let NdpOptionSlice::TargetLinkLayerAddress(address) = option.ok()? {
            told = Some(MacAddress(address.link_layer_address().try_into().ok()?));
        }
    }
    // It may not be missing in the answer to a multicast (RFC 4861 section 4.4).
    let mac = told.filter(|mac| mac.is_unicast() && *mac != asked.mac)?;
    is_answer.then_some(Advertisement {
        index: datagram.index,
        target: target.into(),
        mac,
        received: datagram.received,
    })
}

#[cfg(test)]
mod tests;
