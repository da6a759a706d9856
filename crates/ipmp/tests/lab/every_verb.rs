//! What holds for every verb of `ipmp`, those that are to come included: the list is that of its help.

use libtest_mimic::Failed;

use crate::bad_input::{one_line, unharmed};
use crate::bed::{Bed, same};

tests![
    every_verb_refuses_other_words_in_one_line,
    every_verb_that_needs_a_daemon_says_how_to_start_it,
    every_verb_ends_quietly_when_nobody_reads,
];

const SLOW: u32 = 10_000;

/// The verbs that the executable under test lists.
fn verbs(bed: &Bed) -> Result<Vec<String>, Failed> {
    let help = bed.types("ipmp --help")?;
    let verbs = crate::verbs::verbs(&help);
    let verbs: Vec<String> = verbs.into_iter().map(str::to_owned).collect();
    let is_list = verbs.len() > 10;
    same(&format!("a list of verbs: {verbs:?}"), &is_list, &true)?;
    Ok(verbs)
}

fn every_verb_refuses_other_words_in_one_line() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let verbs = verbs(&bed)?;
    let before = bed.kernel()?;
    unharmed(&bed, || {
        for verb in &verbs {
            let refuses = |words: &str| -> Result<(), Failed> {
                let output = bed.host1.run(&format!("ipmp {verb} {words}"))?;
                one_line(&output, "", "")
            };
            refuses("--nonsense")?;
            // It takes as many variables as one likes, and complains of each.
            if verb != "eeprom" {
                refuses("one two three four five six")?;
            }
        }
        // Words that are missing.
        for line in [
            "ipmp",
            "ipmp explain",
            "ipmp offline",
            "ipmp online",
            "ipmp move",
            "ipmp move 192.168.0.86",
            "ipmp replay",
            "ipmp completions",
            "ipmp exporter --listen",
            "ipmp metrics --output",
            "ipmp boot --root",
            "ifconfig",
            "ifconfig -aq",
            "ipmpstat",
            "ipmpstat -n",
            "if_mpadm",
            "if_mpadm -d",
            "if_mpadm -d ge0 -r ge0",
            "eeprom",
        ] {
            one_line(&bed.host1.run(line)?, "", "")?;
        }
        Ok(())
    })?;
    same("what the kernel holds", &bed.kernel()?, &before)
}

/// What to type so that a verb has to ask a daemon. `None`: it has no need of one, or starts it.
fn needs_daemon(verb: &str) -> Result<Option<&'static [&'static str]>, Failed> {
    Ok(match verb {
        "explain" => Some(&["ipmp explain ge0", "ipmp explain 192.168.0.86"]),
        "offline" => Some(&["ipmp offline ge0"]),
        "online" => Some(&["ipmp online ge0"]),
        "move" => Some(&[
            "ipmp move 192.168.0.86 ge0",
            "ipmp move 192.168.0.86/24 ge0",
        ]),
        "events" => Some(&["ipmp events", "ipmp events --follow", "ipmp events --json"]),
        "ipmpstat" => Some(&[
            "ipmpstat -a",
            "ipmpstat -g",
            "ipmpstat -i",
            "ipmpstat -p",
            "ipmpstat -t",
            "ipmpstat --json -g",
            "ipmpstat -g --watch",
        ]),
        "if_mpadm" => Some(&["if_mpadm -d ge0", "if_mpadm -r ge0"]),
        // The first three have something to show without one.
        "status" | "metrics" | "top" | "demo" | "exporter" | "boot" | "check" | "replay"
        | "teardown" | "completions" | "ifconfig" | "eeprom" | "in.mpathd" => None,
        other => return Err(format!("{other}: does it need a daemon?").into()),
    })
}

fn every_verb_that_needs_a_daemon_says_how_to_start_it() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let before = bed.kernel()?;
    let start = "start it: systemctl start ipmp, or in.mpathd";
    for verb in verbs(&bed)? {
        for line in needs_daemon(&verb)?.unwrap_or_default() {
            let output = bed.host1.run(line)?;
            one_line(&output, "i", start)?;
            let names_it = output.stderr.contains("in.mpathd");
            same(&format!("who in: {}", output.stderr), &names_it, &true)?;
        }
    }
    // There is something to see all the same.
    let status = bed.types("ipmp status")?;
    same(&format!("how in: {status}"), &status.contains(start), &true)?;
    let metrics = bed.host1.run("ipmp metrics")?;
    same("exit status of metrics", &metrics.status.code(), &Some(1))?;
    let is_down = metrics.stdout.lines().any(|line| line == "ipmp_up 0");
    same(&format!("it is down in: {metrics:?}"), &is_down, &true)?;
    same(
        "complaint of metrics",
        &metrics.stderr.contains(start),
        &true,
    )?;
    same("daemons", &bed.host1.pids_of("in.mpathd")?.len(), &0)?;
    same("what the kernel holds", &bed.kernel()?, &before)
}

fn every_verb_ends_quietly_when_nobody_reads() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let helps = verbs(&bed)?;
    let helps = helps.iter().map(|verb| format!("ipmp {verb} --help"));
    let lists = [
        "ipmp status",
        "ipmp status --json",
        "ipmp events",
        "ipmp events --follow",
        "ipmp metrics",
        "ipmp explain ge0",
        "ifconfig -a",
        "ipmpstat -a",
        "ipmpstat --json -g",
        "ipmpstat -p",
    ];
    for line in helps.chain(lists.map(str::to_owned)) {
        // What never ends by itself would not notice that there is no output at all.
        if !line.contains("--follow") && !line.contains("-p") {
            let closed = bed.host1.run(&format!("sh -c '{line} >&-'"))?;
            let seen = (closed.status.code(), closed.stderr.as_str());
            same(&format!("{line} without output"), &seen, &(Some(0), ""))?;
        }
        let output = bed
            .host1
            .run(&format!("bash -c 'set -o pipefail; {line} | true'"))?;
        let seen = (output.status.code(), output.stderr.as_str());
        same(
            &format!("status of, and complaint by {line}"),
            &seen,
            &(Some(0), ""),
        )?;
    }
    // There is nothing more to say when whoever read has gone.
    let follow = "set -o pipefail; timeout 20 ipmp events --follow | head -n 1";
    let output = bed.host1.run(&format!("bash -c '{follow}'"))?;
    let seen = (output.status.code(), output.stdout.lines().count());
    same("status, and lines of events followed", &seen, &(Some(0), 1))
}
