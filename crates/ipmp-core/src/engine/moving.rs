//! Addresses that the administrator moves (`ipmp move`).
//!
//! A move is a change of what was asked for: from then on the address belongs, before its home, on the
//! interface it was moved to, and placement keeps it there as it keeps others at home.
//!
//! | what happens | what becomes of the address |
//! |---|---|
//! | the interface fails, goes away or is taken out of service | it goes home, or where addresses go whose home does not work either |
//! | the interface can have it again | it returns |
//! | the same with `FAILBACK=no` | it stays where the failure sent it, and the move is forgotten; back in service, it returns |
//! | it is moved to its home | it stays there |
//! | its home or the interface changes groups or is unplumbed for its family; it gets another address or becomes a test address | the move is forgotten |

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::commands::Outcome;
use super::units::Units;
use super::{Engine, LogicalKey};
use crate::asked::Logical;
use crate::command::{Answer, Refusal};
use crate::placement::Fitness;
use crate::record::Direction;
use crate::{Family, InterfaceName, LogicalName, Message, Time};

impl Engine {
    /// Moves a data address to another member of its group.
    pub(super) fn move_address(
        &mut self,
        now: Time,
        address: IpAddr,
        to: &InterfaceName,
    ) -> Outcome {
        let logical = self.with_address(address);
        let Some(logical) = logical.filter(|_| !address.is_unspecified()) else {
            let is_foreign = self.kernel.addresses.keys().any(|(_, on)| on.ip == address);
            return Err(if is_foreign {
                Refusal::NotMovable
            } else {
                Refusal::NoSuchAddress
            });
        };
        let home = &logical.home.interface;
        let Some(group) = self.group_of(home).filter(|_| logical.is_movable()) else {
            return Err(Refusal::NotMovable);
        };
        self.plumbed(to)?;
        if self.group_of(to) != Some(group) {
            return Err(Refusal::NotInItsGroup);
        }
        let key = (logical.home.clone(), logical.family());
        let from = self.place_of(logical).interface;
        let moved_to = (to != home).then(|| to.clone());
        if from == *to && logical.moved_to == moved_to {
            return Ok(Answer::AlreadyExists);
        }
        if from != *to {
            self.refuse_unfit(now, logical, to)?;
        }
        self.set_moved_to(&key, moved_to);
        if from != *to {
            self.account_for(now, &key, &from, to, Some(Direction::Move));
            let message = Message::Moved {
                address,
                from,
                to: to.clone(),
            };
            self.move_logical(now, &key, to, message, &mut Units::default());
        }
        Ok(Answer::Done)
    }

    /// Refuses an interface on which placement would not leave an address.
    fn refuse_unfit(
        &self,
        now: Time,
        logical: &Logical,
        to: &InterfaceName,
    ) -> Result<(), Refusal> {
        let family = logical.family();
        let members = self.placement_members(now, self.group_of(to));
        let Some(member) = members.into_iter().find(|member| member.name == *to) else {
            return Err(Refusal::NotInItsGroup);
        };
        let address = logical.address.ip;
        if member.fitness == Fitness::Absent {
            return Err(Refusal::Absent);
        }
        if member.fitness > Fitness::LastResort {
            return Err(Refusal::NotUsable(self.state(to, self.link(to))));
        }
        if !member.families.contains(&family) {
            return Err(Refusal::Invalid(format!("is not plumbed for {family}")));
        }
        if self.barred(address).contains(to) {
            let reason = "its kernel refused the address a moment ago".to_owned();
            return Err(Refusal::Invalid(reason));
        }
        if member.standby && *to == logical.home.interface {
            return Err(Refusal::HomeIsStandby);
        }
        Ok(())
    }

    /// The interface on which an address stays when all work: where it was moved, or else its home.
    pub(super) fn resting_place(&self, (home, family): &LogicalKey) -> InterfaceName {
        let moved_to = self
            .homed_at(home, *family)
            .and_then(|logical| logical.moved_to.clone());
        moved_to.unwrap_or_else(|| home.interface.clone())
    }

    fn set_moved_to(&mut self, (home, family): &LogicalKey, to: Option<InterfaceName>) {
        if let Some(logical) = self.homed_at_mut(home, *family) {
            logical.moved_to = to;
        }
    }

    /// Forgets that an address was moved to `from`, which it has to leave and to which nothing brings
    /// it back.
    pub(super) fn end_move(&mut self, key: &LogicalKey, from: &InterfaceName) {
        if *from != key.0.interface && self.resting_place(key) == *from {
            self.set_moved_to(key, None);
        }
    }

    /// Forgets the moves of some families' addresses to an interface, and those of its own: it is in another
    /// group now, in none, or unplumbed.
    pub(super) fn forget_moves(&mut self, name: &InterfaceName, families: &[Family]) {
        for logical in &mut self.asked.logicals {
            let is_about =
                logical.home.interface == *name || logical.moved_to.as_ref() == Some(name);
            if is_about && families.contains(&logical.family()) {
                logical.moved_to = None;
            }
        }
    }

    /// Forgets what was to be told of moves that a refused command had begun: `places` are those that
    /// it made.
    pub(super) fn disown_moves(&mut self, places: &BTreeMap<LogicalKey, LogicalName>) {
        let undone: Vec<LogicalKey> = places
            .keys()
            .chain(self.places.keys())
            .filter(|key| places.get(key) != self.places.get(key))
            .cloned()
            .collect();
        for key in undone {
            self.outages.forget(&key);
            self.moved.remove(&key);
        }
    }
}
