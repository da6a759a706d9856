//! Taking datagrams off a socket, many at a time, with what the kernel knows of each.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use ipmp_core::Time;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, setsockopt,
    sockopt,
};
use socket2::Socket;

use crate::clock::Moment;
use crate::set_receive_buffer;

/// How many datagrams are taken off a socket at a time: what 256 interfaces bring within two
/// milliseconds at 14 ms between two probes. Room for all is made each time, so that more is dearer.
const BATCH: usize = 32;

/// Room for every answer to a probe of ours, IP options included. Longer ones are not ours.
const LARGEST: usize = 256;

/// Bytes of answers to probes that are to find room in the kernel while the daemon is busy: one that finds
/// none would be taken for a lost probe. The kernel doubles it and counts its own bookkeeping, some 800 bytes
/// for each: about ten thousand.
pub(super) const ROOM_FOR_ANSWERS: usize = 4 << 20;

/// How many errors in a row are read off a socket (a link that goes leaves some) before it is given
/// up for this time.
const ERRORS: u32 = 16;

/// A datagram and what the kernel says of it.
#[derive(Debug)]
pub(super) struct Datagram<'a> {
    pub(super) bytes: &'a [u8],
    /// Index of the link it came in on.
    pub(super) index: u32,
    /// Who sent it, of IP.
    pub(super) source: Option<IpAddr>,
    /// To which address, of IP.
    pub(super) destination: Option<IpAddr>,
    /// Hop limit, of IPv6, if the socket was asked to tell.
    pub(super) hop_limit: Option<i32>,
    /// When the kernel took it off the link.
    pub(super) received: Time,
}

/// What was taken off a socket at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    /// How many datagrams, those included that were too long to be handed in.
    pub(super) taken: usize,
}

impl Batch {
    /// Whether there may be more.
    pub(super) const fn is_full(self) -> bool {
        self.taken == BATCH
    }
}

/// Where datagrams of a socket go.
#[derive(Debug)]
pub(super) struct Inbox(Vec<[u8; LARGEST]>);

impl Inbox {
    /// Prepares a socket for receiving: with stamps, not blocking, with so many bytes of room in the kernel, which
    /// doubles them and counts its own bookkeeping.
    pub(super) fn open(socket: &Socket, room: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
        set_receive_buffer(socket, room)?;
        Ok(Self(vec![[0; LARGEST]; BATCH]))
    }

    /// Hands in what is there, at most one batch.
    pub(super) fn receive(
        &mut self,
        socket: &Socket,
        mut each: impl FnMut(&Datagram<'_>),
    ) -> Batch {
        for _ in 0..ERRORS {
            match self.receive_batch(socket, &mut each) {
                Ok(batch) => return batch,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(error) => tracing::debug!(%error, "cannot receive on a probe socket"),
            }
        }
        Batch { taken: 0 }
    }

    fn receive_batch(
        &mut self,
        socket: &Socket,
        each: &mut impl FnMut(&Datagram<'_>),
    ) -> Result<Batch, Errno> {
        // The headers are made anew each time: what the kernel writes into them would limit the next
        // use.
        let control = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int, libc::timespec);
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, Some(control));
        let mut slices: Vec<_> = self.0.iter_mut().map(|b| [IoSliceMut::new(b)]).collect();
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &mut slices,
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let now = Moment::now();
        let mut batch = Batch { taken: 0 };
        for message in received {
            batch.taken += 1;
            if let Some(datagram) = read(&message, now) {
                each(&datagram);
            }
        }
        Ok(batch)
    }
}

/// What a message is; `None` if it does not fit, or the kernel does not say where it came in.
fn read<'a>(message: &'a RecvMsg<'_, '_, SockaddrStorage>, now: Moment) -> Option<Datagram<'a>> {
    if message.flags.contains(MsgFlags::MSG_TRUNC) {
        return None;
    }
    let from = message.address?;
    let mut index = from
        .as_link_addr()
        .and_then(|link| u32::try_from(link.ifindex()).ok());
    let mut destination = None;
    let mut hop_limit = None;
    let mut stamp = None;
    for part in message.cmsgs().ok()? {
        match part {
            ControlMessageOwned::ScmTimestampns(at) => stamp = Some(at),
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                index = u32::try_from(info.ipi_ifindex).ok();
                destination = Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                index = Some(info.ipi6_ifindex);
                destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
            }
            ControlMessageOwned::Ipv6HopLimit(limit) => hop_limit = Some(limit),
            _ => {}
        }
    }
    let inet = from.as_sockaddr_in().map(|from| from.ip().into());
    let source = inet.or_else(|| from.as_sockaddr_in6().map(|from| from.ip().into()));
    Some(Datagram {
        bytes: message.iovs().next().unwrap_or_default(),
        index: index?,
        source,
        destination,
        hop_limit,
        received: stamp.map_or(now.monotonic(), |stamp| now.monotonic_of(stamp)),
    })
}
