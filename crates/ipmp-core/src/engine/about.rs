//! What an operation is about, for people to read.

use std::net::IpAddr;

use super::Engine;
use crate::InterfaceName;
use crate::kernel::Hop;
use crate::plan::Operation;

impl Engine {
    /// What to call a link: by its number where its name is not known.
    pub(super) fn call(&self, index: u32) -> String {
        let name = self.link_name(index);
        name.map_or_else(|| format!("link {index}"), ToString::to_string)
    }

    /// What an operation is about, in words that name the interface.
    pub(super) fn name_of(&self, operation: &Operation) -> String {
        let on = |index: &u32| self.call(*index);
        match operation {
            Operation::AddAddress(new) => {
                format!("address {} on {}", new.address.ip, on(&new.index))
            }
            Operation::RemoveAddress { index, address } => {
                format!("removal of address {} from {}", address.ip, on(index))
            }
            Operation::SetNexthop(nexthop) => match &nexthop.hop {
                Hop::Link { index, .. } => format!("nexthop {} on {}", nexthop.id, on(index)),
                Hop::Group(_) => format!("nexthop group {}", nexthop.id),
            },
            Operation::RemoveNexthop(id) => format!("removal of nexthop {id}"),
            Operation::AddRoute(route) | Operation::ReplaceRoute(route) => {
                format!("route to {}", route.destination)
            }
            Operation::RemoveRoute(route) => format!("removal of route to {}", route.destination),
            Operation::SetUp { index, up } => {
                format!("state {} of {}", if *up { "up" } else { "down" }, on(index))
            }
            Operation::SetMac { index, .. } => format!("hardware address of {}", on(index)),
            Operation::SetMtu { index, .. } => format!("mtu of {}", on(index)),
            Operation::SetSysctl {
                interface, sysctl, ..
            } => format!("{} of {interface}", sysctl.file().1),
        }
    }

    /// The interface and the address that an operation is about, if it is about one.
    pub(super) fn about(&self, operation: &Operation) -> (Option<InterfaceName>, Option<IpAddr>) {
        let name = |index: &u32| self.kernel.links.get(index).map(|link| link.name.clone());
        match operation {
            Operation::AddAddress(new) => (name(&new.index), Some(new.address.ip)),
            Operation::RemoveAddress { index, address } => (name(index), Some(address.ip)),
            Operation::SetNexthop(nexthop) => match &nexthop.hop {
                Hop::Link { index, .. } => (name(index), None),
                Hop::Group(_) => (None, None),
            },
            Operation::SetUp { index, .. }
            | Operation::SetMac { index, .. }
            | Operation::SetMtu { index, .. } => (name(index), None),
            Operation::SetSysctl { interface, .. } => (Some(interface.clone()), None),
            Operation::RemoveNexthop(_)
            | Operation::AddRoute(_)
            | Operation::ReplaceRoute(_)
            | Operation::RemoveRoute(_) => (None, None),
        }
    }
}
