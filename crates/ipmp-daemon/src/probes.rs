//! The probe sockets: one of each kind, opened when the first probe needs it.
//!
//! They share one epoll instance, so that the loop waits for one thing. They stay open: they are few,
//! and closing a packet socket would hold up the loop for some 10 ms.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use ipmp_core::Family;
use ipmp_core::detect::{Echo, Probe, Reply, Solicitation};
use ipmp_linux::probe::{ArpSocket, EchoSocket, NeighbourSocket};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::io::unix::AsyncFd;

use crate::driver::watched;
use crate::log::PROBE;

/// How many batches of replies are taken off a socket before the loop does something else. A flood
/// ends here.
const BATCHES: usize = 64;

/// All probe sockets.
#[derive(Debug)]
pub(crate) struct Probes {
    epoll: AsyncFd<Instance>,
    echo4: Option<EchoSocket>,
    echo6: Option<EchoSocket>,
    arp: Option<ArpSocket>,
    neighbours: Option<NeighbourSocket>,
    /// Probes that could not be sent.
    pub(crate) unsent: u64,
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
            echo4: None,
            echo6: None,
            arp: None,
            neighbours: None,
            unsent: 0,
        })
    }

    /// Sends a probe. One that does not leave is a probe that is not answered, which is what
    /// detection is there to notice; the reason is said in detail.
    pub(crate) fn send(&mut self, probe: &Probe) {
        let sent = match probe {
            Probe::Echo(probe) => self.send_echo(probe),
            Probe::Solicitation(probe) => self.send_solicitation(probe),
        };
        match sent {
            Ok(()) => tracing::debug!(
                target: PROBE,
                "sent to {} on {}: {probe:?}", probe.target(), probe.interface()
            ),
            Err(error) => {
                self.unsent = self.unsent.saturating_add(1);
                tracing::debug!(
                    target: PROBE,
                    "cannot send to {} on {}: {error}", probe.target(), probe.interface()
                );
            }
        }
    }

    fn send_echo(&mut self, probe: &Echo) -> io::Result<()> {
        let family = Family::of(probe.target);
        let slot = match family {
            Family::Inet => &mut self.echo4,
            Family::Inet6 => &mut self.echo6,
        };
        let epoll = &self.epoll.get_ref().0;
        opened(slot, epoll, || EchoSocket::open(family))?.send(probe)
    }

    fn send_solicitation(&mut self, probe: &Solicitation) -> io::Result<()> {
        let epoll = &self.epoll.get_ref().0;
        match Family::of(probe.target) {
            Family::Inet => opened(&mut self.arp, epoll, ArpSocket::open)?.send(probe),
            Family::Inet6 => {
                opened(&mut self.neighbours, epoll, NeighbourSocket::open)?.send(probe)
            }
        }
    }

    /// Takes note that a link is gone: nothing is asked on it any more.
    pub(crate) fn link_gone(&mut self, index: u32) {
        if let Some(socket) = &mut self.arp {
            socket.forget(index);
        }
        if let Some(socket) = &mut self.neighbours {
            socket.forget(index);
        }
    }

    /// Waits until there may be replies.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.epoll.readable().await?.clear_ready();
        Ok(())
    }

    /// Takes the replies that are there: until nothing is left, as the loop is woken by what comes
    /// next, not by what stayed.
    pub(crate) fn replies(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        for socket in [&mut self.echo4, &mut self.echo6].into_iter().flatten() {
            drain(|| socket.receive(&mut replies));
        }
        if let Some(socket) = &mut self.arp {
            drain(|| socket.receive(&mut replies));
        }
        if let Some(socket) = &mut self.neighbours {
            drain(|| socket.receive(&mut replies));
        }
        for reply in &replies {
            tracing::debug!(target: PROBE, "received: {reply:?}");
        }
        replies
    }
}

/// The socket of a slot, opened if it is not yet.
fn opened<'s, S: AsFd>(
    slot: &'s mut Option<S>,
    epoll: &Epoll,
    open: impl FnOnce() -> io::Result<S>,
) -> io::Result<&'s mut S> {
    let socket = if let Some(socket) = slot.take() {
        socket
    } else {
        let socket = open()?;
        // Which one it is does not matter: there are so few that all are looked at.
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        socket
    };
    Ok(slot.insert(socket))
}

/// Calls until there is no more, or it has been enough.
fn drain(mut receive: impl FnMut() -> bool) {
    for _ in 0..BATCHES {
        if !receive() {
            return;
        }
    }
}
