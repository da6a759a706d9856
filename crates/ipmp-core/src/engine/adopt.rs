//! Making sense of what the kernel holds: finding our addresses again after a restart, and taking
//! over those that were there before us.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Engine;
use crate::asked::Logical;
use crate::kernel::{Address, Link, PROTOCOL};
use crate::{Family, Flags, InterfaceAddress, InterfaceName, LogicalName};

impl Engine {
    /// Finds out from the kernel where each logical is that may move, among the members of its group.
    /// What it does not hold stays where it was last, and the next plan puts it there.
    pub(super) fn adopt(&mut self) {
        self.index.renew_asked(&self.asked);
        let movable: Vec<Logical> = self
            .asked
            .logicals
            .iter()
            .filter(|logical| logical.is_movable())
            .cloned()
            .collect();
        self.places.retain(|(home, family), _| {
            let is_it = |logical: &&Logical| logical.home == *home && logical.family() == *family;
            movable.iter().any(|logical| is_it(&logical))
        });
        let logicals: Vec<Logical> = movable.into_iter().filter(Logical::is_up).collect();
        for logical in &logicals {
            let place = self.place_of(logical);
            let holders: Vec<LogicalName> = self
                .kernel
                .addresses
                .values()
                .filter(|address| address.address.ip == logical.address.ip)
                .filter_map(|address| self.named(address, logical))
                .collect();
            let is_there = holders
                .iter()
                .any(|holder| holder.interface == place.interface);
            if let (false, Some(holder)) = (is_there, holders.into_iter().next()) {
                self.set_place(&logical.home, logical.family(), holder);
            }
        }
        self.adopt_orphans();
    }

    /// The name of the logical that a kernel address is, if it is on a member of the group.
    fn named(&self, address: &Address, logical: &Logical) -> Option<LogicalName> {
        let link = self.kernel.links.get(&address.index)?;
        let home = &logical.home;
        if link.name == home.interface {
            return Some(home.clone());
        }
        let group = self.group_of(&home.interface)?;
        if self.group_of(&link.name) != Some(group) {
            return None;
        }
        let labelled = address
            .label
            .as_ref()
            .and_then(|label| label.parse::<LogicalName>().ok())
            .filter(|label| label.interface == link.name && label.unit > 0);
        Some(labelled.unwrap_or_else(|| {
            LogicalName::new(
                link.name.clone(),
                self.free_unit(&link.name, logical.family()),
            )
        }))
    }

    /// Addresses that bear our mark but that nobody asked for: the saved state was lost. They stay,
    /// as ordinary addresses of the interface they are on.
    fn adopt_orphans(&mut self) {
        let mut asked: BTreeSet<IpAddr> =
            self.asked.logicals.iter().map(|l| l.address.ip).collect();
        let mut orphans: Vec<Address> = self
            .kernel
            .addresses
            .values()
            .filter(|address| address.protocol == PROTOCOL)
            .filter(|address| !asked.contains(&address.address.ip))
            // An earlier daemon was told to remove it.
            .filter(|address| !self.retired.contains(&(address.index, address.address)))
            .cloned()
            .collect();
        // That daemon may have been killed amid a move: the address stays where it is of use, and goes from
        // the other link.
        orphans.sort_by_key(|orphan| {
            let link = self.kernel.links.get(&orphan.index);
            (!link.is_some_and(Link::is_running), orphan.address.prefix)
        });
        for orphan in orphans {
            if let Some(name) = self
                .kernel
                .links
                .get(&orphan.index)
                .map(|link| link.name.clone())
                && asked.insert(orphan.address.ip)
            {
                let home = self.name_of_orphan(&name, &orphan);
                self.adopt_address(&home, &orphan);
            }
        }
    }

    /// The name that an address which bears our mark gets: its label's where it has one, else that
    /// of the lowest unit that is free.
    fn name_of_orphan(&self, name: &InterfaceName, address: &Address) -> LogicalName {
        let family = address.address.family();
        let label = address
            .label
            .as_ref()
            .and_then(|label| label.parse::<LogicalName>().ok());
        let taken = self.units_of_ours(name, family);
        let is_taken = |unit: u32| taken.contains(&unit);
        let unit = match label.filter(|label| label.interface == *name) {
            Some(label) if !is_taken(label.unit) => label.unit,
            _ if !is_taken(0) => 0,
            _ => self.free_unit(name, family),
        };
        LogicalName::new(name.clone(), unit)
    }

    /// Makes a logical of a kernel address, at home where it is, with the name that it shows.
    pub(super) fn adopt_address(&mut self, home: &LogicalName, address: &Address) {
        let family = address.address.family();
        let test = if address.deprecated && family == Family::Inet {
            Flags::DEPRECATED | Flags::NOFAILOVER
        } else {
            Flags::NONE
        };
        self.asked
            .interfaces
            .entry(home.interface.clone())
            .or_default()
            .families
            .insert(family);
        self.asked.logicals.push(Logical {
            home: home.clone(),
            address: address.address,
            broadcast: address.broadcast,
            flags: Flags::UP | test,
            metric: 0,
            moved_to: None,
        });
        self.remember_found(&home.interface, address);
        self.index.renew_asked(&self.asked);
    }

    /// Makes logicals of all lasting addresses of an interface. Those that come and go by
    /// themselves (DHCP, autoconfiguration) stay with whoever looks after them.
    pub(super) fn adopt_interface(&mut self, name: &InterfaceName) {
        for (home, address) in self.foreign_logicals(name) {
            if !address.dynamic && !address.address.is_link_local6() {
                self.adopt_address(&home, &address);
            }
        }
    }

