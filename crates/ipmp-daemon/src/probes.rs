//! The probe sockets: one of each kind, opened when the first probe needs it.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use ipmp_core::detect::{Echo, Probe, Reply, Solicitation};
use ipmp_core::{Family, InterfaceName, Time};
use ipmp_linux::monotonic_now;
use ipmp_linux::probe::{ArpSocket, EchoSocket, NeighbourSocket};

use crate::departures::{Departures, Kind};
use crate::log::PROBE;
use crate::sockets::Sockets;

/// How many batches of replies are taken off a socket before the loop does something else. A flood
/// ends here.
const BATCHES: usize = 128;

/// All probe sockets.
#[derive(Debug)]
pub(crate) struct Probes {
    sockets: Sockets,
    echo4: Option<EchoSocket>,
    echo6: Option<EchoSocket>,
    arp: Option<ArpSocket>,
    neighbours: Option<NeighbourSocket>,
    /// Probes that could not be sent.
    pub(crate) unsent: u64,
    /// When the others left.
    pub(crate) departures: Departures,
}

impl Probes {
    /// No sockets yet. To be called inside the runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            sockets: Sockets::new()?,
            echo4: None,
            echo6: None,
            arp: None,
            neighbours: None,
            unsent: 0,
            departures: Departures::default(),
        })
    }

    /// Sends probes that were `decided` then. One that does not leave is a probe that is not answered, which is what detection
    /// is there to notice; the reason is said in detail.
    pub(crate) fn send(&mut self, decided: Time, probes: &[Probe]) {
        for probe in probes {
            tracing::debug!(
                target: PROBE,
                "to {} on {}: {probe:?}", probe.target(), probe.interface()
            );
        }
        for family in Family::ALL {
            let of_family = || {
                probes
                    .iter()
                    .filter(|probe| Family::of(probe.target()) == family)
            };
            let echoes = of_family().filter_map(|probe| match probe {
                Probe::Echo(echo) => Some(echo),
                Probe::Solicitation(_) => None,
            });
            self.send_echoes(decided, family, &echoes.collect::<Vec<_>>());
            let solicitations = of_family().filter_map(|probe| match probe {
                Probe::Echo(_) => None,
                Probe::Solicitation(solicitation) => Some(solicitation),
            });
            self.send_solicitations(decided, family, &solicitations.collect::<Vec<_>>());
        }
    }

    fn send_echoes(&mut self, decided: Time, family: Family, probes: &[&Echo]) {
        if probes.is_empty() {
            return;
        }
        let slot = match family {
            Family::Inet => &mut self.echo4,
            Family::Inet6 => &mut self.echo6,
        };
        let unsent = &mut self.unsent;
        let kind = Kind {
            family,
            solicitation: false,
        };
        self.departures.note(decided, kind, monotonic_now);
        match self.sockets.opened(slot, || EchoSocket::open(family)) {
            Ok(socket) => socket.send_all(probes, |probe, error| {
                not_sent(unsent, &probe.interface, probe.target, &error);
            }),
            Err(error) => none_sent(unsent, probes.len(), &error),
        }
    }

    fn send_solicitations(&mut self, decided: Time, family: Family, probes: &[&Solicitation]) {
        if probes.is_empty() {
            return;
        }
        let unsent = &mut self.unsent;
        let kind = Kind {
            family,
            solicitation: true,
        };
        self.departures.note(decided, kind, monotonic_now);
        let mut failed = |probe: &Solicitation, error| {
            not_sent(unsent, &probe.interface, probe.target, &error);
        };
        let sent = match family {
            Family::Inet => self
                .sockets
                .opened(&mut self.arp, ArpSocket::open)
                .map(|socket| socket.send_all(probes, &mut failed)),
            Family::Inet6 => self
                .sockets
                .opened(&mut self.neighbours, NeighbourSocket::open)
                .map(|socket| socket.send_all(probes, &mut failed)),
        };
        if let Err(error) = sent {
            none_sent(unsent, probes.len(), &error);
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

    /// Whether replies are to end [`Probes::readable`] from now on, those that are there already
    /// included.
    pub(crate) fn watch(&mut self, wanted: bool) -> io::Result<()> {
        let sockets = [
            self.echo4.as_ref().map(AsFd::as_fd),
            self.echo6.as_ref().map(AsFd::as_fd),
            self.arp.as_ref().map(AsFd::as_fd),
            self.neighbours.as_ref().map(AsFd::as_fd),
        ];
        self.sockets.watch(wanted, sockets)
    }

    /// Waits until there may be replies.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.sockets.readable().await
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

fn not_sent(unsent: &mut u64, interface: &InterfaceName, target: IpAddr, error: &io::Error) {
    *unsent = unsent.saturating_add(1);
    tracing::debug!(target: PROBE, "cannot send to {target} on {interface}: {error}");
}

fn none_sent(unsent: &mut u64, probes: usize, error: &io::Error) {
    *unsent = unsent.saturating_add(u64::try_from(probes).unwrap_or(u64::MAX));
    tracing::debug!(target: PROBE, "no socket for {probes} probes: {error}");
}

/// Calls until there is no more, or it has been enough.
fn drain(mut receive: impl FnMut() -> bool) {
    for _ in 0..BATCHES {
        if !receive() {
            return;
        }
    }
}
