//! How little the daemon may, who may command it, and what it leaves for others to write.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use ipmp_lab::labs::LAB1;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bad_input::{one_line, unharmed};
use crate::bed::{Bed, run_directory, same};
use crate::ordinary_user::NOBODY;

const SLOW: u32 = 10_000;

/// What the status of each of the daemon's threads says; `CAP_NET_ADMIN` is number 12, `CAP_NET_RAW` 13.
const OWN_CAPABILITIES: [&str; 5] = [
    "CapInh:\t0000000000000000",
    "CapPrm:\t0000000000003000",
    "CapEff:\t0000000000003000",
    "CapAmb:\t0000000000000000",
    "NoNewPrivs:\t1",
];

tests![
    daemon_has_two_capabilities_and_gets_no_others,
    daemon_that_may_not_touch_the_bounding_set_drops_the_rest,
    ordinary_user_who_is_root_of_a_user_namespace_may_not_command,
    nothing_that_is_left_may_be_written_by_others,
    run_directory_prepared_by_an_ordinary_user_is_refused,
    files_prepared_in_the_run_directory_are_not_followed,
];

impl Bed {
    /// Fails unless every thread of the daemon has these lines in its status: each has its own.
    fn daemon_has(&self, lines: &[&str]) -> Result<(), Failed> {
        let [pid] = self
            .host1
            .pids_of("in.mpathd")?
            .try_into()
            .map_err(|pids| format!("daemons: {pids:?}"))?;
        let status = self.types(&format!("sh -c 'cat /proc/{pid}/task/*/status'"))?;
        let threads = status.lines().filter(|line| line.starts_with("Tgid:"));
        let threads = threads.count();
        same("threads are seen", &(threads > 1), &true)?;
        for line in lines {
            let count = status.lines().filter(|found| found == line).count();
            same(&format!("threads with {line}"), &count, &threads)?;
        }
        Ok(())
    }
}

fn daemon_has_two_capabilities_and_gets_no_others() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    bed.daemon_has(&OWN_CAPABILITIES)?;
    bed.daemon_has(&["CapBnd:\t0000000000003000"])?;
    // It can do all its work with them.
    bed.ge1.cable.pull()?;
    bed.awaits("the failover is complete", |seen| {
        !seen.totals.outages.is_empty()
    })?;
    Ok(())
}

fn daemon_that_may_not_touch_the_bounding_set_drops_the_rest() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("setpriv --bounding-set -setpcap in.mpathd")?;
    bed.daemon_has(&OWN_CAPABILITIES)?;
    let said = bed.messages()?;
    let about = |message: &&String| message.contains("apabilities");
    let said: Vec<_> = said.iter().filter(about).collect();
    same("messages about it", &said.len(), &1)
        .and_then(|()| {
            let text = "cannot take capabilities out of the bounding set: ";
            same("it", &said.iter().all(|said| said.starts_with(text)), &true)
        })
        .map_err(|failed| format!("{failed:?}: {said:#?}"))?;
    bed.sets_up_lab1()
}

fn ordinary_user_who_is_root_of_a_user_namespace_may_not_command() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let inside = "unshare --user --map-root-user";
    let id = bed.host1.run_as(NOBODY, &format!("{inside} id -u"))?;
    same("user id inside", &id.stdout.trim_end(), &"0").map_err(|_| id.stderr.clone())?;
    unharmed(&bed, || {
        for line in ["ifconfig ge0 down", "if_mpadm -d ge0", "ipmp offline ge0"] {
            let output = bed.host1.run_as(NOBODY, &format!("{inside} {line}"))?;
            let tool = line.split(' ').next().unwrap_or_default();
            one_line(&output, &format!("{tool}: "), "ermission denied")?;
        }
        // Looking is everybody's right.
        let output = bed.host1.run_as(NOBODY, &format!("{inside} ipmpstat -g"))?;
        same("ipmpstat -g", &output.success(), &true)
    })
}

/// Everything below a directory, itself included, symbolic links not followed.
fn walk(directory: &Path) -> Result<Vec<(PathBuf, fs::Metadata)>, Failed> {
    let mut found = vec![(directory.to_owned(), fs::symlink_metadata(directory)?)];
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            found.extend(walk(&path)?);
        } else {
            found.push((path, metadata));
        }
    }
    Ok(found)
}

