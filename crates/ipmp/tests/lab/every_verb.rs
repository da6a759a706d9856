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

/// The verbs that `ipmp --help` lists: its lines are two columns in, and one may name two.
fn verbs(bed: &Bed) -> Result<Vec<String>, Failed> {
    let help = bed.types("ipmp --help")?;
    let list = help.lines().take_while(|line| *line != "Examples:");
    let lines = list.filter_map(|line| line.strip_prefix("  "));
    let entries = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let verbs: Vec<String> = entries
        .flat_map(|line| line.split("  ").next().unwrap_or_default().split(", "))
        .filter_map(|entry| entry.split(' ').next())
        .map(str::to_owned)
        .collect();
    let is_list = verbs.len() > 10;
    same(&format!("a list of verbs: {verbs:?}"), &is_list, &true)?;
    Ok(verbs)
}

fn every_verb_refuses_other_words_in_one_line() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let verbs = verbs(&bed)?;
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
    })
}

fn every_verb_that_needs_a_daemon_says_how_to_start_it() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let start = "start it: systemctl start ipmp, or in.mpathd";
    for line in [
        "ipmp explain ge0",
        "ipmp offline ge0",
        "ipmp online ge0",
        "ipmp move 192.168.0.86 ge0",
        "ipmp events",
        "ipmp events --follow",
        "ipmpstat -a",
        "ipmpstat -g",
        "ipmpstat -i",
        "ipmpstat -p",
        "ipmpstat -t",
        "if_mpadm -d ge0",
        "if_mpadm -r ge0",
    ] {
        one_line(&bed.host1.run(line)?, "i", start)?;
    }
    // There is something to see all the same.
    let status = bed.types("ipmp status")?;
    same(&format!("how in: {status}"), &status.contains(start), &true)?;
    same("daemons", &bed.host1.pids_of("in.mpathd")?.len(), &0)
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
    Ok(())
}
