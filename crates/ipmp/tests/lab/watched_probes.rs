//! `ipmpstat -p`: what becomes of each probe, told as it is known.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use ipmp_api::interface::{FinishedProbe, ProbeKind};
use ipmp_api::recording::Step;
use ipmp_core::Event;
use ipmp_core::detect::Reply;
use ipmp_lab::{Host, Process, wait_until};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bed::{Bed, PATIENCE, reaches, same};
use crate::scene::{DATA0, Fault, PEER, QUICK, TEST0};

tests![
    probes_are_shown_answered_then_lost,
    probes_are_told_only_while_somebody_watches,
    probes_by_arp_are_shown_too,
    the_network_has_a_probe_from_when_it_left,
    rows_are_out_at_once_and_a_closed_pipe_ends_them,
    where_nothing_is_probed_there_is_nothing_to_watch,
];

/// A command on a host whose lines are read as they come.
struct Watch {
    process: Process,
    lines: Receiver<String>,
    /// The lines read so far.
    seen: Vec<String>,
}

impl Watch {
    fn start(host: &Host, line: &str) -> Result<Self, Failed> {
        let mut process = host.spawn(line)?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            let read = BufReader::new(output).lines().map_while(Result::ok);
            for line in read {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            process,
            lines,
            seen: Vec::new(),
        })
    }

    /// Reads on to a line that is as wanted.
    fn awaits(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String, Failed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return Ok(line);
                    }
                }
                Err(error) => {
                    let reason = match error {
                        RecvTimeoutError::Timeout => "does not come",
                        RecvTimeoutError::Disconnected => "it ended",
                    };
                    return Err(format!("{what}: {reason}; seen: {:#?}", self.seen).into());
                }
            }
        }
    }

    /// Interrupts it and waits for its end.
    fn interrupt(&self) -> Result<ExitStatus, Failed> {
        self.process.signal(Signal::SIGINT)?;
        let status = self.process.wait(PATIENCE)?;
        status.ok_or_else(|| "it goes on after an interrupt".into())
    }
}

/// Milliseconds or seconds of a column, with their unit.
fn number(word: &str, unit: &str) -> Result<f64, Failed> {
    let number = word.strip_suffix(unit).and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("'{word}' is no number with '{unit}'").into())
}

fn probes_are_shown_answered_then_lost() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let mut watch = Watch::start(&bed.host1, "ipmpstat -pn")?;
    let header = watch.awaits("the header", |_| true)?;
    same(
        "header",
        header.as_str(),
        "TIME      INTERFACE   PROBE  NETRTT    RTT       RTTAVG    TARGET",
    )?;
    for nic in ["ge0", "ge1"] {
        let row = watch.awaits(&format!("an answered probe of {nic}"), |row| {
            row.contains(nic) && !row.contains("--")
        })?;
        let words: Vec<&str> = row.split_whitespace().collect();
        let [time, interface, probe, wire, rtt, average, target] = words.as_slice() else {
            return Err(format!("not seven columns: {row}").into());
        };
        number(time, "s")?;
        same("interface", *interface, nic)?;
        probe.parse::<u16>()?;
        let (wire, rtt) = (number(wire, "ms")?, number(rtt, "ms")?);
        if wire > rtt || wire <= 0.0 || number(average, "ms")? <= 0.0 {
            return Err(format!("round trip times: {row}").into());
        }
        same("target", *target, "192.168.0.2")?;
    }
    bed.fails(Fault::Silence, &bed.ge1)?;
    let row = watch.awaits("a lost probe of ge1", |row| {
        row.contains("ge1") && row.contains("--        --        ")
    })?;
    same("columns", &row.split_whitespace().count(), &7)?;
    // The other one goes on.
    watch.awaits("an answered probe of ge0", |row| {
        row.contains("ge0") && !row.contains("--")
    })?;
    bed.ge1.cable.heal()?;
    watch.awaits("an answered probe of ge1", |row| {
        row.contains("ge1") && !row.contains("--")
    })?;
    let status = watch.interrupt()?;
    same(
        "how an interrupt ends it",
        &status.signal(),
        &Some(Signal::SIGINT as i32),
    )?;
    let mut complaints = String::new();
    if let Some(stderr) = watch.process.stderr.take() {
        BufReader::new(stderr).read_line(&mut complaints)?;
    }
    same("standard error", complaints.as_str(), "")
}

