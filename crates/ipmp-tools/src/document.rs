//! What there is to see, as programs and tables get it: the parts of `--json` documents.
//!
//! The rows of `ipmpstat` and the objects of `--json` are made from the same values here, so that
//! they cannot tell different stories. Member names are part of the interface (docs/json.md): they
//! may be added to, and are changed or taken away with [`VERSION`] only. Lists are sorted by name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipmp_core::snapshot::{self, GroupState, InterfaceState, LinkState, ProbeState, TargetMode};
use ipmp_core::time::milliseconds;
use ipmp_core::{
    Family, Flags, GroupName, InterfaceName, LogicalName, MacAddress, Snapshot, Time, record,
};
use serde::Serialize;

use crate::daemon::Clocks;

/// Version of the documents, their member `version`.
pub const VERSION: u32 = 1;

/// A document: its version and the parts that were asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document {
    /// [`VERSION`].
    pub version: u32,
    /// Whether in.mpathd runs; what is shown without it is what an earlier one left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<bool>,
    /// The groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<Group>>,
    /// The watched interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<Interface>>,
    /// Their data addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<Address>>,
    /// Whom they probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<Probing>>,
    /// The last failovers and failbacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outages: Option<Vec<Outage>>,
    /// What another hand undoes again and again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contested: Option<Vec<Contested>>,
    /// Addresses that another host has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<Vec<Conflict>>,
    /// What the kernel refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<Vec<Failing>>,
}

impl Document {
    /// One without parts.
    pub const fn new() -> Self {
        Self {
            version: VERSION,
            running: None,
            groups: None,
            interfaces: None,
            addresses: None,
            targets: None,
            outages: None,
            contested: None,
            conflicts: None,
            failing: None,
        }
    }

    /// The text: on many lines for people who look at it, or on one for streams.
    pub fn text(&self, on_one_line: bool) -> serde_json::Result<String> {
        if on_one_line {
            serde_json::to_string(self)
        } else {
            serde_json::to_string_pretty(self)
        }
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

/// A group (`groups`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name; null for the anonymous group, which comes last.
    pub group: Option<GroupName>,
    /// `ok`, `degraded` or `failed`.
    pub state: GroupState,
    /// Failure detection time in force, in milliseconds; null when no member probes.
    pub failure_detection_ms: Option<u64>,
    /// Members in use for data.
    pub active: Vec<InterfaceName>,
    /// Working members that wait.
    pub inactive: Vec<InterfaceName>,
    /// All other members.
    pub unusable: Vec<InterfaceName>,
}

/// A data address (`addresses`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// Length of its subnet's prefix in bits.
    pub prefix_length: u8,
    /// Whether it is configured for use.
    pub up: bool,
    /// Its group; null outside groups.
    pub group: Option<GroupName>,
    /// The logical interface that has it now.
    pub logical: LogicalName,
    /// The logical interface where it belongs.
    pub home: LogicalName,
    /// The interface where `ipmp move` put it, instead of home; null if it was not moved.
    pub moved_to: Option<InterfaceName>,
    /// The interface on which it is received; null if it is down or that one does not work.
    pub inbound: Option<InterfaceName>,
    /// The interfaces it is sent from; none if it is not received.
    pub outbound: Vec<InterfaceName>,
}

/// An interface that is watched (`interfaces`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub interface: InterfaceName,
    /// Whether the device is there.
    pub present: bool,
    /// Whether it is in use for data.
    pub active: bool,
    /// Its group; null outside groups.
    pub group: Option<GroupName>,
    /// `ok`, `failed`, `offline` or `unknown`.
    pub state: InterfaceState,
    /// `up`, `down` or `unknown`.
    pub link: LinkState,
    /// `ok`, `failed`, `unknown` or `disabled`.
    pub probe: ProbeState,
    /// Set aside until needed.
    pub standby: bool,
    /// Works and carries no data at present.
    pub inactive: bool,
    /// Has no address that is up.
    pub down: bool,
    /// Offlined because another member has the same hardware address.
    pub duplicate_mac: bool,
    /// What the kernel refused on it of late; null if nothing.
    pub refused: Option<String>,
    /// It counts as failed though it works again: it failed too often of late, or is to prove itself for longer.
    pub held: bool,
    /// Families (`inet`, `inet6`) whose broadcast and multicast it takes for its group.
    pub nominated: Vec<Family>,
}

