//! How long does the engine take to decide?
//!
//! One of two NICs fails and is repaired, with few data addresses and with thousands. Only the engine is
//! timed: it runs on the kernel that tests have, in virtual time, so that neither netlink nor the network is
//! measured. The daemon sends no probe while it decides, so its longest turn must be short against the
//! failure detection time. `docs/performance.md` tells how to read the table.
//!
//! ```text
//! cargo bench -p ipmp-core --features reference
//! ```

mod host;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use host::{Host, Turns};

/// How many data addresses the NIC has.
const ADDRESSES: [u32; 3] = [64, 512, 4096];

/// How often everything is done from the same state; the shortest time counts.
const RUNS: u32 = 5;

fn main() -> ExitCode {
    let mut out = io::stdout();
    if !env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` starts benches too.
        let _closed = writeln!(out, "decision: measures under cargo bench only");
        return ExitCode::SUCCESS;
    }
    match measure(&mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(io::stderr(), "decision: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(out: &mut impl Write) -> Result<(), String> {
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    writeln!(
        out,
        "{build} build; the shortest of {RUNS} runs, in milliseconds.\n\n\
         {:>9} {:10}{:>10}{:>10}{:>10}{:>13}",
        "addresses", "", "decision", "longest", "all", "other event"
    )
    .map_err(|error| error.to_string())?;
    for count in ADDRESSES {
        let calm = Host::new(count)?;
        let (mut failure, mut repair) = (Turns::LONGEST, Turns::LONGEST);
        for _ in 0..RUNS {
            let mut host = calm.clone();
            failure = failure.min(host.after(|host| host.carrier(false))?);
            repair = repair.min(host.after(|host| host.carrier(true))?);
            host.has_failed_back(count)?;
        }
        for (name, turns) in [("failure", failure), ("repair", repair)] {
            writeln!(
                out,
                "{count:>9} {name:10}{:>10}{:>10}{:>10}{:>13}",
                millis(turns.decision),
                millis(turns.longest),
                millis(turns.all),
                millis(turns.other)
            )
            .map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn millis(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1000.0)
}
