//! Hardware addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An Ethernet hardware address. Written the Solaris way, in hexadecimal without leading zeros
/// (`8:0:20:c0:ff:ec`); read either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

/// A text that is not a hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidMac;

impl fmt::Display for InvalidMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an Ethernet address")
    }
}

impl std::error::Error for InvalidMac {}

impl MacAddress {
    /// The address every station listens to.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether an interface may carry it: neither a group address nor all zero.
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, octet) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:x}")?;
        }
        Ok(())
    }
}

impl FromStr for MacAddress {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or(InvalidMac)?;
            if part.is_empty() || part.len() > 2 || part.starts_with('+') {
                return Err(InvalidMac);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| InvalidMac)?;
        }
        if parts.next().is_some() {
            Err(InvalidMac)
        } else {
            Ok(Self(octets))
        }
    }
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidMac;

    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_without_leading_zeros_and_read_with_or_without() {
        let mac: MacAddress = "08:00:20:c0:ff:ec".parse().unwrap();
        assert_eq!(mac.to_string(), "8:0:20:c0:ff:ec");
        assert_eq!("8:0:20:c0:ff:ec".parse(), Ok(mac));
        for bad in [
            "",
            "8:0:20:c0:ff",
            "8:0:20:c0:ff:ec:1",
            "8:0:20:c0:ff:1ec",
            "8:0:20:c0:ff:x",
        ] {
            assert_eq!(bad.parse::<MacAddress>(), Err(InvalidMac), "{bad}");
        }
    }
}
