//! `ifconfig`, `ipmpstat`, `if_mpadm`, `eeprom`, `ipmp`: parse words, ask the daemon, print.
//!
//! Every tool is a function of its arguments, an [`Environment`] (the daemon to ask, the
//! configuration files to read) and a [`Console`] to print on; it returns its exit code. Nothing
//! here decides anything about addresses: words become [`ipmp_core::Command`]s, a
//! [`ipmp_core::Snapshot`] becomes text.
//!
//! | module | tool | asks the daemon for |
//! |---|---|---|
//! | [`ifconfig`] | `ifconfig` | one command for each word; a snapshot to list |
//! | [`ipmpstat`] | `ipmpstat` | a snapshot; for `-p` what becomes of probes |
//! | [`if_mpadm`] | `if_mpadm` | offline and online |
//! | [`eeprom`] | `eeprom` | how hardware addresses are given |
//! | [`boot`] | `ipmp boot`, `ipmp check` | what the files in `/etc` say, through `ifconfig`'s words |
//! | [`events`] | `ipmp events` | what changed |
//! | [`explain`] | `ipmp explain` | a snapshot |
//! | [`metrics`] | `ipmp metrics` | a snapshot |
//! | [`move_address`] | `ipmp move` | a move |
//! | [`replay`] | `ipmp replay` | nothing: it feeds an engine of its own |
//! | [`status`] | `ipmp status` | a snapshot |
//! | [`teardown`] | `ipmp teardown` | that everything is put back as it was |
//! | [`top`] | `ipmp top` | snapshots, what changes, what becomes of probes |

pub mod boot;
pub mod completions;
pub mod console;
pub mod daemon;
pub mod document;
pub mod eeprom;
pub mod etc;
pub mod events;
pub mod explain;
mod file;
pub mod if_mpadm;
pub mod ifconfig;
pub mod ipmpstat;
pub mod local;
pub mod metrics;
pub mod move_address;
pub mod replay;
pub mod status;
pub mod teardown;
pub mod terminal;
pub mod top;

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod sample;

pub use console::Console;
pub use daemon::{Daemon, Environment, Failure};
pub use terminal::Terminal;
