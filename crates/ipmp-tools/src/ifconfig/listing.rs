//! What `ifconfig` prints: a [`Snapshot`] as Solaris's listing, byte for byte (manual `ifconfig`).

use std::fmt::Write;
use std::net::IpAddr;

use ipmp_core::snapshot::{Interface, Logical};
use ipmp_core::{Family, Flags, LogicalName, Snapshot};

use super::address::LINK_LOCAL_PREFIX;

/// What Solaris and Linux call the loopback interface.
pub(crate) const LOOPBACK: (&str, &str) = ("lo0", "lo");

/// Which logicals are listed, or acted on by words after `-a`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this one.
    pub logical: Option<LogicalName>,
    /// Only this family.
    pub family: Option<Family>,
    /// Only those that are up, or are not (`-au`, `-ad`).
    pub up: Option<bool>,
    /// Only those that are not under DHCP control (`-aD`).
    pub without_dhcp: bool,
}

impl Selection {
    fn takes(&self, logical: &Logical) -> bool {
        self.logical
            .as_ref()
            .is_none_or(|name| *name == logical.name)
            && self
                .family
                .is_none_or(|family| family == logical.address.family())
            && self
                .up
                .is_none_or(|up| up == logical.flags.contains(Flags::UP))
            && !(self.without_dhcp && logical.flags.contains(Flags::DHCP))
    }

    /// The logicals of `snapshot` that are selected, all of IPv4 before those of IPv6. Interfaces
    /// that are absent are not listed.
    pub fn of<'a>(
        &'a self,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (&'a Interface, &'a Logical)> {
        Family::ALL.into_iter().flat_map(move |family| {
            snapshot
                .interfaces
                .iter()
                .filter(|interface| interface.index.is_some())
                .flat_map(|interface| interface.logicals.iter().map(move |l| (interface, l)))
                .filter(move |(_, logical)| logical.address.family() == family)
                .filter(|(_, logical)| self.takes(logical))
        })
    }
}

/// The listing of `selection`; `with_ether` adds hardware addresses.
pub fn list(snapshot: &Snapshot, selection: &Selection, with_ether: bool) -> String {
    let mut text = String::new();
    for (interface, logical) in selection.of(snapshot) {
        // Writing to a String cannot fail.
        let _ = entry(&mut text, interface, logical, with_ether);
    }
    text
}

fn entry(
    text: &mut String,
    interface: &Interface,
    logical: &Logical,
    with_ether: bool,
) -> std::fmt::Result {
    let name = display_name(&logical.name);
    write!(text, "{name}: flags={}", logical.flags)?;
    if logical.metric != 0 {
        write!(text, " metric {}", logical.metric)?;
    }
    let index = interface.index.unwrap_or_default();
    writeln!(text, " mtu {} index {index}", logical.mtu)?;
    let address = logical.address;
    match address.ip {
        IpAddr::V4(ip) => {
            let mask = address.netmask().map_or(0, std::net::Ipv4Addr::to_bits);
            write!(text, "\tinet {ip} netmask {mask:x} ")?;
            let broadcast = logical.broadcast.filter(|broadcast| {
                logical.flags.contains(Flags::BROADCAST) && !broadcast.is_unspecified()
            });
            if let Some(broadcast) = broadcast {
                write!(text, "broadcast {broadcast}")?;
            }
            writeln!(text)?;
        }
        IpAddr::V6(ip) => {
            let prefix = shown_prefix6(logical);
            writeln!(text, "\tinet6 {ip}/{prefix} ")?;
        }
    }
    if logical.name.unit == 0 {
        if let Some(group) = &interface.group {
            writeln!(text, "\tgroupname {group}")?;
        }
        if let Some(ether) = ether(interface).filter(|_| with_ether) {
            writeln!(text, "{ether}")?;
        }
    }
    Ok(())
}

/// The line with an interface's hardware address.
pub(crate) fn ether(interface: &Interface) -> Option<String> {
    let mac = interface.mac.filter(|_| !interface.loopback)?;
    Some(format!("\tether {mac} "))
}

/// The prefix length of an IPv6 logical as Solaris configures and writes it.
pub(crate) fn shown_prefix6(logical: &Logical) -> u8 {
    if logical.address.is_link_local6() {
        LINK_LOCAL_PREFIX
    } else {
        logical.address.prefix
    }
}

/// A logical's name as it is printed: Linux's `lo` is Solaris's `lo0`.
pub(crate) fn display_name(logical: &LogicalName) -> String {
    if logical.interface.as_str() != LOOPBACK.1 {
        return logical.to_string();
    }
    match logical.unit {
        0 => LOOPBACK.0.to_owned(),
        unit => format!("{}:{unit}", LOOPBACK.0),
    }
}

/// The logical called `name`, and the interface it is on.
pub(crate) fn find<'a>(
    snapshot: &'a Snapshot,
    name: &LogicalName,
    family: Family,
) -> Option<(&'a Interface, &'a Logical)> {
    snapshot.interfaces.iter().find_map(|interface| {
        let mut logicals = interface.logicals.iter();
        let found = logicals.find(|l| l.name == *name && l.address.family() == family)?;
        Some((interface, found))
    })
}

#[cfg(test)]
mod tests;
