//! Windows of the oracle, moment by moment.

use super::*;

const TIMING: Timing = Timing::SOAK;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What may be lost of the web group, `after` so many milliseconds.
fn excuse(oracle: &Oracle, start: Instant, after: u64) -> Option<Cause> {
    match oracle.judge(Group::Web, start + ms(after)) {
        Verdict::Excused(number) => Some(oracle.windows[number].cause),
        Verdict::Unexcused(_) => None,
    }
}

fn oracle() -> (Oracle, Instant) {
    let start = Instant::now();
    (Oracle::new(TIMING, start), start)
}

#[test]
fn nothing_may_be_lost_without_a_fault() {
    let (oracle, start) = oracle();
    assert_eq!(oracle.judge(Group::Web, start), Verdict::Unexcused(None));
}

#[test]
fn a_fault_excuses_its_group_for_its_bound() {
    let (mut oracle, start) = oracle();
    oracle.begins(start + ms(200), Kind::Silent, "ge0", Group::Web);
    let bound = u64::try_from(TIMING.silent().as_millis()).unwrap();
    let silent = Some(Cause::Fault(Kind::Silent));
    // What was under way is lost too.
    let under_way = u64::try_from(UNDER_WAY.as_millis()).unwrap();
    assert_eq!(excuse(&oracle, start, 200 - under_way), silent);
    assert_eq!(excuse(&oracle, start, 199 - under_way), None);
    assert_eq!(excuse(&oracle, start, 200), silent);
    assert_eq!(excuse(&oracle, start, 200 + bound), silent);
    assert_eq!(excuse(&oracle, start, 201 + bound), None);
    assert_eq!(
        oracle.judge(Group::Db, start + ms(200)),
        Verdict::Unexcused(None)
    );
    // Its end excuses nothing.
    oracle.ends(start + ms(5000), Kind::Silent, "ge0");
    assert_eq!(excuse(&oracle, start, 5001), None);
}

#[test]
fn without_a_path_everything_may_be_lost_until_one_is_noticed() {
    let (mut oracle, start) = oracle();
    for nic in ["ge0", "ge1", "ge2"] {
        oracle.begins(start, Kind::Pull, nic, Group::Web);
    }
    assert!(oracle.is_open(start + ms(60_000)));
    oracle.ends(start + ms(10_000), Kind::Pull, "ge1");
    let noticed = ms(10_000) + TIMING.repair() + TIMING.link;
    let noticed = u64::try_from(noticed.as_millis()).unwrap();
    assert_eq!(excuse(&oracle, start, noticed), Some(Cause::NoPath));
    assert_eq!(excuse(&oracle, start, noticed + 1), None);
}

#[test]
fn a_path_that_was_not_noticed_yet_delays_the_bound() {
    let (mut oracle, start) = oracle();
    for nic in ["ge1", "ge2"] {
        oracle.begins(start, Kind::Pull, nic, Group::Web);
    }
    oracle.ends(start + ms(1000), Kind::Pull, "ge1");
    oracle.begins(start + ms(1500), Kind::Pull, "ge0", Group::Web);
    let until = ms(1000) + TIMING.repair() + TIMING.link;
    let until = u64::try_from(until.as_millis()).unwrap();
    assert_eq!(
        excuse(&oracle, start, until),
        Some(Cause::Fault(Kind::Pull))
    );
    assert_eq!(excuse(&oracle, start, until + 1), None);
}

#[test]
fn a_kill_loses_nothing_but_a_fault_waits_for_the_next_daemon() {
    let (mut oracle, start) = oracle();
    oracle.daemon_goes(start);
    assert_eq!(excuse(&oracle, start, 500), None);
    oracle.begins(start + ms(1000), Kind::Pull, "ge0", Group::Web);
    assert!(oracle.is_open(start + ms(60_000)));
    oracle.daemon_returns(start + ms(9000));
    let until = ms(9000) + TIMING.start();
    let until = u64::try_from(until.as_millis()).unwrap();
    assert_eq!(excuse(&oracle, start, until), Some(Cause::NoDaemon));
    assert_eq!(excuse(&oracle, start, until + 1), None);
}

#[test]
fn a_kill_amid_a_failover_leaves_it_to_the_next_daemon() {
    let (mut oracle, start) = oracle();
    oracle.begins(start, Kind::Pull, "ge0", Group::Web);
    oracle.daemon_goes(start + ms(5));
    oracle.daemon_returns(start + ms(3000));
    assert_eq!(excuse(&oracle, start, 3000), Some(Cause::NoDaemon));
}

#[test]
fn loss_is_excused_as_long_as_it_lasts() {
    let (mut oracle, start) = oracle();
    oracle.begins(start, Kind::Loss, "ge0", Group::Web);
    assert_eq!(
        excuse(&oracle, start, 60_000),
        Some(Cause::Fault(Kind::Loss))
    );
    oracle.ends(start + ms(4000), Kind::Loss, "ge0");
    let until = u64::try_from((ms(4000) + TIMING.silent()).as_millis()).unwrap();
    assert_eq!(
        excuse(&oracle, start, until),
        Some(Cause::Fault(Kind::Loss))
    );
    assert_eq!(excuse(&oracle, start, until + 1), None);
}
