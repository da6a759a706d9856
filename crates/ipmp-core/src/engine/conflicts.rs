//! Addresses that another host has: noticed, said, and not fought over (RFC 5227, RFC 4862 section 5.4).
//!
//! | an address | what becomes of it |
//! |---|---|
//! | is to be brought up and was not in service | *withheld* until others were asked three times and none claimed it |
//! | is claimed meanwhile | stays withheld: DUPLICATE, said once, tried again after 10 s to 5 minutes and when a command names it |
//! | is to be brought up where no link runs | waits for one that was put up less than 5 s ago; else it is brought up, as nobody can be asked, which is said; others are asked when a link runs, and first if the kernel refused it until then |
//! | is in service: the kernel held it, or it was brought up | never withheld; failover and failback wait for nothing |
//! | was put into place | others are asked twice meanwhile; once, later, if they were before |
//! | is claimed while in service | stays; said once, defended by an announcement every 10 s to 5 minutes; over when asking brings no claim for a minute |
//! | is to be down, or is removed | forgotten |
//!
//! An address that is asked for and of which nothing is known here was not looked at yet, and is withheld:
//! so no way to ask for one leads past this room.

mod state;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

pub(super) use state::Serving;
use state::{NEGOTIATION, Outcome, Rival, Round, State, Taken};

use super::Engine;
use crate::action::Announcement;
use crate::asked::Logical;
use crate::kernel::{Change, Link, LinkKind, PROTOCOL};
use crate::message::Unasked;
use crate::snapshot::Conflict;
use crate::{Action, Claim, Enquiry, Family, InterfaceName, Kernel, MacAddress, Message, Time};

/// What is known of addresses and other hosts.
#[derive(Clone, Debug, Default)]
pub(super) struct Conflicts {
    addresses: BTreeMap<IpAddr, State>,
    /// When there is something to do for one of them at the earliest. Found when they change, as it is asked
    /// for far more often.
    deadline: Option<Time>,
    /// When links were put up lately.
    put_up: BTreeMap<u32, Time>,
    /// What the driver was told last to listen for.
    listening: BTreeSet<(u32, IpAddr)>,
    /// Enquiries of which the driver has not told yet whether they left, in the order of the actions.
    under_way: VecDeque<Vec<(u32, IpAddr)>>,
}

