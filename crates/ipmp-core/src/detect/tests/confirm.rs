//! Confirming a late probe by a burst.

use super::*;
use crate::detect::simulation::modern;
use crate::{Confirm, ProbeMethod, Settings};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A host with this many interfaces and these peers as routers, running for two minutes.
fn running_with(settings: Settings, count: usize, routers: &[&str], seed: u64) -> World {
    let families = vec![V4; count];
    let peers = routers.iter().map(|router| peer(router, false)).collect();
    let mut world = World::new(settings, seed, nics(&families), peers);
    world.watch();
    world.route(&(0..routers.len()).collect::<Vec<_>>());
    world.run(Duration::from_mins(2));
    assert_eq!(said(&mut world), [] as [&str; 0]);
    world
}

fn confirmations(world: &World) -> u64 {
    world.detection.probing(&name(0))[0].confirmations
}

/// Lets the path of the first interface be dark from just before its next probe on.
fn interrupt(world: &mut World, length: Duration) {
    let sent = world.detection.probing(&name(0))[0].sent;
    loop {
        let mut later = world.detection.clone();
        let next = later.next_deadline().unwrap();
        later.tick(next);
        if later.probing(&name(0))[0].sent > sent {
            world.nics[0].dark_until = next + length;
            return;
        }
        world.run(next.since(world.now) + Duration::from_nanos(1));
    }
}

#[test]
fn a_failure_is_found_after_the_next_probe_and_a_silence() {
    // Detection time, and the silence that goes with it.
    for (time, silence) in [(10_000, 1_000), (1_000, 100), (100, 50), (20, 10)] {
        for seed in 0..20 {
            let mut world = running_with(modern(ms(time)), 2, &["10.0.0.254", "10.0.0.253"], seed);
            let interval = ms(time) / 7;
            let began = world.now;
            world.nics[0].broken = [true, true];
            let found = world.listen(ms(time));
            let after = found[0].0.since(began);
            assert!(after >= ms(silence), "{time} ms: after {after:?}");
            // The next send, at most one and a half intervals away, and the silence from then on.
            let latest = interval * 3 / 2 + ms(silence) + ms(2);
            assert!(after <= latest, "{time} ms: after {after:?}");
            world.said = found;
            assert_eq!(said(&mut world), ["ge0 failed"]);
        }
    }
}

#[test]
fn silence_and_number_of_probes_can_be_set() {
    for (silence, probes) in [(200, 4), (400, 40)] {
        let mut settings = modern(ms(1_000));
        settings.common.confirm = Some(Confirm {
            silence: Some(ms(silence)),
            probes,
        });
        let mut world = running_with(settings, 1, &["10.0.0.254"], 1);
        world.nics[0].broken = [true, true];
        world.records = true;
        let began = world.now;
        let found = world.listen(ms(1_000));
        assert!(found[0].0.since(began) >= ms(silence));
        let echoes = |probe: &&Probe| matches!(probe, Probe::Echo(_));
        let sent = world.sent.iter().filter(echoes).count();
        // Those of the steady rate go out too, and somebody is looked for when the only router is silent.
        let probes = usize::from(probes);
        assert!((probes + 1..=probes + 12).contains(&sent), "{sent}");
    }
}

#[test]
fn one_answer_ends_a_suspicion() {
    let mut world = running_with(modern(ms(1_000)), 2, &["10.0.0.254"], 1);
    let before = confirmations(&world);
    for _ in 0..20 {
        interrupt(&mut world, ms(40));
        world.run(Duration::from_mins(15));
    }
    assert!(
        confirmations(&world) >= before + 10,
        "suspicions there were"
    );
    assert_eq!(said(&mut world), [] as [&str; 0]);
}

#[test]
fn silences_that_end_teach_patience() {
    // The path is interrupted for 90 ms, then for 150, then for 250: each time less than twice as long.
    let run = |first: &[u64]| {
        let mut world = running_with(modern(ms(1_000)), 2, &["10.0.0.254"], 3);
        for &length in first.iter().chain(&[250]) {
            interrupt(&mut world, ms(length));
            world.run(ms(500));
        }
        said(&mut world)
    };
    assert_eq!(run(&[]), ["ge0 failed"], "nothing was known of such paths");
    let learnt = [90; 8].into_iter().chain([150; 8]).collect::<Vec<_>>();
    assert_eq!(run(&learnt), [] as [&str; 0]);
}

#[test]
fn others_testify_at_once() {
    // With one target and slow probing, the other interface has heard nothing since. It is asked.
    for seed in 0..50 {
        let mut world = running_with(modern(ms(60_000)), 3, &["10.0.0.254"], seed);
        world.nics[1].broken = [true, true];
        world.run(ms(60_000));
        assert_eq!(said(&mut world), ["ge1 failed"]);
    }
}

#[test]
fn all_lose_their_targets() {
    for seed in 0..20 {
        let mut world = running_with(modern(ms(10_000)), 3, &["10.0.0.254"], seed);
        world.peers[0].alive = false;
        world.run(ms(10_000));
        assert_eq!(said(&mut world), ["g failed"]);
    }
}

