//! Who else has an address of ours: what is asked about it, and who says that it is his.
//!
//! The question is that of duplicate address detection: it names no sender (RFC 5227 section 1.1, RFC
//! 4862 section 5.4.2), so that it is no claim itself and changes nobody's cache. Whatever
//! names an address of ours as its sender's counts, answer or not: others may claim one at any time.
//! Somebody who only asks has nothing yet.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use ipmp_core::{Claim, Enquiry, Family};
use nix::errno::Errno;

use super::filter::{self, Addresses, last_word};
use super::inbox::Datagram;
use super::link::LinkSocket;
use super::{arp, neighbour};

/// Bytes of claims that are to find room in the kernel until they are looked at. It doubles that and counts its own
/// bookkeeping, some 800 bytes for each: about 2600. What finds no room is one of many.
const ROOM: usize = 1 << 20;

/// A socket for the claims of a family on all interfaces.
#[derive(Debug)]
pub struct ClaimSocket {
    link: LinkSocket,
    family: Family,
    /// What is ours, and on which link others would see it.
    listened: BTreeSet<(u32, IpAddr)>,
    /// Whose claims were last asked of the kernel to pass: it counts as attached again what is the same.
    addresses: Addresses,
}

impl ClaimSocket {
    /// Opens the socket of a family. Fails without `CAP_NET_RAW`, or if the kernel lacks the family.
    pub fn open(family: Family) -> io::Result<Self> {
        Ok(Self {
            link: LinkSocket::open(family, ROOM)?,
            family,
            listened: BTreeSet::new(),
            addresses: Addresses::none(),
        })
    }

    /// From now on claims of these are told, each on its link; of other families' nothing is. If it fails, the
    /// ones before are still told.
    pub fn listen(&mut self, places: &BTreeSet<(u32, IpAddr)>) -> io::Result<()> {
        let mut listened = places.clone();
        listened.retain(|(_, ip)| Family::of(*ip) == self.family);
        let words = listened.iter().map(|(_, ip)| match ip {
            IpAddr::V4(ip) => u32::from(*ip),
            IpAddr::V6(ip) => last_word(*ip),
        });
        let addresses: Addresses = words.collect();
        // An address that moves, moves to another link; the kernel looks at addresses alone.
        if addresses != self.addresses {
            self.link
                .pass(addresses.clone(), |addresses| match self.family {
                    Family::Inet => filter::arp_claims(addresses),
                    Family::Inet6 => filter::neighbour_advertisements(addresses, false),
                })?;
            self.addresses = addresses;
        }
        self.listened = listened;
        Ok(())
    }

    /// Asks, each on its link. `unsent` is told which questions have not left and why: the link is gone or
    /// down, or its queue is full.
    pub fn ask_all(&self, enquiries: &[&Enquiry], unsent: impl FnMut(&Enquiry, io::Error)) {
        let letter = |enquiry: &Enquiry| {
            let frame = match (self.family, enquiry.ip) {
                (Family::Inet, IpAddr::V4(ip)) => arp::request(enquiry.mac, ip)?,
                (Family::Inet6, IpAddr::V6(ip)) => neighbour::solicitation(enquiry.mac, None, ip)?,
                _ => return Err(Errno::EAFNOSUPPORT.into()),
            };
            self.link.letter(enquiry.index, frame)
        };
        self.link.send_all(enquiries, letter, unsent);
    }

    /// Hands in the claims that are there, off about so many datagrams at `most`; those of interfaces of
    /// this host are among them. Tells how many datagrams were taken, whatever they were.
    pub fn receive(&mut self, most: usize, mut each: impl FnMut(Claim)) -> usize {
        let (family, listened) = (self.family, &self.listened);
        let mut taken = 0;
        while taken < most {
            let batch = self.link.receive(|datagram| {
                let claim = claim(datagram, family);
                let ours = claim.filter(|claim| listened.contains(&(claim.index, claim.ip)));
                if let Some(claim) = ours {
                    each(claim);
                }
            });
            taken += batch.taken;
            if !batch.is_full() {
                break;
            }
        }
        taken
    }
}

impl AsFd for ClaimSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

/// What somebody says of himself in a frame with ARP, or in an `ICMPv6` packet.
pub(super) fn claim(datagram: &Datagram<'_>, family: Family) -> Option<Claim> {
    let (ip, mac): (IpAddr, _) = match family {
        Family::Inet => {
            let (ip, mac) = arp::Heard::in_frame(datagram.bytes)?.sender()?;
            (ip.into(), mac)
        }
        Family::Inet6 => {
            let heard = neighbour::Heard::in_packet(datagram)?;
            (heard.target.into(), heard.mac)
        }
    };
    if ip.is_unspecified() {
        return None;
    }
    Some(Claim {
        index: datagram.index,
        ip,
        mac,
        received: datagram.received,
    })
}

#[cfg(test)]
mod tests;
