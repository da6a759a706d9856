//! Random histories against the invariants: whatever happens in whatever order, as soon as things
//! are quiet every data address is on exactly one interface that works, if there is one; test
//! addresses never move; what a killed daemon left is mended by the next; and when nothing changed
//! nothing is planned; and whoever follows the records knows how everything is.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::host::Host;
use crate::kernel::{Change, Via};
use crate::snapshot::InterfaceState;
use crate::{Command, Flags, Record};

const NAMES: [&str; 4] = ["ge0", "ge1", "ge2", "ge3"];

/// What the kernel may refuse, by the text of the operation.
const REFUSED: [&str; 5] = [
    "add address",
    "remove address",
    "set nexthop",
    "route",
    "set ",
];

/// Something that happens to a host. Numbers choose among what is there.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Carrier(usize, bool),
    AdminUp(usize, bool),
    Silence(usize, bool),
    Unplug(usize),
    Plug(usize),
    Pass(u64),
    Offline(usize, bool),
    Failback(bool),
    /// The daemon dies after so many more operations, something happens to an interface's cable
    /// meanwhile, and a new daemon starts.
    Kill(usize, usize, bool),
    /// The same while it takes an interface out of its group, or puts it back.
    KillInGroup(usize, usize, bool),
    /// The kernel refuses operations of a kind.
    Refuse(usize),
    /// The kernel refuses nothing any more, and time passes.
    Permit,
    /// Another hand removes an address.
    StealAddress(usize),
    /// Another hand removes a nexthop.
    StealNexthop(usize),
    /// Another hand removes a route.
    StealRoute(usize),
    /// Another hand puts sysctls back.
    ResetSysctls(usize),
    /// Another interface leaves its group, or joins it again.
    Group(usize, bool),
    Standby(usize, bool),
    /// The administrator moves an address.
    Move(usize, usize),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let nic = || 0..NAMES.len();
    prop_oneof![
        4 => (nic(), any::<bool>()).prop_map(|(i, on)| Step::Carrier(i, on)),
        1 => (nic(), any::<bool>()).prop_map(|(i, on)| Step::AdminUp(i, on)),
        4 => (nic(), any::<bool>()).prop_map(|(i, on)| Step::Silence(i, on)),
        1 => nic().prop_map(Step::Unplug),
        2 => nic().prop_map(Step::Plug),
        3 => (0..40_u64).prop_map(Step::Pass),
        2 => (nic(), any::<bool>()).prop_map(|(i, on)| Step::Offline(i, on)),
        1 => any::<bool>().prop_map(Step::Failback),
        3 => (0..12_usize, nic(), any::<bool>()).prop_map(|(n, i, on)| Step::Kill(n, i, on)),
        2 => (0..12_usize, nic(), any::<bool>()).prop_map(|(n, i, on)| Step::KillInGroup(n, i, on)),
        1 => (0..REFUSED.len()).prop_map(Step::Refuse),
        2 => Just(Step::Permit),
        2 => (0..16_usize).prop_map(Step::StealAddress),
        1 => (0..8_usize).prop_map(Step::StealNexthop),
        1 => (0..4_usize).prop_map(Step::StealRoute),
        1 => nic().prop_map(Step::ResetSysctls),
        1 => (nic(), any::<bool>()).prop_map(|(i, on)| Step::Group(i, on)),
        1 => (nic(), any::<bool>()).prop_map(|(i, on)| Step::Standby(i, on)),
        2 => (0..16_usize, nic()).prop_map(|(n, i)| Step::Move(n, i)),
    ]
}

pub(super) fn set_up(count: usize, standby_last: bool, with_tests: bool, with_inet6: bool) -> Host {
    let names = NAMES.get(..count).unwrap();
    let mut host = Host::new(names);
    for (i, name) in names.iter().enumerate() {
        let standby = standby_last && i + 1 == count;
        if standby {
            host.ifconfig(&format!(
                "{name} plumb 192.168.0.{} group g deprecated -failover standby up",
                100 + i
            ));
        } else {
            host.ifconfig(&format!("{name} plumb 192.168.0.{} group g up", 10 + i));
            host.ifconfig(&format!("{name} addif 192.168.0.{} up", 50 + i));
            if with_tests {
                host.ifconfig(&format!(
                    "{name} addif 192.168.0.{} deprecated -failover up",
                    100 + i
                ));
            }
        }
        if with_inet6 {
            host.ifconfig(&format!("{name} inet6 plumb"));
            if !standby {
                host.ifconfig(&format!("{name} inet6 addif 2001:db8::{}/64 up", 10 + i));
            }
        }
    }
    host.pass(Duration::from_mins(1));
    host
}

