//! Which addresses other hosts are asked for, where, when and when not.

use std::time::Duration;

use super::conflicts::{
    RIVAL, asked, asking, conflicts, defended, lab1, ms, only_conflict, take, up,
};
use super::host::{Host, address};
use crate::kernel::{Address, Change, Form};
use crate::plan::{NewAddress, Operation};
use crate::{Action, Answer, Command, Event, Settings, reference};

/// A NIC that is put up and negotiates.
fn put_up(host: &mut Host, name: &str) {
    let mut link = host.kernel.link(&name.parse().unwrap()).unwrap().clone();
    link.carrier = false;
    for up in [false, true] {
        link.up = up;
        host.change(Change::Link(link.clone()));
    }
}

/// The kernel's own duplicate address detection refuses an IPv6 address on a link, which keeps it.
fn refuse(host: &mut Host, name: &str, text: &str) {
    let refused = Address {
        index: host.index(name),
        address: address(text),
        broadcast: None,
        label: None,
        protocol: 0,
        deprecated: false,
        secondary: false,
        no_prefix_route: false,
        duplicate: true,
        dynamic: false,
        form: Form::default(),
    };
    host.change(Change::Address(refused));
}

#[test]
fn an_address_that_the_kernel_refused_as_duplicate_is_not_in_service() {
    let mut host = asking(&["ge0", "ge1"]);
    take(&mut host, "2001:db8::86");
    host.pass(Duration::from_mins(1));
    host.ifconfig("ge1 inet6 plumb group g up");
    refuse(&mut host, "ge0", "2001:db8::86/64");
    host.ifconfig("ge0 inet6 plumb group g up");
    host.pass(Duration::from_secs(1));
    assert!(
        host.list().contains("4002000840 2001:db8::86\n"),
        "{}",
        host.list()
    );
    assert!(conflicts(&host)[0].withheld);
    host.carrier("ge0", false);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("2001:db8::86"), [""; 0]);

    host.rivals.clear();
    host.pass(Duration::from_mins(6));
    assert_eq!(host.holders("2001:db8::86"), ["ge1"]);
    assert_eq!(conflicts(&host), []);
}

#[test]
fn an_address_that_the_kernel_refuses_later_is_not_in_service_any_more() {
    let mut host = asking(&["ge0"]);
    host.ifconfig("ge0 inet6 plumb up");
    host.ifconfig("ge0 inet6 addif 2001:db8::86/64 up");
    take(&mut host, "2001:db8::86");
    refuse(&mut host, "ge0", "2001:db8::86/64");
    host.pass(Duration::from_secs(1));
    assert!(conflicts(&host)[0].withheld);
    assert_eq!(host.holders("2001:db8::86"), [""; 0]);
}

#[test]
fn an_address_that_the_kernel_refused_is_shown_as_duplicate_where_nobody_is_asked() {
    let mut host = Host::new(&["ge0"]);
    refuse(&mut host, "ge0", "2001:db8::86/64");
    host.ifconfig("ge0 inet6 plumb group g up");
    assert!(
        host.list().contains("4002000841 2001:db8::86\n"),
        "{}",
        host.list()
    );
}

#[test]
fn a_link_that_was_put_up_a_moment_ago_is_waited_for() {
    for is_taken in [false, true] {
        let mut host = asking(&["ge0"]);
        host.pass(Duration::from_hours(1));
        put_up(&mut host, "ge0");
        host.pass(Duration::from_secs(1));
        if is_taken {
            take(&mut host, "192.168.0.86");
        }
        host.ifconfig("ge0 plumb 192.168.0.86");
        let id = host.begin(up("ge0"));
        let all = host.begin(Command::AwaitChecks);
        host.pass(Duration::from_secs(2));
        assert_eq!(host.holders("192.168.0.86"), [""; 0]);
        assert_eq!(host.answer(id), None);
        let start = host.now;
        host.carrier("ge0", true);
        host.pass(ms(130));
        let times = asked(&host, start, "192.168.0.86");
        assert_eq!(times.len(), if is_taken { 1 } else { 3 });
        assert_eq!(times[0], (0, "ge0".to_owned()));
        assert_eq!(host.holders("192.168.0.86").is_empty(), is_taken);
        assert_eq!(host.answer(id).unwrap().is_err(), is_taken);
        assert_eq!(host.answer(all), Some(Ok(Answer::Done)));
        assert!(!host.logged("without asking"));
    }
}

