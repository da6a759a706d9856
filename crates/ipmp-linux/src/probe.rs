//! Probe sockets: echo requests out of one interface, whatever the routing table says, and their
//! answers with the time at which the kernel took them off the link.
//!
//! One socket per interface and test address, bound to both. IPv4 needs no route (`SO_DONTROUTE` and
//! the bound device make every target an on-link one); IPv6 has no such option, there the route that
//! comes with the test address's own subnet, or with the link-local one, must be on the interface.
//! Time to live is 1: nobody's router carries a probe on. Answers to others (every raw socket sees
//! all ICMP) are dropped in the kernel by a filter on our identifier.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use etherparse::checksum::Sum16BitWords;
use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, Ipv4HeaderSlice, icmpv4,
    icmpv6,
};
use ipmp_core::detect::{Echo, EchoReply};
use ipmp_core::{InterfaceName, Time};
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use crate::clock::{monotonic_now, monotonic_of};

/// Room for an echo reply of ours with all IP options; longer ones are not ours.
const LARGEST: usize = 256;

/// How many errors in a row are read off a socket (a link that goes leaves some) before it is given
/// up for this time.
const ERRORS: u32 = 16;

/// A socket for the probes of one interface and test address.
#[derive(Debug)]
pub struct ProbeSocket {
    socket: Socket,
    index: u32,
    identifier: u16,
    is_v4: bool,
}

impl ProbeSocket {
    /// Opens a socket on the link `index`, called `name`, for probes from `source` with `identifier`.
    /// Fails where the link or the address is not there (any more), or without `CAP_NET_RAW`.
    pub fn open(
        index: u32,
        name: &InterfaceName,
        source: IpAddr,
        identifier: u16,
    ) -> io::Result<Self> {
        let (domain, protocol) = match source {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        // socket2 makes it close-on-exec.
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.attach_filter(&filter(source.is_ipv4(), identifier))?;
        socket.set_nonblocking(true)?;
        socket.bind_device(Some(name.as_str().as_bytes()))?;
        // The name may have passed to another link meanwhile.
        if if_nametoindex(name.as_str())? != index {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        if source.is_ipv4() {
            socket.set_ttl_v4(1)?;
            socket.set_multicast_ttl_v4(1)?;
            socket.set_multicast_loop_v4(false)?;
            setsockopt(&socket, sockopt::DontRoute, &true)?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        } else {
            socket.set_unicast_hops_v6(1)?;
            socket.set_multicast_hops_v6(1)?;
            socket.set_multicast_loop_v6(false)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        socket.bind(&socket_address(source, index))?;
        Ok(Self {
            socket,
            index,
            identifier,
            is_v4: source.is_ipv4(),
        })
    }

    /// Sends a probe, to a target or to all hosts of the link. An error says that it has not left:
    /// the link is down, or its queue is full.
    pub fn send(&self, probe: &Echo) -> io::Result<()> {
        let echo = IcmpEchoHeader {
            id: probe.identifier,
            seq: probe.sequence,
        };
        let mut packet = Vec::with_capacity(8 + probe.payload.len());
        if self.is_v4 {
            let header = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), &probe.payload);
            packet.extend_from_slice(&header.to_bytes());
        } else {
            // The kernel fills in the checksum, for which it knows the addresses.
            let header = Icmpv6Header::new(Icmpv6Type::EchoRequest(echo));
            packet.extend_from_slice(&header.to_bytes());
        }
        packet.extend_from_slice(&probe.payload);
        let target = socket_address(probe.target, self.index);
        loop {
            match self.socket.send_to(&packet, &target) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(drop),
            }
        }
    }

    /// The next echo reply with our identifier; `None` when there is none now.
    pub fn receive(&self) -> Option<EchoReply> {
        let mut errors = 0;
        loop {
            match self.receive_one() {
                Ok(Some(reply)) => return Some(reply),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => {
                    errors += 1;
                    tracing::debug!(%error, index = self.index, "cannot receive on a probe socket");
                    if errors == ERRORS {
                        return None;
                    }
                }
            }
        }
    }

