//! What the administrator can ask for: one [`Command`] per word of `ifconfig` and per call of
//! `if_mpadm`, and the [`Answer`] or [`Refusal`] it gets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::snapshot::InterfaceState;
use crate::{Family, Flags, GroupName, InterfaceAddress, InterfaceName, LogicalName, MacAddress};

/// One change the administrator asks for. Commands of one client are carried out in order, each
/// taking effect before its answer.
///
/// Logicals are named by where they are now. While their interface is absent
/// (`absent` below) they are named by where they belong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Make an interface known to IP for a family (`plumb`), or create this logical (`plumb` with a
    /// unit). Answers [`Answer::AlreadyExists`] where it is plumbed.
    Plumb {
        /// What to plumb.
        logical: LogicalName,
        /// For which family.
        family: Family,
        /// Accept an interface that is not there yet, as the boot does: its data addresses go to
        /// another member of its group until it appears.
        absent: bool,
    },
    /// Forget an interface for a family with all its logicals, or one logical (`unplumb`).
    Unplumb {
        /// What to forget. Unit 0 stands for the interface.
        logical: LogicalName,
        /// For which family.
        family: Family,
    },
    /// Set a logical's address (`ADDRESS`, `set`). The IPv4 broadcast address follows it. One that is up
    /// stays until the new one is in place; if another host has that, nothing changes.
    SetAddress {
        /// Of which logical.
        logical: LogicalName,
        /// Address and prefix length.
        address: InterfaceAddress,
    },
    /// Set a logical's IPv4 prefix length (`netmask`). The broadcast address follows it.
    SetPrefix {
        /// Of which logical.
        logical: LogicalName,
        /// Which family.
        family: Family,
        /// In bits.
        prefix: u8,
    },
    /// Set a logical's IPv4 broadcast address (`broadcast`); `None` computes it from address and
    /// mask (`broadcast +`).
    SetBroadcast {
        /// Of which logical.
        logical: LogicalName,
        /// The address.
        broadcast: Option<Ipv4Addr>,
    },
    /// Create the next free logical with this address (`addif`). Answers [`Answer::Created`].
    AddLogical {
        /// On which interface; another member of its group where that one cannot take it.
        interface: InterfaceName,
        /// Address and prefix length.
        address: InterfaceAddress,
    },
    /// Remove the logical with this address from the interface or its group (`removeif`).
    RemoveAddress {
        /// The interface named.
        interface: InterfaceName,
        /// The address.
        address: IpAddr,
    },
    /// Set or clear a flag of one logical: UP, DEPRECATED, NOFAILOVER, PRIVATE, NOXMIT, NOLOCAL,
    /// PREFERRED, ANYCAST, NOTRAILERS, NONUD, ROUTER.
    SetFlag {
        /// Of which logical.
        logical: LogicalName,
        /// Which family.
        family: Family,
        /// Which flag.
        flag: Flags,
        /// Set or clear.
        on: bool,
        /// Whether the answer to UP waits until other hosts were asked for the address, and tells if one
        /// has it. Who brings many up rather waits once ([`Command::AwaitChecks`]).
        #[serde(default = "waits", skip_serializing_if = "is_waited_for")]
        wait: bool,
    },
    /// Wait until other hosts were asked for all addresses that are to be brought up, and those that are
    /// free are in service. Who has one is in [`crate::snapshot::Snapshot::conflicts`].
    AwaitChecks,
    /// Put an interface into a group, or take it out of all (`group NAME`, `group ""`).
    SetGroup {
        /// Which interface.
        interface: InterfaceName,
        /// Which group.
        group: Option<GroupName>,
    },
    /// Make an interface a standby or no longer one (`standby`, `-standby`).
    SetStandby {
        /// Which interface.
        interface: InterfaceName,
        /// Standby or not.
        on: bool,
    },
    /// Mark an interface failed or repaired, for tests (`failed`, `-failed`).
    SetFailed {
        /// Which interface.
        interface: InterfaceName,
        /// Failed or not.
        on: bool,
    },
    /// Set a logical's metric (`metric`). Kept and shown.
    SetMetric {
        /// Of which logical.
        logical: LogicalName,
        /// Which family.
        family: Family,
        /// The metric.
        metric: u32,
    },
    /// Set an interface's largest packet (`mtu`).
    SetMtu {
        /// Which interface.
        interface: InterfaceName,
        /// In bytes.
        mtu: u32,
    },
    /// Set an interface's hardware address (`ether`).
    SetMac {
        /// Which interface.
        interface: InterfaceName,
        /// The hardware address.
        mac: MacAddress,
    },
    /// Take an interface out of service (`if_mpadm -d`).
    Offline {
        /// Which interface.
        interface: InterfaceName,
    },
    /// Put an interface back into service (`if_mpadm -r`).
    Online {
        /// Which interface.
        interface: InterfaceName,
    },
    /// Move a data address to another member of its group (`ipmp move`), where it stays as long as
    /// that one works; to the interface it belongs to, to end that. Answers
    /// [`Answer::AlreadyExists`] where it was so.
    Move {
        /// Which address.
        address: IpAddr,
        /// To which interface.
        interface: InterfaceName,
    },
    /// Put everything back as it was before there were groups (`ipmp teardown`): data addresses at home,
    /// as somebody else configured them, and nothing of ours left. Then the daemon ends. Answers
    /// [`Answer::AlreadyExists`] where there was nothing of ours.
    Teardown,
    /// How interfaces get their hardware address at the next plumb
    /// (`eeprom local-mac-address?=…`); `None` leaves hardware addresses alone.
    SetLocalMac {
        /// `true`: each interface its own. `false`: all the host's shared one.
        local: Option<bool>,
    },
}