/// What the daemon is fed is recorded, this too.
fn probes_are_told_only_while_somebody_watches() -> Result<(), Failed> {
    const FILE: &str = "/run/ipmp-events";
    let bed = Bed::lab1_with(QUICK, &format!("record = \"{FILE}\"\n"))?;
    let mut watches = [0, 1].map(|_| Watch::start(&bed.host1, "ipmpstat -p --json"));
    for watch in &mut watches {
        let watch = watch.as_mut().map_err(|error| format!("{error:?}"))?;
        let line = watch.awaits("an answered probe", |line| {
            line.contains("\"answered\":true")
        })?;
        let probe: FinishedProbe = serde_json::from_str(&line)?;
        same("kind", &probe.kind, &ProbeKind::Echo)?;
        same("target", &probe.target, &IpAddr::from(PEER))?;
    }
    drop(watches);
    // Probes go on, and the next one tells that nobody is there.
    let told = || {
        let recorded = bed.host1.read_file(FILE).unwrap_or_default();
        let steps = recorded
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told = steps.filter_map(|step| step.pointer("/event/tell-probes")?.as_bool());
        told.collect::<Vec<_>>()
    };
    wait_until("nothing is told any more", PATIENCE, || {
        told().last() == Some(&false)
    })
    .map_err(|error| format!("{error}: {:?}", told()))?;
    let turned_on = told().iter().filter(|&&on| on).count();
    same("how often somebody came", &turned_on, &2)
}

fn probes_by_arp_are_shown_too() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    for line in [
        "ifconfig ge0 plumb 192.168.0.86 netmask + broadcast + group g up",
        "ifconfig ge1 plumb 192.168.0.88 netmask + broadcast + group g up",
    ] {
        bed.types(line)?;
    }
    // Talking to the neighbour makes it known.
    reaches(&bed.host2, &DATA0.to_string())?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    let mut watch = Watch::start(&bed.host1, "ipmpstat -p --json")?;
    for nic in ["ge0", "ge1"] {
        let line = watch.awaits(&format!("an answered probe of {nic}"), |line| {
            line.contains(nic) && line.contains("\"answered\":true")
        })?;
        let probe: FinishedProbe = serde_json::from_str(&line)?;
        same("kind", &probe.kind, &ProbeKind::Solicitation)?;
        same("target", &probe.target, &IpAddr::from(PEER))?;
    }
    bed.fails(Fault::Silence, &bed.ge0)?;
    watch.awaits("a lost probe of ge0", |line| {
        line.contains("\"ge0\"") && line.contains("\"answered\":false")
    })?;
    Ok(())
}

/// The recording has when the probe was decided and when its answer was taken off the link; what the
/// daemon needed to send it is not the network's.
fn the_network_has_a_probe_from_when_it_left() -> Result<(), Failed> {
    const FILE: &str = "/run/ipmp-events";
    let bed = Bed::lab1_with(QUICK, &format!("record = \"{FILE}\"\n"))?;
    let mut watch = Watch::start(&bed.host1, "ipmpstat -p --json")?;
    let line = watch.awaits("an answered probe of ge0", |line| {
        line.contains("\"ge0\"") && line.contains("\"answered\":true")
    })?;
    let probe: FinishedProbe = serde_json::from_str(&line)?;
    let of_network = probe.network_rtt.ok_or("no time of the network")?;
    let received = || {
        let recorded = bed.host1.read_file(FILE).ok()?;
        let mut steps = recorded
            .lines()
            .filter_map(|line| serde_json::from_str::<Step>(line).ok());
        steps.find_map(|step| match step.event {
            Event::Reply(Reply::Echo(reply))
                if reply.sequence == probe.sequence && reply.destination == IpAddr::from(TEST0) =>
            {
                Some(reply.received)
            }
            _ => None,
        })
    };
    wait_until("the answer in the recording", PATIENCE, || {
        received().is_some()
    })?;
    let since_decision = received().ok_or("no answer")?.since(probe.started);
    // All of it to the microsecond.
    if of_network.is_zero() || of_network + Duration::from_micros(1) >= since_decision {
        return Err(format!("{of_network:?} of {since_decision:?}").into());
    }
    Ok(())
}

fn rows_are_out_at_once_and_a_closed_pipe_ends_them() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    // The second command ends with three lines that the first has said by then, and the first with it.
    let output = bed
        .host1
        .run("sh -c '(ipmpstat -pn; echo $? >&2) | head -n 3'")?;
    same("lines", &output.stdout.lines().count(), &3)?;
    same("exit status and complaints", output.stderr.as_str(), "0\n")
}

fn where_nothing_is_probed_there_is_nothing_to_watch() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    bed.refuses(
        "ipmpstat -p",
        "ipmpstat: cannot contact in.mpathd(1M) -- is IPMP in use? \
         (start it: systemctl start ipmp, or in.mpathd)",
    )?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 netmask + broadcast + up")?;
    bed.refuses(
        "ipmpstat -pn",
        "ipmpstat: probe-based failure detection is disabled",
    )?;
    // A watch that has begun ends with the daemon.
    bed.sets_up_lab1()?;
    let mut watch = Watch::start(&bed.host1, "ipmpstat -pn")?;
    watch.awaits("a row", |row| row.contains("ge0"))?;
    bed.signals_daemon(Signal::SIGTERM)?;
    let status = watch
        .process
        .wait(PATIENCE)?
        .and_then(|status| status.code());
    same("exit status when the daemon ends", &status, &Some(1))
}
