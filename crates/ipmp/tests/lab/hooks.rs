//! The hook: a program that is run for each event.

use std::time::Duration;

use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::wait_until;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bed::{Bed, PATIENCE, same};
use crate::scene::{DATA1, QUICK};

tests![
    hook_is_told_each_event_once_in_order_as_json,
    hook_has_nothing_of_the_daemons,
    hook_that_hangs_delays_no_failover_and_is_ended,
    hook_need_not_read_its_input,
    hook_that_fails_is_said_once,
    hook_that_others_may_write_is_not_run,
];

const HOOK: &str = "/etc/hook";

/// Lab 1 whose daemon has this hook by SIGHUP.
fn hooked(script: &str) -> Result<Bed, Failed> {
    let bed = Bed::lab1(QUICK)?;
    write(&bed, script)?;
    let settings = format!("[daemon]\nhook = \"{HOOK}\"\n");
    bed.host1.write_file("/etc/ipmp.toml", &settings)?;
    bed.signals_daemon(Signal::SIGHUP)?;
    bed.awaits_log("reading the settings again")?;
    // Answered after the settings were taken.
    bed.snapshot()?;
    Ok(bed)
}

fn write(bed: &Bed, script: &str) -> Result<(), Failed> {
    bed.host1
        .write_file(HOOK, &format!("#!/bin/sh\n{script}\n"))?;
    bed.types(&format!("chmod 755 {HOOK}"))?;
    Ok(())
}

/// What the hook has written into a file of host1 so far.
fn written(bed: &Bed, path: &str) -> String {
    bed.host1.read_file(path).unwrap_or_default()
}

/// Waits until what the hook has written into a file is as `holds` asks for.
fn awaits_written(bed: &Bed, path: &str, holds: impl Fn(&str) -> bool) -> Result<String, Failed> {
    wait_until(path, PATIENCE, || holds(&written(bed, path)))
        .map_err(|error| format!("{error}; it has: {}", written(bed, path)))?;
    Ok(written(bed, path))
}

fn events(bed: &Bed) -> Result<Vec<String>, Failed> {
    let lines = bed.types("ipmp events --json")?;
    Ok(lines.lines().map(str::to_owned).collect())
}

fn hook_is_told_each_event_once_in_order_as_json() -> Result<(), Failed> {
    let bed = hooked("cat >> /run/told")?;
    let before = events(&bed)?.len();
    bed.ge1.cable.pull()?;
    bed.awaits_holder(DATA1, "ge0")?;
    let told = awaits_written(&bed, "/run/told", |told| told.contains("\"outage\""))?;
    let told: Vec<&str> = told.lines().collect();
    let since = events(&bed)?;
    // More may have happened meanwhile.
    let since: Vec<&str> = since
        .iter()
        .skip(before)
        .take(told.len())
        .map(String::as_str)
        .collect();
    same("what the hook was told", &told, &since)?;
    let objects: Vec<Value> = told
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect::<Result<_, _>>()?;
    let outage = objects.iter().find(|event| event["kind"] == "outage");
    let outage = outage.ok_or("no outage")?;
    same("cause", &outage["cause"], &"link_down")?;
    same("interface", &outage["interface"], &"ge1")?;
    same(
        "address",
        &outage
            .pointer("/addresses/0/address")
            .and_then(Value::as_str),
        &Some(DATA1.to_string().as_str()),
    )
}

fn hook_has_nothing_of_the_daemons() -> Result<(), Failed> {
    let bed = hooked(
        "[ -e /run/seen ] && exit\n\
         {\n\
         grep -E '^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|VmLck)' /proc/$$/status\n\
         echo \"directory $(pwd)\"\n\
         tr '\\0' '\\n' < /proc/$$/environ\n\
         for fd in /proc/$$/fd/*; do echo \"file $(readlink $fd)\"; done\n\
         echo \"policy $(cut -d' ' -f41 /proc/$$/stat), nice $(cut -d' ' -f19 /proc/$$/stat)\"\n\
         grep 'Max realtime priority' /proc/$$/limits\n\
         } > /run/new\n\
         mv /run/new /run/seen",
    )?;
    bed.ge1.cable.pull()?;
    let seen = awaits_written(&bed, "/run/seen", |seen| !seen.is_empty())?;
    let words: Vec<String> = seen
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.starts_with("file "))
        .collect();
    same(
        "the hook's process",
        &words,
        &[
            "VmLck: 0 kB",
            "CapInh: 0000000000000000",
            "CapPrm: 0000000000000000",
            "CapEff: 0000000000000000",
            "CapAmb: 0000000000000000",
            "NoNewPrivs: 1",
            "directory /",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "policy 0, nice 0",
            "Max realtime priority 0 0",
        ],
    )?;
    // Pipes to the daemon, the script itself, and where it writes.
    let strange: Vec<&str> = seen
        .lines()
        .filter_map(|line| line.strip_prefix("file "))
        .filter(|file| !file.starts_with("pipe:") && *file != HOOK && *file != "/run/new")
        .collect();
    same("files of others", &strange, &Vec::<&str>::new())
}

