//! One consistent picture of everything, for those who look.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::Outage;
use crate::totals::Totals;
use crate::{
    Family, Flags, GroupName, InterfaceAddress, InterfaceName, LogicalName, MacAddress, Time,
};

/// Gives each state its word, the same in tables, sentences, JSON and metrics.
macro_rules! words {
    ($($type:ident { $($state:ident $word:literal),* $(,)? })*) => {$(
        impl $type {
            /// The word for it: lower case, and the same wherever it is shown.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$state => $word),*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )*};
}

words! {
    InterfaceState { Ok "ok", Failed "failed", Offline "offline", Unknown "unknown" }
    LinkState { Up "up", Down "down", Unknown "unknown" }
    ProbeState { Ok "ok", Failed "failed", Unknown "unknown", Disabled "disabled" }
    TargetMode {
        Routes "routes", Multicast "multicast", Configured "configured", Arp "arp",
        Disabled "disabled",
    }
    GroupState { Ok "ok", Degraded "degraded", Failed "failed" }
}

/// Everything there is to see, taken at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// Plumbed interfaces: loopback first, then by name and instance.
    pub interfaces: Vec<Interface>,
    /// Groups by name; the anonymous group last.
    pub groups: Vec<Group>,
    /// Whether each interface has its own hardware address (`eeprom local-mac-address?`).
    pub local_mac_address: bool,
    /// The last failovers and failbacks, oldest first; ones under way are last.
    #[serde(default)]
    pub outages: Vec<Outage>,
    /// What another hand undoes again and again, so that it is left alone for a while.
    #[serde(default)]
    pub contested: Vec<Contested>,
    /// Addresses that another host has.
    #[serde(default)]
    pub conflicts: Vec<Conflict>,
    /// What the kernel refuses.
    #[serde(default)]
    pub failing: Vec<Failing>,
    /// What was counted since the daemon was started.
    #[serde(default)]
    pub totals: Totals,
    /// The daemon itself; `None` in what is shown without one.
    #[serde(default)]
    pub daemon: Option<Daemon>,
}

/// The daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Daemon {
    /// Its version.
    pub version: String,
    /// When it was started, as time since 1970 in UTC, by the clock of that moment.
    pub started: Duration,
    /// How often it read anew all that the kernel holds.
    pub resyncs: Resyncs,
}

/// How often the daemon read anew all that the kernel holds, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Resyncs {
    /// It was time to: a look that should find nothing new.
    pub periodic: u64,
    /// The kernel had more to tell than the socket could hold, so that some of it is lost.
    pub overrun: u64,
    /// A link had lost its carrier and the kernel had not told.
    pub carrier: u64,
    /// An operation failed, or a device came back.
    pub doubt: u64,
}

/// Something that another hand undoes again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Contested {
    /// What, as `address 192.168.0.88 on ge1`.
    pub what: String,
    /// The interface it is about, if it is about one.
    pub interface: Option<InterfaceName>,
    /// The address it is about, if it is about one.
    pub address: Option<IpAddr>,
    /// Since when it is left alone.
    pub since: Time,
    /// Who undoes it, as far as the kernel tells.
    pub by: Option<String>,
    /// When it is tried again; `None` while it is not known yet whether it stays.
    pub again: Option<Time>,
}

/// An address that another host has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Conflict {
    /// Which.
    pub address: IpAddr,
    /// The interface on which the other host was heard last.
    pub interface: InterfaceName,
    /// The other host's hardware address.
    pub mac: MacAddress,
    /// Since when.
    pub since: Time,
    /// When it was heard last.
    pub heard: Time,
    /// Whether the address is not brought up for that. One that was in service when the other host came
    /// stays.
    pub withheld: bool,
    /// When it is tried again whether it can be brought up; `None` if it is not withheld.
    pub again: Option<Time>,
}

/// Something that the kernel refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failing {
    /// What, as `arp_ignore of ge1`.
    pub what: String,
    /// The interface it is about, if it is about one.
    pub interface: Option<InterfaceName>,
    /// The address it is about, if it is about one.
    pub address: Option<IpAddr>,
    /// Since when.
    pub since: Time,
    /// What the kernel says.
    pub reason: String,
    /// How often it was tried.
    pub times: u32,
    /// When it is tried again.
    pub again: Time,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Interface {
    /// Its name; `lo` stays `lo` here and is printed as `lo0` by `ifconfig`.
    pub name: InterfaceName,
    /// The kernel's number for it; `None` while it is absent.
    pub index: Option<u32>,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Hardware address.
    pub mac: Option<MacAddress>,
    /// Its group.
    pub group: Option<GroupName>,
    /// Whether detection watches it: it is in a group, or everything is watched.
    pub tracked: bool,
    /// Whether it works.
    pub state: InterfaceState,
    /// Link state.
    pub link: LinkState,
    /// Probe state, over both families.
    pub probe: ProbeState,
    /// Whether it is in use for data: functioning, up, not inactive, not offline.
    pub active: bool,
    /// Set aside until needed by configuration.
    pub standby: bool,
    /// Carries no data at present though it works.
    pub inactive: bool,
    /// Offlined because another member has the same hardware address.
    pub duplicate_mac: bool,
    /// Has no address that is up.
    pub down: bool,
    /// What its kernel refused of late, in one line; such an address is on another member, if any takes
    /// it.
    #[serde(default)]
    pub refused: Option<String>,
    /// Until when it counts as failed though nothing says any more that it does not work: it failed too often of late,
    /// or is to prove itself for longer. Only as long as another member works.
    #[serde(default)]
    pub held_until: Option<Time>,
    /// Takes IPv4 broadcast and multicast, or IPv6 multicast, for its group.
    pub nominee: Vec<Family>,
    /// Its logicals: IPv4 by unit, then IPv6 by unit. A placeholder stands where unit 0 is away.
    pub logicals: Vec<Logical>,
    /// Probing, one entry for each family it could be done in.
    pub probing: Vec<Probing>,
}

