//! in.mpathd, the daemon: it watches the interfaces of one network namespace and keeps their
//! addresses where they work.
//!
//! All thinking is in `ipmp-core`; here is what connects it to the world.
//!
//! ```text
//! options, settings --+
//! saved state --------+--> launch --> driver <--> core::Engine
//!                                     | ^
//!        control (clients) -----------+ +---------- netlink, probe sockets, signals, deadlines
//! ```
//!
//! | there is | room | owned by |
//! |---|---|---|
//! | one loop, on the main thread | [`driver`] | |
//! | one engine, one netlink socket | [`driver`] | the loop |
//! | one probe socket of each kind, for all interfaces | [`probes`] | the loop |
//! | one socket for claims of each family, for all interfaces | [`claims`] | the loop |
//! | one thread that asks links for their carrier | [`carrier`] | the loop |
//! | one hook, if any, and one thread that runs it for one event at a time | [`hook`] | the loop |
//! | one recording, if any, and one thread that writes it | [`record`] | the loop |
//! | one task for each client, a bounded number | [`control`] | the control server |
//! | one lock on the lock file | [`instance`] | the process, until it ends |

mod carrier;
mod claims;
mod control;
mod departures;
mod driver;
mod dump;
mod hook;
mod instance;
mod journal;
mod launch;
mod log;
mod options;
mod probes;
mod record;
mod saving;
mod settings;
mod signals;
mod sockets;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use options::{Options, UsageError};

/// The daemon's name, as it stands in the log.
const NAME: &str = "in.mpathd";

/// Runs in.mpathd with these arguments, its name not among them.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter().peekable();
    if args.next_if(|arg| arg == hook::UNDRESS).is_some() {
        return hook::undress(args.next().as_deref());
    }
    match Options::parse(args) {
        Ok(options) => launch::run(&options),
        Err(help @ UsageError::Help) => {
            // Nobody may be there to read it any more.
            let _ = writeln!(io::stdout(), "{help}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            launch::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
