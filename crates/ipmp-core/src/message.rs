//! The daemon's messages. Administrators have had rules on their wording for twenty years
//! (manual `in.mpathd`, DIAGNOSTICS).

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Family, GroupName, InterfaceName, MacAddress};

/// How much a message matters, in syslog's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something broke or was mended.
    Error,
    /// Something deserves attention.
    Warning,
    /// Good to know.
    Info,
}

/// Why other hosts were not asked for an address before it was brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unasked {
    /// No link ran on which they could have been.
    NoLink,
    /// No question left the host, however often it was tried.
    AskingFailed,
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLink => "no link",
            Self::AskingFailed => "asking failed",
        })
    }
}

macro_rules! interface_messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        /// Something the daemon has to say.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Message {
            $($(#[$doc])* $name { $($(#[$fdoc])* $field: $type),* },)*
        }
    };
}

interface_messages! {
    /// An interface failed.
    NicFailed {
        /// Which.
        interface: InterfaceName,
        /// Of which group; `None` in the anonymous group.
        group: Option<GroupName>,
    }
    /// An interface was repaired.
    NicRepaired {
        /// Which.
        interface: InterfaceName,
        /// Of which group; `None` in the anonymous group.
        group: Option<GroupName>,
    }
    /// Addresses moved from a failed interface.
    FailedOver {
        /// From where.
        from: InterfaceName,
        /// To where.
        to: InterfaceName,
    }
    /// Addresses came home.
    FailedBack {
        /// Whose addresses.
        to: InterfaceName,
    }
    /// An address is where the administrator moved it.
    Moved {
        /// Which.
        address: IpAddr,
        /// From where.
        from: InterfaceName,
        /// To where.
        to: InterfaceName,
    }
    /// No interface of a group works.
    GroupFailed {
        /// Which group.
        group: GroupName,
    }
    /// The first interface of a failed group works again.
    GroupRepaired {
        /// Which.
        interface: InterfaceName,
        /// Of which group.
        group: GroupName,
    }
    /// Carrier lost.
    LinkDown {
        /// Where.
        interface: InterfaceName,
    }
    /// Carrier back.
    LinkUp {
        /// Where.
        interface: InterfaceName,
    }
    /// Repair is held back: too many link-ups within a minute.
    FlapHold {
        /// Where.
        interface: InterfaceName,
        /// How many a minute are allowed.
        allowed: u32,
    }
    /// An interface fails again and again.
    FlapDamped {
        /// Which.
        interface: InterfaceName,
        /// How long it is held back.
        hold: Duration,
    }
    /// Targets answer on the link layer, but no echo requests.
    TargetsSilent {
        /// Where.
        interface: InterfaceName,
    }
    /// No member of a group is answered by the hosts that were found for it, and nobody asked for probes: that
    /// is no failure.
    HostsSilent {
        /// Which group.
        group: GroupName,
    }
    /// The failure detection time had to grow.
    DetectionTimeRaised {
        /// What was asked for.
        requested: Duration,
        /// Where it was noticed.
        interface: InterfaceName,
        /// For which family.
        family: Family,
        /// Which group has it now.
        group: Option<GroupName>,
        /// What it is now.
        now: Duration,
    }
    /// The failure detection time could be lowered.
    DetectionTimeImproved {
        /// Where it was noticed.
        interface: InterfaceName,
        /// For which family.
        family: Family,
        /// Which group has it now.
        group: Option<GroupName>,
        /// What it is now.
        now: Duration,
    }
    /// An interface has no test address.
    NoTestAddress {
        /// Which.
        interface: InterfaceName,
    }
    /// An interface has a test address now.
    TestAddress {
        /// Which.
        interface: InterfaceName,
    }
    /// The same test address stands on two members of a group.
    TestAddressNotUnique {
        /// The address.
        address: IpAddr,
        /// Which member.
        interface: InterfaceName,
    }
    /// A test address is unique again.
    TestAddressUnique {
        /// The address.
        address: IpAddr,
        /// Which member.
        interface: InterfaceName,
    }
    /// A member lacks a family that the group has.
    FamilyMissing {
        /// Which member.
        interface: InterfaceName,
        /// Of which group.
        group: GroupName,
        /// Which family.
        family: Family,
    }
    /// A member has the family now.
    FamilyConsistent {
        /// Which member.
        interface: InterfaceName,
        /// Of which group.
        group: GroupName,
        /// Which family.
        family: Family,
    }
    /// A member's device is gone.
    InterfaceRemoved {
        /// Which.
        interface: InterfaceName,
    }
    /// A member has the same hardware address as another one.
    DuplicateMac {
        /// Which.
        interface: InterfaceName,
        /// Which other.
        twin: InterfaceName,
    }
    /// A member's hardware address is its own again.
    UniqueMac {
        /// Which.
        interface: InterfaceName,
    }
    /// Two interfaces share a subnet but not a group.
    SubnetAcrossGroups {
        /// One.
        interface: InterfaceName,
        /// The other.
        other: InterfaceName,
    }
    /// A group has standbys but nothing for which to stand by.
    OnlyStandbys {
        /// Which group.
        group: GroupName,
    }
    /// Another hand undid something; it is done again.
    Undone {
        /// What.
        what: String,
        /// How many other things at the same time.
        more: usize,
        /// Who.
        by: String,
    }
    /// Another hand undoes something again and again; it is left alone for a while.
    Contested {
        /// What.
        what: String,
        /// Who, if that is known.
        by: Option<String>,
    }
    /// What was contested is not undone any more, or not wanted.
    Uncontested {
        /// What.
        what: String,
    }
    /// An address is not brought up, as another host has it.
    AddressTaken {
        /// Which.
        address: IpAddr,
        /// Where the other host was heard.
        interface: InterfaceName,
        /// Its hardware address.
        mac: MacAddress,
    }
    /// An address that was not brought up is, as no other host has it any more.
    AddressFree {
        /// Which.
        address: IpAddr,
    }
    /// An address was brought up though it is not known whether another host has it.
    AddressUnasked {
        /// Which.
        address: IpAddr,
        /// How many other addresses at the same time.
        more: usize,
        /// Why nobody was asked.
        reason: Unasked,
    }
    /// Another host has an address that is in service.
    AddressClaimed {
        /// Which.
        address: IpAddr,
        /// Where the other host was heard.
        interface: InterfaceName,
        /// Its hardware address.
        mac: MacAddress,
    }
    /// No other host has an address in service any more.
    AddressUnclaimed {
        /// Which.
        address: IpAddr,
    }
    /// The kernel refused an operation.
    OperationFailed {
        /// The operation, as text.
        operation: String,
        /// What the kernel said.
        reason: String,
    }
}