impl Conflicts {
    pub(super) const fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }

    fn find_deadline(&mut self) {
        let states = self.addresses.values();
        self.deadline = states.filter_map(State::next_deadline).min();
    }

    /// Takes note of links that appear or are put up, before the kernel's picture does: they may still be
    /// negotiating.
    pub(super) fn observe(&mut self, now: Time, change: &Change, kernel: &Kernel) {
        let is_new = |link: &&Link| {
            let was = kernel.links.get(&link.index);
            was.is_none_or(|was| link.up && !was.up)
        };
        match change {
            Change::Link(link) if is_new(&link) => {
                self.put_up.insert(link.index, now);
            }
            Change::Resync(seen) => {
                let links = seen.links.values().filter(is_new);
                self.put_up.extend(links.map(|link| (link.index, now)));
            }
            _ => {}
        }
    }

    /// Takes note that an address was put into place on a link.
    fn placed(&mut self, now: Time, ip: IpAddr) {
        if let Some(State::Serving(serving)) = self.addresses.get_mut(&ip) {
            serving.placed(now);
        }
    }

    /// Addresses in service, and what is known of them.
    pub(super) fn served(&self) -> BTreeMap<IpAddr, Serving> {
        let states = self.addresses.iter();
        states
            .filter_map(|(&ip, state)| match state {
                State::Serving(serving) => Some((ip, serving.clone())),
                _ => None,
            })
            .collect()
    }

    /// Addresses are in service as they were before a command that is undone, whatever it had taken from the
    /// kernel.
    pub(super) fn serve(&mut self, served: BTreeMap<IpAddr, Serving>) {
        for (ip, serving) in served {
            self.addresses.entry(ip).or_insert(State::Serving(serving));
        }
        self.find_deadline();
    }

    /// Ends rounds that were long enough. Claims that came until now were told before.
    pub(super) fn hear_out(&mut self, now: Time) {
        let rounds = self.addresses.values_mut().filter_map(State::round);
        rounds.for_each(|round| round.hear_out(now));
    }

    /// Forgets an address that is not to be brought up any more.
    pub(super) fn forget(&mut self, ip: IpAddr) {
        self.addresses.remove(&ip);
        self.find_deadline();
    }

    /// Has an address tried again at once that another host has, as a command names it.
    pub(super) fn release(&mut self, now: Time, ip: IpAddr) {
        if let Some(state) = self.addresses.get_mut(&ip) {
            state.release(now);
        }
        self.find_deadline();
    }

    /// The same for all of them.
    pub(super) fn release_all(&mut self, now: Time) {
        for state in self.addresses.values_mut() {
            state.release(now);
        }
        self.find_deadline();
    }

    /// Whether others are being asked for an address that is to be brought up, or a link to ask them on is
    /// waited for.
    pub(super) fn is_asking(&self, ip: IpAddr) -> bool {
        self.addresses.get(&ip).is_some_and(State::is_asking)
    }

    /// The same for any address.
    pub(super) fn is_asking_any(&self) -> bool {
        self.addresses.values().any(State::is_asking)
    }

    /// Whether others are being asked for an address of which nothing is known yet.
    pub(super) fn is_asking_first(&self) -> bool {
        let mut states = self.addresses.values();
        states.any(|state| matches!(state, State::Asking(_)))
    }

    /// Whether an address is withheld as another host has it.
    pub(super) fn is_taken(&self, ip: IpAddr) -> bool {
        matches!(self.addresses.get(&ip), Some(State::Taken(_)))
    }

    /// The host that has an address that is withheld, and the interface on which it was heard.
    pub(super) fn taken_by(&self, ip: IpAddr) -> Option<(MacAddress, InterfaceName)> {
        match self.addresses.get(&ip)? {
            State::Taken(taken) => Some((taken.rival.mac, taken.rival.interface.clone())),
            State::Waiting(_) | State::Asking(_) | State::Serving(_) => None,
        }
    }

    /// All conflicts, by address.
    pub(super) fn seen(&self) -> Vec<Conflict> {
        let conflicts = self.addresses.iter().filter_map(|(&address, state)| {
            let (rival, again) = match state {
                State::Waiting(_) | State::Asking(_) => return None,
                State::Taken(taken) => (&taken.rival, Some(taken.again)),
                State::Serving(serving) => (&serving.dispute.as_ref()?.rival, None),
            };
            Some(Conflict {
                address,
                interface: rival.interface.clone(),
                mac: rival.mac,
                since: rival.since,
                heard: rival.heard,
                withheld: again.is_some(),
                again,
            })
        });
        conflicts.collect()
    }
}

impl Engine {
    /// Whether a logical that is asked up is not brought up, as others are being asked for its address or
    /// one of them has it. The kernel looks after link-local addresses itself.
    pub(super) fn is_withheld(&self, logical: &Logical) -> bool {
        let state = self.conflicts.addresses.get(&logical.address.ip);
        self.settings.duplicate_address_detection
            && !logical.address.is_link_local6()
            && !matches!(state, Some(State::Serving(_)))
    }

    /// Has neighbours told where an address is, and other hosts asked whether they have it.
    pub(super) fn announce(&mut self, now: Time, index: u32, ip: IpAddr) {
        self.announcements.add(now, index, ip);
        self.conflicts.placed(now, ip);
    }

    /// Whether the kernel found out by itself that another host has an address, and does not serve it where
    /// it is to be.
    pub(super) fn is_refused_as_duplicate(&self, logical: &Logical, index: u32) -> bool {
        let there = || self.kernel.addresses.get(&(index, logical.address));
        logical.family() == Family::Inet6 && there().is_some_and(|there| there.duplicate)
    }

