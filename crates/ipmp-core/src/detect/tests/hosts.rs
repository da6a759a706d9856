//! Hosts as targets, which come and go: whose silence they are.

use proptest::collection::vec;
use proptest::prelude::*;

use super::solicit::{bare, ms, world_of};
use super::*;
use crate::InterfaceAddress;
use crate::detect::simulation::modern;
use crate::random_histories::always_the_same;

/// Hosts that the kernel knows, and no router.
fn among_hosts(nics: Vec<Nic>, hosts: &[&str]) -> World {
    let mut world = world_of(modern(ms(1_000)), nics, hosts);
    world.peers.iter_mut().for_each(|peer| peer.known = true);
    world.run(ms(20_000));
    world
}

#[test]
fn hosts_that_go_are_no_failure_where_nobody_asked_for_probes() {
    let silent =
        "No host answers on any interface of group g any more; until one does, links alone decide";
    let mut world = among_hosts(bare(2, &["10.0.0.0/24"]), &["10.0.0.50", "10.0.0.51"]);
    // They may come and go all day.
    for told in [vec![silent], vec![]] {
        world.peers.iter_mut().for_each(|peer| peer.alive = false);
        world.run(ms(5_000));
        assert_eq!(said(&mut world), told);
        assert_eq!(health(&world), [Ok, Ok]);
        assert_eq!(
            world.detection.probing(&name(0))[0].mode,
            TargetMode::Disabled
        );
        world.peers[1].alive = true;
        world.run(ms(10_000));
        assert_eq!(world.detection.probing(&name(0))[0].mode, TargetMode::Arp);
    }
    world.nics[1].broken = [true, true];
    world.run(ms(1_000));
    assert_eq!(said(&mut world), ["ge1 failed"]);
    // One that had failed before has still to show that it works.
    world.run(Duration::from_mins(10));
    world.peers[1].alive = false;
    world.run(ms(20_000));
    assert_eq!(said(&mut world), [silent]);
    assert_eq!(health(&world), [Ok, Failed]);
    world.nics[1].broken = [false, false];
    world.peers[0].alive = true;
    world.run(ms(10_000));
    assert_eq!(said(&mut world), ["ge1 repaired"]);
}

#[test]
fn a_member_with_test_address_is_not_blamed_where_another_lives_by_its_link() {
    let mut mixed = bare(1, &["10.0.0.0/24"]);
    mixed.push(nic(1, V4));
    let mut world = among_hosts(mixed, &["10.0.0.50"]);
    world.peers[0].alive = false;
    world.run(ms(5_000));
    assert_eq!(health(&world), [Ok, NoTargets]);
    assert_eq!(said(&mut world).len(), 1);
}

/// Who is to be asked is found only after a while.
#[test]
fn who_was_failed_before_is_not_in_use_before_anybody_was_asked() {
    for (count, works, expected) in [
        (2, false, [Failed, Failed, Failed]),
        (2, true, [Failed, Ok, Ok]),
        // It is better than none, and finds nobody.
        (1, false, [Ok, Ok, Ok]),
        (1, true, [Ok, Ok, Ok]),
    ] {
        let mut nics = bare(count, &["10.0.0.0/24"]);
        nics[0].watched.failed = true;
        nics[0].watched.silent = true;
        nics[0].broken = [!works, !works];
        let mut world = world_of(modern(ms(1_000)), nics, &["10.0.0.50"]);
        world.peers[0].known = true;
        for (after, expected) in [0, 10, 110].into_iter().zip(expected) {
            world.run(Duration::from_secs(after));
            assert_eq!(health(&world)[0], expected, "{count} {works} {after}");
        }
    }
    // Nobody is there.
    let mut nics = bare(2, &["10.0.0.0/24"]);
    nics[0].watched.failed = true;
    nics[0].watched.silent = true;
    let mut world = world_of(modern(ms(1_000)), nics, &[]);
    assert_eq!(health(&world)[0], Failed);
    world.run(Duration::from_mins(2));
    assert_eq!(health(&world)[0], Ok);
    // It was its link.
    let mut nics = bare(2, &["10.0.0.0/24"]);
    nics[0].watched.failed = true;
    let world = world_of(modern(ms(1_000)), nics, &[]);
    assert_eq!(health(&world)[0], Ok);
}