impl Message {
    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::NoTestAddress { .. }
            | Self::TestAddress { .. }
            | Self::TestAddressUnique { .. }
            | Self::FamilyConsistent { .. }
            | Self::InterfaceRemoved { .. }
            | Self::UniqueMac { .. }
            | Self::Moved { .. }
            | Self::Undone { .. }
            | Self::Uncontested { .. }
            | Self::AddressFree { .. }
            | Self::AddressUnclaimed { .. }
            | Self::DetectionTimeImproved { .. } => Severity::Info,
            Self::SubnetAcrossGroups { .. }
            | Self::OnlyStandbys { .. }
            | Self::FlapHold { .. }
            | Self::FlapDamped { .. }
            | Self::TargetsSilent { .. }
            | Self::HostsSilent { .. }
            | Self::FamilyMissing { .. }
            | Self::AddressUnasked { .. }
            | Self::DetectionTimeRaised { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

fn of_group(group: Option<&GroupName>) -> String {
    group.map_or_else(String::new, |group| format!(" of group {group}"))
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NicFailed { interface, group } => {
                write!(
                    f,
                    "NIC failure detected on {interface}{}",
                    of_group(group.as_ref())
                )
            }
            Self::NicRepaired { interface, group } => {
                write!(
                    f,
                    "NIC repair detected on {interface}{}",
                    of_group(group.as_ref())
                )
            }
            Self::FailedOver { from, to } => {
                write!(f, "Successfully failed over from NIC {from} to NIC {to}")
            }
            Self::FailedBack { to } => write!(f, "Successfully failed back to NIC {to}"),
            Self::Moved { address, from, to } => {
                write!(f, "Moved {address} from NIC {from} to NIC {to} as asked")
            }
            Self::GroupFailed { group } => {
                write!(f, "All Interfaces in group {group} have failed")
            }
            Self::GroupRepaired { interface, group } => {
                write!(
                    f,
                    "At least 1 interface ({interface}) of group {group} has repaired"
                )
            }
            Self::LinkDown { interface } => write!(f, "The link has gone down on {interface}"),
            Self::LinkUp { interface } => write!(f, "The link has come up on {interface}"),
            Self::FlapHold { interface, allowed } => write!(
                f,
                "The link on {interface} came up more than {allowed} times within a minute; \
                 failback is held until it is stable"
            ),
            Self::FlapDamped { interface, hold } => write!(
                f,
                "NIC {interface} fails again and again; failback is held for {} s",
                hold.as_secs().max(1)
            ),
            Self::TargetsSilent { interface } => write!(
                f,
                "The probe targets of {interface} answer ARP or neighbour solicitations, but no echo \
                 requests; the interface is not blamed"
            ),
            Self::HostsSilent { group } => write!(
                f,
                "No host answers on any interface of group {group} any more; until one does, links alone \
                 decide"
            ),
            Self::DetectionTimeRaised {
                requested,
                interface,
                family,
                group,
                now,
            } => write!(
                f,
                "Cannot meet requested failure detection time of {} ms on ({family} {interface}); \
                 new failure detection time{} is {} ms",
                requested.as_millis(),
                of_group(group.as_ref()),
                now.as_millis()
            ),
            Self::DetectionTimeImproved {
                interface,
                family,
                group,
                now,
            } => write!(
                f,
                "Improved failure detection time {} ms on ({family} {interface}){}",
                now.as_millis(),
                of_group(group.as_ref())
            ),
            Self::NoTestAddress { interface } => write!(
                f,
                "No test address configured on interface {interface}; \
                 disabling probe-based failure detection on it"
            ),
            Self::TestAddress { interface } => write!(
                f,
                "Test address now configured on interface {interface}; \
                 enabling probe-based failure detection on it"
            ),
            Self::TestAddressNotUnique { address, interface } => write!(
                f,
                "Test address {address} is not unique in group; \
                 disabling probe-based failure detection on {interface}"
            ),
            Self::TestAddressUnique { address, interface } => write!(
                f,
                "Test address {address} is unique in group; \
                 enabling probe-based failure detection on {interface}"
            ),
            Self::FamilyMissing {
                interface,
                group,
                family,
            } => {
                write!(
                    f,
                    "NIC {interface} of group {group} is not plumbed for {family}; it cannot take over {family} addresses"
                )
            }
            Self::FamilyConsistent {
                interface,
                group,
                family,
            } => {
                write!(
                    f,
                    "NIC {interface} of group {group} is now plumbed for {family}"
                )
            }
            Self::InterfaceRemoved { interface } => {
                write!(f, "Interface {interface} has been removed from kernel")
            }
            Self::DuplicateMac { interface, twin } => write!(
                f,
                "Hardware address of {interface} is not unique in its group ({twin} has the same); \
                 offlining {interface}"
            ),
            Self::UniqueMac { interface } => {
                write!(
                    f,
                    "Hardware address of {interface} is unique in its group; onlining {interface}"
                )
            }
            Self::SubnetAcrossGroups { interface, other } => write!(
                f,
                "{interface} and {other} share a subnet but not a group; \
                 neither takes over for the other"
            ),
            Self::OnlyStandbys { group } => {
                write!(f, "Group {group} has standby interfaces but no active one")
            }
            Self::Undone { what, more: 0, by } => write!(f, "{by} undid {what}; it is set anew"),
            Self::Undone { what, more, by } => {
                write!(f, "{by} undid {what} and {more} more; they are set anew")
            }
            Self::Contested { what, by } => {
                let by = by.as_deref().unwrap_or("another hand");
                write!(
                    f,
                    "Contested: {what}: {by} undoes it again and again; it is left alone for a while"
                )
            }
            Self::Uncontested { what } => write!(f, "Not contested any more: {what}"),
            Self::AddressTaken {
                address,
                interface,
                mac,
            } => write!(
                f,
                "Address {address} is in use by another host, {mac} on {interface}; \
                 it is not brought up"
            ),
            Self::AddressFree { address } => write!(
                f,
                "Address {address} is not in use by another host any more; it is brought up"
            ),
            Self::AddressUnasked {
                address,
                more: 0,
                reason,
            } => write!(
                f,
                "Address {address} was brought up without asking other hosts: {reason}"
            ),
            Self::AddressUnasked {
                address,
                more,
                reason,
            } => write!(
                f,
                "Address {address} and {more} more were brought up without asking other hosts: {reason}"
            ),
            Self::AddressClaimed {
                address,
                interface,
                mac,
            } => write!(
                f,
                "Address {address} is in use by another host too, {mac} on {interface}"
            ),
            Self::AddressUnclaimed { address } => {
                write!(
                    f,
                    "Address {address} is not in use by another host any more"
                )
            }
            Self::OperationFailed { operation, reason } => {
                write!(f, "Cannot {operation}: {reason}")
            }
        }
    }
}