    /// Looks at all addresses that are asked up: which are new, which were asked for long enough, and
    /// which links others can be asked on.
    pub(super) fn find_conflicts(&mut self, now: Time, actions: &mut Vec<Action>) {
        // Whether anybody asks or not: links come and go for ever.
        let put_up = &mut self.conflicts.put_up;
        put_up.retain(|_, at| now < *at + NEGOTIATION);
        if !self.settings.duplicate_address_detection {
            self.conflicts.addresses.clear();
            self.conflicts.deadline = None;
            return;
        }
        // What goes home goes there unasked, and what is withheld stays so.
        if self.teardown.is_some() {
            return;
        }
        let mut known = std::mem::take(&mut self.conflicts.addresses);
        let mut found = BTreeMap::new();
        let mut unasked: BTreeMap<Unasked, (IpAddr, usize)> = BTreeMap::new();
        // Seldom needed, and not to be looked for once for each of thousands of addresses.
        let holders = LazyCell::new(|| holders(&self.kernel));
        for logical in self.asked.logicals.iter().chain(self.candidate()) {
            let ip = logical.address.ip;
            if !logical.is_up() || logical.address.is_link_local6() || found.contains_key(&ip) {
                continue;
            }
            let judged = self.judge(now, logical, known.remove(&ip), &holders);
            let Some(mut state) = judged else {
                continue;
            };
            if let State::Serving(serving) = &mut state
                && let Some(reason) = serving.unasked.take()
            {
                let others = unasked.entry(reason);
                others.and_modify(|(_, more)| *more += 1).or_insert((ip, 0));
            }
            found.insert(ip, state);
        }
        for (reason, (address, more)) in unasked {
            actions.push(Action::Log(Message::AddressUnasked {
                address,
                more,
                reason,
            }));
        }
        self.conflicts.addresses = found;
        self.conflicts.find_deadline();
    }

    /// What is known of an address by now; `None` while nothing can be found out, as there is no link to
    /// bring it up on.
    fn judge(
        &self,
        now: Time,
        logical: &Logical,
        state: Option<State>,
        holders: &LazyCell<Holders, impl FnOnce() -> Holders>,
    ) -> Option<State> {
        let place = self.link(&self.place_of(logical).interface);
        let (withheld, place) = match (state, place) {
            (Some(State::Serving(serving)), Some(place))
                if self.is_refused_as_duplicate(logical, place.index) =>
            {
                let taken = |rival| State::Taken(Taken::new(now, rival));
                (serving.dispute.map(|dispute| taken(dispute.rival)), place)
            }
            // The kernel refused it meanwhile, and now they can be asked.
            (Some(State::Serving(serving)), Some(place))
                if serving.is_unheld
                    && !self.is_in_service(logical, holders)
                    && !self.reach(logical).links.is_empty() =>
            {
                (None, place)
            }
            (Some(State::Serving(mut serving)), place) => {
                serving.is_unheld = serving.is_unheld && !self.is_in_service(logical, holders);
                serving.index = place.filter(|link| is_shared(link)).map(|link| link.index);
                serving.expire(now);
                return Some(State::Serving(serving));
            }
            (withheld, Some(place)) if self.is_in_service(logical, holders) => {
                let mut served = Serving::unasked(None);
                if let Some(State::Taken(taken)) = withheld {
                    served.claimed(now, taken.rival);
                }
                return Some(serving(served, place));
            }
            (withheld, None) => return put_off(now, withheld),
            (withheld, Some(place)) => (withheld, place),
        };
        if !self.is_asked_for(logical) {
            return put_off(now, withheld);
        }
        let Reach {
            links,
            awaited,
            unasked,
        } = self.reach(logical);
        let is_there = |round: &Round| links.contains(&round.index);
        let Some(&index) = links.first() else {
            let waiting = awaited.map(State::Waiting);
            let unasked = || serving(Serving::unasked(unasked), place);
            return put_off(now, withheld).or_else(|| Some(waiting.unwrap_or_else(unasked)));
        };
        Some(match withheld {
            Some(State::Asking(round)) if is_there(&round) => match round.outcome() {
                Some(Outcome::Free) => serving(Serving::asked(now), place),
                Some(Outcome::Unasked) => {
                    serving(Serving::unasked(Some(Unasked::AskingFailed)), place)
                }
                None => State::Asking(round),
            },
            Some(State::Taken(mut taken)) => {
                match taken.round.take() {
                    Some(round) if is_there(&round) => match round.outcome() {
                        Some(Outcome::Free) => return Some(serving(Serving::asked(now), place)),
                        Some(Outcome::Unasked) => taken.put_off(now),
                        None => taken.round = Some(round),
                    },
                    None if taken.again > now => {}
                    _ => taken.round = Some(Round::new(now, index)),
                }
                State::Taken(taken)
            }
            _ => State::Asking(Round::new(now, index)),
        })
    }

