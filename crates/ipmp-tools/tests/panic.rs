//! `ipmp top` that panics, on a terminal: whoever looked on has the terminal back, and is told.
//!
//! What panics is this program once more, as the hook ends the process.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::process::{Command, ExitCode};
use std::sync::mpsc::channel;
use std::time::Duration;
use std::{env, thread};

use ipmp_core::Snapshot;
use ipmp_tools::daemon::{Clocks, Daemon, Failure};
use ipmp_tools::terminal::Tty;
use ipmp_tools::{Console, top};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::tcgetattr;
use nix::unistd::Pid;

/// Names the thread that panics, to the program that does.
const PANICS: &str = "IPMP_TEST_PANICS";

const DRAWING: &str = "drawing";
const ASKING: &str = "asking";

/// What a process that panics exits with.
const PANICKED: i32 = 101;

const PATIENCE: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    match env::var(PANICS).as_deref() {
        Ok(DRAWING) => looks_on(|| Fragile {
            asked: None,
            drawn: Some(Cell::new(0)),
        }),
        Ok(ASKING) => looks_on(|| Fragile {
            asked: Some(()),
            drawn: None,
        }),
        _ => {
            let trials = [DRAWING, ASKING].map(|thread| {
                let name = format!("terminal_is_given_back_when_the_{thread}_thread_panics");
                Trial::test(name, move || is_given_back(thread))
            });
            libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
        }
    }
}

/// A daemon that is the end of whoever asks it: the first time, or after some pictures.
struct Fragile {
    asked: Option<()>,
    drawn: Option<Cell<u32>>,
}

impl Daemon for Fragile {
    fn execute(&mut self, _: ipmp_core::Command) -> Result<ipmp_core::Answer, Failure> {
        Err(Failure::NotRunning)
    }

    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        assert!(self.asked.is_none(), "asked for a snapshot");
        Ok(Snapshot::default())
    }

    fn view(&mut self) -> Result<Snapshot, Failure> {
        Ok(Snapshot::default())
    }

    fn clocks(&self) -> Clocks {
        if let Some(drawn) = &self.drawn {
            drawn.set(drawn.get() + 1);
            assert!(drawn.get() < 3, "asked for the time");
        }
        Clocks {
            monotonic: ipmp_linux::monotonic_now(),
            wall: std::time::SystemTime::now(),
        }
    }
}

fn looks_on(connect: fn() -> Fragile) -> ExitCode {
    let mut console = Console {
        out: &mut io::stdout(),
        err: &mut io::stderr(),
    };
    ExitCode::from(top::run(&[], &Tty::default(), connect, &mut console))
}

fn is_given_back(panics: &str) -> Result<(), Failed> {
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let OpenptyResult { master, slave } = openpty(&size, None)?;
    let before = tcgetattr(&slave)?;
    let mut child = Command::new(env::current_exe()?)
        .env(PANICS, panics)
        .env("TERM", "xterm")
        .env("RUST_BACKTRACE", "0")
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave.try_clone()?)
        .spawn()?;
    let pid = Pid::from_raw(child.id().try_into()?);
    let screen = thread::spawn(move || seen(master.into()));
    let (sender, ended) = channel();
    thread::spawn(move || sender.send(child.wait()));
    let status = match ended.recv_timeout(PATIENCE) {
        Ok(status) => status?,
        Err(error) => {
            kill(pid, Signal::SIGKILL)?;
            return Err(format!("it does not end: {error}").into());
        }
    };
    let after = tcgetattr(&slave)?;
    // Nobody else has it open: the reader comes to the end.
    drop(slave);
    let (taken, screen) = screen.join().map_err(|_| "the reader")?;
    let screen = screen.screen();
    let contents = screen.contents();
    check("exit status", status.code() == Some(PANICKED), &contents)?;
    check("settings", before == after, &contents)?;
    check("it was taken", taken, &contents)?;
    check("screen of before", !screen.alternate_screen(), &contents)?;
    check("cursor", !screen.hide_cursor(), &contents)?;
    check("reason", contents.contains("asked for"), &contents)
}

fn check(what: &str, holds: bool, contents: &str) -> Result<(), Failed> {
    if holds {
        return Ok(());
    }
    Err(format!("{what}: not as it should be; on the screen:\n{contents}").into())
}

/// What a terminal shows in the end, and whether it ever was another screen than that of before.
fn seen(mut output: File) -> (bool, vt100::Parser) {
    let mut screen = vt100::Parser::new(24, 80, 0);
    let mut bytes = [0; 4096];
    let mut taken = false;
    // The end of a terminal is an error.
    while let Ok(count @ 1..) = output.read(&mut bytes) {
        for byte in bytes.get(..count).unwrap_or_default() {
            screen.process(&[*byte]);
            taken |= screen.screen().alternate_screen();
        }
    }
    (taken, screen)
}
