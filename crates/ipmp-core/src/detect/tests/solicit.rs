//! Probing by ARP and neighbour solicitations, and finding targets without multicast.

use super::*;
use crate::detect::simulation::modern;
use crate::detect::{Advertisement, Solicitation};
use crate::{InterfaceAddress, MacAddress, ProbeMethod, Settings};

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn with_method(time: u64, method: ProbeMethod) -> Settings {
    let mut settings = modern(ms(time));
    settings.common.probe = method;
    settings
}

/// Interfaces of one group without test addresses; its data addresses are on these subnets.
pub(super) fn bare(count: usize, subnets: &[&str]) -> Vec<Nic> {
    let mut nics = nics(&vec![&[][..]; count]);
    for nic in &mut nics {
        nic.watched.subnets = subnets
            .iter()
            .map(|subnet| {
                let (ip, prefix) = subnet.split_once('/').unwrap();
                InterfaceAddress::new(ip.parse().unwrap(), prefix.parse().unwrap())
            })
            .collect();
    }
    nics
}

pub(super) fn world_of(settings: Settings, nics: Vec<Nic>, peers: &[&str]) -> World {
    let peers = peers.iter().map(|address| peer(address, false)).collect();
    let mut world = World::new(settings, 11, nics, peers);
    world.watch();
    world
}

fn solicitations(world: &World) -> Vec<Solicitation> {
    let sent = world.sent.iter().filter_map(|probe| match probe {
        Probe::Solicitation(solicitation) => Some(solicitation.clone()),
        Probe::Echo(_) => None,
    });
    sent.collect()
}

#[test]
fn interfaces_without_test_address_are_probed_end_to_end() {
    for (subnet, router) in [
        ("10.0.0.0/24", "10.0.0.254"),
        ("2001:db8::/64", "fe80::254"),
    ] {
        let mut world = world_of(modern(ms(1_000)), bare(3, &[subnet]), &[router]);
        world.nics[2].watched.standby = true;
        world.nics[2].watched.inactive = true;
        world.watch();
        world.route(&[0]);
        world.run(Duration::from_mins(2));
        let family = usize::from(router.contains(':'));
        let probing = &world.detection.probing(&name(2))[family];
        assert_eq!(
            (probing.mode, probing.state),
            (TargetMode::Arp, ProbeState::Ok)
        );
        assert!(probing.acknowledged > 800, "{probing:?}");
        assert_eq!(said(&mut world), [] as [&str; 0], "none is missed either");
        world.nics[2].broken = [true, true];
        world.run(ms(1_000));
        assert_eq!(said(&mut world), ["ge2 failed"]);
        world.nics[2].broken = [false, false];
        world.run(ms(2_000));
        assert_eq!(said(&mut world), ["ge2 repaired"]);
        world.peers[0].alive = false;
        world.run(ms(1_000));
        assert_eq!(said(&mut world), ["g failed"]);
    }
}

#[test]
fn solicitations_as_they_are_sent() {
    let mut world = world_of(
        with_method(1_000, ProbeMethod::Arp),
        bare(1, &["10.0.0.0/24", "2001:db8::/64"]),
        &["10.0.0.254", "2001:db8::fe"],
    );
    world.nics[0].watched.link_local = Some("fe80::1".parse().unwrap());
    world.watch();
    world.route(&[0, 1]);
    world.records = true;
    world.run(ms(1_000));
    let sent = solicitations(&world);
    assert_eq!(sent.len(), world.sent.len(), "no echo without test address");
    for probe in &sent {
        assert_eq!(probe.interface, name(0));
        assert_eq!(probe.mac, world.nics[0].watched.mac.unwrap());
        let source = probe.target.is_ipv6().then(|| "fe80::1".parse().unwrap());
        assert_eq!(probe.source, source);
    }
    assert!(sent.iter().any(|probe| probe.target.is_ipv6()));
}

#[test]
fn without_targets_it_is_as_if_there_were_no_probing() {
    for (method, expected, mode) in [
        (ProbeMethod::Auto, Ok, TargetMode::Disabled),
        (ProbeMethod::Arp, NoTargets, TargetMode::Arp),
        (ProbeMethod::Icmp, Ok, TargetMode::Disabled),
    ] {
        let mut world = world_of(with_method(1_000, method), bare(2, &["10.0.0.0/24"]), &[]);
        world.run(Duration::from_mins(2));
        assert_eq!(health(&world), [expected, expected], "{method:?}");
        assert_eq!(world.detection.probing(&name(0))[0].mode, mode);
        // The link decides, at once in both directions.
        world.said.clear();
        world.set_link(0, false);
        world.set_link(0, true);
        assert_eq!(health(&world), [expected, expected], "{method:?}");
    }
}

