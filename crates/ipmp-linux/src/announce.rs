//! Telling the neighbours where addresses are.
//!
//! IPv4 by gratuitous ARP, as a request and as a reply, because some stacks believe only the one and
//! some only the other (RFC 5227 section 3); IPv6 by unsolicited neighbour advertisements to all
//! nodes (RFC 4861 section 7.2.6). Sent as frames, so that neither routes nor the state of the address
//! can stop them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::icmpv6::NeighborAdvertisementHeader;
use etherparse::{ArpEthIpv4Packet, ArpOperation, EtherType, Icmpv6Type, PacketBuilder};
use ipmp_core::action::Announcement;
use ipmp_core::{InterfaceName, MacAddress};
use socket2::Socket;

use crate::packet::{self, HOP_LIMIT, device_address};

/// Where Ethernet carries packets for all nodes of an IPv6 link.
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// An announcement that could not be sent.
#[derive(Debug, thiserror::Error)]
#[error("cannot announce {address} on {interface}: {error}")]
pub struct AnnounceError {
    /// The address.
    pub address: IpAddr,
    /// Where it is.
    pub interface: InterfaceName,
    /// What the operating system said.
    pub error: io::Error,
}

/// Announces. It keeps its socket: closing a packet socket waits until no processor looks at it any
/// more, some 10 ms in which the daemon would do nothing else.
#[derive(Debug, Default)]
pub struct Announcer(Option<Socket>);

impl Announcer {
    /// One that opens its socket when it is first needed.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Sends one round of announcements. All addresses are tried; what comes back is the errors of
    /// those that failed, or one if none could be tried.
    #[must_use]
    pub fn announce(&mut self, announcement: &Announcement) -> Vec<AnnounceError> {
        let failed = |address: &IpAddr, error| AnnounceError {
            address: *address,
            interface: announcement.interface.clone(),
            error,
        };
        let addresses = &announcement.addresses;
        let opened = self.0.take().map_or_else(packet::open, Ok);
        match opened.map(|socket| &*self.0.insert(socket)) {
            Ok(socket) => addresses
                .iter()
                .filter_map(|address| {
                    let sent = send_all(socket, announcement, *address);
                    sent.err().map(|error| failed(address, error))
                })
                .collect(),
            Err(error) => addresses
                .first()
                .map(|address| failed(address, error))
                .into_iter()
                .collect(),
        }
    }
}

fn send_all(socket: &Socket, to: &Announcement, address: IpAddr) -> io::Result<()> {
    let (protocol, frames) = match address {
        IpAddr::V4(ip) => (
            EtherType::ARP,
            vec![
                gratuitous_arp(to.mac, ip, ArpOperation::REQUEST)?,
                gratuitous_arp(to.mac, ip, ArpOperation::REPLY)?,
            ],
        ),
        IpAddr::V6(ip) => (EtherType::IPV6, vec![neighbour_advertisement(to.mac, ip)?]),
    };
    let device = device_address(to.index, protocol)?;
    for frame in frames {
        socket.send_to(&frame, &device)?;
    }
    Ok(())
}

/// ARP in which the sender tells of itself: sender and target are the same address.
fn gratuitous_arp(mac: MacAddress, ip: Ipv4Addr, operation: ArpOperation) -> io::Result<Vec<u8>> {
    let arp = ArpEthIpv4Packet {
        operation,
        sender_mac: mac.0,
        sender_ipv4: ip.octets(),
        // A request does not know the target's; a reply is for everybody.
        target_mac: if operation == ArpOperation::REQUEST {
            [0; 6]
        } else {
            MacAddress::BROADCAST.0
        },
        target_ipv4: ip.octets(),
    };
    let frame = PacketBuilder::ethernet2(mac.0, MacAddress::BROADCAST.0).arp(arp.to_arp_packet());
    let mut bytes = Vec::new();
    frame.write(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// A neighbour advertisement that nobody asked for and that overrides what is known.
fn neighbour_advertisement(mac: MacAddress, ip: Ipv6Addr) -> io::Result<Vec<u8>> {
    let kind = Icmpv6Type::NeighborAdvertisement(NeighborAdvertisementHeader {
        router: false,
        solicited: false,
        r#override: true,
    });
    let mut body = ip.octets().to_vec();
    // Option 2, target link-layer address, 1 * 8 bytes long.
    body.extend_from_slice(&[2, 1]);
    body.extend_from_slice(&mac.0);
    let frame = PacketBuilder::ethernet2(mac.0, ALL_NODES_MAC)
        .ipv6(ip.octets(), ALL_NODES.octets(), HOP_LIMIT)
        .icmpv6(kind);
    let mut bytes = Vec::new();
    frame.write(&mut bytes, &body).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