fn nothing_that_is_left_may_be_written_by_others() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    // Whoever calls may have any umask.
    for line in LAB1 {
        bed.types(&format!("sh -c 'umask 0; {line}'"))?;
    }
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.types("sh -c \"umask 0; eeprom 'local-mac-address?=true'\"")?;
    bed.types("sh -c 'umask 0; ipmp metrics --output /run/ipmp/metrics.prom'")?;
    bed.ge1.cable.pull()?;
    bed.awaits("the failover is complete", |seen| {
        !seen.totals.outages.is_empty()
    })?;
    bed.host1.enter(|| {
        let run = run_directory()?;
        let mut files = walk(Path::new("/run/ipmp"))?;
        let below = files
            .iter()
            .filter(|(path, _)| path.starts_with(run.path()));
        // The directory, and at least socket, state, lock and pid.
        same("files are there", &(below.count() > 4), &true)?;
        files.extend(walk(Path::new("/etc/ipmp"))?);
        for (path, found) in files {
            let what = path.display();
            same(&format!("owner of {what}"), &found.uid(), &0)?;
            // Anybody may connect; a socket is not written to otherwise.
            let allowed = if found.file_type().is_socket() && path == run.socket() {
                0o022
            } else {
                0
            };
            let writable = found.mode() & 0o022 & !allowed;
            same(&format!("{what} is writable by others"), &writable, &0)?;
        }
        Ok(())
    })?
}

fn run_directory_prepared_by_an_ordinary_user_is_refused() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let run = bed.host1.enter(run_directory)??;
    let run = run.path().display();
    let foreign = format!("belongs to user {NOBODY}");
    let no_directory = "not a directory";
    let writable = "writable by others";
    // What root has done or allowed before, what the user has prepared then, and what is said of it.
    for (root, user, said) in [
        ("chmod 1777 /run", "ln -s /etc /run/ipmp", no_directory),
        ("chmod 1777 /run", "mkdir /run/ipmp", foreign.as_str()),
        ("chmod 1777 /run", "mkdir -m 777 /run/ipmp", &foreign),
        ("chmod 1777 /run", "touch /run/ipmp", no_directory),
        ("chmod 1777 /run", "mkfifo /run/ipmp", no_directory),
        ("chmod 777 /run", "true", writable),
        ("chmod 775 /run", "true", writable),
        ("mkdir -m 1777 /run/ipmp", "true", writable),
        ("mkdir -m 1777 /run/ipmp", &format!("mkdir {run}"), writable),
        (
            &format!("sh -c 'mkdir /run/ipmp && ln -s /etc {run}'"),
            "true",
            no_directory,
        ),
        (
            &format!("sh -c 'mkdir -p {run} && chown {NOBODY} {run}'"),
            "true",
            &foreign,
        ),
        (
            &format!("sh -c 'mkdir -p {run} && chmod 775 {run}'"),
            "true",
            writable,
        ),
    ] {
        bed.types(root)?;
        let prepared = bed.host1.run_as(NOBODY, user)?;
        same(
            &format!("{user}: {}", prepared.stderr),
            &prepared.success(),
            &true,
        )?;
        for command in [
            "in.mpathd",
            "ifconfig ge0 plumb 192.168.0.86 group testgrp2 up",
        ] {
            let output = bed.host1.run(command)?;
            let tool = command.split(' ').next().unwrap_or_default();
            // What the tool says of a daemon that gave up, or of a place where none can be.
            let said = if command == tool { said } else { "" };
            one_line(&output, &format!("{tool}: "), said)
                .map_err(|failed| format!("{root}; {user}: {failed:?}"))?;
        }
        bed.awaits_no_daemon()?;
        bed.types("sh -c 'rm -rf /run/ipmp && chmod 755 /run'")?;
    }
    Ok(())
}

fn files_prepared_in_the_run_directory_are_not_followed() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let run = bed.host1.enter(run_directory)??;
    let run = run.path().display();
    let names = [
        "control",
        "cookie",
        "cookie.new",
        "log",
        "pid",
        "state",
        "state.new",
    ];
    for name in names.into_iter().chain(["lock"]) {
        bed.types("sh -c 'echo victim > /etc/victim; chmod 600 /etc/victim'")?;
        bed.types(&format!(
            "sh -c 'mkdir -p {run} && ln -s /etc/victim {run}/{name}'"
        ))?;
        let started = bed.host1.run("in.mpathd")?;
        if name == "lock" {
            one_line(&started, "in.mpathd: ", "/lock: ")?;
        } else {
            same(
                &format!("{name}: {}", started.stderr),
                &started.success(),
                &true,
            )?;
            // So that everything that is written is written.
            bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
            bed.signals_daemon(Signal::SIGTERM)?;
            bed.awaits_no_daemon()?;
            bed.types("ip address flush dev ge0")?;
        }
        let victim = bed.types("stat -c '%U %a %s' /etc/victim")?;
        same(
            &format!("the victim of {name}"),
            &victim.trim_end(),
            &"root 600 7",
        )?;
        same(
            "what is in it",
            &bed.types("cat /etc/victim")?.as_str(),
            &"victim\n",
        )?;
        bed.types("rm -rf /run/ipmp")?;
    }
    Ok(())
}
