//! The daemon dies at bad moments, and NICs fail and return while it is dead.

use std::fs;
use std::io::Read as _;
use std::time::Duration;

use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::labs::Moment;
use ipmp_lab::wait_until;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, PATIENCE, reaches, run_directory, same};
use crate::scene::{DATA0, DATA1, Fault, QUICK, loses_nothing};

tests![
    restart_in_peace_is_not_noticed,
    fault_while_the_daemon_is_dead,
    repair_while_the_daemon_is_dead,
    who_was_silent_stays_out_of_use_while_nobody_was_asked,
    daemon_killed_at_any_moment_of_failover,
    daemon_killed_at_any_moment_of_failback,
    daemon_killed_while_it_is_asked_is_followed_by_the_next,
];

impl Bed {
    /// Kills the daemon of host1 and waits until it is gone.
    pub(crate) fn kills_daemon(&self) -> Result<(), Failed> {
        self.signals_daemon(Signal::SIGKILL)?;
        self.awaits_no_daemon()
    }
}

fn restart_in_peace_is_not_noticed() -> Result<(), Failed> {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let bed = Bed::lab1(QUICK)?;
        let pings = [bed.pings(DATA0)?, bed.pings(DATA1)?];
        bed.signals_daemon(signal)?;
        bed.awaits_no_daemon()?;
        bed.lists(Moment::Lab1, true)?;
        bed.types("in.mpathd")?;
        bed.awaits_probes(&["ge0", "ge1"])?;
        bed.lists(Moment::Lab1, true)?;
        for ping in pings {
            loses_nothing("ping", &ping.stop()?)?;
        }
    }
    Ok(())
}

fn fault_while_the_daemon_is_dead() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.kills_daemon()?;
    bed.ge1.cable.pull()?;
    bed.types("in.mpathd")?;
    bed.awaits_holder(DATA1, "ge0")?;
    bed.lists(Moment::Lab1WithoutGe1, false)?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA1, "ge1")?;
    bed.lists(Moment::Lab1, true)
}

fn repair_while_the_daemon_is_dead() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = Bed::lab1(QUICK)?;
        bed.fails(fault, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.kills_daemon()?;
        bed.ge1.cable.heal()?;
        bed.types("in.mpathd")?;
        bed.awaits_state("ge1", InterfaceState::Ok)?;
        bed.awaits_holder(DATA1, "ge1")?;
        bed.lists(Moment::Lab1, true)?;

        // Without test addresses nothing but the link is there to tell.
        let bed = Bed::new(QUICK)?;
        bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
        bed.types("ifconfig ge1 plumb 192.168.0.88 group testgrp2 up")?;
        bed.fails(Fault::Pull, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.kills_daemon()?;
        bed.ge1.cable.plug()?;
        bed.types("in.mpathd")?;
        bed.awaits_holder(DATA1, "ge1")?;
    }
    Ok(())
}

/// There is neither a router nor a test address: whom to ask a new daemon has to find first.
fn who_was_silent_stays_out_of_use_while_nobody_was_asked() -> Result<(), Failed> {
    let bed = Bed::among_hosts(QUICK)?;
    bed.fails(Fault::Silence, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    let pings = [bed.pings(DATA0)?, bed.pings(DATA1)?];
    for _ in 0..3 {
        bed.kills_daemon()?;
        bed.types("in.mpathd")?;
        bed.awaits_probes(&["ge0"])?;
    }
    for ping in pings {
        loses_nothing("ping", &ping.stop()?)?;
    }
    bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA1, "ge1")?;
    Ok(())
}

/// Moments after a change at which the daemon is killed: before, amid and after what it does then.
const MOMENTS: [u64; 8] = [0, 1, 2, 3, 5, 8, 15, 40];

fn daemon_killed_at_any_moment_of_failover() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    for after in MOMENTS {
        bed.ge1.cable.pull()?;
        std::thread::sleep(Duration::from_millis(after));
        bed.kills_daemon()?;
        bed.types("in.mpathd")?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.lists(Moment::Lab1WithoutGe1, false)?;
        reaches(&bed.host2, "192.168.0.88")?;
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA1, "ge1")?;
        bed.lists(Moment::Lab1, true)?;
    }
    Ok(())
}

