//! The configuration files below `/etc`: hosts, netmasks, eeprom, defaultrouter.
//!
//! Names are looked up in `/etc/hosts` only. Interfaces are configured before there is a network
//! to ask a name server over, and a tool that hangs on DNS while a NIC is broken helps nobody.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use ipmp_core::Family;
use ipmp_core::InterfaceAddress;
use ipmp_core::address::{class_prefix, prefix_of_netmask};

use crate::file;

/// The directory `etc` below a root directory.
#[derive(Clone, Debug)]
pub struct Etc {
    directory: PathBuf,
}

/// One line of `/etc/netmasks`.
type Netmask = (Ipv4Addr, u8);

impl Etc {
    /// `etc` below `root`; `/` for this host's own.
    pub fn below(root: &Path) -> Self {
        Self {
            directory: root.join("etc"),
        }
    }

    /// The path of the file `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The first address of `family` that `/etc/hosts` has for `name`.
    pub fn address_of(&self, name: &str, family: Family) -> Option<IpAddr> {
        self.hosts().into_iter().find_map(|(address, names)| {
            let known = names.iter().any(|known| known.eq_ignore_ascii_case(name));
            (known && Family::of(address) == family).then_some(address)
        })
    }

    /// The lines of `/etc/hosts` that can be read: an address and its names.
    pub fn hosts(&self) -> Vec<(IpAddr, Vec<String>)> {
        let text = fs::read_to_string(self.path("hosts")).unwrap_or_default();
        content_lines(&text)
            .filter_map(|(_, line)| {
                let mut words = line.split_whitespace();
                let address = words.next()?.parse().ok()?;
                Some((address, words.map(str::to_owned).collect()))
            })
            .collect()
    }

    /// The netmask `/etc/netmasks` has for `address`, as a prefix length: the longest match wins.
    ///
    /// A line names either the subnet itself (`192.168.0.128 255.255.255.192`) or a whole class A,
    /// B or C network that is cut into equal subnets (`172.16.0.0 255.255.255.0`), as in the manual
    /// `netmasks`.
    pub fn netmask_of(&self, address: Ipv4Addr) -> Option<u8> {
        let text = fs::read_to_string(self.path("netmasks")).unwrap_or_default();
        let class = InterfaceAddress::new(address.into(), class_prefix(address)).subnet();
        content_lines(&text)
            .filter_map(|(_, line)| parse_netmask(line).ok())
            .filter_map(|(network, prefix)| {
                let of = InterfaceAddress::new(address.into(), prefix);
                if of.network() == IpAddr::V4(network) {
                    Some((prefix, prefix))
                } else {
                    (class.ip == IpAddr::V4(network) && class.prefix <= prefix)
                        .then_some((class.prefix, prefix))
                }
            })
            .max()
            .map(|(_, prefix)| prefix)
    }

    /// What is wrong with `/etc/netmasks`: line numbers and reasons.
    pub fn netmask_errors(&self) -> Vec<(usize, String)> {
        let text = fs::read_to_string(self.path("netmasks")).unwrap_or_default();
        content_lines(&text)
            .filter_map(|(number, line)| parse_netmask(line).err().map(|reason| (number, reason)))
            .collect()
    }

    /// The routers of `/etc/defaultrouter` with their line numbers, one a line; an error is the
    /// word that is neither an address nor a name in `/etc/hosts`.
    pub fn default_routers(&self) -> Vec<(usize, Result<IpAddr, String>)> {
        let text = fs::read_to_string(self.path("defaultrouter")).unwrap_or_default();
        content_lines(&text)
            .map(|(number, line)| {
                let word = line.split_whitespace().next().unwrap_or(line);
                let router = word
                    .parse()
                    .ok()
                    .or_else(|| self.address_of(word, Family::Inet))
                    .or_else(|| self.address_of(word, Family::Inet6));
                (number, router.ok_or_else(|| word.to_owned()))
            })
            .collect()
    }

    /// What `eeprom 'local-mac-address?=…'` stored.
    pub fn local_mac(&self) -> Option<bool> {
        let text = fs::read_to_string(self.path(EEPROM)).ok()?;
        content_lines(&text).find_map(|(_, line)| match line.split_once('=')? {
            ("local-mac-address?", value) => value.trim().parse().ok(),
            _ => None,
        })
    }

