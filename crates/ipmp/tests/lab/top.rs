//! `ipmp top` on a terminal: what it shows of the real daemon, and how it leaves.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use ipmp_lab::{Process, wait_until};
use libtest_mimic::Failed;
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{Termios, tcgetattr};

use crate::bed::{Bed, PATIENCE, same};
use crate::scene::{Fault, QUICK};

tests![
    top_shows_a_pulled_cable_and_its_way_home,
    top_outlives_the_daemon,
    top_gives_the_terminal_back,
];

/// A terminal with `ipmp top` on it, and what a person in front of it sees.
pub(crate) struct Desk {
    process: Process,
    keyboard: File,
    seen: Arc<Mutex<vt100::Parser>>,
    terminal: OwnedFd,
    /// How the terminal was set before.
    before: Termios,
}

impl Desk {
    /// Sits down at a terminal of 80 columns and 24 rows, as this user or as root.
    pub(crate) fn new(bed: &Bed, user: Option<u32>) -> Result<Self, Failed> {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None)?;
        let before = tcgetattr(&slave)?;
        // The terminal is to be its own, so that it is told of its size.
        let process = bed.host1.spawn_on(&slave, user, "setsid -c ipmp top")?;
        let seen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (mut screen, sees) = (File::from(master.try_clone()?), seen.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                lock(&sees).process(bytes.get(..count).unwrap_or_default());
            }
        });
        Ok(Self {
            process,
            keyboard: master.into(),
            seen,
            terminal: slave,
            before,
        })
    }

    /// What is on the screen.
    fn sees(&self) -> String {
        lock(&self.seen).screen().contents()
    }

    /// Waits until a line of the screen has all these words, in this order.
    pub(crate) fn awaits(&self, words: &[&str]) -> Result<(), Failed> {
        let is_there = || {
            self.sees().lines().any(|line| {
                // The row the user is in has a mark.
                let mut there = line.trim_start_matches('>').split_whitespace();
                words.iter().all(|word| there.any(|it| it == *word))
            })
        };
        wait_until(&format!("{words:?} on the screen"), PATIENCE, is_there)
            .map_err(|error| format!("{error}; seen:\n{}", self.sees()))?;
        Ok(())
    }

    fn types(&mut self, keys: &str) -> Result<(), Failed> {
        self.keyboard.write_all(keys.as_bytes())?;
        Ok(())
    }

    /// Waits for its end, and fails unless the terminal is as it was.
    fn is_left(&self) -> Result<(), Failed> {
        let status = self.process.wait(PATIENCE)?;
        let code = status.and_then(|status| status.code());
        same("exit status", &code, &Some(0))?;
        same("settings", &tcgetattr(&self.terminal)?, &self.before)?;
        let is_back = || {
            let seen = lock(&self.seen);
            !seen.screen().alternate_screen() && !seen.screen().hide_cursor()
        };
        wait_until("the screen of before, with a cursor", PATIENCE, is_back)?;
        Ok(())
    }
}

fn lock(seen: &Mutex<vt100::Parser>) -> MutexGuard<'_, vt100::Parser> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn top_shows_a_pulled_cable_and_its_way_home() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let mut desk = Desk::new(&bed, None)?;
    for nic in ["ge0", "ge1"] {
        desk.awaits(&[nic, "ok", "up", "ok", "active", "1"])?;
        // A probe of each, answered, with its bar.
        desk.awaits(&[nic, "192.168.0.2", "0%"])?;
    }
    bed.fails(Fault::Pull, &bed.ge1)?;
    desk.awaits(&["testgrp2", "degraded"])?;
    desk.awaits(&["ge1", "failed", "down", "unusable"])?;
    desk.awaits(&["*", "192.168.0.88/24", "ge0:2", "up", "ge1,"])?;
    desk.awaits(&["192.168.0.88", "went", "from", "ge1", "to", "ge0:"])?;
    bed.repairs(&bed.ge1)?;
    desk.awaits(&["ge1", "ok", "up", "ok", "active", "1"])?;
    // Lost probes are in the picture, too: those of the time without a link.
    bed.fails(Fault::Silence, &bed.ge0)?;
    desk.awaits(&["ge0", "failed", "up", "failed"])?;
    let lost = || {
        let seen = desk.sees();
        let mut rows = seen.lines().filter(|row| row.contains("ge0"));
        rows.any(|row| row.contains("192.168.0.2") && row.trim_end().ends_with("xx"))
    };
    wait_until("lost probes of ge0", PATIENCE, lost)
        .map_err(|error| format!("{error}; seen:\n{}", desk.sees()))?;
    desk.types("q")?;
    desk.is_left()
}

fn top_outlives_the_daemon() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let mut desk = Desk::new(&bed, None)?;
    desk.awaits(&["ge1", "192.168.0.2", "0%"])?;
    bed.signals_daemon(Signal::SIGKILL)?;
    desk.awaits(&["in.mpathd", "is", "not", "running:"])?;
    // What is there is seen without it.
    desk.awaits(&["192.168.0.88/24", "ge1", "up"])?;
    bed.types("ifconfig ge0 addif 192.168.0.95 up")?;
    desk.awaits(&["192.168.0.95/24", "ge0:2", "up"])?;
    desk.awaits(&["ge1", "192.168.0.2", "0%"])?;
    let is_silent = || !desk.sees().contains("not running");
    wait_until("no complaint about the daemon", PATIENCE, is_silent)?;
    desk.types("\x1b")?;
    desk.is_left()
}

fn top_gives_the_terminal_back() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let desk = Desk::new(&bed, None)?;
        desk.awaits(&["testgrp2", "ok"])?;
        desk.process.signal(signal)?;
        desk.is_left()?;
    }
    let mut desk = Desk::new(&bed, None)?;
    desk.awaits(&["testgrp2", "ok"])?;
    // A smaller window: the last row is the one with the keys.
    let resized = bed
        .host1
        .spawn_on(&desk.terminal, None, "stty rows 12 cols 60")?;
    resized.wait(PATIENCE)?;
    lock(&desk.seen).screen_mut().set_size(12, 60);
    let fits = || {
        let rows = desk.sees();
        rows.lines()
            .nth(11)
            .is_some_and(|last| last.starts_with("Tab:"))
    };
    wait_until("the keys in the last row", PATIENCE, fits)
        .map_err(|error| format!("{error}; seen:\n{}", desk.sees()))?;
    desk.types("\x03")?;
    desk.is_left()
}