impl Command {
    /// Whether it may be asked again of the next daemon when the one before was killed and nobody knows
    /// whether that one had carried it out.
    ///
    /// | command | the second time | idempotent |
    /// |---|---|---|
    /// | what sets something | it is set as it is | yes |
    /// | plumb, move, teardown | it is so already, which is the answer | yes |
    /// | add a logical | it is refused with the place of the address ([`Refusal::AddressInUse`]), as that is nowhere twice | yes |
    /// | wait for checks | what the next daemon asks others for is waited for | yes |
    /// | unplumb, remove an address | it takes what has this name, or this address, by then | no |
    /// | take out of service, put back | it is refused as if the first time had failed, or overrules who did the opposite meanwhile | no |
    pub const fn is_idempotent(&self) -> bool {
        match self {
            Self::Plumb { .. }
            | Self::SetAddress { .. }
            | Self::SetPrefix { .. }
            | Self::SetBroadcast { .. }
            | Self::AddLogical { .. }
            | Self::SetFlag { .. }
            | Self::AwaitChecks
            | Self::SetGroup { .. }
            | Self::SetStandby { .. }
            | Self::SetFailed { .. }
            | Self::SetMetric { .. }
            | Self::SetMtu { .. }
            | Self::SetMac { .. }
            | Self::Move { .. }
            | Self::Teardown
            | Self::SetLocalMac { .. } => true,
            Self::Unplumb { .. }
            | Self::RemoveAddress { .. }
            | Self::Offline { .. }
            | Self::Online { .. } => false,
        }
    }
}

const fn waits() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_waited_for(wait: &bool) -> bool {
    *wait
}

/// What a command that was carried out says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done.
    Done,
    /// Was so already; nothing changed. `ifconfig` says so and goes on.
    AlreadyExists,
    /// This logical was created; later words of the line act on it.
    Created(LogicalName),
}

