//! Carriers, asked for rather than told.

use ipmp_core::kernel::{Change, Sysctl};
use ipmp_core::plan::Operation;
use ipmp_linux::rtnl::Carriers;

use crate::world::{Test, World, must, name, until};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_lost_carrier_is_seen_before_it_is_told",
        a_lost_carrier_is_seen_before_it_is_told,
    ),
    (
        "what_is_down_or_gone_has_not_lost_its_carrier",
        what_is_down_or_gone_has_not_lost_its_carrier,
    ),
    ("many_links_are_asked_for", many_links_are_asked_for),
    (
        "every_sysctl_of_a_member_shows_in_the_answer",
        every_sysctl_of_a_member_shows_in_the_answer,
    ),
];

/// Which of these links have lost their carrier.
fn lost(carriers: &mut Carriers, links: &[u32]) -> Vec<u32> {
    let answers = carriers.ask(links).unwrap();
    let lost = answers.iter().filter(|answer| answer.is_lost);
    lost.map(|answer| answer.index).collect()
}

fn every_sysctl_of_a_member_shows_in_the_answer(mut world: World) {
    let (link, _) = world.cable("ge0", "sw0");
    let mut carriers = Carriers::open().unwrap();
    let mut shown = || carriers.ask(&[link]).unwrap()[0].sysctls;
    let mut seen = vec![shown()];
    assert_eq!(shown(), seen[0], "nothing has changed");
    for sysctl in Sysctl::ALL {
        let set = Operation::SetSysctl {
            index: link,
            interface: name("ge0"),
            sysctl,
            value: sysctl.member_value(),
        };
        must(&mut world.near, [set]);
        let now = shown();
        assert!(!seen.contains(&now), "{sysctl:?} does not show");
        seen.push(now);
    }
}

fn a_lost_carrier_is_seen_before_it_is_told(mut world: World) {
    // Both ends have one number: to the kernel these are ordinary NICs, whose news may have to wait.
    let cables = [("ge0", "sw0"), ("ge1", "sw1")].map(|(near, far)| world.cable(near, far));
    let [(first, far), (second, far2)] = cables;
    let mut carriers = Carriers::open().unwrap();
    assert_eq!(lost(&mut carriers, &[first, second]), []);
    // The link watch has its turn now, and the next one in a second.
    world.far.set_link_up(far, false).unwrap();
    until(
        &mut world.near,
        |change| matches!(change, Change::Link(link) if link.index == first && !link.carrier),
    );
    world.far.set_link_up(far2, false).unwrap();
    assert_eq!(lost(&mut carriers, &[first, second]), [first, second]);
    world.far.set_link_up(far, true).unwrap();
    assert_eq!(lost(&mut carriers, &[first, second]), [second]);
}

fn what_is_down_or_gone_has_not_lost_its_carrier(mut world: World) {
    let (first, _) = world.cable("ge0", "sw0");
    let (second, _) = world.cable("ge1", "sw1");
    world.near.set_link_up(first, false).unwrap();
    world.near.delete_link(second).unwrap();
    let mut carriers = Carriers::open().unwrap();
    assert_eq!(lost(&mut carriers, &[first, second, 4711]), []);
    assert_eq!(lost(&mut carriers, &[]), []);
}

fn many_links_are_asked_for(mut world: World) {
    let cables: Vec<_> = (0..100)
        .map(|i| world.cable(&format!("ge{i}"), &format!("sw{i}")))
        .collect();
    let links: Vec<u32> = cables.iter().map(|&(near, _)| near).collect();
    let mut carriers = Carriers::open().unwrap();
    assert_eq!(lost(&mut carriers, &links), []);
    let (near, far) = cables[99];
    world.far.set_link_up(far, false).unwrap();
    assert_eq!(lost(&mut carriers, &links), [near]);
}
