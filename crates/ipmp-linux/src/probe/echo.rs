//! Echo requests from a test address, and their replies.
//!
//! IPv4 needs no route: `SO_DONTROUTE` and the link named with each probe make every target an
//! on-link one. IPv6 has no such option; there the route that comes with the test address's own
//! subnet, or with the link-local one, must be on the interface. Time to live is 1: nobody's router
//! carries a probe on.

use std::io;
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};

use etherparse::checksum::Sum16BitWords;
use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, Ipv4HeaderSlice, icmpv4,
    icmpv6,
};
use ipmp_core::Family;
use ipmp_core::detect::{Echo, EchoReply, Reply};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::filter::{self, Identifiers};
use super::inbox::{Datagram, Inbox, ROOM_FOR_ANSWERS};
use super::outbox::{Letter, post};

/// An echo request: header and payload.
type Packet = [u8; 8 + 16];

/// A socket for the echo probes of all interfaces in one family.
#[derive(Debug)]
pub struct EchoSocket {
    socket: Socket,
    inbox: Inbox,
    family: Family,
    /// Whose replies pass the filter.
    identifiers: Option<Identifiers>,
    /// For IPv6 targets that are not link-local; opened when there is one.
    bound: Option<BoundSocket>,
}

/// A socket that sends out of one link. Naming the link with each probe is not enough for IPv6 targets
/// that are not link-local: a route by another link is taken for it then (`ip6_route_output`).
#[derive(Debug)]
struct BoundSocket {
    socket: Socket,
    index: u32,
}

impl EchoSocket {
    /// Opens the socket of a family. Fails without `CAP_NET_RAW`, or if the kernel lacks the family.
    pub fn open(family: Family) -> io::Result<Self> {
        let socket = raw(family)?;
        // Nothing passes before the first probe was sent.
        socket.attach_filter(&filter::nothing())?;
        let inbox = Inbox::open(&socket, ROOM_FOR_ANSWERS)?;
        match family {
            Family::Inet => {
                socket.set_ttl_v4(1)?;
                socket.set_multicast_ttl_v4(1)?;
                socket.set_multicast_loop_v4(false)?;
                setsockopt(&socket, sockopt::DontRoute, &true)?;
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            }
            Family::Inet6 => {
                limit_hops(&socket)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
        }
        Ok(Self {
            socket,
            inbox,
            family,
            identifiers: None,
            bound: None,
        })
    }

    /// Sends probes of the socket's family, each to a target or to all hosts of the link. `unsent` is
    /// told which ones have not left and why: the link is gone or down, the source is no address of
    /// this host, there is no memory for it.
    pub fn send_all(&mut self, probes: &[&Echo], mut unsent: impl FnMut(&Echo, io::Error)) {
        let mut posted = Vec::with_capacity(probes.len());
        for &probe in probes {
            match self.admit(probe.identifier) {
                Ok(()) => posted.push(probe),
                Err(error) => unsent(probe, error),
            }
        }
        match self.family {
            Family::Inet => post(&self.socket, &posted, letter4, unsent),
            Family::Inet6 => self.send6(&posted, unsent),
        }
    }

    /// Adds the echo replies that are there, at most one batch. Tells whether there may be more.
    pub fn receive(&mut self, replies: &mut Vec<Reply>) -> bool {
        let family = self.family;
        let batch = self.inbox.receive(&self.socket, |datagram| {
            replies.extend(echo_reply(datagram, family).map(Reply::Echo));
        });
        batch.is_full()
    }

    /// Lets replies with this identifier pass.
    fn admit(&mut self, identifier: u16) -> io::Result<()> {
        let now = self.identifiers.map_or_else(
            || Identifiers::only(identifier),
            |known| known.and(identifier),
        );
        if self.identifiers != Some(now) {
            let program = filter::echo_replies(self.family == Family::Inet, now);
            self.socket.attach_filter(&program)?;
            self.identifiers = Some(now);
        }
        Ok(())
    }

    fn send6(&mut self, probes: &[&Echo], mut unsent: impl FnMut(&Echo, io::Error)) {
        let (free, bound): (Vec<&Echo>, Vec<&Echo>) = probes
            .iter()
            .partition(|probe| is_bound_to_link(probe.target));
        post(&self.socket, &free, letter6, &mut unsent);
        for probe in bound {
            match BoundSocket::to(&mut self.bound, probe) {
                Ok(socket) => post(socket, &[probe], letter6, &mut unsent),
                Err(error) => unsent(probe, error),
            }
        }
    }
}

impl BoundSocket {
    /// A socket bound to the link of a probe. If its name has passed to another link, the kernel
    /// refuses to send by the index.
    fn to<'a>(slot: &'a mut Option<Self>, probe: &Echo) -> io::Result<&'a Socket> {
        let bound = match slot.take() {
            Some(bound) if bound.index == probe.index => bound,
            other => {
                let socket = other.map_or_else(
                    || {
                        let socket = raw(Family::Inet6)?;
                        socket.attach_filter(&filter::nothing())?;
                        limit_hops(&socket)?;
                        socket.set_nonblocking(true)?;
                        io::Result::Ok(socket)
                    },
                    |other| Ok(other.socket),
                )?;
                socket.bind_device(Some(probe.interface.as_str().as_bytes()))?;
                Self {
                    socket,
                    index: probe.index,
                }
            }
        };
        Ok(&slot.insert(bound).socket)
    }
}