    /// Kernel addresses of an interface that are no logicals of ours.
    pub(super) fn foreign(&self, name: &InterfaceName) -> impl Iterator<Item = &Address> {
        self.link(name)
            .into_iter()
            .flat_map(|link| self.kernel.addresses_on(link.index))
            .filter(|address| address.protocol != PROTOCOL && !self.is_asked(address.address.ip))
    }

    /// Whether an interface has a foreign logical of a family.
    pub(super) fn has_foreign_of(&self, name: &InterfaceName, family: Family) -> bool {
        let shows_link_local = self.shows_link_local(name);
        self.foreign(name).any(|a| {
            a.address.family() == family && (!a.address.is_link_local6() || shows_link_local)
        })
    }

    /// Names of the foreign logicals of an interface: by label where it says one, else the lowest
    /// units that are free.
    pub(super) fn foreign_logicals(&self, name: &InterfaceName) -> Vec<(LogicalName, Address)> {
        let mut named: Vec<(LogicalName, Address)> = Vec::new();
        let shows_link_local = self.shows_link_local(name);
        for family in Family::ALL {
            let ours: BTreeSet<u32> = self.units_of_ours(name, family);
            let mut taken = ours;
            let mut later = Vec::new();
            let foreign = self
                .foreign(name)
                .filter(|a| a.address.family() == family)
                .filter(|a| !a.address.is_link_local6() || shows_link_local);
            for address in foreign {
                let label = address
                    .label
                    .as_ref()
                    .and_then(|l| l.parse::<LogicalName>().ok());
                match label.filter(|label| label.interface == *name && label.unit > 0) {
                    Some(label) if taken.insert(label.unit) => named.push((label, address.clone())),
                    _ => later.push(address.clone()),
                }
            }
            let free = (0..=u32::MAX).filter(|unit| !taken.contains(unit));
            for (address, unit) in later.into_iter().zip(free) {
                named.push((LogicalName::new(name.clone(), unit), address));
            }
        }
        named
    }

    /// Whether an interface has foreign logicals.
    pub(super) fn has_foreign(&self, name: &InterfaceName) -> bool {
        self.foreign(name)
            .any(|a| !a.address.is_link_local6() || self.shows_link_local(name))
    }

    /// Units of an interface that our logicals are on or belong on.
    fn units_of_ours(&self, name: &InterfaceName, family: Family) -> BTreeSet<u32> {
        let mut units = self.units_of_visitors(name, family);
        units.extend(self.units_homed(name, family));
        units
    }

    fn units_homed(&self, name: &InterfaceName, family: Family) -> impl Iterator<Item = u32> {
        self.homed(name)
            .filter(move |logical| logical.family() == family)
            .map(|logical| logical.home.unit)
    }

    /// Units of an interface that our logicals are on which are not at home.
    pub(super) fn units_of_visitors(&self, name: &InterfaceName, family: Family) -> BTreeSet<u32> {
        let places = self.places.iter();
        places
            .filter(|((_, of), place)| *of == family && place.interface == *name)
            .map(|(_, place)| place.unit)
            .collect()
    }

    /// Units of an interface that our logicals belong on, or that foreign ones have.
    pub(super) fn units_of_residents(&self, name: &InterfaceName, family: Family) -> BTreeSet<u32> {
        let foreign = self.foreign_logicals(name).into_iter();
        foreign
            .filter(|(_, address)| address.address.family() == family)
            .map(|(name, _)| name.unit)
            .chain(self.units_homed(name, family))
            .collect()
    }

    /// Whether an interface's link-local IPv6 address counts as a logical: only if the interface is
    /// plumbed for IPv6 or has another IPv6 address. The kernel gives every interface one.
    fn shows_link_local(&self, name: &InterfaceName) -> bool {
        self.asked
            .interfaces
            .get(name)
            .is_some_and(|interface| interface.families.contains(&Family::Inet6))
            || self.foreign(name).any(|address| {
                address.address.family() == Family::Inet6 && !address.address.is_link_local6()
            })
    }

    /// Unit 0 of an interface plumbed for IPv6 is its link-local address, as soon as there is one. It
    /// is the kernel's: it follows what the kernel has, and goes with its link.
    pub(super) fn adopt_link_local(&mut self) {
        if !self
            .asked
            .interfaces
            .values()
            .any(|i| i.families.contains(&Family::Inet6))
        {
            return;
        }
        let waiting: Vec<InterfaceName> = self
            .asked
            .logicals
            .iter()
            .filter(|logical| logical.family() == Family::Inet6 && logical.home.unit == 0)
            .filter(|logical| {
                logical.address.ip.is_unspecified() || logical.address.is_link_local6()
            })
            .map(|logical| logical.home.interface.clone())
            .collect();
        let mut has_changed = false;
        for name in waiting {
            let home = LogicalName::new(name, 0);
            let link = self.kernel.link(&home.interface).map(|link| link.index);
            let kernel = &self.kernel;
            let there = || {
                link.into_iter()
                    .flat_map(|index| kernel.addresses_on(index))
                    .map(|address| address.address)
                    .filter(|address| address.is_link_local6())
            };
            let unit_0 =
                |logical: &&mut Logical| logical.home == home && logical.family() == Family::Inet6;
            for logical in self.asked.logicals.iter_mut().filter(unit_0) {
                let before = logical.address;
                if link.is_none() {
                    logical.address = InterfaceAddress::new(Family::Inet6.unspecified(), 0);
                } else if !there().any(|address| address == logical.address)
                    && let Some(address) = there().next()
                {
                    logical.address = address;
                }
                has_changed |= logical.address != before;
            }
        }
        if has_changed {
            self.index.renew_asked(&self.asked);
        }
    }
}
