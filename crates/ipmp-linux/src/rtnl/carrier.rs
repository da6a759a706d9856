//! Asking links for their carrier, and whether somebody touched their sysctls.
//!
//! The kernel may tell of a lost carrier up to a second late, and keeps the link's nexthops until then
//! (its link watch, see `docs/linux.md`). Asking shows the driver's state at once. From Linux 6.8 on it
//! does more: the kernel's link watch looks at a link that is asked for by number, so that nexthops go
//! and everybody is told before the answer comes.
//!
//! Most sysctls change without a notification. But the answer has those of the link in it, those of IPv4
//! and IPv6 in one block each, so that a change shows without another question.

use std::io;

use netlink_packet_core::NLM_F_REQUEST;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;

use super::{decode, encode, wire};

/// How many links are asked for at once. The answers, each of 2 kB at most as the kernel accounts for
/// them, must fit the receive buffer that every process may have.
const BATCH: usize = 32;

/// Longest answer about a link that is read whole.
const ANSWER: usize = 8192;

/// What a link answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAnswer {
    /// Its number.
    pub index: u32,
    /// Whether it is set up and has no carrier.
    pub is_lost: bool,
    /// Stands for the values of all its sysctls: another one if one of them is another one.
    pub sysctls: u64,
}

/// A socket that asks links for their carrier, in the network namespace in which it was opened. It
/// hears no notifications.
#[derive(Debug)]
pub struct Carriers {
    socket: Socket,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Carriers {
    /// Opens the socket.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        // Connected, so that no other process's messages come in.
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            request: Vec::new(),
            answer: Vec::with_capacity(ANSWER),
        })
    }

    /// Asks these links, by number. Links that are not there do not answer.
    ///
    /// Waits as long as somebody else holds the kernel's lock on network configuration, which may be
    /// long while a driver starts its device: not for a thread that has other things to do.
    pub fn ask(&mut self, links: &[u32]) -> io::Result<Vec<LinkAnswer>> {
        let mut answers = Vec::with_capacity(links.len());
        for links in links.chunks(BATCH) {
            self.send(links)?;
            self.hear(&mut answers)?;
        }
        Ok(answers)
    }

    fn send(&mut self, links: &[u32]) -> io::Result<()> {
        self.request.clear();
        for &index in links {
            let mut message = encode::link_message(index);
            message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
            let body = wire::bytes_of(&message);
            wire::push_request(
                &mut self.request,
                libc::RTM_GETLINK,
                NLM_F_REQUEST,
                index,
                &body,
            );
        }
        loop {
            match self.socket.send(&self.request, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(drop),
            }
        }
    }

    /// The answers are there when the requests are sent.
    fn hear(&mut self, answers: &mut Vec<LinkAnswer>) -> io::Result<()> {
        loop {
            self.answer.clear();
            match self.socket.recv(&mut self.answer, 0) {
                Ok(_) => {
                    for message in wire::messages(&self.answer) {
                        if message.kind == libc::RTM_NEWLINK
                            && let Some((index, flags)) = decode::link_flags(message.payload)
                        {
                            answers.push(LinkAnswer {
                                index,
                                is_lost: flags.contains(LinkFlags::Up)
                                    && !flags.contains(LinkFlags::LowerUp),
                                sysctls: decode::link_sysctls(message.payload),
                            });
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
