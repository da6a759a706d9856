//! Random histories against the invariants.
//!
//! Whatever happens in whatever order ([`steps`]):
//!
//! * no operation takes a data address away that is nowhere else, or an address of another hand's;
//! * as soon as things are quiet every data address is on exactly one interface, one that works if there
//!   is one, and test addresses are at home;
//! * what is withheld as another host has it is on no interface, and what was in service is not withheld
//!   ([`rivals`]);
//! * a standby is in use while it has what belongs to others, and at no other time;
//! * what a killed daemon left is mended by the next;
//! * routes of others through members that work have ours in front of them;
//! * when nothing changed nothing is planned;
//! * whoever follows the records knows how everything is.
//!
//! Some histories are tried each time, half a million steps of each kind of host when asked for:
//!
//! ```text
//! RUST_BACKTRACE=0 cargo test --release -p ipmp-core --lib -- --ignored --nocapture half_a_million_steps
//! ```
//!
//! The seed is printed; `PROPTEST_RNG_SEED` has it tried again. A history that fails is made as short as
//! it still fails.

mod rivals;
mod steps;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestError, TestRunner};

use self::rivals::{ASKING, Rivals};
use self::steps::{Cause, Happening, NAMES, OUTSIDE, Typed};
pub(super) use self::steps::{Step, mend, step, take};
use super::host::Host;
use crate::asked::Logical;
use crate::kernel::{Change, PROTOCOL, Slot, Via};
use crate::random_histories::always_the_same;
use crate::snapshot::InterfaceState;
use crate::{InterfaceName, Record};

/// How many steps are asserted to have been taken on hosts with test addresses, and on those without.
const HALF_A_MILLION: u64 = 500_000;

/// What a host is set up as: how many interfaces, whether the last one is a standby, whether there are
/// test addresses, and IPv6 ones.
type Shape = (usize, bool, bool, bool);

