//! The soak: random faults, kills and other hands, with traffic flowing all the time, and an oracle that
//! knows what may be lost.
//!
//! `cargo run -p ipmp-lab --bin soak -- --minutes 3 --seed 1`
//!
//! It needs root or user namespaces, as every lab does. What happens comes from the seed alone, so that a
//! run's faults can be repeated; each is logged with its time. Exit status 0 only if no address was
//! lost, no connection broke, and nothing was lost outside the bounds.
//!
//! The daemon under test is the executable `ipmp`, which depends on this crate. It is built as the
//! program that it is, by the cargo that runs the soak: a dependency on it would be a ring.

mod faults;
mod figures;
mod hands;
mod holders;
mod oracle;
mod play;
mod stage;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Parser;
use ipmp_lab::Dice;

use self::play::Play;
use self::stage::{Stage, Timing};

/// Random faults on the real kernel, traffic flowing, and an account of what was lost.
#[derive(Debug, Parser)]
#[command(name = "soak")]
struct Options {
    /// How long rounds of faults are begun
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Where all chance comes from
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The executable to test, instead of the `ipmp` built beside this one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Write the daemon's log there at the end
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

fn main() -> ExitCode {
    let called = std::env::args_os().next();
    if called.as_deref() == Some(ipmp_lab::INIT.as_ref()) {
        // Does not return: this process is process 1 of a host.
        let _entered = ipmp_lab::enter();
    }
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            let _closed = write!(err, "{error}");
            return ExitCode::FAILURE;
        }
        Err(help) => {
            let _closed = write!(out, "{help}");
            return ExitCode::SUCCESS;
        }
    };
    match run(&options, &mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _closed = writeln!(err, "soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays rounds until the time is over; whether nothing was lost that should not have been.
fn run(options: &Options, out: &mut dyn Write) -> Result<bool, Box<dyn Error>> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => build()?,
    };
    ipmp_lab::enter()?;
    let timing = Timing::SOAK;
    let duration = Duration::from_secs(60 * options.minutes);
    writeln!(out, "seed {}, {} minutes", options.seed, options.minutes)?;
    let mut stage = Stage::build(&program, options.seed, timing)?;
    stage.starts_traffic(duration + Duration::from_mins(10))?;
    // The lab itself takes the dice of its cables from the first streams of the seed.
    let dice = Dice::new(options.seed, u64::MAX);
    let start = Instant::now();
    let mut play = Play::new(stage, dice, timing, out)?;
    while start.elapsed() < duration {
        play.round()?;
    }
    play.ends_traffic()?;
    if let Some(path) = &options.log {
        std::fs::write(path, play.log()?)?;
    }
    let clean = play.figures.is_clean();
    let table = play.figures.table(timing);
    drop(play);
    write!(
        out,
        "\n{table}\n{}\n",
        if clean { "passed" } else { "FAILED" }
    )?;
    Ok(clean)
}

/// Builds the executable `ipmp` beside this one, in the same profile; where it is.
fn build() -> Result<PathBuf, Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let directory = own.parent().ok_or("own executable: in no directory")?;
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let status = Command::new(&cargo)
        .args(["build", "--quiet", "--package", "ipmp", "--bin", "ipmp"])
        .args(["--profile", profile])
        .arg("--manifest-path")
        .arg(workspace)
        .status()
        .map_err(|error| format!("{}: {error}", cargo.display()))?;
    if !status.success() {
        return Err(format!("building ipmp: {status}").into());
    }
    Ok(directory.join("ipmp"))
}
