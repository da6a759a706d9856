//! Frames on their way.

use std::time::Instant;

use ipmp_core::MacAddress;
use ipmp_linux::wire::HEADER;

use super::CableId;

/// An Ethernet frame, with the kernel's header in front.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    /// Trunks it has crossed. Switches here know no spanning tree; a loop must still end.
    pub(crate) hops: u8,
}

impl Frame {
    /// Whom it is for.
    pub(crate) fn destination(&self) -> Option<MacAddress> {
        self.mac(HEADER)
    }

    /// Whom it is from.
    pub(crate) fn source(&self) -> Option<MacAddress> {
        self.mac(HEADER + 6)
    }

    fn mac(&self, at: usize) -> Option<MacAddress> {
        let octets = self.bytes.get(at..)?.first_chunk()?;
        Some(MacAddress(*octets))
    }
}

/// An end of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Near,
    Far,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

/// A frame that comes out of a cable.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) cable: CableId,
    /// The end it comes out of.
    pub(crate) side: Side,
    pub(crate) frame: Frame,
}

/// A frame that a slow cable still holds back.
#[derive(Debug)]
pub(crate) struct Delayed {
    pub(crate) due: Instant,
    /// Frames of the same instant stay in order.
    pub(crate) number: u64,
    pub(crate) arrival: Arrival,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Delayed {}

impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Delayed {
    /// The earliest is the greatest, as a heap hands out the greatest first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}
