//! Detection: which interfaces work?
//!
//! Knows links, test addresses, targets and probes; knows nothing of where data addresses are.
//!
//! ```text
//! Detection            one per host; everything comes in and goes out here
//!   Group              one per group name: probe rate, whether all members have failed
//!   Members            all of them, and who is due next
//!   Member             one per watched interface: marked failed or not, and why
//!     Link             its link, and the hold on links that flap
//!     Damping          the penalty for failing again and again
//!     Prober           one per family in which it can probe
//!       Means          from which address, by which kind of probe, to which subnets
//!       Schedule       when the next probe goes out
//!       Confirmation   the burst that follows a late probe
//!       Targets        whom to probe, in turn; each with its round trip Estimate
//!       History        what became of the last probes
//! ```
//!
//! A member finds out about itself: link lost, probes lost, mended. What that means is decided here,
//! for it takes the other members' testimony: an interface fails alone if another one still hears
//! its targets, otherwise the whole group has failed and no interface is to blame, or hosts have gone that
//! nobody had asked to probe.

mod confirm;
mod damping;
mod group;
mod history;
mod link;
mod means;
mod member;
mod members;
mod packet;
mod payload;
mod prober;
mod random;
mod rtt;
mod schedule;
mod supply;
mod tally;
mod targets;
mod testimony;
mod verdict;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::group::{Blackout, Group};
use self::member::{Cause, Member, Turn};
use self::members::Members;
pub use self::packet::{
    Advertisement, Echo, EchoReply, Neighbour, Probe, Probed, Reply, Solicitation,
};
use self::prober::Accepted;
use self::random::Random;
use self::tally::Past;
use self::targets::Reserve;
use crate::message::Message;
use crate::snapshot::{ProbeState, Probing, TargetMode};
use crate::{Family, GroupName, InterfaceAddress, InterfaceName, MacAddress, Settings, Time};

/// What detection must know about one interface. Given anew whenever something in it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The kernel's number for the link. Another number is another device: all history is lost.
    pub index: u32,
    /// Its group; `None` is the anonymous group, in which every failure is the interface's own.
    pub group: Option<GroupName>,
    /// Whether the link is up with carrier.
    pub running: bool,
    /// Taken out of service by the administrator: not probed.
    pub offline: bool,
    /// Carries nothing at present, so that its failure has no consequence but the flag.
    pub inactive: bool,
    /// A standby.
    pub standby: bool,
    /// Test address of each family, none where there is no unique one. IPv4 first.
    pub test: [Option<InterfaceAddress>; 2],
    /// Hardware address, from which ARP requests and neighbour solicitations are sent; `None` where
    /// the link has no such thing.
    pub mac: Option<MacAddress>,
    /// IPv6 link-local address, from which neighbours are solicited, if there is one.
    pub link_local: Option<IpAddr>,
    /// Subnets of its group's addresses: where targets may be that are probed without test address.
    pub subnets: Vec<InterfaceAddress>,
    /// Whether the interface was marked failed when detection first hears of it (the flag outlives
    /// the daemon).
    pub failed: bool,
    /// Whether it was marked as its probes were lost while its link was up.
    pub silent: bool,
}

/// What detection thinks of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Works.
    Ok,
    /// Link is up and there is a test address, but no target answers discovery: optimistic.
    NoTargets,
    /// Does not work.
    Failed,
}

/// What came out of feeding detection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Send this.
    Send(Probe),
    /// A probe was answered or lost; told only if wanted.
    Probed(Probed),
    /// Whom does the kernel know on these links? The answer goes to [`Detection::neighbours`].
    ReadNeighbours(Vec<u32>),
    /// Say this. Failures, repairs, group failures and link changes are told here and only here;
    /// their consequences are read from [`Detection::health`].
    Say(Message),
}

/// The health of all watched interfaces, and what is needed to know it.
#[derive(Clone, Debug)]
pub struct Detection {
    settings: Settings,
    random: Random,
    /// Where this host's ICMP identifiers begin.
    identifiers: u16,
    members: Members,
    /// By name; the anonymous group, which only shares its rate, under `None`.
    groups: BTreeMap<Option<GroupName>, Group>,
    /// Possible router targets, preferred ones first.
    gateways: Vec<IpAddr>,
    own: BTreeSet<IpAddr>,
    /// Whether every probe's fate is told.
    tells: bool,
    past: Past,
}

