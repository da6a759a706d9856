//! A tap: what arrives at a NIC, noted frame by frame.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use ipmp_core::MacAddress;
use ipmp_lab::{Host, wait_until};
use ipmp_linux::wire::{HEADER, LARGEST, Wire};
use libtest_mimic::Failed;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::bed::PATIENCE;

/// How often the tap looks whether it is to stop, in milliseconds.
const LOOK: u8 = 20;

/// Notes frames until it is dropped.
#[derive(Debug)]
pub(crate) struct Tap {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A frame that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    /// The NIC that sent it.
    pub(crate) mac: MacAddress,
    pub(crate) packet: Packet,
}

/// What was in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// An ARP packet, request or reply: who says so, and whom it is about.
    Arp { sender: Ipv4Addr, target: Ipv4Addr },
    /// A neighbour advertisement, and whom it is about.
    Advertisement { target: Ipv6Addr },
    /// An echo request.
    Echo { source: IpAddr, to: IpAddr },
    /// Any other IP packet.
    Other { source: IpAddr, to: IpAddr },
}

impl Tap {
    /// Listens at a NIC from now on.
    pub(crate) fn at(host: &Host, nic: &str) -> Result<Self, Failed> {
        let wire = host.enter(|| -> Result<Wire, Failed> {
            let index = std::fs::read_to_string(format!("/sys/class/net/{nic}/ifindex"))?;
            Ok(Wire::open(index.trim().parse()?)?)
        })??;
        let (seen, stop) = (Arc::default(), Arc::default());
        let thread = std::thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || listen(&wire, &seen, &stop)
        });
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// All that arrived so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until what has arrived satisfies `enough`; all that arrived until then.
    pub(crate) fn awaits(
        &self,
        what: &str,
        enough: impl Fn(&[Seen]) -> bool,
    ) -> Result<Vec<Seen>, Failed> {
        let waited = wait_until(what, PATIENCE, || enough(&self.seen()));
        let seen = self.seen();
        match waited {
            Ok(_) => Ok(seen),
            Err(error) => Err(format!("{error}; the last frames: {:?}", last(&seen)).into()),
        }
    }

    /// When such packets came from a NIC.
    pub(crate) fn times(&self, packet: &Packet, mac: MacAddress) -> Vec<Instant> {
        let seen = self.seen();
        let such = seen
            .iter()
            .filter(|seen| seen.mac == mac && seen.packet == *packet);
        such.map(|seen| seen.at).collect()
    }

    /// Gratuitous ARP packets for an address from a NIC, and when they came.
    pub(crate) fn announcements(&self, ip: Ipv4Addr, mac: MacAddress) -> Vec<Instant> {
        let announcement = Packet::Arp {
            sender: ip,
            target: ip,
        };
        self.times(&announcement, mac)
    }

    /// Neighbour advertisements for an address from a NIC, and when they came.
    pub(crate) fn advertisements(&self, ip: Ipv6Addr, mac: MacAddress) -> Vec<Instant> {
        self.times(&Packet::Advertisement { target: ip }, mac)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// The end of a list, for a message.
fn last(seen: &[Seen]) -> &[Seen] {
    seen.get(seen.len().saturating_sub(10)..)
        .unwrap_or_default()
}

fn listen(wire: &Wire, seen: &Mutex<Vec<Seen>>, stop: &AtomicBool) {
    use std::os::fd::AsFd;
    let mut buffer = vec![0; LARGEST];
    while !stop.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(wire.as_fd(), PollFlags::POLLIN)];
        // An error here is an interruption; the next round knows.
        let _ready = poll(&mut fds, PollTimeout::from(LOOK));
        while let Ok(length) = wire.receive(&mut buffer) {
            let at = Instant::now();
            let frame = buffer.get(HEADER..length).unwrap_or_default();
            if let Some((mac, packet)) = parse(frame) {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push(Seen { at, mac, packet });
            }
        }
    }
}

/// The sender and content of an Ethernet frame of a kind that is noted.
fn parse(frame: &[u8]) -> Option<(MacAddress, Packet)> {
    let mac = MacAddress(*frame.get(6..)?.first_chunk()?);
    let packet = match frame.get(12..14)? {
        // RFC 826.
        [0x08, 0x06] => Packet::Arp {
            sender: v4(frame, 28)?.into(),
            target: v4(frame, 38)?.into(),
        },
        // RFC 791; ICMP echo request is type 8.
        [0x08, 0x00] => {
            let (source, to) = (v4(frame, 26)?.into(), v4(frame, 30)?.into());
            let payload = 14 + usize::from(frame.get(14)? & 0xf) * 4;
            match (frame.get(23)?, frame.get(payload)) {
                (1, Some(8)) => Packet::Echo { source, to },
                _ => Packet::Other { source, to },
            }
        }
        // RFC 8200; ICMPv6 echo request is type 128, neighbour advertisement 136.
        [0x86, 0xdd] => {
            let (source, to) = (v6(frame, 22)?.into(), v6(frame, 38)?.into());
            match (frame.get(20)?, frame.get(54)) {
                (58, Some(128)) => Packet::Echo { source, to },
                (58, Some(136)) => Packet::Advertisement {
                    target: v6(frame, 62)?.into(),
                },
                _ => Packet::Other { source, to },
            }
        }
        _ => return None,
    };
    Some((mac, packet))
}

fn v4(frame: &[u8], at: usize) -> Option<[u8; 4]> {
    frame.get(at..)?.first_chunk().copied()
}

fn v6(frame: &[u8], at: usize) -> Option<[u8; 16]> {
    frame.get(at..)?.first_chunk().copied()
}
