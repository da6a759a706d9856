//! A daemon for tests: it writes down what it is asked and answers what it is told to.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use ipmp_api::interface::{Event, FinishedProbe};
use ipmp_core::{Answer, Command, InterfaceName, LogicalName, Refusal, Snapshot, Time};

use crate::daemon::{Clocks, Daemon, Each, EachProbes, Environment, Failure};
use crate::etc::Etc;
use crate::terminal::{Size, Terminal, Waited};

/// A daemon that carries out nothing.
#[derive(Default)]
pub(crate) struct Recorded {
    /// What it was asked, in order.
    pub(crate) commands: Vec<Command>,
    /// What there is to see.
    pub(crate) snapshot: Snapshot,
    /// What it answers; [`Answer::Done`], and the next unit to `addif`, when nothing is left here.
    pub(crate) answers: VecDeque<Result<Answer, Failure>>,
    /// What changed.
    pub(crate) events: Vec<Event>,
    /// What became of probes; `None` if whoever asks may not know.
    pub(crate) probes: Option<Vec<FinishedProbe>>,
    /// What devices there are.
    pub(crate) devices: Vec<InterfaceName>,
    /// Whether it does not run.
    pub(crate) is_down: bool,
    units: u32,
}

impl Recorded {
    /// One that shows this.
    pub(crate) fn showing(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            ..Self::default()
        }
    }
}

impl Daemon for Recorded {
    fn execute(&mut self, command: Command) -> Result<Answer, Failure> {
        self.commands.push(command.clone());
        match (self.answers.pop_front(), command) {
            (Some(answer), _) => answer,
            (None, Command::AddLogical { interface, .. }) => {
                self.units += 1;
                let created = LogicalName::new(interface, self.units);
                Ok(Answer::Created(created))
            }
            (None, _) => Ok(Answer::Done),
        }
    }

    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        if self.is_down {
            Err(Failure::NotRunning)
        } else {
            Ok(self.snapshot.clone())
        }
    }

    fn view(&mut self) -> Result<Snapshot, Failure> {
        Ok(self.snapshot.clone())
    }

    fn has_device(&self, name: &InterfaceName) -> bool {
        self.devices.contains(name)
    }

    fn clocks(&self) -> Clocks {
        // A minute and a half after what the samples tell of.
        Clocks {
            monotonic: Time::from_millis(86_490_000),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_481_462),
        }
    }

    fn pause(&mut self, _: Duration) {}

    fn events(&mut self) -> Result<Vec<Event>, Failure> {
        if self.is_down {
            return Err(Failure::NotRunning);
        }
        Ok(self.events.clone())
    }

    fn follow(&mut self, each: Each<'_>) -> Result<(), Failure> {
        if self.is_down {
            return Err(Failure::NotRunning);
        }
        for event in self.events.drain(..) {
            if each(vec![event]).is_break() {
                return Ok(());
            }
        }
        Err(closed())
    }

    fn probes(&mut self, each: EachProbes<'_>) -> Result<(), Failure> {
        if self.is_down {
            return Err(Failure::NotRunning);
        }
        let probes = self.probes.take().ok_or(Failure::PermissionDenied)?;
        let told = [Vec::new()]
            .into_iter()
            .chain(probes.chunks(2).map(<[_]>::to_vec));
        for probes in told {
            if each(probes).is_break() {
                return Ok(());
            }
        }
        Err(closed())
    }
}

fn closed() -> Failure {
    Failure::Unreachable("in.mpathd closed the connection".into())
}

/// What a tool printed and returned, as one text for golden tables.
pub(crate) fn transcript(
    daemon: &mut Recorded,
    etc: &Etc,
    line: &str,
    tool: impl FnOnce(&[String], &mut Environment<'_>, &mut crate::Console<'_>) -> u8,
) -> String {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    run(daemon, etc, &words, tool)
}

/// The same with words that may hold blanks or nothing.
pub(crate) fn run(
    daemon: &mut Recorded,
    etc: &Etc,
    words: &[String],
    tool: impl FnOnce(&[String], &mut Environment<'_>, &mut crate::Console<'_>) -> u8,
) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = tool(
        words,
        &mut Environment {
            daemon,
            etc,
            privileged: true,
        },
        &mut crate::Console {
            out: &mut out,
            err: &mut err,
        },
    );
    let mut text = String::from_utf8(out).unwrap();
    for line in String::from_utf8(err).unwrap().lines() {
        let _ = writeln!(text, "2> {line}");
    }
    if code != 0 {
        let _ = writeln!(text, "exit {code}");
    }
    text
}

/// A refusal as the daemon gives it.
pub(crate) fn refused(refusal: Refusal) -> Result<Answer, Failure> {
    Err(Failure::Refused(refusal))
}

/// A terminal of this many rows, or none, that is left after so many waits.
pub(crate) struct Staged {
    /// How many rows there are, at each look; the last holds.
    pub(crate) rows: VecDeque<usize>,
    /// Waits until the end.
    pub(crate) waits: u32,
}

impl Staged {
    /// No terminal: a pipe.
    pub(crate) fn pipe() -> Self {
        Self {
            rows: VecDeque::new(),
            waits: 0,
        }
    }
}

impl Terminal for Staged {
    fn has_colours(&self) -> bool {
        false
    }

    fn size(&self) -> Option<Size> {
        let rows = self.rows.front().copied()?;
        Some(Size { columns: 80, rows })
    }

    fn wait(&mut self, _: Duration) -> std::io::Result<Waited> {
        if self.rows.len() > 1 {
            self.rows.pop_front();
        }
        match self.waits.checked_sub(1) {
            Some(left) => self.waits = left,
            None => return Ok(Waited::End),
        }
        Ok(Waited::Elapsed)
    }
}
