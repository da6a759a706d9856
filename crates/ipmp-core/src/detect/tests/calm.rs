//! Interfaces that fail again and again, and such as must prove themselves.

use super::*;
use crate::detect::damping::Damping;
use crate::detect::simulation::modern;

const HALF_LIFE: Duration = Duration::from_mins(1);

#[test]
fn penalties_add_up_and_decay() {
    let at = |s: u64| Time::from_millis(s * 1_000);
    let mut damping = Damping::default();
    // Failures at these seconds, and whether they begin a hold.
    for (second, begins) in [
        (0, false),
        (10, false),
        (20, false),
        (30, true),
        (35, false),
    ] {
        assert_eq!(damping.failed(at(second), HALF_LIFE), begins, "{second}");
    }
    let until = damping.held_until(HALF_LIFE).unwrap();
    assert!((at(130)..=at(180)).contains(&until), "{until}");
    assert!(damping.is_held(at(129), HALF_LIFE));
    // After a quiet time it takes three more again.
    for (second, begins) in [
        (1_000, false),
        (1_001, false),
        (1_002, false),
        (1_003, true),
    ] {
        assert_eq!(damping.failed(at(second), HALF_LIFE), begins, "{second}");
    }
    // However often it fails, the hold ends four half-lives after the last time.
    for n in 0..1_000 {
        damping.failed(at(2_000 + n), HALF_LIFE);
    }
    let until = damping.held_until(HALF_LIFE).unwrap();
    assert!(
        (at(2_999 + 235)..=at(2_999 + 240)).contains(&until),
        "{until}"
    );
}

#[test]
fn a_flapping_interface_is_held_longer_and_longer() {
    let mut world = World::new(
        modern(Duration::from_secs(10)),
        1,
        nics(&[&[], &[]]),
        vec![],
    );
    world.watch();
    let mut repairs = 0;
    let began = world.now;
    while world.now.since(began) < Duration::from_hours(1) {
        world.set_link(0, false);
        assert_eq!(health(&world), [Failed, Ok], "failure is never delayed");
        world.run(Duration::from_secs(1));
        world.set_link(0, true);
        world.run(Duration::from_secs(19));
        repairs += said(&mut world)
            .iter()
            .filter(|what| *what == "ge0 repaired")
            .count();
    }
    assert!(
        (2..10).contains(&repairs),
        "{repairs} times in an hour of flapping every 20 s"
    );
    world.run(HALF_LIFE * 5);
    assert_eq!(health(&world), [Ok, Ok]);
}

#[test]
fn nothing_is_held_where_nothing_else_works() {
    let mut world = World::new(
        modern(Duration::from_secs(10)),
        1,
        nics(&[&[], &[]]),
        vec![],
    );
    world.watch();
    for _ in 0..10 {
        world.set_link(0, false);
        world.set_link(0, true);
    }
    world.run(Duration::from_secs(1));
    assert_eq!(health(&world), [Failed, Ok]);
    world.set_link(1, false);
    assert_eq!(health(&world), [Ok, Failed], "better than nothing");
}

#[test]
fn hold_down_asks_for_a_time_of_work() {
    let mut settings = modern(Duration::from_secs(1));
    settings.common.hold_down = Duration::from_secs(30);
    let peers = vec![peer("10.0.0.254", false)];
    let mut world = World::new(settings, 1, nics(&[V4, V4]), peers);
    world.watch();
    world.route(&[0]);
    world.run(Duration::from_mins(1));
    world.nics[0].broken = [true, true];
    world.run(Duration::from_secs(5));
    world.nics[0].broken = [false, false];
    world.run(Duration::from_secs(25));
    assert_eq!(health(&world), [Failed, Ok]);
    // Bad again: the time begins anew.
    world.nics[0].broken = [true, true];
    world.run(Duration::from_secs(2));
    world.nics[0].broken = [false, false];
    world.run(Duration::from_secs(30));
    assert_eq!(health(&world), [Failed, Ok]);
    world.run(Duration::from_secs(5));
    assert_eq!(health(&world), [Ok, Ok]);
    assert_eq!(said(&mut world), ["ge0 failed", "ge0 repaired"]);
}
