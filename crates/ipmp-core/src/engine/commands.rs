//! What commands change. Each changes what was asked for; what follows from that is settled as after
//! any other event. A command that is refused changes nothing.

use std::net::{IpAddr, Ipv4Addr};

use super::Engine;
use crate::asked::Logical;
use crate::command::{Answer, Command, Refusal};
use crate::kernel::{Link, LinkKind};
use crate::plan::Operation;
use crate::{
    Action, Family, Flags, GroupName, InterfaceAddress, InterfaceName, LogicalName, MacAddress,
    Time,
};

/// Flags of a logical that the administrator may set.
const SETTABLE: Flags = Flags(
    Flags::UP.0
        | Flags::DEPRECATED.0
        | Flags::NOFAILOVER.0
        | Flags::PRIVATE.0
        | Flags::NOXMIT.0
        | Flags::NOLOCAL.0
        | Flags::PREFERRED.0
        | Flags::ANYCAST.0
        | Flags::NOTRAILERS.0
        | Flags::NONUD.0
        | Flags::ROUTER.0,
);

/// Smallest MTU each family works with: RFC 791 and RFC 8200 section 5.
const MIN_MTU: u32 = 68;

pub(super) type Outcome = Result<Answer, Refusal>;

impl Engine {
    /// Changes what was asked for.
    pub(super) fn command(
        &mut self,
        now: Time,
        command: Command,
        actions: &mut Vec<Action>,
    ) -> Outcome {
        match command {
            Command::Plumb {
                logical,
                family,
                absent,
            } => self.plumb(&logical, family, absent),
            Command::Unplumb { logical, family } => self.unplumb(&logical, family),
            Command::SetAddress { logical, address } => self.set_address(&logical, address),
            Command::SetPrefix {
                logical,
                family,
                prefix,
            } => {
                if prefix > family.bits() {
                    let reason = format!("'{prefix}' is not an {family} prefix length");
                    return Err(Refusal::Invalid(reason));
                }
                let logical = self.logical(&logical, family)?;
                logical.address = InterfaceAddress::new(logical.address.ip, prefix);
                logical.broadcast = default_broadcast(logical.address);
                Ok(Answer::Done)
            }
            Command::SetBroadcast { logical, broadcast } => {
                let logical = self.logical(&logical, Family::Inet)?;
                logical.broadcast = broadcast.or_else(|| default_broadcast(logical.address));
                Ok(Answer::Done)
            }
            Command::AddLogical { interface, address } => self.add_logical(&interface, address),
            Command::RemoveAddress { interface, address } => {
                self.remove_address(&interface, address)
            }
            Command::SetFlag {
                logical,
                family,
                flag,
                on,
                wait: _,
            } => self.set_flag(&logical, family, flag, on),
            Command::AwaitChecks => Ok(Answer::Done),
            Command::SetGroup { interface, group } => self.set_group(&interface, group),
            Command::SetStandby { interface, on } => self.set_standby(&interface, on),
            Command::SetFailed { interface, on } => {
                self.plumbed(&interface)?;
                if !self.is_tracked(&interface) {
                    return Err(Refusal::NotInGroup);
                }
                super::report(self.detection.set_failed(now, &interface, on), actions);
                Ok(Answer::Done)
            }
            Command::SetMetric {
                logical,
                family,
                metric,
            } => {
                self.logical(&logical, family)?.metric = metric;
                Ok(Answer::Done)
            }
            Command::SetMtu { interface, mtu } => {
                let index = self.device(&interface)?.index;
                if mtu < MIN_MTU {
                    return Err(Refusal::Invalid(format!("mtu below {MIN_MTU}")));
                }
                self.once.push(Operation::SetMtu { index, mtu });
                Ok(Answer::Done)
            }
            Command::SetMac { interface, mac } => {
                let index = self.device(&interface)?.index;
                if !mac.is_unicast() {
                    return Err(Refusal::Invalid(
                        "not a unicast hardware address".to_owned(),
                    ));
                }
                self.once.push(Operation::SetMac { index, mac });
                Ok(Answer::Done)
            }
            Command::Offline { interface } => self.offline(now, &interface),
            Command::Online { interface } => self.online(&interface),
            Command::Move { address, interface } => self.move_address(now, address, &interface),
            Command::Teardown => Ok(self.tear_down()),
            Command::SetLocalMac { local } => {
                self.asked.local_mac = local;
                Ok(Answer::Done)
            }
        }
    }

