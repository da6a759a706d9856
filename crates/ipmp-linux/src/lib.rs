//! Where the kernel begins: netlink, probe and announcement sockets, sysctls, namespaces.
//!
//! Everything above speaks the words of `ipmp-core`; no type of a netlink or socket crate shows in the
//! public interface. Each thing here belongs to the network namespace of the thread that opened it.
//!
//! | what | how many | owned by |
//! |---|---|---|
//! | [`rtnl::Rtnl`] | one per daemon or tool | its driver loop |
//! | [`rtnl::Carriers`] | one per daemon | a thread of its own |
//! | [`probe::EchoSocket`] | one per family | the driver loop |
//! | [`probe::ArpSocket`], [`probe::NeighbourSocket`] | one of each | the driver loop |
//! | [`probe::ClaimSocket`] | one per family | the driver loop |
//! | [`neighbours::neighbours`] | a socket for each call, closed before it returns | nobody |
//! | [`announce::Announcer`] | one | the driver loop |
//!
//! Numbers that the kernel sends are checked before they are believed: nothing received panics.

pub mod announce;
pub mod clock;
#[doc(hidden)]
pub mod fuzzing;
pub mod neighbours;
pub mod netns;
mod packet;
pub mod probe;
pub mod process;
pub mod realtime;
mod receive_buffer;
pub mod rtnl;
mod sysctl;
pub mod wire;

pub use clock::{Alarm, monotonic_now};
pub use receive_buffer::set_receive_buffer;