impl Detection {
    /// Nothing watched yet. `seed` de-synchronises this host's probes from others'.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let [high, low, ..] = random.number().to_be_bytes();
        Self {
            settings,
            random,
            identifiers: u16::from_be_bytes([high, low]),
            members: Members::default(),
            groups: BTreeMap::new(),
            gateways: Vec::new(),
            own: BTreeSet::new(),
            tells: false,
            past: Past::default(),
        }
    }

    /// Takes new settings without losing history.
    pub fn configure(&mut self, now: Time, settings: Settings) -> Vec<Finding> {
        let mut findings = Vec::new();
        let old = std::mem::replace(&mut self.settings, settings);
        if old == self.settings {
            return findings;
        }
        for (key, group) in &mut self.groups {
            let before = group.pace().interval;
            group.configure(self.settings.of(key.as_ref()).clone());
            let pace = group.pace();
            if pace.interval == before {
                continue;
            }
            let members = self
                .members
                .values_mut()
                .filter(|m| m.watched.group == *key);
            for prober in members
                .flat_map(Member::probers_mut)
                .filter(|p| p.is_running())
            {
                prober.start(now, pace, &mut self.random);
            }
        }
        self.renew_probers(now);
        self.retarget();
        self.review(now, &[], &mut findings);
        findings
    }

    /// Takes the interfaces to watch, all of them, with their present link state, group and test
    /// addresses. New ones start [`Health::Ok`]; ones that are no longer there are forgotten.
    /// One that was marked failed, or joins a group that failed, is [`Health::Failed`] until its probes
    /// have shown that it works; where it cannot probe its link shows that, where it finds nobody to probe after
    /// the quiet period, or as soon as no other works.
    pub fn watch(&mut self, now: Time, watched: BTreeMap<InterfaceName, Watched>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let same = watched.len() == self.members.len()
            && watched
                .iter()
                .zip(self.members.iter())
                .all(|((name, new), (known, member))| name == known && *new == member.watched);
        if same {
            return findings;
        }
        self.members.retain(|name, member| {
            let stays = watched.get(name).is_some_and(|new| {
                new.index == member.watched.index && new.group == member.watched.group
            });
            if !stays {
                for prober in member.probers() {
                    self.past.take(name, prober.family(), prober.tally());
                }
            }
            stays
        });
        self.groups
            .retain(|key, _| watched.values().any(|new| new.group == *key));

        let mut back = Vec::new();
        for (name, new) in watched {
            let group = self
                .groups
                .entry(new.group.clone())
                .or_insert_with(|| Group::new(self.settings.of(new.group.as_ref()).clone()));
            let Some(member) = self.members.get_mut(&name) else {
                let dark = group.failed == Some(Blackout::Targets);
                let quiet = group.settings().quiet_period;
                self.members
                    .insert(name, Member::new(now, new, dark, quiet));
                continue;
            };
            if member.watched.offline && !new.offline {
                back.push(name);
            }
            member.watched = new;
        }
        self.renew_probers(now);
        self.review(now, &back, &mut findings);
        findings
    }

    /// Takes the gateways of the main routing table, host routes' first, and the host's own addresses,
    /// which are never targets.
    pub fn routers(&mut self, now: Time, gateways: &[IpAddr], own: &[IpAddr]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let own: BTreeSet<_> = own.iter().copied().collect();
        let mut seen = BTreeSet::new();
        let gateways: Vec<_> = gateways
            .iter()
            .copied()
            .filter(|gateway| !own.contains(gateway) && seen.insert(*gateway))
            .collect();
        if own != self.own || gateways != self.gateways {
            self.own = own;
            self.gateways = gateways;
            self.retarget();
            self.review(now, &[], &mut findings);
        }
        findings
    }

    /// Whether every probe's fate is told from now on, as [`Finding::Probed`].
    pub fn tell_probes(&mut self, tells: bool) {
        self.tells = tells;
        for prober in self.members.values_mut().flat_map(Member::probers_mut) {
            prober.tell(tells);
        }
    }

    /// Takes the answer to a probe.
    pub fn reply(&mut self, now: Time, reply: &Reply) -> Vec<Finding> {
        let mut findings = Vec::new();
        let family = reply.family();
        let Some(place) = self.members.on_link(reply.index()) else {
            return findings;
        };
        let (groups, random) = (&mut self.groups, &mut self.random);
        let news = self.members.revise(place, |name, member| {
            let group = groups.get_mut(&member.watched.group)?;
            let pace = group.pace();
            let marked = member.is_marked();
            let learns = member.works() && group.failed.is_none();
            let prober = member.prober_mut(family)?;
            match prober.accept(now, name, pace, learns, reply, &mut findings) {
                Accepted::Unknown | Accepted::Noticed => None,
                Accepted::Discovered(host) => {
                    Some((name.clone(), News::Host(member.watched.group.clone(), host)))
                }
                Accepted::Answered(target, has_changed) => {
                    if !marked {
                        prober.rest();
                    }
                    if !has_changed {
                        return None;
                    }
                    let interval = pace.interval;
                    let critical = prober
                        .targets
                        .get_mut(target)
                        .and_then(|target| target.estimate.critical())
                        .unwrap_or_default();
                    if critical <= interval {
                        let is_news = group.may_improve(now) && group.is_fast(critical);
                        return is_news.then(|| (name.clone(), News::Fast));
                    }
                    if prober.targets.is_exception(target, interval) {
                        if prober.targets.set_aside(target, Reserve::Slow(now)) {
                            prober.discover(now, name, random, &mut findings);
                        }
                        return None;
                    }
                    group.raise(now, critical);
                    findings.push(Finding::Say(Message::DetectionTimeRaised {
                        requested: group.settings().failure_detection_time,
                        interface: name.clone(),
                        family,
                        group: member.watched.group.clone(),
                        now: group.detection_time(),
                    }));
                    None
                }
            }
        });
        match news.flatten() {
            Some((name, News::Host(group, host))) => self.offer_host(&name, group.as_ref(), host),
            Some((name, News::Fast)) => self.improve(&name, family, &mut findings),
            None => {}
        }
        findings
    }

    /// Does what is due at `now`: sends probes, decides about failure and repair.
    pub fn tick(&mut self, now: Time) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut turns = Vec::new();
        let (mut looks, mut is_any_held) = (false, false);
        for place in self.members.due(now) {
            let (groups, random) = (&self.groups, &mut self.random);
            self.members.revise(place, |name, member| {
                let Some(group) = groups.get(&member.watched.group) else {
                    return;
                };
                let rules = (group.pace(), group.settings());
                let turn = member.tick(now, name, rules, random, &mut findings);
                // Where any member works nothing follows from the silence of hosts.
                let turn = turn
                    .filter(|turn| !matches!(turn, Turn::HostsLost(_)) || group.failed.is_some());
                turns.extend(turn.map(|turn| (name.clone(), turn)));
                looks |= member.looks();
                is_any_held |= member.is_held_back();
            });
        }
        for (name, _) in turns.iter().filter(|(_, turn)| *turn == Turn::Asks) {
            self.ask_others(now, name, &mut findings);
        }
        if !turns.is_empty() {
            self.settle(now, &turns, &mut findings);
        }
        if is_any_held || !turns.is_empty() {
            self.release_held(now, &mut findings);
        }
        if looks {
            self.look_for_neighbours(&mut findings);
        }
        findings
    }

    /// When [`Detection::tick`] is to be called next at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        self.members.next_deadline()
    }

    /// Sets or clears an interface's failure by hand (`ifconfig IF failed`). What a hand has set,
    /// only a hand clears; a link that is down keeps its interface failed.
    pub fn set_failed(
        &mut self,
        now: Time,
        interface: &InterfaceName,
        failed: bool,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let Some(member) = self.members.get_mut(interface) else {
            return findings;
        };
        let was_marked = member.is_marked();
        let turn = if failed {
            member.mark(now, Cause::Hand);
            (!was_marked).then_some(Turn::Marked)
        } else if member.link_is_up() {
            was_marked.then_some(Turn::Mended)
        } else {
            member.mark(now, Cause::Link);
            None
        };
        if let Some(turn) = turn {
            self.settle(now, &[(interface.clone(), turn)], &mut findings);
            self.release_held(now, &mut findings);
        }
        findings
    }

    /// The health of an interface; `None` if it is not watched.
    pub fn health(&self, interface: &InterfaceName) -> Option<Health> {
        self.members.get(interface).map(Member::health)
    }

    /// Whether a group has failed: none of its members works.
    pub fn is_group_failed(&self, group: &GroupName) -> bool {
        self.groups
            .iter()
            .any(|(name, state)| name.as_ref() == Some(group) && state.failed.is_some())
    }

    /// The failure detection time in force for a group.
    pub fn failure_detection_time(&self, group: Option<&GroupName>) -> Duration {
        self.groups
            .iter()
            .find(|(name, _)| name.as_ref() == group)
            .map_or(
                self.settings.of(group).failure_detection_time,
                |(_, group)| group.detection_time(),
            )
    }

    /// Until when an interface is held back though it works again; `None` if it is not.
    pub fn held_until(&self, interface: &InterfaceName) -> Option<Time> {
        self.members.get(interface)?.held_until()
    }

    /// What there is to see of an interface's probing: IPv4, then IPv6. Both are always there; one
    /// without test address is disabled.
    pub fn probing(&self, interface: &InterfaceName) -> Vec<Probing> {
        let Some(member) = self.members.get(interface) else {
            return Vec::new();
        };
        let failed = member.health() == Health::Failed;
        Family::ALL
            .into_iter()
            .map(|family| {
                let mut probing = member.prober(family).map_or_else(
                    || not_probing(family),
                    |prober| prober.probing(member.watched.offline, failed),
                );
                if let (Some(failure), Some(prober)) = (member.failure, member.prober(family)) {
                    let answers = prober.answers(failure.at).min(prober::ANSWERS_TO_REPAIR);
                    probing.answered_again = u64::try_from(answers).unwrap_or(u64::MAX);
                }
                self.past.add_to(interface, &mut probing);
                probing
            })
            .collect()
    }

    /// Makes a group faster if all its targets answer fast enough.
    fn improve(&mut self, interface: &InterfaceName, family: Family, findings: &mut Vec<Finding>) {
        let Some(key) = self.members.get(interface).map(|m| m.watched.group.clone()) else {
            return;
        };
        let Some(group) = self.groups.get_mut(&key) else {
            return;
        };
        let all_fast = self
            .members
            .values()
            .filter(|member| member.watched.group == key && member.works())
            .flat_map(Member::probers)
            .flat_map(|prober| prober.targets.active())
            .filter_map(|target| target.estimate.critical())
            .all(|critical| group.is_fast(critical));
        if all_fast {
            group.improve();
            findings.push(Finding::Say(Message::DetectionTimeImproved {
                interface: interface.clone(),
                family,
                group: key,
                now: group.detection_time(),
            }));
        }
    }

    /// Takes in what may have changed of links and probers, and what follows. `back` are those that
    /// have come back into service: a failure that probes had found is not held against them.
    fn review(&mut self, now: Time, back: &[InterfaceName], findings: &mut Vec<Finding>) {
        let mut turns = Vec::new();
        for (name, member) in self.members.iter_mut() {
            let Some(group) = self.groups.get(&member.watched.group) else {
                continue;
            };
            let turn = member.set_link(now, name, &self.settings, findings);
            member.run_probers(now, group.pace(), &mut self.random);
            member.remark_test_address(now, name, findings);
            let turn = turn
                .or_else(|| member.judge_repair(now, group.settings()))
                .or_else(|| {
                    (back.contains(name) && member.may_be_taken_back()).then_some(Turn::Mended)
                });
            turns.extend(turn.map(|turn| (name.clone(), turn)));
        }
        self.settle(now, &turns, findings);
        self.release_held(now, findings);
    }

    /// Lets the other members of an interface's group find out at once whether they still hear their
    /// targets: what they find decides who is to blame.
    fn ask_others(&mut self, now: Time, interface: &InterfaceName, findings: &mut Vec<Finding>) {
        let Some(key) = self.members.get(interface).map(|m| m.watched.group.clone()) else {
            return;
        };
        let Some(pace) = self
            .groups
            .get(&key)
            .map(Group::pace)
            .filter(|_| key.is_some())
        else {
            return;
        };
        for (name, member) in self.members.iter_mut() {
            if name != interface && member.watched.group == key && member.may_hear() {
                member.testify(now, name, pace, &mut self.random, findings);
            }
        }
    }
}

/// What an answer may mean for others than the interface it came to.
enum News {
    /// Somebody is there who may become a target of the group.
    Host(Option<GroupName>, IpAddr),
    /// A target answers so fast that the group may become faster.
    Fast,
}

/// What there is to see where nothing is probed and nothing was counted.
const fn not_probing(family: Family) -> Probing {
    Probing {
        family,
        mode: TargetMode::Disabled,
        test_address: None,
        targets: Vec::new(),
        state: ProbeState::Disabled,
        sent: 0,
        acknowledged: 0,
        lost: 0,
        unknown: 0,
        missed: 0,
        void: 0,
        confirmations: 0,
        answered_again: 0,
    }
}