    fn plumb(&mut self, name: &LogicalName, family: Family, absent: bool) -> Outcome {
        let link = self.link(&name.interface).cloned();
        if link.is_none() && !absent {
            return Err(Refusal::NoSuchInterface);
        }
        if name.unit > 0 {
            self.plumbed(&name.interface)?;
            let is_taken = self.find(name, family).is_some()
                || self.is_home(name, family)
                || self.foreign_at(name, family);
            if is_taken {
                return Ok(Answer::AlreadyExists);
            }
            self.asked.logicals.push(unset(name.clone(), family));
            return Ok(Answer::Done);
        }
        if self.is_plumbed(&name.interface, family) {
            return Ok(Answer::AlreadyExists);
        }
        let interface = self
            .asked
            .interfaces
            .entry(name.interface.clone())
            .or_default();
        interface.families.insert(family);
        self.asked.logicals.push(unset(name.clone(), family));
        if let Some(link) = link {
            if let Some(mac) = self.mac_at_plumb(&link) {
                self.once.push(Operation::SetMac {
                    index: link.index,
                    mac,
                });
            }
            if !link.up {
                self.once.push(Operation::SetUp {
                    index: link.index,
                    up: true,
                });
            }
        }
        self.adopt_link_local();
        Ok(Answer::Done)
    }

    /// The hardware address an interface is to get when it is plumbed, if it has another one now:
    /// its own or the host's shared one, as `local-mac-address?` says.
    fn mac_at_plumb(&self, link: &Link) -> Option<MacAddress> {
        let now = link.mac?;
        if link.kind != LinkKind::Broadcast {
            return None;
        }
        let wanted = if self.asked.local_mac? {
            let is_shared = self
                .kernel
                .links
                .values()
                .any(|other| other.index != link.index && other.mac == Some(now));
            match link.permanent_mac {
                Some(permanent) => permanent,
                None if is_shared => made_up(now, &link.name),
                None => now,
            }
        } else {
            let first = self
                .kernel
                .links
                .values()
                .filter(|link| link.kind == LinkKind::Broadcast && link.mac.is_some())
                .min_by_key(|link| &link.name)?;
            first.permanent_mac.or(first.mac)?
        };
        (wanted != now).then_some(wanted)
    }

    fn unplumb(&mut self, name: &LogicalName, family: Family) -> Outcome {
        if name.unit > 0 {
            let home = self.logical(name, family)?.home.clone();
            if home.unit == 0 {
                return Err(Refusal::CannotRemovePhysical);
            }
            self.remove_logical(&home, family);
            return Ok(Answer::Done);
        }
        if self
            .link(&name.interface)
            .is_some_and(|link| link.kind == LinkKind::Loopback)
        {
            return Err(Refusal::Invalid("the loopback interface stays".to_owned()));
        }
        if !self.is_plumbed(&name.interface, family) {
            return Err(Refusal::NoSuchInterface);
        }
        let own: Vec<LogicalName> = self
            .asked
            .logicals
            .iter()
            .filter(|l| l.home.interface == name.interface && l.family() == family)
            .map(|logical| logical.home.clone())
            .collect();
        for home in own {
            self.remove_logical(&home, family);
        }
        let foreign: Vec<_> = self
            .foreign(&name.interface)
            .filter(|a| a.address.family() == family && !a.address.is_link_local6())
            .map(|address| (address.index, address.address))
            .collect();
        self.retired.extend(foreign);
        if let Some(interface) = self.asked.interfaces.get_mut(&name.interface) {
            interface.families.remove(&family);
            if interface.families.is_empty() {
                self.asked.interfaces.remove(&name.interface);
            }
        }
        self.forget_moves(&name.interface, &[family]);
        let is_gone = !self.asked.interfaces.contains_key(&name.interface);
        if let Some(link) = self.link(&name.interface)
            && is_gone
            && link.up
        {
            self.once.push(Operation::SetUp {
                index: link.index,
                up: false,
            });
        }
        Ok(Answer::Done)
    }