fn daemon_killed_at_any_moment_of_failback() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    for after in MOMENTS {
        bed.fails(Fault::Pull, &bed.ge1)?;
        bed.awaits_holder(DATA1, "ge0")?;
        bed.repairs(&bed.ge1)?;
        std::thread::sleep(Duration::from_millis(after));
        bed.kills_daemon()?;
        reaches(&bed.host2, "192.168.0.88")?;
        bed.types("in.mpathd")?;
        bed.awaits_state("ge1", InterfaceState::Ok)?;
        bed.awaits_holder(DATA1, "ge1")?;
        bed.awaits_probes(&["ge0", "ge1"])?;
        bed.lists(Moment::Lab1, true)?;
    }
    Ok(())
}

/// What a tool said, and whether it succeeded.
type Said = (bool, String, String);

impl Bed {
    /// Types a command to a daemon that is killed after the tool has come to it and before it is heard.
    fn types_to_a_dying_daemon(&self, line: &str) -> Result<Said, Failed> {
        self.signals_daemon(Signal::SIGSTOP)?;
        let before = self.clients()?;
        let mut tool = self.host1.spawn(line)?;
        wait_until("the tool is connected", PATIENCE, || {
            self.clients().is_ok_and(|clients| clients > before)
        })?;
        self.signals_daemon(Signal::SIGKILL)?;
        let status = tool.wait(PATIENCE)?;
        let status = status.ok_or_else(|| format!("{line}: does not end"))?;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        if let Some(mut pipe) = tool.stdout.take() {
            pipe.read_to_string(&mut stdout)?;
        }
        if let Some(mut pipe) = tool.stderr.take() {
            pipe.read_to_string(&mut stderr)?;
        }
        Ok((status.success(), stdout, stderr))
    }

    /// How many sockets bear the name of the control socket: the one that listens, and one for each client.
    fn clients(&self) -> Result<usize, Failed> {
        self.host1.enter(|| -> Result<usize, Failed> {
            let path = run_directory()?.socket().display().to_string();
            let sockets = fs::read_to_string("/proc/1/net/unix")?;
            Ok(sockets.lines().filter(|line| line.ends_with(&path)).count())
        })?
    }
}

fn daemon_killed_while_it_is_asked_is_followed_by_the_next() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    // Changes that may be asked for twice, and one that is asked for when a daemon answers.
    for (line, stdout) in [
        ("ifconfig ge0 group testgrp2", ""),
        ("ifconfig ge0:1 up", ""),
        (
            "ifconfig ge0 addif 192.168.0.90 up",
            "Created new logical interface ge0:2\n",
        ),
        ("ifconfig ge0 removeif 192.168.0.90", ""),
    ] {
        let said = bed.types_to_a_dying_daemon(line)?;
        same(line, &said, &(true, stdout.to_owned(), String::new()))?;
        same("daemons", &bed.host1.pids_of("in.mpathd")?.len(), &1)?;
    }
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.lists(Moment::Lab1, true)?;

    // To look on starts none: what there is to see without one is shown, or that there is none.
    let (is_done, stdout, stderr) = bed.types_to_a_dying_daemon("ifconfig ge0")?;
    same("ifconfig ge0", &(is_done, stderr.as_str()), &(true, ""))?;
    same("ge0", &bed.entry("ge0")?, &stdout)?;
    bed.awaits_no_daemon()?;
    bed.types("in.mpathd")?;
    let said = bed.types_to_a_dying_daemon("ipmp events")?;
    let reason = "in.mpathd is not running (start it: systemctl start ipmp, or in.mpathd)";
    let complaint = format!("ipmp: {reason}\n");
    same("ipmp events", &said, &(false, String::new(), complaint))?;
    bed.awaits_no_daemon()?;

    bed.types("in.mpathd")?;
    let said = bed.types_to_a_dying_daemon("ipmp teardown")?;
    same(
        "ipmp teardown",
        &said,
        &(true, String::new(), String::new()),
    )?;
    bed.awaits_no_daemon()?;
    reaches(&bed.host2, "192.168.0.86")
}