#[test]
fn a_gateway_that_goes_repairs_nobody_unless_nobody_else_works() {
    let mut world = world_of(
        modern(ms(1_000)),
        bare(2, &["10.0.0.0/24"]),
        &["10.0.0.254"],
    );
    world.route(&[0]);
    world.run(ms(20_000));
    world.nics[1].broken = [true, true];
    world.run(ms(2_000));
    world.route(&[]);
    world.run(ms(10_000));
    assert_eq!(said(&mut world), ["ge1 failed"]);
    assert_eq!(health(&world), [Ok, Failed]);
    world.set_link(0, false);
    assert_eq!(
        said(&mut world),
        ["ge0 down", "g failed", "g repaired by ge1", "ge1 repaired"]
    );
}

/// The only one that hears tells of the other that it does not.
#[test]
fn a_member_that_is_silent_still_is_found_when_another_hears_again() {
    for together in [false, true] {
        let mut world = among_hosts(bare(2, &["10.0.0.0/24"]), &["10.0.0.50", "10.0.0.51"]);
        world.nics[0].broken = [true, true];
        world.run(ms(2_000));
        if !together {
            world.nics[1].broken = [true, true];
            world.run(ms(5_000));
        }
        // One path comes back, and the other goes before that was answered ten times.
        world.nics[0].broken = [false, false];
        world.run(ms(500));
        world.nics[1].broken = [true, true];
        world.run(ms(10_000));
        assert_eq!(health(&world), [Ok, Failed], "{together}");
    }
}

#[test]
fn a_link_that_comes_back_counts_when_hosts_have_gone() {
    let mut world = among_hosts(bare(2, &["10.0.0.0/24"]), &["10.0.0.50", "10.0.0.51"]);
    world.set_link(0, false);
    world.peers.iter_mut().for_each(|peer| peer.alive = false);
    world.run(ms(5_000));
    said(&mut world);
    world.set_link(0, true);
    assert_eq!(said(&mut world), ["ge0 up", "ge0 repaired"]);
    world.set_link(1, false);
    assert_eq!(health(&world), [Ok, Failed]);
}

/// The link was back before the hosts went, and nobody had answered often enough.
#[test]
fn a_link_that_has_come_back_counts_as_soon_as_hosts_have_gone() {
    let mut world = among_hosts(bare(2, &["10.0.0.0/24"]), &["10.0.0.50"]);
    world.set_link(0, false);
    world.run(ms(1_000));
    world.set_link(0, true);
    world.peers[0].alive = false;
    said(&mut world);
    let heard = world.listen(ms(5_000));
    assert!(
        matches!(heard[0].1, Message::HostsSilent { .. }),
        "{heard:?}"
    );
    assert!(
        matches!(heard[1].1, Message::NicRepaired { .. }),
        "{heard:?}"
    );
    assert_eq!(health(&world), [Ok, Ok]);
}

/// Late, the daemon finds out about all of them in one moment.
#[test]
fn all_that_lose_their_hosts_in_one_moment_have_lost_nothing() {
    for (before, stall) in (5..20).flat_map(|before| [40, 100].map(|stall| (before, stall))) {
        let mut world = among_hosts(bare(4, &["10.0.0.0/24"]), &["10.0.0.50"]);
        world.peers[0].alive = false;
        world.run(ms(10 * before));
        world.stall(ms(stall));
        world.run(ms(5_000));
        assert_eq!(health(&world), [Ok; 4], "{before} {stall}");
        assert_eq!(said(&mut world).len(), 1, "{before} {stall}");
    }
}

#[test]
fn who_failed_long_ago_is_answered_by_hosts_that_came_since() {
    let old = [
        "10.0.0.50",
        "10.0.0.51",
        "10.0.0.52",
        "10.0.0.53",
        "10.0.0.54",
    ];
    let new = [
        "10.0.0.60",
        "10.0.0.61",
        "10.0.0.62",
        "10.0.0.63",
        "10.0.0.64",
    ];
    let mut world = among_hosts(bare(2, &["10.0.0.0/24"]), &[old, new].concat());
    world.peers[5..]
        .iter_mut()
        .for_each(|peer| peer.alive = false);
    world.run(ms(60_000));
    world.nics[1].broken = [true, true];
    world.run(ms(2_000));
    assert_eq!(health(&world), [Ok, Failed]);
    // It is answered for a moment, by each of them.
    world.nics[1].broken = [false, false];
    world.run(ms(1_000));
    world.nics[1].broken = [true, true];
    for at in 0..5 {
        world.peers[at + 5].alive = true;
        world.peers[at].alive = false;
        world.run(ms(30_000));
    }
    world.nics[1].broken = [false, false];
    world.run(ms(60_000));
    assert_eq!(health(&world), [Ok, Ok]);
}

