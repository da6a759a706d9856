//! `ipmp exporter`: the metrics of `ipmp metrics` over HTTP, for a Prometheus that scrapes.
//!
//! It is a program of its own beside the daemon: that one, which owns the host's addresses, never
//! listens on a network. This one may nothing: it runs as an ordinary user, listens on loopback only,
//! and asks the daemon what anybody may ask, once for each scrape.
//!
//! | there is | bounded by |
//! |---|---|
//! | one task for each connection | [`server::CONNECTIONS`]; whoever comes then waits in the kernel |
//! | one request on a connection | [`server::PATIENCE`] for its head, [`server::LIFETIME`] for all |
//! | one question to the daemon at a time | [`scrape::PATIENCE`] |

mod answer;
mod options;
mod scrape;
mod server;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::process::ExitCode;

use ipmp_api::{RunDirectory, RunDirectoryError};
use nix::sys::prctl::set_no_new_privs;
use nix::unistd::geteuid;
use thiserror::Error;

use options::{Options, UsageError};
use scrape::Scrape;

/// Why there is no exporter.
#[derive(Debug, Error)]
enum ExporterError {
    /// What it does needs no privileges, and it speaks with whoever connects.
    #[error(
        "runs as an ordinary user, not as root (systemctl start ipmp-exporter, or \
         setpriv --reuid=nobody --regid=nogroup --clear-groups ipmp exporter)"
    )]
    Root,
    /// The place to look for the daemon could not be found out.
    #[error(transparent)]
    RunDirectory(#[from] RunDirectoryError),
    /// Somebody else listens there, most likely.
    #[error("{0}: {1}")]
    Listen(std::net::SocketAddr, io::Error),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs `ipmp exporter` with these arguments, the verb not among them.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(UsageError::Help) => {
            // Nobody may be there to read it any more.
            let _ = io::stdout().write_all(options::USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            say(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal ends it.
fn run(options: &Options) -> Result<(), ExporterError> {
    if geteuid().is_root() {
        return Err(ExporterError::Root);
    }
    set_no_new_privs().map_err(io::Error::from)?;
    let scrape = Scrape::of(RunDirectory::of_this_namespace()?.socket());
    let failed = |error| ExporterError::Listen(options.listen, error);
    let listener = TcpListener::bind(options.listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    listener.set_nonblocking(true)?;
    say(&format!("metrics are at http://{address}/metrics"));
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(scrape::THREADS)
        .build()?
        .block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            server::serve(listener, scrape).await;
            Ok(())
        })
}

/// Says something to whoever started it. Where nobody listens, it is not said.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "ipmp: exporter: {text}");
}
