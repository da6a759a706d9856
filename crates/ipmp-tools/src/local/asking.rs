//! Asking a daemon that may be killed at any moment.
//!
//! One that is ending takes connections until its socket is closed, and answers nothing: whoever asks it
//! is hung up on and knows nothing. What becomes of that:
//!
//! | what was asked | is |
//! |---|---|
//! | something to be seen | asked again, until a daemon answers, or none is there |
//! | a change that may be made twice ([`Command::is_idempotent`]) | asked again once, of a daemon that was seen to answer: what a daemon dies of is not to kill one after the other |
//! | another change | asked once, of a daemon that was seen to answer |
//! | to be told what happens from now on | asked of a daemon that was seen to answer |
//!
//! Looking starts no daemon, but who has asked for a change needs one, and starts the next to look at what
//! came of it, too.

use std::thread;
use std::time::{Duration, Instant};

use ipmp_api::{CallError, Client};
use ipmp_core::{Answer, Command};

use super::Start;
use crate::daemon::Failure;

/// How long a daemon that is ending may take connections without answering.
const ENDING: Duration = Duration::from_secs(1);

/// From one attempt to reach it to the next.
const AGAIN: Duration = Duration::from_millis(5);

/// What is said of a change of which nobody knows what came of it.
const UNTOLD: &str = "in.mpathd ended before it told whether that is done";

/// Where the daemon is found.
pub(super) trait Door {
    /// A connection to the daemon that runs.
    fn connect(&self) -> Result<Client, CallError>;

    /// The same, to one that is started if none runs.
    fn ensure(&self) -> Result<Client, Failure>;
}

/// Whoever asks the daemon behind a door. Nothing is connected or started before it is needed.
#[derive(Debug)]
pub(super) struct Asking<D> {
    door: D,
    start: Start,
    client: Option<Client>,
    /// Whether a change was asked for.
    changes: bool,
}

impl<D: Door> Asking<D> {
    pub(super) const fn new(door: D, start: Start) -> Self {
        Self {
            door,
            start,
            client: None,
            changes: false,
        }
    }

    /// Asks something that changes nothing.
    pub(super) fn ask<T>(
        &mut self,
        mut question: impl FnMut(&mut Client) -> Result<T, CallError>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        loop {
            match self.once(&mut question)? {
                Err(CallError::Closed) if began.elapsed() < ENDING => thread::sleep(AGAIN),
                answer => return Ok(answer?),
            }
        }
    }

    /// Asks for a change.
    pub(super) fn execute(&mut self, command: &Command) -> Result<Answer, Failure> {
        self.changes = true;
        let execute = |client: &mut Client| client.execute(command);
        if command.is_idempotent() {
            match self.once(execute)? {
                Err(CallError::Closed) => {}
                executed => return Ok(executed??),
            }
        }
        self.ask(Client::ping)?;
        match self.once(execute)? {
            Err(CallError::Closed) => Err(Failure::Unreachable(UNTOLD.to_owned())),
            executed => Ok(executed??),
        }
    }

    /// A connection, to be used up, to a daemon that was seen to answer.
    pub(super) fn connection(&mut self) -> Result<Client, Failure> {
        self.ask(Client::ping)?;
        self.take().map_or_else(|| self.reach(), Ok)
    }

    /// The connection that was used last, if it is of use.
    pub(super) const fn take(&mut self) -> Option<Client> {
        self.client.take()
    }

    /// Makes one call. After one that failed, a late answer to it would be taken for that to the next; so
    /// the next has a connection of its own.
    fn once<T>(
        &mut self,
        mut call: impl FnMut(&mut Client) -> Result<T, CallError>,
    ) -> Result<Result<T, CallError>, Failure> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.reach()?,
        };
        let answer = call(&mut client);
        if answer.is_ok() {
            self.client = Some(client);
        }
        Ok(answer)
    }

    fn reach(&self) -> Result<Client, Failure> {
        match self.door.connect() {
            Err(CallError::NotRunning) if self.changes && self.start == Start::IfNeeded => {
                self.door.ensure()
            }
            reached => Ok(reached?),
        }
    }
}

#[cfg(test)]
mod tests;