/// Probing of one interface in one family (`targets`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Probing {
    /// The interface.
    pub interface: InterfaceName,
    /// The family; null where neither is probed.
    pub family: Option<Family>,
    /// `routes`, `multicast`, `configured`, `arp` or `disabled`.
    pub mode: TargetMode,
    /// The test address; null if there is no probing.
    pub test_address: Option<IpAddr>,
    /// Targets in the order in which they will be probed next.
    pub targets: Vec<Target>,
    /// Unicast probes sent.
    pub probes_sent: u64,
    /// Probes answered.
    pub probes_answered: u64,
    /// Probes that were not answered in time.
    pub probes_lost: u64,
    /// Probes that were not sent because the daemon was late.
    pub probes_missed: u64,
    /// Probes whose fate is not known because the daemon was late; they count for nothing.
    pub probes_void: u64,
    /// How often a late probe led to a burst of probes.
    pub confirmations: u64,
}

/// A probe target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    /// Its address.
    pub address: IpAddr,
    /// Smoothed round trip time in milliseconds; null before the first answer.
    pub rtt_average_ms: Option<f64>,
    /// Smoothed deviation of it in milliseconds.
    pub rtt_deviation_ms: Option<f64>,
}

/// A failover or failback (`outages`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outage {
    /// When it was decided, in UTC (RFC 3339).
    pub time: String,
    /// What it took.
    #[serde(flatten)]
    pub outage: record::Outage,
}

/// Something that another hand undoes again and again (`contested`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contested {
    /// What, for people.
    pub what: String,
    /// The interface it is about; null if it is about none.
    pub interface: Option<InterfaceName>,
    /// The address it is about; null if it is about none.
    pub address: Option<IpAddr>,
    /// Who undoes it; null if the kernel does not tell.
    pub by: Option<String>,
    /// Since when, in UTC (RFC 3339).
    pub since: String,
    /// In how many milliseconds it is tried again; null if it was just tried.
    pub again_in_ms: Option<u64>,
}

/// What is contested.
pub fn contested(snapshot: &Snapshot, clocks: Clocks) -> Vec<Contested> {
    let contested = snapshot.contested.iter().map(|contested| Contested {
        what: contested.what.clone(),
        interface: contested.interface.clone(),
        address: contested.address,
        by: contested.by.clone(),
        since: clocks.wall_time(contested.since),
        again_in_ms: contested.again.map(|again| in_ms(clocks, again)),
    });
    contested.collect()
}

/// An address that another host has (`conflicts`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Which.
    pub address: IpAddr,
    /// The interface on which the other host was heard last.
    pub interface: InterfaceName,
    /// The other host's hardware address.
    pub mac: MacAddress,
    /// Whether the address is not brought up for that; one that was in service stays.
    pub withheld: bool,
    /// Since when, in UTC (RFC 3339).
    pub since: String,
    /// When the other host was heard last, in UTC (RFC 3339).
    pub heard: String,
    /// In how many milliseconds it is tried again to bring it up; null if it is not withheld.
    pub again_in_ms: Option<u64>,
}

/// Which addresses another host has.
pub fn conflicts(snapshot: &Snapshot, clocks: Clocks) -> Vec<Conflict> {
    let conflicts = snapshot.conflicts.iter().map(|conflict| Conflict {
        address: conflict.address,
        interface: conflict.interface.clone(),
        mac: conflict.mac,
        withheld: conflict.withheld,
        since: clocks.wall_time(conflict.since),
        heard: clocks.wall_time(conflict.heard),
        again_in_ms: conflict.again.map(|again| in_ms(clocks, again)),
    });
    conflicts.collect()
}

