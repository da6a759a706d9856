//! One simulated host: a [`Detection`] with its interfaces, and the targets that they see.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::time::Duration;

use super::super::random::Random;
use super::super::{
    Advertisement, Detection, EchoReply, Finding, Neighbour, Probe, Probed, Reply, Watched,
};
use crate::message::Message;
use crate::{
    Family, GroupSettings, InterfaceAddress, InterfaceName, MacAddress, ProbeMethod, Settings, Time,
};

/// An interface of the host, and what is wrong with its cable.
pub(in crate::detect) struct Nic {
    pub(in crate::detect) name: InterfaceName,
    pub(in crate::detect) watched: Watched,
    /// Packets of this family vanish, although the link is up.
    pub(in crate::detect) broken: [bool; 2],
    /// Only ARP and neighbour solicitations are answered: by a switch, for those behind it.
    pub(in crate::detect) proxied: bool,
    /// Until when nothing passes in either direction: a short interruption of the path.
    pub(in crate::detect) dark_until: Time,
}

/// Somebody on the link.
pub(in crate::detect) struct Peer {
    pub(in crate::detect) address: IpAddr,
    pub(in crate::detect) alive: bool,
    pub(in crate::detect) answers_multicast: bool,
    pub(in crate::detect) answers_echo: bool,
    pub(in crate::detect) answers_arp: bool,
    /// Whether the kernel's neighbour table has him.
    pub(in crate::detect) known: bool,
    /// Least time between two echo replies to the same address; zero for no limit.
    pub(in crate::detect) limit: Duration,
    pub(in crate::detect) delay: Duration,
    /// Delays grow by up to this, evenly spread.
    pub(in crate::detect) jitter: Duration,
}

pub(in crate::detect) struct World {
    pub(in crate::detect) now: Time,
    pub(in crate::detect) detection: Detection,
    pub(in crate::detect) nics: Vec<Nic>,
    pub(in crate::detect) peers: Vec<Peer>,
    /// Share of packets that are lost, in each direction, of a thousand.
    pub(in crate::detect) loss: u64,
    pub(in crate::detect) said: Vec<(Time, Message)>,
    /// Whether probes sent are kept, and those that are.
    pub(in crate::detect) records: bool,
    pub(in crate::detect) sent: Vec<Probe>,
    /// What became of probes, if detection tells.
    pub(in crate::detect) fates: Vec<Probed>,
    /// When each peer last answered an echo request to each address.
    answered: BTreeMap<(IpAddr, IpAddr), Time>,
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

/// The original's rules: echo requests, five lost in a row, no damping.
pub(in crate::detect) fn settings(detection_time: Duration) -> Settings {
    Settings {
        common: GroupSettings {
            failure_detection_time: detection_time,
            probe: ProbeMethod::Icmp,
            confirm: None,
            dampening: None,
            ..GroupSettings::default()
        },
        ..Settings::default()
    }
}

/// Ours, as they are by default.
pub(in crate::detect) fn modern(detection_time: Duration) -> Settings {
    Settings {
        common: GroupSettings {
            failure_detection_time: detection_time,
            ..GroupSettings::default()
        },
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
            mac: Some(MacAddress([2, 0, 0, 0, 0, number])),
            link_local: None,
            subnets: Vec::new(),
            failed: false,
            silent: false,
        },
        broken: [false, false],
        proxied: false,
        dark_until: Time::ZERO,
    }
}

