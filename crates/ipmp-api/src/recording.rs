//! Recordings: everything that was fed to an engine and everything it decided, as JSON lines.
//!
//! The daemon writes one, `ipmp replay` reads it: a fresh engine that is fed the same events at the
//! same times must decide the same. The first line is a [`Header`], each further one a [`Line`].
//! Probes, which are most of what an engine wants done, are not written down but counted and summed
//! up, as the same seed makes the same probes.

use std::io::{self, BufRead};

use ipmp_core::asked::Saved;
use ipmp_core::{Action, Event, Settings, Time};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// More than this is no line of a recording.
const MAX_LINE: u64 = 64 << 20;

/// The first line: with what the engine began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`Header::VERSION`] of the daemon that wrote it.
    pub recording: u32,
    /// Version of that daemon.
    pub daemon: String,
    /// Seed of the engine.
    pub seed: u64,
    /// Settings at start.
    pub settings: Settings,
    /// What an earlier daemon had left.
    pub saved: Option<Saved>,
}

impl Header {
    /// Version of the format. One that is newer is not read.
    pub const VERSION: u32 = 1;
}

/// Any other line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// Something happened.
    Step(Box<Step>),
    /// The recording ends here.
    End(End),
}

/// The last line, unless the daemon was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why it is the last.
    pub end: String,
}

/// An event and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When, in nanoseconds of the engine's clock.
    at: u64,
    /// What happened.
    pub event: Event,
    /// What the engine wanted done, without probes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// The probes it wanted sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
}

/// Probes, summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// How many.
    pub count: u64,
    /// FNV-1a over them as JSON.
    pub hash: u64,
}

impl Step {
    /// `event` came at `at`, and `actions` of it.
    pub fn new(at: Time, event: Event, actions: Vec<Action>) -> Self {
        let mut probes = None;
        let mut kept = Vec::new();
        for action in actions {
            match action {
                Action::Probe(probe) => {
                    let Probes { count, hash } = probes.unwrap_or(Probes {
                        count: 0,
                        hash: FNV_OFFSET,
                    });
                    // A probe is made of numbers and names, which all can be written.
                    let bytes = serde_json::to_vec(&probe).unwrap_or_default();
                    probes = Some(Probes {
                        count: count + 1,
                        hash: fnv1a(hash, &bytes),
                    });
                }
                // Only told to whoever watches.
                Action::Probed(_) => {}
                other => kept.push(other),
            }
        }
        let at = u64::try_from(at.since_origin().as_nanos()).unwrap_or(u64::MAX);
        Self {
            at,
            event,
            actions: kept,
            probes,
        }
    }

    /// When.
    pub fn at(&self) -> Time {
        Time::new(std::time::Duration::from_nanos(self.at))
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash `FNV-1a` goes on with: simple, and the same for every version of every compiler.
fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x100_0000_01b3;
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

/// Why a recording cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The first line is no header.
    #[error("not a recording of in.mpathd: {0}")]
    Header(serde_json::Error),
    /// A later version of the daemon wrote it.
    #[error("has format {0}, newer than {newest}", newest = Header::VERSION)]
    Newer(u32),
    /// A line cannot be read.
    #[error("line {0}: {1}")]
    Line(u64, serde_json::Error),
}

/// Reads a recording line by line. A last line without an end is not read: the daemon was killed
/// while it wrote.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    line: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub fn new(input: R) -> Result<(Header, Self), ReadError> {
        /// The version alone, which is read first: a newer format may have anything beside it.
        #[derive(Deserialize)]
        struct Versioned {
            recording: u32,
        }
        let mut reader = Self { input, line: 0 };
        let line = reader.next_line()?.unwrap_or_default();
        let versioned: Versioned = serde_json::from_slice(&line).map_err(ReadError::Header)?;
        if versioned.recording > Header::VERSION {
            return Err(ReadError::Newer(versioned.recording));
        }
        let header = serde_json::from_slice(&line).map_err(ReadError::Header)?;
        Ok((header, reader))
    }

    /// Number of the line that was read last, from 1.
    pub const fn line(&self) -> u64 {
        self.line
    }

    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut input = io::Read::take(&mut self.input, MAX_LINE);
        input.read_until(b'\n', &mut line)?;
        self.line += 1;
        if line.len() as u64 == MAX_LINE {
            let text = format!("line {} is longer than {MAX_LINE} bytes", self.line);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(line.ends_with(b"\n").then_some(line))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Line, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.next_line() {
            Ok(line) => line?,
            Err(error) => return Some(Err(error.into())),
        };
        let step = serde_json::from_slice(&line).map(Line::Step);
        let read = step.or_else(|error| match serde_json::from_slice(&line) {
            Ok(end) => Ok(Line::End(end)),
            Err(_) => Err(ReadError::Line(self.line, error)),
        });
        Some(read)
    }
}

#[cfg(test)]
mod tests;
