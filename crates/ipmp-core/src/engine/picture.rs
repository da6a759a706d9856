//! The snapshot: what there is to see.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::asked::Logical;
use crate::detect::Health;
use crate::kernel::{Address, Link, LinkKind};
use crate::snapshot::{
    self, Group, GroupState, Interface, InterfaceState, LinkState, ProbeState, Snapshot,
};
use crate::{Family, Flags, GroupName, InterfaceAddress, InterfaceName, LogicalName};

impl Engine {
    /// Everything there is to see.
    pub fn snapshot(&self) -> Snapshot {
        let mut names: BTreeSet<&InterfaceName> = self.asked.interfaces.keys().collect();
        names.extend(
            self.kernel
                .links
                .values()
                .map(|link| &link.name)
                .filter(|name| self.is_visible(name)),
        );
        // Once, as a host may have thousands of logicals and hundreds of interfaces.
        let mut present: BTreeMap<InterfaceName, Vec<(&Logical, LogicalName)>> = BTreeMap::new();
        for logical in &self.asked.logicals {
            let place = self.place_of(logical);
            match present.get_mut(&place.interface) {
                Some(there) => there.push((logical, place)),
                None => {
                    present.insert(place.interface.clone(), vec![(logical, place)]);
                }
            }
        }
        let mut interfaces: Vec<Interface> = names
            .into_iter()
            .map(|name| self.interface(name, present.remove(name).unwrap_or_default()))
            .collect();
        interfaces.sort_by(|one, other| {
            (!one.loopback)
                .cmp(&!other.loopback)
                .then_with(|| one.name.instance().cmp(&other.name.instance()))
        });
        let groups = self.group_pictures(&interfaces);
        Snapshot {
            interfaces,
            groups,
            local_mac_address: self.local_mac_address(),
            outages: self.outages.seen(),
            totals: self.totals.seen(),
            daemon: None,
            contested: self.contested(),
            conflicts: self.conflicts.seen(),
            failing: self.failing(),
        }
    }

    /// Whether an interface that leads somewhere is plumbed for IPv6.
    fn uses_inet6(&self) -> bool {
        self.kernel
            .links
            .values()
            .filter(|link| link.kind != LinkKind::Loopback)
            .any(|link| self.is_plumbed(&link.name, Family::Inet6))
    }

    fn is_visible(&self, name: &InterfaceName) -> bool {
        Family::ALL
            .iter()
            .any(|&family| self.is_plumbed(name, family))
    }

    /// The stored wish, or else what is: whether no two interfaces share a hardware address.
    ///
    /// Devices that do so by nature do not count: a bridge, a bond or a VLAN has the address of what
    /// is below it, one of the two is plumbed and the upper one has no permanent address.
    fn local_mac_address(&self) -> bool {
        self.asked.local_mac.unwrap_or_else(|| {
            let links = self
                .kernel
                .links
                .values()
                .filter(|link| link.kind == LinkKind::Broadcast && link.mac.is_some());
            let (plumbed, rest): (Vec<&Link>, Vec<&Link>) =
                links.partition(|link| self.is_visible(&link.name));
            let is_below = |link: &Link| {
                plumbed
                    .iter()
                    .any(|upper| upper.permanent_mac.is_none() && upper.mac == link.mac)
            };
            let mut counted = plumbed.clone();
            counted.extend(
                rest.iter()
                    .filter(|link| link.permanent_mac.is_some() && !is_below(link)),
            );
            if counted.is_empty() {
                counted = rest;
            }
            let mut seen = BTreeSet::new();
            counted.iter().all(|link| seen.insert(link.mac))
        })
    }

    fn interface(&self, name: &InterfaceName, present: Vec<(&Logical, LogicalName)>) -> Interface {
        let link = self.link(name);
        let asked = self.asked.interfaces.get(name).cloned().unwrap_or_default();
        let state = self.state(name, link);
        let inactive = self.is_inactive(name);
        let logicals = self.logical_pictures(name, present, link);
        let down = !logicals
            .iter()
            .any(|logical| logical.flags.contains(Flags::UP));
        let probing = self.detection.probing(name);
        let works = matches!(state, InterfaceState::Ok | InterfaceState::Unknown);
        let active = works && link.is_some() && !inactive && !down;
        Interface {
            name: name.clone(),
            index: link.map(|link| link.index),
            loopback: link.is_some_and(|link| link.kind == LinkKind::Loopback),
            mac: link.and_then(|link| link.mac),
            // A member that is absent is missed all the same.
            tracked: self.is_tracked(name) || asked.group.is_some(),
            state,
            link: match link {
                Some(link) if link.is_running() => LinkState::Up,
                _ => LinkState::Down,
            },
            probe: probe_state(state, &probing),
            active,
            standby: asked.standby,
            inactive,
            duplicate_mac: self.duplicates.contains_key(name),
            refused: self.refusal(name),
            held_until: self.detection.held_until(name),
            down,
            nominee: self.nominations(name, asked.group.as_ref()),
            group: asked.group,
            logicals,
            probing,
        }
    }

