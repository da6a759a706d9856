//! How long is the outage when a NIC fails, and when it comes back?
//!
//! Lab 1 is set up with the real tools and the real daemon on hosts out of namespaces. Datagrams go
//! each way, one a millisecond, between host2 and the data address of the NIC that fails; what is
//! lost of them, and for how long, is held against the project's targets. Any miss makes the exit
//! status 1. `docs/performance.md` tells how to read the table.
//!
//! ```text
//! cargo bench -p ipmp --bench outage -- [--runs N] [--only pull|silent]
//! ```

// A measurement needs only part of what tests need.
#[path = "../../tests/lab/bed.rs"]
#[expect(dead_code, reason = "shared with the lab tests")]
mod bed;
mod measure;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::{Parser, ValueEnum};
use libtest_mimic::Failed;

use measure::{Moment, Run, Span};
use target::{Limits, Spread};

/// Connections made from each host in the measurement of TCP.
const CONNECTIONS: usize = 8;

/// Measures the outage when a NIC fails and when it is repaired.
#[derive(Parser)]
struct Options {
    /// How often each fault is measured.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only this fault.
    #[arg(long)]
    only: Option<Fault>,
    /// What cargo says when it wants to have something measured.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// The cable is pulled: the link tells.
    Pull,
    /// The switch port falls silent while the link stays up: only probes tell.
    Silent,
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Pull => "cable pulled",
            Self::Silent => "port silent",
        }
    }
}

/// A fault, the `FAILURE_DETECTION_TIME` it is found with, and what is expected of failure and repair.
struct Case {
    fault: Fault,
    detection_ms: u32,
    failure: Limits,
    repair: Limits,
}

/// A failure found by probes is declared between 0.64 and 0.93 of the failure detection time after
/// the fault; the rest is for carrying it out.
const CASES: [Case; 3] = [
    Case {
        fault: Fault::Pull,
        detection_ms: 1000,
        failure: Limits::Lost { median: 2, most: 5 },
        repair: Limits::Lost { median: 0, most: 1 },
    },
    Case {
        fault: Fault::Silent,
        detection_ms: 1000,
        failure: Limits::Outage {
            least_ms: 640,
            most_ms: 950,
        },
        repair: Limits::Lost { median: 1, most: 1 },
    },
    Case {
        fault: Fault::Silent,
        detection_ms: 100,
        failure: Limits::Outage {
            least_ms: 0,
            most_ms: 110,
        },
        repair: Limits::Lost { median: 1, most: 1 },
    },
];

/// The failure detection time with which connections are measured.
const CONNECTIONS_DETECTION_MS: u32 = 1000;

fn main() -> ExitCode {
    let entered = ipmp_lab::enter();
    let options = Options::parse();
    let mut out = io::stdout();
    if !options.bench {
        // `cargo test --all-targets` starts benches too.
        let _closed = writeln!(out, "outage: measures under cargo bench only");
        return ExitCode::SUCCESS;
    }
    let measured = entered
        .map_err(Failed::from)
        .and_then(|()| measure_all(&options, &mut out));
    match measured {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let reason = error.message().unwrap_or("failed");
            let _closed = writeln!(io::stderr(), "outage: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything that is asked for and prints the table; how many targets were missed.
fn measure_all(options: &Options, out: &mut impl Write) -> Result<usize, Failed> {
    let is_wanted = |fault| options.only.is_none_or(|only| only == fault);
    heading(options.runs, out)?;
    let mut missed = Vec::new();
    for case in CASES.iter().filter(|case| is_wanted(case.fault)) {
        let runs = measure::outages(case.fault, case.detection_ms, options.runs)?;
        for (moment, limits) in [
            (Moment::Failure, &case.failure),
            (Moment::Repair, &case.repair),
        ] {
            let spread = Spread::of(runs.iter().map(|run: &Run| run.at(moment)));
            missed.extend(row(case, moment, &spread, limits, out)?);
        }
    }
    writeln!(out)?;
    for fault in [Fault::Pull, Fault::Silent]
        .into_iter()
        .filter(|&fault| is_wanted(fault))
    {
        missed.extend(connections(fault, out)?);
    }
    for miss in &missed {
        writeln!(out, "FAIL: {miss}")?;
    }
    Ok(missed.len())
}

fn heading(runs: u32, out: &mut impl Write) -> Result<(), Failed> {
    let of_machine = |path| std::fs::read_to_string(path).unwrap_or_default();
    let kernel = of_machine("/proc/sys/kernel/osrelease");
    let load = of_machine("/proc/loadavg");
    let cores = available_parallelism()?;
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    writeln!(
        out,
        "A datagram per ms each way between host2 and the address of a NIC that fails.\n\
         Linux {}, {cores} cores, load {} at start; {build} build; runs: {runs}.\n\n\
         {:29}{:>13}{:>14}{:>17}\n\
         {:13}{:>5} {:9}{:>7}{:>6}{:>8}{:>6}{:>9}{:>8}  target",
        kernel.trim(),
        load.split(' ').next().unwrap_or_default(),
        "",
        "lost to it",
        "lost from it",
        "outage in ms",
        "fault",
        "FDT",
        "at",
        "median",
        "max",
        "median",
        "max",
        "median",
        "max",
    )?;
    Ok(out.flush()?)
}

/// Prints what was measured at one moment of a case; what is missed, if it is.
fn row(
    case: &Case,
    moment: Moment,
    spread: &Spread,
    limits: &Limits,
    out: &mut impl Write,
) -> Result<Option<String>, Failed> {
    let (name, detection_ms) = (case.fault.name(), case.detection_ms);
    let miss = limits.missed(spread);
    let Span { to, from, outage } = spread.median;
    writeln!(
        out,
        "{name:13}{detection_ms:>5} {:9}{to:>7}{:>6}{from:>8}{:>6}{:>9.1}{:>8.1}  {}",
        moment.name(),
        spread.most.to,
        spread.most.from,
        target::ms(outage),
        target::ms(spread.most.outage),
        verdict(miss.is_none()),
    )?;
    out.flush()?;
    Ok(miss.map(|miss| format!("{name}, FDT {detection_ms}, {}: {miss}", moment.name())))
}

/// Measures established connections across failure and repair and prints how they fared.
fn connections(fault: Fault, out: &mut impl Write) -> Result<Option<String>, Failed> {
    let survey = measure::connections(fault, CONNECTIONS_DETECTION_MS, CONNECTIONS)?;
    writeln!(
        out,
        "{:13}{CONNECTIONS_DETECTION_MS:>5} both     TCP: {} connections, {} broken; longest stall {:.0} ms  {}",
        fault.name(),
        survey.connections,
        survey.broken.len(),
        target::ms(survey.longest_stall),
        verdict(survey.broken.is_empty()),
    )?;
    out.flush()?;
    let reason = survey.broken.first();
    Ok(reason.map(|reason| format!("{}: a connection broke: {reason}", fault.name())))
}

const fn verdict(met: bool) -> &'static str {
    if met { "pass" } else { "FAIL" }
}
