//! IP network multipathing without I/O.
//!
//! This crate decides; it does nothing. It has no clock, no socket, no file and no thread: time is an
//! argument, what happened comes in as an [`Event`], what is to be done goes out as [`Action`]s, and
//! each action's result comes back as another event.
//!
//! ```text
//! Event --> Engine::handle(now, event) --> Action
//!             detect     which interfaces work?              (knows nothing of addresses)
//!             placement  which interface holds what?         (knows nothing of probes)
//!             desired    what should the kernel hold of ours?
//!             plan       in which order do we get there?     (make before break)
//! ```
//!
//! There is one [`Engine`] per network namespace. It owns one [`Asked`] (what the administrator typed),
//! one [`Kernel`] (what the kernel was last seen to hold) and one [`detect::Detection`].

pub mod action;
pub mod address;
pub mod asked;
pub mod claim;
pub mod command;
pub mod desired;
pub mod detect;
pub mod engine;
pub mod event;
pub mod flags;
pub mod hand;
pub mod kernel;
pub mod mac;
pub mod message;
pub mod name;
pub mod placement;
pub mod plan;
#[cfg(test)]
mod random_histories;
pub mod record;
#[cfg(any(test, feature = "reference"))]
pub mod reference;
mod remembered;
pub mod settings;
pub mod snapshot;
pub mod time;
pub mod totals;

pub use action::Action;
pub use address::{Family, InterfaceAddress};
pub use asked::Asked;
pub use claim::{Claim, Enquiry};
pub use command::{Answer, Command, Refusal};
pub use engine::Engine;
pub use event::Event;
pub use flags::Flags;
pub use hand::Hand;
pub use kernel::Kernel;
pub use mac::MacAddress;
pub use message::Message;
pub use name::{GroupName, InterfaceName, LogicalName};
pub use record::Record;
pub use settings::{Confirm, GroupSettings, ProbeMethod, Settings};
pub use snapshot::Snapshot;
pub use time::Time;
pub use totals::Totals;
