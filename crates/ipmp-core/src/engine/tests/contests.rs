//! Other hands that undo what is ours, once and again and again.

use std::time::Duration;

use super::host::Host;
use super::labs::{LAB1, lab1};
use crate::kernel::{Change, PROTOCOL, Route, TABLE_MAIN, Via};
use crate::plan::Operation;
use crate::{Hand, InterfaceAddress, ProbeMethod, Record};

const ADDRESS: &str = "add address 192.168.0.88";

fn rival() -> Hand {
    Hand {
        port: 812,
        process: Some("rival".to_owned()),
    }
}

/// The rival removes .88 wherever it is.
fn steal(host: &mut Host) {
    let held = host.kernel.addresses.keys();
    let held: Vec<_> = held
        .filter(|(_, address)| address.ip.to_string() == "192.168.0.88")
        .map(|&(index, address)| Change::AddressGone(index, address))
        .collect();
    if !held.is_empty() {
        let by = Change::By(Some(rival()));
        host.changes([vec![by], held].concat());
    }
}

fn tries(host: &Host) -> usize {
    let done = host.operations.iter();
    done.filter(|operation| operation.starts_with(ADDRESS))
        .count()
}

#[test]
fn what_is_undone_once_is_set_anew_and_it_is_said_by_whom_it_was() {
    let mut host = lab1();
    steal(&mut host);
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    assert!(host.logged("rival[812] undid address 192.168.0.88 on ge1; it is set anew"));
    assert_eq!(host.engine.snapshot().contested, []);
    // Not each time.
    steal(&mut host);
    assert!(!host.logged("undid"));
    host.pass(Duration::from_mins(1));
    steal(&mut host);
    assert!(host.logged("rival[812] undid"));
}

/// Who set what is ours as it was had no part in what becomes of it later.
#[test]
fn who_undid_nothing_is_not_blamed_for_what_is_done_later() {
    let mut host = lab1();
    let on_ge1 = host.kernel.addresses_on(host.index("ge1"));
    let same = on_ge1.map(|there| Change::Address(there.clone()));
    let deed = [vec![Change::By(Some(rival()))], same.collect()].concat();
    host.changes(deed);
    host.carrier("ge1", false);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    assert!(!host.logged("rival"));
}

#[test]
fn a_fight_is_left_with_growing_pauses_and_ends_when_the_other_hand_does() {
    let mut host = lab1();
    host.operations.clear();
    // Longer than any pause.
    let mut undone = 0;
    for _ in 0..3000 {
        undone += usize::from(host.holders("192.168.0.88") == ["ge1"]);
        steal(&mut host);
        host.pass(Duration::from_millis(100));
    }
    let tries = tries(&host);
    // Twenty at once, then after 5, 10, 20, 40, 60, 60, 60 seconds.
    assert!((25..=30).contains(&tries), "{tries} tries");
    assert!(undone >= tries, "{undone} times undone");
    let snapshot = host.engine.snapshot();
    let [contested] = snapshot.contested.as_slice() else {
        panic!("{:?}", snapshot.contested);
    };
    assert_eq!(contested.what, "address 192.168.0.88 on ge1");
    assert_eq!(contested.by.as_deref(), Some("rival[812]"));
    assert_eq!(contested.interface, "ge1".parse().ok());
    assert_eq!(contested.address, "192.168.0.88".parse().ok());
    let again = contested.again.unwrap();
    assert!(again > host.now && again <= host.now + Duration::from_mins(1));
    assert!(
        host.logged("Contested: address 192.168.0.88 on ge1: rival[812] undoes it again and again")
    );
    assert!(!host.logged("Contested"), "said once");

    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    host.pass(Duration::from_secs(10));
    assert_eq!(host.engine.snapshot().contested, []);
    assert!(host.logged("Not contested any more: address 192.168.0.88 on ge1"));
    assert_eq!(host.list(), LAB1);
    let records: Vec<bool> = host
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Contest { contested, .. } => Some(*contested),
            _ => None,
        })
        .collect();
    assert_eq!(records, [true, false]);
    host.operations.clear();
    host.pass(Duration::from_hours(1));
    assert_eq!(host.operations, [""; 0]);
}

#[test]
fn a_command_has_what_is_contested_tried_at_once() {
    let mut host = lab1();
    for _ in 0..40 {
        steal(&mut host);
    }
    assert_eq!(host.holders("192.168.0.88"), [""; 0]);
    assert_eq!(host.ifconfig("ge1 up"), "");
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    // Undone again it is left alone for twice as long.
    steal(&mut host);
    assert_eq!(host.holders("192.168.0.88"), [""; 0]);
    host.pass(Duration::from_secs(9));
    assert_eq!(host.holders("192.168.0.88"), [""; 0]);
    host.pass(Duration::from_secs(2));
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
}

#[test]
fn what_is_contested_and_not_wanted_any_more_is_forgotten() {
    let mut host = lab1();
    for _ in 0..40 {
        steal(&mut host);
    }
    assert_eq!(host.engine.snapshot().contested.len(), 1);
    assert_eq!(host.ifconfig("ge1 down"), "");
    assert_eq!(host.engine.snapshot().contested, []);
    host.operations.clear();
    host.pass(Duration::from_hours(1));
    assert_eq!(host.operations, [""; 0]);
}

