//! What a command asked for that the daemon was killed amid is finished by the next one.

use std::time::Duration;

use super::host::Host;
use crate::command::{Answer, Command, Refusal};
use crate::kernel::{Address, Change};
use crate::{Family, Flags, InterfaceName, LogicalName, MacAddress, reference};

/// ge0 with two addresses, and one that somebody else put there.
fn host() -> Host {
    let mut host = Host::new(&["ge0"]);
    host.ifconfig("ge0 plumb 192.168.0.10 up");
    host.ifconfig("ge0 addif 192.168.0.11 up");
    let mut foreign = host.kernel.addresses.values().last().unwrap().clone();
    foreign = Address {
        address: crate::InterfaceAddress::new("192.168.0.12".parse().unwrap(), 24),
        protocol: 0,
        label: None,
        ..foreign
    };
    host.change(Change::Address(foreign));
    host
}

/// What is left when the daemon is killed after so many operations of this, and the next one comes.
fn after(line: &str, killed_after: usize) -> Host {
    let mut host = host();
    host.killed_after = Some(killed_after);
    host.ifconfig(line);
    host.restart();
    host
}

#[test]
fn unplumb_killed_amid_it_is_finished() {
    for killed_after in 0..6 {
        let host = after("ge0 unplumb", killed_after);
        for ip in ["192.168.0.10", "192.168.0.11", "192.168.0.12"] {
            assert_eq!(host.holders(ip), [""; 0], "{ip} after {killed_after}");
        }
        let link = &host.kernel.links[&host.index("ge0")];
        assert!(!link.up, "after {killed_after}");
        assert_eq!(host.list(), "", "after {killed_after}");
    }
}

#[test]
fn removeif_killed_amid_it_is_finished() {
    for killed_after in 0..3 {
        let host = after("ge0 removeif 192.168.0.11", killed_after);
        assert_eq!(host.holders("192.168.0.11"), [""; 0]);
        assert_eq!(host.holders("192.168.0.10"), ["ge0"]);
    }
}

/// `promote_secondaries` cannot be set: an address that leaves would take along those that came after it.
#[test]
fn leaving_a_group_killed_amid_it_takes_no_other_address_along() {
    for killed_after in 0..16 {
        let mut host = Host::new(&["ge0", "ge1", "ge2"]);
        for (i, nic) in ["ge0", "ge1", "ge2"].into_iter().enumerate() {
            host.ifconfig(&format!("{nic} plumb 192.168.0.{} group g up", 10 + i));
        }
        host.refused.push("set promote_secondaries".to_owned());
        host.unplug("ge2");
        host.carrier("ge0", false);
        host.carrier("ge1", false);
        host.plug("ge2");
        host.pass(Duration::from_mins(1));
        host.killed_after = Some(killed_after);
        host.ifconfig("ge2 group none");
        assert_eq!(host.lost, [""; 0], "after {killed_after}");
        host.restart();
        assert_eq!(host.lost, [""; 0], "after {killed_after}");
        assert_eq!(host.holders("192.168.0.12"), ["ge2"]);
        // Nothing stays behind.
        let on_ge2 = host.kernel.addresses_on(host.index("ge2")).count();
        assert_eq!(on_ge2, 1, "after {killed_after}");
    }
}

#[test]
fn an_address_amid_a_move_is_taken_over_once_if_the_saved_state_is_lost() {
    for killed_after in 0..6 {
        let mut host = Host::new(&["ge0", "ge1"]);
        host.ifconfig("ge0 plumb 192.168.0.10 group g up");
        host.ifconfig("ge1 plumb 192.168.0.11 group g up");
        host.killed_after = Some(killed_after);
        host.carrier("ge1", false);
        host.saved = None;
        host.restart();
        host.ifconfig("ge0 group g");
        host.ifconfig("ge1 group g");
        host.carrier("ge1", true);
        host.pass(Duration::from_mins(1));
        let holders = host.holders("192.168.0.11");
        assert_eq!(holders.len(), 1, "after {killed_after}: {holders:?}");
    }
}