/// Nobody is there any more who was asked before the links went, of all members.
#[test]
fn links_that_are_back_count_when_hosts_went_with_them() {
    let old = ["10.0.0.50", "10.0.0.51"];
    let mut world = among_hosts(
        bare(2, &["10.0.0.0/24"]),
        &[&old[..], &["10.0.0.60"]].concat(),
    );
    world.set_link(0, false);
    world.set_link(1, false);
    world.peers.iter_mut().for_each(|peer| peer.alive = false);
    world.run(ms(60_000));
    world.set_link(0, true);
    world.set_link(1, true);
    world.run(ms(5_000));
    assert_eq!(health(&world), [Ok, Ok]);
}

/// The same with test addresses: it takes somebody who answers, and he need not have been there before.
#[test]
fn hosts_that_came_with_the_links_are_found() {
    let old = ["10.0.0.50", "10.0.0.51"];
    let mut world = among_hosts(nics(&[V4, V4]), &[&old[..], &["10.0.0.60"]].concat());
    world.set_link(0, false);
    world.set_link(1, false);
    for (peer, alive) in world.peers.iter_mut().zip([false, false, true]) {
        peer.alive = alive;
    }
    world.run(ms(60_000));
    world.set_link(0, true);
    world.set_link(1, true);
    world.run(ms(60_000));
    assert_eq!(health(&world), [Ok, Ok]);
}

#[test]
fn no_link_is_evidence_in_a_dark_group() {
    for comes_up_first in [true, false] {
        let mut world = among_hosts(nics(&[V4, V4]), &["10.0.0.50", "10.0.0.51"]);
        world.set_link(0, false);
        world.run(ms(1_000));
        if comes_up_first {
            world.set_link(0, true);
        }
        world.peers.iter_mut().for_each(|peer| peer.alive = false);
        world.run(ms(5_000));
        world.set_link(0, true);
        world.run(ms(60_000));
        assert_eq!(health(&world), [Failed, Failed], "{comes_up_first}");
        world.peers.iter_mut().for_each(|peer| peer.alive = true);
        world.run(ms(20_000));
        assert_eq!(health(&world), [Ok, Ok], "{comes_up_first}");
    }
}

/// Links tell again of who has no test address, and of everybody once the group has targets again.
#[test]
fn a_dark_group_holds_nobody_who_cannot_be_asked() {
    // No probes at all, beside one with a router.
    let mut world = running(&[&[], V4]);
    world.set_link(0, false);
    world.peers[0].alive = false;
    world.run(T * 8);
    world.peers[0].alive = true;
    world.run(T * 20);
    assert_eq!(health(&world), [Failed, Ok]);
    world.set_link(0, true);
    assert_eq!(health(&world), [Ok, Ok]);

    // Hosts that nobody asked to probe, beside one with a test address.
    let mut mixed = bare(1, &["10.0.0.0/24"]);
    mixed.push(nic(1, V4));
    let mut world = among_hosts(mixed, &["10.0.0.50"]);
    world.set_link(0, false);
    world.peers[0].alive = false;
    world.run(ms(5_000));
    assert_eq!(health(&world), [Failed, Failed]);
    world.set_link(0, true);
    assert_eq!(health(&world), [Ok, Failed]);

    // A test address where nobody is, beside one among hosts.
    let mut apart = nics(&[V4, V4]);
    apart[0].watched.test[0] = Some(InterfaceAddress::new("10.1.0.1".parse().unwrap(), 24));
    let mut world = among_hosts(apart, &["10.0.0.50"]);
    assert_eq!(health(&world), [NoTargets, Ok]);
    world.set_link(0, false);
    world.peers[0].alive = false;
    world.run(ms(5_000));
    world.set_link(0, true);
    assert_eq!(health(&world), [Failed, Failed]);
    world.peers[0].alive = true;
    world.run(ms(20_000));
    assert_eq!(health(&world), [NoTargets, Ok]);
}

/// Something that happens to a host or its neighbours.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The path of an interface passes nothing, or does.
    Break(usize, bool),
    Link(usize, bool),
    /// A host is switched on or off.
    Host(usize, bool),
    /// All of them are, for some time; the daemon stands still for a moment a moment later.
    Hosts(bool, u64, u64),
    Stall(u64),
    Run(u64),
}