/// Something that the kernel refuses (`failing`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failing {
    /// What, for people.
    pub what: String,
    /// The interface it is about; null if it is about none.
    pub interface: Option<InterfaceName>,
    /// The address it is about; null if it is about none.
    pub address: Option<IpAddr>,
    /// What the kernel says.
    pub reason: String,
    /// How often it was tried.
    pub times: u32,
    /// Since when, in UTC (RFC 3339).
    pub since: String,
    /// In how many milliseconds it is tried again.
    pub again_in_ms: u64,
}

/// What the kernel refuses.
pub fn failing(snapshot: &Snapshot, clocks: Clocks) -> Vec<Failing> {
    let failing = snapshot.failing.iter().map(|failing| Failing {
        what: failing.what.clone(),
        interface: failing.interface.clone(),
        address: failing.address,
        reason: failing.reason.clone(),
        times: failing.times,
        since: clocks.wall_time(failing.since),
        again_in_ms: in_ms(clocks, failing.again),
    });
    failing.collect()
}

/// How far off a time is.
fn in_ms(clocks: Clocks, then: Time) -> u64 {
    u64::try_from(then.since(clocks.monotonic).as_millis()).unwrap_or(u64::MAX)
}

/// The last failovers and failbacks, oldest first.
pub fn outages(snapshot: &Snapshot, clocks: Clocks) -> Vec<Outage> {
    let outages = snapshot.outages.iter().map(|outage| Outage {
        time: clocks.wall_time(outage.declared),
        outage: outage.clone(),
    });
    outages.collect()
}

/// Watched interfaces by name.
pub fn members(snapshot: &Snapshot) -> Vec<&snapshot::Interface> {
    let mut members: Vec<_> = snapshot
        .interfaces
        .iter()
        .filter(|interface| interface.tracked && !interface.loopback)
        .collect();
    members.sort_by_key(|interface| interface.name.instance());
    members
}

fn sorted(names: &[InterfaceName]) -> Vec<InterfaceName> {
    let mut names = names.to_vec();
    names.sort_by(|one, other| one.instance().cmp(&other.instance()));
    names
}

/// The groups, the anonymous one last.
pub fn groups(snapshot: &Snapshot) -> Vec<Group> {
    let mut groups: Vec<Group> = snapshot
        .groups
        .iter()
        .map(|group| Group {
            group: group.name.clone(),
            state: group.state,
            failure_detection_ms: group
                .failure_detection_time
                .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            active: sorted(&group.active),
            inactive: sorted(&group.inactive),
            unusable: sorted(&group.unusable),
        })
        .collect();
    groups.sort_by(|one, other| {
        (one.group.is_none(), &one.group).cmp(&(other.group.is_none(), &other.group))
    });
    groups
}

/// The data addresses of watched interfaces. One that two members have is listed once, and the one
/// that is up counts.
pub fn addresses(snapshot: &Snapshot) -> Vec<Address> {
    let mut found: BTreeMap<IpAddr, (&snapshot::Interface, &snapshot::Logical)> = BTreeMap::new();
    for interface in members(snapshot) {
        for logical in interface.logicals.iter().filter(|l| l.is_data()) {
            let known = found
                .entry(logical.address.ip)
                .or_insert((interface, logical));
            if !known.1.flags.contains(Flags::UP) {
                *known = (interface, logical);
            }
        }
    }
    let outbound: BTreeMap<Option<&GroupName>, Vec<InterfaceName>> = snapshot
        .groups
        .iter()
        .map(|group| (group.name.as_ref(), sorted(&group.active)))
        .collect();
    found
        .into_values()
        .map(|(interface, logical)| {
            let up = logical.flags.contains(Flags::UP);
            let is_received = up
                && interface.index.is_some()
                && !matches!(
                    interface.state,
                    InterfaceState::Failed | InterfaceState::Offline
                );
            Address {
                address: logical.address.ip,
                prefix_length: logical.address.prefix,
                up,
                group: interface.group.clone(),
                logical: logical.name.clone(),
                home: logical.home.clone(),
                moved_to: logical.moved_to.clone(),
                inbound: is_received.then(|| interface.name.clone()),
                outbound: outbound
                    .get(&interface.group.as_ref())
                    .filter(|_| is_received)
                    .cloned()
                    .unwrap_or_default(),
            }
        })
        .collect()
}

