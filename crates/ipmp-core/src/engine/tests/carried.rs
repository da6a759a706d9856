//! What an interface carries: an address that is placed there but withheld, as another host has it, is not
//! among it.

use std::time::Duration;

use super::conflicts::{RIVAL, asking, ip, lab1, take, unwaited};
use super::host::{Host, address};
use crate::record::Direction;
use crate::{Command, Settings};

/// Moves that were told, in order; the rest of the log is of no interest here.
fn moves_told(host: &mut Host) -> Vec<String> {
    let log = std::mem::take(&mut host.log);
    let is_move = |line: &String| line.starts_with("Successfully") || line.starts_with("Moved");
    log.into_iter().filter(is_move).collect()
}

/// What failovers, failbacks and moves were accounted for: direction, interface and addresses.
fn accounted(host: &Host) -> Vec<(Direction, String, Vec<String>)> {
    let outages = host.engine.snapshot().outages.into_iter();
    outages
        .map(|outage| {
            let addresses = outage.addresses.iter();
            let addresses = addresses.map(|moved| moved.address.to_string()).collect();
            (outage.direction, outage.interface.to_string(), addresses)
        })
        .collect()
}

fn is_inactive(host: &Host, name: &str) -> bool {
    let snapshot = host.engine.snapshot();
    let mut interfaces = snapshot.interfaces.iter();
    let interface = interfaces.find(|interface| interface.name.as_str() == name);
    interface.unwrap().inactive
}

/// Where an address is shown.
fn place(host: &Host, text: &str) -> String {
    let snapshot = host.engine.snapshot();
    let logicals = snapshot.interfaces.iter().flat_map(|i| &i.logicals);
    let mut there = logicals.filter(|logical| logical.address.ip == ip(text));
    there.next().unwrap().name.interface.to_string()
}

#[test]
fn no_move_is_told_of_an_address_that_another_host_has() {
    let mut host = asking(&["ge0", "ge1"]);
    take(&mut host, "192.168.0.88");
    host.ifconfig("ge0 plumb 192.168.0.86 group g up");
    host.ifconfig("ge1 plumb 192.168.0.88 group g up");
    host.pass(Duration::from_mins(1));
    host.carrier("ge1", false);
    assert_eq!(place(&host, "192.168.0.88"), "ge0");
    assert!(host.logged("NIC failure detected on ge1"));
    host.carrier("ge1", true);
    host.pass(Duration::from_mins(1));
    assert_eq!(place(&host, "192.168.0.88"), "ge1");
    assert!(host.logged("NIC repair detected on ge1"));
    let refused = host.ask(Command::Move {
        address: ip("192.168.0.88"),
        interface: "ge0".parse().unwrap(),
    });
    assert!(refused.is_err());
    assert_eq!(place(&host, "192.168.0.88"), "ge0");
    assert_eq!(moves_told(&mut host), [""; 0]);
    assert_eq!(accounted(&host), []);
    assert_eq!(host.engine.snapshot().totals.outages, []);

    // Nor later, when it comes into service where it is.
    host.rivals.clear();
    host.pass(Duration::from_mins(6));
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    assert_eq!(moves_told(&mut host), [""; 0]);
    assert_eq!(accounted(&host), []);
    // It is an address like others then.
    host.carrier("ge0", false);
    let told = moves_told(&mut host);
    assert_eq!(told, ["Successfully failed over from NIC ge0 to NIC ge1"]);
    let both = ["192.168.0.86", "192.168.0.88"].map(str::to_owned).to_vec();
    assert_eq!(
        accounted(&host),
        [(Direction::Failover, "ge0".into(), both)]
    );
}

#[test]
fn what_moves_with_it_is_told_and_counted_alone() {
    let mut host = lab1();
    take(&mut host, "192.168.0.90");
    host.ifconfig("ge1 addif 192.168.0.90 up");
    host.log.clear();
    host.carrier("ge1", false);
    host.pass(Duration::from_secs(1));
    let told = moves_told(&mut host);
    assert_eq!(told, ["Successfully failed over from NIC ge1 to NIC ge0"]);
    host.carrier("ge1", true);
    host.pass(Duration::from_mins(1));
    let told = moves_told(&mut host);
    assert_eq!(told, ["Successfully failed back to NIC ge1"]);
    let served = || vec!["192.168.0.88".to_owned()];
    let expected = [
        (Direction::Failover, "ge1".to_owned(), served()),
        (Direction::Failback, "ge1".to_owned(), served()),
    ];
    assert_eq!(accounted(&host), expected);
}

