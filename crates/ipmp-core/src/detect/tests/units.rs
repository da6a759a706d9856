//! Tables of the parts: history, estimator, targets, link, group, schedule.

use std::net::IpAddr;
use std::time::Duration;

use super::super::group::{Group, Witness};
use super::super::history::{HISTORY, History, Losses, Outcome, Sample, comes_after};
use super::super::link::Link;
use super::super::payload::Kind;
use super::super::random::Random;
use super::super::rtt::Estimate;
use super::super::schedule::Schedule;
use super::super::targets::{Reserve, Target, Targets};
use crate::{GroupSettings, Time};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn detecting(ms: u64) -> GroupSettings {
    GroupSettings {
        failure_detection_time: Duration::from_millis(ms),
        ..GroupSettings::default()
    }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn ips(last: &[u8]) -> impl Iterator<Item = IpAddr> + Clone {
    last.iter().copied().map(ip)
}

/// A history of one letter for each probe: answered, lost, void, undecided. Probe `n` is sent at
/// second `n`, lost two seconds later, and goes to target `n % targets`.
fn history(outcomes: &str, targets: u64) -> History {
    let mut history = History::new(HISTORY);
    for (n, outcome) in (0u64..).zip(outcomes.chars()) {
        history.push(Sample {
            sequence: u16::try_from(n).unwrap(),
            cookie: n,
            kind: Kind::Failure,
            solicitation: false,
            target: ip(u8::try_from(n % targets).unwrap()),
            sent: at(n * 1_000),
            outcome: match outcome {
                'a' => Outcome::Answered,
                'l' => Outcome::Lost(at((n + 2) * 1_000)),
                'v' => Outcome::Void,
                _ => Outcome::Undecided,
            },
        });
    }
    history
}

#[test]
fn sequence_numbers_wrap() {
    for (a, b, after) in [
        (1, 0, true),
        (0, 1, false),
        (5, 5, false),
        (0, 65_535, true),
        (65_535, 0, false),
        (3, 65_500, true),
        (0x8000, 0, false),
        (0x7fff, 0, true),
    ] {
        assert_eq!(comes_after(a, b), after, "{a} after {b}");
    }
}

#[test]
fn losses_and_answers_in_a_row() {
    // Outcomes, losses in a row and when the first was found, answers in a row.
    for (outcomes, losses, since, answers) in [
        ("", 0, None, 0),
        ("uu", 0, None, 0),
        ("aaaa", 0, None, 4),
        ("all", 2, Some(3), 0),
        ("lll", 3, Some(2), 0),
        ("allu", 2, Some(3), 0),
        ("alluu", 2, Some(3), 0),
        ("lala", 0, None, 1),
        ("laaau", 0, None, 3),
        ("alvlv", 2, Some(3), 0),
        ("lavvau", 0, None, 2),
    ] {
        let history = history(outcomes, 1);
        let expected = Losses {
            count: losses,
            since: since.map(|s| at(s * 1_000)),
        };
        assert_eq!(history.losses(None), expected, "{outcomes}");
        assert_eq!(history.answers(None, Time::ZERO), answers, "{outcomes}");
    }
}

#[test]
fn each_target_has_its_own_row() {
    let history = history("alalalal", 2);
    assert_eq!(history.losses(None).count, 1);
    assert_eq!(history.losses(Some(ip(1))).count, 4);
    assert_eq!(history.answers(Some(ip(0)), Time::ZERO), 4);
    assert_eq!(history.answers(Some(ip(0)), at(3_000)), 2);
}

#[test]
fn only_the_window_is_remembered() {
    let mut history = history(&"l".repeat(60), 1);
    assert_eq!(history.losses(None).count, HISTORY);
    assert!(history.find(7, 7).is_none(), "left the window");
    assert!(history.find(8, 8).is_some());
    assert!(history.find(8, 9).is_none(), "another cookie");
}

#[test]
fn estimator() {
    let us = Duration::from_micros;
    let limit = Duration::from_secs(1);
    let mut estimate = Estimate::default();
    assert_eq!(estimate.critical(), None);
    // Sample, then mean, critical time: mean8 and deviation4 by hand.
    for (sample, mean, critical) in [
        (800, 800, 800 + 1_600),   // 6400, 1600
        (800, 800, 800 + 1_200),   // 6400, 1200
        (1_600, 900, 900 + 1_700), // 7200, 1200 + 800 - 300
        (100, 800, 800 + 2_075),   // 6400, 1700 + 800 - 425
    ] {
        assert!(estimate.take(us(sample), limit));
        assert_eq!(estimate.mean(), Some(us(mean)), "after {sample}");
        assert_eq!(estimate.critical(), Some(us(critical)), "after {sample}");
    }
    assert_eq!(estimate.deviation(), Some(us(2_075 / 4)));
}

#[test]
fn one_outlier_is_not_believed_two_are() {
    let limit = ms(1_000);
    let mut estimate = Estimate::default();
    assert!(estimate.take(ms(1), limit));
    let before = estimate.critical();
    assert!(!estimate.take(ms(900), limit), "put aside");
    assert_eq!(estimate.critical(), before);
    assert!(
        estimate.take(ms(1), limit),
        "normal again: the outlier is dropped"
    );
    assert!(!estimate.take(ms(900), limit));
    assert!(estimate.take(ms(900), limit));
    assert!(estimate.critical().unwrap() > limit);
}

#[test]
fn extra_probes_only_lower() {
    let mut estimate = Estimate::default();
    assert!(!estimate.take_lower(ms(1)), "nothing to lower");
    estimate.take(ms(100), ms(1_000));
    let before = estimate.critical();
    assert!(!estimate.take_lower(ms(5_000)));
    assert_eq!(estimate.critical(), before);
    assert!(estimate.take_lower(ms(100)));
    assert!(estimate.critical() < before);
}

fn active(targets: &Targets) -> Vec<IpAddr> {
    targets.active().iter().map(|t| t.address).collect()
}

#[test]
fn targets_take_turns() {
    let mut targets = Targets::default();
    targets.set_routers(ips(&[1, 2, 3]), false);
    let turns: Vec<_> = (0..4).filter_map(|_| targets.take_turn()).collect();
    assert_eq!(turns, [ip(1), ip(2), ip(3), ip(1)]);
    assert_eq!(active(&targets), [ip(2), ip(3), ip(1)]);
}

#[test]
fn five_are_probed_and_others_take_over() {
    let mut targets = Targets::default();
    targets.set_routers(ips(&[1, 2, 3, 4, 5, 6, 7]), false);
    assert_eq!(active(&targets), [1, 2, 3, 4, 5].map(ip));
    assert_eq!(targets.reserve(ip(6)), Some(Reserve::Unused));
    assert!(!targets.set_aside(ip(2), Reserve::Dead(at(0))));
    assert_eq!(active(&targets), [1, 3, 4, 5, 6].map(ip));
    // It recovers in two steps, and waits for a place.
    targets.recover(at(59_999));
    assert_eq!(targets.reserve(ip(2)), Some(Reserve::Dead(at(0))));
    targets.recover(at(60_000));
    assert_eq!(targets.reserve(ip(2)), Some(Reserve::Slow(at(60_000))));
    targets.recover(at(120_000));
    assert_eq!(targets.reserve(ip(2)), Some(Reserve::Unused));
    targets.set_routers(ips(&[1, 2, 3]), false);
    assert_eq!(active(&targets), [1, 3, 2].map(ip));
}

#[test]
fn refill_order() {
    // Routers set aside, and who is probed when the last one goes.
    for (aside, last, expected) in [
        (
            vec![(2, Reserve::Dead(at(0)))],
            Reserve::Dead(at(0)),
            vec![2, 1],
        ),
        (
            vec![(2, Reserve::Dead(at(0))), (3, Reserve::Slow(at(0)))],
            Reserve::Dead(at(0)),
            vec![3, 2, 1],
        ),
        (
            vec![
                (2, Reserve::Dead(at(0))),
                (3, Reserve::Dead(at(0))),
                (4, Reserve::Slow(at(0))),
                (5, Reserve::Slow(at(0))),
            ],
            Reserve::Slow(at(0)),
            vec![4, 5, 1],
        ),
    ] {
        let known: Vec<u8> = std::iter::once(1)
            .chain(aside.iter().map(|a| a.0))
            .collect();
        let mut targets = Targets::default();
        targets.set_routers(ips(&known), false);
        for &(router, why) in &aside {
            targets.set_aside(ip(router), why);
        }
        assert_eq!(active(&targets), [ip(1)]);
        targets.set_aside(ip(1), last);
        assert_eq!(active(&targets), ips(&expected).collect::<Vec<_>>());
    }
}

#[test]
fn routers_replace_hosts() {
    let mut targets = Targets::default();
    for host in 1..=7 {
        targets.offer_host(ip(host), None);
        targets.offer_host(ip(host), None);
    }
    assert_eq!(
        active(&targets),
        [5, 4, 3, 2, 1].map(ip),
        "the first five, newest first"
    );
    assert!(
        targets.set_aside(ip(3), Reserve::Dead(at(0))),
        "look for another host"
    );
    assert_eq!(targets.reserve(ip(3)), None);
    targets.set_routers(ips(&[9]), false);
    assert_eq!(active(&targets), [ip(9)]);
    targets.offer_host(ip(1), None);
    assert_eq!(active(&targets), [ip(9)], "no hosts beside routers");
    targets.set_routers(ips(&[]), true);
    assert_eq!(active(&targets), [ip(9)], "kept while the group is dark");
    targets.set_routers(ips(&[]), false);
    assert!(targets.is_empty() && !targets.has_routers());
}

#[test]
fn hosts_stand_in_for_the_only_router() {
    let mut targets = Targets::default();
    targets.set_routers(ips(&[9]), false);
    targets.seek_fallback();
    targets.offer_host(ip(1), None);
    assert_eq!(active(&targets), [ip(1), ip(9)]);
    targets.set_aside(ip(9), Reserve::Dead(at(0)));
    assert_eq!(active(&targets), [ip(1)]);
    targets.recover(at(60_000));
    targets.recover(at(120_000));
    assert_eq!(active(&targets), [ip(1), ip(9)]);
    targets.router_answered();
    assert_eq!(active(&targets), [ip(9)]);
}

#[test]
fn a_slow_target_is_the_exception_among_fast_ones() {
    let interval = ms(1_000);
    for (others, slowest, exception) in [
        (2, 10, false),
        (3, 10, true),
        (4, 10, true),
        (3, 400, false),
    ] {
        let mut targets = Targets::default();
        let routers: Vec<u8> = (0..=others).collect();
        targets.set_routers(ips(&routers), false);
        for router in 1..=others {
            let sample = if router == 1 { slowest } else { 10 };
            let estimate = |t: &mut Target| t.estimate.take(ms(sample), ms(10_000));
            targets.get_mut(ip(router)).map(estimate);
        }
        assert_eq!(
            targets.is_exception(ip(0), interval),
            exception,
            "{others} {slowest}"
        );
    }
}

#[test]
fn the_third_link_up_within_a_minute_is_held() {
    let mut link = Link::new();
    for (up, held) in [
        (0, None),
        (20, None),
        (40, Some(80)),
        (90, None),
        (95, Some(150)),
        (99, Some(155)),
    ] {
        link.goes_down();
        assert_eq!(link.held_until(), None);
        let is_held = link.comes_up(at(up * 1_000));
        assert_eq!(is_held, held.is_some(), "up at {up}");
        assert_eq!(link.held_until(), held.map(|s| at(s * 1_000)), "up at {up}");
    }
    link.release(at(154_999));
    assert!(link.is_held(at(154_999)));
    link.release(at(155_000));
    assert_eq!(link.held_until(), None);
}

#[test]
fn intervals() {
    for (detection_time, interval) in [(10_000, 1_428), (100, 14), (1_000, 142), (70_000, 10_000)] {
        let pace = Group::new(detecting(detection_time)).pace();
        assert_eq!(pace.interval, ms(interval), "{detection_time}");
        assert_eq!(pace.configured, pace.interval);
    }
}

#[test]
fn detection_time_rises_and_falls() {
    let mut group = Group::new(detecting(10_000));
    group.raise(at(0), ms(3_000));
    assert_eq!(group.pace().interval, ms(6_000));
    assert_eq!(group.detection_time(), ms(42_000));
    assert!(!group.may_improve(at(59_999)) && group.may_improve(at(60_000)));
    assert!(group.is_fast(ms(1_499)) && !group.is_fast(ms(1_500)));
    group.improve();
    assert_eq!(
        (group.detection_time(), group.pace().interval),
        (ms(21_000), ms(3_000))
    );
    group.improve();
    assert_eq!(group.detection_time(), ms(10_500));
    group.improve();
    assert_eq!(
        (group.detection_time(), group.pace().interval),
        (ms(10_000), ms(1_428))
    );
    assert!(!group.may_improve(at(1_000_000)));

    group.raise(at(0), ms(3_000));
    group.configure(detecting(20_000));
    assert_eq!(group.detection_time(), ms(42_000), "still too short");
    group.configure(detecting(50_000));
    assert_eq!(group.detection_time(), ms(50_000));
}

#[test]
fn testimony() {
    let heard = |s: u64| Witness::Probes(Some(at(s)));
    for (witness, since, contradicts) in [
        (Witness::Silent, None, false),
        (Witness::Silent, Some(5), false),
        (Witness::Link, None, true),
        (Witness::Link, Some(5), true),
        (Witness::Probes(None), None, true),
        (Witness::Probes(None), Some(5), false),
        (heard(4), Some(5), false),
        (heard(5), Some(5), false),
        (heard(6), Some(5), true),
    ] {
        let since = since.map(at);
        assert_eq!(
            witness.contradicts(since),
            contradicts,
            "{witness:?} {since:?}"
        );
    }
}

#[test]
fn sends_keep_the_rate_and_their_distance() {
    let interval = ms(14);
    let mut random = Random::new(1);
    let start = at(1_000);
    let mut schedule = Schedule::new(start, interval, &mut random);
    let first = schedule.next();
    assert!((start..=start + interval).contains(&first));
    let mut last = first;
    for n in 1..10_000u32 {
        assert_eq!(schedule.advance(last, interval, &mut random), 0);
        let base = first + interval * (n - 1);
        assert!((base + interval / 2..=base + interval).contains(&schedule.next()));
        assert!(schedule.next().since(last) >= interval / 2);
        last = schedule.next();
    }
}

#[test]
fn late_sends_are_skipped_and_counted() {
    let interval = ms(100);
    for (late, missed) in [(0, 0), (99, 0), (100, 1), (250, 2), (100_000, 1_000)] {
        let mut random = Random::new(late);
        let mut schedule = Schedule::new(at(0), interval, &mut random);
        let now = schedule.next() + ms(late);
        assert_eq!(
            schedule.advance(now, interval, &mut random),
            missed,
            "{late}"
        );
        let gap = schedule.next().since(now);
        assert!(
            (interval / 2..=interval * 3 / 2).contains(&gap),
            "{late}: {gap:?}"
        );
    }
}