/// The watched interfaces.
pub fn interfaces(snapshot: &Snapshot) -> Vec<Interface> {
    members(snapshot)
        .into_iter()
        .map(|interface| Interface {
            interface: interface.name.clone(),
            present: interface.index.is_some(),
            active: interface.active,
            group: interface.group.clone(),
            state: interface.state,
            link: interface.link,
            probe: interface.probe,
            standby: interface.standby,
            inactive: interface.inactive,
            down: interface.down,
            duplicate_mac: interface.duplicate_mac,
            refused: interface.refused.clone(),
            held: interface.held_until.is_some(),
            nominated: interface.nominee.clone(),
        })
        .collect()
}

/// Probing of the watched interfaces: IPv4 unless only IPv6 is probed, and IPv6 only if it is.
pub fn targets(snapshot: &Snapshot) -> Vec<Probing> {
    members(snapshot).into_iter().flat_map(probings).collect()
}

fn probings(interface: &snapshot::Interface) -> Vec<Probing> {
    let probed: Vec<_> = Family::ALL
        .iter()
        .filter_map(|family| interface.probing.iter().find(|p| p.family == *family))
        .filter(|probing| probing.mode != TargetMode::Disabled)
        .map(|probing| probing_of(interface, probing))
        .collect();
    if !probed.is_empty() {
        return probed;
    }
    vec![Probing {
        interface: interface.name.clone(),
        family: None,
        mode: TargetMode::Disabled,
        test_address: None,
        targets: Vec::new(),
        probes_sent: 0,
        probes_answered: 0,
        probes_lost: 0,
        probes_missed: 0,
        probes_void: 0,
        confirmations: 0,
    }]
}

fn probing_of(interface: &snapshot::Interface, probing: &snapshot::Probing) -> Probing {
    let targets = probing.targets.iter().map(|target| Target {
        address: target.address,
        rtt_average_ms: target.rtt_average.map(milliseconds),
        rtt_deviation_ms: target.rtt_deviation.map(milliseconds),
    });
    Probing {
        interface: interface.name.clone(),
        family: Some(probing.family),
        mode: probing.mode,
        test_address: probing.test_address,
        targets: targets.collect(),
        probes_sent: probing.sent,
        probes_answered: probing.acknowledged,
        probes_lost: probing.lost,
        probes_missed: probing.missed,
        probes_void: probing.void,
        confirmations: probing.confirmations,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use crate::recorded::{Recorded, Staged, transcript};
    use crate::{etc::Etc, sample};

    fn members(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    found.insert(name.clone());
                    members(value, found);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| members(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_member_is_documented() {
        let mut snapshot = sample::troubled();
        snapshot.outages = vec![sample::outage()];
        let mut daemon = Recorded::showing(snapshot);
        daemon.events = sample::events();
        let etc = Etc::below(std::path::Path::new("/nonexistent"));
        let terminal = crate::recorded::Staged::pipe();
        let status = transcript(
            &mut daemon,
            &etc,
            "--json",
            |words, environment, console| {
                crate::status::run(words, &terminal, environment, console)
            },
        );
        let events = transcript(
            &mut daemon,
            &etc,
            "--json",
            |words, environment, console| {
                crate::events::run(words, &Staged::pipe(), environment, console)
            },
        );
        let mut found = BTreeSet::new();
        members(&serde_json::from_str(&status).unwrap(), &mut found);
        for line in events.lines() {
            members(&serde_json::from_str(line).unwrap(), &mut found);
        }
        for probe in sample::probes() {
            members(&serde_json::to_value(probe).unwrap(), &mut found);
        }
        let documented = include_str!("../../../docs/json.md");
        for name in found {
            assert!(documented.contains(&format!("`{name}`")), "{name}");
        }
    }
}