/// The device of ge1 was taken out while no daemon ran: its address is asked for like a new one.
fn started_without_ge1(is_taken: bool) -> Host {
    let mut host = lab1();
    host.is_dead = true;
    host.unplug("ge1");
    if is_taken {
        take(&mut host, "192.168.0.88");
    }
    host.log.clear();
    host.restart();
    host
}

#[test]
fn a_move_is_told_when_it_is_known_that_nobody_has_the_address_and_it_is_in_place() {
    let mut host = started_without_ge1(false);
    assert_eq!(host.holders("192.168.0.88"), [""; 0]);
    assert_eq!(moves_told(&mut host), [""; 0]);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    let told = moves_told(&mut host);
    assert_eq!(told, ["Successfully failed over from NIC ge1 to NIC ge0"]);

    let mut host = started_without_ge1(true);
    host.pass(Duration::from_mins(1));
    host.rivals.clear();
    host.pass(Duration::from_mins(6));
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    assert_eq!(moves_told(&mut host), [""; 0]);
}

/// A member and a standby, each with a test address, and nothing to carry but what another host has.
fn with_standby() -> Host {
    let mut host = asking(&["ge0", "ge1"]);
    take(&mut host, "192.168.0.86");
    for line in [
        "ge0 plumb 192.168.0.86 group g up",
        "ge0 addif 192.168.0.87 deprecated -failover up",
        "ge1 plumb 192.168.0.88 group g deprecated -failover standby up",
    ] {
        host.ifconfig(line);
    }
    host.pass(Duration::from_mins(1));
    host
}

#[test]
fn a_standby_is_inactive_as_long_as_another_host_has_what_it_is_to_carry() {
    let mut host = with_standby();
    host.carrier("ge0", false);
    host.pass(Duration::from_secs(1));
    assert_eq!(place(&host, "192.168.0.86"), "ge1");
    assert!(is_inactive(&host, "ge1"));
    assert!(
        host.list().contains("ge1 69040843 192.168.0.88"),
        "{}",
        host.list()
    );

    host.rivals.clear();
    host.pass(Duration::from_mins(6));
    assert_eq!(host.holders("192.168.0.86"), ["ge1"]);
    assert!(!is_inactive(&host, "ge1"));
    // In service it stays, whoever claims it.
    take(&mut host, "192.168.0.86");
    host.gratuitous("192.168.0.86", RIVAL);
    assert!(!is_inactive(&host, "ge1"));
    host.carrier("ge0", true);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert!(is_inactive(&host, "ge1"));
}

#[test]
fn what_belongs_to_a_standby_leaves_it_beside_what_another_host_has() {
    let mut host = asking(&["ge0", "ge1", "ge2"]);
    take(&mut host, "192.168.0.86");
    host.ifconfig("ge0 plumb 192.168.0.86 group g up");
    host.ifconfig("ge1 plumb 192.168.0.88 group g up");
    host.ifconfig("ge2 plumb group g standby");
    host.ifconfig("ge2 addif 192.168.0.90 up");
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
    host.log.clear();
    host.carrier("ge0", false);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.90"), ["ge1"]);
    assert!(is_inactive(&host, "ge2"));
    let told = moves_told(&mut host);
    assert_eq!(told, ["Successfully failed over from NIC ge0 to NIC ge1"]);
}

#[test]
fn an_interface_whose_addresses_did_not_come_home_is_inactive_beside_what_another_host_has() {
    let mut host = lab1();
    let mut settings = Settings::default();
    settings.common.failback = false;
    host.configure(settings);
    take(&mut host, "192.168.0.90");
    host.carrier("ge1", false);
    host.carrier("ge1", true);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    assert!(is_inactive(&host, "ge1"));
    // An address of its own there would have it active.
    host.ask(Command::AddLogical {
        interface: "ge0".parse().unwrap(),
        address: address("192.168.0.90"),
    })
    .unwrap();
    host.begin(unwaited("ge0:3"));
    host.begin(Command::Move {
        address: ip("192.168.0.90"),
        interface: "ge1".parse().unwrap(),
    });
    host.pass(Duration::from_secs(1));
    assert_eq!(place(&host, "192.168.0.90"), "ge1");
    assert!(is_inactive(&host, "ge1"));
    host.rivals.clear();
    host.pass(Duration::from_mins(6));
    assert_eq!(host.holders("192.168.0.90"), ["ge1"]);
    assert!(!is_inactive(&host, "ge1"));
}
