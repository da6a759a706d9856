//! What failovers and failbacks took: from the last sign of life to the last neighbour told.
//!
//! | there is | what it is |
//! |---|---|
//! | one open outage for each interface and direction | addresses of it are still under way |
//! | [`KEPT`] closed ones | shown in snapshots until newer ones take their place |

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::{Engine, LogicalKey};
use crate::asked::Logical;
use crate::record::{Cause, Direction, Evidence, Moved, Outage};
use crate::{Action, InterfaceName, Record, Time};

/// How many are remembered: enough to see an evening's flapping, little enough for a snapshot.
const KEPT: usize = 64;

/// The accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct Outages {
    open: Vec<Open>,
    closed: VecDeque<Outage>,
    /// When each interface was seen to have its carrier last, as far as that was asked for.
    carriers: BTreeMap<InterfaceName, Time>,
}

/// One whose addresses are under way.
#[derive(Clone, Debug)]
struct Open {
    /// Without its addresses.
    outage: Outage,
    /// The logicals it is about, and where their addresses go.
    moves: BTreeMap<LogicalKey, Moved>,
    /// Addresses whose neighbours have been told.
    told: BTreeSet<IpAddr>,
}

impl Open {
    /// With its addresses, by home.
    fn whole(&self) -> Outage {
        Outage {
            addresses: self.moves.values().cloned().collect(),
            ..self.outage.clone()
        }
    }
}

impl Outages {
    /// Takes a logical out of what is under way.
    pub(super) fn forget(&mut self, key: &LogicalKey) {
        for open in &mut self.open {
            open.moves.remove(key);
        }
        self.open.retain(|open| !open.moves.is_empty());
    }

    /// Which way a logical is under way, if it is.
    pub(super) fn direction(&self, key: &LogicalKey) -> Option<Direction> {
        let mut open = self.open.iter();
        open.find(|open| open.moves.contains_key(key))
            .map(|open| open.outage.direction)
    }

    /// All that are remembered, oldest first, those under way last.
    pub(super) fn seen(&self) -> Vec<Outage> {
        let open = self.open.iter().map(Open::whole);
        self.closed.iter().cloned().chain(open).collect()
    }
}

impl Engine {
    /// Notes that placement sends a logical from one interface to another.
    pub(super) fn account_for(
        &mut self,
        now: Time,
        key: &LogicalKey,
        from: &InterfaceName,
        to: &InterfaceName,
        asked: Option<Direction>,
    ) {
        // It may be on its way already, and elsewhere.
        self.outages.forget(key);
        let logical = self.homed_at(&key.0, key.1);
        // What was not in service was not out of it either.
        let served = logical
            .filter(|logical| self.is_effectively_up(logical) && self.was_received(key, logical));
        let Some(address) = served.map(|logical| logical.address.ip) else {
            return;
        };
        let moved = Moved {
            address,
            to: to.clone(),
        };
        let (direction, interface) = match asked {
            Some(direction) => (direction, to),
            None if *to == self.resting_place(key) => (Direction::Failback, to),
            None => (Direction::Failover, from),
        };
        let known = self.outages.open.iter_mut().find(|open| {
            open.outage.direction == direction
                && open.outage.interface == *interface
                && open.outage.moved.is_none()
        });
        if let Some(open) = known {
            open.moves.insert(key.clone(), moved);
            return;
        }
        let mut outage = self.opened(now, direction, interface);
        if direction == Direction::Failback && *to != key.0.interface {
            outage.cause = Cause::MovedToUsable;
        }
        self.outages.open.push(Open {
            outage,
            moves: BTreeMap::from([(key.clone(), moved)]),
            told: BTreeSet::new(),
        });
    }

    /// Whether an address has been brought up already: a link holds it, or did until a moment ago.
    fn was_received(&self, key: &LogicalKey, logical: &Logical) -> bool {
        let ip = logical.address.ip;
        let held = self.kernel.links.keys();
        let mut held = held.filter(|index| self.kernel.has_address(**index, ip));
        self.chronicle.received(key) == Some(ip) || held.next().is_some()
    }

