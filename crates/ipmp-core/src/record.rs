//! The history: every change of state is one record, with its cause.
//!
//! Records are made by comparing what is with what was (`engine/chronicle.rs`), so that no way of
//! changing something can be without one. Their JSON, with `kind` as the tag, is what `ipmp events`
//! prints and what hooks get (docs/json.md); members are added, never renamed.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::Severity;
use crate::snapshot::{GroupState, InterfaceState, LinkState};
use crate::time::{
    milliseconds, optional_milliseconds, optional_time_in_milliseconds, time_in_milliseconds,
};
use crate::{GroupName, InterfaceName, LogicalName, MacAddress, Time};

/// Something changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// An interface's state.
    Interface {
        /// Which.
        interface: InterfaceName,
        /// Its group.
        group: Option<GroupName>,
        /// How it was; `None` if it was not watched.
        from: Option<InterfaceState>,
        /// How it is; `None` if it is not watched any more.
        to: Option<InterfaceState>,
        /// Why.
        cause: Cause,
    },
    /// The link of an interface that is watched.
    Link {
        /// Which.
        interface: InterfaceName,
        /// Its group.
        group: Option<GroupName>,
        /// How it is.
        to: LinkState,
    },
    /// A group's state.
    Group {
        /// Which.
        group: GroupName,
        /// How it was; `None` if it is new.
        from: Option<GroupState>,
        /// How it is; `None` if it is no more.
        to: Option<GroupState>,
        /// The member whose change made the difference, if one did.
        interface: Option<InterfaceName>,
        /// Why that one changed.
        cause: Option<Cause>,
    },
    /// A data address is received on another interface.
    Address {
        /// Which.
        address: IpAddr,
        /// Its group.
        group: Option<GroupName>,
        /// Where it belongs.
        home: LogicalName,
        /// Where it was; `None` if it is new.
        from: Option<InterfaceName>,
        /// Where it is; `None` if it is no more.
        to: Option<InterfaceName>,
        /// Why.
        cause: Cause,
    },
    /// A failover, failback or move is complete.
    Outage(Outage),
    /// Another hand undoes something again and again, or does not any more.
    Contest {
        /// What.
        what: String,
        /// The interface it is about, if it is about one.
        interface: Option<InterfaceName>,
        /// The address it is about, if it is about one.
        address: Option<IpAddr>,
        /// Who undoes it, as far as the kernel tells.
        by: Option<String>,
        /// Whether it is contested now.
        contested: bool,
    },
    /// Another host has an address, or has it no more.
    Conflict {
        /// Which.
        address: IpAddr,
        /// Its group.
        group: Option<GroupName>,
        /// Where the other host was heard last.
        interface: InterfaceName,
        /// Its hardware address.
        mac: MacAddress,
        /// Whether the address is, or was, not brought up for that.
        withheld: bool,
        /// Whether there is a conflict now.
        conflict: bool,
    },
    /// Anything else the daemon has to say.
    Message {
        /// How much it matters.
        severity: Severity,
        /// What, in the words of the journal.
        message: String,
    },
}

/// Why something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The link went down.
    LinkDown,
    /// The link came up.
    LinkUp,
    /// Probes were not answered.
    ProbesLost,
    /// Probes are answered.
    ProbesAnswered,
    /// No target answers discovery, so that probes cannot tell.
    NoTarget,
    /// The device is gone.
    DeviceGone,
    /// The device is back.
    DeviceBack,
    /// Another member of the group has the same hardware address.
    DuplicateMac,
    /// The hardware address is its own again.
    UniqueMac,
    /// It was marked failed when the daemon started.
    FailedBefore,
    /// Somebody asked for it: `if_mpadm`, `ifconfig`, `ipmp`.
    Administrator,
    /// The interface where it was failed.
    InterfaceFailed,
    /// The interface where it was was taken out of service.
    InterfaceOffline,
    /// The interface where it belongs can have it again.
    HomeUsable,
    /// The interface the administrator moved it to can have it again.
    MovedToUsable,
}

