//! Placement: which interface should hold which address?
//!
//! A pure function of what is known about one group. It is level-triggered: it does not ask what
//! just happened but what is not as it should be, so that an address that could not be moved at one
//! moment is moved as soon as there is somewhere to move it (which the original forgot for
//! interfaces whose link is down).
//!
//! All addresses of one interface go to one destination, if there is one for all of them: those that some
//! member refuses go by themselves, and so does each family when no member is plumbed for both. Nothing
//! moves when there is no destination, but for an address that a member which works has already.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Family, InterfaceName};

/// What placement must know about a member of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: InterfaceName,
    /// Families it is plumbed for.
    pub families: BTreeSet<Family>,
    /// What it is good for.
    pub fitness: Fitness,
    /// Set aside until needed.
    pub standby: bool,
    /// Its addresses come home now: the administrator lets them, or put it back into service.
    pub failback: bool,
}

/// What a member is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    /// Works: may hold addresses and take others'.
    Usable,
    /// Link is up and no target tells more: keeps its own, takes others' as a last resort.
    LastResort,
    /// Does not work, but may do so in a moment, as others of its group just did: keeps what it has.
    Waiting,
    /// Does not work or is out of service: what it has and is up must go elsewhere.
    Unfit,
    /// There is no such device at present: what it has must go somewhere, but for what is its own and not up.
    Absent,
}

/// An address that may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movable<Key> {
    /// Which one.
    pub key: Key,
    /// Its family.
    pub family: Family,
    /// The interface it belongs to.
    pub home: InterfaceName,
    /// The interface it is on.
    pub at: InterfaceName,
    /// The interface the administrator moved it to: before home, and whether or not addresses come
    /// home by themselves.
    pub moved_to: Option<InterfaceName>,
    /// Whether it is configured for use.
    pub up: bool,
    /// Whether it is on no interface all the same, as another host has it or may have it: the one on which
    /// it is placed does not carry it.
    pub withheld: bool,
    /// Interfaces that cannot take it.
    pub barred: BTreeSet<InterfaceName>,
    /// Other interfaces that have it all the same, as another hand put it there or as it has not left yet.
    pub held_by: BTreeSet<InterfaceName>,
}

/// An address that must move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move<Key> {
    /// Which one.
    pub key: Key,
    /// From where.
    pub from: InterfaceName,
    /// To where.
    pub to: InterfaceName,
}

/// The moves that bring the addresses of one group to where they should be. Each address moves once
/// at most; asked again after the moves, there are none.
pub fn placement<Key: Clone>(members: &[Member], addresses: &[Movable<Key>]) -> Vec<Move<Key>> {
    let mut at: Vec<InterfaceName> = addresses.iter().map(|address| address.at.clone()).collect();

    // Home first, so that homes that work again are not counted as refuges of their own addresses.
    for (address, at) in addresses.iter().zip(&mut at) {
        if let Some(member) = rightful(members, address, at) {
            *at = member.name.clone();
        }
    }

    let mut sources: BTreeMap<InterfaceName, Vec<usize>> = BTreeMap::new();
    for (i, at) in at.iter().enumerate() {
        match sources.get_mut(at) {
            Some(there) => there.push(i),
            None => {
                sources.insert(at.clone(), vec![i]);
            }
        }
    }
    for (source, there) in sources {
        send_on(members, addresses, &source, there, &mut at);
    }

    addresses
        .iter()
        .zip(at)
        .filter(|(address, at)| address.at != *at)
        .map(|(address, to)| Move {
            key: address.key.clone(),
            from: address.at.clone(),
            to,
        })
        .collect()
}

/// The member where an address that is `at` an interface is to be by right, and can be: the one it was moved to,
/// else its home; `None` if it is at home, or if it is neither's turn.
fn rightful<'m, Key>(
    members: &'m [Member],
    address: &Movable<Key>,
    at: &InterfaceName,
) -> Option<&'m Member> {
    let member = |name: &InterfaceName| members.iter().find(|member| member.name == *name);
    let chosen = address.moved_to.as_ref().and_then(member);
    if let Some(chosen) = chosen.filter(|chosen| can_take(chosen, address)) {
        // Unless another member has it meanwhile.
        let may_recover = chosen.fitness == Fitness::Waiting
            && *at == chosen.name
            && holder(members, address).is_none();
        if chosen.fitness <= Fitness::LastResort || may_recover {
            return Some(chosen);
        }
    }
    if *at == address.home {
        return None;
    }
    let astray = member(at).is_none_or(|here| !can_take(here, address));
    member(&address.home).filter(|home| {
        home.fitness <= Fitness::LastResort
            && can_take(home, address)
            && !home.standby
            && (home.failback || astray)
    })
}

