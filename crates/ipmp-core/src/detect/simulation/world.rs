//! One simulated host: a [`Detection`] with its interfaces, and the targets that they see.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::time::Duration;

use super::super::random::Random;
use super::super::{Detection, Finding, Probe, Reply, Watched};
use crate::message::Message;
use crate::{Family, InterfaceAddress, InterfaceName, Settings, Time};

/// An interface of the host, and what is wrong with its cable.
pub(in crate::detect) struct Nic {
    pub(in crate::detect) name: InterfaceName,
    pub(in crate::detect) watched: Watched,
    /// Packets of this family vanish, although the link is up.
    pub(in crate::detect) broken: [bool; 2],
}

/// Somebody on the link.
pub(in crate::detect) struct Peer {
    pub(in crate::detect) address: IpAddr,
    pub(in crate::detect) alive: bool,
    pub(in crate::detect) answers_multicast: bool,
    pub(in crate::detect) delay: Duration,
}

pub(in crate::detect) struct World {
    pub(in crate::detect) now: Time,
    pub(in crate::detect) detection: Detection,
    pub(in crate::detect) nics: Vec<Nic>,
    pub(in crate::detect) peers: Vec<Peer>,
    /// Of so many packets one is lost; 0 for none.
    pub(in crate::detect) loses_one_in: u64,
    pub(in crate::detect) said: Vec<(Time, Message)>,
    /// Whether probes sent are kept, and those that are.
    pub(in crate::detect) records: bool,
    pub(in crate::detect) sent: Vec<Probe>,
    pub(in crate::detect) random: Random,
    arriving: BinaryHeap<Reverse<Arrival>>,
    arrivals: u64,
}

/// Ordered by time, then by when it was sent.
#[derive(Debug, PartialEq, Eq)]
struct Arrival(Time, u64, Reply);

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub(in crate::detect) fn settings(detection_time: Duration) -> Settings {
    Settings {
        failure_detection_time: detection_time,
        ..Settings::default()
    }
}

/// `ge0` to `geN` of group `g` with test addresses 10.0.0.1... and `fe80::1`... as families ask.
pub(in crate::detect) fn nic(number: u8, families: &[Family]) -> Nic {
    let test = |family: Family, text: String, prefix| {
        families
            .contains(&family)
            .then(|| InterfaceAddress::new(text.parse().unwrap(), prefix))
    };
    Nic {
        name: format!("ge{number}").parse().unwrap(),
        watched: Watched {
            index: u32::from(number) + 10,
            group: Some("g".parse().unwrap()),
            running: true,
            offline: false,
            inactive: false,
            standby: false,
            test: [
                test(Family::Inet, format!("10.0.0.{}", number + 1), 24),
                test(Family::Inet6, format!("fe80::{}", number + 1), 64),
            ],
            failed: false,
        },
        broken: [false, false],
    }
}

pub(in crate::detect) fn peer(address: &str, answers_multicast: bool) -> Peer {
    Peer {
        address: address.parse().unwrap(),
        alive: true,
        answers_multicast,
        delay: Duration::from_micros(300),
    }
}

impl World {
    pub(in crate::detect) fn new(
        settings: Settings,
        seed: u64,
        nics: Vec<Nic>,
        peers: Vec<Peer>,
    ) -> Self {
        Self {
            now: Time::from_millis(1_000),
            detection: Detection::new(settings, seed),
            nics,
            peers,
            loses_one_in: 0,
            said: Vec::new(),
            records: false,
            sent: Vec::new(),
            random: Random::new(!seed),
            arriving: BinaryHeap::new(),
            arrivals: 0,
        }
    }

    /// Tells detection that these peers are the routing table's gateways.
    pub(in crate::detect) fn route(&mut self, gateways: &[usize]) {
        let gateways: Vec<_> = gateways.iter().map(|&at| self.peers[at].address).collect();
        let own: Vec<_> = self
            .nics
            .iter()
            .flat_map(|nic| nic.watched.test.iter().flatten())
            .map(|test| test.ip)
            .collect();
        let findings = self.detection.routers(self.now, &gateways, &own);
        self.carry_out(findings);
    }

    /// Tells detection how the interfaces are now.
    pub(in crate::detect) fn watch(&mut self) {
        let watched: BTreeMap<_, _> = self
            .nics
            .iter()
            .map(|nic| (nic.name.clone(), nic.watched.clone()))
            .collect();
        let findings = self.detection.watch(self.now, watched.clone());
        self.carry_out(findings);
        assert_eq!(
            self.detection.watch(self.now, watched),
            [],
            "not idempotent"
        );
    }

    pub(in crate::detect) fn set_link(&mut self, nic: usize, up: bool) {
        self.nics[nic].watched.running = up;
        self.watch();
    }

    pub(in crate::detect) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let arrival = self.arriving.peek().map(|Reverse(arrival)| arrival.0);
            let deadline = self.detection.next_deadline();
            let next = arrival.unwrap_or(end).min(deadline.unwrap_or(end));
            if next >= end {
                break;
            }
            self.now = self.now.max(next);
            if arrival == Some(next) {
                if let Some(Reverse(Arrival(_, _, reply))) = self.arriving.pop() {
                    self.deliver(&reply);
                }
            } else {
                let findings = self.detection.tick(self.now);
                self.carry_out(findings);
                let next = self.detection.next_deadline();
                assert!(next.is_none_or(|next| next > self.now), "busy loop");
            }
        }
        self.now = end;
    }

    /// Runs until something is said, at most for `span`; then a moment more, for what is said along
    /// with it. Returns what was said.
    pub(in crate::detect) fn listen(&mut self, span: Duration) -> Vec<(Time, Message)> {
        let end = self.now + span;
        while self.said.is_empty() && self.now < end {
            let next = self.detection.next_deadline().unwrap_or(end);
            self.run(next.since(self.now).max(Duration::from_micros(1)));
        }
        std::mem::take(&mut self.said)
    }

    pub(in crate::detect) fn carry_out(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            match finding {
                Finding::Say(message) => self.said.push((self.now, message)),
                Finding::Send(probe) => self.transmit(probe),
            }
        }
    }

    fn transmit(&mut self, probe: Probe) {
        let family = Family::of(probe.target);
        let nic = self
            .nics
            .iter()
            .find(|nic| nic.watched.index == probe.index);
        let passes = nic.is_some_and(|nic| nic.watched.running && !nic.broken[family as usize]);
        let multicast = probe.target.is_multicast();
        if passes {
            for peer in &self.peers {
                let answers = peer.alive
                    && if multicast {
                        peer.answers_multicast && Family::of(peer.address) == family
                    } else {
                        peer.address == probe.target
                    };
                let lost = self.loses_one_in != 0
                    && self.random.number().is_multiple_of(self.loses_one_in);
                if !answers || lost {
                    continue;
                }
                let reply = Reply {
                    index: probe.index,
                    source: peer.address,
                    destination: probe.source,
                    identifier: probe.identifier,
                    sequence: probe.sequence,
                    payload: probe.payload,
                    received: self.now + peer.delay,
                };
                self.arrivals += 1;
                let arrival = Arrival(reply.received, self.arrivals, reply);
                self.arriving.push(Reverse(arrival));
            }
        }
        if self.records {
            self.sent.push(probe);
        }
    }

    fn deliver(&mut self, reply: &Reply) {
        let nic = self
            .nics
            .iter()
            .find(|nic| nic.watched.index == reply.index);
        if nic.is_some_and(|nic| nic.watched.running) {
            let findings = self.detection.reply(self.now, reply);
            self.carry_out(findings);
        }
    }
}