    fn set_address(&mut self, name: &LogicalName, address: InterfaceAddress) -> Outcome {
        self.refuse_in_use(address.ip, Some((name, address.family())))?;
        let family = address.family();
        let logical = self.logical(name, family)?;
        let old = std::mem::replace(&mut logical.address, address);
        logical.broadcast = default_broadcast(address);
        if old.ip != address.ip {
            // It was the old one that was moved.
            logical.moved_to = None;
        }
        let home = logical.home.clone();
        let place = self.places.get(&(home.clone(), family)).unwrap_or(&home);
        if old != address
            && !old.ip.is_unspecified()
            && !old.is_link_local6()
            && let Some(index) = self.link(&place.interface).map(|link| link.index)
        {
            self.retired.insert((index, old));
        }
        if address.ip.is_unspecified() {
            // There is nothing to be elsewhere.
            self.places.remove(&(home, family));
        }
        Ok(Answer::Done)
    }

    fn add_logical(&mut self, name: &InterfaceName, address: InterfaceAddress) -> Outcome {
        let family = address.family();
        if !self.is_plumbed(name, family) {
            return Err(Refusal::NoSuchInterface);
        }
        self.refuse_in_use(address.ip, None)?;
        let home = LogicalName::new(name.clone(), self.free_unit(name, family));
        self.asked
            .interfaces
            .entry(name.clone())
            .or_default()
            .families
            .insert(family);
        self.asked.logicals.push(Logical {
            address,
            broadcast: default_broadcast(address),
            ..unset(home.clone(), family)
        });
        Ok(Answer::Created(self.lend(&home, family)))
    }

    /// Has a new logical of an interface that waits, as addresses do not come home by themselves, wait where
    /// those are; where it is.
    fn lend(&mut self, home: &LogicalName, family: Family) -> LogicalName {
        let name = &home.interface;
        let own = self.asked.interfaces.get(name);
        let waits = self.is_inactive(name) && own.is_some_and(|own| !own.standby);
        let mut others = self.asked.interfaces.iter().filter(|_| waits);
        let other = others.find(|(other, interface)| {
            interface.group.as_ref() == self.group_of(name)
                && interface.families.contains(&family)
                && self.link(other).is_some()
                && !self.failed.contains(*other)
                && !self.is_offline(other)
                && !self.is_inactive(other)
        });
        let Some(other) = other.map(|(other, _)| other.clone()) else {
            return home.clone();
        };
        let unit = self.free_unit(&other, family);
        let place = LogicalName::new(other, unit);
        self.set_place(home, family, place.clone());
        place
    }

    fn remove_address(&mut self, name: &InterfaceName, ip: IpAddr) -> Outcome {
        let family = Family::of(ip);
        let group = self.group_of(name).cloned();
        let home = self
            .asked
            .logicals
            .iter()
            .filter(|logical| logical.address.ip == ip)
            .find(|logical| {
                logical.home.interface == *name
                    || self.place_of(logical).interface == *name
                    || (group.is_some() && self.group_of(&logical.home.interface) == group.as_ref())
            })
            .map(|logical| logical.home.clone());
        match home {
            Some(home) if home.unit == 0 => Err(Refusal::CannotRemovePhysical),
            Some(home) => {
                self.remove_logical(&home, family);
                Ok(Answer::Done)
            }
            None => {
                let foreign = self
                    .foreign(name)
                    .find(|address| address.address.ip == ip)
                    .map(|address| (address.index, address.address));
                self.retired.insert(foreign.ok_or(Refusal::NoSuchAddress)?);
                Ok(Answer::Done)
            }
        }
    }

