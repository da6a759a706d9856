//! What in.mpathd and its tools say to each other, and where they meet.
//!
//! ```text
//! ifconfig, if_mpadm, ipmpstat ...                       in.mpathd
//!   start::ensure_daemon() --- starts it if need be ------->  |
//!   Client --- wire (varlink, JSON ended by NUL) ---> control socket
//!                                                       RunDirectory: socket, pid file, state
//!   saved::read <--- listing without a daemon ----------- saved::write
//!   recording::Reader <--- ipmp replay ----------------- a file, if it is to record
//! ```
//!
//! There is one daemon, one [`RunDirectory`] and one control socket per network namespace. A tool
//! finds them by the namespace it runs in.
//!
//! The protocol is [varlink](https://varlink.org), so `varlinkctl introspect` and `varlinkctl call`
//! work on it. The framing is our own, over `serde_json`: the varlink libraries there are do not
//! bound the size of a message, and a daemon that anybody may talk to must.

mod client;
pub mod interface;
pub mod recording;
pub mod rundir;
pub mod saved;
pub mod start;
pub mod wire;

pub use client::{CallError, Client};
pub use rundir::{RunDirectory, RunDirectoryError};
pub use start::{StartError, TO_START, ensure_daemon};
