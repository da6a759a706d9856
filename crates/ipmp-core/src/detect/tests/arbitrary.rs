//! Whatever comes in, in whatever order: no panic, no busy loop, and always the same from the same.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::simulation::{nic, settings};
use super::super::{
    Advertisement, Detection, EchoReply, Finding, Health, Neighbour, Probe, Reply, Watched,
};
use crate::{Confirm, Family, GroupSettings, MacAddress, ProbeMethod, Time};

#[derive(Clone, Debug)]
enum Input {
    Watch(Vec<(u8, Change)>),
    Routers(Vec<u8>),
    /// Answer one of the last probes, after so many microseconds, perhaps changed on the way.
    Answer(usize, u64, Option<usize>),
    TickWhenDue,
    TickLate(u64),
    Wait(u64),
    Configure(u64, bool, bool, Rules),
    Neighbours(Vec<u8>),
    SetFailed(u8, bool),
}

/// Settings of a group, as far as they change what is done.
#[derive(Clone, Debug)]
struct Rules {
    method: ProbeMethod,
    confirm: bool,
    dampening: bool,
    hold_down: u64,
    named: bool,
}

fn rules() -> impl Strategy<Value = Rules> {
    let method = prop_oneof![
        Just(ProbeMethod::Auto),
        Just(ProbeMethod::Icmp),
        Just(ProbeMethod::Arp)
    ];
    let named = prop::bool::weighted(0.2);
    (method, any::<bool>(), any::<bool>(), 0u64..10_000, named).prop_map(
        |(method, confirm, dampening, hold_down, named)| Rules {
            method,
            confirm,
            dampening,
            hold_down,
            named,
        },
    )
}

#[derive(Clone, Debug)]
enum Change {
    Gone,
    Is {
        running: bool,
        offline: bool,
        failed: bool,
        tests: [bool; 2],
        group: u8,
        index: bool,
    },
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        1 => Just(Change::Gone),
        6 => (
            any::<bool>(),
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.2),
            any::<[bool; 2]>(),
            0u8..3,
            prop::bool::weighted(0.9),
        )
            .prop_map(|(running, offline, failed, tests, group, index)| Change::Is {
                running, offline, failed, tests, group, index,
            }),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        2 => prop::collection::vec((0u8..4, change()), 1..4).prop_map(Input::Watch),
        1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(Input::Routers),
        12 => (0usize..8, 0u64..5_000_000, prop::option::weighted(0.1, 0usize..40))
            .prop_map(|(which, after, spoilt)| Input::Answer(which, after, spoilt)),
        20 => Just(Input::TickWhenDue),
        1 => (0u64..100_000_000).prop_map(Input::TickLate),
        1 => (0u64..10_000_000).prop_map(Input::Wait),
        1 => (0u64..100_000, any::<bool>(), any::<bool>(), rules())
            .prop_map(|(ms, links, multicast, rules)| Input::Configure(ms, links, multicast, rules)),
        1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(Input::Neighbours),
        1 => (0u8..4, any::<bool>()).prop_map(|(nic, failed)| Input::SetFailed(nic, failed)),
    ]
}

fn watched(number: u8, change: &Change) -> Option<Watched> {
    let Change::Is {
        running,
        offline,
        failed,
        tests,
        group,
        index,
    } = *change
    else {
        return None;
    };
    let full = nic(number, &Family::ALL).watched;
    let [inet, inet6] = full.test;
    Some(Watched {
        index: if index { full.index } else { full.index + 50 },
        group: (group > 0).then(|| format!("g{group}").parse().unwrap()),
        running,
        offline,
        failed,
        test: [inet.filter(|_| tests[0]), inet6.filter(|_| tests[1])],
        subnets: inet
            .map(crate::address::InterfaceAddress::subnet)
            .into_iter()
            .collect(),
        ..full
    })
}

fn answer(probe: &Probe, received: Time, spoilt: Option<usize>) -> Reply {
    let source = if probe.target().is_multicast() {
        let host = if probe.target().is_ipv4() {
            "10.0.0.77"
        } else {
            "fe80::77"
        };
        host.parse().unwrap()
    } else {
        probe.target()
    };
    let probe = match probe {
        Probe::Echo(echo) => echo,
        Probe::Solicitation(_) => {
            return Reply::Advertisement(Advertisement {
                index: probe.index() + u32::from(spoilt == Some(0)),
                target: source,
                mac: MacAddress([2, 0, 0, 0, 0, 9]),
                received: spoilt.map_or(received, |_| Time::ZERO),
            });
        }
    };
    let mut reply = EchoReply {
        index: probe.index,
        source,
        destination: probe.source,
        identifier: probe.identifier,
        sequence: probe.sequence,
        payload: probe.payload,
        received,
    };
    match spoilt {
        Some(byte @ 0..16) => reply.payload[byte] ^= 1,
        Some(16) => reply.identifier ^= 1,
        Some(17) => reply.sequence ^= 1,
        Some(18) => reply.index += 1,
        Some(19) => reply.source = "10.0.0.99".parse().unwrap(),
        Some(_) => reply.received = Time::ZERO,
        None => {}
    }
    Reply::Echo(reply)
}