    fn set_flag(&mut self, name: &LogicalName, family: Family, flag: Flags, on: bool) -> Outcome {
        if !SETTABLE.contains(flag) {
            return Err(Refusal::Invalid(format!("flag {flag} cannot be set")));
        }
        let logical = self.logical(name, family)?;
        logical.flags = logical.flags.with(flag, on);
        if flag.contains(Flags::NOFAILOVER) && on {
            // A test address is where its interface is, whatever that is good for.
            logical.moved_to = None;
            let home = logical.home.clone();
            self.places.remove(&(home, family));
        }
        Ok(Answer::Done)
    }

    fn set_group(&mut self, name: &InterfaceName, group: Option<GroupName>) -> Outcome {
        self.plumbed(name)?;
        let link = self.link(name).cloned();
        if let (Some(group), Some(link)) = (&group, &link) {
            if !Self::is_groupable(link) {
                return Err(Refusal::NotGroupable);
            }
            let twin = self.asked.interfaces.iter().find(|(other, interface)| {
                *other != name
                    && interface.group.as_ref() == Some(group)
                    && link.mac.is_some()
                    && self
                        .kernel
                        .link(other)
                        .is_some_and(|other| other.mac == link.mac)
            });
            if let Some((twin, _)) = twin {
                return Err(Refusal::DuplicateMac(twin.clone()));
            }
        }
        if group.is_some() {
            self.adopt_plumbed(name);
            self.adopt_interface(name);
        }
        let is_other = self.group_of(name) != group.as_ref();
        if let Some(interface) = self.asked.interfaces.get_mut(name) {
            if is_other {
                interface.offline = false;
            }
            interface.group = group;
        }
        if is_other {
            self.forget_moves(name, &Family::ALL);
        }
        Ok(Answer::Done)
    }

    fn set_standby(&mut self, name: &InterfaceName, on: bool) -> Outcome {
        self.plumbed(name)?;
        let is_standby = self.asked.interfaces.get(name).is_some_and(|i| i.standby);
        if on && !is_standby && self.is_inactive(name) {
            return Err(Refusal::InactiveByFailback);
        }
        self.adopt_plumbed(name);
        if let Some(interface) = self.asked.interfaces.get_mut(name) {
            interface.standby = on;
        }
        Ok(Answer::Done)
    }

    fn remove_logical(&mut self, home: &LogicalName, family: Family) {
        let place = self
            .places
            .remove(&(home.clone(), family))
            .unwrap_or_else(|| home.clone());
        let on = [place.interface, home.interface.clone()];
        let links: Vec<u32> = on
            .iter()
            .filter_map(|name| self.link(name))
            .map(|link| link.index)
            .collect();
        let removed = |logical: &Logical| logical.home == *home && logical.family() == family;
        for logical in self
            .asked
            .logicals
            .iter()
            .filter(|logical| removed(logical))
        {
            // The kernel's own link-local address stays with its link.
            if !logical.address.is_link_local6() {
                self.retired
                    .extend(links.iter().map(|&index| (index, logical.address)));
            }
        }
        self.asked.logicals.retain(|logical| !removed(logical));
    }
}

/// A logical without an address.
fn unset(home: LogicalName, family: Family) -> Logical {
    Logical {
        home,
        address: InterfaceAddress::new(family.unspecified(), 0),
        broadcast: None,
        flags: Flags::NONE,
        metric: 0,
        moved_to: None,
    }
}

fn default_broadcast(address: InterfaceAddress) -> Option<Ipv4Addr> {
    // RFC 3021: a subnet of two has no broadcast address.
    address
        .default_broadcast()
        .filter(|_| address.prefix < 31 && !address.ip.is_unspecified())
}

/// A locally administered hardware address for an interface whose maker gave it none of its own: the
/// same whenever it is asked for, different for each name.
fn made_up(shared: MacAddress, name: &InterfaceName) -> MacAddress {
    // FNV-1a, to spread name and shared address over the octets.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in shared.0.iter().chain(name.as_str().as_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut octets = [0; 6];
    for (octet, byte) in octets.iter_mut().zip(hash.to_be_bytes()) {
        *octet = byte;
    }
    // Bit 1 of the first octet: locally administered; bit 0 clear: unicast (IEEE 802).
    octets[0] = (octets[0] & 0xfc) | 0x02;
    MacAddress(octets)
}