pub(super) fn take(host: &mut Host, step: &Step) {
    let has = |host: &Host, i: usize| host.kernel.link(&NAMES[i].parse().unwrap()).cloned();
    match *step {
        Step::Carrier(i, on) => {
            if has(host, i).is_some() {
                host.carrier(NAMES[i], on);
            }
        }
        Step::AdminUp(i, on) => {
            if let Some(mut link) = has(host, i) {
                link.up = on;
                host.change(Change::Link(link));
            }
        }
        Step::Silence(i, on) => {
            if on {
                host.silent.insert(NAMES[i].to_owned());
            } else {
                host.silent.remove(NAMES[i]);
            }
        }
        Step::Unplug(i) => {
            if has(host, i).is_some() {
                host.unplug(NAMES[i]);
            }
        }
        Step::Plug(i) => {
            let is_known = host
                .engine
                .snapshot()
                .interfaces
                .iter()
                .any(|known| known.name.as_str() == NAMES[i]);
            if is_known && has(host, i).is_none() {
                host.plug(NAMES[i]);
            }
        }
        Step::Pass(seconds) => host.pass(Duration::from_secs(seconds)),
        Step::Offline(i, true) => {
            host.ifconfig(&format!("{} offline", NAMES[i]));
        }
        Step::Offline(i, false) => {
            host.ifconfig(&format!("{} online", NAMES[i]));
        }
        Step::Failback(failback) => {
            let mut settings = host.settings.clone();
            settings.common.failback = failback;
            host.configure(settings);
        }
        Step::Kill(after, i, on) => {
            let held = data_held(host);
            host.killed_after = Some(after);
            if has(host, i).is_some() {
                host.carrier(NAMES[i], on);
            }
            assert_held(host, &held);
            host.restart();
        }
        // The addresses of an absent interface have no other place when their group dissolves.
        Step::KillInGroup(..) | Step::Group(..) if is_any_absent(host) => {}
        Step::KillInGroup(after, i, on) => {
            let held = data_held(host);
            host.killed_after = Some(after);
            let group = if on { "g" } else { "none" };
            host.ifconfig(&format!("{} group {group}", NAMES[i]));
            assert_held(host, &held);
            host.restart();
        }
        Step::Refuse(i) => host.refused.push(REFUSED[i].to_owned()),
        Step::Permit => {
            host.refused.clear();
            host.pass(Duration::from_mins(2));
        }
        Step::StealAddress(i) => {
            let key = host.kernel.addresses.keys().nth(i).copied();
            if let Some((index, address)) = key
                && host.kernel.links[&index].name.as_str() != "lo"
            {
                host.change(Change::AddressGone(index, address));
            }
        }
        Step::StealNexthop(i) => {
            if let Some(&id) = host.kernel.nexthops.keys().nth(i) {
                host.change(Change::NexthopGone(id));
            }
        }
        Step::StealRoute(i) => {
            if let Some(route) = host.kernel.routes.iter().nth(i).cloned() {
                host.change(Change::RouteGone(route));
            }
        }
        Step::ResetSysctls(i) => {
            if let Some(link) = has(host, i) {
                for value in host
                    .kernel
                    .sysctls
                    .iter_mut()
                    .filter(|((on, _), _)| *on == link.index)
                {
                    *value.1 = 0;
                }
                let kernel = host.kernel.clone();
                host.change(Change::Resync(kernel));
            }
        }
        Step::Group(i, on) => {
            host.ifconfig(&format!(
                "{} group {}",
                NAMES[i],
                if on { "g" } else { "none" }
            ));
        }
        Step::Standby(i, on) => {
            host.ifconfig(&format!(
                "{} {}standby",
                NAMES[i],
                if on { "" } else { "-" }
            ));
        }
        Step::Move(n, i) => {
            let address = data_held(host).get(n).map(|ip| ip.parse().unwrap());
            if let Some(address) = address {
                let interface = NAMES[i].parse().unwrap();
                // Whether it may is seen by what comes of it.
                let _ = host.ask(Command::Move { address, interface });
            }
        }
    }
}

fn is_any_absent(host: &Host) -> bool {
    host.engine
        .snapshot()
        .interfaces
        .iter()
        .any(|interface| interface.index.is_none())
}

/// Whether an interface is absent and in no group, so that its addresses belong nowhere.
fn is_any_homeless(host: &Host) -> bool {
    let snapshot = host.engine.snapshot();
    snapshot
        .interfaces
        .iter()
        .any(|i| i.index.is_none() && i.group.is_none())
}

/// Data addresses that some link holds.
pub(super) fn data_held(host: &Host) -> Vec<String> {
    let snapshot = host.engine.snapshot();
    let logicals = snapshot
        .interfaces
        .iter()
        .filter(|i| !i.loopback)
        .flat_map(|i| &i.logicals);
    logicals
        .filter(|logical| !logical.placeholder && !logical.flags.contains(Flags::NOFAILOVER))
        .filter(|logical| !logical.address.is_link_local6())
        .map(|logical| logical.address.ip.to_string())
        .filter(|ip| !host.holders(ip).is_empty())
        .collect()
}