/// Why a command was not carried out. Nothing changed, but for [`Refusal::Taken`] where no address was
/// kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// There is no such interface or logical, or it is not plumbed.
    NoSuchInterface,
    /// There is no such address on the interface or in its group.
    NoSuchAddress,
    /// The address is configured already, on this logical.
    AddressInUse(LogicalName),
    /// The address is not brought up as another host on the link has it. Unless it was to replace another
    /// one it stays asked for, and is brought up when the other host has it no more.
    Taken {
        /// Which address.
        address: IpAddr,
        /// The other host's hardware address.
        mac: MacAddress,
        /// Where it was heard.
        interface: InterfaceName,
        /// The address that it was to replace, which stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<IpAddr>,
    },
    /// Only unit 0, the interface itself, takes this.
    PhysicalOnly,
    /// Unit 0 cannot be removed by itself.
    CannotRemovePhysical,
    /// The logical is the placeholder of an address that is elsewhere at present.
    Placeholder,
    /// The device cannot be in a group: it is loopback, point-to-point or cannot multicast.
    NotGroupable,
    /// Another member of the group, this one, has the same hardware address.
    DuplicateMac(InterfaceName),
    /// STANDBY on an interface that is INACTIVE because addresses do not come home by themselves.
    InactiveByFailback,
    /// `if_mpadm -d` on an interface that is offline.
    AlreadyOffline,
    /// `if_mpadm -r` on an interface that is not offline.
    NotOffline,
    /// `if_mpadm` on an interface in no group.
    NotInGroup,
    /// `ipmp move` of an address that never moves: a test address, or one of an interface in no group.
    NotMovable,
    /// `ipmp move` to an interface that is not in the group of the address.
    NotInItsGroup,
    /// `ipmp move` to an interface that takes no addresses at present: how it is.
    NotUsable(InterfaceState),
    /// `ipmp move` to an interface that is not there.
    Absent,
    /// `ipmp move` home to a standby, which gives its own addresses to other members.
    HomeIsStandby,
    /// `if_mpadm -d` would leave no functioning interface in the group.
    MinimumRedundancy,
    /// The value cannot be; why not.
    Invalid(String),
    /// The kernel refused: its error number and what it said.
    Kernel(i32, String),
}

impl fmt::Display for Refusal {
    /// The reason as it stands at the end of `ifconfig: what: interface: reason`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchInterface => f.write_str("no such interface"),
            Self::NoSuchAddress => f.write_str("no such address"),
            Self::AddressInUse(on) => write!(f, "address already on {on}"),
            Self::Taken {
                address,
                mac,
                interface,
                kept,
            } => {
                write!(f, "{address} is in use by {mac} on {interface}; ")?;
                match kept {
                    Some(kept) => write!(f, "{kept} stays"),
                    None => f.write_str("it comes up when that ends"),
                }
            }
            Self::PhysicalOnly => f.write_str("only the interface itself (unit 0) takes this"),
            Self::CannotRemovePhysical => f.write_str("can't remove interface"),
            Self::Placeholder => {
                f.write_str("placeholder of an address that is on another interface")
            }
            Self::NotGroupable => {
                f.write_str("cannot be in a group: needs a broadcast link with ARP and multicast")
            }
            Self::DuplicateMac(twin) => write!(
                f,
                "hardware address not unique: {twin} has the same \
                 (another: ifconfig IF ether MAC, or eeprom 'local-mac-address?=true')"
            ),
            Self::InactiveByFailback => f.write_str("interface is inactive (FAILBACK=no)"),
            Self::AlreadyOffline => f.write_str("is already offline"),
            Self::NotOffline => f.write_str("is not offline"),
            Self::NotInGroup => f.write_str("not in an IPMP group"),
            Self::NotMovable => f.write_str("never moves: it is no data address of a group"),
            Self::NotInItsGroup => f.write_str("is not in the group of the address"),
            Self::NotUsable(state) => write!(f, "is {state}"),
            Self::Absent => f.write_str("is absent"),
            Self::HomeIsStandby => {
                f.write_str("is a standby, which gives its own addresses to others")
            }
            Self::MinimumRedundancy => {
                f.write_str("no other functioning interface is in its group")
            }
            Self::Invalid(reason) | Self::Kernel(_, reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Refusal {}
