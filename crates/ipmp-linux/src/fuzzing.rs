//! Doors for fuzz targets: what is made of bytes that came from outside, without the sockets.

use ipmp_core::Claim;
use ipmp_core::detect::{Neighbour, Reply};
use ipmp_core::kernel::Change;
use ipmp_core::plan::OperationError;

/// The answers to probes that the parsers of echo replies, ARP and neighbour advertisements find in a
/// packet. Asked was by the hardware address 02:00:00:00:00:01 and from `fe80::1`.
pub fn packet(bytes: &[u8]) -> Vec<Reply> {
    crate::probe::fuzzing::answers(bytes)
}

/// The claims that the parsers of ARP and neighbour advertisements find in a packet.
pub fn claims(bytes: &[u8]) -> Vec<Claim> {
    crate::probe::fuzzing::claims(bytes)
}

/// The changes and the results of requests that a netlink datagram tells.
pub fn netlink(bytes: &[u8]) -> (Vec<Change>, Vec<Result<(), OperationError>>) {
    crate::rtnl::changes_in(bytes)
}

/// The neighbours that a part of a dump tells.
pub fn neighbours(bytes: &[u8]) -> Vec<Neighbour> {
    crate::neighbours::in_part(bytes)
}