#[test]
fn whoever_puts_a_route_in_place_of_ours_is_known_by_its_protocol() {
    let mut host = lab1();
    let subnet: InterfaceAddress = InterfaceAddress::new("192.168.0.0".parse().unwrap(), 24);
    let ours = host
        .kernel
        .routes_to(TABLE_MAIN, subnet)
        .next()
        .unwrap()
        .clone();
    assert_eq!(ours.protocol, PROTOCOL);
    let theirs = Route {
        protocol: 16,
        via: Via::Link {
            index: host.index("ge1"),
            gateway: None,
        },
        ..ours.clone()
    };
    host.changes(vec![
        Change::By(Some(rival())),
        Change::Route(theirs),
        Change::RouteGone(ours.clone()),
    ]);
    assert!(host.kernel.routes.contains(&ours));
    assert!(host.logged("undid route to 192.168.0.0/24"));
}

#[test]
fn what_the_kernel_refuses_is_shown_with_its_reason() {
    let mut host = lab1();
    host.refused.push("set arp_ignore".to_owned());
    let sysctl = crate::kernel::Sysctl::ArpIgnore;
    host.change(Change::Sysctl(host.index("ge1"), sysctl, 0));
    host.pass(Duration::from_mins(1));
    let snapshot = host.engine.snapshot();
    let [failing] = snapshot.failing.as_slice() else {
        panic!("{:?}", snapshot.failing);
    };
    assert_eq!(failing.what, "arp_ignore of ge1");
    assert_eq!(failing.reason, "refused");
    assert!(failing.times > 5 && failing.again > host.now);
    host.refused.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(host.engine.snapshot().failing, []);
}

#[test]
fn neighbours_are_told_of_a_new_hardware_address() {
    let mut host = lab1();
    host.pass(Duration::from_mins(1));
    host.announced.clear();
    let mut link = host.kernel.link(&"ge1".parse().unwrap()).unwrap().clone();
    let mac = "02:00:00:00:00:77".parse().unwrap();
    link.mac = Some(mac);
    host.change(Change::Link(link));
    let told = host.announced.iter().any(|announcement| {
        announcement.mac == mac
            && announcement
                .addresses
                .contains(&"192.168.0.88".parse().unwrap())
    });
    assert!(told, "{:?}", host.announced);
    assert!(!host.operations.iter().any(|operation| {
        operation
            == &Operation::SetUp {
                index: 3,
                up: false,
            }
            .to_string()
    }));
}

#[test]
fn what_we_take_away_ourselves_is_undone_by_nobody() {
    // Link state alone decides, so that all this is over before the contest is.
    let mut host = Host::new(&["ge0", "ge1"]);
    let mut settings = host.settings.clone();
    settings.common.probe = ProbeMethod::Icmp;
    host.configure(settings);
    host.ifconfig("ge0 plumb 192.168.0.86 group g up");
    host.ifconfig("ge1 plumb 192.168.0.88 group g up");
    host.pass(Duration::from_mins(1));
    for _ in 0..40 {
        steal(&mut host);
    }
    assert_eq!(host.holders("192.168.0.88"), [""; 0]);
    // Tried again, and the other hand has given up.
    host.pass(Duration::from_secs(6));
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    assert_eq!(host.engine.snapshot().contested.len(), 1);
    // It goes and comes home at once, and is not left nowhere.
    host.carrier("ge1", false);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    host.carrier("ge1", true);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    assert_eq!(host.engine.snapshot().contested, []);
}

#[test]
fn what_the_kernel_refuses_is_contested_by_nobody_however_much_is_typed() {
    let mut host = lab1();
    host.refused = vec![ADDRESS.to_owned()];
    steal(&mut host);
    for _ in 0..30 {
        assert!(host.ifconfig("ge0 addif 192.168.0.90").starts_with("ge0:"));
        assert_eq!(host.ifconfig("ge0 removeif 192.168.0.90"), "");
    }
    assert!(tries(&host) > 30, "each command has it tried again");
    assert_eq!(host.engine.snapshot().contested, []);
    host.refused.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(host.list(), LAB1);
}

#[test]
fn what_is_contested_and_then_refused_is_tried_with_pauses() {
    let mut host = lab1();
    for _ in 0..40 {
        steal(&mut host);
    }
    host.refused = vec![ADDRESS.to_owned()];
    host.operations.clear();
    host.pass(Duration::from_mins(10));
    // By one link and then by the other, every half minute anew.
    let tries = tries(&host);
    assert!((5..=400).contains(&tries), "{tries} tries");
    host.refused.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(host.list(), LAB1);
}

#[test]
fn what_a_command_asks_for_is_done_however_often_it_is_typed() {
    let mut host = Host::new(&["ge0"]);
    for _ in 0..30 {
        assert_eq!(host.ifconfig("ge0 plumb"), "");
        assert!(host.kernel.links[&host.index("ge0")].up);
        assert_eq!(host.ifconfig("ge0 unplumb"), "");
        assert!(!host.kernel.links[&host.index("ge0")].up);
    }
}
