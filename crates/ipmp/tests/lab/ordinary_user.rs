//! What an ordinary user may do: look, and nothing else.

use std::fs;

use ipmp_lab::Output;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bad_input::{one_line, unharmed};
use crate::bed::{Bed, same};

const SLOW: u32 = 10_000;

/// An ordinary user: nobody.
const NOBODY: u32 = 65_534;

tests![
    user_sees_but_no_ether,
    user_may_not_change_anything,
    user_does_not_start_the_daemon,
];

fn user_sees_but_no_ether() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let all = bed.types("ifconfig -a")?;
    let without: String = all
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("\tether "))
        .collect();
    same("root sees ether lines", &(all.len() > without.len()), &true)?;
    let Some(output) = as_user(&bed, "ifconfig -a")? else {
        return Ok(());
    };
    same("exit status", &output.status.code(), &Some(0))?;
    same("ifconfig -a", &output.stdout, &without)?;
    for mode in ["-an", "-g", "-i", "-tn"] {
        let Some(output) = as_user(&bed, &format!("ipmpstat {mode}"))? else {
            return Ok(());
        };
        same(
            &format!("exit status of ipmpstat {mode}"),
            &output.status.code(),
            &Some(0),
        )?;
    }
    // Without a daemon too.
    bed.signals_daemon(Signal::SIGTERM)?;
    bed.awaits_no_daemon()?;
    let Some(output) = as_user(&bed, "ifconfig -a")? else {
        return Ok(());
    };
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
        ] {
            let Some(output) = as_user(&bed, line)? else {
                return Ok(());
            };
            let tool = line.split(' ').next().unwrap_or_default();
            one_line(&output, &format!("{tool}: "), "ermission denied")?;
        }
        Ok(())
    })
}

fn user_does_not_start_the_daemon() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let Some(output) = as_user(&bed, "ifconfig ge0 plumb")? else {
        return Ok(());
    };
    one_line(&output, "ifconfig: ", "permission denied")?;
    let Some(output) = as_user(&bed, "in.mpathd")? else {
        return Ok(());
    };
    one_line(&output, "in.mpathd: ", "")?;
    same("daemons", &bed.host1.pids_of("in.mpathd")?.len(), &0)
}

/// Runs a command line on host1 as an ordinary user. `None` where the lab has no user but root, as in
/// a user namespace of an ordinary user's own.
fn as_user(bed: &Bed, line: &str) -> Result<Option<Output>, Failed> {
    let users = fs::read_to_string("/proc/self/uid_map")?;
    let mut users = users
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2));
    if users.all(|count| count == "1") {
        eprintln!("not tried, since this lab has no user but root: {line}");
        return Ok(None);
    }
    Ok(Some(bed.host1.run_as(NOBODY, line)?))
}
