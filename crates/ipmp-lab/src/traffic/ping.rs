//! ICMP echo requests at an exact pace.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Slice, Icmpv4Type, Icmpv6Header, Icmpv6Slice, Icmpv6Type,
    Ipv4Slice,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{LINGER, Pace, Stop, Trail, outcome, readable_before};
use crate::error::{About, LabError};
use crate::host::Host;

/// The identifier of the next generator, so that each knows its own replies.
static IDENTIFIER: AtomicU16 = AtomicU16::new(1);

/// Echo requests from a host to an address, one every so often.
#[derive(Debug)]
pub struct Ping {
    object: String,
    stop: Stop,
    answered: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Trail>>,
}

impl Ping {
    /// Starts pinging, until [`Ping::stop`] or until `limit` has passed.
    pub fn start(
        host: &Host,
        to: IpAddr,
        every: Duration,
        limit: Duration,
    ) -> Result<Self, LabError> {
        let object = format!("{}: ping {to}", host.name());
        let echo = host.enter(|| Echo::open(to))?.about(&object)?;
        let stop = Stop::default();
        let answered = Arc::clone(&echo.answered);
        let pace = Pace::new(every, limit, &stop);
        let thread = host.thread(move || echo.run(pace))?;
        Ok(Self {
            object,
            stop,
            answered,
            thread,
        })
    }

    /// Whether a request has been answered so far.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops sending, waits up to a second for replies under way, and tells what became of all.
    pub fn stop(self) -> Result<Trail, LabError> {
        self.stop.tell();
        self.finish()
    }

    /// Lets it run to its limit, and tells what became of all.
    pub fn finish(self) -> Result<Trail, LabError> {
        outcome(self.thread, &self.object)
    }

    /// Sends `count` requests, waits for their replies, and tells what became of them.
    pub fn count(host: &Host, to: IpAddr, count: u32, every: Duration) -> Result<Trail, LabError> {
        Self::start(host, to, every, every * count)?.finish()
    }
}

/// A raw socket and what it sends.
#[derive(Debug)]
struct Echo {
    socket: UdpSocket,
    to: IpAddr,
    identifier: u16,
    answered: Arc<AtomicBool>,
}

impl Echo {
    fn open(to: IpAddr) -> io::Result<Self> {
        let (domain, protocol) = match to {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            // Only for its safe ways to send and receive datagrams.
            socket: socket.into(),
            to,
            identifier: IDENTIFIER.fetch_add(1, Ordering::Relaxed),
            answered: Arc::default(),
        })
    }

    fn run(&self, pace: Pace) -> io::Result<Trail> {
        let mut trail = Trail::default();
        for tick in pace {
            while readable_before(&self.socket, tick)? {
                self.receive(&mut trail);
            }
            let request = self.request(trail.send());
            // A host without a route to the address has lost the packet like any other.
            let _unsent = self.socket.send_to(&request, SocketAddr::new(self.to, 0));
        }
        trail.end();
        let deadline = Instant::now() + LINGER;
        while !trail.is_complete() && readable_before(&self.socket, deadline)? {
            self.receive(&mut trail);
        }
        Ok(trail)
    }

    /// An echo request whose data is the packet's number, since the protocol's own one is short.
    fn request(&self, number: u64) -> Vec<u8> {
        let data = number.to_be_bytes();
        let echo = IcmpEchoHeader {
            id: self.identifier,
            seq: u16::try_from(number & 0xffff).unwrap_or_default(),
        };
        let mut packet = match self.to {
            IpAddr::V4(_) => {
                let header = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), &data);
                header.to_bytes().to_vec()
            }
            // The kernel fills in the checksum, which needs the source address (RFC 3542, 3.1).
            IpAddr::V6(_) => {
                let header = Icmpv6Header::new(Icmpv6Type::EchoRequest(echo));
                header.to_bytes().to_vec()
            }
        };
        packet.extend(data);
        packet
    }

    /// Takes in one packet, if it is a reply to one of ours.
    fn receive(&self, trail: &mut Trail) {
        let mut buffer = [0; 512];
        // Errors are those that ICMP reports about earlier packets, which are lost by that.
        let Ok(length) = self.socket.recv(&mut buffer) else {
            return;
        };
        let at = Instant::now();
        let number = buffer
            .get(..length)
            .and_then(|packet| self.number_of_reply(packet));
        if let Some(number) = number {
            trail.arrive(number, at);
            self.answered.store(true, Ordering::Relaxed);
        }
    }

    fn number_of_reply(&self, packet: &[u8]) -> Option<u64> {
        let (echo, data) = match self.to {
            IpAddr::V4(_) => {
                let ip = Ipv4Slice::from_slice(packet).ok()?;
                let icmp = Icmpv4Slice::from_slice(ip.payload().payload).ok()?;
                match icmp.icmp_type() {
                    Icmpv4Type::EchoReply(echo) => (echo, icmp.payload()),
                    _ => return None,
                }
            }
            IpAddr::V6(_) => {
                let icmp = Icmpv6Slice::from_slice(packet).ok()?;
                match icmp.icmp_type() {
                    Icmpv6Type::EchoReply(echo) => (echo, icmp.payload()),
                    _ => return None,
                }
            }
        };
        let number = u64::from_be_bytes(data.try_into().ok()?);
        (echo.id == self.identifier).then_some(number)
    }
}