pub(super) fn set_up(count: usize, standby_last: bool, with_tests: bool, with_inet6: bool) -> Host {
    let names = NAMES.get(..count).unwrap();
    let mut all = names.to_vec();
    all.push(OUTSIDE);
    let mut host = Host::new(&all);
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

/// Whoever has followed the records knows how everything is.
fn assert_recorded(host: &Host) {
    let (mut interfaces, mut groups) = (BTreeMap::new(), BTreeMap::new());
    let mut conflicts = BTreeSet::new();
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
            Record::Conflict {
                address,
                withheld,
                conflict,
                ..
            } => {
                let of = (*address, *withheld);
                let is_news = if *conflict {
                    conflicts.insert(of)
                } else {
                    conflicts.remove(&of)
                };
                assert!(is_news, "{record}");
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
    let seen = snapshot.conflicts.iter();
    let seen: BTreeSet<_> = seen.map(|seen| (seen.address, seen.withheld)).collect();
    assert_eq!(conflicts, seen);
}

/// Data addresses that some link holds.
pub(super) fn data_held(host: &Host) -> Vec<String> {
    let logicals = host.engine.asked.logicals.iter();
    logicals
        .filter(|logical| logical.is_movable())
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

/// Whether the kernel does what it is told at present, and nobody undoes it.
fn is_undisturbed(host: &Host) -> bool {
    host.refused.is_empty()
        && host.failing == 0
        && host.engine.failing().is_empty()
        && host.engine.contested().is_empty()
}

/// Asserts what must be so after any step; whether all of that could be asked.
fn check(host: &mut Host) -> bool {
    assert_eq!(host.lost, [""; 0]);
    assert_recorded(host);
    if !is_undisturbed(host) {
        // It cannot be as it should.
        return false;
    }
    // The last address of an interface goes a moment after it moved.
    // Meanwhile that of another one may begin to.
    for _ in 0..NAMES.len() {
        if host.engine.lingering.is_any() {
            host.pass(Duration::from_millis(200));
        }
    }
    if host.engine.conflicts.is_asking_any() {
        // Whatever is not asked for does not wait for that.
        check_logicals(host);
        let asking = asking(host);
        host.pass(ASKING);
        let still: Vec<_> = asking.intersection(&self::asking(host)).copied().collect();
        let waiting = rivals::waiting(host);
        assert!(still.iter().all(|ip| waiting.contains(ip)), "{still:?}");
    }
    if !is_undisturbed(host) {
        // What was withheld may be refused when it is not any more.
        return false;
    }
    check_logicals(host);
    check_standbys(host);
    let asking = asking(host);
    for address in host.kernel.addresses.values() {
        let name = &host.kernel.links[&address.index].name;
        let is_known = host.engine.asked.interfaces.contains_key(name);
        // It would take one along that is waited for.
        let mut there = host.kernel.addresses_on(address.index);
        let is_needed = there.any(|behind| behind.secondary && asking.contains(&behind.address.ip));
        assert!(
            is_known || is_needed || address.protocol != PROTOCOL,
            "{address:?}"
        );
    }
    for route in &host.kernel.routes {
        if let Via::Nexthop(id) = route.via {
            assert!(host.kernel.nexthops.contains_key(&id));
        }
    }
    check_shadows(host);
    let before = host.operations.len();
    let kernel = host.kernel.clone();
    host.change(Change::Resync(kernel));
    assert_eq!(
        host.operations.get(before..),
        Some(&[][..]),
        "planned twice"
    );
    true
}

/// Asserts that routes of another hand through members that work have ours in front of them.
fn check_shadows(host: &Host) {
    let engine = &host.engine;
    let of_others = host.kernel.routes.iter();
    let of_others = of_others.filter(|route| route.protocol != PROTOCOL);
    for theirs in of_others {
        let Via::Link { index, .. } = theirs.via else {
            continue;
        };
        let name = &host.kernel.links[&index].name;
        let is_used = engine.group_of(name).is_some()
            && host.kernel.links[&index].is_running()
            && engine.state(name, engine.link(name)) == InterfaceState::Ok
            && data_on(host, index);
        let ours = Slot {
            metric: theirs.metric - 1,
            ..theirs.slot()
        };
        let mut ours = host.kernel.routes_in(ours);
        assert!(
            !is_used || ours.any(|ours| ours.protocol == PROTOCOL),
            "{theirs:?}"
        );
    }
}

/// Whether a link has an IPv4 address of ours that is for data.
fn data_on(host: &Host, index: u32) -> bool {
    let mut there = host.kernel.addresses_on(index);
    there.any(|there| there.address.ip.is_ipv4() && there.protocol == PROTOCOL && !there.deprecated)
}

/// Addresses that others are being asked for.
fn asking(host: &Host) -> BTreeSet<IpAddr> {
    let asked = host.engine.asked.logicals.iter();
    let asked = asked.map(|logical| logical.address.ip);
    asked
        .filter(|ip| host.engine.conflicts.is_asking(*ip))
        .collect()
}

/// Asserts that addresses are where they should be.
fn check_logicals(host: &Host) {
    for logical in &host.engine.asked.logicals {
        if logical.address.is_link_local6() || logical.address.ip.is_unspecified() {
        } else if logical.is_up() && host.engine.is_withheld(logical) {
            assert!(holders(host, logical).is_empty(), "withheld");
        } else if logical.is_movable() && logical.is_up() {
            check_data(host, logical);
        } else if !logical.is_movable() {
            let home = &logical.home;
            assert_eq!(host.engine.place_of(logical), *home, "a test address moved");
            let holders = holders(host, logical);
            assert!(holders.iter().all(|holder| **holder == home.interface));
        }
    }
}

/// Asserts of standbys that work that they are in use if they have what belongs to others, by what the kernel
/// has on them. What is down is nowhere in the kernel, and may be on them all the same.
fn check_standbys(host: &Host) {
    let engine = &host.engine;
    for (name, interface) in &engine.asked.interfaces {
        let Some(link) = engine.link(name).filter(|_| interface.standby) else {
            continue;
        };
        if engine.failed.contains(name) {
            continue;
        }
        let mut others = engine.asked.logicals.iter();
        let is_in_use = others.any(|logical| {
            logical.home.interface != *name
                && engine.place_of(logical).interface == *name
                && (!logical.is_up() || host.kernel.has_address(link.index, logical.address.ip))
        });
        assert_eq!(engine.is_inactive(name), !is_in_use, "{name}");
    }
}

/// Interfaces that hold an address: its home, and members of its group.
fn holders<'h>(host: &'h Host, logical: &Logical) -> Vec<&'h InterfaceName> {
    let home = &logical.home.interface;
    let group = host.engine.group_of(home);
    let there = host.kernel.addresses.values();
    there
        .filter(|there| there.address.ip == logical.address.ip)
        .map(|there| &host.kernel.links[&there.index].name)
        .filter(|name| *name == home || group.is_some() && host.engine.group_of(name) == group)
        .collect()
}

fn check_data(host: &Host, logical: &Logical) {
    let engine = &host.engine;
    let ip = logical.address.ip;
    let works = |name: &InterfaceName| {
        let link = engine.link(name);
        let state = engine.state(name, link);
        link.is_some() && matches!(state, InterfaceState::Ok | InterfaceState::Unknown)
    };
    let holders = holders(host, logical);
    assert!(holders.len() <= 1, "{ip} is on {holders:?}");
    let place = engine.place_of(logical).interface;
    if engine.link(&place).is_some() {
        assert_eq!(holders, [&place], "{ip}");
    }
    let barred = engine.barred(ip);
    if let Some(wanted) = &logical.moved_to
        && works(wanted)
        && !barred.contains(wanted)
    {
        assert_eq!(place, *wanted, "{ip} was moved");
    }
    let Some(group) = engine.group_of(&logical.home.interface) else {
        return;
    };
    let mut mates = engine.asked.interfaces.iter();
    let somebody_works = mates.any(|(name, interface)| {
        interface.group.as_ref() == Some(group)
            && interface.families.contains(&logical.family())
            && works(name)
            && !barred.contains(name)
    });
    if somebody_works && !engine.watch.is_recovering(host.now, group) {
        assert!(works(&place), "{ip} is on {place}");
    }
}

/// Takes steps on a host, which asks others for addresses or does not, and asserts the invariants after each;
/// how many could be taken.
fn live(shape: Shape, asks: bool, steps: &[Step]) -> u64 {
    let mut host = fresh(shape);
    let mut taken = 0;
    let mut rivals = Rivals::default();
    let begin = asks.then_some(Step::Detect(true));
    for step in begin.iter().chain(steps) {
        rivals.before(&host);
        taken += u64::from(take(&mut host, step));
        rivals.right_after(&host, step);
        check(&mut host);
        rivals.after(&mut host);
    }
    mend(&mut host);
    rivals.left();
    assert!(check(&mut host), "{:?}", host.engine.failing());
    rivals.after(&mut host);
    taken
}

thread_local! {
    /// Hosts as they are before anything happens to them: most of a short history would be their set-up.
    static FRESH: RefCell<BTreeMap<Shape, Host>> = RefCell::default();
}

/// A host that was set up, and that is as it should be.
fn fresh(shape: Shape) -> Host {
    FRESH.with_borrow_mut(|hosts| {
        let host = hosts.entry(shape).or_insert_with(|| {
            let (count, standby_last, with_tests, with_inet6) = shape;
            let mut host = set_up(count, standby_last, with_tests, with_inet6);
            assert!(check(&mut host));
            host
        });
        host.clone()
    })
}

/// Hosts of every shape, with test addresses or without.
fn shape(with_tests: bool) -> impl Strategy<Value = Shape> {
    (2..=NAMES.len(), any::<bool>(), any::<bool>())
        .prop_map(move |(count, standby, inet6)| (count, standby, with_tests, inet6))
}

/// Takes random steps until so many were taken.
fn live_long(with_tests: bool) {
    let config = ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => TestRunner::default().rng().next_u64(),
    };
    let hosts = if with_tests { "with" } else { "without" };
    println!("hosts {hosts} test addresses: PROPTEST_RNG_SEED={seed}");
    let histories = (shape(with_tests), any::<bool>(), vec(step(), 1..60));
    let (lived, taken) = (Cell::new(0), Cell::new(0));
    // Of a seed each, so that one that fails is soon found again.
    for seed in (0..).map(|batch| seed.wrapping_add(batch)) {
        let mut runner = TestRunner::new(ProptestConfig {
            rng_seed: RngSeed::Fixed(seed),
            ..config.clone()
        });
        let outcome = runner.run(&histories, |(shape, asks, steps)| {
            taken.set(taken.get() + live(shape, asks, &steps));
            lived.set(lived.get() + 1);
            Ok(())
        });
        match outcome {
            Ok(()) if taken.get() >= HALF_A_MILLION => break,
            Ok(()) => {}
            Err(TestError::Fail(why, history)) => {
                panic!("PROPTEST_RNG_SEED={seed}: {why}: {history:?}");
            }
            Err(TestError::Abort(why)) => panic!("PROPTEST_RNG_SEED={seed}: {why}"),
        }
    }
    let (lived, taken) = (lived.get(), taken.get());
    println!("hosts {hosts} test addresses: {lived} histories, {taken} steps");
    assert!(taken >= HALF_A_MILLION);
}

