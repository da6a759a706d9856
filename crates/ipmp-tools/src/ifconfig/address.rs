//! Addresses and netmasks as they are typed.

use std::net::{IpAddr, Ipv4Addr};

use ipmp_core::Family;
use ipmp_core::address::{class_prefix, is_link_local6, prefix_of_netmask};

use crate::etc::Etc;

/// The prefix length of IPv6 addresses that come without one (RFC 4291 section 2.5.4).
const PREFIX6: u8 = 64;

/// How Solaris writes the prefix length of link-local addresses (RFC 4291 section 2.4). Linux
/// configures them with [`PREFIX6`]; the one is read and printed as the other.
pub(crate) const LINK_LOCAL_PREFIX: u8 = 10;

/// Reads `ADDRESS`, `ADDRESS/LENGTH` or a name in `/etc/hosts`. The error is the reason.
pub(crate) fn parse(
    text: &str,
    family: Family,
    etc: &Etc,
) -> Result<(IpAddr, Option<u8>), Unreadable> {
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length)),
        None => (text, None),
    };
    let ip = match host.parse::<IpAddr>() {
        Ok(ip) if Family::of(ip) != family => {
            let other = Family::of(ip);
            let word = if other == Family::Inet6 {
                "inet6"
            } else {
                "inet"
            };
            return Err(Unreadable::Reason(format!(
                "is an {other} address (say {word} after the interface)"
            )));
        }
        Ok(ip) => ip,
        Err(_) => etc.address_of(host, family).ok_or(Unreadable::NoAddress)?,
    };
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Err(Unreadable::Reason("not a unicast address".to_owned()));
    }
    let length = length.map(|length| parse_length(length, family));
    let length = length.transpose().map_err(Unreadable::Reason)?;
    if is_link_local6(ip) && length.is_none_or(|bits| bits == LINK_LOCAL_PREFIX) {
        return Ok((ip, Some(PREFIX6)));
    }
    Ok((ip, length))
}

/// Reads the length of a prefix. The error is the reason.
pub(crate) fn parse_length(text: &str, family: Family) -> Result<u8, String> {
    let bits = text.parse().ok();
    bits.filter(|&bits| bits <= family.bits() && !text.starts_with('+'))
        .ok_or_else(|| format!("'{text}' is not an {family} prefix length"))
}

/// Why a text is no address.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It does not even look like one.
    NoAddress,
    /// It does, but.
    Reason(String),
}

/// The prefix length an address gets when none was given: that of its class.
pub(crate) fn default_prefix(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => 0,
        IpAddr::V4(ip) => class_prefix(ip),
        IpAddr::V6(ip) if ip.is_unspecified() => 0,
        IpAddr::V6(_) => PREFIX6,
    }
}

/// Reads a netmask, dotted or `0x…`, as a prefix length.
pub(crate) fn parse_netmask(text: &str) -> Option<u8> {
    let mask = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.chars().all(|c| c.is_ascii_hexdigit()) => {
            Ipv4Addr::from_bits(u32::from_str_radix(digits, 16).ok()?)
        }
        Some(_) => return None,
        None => text.parse().ok()?,
    };
    prefix_of_netmask(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netmasks_dotted_and_hexadecimal() {
        for (text, prefix) in [
            ("255.255.255.0", Some(24)),
            ("0xffffff00", Some(24)),
            ("0XFF000000", Some(8)),
            ("0x0", Some(0)),
            ("0xff00ff00", None),
            ("0x", None),
            ("0x+ff", None),
            ("255.255.0.255", None),
            ("ffffff00", None),
            ("24", None),
        ] {
            assert_eq!(parse_netmask(text), prefix, "{text}");
        }
    }
}
