//! `ipmp top`: groups, interfaces, addresses, probes and events on one screen, as they change.
//!
//! ```text
//! feed     snapshots, events, probes of the daemon --+
//! screen   keys, the window's size, signals ---------+--> Message --> Model --> view --> terminal
//! ```
//!
//! What is shown is a function of [`Model`] and the size of the window, without a terminal in it. Threads
//! wait for the daemon and for the user; nothing is asked again and again but the snapshot, at an
//! operator's pace, as counters and targets change without an event.

mod feed;
mod history;
mod input;
mod model;
mod rows;
mod screen;
mod view;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::unistd::gethostname;

use crate::console::{Console, FAILED, OK};
use crate::daemon::Daemon;
use crate::terminal::Terminal;
use feed::Message;
use input::Wish;
use model::Model;
use screen::Screen;

const TOOL: &str = "ipmp";

const USAGE: &str = "\
usage: ipmp top
  Shows groups, interfaces, where each address is, what becomes of probes, and
  what happened, as it changes. Goes on when in.mpathd is started again. Round
  trip times of single probes and their loss are shown to root only.
  Tab, Shift-Tab           the next list, the one before
  arrows, PgUp, PgDn, Home, End
                           move in the list
  Ctrl-L                   draw anew
  q, Esc, Ctrl-C           end
  NO_COLOR=1               no colours; words say the same
Examples:
  ipmp top
  ssh -t host1 NO_COLOR=1 ipmp top
Without a terminal: ipmp status, ipmp events --follow, ipmpstat -p
";

/// Least time between two pictures, but for what the user asks for: an eye sees no more.
const PACE: Duration = Duration::from_millis(200);

/// The clock shown goes on.
const TICK: Duration = Duration::from_secs(1);

/// Runs `ipmp top` with `arguments`, the verb not among them. `connect` makes a connection to the
/// daemon for each thread that asks it.
pub fn run<D: Daemon + Send + 'static>(
    arguments: &[String],
    terminal: &dyn Terminal,
    connect: fn() -> D,
    console: &mut Console<'_>,
) -> u8 {
    match arguments {
        [] => {}
        [help] if help == "--help" => return console.help(TOOL, USAGE),
        _ => return console.misused(arguments, USAGE),
    }
    if terminal.size().is_none() {
        console.complain(format_args!(
            "{TOOL}: top: standard output is no terminal (see ipmp status)"
        ));
        return FAILED;
    }
    let host = gethostname().unwrap_or_default();
    let model = Model::new(
        host.to_string_lossy().into_owned(),
        terminal.has_colours(),
        screen::has_blocks(),
    );
    match watch(model, connect) {
        Ok(()) => OK,
        Err(error) => {
            console.complain(format_args!("{TOOL}: top: {error}"));
            FAILED
        }
    }
}

/// Shows what comes until the user has enough of it.
fn watch<D: Daemon + Send + 'static>(mut model: Model, connect: fn() -> D) -> io::Result<()> {
    // Before any thread is born, so that none of them is ended by a signal.
    let signals = screen::block_signals()?;
    let mut screen = Screen::open()?;
    let (sender, messages) = feed::channel();
    screen::listen(signals, &sender);
    feed::start(connect, &sender);
    let clocks = connect();
    drop(sender);
    loop {
        model.clock(clocks.clocks());
        screen.draw(&mut model)?;
        match until_next_picture(&messages, &mut model) {
            Wish::End => return Ok(()),
            Wish::Redraw => screen.clear()?,
            Wish::See | Wish::Nothing => {}
        }
    }
}

/// Takes what comes until it is time for another picture: at once for the user, and for the rest not
/// before an eye could follow.
fn until_next_picture(messages: &Receiver<Message>, model: &mut Model) -> Wish {
    let drawn = Instant::now();
    let mut pause = TICK;
    loop {
        let left = (drawn + pause).saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Wish::See;
        }
        match messages.recv_timeout(left) {
            Ok(message) => match model.take(message) {
                Wish::Nothing => pause = PACE,
                wish => return wish,
            },
            Err(RecvTimeoutError::Timeout) => return Wish::See,
            Err(RecvTimeoutError::Disconnected) => return Wish::End,
        }
    }
}

#[cfg(test)]
mod tests;
