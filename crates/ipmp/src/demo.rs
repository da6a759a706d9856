//! `ipmp demo`: both labs, typed as in the manuals, on hosts out of namespaces.
//!
//! host1 has the NICs ge0 and ge1, host2 is another host on the same switch. The commands go through
//! the real `ifconfig` to the real `in.mpathd`; host2 really pings while cables are really pulled.
//! Nothing of the machine is touched, and everything is gone at the end.

mod script;
mod stage;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use self::stage::Stage;

/// Watch a NIC fail and its address live on: both labs, for real, in namespaces.
#[derive(Debug, Parser)]
#[command(
    name = "ipmp demo",
    after_help = "Examples:\n  ipmp demo                     both labs, cables pulled\n  \
                  ipmp demo --lab 1 --fault silent\n  \
                  ipmp demo --lab 2 --keep      then a shell in host1"
)]
struct Options {
    /// Only this lab: 1 (two active NICs) or 2 (one active, one standby)
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2))]
    lab: Option<u8>,
    /// How NICs fail: cable pulled, or switch port silent with the link up
    #[arg(long, value_name = "FAULT", default_value = "pull")]
    fault: Fault,
    /// `FAILURE_DETECTION_TIME` in milliseconds, at least 100
    #[arg(long, value_name = "MS", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(100..=5000))]
    detection: u32,
    /// Afterwards open a shell in host1, the tools on PATH, the lab running
    #[arg(long)]
    keep: bool,
}

/// How a NIC fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// The cable is pulled: no carrier.
    Pull,
    /// The switch port swallows all frames: the carrier stays.
    Silent,
}

/// Runs the demo. Exit status 0 only when everything was as expected.
///
/// Has to be called while there is one thread. In a process that the demo started to be process 1 of
/// a host, it does not return.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    // First of all: this may be process 1 of a host.
    let entered = ipmp_lab::enter();
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let name = OsString::from("ipmp demo");
    let options = match Options::try_parse_from([name].iter().chain(arguments)) {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            // The rest of it is what --help says, and at greater length.
            let error = error.to_string();
            let mut lines = error.lines();
            let reason = lines.next().unwrap_or_default();
            let mut reason = reason.trim_start_matches("error: ").to_owned();
            // Which values there are.
            if let Some(values) = lines.next().filter(|line| line.contains("possible values")) {
                reason.push(' ');
                reason.push_str(values.trim());
            }
            let _closed = writeln!(err, "ipmp: demo: {reason} (see ipmp demo --help)");
            return ExitCode::FAILURE;
        }
        Err(help) => {
            let _closed = write!(out, "{help}");
            return ExitCode::SUCCESS;
        }
    };
    let played = entered
        .map_err(anyhow::Error::from)
        .and_then(|()| run(&options, &mut out));
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _closed = writeln!(err, "ipmp: demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the labs that were asked for; whether all was as expected.
fn run(options: &Options, out: &mut dyn Write) -> anyhow::Result<bool> {
    let mut stage = Stage::build(options.fault, options.detection, out)?;
    script::own_addresses(&mut stage)?;
    if options.lab.is_none_or(|lab| lab == 1) {
        script::lab1(&mut stage)?;
    }
    if options.lab.is_none_or(|lab| lab == 2) {
        script::lab2(&mut stage)?;
    }
    let passed = stage.table()?;
    if options.keep {
        stage.shell()?;
    }
    Ok(passed)
}