    pub(super) fn state(&self, name: &InterfaceName, link: Option<&Link>) -> InterfaceState {
        if self.is_offline(name) {
            InterfaceState::Offline
        } else if self.failed.contains(name) || link.is_none() {
            InterfaceState::Failed
        } else {
            match self.detection.health(name) {
                Some(Health::Failed) => InterfaceState::Failed,
                Some(Health::NoTargets) => InterfaceState::Unknown,
                Some(Health::Ok) | None => InterfaceState::Ok,
            }
        }
    }

    /// Families in which an interface is the one of its group that takes broadcast and multicast: the
    /// first that is in use.
    fn nominations(&self, name: &InterfaceName, group: Option<&GroupName>) -> Vec<Family> {
        let Some(group) = group else {
            return Vec::new();
        };
        Family::ALL
            .into_iter()
            .filter(|family| {
                let first = self.asked.interfaces.iter().find(|(member, interface)| {
                    interface.group.as_ref() == Some(group)
                        && interface.families.contains(family)
                        && self.link(member).is_some()
                        && !self.failed.contains(*member)
                        && !self.is_offline(member)
                        && !self.is_inactive(member)
                });
                first.is_some_and(|(member, _)| member == name)
            })
            .collect()
    }

    fn logical_pictures(
        &self,
        name: &InterfaceName,
        present: Vec<(&Logical, LogicalName)>,
        link: Option<&Link>,
    ) -> Vec<snapshot::Logical> {
        let mut logicals: Vec<snapshot::Logical> = present
            .into_iter()
            .map(|(logical, place)| self.picture(logical, place, link))
            .collect();
        let departed = self
            .homed(name)
            .filter(|logical| logical.home.unit == 0 && self.place_of(logical).interface != *name);
        logicals.extend(departed.map(|logical| self.placeholder(logical, link)));
        let loopback = link.is_some_and(|link| link.kind == LinkKind::Loopback);
        for (place, address) in self.foreign_logicals(name) {
            // The kernel always has ::1. It counts once somebody uses IPv6.
            if loopback && address.address.family() == Family::Inet6 && !self.uses_inet6() {
                continue;
            }
            logicals.push(self.foreign_picture(place, &address, link));
        }
        logicals.sort_by_key(|logical| (logical.address.family(), logical.name.unit));
        logicals
    }

    fn picture(
        &self,
        logical: &Logical,
        name: LogicalName,
        link: Option<&Link>,
    ) -> snapshot::Logical {
        let family = logical.family();
        let is_refused = link.is_some_and(|link| self.is_refused_as_duplicate(logical, link.index));
        let is_duplicate = is_refused || self.conflicts.is_taken(logical.address.ip);
        let own = logical
            .flags
            .with(Flags::UP, self.is_effectively_up(logical))
            .with(Flags::DUPLICATE, is_duplicate);
        let own = if logical.address.ip.is_unspecified() {
            own.with(Flags::UP, logical.flags.contains(Flags::UP))
        } else {
            own
        };
        snapshot::Logical {
            flags: own | self.interface_flags(&name.interface, link, family),
            name,
            home: logical.home.clone(),
            address: logical.address,
            broadcast: logical.broadcast,
            metric: logical.metric,
            mtu: link.map_or(0, |link| link.mtu),
            placeholder: false,
            moved_to: logical.moved_to.clone(),
            set_down: !logical.flags.contains(Flags::UP),
        }
    }

    /// What holds the place of unit 0 while its address is elsewhere: its flags, never up, never
    /// moving.
    fn placeholder(&self, departed: &Logical, link: Option<&Link>) -> snapshot::Logical {
        let family = departed.family();
        let own = departed.flags.with(Flags::UP | Flags::DUPLICATE, false) | Flags::NOFAILOVER;
        snapshot::Logical {
            name: departed.home.clone(),
            home: departed.home.clone(),
            address: InterfaceAddress::new(family.unspecified(), 0),
            broadcast: None,
            flags: own | self.interface_flags(&departed.home.interface, link, family),
            metric: 0,
            mtu: 0,
            placeholder: true,
            moved_to: None,
            set_down: false,
        }
    }