#[test]
fn a_link_without_a_cable_is_waited_for_five_seconds() {
    let mut host = asking(&["ge0"]);
    host.pass(Duration::from_hours(1));
    put_up(&mut host, "ge0");
    host.ifconfig("ge0 plumb 192.168.0.86");
    let first = host.begin(up("ge0"));
    let created = host.begin(Command::AddLogical {
        interface: "ge0".parse().unwrap(),
        address: address("192.168.0.87"),
    });
    host.pass(ms(4999));
    assert_eq!(host.answer(first), None);
    host.pass(ms(1));
    assert_eq!(host.answer(first), Some(Ok(Answer::Done)));
    assert!(host.answer(created).unwrap().is_ok());
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    let said = "Address 192.168.0.86 was brought up without asking other hosts: no link";
    assert!(host.logged(said));
    assert!(!host.logged("without asking"));
    // The next one is not waited for.
    let now = host.now;
    assert_eq!(host.ifconfig("ge0:1 up"), "");
    assert_eq!(host.now, now);
    assert!(host.logged("Address 192.168.0.87 was brought up without asking"));
}

#[test]
fn addresses_that_wait_for_the_same_link_are_told_of_together() {
    let mut host = asking(&["ge0"]);
    host.ifconfig("ge0 plumb 192.168.0.86");
    host.ifconfig("ge0 addif 192.168.0.87");
    put_up(&mut host, "ge0");
    for name in ["ge0", "ge0:1"] {
        let Command::SetFlag {
            logical,
            family,
            flag,
            on,
            ..
        } = up(name)
        else {
            unreachable!("it sets a flag");
        };
        let wait = false;
        host.ask(Command::SetFlag {
            logical,
            family,
            flag,
            on,
            wait,
        })
        .unwrap();
    }
    assert_eq!(host.ask(Command::AwaitChecks), Ok(Answer::Done));
    assert_eq!(host.holders("192.168.0.87"), ["ge0"]);
    assert!(host.logged(
        "Address 192.168.0.86 and 1 more were brought up without asking other hosts: no link"
    ));
    assert!(!host.logged("without asking"));
}

