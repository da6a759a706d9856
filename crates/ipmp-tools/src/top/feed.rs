//! What comes from the daemon: three threads, each with a connection of its own, which is made again
//! when it breaks.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ipmp_api::interface::{Event, FinishedProbe};
use ipmp_core::Snapshot;
use ratatui::crossterm::event::KeyEvent;

use crate::daemon::{Daemon, Failure};

/// Messages that wait to be taken. When a terminal takes nothing for so long, the daemon hangs up, and
/// whoever is served here comes again.
const WAITING: usize = 1024;

/// How often everything is looked at, if nothing is told meanwhile.
const EVERY: Duration = Duration::from_secs(2);

/// Least time between two looks, however much is told.
const PAUSE: Duration = Duration::from_millis(100);

/// How long after a connection broke, or was refused, the next is made.
const AGAIN: Duration = Duration::from_millis(500);

/// Something new.
#[derive(Debug)]
pub(super) enum Message {
    /// Everything there is to see; whether the daemon runs.
    Seen(Box<Snapshot>, bool),
    /// Nothing can be seen: why.
    Unseen(String),
    /// What changed, oldest first.
    Events(Vec<Event>),
    /// What became of probes.
    Probes(Vec<FinishedProbe>),
    /// Whether probes are told.
    Watching(Watching),
    /// A key was pressed.
    Key(KeyEvent),
    /// The window has another size.
    Resized,
    /// Somebody wants an end.
    End,
}

/// Whether probes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watching {
    /// Not yet, or not at present.
    No,
    /// Yes.
    Yes,
    /// Only root may know.
    Denied,
    /// Too many watch already.
    Busy,
}

/// A channel for messages.
pub(super) fn channel() -> (SyncSender<Message>, Receiver<Message>) {
    sync_channel(WAITING)
}

/// Starts the threads. They end when nobody takes their messages any more.
pub(super) fn start<D: Daemon + Send + 'static>(connect: fn() -> D, to: &SyncSender<Message>) {
    let (wake, woken) = sync_channel(1);
    let (looks, events, probes) = (to.clone(), to.clone(), to.clone());
    thread::spawn(move || look(&mut connect(), &looks, &woken));
    thread::spawn(move || follow(&mut connect(), &events, &wake));
    thread::spawn(move || watch(&mut connect(), &probes));
}

/// Shows everything, whenever something changed and every now and then.
fn look(daemon: &mut impl Daemon, to: &SyncSender<Message>, woken: &Receiver<()>) {
    loop {
        let message = match daemon.snapshot() {
            Ok(snapshot) => Message::Seen(snapshot.into(), true),
            Err(Failure::NotRunning) => match daemon.view() {
                Ok(snapshot) => Message::Seen(snapshot.into(), false),
                Err(failure) => Message::Unseen(failure.of_daemon()),
            },
            Err(failure) => Message::Unseen(failure.of_daemon()),
        };
        if to.send(message).is_err() {
            return;
        }
        // What is told together is looked at together.
        thread::sleep(PAUSE);
        match woken.recv_timeout(EVERY) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Tells what changes.
fn follow(daemon: &mut impl Daemon, to: &SyncSender<Message>, wake: &SyncSender<()>) {
    loop {
        let mut is_taken = true;
        // Why it ended is seen by whoever looks.
        let _ = daemon.follow(&mut |events| {
            is_taken = to.send(Message::Events(events)).is_ok();
            // One that is woken already will see this too.
            let _ = wake.try_send(());
            flow(is_taken)
        });
        if !is_taken {
            return;
        }
        let _ = wake.try_send(());
        thread::sleep(AGAIN);
    }
}

/// Tells what becomes of probes, as far as it may know.
fn watch(daemon: &mut impl Daemon, to: &SyncSender<Message>) {
    loop {
        let mut is_taken = true;
        let told = daemon.probes(&mut |probes| {
            let message = if probes.is_empty() {
                Message::Watching(Watching::Yes)
            } else {
                Message::Probes(probes)
            };
            is_taken = to.send(message).is_ok();
            flow(is_taken)
        });
        let watching = match told {
            Err(Failure::PermissionDenied) => Watching::Denied,
            Err(Failure::Busy) => Watching::Busy,
            _ => Watching::No,
        };
        is_taken = is_taken && to.send(Message::Watching(watching)).is_ok();
        if !is_taken || watching == Watching::Denied {
            return;
        }
        thread::sleep(AGAIN);
    }
}

fn flow(goes_on: bool) -> ControlFlow<()> {
    if goes_on {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