    /// Whether an address is held by its interface or another one of its group, or by any as ours: a daemon
    /// before this one may have been killed while it was to move.
    fn is_in_service(&self, logical: &Logical, holders: &Holders) -> bool {
        let home = &logical.home.interface;
        let group = self.group_of(home);
        let mut holders = holders.get(&logical.address.ip).into_iter().flatten();
        holders.any(|(index, is_ours)| {
            let link = self.kernel.links.get(index);
            let is_near = link.is_some_and(|link| {
                link.name == *home || (group.is_some() && self.group_of(&link.name) == group)
            });
            *is_ours || is_near
        })
    }

    /// Where others can be asked for an address.
    fn reach(&self, logical: &Logical) -> Reach {
        let home = &logical.home.interface;
        let place = self.place_of(logical).interface;
        let group = self.group_of(home);
        let mates = self.asked.interfaces.iter();
        // Without the family a link does not hear who answers.
        let mates = mates.filter(|(_, interface)| {
            group.is_some()
                && interface.group.as_ref() == group
                && interface.families.contains(&logical.family())
        });
        let names = mates.map(|(name, _)| name).chain([&place, home]);
        let mut reach = Reach::default();
        let mut links = BTreeSet::new();
        for name in names {
            let Some(link) = self.link(name).filter(|link| is_shared(link)) else {
                continue;
            };
            if asks_from(link).is_some() {
                let is_worse = self.failed.contains(name) || self.is_offline(name);
                links.insert((is_worse, *name != place, name != home, link.index));
            }
            let put_up = self.conflicts.put_up.get(&link.index);
            let until = put_up.map(|&at| at + NEGOTIATION);
            reach.awaited = reach.awaited.max(until);
            reach.unasked = Some(Unasked::NoLink);
        }
        reach.links = links.into_iter().map(|(.., index)| index).collect();
        reach
    }

    /// Has the driver listen for what is to be listened for.
    pub(super) fn listen(&mut self, actions: &mut Vec<Action>) {
        let states = self.conflicts.addresses.iter();
        let listening: BTreeSet<(u32, IpAddr)> = states
            .filter(|_| self.teardown.is_none() && !self.is_over)
            .filter_map(|(&ip, state)| Some((state.listens()?, ip)))
            .collect();
        if listening != self.conflicts.listening {
            self.conflicts.listening.clone_from(&listening);
            actions.push(Action::Listen(listening));
        }
    }

    /// Asks others, and defends addresses, as far as that is due.
    pub(super) fn enquire(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.teardown.is_some() || self.is_over {
            return;
        }
        let kernel = &self.kernel;
        let from = |index: u32| kernel.links.get(&index).and_then(asks_from);
        let holders = LazyCell::new(|| holders(kernel));
        let mut enquiries = Vec::new();
        let mut defended: BTreeMap<u32, Vec<IpAddr>> = BTreeMap::new();
        for (&ip, state) in &mut self.conflicts.addresses {
            let mut ask = |index: u32, mac: MacAddress| enquiries.push(Enquiry { index, mac, ip });
            if let State::Serving(serving) = state {
                let there = serving.index.and_then(|index| Some((index, from(index)?)));
                // While it is on another link of ours, too, that one would answer.
                let is_in_place = || {
                    let held = there.and_then(|(index, _)| Some((index, holders.get(&ip)?)));
                    held.is_some_and(|(index, on)| on.iter().all(|(on, _)| *on == index))
                };
                if serving.sends(now, is_in_place)
                    && let Some((index, mac)) = there
                {
                    ask(index, mac);
                }
                if serving.defends(now, is_in_place)
                    && let Some((index, _)) = there
                {
                    defended.entry(index).or_default().push(ip);
                }
            } else if let Some(round) = state.round()
                && let Some(mac) = from(round.index)
                && round.sends(now)
            {
                ask(round.index, mac);
            }
        }
        self.conflicts.find_deadline();
        for (index, addresses) in defended {
            if let Some(link) = kernel.links.get(&index)
                && let Some(mac) = link.mac
            {
                actions.push(Action::Announce(Announcement {
                    interface: link.name.clone(),
                    index,
                    mac,
                    addresses,
                }));
            }
        }
        if !enquiries.is_empty() {
            let under_way = enquiries.iter().map(|enquiry| (enquiry.index, enquiry.ip));
            self.conflicts.under_way.push_back(under_way.collect());
            actions.push(Action::Enquire(enquiries));
        }
    }

