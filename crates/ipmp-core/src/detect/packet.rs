//! What is sent to find out whether an interface works, and what comes back.
//!
//! Two kinds of probes. An *echo* (ICMP, `ICMPv6`) needs a test address to come from and goes through
//! the target's whole IP stack. A *solicitation* (ARP, neighbour solicitation) needs no address at
//! all: the target answers it to the hardware address.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Family, InterfaceName, MacAddress, Time};

/// A probe to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// An echo request.
    Echo(Echo),
    /// An ARP request or a neighbour solicitation.
    Solicitation(Solicitation),
}

/// An ICMP or `ICMPv6` echo request, TTL 1, from the interface's test address and out of the
/// interface whatever the routing table says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// Name of the link to send on.
    pub interface: InterfaceName,
    /// Index of the link to send on.
    pub index: u32,
    /// The test address to send from.
    pub source: IpAddr,
    /// The target, or the all-hosts multicast address.
    pub target: IpAddr,
    /// ICMP identifier.
    pub identifier: u16,
    /// ICMP sequence number.
    pub sequence: u16,
    /// Payload that the reply must bring back.
    pub payload: [u8; 16],
}

/// "Who has this address?", asked out of one interface.
///
/// For IPv4 an ARP probe: broadcast, sender address 0.0.0.0, so that nobody's cache changes
/// (RFC 5227 section 1.1). For IPv6 a neighbour solicitation to the target's solicited-node address
/// (RFC 4861 section 7.2.2), from `source` with its hardware address as option; without a source
/// from `::` without the option, as in duplicate address detection (RFC 4862 section 5.4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Solicitation {
    /// Name of the link to send on.
    pub interface: InterfaceName,
    /// Index of the link to send on.
    pub index: u32,
    /// Hardware address of the link: sender of the frame, and where the answer goes.
    pub mac: MacAddress,
    /// IPv6 link-local address to ask from, if there is one; never anything for IPv4.
    pub source: Option<IpAddr>,
    /// Whose hardware address is asked for.
    pub target: IpAddr,
}

/// What came back for a probe, or so it seems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// An echo reply.
    Echo(EchoReply),
    /// An ARP reply or a neighbour advertisement.
    Advertisement(Advertisement),
}

/// An echo reply as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EchoReply {
    /// Index of the link it came in on.
    pub index: u32,
    /// Who sent it.
    pub source: IpAddr,
    /// To which address.
    pub destination: IpAddr,
    /// ICMP identifier.
    pub identifier: u16,
    /// ICMP sequence number.
    pub sequence: u16,
    /// First bytes of the payload, as sent in [`Echo::payload`].
    pub payload: [u8; 16],
    /// When the kernel took it off the link.
    pub received: Time,
}

/// An ARP reply, or a neighbour advertisement, that somebody was asked for.
///
/// Gratuitous ones and those to others are not handed in: an ARP reply must be addressed to the
/// link's own hardware address, in the frame and in the ARP packet; a neighbour advertisement must
/// have hop limit 255 and be solicited, or be an answer to `::` (to all nodes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advertisement {
    /// Index of the link it came in on.
    pub index: u32,
    /// Whose hardware address it tells.
    pub target: IpAddr,
    /// The hardware address it tells.
    pub mac: MacAddress,
    /// When the kernel took it off the link.
    pub received: Time,
}

/// What became of a probe to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Probed {
    /// Name of the link it was sent on.
    pub interface: InterfaceName,
    /// Number of the probe among those of its interface and family; wraps.
    pub sequence: u16,
    /// Whom it was for.
    pub target: IpAddr,
    /// Whether it was an ARP request or neighbour solicitation, not an echo request.
    pub solicitation: bool,
    /// When it was sent.
    pub sent: Time,
    /// When the kernel took the answer off the link; `None` if the probe was lost.
    pub received: Option<Time>,
    /// Smoothed round trip time of the target, once measured.
    pub rtt_average: Option<Duration>,
    /// Smoothed mean deviation of it, once measured.
    pub rtt_deviation: Option<Duration>,
}

/// Somebody on a link, as the kernel's neighbour table has it: a possible target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Neighbour {
    /// Index of the link.
    pub index: u32,
    /// Its address.
    pub address: IpAddr,
}

impl Probe {
    /// Name of the link to send on.
    pub const fn interface(&self) -> &InterfaceName {
        match self {
            Self::Echo(probe) => &probe.interface,
            Self::Solicitation(probe) => &probe.interface,
        }
    }

    /// Index of the link to send on.
    pub const fn index(&self) -> u32 {
        match self {
            Self::Echo(probe) => probe.index,
            Self::Solicitation(probe) => probe.index,
        }
    }

    /// Whom it is for; a multicast address if for everybody.
    pub const fn target(&self) -> IpAddr {
        match self {
            Self::Echo(probe) => probe.target,
            Self::Solicitation(probe) => probe.target,
        }
    }
}

impl Reply {
    /// Index of the link it came in on.
    pub const fn index(&self) -> u32 {
        match self {
            Self::Echo(reply) => reply.index,
            Self::Advertisement(reply) => reply.index,
        }
    }

    /// Who answered.
    pub const fn source(&self) -> IpAddr {
        match self {
            Self::Echo(reply) => reply.source,
            Self::Advertisement(reply) => reply.target,
        }
    }

    /// Family of who answered.
    pub const fn family(&self) -> Family {
        Family::of(self.source())
    }

    /// When the kernel took it off the link.
    pub const fn received(&self) -> Time {
        match self {
            Self::Echo(reply) => reply.received,
            Self::Advertisement(reply) => reply.received,
        }
    }
}
