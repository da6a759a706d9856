//! Hosts on simulated links, over days of virtual time.
//!
//! A [`World`] is one host: a [`Detection`] with its interfaces, and the targets that they see.
//! Faults are switched on and off between two runs; what detection says meanwhile is kept with its
//! time. The tests below let many hosts live through random faults and hold every declaration against
//! what really happened. Everything follows from a seed, which is named when something is wrong.

mod trade;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

pub(super) use self::world::{Nic, World, modern, nic, peer, settings};
use super::random::Random;
use crate::message::Message;
use crate::{Family, InterfaceName, Time};

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
    /// The path of an interface is interrupted for a moment, too short to be a failure.
    Blink(usize),
    /// The host itself stands still for a moment.
    Stall,
    /// The real-time clock is set onwards, or back, in such a moment.
    ClockStep(bool),
}

/// A host of the campaign: how it is built, and the times by which it is judged.
struct Host {
    seed: u64,
    world: World,
    interval: Duration,
    /// Whether failures are confirmed by bursts, and flapping is damped.
    modern: bool,
    /// Until when interfaces are held back for failing too often.
    held: BTreeMap<InterfaceName, Time>,
    routers: bool,
    families: &'static [Family],
    targets: usize,
}

impl Host {
    fn new(seed: u64) -> Self {
        const TIMES_MS: [u64; 8] = [100, 1_000, 10_000, 10_000, 30_000, 30_000, 60_000, 90_000];
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
        let modern = random.number().is_multiple_of(2);
        let rules = if modern { world::modern } else { settings };
        let mut world = World::new(
            rules(Duration::from_millis(detection_time)),
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
            modern,
            held: BTreeMap::new(),
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
        match self.pick(9) {
            0..4 => Fault::Silent(nic),
            4 if self.families.len() == 2 => Fault::HalfSilent(nic, self.pick(2)),
            5 => Fault::Unplugged(nic),
            6 if self.targets > 1 => Fault::TargetDead(self.pick(self.targets)),
            7 if self.pick(2) == 0 => Fault::AllTargetsDead,
            6 => Fault::Stall,
            8 => Fault::ClockStep(self.pick(2) == 0),
            _ => Fault::Blink(nic),
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
            Fault::Blink(nic) => {
                self.world.nics[nic].dark_until = self.world.now + self.interval / 4;
            }
            Fault::Stall => self.world.stall(self.interval * 3),
            Fault::ClockStep(onwards) => {
                self.world.step_clock(onwards);
                self.world.stall(self.interval * 3);
            }
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
            let idle = self.world.random.up_to(self.interval * 4_000);
            self.world.run(idle + self.interval * 15);
            self.expect_silence("without a fault");
            let fault = self.random_fault();
            let began = self.world.now;
            self.set(fault, true);
            let alone = self.world.nics.len() == 1;
            match fault {
                Fault::Blink(_) | Fault::Stall | Fault::ClockStep(_) => {
                    self.world.run(self.interval * 20);
                    self.expect_silence("after a moment's trouble");
                }
                Fault::HalfSilent(..) | Fault::TargetDead(_) => {
                    self.world.run(self.interval * 40);
                    self.set(fault, false);
                    self.world.run(Duration::from_mins(3));
                    self.expect_silence("although something still works");
                }
                Fault::Unplugged(nic) => {
                    self.note_holds();
                    assert_eq!(self.world.said.len(), 2, "seed {}: {fault:?}", self.seed);
                    self.world.said.clear();
                    self.repair(fault, nic, alone);
                }
                Fault::Silent(nic) => {
                    let said = self.listen(self.interval * 8);
                    // Confirmed failures are found sooner, but not before there was silence enough.
                    let earliest = if self.modern { 0 } else { 9 };
                    self.expect_at(&said, began, earliest..=13, fault);
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
                    let said = self.listen(self.interval * 8);
                    // Confirmed failures are found sooner, but not before there was silence enough.
                    let earliest = if self.modern { 0 } else { 9 };
                    self.expect_at(&said, began, earliest..=13, fault);
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
        self.note_holds();
        self.world
            .said
            .retain(|(_, m)| !matches!(m, Message::LinkUp { .. }));
        let name = self.world.nics[nic].name.clone();
        let held = self.held.remove(&name).filter(|_| !alone);
        let wait = held.map_or(Duration::ZERO, |until| until.since(began));
        let said = self.listen(self.interval * 14 + wait);
        // A group that failed has forgotten its hosts, and must find them first.
        let found_anew = alone && !self.routers && fault != Fault::Unplugged(nic);
        let earliest = self.earliest_repair();
        let latest = if found_anew { 26 } else { 23 };
        let held_for = u32::try_from(wait.as_micros() / (self.interval / 2).as_micros()).unwrap();
        let latest = latest.max(held_for + 4);
        self.expect_at(&said, began, earliest.max(held_for)..=latest, fault);
        let repaired =
            |m: &Message| matches!(m, Message::NicRepaired { interface, .. } if *interface == name);
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
        self.expect_at(&said, began, self.earliest_repair()..=latest, fault);
        let first = matches!(said[0].1, Message::GroupRepaired { .. });
        let repaired = said
            .iter()
            .filter(|(_, m)| matches!(m, Message::NicRepaired { .. }));
        let right = first && repaired.count() == self.world.nics.len();
        let right = right && said.len() == self.world.nics.len() + 1;
        assert!(right, "seed {}: {fault:?}: {said:?}", self.seed);
    }

    /// Half intervals for ten answers. The tenth is seen at the next send, or sooner if there is
    /// something else to do meanwhile: the other family's send, or a probe to be decided.
    fn earliest_repair(&self) -> u32 {
        if self.families.len() == 2 || self.modern {
            17
        } else {
            19
        }
    }

    /// Runs until something is said, at most for `span`.
    fn listen(&mut self, span: Duration) -> Vec<(Time, Message)> {
        let mut said = self.world.listen(span);
        self.world.said.append(&mut said);
        self.note_holds();
        std::mem::take(&mut self.world.said)
    }

    /// Takes in which interfaces are held back for failing too often: that is no fault.
    fn note_holds(&mut self) {
        let held = &mut self.held;
        self.world.said.retain(|(at, message)| match message {
            Message::FlapDamped { interface, hold } => {
                held.insert(interface.clone(), *at + *hold);
                false
            }
            _ => true,
        });
    }

    fn expect_silence(&mut self, when: &str) {
        self.note_holds();
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

/// Lets hosts live for so many host-days altogether.
fn live(days: u32) -> u64 {
    let day = Duration::from_hours(24);
    let mut lived = Duration::ZERO;
    let mut seed = 0;
    while lived < day * days {
        let mut host = Host::new(seed);
        // Fast probing makes for long tests and no other insights.
        let span = if host.interval < Duration::from_secs(1) {
            day / 400
        } else {
            day
        };
        host.live(span);
        lived += span;
        seed += 1;
    }
    seed
}

/// A hundred host-days and more: every failure and repair is found within its bounds, and nothing is
/// said without cause.
#[test]
fn days_of_faults() {
    live(100);
}

/// The same for longer: see `docs/detection.md`.
#[test]
#[ignore = "takes minutes: cargo test --release -p ipmp-core --lib years_of_faults -- --ignored --nocapture"]
fn years_of_faults() {
    let hosts = live(10_000);
    println!("10000 host-days of {hosts} hosts without a false or a missing word");
}

/// Scattered loss is no failure.
#[test]
fn scattered_loss_is_no_failure() {
    for seed in 0..8 {
        let mut host = Host::new(seed);
        host.world.loss = 10;
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