/// What was somewhere is somewhere.
pub(super) fn assert_held(host: &Host, held: &[String]) {
    for ip in held {
        assert!(!host.holders(ip).is_empty(), "{ip} is nowhere");
    }
}

/// Whoever has followed the records knows how everything is.
fn assert_recorded(host: &Host) {
    let (mut interfaces, mut groups) = (BTreeMap::new(), BTreeMap::new());
    for record in &host.records {
        match record {
            Record::Interface {
                interface,
                from,
                to,
                ..
            } => {
                let was = interfaces.remove(interface);
                assert_eq!(was, *from, "{record}");
                interfaces.extend(to.map(|to| (interface.clone(), to)));
            }
            Record::Group {
                group, from, to, ..
            } => {
                let was = groups.remove(group);
                assert_eq!(was, *from, "{record}");
                groups.extend(to.map(|to| (group.clone(), to)));
            }
            _ => {}
        }
    }
    let snapshot = host.engine.snapshot();
    let tracked = snapshot.interfaces.iter().filter(|i| i.tracked);
    let states: BTreeMap<_, _> = tracked.map(|i| (i.name.clone(), i.state)).collect();
    assert_eq!(interfaces, states);
    let states: BTreeMap<_, _> = snapshot
        .groups
        .iter()
        .filter_map(|group| Some((group.name.clone()?, group.state)))
        .collect();
    assert_eq!(groups, states);
}

fn check(host: &mut Host) {
    assert_recorded(host);
    if !host.refused.is_empty() {
        // It cannot be as it should. What must not happen is seen by who takes steps.
        return;
    }
    // The last address of an interface goes a moment after it moved.
    if host.engine.lingering.is_any() {
        host.pass(Duration::from_millis(200));
    }
    let snapshot = host.engine.snapshot();
    let works = |name: &str| {
        snapshot.interfaces.iter().any(|interface| {
            interface.name.as_str() == name
                && matches!(
                    interface.state,
                    InterfaceState::Ok | InterfaceState::Unknown
                )
        })
    };
    for interface in snapshot
        .interfaces
        .iter()
        .filter(|interface| !interface.loopback)
    {
        for logical in &interface.logicals {
            let ip = logical.address.ip.to_string();
            let holders = host.holders(&ip);
            let is_data =
                !logical.flags.contains(Flags::NOFAILOVER) && !logical.address.is_link_local6();
            if logical.placeholder || logical.address.ip.is_unspecified() {
            } else if is_data && logical.flags.contains(Flags::UP) {
                assert!(holders.len() <= 1, "{ip} is on {holders:?}");
                if interface.index.is_some() {
                    assert_eq!(holders, [interface.name.as_str()], "{ip}");
                }
                let home = snapshot
                    .interfaces
                    .iter()
                    .find(|i| i.name == logical.home.interface);
                let group = home.and_then(|home| home.group.clone());
                let recovers = host
                    .engine
                    .watch
                    .is_recovering(host.now, &"g".parse().unwrap());
                if let Some(wanted) = &logical.moved_to
                    && works(wanted.as_str())
                    && !host.engine.barred(logical.address.ip).contains(wanted)
                {
                    assert_eq!(interface.name, *wanted, "{ip} was moved");
                }
                let somebody_works = snapshot.interfaces.iter().any(|other| {
                    other.group == group && group.is_some() && works(other.name.as_str())
                });
                if somebody_works && !recovers {
                    assert!(
                        works(interface.name.as_str()),
                        "{ip} is on {}",
                        interface.name
                    );
                }
            } else if !is_data {
                assert_eq!(logical.name, logical.home, "a test address moved");
            }
        }
    }
    for route in &host.kernel.routes {
        if let Via::Nexthop(id) = route.via {
            assert!(host.kernel.nexthops.contains_key(&id));
        }
    }
    let before = host.operations.len();
    let kernel = host.kernel.clone();
    host.change(Change::Resync(kernel));
    assert_eq!(
        host.operations.get(before..),
        Some(&[][..]),
        "planned twice"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        count in 2..=4_usize,
        standby_last: bool,
        with_tests: bool,
        with_inet6: bool,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut host = set_up(count, standby_last, with_tests, with_inet6);
        check(&mut host);
        for step in &steps {
            let held = data_held(&host);
            take(&mut host, step);
            if !matches!(step, Step::Unplug(_) | Step::StealAddress(_)) && !is_any_homeless(&host) {
                assert_held(&host, &held);
            }
            check(&mut host);
        }
        take(&mut host, &Step::Permit);
        check(&mut host);
    }
}
