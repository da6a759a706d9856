//! What goes out, what is taken for an answer, and how time is judged.

use super::*;

const HOSTS: [&str; 2] = ["224.0.0.1", "ff02::1"];

fn targets(world: &World, nic: usize, family: usize) -> Vec<String> {
    let probing = world.detection.probing(&name(nic));
    probing[family]
        .targets
        .iter()
        .map(|t| t.address.to_string())
        .collect()
}

fn probes(findings: Vec<Finding>) -> Vec<Echo> {
    findings
        .into_iter()
        .filter_map(|finding| match finding {
            Finding::Send(Probe::Echo(probe)) => Some(probe),
            _ => None,
        })
        .collect()
}

fn as_echo(probe: &Probe) -> Option<&Echo> {
    match probe {
        Probe::Echo(echo) => Some(echo),
        Probe::Solicitation(_) => None,
    }
}

fn answer(probe: &Echo, received: Time) -> EchoReply {
    EchoReply {
        index: probe.index,
        source: probe.target,
        destination: probe.source,
        identifier: probe.identifier,
        sequence: probe.sequence,
        payload: probe.payload,
        received,
    }
}

#[test]
fn probes_as_they_are_sent() {
    let mut world = World::new(
        settings(Duration::from_secs(10)),
        3,
        nics(&[&Family::ALL, &Family::ALL]),
        vec![peer("10.0.0.254", false)],
    );
    world.route(&[0]);
    world.watch();
    world.records = true;
    world.run(T * 20);
    let mut identities = Vec::new();
    for (nic, source, target, kind) in [
        (0, "10.0.0.1", "10.0.0.254", 0x1234u32),
        (1, "10.0.0.2", "10.0.0.254", 0x1234),
        (0, "fe80::1", HOSTS[1], 0x5678),
        (1, "fe80::2", HOSTS[1], 0x5678),
    ] {
        let own: Vec<_> = world
            .sent
            .iter()
            .filter_map(as_echo)
            .filter(|probe| probe.source.to_string() == source)
            .collect();
        assert!((19..=21).contains(&own.len()), "one each interval");
        for (sequence, probe) in (1..).zip(&own) {
            assert_eq!(probe.interface, name(nic));
            assert_eq!(probe.target.to_string(), target);
            assert_eq!(probe.sequence, sequence);
            assert_eq!(probe.identifier, own[0].identifier);
            assert_eq!(probe.payload[8..12], kind.to_be_bytes());
            assert_eq!(probe.payload[12..], u32::from(sequence).to_be_bytes());
        }
        let mut cookies: Vec<_> = own.iter().map(|probe| &probe.payload[..8]).collect();
        cookies.sort();
        cookies.dedup();
        assert_eq!(cookies.len(), own.len());
        identities.push(own[0].identifier);
    }
    identities.sort_unstable();
    identities.dedup();
    assert_eq!(identities.len(), 4);
}

#[test]
fn only_the_answer_is_the_answer() {
    type Spoil = fn(&mut EchoReply);
    let cases: [(&str, Spoil, u64, u64); 8] = [
        ("true", |_| {}, 1, 0),
        ("another identifier", |r| r.identifier ^= 1, 0, 1),
        ("another sequence", |r| r.sequence ^= 1, 0, 1),
        ("another cookie", |r| r.payload[3] ^= 1, 0, 1),
        ("another kind", |r| r.payload[11] = 0x78, 0, 1),
        (
            "another source",
            |r| r.source = "10.0.0.253".parse().unwrap(),
            0,
            1,
        ),
        (
            "from elsewhere",
            |r| r.source = "192.168.0.1".parse().unwrap(),
            0,
            1,
        ),
        ("another link", |r| r.index = 77, 0, 0),
    ];
    for (what, spoil, acknowledged, unknown) in cases {
        let mut world = world(&[V4]);
        world.now = world.detection.next_deadline().unwrap();
        let sent = probes(world.detection.tick(world.now));
        let mut reply = answer(&sent[0], world.now + Duration::from_millis(1));
        spoil(&mut reply);
        world
            .detection
            .reply(world.now, &Reply::Echo(reply.clone()));
        let probing = &world.detection.probing(&name(0))[0];
        assert_eq!(
            (probing.acknowledged, probing.unknown),
            (acknowledged, unknown),
            "{what}"
        );
        world
            .detection
            .reply(world.now, &Reply::Echo(reply.clone()));
        let twice = world.detection.probing(&name(0))[0].unknown;
        let expected = if what == "another link" {
            0
        } else {
            unknown + 1
        };
        assert_eq!(twice, expected, "{what}, again");
    }
}

