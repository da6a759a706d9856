//! What do probes cost with many NICs?
//!
//! One host has many NICs (256 unless told otherwise), each with a test address, in a group with a failure detection time of 100 ms
//! and five targets: one probe each 14 ms and NIC, some 18,000 a second. The cables are veth pairs into
//! a bridge of the kernel's; the targets are addresses of that bridge. The real daemon runs for a
//! bounded time; then Debian's `fping` (`apt-get install fping`) probes the same targets at the same
//! rate, in the same run, in two ways: one process for each NIC, which are the same probes, and one
//! process for all, which sends as many probes in its cheapest way. It cannot choose a NIC for each, so
//! that they are five flows over at most five NICs: what the daemon does cannot be had at that price.
//!
//! ```text
//! cargo bench -p ipmp --bench probes -- [--seconds N] [--nics N]
//! ```
//!
//! `fping` numbers its probes with 16 bits and gives up when 65,000 went out within ten seconds, so
//! that it is started anew after each 50 probes to every target. It is told to send without a pause
//! between targets: with pauses it does not reach the rate (each costs it a sleep). That is the
//! cheapest way it has.
//!
//! Processor time is what the kernel charges each process (`/proc/PID/schedstat`). For both that includes
//! the bridge, the target's answer and the way back, which veth does in the sender's own time.
//!
//! The exit status is 1 if samples are missed or void, if answers are missing, or if the daemon takes
//! more processor time for a probe than `fping`.

mod scene;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use libtest_mimic::Failed;

use scene::{Cost, Scene};

/// Measures what probes cost.
#[derive(Parser)]
struct Options {
    /// How long the daemon is watched.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(4..=600))]
    seconds: u32,
    /// How many NICs there are.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(2..=1000))]
    nics: u16,
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
        let _closed = writeln!(out, "probes: measures under cargo bench only");
        return ExitCode::SUCCESS;
    }
    let measured = entered
        .map_err(Failed::from)
        .and_then(|()| measure(&options, &mut out));
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let reason = error.message().unwrap_or("failed");
            let _closed = writeln!(io::stderr(), "probes: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Measures both and prints the table; whether all targets were met.
fn measure(options: &Options, out: &mut impl Write) -> Result<bool, Failed> {
    let scene = Scene::build(options.nics)?;
    let one = scene.memory()?;
    scene.join_all()?;
    let daemon = scene.watch_daemon(options.seconds)?;
    let all = scene.memory()?;
    let detection_ms = scene.detection_ms()?;
    scene.end_daemon()?;
    let fpings = scene.run_fpings(options.seconds)?;
    let fping = scene.run_fping(options.seconds)?;

    let of_machine = |path| std::fs::read_to_string(path).unwrap_or_default();
    writeln!(
        out,
        "{} NICs, {} targets each, failure detection time {} ms.\n\
         Linux {}, {} cores, load {} at the end; {} build.\n\n\
         {:10}{:>10}{:>10}{:>8}{:>10}{:>12}{:>10}{:>8}{:>6}{:>8}",
        options.nics,
        scene::TARGETS,
        scene::DETECTION_MS,
        of_machine("/proc/sys/kernel/osrelease").trim(),
        std::thread::available_parallelism()?,
        of_machine("/proc/loadavg")
            .split(' ')
            .next()
            .unwrap_or_default(),
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        "",
        "probes/s",
        "answered",
        "CPU s",
        "CPU us",
        "switches/s",
        "seconds",
        "missed",
        "void",
        "bursts",
    )?;
    for (name, cost) in [
        ("in.mpathd", &daemon),
        ("fping each", &fpings),
        ("fping", &fping),
    ] {
        row(name, cost, out)?;
    }
    let per_nic = all.saturating_sub(one) / u64::from(options.nics.saturating_sub(1).max(1));
    writeln!(
        out,
        "\nResident memory: {one} kB with 1 NIC, {all} kB with {}: {per_nic} kB for each.\n\
         CPU us: for one probe, the way there and back included; the daemon's is {:.2} of what an fping for\n\
         each NIC takes, {:.2} of what one for all takes.",
        options.nics,
        daemon.each() / fpings.each(),
        daemon.each() / fping.each(),
    )?;
    let targets = [
        (
            "failure detection time in force as set",
            detection_ms == u128::from(scene::DETECTION_MS),
        ),
        ("no sample missed or void", daemon.missed + daemon.void == 0),
        ("every probe answered", daemon.is_answered()),
        (
            "no more CPU for the same probes than fping",
            daemon.each() <= fpings.each(),
        ),
    ];
    for (what, met) in targets {
        writeln!(out, "{} {what}", if met { "pass" } else { "FAIL" })?;
    }
    Ok(targets.iter().all(|(_, met)| *met))
}

fn row(name: &str, cost: &Cost, out: &mut impl Write) -> Result<(), Failed> {
    writeln!(
        out,
        "{name:10}{:>10.0}{:>10}{:>8.2}{:>10.2}{:>12.0}{:>10.1}{:>8}{:>6}{:>8}",
        cost.rate(),
        cost.answers,
        cost.cpu.as_secs_f64(),
        cost.each() * 1e6,
        cost.switch_rate(),
        cost.elapsed.as_secs_f64(),
        cost.missed,
        cost.void,
        cost.bursts,
    )?;
    Ok(out.flush()?)
}
