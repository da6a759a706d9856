//! How long is the outage when a NIC fails, and when it comes back?
//!
//! Lab 1 is set up with the real tools and the real daemon on hosts out of namespaces. Datagrams go
//! each way, one a millisecond, between host2 and the data address of the NIC that fails; what is
//! lost of them, and for how long, is held against the project's targets. Any miss makes the exit
//! status 1. `docs/performance.md` tells how to read the table.
//!
//! ```text
//! cargo bench -p ipmp --bench outage -- [--runs N] [--only pull|silent] [--fdt MS]
//! cargo bench -p ipmp --bench outage -- --busy [MINUTES]
//! ```
//!
//! With `--busy` nothing fails, for so many minutes (10 unless told otherwise), while other processes
//! keep all cores busy: what the daemon declares at a failure detection time of 20 ms are false alarms.
//! The lab's switch is a thread of the benchmark; as root it goes before everything else, as real ones do
//! not wait for the host's processors.

// A measurement needs only part of what tests need.
#[path = "../../tests/lab/bed.rs"]
#[expect(dead_code, reason = "shared with the lab tests")]
mod bed;
mod busy;
mod measure;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

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
    /// Only this failure detection time, in milliseconds, and no connections.
    #[arg(long, value_name = "MS")]
    fdt: Option<u32>,
    /// Counts false alarms for so many minutes instead, while all cores are kept busy.
    #[arg(long, value_name = "MINUTES", num_args = 0..=1, default_missing_value = "10",
          value_parser = clap::value_parser!(u32).range(1..=600))]
    busy: Option<u32>,
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

/// By what rule failures are found.
#[derive(Clone, Copy)]
struct Rule {
    /// `failure-detection-time` of `/etc/ipmp.toml`, in milliseconds.
    detection_ms: u32,
    /// Whether a late probe is looked into by a burst; otherwise five are lost in a row.
    confirm: bool,
}

impl Rule {
    const fn name(self) -> &'static str {
        if self.confirm { "burst" } else { "five" }
    }
}

/// A fault, the rule it is found by, and what is expected of failure and repair.
struct Case {
    fault: Fault,
    rule: Rule,
    failure: Limits,
    repair: Limits,
}

/// What a repair may lose.
const NEXT_TO_NOTHING: Limits = Limits::Lost { median: 1, most: 1 };

/// With bursts a failure is declared when everything was silent for a tenth of the failure detection
/// time, 50 ms at least, half of it at most, after a probe up to an interval, a seventh, later.
/// Without, between 0.64 and 0.93 of it. The rest is for carrying it out.
const CASES: [Case; 6] = [
    Case {
        fault: Fault::Pull,
        rule: rule(1000, true),
        failure: Limits::Lost { median: 2, most: 5 },
        repair: Limits::Lost { median: 0, most: 1 },
    },
    Case {
        fault: Fault::Silent,
        rule: rule(1000, false),
        failure: Limits::Outage {
            least_ms: 640,
            most_ms: 950,
        },
        repair: NEXT_TO_NOTHING,
    },
    Case {
        fault: Fault::Silent,
        rule: rule(1000, true),
        failure: Limits::Outage {
            least_ms: 0,
            most_ms: 340,
        },
        repair: NEXT_TO_NOTHING,
    },
    // Ten probes a second.
    Case {
        fault: Fault::Silent,
        rule: rule(700, true),
        failure: Limits::Found { median_ms: 130 },
        repair: NEXT_TO_NOTHING,
    },
    Case {
        fault: Fault::Silent,
        rule: rule(100, true),
        failure: Limits::Outage {
            least_ms: 0,
            most_ms: 110,
        },
        repair: NEXT_TO_NOTHING,
    },
    Case {
        fault: Fault::Silent,
        rule: rule(20, true),
        failure: Limits::Outage {
            least_ms: 0,
            most_ms: 25,
        },
        repair: NEXT_TO_NOTHING,
    },
];

const fn rule(detection_ms: u32, confirm: bool) -> Rule {
    Rule {
        detection_ms,
        confirm,
    }
}

