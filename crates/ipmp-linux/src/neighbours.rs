//! The kernel's neighbour tables: who is on a link, as far as this host has talked to them.

use std::io;
use std::net::IpAddr;

use ipmp_core::MacAddress;
use ipmp_core::detect::Neighbour;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;

/// Longest part of a dump. The kernel makes none longer than 32 kB.
const PART: usize = 64 << 10;

/// The neighbours on these links that have a hardware address, of both families; in order, each once.
/// Proxy entries are nobody, and neither are groups, nor those that were asked for and did not answer.
///
/// The kernel gives each answer at once, so that nothing here waits. A link that is gone has none.
pub fn neighbours(links: &[u32]) -> io::Result<Vec<Neighbour>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.set_non_blocking(true)?;
    // Without it the kernel takes no notice of the link asked for.
    socket.set_netlink_get_strict_chk(true)?;
    let mut found = Vec::new();
    for (sequence, &index) in (1..).zip(links) {
        socket.send(&request(sequence, index), 0)?;
        read_dump(&socket, sequence, &mut |message| {
            found.extend(neighbour(&message).filter(|neighbour| neighbour.index == index));
        })?;
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Asks for the neighbours on one link, of all families.
fn request(sequence: u32, index: u32) -> Vec<u8> {
    let mut ask = NeighbourMessage::default();
    ask.attributes.push(NeighbourAttribute::IfIndex(index));
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(
        header,
        NetlinkPayload::from(RouteNetlinkMessage::GetNeighbour(ask)),
    );
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Reads the parts of a dump to its end.
fn read_dump(
    socket: &Socket,
    sequence: u32,
    each: &mut impl FnMut(NeighbourMessage),
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(PART);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        if take_part(&buffer, sequence, each)? {
            return Ok(());
        }
    }
}

/// Takes one part of a dump; whether it was the last.
fn take_part(
    mut rest: &[u8],
    sequence: u32,
    each: &mut impl FnMut(NeighbourMessage),
) -> io::Result<bool> {
    while !rest.is_empty() {
        let Some(length) = length_of(rest) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let (one, others) = rest.split_at(length);
        rest = others;
        // What the crate cannot read is somebody else's kind of neighbour.
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(one) else {
            continue;
        };
        if message.header.sequence_number != sequence {
            continue;
        }
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(told)) => each(told),
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => {
                // Not by the crate's own way, which takes every number for one that has a negative.
                let number = error.code.and_then(|code| code.get().checked_neg());
                return Err(io::Error::from_raw_os_error(number.unwrap_or(libc::EPROTO)));
            }
            _ => {}
        }
    }
    Ok(false)
}

/// The neighbours in one part of a dump: a door for fuzz targets.
pub(crate) fn in_part(bytes: &[u8]) -> Vec<Neighbour> {
    let mut found = Vec::new();
    // What came before an error stays.
    let _is_last = take_part(bytes, 0, &mut |message| found.extend(neighbour(&message)));
    found
}

/// Length of the first message, with what aligns the next one; `None` if it is not all there.
fn length_of(bytes: &[u8]) -> Option<usize> {
    let (&length, _) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_ne_bytes(length)).ok()?;
    let is_whole = (16..=bytes.len()).contains(&length);
    is_whole.then(|| length.next_multiple_of(4).min(bytes.len()))
}

/// Somebody with a hardware address; `None` if the entry is anything else.
fn neighbour(entry: &NeighbourMessage) -> Option<Neighbour> {
    let is_known = matches!(
        entry.header.state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
    );
    if !is_known || entry.header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let mut address = None;
    let mut mac = None;
    for attribute in &entry.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                address = Some(IpAddr::V4(*ip));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                address = Some(IpAddr::V6(*ip));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = bytes.as_slice().try_into().ok().map(MacAddress);
            }
            _ => {}
        }
    }
    let address = address.filter(|ip| !ip.is_multicast() && !ip.is_unspecified())?;
    mac.filter(|mac| mac.is_unicast())?;
    Some(Neighbour {
        index: entry.header.ifindex,
        address,
    })
}