/// A logical interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Logical {
    /// Where it is.
    pub name: LogicalName,
    /// Where it belongs.
    pub home: LogicalName,
    /// Address and prefix length; `0.0.0.0/0` for a placeholder or an interface without address.
    pub address: InterfaceAddress,
    /// IPv4 broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// All flags, its own and its interface's.
    pub flags: Flags,
    /// Metric.
    pub metric: u32,
    /// Largest packet; 0 for a placeholder.
    pub mtu: u32,
    /// Whether it only holds the place of an address that is elsewhere.
    pub placeholder: bool,
    /// Where the administrator moved it (`ipmp move`), instead of home.
    #[serde(default)]
    pub moved_to: Option<InterfaceName>,
    /// Whether the administrator set it down, or did not bring it up yet. One that is not UP without
    /// this is kept down: another host has it, others are being asked for it, or its interface is out of
    /// service.
    #[serde(default)]
    pub set_down: bool,
}

impl Logical {
    /// Whether it is a data address: one that may move.
    pub fn is_data(&self) -> bool {
        !self.placeholder && self.address.is_data(self.flags)
    }
}

/// How an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceState {
    /// Works.
    Ok,
    /// Does not work.
    Failed,
    /// Taken out of service.
    Offline,
    /// Link is up, and there is no target to tell more.
    Unknown,
}

/// What the link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// Signal on the line.
    Up,
    /// No signal, administratively down, or absent.
    Down,
    /// The driver does not tell.
    Unknown,
}

/// What probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeState {
    /// Answered.
    Ok,
    /// Not answered.
    Failed,
    /// No target was found.
    Unknown,
    /// There is no (unique) test address.
    Disabled,
}

/// How targets were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetMode {
    /// They are routers out of the main routing table.
    Routes,
    /// They are hosts that answered a multicast, or that the neighbour table names.
    Multicast,
    /// The administrator has named them.
    Configured,
    /// There is no test address: they are asked by ARP and neighbour solicitations, however they were
    /// found.
    Arp,
    /// There is no probing.
    Disabled,
}

/// Probing of one interface in one family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Probing {
    /// The family.
    pub family: Family,
    /// How targets were found.
    pub mode: TargetMode,
    /// The test address.
    pub test_address: Option<IpAddr>,
    /// Targets in the order in which they will be probed next.
    pub targets: Vec<Target>,
    /// What the probes say.
    pub state: ProbeState,
    /// Unicast probes sent.
    pub sent: u64,
    /// Probes answered.
    pub acknowledged: u64,
    /// Probes that were not answered in time.
    #[serde(default)]
    pub lost: u64,
    /// Replies that belonged to no probe.
    pub unknown: u64,
    /// Sends that were skipped because the daemon was late.
    pub missed: u64,
    /// Probes whose fate is not known because the daemon was late; they count for nothing.
    pub void: u64,
    /// How often a late probe led to a burst of probes.
    pub confirmations: u64,
    /// Of an interface that has failed: how many probes in a row were answered since, up to the ten with
    /// which it counts as repaired.
    #[serde(default)]
    pub answered_again: u64,
}

impl Probing {
    /// Whether a target has answered by the means that are in use. What was acknowledged before a test
    /// address came up counts as well, but ended another quiet period.
    pub fn is_answered(&self) -> bool {
        let mut targets = self.targets.iter();
        targets.any(|target| target.rtt_average.is_some())
    }
}

/// A probe target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Target {
    /// Its address.
    pub address: IpAddr,
    /// Smoothed round trip time, once measured.
    pub rtt_average: Option<Duration>,
    /// Smoothed mean deviation of the round trip time, once measured.
    pub rtt_deviation: Option<Duration>,
}

/// How a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupState {
    /// All members are usable.
    Ok,
    /// Some are, some are not.
    Degraded,
    /// None is.
    Failed,
}

impl GroupState {
    /// How a group is of whose members so many are usable.
    pub const fn of(usable: usize, members: usize) -> Self {
        if usable == 0 {
            Self::Failed
        } else if usable < members {
            Self::Degraded
        } else {
            Self::Ok
        }
    }
}

/// A group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Group {
    /// Its name; `None` for the anonymous group.
    pub name: Option<GroupName>,
    /// How it is.
    pub state: GroupState,
    /// Failure detection time in force; `None` when no member probes.
    pub failure_detection_time: Option<Duration>,
    /// Members in use for data.
    pub active: Vec<InterfaceName>,
    /// Working members that wait.
    pub inactive: Vec<InterfaceName>,
    /// All other members.
    pub unusable: Vec<InterfaceName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_json() {
        fn same<T: Serialize + fmt::Display>(states: &[T]) {
            for state in states {
                let json = serde_json::to_value(state).unwrap();
                assert_eq!(json, state.to_string());
            }
        }
        same(&[
            InterfaceState::Ok,
            InterfaceState::Failed,
            InterfaceState::Offline,
            InterfaceState::Unknown,
        ]);
        same(&[LinkState::Up, LinkState::Down, LinkState::Unknown]);
        same(&[
            ProbeState::Ok,
            ProbeState::Failed,
            ProbeState::Unknown,
            ProbeState::Disabled,
        ]);
        same(&[
            TargetMode::Routes,
            TargetMode::Multicast,
            TargetMode::Configured,
            TargetMode::Arp,
            TargetMode::Disabled,
        ]);
        same(&[GroupState::Ok, GroupState::Degraded, GroupState::Failed]);
        assert_eq!(format!("{:<8}|", GroupState::Ok), "ok      |");
    }
}