#[test]
fn another_member_that_runs_is_asked_on_at_once() {
    let mut host = asking(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb group g");
    host.ifconfig("ge1 plumb group g");
    put_up(&mut host, "ge0");
    let start = host.now;
    host.ifconfig("ge0 addif 192.168.0.86 up");
    let on: Vec<String> = asked(&host, start, "192.168.0.86")
        .into_iter()
        .map(|(_, on)| on)
        .collect();
    assert_eq!(on, ["ge1", "ge1", "ge1"]);
}

#[test]
fn a_device_that_comes_later_is_waited_for_too() {
    let mut host = asking(&[]);
    take(&mut host, "192.168.0.86");
    host.ifconfig("ge0 plumb 192.168.0.86 up");
    host.pass(Duration::from_mins(1));
    let mut link = host.new_link("ge0");
    (link.up, link.carrier) = (false, false);
    host.by_hand(|kernel| reference::plug(kernel, link));
    host.pass(Duration::from_secs(3));
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    host.carrier("ge0", true);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    assert!(conflicts(&host)[0].withheld);
}

#[test]
fn who_could_not_be_asked_is_before_an_address_that_the_kernel_refused_comes_up() {
    for is_taken in [false, true] {
        let mut host = asking(&[]);
        if is_taken {
            take(&mut host, "192.168.0.86");
        }
        host.ifconfig("ge0 plumb 192.168.0.86 up");
        host.refused.push("add address".to_owned());
        let mut link = host.new_link("ge0");
        link.carrier = false;
        host.by_hand(|kernel| reference::plug(kernel, link));
        host.pass(Duration::from_mins(1));
        assert!(host.logged("was brought up without asking other hosts: no link"));
        assert_eq!(host.holders("192.168.0.86"), [""; 0]);
        host.refused.clear();
        let start = host.now;
        host.carrier("ge0", true);
        host.pass(ms(10));
        assert_eq!(host.holders("192.168.0.86"), [""; 0]);
        host.pass(Duration::from_mins(1));
        assert_eq!(
            asked(&host, start, "192.168.0.86")[0],
            (0, "ge0".to_owned())
        );
        assert_eq!(host.holders("192.168.0.86").is_empty(), is_taken);
        assert_eq!(conflicts(&host).len(), usize::from(is_taken));
    }
}

#[test]
fn nobody_is_asked_on_a_member_that_is_not_plumbed_for_the_family() {
    let mut host = asking(&["ge0", "ge1"]);
    host.pass(Duration::from_mins(1));
    host.ifconfig("ge0 inet6 plumb group g up");
    host.ifconfig("ge1 plumb group g up");
    host.carrier("ge0", false);
    host.ifconfig("ge0 inet6 addif 2001:db8::86/64 up");
    host.pass(Duration::from_mins(1));
    assert_eq!(host.enquiries, []);
}

#[test]
fn who_is_behind_a_port_that_passes_nothing_at_first_is_asked_later() {
    let mut host = asking(&["ge0"]);
    take(&mut host, "192.168.0.86");
    host.silent.insert("ge0".to_owned());
    assert_eq!(host.ifconfig("ge0 plumb 192.168.0.86 up"), "");
    host.pass(Duration::from_secs(30));
    host.silent.clear();
    assert_eq!(conflicts(&host), []);
    host.pass(Duration::from_secs(6));
    let conflict = only_conflict(&host);
    assert!(!conflict.withheld);
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
}

#[test]
fn that_nobody_had_it_is_true_for_a_moment_only() {
    let mut host = asking(&["ge0"]);
    host.ifconfig("ge0 plumb 192.168.0.86");
    host.refused.push("192.168.0.86".to_owned());
    host.begin(Command::SetFlag {
        logical: "ge0".parse().unwrap(),
        family: crate::Family::Inet,
        flag: crate::Flags::UP,
        on: true,
        wait: false,
    });
    host.pass(Duration::from_mins(10));
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    host.enquiries.clear();
    host.refused.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert_eq!(host.enquiries.len(), 2);
}

#[test]
fn nothing_is_decided_before_what_came_in_time_was_heard() {
    let mut host = asking(&["ge0", "ge1"]);
    host.ifconfig("ge0 plumb 192.168.0.86");
    let id = host.begin(up("ge0"));
    host.pass(ms(119));
    // The daemon is late, and hears of something else first.
    host.now = host.now + ms(50);
    host.carrier("ge1", false);
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    host.gratuitous("192.168.0.86", RIVAL);
    host.pass(ms(10));
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    assert!(host.answer(id).unwrap().is_err());
}

#[test]
fn what_is_listened_to_and_asked_comes_behind_the_plan() {
    let host = lab1();
    let mut link = host.kernel.link(&"ge1".parse().unwrap()).unwrap().clone();
    link.carrier = false;
    let lost = Event::Kernel(vec![Change::Link(link)]);
    let actions = host.engine.clone().handle(host.now, lost);
    let first = |is_it: fn(&Action) -> bool| actions.iter().position(is_it).unwrap();
    let plan = first(|action| matches!(action, Action::Apply(_)));
    let listen = first(|action| matches!(action, Action::Listen(_)));
    assert!(plan < listen, "{actions:#?}");
}

#[test]
fn a_conflict_that_becomes_another_one_is_not_over() {
    let mut host = asking(&["ge0"]);
    take(&mut host, "192.168.0.86");
    host.ifconfig("ge0 plumb 192.168.0.86 up");
    let theirs = Operation::AddAddress(NewAddress {
        index: host.index("ge0"),
        address: address("192.168.0.86"),
        broadcast: None,
        label: None,
        deprecated: false,
        no_prefix_route: false,
        plain: None,
    });
    host.by_hand(|kernel| reference::carry_out(kernel, &theirs).unwrap());
    assert!(host.logged("Address 192.168.0.86 is in use by another host too, 8:0:20:1:2:3 on ge0"));
    assert!(!conflicts(&host)[0].withheld);
    // Nor is it over because nobody looks any more.
    host.configure(Settings {
        duplicate_address_detection: false,
        ..Settings::default()
    });
    assert_eq!(conflicts(&host), []);
    host.pass(Duration::from_mins(10));
    assert!(!host.logged("any more"), "{:?}", host.log);
}

#[test]
fn an_address_is_defended_when_it_is_there() {
    let mut host = lab1();
    take(&mut host, "192.168.0.88");
    host.gratuitous("192.168.0.88", RIVAL);
    host.pass(Duration::from_secs(1));
    // It is on two links for a moment, so that defending it is put off, and not longer each time.
    host.ifconfig("ge1 removeif 192.168.0.89");
    host.begin(Command::Offline {
        interface: "ge1".parse().unwrap(),
    });
    host.pass(Duration::from_secs(5));
    let defences = defended(&mut host, "192.168.0.88", Duration::from_mins(2));
    assert!(defences.len() >= 3, "{defences:?}");
}
