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
    homes: BTreeMap<InterfaceName, Vec<usize>>,
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
            match self.homes.get_mut(&logical.home.interface) {
                Some(homes) => homes.push(i),
                None => {
                    self.homes.insert(logical.home.interface.clone(), vec![i]);
                }
            }
        }
    }

    /// Whether an address is one of ours.
    pub(super) fn is_asked(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip)
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

    /// The logicals that belong to an interface.
    pub(super) fn homed(&self, name: &InterfaceName) -> impl Iterator<Item = &Logical> {
        let homes = self.index.homes.get(name).map_or(&[][..], Vec::as_slice);
        homes.iter().filter_map(|&i| self.asked.logicals.get(i))
    }

    /// The logical that belongs here, wherever it is.
    pub(super) fn homed_at(&self, home: &LogicalName, family: Family) -> Option<&Logical> {
        let mut homed = self.homed(&home.interface);
        homed.find(|logical| logical.home == *home && logical.family() == family)
    }

    /// Whether an interface is in a group.
    pub(super) fn is_member(&self, name: &InterfaceName) -> bool {
        self.asked
            .interfaces
            .get(name)
            .is_some_and(|interface| interface.group.is_some())
    }
}
