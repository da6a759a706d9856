//! ARP probes, and the replies to them.
//!
//! A probe names no sender address, so that it needs none and changes nobody's cache (RFC 5227
//! section 1.1). The reply comes to the hardware address that asked.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, ArpPacketSlice, EtherType, Ethernet2HeaderSlice, PacketBuilder,
};
use ipmp_core::detect::{Advertisement, Reply, Solicitation};
use ipmp_core::{Family, MacAddress};
use nix::errno::Errno;

use super::filter::{self, Addresses};
use super::inbox::{Datagram, ROOM_FOR_ANSWERS};
use super::link::LinkSocket;

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

/// A socket for the ARP probes of all interfaces.
#[derive(Debug)]
pub struct ArpSocket {
    link: LinkSocket,
    /// The hardware address of each link that was asked on, which is where answers go.
    macs: BTreeMap<u32, MacAddress>,
    /// Whose replies pass the filter.
    targets: Addresses,
}

impl ArpSocket {
    /// Opens the socket. Fails without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            link: LinkSocket::open(Family::Inet, ROOM_FOR_ANSWERS)?,
            macs: BTreeMap::new(),
            targets: Addresses::none(),
        })
    }

    /// Sends probes to IPv4 targets. `unsent` is told which ones have not left and why: the link is
    /// gone or down, or its queue is full.
    pub fn send_all(
        &mut self,
        probes: &[&Solicitation],
        unsent: impl FnMut(&Solicitation, io::Error),
    ) {
        let (link, macs, targets) = (&self.link, &mut self.macs, &mut self.targets);
        let letter = |probe: &Solicitation| {
            let IpAddr::V4(target) = probe.target else {
                return Err(Errno::EAFNOSUPPORT.into());
            };
            if let Some(more) = targets.with(target.into()) {
                *targets = link.pass(more, filter::arp_replies)?;
            }
            let letter = link.letter(probe.index, request(probe.mac, target)?)?;
            macs.insert(probe.index, probe.mac);
            Ok(letter)
        };
        link.send_all(probes, letter, unsent);
    }

    /// Adds the replies that are there, at most one batch. Tells whether there may be more.
    pub fn receive(&mut self, replies: &mut Vec<Reply>) -> bool {
        let macs = &self.macs;
        let batch = self.link.receive(|datagram| {
            let asked = macs.get(&datagram.index);
            let told = asked.and_then(|&mac| advertisement(datagram, mac));
            replies.extend(told.map(Reply::Advertisement));
        });
        batch.is_full()
    }

    /// Forgets a link: replies on it are not asked for any more.
    pub fn forget(&mut self, index: u32) {
        self.macs.remove(&index);
    }
}

impl AsFd for ArpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

/// "Who has this address?", asked by nobody.
pub(super) fn request(mac: MacAddress, target: Ipv4Addr) -> io::Result<Vec<u8>> {
    let arp = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: mac.0,
        sender_ipv4: [0; 4],
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    };
    let frame = PacketBuilder::ethernet2(mac.0, MacAddress::BROADCAST.0).arp(arp.to_arp_packet());
    let mut bytes = Vec::with_capacity(64);
    frame.write(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// The reply to somebody with this hardware address; `None` if the frame is anything else.
pub(super) fn advertisement(datagram: &Datagram<'_>, asked: MacAddress) -> Option<Advertisement> {
    let heard = Heard::in_frame(datagram.bytes)?;
    let arp = &heard.packet;
    let is_reply = arp.operation == ArpOperation::REPLY
        && heard.destination == asked
        && arp.target_mac == asked.0;
    // Who tells of himself to himself was not asked.
    let is_gratuitous = arp.sender_ipv4 == arp.target_ipv4;
    let (target, mac) = heard.sender().filter(|(_, mac)| *mac != asked)?;
    (is_reply && !is_gratuitous).then_some(Advertisement {
        index: datagram.index,
        target: target.into(),
        mac,
        received: datagram.received,
    })
}

/// ARP for IPv4 over Ethernet.
#[derive(Debug)]
pub(super) struct Heard {
    /// To whom the frame was.
    destination: MacAddress,
    packet: ArpEthIpv4Packet,
}

impl Heard {
    /// What is in a frame; `None` if that is anything else.
    pub(super) fn in_frame(bytes: &[u8]) -> Option<Self> {
        let header = Ethernet2HeaderSlice::from_slice(bytes).ok()?;
        let arp = ArpPacketSlice::from_slice(bytes.get(ETHERNET..)?).ok()?;
        let packet = arp.to_packet().try_eth_ipv4().ok()?;
        (header.ether_type() == EtherType::ARP).then_some(Self {
            destination: MacAddress(header.destination()),
            packet,
        })
    }

    /// Who says so, and his hardware address; `None` if that can be nobody's.
    pub(super) fn sender(&self) -> Option<(Ipv4Addr, MacAddress)> {
        let ip = Ipv4Addr::from(self.packet.sender_ipv4);
        let mac = MacAddress(self.packet.sender_mac);
        let is_somebody =
            mac.is_unicast() && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast();
        is_somebody.then_some((ip, mac))
    }
}

#[cfg(test)]
mod tests;