#[test]
#[ignore = "takes a minute with optimisation"]
fn half_a_million_steps_with_test_addresses() {
    live_long(true);
}

#[test]
#[ignore = "takes a minute with optimisation"]
fn half_a_million_steps_without_test_addresses() {
    live_long(false);
}

proptest! {
    #![proptest_config(always_the_same(4))]

    #[test]
    fn whatever_happens(
        shape in any::<bool>().prop_flat_map(shape),
        asks in any::<bool>(),
        steps in vec(step(), 1..40),
    ) {
        live(shape, asks, &steps);
    }
}

/// The daemon is killed before it does anything about something, more happens, and a new one starts.
fn killed(amid: Cause, meanwhile: Vec<Happening>) -> Step {
    Step::Kill {
        after: 0,
        amid,
        meanwhile,
        forgotten: false,
    }
}

/// The kernel removes an address, refuses another operation, and the command is undone.
#[test]
fn what_a_refused_command_had_removed_is_in_service_again() {
    let steps = [
        Step::Type(Typed::Add(0, 1)),
        Step::Refuse(0),
        Step::Fail(1),
        Step::Happen(Happening::Exchange(0)),
        Step::Type(Typed::Remove(0, 1)),
    ];
    live((2, false, false, false), true, &steps);
}

/// An interface is out of service, as another one has its hardware address, when the daemon starts.
#[test]
fn a_test_address_is_brought_up_when_its_interface_has_no_twin_any_more() {
    let start = |amid| killed(Cause::Happening(amid), vec![]);
    let steps = [
        Step::Detect(true),
        Step::Happen(Happening::Carrier(0, false)),
        Step::Happen(Happening::Mac(1, 3)),
        Step::Happen(Happening::Mac(0, 3)),
        Step::Happen(Happening::Carrier(1, false)),
        start(Happening::Carrier(0, false)),
        start(Happening::AdminUp(0, false)),
        Step::Happen(Happening::Mac(0, 0)),
    ];
    live((2, false, true, false), false, &steps);
}

