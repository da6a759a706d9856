//! Hosts on simulated links, over days of virtual time.
//!
//! A [`World`] is one host: a [`Detection`] with its interfaces, and the targets that they see.
//! Faults are switched on and off between two runs; what detection says meanwhile is kept with its
//! time. The tests below let many hosts live through random faults and hold every declaration against
//! what really happened. Everything follows from a seed, which is named when something is wrong.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::time::Duration;

use super::random::Random;
use super::{Detection, Finding, Probe, Reply, Watched};
use crate::message::Message;
use crate::{Family, InterfaceAddress, InterfaceName, Settings, Time};

/// An interface of the host, and what is wrong with its cable.
pub(super) struct Nic {
    pub(super) name: InterfaceName,
    pub(super) watched: Watched,
    /// Packets of this family vanish, although the link is up.
    pub(super) broken: [bool; 2],
}

/// Somebody on the link.
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) alive: bool,
    pub(super) answers_multicast: bool,
    pub(super) delay: Duration,
}

pub(super) struct World {
    pub(super) now: Time,
    pub(super) detection: Detection,
    pub(super) nics: Vec<Nic>,
    pub(super) peers: Vec<Peer>,
    /// Of so many packets one is lost; 0 for none.
    pub(super) loses_one_in: u64,
    pub(super) said: Vec<(Time, Message)>,
    /// Whether probes sent are kept, and those that are.
    pub(super) records: bool,
    pub(super) sent: Vec<Probe>,
    pub(super) random: Random,
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

pub(super) fn settings(detection_time: Duration) -> Settings {
    Settings {
        failure_detection_time: detection_time,
        ..Settings::default()
    }
}

/// `ge0` to `geN` of group `g` with test addresses 10.0.0.1... and fe80::1... as families ask.
pub(super) fn nic(number: u8, families: &[Family]) -> Nic {
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

pub(super) fn peer(address: &str, answers_multicast: bool) -> Peer {
    Peer {
        address: address.parse().unwrap(),
        alive: true,
        answers_multicast,
        delay: Duration::from_micros(300),
    }
}

impl World {
    pub(super) fn new(settings: Settings, seed: u64, nics: Vec<Nic>, peers: Vec<Peer>) -> Self {
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
    pub(super) fn route(&mut self, gateways: &[usize]) {
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
    pub(super) fn watch(&mut self) {
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

    pub(super) fn set_link(&mut self, nic: usize, up: bool) {
        self.nics[nic].watched.running = up;
        self.watch();
    }

    pub(super) fn run(&mut self, span: Duration) {
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
    pub(super) fn listen(&mut self, span: Duration) -> Vec<(Time, Message)> {
        let end = self.now + span;
        while self.said.is_empty() && self.now < end {
            let next = self.detection.next_deadline().unwrap_or(end);
            self.run(next.since(self.now).max(Duration::from_micros(1)));
        }
        std::mem::take(&mut self.said)
    }

    pub(super) fn carry_out(&mut self, findings: Vec<Finding>) {
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

/// What can go wrong with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// An interface passes nothing any more, or only in one direction; its link stays up.
    Silent(usize),
    /// An interface loses one of two families.
    HalfSilent(usize, usize),
    /// A cable is pulled.
    Unplugged(usize),
    /// One of several targets stops answering.
    TargetDead(usize),
    /// All targets stop answering.
    AllTargetsDead,
}

/// A host of the campaign: how it is built, and the times by which it is judged.
struct Host {
    seed: u64,
    world: World,
    interval: Duration,
    routers: bool,
    families: &'static [Family],
    targets: usize,
}

impl Host {
    fn new(seed: u64) -> Self {
        const TIMES_MS: [u64; 8] = [100, 1_000, 10_000, 20_000, 30_000, 60_000, 60_000, 90_000];
        let mut random = Random::new(seed);
        let mut pick = |count: usize| usize::try_from(random.number() % count as u64).unwrap();
        let detection_time = TIMES_MS[pick(TIMES_MS.len())];
        let families: &[Family] = [&[Family::Inet][..], &[Family::Inet6], &Family::ALL][pick(3)];
        let routers = pick(3) > 0;
        let targets = 1 + pick(4);
        let nics = (0..=pick(3)).map(|n| nic(u8::try_from(n).unwrap(), families));
        let peers: Vec<_> = (0..targets)
            .flat_map(|n| [format!("10.0.0.{}", 100 + n), format!("fe80::{}", 100 + n)])
            .map(|address| peer(&address, !routers))
            .collect();
        let mut world = World::new(
            settings(Duration::from_millis(detection_time)),
            seed,
            nics.collect(),
            peers,
        );
        world.watch();
        if routers {
            world.route(&(0..2 * targets).collect::<Vec<_>>());
        }
        Self {
            seed,
            world,
            interval: Duration::from_millis(detection_time / 7),
            routers,
            families,
            targets,
        }
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.world.random.number() % count as u64).unwrap()
    }

    fn random_fault(&mut self) -> Fault {
        let nic = self.pick(self.world.nics.len());
        match self.pick(8) {
            0..4 => Fault::Silent(nic),
            4 if self.families.len() == 2 => Fault::HalfSilent(nic, self.pick(2)),
            5 => Fault::Unplugged(nic),
            6 if self.targets > 1 => Fault::TargetDead(self.pick(self.targets)),
            _ => Fault::AllTargetsDead,
        }
    }

    fn set(&mut self, fault: Fault, on: bool) {
        match fault {
            Fault::Silent(nic) => self.world.nics[nic].broken = [on, on],
            Fault::HalfSilent(nic, family) => self.world.nics[nic].broken[family] = on,
            Fault::Unplugged(nic) => self.world.set_link(nic, !on),
            Fault::TargetDead(target) => {
                for at in [2 * target, 2 * target + 1] {
                    self.world.peers[at].alive = !on;
                }
            }
            Fault::AllTargetsDead => self.world.peers.iter_mut().for_each(|p| p.alive = !on),
        }
    }

    /// Lives for `span`, fault after fault, and checks everything that is said.
    fn live(&mut self, span: Duration) {
        let end = self.world.now + span;
        self.world
            .run(Duration::from_mins(2).max(self.interval * 20));
        self.expect_silence("at the beginning");
        while self.world.now < end {
            // Idle for most of the time, as hosts are.
            let idle = self.world.random.up_to(Duration::from_mins(150));
            self.world.run(idle + self.interval * 15);
            self.expect_silence("without a fault");
            let fault = self.random_fault();
            let began = self.world.now;
            self.set(fault, true);
            let alone = self.world.nics.len() == 1;
            match fault {
                Fault::HalfSilent(..) | Fault::TargetDead(_) => {
                    self.world.run(self.interval * 40);
                    self.set(fault, false);
                    self.world.run(Duration::from_mins(3));
                    self.expect_silence("although something still works");
                }
                Fault::Unplugged(nic) => {
                    assert_eq!(self.world.said.len(), 2, "seed {}: {fault:?}", self.seed);
                    self.world.said.clear();
                    self.repair(fault, nic, alone);
                }
                Fault::Silent(nic) => {
                    let said = self.world.listen(self.interval * 8);
                    self.expect_at(&said, began, 9..=13, fault);
                    let failed = self.world.nics[nic].name.clone();
                    let right = match &said[0].1 {
                        Message::NicFailed { interface, .. } => !alone && *interface == failed,
                        Message::GroupFailed { .. } => alone,
                        _ => false,
                    };
                    assert!(
                        right && said.len() == 1,
                        "seed {}: {fault:?}: {said:?}",
                        self.seed
                    );
                    self.repair(fault, nic, alone);
                }
                Fault::AllTargetsDead => {
                    let said = self.world.listen(self.interval * 8);
                    self.expect_at(&said, began, 9..=13, fault);
                    let right = matches!(said[0].1, Message::GroupFailed { .. });
                    assert!(
                        right && said.len() == 1,
                        "seed {}: {fault:?}: {said:?}",
                        self.seed
                    );
                    self.repair_all(fault);
                }
            }
        }
    }

    /// Ends the fault of one interface and expects its repair, and its group's if it was `alone`.
    fn repair(&mut self, fault: Fault, nic: usize, alone: bool) {
        let lasts = self.world.random.up_to(self.interval * 30);
        self.world.run(lasts);
        self.expect_silence("while failed");
        let began = self.world.now;
        self.set(fault, false);
        self.world
            .said
            .retain(|(_, m)| !matches!(m, Message::LinkUp { .. }));
        let said = self.world.listen(self.interval * 14);
        // A group that failed has forgotten its hosts, and must find them first.
        let found_anew = alone && !self.routers && fault != Fault::Unplugged(nic);
        self.expect_at(
            &said,
            began,
            if found_anew { 19..=26 } else { 19..=23 },
            fault,
        );
        let name = &self.world.nics[nic].name;
        let repaired =
            |m: &Message| matches!(m, Message::NicRepaired { interface, .. } if interface == name);
        let right = said.len() == if alone { 2 } else { 1 } && repaired(&said[said.len() - 1].1);
        assert!(right, "seed {}: {fault:?}: {said:?}", self.seed);
    }

    /// Brings all targets back and expects the group's repair, then every member's.
    fn repair_all(&mut self, fault: Fault) {
        let lasts = self.world.random.up_to(self.interval * 30);
        self.world.run(lasts);
        self.expect_silence("while failed");
        let began = self.world.now;
        self.set(fault, false);
        self.world.run(self.interval * 14);
        let said = std::mem::take(&mut self.world.said);
        let latest = if self.routers { 23 } else { 26 };
        self.expect_at(&said, began, 19..=latest, fault);
        let first = matches!(said[0].1, Message::GroupRepaired { .. });
        let repaired = said
            .iter()
            .filter(|(_, m)| matches!(m, Message::NicRepaired { .. }));
        let right = first && repaired.count() == self.world.nics.len();
        let right = right && said.len() == self.world.nics.len() + 1;
        assert!(right, "seed {}: {fault:?}: {said:?}", self.seed);
    }

    fn expect_silence(&self, when: &str) {
        assert_eq!(self.world.said, [], "seed {}, {when}", self.seed);
    }

    /// Everything was said between so many half intervals after `began`, give or take a round trip.
    fn expect_at(
        &self,
        said: &[(Time, Message)],
        began: Time,
        halves: std::ops::RangeInclusive<u32>,
        fault: Fault,
    ) {
        assert!(
            !said.is_empty(),
            "seed {}: {fault:?} goes unnoticed",
            self.seed
        );
        let slack = Duration::from_millis(1);
        for (at, message) in said {
            let after = at.since(began);
            let half = self.interval / 2;
            let earliest = (half * *halves.start()).saturating_sub(slack);
            let right = (earliest..=half * *halves.end() + slack).contains(&after);
            assert!(
                right,
                "seed {}: {message:?} {after:?} after {fault:?}, interval {:?}",
                self.seed, self.interval
            );
        }
    }
}

/// A hundred host-days and more: every failure and repair is found within its bounds, and nothing is
/// said without cause.
#[test]
fn days_of_faults() {
    let mut lived = Duration::ZERO;
    let mut seed = 0;
    while lived < Duration::from_hours(24 * 100) {
        let mut host = Host::new(seed);
        // Fast probing makes for long tests and no other insights.
        let day = Duration::from_hours(24);
        let span = if host.interval < Duration::from_secs(1) {
            day / 400
        } else {
            day
        };
        host.live(span);
        lived += span;
        seed += 1;
    }
}

/// Scattered loss is no failure.
#[test]
fn scattered_loss_is_no_failure() {
    for seed in 0..4 {
        let mut host = Host::new(seed);
        host.world.loses_one_in = 50;
        host.world.run(host.interval * 5_000);
        let failures = host.world.said.iter().filter(|(_, message)| {
            matches!(
                message,
                Message::NicFailed { .. } | Message::GroupFailed { .. }
            )
        });
        assert_eq!(failures.count(), 0, "seed {seed}");
    }
}