impl Cause {
    /// Its word in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinkDown => "link_down",
            Self::LinkUp => "link_up",
            Self::ProbesLost => "probes_lost",
            Self::ProbesAnswered => "probes_answered",
            Self::NoTarget => "no_target",
            Self::DeviceGone => "device_gone",
            Self::DeviceBack => "device_back",
            Self::DuplicateMac => "duplicate_mac",
            Self::UniqueMac => "unique_mac",
            Self::FailedBefore => "failed_before",
            Self::Administrator => "administrator",
            Self::InterfaceFailed => "interface_failed",
            Self::InterfaceOffline => "interface_offline",
            Self::HomeUsable => "home_usable",
            Self::MovedToUsable => "moved_to_usable",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LinkDown => "its link is down",
            Self::LinkUp => "its link is up",
            Self::ProbesLost => "its probes were not answered",
            Self::ProbesAnswered => "its probes are answered",
            Self::NoTarget => "no target answers",
            Self::DeviceGone => "its device is gone",
            Self::DeviceBack => "its device is back",
            Self::DuplicateMac => "another member has its hardware address",
            Self::UniqueMac => "its hardware address is its own again",
            Self::FailedBefore => "it was marked failed before",
            Self::Administrator => "asked for",
            Self::InterfaceFailed => "the interface failed",
            Self::InterfaceOffline => "the interface was taken out of service",
            Self::HomeUsable => "the interface it belongs to works",
            Self::MovedToUsable => "the interface it was moved to works",
        })
    }
}

/// Which way addresses went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Away from an interface.
    Failover,
    /// Home, or to where the administrator moved them, when that works again.
    Failback,
    /// To where the administrator wants them.
    Move,
}

impl Direction {
    /// Its word, in sentences, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Failback => "failback",
            Self::Move => "move",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a failover, failback or move took. All but [`Outage::declared`] are lengths of time, written as
/// milliseconds with three decimals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// Which way.
    pub direction: Direction,
    /// The interface that lost its addresses, got them back, or was given them.
    pub interface: InterfaceName,
    /// Its group.
    pub group: Option<GroupName>,
    /// Why it was done.
    pub cause: Cause,
    /// When it was decided, on the clock of the host that never goes backwards.
    #[serde(rename = "declared_ms", with = "time_in_milliseconds")]
    pub declared: Time,
    /// When the interface was last known to work, on the same clock. `None` where nothing had failed, or
    /// nothing was known.
    #[serde(
        default,
        rename = "last_good_ms",
        with = "optional_time_in_milliseconds"
    )]
    pub last_good: Option<Time>,
    /// What showed it.
    #[serde(default)]
    pub last_good_by: Option<Evidence>,
    /// How long that was before it was declared failed: the failure is no older than this, and may be
    /// younger.
    #[serde(rename = "detection_ms", with = "optional_milliseconds")]
    pub detection: Option<Duration>,
    /// How long after that the kernel had all addresses in their place; `None` while it has not.
    #[serde(rename = "move_ms", with = "optional_milliseconds")]
    pub moved: Option<Duration>,
    /// How long after that all neighbours had been told once; `None` while they have not, or if there
    /// was nobody to tell.
    #[serde(rename = "told_ms", with = "optional_milliseconds")]
    pub told: Option<Duration>,
    /// Which addresses.
    pub addresses: Vec<Moved>,
}

/// What showed that an interface worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The answer to a probe.
    Reply,
    /// Its link was asked, and had a carrier.
    Carrier,
}

/// An address that went elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The address.
    pub address: IpAddr,
    /// Where to.
    pub to: InterfaceName,
}

impl Record {
    /// The interface it is about, if it is about one.
    pub const fn interface(&self) -> Option<&InterfaceName> {
        match self {
            Self::Interface { interface, .. }
            | Self::Link { interface, .. }
            | Self::Conflict { interface, .. }
            | Self::Outage(Outage { interface, .. }) => Some(interface),
            Self::Group { interface, .. } | Self::Contest { interface, .. } => interface.as_ref(),
            Self::Address { from, to, .. } => match to {
                Some(to) => Some(to),
                None => from.as_ref(),
            },
            Self::Message { .. } => None,
        }
    }

