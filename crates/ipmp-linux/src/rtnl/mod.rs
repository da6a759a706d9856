//! The route netlink socket: what the kernel holds, what changes, and how to change it.
//!
//! There is one socket for requests and notifications, so that both come in one order: the
//! notifications of a change of ours stand before its acknowledgement. The kernel does all that a
//! request asks for while it is being sent; its answers are there when `send` returns, and nothing
//! here ever waits.
//!
//! Where the kernel changes something without telling, the module `memory` knows; see there.

mod apply;
mod carrier;
mod decode;
mod encode;
mod hand;
mod link;
mod memory;
mod nexthop;
mod received;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use ipmp_core::kernel::{Change, Kernel, Route, Sysctl};
use ipmp_core::plan::OperationError;
use ipmp_core::{Family, InterfaceAddress, InterfaceName};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTIPART, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::{RouteMessage, RouteType};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;

use crate::{set_receive_buffer, sysctl};
pub use carrier::{Carriers, LinkAnswer};
use decode::Told;
use hand::Hands;
pub use link::VethEnd;
use memory::{Gap, Memory};
use wire::Message;

/// Room for notifications while the daemon is busy: some ten thousand of them, as when a switch with
/// all its VLANs goes. Not taken from memory until needed.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Longest datagram. The kernel makes none longer than 32 kB by itself; links with hundreds of
/// virtual functions may need more.
const DATAGRAM: usize = 256 << 10;

/// How often a dump is started again that changes have made inconsistent.
const DUMP_ATTEMPTS: u32 = 4;

/// How many datagrams of notifications are read at once, so that a storm of them does not keep its
/// reader from everything else.
const ROUND: usize = 2048;

/// Notification groups (`RTNLGRP_…`): link, IPv4 address, IPv4 route, IPv6 address, IPv6 route,
/// nexthop.
const GROUPS: [u32; 6] = [1, 5, 7, 9, 11, 32];

/// Why the kernel could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
pub enum RtnlError {
    /// The socket failed.
    #[error("netlink socket: {0}")]
    Socket(#[from] io::Error),
    /// The kernel refused.
    #[error("cannot {what}: {error}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What the kernel said.
        error: OperationError,
    },
    /// A dump did not come to its end.
    #[error("cannot {what}: the kernel broke off")]
    BrokenOff {
        /// What was asked for.
        what: String,
    },
}

/// The notifications do not tell the whole story: what the kernel holds must be observed anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kernel notifications are incomplete: {reason}")]
pub struct Overrun {
    /// What happened, for the journal.
    pub reason: &'static str,
    /// What was told nevertheless: true, but not everything.
    pub told: Vec<Change>,
}

/// A connection to the kernel's routing, of the network namespace in which it was opened.
///
/// Sysctls are files of the *calling thread's* namespace, which must be the same.
#[derive(Debug)]
pub struct Rtnl {
    socket: Socket,
    sequence: u32,
    memory: Memory,
    /// What was told, and the port of who asked for it.
    pending: Vec<(u32, Told)>,
    hands: Hands,
    queue: Vec<Change>,
    gap: Option<Gap>,
    drained: bool,
    buffer: Vec<u8>,
}

impl Rtnl {
    /// Opens the socket and joins the notification groups. Notifications count from now; call
    /// [`Rtnl::observe`] next.
    pub fn open() -> Result<Self, RtnlError> {
        Self::with_receive_buffer(RECEIVE_BUFFER)
    }

    /// The sysctls of a link, as far as they can be read.
    pub fn sysctls(index: u32, interface: &InterfaceName) -> Vec<Change> {
        let changes =
            sysctls(interface).map(|(sysctl, value)| Change::Sysctl(index, sysctl, value));
        changes.collect()
    }