#[test]
fn answers_in_a_row_since_a_failure_are_counted() {
    let mut world = running(&[V4, V4]);
    let again = |world: &World| world.detection.probing(&name(1))[0].answered_again;
    assert_eq!(again(&world), 0, "it works");
    world.nics[1].broken = [true, true];
    world.run(Duration::from_secs(20));
    assert_eq!((health(&world)[1], again(&world)), (Failed, 0));
    world.nics[1].broken = [false, false];
    let mut seen = Vec::new();
    while health(&world)[1] == Failed {
        world.run(Duration::from_millis(100));
        seen.push(again(&world));
    }
    assert_eq!(seen.pop(), Some(0), "it works");
    seen.dedup();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn late_answers_are_answers() {
    let mut world = running(&[V4, V4]);
    // Every answer takes two and a half intervals: late, but there.
    world.peers[0].delay = T * 5 / 2;
    world.run(T * 4);
    world.peers[0].delay = Duration::from_millis(1);
    world.run(T * 20);
    assert_eq!(health(&world), [Ok, Ok]);
    let failed = said(&mut world).iter().any(|text| text.ends_with("failed"));
    assert!(!failed);
}

#[test]
fn in_the_quiet_period_nothing_fails() {
    let mut world = world(&[V4, V4]);
    world.nics[1].broken = [true, true];
    world.run(Duration::from_millis(39_900));
    assert_eq!(health(&world), [Ok, Ok]);
    world.run(T * 2);
    assert_eq!(health(&world), [Ok, Failed]);
    assert_eq!(said(&mut world), ["ge1 failed"]);
}

#[test]
fn our_own_lateness_is_nobodys_fault() {
    let mut world = running(&[V4, V4]);
    // The daemon wakes every two and a half intervals, and reads answers only after it has ticked.
    let mut unread: Vec<EchoReply> = Vec::new();
    for _ in 0..40 {
        world.now = world.now + T * 5 / 2;
        let sent = probes(world.detection.tick(world.now));
        for reply in unread.drain(..) {
            world
                .detection
                .reply(world.now, &Reply::Echo(reply.clone()));
        }
        unread = sent
            .iter()
            .map(|probe| answer(probe, world.now + Duration::from_millis(1)))
            .collect();
    }
    assert_eq!(health(&world), [Ok, Ok]);
    let missed = world.detection.probing(&name(0))[0].missed;
    assert!((39..=79).contains(&missed), "{missed}");

    // Even if the answers are never read: samples of a stall say nothing.
    for _ in 0..40 {
        world.now = world.now + T * 5 / 2;
        world.detection.tick(world.now);
    }
    assert_eq!(health(&world), [Ok, Ok]);
}

#[test]
fn round_trips_are_measured_by_the_kernels_clock() {
    let mut world = world(&[V4]);
    let mut exchange = |took: Duration| {
        let sent = loop {
            world.now = world.detection.next_deadline().unwrap();
            let sent = probes(world.detection.tick(world.now));
            if !sent.is_empty() {
                break sent;
            }
        };
        let read = world.now + Duration::from_millis(100);
        world
            .detection
            .reply(read, &Reply::Echo(answer(&sent[0], world.now + took)));
        let target = &world.detection.probing(&name(0))[0].targets[0];
        (target.rtt_average, target.rtt_deviation)
    };
    // The first waited for more than the target: what was sent before anything was heard is no measure.
    assert_eq!(exchange(Duration::from_millis(90)), (None, None));
    let measured = (
        Some(Duration::from_micros(450)),
        Some(Duration::from_micros(225)),
    );
    assert_eq!(exchange(Duration::from_micros(450)), measured);
}

#[test]
fn routers_are_those_of_the_subnet() {
    let addresses = [
        "10.0.1.1",
        "10.0.0.254",
        "10.0.0.2",
        "fe80::9",
        "2001:db8::1",
        "10.0.0.253",
    ];
    let peers = addresses.iter().map(|a| peer(a, false)).collect();
    let mut world = World::new(
        settings(Duration::from_secs(10)),
        1,
        nics(&[&Family::ALL, V4]),
        peers,
    );
    world.watch();
    world.route(&[0, 1, 2, 3, 4, 5, 1]);
    assert_eq!(
        targets(&world, 0, 0),
        ["10.0.0.254", "10.0.0.253"],
        "not our own 10.0.0.2"
    );
    assert_eq!(targets(&world, 0, 1), ["fe80::9"]);
    assert_eq!(targets(&world, 1, 0), ["10.0.0.254", "10.0.0.253"]);
    let mut multicast_only = settings(Duration::from_secs(10));
    multicast_only.multicast_targets_only = true;
    world.detection.configure(world.now, multicast_only);
    assert_eq!(targets(&world, 0, 0), [] as [&str; 0]);
}

#[test]
fn hosts_are_shared_in_a_group_and_only_there() {
    for (group, others) in [(Some("g"), 1), (None, 0)] {
        let mut world = World::new(
            settings(Duration::from_secs(10)),
            1,
            nics(&[V4, V4]),
            vec![
                peer("10.0.0.253", true),
                peer("10.0.0.2", true),
                peer("10.9.9.9", true),
            ],
        );
        for nic in &mut world.nics {
            nic.watched.group = group.map(|group| group.parse().unwrap());
        }
        world.nics[1].broken = [true, true];
        world.route(&[]);
        world.watch();
        world.run(T * 3);
        assert_eq!(
            targets(&world, 0, 0),
            ["10.0.0.253"],
            "neither we nor strangers"
        );
        assert_eq!(targets(&world, 1, 0).len(), others);
        let mut late = nic(2, V4);
        late.watched.group = group.map(|group| group.parse().unwrap());
        world.nics.push(late);
        world.watch();
        assert_eq!(targets(&world, 2, 0).len(), others);
    }
}

#[test]
fn the_only_host_is_not_enough() {
    let mut world = World::new(
        settings(Duration::from_secs(10)),
        1,
        nics(&[V4]),
        vec![peer("10.0.0.253", true), peer("10.0.0.252", true)],
    );
    world.peers[1].alive = false;
    world.watch();
    world.run(T * 5);
    assert_eq!(targets(&world, 0, 0), ["10.0.0.253"]);
    world.peers[1].alive = true;
    world.run(T * 3);
    assert_eq!(targets(&world, 0, 0).len(), 2);
    world.records = true;
    world.run(T * 5);
    assert!(
        world
            .sent
            .iter()
            .all(|probe| !probe.target().is_multicast())
    );
    // One of them dies: it is forgotten, and another one looked for.
    world.peers[0].alive = false;
    world.run(T * 12);
    assert_eq!(targets(&world, 0, 0), ["10.0.0.252"]);
    assert_eq!(said(&mut world), [] as [&str; 0]);
}

#[test]
fn the_only_router_dies_while_a_host_answers() {
    let mut world = running(&[V4, V4]);
    world.peers.push(peer("10.0.0.77", true));
    world.peers[0].alive = false;
    world.run(T * 200);
    assert_eq!(health(&world), [Ok, Ok]);
    world.peers[0].alive = true;
    world.run(Duration::from_secs(130));
    assert_eq!(targets(&world, 0, 0), ["10.0.0.254"], "the router is back");
    assert_eq!(said(&mut world), [] as [&str; 0]);
}

#[test]
fn a_dead_router_among_others_is_set_aside() {
    let mut world = World::new(
        settings(Duration::from_secs(10)),
        1,
        nics(&[V4, V4]),
        vec![peer("10.0.0.254", false), peer("10.0.0.253", false)],
    );
    world.route(&[0, 1]);
    world.watch();
    world.run(Duration::from_mins(1));
    world.peers[0].alive = false;
    world.run(T * 13);
    assert_eq!(targets(&world, 0, 0), ["10.0.0.253"]);
    world.peers[0].alive = true;
    world.run(Duration::from_mins(3));
    assert_eq!(targets(&world, 0, 0).len(), 2);
    assert_eq!(said(&mut world), [] as [&str; 0]);
}

#[test]
fn detection_slows_down_for_slow_targets_and_recovers() {
    let mut world = running(&[V4, V4]);
    let detection_time = |world: &World| world.detection.failure_detection_time(Some(&group()));
    world.peers[0].delay = Duration::from_millis(1_400);
    world.run(T * 10);
    let raised = detection_time(&world);
    assert!(raised > Duration::from_secs(10), "{raised:?}");
    let messages = said(&mut world);
    assert!(
        messages
            .iter()
            .all(|text| text.starts_with("Cannot meet requested")),
        "{messages:?}"
    );
    assert!((1..4).contains(&messages.len()));
    world.peers[0].delay = Duration::from_millis(1);
    world.run(Duration::from_secs(40));
    assert_eq!(detection_time(&world), raised, "settling");
    world.run(Duration::from_mins(10));
    assert_eq!(detection_time(&world), Duration::from_secs(10));
    let messages = said(&mut world);
    assert!(
        messages.iter().all(|text| text.starts_with("Improved")),
        "{messages:?}"
    );
    assert_eq!(
        world.detection.failure_detection_time(None),
        Duration::from_secs(10)
    );
    // As fast as before.
    world.nics[1].broken = [true, true];
    world.run(T * 7);
    assert_eq!(health(&world), [Ok, Failed]);
}

#[test]
fn one_slow_router_of_four_is_left_out() {
    let addresses = ["10.0.0.251", "10.0.0.252", "10.0.0.253", "10.0.0.254"];
    let peers = addresses.iter().map(|a| peer(a, false)).collect();
    let mut world = World::new(settings(Duration::from_secs(10)), 1, nics(&[V4]), peers);
    world.route(&[0, 1, 2, 3]);
    world.watch();
    world.run(Duration::from_mins(1));
    world.peers[2].delay = Duration::from_millis(1_300);
    world.run(T * 20);
    assert!(!targets(&world, 0, 0).contains(&"10.0.0.253".to_owned()));
    assert_eq!(targets(&world, 0, 0).len(), 3);
    assert_eq!(said(&mut world), [] as [&str; 0]);
}

#[test]
fn new_settings_keep_history() {
    let mut world = running(&[V4, V4]);
    let sent = world.detection.probing(&name(0))[0].sent;
    world
        .detection
        .configure(world.now, settings(Duration::from_secs(1)));
    assert_eq!(world.detection.probing(&name(0))[0].sent, sent);
    world.nics[1].broken = [true, true];
    world.run(Duration::from_secs(1));
    assert_eq!(health(&world), [Ok, Failed]);
}