/// `promote_secondaries` cannot be set, and another hand's copy was on the new device first.
#[test]
fn a_copy_on_a_device_that_was_exchanged_takes_no_new_address_along() {
    let mut host = Host::new(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb 192.168.0.10 group g up");
    host.ifconfig("ge1 plumb 192.168.0.11 group g up");
    host.pass(Duration::from_mins(1));
    let at_home = host.kernel.addresses_on(host.index("ge0")).next().unwrap();
    let mut copy = at_home.clone();
    host.refused.push("set promote_secondaries".to_owned());
    host.is_dead = true;
    host.unplug("ge1");
    host.plug("ge1");
    copy.index = host.index("ge1");
    host.by_hand(|kernel| reference::add_address(kernel, copy).unwrap());
    host.restart();
    assert_eq!(host.lost, [""; 0]);
    host.refused.clear();
    host.pass(Duration::from_mins(2));
    assert_eq!(host.lost, [""; 0]);
    assert_eq!(host.holders("192.168.0.10"), ["ge0"]);
    assert_eq!(host.holders("192.168.0.11"), ["ge1"]);
}

/// Two NICs in a group; ge0 has an address that is not up.
fn group() -> Host {
    let mut host = Host::new(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb 192.168.0.10 group g up");
    host.ifconfig("ge1 plumb 192.168.0.11 group g up");
    host.ifconfig("ge0 addif 192.168.0.12");
    host.pass(Duration::from_mins(1));
    host
}

/// Each kind of command that may be asked again, so that it changes something in [`group`].
fn idempotent() -> Vec<Command> {
    let interface: InterfaceName = "ge0".parse().unwrap();
    let unit = |name: &str| name.parse::<LogicalName>().unwrap();
    let family = Family::Inet;
    let flag = |flag, wait| Command::SetFlag {
        logical: unit("ge0:1"),
        family,
        flag,
        on: true,
        wait,
    };
    vec![
        Command::Plumb {
            logical: unit("ge0"),
            family: Family::Inet6,
            absent: true,
        },
        Command::Plumb {
            logical: unit("ge0:5"),
            family,
            absent: false,
        },
        Command::SetAddress {
            logical: unit("ge0"),
            address: super::host::address("192.168.0.20/24"),
        },
        Command::SetPrefix {
            logical: unit("ge0"),
            family,
            prefix: 16,
        },
        Command::SetBroadcast {
            logical: unit("ge0"),
            broadcast: Some("192.168.0.200".parse().unwrap()),
        },
        Command::AddLogical {
            interface: interface.clone(),
            address: super::host::address("192.168.0.13/24"),
        },
        flag(Flags::UP, true),
        flag(Flags::UP, false),
        flag(Flags::NOFAILOVER, true),
        Command::AwaitChecks,
        Command::SetGroup {
            interface: interface.clone(),
            group: None,
        },
        Command::SetGroup {
            interface: interface.clone(),
            group: Some("other".parse().unwrap()),
        },
        Command::SetStandby {
            interface: interface.clone(),
            on: true,
        },
        Command::SetFailed {
            interface: interface.clone(),
            on: true,
        },
        Command::SetMetric {
            logical: unit("ge0"),
            family,
            metric: 7,
        },
        Command::SetMtu {
            interface: interface.clone(),
            mtu: 1400,
        },
        Command::SetMac {
            interface: interface.clone(),
            mac: MacAddress([2, 0, 0, 0, 0, 9]),
        },
        Command::Move {
            address: "192.168.0.11".parse().unwrap(),
            interface,
        },
        Command::Teardown,
        Command::SetLocalMac { local: Some(true) },
    ]
}

/// What there is to see of a host when it is quiet: what it lists, what its daemon saved of what was asked
/// for, links, addresses.
fn quiet(host: &mut Host) -> String {
    host.pass(Duration::from_mins(1));
    let asked = host.saved.as_ref().map(|saved| &saved.asked);
    let links = host.kernel.links.values();
    let links: Vec<_> = links.map(|link| (&link.name, link.mtu, link.mac)).collect();
    format!(
        "{}\n{asked:#?}\n{links:#?}\n{:#?}",
        host.list(),
        host.kernel.addresses
    )
}

#[test]
fn a_command_asked_again_of_the_next_daemon_ends_as_if_it_was_asked_once() {
    for command in idempotent() {
        assert!(command.is_idempotent(), "{command:?}");
        let mut once = group();
        let answer = once.ask(command.clone());
        assert!(answer.is_ok(), "{command:?}: {answer:?}");
        let once = quiet(&mut once);

        // Amid it, or when it was done and could not be told any more.
        for killed_after in (0..40).chain([usize::MAX]) {
            let mut host = group();
            host.killed_after = Some(killed_after);
            let first = host.ask(command.clone());
            let what = format!("{command:?} killed after {killed_after}");
            host.restart();
            let again = host.ask(command.clone());
            let is_there = |answer: &Result<Answer, Refusal>| {
                matches!((&command, answer), (Command::AddLogical { .. }, Err(Refusal::AddressInUse(on)))
                    if on.to_string() == "ge0:2")
            };
            assert!(again.is_ok() || is_there(&again), "{what}: {again:?}");
            assert_eq!(quiet(&mut host), once, "{what}");
            if killed_after < usize::MAX && first.is_ok() {
                // It does not do so much.
                break;
            }
        }
    }
}
