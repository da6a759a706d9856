//! How long do operators wait? `ipmpstat` and its like on a host with many NICs and addresses.
//!
//! The real daemon on a host out of namespaces has 256 NICs in groups of sixteen, and 4096 data
//! addresses. Each command is run as an operator would, a process of its own, and timed from its start
//! to its end; the median is held against the target. A miss makes the exit status 1.
//!
//! ```text
//! cargo bench -p ipmp --bench latency -- [--nics N] [--addresses N] [--runs N]
//! ```

#[path = "../../tests/lab/bed.rs"]
#[expect(dead_code, reason = "shared with the lab tests")]
mod bed;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use clap::Parser;
use ipmp_api::Client;
use ipmp_core::Command;
use ipmp_lab::{Host, Lab};
use libtest_mimic::Failed;

use bed::{PROGRAM, run_directory};

/// NICs of a group.
const MEMBERS: u32 = 16;

/// How long a command may take, its start and end included, so that nobody waits for it.
const TABLE: Duration = Duration::from_millis(50);

/// The same for a document of a megabyte, for which programs wait.
const DOCUMENT: Duration = Duration::from_millis(100);

/// What is run.
const COMMANDS: [&str; 8] = [
    "ipmpstat -i",
    "ipmpstat -g",
    "ipmpstat -an",
    "ipmpstat -nt",
    "ipmpstat --json -a",
    "ipmp status",
    "ipmp status --json",
    "ipmp --version",
];

/// Measures how long commands take on a large host.
#[derive(Parser)]
struct Options {
    /// How many NICs the host has.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=256))]
    nics: u32,
    /// How many data addresses, spread over them.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=16384))]
    addresses: u32,
    /// How often each command is run.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// What cargo says when it wants to have something measured.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let entered = ipmp_lab::enter();
    let options = Options::parse();
    let mut out = io::stdout();
    if !options.bench {
        // `cargo test --all-targets` starts benches too.
        let _closed = writeln!(out, "latency: measures under cargo bench only");
        return ExitCode::SUCCESS;
    }
    if let Err(error) = entered {
        let _closed = writeln!(io::stderr(), "latency: {error}");
        return ExitCode::FAILURE;
    }
    match measure(&options, &mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failed) => {
            let reason = failed.message().unwrap_or("failed");
            let _closed = writeln!(io::stderr(), "latency: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints; whether the target was met.
fn measure(options: &Options, out: &mut impl Write) -> Result<bool, Failed> {
    let lab = Lab::new(Path::new(PROGRAM))?;
    let host = lab.host("host1")?;
    let switch = lab.switch();
    for nic in 0..options.nics {
        let name = format!("ge{nic}");
        host.nic(&name, &switch)?;
        for address in addresses(options, nic) {
            host.configure(&name, &address)?;
        }
    }
    host.run("in.mpathd")?;
    let begun = Instant::now();
    host.enter(|| set_up(options))??;
    let cores = available_parallelism().map_or(0, usize::from);
    writeln!(
        out,
        "{} NICs, {} data addresses, in groups after {:.1} s; {cores} cores; \
         load {}; runs: {}.\n\n{:<22}{:>10}{:>10}  target",
        options.nics,
        options.addresses,
        begun.elapsed().as_secs_f64(),
        load(),
        options.runs,
        "command",
        "median ms",
        "max ms",
    )?;
    let mut met = true;
    for command in COMMANDS {
        met &= row(&host, command, options.runs, out)?;
    }
    Ok(met)
}

fn row(host: &Host, command: &str, runs: u32, out: &mut impl Write) -> Result<bool, Failed> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let begun = Instant::now();
        let output = host.run(command)?;
        times.push(begun.elapsed());
        if !output.success() {
            return Err(format!("{command}: {}", output.stderr).into());
        }
    }
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let most = times.last().copied().unwrap_or_default();
    let target = if command.contains("--json") {
        DOCUMENT
    } else {
        TABLE
    };
    let meets = median <= target;
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let verdict = if meets { "pass" } else { "FAIL" };
    writeln!(
        out,
        "{command:<22}{:>10.1}{:>10.1}  {verdict}",
        ms(median),
        ms(most)
    )?;
    out.flush()?;
    Ok(meets)
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_owned()
}

/// The data addresses of a NIC, `/16`, one network for each group.
fn addresses(options: &Options, nic: u32) -> impl Iterator<Item = String> {
    let network = nic / MEMBERS;
    (nic..options.addresses)
        .step_by(usize::try_from(options.nics).unwrap_or(usize::MAX))
        .map(move |number| {
            let [.., high, low] = (number + 1).to_be_bytes();
            format!("10.{network}.{high}.{low}/16")
        })
}

/// Puts the NICs into their groups: what addresses they have become data addresses by that.
fn set_up(options: &Options) -> Result<(), Failed> {
    let mut client = Client::connect_to(&run_directory()?.socket())?;
    for nic in 0..options.nics {
        client.execute(&Command::SetGroup {
            interface: format!("ge{nic}").parse()?,
            group: Some(format!("g{}", nic / MEMBERS).parse()?),
        })??;
    }
    Ok(())
}
