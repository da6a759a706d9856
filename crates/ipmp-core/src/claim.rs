//! Addresses that other stations on a link may have: asking, and what is heard (RFC 5227, RFC 4862
//! section 5.4). The engine decides in `engine/conflicts.rs` what follows.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{MacAddress, Time};

/// Does anybody else on a link have an address? One ARP probe (RFC 5227 section 1.1, sender address
/// 0.0.0.0) for IPv4, one neighbour solicitation of duplicate address detection (RFC 4862 section 5.4.2,
/// source `::`) for IPv6. Neither changes what neighbours believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enquiry {
    /// Index of the link to ask on.
    pub index: u32,
    /// Hardware address of that link, to ask from.
    pub mac: MacAddress,
    /// The address asked for.
    pub ip: IpAddr,
}

/// Another station on a link says that it has an address: any ARP packet with it as sender address, or a
/// neighbour advertisement with it as target. ARP probes and duplicate address detection of others are
/// none: they ask, as we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Index of the link that it was heard on.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
    /// Hardware address of who has it, as he tells it: of the sender in ARP, of the target in an
    /// advertisement.
    pub mac: MacAddress,
    /// When it was heard.
    pub received: Time,
}
