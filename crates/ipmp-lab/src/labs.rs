//! The two labs of IPMP: what is typed on host1 and what `ifconfig -a` must show then.
//!
//! Demo and tests play them on hosts of a [`crate::Lab`].

/// What is typed to set up lab 1: two active NICs.
pub const LAB1: [&str; 4] = [
    "ifconfig ge0 plumb 192.168.0.86 group testgrp2 up",
    "ifconfig ge0 addif 192.168.0.87 deprecated -failover up",
    "ifconfig ge1 plumb 192.168.0.88 group testgrp2 up",
    "ifconfig ge1 addif 192.168.0.89 deprecated -failover up",
];

/// What is typed to set up lab 2: one active NIC and a standby.
pub const LAB2: [&str; 3] = [
    "ifconfig ge0 plumb 192.168.0.86 group testgrp2 up",
    "ifconfig ge0 addif 192.168.0.87 deprecated -failover up",
    "ifconfig ge1 plumb 192.168.0.88 group testgrp2 deprecated -failover standby up",
];

/// An entry of a listing: name, flags with names, address and what follows it.
struct Entry(&'static str, &'static str, Shown);

enum Shown {
    /// This address.
    Address(&'static str),
    /// The placeholder of an address that is elsewhere.
    Placeholder,
}

use Shown::{Address, Placeholder};

const DATA: &str = "1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4>";
const TEST: &str = "9040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER>";
const IDLE_STANDBY: &str =
    "69040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,STANDBY,INACTIVE>";
const USED_STANDBY: &str =
    "29040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,STANDBY>";
const ON_STANDBY: &str = "21000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4,STANDBY>";
const FAILED_STANDBY: &str =
    "39040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,FAILED,STANDBY>";
const FAILED_PLACEHOLDER: &str = "19000842<BROADCAST,RUNNING,MULTICAST,IPv4,NOFAILOVER,FAILED>";
const FAILED_TEST: &str =
    "19040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,FAILED>";

/// The moments of the labs at which the listing is looked at.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// Lab 1 with both NICs working.
    Lab1,
    /// Lab 1 without ge1.
    Lab1WithoutGe1,
    /// Lab 1 without ge0.
    Lab1WithoutGe0,
    /// Lab 2 with both NICs working.
    Lab2,
    /// Lab 2 without ge0.
    Lab2WithoutGe0,
    /// Lab 2 without the idle standby.
    Lab2WithoutStandby,
}

impl Moment {
    /// The listing, in the form [`comparable`] gives it. `running` tells whether the failed NIC still
    /// has its link.
    pub fn listing(self, running: bool) -> String {
        let ge0 = || {
            vec![
                Entry("ge0", DATA, Address("192.168.0.86")),
                Entry("ge0:1", TEST, Address("192.168.0.87")),
            ]
        };
        let ge1 = || {
            vec![
                Entry("ge1", DATA, Address("192.168.0.88")),
                Entry("ge1:1", TEST, Address("192.168.0.89")),
            ]
        };
        let failed = |name, test_name, test| {
            vec![
                Entry(name, FAILED_PLACEHOLDER, Placeholder),
                Entry(test_name, FAILED_TEST, Address(test)),
            ]
        };
        let entries = match self {
            Self::Lab1 => [ge0(), ge1()].concat_entries(),
            Self::Lab1WithoutGe1 => [
                ge0(),
                vec![Entry("ge0:2", DATA, Address("192.168.0.88"))],
                failed("ge1", "ge1:1", "192.168.0.89"),
            ]
            .concat_entries(),
            Self::Lab1WithoutGe0 => [
                failed("ge0", "ge0:1", "192.168.0.87"),
                ge1(),
                vec![Entry("ge1:2", DATA, Address("192.168.0.86"))],
            ]
            .concat_entries(),
            Self::Lab2 => [
                ge0(),
                vec![Entry("ge1", IDLE_STANDBY, Address("192.168.0.88"))],
            ]
            .concat_entries(),
            Self::Lab2WithoutGe0 => [
                failed("ge0", "ge0:1", "192.168.0.87"),
                vec![
                    Entry("ge1", USED_STANDBY, Address("192.168.0.88")),
                    Entry("ge1:1", ON_STANDBY, Address("192.168.0.86")),
                ],
            ]
            .concat_entries(),
            Self::Lab2WithoutStandby => [
                ge0(),
                vec![Entry("ge1", FAILED_STANDBY, Address("192.168.0.88"))],
            ]
            .concat_entries(),
        };
        entries.iter().map(|entry| entry.text(running)).collect()
    }
}

/// Joins lists of entries.
trait Concat {
    fn concat_entries(self) -> Vec<Entry>;
}

impl<const N: usize> Concat for [Vec<Entry>; N] {
    fn concat_entries(self) -> Vec<Entry> {
        self.into_iter().flatten().collect()
    }
}

impl Entry {
    fn text(&self, running: bool) -> String {
        let Self(name, flags, shown) = self;
        let flags = if flags.contains("FAILED") && !running {
            without_running(flags)
        } else {
            (*flags).to_owned()
        };
        let (mtu, inet) = match shown {
            Address(ip) => (
                1500,
                format!("inet {ip} netmask ffffff00 broadcast 192.168.0.255"),
            ),
            Placeholder => (0, "inet 0.0.0.0 netmask 0 ".to_owned()),
        };
        let mut text = format!("{name}: flags={flags} mtu {mtu} index *\n\t{inet}\n");
        if !name.contains(':') {
            text.push_str("\tgroupname testgrp2\n\tether * \n");
        }
        text
    }
}

/// Flags of a NIC whose link is down: RUNNING is 0x40.
fn without_running(flags: &str) -> String {
    let flags = flags.replace("RUNNING,", "");
    match flags.split_once('<') {
        Some((bits, names)) => match u64::from_str_radix(bits, 16) {
            Ok(bits) => format!("{:x}<{names}", bits & !0x40),
            Err(_) => flags,
        },
        None => flags,
    }
}

/// A listing without what differs from machine to machine: the loopback interface, index numbers and
/// hardware addresses.
pub fn comparable(listing: &str) -> String {
    let mut text = String::new();
    let mut of_loopback = false;
    for line in listing.lines() {
        if !line.starts_with('\t') {
            of_loopback = line.starts_with("lo0");
        }
        if of_loopback {
            continue;
        }
        if line.starts_with("\tether ") {
            text.push_str("\tether * ");
        } else if let Some((head, _number)) = line.split_once(" index ") {
            text.push_str(head);
            text.push_str(" index *");
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}
