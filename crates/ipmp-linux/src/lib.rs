//! Where the kernel begins: netlink, probe and announcement sockets, sysctls, namespaces.
//!
//! Everything above speaks the words of `ipmp-core`; no type of a netlink or socket crate shows in the
//! public interface. Each thing here belongs to the network namespace of the thread that opened it.
//!
//! | what | how many | owned by |
//! |---|---|---|
//! | [`rtnl::Rtnl`] | one per daemon or tool | its driver loop |
//! | [`rtnl::Carriers`] | one per daemon | a thread of its own |
//! | [`probe::ProbeSocket`] | one per interface and test address | the driver loop |
//! | [`announce::announce`] | a socket for each call, closed before it returns | nobody |
//!
//! Numbers that the kernel sends are checked before they are believed: nothing received panics.

pub mod announce;
pub mod clock;
pub mod netns;
pub mod probe;
pub mod process;
pub mod rtnl;
mod sysctl;
pub mod wire;

pub use clock::monotonic_now;
