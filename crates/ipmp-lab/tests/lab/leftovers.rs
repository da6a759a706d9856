//! Nothing is left of a lab, however it ends.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use ipmp_lab::{Lab, wait_until};

use crate::{Outcome, Pair, Test, holds};

pub(crate) const TESTS: &[Test] = &[
    ("leftovers::none_after_drop", dropped),
    ("leftovers::none_after_sigkill", killed),
];

/// The word that makes this executable a lab that waits to be killed.
pub(crate) const DOOMED: &str = "--doomed";

/// The namespaces of a lab's hosts, as `/proc/<pid>/ns/*` names them.
fn namespaces(pair: &Pair) -> Result<BTreeSet<String>, Box<dyn std::error::Error>> {
    let mut names = BTreeSet::new();
    for host in [&pair.host1, &pair.host2] {
        let links = host.run("readlink /proc/self/ns/net /proc/self/ns/mnt /proc/self/ns/pid")?;
        names.extend(links.stdout.lines().map(str::to_owned));
    }
    Ok(names)
}

/// Which of these namespaces some process is in or holds open.
fn in_use(names: &BTreeSet<String>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        for directory in ["ns", "fd"] {
            let entries = std::fs::read_dir(process.path().join(directory));
            for entry in entries.into_iter().flatten().flatten() {
                if let Ok(target) = std::fs::read_link(entry.path()) {
                    used.insert(target.to_string_lossy().into_owned());
                }
            }
        }
    }
    names.intersection(&used).cloned().collect()
}

fn dropped() -> Outcome {
    let pair = Pair::new()?;
    let names = namespaces(&pair)?;
    holds("six namespaces", names.len() == 6)?;
    // A daemon, and a process still held.
    pair.host1.run("sh -c 'sleep 1000 & exit 0'")?;
    let process = pair.host2.spawn("sleep 1000")?;
    holds("in use", in_use(&names) == names)?;
    drop(pair.lab);
    // Values that outlive their lab keep a descriptor of the network, but no process.
    holds("ended", process.wait(Duration::ZERO)?.is_some())?;
    drop((pair.host1, pair.host2, pair.nic1, pair.nic2, pair.switch));
    gone(&names)
}

/// Waits until namespaces of these numbers are gone. Numbers are used again, so other tests may have
/// some of them for a while.
fn gone(names: &BTreeSet<String>) -> Outcome {
    let what = "the namespaces are gone";
    wait_until(what, Duration::from_secs(20), || in_use(names).is_empty())?;
    Ok(())
}

fn killed() -> Outcome {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(DOOMED)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no stdout")?).lines();
    let mut names = BTreeSet::new();
    while names.len() < 6 {
        names.insert(lines.next().ok_or("the doomed lab did not start")??);
    }
    let used = in_use(&names);
    child.kill()?;
    child.wait()?;
    holds("in use", used == names)?;
    gone(&names)
}

/// A lab with something running in it, until it is killed.
pub(crate) fn doomed() -> ExitCode {
    let wait = || -> Outcome {
        let pair = Pair::new()?;
        pair.host1.run("sh -c 'sleep 1000 & exit 0'")?;
        let _process = pair.host2.spawn("sleep 1000")?;
        let _lab: &Lab = &pair.lab;
        let names: Vec<String> = namespaces(&pair)?.into_iter().collect();
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{}", names.join("\n"))?;
        loop {
            std::thread::park();
        }
    };
    match wait() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
