//! The signals that mean something.

use std::io;

use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// All of them.
pub(crate) struct Signals {
    hangup: Signal,
    dump: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    /// Taken and forgotten: a client that hangs up is an error of a write, not the end.
    pipe: Signal,
}

/// What a signal tells the daemon to do.
pub(crate) enum Told {
    Hangup,
    Dump,
    End,
    Nothing,
}

impl Signals {
    /// Takes them from now on. To be called inside the runtime.
    pub(crate) fn take() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            dump: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            pipe: signal(SignalKind::pipe())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Told {
        select! {
            _ = self.hangup.recv() => Told::Hangup,
            _ = self.dump.recv() => Told::Dump,
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.quit.recv() => Told::End,
            _ = self.pipe.recv() => Told::Nothing,
        }
    }
}
