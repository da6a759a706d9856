//! What becomes of commands while other hosts are asked for an address, and after that.

use std::time::Duration;

use super::conflicts::{asking, conflicts, lab1, ms, take, unwaited, up};
use super::host::{Host, address};
use super::labs::LAB1;
use super::teardown::{found, tear_down};
use crate::kernel::{Address, Change, Sysctl};
use crate::{Answer, Command, Message, Refusal, reference};

/// Two members, the first one with a test address that stood there before IPMP.
fn with_found_test_address() -> Host {
    let mut host = asking(&["ge0", "ge1"]);
    let test_address = found(&host, "ge0", "192.168.0.87", false);
    host.change(Change::Address(test_address));
    for line in [
        "ge0 deprecated -failover group g",
        "ge0 addif 192.168.0.86 up",
        "ge1 plumb 192.168.0.88 group g up",
    ] {
        host.ifconfig(line);
    }
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.87"), ["ge0"]);
    host
}

#[test]
fn teardown_puts_back_what_stood_there_before_and_was_out_of_service() {
    let mut host = with_found_test_address();
    host.ifconfig("ge0 offline");
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.87"), [""; 0]);
    host.restart();
    tear_down(&mut host);
    assert_eq!(host.holders("192.168.0.87"), ["ge0"]);
}

#[test]
fn teardown_waits_for_what_others_are_being_asked_for() {
    let mut host = with_found_test_address();
    host.ifconfig("ge1 addif 192.168.0.90");
    host.ifconfig("ge1 addif 192.168.0.91");
    take(&mut host, "192.168.0.91");
    host.begin(unwaited("ge1:1"));
    host.begin(unwaited("ge1:2"));
    let id = host.begin(Command::Teardown);
    host.pass(ms(110));
    assert_eq!(host.answer(id), None);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.answer(id), Some(Ok(Answer::Done)));
    assert!(host.engine.is_over());
    assert_eq!(host.holders("192.168.0.90"), ["ge1"]);
    assert_eq!(host.holders("192.168.0.91"), [""; 0]);
}

fn set_address(name: &str, ip: &str) -> Command {
    Command::SetAddress {
        logical: name.parse().unwrap(),
        address: address(ip),
    }
}

fn has_said_no(answer: Option<&Result<Answer, Refusal>>) -> bool {
    matches!(answer, Some(Err(Refusal::Kernel(..))))
}

/// How often the log has a line, read or not.
fn failed_over(host: &Host, from: &str, to: &str) -> usize {
    let message = Message::FailedOver {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    };
    let mut lines = host.log.clone();
    lines.retain(|line| *line == message.to_string());
    lines.len()
}

#[test]
fn an_address_stays_until_the_one_that_replaces_it_is_in_place() {
    let mut host = lab1();
    host.operations.clear();
    let id = host.begin(set_address("ge0", "192.168.0.90"));
    host.pass(ms(110));
    assert_eq!(host.operations, [""; 0]);
    assert_eq!(host.list(), LAB1);
    assert_eq!(host.answer(id), None);
    host.pass(ms(10));
    assert_eq!(host.answer(id), Some(Ok(Answer::Done)));
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
    assert_eq!(host.list(), LAB1.replace(".86", ".90"));
}

#[test]
fn an_address_stays_if_another_host_has_the_one_that_is_to_replace_it() {
    let mut host = lab1();
    take(&mut host, "192.168.0.90");
    host.operations.clear();
    host.log.clear();
    let saved = host.saved.clone();
    assert_eq!(
        host.ifconfig("ge0 192.168.0.90"),
        "192.168.0.90: 192.168.0.90 is in use by 8:0:20:1:2:3 on ge0; 192.168.0.86 stays"
    );
    host.pass(Duration::from_mins(10));
    assert_eq!(host.operations, [""; 0]);
    assert_eq!(host.list(), LAB1);
    assert_eq!(host.saved, saved);
    assert_eq!(conflicts(&host), []);
    assert_eq!(host.log, [""; 0]);
    // One that is not up is not in service, and there is nothing to keep.
    host.ifconfig("ge0 down");
    assert_eq!(host.ifconfig("ge0 192.168.0.90"), "");
    assert!(
        host.ifconfig("ge0 up")
            .ends_with("it comes up when that ends")
    );
}

/// Nothing stands in the way of replacing an address any more.
fn assert_is_replaced(host: &mut Host) {
    assert_eq!(host.ifconfig("ge0 192.168.0.90"), "");
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
}

