//! Operations that are done over and over: another hand undoes them, or the kernel does not do what
//! it says. Such an operation is *contested*: it is left alone for a while, tried once, and left alone
//! for twice as long if it is undone again; everything else goes on. When what was tried stays for
//! [`WINDOW`], it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use crate::hand::{Hand, route_protocol};
use crate::kernel::{Change, Kernel, PROTOCOL, Slot};
use crate::plan::Operation;
use crate::snapshot::Contested;
use crate::{Action, Message, Time};

/// How often an operation may be done within [`WINDOW`]. A cable that flaps once a second stays
/// below it, two programs that undo each other's work do not.
const LIMIT: usize = 20;

/// How far back operations are counted, and how long what is contested must stay to be ours again.
const WINDOW: Duration = Duration::from_secs(10);

/// How long a contested operation is left alone first; the time doubles each time it is undone again.
const MIN_PAUSE: Duration = Duration::from_secs(5);

/// How long it is left alone at most. Nobody tells when the other hand has given up.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// How long it is remembered who undid something.
const REMEMBERED: Duration = Duration::from_mins(2);

/// Operations done of late, and those that are contested.
#[derive(Clone, Debug, Default)]
pub(super) struct Contests {
    recent: BTreeMap<Operation, Vec<Time>>,
    pruned: Time,
    contested: BTreeMap<Operation, Contest>,
    /// Who undid something of ours, and when; whether that was said. Only what was said outlives the plan
    /// that follows.
    undone: BTreeMap<Thing, Undone>,
}

/// A contested operation.
#[derive(Clone, Debug)]
struct Contest {
    since: Time,
    pause: Duration,
    next: Next,
    by: Option<String>,
}

/// What becomes of a contested operation next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// It is tried again then.
    Again(Time),
    /// It is tried again whenever a plan has it.
    Free,
    /// It was done then, and is watched for whether it is undone.
    Done(Time),
}

#[derive(Clone, Debug)]
struct Undone {
    at: Time,
    by: String,
    is_said: bool,
}

/// What an operation is about, by which that is found which undid it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Address(u32, IpAddr),
    Route(Slot),
    Nexthop(u32),
}

impl Thing {
    fn of(operation: &Operation) -> Option<Self> {
        match operation {
            Operation::AddAddress(new) => Some(Self::Address(new.index, new.address.ip)),
            Operation::RemoveAddress { index, address } => Some(Self::Address(*index, address.ip)),
            Operation::SetNexthop(nexthop) => Some(Self::Nexthop(nexthop.id)),
            Operation::RemoveNexthop(id) => Some(Self::Nexthop(*id)),
            Operation::AddRoute(route)
            | Operation::ReplaceRoute(route)
            | Operation::RemoveRoute(route) => Some(Self::Route(route.slot())),
            Operation::SetUp { .. }
            | Operation::SetMac { .. }
            | Operation::SetMtu { .. }
            | Operation::SetSysctl { .. } => None,
        }
    }
}

impl Contests {
    /// Takes note of who changes something of ours. `kernel` is what was known before.
    pub(super) fn observe(
        &mut self,
        now: Time,
        change: &Change,
        hand: Option<&Hand>,
        kernel: &Kernel,
        is_asked: impl Fn(IpAddr) -> bool,
    ) {
        let is_ours = |id| {
            kernel
                .nexthops
                .get(id)
                .is_some_and(|hop| hop.protocol == PROTOCOL)
        };
        let mut by = hand.map(ToString::to_string);
        let thing = match change {
            Change::AddressGone(index, address) if is_asked(address.ip) => {
                Thing::Address(*index, address.ip)
            }
            Change::Address(there) if is_asked(there.address.ip) => {
                Thing::Address(there.index, there.address.ip)
            }
            Change::RouteGone(route) if route.protocol == PROTOCOL => Thing::Route(route.slot()),
            // A route of somebody else's in the place of ours.
            Change::Route(route)
                if route.protocol != PROTOCOL
                    && kernel
                        .routes_in(route.slot())
                        .any(|there| there.protocol == PROTOCOL) =>
            {
                let protocol = format!("route protocol {}", route_protocol(route.protocol));
                by = Some(match by {
                    Some(by) => format!("{by} ({protocol})"),
                    None => protocol,
                });
                Thing::Route(route.slot())
            }
            Change::NexthopGone(id) if is_ours(id) => Thing::Nexthop(*id),
            Change::Nexthop(nexthop) if is_ours(&nexthop.id) => Thing::Nexthop(nexthop.id),
            _ => return,
        };
        if let Some(by) = by {
            let is_said = self
                .undone
                .get(&thing)
                .is_some_and(|known| known.is_said && known.by == by && known.at + WINDOW > now);
            let undone = Undone {
                at: now,
                by,
                is_said,
            };
            self.undone.insert(thing, undone);
        }
    }