    fn opened(&self, now: Time, direction: Direction, interface: &InterfaceName) -> Outage {
        let (cause, declared, answered) = match direction {
            Direction::Failback => (Cause::HomeUsable, now, None),
            Direction::Move => (Cause::Administrator, now, None),
            Direction::Failover if self.link(interface).is_none() => (Cause::DeviceGone, now, None),
            Direction::Failover if self.is_offline(interface) => {
                (Cause::InterfaceOffline, now, None)
            }
            Direction::Failover => match self.detection.declared(interface) {
                // Nobody could take them when it failed; they wait since then.
                Some(declared) => (declared.cause, declared.at, declared.answered),
                None => (Cause::Administrator, now, None),
            },
        };
        let last_good = self.last_good(interface, cause, declared, answered);
        Outage {
            direction,
            interface: interface.clone(),
            group: self.group_of(interface).cloned(),
            cause,
            declared,
            last_good: last_good.map(|(at, _)| at),
            last_good_by: last_good.map(|(_, by)| by),
            detection: last_good.map(|(at, _)| declared.since(at)),
            moved: None,
            told: None,
            addresses: Vec::new(),
        }
    }

    /// When an interface was last known to work before it was declared failed, and by what. That its link
    /// had a carrier counts where it is the link that failed: a silent link has one all the time.
    fn last_good(
        &self,
        interface: &InterfaceName,
        cause: Cause,
        declared: Time,
        answered: Option<Time>,
    ) -> Option<(Time, Evidence)> {
        let by_link = matches!(cause, Cause::LinkDown | Cause::DeviceGone);
        let carrier = self.outages.carriers.get(interface).filter(|_| by_link);
        let carrier = carrier.map(|&at| (at, Evidence::Carrier));
        let answer = answered.map(|at| (at, Evidence::Reply));
        let known = carrier.into_iter().chain(answer);
        known
            .filter(|(at, _)| *at <= declared)
            .max_by_key(|(at, _)| *at)
    }

    /// Notes that links had their carrier.
    pub(super) fn note_carriers(&mut self, seen: &[(u32, Time)]) {
        for (index, at) in seen {
            if let Some(link) = self.kernel.links.get(index) {
                self.outages.carriers.insert(link.name.clone(), *at);
            }
        }
        let asked = &self.asked.interfaces;
        self.outages
            .carriers
            .retain(|name, _| asked.contains_key(name));
    }

    /// Notes what `actions`, those of this moment, have reached, and closes what is done.
    pub(super) fn account(&mut self, now: Time, actions: &[Action], records: &mut Vec<Action>) {
        let mut open = std::mem::take(&mut self.outages.open);
        for one in &mut open {
            self.progress(now, one, actions);
        }
        open.retain(|one| {
            let is_closed = self.is_closed(one);
            if is_closed {
                if self.outages.closed.len() == KEPT {
                    self.outages.closed.pop_front();
                }
                let outage = one.whole();
                self.outages.closed.push_back(outage.clone());
                records.push(Action::Record(Record::Outage(outage)));
            }
            !is_closed
        });
        self.outages.open = open;
    }

    fn progress(&self, now: Time, open: &mut Open, actions: &[Action]) {
        let outage = &mut open.outage;
        if outage.moved.is_none() && open.moves.keys().all(|key| self.is_in_place(key)) {
            outage.moved = Some(now.since(outage.declared));
        }
        for action in actions {
            if let Action::Announce(announcement) = action {
                let told: BTreeSet<&IpAddr> = announcement.addresses.iter().collect();
                let ours = open.moves.values().filter(|moved| {
                    moved.to == announcement.interface && told.contains(&moved.address)
                });
                open.told.extend(ours.map(|moved| moved.address));
            }
        }
        let mut moves = open.moves.values();
        let all_told = moves.all(|moved| open.told.contains(&moved.address));
        if all_told && outage.told.is_none() {
            outage.told = Some(now.since(outage.declared));
        }
    }

    /// In place, and the neighbours told, unless there is nobody to tell.
    fn is_closed(&self, open: &Open) -> bool {
        let waits_to_tell = || {
            open.moves.values().any(|moved| {
                !open.told.contains(&moved.address)
                    && self.link(&moved.to).is_some_and(|link| {
                        self.announcements.is_pending(link.index, moved.address)
                    })
            })
        };
        open.outage.moved.is_some() && (open.outage.told.is_some() || !waits_to_tell())
    }

    /// Where a logical is received now: where it is placed, once the kernel has it there.
    pub(super) fn received_at(&self, logical: &Logical) -> Option<InterfaceName> {
        let place = self.place_of(logical).interface;
        let index = self.link(&place)?.index;
        self.kernel
            .addresses
            .contains_key(&(index, logical.address))
            .then_some(place)
    }
}