    /// The same with a receive buffer of another size in bytes.
    pub fn with_receive_buffer(bytes: usize) -> Result<Self, RtnlError> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let own = socket.bind_auto()?;
        // Connected, so that no other process's messages come in.
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        // All of these are hints to be had from kernel 4.20 on.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        socket.set_netlink_get_strict_chk(true)?;
        set_receive_buffer(&socket.as_fd(), bytes)?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        Ok(Self {
            socket,
            sequence: 0,
            memory: Memory::default(),
            pending: Vec::new(),
            hands: Hands::new(own.port_number()),
            queue: Vec::new(),
            gap: None,
            drained: true,
            buffer: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Reads all links, addresses, unicast routes but those of the local table, nexthops and the members'
    /// sysctls. What was told before is forgotten; what is told from here on comes out of
    /// [`Rtnl::changes`].
    pub fn observe(&mut self) -> Result<Kernel, RtnlError> {
        self.queue.clear();
        self.pending.clear();
        self.hands.begin();
        self.gap = None;
        let mut kernel = Kernel::default();
        let mut losses = BTreeMap::new();
        for dump in Dump::ALL {
            for told in self.dump(dump)? {
                match told {
                    Told::Link(link, count) => {
                        losses.insert(link.index, count);
                        kernel.links.insert(link.index, link);
                    }
                    Told::Address(address) => {
                        kernel
                            .addresses
                            .insert((address.index, address.address), address);
                    }
                    // Without IPv6 in the kernel, the dump of its routes answers with IPv4's again.
                    Told::Route(route, _) => {
                        kernel.routes.insert(route);
                    }
                    Told::Nexthop(nexthop) => {
                        kernel.nexthops.insert(nexthop.id, nexthop);
                    }
                    _ => {}
                }
            }
        }
        for link in kernel.links.values() {
            for (sysctl, value) in sysctls(&link.name) {
                kernel.sysctls.insert((link.index, sysctl), value);
            }
        }
        // Notifications that came in between are newer than some of this and older than the rest;
        // taken in order they end in the truth for whatever they speak of. They are still pending.
        self.memory = Memory::new(&kernel, &losses);
        Ok(kernel)
    }

    /// What was told since the last call, without waiting; at most some thousands of changes, see
    /// [`Rtnl::is_drained`]. After an [`Overrun`] the caller is to [`Rtnl::observe`]; what is told until
    /// then is not given out any more.
    pub fn changes(&mut self) -> Result<Vec<Change>, Overrun> {
        if let Err(error) = self.read(ROUND, &mut |_| {}) {
            tracing::warn!(%error, "cannot read from the netlink socket");
            self.gap = Some(Gap("the socket failed"));
        }
        self.digest();
        let changes = std::mem::take(&mut self.queue);
        self.hands.begin();
        match self.gap.take() {
            Some(Gap(reason)) => Err(Overrun {
                reason,
                told: changes,
            }),
            None => Ok(changes),
        }
    }

    /// Whether [`Rtnl::changes`] has given out all there was; else it is to be called again though the
    /// socket may have nothing new.
    pub const fn is_drained(&self) -> bool {
        self.drained
    }

    /// The unicast routes of a table to `destination`, in the kernel's order: of those with one metric, the
    /// first is used.
    pub fn routes_in_order(
        &mut self,
        table: u32,
        destination: InterfaceAddress,
    ) -> Result<Vec<Route>, RtnlError> {
        let told = self.dump(Dump::Routes(destination.family()))?;
        let routes = told.into_iter().filter_map(|told| match told {
            Told::Route(route, _) if (route.table, route.destination) == (table, destination) => {
                Some(route)
            }
            _ => None,
        });
        Ok(routes.collect())
    }

    /// Carries out one dump and passes notifications that come meanwhile to the queue.
    fn dump(&mut self, dump: Dump) -> Result<Vec<Told>, RtnlError> {
        let what = || format!("read {}", dump.name());
        let (kind, body) = dump.request();
        for _ in 0..DUMP_ATTEMPTS {
            let sequence = self.next_sequence();
            let mut datagram = Vec::new();
            wire::push_request(
                &mut datagram,
                kind,
                NLM_F_REQUEST | NLM_F_DUMP,
                sequence,
                &body,
            );
            self.send(&datagram)?;
            let mut parts = Vec::new();
            let mut end = None;
            let mut interrupted = false;
            self.drain(&mut |message| {
                if message.sequence != sequence {
                    return;
                }
                interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                if matches!(message.kind, NLMSG_ERROR | NLMSG_DONE) {
                    end = Some(wire::acknowledgement(message));
                } else {
                    parts.extend(decode::told(message));
                }
            })?;
            match end {
                // A namespace that never had a route has no table of routes.
                Some(Err(error))
                    if error.errno == libc::ENOENT && matches!(dump, Dump::Routes(_)) =>
                {
                    return Ok(Vec::new());
                }
                Some(Err(error)) if error.errno != libc::EINTR => {
                    return Err(RtnlError::Refused {
                        what: what(),
                        error,
                    });
                }
                Some(Ok(())) if !interrupted => return Ok(parts),
                _ => {}
            }
        }
        Err(RtnlError::BrokenOff { what: what() })
    }

    /// Sends a datagram of requests.
    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send(datagram, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(drop),
            }
        }
    }

