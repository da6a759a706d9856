//! What happens on a test bed besides what is typed: faults, traffic, other hands, and how neighbours
//! and kernel see it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipmp_core::MacAddress;
use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::traffic::{Ping, Trail};
use ipmp_lab::{Host, Nic, wait_until};
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, same};

/// The failure detection time of tests that do not measure it, in milliseconds: short, so that they
/// are quick, and a hundred times what a round trip takes on a loaded machine.
pub(crate) const QUICK: u32 = 1000;

/// Longest that traffic is kept flowing; tests stop it when they have seen enough.
pub(crate) const WHILE: Duration = Duration::from_mins(3);

/// How often traffic that is to notice outages is sent.
pub(crate) const OFTEN: Duration = Duration::from_millis(10);

/// Data addresses of the labs, and that of host2.
pub(crate) const DATA0: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 86);
pub(crate) const TEST0: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 87);
pub(crate) const DATA1: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 88);
pub(crate) const TEST1: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 89);
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);

/// How a path dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The cable is pulled: the link tells.
    Pull,
    /// Frames are swallowed and the link stays: only probes tell.
    Silence,
}

impl Fault {
    pub(crate) const BOTH: [Self; 2] = [Self::Pull, Self::Silence];

    /// Whether the NIC still has its link.
    pub(crate) fn leaves_link(self) -> bool {
        self == Self::Silence
    }

    /// Breaks the cable of a NIC so.
    pub(crate) fn strikes(self, nic: &Nic) -> Result<(), Failed> {
        match self {
            Self::Pull => nic.cable.pull()?,
            Self::Silence => nic.cable.silence(),
        }
        Ok(())
    }
}

impl Bed {
    /// Breaks a cable and waits until the daemon knows; how long that took.
    pub(crate) fn fails(&self, fault: Fault, nic: &Nic) -> Result<Duration, Failed> {
        let start = Instant::now();
        fault.strikes(nic)?;
        self.awaits_state(nic.name.as_str(), InterfaceState::Failed)?;
        Ok(start.elapsed())
    }

    /// Heals a cable and waits until the daemon knows; how long that took.
    pub(crate) fn repairs(&self, nic: &Nic) -> Result<Duration, Failed> {
        let start = Instant::now();
        nic.cable.heal()?;
        self.awaits_state(nic.name.as_str(), InterfaceState::Ok)?;
        Ok(start.elapsed())
    }

    /// A bed without test addresses and router, whose NICs probe host2, as the kernel knows it as a neighbour.
    pub(crate) fn among_hosts(detection_ms: u32) -> Result<Self, Failed> {
        let bed = Self::new(detection_ms)?;
        bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 up")?;
        bed.types("ifconfig ge1 plumb 192.168.0.88 group testgrp2 up")?;
        let _pings = [bed.pings(DATA0)?, bed.pings(DATA1)?];
        bed.awaits_probes(&["ge0", "ge1"])?;
        Ok(bed)
    }

    /// Starts pinging an address of host1 from host2. The first answer has come when this returns: what
    /// happens next happens to traffic that flows.
    pub(crate) fn pings(&self, to: impl Into<IpAddr>) -> Result<Ping, Failed> {
        let to = to.into();
        let ping = Ping::start(&self.host2, to, OFTEN, WHILE)?;
        wait_until(&format!("{to} answers"), PATIENCE, || ping.is_answered())?;
        Ok(ping)
    }

    /// Messages of the daemon in its log, oldest first.
    pub(crate) fn messages(&self) -> Result<Vec<String>, Failed> {
        let log = self.log()?;
        let text = |line: &str| line.split_once("]: ").map(|(_, text)| text.to_owned());
        Ok(log.lines().filter_map(text).collect())
    }

    /// Waits until the daemon, after its first `since` messages, has said all of these in this order,
    /// whatever else it says in between.
    pub(crate) fn says(&self, since: usize, expected: &[&str]) -> Result<(), Failed> {
        let said = || {
            let messages = self.messages().unwrap_or_default();
            let mut new = messages.iter().skip(since);
            expected
                .iter()
                .all(|&expected| new.any(|message| message == expected))
        };
        wait_until("the messages", PATIENCE, said).map_err(|error| {
            let messages = self.messages().unwrap_or_default();
            let new: Vec<_> = messages.iter().skip(since).collect();
            format!("{error}\n  seen:     {new:#?}\n  expected: {expected:#?}")
        })?;
        Ok(())
    }

