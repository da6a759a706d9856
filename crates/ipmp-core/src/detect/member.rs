//! One watched interface: its link, its probing in both families, and whether it has failed.

mod repair;

use std::net::IpAddr;
use std::time::Duration;

use super::damping::Damping;
use super::group::Witness;
use super::link::{LINK_UPS_ALLOWED, Link};
use super::prober::{LOSSES_TO_FAIL, Pace, Prober};
use super::random::Random;
use super::{Finding, Health, Watched};
use crate::message::Message;
use crate::{Family, GroupSettings, InterfaceName, Settings, Time};

/// How long an interface may be without test address before that is remarked.
const GRACE: Duration = Duration::from_secs(20);

/// Why an interface is marked failed, which tells what it takes to repair it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its link went down.
    Link,
    /// Its probes were lost.
    Probes,
    /// It was marked when it came to us, or its group was. If probing cannot start by then, the link
    /// decides.
    Adopted(Time),
    /// By hand. Only a hand unmarks it.
    Hand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) at: Time,
    /// Whether its group has lost all targets, and has none again.
    dark: bool,
}

/// What a member finds out about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Its link went down.
    LinkLost,
    /// It loses its probes since then.
    ProbesLost(Time),
    /// It is marked, and hosts that nobody asked to probe are silent since then.
    HostsLost(Time),
    /// It has begun to suspect itself: do others still hear their targets?
    Asks,
    /// It was marked failed by hand.
    Marked,
    /// It works again.
    Mended,
}

/// Whether an interface has test addresses, and what was said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TestAddress {
    Present,
    MissingSince(Time),
    Reported,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) watched: Watched,
    pub(super) probers: [Option<Prober>; 2],
    pub(super) failure: Option<Failure>,
    link: Link,
    damping: Damping,
    /// Since when nothing says any more that it does not work, while it counts as failed.
    fit_since: Option<Time>,
    /// Until when it is held back although it works again.
    held_until: Option<Time>,
    test_address: TestAddress,
}

impl Member {
    /// An interface just seen. `group_failed` tells whether it joins a group that has failed, `quiet`
    /// how long probing declares nothing.
    pub(super) fn new(now: Time, watched: Watched, group_failed: bool, quiet: Duration) -> Self {
        let failure = (watched.failed || group_failed).then_some(Failure {
            cause: Cause::Adopted(now + quiet),
            at: now,
            dark: group_failed,
        });
        Self {
            watched,
            probers: [None, None],
            failure,
            link: Link::new(),
            damping: Damping::default(),
            fit_since: None,
            held_until: None,
            test_address: TestAddress::Present,
        }
    }

    pub(super) fn prober(&self, family: Family) -> Option<&Prober> {
        let [inet, inet6] = &self.probers;
        match family {
            Family::Inet => inet.as_ref(),
            Family::Inet6 => inet6.as_ref(),
        }
    }

    pub(super) const fn prober_mut(&mut self, family: Family) -> Option<&mut Prober> {
        let [inet, inet6] = &mut self.probers;
        match family {
            Family::Inet => inet.as_mut(),
            Family::Inet6 => inet6.as_mut(),
        }
    }

    pub(super) fn probers(&self) -> impl Iterator<Item = &Prober> {
        self.probers.iter().flatten()
    }

    pub(super) fn probers_mut(&mut self) -> impl Iterator<Item = &mut Prober> {
        self.probers.iter_mut().flatten()
    }

    /// Those that matter: see [`Prober::counts`].
    fn counted(&self) -> impl Iterator<Item = &Prober> {
        self.probers().filter(|prober| prober.counts())
    }

    /// Whether probes can tell something: there is a target in either family.
    pub(super) fn is_capable(&self) -> bool {
        self.probers().any(Prober::is_capable)
    }

