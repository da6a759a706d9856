//! Detection: which interfaces work?
//!
//! Knows links, test addresses, targets and probes; knows nothing of where data addresses are.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::snapshot::Probing;
use crate::{Family, GroupName, InterfaceAddress, InterfaceName, Settings, Time};

/// What detection must know about one interface. Given anew whenever something in it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The kernel's number for the link. Another number is another device: all history is lost.
    pub index: u32,
    /// Its group; `None` is the anonymous group, in which every failure is the interface's own.
    pub group: Option<GroupName>,
    /// Whether the link is up with carrier.
    pub running: bool,
    /// Taken out of service by the administrator: not probed.
    pub offline: bool,
    /// Carries nothing at present, so that its failure has no consequence but the flag.
    pub inactive: bool,
    /// A standby.
    pub standby: bool,
    /// Test address of each family, none where there is no unique one. IPv4 first.
    pub test: [Option<InterfaceAddress>; 2],
    /// Whether the interface was marked failed when detection first hears of it (the flag outlives
    /// the daemon).
    pub failed: bool,
}

/// What detection thinks of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Works.
    Ok,
    /// Link is up and there is a test address, but no target answers discovery: optimistic.
    NoTargets,
    /// Does not work.
    Failed,
}

/// A probe to be sent: an ICMP or `ICMPv6` echo request, TTL 1, from the interface's test address and
/// out of the interface whatever the routing table says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Name of the link to send on.
    pub interface: InterfaceName,
    /// Index of the link to send on.
    pub index: u32,
    /// The test address to send from.
    pub source: IpAddr,
    /// The target, or the all-hosts multicast address.
    pub target: IpAddr,
    /// ICMP identifier.
    pub identifier: u16,
    /// ICMP sequence number.
    pub sequence: u16,
    /// Payload that the reply must bring back.
    pub payload: [u8; 16],
}

/// An echo reply as it was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Index of the link it came in on.
    pub index: u32,
    /// Who sent it.
    pub source: IpAddr,
    /// To which address.
    pub destination: IpAddr,
    /// ICMP identifier.
    pub identifier: u16,
    /// ICMP sequence number.
    pub sequence: u16,
    /// First bytes of the payload, as sent in [`Probe::payload`].
    pub payload: [u8; 16],
    /// When the kernel took it off the link.
    pub received: Time,
}

/// What came out of feeding detection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Send this.
    Send(Probe),
    /// Say this. Failures, repairs, group failures and link changes are told here and only here;
    /// their consequences are read from [`Detection::health`].
    Say(Message),
}

/// The health of all watched interfaces, and what is needed to know it.
#[derive(Clone, Debug)]
pub struct Detection {
    settings: Settings,
    watched: BTreeMap<InterfaceName, Watched>,
}

impl Detection {
    /// Nothing watched yet. `seed` de-synchronises this host's probes from others'.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let _ = seed;
        Self {
            settings,
            watched: BTreeMap::new(),
        }
    }

    /// Takes new settings without losing history.
    pub fn configure(&mut self, now: Time, settings: Settings) {
        let _ = now;
        self.settings = settings;
    }

    /// Takes the interfaces to watch, all of them, with their present link state, group and test
    /// addresses. New ones start [`Health::Ok`]; ones that are no longer there are forgotten.
    pub fn watch(&mut self, now: Time, watched: BTreeMap<InterfaceName, Watched>) -> Vec<Finding> {
        let _ = now;
        self.watched = watched;
        Vec::new()
    }

    /// Takes the gateways of the routing table, host routes' first, and the host's own addresses,
    /// which are never targets.
    pub fn routers(&mut self, now: Time, gateways: &[IpAddr], own: &[IpAddr]) -> Vec<Finding> {
        let _ = (now, gateways, own);
        Vec::new()
    }

    /// Takes an echo reply.
    pub fn reply(&mut self, now: Time, reply: &Reply) -> Vec<Finding> {
        let _ = (now, reply);
        Vec::new()
    }

    /// Does what is due at `now`: sends probes, decides about failure and repair.
    pub fn tick(&mut self, now: Time) -> Vec<Finding> {
        let _ = now;
        Vec::new()
    }

    /// When [`Detection::tick`] is to be called next at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// Sets or clears an interface's failure by hand (`ifconfig IF failed`).
    pub fn set_failed(
        &mut self,
        now: Time,
        interface: &InterfaceName,
        failed: bool,
    ) -> Vec<Finding> {
        let _ = (now, interface, failed);
        Vec::new()
    }

    /// The health of an interface; `None` if it is not watched.
    pub fn health(&self, interface: &InterfaceName) -> Option<Health> {
        self.watched.get(interface).map(|w| {
            if w.running {
                Health::Ok
            } else {
                Health::Failed
            }
        })
    }

    /// Whether a group has failed: none of its members works.
    pub fn is_group_failed(&self, group: &GroupName) -> bool {
        let _ = group;
        false
    }

    /// The failure detection time in force for a group.
    pub fn failure_detection_time(&self, group: Option<&GroupName>) -> Duration {
        let _ = group;
        self.settings.failure_detection_time
    }

    /// What there is to see of an interface's probing.
    pub fn probing(&self, interface: &InterfaceName) -> Vec<Probing> {
        let _ = (interface, Family::ALL);
        Vec::new()
    }
}