    /// Takes note of an operation that was done. What it undoes of ours is nobody else's doing.
    pub(super) fn note(&mut self, now: Time, operation: &Operation) {
        if self.pruned + WINDOW <= now {
            self.pruned = now;
            self.recent.retain(|_, times| {
                times.retain(|&time| time + WINDOW > now);
                !times.is_empty()
            });
        }
        self.recent.entry(operation.clone()).or_default().push(now);
        if !self.contested.is_empty()
            && let Some(thing) = Thing::of(operation)
        {
            let recent = &mut self.recent;
            self.contested.retain(|other, contest| {
                let is_ours_to_undo = other != operation
                    && matches!(contest.next, Next::Done(_))
                    && Thing::of(other).as_ref() == Some(&thing);
                if is_ours_to_undo {
                    recent.remove(other);
                }
                !is_ours_to_undo
            });
        }
        if let Some(contest) = self.contested.get_mut(operation) {
            contest.next = Next::Done(now);
        }
    }

    /// Whether an operation was done so often of late that it is to wait.
    pub(super) fn is_contested(&mut self, now: Time, operation: &Operation) -> bool {
        let undone = Thing::of(operation).and_then(|thing| self.undone.get(&thing));
        let by = undone.map(|undone| undone.by.clone());
        if let Some(contest) = self.contested.get_mut(operation) {
            contest.by = by.or(contest.by.take());
            return match contest.next {
                Next::Again(_) => true,
                Next::Free => false,
                Next::Done(_) => {
                    contest.pause = (contest.pause * 2).min(MAX_PAUSE);
                    contest.next = Next::Again(now + contest.pause);
                    true
                }
            };
        }
        let Some(times) = self.recent.get_mut(operation) else {
            return false;
        };
        times.retain(|&time| time + WINDOW > now);
        if times.len() < LIMIT {
            return false;
        }
        let contest = Contest {
            since: now,
            pause: MIN_PAUSE,
            next: Next::Again(now + MIN_PAUSE),
            by,
        };
        self.contested.insert(operation.clone(), contest);
        true
    }

    /// Whether an operation waits.
    pub(super) fn holds(&self, operation: &Operation) -> bool {
        let contest = self.contested.get(operation);
        contest.is_some_and(|contest| matches!(contest.next, Next::Again(_)))
    }

    /// Forgets what is not wanted any more, and who did what of which nothing is to be done again: what is
    /// done later for another reason is not laid at his door.
    pub(super) fn retain(&mut self, now: Time, wanted: &[Operation]) {
        if !self.contested.is_empty() {
            let wanted: BTreeSet<&Operation> = wanted.iter().collect();
            self.contested.retain(|operation, contest| {
                matches!(contest.next, Next::Done(_)) || wanted.contains(operation)
            });
        }
        if !self.undone.is_empty() {
            let things: BTreeSet<Thing> = wanted.iter().filter_map(Thing::of).collect();
            self.undone.retain(|thing, undone| {
                (undone.is_said || things.contains(thing)) && undone.at + REMEMBERED > now
            });
        }
    }

    /// Has everything tried again at once, as a command is to be answered by what is.
    pub(super) fn release(&mut self) {
        for contest in self.contested.values_mut() {
            if matches!(contest.next, Next::Again(_)) {
                contest.next = Next::Free;
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let times = self
            .contested
            .values()
            .filter_map(|contest| match contest.next {
                Next::Again(at) => Some(at),
                Next::Free => None,
                Next::Done(at) => Some(at + WINDOW),
            });
        times.min()
    }

    /// Lets operations that waited be tried again, and forgets what is contested no more.
    pub(super) fn expire(&mut self, now: Time) {
        self.contested.retain(|_, contest| {
            if matches!(contest.next, Next::Again(at) if at <= now) {
                contest.next = Next::Free;
            }
            !matches!(contest.next, Next::Done(at) if at + WINDOW <= now)
        });
    }
}

impl Engine {
    /// Everything that is contested, for people to read.
    pub(super) fn contested(&self) -> Vec<Contested> {
        let contested = self.contests.contested.iter();
        contested
            .map(|(operation, contest)| {
                let (interface, address) = self.about(operation);
                Contested {
                    what: self.name_of(operation),
                    interface,
                    address,
                    since: contest.since,
                    by: contest.by.clone(),
                    again: match contest.next {
                        Next::Again(at) => Some(at),
                        Next::Free | Next::Done(_) => None,
                    },
                }
            })
            .collect()
    }

    /// Says who undid what a plan is about to do again, each once, and not everything of many things.
    pub(super) fn say_undone(&mut self, operations: &[Operation], actions: &mut Vec<Action>) {
        if self.contests.undone.is_empty() {
            return;
        }
        let mut said: BTreeMap<String, (&Operation, usize)> = BTreeMap::new();
        for operation in operations {
            let thing = Thing::of(operation);
            if let Some(undone) = thing.and_then(|thing| self.contests.undone.get_mut(&thing))
                && !std::mem::replace(&mut undone.is_said, true)
            {
                let (_, more) = said.entry(undone.by.clone()).or_insert((operation, 0));
                *more += 1;
            }
        }
        for (by, (first, count)) in said {
            actions.push(Action::Log(Message::Undone {
                what: self.name_of(first),
                more: count - 1,
                by,
            }));
        }
    }
}