/// The rule by which failures are found while connections are measured.
const CONNECTIONS_RULE: Rule = rule(1000, true);

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
        .and_then(|()| match options.busy {
            Some(minutes) => busy::count_alarms(minutes, &mut out),
            None => measure_all(&options, &mut out),
        });
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
    let is_timed = |rule: Rule| options.fdt.is_none_or(|fdt| fdt == rule.detection_ms);
    heading(options.runs, out)?;
    let mut missed = Vec::new();
    let cases = CASES.iter().filter(|case| is_wanted(case.fault));
    for case in cases.filter(|case| is_timed(case.rule)) {
        let runs = measure::outages(case.fault, case.rule, options.runs)?;
        for (moment, limits) in [
            (Moment::Failure, &case.failure),
            (Moment::Repair, &case.repair),
        ] {
            let spread = Spread::of(runs.iter().map(|run: &Run| run.at(moment)));
            missed.extend(row(case, moment, &spread, limits, out)?);
        }
        longer(case, &runs, out)?;
    }
    writeln!(out)?;
    for fault in [Fault::Pull, Fault::Silent]
        .into_iter()
        .filter(|&fault| is_wanted(fault) && options.fdt.is_none())
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
         {:36}{:>13}{:>14}{:>17}{:>18}\n\
         {:13}{:>5} {:6} {:9}{:>7}{:>6}{:>8}{:>6}{:>9}{:>8}{:>10}{:>8}  target",
        kernel.trim(),
        load.split(' ').next().unwrap_or_default(),
        "",
        "lost to it",
        "lost from it",
        "outage in ms",
        "found after ms",
        "fault",
        "FDT",
        "rule",
        "at",
        "median",
        "max",
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
    let (name, detection_ms, rule) = (case.fault.name(), case.rule.detection_ms, case.rule.name());
    let miss = limits.missed(spread);
    let Span {
        to,
        from,
        outage,
        found: median,
    } = spread.median;
    let found = |time: Duration| match moment {
        Moment::Failure => format!("{:.1}", target::ms(time)),
        Moment::Repair => "-".to_owned(),
    };
    writeln!(
        out,
        "{name:13}{detection_ms:>5} {rule:6} {:9}{to:>7}{:>6}{from:>8}{:>6}{:>9.1}{:>8.1}{:>10}{:>8}  {}",
        moment.name(),
        spread.most.to,
        spread.most.from,
        target::ms(outage),
        target::ms(spread.most.outage),
        found(median),
        found(spread.most.found),
        verdict(miss.is_none()),
    )?;
    out.flush()?;
    Ok(miss.map(|miss| {
        format!(
            "{name}, FDT {detection_ms} by {rule}, {}: {miss}",
            moment.name()
        )
    }))
}

/// Says if a longer detection time than asked for was in force: the machine was too busy to answer
/// probes, and what was measured says little.
fn longer(case: &Case, runs: &[Run], out: &mut impl Write) -> Result<(), Failed> {
    let asked = Duration::from_millis(case.rule.detection_ms.into());
    let longer = runs.iter().filter(|run| run.in_force > asked);
    let Some(longest) = longer.clone().map(|run| run.in_force).max() else {
        return Ok(());
    };
    Ok(writeln!(
        out,
        "{:18} replies were late: a detection time of up to {:.0} ms was in force in {} of {} runs",
        "",
        target::ms(longest),
        longer.count(),
        runs.len(),
    )?)
}

/// Measures established connections across failure and repair and prints how they fared.
fn connections(fault: Fault, out: &mut impl Write) -> Result<Option<String>, Failed> {
    let survey = measure::connections(fault, CONNECTIONS_RULE, CONNECTIONS)?;
    writeln!(
        out,
        "{:13}{:>5} {:6} both     TCP: {} connections, {} broken; longest stall {:.0} ms  {}",
        fault.name(),
        CONNECTIONS_RULE.detection_ms,
        CONNECTIONS_RULE.name(),
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
