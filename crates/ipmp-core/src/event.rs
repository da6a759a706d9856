//! What can happen to the engine.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::detect::{Neighbour, Reply};
use crate::kernel::Change;
use crate::plan::OperationError;
use crate::settings::Settings;
use crate::{Claim, Enquiry, Time};

/// Something happened. Every event can be written down and replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// What changed in the kernel since it was last told, in order, or what it holds, read anew. All that
    /// is known belongs into one event: things are decided once for each.
    Kernel(Vec<Change>),
    /// A probe was answered.
    Reply(Reply),
    /// The neighbour table of some links was read: everybody there with a hardware address.
    Neighbours(Vec<Neighbour>),
    /// The administrator asks for a change; `id` comes back in [`crate::Action::Answer`].
    Command {
        /// Which request.
        id: u64,
        /// What.
        command: Command,
    },
    /// The plan of the last [`crate::Action::Apply`] was carried out: one result for each of its
    /// operations, in order.
    Applied(Vec<Result<(), OperationError>>),
    /// Whether somebody watches probes: if so, what becomes of each is told.
    TellProbes(bool),
    /// The settings were read (again).
    Settings(Settings),
    /// Links that had their carrier when they were asked for it, and when each was asked last: told before
    /// a loss is, to know how old that may be.
    Carriers(Vec<(u32, Time)>),
    /// The result of the last [`crate::Action::Enquire`]: the enquiries that the kernel took, which may be
    /// none of them.
    Enquired {
        /// Which ones.
        left: Vec<Enquiry>,
    },
    /// Other stations claim addresses that are listened for, at most one claim for each link and address.
    /// What interfaces of this network namespace say themselves is none.
    Claims(Vec<Claim>),
    /// A deadline was reached, or nothing in particular happened.
    Tick,
}
