//! What fast detection costs: the time it takes against false alarms, for paths of every quality.
//!
//! The table of `docs/detection.md` comes from here; two rows of it are checked always.

use std::time::Duration;

use super::super::Health;
use super::super::random::Random;
use super::{World, modern, nic, peer, settings};
use crate::message::Message;
use crate::{Family, ProbeMethod, Settings, Time};

/// What is wrong with the path, though the interface works.
#[derive(Clone, Copy, Debug)]
enum Noise {
    /// Of a thousand packets so many are lost, in each direction.
    Loss(u64),
    /// Twice a minute the path is interrupted for so many milliseconds.
    Outage(u64),
    /// The only target answers one echo request in so many milliseconds.
    Limit(u64),
}

/// One host with two interfaces and two targets (one where it limits).
fn world(settings: Settings, noise: Noise, seed: u64) -> World {
    let count = if matches!(noise, Noise::Limit(_)) {
        1
    } else {
        2
    };
    let mut peers: Vec<_> = (0..count)
        .map(|n| peer(&format!("10.0.0.{}", 100 + n), false))
        .collect();
    if let Noise::Limit(ms) = noise {
        peers[0].limit = Duration::from_millis(ms);
    }
    let nics = (0..2).map(|n| nic(n, &[Family::Inet])).collect();
    let mut world = World::new(settings, seed, nics, peers);
    world.watch();
    world.route(&(0..count).collect::<Vec<_>>());
    if let Noise::Loss(loss) = noise {
        world.loss = loss;
    }
    world
}

/// How many failures were declared although nothing failed for good, in `span`.
fn false_alarms(settings: &Settings, noise: Noise, span: Duration, seed: u64) -> usize {
    let mut world = world(settings.clone(), noise, seed);
    let mut random = Random::new(seed);
    let end = world.now + span;
    while world.now < end {
        world.run(random.up_to(Duration::from_mins(1)));
        if let Noise::Outage(ms) = noise {
            world.nics[0].dark_until = world.now + Duration::from_millis(ms);
        }
    }
    failures(&world).count()
}

/// How long it takes until a silent failure is declared, many times: median and longest. Hosts that
/// thought it failed before tell nothing; `None` if all did.
fn times(settings: &Settings, noise: Noise, count: u64) -> Option<(Duration, Duration)> {
    let mut times: Vec<_> = (0..count)
        .filter_map(|seed| {
            let mut world = world(settings.clone(), noise, seed);
            let interval = settings.common.failure_detection_time / 7;
            world.run(interval * 100);
            let moment = world.random.up_to(interval * 3);
            world.run(moment);
            let worked = world.detection.health(&world.nics[0].name) != Some(Health::Failed);
            world.said.clear();
            let began = world.now;
            world.nics[0].broken = [true, true];
            world.run(settings.common.failure_detection_time * 3);
            let declared = failures(&world).next();
            assert!(
                declared.is_some() || !worked,
                "{noise:?}, seed {seed}: unnoticed"
            );
            declared.filter(|_| worked).map(|at| at.since(began))
        })
        .collect();
    times.sort();
    Some((*times.get(times.len() / 2)?, *times.last()?))
}

fn failures(world: &World) -> impl Iterator<Item = Time> {
    world.said.iter().filter_map(|(at, message)| {
        matches!(
            message,
            Message::NicFailed { .. } | Message::GroupFailed { .. }
        )
        .then_some(*at)
    })
}

/// Steady state of ten probes a second: half of all silent failures are found within 130 ms.
#[test]
fn ten_probes_a_second() {
    let times = times(&modern(Duration::from_millis(700)), Noise::Loss(0), 101);
    let (median, longest) = times.unwrap();
    assert!(median <= Duration::from_millis(130), "{median:?}");
    assert!(longest <= Duration::from_millis(260), "{longest:?}");
}

/// Five per cent random loss in each direction, a day long, at a detection time of a second.
#[test]
fn a_day_of_loss() {
    let settings = modern(Duration::from_secs(1));
    let day = Duration::from_hours(24);
    assert_eq!(false_alarms(&settings, Noise::Loss(50), day, 1), 0);
}

/// Whatever was believed of a silence before, a failure is found within the detection time that was
/// asked for. Targets must answer more than one echo in that time.
#[test]
fn noise_does_not_delay_beyond_the_detection_time() {
    let time = Duration::from_millis(700);
    for noise in [Noise::Loss(200), Noise::Limit(200)] {
        let (_, longest) = times(&modern(time), noise, 101).unwrap();
        assert!(longest <= time, "{noise:?}: {longest:?}");
    }
}

/// Where the only target answers an echo a second, nobody may have heard one while another interface was
/// silent. That is a failure of the interface all the same, and not of its group.
#[test]
fn limited_echoes_do_not_make_a_group_fail() {
    let settings = modern(Duration::from_secs(1));
    let failed = (0..101).filter(|&seed| {
        let mut world = world(settings.clone(), Noise::Limit(1_000), seed);
        world.run(Duration::from_secs(15));
        world.said.clear();
        world.nics[0].broken = [true, true];
        world.run(Duration::from_secs(3));
        let said = |group| {
            world.said.iter().any(|(_, message)| match message {
                Message::GroupFailed { .. } => group,
                Message::NicFailed { .. } => !group,
                _ => false,
            })
        };
        assert!(!said(true), "seed {seed}: {:?}", world.said);
        said(false)
    });
    // A few failed for want of echoes before.
    assert!(failed.count() > 90);
}

#[test]
#[ignore = "prints a table: cargo test --release -p ipmp-core --lib trade_table -- --ignored --nocapture"]
fn trade_table() {
    let day = Duration::from_hours(24);
    let icmp = |time| {
        let mut settings = modern(time);
        settings.common.probe = ProbeMethod::Icmp;
        settings
    };
    println!(
        "| detection time | noise | original: median, longest ms | alarms a day | confirmed: median, longest ms | alarms a day | confirmed, echo only: alarms a day |"
    );
    println!("|---|---|---|---|---|---|---|");
    for ms in [10_000, 1_000, 700] {
        for noise in [
            Noise::Loss(0),
            Noise::Loss(10),
            Noise::Loss(50),
            Noise::Loss(100),
            Noise::Loss(200),
            Noise::Outage(10),
            Noise::Outage(50),
            Noise::Outage(200),
            Noise::Limit(200),
            Noise::Limit(1_000),
        ] {
            let time = Duration::from_millis(ms);
            let cells: Vec<_> = [settings(time), modern(time)]
                .iter()
                .map(|settings| {
                    let found =
                        times(settings, noise, 101).map_or("-".to_owned(), |(median, longest)| {
                            format!("{}, {}", median.as_millis(), longest.as_millis())
                        });
                    let alarms = false_alarms(settings, noise, day, 1);
                    format!("{found} | {alarms}")
                })
                .collect();
            let echo = false_alarms(&icmp(time), noise, day, 1);
            println!(
                "| {ms} | {noise:?} | {} | {} | {echo} |",
                cells[0], cells[1]
            );
        }
    }
}