#[test]
fn targets_that_limit_echo_replies_are_not_dead_interfaces() {
    for (limit, time) in [(1_000, 1_000), (1_000, 10_000), (250, 700), (5_000, 10_000)] {
        let mut world = running_with(modern(ms(time)), 2, &["10.0.0.254"], 1);
        world.peers[0].limit = ms(limit);
        world.run(Duration::from_mins(10));
        assert_eq!(said(&mut world), [] as [&str; 0], "{limit} {time}");
        // And when the cable breaks it is noticed all the same.
        world.nics[0].broken = [true, true];
        // What limits its answers may be in the middle of that, but the link layer is silent too.
        world.run(ms(time));
        assert_eq!(said(&mut world), ["ge0 failed"], "{limit} {time}");
    }
}

#[test]
fn targets_that_stop_answering_echoes_are_to_blame_themselves() {
    let mut world = running_with(modern(ms(1_000)), 2, &["10.0.0.254"], 1);
    world.peers[0].answers_echo = false;
    world.run(Duration::from_mins(5));
    let silent = |nic| {
        format!(
            "The probe targets of ge{nic} answer ARP or neighbour solicitations, but no echo \
             requests; the interface is not blamed"
        )
    };
    let mut told = said(&mut world);
    told.sort();
    assert_eq!(told, [silent(0), silent(1)], "once each");
    assert_eq!(health(&world), [Ok, Ok]);
    // A switch that answers ARP for those behind it: the other interface hears them, this one is cut off.
    world.peers[0].answers_echo = true;
    world.run(Duration::from_mins(1));
    let mut world = running_with(modern(ms(1_000)), 2, &["10.0.0.254"], 1);
    world.nics[0].proxied = true;
    world.run(ms(3_000));
    assert_eq!(said(&mut world), ["ge0 failed"]);
}

#[test]
fn echo_only_means_echo_only() {
    let mut settings = modern(ms(1_000));
    settings.common.probe = ProbeMethod::Icmp;
    let mut world = running_with(settings, 1, &["10.0.0.254"], 1);
    world.records = true;
    world.nics[0].broken = [true, true];
    world.run(ms(1_000));
    assert_eq!(said(&mut world), ["g failed"]);
    assert!(
        world
            .sent
            .iter()
            .all(|probe| matches!(probe, Probe::Echo(_)))
    );
}

#[test]
fn a_stretch_in_which_we_slept_is_no_silence() {
    for time in [20, 100, 1_000, 10_000] {
        let mut world = running_with(modern(ms(time)), 2, &["10.0.0.254"], 5);
        let interval = ms(time) / 7;
        for n in 1..200 {
            // Asleep for a part of an interval up to two of them, in the middle of a lossy time.
            world.loss = 100;
            world.run(interval * 3);
            world.stall(interval * n / 100);
            world.run(interval * 3);
        }
        assert_eq!(said(&mut world), [] as [&str; 0], "{time}");
    }
}

#[test]
fn both_families_are_asked_at_once() {
    for seed in 0..20 {
        let peers = vec![peer("10.0.0.254", false), peer("fe80::254", false)];
        let both = &Family::ALL[..];
        let mut world = World::new(modern(ms(10_000)), seed, nics(&[both, both]), peers);
        world.watch();
        world.route(&[0, 1]);
        world.run(Duration::from_mins(2));
        world.nics[0].broken = [true, false];
        world.run(Duration::from_mins(2));
        assert_eq!(said(&mut world), [] as [&str; 0], "one family still works");
        let began = world.now;
        world.nics[0].broken = [true, true];
        let found = world.listen(ms(10_000));
        let after = found[0].0.since(began);
        assert!(after <= ms(1_429) * 3 / 2 + ms(1_100), "{after:?}");
        world.said = found;
        assert_eq!(said(&mut world), ["ge0 failed"]);
    }
}

#[test]
fn a_family_that_never_heard_anything_does_not_keep_the_interface_up() {
    let peers = vec![peer("10.0.0.254", false), peer("fe80::254", false)];
    let both = &Family::ALL[..];
    let mut world = World::new(modern(ms(1_000)), 1, nics(&[both, both]), peers);
    world.watch();
    world.route(&[0]);
    world.run(ms(5_000));
    let before = confirmations(&world);
    world.nics[0].broken = [true, true];
    while confirmations(&world) == before {
        world.run(ms(1));
    }
    // It finds a target in the middle of the suspicion, and is still in its quiet period.
    world.route(&[0, 1]);
    world.run(ms(1_000));
    assert_eq!(said(&mut world), ["ge0 failed"]);
}

#[test]
fn the_fate_of_probes_is_told_if_wanted() {
    let mut world = running_with(modern(ms(1_000)), 1, &["10.0.0.254"], 1);
    assert!(world.fates.is_empty());
    world.detection.tell_probes(true);
    world.run(ms(1_430));
    let answered = world.fates.iter().filter(|fate| fate.received.is_some());
    assert!((9..=11).contains(&answered.count()));
    world.fates.clear();
    world.nics[0].broken = [true, true];
    world.run(ms(500));
    let lost = world.fates.iter().filter(|fate| fate.received.is_none());
    assert!(lost.count() >= 5);
    let fate = &world.fates[0];
    assert_eq!(fate.interface, name(0));
    assert_eq!(fate.rtt_average, Some(Duration::from_micros(300)));
    world.detection.tell_probes(false);
    world.fates.clear();
    world.run(ms(500));
    assert!(world.fates.is_empty());
}