#[test]
fn what_is_ours_on_a_renamed_interface_goes_when_nothing_is_waited_for_behind_it() {
    let history = [
        Step::Happen(Happening::Carrier(2, false)),
        killed(Cause::Typed(Typed::Group(0, false)), vec![]),
        killed(Cause::Happening(Happening::Copy(2, 0, false)), vec![]),
        killed(
            Cause::Happening(Happening::Rename(0)),
            vec![Happening::Unplug(1)],
        ),
        Step::Happen(Happening::Carrier(0, false)),
    ];
    for with_tests in [false, true] {
        live((3, false, with_tests, false), true, &history);
    }
}

/// The link of one is back, and before it was answered often enough the last other one falls silent.
#[test]
fn nobody_is_repaired_by_whatever_comes_next_when_all_hosts_fall_silent() {
    let history = [
        Step::Happen(Happening::Carrier(0, false)),
        killed(Cause::Typed(Typed::Group(2, false)), vec![]),
        Step::Permit,
        Step::Happen(Happening::Carrier(0, true)),
        Step::Silence(1, true),
        Step::Pass(2),
    ];
    for with_tests in [false, true] {
        live((3, false, with_tests, true), false, &history);
    }
}

/// The tenth answer of one has come, which is looked at a moment later, and nothing else has changed.
#[test]
fn a_mark_that_was_found_is_no_news_to_who_found_it() {
    let history = [
        killed(Cause::Happening(Happening::Carrier(0, false)), vec![]),
        Step::Permit,
        Step::Pass(31),
        Step::Silence(1, true),
        Step::Happen(Happening::Exchange(0)),
        Step::Happen(Happening::AddRoute(0, 0)),
        Step::Pass(11),
    ];
    live((2, true, false, false), false, &history);
}
