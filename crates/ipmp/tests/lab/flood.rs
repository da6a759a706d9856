//! A flood: forged frames that come out of a NIC's cable, as many as may be, for as long as it lasts.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use etherparse::icmpv6::NeighborAdvertisementHeader;
use etherparse::{ArpEthIpv4Packet, ArpOperation, Icmpv6Type, PacketBuilder};
use ipmp_core::MacAddress;
use ipmp_lab::Nic;
use ipmp_linux::wire::{HEADER, Wire};
use libtest_mimic::Failed;

/// Frames per second that are sent if the machine can.
pub(crate) const RATE: u32 = 100_000;

/// From one burst to the next.
const BURST: Duration = Duration::from_millis(1);

/// The end of a flood that nobody stops.
const LIMIT: Duration = Duration::from_mins(1);

/// Forged frames coming in at a NIC until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Flooded>>,
}

/// What a flood came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flooded {
    pub(crate) frames: u64,
    pub(crate) time: Duration,
}

impl Flooded {
    /// Frames per second.
    pub(crate) fn rate(self) -> f64 {
        f64::from(u32::try_from(self.frames).unwrap_or(u32::MAX)) / self.time.as_secs_f64()
    }
}

impl Flood {
    /// Sends these frames to a NIC again and again.
    pub(crate) fn at(nic: &Nic, frames: &[Vec<u8>]) -> Result<Self, Failed> {
        let wire = nic.cable.wire()?;
        // Nothing is left to be done by whoever receives them.
        let frames: Vec<Vec<u8>> = frames
            .iter()
            .map(|frame| [&[0; HEADER], frame.as_slice()].concat())
            .collect();
        let stop = Arc::<AtomicBool>::default();
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || flood(&wire, &frames, &stop)
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends it.
    pub(crate) fn stop(mut self) -> Result<Flooded, Failed> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or("a flood ends once")?;
        thread.join().map_err(|_| "the flood broke off".into())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn flood(wire: &Wire, frames: &[Vec<u8>], stop: &AtomicBool) -> Flooded {
    let start = Instant::now();
    let mut frames = frames.iter().cycle();
    let mut flooded = Flooded::default();
    while !stop.load(Ordering::Relaxed) && flooded.time < LIMIT {
        let due = u64::try_from(flooded.time.as_micros()).unwrap_or(u64::MAX) * u64::from(RATE)
            / 1_000_000;
        // What a busy machine could not send is not made up for all at once.
        let most = flooded.frames + u64::from(RATE / 100);
        while flooded.frames < due.min(most) {
            // A device that takes no more loses it, as it would on the way.
            let Some(Ok(())) = frames.next().map(|frame| wire.send(frame)) else {
                break;
            };
            flooded.frames += 1;
        }
        sleep(BURST);
        flooded.time = start.elapsed();
    }
    flooded
}

/// A frame with what `write` puts into it.
fn frame(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Failed>) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    write(&mut bytes)?;
    Ok(bytes)
}

/// An echo reply.
pub(crate) fn echo_reply(
    (from, to): (MacAddress, MacAddress),
    (source, destination): (Ipv4Addr, Ipv4Addr),
    (identifier, sequence): (u16, u16),
    payload: &[u8],
) -> Result<Vec<u8>, Failed> {
    frame(|bytes| {
        let packet = PacketBuilder::ethernet2(from.0, to.0)
            .ipv4(source.octets(), destination.octets(), 64)
            .icmpv4_echo_reply(identifier, sequence);
        Ok(packet.write(bytes, payload)?)
    })
}

/// An ARP reply in which `sender` says that he is at `from`.
pub(crate) fn arp_reply(
    (from, to): (MacAddress, MacAddress),
    sender: Ipv4Addr,
) -> Result<Vec<u8>, Failed> {
    let arp = ArpEthIpv4Packet {
        operation: ArpOperation::REPLY,
        sender_mac: from.0,
        sender_ipv4: sender.octets(),
        target_mac: to.0,
        target_ipv4: [0; 4],
    };
    frame(|bytes| {
        let packet = PacketBuilder::ethernet2(from.0, to.0).arp(arp.to_arp_packet());
        Ok(packet.write(bytes)?)
    })
}

/// An unsolicited neighbour advertisement to all nodes, in which `target` says that it is at `from`.
pub(crate) fn advertisement(from: MacAddress, target: Ipv6Addr) -> Result<Vec<u8>, Failed> {
    repeated_advertisement(from, target, 1)
}

/// One in which it says so many times.
pub(crate) fn repeated_advertisement(
    from: MacAddress,
    target: Ipv6Addr,
    times: usize,
) -> Result<Vec<u8>, Failed> {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let kind = Icmpv6Type::NeighborAdvertisement(NeighborAdvertisementHeader {
        router: false,
        solicited: false,
        r#override: true,
    });
    let mut body = target.octets().to_vec();
    // Option 2, target link-layer address, 1 * 8 bytes long.
    for _ in 0..times {
        body.extend_from_slice(&[2, 1]);
        body.extend_from_slice(&from.0);
    }
    frame(|bytes| {
        let packet = PacketBuilder::ethernet2(from.0, [0x33, 0x33, 0, 0, 0, 1])
            .ipv6(target.octets(), all_nodes.octets(), 255)
            .icmpv6(kind);
        Ok(packet.write(bytes, &body)?)
    })
}
