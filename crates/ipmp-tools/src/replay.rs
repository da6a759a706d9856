//! `ipmp replay`: feeds a fresh engine what a daemon recorded, and compares what it decides.
//!
//! What happened is told as a timeline. The same version of IPMP decides the same, or something is
//! wrong with it; another version shows where it would have decided otherwise.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::time::Duration;

use ipmp_api::recording::{Header, Line, ReadError, Reader, Step};
use ipmp_core::{Action, Engine, Event, Snapshot, Time};
use thiserror::Error;

use crate::console::{Console, FAILED, OK};

const TOOL: &str = "ipmp";

const USAGE: &str = "\
usage: ipmp replay FILE
  Feeds a recording of in.mpathd (record in /etc/ipmp.toml, or its option -r)
  to a fresh engine, tells what happened, and fails at the first decision that
  is not the recorded one.
Example:
  ipmp replay /var/log/mpathd.record
";

/// Runs `ipmp replay` with `arguments`, the verb not among them.
pub fn run(arguments: &[String], console: &mut Console<'_>) -> u8 {
    let result = match arguments {
        [help] if help == "--help" => return console.help(TOOL, USAGE),
        [file] if !file.starts_with('-') => tell(file, console),
        _ => Ok(console.misused(arguments, USAGE)),
    };
    console.finish(TOOL, result)
}

fn tell(file: &str, console: &mut Console<'_>) -> io::Result<u8> {
    let mut said = Ok(());
    let ended = File::open(file)
        .map_err(ReplayError::Open)
        .and_then(|input| {
            replay(BufReader::new(input), |line| {
                if said.is_ok() {
                    said = console.say(line);
                }
            })
        });
    said?;
    match ended {
        Ok(replayed) => {
            console.say(replayed)?;
            Ok(OK)
        }
        Err(error) => {
            console.complain(format_args!("{TOOL}: {file}: {error}"));
            Ok(FAILED)
        }
    }
}

/// What was replayed, all of it decided as recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Events that were fed.
    pub events: u64,
    /// Actions that came of them, without probes.
    pub actions: u64,
    /// Probes.
    pub probes: u64,
    /// From the first event to the last.
    pub span: Duration,
    /// Why the recording ends; `None` if it breaks off.
    pub end: Option<String>,
}

impl std::fmt::Display for Replayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "same decisions: {} actions and {} probes of {} events in {:.1} s; {}",
            self.actions,
            self.probes,
            self.events,
            self.span.as_secs_f64(),
            self.end.as_deref().unwrap_or("the recording breaks off")
        )
    }
}

/// Why a recording was not replayed to its end.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// There is no such file.
    #[error("{0}")]
    Open(io::Error),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Other decisions than those recorded.
    #[error("line {line}: other decisions after {after:.6} s: recorded {recorded}; now {now}")]
    Differs {
        /// Which line.
        line: u64,
        /// Seconds after the first event.
        after: f64,
        /// What the daemon decided, as JSON.
        recorded: String,
        /// What was decided now, as JSON.
        now: String,
    },
}

/// Feeds a fresh engine what was recorded and tells what happens, line by line.
pub fn replay(input: impl BufRead, mut tell: impl FnMut(String)) -> Result<Replayed, ReplayError> {
    let (header, mut reader) = Reader::new(input)?;
    let Header {
        daemon,
        seed,
        settings,
        saved,
        ..
    } = header;
    tell(format!("recorded by in.mpathd {daemon}"));
    let mut engine = Engine::new(settings, saved, seed);
    let mut replayed = Replayed::default();
    let mut states = States::default();
    let mut start = None;
    while let Some(line) = reader.next() {
        let recorded = match line? {
            Line::Step(step) => *step,
            Line::End(end) => {
                replayed.end = Some(end.end);
                break;
            }
        };
        let at = recorded.at();
        let start: Time = *start.get_or_insert(at);
        replayed.span = at.since(start);
        let actions = engine.handle(at, recorded.event.clone());
        let now = Step::new(at, recorded.event.clone(), actions);
        let decisions = |step: &Step| {
            let decisions = serde_json::to_string(&(&step.actions, step.probes));
            decisions.unwrap_or_else(|error| error.to_string())
        };
        // Records of outages are rounded when they are written: as text they are the same.
        let same = now.actions == recorded.actions && now.probes == recorded.probes;
        if !same && decisions(&now) != decisions(&recorded) {
            return Err(ReplayError::Differs {
                line: reader.line(),
                after: replayed.span.as_secs_f64(),
                recorded: decisions(&recorded),
                now: decisions(&now),
            });
        }
        replayed.events += 1;
        replayed.actions += now.actions.len() as u64;
        replayed.probes += now.probes.map_or(0, |probes| probes.count);

        // Of replies something comes at the next tick, if at all.
        let is_quiet = now.actions.is_empty()
            && matches!(
                now.event,
                Event::Tick | Event::Reply(_) | Event::Neighbours(_)
            );
        if is_quiet {
            continue;
        }
        let mut lines = happened(&now.event);
        lines.extend(now.actions.iter().flat_map(decided));
        lines.extend(states.renew(&engine.snapshot()));
        for line in lines {
            tell(format!("{:>14.6}  {line}", replayed.span.as_secs_f64()));
        }
    }
    Ok(replayed)
}

/// What is worth telling of an event.
fn happened(event: &Event) -> Vec<String> {
    match event {
        Event::Command { id, command } => {
            let command = serde_json::to_string(command).unwrap_or_default();
            vec![format!("request {id}: {command}")]
        }
        Event::Settings(_) => vec!["settings read again".to_owned()],
        Event::Applied(results) => {
            let refused = results.iter().filter_map(|result| result.as_ref().err());
            refused
                .map(|error| format!("the kernel refused: {error}"))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// What is worth telling of an action.
fn decided(action: &Action) -> Vec<String> {
    match action {
        Action::Apply(plan) => plan.operations.iter().map(ToString::to_string).collect(),
        Action::Announce(announcement) => {
            let addresses = announcement.addresses.iter().map(ToString::to_string);
            let addresses: Vec<String> = addresses.collect();
            let (addresses, on) = (addresses.join(", "), &announcement.interface);
            vec![format!("announce {addresses} on {on}")]
        }
        Action::Log(message) => vec![message.to_string()],
        Action::Answer { id, answer } => vec![match answer {
            Ok(_) => format!("request {id} is done"),
            Err(refusal) => format!("request {id} is refused: {refusal}"),
        }],
        _ => Vec::new(),
    }
}

/// How interfaces and groups were when they were last looked at.
#[derive(Debug, Default)]
struct States(BTreeMap<String, &'static str>);

impl States {
    /// What has changed since.
    fn renew(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let watched = snapshot.interfaces.iter().filter(|i| i.tracked);
        let interfaces = watched.map(|i| (i.name.to_string(), i.state.as_str()));
        let groups = snapshot.groups.iter().filter_map(|group| {
            let name = group.name.as_ref()?;
            Some((format!("group {name}"), group.state.as_str()))
        });
        let now: BTreeMap<String, &'static str> = interfaces.chain(groups).collect();
        let before = std::mem::replace(&mut self.0, now);
        let mut changes = Vec::new();
        for (name, state) in &self.0 {
            match before.get(name) {
                Some(before) if before == state => {}
                Some(before) => changes.push(format!("{name}: {before} -> {state}")),
                None => changes.push(format!("{name}: {state}")),
            }
        }
        let gone = before.keys().filter(|name| !self.0.contains_key(*name));
        changes.extend(gone.map(|name| format!("{name}: gone")));
        changes
    }
}

#[cfg(test)]
mod tests;