    /// The group it is about, if it is about one.
    pub const fn group(&self) -> Option<&GroupName> {
        match self {
            Self::Interface { group, .. }
            | Self::Link { group, .. }
            | Self::Address { group, .. }
            | Self::Conflict { group, .. }
            | Self::Outage(Outage { group, .. }) => group.as_ref(),
            Self::Group { group, .. } => Some(group),
            Self::Contest { .. } | Self::Message { .. } => None,
        }
    }

    /// Its kind, as it stands in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Interface { .. } => "interface",
            Self::Link { .. } => "link",
            Self::Group { .. } => "group",
            Self::Address { .. } => "address",
            Self::Outage(_) => "outage",
            Self::Contest { .. } => "contest",
            Self::Conflict { .. } => "conflict",
            Self::Message { .. } => "message",
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface {
                interface,
                from,
                to,
                cause,
                ..
            } => match (from, to) {
                (None, Some(to)) => write!(f, "{interface} is watched: {to}"),
                (_, Some(to)) => write!(f, "{interface} is {to}: {cause}"),
                (_, None) => write!(f, "{interface} is not watched any more"),
            },
            Self::Link { interface, to, .. } => write!(f, "link of {interface} is {to}"),
            Self::Group {
                group,
                to,
                interface,
                cause,
                ..
            } => match (to, interface, cause) {
                (None, ..) => write!(f, "group {group} is no more"),
                (Some(to), Some(interface), Some(cause)) => {
                    write!(f, "group {group} is {to}: {interface}: {cause}")
                }
                (Some(to), ..) => write!(f, "group {group} is {to}"),
            },
            Self::Address {
                address,
                from,
                to,
                cause,
                ..
            } => match (from, to) {
                (Some(from), Some(to)) => write!(f, "{address} went from {from} to {to}: {cause}"),
                (None, Some(to)) => write!(f, "{address} is on {to}"),
                (_, None) => write!(f, "{address} is nowhere"),
            },
            Self::Outage(outage) => outage.fmt(f),
            Self::Contest {
                what,
                by,
                contested: true,
                ..
            } => {
                let by = by.as_deref().unwrap_or("another hand");
                write!(f, "{what} is contested: {by} undoes it again and again")
            }
            Self::Contest { what, .. } => write!(f, "{what} is not contested any more"),
            Self::Conflict {
                address,
                interface,
                mac,
                withheld,
                conflict: true,
                ..
            } => {
                let so = if *withheld {
                    "it is not brought up"
                } else {
                    "it stays"
                };
                write!(f, "{address} is in use by {mac} on {interface}: {so}")
            }
            Self::Conflict { address, .. } => {
                write!(f, "{address} is in conflict with no other host any more")
            }
            Self::Message { message, .. } => f.write_str(message),
        }
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let preposition = match self.direction {
            Direction::Failover => "from",
            Direction::Failback | Direction::Move => "to",
        };
        let count = self.addresses.len();
        let plural = if count == 1 { "" } else { "es" };
        let Self {
            direction,
            interface,
            ..
        } = self;
        write!(
            f,
            "{direction} {preposition} {interface}: {count} address{plural}"
        )?;
        if let Some(time) = self.detection {
            write!(f, ", detected in {}", Milliseconds(time))?;
        }
        match self.moved {
            Some(time) => write!(f, ", moved in {}", Milliseconds(time))?,
            None => f.write_str(", moving")?,
        }
        match self.told {
            Some(time) => write!(f, ", neighbours told after {}", Milliseconds(time)),
            None if self.moved.is_some() => f.write_str(", no neighbours told"),
            None => Ok(()),
        }
    }
}

/// A length of time as people read it.
struct Milliseconds(Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = milliseconds(self.0);
        if value < 10.0 {
            write!(f, "{value:.1} ms")
        } else {
            write!(f, "{value:.0} ms")
        }
    }
}
