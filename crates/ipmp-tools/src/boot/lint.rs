//! What is wrong with the files, found out by carrying them out against a daemon that only nods.

use std::collections::{BTreeMap, BTreeSet};

use ipmp_core::{
    Answer, Command, Family, GroupName, InterfaceAddress, InterfaceName, LogicalName, Snapshot,
};

use super::files::{HostnameFile, Problem};
use crate::daemon::{Daemon, Environment, Failure};
use crate::etc::Etc;
use crate::ifconfig::Line;

/// A daemon that agrees to everything and does nothing, but notes subnets and groups.
#[derive(Debug, Default)]
struct Nodding {
    units: BTreeMap<InterfaceName, u32>,
    subnets: Vec<InterfaceAddress>,
    group: Option<GroupName>,
}

impl Daemon for Nodding {
    fn execute(&mut self, command: Command) -> Result<Answer, Failure> {
        Ok(match command {
            Command::AddLogical { interface, address } => {
                self.subnets.push(address.subnet());
                let unit = self.units.entry(interface.clone()).or_default();
                *unit += 1;
                Answer::Created(LogicalName::new(interface, *unit))
            }
            Command::SetAddress { address, .. } => {
                self.subnets.push(address.subnet());
                Answer::Done
            }
            Command::SetGroup { group, .. } => {
                self.group = group;
                Answer::Done
            }
            _ => Answer::Done,
        })
    }

    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        Ok(Snapshot::default())
    }

    fn view(&mut self) -> Result<Snapshot, Failure> {
        self.snapshot()
    }
}

/// What a file does to its interface, as far as others care.
#[derive(Debug)]
struct Outcome<'a> {
    file: &'a HostnameFile,
    subnets: Vec<InterfaceAddress>,
    group: Option<GroupName>,
}

/// All that is wrong with each of `files`.
pub(super) fn errors(files: &[HostnameFile], etc: &Etc) -> Vec<Problem> {
    files.iter().flat_map(|file| dry_run(file, etc).1).collect()
}

/// All that looks odd though it can be carried out: interfaces on one subnet that are not in one
/// group never take over for each other.
pub(super) fn warnings(files: &[HostnameFile], etc: &Etc) -> Vec<Problem> {
    let outcomes: Vec<Outcome<'_>> = files
        .iter()
        .filter(|file| file.family == Family::Inet)
        .map(|file| dry_run(file, etc).0)
        .collect();
    let mut problems = Vec::new();
    for (at, outcome) in outcomes.iter().enumerate() {
        let other = outcomes.iter().take(at).find(|other| {
            let name = |outcome: &Outcome<'_>| outcome.file.target.logical.interface.clone();
            let shared = outcome.subnets.iter().any(|s| other.subnets.contains(s));
            shared && other.group != outcome.group && name(other) != name(outcome)
        });
        if let Some(other) = other {
            let in_group = |group: &Option<GroupName>| match group {
                Some(group) => format!("in group {group}"),
                None => "in no group".to_owned(),
            };
            problems.push(Problem {
                path: outcome.file.path.clone(),
                line: None,
                reason: format!(
                    "warning: {} is {}, but {} on the same subnet is {}",
                    outcome.file.target.logical,
                    in_group(&outcome.group),
                    other.file.target.logical,
                    in_group(&other.group),
                ),
            });
        }
    }
    problems
}

/// The groups that interfaces are put into.
pub(super) fn groups(files: &[HostnameFile], etc: &Etc) -> BTreeSet<GroupName> {
    let outcomes = files.iter().map(|file| dry_run(file, etc).0);
    outcomes.filter_map(|outcome| outcome.group).collect()
}

fn dry_run<'a>(file: &'a HostnameFile, etc: &Etc) -> (Outcome<'a>, Vec<Problem>) {
    let mut nodding = Nodding::default();
    let mut problems = Vec::new();
    for (at, call) in file.calls.iter().enumerate() {
        let after = file.calls.get(at + 1).and_then(|next| next.words.first());
        let mut line = Line::new(file.target.clone(), file.family, &call.words)
            .before(after.map(String::as_str));
        let mut environment = Environment {
            daemon: &mut nodding,
            etc,
            privileged: false,
        };
        while let Some(step) = line.step(&mut environment) {
            if let Err(error) = step {
                problems.push(Problem {
                    path: file.path.clone(),
                    line: Some(call.line_of(error.position)),
                    reason: error.text,
                });
            }
        }
    }
    let outcome = Outcome {
        file,
        subnets: nodding.subnets,
        group: nodding.group,
    };
    (outcome, problems)
}