#[test]
fn an_address_of_somebody_else_stays_as_it_is_if_it_cannot_be_replaced() {
    for is_taken in [false, true] {
        let mut host = asking(&["ge0"]);
        let theirs = found(&host, "ge0", "192.168.0.86", false);
        host.change(Change::Address(theirs));
        let before = host.kernel.clone();
        if is_taken {
            take(&mut host, "192.168.0.90");
        } else {
            host.refused.push("192.168.0.90".to_owned());
        }
        assert_ne!(host.ifconfig("ge0 192.168.0.90"), "");
        host.pass(Duration::from_mins(10));
        assert_eq!(host.kernel, before);
        host.rivals.clear();
        host.refused.clear();
        assert_is_replaced(&mut host);
    }
}

#[test]
fn an_address_stays_if_the_kernel_refuses_the_one_that_is_to_replace_it() {
    for is_asked_for in [false, true] {
        let mut host = lab1();
        host.configure(crate::Settings {
            duplicate_address_detection: is_asked_for,
            ..crate::Settings::default()
        });
        host.operations.clear();
        host.refused.push("192.168.0.90".to_owned());
        assert_eq!(host.ifconfig("ge0 192.168.0.90"), "192.168.0.90: refused");
        host.pass(Duration::from_mins(10));
        let of_old = host
            .operations
            .iter()
            .filter(|o| o.contains("192.168.0.86/"));
        assert_eq!(of_old.collect::<Vec<_>>(), [""; 0]);
        assert_eq!(host.list(), LAB1);
        host.refused.clear();
        assert_is_replaced(&mut host);
    }
}

#[test]
fn an_address_that_is_to_be_replaced_fails_over_meanwhile() {
    let mut host = lab1();
    let id = host.begin(set_address("ge0", "192.168.0.90"));
    host.pass(ms(50));
    host.carrier("ge0", false);
    assert_eq!(host.holders("192.168.0.86"), ["ge1"]);
    assert_eq!(host.answer(id), None);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    assert_eq!(host.holders("192.168.0.90"), ["ge1"]);
    // It was called by where it was.
    assert_eq!(host.answer(id), Some(Ok(Answer::Done)));
}

#[test]
fn whatever_the_kernel_refuses_after_the_check_refuses_the_command() {
    let mut host = lab1();
    host.ifconfig("ge0 addif 10.1.0.1");
    let before = host.list();
    host.refused.push("route 10.1.0.0/24".to_owned());
    assert_eq!(host.ifconfig("ge0:2 up"), "up: refused");
    assert_eq!(host.list(), before);
    assert_eq!(host.holders("10.1.0.1"), [""; 0]);
    host.refused.clear();
    assert_eq!(host.ifconfig("ge0:2 up"), "");
    assert_eq!(host.holders("10.1.0.1"), ["ge0"]);
}

#[test]
fn what_happened_during_the_check_stays_if_the_command_is_refused() {
    let mut host = lab1();
    host.ifconfig("ge0 addif 192.168.0.90");
    host.refused.push("192.168.0.90".to_owned());
    let id = host.begin(up("ge0:2"));
    host.pass(ms(50));
    host.carrier("ge1", false);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    host.operations.clear();
    host.pass(ms(100));
    assert!(has_said_no(host.answer(id).as_ref()));
    host.pass(Duration::from_mins(1));
    let again = host
        .operations
        .iter()
        .filter(|o| o.contains("192.168.0.88/"));
    assert_eq!(again.collect::<Vec<_>>(), [""; 0]);
    assert_eq!(failed_over(&host, "ge1", "ge0"), 1);
}

/// Three members without test addresses, and an address of the third one that was moved to the second one.
/// Addresses do not come home by themselves.
fn with_moved_address() -> Host {
    let mut host = Host::new(&["ge0", "ge1", "ge2"]);
    for line in [
        "ge0 plumb 192.168.0.86 group g up",
        "ge1 plumb 192.168.0.88 group g up",
        "ge2 plumb 192.168.0.90 group g up",
    ] {
        host.ifconfig(line);
    }
    host.failback(false);
    host.pass(Duration::from_mins(1));
    host.ask(Command::Move {
        address: "192.168.0.90".parse().unwrap(),
        interface: "ge1".parse().unwrap(),
    })
    .unwrap();
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.90"), ["ge1"]);
    host
}

#[test]
fn what_happened_while_its_plans_were_under_way_stays_if_a_command_is_refused() {
    let mut host = with_moved_address();
    // The new address comes, a device is away for a moment, and the old address does not go.
    host.refused.push("remove address 192.168.0.86".to_owned());
    host.meanwhile.push_back(|host| host.unplug("ge1"));
    host.meanwhile.push_back(|host| host.plug("ge1"));
    assert_eq!(host.ifconfig("ge0 192.168.0.91"), "192.168.0.91: refused");
    assert!(host.meanwhile.is_empty());
    host.refused.clear();
    host.pass(Duration::from_mins(1));
    // What it asked for is undone.
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert_eq!(host.holders("192.168.0.91"), [""; 0]);
    // That the move is over, and that addresses left ge1, is not.
    assert_eq!(host.holders("192.168.0.88"), ["ge2"]);
    assert_eq!(host.holders("192.168.0.90"), ["ge2"]);
    let logicals = &host.engine.asked.logicals;
    assert!(logicals.iter().all(|logical| logical.moved_to.is_none()));
}