/// What no interface may fail by. (Hosts that go one after the other may seem to be one: what the last of
/// them answers here was asked after the first fell silent there. So may those that are back in the very
/// moment in which silence has lasted long enough.)
fn harmless() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (any::<bool>(), 0..300_u64, 0..200_u64)
            .prop_map(|(on, before, stall)| Step::Hosts(on, before, stall)),
        1 => (1..300_u64).prop_map(Step::Stall),
        3 => (1..3_000_u64).prop_map(Step::Run),
        1 => (3_000..30_000_u64).prop_map(Step::Run),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..4_usize, any::<bool>()).prop_map(|(nic, on)| Step::Break(nic, on)),
        2 => (0..4_usize, any::<bool>()).prop_map(|(nic, on)| Step::Link(nic, on)),
        3 => (0..6_usize, any::<bool>()).prop_map(|(host, on)| Step::Host(host, on)),
        7 => harmless(),
    ]
}

/// Which hosts are there in the end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// All that were there in the beginning.
    All,
    /// As many others.
    Others,
    Nobody,
}

fn live(count: usize, hosts: usize, steps: &[Step], (end, slow): (End, u64)) {
    let ms = |time: u64| ms(slow * time);
    let mut settings = modern(ms(1_000));
    settings.common.dampening = None;
    let addresses: Vec<String> = (0..2 * hosts)
        .map(|host| format!("10.0.0.{}", 50 + host))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let mut world = world_of(settings, bare(count, &["10.0.0.0/24"]), &addresses);
    world.peers.iter_mut().for_each(|peer| peer.known = true);
    let others = |world: &mut World, alive| {
        let others = world.peers.iter_mut().skip(hosts);
        others.for_each(|peer| peer.alive = alive);
    };
    others(&mut world, false);
    world.run(ms(60_000));
    for step in steps {
        match *step {
            Step::Break(nic, on) if nic < count => world.nics[nic].broken = [on, on],
            Step::Link(nic, on) if nic < count => world.set_link(nic, on),
            Step::Host(host, on) if host < hosts => world.peers[host].alive = on,
            Step::Hosts(on, before, stall) => {
                let all = world.peers.iter_mut().take(hosts);
                all.for_each(|peer| peer.alive = on);
                world.run(ms(before));
                world.stall(ms(stall));
                world.run(ms(3_000));
            }
            Step::Stall(time) => world.stall(ms(time)),
            Step::Run(time) => world.run(ms(time)),
            Step::Break(..) | Step::Link(..) | Step::Host(..) => {}
        }
    }
    let is_harmless = |step: &Step| matches!(step, Step::Hosts(..) | Step::Stall(_) | Step::Run(_));
    if steps.iter().all(is_harmless) {
        let is_of_hosts = |message: &Message| {
            matches!(
                message,
                Message::HostsSilent { .. } | Message::NoTestAddress { .. }
            )
        };
        let mut said = world.said.iter().map(|(_, message)| message);
        assert!(said.all(is_of_hosts), "{:?}", world.said);
        // Each interface is remarked on once.
        let remarks = world.said.iter();
        let remarks = remarks.filter(|(_, said)| matches!(said, Message::NoTestAddress { .. }));
        assert!(remarks.count() <= count, "{:?}", world.said);
        assert_eq!(health(&world), vec![Ok; count]);
    }
    for (at, peer) in world.peers.iter_mut().enumerate() {
        peer.alive = match end {
            End::All => at < hosts,
            End::Others => at >= hosts,
            End::Nobody => false,
        };
    }
    // So much that no link counts as flapping.
    world.run(ms(240_000));
    let works = |nic: &Nic| nic.watched.running && nic.broken == [false, false];
    if matches!(end, End::Nobody) {
        let is_any_up = world.nics.iter().any(|nic| nic.watched.running);
        assert!(!is_any_up || health(&world).contains(&Ok));
    } else if world.nics.iter().any(works) {
        let as_it_is = world
            .nics
            .iter()
            .map(|nic| if works(nic) { Ok } else { Failed });
        assert_eq!(health(&world), as_it_is.collect::<Vec<_>>());
    }
}

/// How it ends, and how many times slower than in a second failures are to be found.
fn end() -> impl Strategy<Value = (End, u64)> {
    (
        prop_oneof![Just(End::All), Just(End::Others), Just(End::Nobody)],
        prop_oneof![Just(1), Just(10), Just(60)],
    )
}

proptest! {
    #![proptest_config(always_the_same(1))]

    #[test]
    fn whatever_hosts_do(
        count in 2..=4_usize,
        hosts in 1..=6_usize,
        steps in vec(step(), 1..30),
        end in end(),
    ) {
        live(count, hosts, &steps, end);
    }

    #[test]
    fn whatever_all_hosts_do_together_nobody_fails(
        count in 1..=4_usize,
        hosts in 1..=6_usize,
        steps in vec(harmless(), 1..30),
        end in end(),
    ) {
        live(count, hosts, &steps, end);
    }
}