impl AsFd for EchoSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A raw socket; close-on-exec, as socket2 makes them all.
fn raw(family: Family) -> io::Result<Socket> {
    let (domain, protocol) = match family {
        Family::Inet => (Domain::IPV4, Protocol::ICMPV4),
        Family::Inet6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    Socket::new(domain, Type::RAW, Some(protocol))
}

fn limit_hops(socket: &Socket) -> io::Result<()> {
    socket.set_unicast_hops_v6(1)?;
    socket.set_multicast_hops_v6(1)?;
    socket.set_multicast_loop_v6(false)
}

const fn echo_header(probe: &Echo) -> IcmpEchoHeader {
    IcmpEchoHeader {
        id: probe.identifier,
        seq: probe.sequence,
    }
}

/// Whether an IPv6 address says nothing without a link, so that no route can lead elsewhere.
const fn is_bound_to_link(target: IpAddr) -> bool {
    match target {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast(),
    }
}

fn letter4(probe: &Echo) -> io::Result<Letter<Packet, libc::in_pktinfo>> {
    let (IpAddr::V4(source), IpAddr::V4(target)) = (probe.source, probe.target) else {
        return Err(Errno::EAFNOSUPPORT.into());
    };
    let kind = Icmpv4Type::EchoRequest(echo_header(probe));
    let header = Icmpv4Header::with_checksum(kind, &probe.payload);
    Ok(Letter {
        bytes: packet(&header.to_bytes(), probe),
        to: SocketAddrV4::new(target, 0).into(),
        info: libc::in_pktinfo {
            ipi_ifindex: i32::try_from(probe.index).map_err(|_| Errno::ENODEV)?,
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from(source).to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        },
    })
}

fn letter6(probe: &Echo) -> io::Result<Letter<Packet, libc::in6_pktinfo>> {
    let (IpAddr::V6(source), IpAddr::V6(target)) = (probe.source, probe.target) else {
        return Err(Errno::EAFNOSUPPORT.into());
    };
    // The kernel fills in the checksum, for which it knows the addresses.
    let header = Icmpv6Header::new(Icmpv6Type::EchoRequest(echo_header(probe)));
    Ok(Letter {
        bytes: packet(&header.to_bytes(), probe),
        to: SocketAddrV6::new(target, 0, 0, probe.index).into(),
        info: libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: source.octets(),
            },
            ipi6_ifindex: probe.index,
        },
    })
}

fn packet(header: &[u8], probe: &Echo) -> Packet {
    let mut packet = [0; size_of::<Packet>()];
    let bytes = header.iter().chain(&probe.payload);
    for (at, byte) in packet.iter_mut().zip(bytes) {
        *at = *byte;
    }
    packet
}

/// The echo reply that a raw socket received.
pub(super) fn echo_reply(datagram: &Datagram<'_>, family: Family) -> Option<EchoReply> {
    let icmp = match family {
        Family::Inet => {
            // IPv4 raw sockets give the IP header too, and nobody has looked at the checksum behind
            // it.
            let header = Ipv4HeaderSlice::from_slice(datagram.bytes).ok()?;
            let icmp = datagram.bytes.get(header.slice().len()..)?;
            let sum = Sum16BitWords::new().add_slice(icmp).ones_complement();
            (sum == 0).then_some(icmp)?
        }
        Family::Inet6 => datagram.bytes,
    };
    let kind = match family {
        Family::Inet => icmpv4::TYPE_ECHO_REPLY,
        Family::Inet6 => icmpv6::TYPE_ECHO_REPLY,
    };
    // Laid out alike in both families. One that brings back less than was sent answers something
    // else.
    let (&[is, code, _, _, id0, id1, seq0, seq1], data) = icmp.split_first_chunk()?;
    let (&payload, _) = data.split_first_chunk()?;
    let identifier = u16::from_be_bytes([id0, id1]);
    (is == kind && code == 0).then_some(EchoReply {
        index: datagram.index,
        source: datagram.source?,
        destination: datagram.destination?,
        identifier,
        sequence: u16::from_be_bytes([seq0, seq1]),
        payload,
        received: datagram.received,
    })
}

#[cfg(test)]
mod tests;