pub(in crate::detect) fn peer(address: &str, answers_multicast: bool) -> Peer {
    Peer {
        address: address.parse().unwrap(),
        alive: true,
        answers_multicast,
        answers_echo: true,
        answers_arp: true,
        known: false,
        limit: Duration::ZERO,
        delay: Duration::from_micros(300),
        jitter: Duration::ZERO,
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
            loss: 0,
            said: Vec::new(),
            records: false,
            sent: Vec::new(),
            fates: Vec::new(),
            answered: BTreeMap::new(),
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

    /// The host does nothing for `span`; what comes in meanwhile waits, with the kernel's stamp.
    pub(in crate::detect) fn stall(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    /// The real-time clock, by which the kernel stamps what it receives, is set while replies wait to be
    /// read: onwards, so that they seem to have come long ago, or back, so that they seem to come now.
    pub(in crate::detect) fn step_clock(&mut self, onwards: bool) {
        let moment = Duration::from_micros(500);
        while self.arriving.is_empty() {
            self.run(moment);
        }
        let now = self.now;
        let waiting = std::mem::take(&mut self.arriving).into_iter();
        self.arriving = waiting
            .map(|Reverse(Arrival(at, number, mut reply))| {
                let stamp = if onwards {
                    at - Duration::from_hours(1)
                } else {
                    at.max(now)
                };
                match &mut reply {
                    Reply::Echo(reply) => reply.received = stamp,
                    Reply::Advertisement(reply) => reply.received = stamp,
                }
                Reverse(Arrival(at, number, reply))
            })
            .collect();
    }

    pub(in crate::detect) fn carry_out(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            match finding {
                Finding::Say(message) => self.said.push((self.now, message)),
                Finding::Send(probe) => self.transmit(probe),
                Finding::Probed(probed) => self.fates.push(probed),
                Finding::ReadNeighbours(links) => self.read_neighbours(&links),
            }
        }
    }

    fn read_neighbours(&mut self, links: &[u32]) {
        let known = self.peers.iter().filter(|peer| peer.known);
        let neighbours: Vec<_> = known
            .flat_map(|peer| {
                links.iter().map(|&index| Neighbour {
                    index,
                    address: peer.address,
                })
            })
            .collect();
        self.detection.neighbours(&neighbours);
    }

    fn transmit(&mut self, probe: Probe) {
        let family = Family::of(probe.target());
        let nic = self
            .nics
            .iter()
            .find(|nic| nic.watched.index == probe.index());
        let passes = nic.is_some_and(|nic| {
            let echo = matches!(probe, Probe::Echo(_));
            nic.watched.running
                && !nic.broken[family as usize]
                && self.now >= nic.dark_until
                && !(nic.proxied && echo)
        });
        if passes {
            for at in 0..self.peers.len() {
                if let Some(reply) = self.answer(at, &probe) {
                    self.arrivals += 1;
                    let arrival = Arrival(reply.received(), self.arrivals, reply);
                    self.arriving.push(Reverse(arrival));
                }
            }
        }
        if self.records {
            self.sent.push(probe);
        }
    }

    /// What a peer answers, if he is asked and both packets get through.
    fn answer(&mut self, at: usize, probe: &Probe) -> Option<Reply> {
        let peer = &self.peers[at];
        let for_all = probe.target().is_multicast();
        let asked = if for_all {
            peer.answers_multicast && Family::of(peer.address) == Family::of(probe.target())
        } else {
            peer.address == probe.target()
        };
        if !peer.alive || !asked {
            return None;
        }
        let passes = self.passes() && self.passes();
        let peer = &self.peers[at];
        let received = self.now + peer.delay + self.random.up_to(peer.jitter);
        let reply = match probe {
            Probe::Echo(echo) => {
                let key = (peer.address, echo.source);
                let limited = self
                    .answered
                    .get(&key)
                    .is_some_and(|&last| self.now.since(last) < peer.limit);
                if !peer.answers_echo || limited {
                    return None;
                }
                self.answered.insert(key, self.now);
                Reply::Echo(EchoReply {
                    index: echo.index,
                    source: peer.address,
                    destination: echo.source,
                    identifier: echo.identifier,
                    sequence: echo.sequence,
                    payload: echo.payload,
                    received,
                })
            }
            Probe::Solicitation(solicitation) => {
                if !peer.answers_arp {
                    return None;
                }
                Reply::Advertisement(Advertisement {
                    index: solicitation.index,
                    target: peer.address,
                    mac: MacAddress([2, 0, 0, 0, 1, 0]),
                    received,
                })
            }
        };
        passes.then_some(reply)
    }

    /// Whether a packet is not one of those that get lost.
    fn passes(&mut self) -> bool {
        self.loss == 0 || self.random.number() % 1_000 >= self.loss
    }

    fn deliver(&mut self, reply: &Reply) {
        let nic = self
            .nics
            .iter()
            .find(|nic| nic.watched.index == reply.index());
        if nic.is_some_and(|nic| nic.watched.running && reply.received() >= nic.dark_until) {
            let findings = self.detection.reply(self.now, reply);
            self.carry_out(findings);
        }
    }
}
