//! Who else changes the kernel's configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The program behind a change in the kernel that is not ours, as far as the notification tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Hand {
    /// The netlink port from which the change was asked for (`nlmsg_pid`). The kernel gives a process's
    /// first socket the number of the process, as the process sees it.
    pub port: u32,
    /// The name of the process of that number, if there still was one.
    pub process: Option<String>,
}

impl fmt::Display for Hand {
    /// As people know it: `dhclient[812]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(process) => write!(f, "{process}[{}]", self.port),
            None => write!(f, "netlink port {}", self.port),
        }
    }
}

/// The name of a route protocol (`rtm_protocol`), by which a program that installs routes can be known:
/// those of `rtnetlink.h`, in the words of iproute2.
pub fn route_protocol(protocol: u8) -> String {
    let name = match protocol {
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        8 => "gated",
        9 => "ra",
        10 => "mrt",
        11 => "zebra",
        12 => "bird",
        13 => "dnrouted",
        14 => "xorp",
        15 => "ntk",
        16 => "dhcp",
        18 => "keepalived",
        42 => "babel",
        99 => "openr",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        192 => "eigrp",
        _ => return protocol.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_are_named_as_people_know_them() {
        let mut hand = Hand {
            port: 812,
            process: Some("dhclient".to_owned()),
        };
        assert_eq!(hand.to_string(), "dhclient[812]");
        hand.process = None;
        assert_eq!(hand.to_string(), "netlink port 812");
        assert_eq!(route_protocol(4), "static");
        assert_eq!(route_protocol(73), "73");
    }
}
