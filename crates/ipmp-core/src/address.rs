//! Address families, and addresses as interfaces carry them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::Flags;

/// An address family, in Solaris's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl Family {
    /// Both, IPv4 first.
    pub const ALL: [Self; 2] = [Self::Inet, Self::Inet6];

    /// The family `address` is of.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Inet,
            IpAddr::V6(_) => Self::Inet6,
        }
    }

    /// Length of an address in bits.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Inet => 32,
            Self::Inet6 => 128,
        }
    }

    /// The address that stands for none.
    pub const fn unspecified(self) -> IpAddr {
        match self {
            Self::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

impl fmt::Display for Family {
    /// `IPv4` or `IPv6`, as in the daemon's messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "IPv4",
            Self::Inet6 => "IPv6",
        })
    }
}

/// An address with the length of its subnet's prefix, host bits kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct InterfaceAddress {
    /// The address.
    pub ip: IpAddr,
    /// How many leading bits name the subnet; at most [`Family::bits`].
    pub prefix: u8,
}

/// An [`InterfaceAddress`] as it comes in.
#[derive(Deserialize)]
struct Unchecked {
    ip: IpAddr,
    prefix: u8,
}

impl TryFrom<Unchecked> for InterfaceAddress {
    type Error = String;

    fn try_from(Unchecked { ip, prefix }: Unchecked) -> Result<Self, String> {
        let family = Family::of(ip);
        if prefix > family.bits() {
            return Err(format!("'{prefix}' is not an {family} prefix length"));
        }
        Ok(Self { ip, prefix })
    }
}

impl InterfaceAddress {
    /// `ip` in a subnet of `prefix` bits, cut to what the family has.
    pub fn new(ip: IpAddr, prefix: u8) -> Self {
        Self {
            ip,
            prefix: prefix.min(Family::of(ip).bits()),
        }
    }

    /// The family.
    pub const fn family(self) -> Family {
        Family::of(self.ip)
    }

    /// The address with its host bits cleared.
    pub fn network(self) -> IpAddr {
        match self.ip {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask4(self.prefix))),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask6(self.prefix))),
        }
    }

    /// The subnet: network address and prefix length.
    #[must_use]
    pub fn subnet(self) -> Self {
        Self {
            ip: self.network(),
            prefix: self.prefix,
        }
    }

    /// Whether this, with these flags, is a data address: one that may move. Test addresses never do,
    /// and IPv6 link-local ones belong to their link's hardware address.
    pub fn is_data(self, flags: Flags) -> bool {
        !flags.contains(Flags::NOFAILOVER) && !self.ip.is_unspecified() && !self.is_link_local6()
    }

    /// Whether `ip` is on this address's subnet.
    pub fn contains(self, ip: IpAddr) -> bool {
        Family::of(ip) == self.family() && Self { ip, ..self }.network() == self.network()
    }

    /// The IPv4 netmask; `None` for IPv6.
    pub fn netmask(self) -> Option<Ipv4Addr> {
        match self.ip {
            IpAddr::V4(_) => Some(Ipv4Addr::from_bits(mask4(self.prefix))),
            IpAddr::V6(_) => None,
        }
    }

    /// The IPv4 broadcast address, address OR NOT mask; `None` for IPv6.
    pub fn default_broadcast(self) -> Option<Ipv4Addr> {
        match self.ip {
            IpAddr::V4(ip) => Some(Ipv4Addr::from_bits(ip.to_bits() | !mask4(self.prefix))),
            IpAddr::V6(_) => None,
        }
    }

    /// Whether this is an IPv6 link-local address.
    pub fn is_link_local6(self) -> bool {
        is_link_local6(self.ip)
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// Whether `ip` lies in `fe80::/10`.
pub fn is_link_local6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfe80)
}

/// The prefix length of an IPv4 address's class: A 8, B 16, everything else 24.
pub fn class_prefix(ip: Ipv4Addr) -> u8 {
    match ip.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        192.. => 24,
    }
}

/// The prefix length a dotted netmask stands for; `None` if its one-bits are not all in front.
pub fn prefix_of_netmask(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let prefix = bits.leading_ones();
    (bits.count_ones() == prefix).then(|| u8::try_from(prefix).unwrap_or(32))
}

fn mask4(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}

fn mask6(prefix: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(prefix.min(128)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnet_broadcast_and_mask() {
        let address = InterfaceAddress::new("192.168.0.86".parse().unwrap(), 24);
        assert_eq!(address.network(), "192.168.0.0".parse::<IpAddr>().unwrap());
        assert_eq!(
            address.default_broadcast(),
            Some(Ipv4Addr::new(192, 168, 0, 255))
        );
        assert_eq!(address.netmask(), Some(Ipv4Addr::new(255, 255, 255, 0)));
        assert!(address.contains("192.168.0.1".parse().unwrap()));
        assert!(!address.contains("192.168.1.1".parse().unwrap()));
        assert!(!address.contains("fe80::1".parse().unwrap()));
        let any = InterfaceAddress::new("0.0.0.0".parse().unwrap(), 0);
        assert!(any.contains("203.0.113.1".parse().unwrap()));
        assert_eq!(
            InterfaceAddress::new("10.0.0.1".parse().unwrap(), 99).prefix,
            32
        );
    }

    #[test]
    fn masks_and_classes() {
        for (mask, prefix) in [
            ("255.255.255.0", Some(24)),
            ("0.0.0.0", Some(0)),
            ("255.255.255.255", Some(32)),
            ("255.0.255.0", None),
        ] {
            assert_eq!(prefix_of_netmask(mask.parse().unwrap()), prefix, "{mask}");
        }
        for (ip, prefix) in [("10.1.1.1", 8), ("172.16.0.1", 16), ("192.168.0.86", 24)] {
            assert_eq!(class_prefix(ip.parse().unwrap()), prefix, "{ip}");
        }
    }
}
