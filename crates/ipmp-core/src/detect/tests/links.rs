//! Links, and marks that were there before or were set by hand.

use super::*;

#[test]
fn links_fail_at_once_and_are_repaired_by_what_there_is() {
    // Test address or not; how long the repair takes.
    for (families, repaired_after) in [(&[][..], Duration::ZERO), (V4, T * 12)] {
        let mut world = running(&[V4, families]);
        world.set_link(1, false);
        assert_eq!(health(&world), [Ok, Failed]);
        assert_eq!(said(&mut world), ["ge1 down", "ge1 failed"]);
        world.run(T);
        world.set_link(1, true);
        if repaired_after.is_zero() {
            assert_eq!(said(&mut world), ["ge1 up", "ge1 repaired"]);
        } else {
            assert_eq!(said(&mut world), ["ge1 up"]);
            assert_eq!(health(&world), [Ok, Failed]);
            world.run(repaired_after);
            assert_eq!(said(&mut world), ["ge1 repaired"]);
        }
        assert_eq!(health(&world), [Ok, Ok]);
    }
}

#[test]
fn a_link_decides_too_where_no_target_was_ever_found() {
    let mut world = World::new(
        settings(Duration::from_secs(10)),
        1,
        nics(&[V4, V4]),
        vec![],
    );
    world.watch();
    world.set_link(1, false);
    world.set_link(1, true);
    assert_eq!(
        said(&mut world),
        ["ge1 down", "ge1 failed", "ge1 up", "ge1 repaired"]
    );
    assert_eq!(health(&world), [NoTargets, NoTargets]);
}

#[test]
fn groups_of_links_fail_with_the_last_one() {
    let mut world = running(&[&[], &[]]);
    world.set_link(0, false);
    assert_eq!(said(&mut world), ["ge0 down", "ge0 failed"]);
    world.set_link(1, false);
    assert_eq!(said(&mut world), ["ge1 down", "g failed"]);
    assert!(world.detection.is_group_failed(&group()));
    world.set_link(1, true);
    assert_eq!(
        said(&mut world),
        ["ge1 up", "g repaired by ge1", "ge1 repaired"]
    );
    assert_eq!(health(&world), [Failed, Ok]);

    world.nics[1].watched.running = false;
    world.watch();
    said(&mut world);
    for nic in &mut world.nics {
        nic.watched.running = true;
    }
    world.watch();
    assert_eq!(
        said(&mut world),
        [
            "ge0 up",
            "ge1 up",
            "g repaired by ge0",
            "ge0 repaired",
            "ge1 repaired"
        ]
    );
    for nic in &mut world.nics {
        nic.watched.running = false;
    }
    world.watch();
    assert_eq!(said(&mut world), ["ge0 down", "ge1 down", "g failed"]);
}

#[test]
fn a_flapping_link_is_held() {
    let mut world = running(&[V4, &[]]);
    for _ in 0..2 {
        world.set_link(1, false);
        world.set_link(1, true);
        assert_eq!(health(&world), [Ok, Ok]);
        world.run(Duration::from_secs(10));
    }
    said(&mut world);
    world.set_link(1, false);
    world.set_link(1, true);
    assert_eq!(
        said(&mut world),
        ["ge1 down", "ge1 failed", "ge1 up", "ge1 held 2"]
    );
    // The link-up before this one was ten seconds ago.
    let until = world.now + Duration::from_secs(50);
    assert_eq!(world.detection.held_until(&name(1)), Some(until));
    world.run(Duration::from_millis(49_999));
    assert_eq!(health(&world), [Ok, Failed]);
    world.run(Duration::from_millis(2));
    assert_eq!(world.detection.held_until(&name(1)), None);
    assert_eq!(health(&world), [Ok, Ok]);
    assert_eq!(said(&mut world), ["ge1 repaired"]);
}

#[test]
fn restart_with_a_failed_mark() {
    // Families of test addresses; whether the target answers, or is there at all; health at once,
    // after five seconds, after a minute.
    for (families, alive, routed, expected) in [
        (&[][..], true, true, [Ok, Ok, Ok]),
        (V4, true, true, [Failed, Failed, Ok]),
        (V4, false, true, [Failed, Failed, Failed]),
        (V4, true, false, [Failed, Failed, NoTargets]),
    ] {
        let mut world = World::new(
            settings(Duration::from_secs(10)),
            1,
            nics(&[&[], families]),
            vec![peer("10.0.0.254", false)],
        );
        world.peers[0].alive = alive;
        world.nics[1].watched.failed = true;
        world.watch();
        if routed {
            world.route(&[0]);
        }
        for (after, expected) in [0, 5, 55].into_iter().zip(expected) {
            world.run(Duration::from_secs(after));
            assert_eq!(
                health(&world)[1],
                expected,
                "{families:?} {alive} {routed} {after}"
            );
        }
        let said = said(&mut world);
        let repaired = said.iter().filter(|text| *text == "ge1 repaired").count();
        assert_eq!(repaired, usize::from(expected[2] != Failed), "{said:?}");
    }
}

#[test]
fn failures_by_hand() {
    let mut world = running(&[V4, V4]);
    let findings = world.detection.set_failed(world.now, &name(1), true);
    world.carry_out(findings);
    world.run(T * 30);
    assert_eq!(health(&world), [Ok, Failed], "answers do not repair it");
    world.set_link(1, false);
    world.set_link(1, true);
    world.run(T * 30);
    assert_eq!(health(&world), [Ok, Failed], "nor does the link");
    let findings = world.detection.set_failed(world.now, &name(1), false);
    world.carry_out(findings);
    assert_eq!(health(&world), [Ok, Ok]);
    assert_eq!(
        said(&mut world),
        ["ge1 failed", "ge1 down", "ge1 up", "ge1 repaired"]
    );
}

#[test]
fn links_can_be_ignored() {
    let mut world = running(&[V4, &[]]);
    let mut ignoring = settings(Duration::from_secs(10));
    ignoring.ignore_links = true;
    world.set_link(1, false);
    let findings = world.detection.configure(world.now, ignoring);
    world.carry_out(findings);
    assert_eq!(health(&world), [Ok, Ok]);
    world.set_link(1, true);
    world.set_link(1, false);
    assert_eq!(
        said(&mut world),
        ["ge1 down", "ge1 failed", "ge1 up", "ge1 repaired"]
    );
}