#[test]
fn arp_instead_of_a_test_address_wastes_none() {
    // A test address is there, but the administrator wants ARP.
    let mut with_test = nics(&[V4]);
    with_test[0].watched.subnets = bare(1, &["10.0.0.0/24"])[0].watched.subnets.clone();
    let mut world = world_of(
        with_method(1_000, ProbeMethod::Arp),
        with_test,
        &["10.0.0.254"],
    );
    world.route(&[0]);
    world.records = true;
    world.run(ms(10_000));
    assert_eq!(solicitations(&world).len(), world.sent.len());
}

#[test]
fn only_asked_for_advertisements_count() {
    let mut world = world_of(
        with_method(1_000, ProbeMethod::Arp),
        bare(2, &["10.0.0.0/24"]),
        &["10.0.0.254", "10.0.0.253"],
    );
    world.route(&[0]);
    world.run(Duration::from_mins(1));
    // Who is no target, who has answered already, an old one, one on another link.
    let before = world.detection.probing(&name(0))[0].clone();
    let forged = |target: &str, index: u32, received: Time| {
        Reply::Advertisement(Advertisement {
            index,
            target: target.parse().unwrap(),
            mac: MacAddress([2, 0, 0, 0, 1, 0]),
            received,
        })
    };
    world.nics[0].broken = [true, true];
    let cases = [("10.0.0.253", 10), ("10.0.0.254", 10), ("10.0.0.254", 77)];
    for (target, index) in cases {
        for _ in 0..100 {
            let reply = forged(target, index, world.now);
            world.detection.reply(world.now, &reply);
        }
    }
    let after = &world.detection.probing(&name(0))[0];
    assert_eq!(after.acknowledged, before.acknowledged);
    assert_eq!(after.unknown, before.unknown + 200);
    // Stale ones: received before the probe that waits was sent.
    let began = world.now;
    while world.detection.health(&name(0)) == Some(Ok) && world.now < began + ms(1_000) {
        world.run(ms(10));
        world
            .detection
            .reply(world.now, &forged("10.0.0.254", 10, began));
    }
    assert_eq!(said(&mut world), ["ge0 failed"]);
}

#[test]
fn neighbours_of_the_kernel_become_targets() {
    // Nobody answers multicasts, as Linux does by default, and there is no router.
    for (nics, mode) in [
        (nics(&[V4, V4]), TargetMode::Multicast),
        (bare(2, &["10.0.0.0/24"]), TargetMode::Arp),
    ] {
        let mut world = world_of(
            modern(ms(1_000)),
            nics,
            &["10.0.0.50", "10.0.0.51", "10.9.9.9"],
        );
        world.run(ms(10_000));
        assert_eq!(world.detection.probing(&name(0))[0].targets, []);
        world.peers.iter_mut().for_each(|peer| peer.known = true);
        // One of them is in the table but no longer there.
        world.peers[1].alive = false;
        world.run(ms(20_000));
        for nic in 0..2 {
            let probing = &world.detection.probing(&name(nic))[0];
            assert_eq!(probing.mode, mode);
            let targets: Vec<_> = probing
                .targets
                .iter()
                .map(|t| t.address.to_string())
                .collect();
            assert_eq!(targets, ["10.0.0.50"]);
        }
        assert_eq!(health(&world), [Ok, Ok]);
        world.nics[1].broken = [true, true];
        world.run(ms(1_000));
        assert_eq!(said(&mut world), ["ge1 failed"]);
    }
}

#[test]
fn named_targets_and_nobody_else() {
    let mut settings = modern(ms(1_000));
    settings.common.targets = vec!["10.0.0.60".parse().unwrap(), "10.0.0.61".parse().unwrap()];
    let mut world = world_of(
        settings,
        nics(&[V4, V4]),
        &["10.0.0.254", "10.0.0.60", "10.0.0.61"],
    );
    world.peers.iter_mut().for_each(|peer| peer.known = true);
    world.route(&[0]);
    world.records = true;
    world.run(ms(20_000));
    let probing = &world.detection.probing(&name(0))[0];
    assert_eq!(probing.mode, TargetMode::Configured);
    assert_eq!(probing.targets.len(), 2);
    let named = |probe: &Probe| probe.target().to_string().starts_with("10.0.0.6");
    assert!(world.sent.iter().all(named));
    // Taken back: the routing table counts again.
    let now = world.now;
    let findings = world.detection.configure(now, modern(ms(1_000)));
    world.carry_out(findings);
    let probing = &world.detection.probing(&name(0))[0];
    assert_eq!(probing.mode, TargetMode::Routes);
    assert_eq!(probing.targets[0].address.to_string(), "10.0.0.254");
    assert_eq!(probing.targets.len(), 1);
}