    /// Takes which enquiries left; whether something is to be decided anew.
    pub(super) fn enquired(&mut self, now: Time, left: &[Enquiry]) -> bool {
        let left: BTreeSet<(u32, IpAddr)> = left
            .iter()
            .map(|enquiry| (enquiry.index, enquiry.ip))
            .collect();
        let mut is_decided = false;
        for (index, ip) in self.conflicts.under_way.pop_front().unwrap_or_default() {
            let has_left = left.contains(&(index, ip));
            match self.conflicts.addresses.get_mut(&ip) {
                Some(State::Serving(serving)) => serving.sent(now, has_left),
                Some(state) => {
                    if let Some(round) = state.round().filter(|round| round.index == index) {
                        round.sent(now, has_left);
                        is_decided |= round.outcome().is_some();
                    }
                }
                None => {}
            }
        }
        self.conflicts.find_deadline();
        is_decided
    }

    /// Takes what other hosts claim; whether something is to be decided anew. What was listened for when
    /// it was heard may not be of interest any more.
    pub(super) fn claimed(&mut self, now: Time, claims: &[Claim]) -> bool {
        let links = self.kernel.links.values();
        let own: BTreeSet<MacAddress> = links
            .flat_map(|link| link.mac.into_iter().chain(link.permanent_mac))
            .collect();
        let mut is_news = false;
        for claim in claims {
            let Claim { index, ip, mac, .. } = *claim;
            let Some(link) = self.kernel.links.get(&index) else {
                continue;
            };
            if !self.conflicts.listening.contains(&(index, ip))
                || own.contains(&mac)
                || !mac.is_unicast()
            {
                continue;
            }
            let rival = Rival {
                mac,
                interface: link.name.clone(),
                since: now,
                heard: claim.received.min(now),
            };
            match self.conflicts.addresses.get_mut(&ip) {
                Some(state @ State::Asking(_)) => {
                    *state = State::Taken(Taken::new(now, rival));
                    is_news = true;
                }
                Some(State::Taken(taken)) => {
                    is_news |= taken.round.is_some();
                    taken.claimed(now, rival);
                }
                Some(State::Serving(serving)) => is_news |= serving.claimed(now, rival),
                Some(State::Waiting(_)) | None => {}
            }
        }
        self.conflicts.find_deadline();
        is_news
    }
}

/// Where others can be asked for an address.
#[derive(Debug, Default)]
struct Reach {
    /// The links that they can be asked on now, the best one first: where it will be, where it belongs, any
    /// other member of the group; none that has failed while there is another.
    links: Vec<u32>,
    /// Until when a link is waited for that was put up a moment ago.
    awaited: Option<Time>,
    /// What keeps them from being asked where there is no such link, and others all the same.
    unasked: Option<Unasked>,
}

/// The links that hold each address, and whether it bears our mark there. One that the kernel found to be
/// another host's is not served.
type Holders = BTreeMap<IpAddr, Vec<(u32, bool)>>;

fn holders(kernel: &Kernel) -> Holders {
    let mut holders = Holders::new();
    for there in kernel.addresses.values().filter(|there| !there.duplicate) {
        let holder = (there.index, there.protocol == PROTOCOL);
        holders.entry(there.address.ip).or_default().push(holder);
    }
    holders
}

/// What becomes of an address that is withheld while nobody can be asked for it: if another host has it,
/// it is tried later.
fn put_off(now: Time, withheld: Option<State>) -> Option<State> {
    let Some(State::Taken(mut taken)) = withheld else {
        return None;
    };
    taken.put_off(now);
    Some(State::Taken(taken))
}

/// An address that may be in place on a link.
fn serving(mut serving: Serving, place: &Link) -> State {
    serving.index = Some(place.index).filter(|_| is_shared(place));
    State::Serving(serving)
}

/// Whether there may be others on a link, who can be asked.
fn is_shared(link: &Link) -> bool {
    link.kind == LinkKind::Broadcast
}

/// The hardware address from which others can be asked on a link, if they can.
fn asks_from(link: &Link) -> Option<MacAddress> {
    link.mac.filter(|_| is_shared(link) && link.is_running())
}
