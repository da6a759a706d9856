//! What the names in a command mean.

use std::net::IpAddr;

use super::Engine;
use crate::asked::Logical;
use crate::command::Refusal;
use crate::kernel::{Address, Link};
use crate::{Family, InterfaceName, LogicalName};

impl Engine {
    /// The device of an interface.
    pub(super) fn device(&self, name: &InterfaceName) -> Result<&Link, Refusal> {
        self.link(name).ok_or(Refusal::NoSuchInterface)
    }

    /// Refuses an interface that is plumbed for no family.
    pub(super) fn plumbed(&self, name: &InterfaceName) -> Result<(), Refusal> {
        let is_plumbed = Family::ALL
            .iter()
            .any(|&family| self.is_plumbed(name, family));
        if is_plumbed {
            Ok(())
        } else {
            Err(Refusal::NoSuchInterface)
        }
    }

    /// Whether an interface is known to IP for a family: by our doing, or by an address of somebody
    /// else's.
    pub(super) fn is_plumbed(&self, name: &InterfaceName, family: Family) -> bool {
        self.asked
            .interfaces
            .get(name)
            .is_some_and(|i| i.families.contains(&family))
            || self.has_foreign_of(name, family)
    }

    /// Makes an interface that somebody else configured one of ours.
    pub(super) fn adopt_plumbed(&mut self, name: &InterfaceName) {
        let families: Vec<Family> = Family::ALL
            .into_iter()
            .filter(|&family| self.is_plumbed(name, family))
            .collect();
        let interface = self.asked.interfaces.entry(name.clone()).or_default();
        interface.families.extend(families);
    }

    /// The logical called `name`: one of ours by where it is, by where it belongs if its interface is
    /// absent, or somebody else's, which becomes ours by being named.
    pub(super) fn logical(
        &mut self,
        name: &LogicalName,
        family: Family,
    ) -> Result<&mut Logical, Refusal> {
        if self.find(name, family).is_none()
            && let Some((home, address)) = self.foreign_named(name, family)
        {
            self.adopt_address(&home, &address);
        }
        let Some(home) = self.find(name, family) else {
            let refusal = if self.is_home(name, family) {
                Refusal::Placeholder
            } else {
                Refusal::NoSuchInterface
            };
            return Err(refusal);
        };
        self.asked
            .logicals
            .iter_mut()
            .find(|logical| logical.home == home && logical.family() == family)
            .ok_or(Refusal::NoSuchInterface)
    }

    /// Where the logical called `name` belongs.
    pub(super) fn find(&self, name: &LogicalName, family: Family) -> Option<LogicalName> {
        let mut logicals = self.asked.logicals.iter().filter(|l| l.family() == family);
        let is_absent = self.link(&name.interface).is_none();
        logicals
            .find(|logical| {
                if is_absent {
                    logical.home == *name
                } else {
                    self.place_of(logical) == *name
                }
            })
            .map(|logical| logical.home.clone())
    }

    /// The logical that has an address.
    pub(super) fn with_address(&self, ip: IpAddr) -> Option<&Logical> {
        let mut logicals = self.asked.logicals.iter();
        logicals.find(|logical| logical.address.ip == ip)
    }

    /// Whether a logical belongs here, wherever it is.
    pub(super) fn is_home(&self, name: &LogicalName, family: Family) -> bool {
        self.homed_at(name, family).is_some()
    }

    pub(super) fn foreign_at(&self, name: &LogicalName, family: Family) -> bool {
        self.foreign_named(name, family).is_some()
    }

    /// Somebody else's logical called `name`.
    pub(super) fn foreign_named(
        &self,
        name: &LogicalName,
        family: Family,
    ) -> Option<(LogicalName, Address)> {
        let foreign = self.foreign_logicals(&name.interface);
        let mut foreign = foreign.into_iter();
        foreign.find(|(there, address)| there == name && address.address.family() == family)
    }

    /// Refuses an address that another logical has.
    pub(super) fn refuse_in_use(
        &self,
        ip: IpAddr,
        except: Option<(&LogicalName, Family)>,
    ) -> Result<(), Refusal> {
        if ip.is_unspecified() {
            return Ok(());
        }
        let excepted = except.and_then(|(name, family)| self.find(name, family));
        let holder =
            self.asked.logicals.iter().find(|logical| {
                logical.address.ip == ip && excepted.as_ref() != Some(&logical.home)
            });
        if let Some(logical) = holder {
            return Err(Refusal::AddressInUse(self.place_of(logical)));
        }
        let on = self
            .kernel
            .addresses
            .keys()
            .filter(|(_, address)| address.ip == ip);
        let links = on.filter_map(|(index, _)| self.kernel.links.get(index));
        for link in links {
            let foreign = self.foreign_logicals(&link.name);
            let used = foreign.into_iter().find(|(name, address)| {
                address.address.ip == ip && except.is_none_or(|(excepted, _)| excepted != name)
            });
            if let Some((name, _)) = used {
                return Err(Refusal::AddressInUse(name));
            }
        }
        Ok(())
    }
}
