//! Plans: ordered operations on the kernel.

mod plain;
mod planner;

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::kernel::{Form, Hop, Nexthop, Route, Sysctl, TABLE_MAIN, Via};
use crate::{InterfaceAddress, InterfaceName, MacAddress};

pub(crate) use plain::is_settled;
pub use planner::{FIRST_NEXTHOP, plan};

/// One operation on the kernel. Each is carried out whole or not at all, and its result comes back
/// in [`crate::Event::Applied`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Configure an address. One that is there already is success.
    AddAddress(NewAddress),
    /// Remove an address. One that is not there is success.
    RemoveAddress {
        /// Index of the link.
        index: u32,
        /// The address with its prefix length.
        address: InterfaceAddress,
    },
    /// Make a nexthop object or replace the one of this number.
    SetNexthop(Nexthop),
    /// Remove a nexthop object, and with it the routes through it. One that is not there is success.
    RemoveNexthop(u32),
    /// Install a route in front of others in its slot.
    AddRoute(Route),
    /// Replace the route of ours in its slot in one step.
    ReplaceRoute(Route),
    /// Remove a route. One that is not there is success.
    RemoveRoute(Route),
    /// Set a link administratively up or down.
    SetUp {
        /// Index of the link.
        index: u32,
        /// Up or down.
        up: bool,
    },
    /// Give a link another hardware address. Links whose driver cannot change it while up are set
    /// down for it.
    SetMac {
        /// Index of the link.
        index: u32,
        /// The new hardware address.
        mac: MacAddress,
    },
    /// Set a link's largest packet.
    SetMtu {
        /// Index of the link.
        index: u32,
        /// In bytes.
        mtu: u32,
    },
    /// Set a sysctl of a link.
    SetSysctl {
        /// Index of the link, by which the engine knows it.
        index: u32,
        /// Name of the link, by which the file is found.
        interface: InterfaceName,
        /// Which.
        sysctl: Sysctl,
        /// To what.
        value: i32,
    },
}

/// An address to be configured. Unless it is to be a plain one, it gets [`crate::kernel::PROTOCOL`] as
/// its protocol, and no duplicate address detection delays it (`IFA_F_NODAD`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NewAddress {
    /// Index of the link.
    pub index: u32,
    /// The address and its prefix length.
    pub address: InterfaceAddress,
    /// IPv4 broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// IPv4 label.
    pub label: Option<String>,
    /// Not to be used as a source (preferred lifetime 0).
    pub deprecated: bool,
    /// Without an on-link route of the kernel's making.
    pub no_prefix_route: bool,
    /// How it is to be if it is not to be ours: put back as somebody else made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<Plain>,
}

/// What an address has that is not ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Plain {
    /// Who configured it (`IFA_PROTO`); 0 where nobody said.
    pub protocol: u8,
    /// What else the kernel keeps of it.
    pub form: Form,
}

/// Operations in the order in which they are to be carried out. All are tried, also after one has
/// failed: a netlink batch is no transaction, and the next plan mends what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan {
    /// The operations.
    pub operations: Vec<Operation>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

/// Why an operation failed: what the kernel said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationError {
    /// The error number, positive (`errno`).
    pub errno: i32,
    /// The kernel's own sentence where it gave one, else the error number's text.
    pub text: String,
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for OperationError {}

/// What a route is called.
fn named(route: &Route) -> String {
    match route.table {
        TABLE_MAIN => route.destination.to_string(),
        table => format!("{} of table {table}", route.destination),
    }
}

impl Operation {
    /// The index of the link that it is about, if it is about one.
    pub const fn link(&self) -> Option<u32> {
        match self {
            Self::AddAddress(new) => Some(new.index),
            Self::SetNexthop(nexthop) => match nexthop.hop {
                Hop::Link { index, .. } => Some(index),
                Hop::Group(_) => None,
            },
            Self::AddRoute(route) | Self::ReplaceRoute(route) | Self::RemoveRoute(route) => {
                match route.via {
                    Via::Link { index, .. } => Some(index),
                    _ => None,
                }
            }
            Self::RemoveAddress { index, .. }
            | Self::SetUp { index, .. }
            | Self::SetMac { index, .. }
            | Self::SetMtu { index, .. }
            | Self::SetSysctl { index, .. } => Some(*index),
            Self::RemoveNexthop(_) => None,
        }
    }

    /// One line, for the journal, in which `name` says what a link of an index is called.
    pub fn text(&self, name: impl Fn(u32) -> String) -> String {
        match self {
            Self::AddAddress(new) => format!("add address {} on {}", new.address, name(new.index)),
            Self::RemoveAddress { index, address } => {
                format!("remove address {address} on {}", name(*index))
            }
            Self::SetNexthop(nexthop) => match &nexthop.hop {
                Hop::Link { index, gateway, .. } => {
                    let via = gateway.map_or_else(String::new, |gateway| format!(" via {gateway}"));
                    format!("set nexthop {} to {}{via}", nexthop.id, name(*index))
                }
                Hop::Group(members) => format!("set nexthop {} to group {members:?}", nexthop.id),
            },
            Self::RemoveNexthop(id) => format!("remove nexthop {id}"),
            Self::AddRoute(route) => format!("add route {}", named(route)),
            Self::ReplaceRoute(route) => format!("replace route {}", named(route)),
            Self::RemoveRoute(route) => format!("remove route {}", named(route)),
            Self::SetUp { index, up: true } => format!("set {} up", name(*index)),
            Self::SetUp { index, up: false } => format!("set {} down", name(*index)),
            Self::SetMac { index, mac } => {
                format!("set hardware address of {} to {mac}", name(*index))
            }
            Self::SetMtu { index, mtu } => format!("set mtu of {} to {mtu}", name(*index)),
            Self::SetSysctl {
                interface,
                sysctl,
                value,
                ..
            } => format!("set {} of {interface} to {value}", sysctl.file().1),
        }
    }
}

impl fmt::Display for Operation {
    /// The same for who does not know what links are called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(|index| format!("link {index}")))
    }
}
