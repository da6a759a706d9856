//! Traffic that notices everything that happens to it.
//!
//! [`Ping`], [`UdpStream`] and [`TcpConnection`] send at an exact pace from threads inside the hosts
//! until they are stopped or their limit is reached, and report what came through. Every packet has a
//! number and the time it was sent; a [`Trail`] of them answers what was lost, when, and for how long.

mod ping;
mod tcp;
mod trail;
mod udp;

pub use ping::Ping;
pub use tcp::{TcpConnection, TcpReport};
pub use trail::Trail;
pub use udp::{UdpReport, UdpStream};

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::error::{About, LabError};

/// How long after its last packet a generator still waits for what is under way.
const LINGER: Duration = Duration::from_secs(1);

/// The shortest time between two packets.
const FASTEST: Duration = Duration::from_micros(50);

/// How often a thread that waits for another one looks what that one has done.
const LOOK: Duration = Duration::from_millis(20);

/// Tells the threads of a generator to stop; told by itself when the generator is dropped.
#[derive(Debug, Default)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.tell();
    }
}

/// When to send: at `every` from the start on, whatever happens in between, until the limit or until
/// told to stop.
#[derive(Debug)]
struct Pace {
    start: Instant,
    every: Duration,
    limit: Duration,
    ticks: u32,
    stopped: Arc<AtomicBool>,
}

impl Pace {
    fn new(every: Duration, limit: Duration, stop: &Stop) -> Self {
        Self {
            start: Instant::now(),
            every: every.max(FASTEST),
            limit,
            ticks: 0,
            stopped: stop.0.clone(),
        }
    }

    /// Whether nothing more is to be sent.
    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.start.elapsed() >= self.limit
    }
}

impl Iterator for Pace {
    type Item = Instant;

    fn next(&mut self) -> Option<Instant> {
        let after = self.every.checked_mul(self.ticks)?;
        self.ticks = self.ticks.checked_add(1)?;
        let stopped = self.stopped.load(Ordering::Relaxed);
        (after < self.limit && !stopped).then(|| self.start + after)
    }
}

/// The end of a generator's thread: what it found out.
fn outcome<T>(thread: JoinHandle<io::Result<T>>, object: &str) -> Result<T, LabError> {
    match thread.join() {
        Ok(result) => result.about(object),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Waits until something can be read from a socket, at most until `deadline`; tells whether it can.
fn readable_before(socket: &impl AsFd, deadline: Instant) -> io::Result<bool> {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match ppoll(&mut fds, Some(TimeSpec::from_duration(left)), None) {
            Ok(ready) => return Ok(ready > 0),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
