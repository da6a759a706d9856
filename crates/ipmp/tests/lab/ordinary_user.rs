//! What an ordinary user may do: look, and nothing else.

use std::fs;

use ipmp_lab::Output;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bad_input::{one_line, unharmed};
use crate::bed::{Bed, same};
use crate::top::Desk;

const SLOW: u32 = 10_000;

/// An ordinary user: nobody.
pub(crate) const NOBODY: u32 = 65_534;

tests![
    user_sees_but_no_ether,
    user_may_not_change_anything,
    user_does_not_start_the_daemon,
    user_may_not_watch_probes,
    user_has_a_live_view_without_single_probes,
];

fn user_sees_but_no_ether() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let all = bed.types("ifconfig -a")?;
    let without: String = all
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("\tether "))
        .collect();
    same("root sees ether lines", &(all.len() > without.len()), &true)?;
    let output = as_user(&bed, "ifconfig -a")?;
    same("exit status", &output.status.code(), &Some(0))?;
    same("ifconfig -a", &output.stdout, &without)?;
    for mode in ["-an", "-g", "-i", "-tn"] {
        let output = as_user(&bed, &format!("ipmpstat {mode}"))?;
        same(
            &format!("exit status of ipmpstat {mode}"),
            &output.status.code(),
            &Some(0),
        )?;
    }
    // Without a daemon too.
    bed.signals_daemon(Signal::SIGTERM)?;
    bed.awaits_no_daemon()?;
    let output = as_user(&bed, "ifconfig -a")?;
    same("ifconfig -a without a daemon", &output.stdout, &without)
}

fn user_may_not_change_anything() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        for line in [
            "ifconfig ge0 down",
            "ifconfig ge0 group ''",
            "ifconfig ge0 addif 192.168.0.95 up",
            "ifconfig ge0 unplumb",
            "if_mpadm -d ge0",
            "eeprom 'local-mac-address?=true'",
            "ipmp teardown",
        ] {
            let output = as_user(&bed, line)?;
            let tool = line.split(' ').next().unwrap_or_default();
            one_line(&output, &format!("{tool}: "), "ermission denied")?;
        }
        Ok(())
    })
}

fn user_does_not_start_the_daemon() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let output = as_user(&bed, "ifconfig ge0 plumb")?;
    one_line(&output, "ifconfig: ", "permission denied")?;
    let output = as_user(&bed, "in.mpathd")?;
    one_line(&output, "in.mpathd: ", "only root may run it")?;
    // The one that said so may be about to end.
    bed.awaits_no_daemon()
}

fn user_may_not_watch_probes() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    for line in ["ipmpstat -p", "ipmpstat -p --json"] {
        let output = as_user(&bed, line)?;
        one_line(&output, "ipmpstat: -p: ", "permission denied")?;
        same("standard output", output.stdout.as_str(), "")?;
    }
    Ok(())
}

fn user_has_a_live_view_without_single_probes() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let desk = Desk::new(&bed, Some(NOBODY))?;
    desk.awaits(&["ge1", "ok", "up", "ok", "active"])?;
    desk.awaits(&["AVERAGE", "(ONLY", "ROOT", "SEES", "SINGLE", "PROBES)"])?;
    desk.awaits(&["ge1", "192.168.0.2"])
}

/// Whether a lab has other users than root. One that an ordinary user made, in a user namespace of
/// its own, has not.
pub(crate) fn exists() -> bool {
    let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    users
        .lines()
        .any(|line| line.split_whitespace().nth(2) != Some("1"))
}

/// Runs a command line on host1 as an ordinary user.
fn as_user(bed: &Bed, line: &str) -> Result<Output, Failed> {
    Ok(bed.host1.run_as(NOBODY, line)?)
}
