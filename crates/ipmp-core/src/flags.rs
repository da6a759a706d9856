//! Interface flags: the bits and names `ifconfig` prints.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not, Sub};

use serde::{Deserialize, Serialize};

/// A set of interface flags, in the bit positions of Solaris's `net/if.h` (manual `if_tcp`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(pub u64);

macro_rules! flags {
    ($($(#[$doc:meta])* $constant:ident = $bit:literal $name:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $constant: Self = Self($bit);)*
            /// Each flag with the name `ifconfig` prints for it, in ascending order of bits.
            pub const NAMES: &[(Self, &'static str)] = &[$((Self($bit), $name)),*];
        }
    };
}

flags! {
    /// Address is configured for use.
    UP = 0x1 "UP";
    /// Link can broadcast.
    BROADCAST = 0x2 "BROADCAST";
    /// Driver debugging.
    DEBUG = 0x4 "DEBUG";
    /// The loopback interface.
    LOOPBACK = 0x8 "LOOPBACK";
    /// Point-to-point link.
    POINTOPOINT = 0x10 "POINTOPOINT";
    /// No trailers.
    NOTRAILERS = 0x20 "NOTRAILERS";
    /// The link is up.
    RUNNING = 0x40 "RUNNING";
    /// Does not use ARP.
    NOARP = 0x80 "NOARP";
    /// Receives all frames.
    PROMISC = 0x100 "PROMISC";
    /// Receives all multicast frames.
    ALLMULTI = 0x200 "ALLMULTI";
    /// Intelligent hardware.
    INTELLIGENT = 0x400 "INTELLIGENT";
    /// Link can multicast.
    MULTICAST = 0x800 "MULTICAST";
    /// Multicasts by broadcasting.
    MULTI_BCAST = 0x1000 "MULTI_BCAST";
    /// Shares another interface's address.
    UNNUMBERED = 0x2000 "UNNUMBERED";
    /// Address is under DHCP control.
    DHCP = 0x4000 "DHCP";
    /// Not advertised by routing daemons.
    PRIVATE = 0x8000 "PRIVATE";
    /// Packets may not be sent from the address.
    NOXMIT = 0x10000 "NOXMIT";
    /// No address, just on-link subnet.
    NOLOCAL = 0x20000 "NOLOCAL";
    /// Not to be chosen as a source address.
    DEPRECATED = 0x40000 "DEPRECATED";
    /// Address came from stateless autoconfiguration.
    ADDRCONF = 0x80000 "ADDRCONF";
    /// Forwards packets.
    ROUTER = 0x10_0000 "ROUTER";
    /// No neighbour unreachability detection.
    NONUD = 0x20_0000 "NONUD";
    /// Anycast address.
    ANYCAST = 0x40_0000 "ANYCAST";
    /// No route exchange.
    NORTEXCH = 0x80_0000 "NORTEXCH";
    /// Is an IPv4 logical.
    IPV4 = 0x100_0000 "IPv4";
    /// Is an IPv6 logical.
    IPV6 = 0x200_0000 "IPv6";
    /// Mobile IP.
    MIP = 0x400_0000 "MIP";
    /// The address never moves: a test address.
    NOFAILOVER = 0x800_0000 "NOFAILOVER";
    /// The interface has failed.
    FAILED = 0x1000_0000 "FAILED";
    /// The interface waits for others to fail.
    STANDBY = 0x2000_0000 "STANDBY";
    /// The interface carries no data traffic at present.
    INACTIVE = 0x4000_0000 "INACTIVE";
    /// The interface was taken offline by the administrator.
    OFFLINE = 0x8000_0000 "OFFLINE";
    /// External resolver.
    XRESOLV = 0x1_0000_0000 "XRESOLV";
    /// Class of service.
    COS = 0x2_0000_0000 "CoS";
    /// Preferred source address.
    PREFERRED = 0x4_0000_0000 "PREFERRED";
    /// Temporary IPv6 address.
    TEMPORARY = 0x8_0000_0000 "TEMPORARY";
    /// MTU set by hand.
    FIXEDMTU = 0x10_0000_0000 "FIXEDMTU";
    /// Virtual interface.
    VIRTUAL = 0x20_0000_0000 "VIRTUAL";
    /// Address found to be in use elsewhere.
    DUPLICATE = 0x40_0000_0000 "DUPLICATE";
    /// IPMP pseudo-interface of later systems.
    IPMP = 0x80_0000_0000 "IPMP";
}

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Whether all of `flags` are set.
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These flags with `flags` set or cleared.
    #[must_use]
    pub const fn with(self, flags: Self, on: bool) -> Self {
        if on {
            Self(self.0 | flags.0)
        } else {
            Self(self.0 & !flags.0)
        }
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Flags {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Not for Flags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Display for Flags {
    /// As `ifconfig` prints them: `1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4>`; without brackets
    /// when no flag is set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)?;
        let mut separator = '<';
        for &(flag, name) in Self::NAMES {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = ',';
            }
        }
        if separator == ',' {
            f.write_str(">")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_of_the_labs() {
        for (bits, text) in [
            (0x100_0849, "1000849<UP,LOOPBACK,RUNNING,MULTICAST,IPv4>"),
            (0x100_0843, "1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4>"),
            (
                0x904_0843,
                "9040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER>",
            ),
            (
                0x1900_0842,
                "19000842<BROADCAST,RUNNING,MULTICAST,IPv4,NOFAILOVER,FAILED>",
            ),
            (
                0x6904_0843,
                "69040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,STANDBY,INACTIVE>",
            ),
            (
                0x80_0100_0843,
                "8001000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4,IPMP>",
            ),
            (0, "0"),
        ] {
            assert_eq!(Flags(bits).to_string(), text);
        }
    }
}