    pub(super) const fn is_marked(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether it counts as working member of its group.
    pub(super) const fn works(&self) -> bool {
        self.link.is_up() && self.failure.is_none() && !self.watched.offline
    }

    pub(super) fn health(&self) -> Health {
        if !self.link.is_up() || self.failure.is_some() {
            Health::Failed
        } else if self.counted().next().is_some() && !self.is_capable() {
            Health::NoTargets
        } else {
            Health::Ok
        }
    }

    /// What it can tell about another member's failure.
    pub(super) fn witness(&self) -> Witness {
        let answered = self.probers().filter_map(Prober::last_answer).max();
        if !self.may_hear() {
            Witness::Silent
        } else if self.is_marked() {
            Witness::Marked(answered)
        } else if self.is_capable() {
            Witness::Probes(answered)
        } else {
            Witness::Link
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let grace = match self.test_address {
            TestAddress::MissingSince(since) => Some(since + GRACE),
            TestAddress::Present | TestAddress::Reported => None,
        };
        let adopted = match self.failure {
            Some(Failure {
                cause: Cause::Adopted(until),
                ..
            }) => Some(until),
            _ => None,
        };
        let [inet, inet6] = &self.probers;
        let probing = earliest(
            inet.as_ref().and_then(Prober::deadline),
            inet6.as_ref().and_then(Prober::deadline),
        );
        let waiting = earliest(self.held_until(), earliest(adopted, grace));
        earliest(probing, waiting)
    }

    /// Takes the link's state.
    pub(super) fn set_link(
        &mut self,
        now: Time,
        name: &InterfaceName,
        settings: &Settings,
        findings: &mut Vec<Finding>,
    ) -> Option<Turn> {
        let up = self.watched.running || settings.ignore_links;
        if up == self.link.is_up() {
            return None;
        }
        if up {
            findings.push(Finding::Say(Message::LinkUp {
                interface: name.clone(),
            }));
            let held = self.link.comes_up(now);
            if held && self.link_decides() {
                findings.push(Finding::Say(Message::FlapHold {
                    interface: name.clone(),
                    allowed: LINK_UPS_ALLOWED,
                }));
            }
            return None;
        }
        self.link.goes_down();
        findings.push(Finding::Say(Message::LinkDown {
            interface: name.clone(),
        }));
        self.probers_mut().for_each(Prober::stop);
        match self.failure {
            None => Some(Turn::LinkLost),
            Some(Failure {
                cause: Cause::Hand, ..
            }) => None,
            Some(_) => {
                self.mark(now, Cause::Link);
                self.punish(
                    now,
                    name,
                    settings.of(self.watched.group.as_ref()),
                    findings,
                );
                None
            }
        }
    }

    /// Adds the penalty for a failure.
    pub(super) fn punish(
        &mut self,
        now: Time,
        name: &InterfaceName,
        settings: &GroupSettings,
        findings: &mut Vec<Finding>,
    ) {
        if let Some(half_life) = settings.dampening
            && self.damping.failed(now, half_life)
            && let Some(until) = self.damping.held_until(half_life)
        {
            findings.push(Finding::Say(Message::FlapDamped {
                interface: name.clone(),
                hold: until.since(now),
            }));
        }
    }

    /// Starts or stops probing as link and administrator have it.
    pub(super) fn run_probers(&mut self, now: Time, pace: Pace, random: &mut Random) {
        let run = self.link.is_up() && !self.watched.offline;
        for prober in self.probers_mut() {
            if run && !prober.is_running() {
                prober.start(now, pace, random);
            } else if !run && prober.is_running() {
                prober.stop();
            }
        }
    }

    /// Keeps the remark about a missing test address.
    pub(super) fn remark_test_address(
        &mut self,
        now: Time,
        name: &InterfaceName,
        findings: &mut Vec<Finding>,
    ) {
        let asks = self.counted().any(|prober| !prober.means().has_echo());
        let present = asks || self.probers().any(|prober| prober.means().has_echo());
        self.test_address = match self.test_address {
            // An interface that is offline may have had its test address taken away with the rest.
            unchanged if self.watched.offline => match unchanged {
                TestAddress::MissingSince(_) => TestAddress::Present,
                other => other,
            },
            // It is probed without one, as long as anybody is found.
            TestAddress::Reported if asks => TestAddress::Reported,
            TestAddress::Reported if present => {
                findings.push(Finding::Say(Message::TestAddress {
                    interface: name.clone(),
                }));
                TestAddress::Present
            }
            TestAddress::Present | TestAddress::MissingSince(_) if present => TestAddress::Present,
            TestAddress::Present => TestAddress::MissingSince(now),
            TestAddress::MissingSince(since) if now.since(since) >= GRACE => {
                findings.push(Finding::Say(Message::NoTestAddress {
                    interface: name.clone(),
                }));
                TestAddress::Reported
            }
            unchanged => unchanged,
        };
    }

    /// Does what is due: decides about probes, then about itself, then sends.
    pub(super) fn tick(
        &mut self,
        now: Time,
        name: &InterfaceName,
        (pace, settings): (Pace, &GroupSettings),
        random: &mut Random,
        findings: &mut Vec<Finding>,
    ) -> Option<Turn> {
        let mut turn = None;
        for family in Family::ALL {
            let due = self
                .prober(family)
                .and_then(Prober::deadline)
                .is_some_and(|deadline| deadline <= now);
            if !due {
                continue;
            }
            let marked = self.is_marked();
            if let Some(prober) = self.prober_mut(family) {
                let suspects = !marked && !prober.is_quiet(now);
                prober.decide(now, name, pace, suspects, findings);
            }
            let lost = self.prober(family).and_then(Prober::just_lost);
            if turn.is_none() && lost.is_some() {
                turn = self.judge_probes(now, family, pace);
            }
            let bad = lost.filter(|&target| self.is_bad_target(family, target));
            if let Some(prober) = self.prober_mut(family) {
                if bad.is_some_and(|target| prober.drop_dead(now, target)) {
                    prober.discover(now, name, random, findings);
                }
                prober.send(now, name, pace, random, findings);
                if turn.is_none() && prober.take_question(now) {
                    turn = Some(Turn::Asks);
                }
            }
            let begins = |prober: &Prober| prober.begins_to_suspect(now);
            if self.prober(family).is_some_and(begins) {
                // Both families must be silent: the other one begins to listen now.
                self.testify(now, name, pace, random, findings);
            }
        }
        self.link.release(now);
        self.remark_test_address(now, name, findings);
        turn.or_else(|| self.judge_repair(now, settings))
    }

    /// Finds out at once whether targets still answer.
    pub(super) fn testify(
        &mut self,
        now: Time,
        name: &InterfaceName,
        pace: Pace,
        random: &mut Random,
        findings: &mut Vec<Finding>,
    ) {
        for prober in self.probers_mut() {
            prober.testify(now, pace);
            prober.send(now, name, pace, random, findings);
        }
    }

    /// Whether the kernel is to be asked for neighbours.
    pub(super) fn looks(&self) -> bool {
        self.probers().any(Prober::looks)
    }

    /// Marks it failed.
    pub(super) fn mark(&mut self, now: Time, cause: Cause) {
        let dark = self.failure.is_some_and(|failure| failure.dark);
        self.failure = Some(Failure {
            cause,
            at: now,
            dark,
        });
        self.fit_since = None;
        for prober in self.probers_mut() {
            prober.convict();
            prober.targets.reset_estimates();
        }
    }

    /// Marks it as working again.
    pub(super) const fn unmark(&mut self) {
        self.failure = None;
        self.fit_since = None;
    }

    pub(super) const fn link_is_up(&self) -> bool {
        self.link.is_up()
    }

    /// Whether somebody answers it on the link layer since `since`, though no echo does.
    pub(super) fn hears_neighbours(&self, since: Time) -> bool {
        self.probers().any(|prober| prober.hears_neighbours(since))
    }

    /// Drops a suspicion, as the targets are to blame. Tells whether that is news.
    pub(super) fn acquit(&mut self) -> bool {
        self.probers_mut()
            .fold(false, |news, prober| prober.acquit() | news)
    }

    /// Whether routers, or whom the administrator named, are among those that it probes.
    pub(super) fn probes_routers(&self) -> bool {
        self.probers().any(|prober| prober.targets.has_routers())
    }

    /// Whether it probes somebody though nobody asked for that.
    pub(super) fn probes_unasked(&self) -> bool {
        self.is_capable() && self.counted().all(|prober| prober.means().is_optional())
    }

    /// Looks for other hosts than those that it probed.
    pub(super) fn forget_hosts(&mut self) {
        self.probers_mut().for_each(Prober::forget_hosts);
    }

    /// Whether enough probes were lost for a failure, and still count.
    pub(super) fn loses_probes(&self) -> bool {
        let mut capable = self.probers().filter(|prober| prober.is_capable());
        capable.any(|prober| prober.losses().count >= LOSSES_TO_FAIL)
    }

    /// Whether it may hear something: its link is up, and it is in service.
    pub(super) const fn may_hear(&self) -> bool {
        self.link.is_up() && !self.watched.offline
    }

    /// Takes it that its group has lost all targets, or has them again: meanwhile its link is no evidence of its
    /// repair, if it is marked and has a test address.
    pub(super) const fn set_dark(&mut self, dark: bool) {
        if let Some(failure) = &mut self.failure {
            failure.dark = dark;
        }
    }

    /// What the probes of `family` tell, the newest of which was lost, together with the other
    /// family's.
    fn judge_probes(&self, now: Time, family: Family, pace: Pace) -> Option<Turn> {
        let may_lack_hosts = self.probes_unasked() && !self.probes_routers();
        if self.prober(family)?.is_quiet(now) || self.is_marked() && !may_lack_hosts {
            return None;
        }
        // Both families must fail; either one working keeps the interface up.
        let mut since = None;
        for prober in self.probers().filter(|prober| prober.is_capable()) {
            let losses = prober.losses();
            // One that never heard anything suspects nothing either: there its losses must do.
            let is_confirmed =
                prober.is_confirmed(now, pace) || prober.is_quiet(now) || self.is_marked();
            if losses.count < LOSSES_TO_FAIL || !is_confirmed {
                return None;
            }
            since = [since, losses.since].into_iter().flatten().min();
        }
        since.map(if self.is_marked() {
            Turn::HostsLost
        } else {
            Turn::ProbesLost
        })
    }

    /// Whether a target that just lost a probe is to blame for it itself.
    fn is_bad_target(&self, family: Family, target: IpAddr) -> bool {
        self.prober(family).is_some_and(|prober| {
            prober.losses().count < LOSSES_TO_FAIL && prober.losses_of(target) >= LOSSES_TO_FAIL
        })
    }
}

fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a < b { a } else { b }),
        (one, None) | (None, one) => one,
    }
}
