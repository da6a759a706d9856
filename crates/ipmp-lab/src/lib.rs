//! Hosts, switches and cables out of namespaces, with faults.
//!
//! A [`Lab`] is built of values: a [`Host`] is a network, mounts, a name and processes of its own; a
//! [`Switch`] learns and forwards, in a thread of ours; a [`Cable`] between them can be pulled, fall
//! silent, lose or delay frames. No root is needed where user namespaces are allowed, and nothing of
//! the machine is touched.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! ipmp_lab::enter()?; // first thing in main
//! let lab = ipmp_lab::Lab::new(&std::env::current_exe()?)?;
//! let switch = lab.switch();
//! let host1 = lab.host("host1")?;
//! let ge0 = host1.nic("ge0", &switch)?;
//! host1.run("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
//! ge0.cable.pull()?;
//! # Ok(())
//! # }
//! ```
//!
//! | what | how many | ends |
//! |---|---|---|
//! | [`Lab`] | one per test | by being dropped, and everything in it |
//! | process 1 of a host | one per host | with the host, or when its stdin closes because we are gone |
//! | backplane: the namespace with the switch ends of all cables | one per lab | with the lab |
//! | switch thread | one per lab | with the lab |
//! | traffic generators ([`traffic`]) | one thread for each sender | by being stopped, or at their limit |
//!
//! Errors are one line: `lab: object: reason`.

pub mod labs;
pub mod traffic;

mod cable;
mod enter;
mod error;
mod fabric;
mod host;
mod lab;
mod links;
mod wait;

pub use cable::{Cable, Direction, Switch};
pub use enter::{EnterError, INIT, enter};
pub use error::LabError;
pub use fabric::{Counter, Dice};
pub use host::{Host, Nic, Output, Process};
pub use lab::Lab;
pub use wait::wait_until;