    /// Reads all there is. Answers to requests go to `answer`, notifications to the queue.
    fn drain(&mut self, answer: &mut dyn FnMut(Message<'_>)) -> io::Result<()> {
        self.read(usize::MAX, answer)
    }

    /// The same, reading so many datagrams at most.
    fn read(&mut self, most: usize, answer: &mut dyn FnMut(Message<'_>)) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut left = most;
        let result = loop {
            self.drained = left > 0;
            if left == 0 {
                break Ok(());
            }
            left -= 1;
            buffer.clear();
            match self.socket.recv(&mut buffer, libc::MSG_TRUNC) {
                Ok(length) => {
                    if length > buffer.len() {
                        self.gap = Some(Gap("a message was too long"));
                    }
                    for message in wire::messages(&buffer) {
                        self.sort(message, answer);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.gap = Some(Gap("the receive buffer was full"));
                }
                Err(error) => break Err(error),
            }
        };
        self.buffer = buffer;
        result
    }

    /// Sorts one message. The notifications of our own requests carry their sequence numbers too, but
    /// neither the type of an acknowledgement nor the flag of a dump.
    fn sort(&mut self, message: Message<'_>, answer: &mut dyn FnMut(Message<'_>)) {
        if matches!(message.kind, NLMSG_ERROR | NLMSG_DONE) || message.flags & NLM_F_MULTIPART != 0
        {
            answer(message);
        } else if let Some(told) = decode::told(message) {
            self.pending.push((message.port, told));
        } else {
            tracing::trace!(kind = message.kind, "passed over a kernel notification");
        }
    }

    /// Turns what was told into changes.
    fn digest(&mut self) {
        for (port, told) in std::mem::take(&mut self.pending) {
            let then = self.memory.notice(told);
            self.queue.extend(self.hands.turn(port));
            self.queue.extend(then.changes);
            if let Some((index, name)) = then.new_link {
                for (sysctl, value) in sysctls(&name) {
                    self.queue.push(Change::Sysctl(index, sysctl, value));
                }
            }
            self.gap = then.gap.or(self.gap);
        }
    }

    fn next_sequence(&mut self) -> u32 {
        // 0 marks what nobody asked for.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        self.sequence
    }
}

impl AsFd for Rtnl {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Rtnl {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The changes of which a datagram tells who knew nothing before, and what it says of requests: a door
/// for fuzz targets.
pub(crate) fn changes_in(datagram: &[u8]) -> (Vec<Change>, Vec<Result<(), OperationError>>) {
    let mut memory = Memory::default();
    let (mut changes, mut answers) = (Vec::new(), Vec::new());
    for message in wire::messages(datagram) {
        answers.push(wire::acknowledgement(message));
        // What others read of the same messages.
        let _whose = (
            decode::link_flags(message.payload),
            decode::local_address(message.payload),
        );
        if let Some(told) = decode::told(message) {
            changes.extend(memory.notice(told).changes);
        }
    }
    (changes, answers)
}

/// What is read whole.
#[derive(Clone, Copy, Debug)]
enum Dump {
    Links,
    Addresses(Family),
    Nexthops,
    Routes(Family),
}

impl Dump {
    /// In an order in which nothing is seen before what it stands on.
    const ALL: [Self; 6] = [
        Self::Links,
        Self::Addresses(Family::Inet),
        Self::Addresses(Family::Inet6),
        Self::Nexthops,
        Self::Routes(Family::Inet),
        Self::Routes(Family::Inet6),
    ];

    /// Type and body of the request. With strict checks every field that is set is a filter.
    fn request(self) -> (u16, Vec<u8>) {
        match self {
            Self::Links => {
                let mut message = LinkMessage::default();
                message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
                (libc::RTM_GETLINK, wire::bytes_of(&message))
            }
            Self::Addresses(family) => {
                let mut message = AddressMessage::default();
                message.header.family = encode::family(family);
                (libc::RTM_GETADDR, wire::bytes_of(&message))
            }
            Self::Nexthops => (nexthop::READ, nexthop::all()),
            Self::Routes(family) => {
                let mut message = RouteMessage::default();
                message.header.address_family = encode::family(family);
                message.header.kind = RouteType::Unicast;
                (libc::RTM_GETROUTE, wire::bytes_of(&message))
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Addresses(_) => "addresses",
            Self::Nexthops => "nexthops",
            Self::Routes(_) => "routes",
        }
    }
}

/// The sysctls of a link that can be read.
fn sysctls(interface: &InterfaceName) -> impl Iterator<Item = (Sysctl, i32)> {
    Sysctl::ALL
        .into_iter()
        .filter_map(|sysctl| Some((sysctl, sysctl::read(interface, sysctl)?)))
}
