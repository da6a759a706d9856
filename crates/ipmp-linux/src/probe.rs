//! Probe sockets: what is asked out of one interface, whatever the routing table says, and the
//! answers, with the time at which the kernel took them off the link.
//!
//! One socket of each kind serves all interfaces: what comes in is looked at once, not once for each
//! interface. Both ways go many at a time. Each probe says which link it is to leave
//! by, and the kernel says of each answer which link it came in on. Classic BPF programs drop in the
//! kernel what cannot be an answer to us, so that nobody else's traffic wakes the daemon.
//!
//! | what | socket | how it is told from other packets |
//! |---|---|---|
//! | [`EchoSocket`] | raw ICMP or `ICMPv6`, one for each family | identifier; sequence and payload are the caller's to check |
//! | [`ArpSocket`] | packet socket for ARP | a reply of a target, to the link's own hardware address |
//! | [`NeighbourSocket`] | raw `ICMPv6`; sends frames | a target's solicited advertisement with hop limit 255 |
//! | [`ClaimSocket`] | one more of either kind | it names an address of ours as somebody's |

mod arp;
mod claims;
mod echo;
mod filter;
pub(crate) mod fuzzing;
mod inbox;
mod link;
mod neighbour;
mod outbox;

pub use arp::ArpSocket;
pub use claims::ClaimSocket;
pub use echo::EchoSocket;
pub use neighbour::NeighbourSocket;