fn hook_that_hangs_delays_no_failover_and_is_ended() -> Result<(), Failed> {
    let bed = hooked("echo $$ >> /run/hung\nsleep 1000")?;
    bed.ge1.cable.pull()?;
    awaits_written(&bed, "/run/hung", |hung| !hung.is_empty())?;
    // Meanwhile all goes on: there and back.
    bed.awaits_holder(DATA1, "ge0")?;
    bed.ge1.cable.heal()?;
    bed.awaits_holder(DATA1, "ge1")?;
    let hung = written(&bed, "/run/hung");
    same("hooks at a time", &hung.lines().count(), &1)?;
    let hung: i32 = hung.trim().parse()?;
    let sleeps = bed.host1.pids_of("sleep")?;
    same("what the hook waits for", &sleeps.len(), &1)?;
    bed.awaits_log("hook /etc/hook: ended after 10 seconds")?;
    let is_gone = || {
        let gone = |program: &str, pid: i32| {
            let pids = bed.host1.pids_of(program);
            pids.is_ok_and(|pids| !pids.contains(&pid))
        };
        gone("hook", hung) && sleeps.iter().all(|&pid| gone("sleep", pid))
    };
    wait_until("the end of the hook and its children", PATIENCE, is_gone)?;
    // The next event has its turn.
    awaits_written(&bed, "/run/hung", |hung| hung.lines().count() > 1)?;
    // Without the hook nobody hangs any more.
    bed.host1.remove_file("/etc/ipmp.toml")?;
    bed.signals_daemon(Signal::SIGHUP)?;
    let none = || bed.host1.pids_of("sleep").is_ok_and(|pids| pids.is_empty());
    wait_until("no hook", PATIENCE, none)?;
    Ok(())
}

fn hook_need_not_read_its_input() -> Result<(), Failed> {
    let bed = hooked("echo told >> /run/told")?;
    let before = events(&bed)?.len();
    bed.ge1.cable.pull()?;
    bed.awaits_holder(DATA1, "ge0")?;
    bed.ge1.cable.heal()?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.awaits_holder(DATA1, "ge1")?;
    let all = || {
        let happened = events(&bed).map_or(0, |events| events.len() - before);
        happened > 4 && written(&bed, "/run/told").lines().count() == happened
    };
    wait_until("the hook for each event", PATIENCE, all)?;
    bed.never_says(0, "hook /etc/hook")
}

fn hook_that_fails_is_said_once() -> Result<(), Failed> {
    let bed = hooked("echo trouble >&2\necho told >> /run/told\nexit 3")?;
    bed.ge1.cable.pull()?;
    awaits_written(&bed, "/run/told", |told| told.lines().count() >= 4)?;
    bed.awaits_log("hook: trouble")?;
    let failed = "hook /etc/hook: failed: exit status: 3";
    bed.awaits_log(failed)?;
    let count = |text: &str| -> Result<usize, Failed> {
        let messages = bed.messages()?;
        Ok(messages.iter().filter(|said| *said == text).count())
    };
    same("complaints", &count(failed)?, &1)?;
    write(&bed, "cat > /dev/null")?;
    bed.ge1.cable.heal()?;
    bed.awaits_log("hook /etc/hook: succeeds again")?;
    same("complaints", &count(failed)?, &1)
}

fn hook_that_others_may_write_is_not_run() -> Result<(), Failed> {
    let bed = hooked("echo told >> /run/told")?;
    bed.types(&format!("chmod 757 {HOOK}"))?;
    let check = bed.host1.run("ipmp check")?;
    let warned = "hook: /etc/hook: may be written by others than its owner; it is not run";
    same(
        &check.stderr,
        &check
            .stderr
            .contains(&format!("/etc/ipmp.toml:2: warning: {warned}")),
        &true,
    )?;
    same("exit status of a warning", &check.status.code(), &Some(0))?;
    bed.ge1.cable.pull()?;
    bed.awaits_holder(DATA1, "ge0")?;
    bed.awaits_log("hook /etc/hook: may be written by others than its owner")?;
    same("what it told", &written(&bed, "/run/told"), &"")?;
    // And one that is not there.
    bed.host1.remove_file(HOOK)?;
    let check = bed
        .host1
        .run_within(Duration::from_secs(10), "ipmp check")?;
    same(
        &check.stderr,
        &check.stderr.contains("hook: /etc/hook: no such file"),
        &true,
    )
}