    /// One datagram; `None` if it is not an answer to us.
    fn receive_one(&self) -> io::Result<Option<EchoReply>> {
        let mut buffer = [0; LARGEST];
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::timespec);
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let received = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        let mut stamp = None;
        let mut arrival = None;
        for message in received.cmsgs()? {
            match message {
                ControlMessageOwned::ScmTimestampns(at) => stamp = Some(at),
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    let to = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr));
                    arrival = u32::try_from(info.ipi_ifindex).ok().map(|i| (i, to.into()));
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    let to = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    arrival = Some((info.ipi6_ifindex, to.into()));
                }
                _ => {}
            }
        }
        let source = received.address.as_ref().and_then(ip_of);
        let length = received.bytes;
        let packet = buffer.get(..length).unwrap_or_default();
        let (Some((index, destination)), Some(source)) = (arrival, source) else {
            return Ok(None);
        };
        let received = stamp.map_or_else(monotonic_now, monotonic_of);
        Ok(Answer::parse(packet, self.is_v4)
            .filter(|answer| answer.identifier == self.identifier)
            .map(|answer| answer.into_reply(index, source, destination, received)))
    }
}

impl AsFd for ProbeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for ProbeSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// What an echo reply itself says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    identifier: u16,
    sequence: u16,
    payload: [u8; 16],
}

impl Answer {
    /// Reads what a raw socket received.
    fn parse(packet: &[u8], is_v4: bool) -> Option<Self> {
        if is_v4 {
            // IPv4 raw sockets give the IP header too, and nobody has looked at the checksum behind it.
            let header = Ipv4HeaderSlice::from_slice(packet).ok()?;
            let icmp = packet.get(header.slice().len()..)?;
            let is_sound = Sum16BitWords::new().add_slice(icmp).ones_complement() == 0;
            Self::parse_icmp(icmp, icmpv4::TYPE_ECHO_REPLY).filter(|_| is_sound)
        } else {
            Self::parse_icmp(packet, icmpv6::TYPE_ECHO_REPLY)
        }
    }

    /// Reads an echo reply, laid out alike in both families. One that brings back less than was sent
    /// answers something else.
    fn parse_icmp(icmp: &[u8], echo_reply: u8) -> Option<Self> {
        let (&[kind, code, _, _, id0, id1, seq0, seq1], data) = icmp.split_first_chunk()?;
        let (&payload, _) = data.split_first_chunk()?;
        (kind == echo_reply && code == 0).then_some(Self {
            identifier: u16::from_be_bytes([id0, id1]),
            sequence: u16::from_be_bytes([seq0, seq1]),
            payload,
        })
    }

    fn into_reply(self, index: u32, source: IpAddr, destination: IpAddr, received: Time) -> EchoReply {
        EchoReply {
            index,
            source,
            destination,
            identifier: self.identifier,
            sequence: self.sequence,
            payload: self.payload,
            received,
        }
    }
}

/// A classic BPF program that lets echo replies with `identifier` pass. It sees an IPv4 packet from
/// its IP header on, an IPv6 one from its ICMP header on.
fn filter(is_v4: bool, identifier: u16) -> Vec<SockFilter> {
    let statement = |code: u32, k: u32| SockFilter::new(narrow(code), 0, 0, k);
    // Goes on if equal, else jumps over what is left to the last instruction.
    let unless =
        |k: u32, jump: u8| SockFilter::new(narrow(libc::BPF_JMP | libc::BPF_JEQ), 0, jump, k);
    let (mode, kind) = if is_v4 {
        (libc::BPF_IND, icmpv4::TYPE_ECHO_REPLY)
    } else {
        (libc::BPF_ABS, icmpv6::TYPE_ECHO_REPLY)
    };
    let mut program = Vec::new();
    if is_v4 {
        // X = length of the IP header
        program.push(statement(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0));
    }
    program.extend([
        statement(libc::BPF_LD | libc::BPF_B | mode, 0),
        unless(kind.into(), 3),
        statement(libc::BPF_LD | libc::BPF_H | mode, 4),
        unless(identifier.into(), 1),
        statement(libc::BPF_RET, u32::MAX), // all of it
        statement(libc::BPF_RET, 0),
    ]);
    program
}

/// Operation codes of BPF fit 16 bits; the C library's constants are wider.
fn narrow(code: u32) -> u16 {
    u16::try_from(code).unwrap_or(u16::MAX)
}

/// An address as a socket's. IPv6 link-local ones only mean something on a link.
fn socket_address(ip: IpAddr, index: u32) -> SockAddr {
    let address = match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, 0),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, 0, 0, index).into(),
    };
    address.into()
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    address
        .as_sockaddr_in()
        .map(|address| address.ip().into())
        .or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

#[cfg(test)]
mod tests;
