//! What the administrator asked for, kept apart from where things are now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::kernel::{Address, AddressKey, Hop, Route, Sysctl};
use crate::plan::Operation;
use crate::{Family, Flags, GroupName, InterfaceAddress, InterfaceName, LogicalName};

/// What the administrator asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Plumbed interfaces, the absent ones too.
    pub interfaces: BTreeMap<InterfaceName, Interface>,
    /// Logicals in the order in which they were created. `(home, family)` is unique.
    pub logicals: Vec<Logical>,
    /// Whether each interface gets its own hardware address at the next plumb; `None` leaves
    /// hardware addresses alone.
    pub local_mac: Option<bool>,
}

/// What was asked for one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Families it is plumbed for.
    pub families: BTreeSet<Family>,
    /// Its group.
    pub group: Option<GroupName>,
    /// Set aside until needed.
    pub standby: bool,
    /// Taken out of service (`if_mpadm -d`).
    pub offline: bool,
}

/// A logical: an address with its flags and the place where it belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logical {
    /// Where it belongs.
    pub home: LogicalName,
    /// Address and prefix length; unspecified while none was given.
    pub address: InterfaceAddress,
    /// IPv4 broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// Its own flags: UP, DEPRECATED, NOFAILOVER and the like, never those of its interface.
    pub flags: Flags,
    /// Metric.
    pub metric: u32,
    /// Where the administrator moved it (`ipmp move`): it is there whenever that interface works, and
    /// at home at other times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<InterfaceName>,
}

impl Logical {
    /// The family.
    pub const fn family(&self) -> Family {
        self.address.family()
    }

    /// Whether it is configured for use.
    pub fn is_up(&self) -> bool {
        self.flags.contains(Flags::UP) && !self.address.ip.is_unspecified()
    }

    /// Whether it may move: a data address.
    pub fn is_movable(&self) -> bool {
        self.address.is_data(self.flags)
    }
}

/// What outlives the daemon. Where addresses are is read from the kernel, not from here; `places`
/// only tells which unit an address has that the kernel cannot name (IPv6, long interface names,
/// logicals that are down).
///
/// | version | has |
/// |---|---|
/// | 1 | what has no default here |
/// | 2 | `found`, `retired`, `unfinished` and `links`, and `moved_to` of logicals |
///
/// Older versions are read, with nothing in what they do not have. A member that is added is one more
/// version: an older daemon refuses members that it does not know, and the version says why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// [`Saved::VERSION`] of the daemon that wrote it.
    pub version: u32,
    /// What was asked for.
    pub asked: Asked,
    /// Logicals that are not at home: where they belong, family, where they are.
    pub places: Vec<(LogicalName, Family, LogicalName)>,
    /// Interfaces that are marked failed.
    pub failed: BTreeSet<InterfaceName>,
    /// Those of them whose probes were lost while their link was up.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub silent: BTreeSet<InterfaceName>,
    /// Sysctls as they were before their interface joined a group.
    pub sysctls: Vec<(InterfaceName, Sysctl, i32)>,
    /// Addresses as they were before they became ours, by the interface they are on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub found: BTreeMap<InterfaceName, Vec<Address>>,
    /// Numbers of our nexthop objects.
    pub nexthops: Vec<(NexthopKey, u32)>,
    /// Routes of others that ours stand in front of, with the interface they go through.
    pub shadowed: Vec<(InterfaceName, Route)>,
    /// Addresses that were ours and are to go, while the kernel still holds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<AddressKey>,
    /// Operations that a command asked for, until they are done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<Operation>,
    /// The links that plumbed interfaces had, by number; `None` if the interface was absent. A device
    /// that was exchanged while no daemon ran has another.
    #[serde(default)]
    pub links: BTreeMap<InterfaceName, Option<u32>>,
}

impl Saved {
    /// Version of the format that is written. One that is newer is not read.
    pub const VERSION: u32 = 3;
}

/// What a nexthop object of ours is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NexthopKey {
    /// One link, with or without a gateway.
    Link(Hop),
    /// All usable members of a group, with or without a gateway.
    Group {
        /// Which group.
        group: GroupName,
        /// Address family.
        family: Family,
        /// The gateway.
        gateway: Option<std::net::IpAddr>,
    },
}
