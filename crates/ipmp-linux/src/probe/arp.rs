//! ARP probes, and the replies to them.
//!
//! A probe names no sender address, so that it needs none and changes nobody's cache (RFC 5227
//! section 1.1). The reply comes to the hardware address that asked.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, ArpPacketSlice, EtherType, Ethernet2HeaderSlice, PacketBuilder,
};
use ipmp_core::MacAddress;
use ipmp_core::detect::{Advertisement, Reply, Solicitation};
use nix::errno::Errno;
use socket2::Socket;

use super::filter::{self, Targets};
use super::inbox::{Datagram, Inbox};
use super::outbox::{Letter, post};
use crate::packet::{self, device_address};

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

/// A socket for the ARP probes of all interfaces.
#[derive(Debug)]
pub struct ArpSocket {
    socket: Socket,
    inbox: Inbox,
    /// The hardware address of each link that was asked on, which is where answers go.
    macs: BTreeMap<u32, MacAddress>,
    /// Whose replies pass the filter.
    targets: Targets,
}

impl ArpSocket {
    /// Opens the socket. Fails without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        let socket = packet::open()?;
        // Before the socket is bound, which is when it begins to receive.
        socket.attach_filter(&filter::nothing())?;
        let inbox = Inbox::open(&socket)?;
        socket.bind(&device_address(0, EtherType::ARP)?)?;
        Ok(Self {
            socket,
            inbox,
            macs: BTreeMap::new(),
            targets: Targets::none(),
        })
    }

    /// Sends probes to IPv4 targets. `unsent` is told which ones have not left and why: the link is
    /// gone or down, or its queue is full.
    pub fn send_all(
        &mut self,
        probes: &[&Solicitation],
        unsent: impl FnMut(&Solicitation, io::Error),
    ) {
        let (socket, macs, targets) = (&self.socket, &mut self.macs, &mut self.targets);
        let letter = |probe: &Solicitation| {
            let IpAddr::V4(target) = probe.target else {
                return Err(Errno::EAFNOSUPPORT.into());
            };
            if let Some(more) = targets.with(target.into()) {
                socket.attach_filter(&filter::arp_replies(&more))?;
                *targets = more;
            }
            let letter = Letter {
                bytes: request(probe.mac, target)?,
                to: device_address(probe.index, EtherType::ARP)?,
                info: (),
            };
            macs.insert(probe.index, probe.mac);
            Ok(letter)
        };
        post(socket, probes, letter, unsent);
    }

    /// Adds the replies that are there, at most one batch. Tells whether there may be more.
    pub fn receive(&mut self, replies: &mut Vec<Reply>) -> bool {
        let macs = &self.macs;
        self.inbox.receive(&self.socket, |datagram| {
            let asked = macs.get(&datagram.index);
            let told = asked.and_then(|&mac| advertisement(datagram, mac));
            replies.extend(told.map(Reply::Advertisement));
        })
    }

    /// Forgets a link: replies on it are not asked for any more.
    pub fn forget(&mut self, index: u32) {
        self.macs.remove(&index);
    }
}

impl AsFd for ArpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for ArpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// "Who has this address?", asked by nobody.
fn request(mac: MacAddress, target: Ipv4Addr) -> io::Result<Vec<u8>> {
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
    let header = Ethernet2HeaderSlice::from_slice(datagram.bytes).ok()?;
    let arp = ArpPacketSlice::from_slice(datagram.bytes.get(ETHERNET..)?).ok()?;
    let arp = arp.to_packet().try_eth_ipv4().ok()?;
    let sender = Ipv4Addr::from(arp.sender_ipv4);
    let mac = MacAddress(arp.sender_mac);
    let is_reply = header.ether_type() == EtherType::ARP
        && arp.operation == ArpOperation::REPLY
        && header.destination() == asked.0
        && arp.target_mac == asked.0;
    let is_somebody = mac.is_unicast()
        && mac != asked
        && !sender.is_unspecified()
        && !sender.is_multicast()
        && !sender.is_broadcast();
    // Who tells of himself to himself was not asked.
    let is_gratuitous = arp.sender_ipv4 == arp.target_ipv4;
    (is_reply && is_somebody && !is_gratuitous).then_some(Advertisement {
        index: datagram.index,
        target: sender.into(),
        mac,
        received: datagram.received,
    })
}

#[cfg(test)]
mod tests;
