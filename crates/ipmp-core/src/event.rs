//! What can happen to the engine.

use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::detect::Reply;
use crate::kernel::Change;
use crate::plan::OperationError;
use crate::settings::Settings;

/// Something happened. Every event can be written down and replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// What changed in the kernel since it was last told, in order, or what it holds, read anew. All that
    /// is known belongs into one event: things are decided once for each.
    Kernel(Vec<Change>),
    /// A probe was answered.
    Reply(Reply),
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
    /// The settings were read (again).
    Settings(Settings),
    /// A deadline was reached, or nothing in particular happened.
    Tick,
}