    /// Fails if the daemon, after its first `since` messages, has said something with `text` in it.
    pub(crate) fn never_says(&self, since: usize, text: &str) -> Result<(), Failed> {
        let messages = self.messages()?;
        let said: Vec<_> = messages
            .into_iter()
            .skip(since)
            .filter(|message| message.contains(text))
            .collect();
        same(
            &format!("messages with '{text}'"),
            &said,
            &Vec::<String>::new(),
        )
    }

    /// The NICs of host1 that have an address, by name.
    pub(crate) fn holders(&self, ip: impl Into<IpAddr>) -> Result<Vec<String>, Failed> {
        let ip = ip.into();
        let kernel = self.kernel()?;
        let holding = kernel
            .addresses
            .values()
            .filter(|address| address.address.ip == ip);
        let names = holding.filter_map(|address| kernel.links.get(&address.index));
        Ok(names.map(|link| link.name.to_string()).collect())
    }

    /// Waits until an address is on this NIC of host1 and on no other.
    pub(crate) fn awaits_holder(&self, ip: impl Into<IpAddr>, nic: &str) -> Result<(), Failed> {
        let ip = ip.into();
        let holds = || self.holders(ip).is_ok_and(|holders| holders == [nic]);
        wait_until(&format!("{ip} is on {nic}"), PATIENCE, holds)
            .map_err(|error| format!("{error}; it is on {:?}", self.holders(ip)))?;
        Ok(())
    }

    /// Waits until host2 believes an address to be at this hardware address.
    pub(crate) fn awaits_neighbour(
        &self,
        ip: impl Into<IpAddr>,
        mac: MacAddress,
    ) -> Result<(), Failed> {
        let ip = ip.into();
        let mac = format!("lladdr {}", text_of(mac));
        let entry = || by_hand(&self.host2, &format!("ip neighbour show to {ip}"));
        let knows = || entry().is_ok_and(|entry| entry.contains(&mac));
        wait_until(&format!("host2 has {ip} at {mac}"), PATIENCE, knows)
            .map_err(|error| format!("{error}; it has: {:?}", entry()))?;
        Ok(())
    }
}

/// A hardware address as Linux writes it.
pub(crate) fn text_of(mac: MacAddress) -> String {
    mac.0.map(|octet| format!("{octet:02x}")).join(":")
}

/// Runs a command of another administrator, who knows nothing of groups; what it printed.
pub(crate) fn by_hand(host: &Host, line: &str) -> Result<String, Failed> {
    let output = host.run(line)?;
    if output.success() {
        return Ok(output.stdout);
    }
    Err(format!("{line}: {}: {}", output.status, output.stderr).into())
}

/// Fails unless a stream was served before, with no outage longer than `limit`, and to its end.
pub(crate) fn recovers(trail: &Trail, limit: Duration) -> Result<(), Failed> {
    let outage = trail.longest_outage();
    if outage > limit || trail.received() == 0 {
        let (sent, lost) = (trail.sent(), trail.lost());
        return Err(format!(
            "{lost} of {sent} packets lost\n  seen:     an outage of {outage:?}\n  expected: at most {limit:?}"
        )
        .into());
    }
    Ok(())
}

/// Fails unless nothing of a stream was lost.
pub(crate) fn loses_nothing(what: &str, trail: &Trail) -> Result<(), Failed> {
    if trail.sent() == 0 {
        return Err(format!("{what}: nothing was sent").into());
    }
    same(
        &format!("{what}: packets lost of {}", trail.sent()),
        &trail.lost(),
        &0,
    )
}

/// Fails unless `seen` lies between these.
pub(crate) fn within(
    what: &str,
    seen: Duration,
    least: Duration,
    most: Duration,
) -> Result<(), Failed> {
    if (least..=most).contains(&seen) {
        return Ok(());
    }
    Err(format!("{what}\n  seen:     {seen:?}\n  expected: {least:?} to {most:?}").into())
}

/// An IPv6 address of the tests' network.
pub(crate) const fn fd(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)
}
