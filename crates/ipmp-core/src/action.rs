//! What the engine wants done.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::asked::Saved;
use crate::command::{Answer, Refusal};
use crate::detect::{Probe, Probed};
use crate::message::Message;
use crate::plan::Plan;
use crate::record::Record;
use crate::{Enquiry, InterfaceName, MacAddress};

/// Something to be done by the driver, in the order given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Carry out a plan and hand its results back as [`crate::Event::Applied`]. There is no second
    /// one before that.
    Apply(Plan),
    /// Send a probe.
    Probe(Probe),
    /// A probe was answered or lost: for whoever watches.
    Probed(Probed),
    /// Read the neighbour tables of these links and hand them in as [`crate::Event::Neighbours`].
    ReadNeighbours(Vec<u32>),
    /// Tell the neighbours where addresses are.
    Announce(Announcement),
    /// Send each of these once, now, and hand in as [`crate::Event::Enquired`] which ones left. An empty
    /// answer is one too.
    Enquire(Vec<Enquiry>),
    /// From now on hand in as [`crate::Event::Claims`] what other stations claim of exactly these: link
    /// and address. Before the first one, of none.
    Listen(BTreeSet<(u32, IpAddr)>),
    /// Write a message to the journal.
    Log(Message),
    /// Put this into the history, and tell those who follow it.
    Record(Record),
    /// Save what the administrator asked for, before any answer that follows.
    Save(Box<Saved>),
    /// Answer the request `id`.
    Answer {
        /// Which request.
        id: u64,
        /// What to say.
        answer: Result<Answer, Refusal>,
    },
    /// Read everything the kernel holds anew and hand it in as [`crate::kernel::Change::Resync`].
    Observe,
}

/// One round of gratuitous ARP (RFC 5227 section 3) for IPv4 and unsolicited neighbour
/// advertisements with the override flag (RFC 4861 section 7.2.6) for IPv6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Name of the link to send on.
    pub interface: InterfaceName,
    /// Index of the link to send on.
    pub index: u32,
    /// Its hardware address.
    pub mac: MacAddress,
    /// The addresses that are there.
    pub addresses: Vec<IpAddr>,
}
