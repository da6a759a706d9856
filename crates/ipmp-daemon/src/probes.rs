//! The probe sockets: one for each interface and test address that probes, opened when the first
//! probe needs it.
//!
//! They share one epoll instance, so that the loop waits for one thing however many there are.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;
use std::{io, iter};

use ipmp_core::Time;
use ipmp_core::detect::{Echo, Probe, Reply};
use ipmp_linux::monotonic_now;
use ipmp_linux::probe::ProbeSocket;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::unix::AsyncFd;

use crate::driver::watched;
use crate::log::PROBE;

/// A socket that sent nothing for this long has no use any more: the longest pause between two
/// probes of an interface is far shorter, also with a large failure detection time.
const UNUSED: Duration = Duration::from_mins(10);

/// How many replies are taken off one socket before the others have their turn.
const TURN: usize = 64;

type Key = (u32, IpAddr, u16);

/// All probe sockets.
#[derive(Debug)]
pub(crate) struct Probes {
    epoll: AsyncFd<Instance>,
    sockets: BTreeMap<Key, Entry>,
    /// Which socket an epoll event is about.
    keys: BTreeMap<u64, Key>,
    next: u64,
    /// Probes that could not be sent.
    pub(crate) unsent: u64,
}

#[derive(Debug)]
struct Entry {
    socket: ProbeSocket,
    number: u64,
    used: Time,
}

/// An epoll instance with the number tokio wants to see.
#[derive(Debug)]
struct Instance(Epoll);

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl Probes {
    /// No sockets yet. To be called inside the runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self {
            epoll: watched(Instance(epoll))?,
            sockets: BTreeMap::new(),
            keys: BTreeMap::new(),
            next: 0,
            unsent: 0,
        })
    }

    /// Sends a probe. One that does not leave is a probe that is not answered, which is what
    /// detection is there to notice; the reason is said in detail.
    pub(crate) fn send(&mut self, probe: &Probe) {
        match probe {
            Probe::Echo(probe) => self.send_echo(probe),
            Probe::Solicitation(_) => self.unsent = self.unsent.saturating_add(1),
        }
    }

    fn send_echo(&mut self, probe: &Echo) {
        let key = (probe.index, probe.source, probe.identifier);
        let sent = self.socket(key, probe).and_then(|entry| {
            entry.used = monotonic_now();
            entry.socket.send(probe)
        });
        match sent {
            Ok(()) => tracing::debug!(
                target: PROBE,
                "sent {} from {} on {} to {}", probe.sequence, probe.source, probe.interface, probe.target
            ),
            Err(error) => {
                self.unsent = self.unsent.saturating_add(1);
                tracing::debug!(
                    target: PROBE,
                    "cannot send {} from {} on {} to {}: {error}",
                    probe.sequence, probe.source, probe.interface, probe.target
                );
                // The link may be another one by now, the address gone and back: the next probe
                // gets a new socket.
                self.drop_socket(key);
            }
        }
    }

    fn socket(&mut self, key: Key, probe: &Echo) -> io::Result<&mut Entry> {
        if !self.sockets.contains_key(&key) {
            let (index, source, identifier) = key;
            let socket = ProbeSocket::open(index, &probe.interface, source, identifier)?;
            let number = self.next;
            self.next = self.next.wrapping_add(1);
            let event = EpollEvent::new(EpollFlags::EPOLLIN, number);
            self.epoll.get_ref().0.add(&socket, event)?;
            self.keys.insert(number, key);
            let used = monotonic_now();
            self.sockets.insert(
                key,
                Entry {
                    socket,
                    number,
                    used,
                },
            );
        }
        self.sockets
            .get_mut(&key)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn drop_socket(&mut self, key: Key) {
        if let Some(entry) = self.sockets.remove(&key) {
            self.keys.remove(&entry.number);
        }
    }

    /// Closes the sockets of a link that is gone.
    pub(crate) fn link_gone(&mut self, index: u32) {
        self.retain(|&(on, ..), _| on != index);
    }

    /// Closes sockets that nothing was sent on for long.
    pub(crate) fn tidy(&mut self, now: Time) {
        self.retain(|_, entry| now.since(entry.used) < UNUSED);
    }

    fn retain(&mut self, keep: impl Fn(&Key, &Entry) -> bool) {
        let Self { sockets, keys, .. } = self;
        sockets.retain(|key, entry| {
            let kept = keep(key, entry);
            if !kept {
                keys.remove(&entry.number);
            }
            kept
        });
    }

    /// Waits until there may be replies.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.epoll.readable().await?.clear_ready();
        Ok(())
    }

    /// Takes the replies that are there.
    pub(crate) fn replies(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        let mut events = [EpollEvent::empty(); 64];
        // Until nothing is left: the loop is woken by what comes next, not by what stayed. A flood
        // ends here too, as each round takes a bounded number off each socket and is bounded itself.
        for _ in 0..TURN {
            let ready = self.epoll.get_ref().0.wait(&mut events, EpollTimeout::ZERO);
            let count = match ready {
                Ok(0) | Err(_) => return replies,
                Ok(count) => count,
            };
            for event in events.iter().take(count) {
                let Some(key) = self.keys.get(&event.data()).copied() else {
                    continue;
                };
                self.take(key, &mut replies);
            }
        }
        replies
    }

    /// Takes replies off one socket.
    fn take(&self, key: Key, replies: &mut Vec<Reply>) {
        let Some(entry) = self.sockets.get(&key) else {
            return;
        };
        for reply in iter::from_fn(|| entry.socket.receive()).take(TURN) {
            tracing::debug!(
                target: PROBE,
                "received {} from {} on link {}", reply.sequence, reply.source, reply.index
            );
            replies.push(Reply::Echo(reply));
        }
    }
}
