//! What ARP and neighbour discovery have in common: frames go out of any link, so that one without any
//! address can ask, and what a filter lets through of all links comes in at one socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use etherparse::EtherType;
use ipmp_core::Family;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::filter::{self, Addresses, Program};
use super::inbox::{Batch, Datagram, Inbox};
use super::outbox::{Letter, post};
use crate::packet::{self, device_address};

/// Sockets for a family's way to find out hardware addresses.
#[derive(Debug)]
pub(super) struct LinkSocket {
    family: Family,
    /// Receives; sends as well unless there is another.
    socket: Socket,
    /// Sends.
    frames: Option<Socket>,
    inbox: Inbox,
}

impl LinkSocket {
    /// Opens them; nothing passes yet. ARP comes off a packet socket, in whole frames. Neighbour discovery
    /// comes off a raw `ICMPv6` one: the kernel has checked the checksum, and only `ICMPv6` for this host
    /// is looked at, where a packet socket would be given every IPv6 packet of the host.
    ///
    /// `room` is for how many bytes of datagrams, as [`Inbox::open`] has it. Fails without `CAP_NET_RAW`, or
    /// if the kernel lacks the family.
    pub(super) fn open(family: Family, room: usize) -> io::Result<Self> {
        let (socket, frames) = match family {
            Family::Inet => (packet::open()?, None),
            Family::Inet6 => {
                let icmp = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
                (icmp, Some(packet::open()?))
            }
        };
        // Before a packet socket is bound, which is when it begins to receive.
        socket.attach_filter(&filter::nothing())?;
        let inbox = Inbox::open(&socket, room)?;
        match family {
            Family::Inet => socket.bind(&device_address(0, EtherType::ARP)?)?,
            Family::Inet6 => {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            }
        }
        Ok(Self {
            family,
            socket,
            frames,
            inbox,
        })
    }

    /// Has what `program` makes of these pass from now on. Tells whose that is: anybody's, if the kernel has
    /// no memory for more. If it fails, what passed before still does.
    pub(super) fn pass(
        &self,
        addresses: Addresses,
        program: impl Fn(&Addresses) -> Program,
    ) -> io::Result<Addresses> {
        if self.attaches(&program(&addresses))? {
            return Ok(addresses);
        }
        // The program before this one counts as long as it is there.
        self.socket.attach_filter(&program(&Addresses::All))?;
        let is_attached = self.attaches(&program(&addresses))?;
        Ok(if is_attached {
            addresses
        } else {
            Addresses::All
        })
    }

    /// Attaches a program, unless the kernel has no memory for it.
    fn attaches(&self, program: &Program) -> io::Result<bool> {
        match self.socket.attach_filter(program) {
            Err(error) if error.raw_os_error() == Some(Errno::ENOMEM as i32) => Ok(false),
            attached => attached.map(|()| true),
        }
    }

    /// A frame that is to leave by a link.
    pub(super) fn letter(&self, index: u32, frame: Vec<u8>) -> io::Result<Letter<Vec<u8>, ()>> {
        let protocol = match self.family {
            Family::Inet => EtherType::ARP,
            Family::Inet6 => EtherType::IPV6,
        };
        Ok(Letter {
            bytes: frame,
            to: device_address(index, protocol)?,
            info: (),
        })
    }

    /// Sends the frames that `letter` makes of these. `unsent` is told which ones do not leave, and why.
    pub(super) fn send_all<Question>(
        &self,
        questions: &[&Question],
        letter: impl FnMut(&Question) -> io::Result<Letter<Vec<u8>, ()>>,
        unsent: impl FnMut(&Question, io::Error),
    ) {
        let socket = self.frames.as_ref().unwrap_or(&self.socket);
        post(socket, questions, letter, unsent);
    }

    /// Hands in what is there, at most one batch.
    pub(super) fn receive(&mut self, each: impl FnMut(&Datagram<'_>)) -> Batch {
        self.inbox.receive(&self.socket, each)
    }
}

impl AsFd for LinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