/// Sends those of the addresses `there`, on the interface `source`, to other members that may not stay on it.
fn send_on<Key>(
    members: &[Member],
    addresses: &[Movable<Key>],
    source: &InterfaceName,
    there: Vec<usize>,
    at: &mut [InterfaceName],
) {
    let here = members.iter().find(|member| member.name == *source);
    let is_fit = here.is_some_and(|here| here.fitness <= Fitness::LastResort);
    let is_nowhere = here.is_none_or(|here| here.fitness == Fitness::Absent);
    // Asked once for all that are there.
    let waits = here.is_some_and(|here| here.standby && !hosts_foreign(source, addresses, at));
    // Where somebody put it, an address is served.
    let held_by = |i: usize| {
        let address = addresses.get(i).filter(|_| !is_fit)?;
        holder(members, address)
    };

    // One that some member refuses does not keep the others from going there.
    let mut parties: BTreeMap<&BTreeSet<InterfaceName>, Vec<usize>> = BTreeMap::new();
    for i in there {
        let Some(address) = addresses.get(i) else {
            continue;
        };
        let held = held_by(i);
        let leaves = must_leave(address, here, waits);
        match held.filter(|held| !leaves && keeps(held, address)) {
            // Nothing but that member's having it sends it away: it goes there by itself.
            Some(held) => put(i, &held.name, at),
            None if leaves || held.is_some() => {
                parties.entry(&address.barred).or_default().push(i);
            }
            None => {}
        }
    }

    for (barred, leaving) in parties {
        let parts = by_family(leaving, addresses);
        let all: BTreeSet<Family> = parts.keys().copied().collect();
        let leaving: Vec<usize> = parts.values().flatten().copied().collect();
        let taker = |families: &BTreeSet<Family>, leaving: &[usize], at: &[InterfaceName]| {
            let needs = (families, barred);
            destination(members, source, needs, leaving, is_fit, addresses, at)
        };
        let together = taker(&all, &leaving, at);
        // A family that no other member is plumbed for does not keep the rest from being served.
        for (family, part) in parts {
            let families = BTreeSet::from([family]);
            let taker = together.or_else(|| taker(&families, &part, at));
            // An address that is nowhere goes home even if home does not work, or to any member that is there:
            // nothing is lost by trying.
            let anywhere = || {
                let mut there = part.iter().filter_map(|&i| addresses.get(i));
                let first = there.next().filter(|_| is_nowhere)?;
                refuge(members, source, &first.home, &families)
            };
            for &i in &part {
                // Though it would not be sent to its holder.
                let name = taker.or_else(|| held_by(i)).map(|member| &member.name);
                if let Some(name) = name.cloned().or_else(anywhere) {
                    put(i, &name, at);
                }
            }
        }
    }
}

/// Notes that an address is on an interface.
fn put(i: usize, name: &InterfaceName, at: &mut [InterfaceName]) {
    if let Some(at) = at.get_mut(i) {
        *at = name.clone();
    }
}

/// Addresses, by number, family by family.
fn by_family<Key>(numbers: Vec<usize>, addresses: &[Movable<Key>]) -> BTreeMap<Family, Vec<usize>> {
    let mut families: BTreeMap<Family, Vec<usize>> = BTreeMap::new();
    for i in numbers {
        if let Some(address) = addresses.get(i) {
            families.entry(address.family).or_default().push(i);
        }
    }
    families
}

/// Whether a member is plumbed for an address and its link does not refuse it.
fn can_take<Key>(member: &Member, address: &Movable<Key>) -> bool {
    member.families.contains(&address.family) && !address.barred.contains(&member.name)
}

/// Whether an address may not stay on `source`, which is a standby that `waits` until it is needed or not.
fn must_leave<Key>(address: &Movable<Key>, source: Option<&Member>, waits: bool) -> bool {
    let Some(source) = source else { return true };
    match source.fitness {
        // One that is not up is served nowhere, and may be yet to be configured: it keeps its name, unless
        // that is none there.
        Fitness::Unfit => address.up || !source.families.contains(&address.family),
        Fitness::Absent => address.up || address.home != source.name,
        Fitness::Waiting => false,
        Fitness::Usable | Fitness::LastResort => {
            !can_take(source, address)
                // What is not in use may wait there: it may yet become its test address.
                || (waits && address.up && address.home == source.name)
        }
    }
}

