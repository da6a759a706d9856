//! False alarms while the machine is busy with other things.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use ipmp_core::record::Record;
use ipmp_core::snapshot::InterfaceState;
use libtest_mimic::Failed;

use crate::bed::Bed;
use crate::measure::{build, detection_time, events};
use crate::{Rule, rule, target, verdict};

/// The least failure detection time there is.
const RULE: Rule = rule(20, true);

/// Processes for each core that want all of it.
const HOGS_PER_CORE: usize = 2;

/// How often it is told how things stand.
const EVERY: Duration = Duration::from_mins(1);

/// Processes that do nothing but keep a core busy. They end with the bench.
struct Hogs(Vec<Child>);

impl Hogs {
    fn start(count: usize) -> Result<Self, Failed> {
        let mut hogs = Self(Vec::new());
        for _ in 0..count {
            let hog = Command::new("sh")
                .args(["-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .spawn()?;
            hogs.0.push(hog);
        }
        Ok(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            // One that has ended by itself is no harm.
            drop(hog.kill());
            drop(hog.wait());
        }
    }
}

/// Counts what is declared although nothing fails, and prints it. Returns how many false alarms there
/// were.
pub(crate) fn count_alarms(minutes: u32, out: &mut impl Write) -> Result<usize, Failed> {
    let bed = build(RULE)?;
    let cores = available_parallelism()?.get();
    let last = events(&bed, 0)?.last().map_or(0, |event| event.sequence);
    let hogs = Hogs::start(cores * HOGS_PER_CORE)?;
    writeln!(
        out,
        "Two NICs, failure detection time {} ms, {} other processes on {cores} cores; nothing fails.\n\n\
         {:>8}{:>12}{:>10}{:>10}{:>12}{:>10}{:>8}{:>8}",
        RULE.detection_ms,
        hogs.0.len(),
        "minutes",
        "in force",
        "probes",
        "answered",
        "suspicions",
        "missed",
        "void",
        "alarms",
    )?;
    let start = Instant::now();
    let end = Duration::from_mins(1) * minutes;
    let mut in_force = Duration::ZERO;
    while start.elapsed() < end {
        sleep(EVERY.min(end.saturating_sub(start.elapsed())));
        in_force = in_force.max(row(&bed, last, start.elapsed(), out)?);
    }
    drop(hogs);
    let alarms = alarms(&bed, last)?;
    for alarm in &alarms {
        writeln!(out, "FAIL: {alarm}")?;
    }
    writeln!(out, "{} no false alarm", verdict(alarms.is_empty()))?;
    if in_force > Duration::from_millis(RULE.detection_ms.into()) {
        writeln!(
            out,
            "Replies were late: a detection time of up to {:.0} ms was in force.",
            target::ms(in_force)
        )?;
    }
    Ok(alarms.len())
}

/// Prints how things stand; the detection time in force.
fn row(bed: &Bed, last: u64, elapsed: Duration, out: &mut impl Write) -> Result<Duration, Failed> {
    let in_force = detection_time(bed)?;
    let snapshot = bed.snapshot()?;
    let sum = |of: fn(&ipmp_core::snapshot::Probing) -> u64| -> u64 {
        let all = snapshot.interfaces.iter().flat_map(|it| &it.probing);
        all.map(of).sum()
    };
    writeln!(
        out,
        "{:>8.1}{:>9.0} ms{:>10}{:>10}{:>12}{:>10}{:>8}{:>8}",
        elapsed.as_secs_f64() / 60.0,
        target::ms(in_force),
        sum(|it| it.sent),
        sum(|it| it.acknowledged),
        sum(|it| it.confirmations),
        sum(|it| it.missed),
        sum(|it| it.void),
        alarms(bed, last)?.len(),
    )?;
    out.flush()?;
    Ok(in_force)
}

/// What was declared after the event of this number.
fn alarms(bed: &Bed, last: u64) -> Result<Vec<String>, Failed> {
    let events = events(bed, last)?;
    let alarms = events.iter().filter(|event| {
        matches!(
            &event.record,
            Record::Interface {
                to: Some(InterfaceState::Failed),
                ..
            }
        )
    });
    Ok(alarms
        .map(|event| format!("{} {}", event.time, event.text))
        .collect())
}
