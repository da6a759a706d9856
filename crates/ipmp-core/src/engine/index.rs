//! Ways to find things quickly: by name, by address, by home. A host may have thousands of addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Engine;
use crate::asked::{Asked, Logical};
use crate::kernel::Link;
use crate::{Family, InterfaceName, Kernel, LogicalName};

/// Derived from what was asked for and from the kernel's links; renewed whenever either changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    links: BTreeMap<InterfaceName, u32>,
    addresses: BTreeSet<IpAddr>,
    /// Where in what was asked for each logical is: by its home's interface, unit and family.
    homes: BTreeMap<InterfaceName, BTreeMap<(u32, Family), usize>>,
}

impl Index {
    /// Takes in the kernel's links; what there was before.
    pub(super) fn renew_links(&mut self, kernel: &Kernel) -> BTreeMap<InterfaceName, u32> {
        let links = kernel
            .links
            .values()
            .map(|link| (link.name.clone(), link.index))
            .collect();
        std::mem::replace(&mut self.links, links)
    }

    /// The number of the link of an interface.
    pub(super) fn link(&self, name: &InterfaceName) -> Option<u32> {
        self.links.get(name).copied()
    }

    /// Takes in what was asked for.
    pub(super) fn renew_asked(&mut self, asked: &Asked) {
        self.addresses = asked
            .logicals
            .iter()
            .map(|logical| logical.address.ip)
            .collect();
        self.homes.clear();
        for (i, logical) in asked.logicals.iter().enumerate() {
            let LogicalName { interface, unit } = &logical.home;
            let homes = self.homes.entry(interface.clone()).or_default();
            homes.insert((*unit, logical.family()), i);
        }
    }

    /// Whether an address is one of ours.
    pub(super) fn is_asked(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip)
    }

    /// Where in what was asked for the logical is that belongs here.
    fn position(&self, home: &LogicalName, family: Family) -> Option<usize> {
        let homes = self.homes.get(&home.interface)?;
        homes.get(&(home.unit, family)).copied()
    }
}

impl Engine {
    /// The link of an interface, if it is there.
    pub(super) fn link(&self, name: &InterfaceName) -> Option<&Link> {
        self.kernel.links.get(self.index.links.get(name)?)
    }

    /// Whether an address is one of ours.
    pub(super) fn is_asked(&self, ip: IpAddr) -> bool {
        self.index.is_asked(ip)
    }

    /// The logicals that belong to an interface, by unit.
    pub(super) fn homed(&self, name: &InterfaceName) -> impl Iterator<Item = &Logical> {
        let homes = self.index.homes.get(name).into_iter().flatten();
        homes.filter_map(|(_, &i)| self.asked.logicals.get(i))
    }

    /// The logical that belongs here, wherever it is.
    pub(super) fn homed_at(&self, home: &LogicalName, family: Family) -> Option<&Logical> {
        let position = self.index.position(home, family)?;
        let logical = self.asked.logicals.get(position)?;
        // Amid a command others may be in that place.
        (logical.home == *home && logical.family() == family).then_some(logical)
    }

    /// The same, to be changed. Its home, its family and its address stay.
    pub(super) fn homed_at_mut(
        &mut self,
        home: &LogicalName,
        family: Family,
    ) -> Option<&mut Logical> {
        let position = self.index.position(home, family)?;
        let logical = self.asked.logicals.get_mut(position)?;
        (logical.home == *home && logical.family() == family).then_some(logical)
    }

    /// Whether an interface is in a group.
    pub(super) fn is_member(&self, name: &InterfaceName) -> bool {
        self.asked
            .interfaces
            .get(name)
            .is_some_and(|interface| interface.group.is_some())
    }
}