/// Feeds everything in; gives back everything that came out.
fn play(seed: u64, inputs: &[Input]) -> Vec<Finding> {
    let mut detection = Detection::new(settings(Duration::from_secs(1)), seed);
    let mut now = Time::from_millis(10_000);
    let mut all = BTreeMap::new();
    let mut out = Vec::new();
    let mut probes: Vec<Probe> = Vec::new();
    for input in inputs {
        let findings = match input {
            Input::Watch(changes) => {
                for (number, change) in changes {
                    let name = nic(*number, &[]).name;
                    match watched(*number, change) {
                        Some(watched) => all.insert(name, watched),
                        None => all.remove(&name),
                    };
                }
                let findings = detection.watch(now, all.clone());
                assert_eq!(detection.watch(now, all.clone()), []);
                findings
            }
            Input::Routers(last) => {
                let gateways: Vec<_> = last
                    .iter()
                    .map(|n| {
                        let text = if n % 2 == 0 {
                            format!("10.0.0.{n}")
                        } else {
                            format!("fe80::{n}")
                        };
                        text.parse().unwrap()
                    })
                    .collect();
                detection.routers(now, &gateways, &["10.0.0.1".parse().unwrap()])
            }
            Input::Answer(which, after, spoilt) => {
                let Some(probe) = probes.iter().rev().nth(*which) else {
                    continue;
                };
                let received = now + Duration::from_micros(*after);
                detection.reply(now, &answer(probe, received, *spoilt))
            }
            Input::TickWhenDue => {
                now = now.max(detection.next_deadline().unwrap_or(now));
                detection.tick(now)
            }
            Input::TickLate(late) => {
                now = detection.next_deadline().unwrap_or(now).max(now);
                now = now + Duration::from_micros(*late);
                detection.tick(now)
            }
            Input::Wait(micros) => {
                now = now + Duration::from_micros(*micros);
                detection.tick(now)
            }
            Input::Neighbours(last) => {
                let known: Vec<_> = last
                    .iter()
                    .map(|&n| Neighbour {
                        index: 10 + u32::from(n % 4),
                        address: format!("10.0.0.{n}").parse().unwrap(),
                    })
                    .collect();
                detection.neighbours(&known);
                Vec::new()
            }
            Input::Configure(ms, ignore_links, multicast_targets_only, rules) => {
                let common = GroupSettings {
                    probe: rules.method,
                    confirm: rules.confirm.then(Confirm::default),
                    dampening: rules.dampening.then_some(Duration::from_mins(1)),
                    hold_down: Duration::from_millis(rules.hold_down),
                    targets: if rules.named {
                        vec!["10.0.0.200".parse().unwrap()]
                    } else {
                        Vec::new()
                    },
                    ..settings(Duration::from_millis(*ms)).common
                };
                let settings = crate::Settings {
                    common,
                    ignore_links: *ignore_links,
                    multicast_targets_only: *multicast_targets_only,
                    ..settings(Duration::from_millis(*ms))
                };
                detection.configure(now, settings)
            }
            Input::SetFailed(number, failed) => {
                detection.set_failed(now, &nic(*number, &[]).name, *failed)
            }
        };
        out.extend(findings);
        out.extend(detection.tick(now));
        let next = detection.next_deadline();
        assert!(
            next.is_none_or(|next| next > now),
            "{input:?}: {next:?} is not after {now}"
        );
        probes.extend(
            out.iter()
                .rev()
                .take(8)
                .rev()
                .filter_map(|finding| match finding {
                    Finding::Send(probe) => Some(probe.clone()),
                    _ => None,
                }),
        );
        for (name, watched) in &all {
            let health = detection.health(name).unwrap();
            assert_eq!(detection.probing(name).len(), 2);
            if let Some(group) = &watched.group
                && detection.is_group_failed(group)
                && !watched.offline
            {
                assert_eq!(health, Health::Failed, "{name} in a failed group");
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_inputs(seed: u64, inputs in prop::collection::vec(input(), 1..200)) {
        prop_assert_eq!(play(seed, &inputs), play(seed, &inputs));
    }
}