    /// Stores `local-mac-address?`, whole or not at all.
    pub fn set_local_mac(&self, local: bool) -> io::Result<()> {
        let path = self.path(EEPROM);
        if let Some(directory) = path.parent() {
            file::directory(directory)?;
        }
        file::replace(&path, &format!("local-mac-address?={local}\n"))
    }
}

/// Where the one variable of `eeprom` is kept, below `/etc`.
pub const EEPROM: &str = "ipmp/eeprom";

/// Lines with something on them, without comments, numbered from 1.
fn content_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .zip(1..)
        .map(|(line, number)| (number, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, line)| !line.is_empty())
}

/// `network mask`; trailing zeros of the network may be left out (`192.168.10`).
fn parse_netmask(line: &str) -> Result<Netmask, String> {
    let mut words = line.split_whitespace();
    let (Some(network), Some(mask), None) = (words.next(), words.next(), words.next()) else {
        return Err("not a network number and a netmask".to_owned());
    };
    let missing = 3usize.saturating_sub(network.matches('.').count());
    let address = format!("{}{}", network.trim_end_matches('.'), ".0".repeat(missing))
        .parse()
        .map_err(|_| format!("'{network}' is not a network number"))?;
    let prefix = mask
        .parse()
        .ok()
        .and_then(prefix_of_netmask)
        .ok_or_else(|| format!("'{mask}' is not a netmask"))?;
    Ok((address, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etc(files: &[(&str, &str)]) -> (tempfile::TempDir, Etc) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let etc = Etc::below(root.path());
        for (name, text) in files {
            fs::write(etc.path(name), text).unwrap();
        }
        (root, etc)
    }

    #[test]
    fn netmasks_by_longest_match() {
        let (_root, etc) = etc(&[(
            "netmasks",
            "# networks\n172.16.0.0 255.255.255.0\n192.168.10 255.255.255.0\n\
             192.168.10.128 255.255.255.192 # a corner\nnonsense\n10.0.0.0 255.0.255.0\n",
        )]);
        for (address, prefix) in [
            ("172.16.3.1", Some(24)),
            ("192.168.10.5", Some(24)),
            ("192.168.10.130", Some(26)),
            ("192.168.11.1", None),
            ("10.0.0.1", None),
        ] {
            assert_eq!(
                etc.netmask_of(address.parse().unwrap()),
                prefix,
                "{address}"
            );
        }
        assert_eq!(
            etc.netmask_errors(),
            [
                (5, "not a network number and a netmask".to_owned()),
                (6, "'255.0.255.0' is not a netmask".to_owned()),
            ]
        );
    }

    #[test]
    fn hosts_by_name_and_family() {
        let (_root, etc) = etc(&[(
            "hosts",
            "127.0.0.1 localhost\n192.168.0.86 host1 Web # here\nfe80::1 host1\n",
        )]);
        let host1 = "192.168.0.86".parse().unwrap();
        assert_eq!(etc.address_of("web", Family::Inet), Some(host1));
        assert_eq!(
            etc.address_of("host1", Family::Inet6),
            Some("fe80::1".parse().unwrap())
        );
        assert_eq!(etc.address_of("here", Family::Inet), None);
    }

    #[test]
    fn routers_one_a_line() {
        let (_root, etc) = etc(&[
            ("hosts", "192.168.0.1 router\n"),
            ("defaultrouter", "# us\nrouter\n192.168.0.2\nnobody\n"),
        ]);
        assert_eq!(
            etc.default_routers(),
            [
                (2, Ok("192.168.0.1".parse().unwrap())),
                (3, Ok("192.168.0.2".parse().unwrap())),
                (4, Err("nobody".to_owned())),
            ]
        );
    }

    #[test]
    fn the_wish_is_kept() {
        let (_root, etc) = etc(&[]);
        assert_eq!(etc.local_mac(), None);
        etc.set_local_mac(true).unwrap();
        assert_eq!(etc.local_mac(), Some(true));
        etc.set_local_mac(false).unwrap();
        assert_eq!(etc.local_mac(), Some(false));
    }
}
