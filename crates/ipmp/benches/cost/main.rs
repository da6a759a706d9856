//! What does the daemon cost, in processor time?
//!
//! The real daemon runs on a host out of namespaces, and its processor time is read from `/proc`: while
//! nothing happens, with few NICs and with many, and while another hand adds and removes thousands of
//! routes and addresses. `docs/performance.md` tells how to read the tables.
//!
//! ```text
//! cargo bench -p ipmp --bench cost -- [--count N]
//! ```

// A measurement needs only part of what tests need.
#[path = "../../tests/lab/bed.rs"]
#[expect(dead_code, reason = "shared with the lab tests")]
mod bed;
#[path = "../../tests/lab/daemon.rs"]
mod daemon;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use libtest_mimic::Failed;

use bed::Bed;
use daemon::Daemon;

/// Failure detection time of the lab, in milliseconds: the default.
const DETECTION_MS: u32 = 10_000;

/// How many NICs the daemon watches while nothing happens.
const NICS: [u32; 3] = [2, 16, 256];

/// How long it is watched then: one full scan and a half.
const IDLE: Duration = Duration::from_secs(30);

/// Measures what the daemon costs.
#[derive(Parser)]
struct Options {
    /// How many routes or addresses come and go at once.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    count: u32,
    /// What cargo says when it wants to have something measured.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What another hand adds many of.
#[derive(Clone, Copy)]
enum Crowd {
    /// Routes through a NIC that is none of ours.
    RoutesElsewhere,
    /// Routes through a gateway and a member of the group: each is shadowed.
    RoutesThroughMember,
    /// Addresses on a NIC that is none of ours.
    Addresses,
}

impl Crowd {
    const ALL: [Self; 3] = [
        Self::RoutesElsewhere,
        Self::RoutesThroughMember,
        Self::Addresses,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::RoutesElsewhere => "routes, another NIC",
            Self::RoutesThroughMember => "routes, a member",
            Self::Addresses => "addresses, another NIC",
        }
    }

    /// What is said to `ip -batch`, with this verb.
    fn batch(self, verb: &str, count: u32) -> Result<String, Failed> {
        let mut text = String::new();
        for i in 0..count {
            let (a, b) = (i / 250, i % 250);
            match self {
                Self::RoutesElsewhere => {
                    writeln!(text, "route {verb} 10.{a}.{b}.0/24 via 172.16.0.9 dev net0")?;
                }
                Self::RoutesThroughMember => {
                    writeln!(text, "route {verb} 10.{a}.{b}.0/24 via 192.168.0.2 dev ge1")?;
                }
                Self::Addresses => writeln!(text, "address {verb} 10.{a}.{b}.1/32 dev net0")?,
            }
        }
        Ok(text)
    }
}

fn main() -> ExitCode {
    let entered = ipmp_lab::enter();
    let options = Options::parse();
    let mut out = io::stdout();
    if !options.bench {
        // `cargo test --all-targets` starts benches too.
        let _closed = writeln!(out, "cost: measures under cargo bench only");
        return ExitCode::SUCCESS;
    }
    let measured = entered
        .map_err(Failed::from)
        .and_then(|()| measure(&options, &mut out));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = error.message().unwrap_or("failed");
            let _closed = writeln!(io::stderr(), "cost: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options, out: &mut impl Write) -> Result<(), Failed> {
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    writeln!(out, "{build} build\n")?;
    idle(out)?;
    storms(options, out)
}

/// Nothing happens.
fn idle(out: &mut impl Write) -> Result<(), Failed> {
    writeln!(
        out,
        "Nothing happens; NICs in groups of two, one with probes, the others watched by link.\n\n\
         {:>8}{:>18}",
        "NICs", "daemon CPU %"
    )?;
    for count in NICS {
        let bed = Bed::new(DETECTION_MS)?;
        for line in ipmp_lab::labs::LAB1 {
            bed.types(line)?;
        }
        for i in 2..count {
            let (nic, group) = (format!("ge{i}"), i / 2);
            bed.host1.nic(&nic, &bed.switch)?;
            bed.types(&format!(
                "ifconfig {nic} plumb 10.0.{group}.{} group g{group} up",
                1 + i % 2
            ))?;
        }
        bed.awaits_probes(&["ge0", "ge1"])?;
        let daemon = Daemon::of(&bed)?;
        daemon.calms_down()?;
        writeln!(out, "{count:>8}{:>18.3}", daemon.percent(IDLE)?)?;
        out.flush()?;
    }
    writeln!(out)?;
    Ok(())
}

/// Another hand is busy.
fn storms(options: &Options, out: &mut impl Write) -> Result<(), Failed> {
    writeln!(
        out,
        "Another hand adds and removes {} routes or addresses.\n\n\
         {:24}{:8}{:>16}{:>16}{:>16}",
        options.count, "what", "", "by hand in ms", "daemon CPU ms", "quiet after ms"
    )?;
    for crowd in Crowd::ALL {
        let bed = Bed::new(DETECTION_MS)?;
        bed.host1.nic("net0", &bed.lab.switch())?;
        bed.host1.configure("net0", "172.16.0.1/24")?;
        for line in ipmp_lab::labs::LAB1 {
            bed.types(line)?;
        }
        let daemon = Daemon::of(&bed)?;
        daemon.calms_down()?;
        for (verb, told) in [("add", "come"), ("del", "go")] {
            let text = crowd.batch(verb, options.count)?;
            bed.host1.write_file("/run/batch", &text)?;
            let before = daemon.cpu()?;
            let start = Instant::now();
            bed.types("ip -batch /run/batch")?;
            let by_hand = start.elapsed();
            let quiet = daemon.calms_down()?;
            let cpu = daemon.cpu()?.saturating_sub(before);
            writeln!(
                out,
                "{:24}{told:8}{:>16}{:>16}{:>16}",
                crowd.name(),
                by_hand.as_millis(),
                cpu.as_millis(),
                quiet.saturating_duration_since(start).as_millis(),
            )?;
            out.flush()?;
        }
    }
    Ok(())
}