    fn foreign_picture(
        &self,
        name: LogicalName,
        address: &Address,
        link: Option<&Link>,
    ) -> snapshot::Logical {
        let family = address.address.family();
        let own = Flags::UP
            .with(Flags::DEPRECATED, address.deprecated)
            .with(Flags::DUPLICATE, address.duplicate)
            .with(Flags::DHCP, address.dynamic && family == Family::Inet)
            .with(Flags::ADDRCONF, address.dynamic && family == Family::Inet6);
        snapshot::Logical {
            flags: own | self.interface_flags(&name.interface, link, family),
            home: name.clone(),
            name,
            address: address.address,
            broadcast: address.broadcast,
            metric: 0,
            mtu: link.map_or(0, |link| link.mtu),
            placeholder: false,
            moved_to: None,
            set_down: false,
        }
    }

    /// Flags that every logical of an interface shows.
    fn interface_flags(&self, name: &InterfaceName, link: Option<&Link>, family: Family) -> Flags {
        let version = match family {
            Family::Inet => Flags::IPV4,
            Family::Inet6 => Flags::IPV6,
        };
        let link_flags = match link.map(|link| link.kind) {
            Some(LinkKind::Loopback) => Flags::LOOPBACK | Flags::MULTICAST,
            Some(LinkKind::Other) => Flags::POINTOPOINT,
            // IPv6 has no broadcast.
            Some(LinkKind::Broadcast) | None if family == Family::Inet6 => Flags::MULTICAST,
            Some(LinkKind::Broadcast) | None => Flags::BROADCAST | Flags::MULTICAST,
        };
        let standby = self
            .asked
            .interfaces
            .get(name)
            .is_some_and(|interface| interface.standby);
        (version | link_flags)
            .with(Flags::RUNNING, link.is_some_and(Link::is_running))
            .with(Flags::FAILED, self.failed.contains(name))
            .with(Flags::STANDBY, standby)
            .with(Flags::INACTIVE, self.is_inactive(name))
            .with(Flags::OFFLINE, self.is_offline(name))
    }

    fn group_pictures(&self, interfaces: &[Interface]) -> Vec<Group> {
        let mut names: Vec<Option<GroupName>> = self.groups().into_iter().map(Some).collect();
        if interfaces.iter().any(|i| i.tracked && i.group.is_none()) {
            names.push(None);
        }
        names
            .into_iter()
            .map(|name| {
                let members = || {
                    interfaces
                        .iter()
                        .filter(|i| i.group == name && (name.is_some() || i.tracked))
                };
                let class = |wanted: Class| {
                    members()
                        .filter(|i| class(i) == wanted)
                        .map(|i| i.name.clone())
                        .collect()
                };
                let usable = members().filter(|i| class_usable(i)).count();
                let probes = members().any(|i| i.probe != ProbeState::Disabled);
                Group {
                    state: GroupState::of(usable, members().count()),
                    failure_detection_time: probes
                        .then(|| self.detection.failure_detection_time(name.as_ref())),
                    active: class(Class::Active),
                    inactive: class(Class::Inactive),
                    unusable: class(Class::Unusable),
                    name,
                }
            })
            .collect()
    }
}

/// How `ipmpstat -g` sorts members.
#[derive(PartialEq, Eq)]
enum Class {
    Active,
    Inactive,
    Unusable,
}

fn class(interface: &Interface) -> Class {
    if interface.active {
        Class::Active
    } else if interface.inactive && class_usable(interface) {
        Class::Inactive
    } else {
        Class::Unusable
    }
}

/// Functioning, and at least one address is up. A standby that waits counts.
fn class_usable(interface: &Interface) -> bool {
    matches!(
        interface.state,
        InterfaceState::Ok | InterfaceState::Unknown
    ) && interface.index.is_some()
        && !interface.down
}

fn probe_state(state: InterfaceState, probing: &[snapshot::Probing]) -> ProbeState {
    let mut states = probing.iter().map(|probing| probing.state);
    if probing
        .iter()
        .all(|probing| probing.state == ProbeState::Disabled)
    {
        ProbeState::Disabled
    } else if state == InterfaceState::Failed {
        ProbeState::Failed
    } else if states.clone().any(|state| state == ProbeState::Ok) {
        ProbeState::Ok
    } else if states.any(|state| state == ProbeState::Unknown) {
        ProbeState::Unknown
    } else {
        ProbeState::Failed
    }
}