/// An address got the unit that another one had left.
#[test]
fn two_addresses_have_two_names_if_a_command_is_refused() {
    let mut host = with_moved_address();
    assert!(host.list().contains("ge1:1 1000843 192.168.0.90"));
    host.refused.push("remove address 192.168.0.90".to_owned());
    host.meanwhile.push_back(|host| host.carrier("ge0", false));
    let refused = host.ask(Command::Move {
        address: "192.168.0.90".parse().unwrap(),
        interface: "ge2".parse().unwrap(),
    });
    assert!(has_said_no(Some(&refused)));
    host.refused.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.86"), ["ge1"]);
    assert_eq!(host.holders("192.168.0.90"), ["ge1"]);
    let list = host.list();
    let mut names: Vec<&str> = list.lines().filter_map(|l| l.split(' ').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["ge0", "ge1", "ge1:1", "ge1:2", "ge2"], "{list}");
}

#[test]
fn what_follows_from_a_command_is_undone_if_it_is_refused() {
    let mut host = with_moved_address();
    let before = host.list();
    let asked = host.engine.asked.clone();
    for command in ["ge1 offline", "ge1 group none"] {
        host.refused.push("add address".to_owned());
        assert!(host.ifconfig(command).ends_with(": refused"), "{command}");
        host.refused.clear();
        host.pass(Duration::from_mins(1));
        assert_eq!(host.list(), before, "{command}");
        assert_eq!(host.holders("192.168.0.88"), ["ge1"], "{command}");
        assert_eq!(host.holders("192.168.0.90"), ["ge1"], "{command}");
        assert_eq!(host.engine.asked, asked, "{command}");
    }
}

#[test]
fn a_link_is_not_set_down_if_its_address_does_not_leave() {
    let mut host = with_moved_address();
    let before = host.list();
    host.refused.push("remove address 192.168.0.88".to_owned());
    assert_eq!(host.ifconfig("ge1 unplumb"), "unplumb: refused");
    host.refused.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(host.list(), before);
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    assert!(host.kernel.links[&host.index("ge1")].up);
    assert_eq!(host.ifconfig("ge1 unplumb"), "");
    assert!(!host.kernel.links[&host.index("ge1")].up);
}

/// An address whose device was exchanged is asked for like a new one. Meanwhile it is served where another
/// hand put it, on an interface that was renamed. No link of the group runs unless `has_links`.
fn put_elsewhere_while_asked_for(has_links: bool) -> Host {
    let mut host = asking(&["ge0", "ge1", "ge2"]);
    for (i, nic) in ["ge0", "ge1", "ge2"].into_iter().enumerate() {
        host.ifconfig(&format!("{nic} plumb 192.168.0.{} group g up", 10 + i));
    }
    host.pass(Duration::from_mins(1));
    host.is_dead = true;
    let index = host.index("ge1");
    let own = host.kernel.addresses_on(index).next().unwrap();
    let copy = Address {
        address: address("192.168.0.12"),
        protocol: 0,
        label: None,
        ..own.clone()
    };
    host.unplug("ge2");
    host.plug("ge2");
    host.by_hand(|kernel| reference::add_address(kernel, copy).unwrap());
    host.change(Change::Sysctl(index, Sysctl::PromoteSecondaries, 0));
    host.by_hand(|kernel| {
        reference::set_link(kernel, index, |link| link.name = "spare".parse().unwrap()).unwrap()
    });
    for nic in ["ge0", "ge2"] {
        host.carrier(nic, has_links);
    }
    host.restart();
    assert_eq!(host.holders("192.168.0.12"), ["spare"]);
    host
}

#[test]
fn an_address_that_is_asked_for_is_not_taken_along_by_one_that_leaves() {
    let mut host = put_elsewhere_while_asked_for(true);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.lost, [""; 0]);
    assert_eq!(host.holders("192.168.0.11"), ["ge0"]);
    assert_eq!(host.holders("192.168.0.12"), ["ge2"]);
}

#[test]
fn teardown_does_not_wait_for_links_on_which_others_would_be_asked() {
    let mut host = put_elsewhere_while_asked_for(false);
    tear_down(&mut host);
    assert_eq!(host.lost, [""; 0]);
}