/// Whether a member that works would send an address on to no other.
fn keeps<Key>(member: &Member, address: &Movable<Key>) -> bool {
    can_take(member, address) && !(member.standby && address.home == member.name)
}

/// A member that works and has an address, though it is placed elsewhere.
fn holder<'m, Key>(members: &'m [Member], address: &Movable<Key>) -> Option<&'m Member> {
    members
        .iter()
        .filter(|member| member.fitness <= Fitness::LastResort)
        .filter(|member| address.held_by.contains(&member.name))
        .min_by_key(|member| (member.fitness, &member.name))
}

/// Whether an interface carries an address that belongs to another one.
fn hosts_foreign<Key>(
    name: &InterfaceName,
    addresses: &[Movable<Key>],
    at: &[InterfaceName],
) -> bool {
    addresses
        .iter()
        .zip(at)
        .any(|(address, at)| at == name && address.home != *name && !address.withheld)
}

/// Where the addresses of `source`, which is not there, can be put though nobody works.
fn refuge(
    members: &[Member],
    source: &InterfaceName,
    home: &InterfaceName,
    families: &BTreeSet<Family>,
) -> Option<InterfaceName> {
    members
        .iter()
        .filter(|member| member.name != *source && member.fitness < Fitness::Absent)
        .filter(|member| member.name == *home || families.is_subset(&member.families))
        .min_by_key(|member| (member.name != *home, member.fitness, &member.name))
        .map(|member| member.name.clone())
        // One that left its group may have nobody but its home.
        .or_else(|| {
            let was_member = members.iter().any(|member| member.name == *source);
            (!was_member && source != home).then(|| home.clone())
        })
}

/// Where the addresses `leaving` from `source` should go: an idle member that waits for this, else the one
/// with the fewest addresses in use, else one of which only the link is known. Ties go by name.
fn destination<'m, Key>(
    members: &'m [Member],
    source: &InterfaceName,
    (families, barred): (&BTreeSet<Family>, &BTreeSet<InterfaceName>),
    leaving: &[usize],
    spare_standbys: bool,
    addresses: &[Movable<Key>],
    at: &[InterfaceName],
) -> Option<&'m Member> {
    // With what is withheld there: it comes up sooner or later.
    let load = |name: &InterfaceName| {
        addresses
            .iter()
            .zip(at)
            .filter(|(address, at)| *at == name && address.up)
            .count()
    };
    members
        .iter()
        .filter(|member| member.name != *source && member.fitness <= Fitness::LastResort)
        .filter(|member| !barred.contains(&member.name))
        .filter(|member| families.is_subset(&member.families))
        .min_by_key(|member| {
            let waits = member.standby && !hosts_foreign(&member.name, addresses, at)
                || !member.standby && is_parked(member, addresses, at);
            let rank = if spare_standbys {
                u8::from(member.standby)
            } else {
                u8::from(!waits)
            };
            let is_futile = waits && would_wait_on(member, leaving, addresses);
            (
                is_futile,
                member.fitness,
                rank,
                load(&member.name),
                &member.name,
            )
        })
}

/// Whether a standby that waits would go on waiting if it had these addresses, and send on those that are its
/// own.
fn would_wait_on<Key>(member: &Member, leaving: &[usize], addresses: &[Movable<Key>]) -> bool {
    let leaving = || leaving.iter().filter_map(|&i| addresses.get(i));
    member.standby
        && leaving().any(|address| address.up && address.home == member.name)
        && leaving().all(|address| address.withheld || address.home == member.name)
}

/// Whether a repaired member waits without addresses because they do not come home by themselves
/// (`FAILBACK=no`).
fn is_parked<Key>(member: &Member, addresses: &[Movable<Key>], at: &[InterfaceName]) -> bool {
    let mut away = false;
    for (address, at) in addresses.iter().zip(at) {
        if *at == member.name && address.up && !address.withheld {
            return false;
        }
        let is_away = address.home == member.name && *at != member.name;
        away |= is_away && address.moved_to.as_ref() != Some(at);
    }
    away && !member.failback
}

#[cfg(test)]
mod tests;
