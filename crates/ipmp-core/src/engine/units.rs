//! Units that are free on interfaces, for many moves in a row: what is taken is found once for each
//! interface, and then followed.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::{Family, InterfaceName, LogicalName};

/// What is taken on the interfaces that were asked about.
#[derive(Default)]
pub(super) struct Units(BTreeMap<(InterfaceName, Family), Taken>);

/// Units that are taken on an interface.
struct Taken {
    /// By what belongs there, and by what is not ours.
    residents: BTreeSet<u32>,
    /// By what is there and not at home.
    visitors: BTreeSet<u32>,
    /// None below is free, but for 0, which visitors do not get.
    lowest: u32,
}

impl Taken {
    /// The lowest unit that nothing is on and nothing belongs on.
    fn free(&mut self) -> u32 {
        let is_taken = |unit: &u32| self.residents.contains(unit) || self.visitors.contains(unit);
        let mut units = self.lowest..=u32::MAX;
        self.lowest = units.find(|unit| !is_taken(unit)).unwrap_or(u32::MAX);
        self.lowest
    }
}

impl Units {
    fn on(&mut self, engine: &Engine, on: &InterfaceName, family: Family) -> &mut Taken {
        self.0.entry((on.clone(), family)).or_insert_with(|| Taken {
            residents: engine.units_of_residents(on, family),
            visitors: engine.units_of_visitors(on, family),
            lowest: 1,
        })
    }

    /// The lowest unit of an interface that nothing is on and nothing belongs on.
    pub(super) fn free(&mut self, engine: &Engine, on: &InterfaceName, family: Family) -> u32 {
        self.on(engine, on, family).free()
    }

    /// Where on an interface a logical goes: home if nothing else is there, else the lowest unit that is
    /// free.
    pub(super) fn place(
        &mut self,
        engine: &Engine,
        home: &LogicalName,
        family: Family,
        to: &InterfaceName,
    ) -> LogicalName {
        let taken = self.on(engine, to, family);
        if *to == home.interface && !taken.visitors.contains(&home.unit) {
            return home.clone();
        }
        LogicalName::new(to.clone(), taken.free())
    }

    /// Takes note that a logical went from one place to another.
    pub(super) fn moved(
        &mut self,
        home: &LogicalName,
        family: Family,
        [from, to]: [&LogicalName; 2],
    ) {
        if from != home
            && let Some(left) = self.0.get_mut(&(from.interface.clone(), family))
        {
            left.visitors.remove(&from.unit);
            left.lowest = left.lowest.min(from.unit.max(1));
        }
        if to != home
            && let Some(taken) = self.0.get_mut(&(to.interface.clone(), family))
        {
            taken.visitors.insert(to.unit);
        }
    }
}
