//! Other hosts have our addresses: it is noticed, said, and not fought over.

use std::net::IpAddr;
use std::time::Duration;

use super::host::{Host, address};
use super::labs::LAB1;
use crate::kernel::LinkKind;
use crate::plan::{NewAddress, Operation};
use crate::snapshot::Conflict;
use crate::{
    Answer, Command, Event, Family, Flags, MacAddress, Record, Refusal, Settings, Time, reference,
};

pub(super) const RIVAL: MacAddress = MacAddress([8, 0, 0x20, 1, 2, 3]);

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A host that asks others.
pub(super) fn asking(names: &[&str]) -> Host {
    let mut host = Host::new(names);
    host.configure(Settings::default());
    host
}

pub(super) fn lab1() -> Host {
    let mut host = asking(&["ge0", "ge1"]);
    for line in [
        "ge0 plumb 192.168.0.86 group testgrp2 up",
        "ge0 addif 192.168.0.87 deprecated -failover up",
        "ge1 plumb 192.168.0.88 group testgrp2 up",
        "ge1 addif 192.168.0.89 deprecated -failover up",
    ] {
        assert!(!host.ifconfig(line).contains("in use"), "{line}");
    }
    host.pass(Duration::from_mins(1));
    host
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A host on the link takes an address.
pub(super) fn take(host: &mut Host, text: &str) {
    host.rivals.insert(ip(text), RIVAL);
}

pub(super) fn up(name: &str) -> Command {
    Command::SetFlag {
        logical: name.parse().unwrap(),
        family: Family::Inet,
        flag: Flags::UP,
        on: true,
        wait: true,
    }
}

/// The same by somebody who does not wait for others to be asked.
pub(super) fn unwaited(name: &str) -> Command {
    Command::SetFlag {
        logical: name.parse().unwrap(),
        family: Family::Inet,
        flag: Flags::UP,
        on: true,
        wait: false,
    }
}

/// When and where others were asked for an address, in milliseconds after `start`.
pub(super) fn asked(host: &Host, start: Time, text: &str) -> Vec<(u128, String)> {
    let asked = host.enquiries.iter().filter(|(.., on)| *on == ip(text));
    asked
        .map(|(at, name, _)| (at.since(start).as_millis(), name.clone()))
        .collect()
}

/// When an address was announced alone: what nothing but its defence does in these tests.
pub(super) fn defended(host: &mut Host, text: &str, duration: Duration) -> Vec<u64> {
    let start = host.now;
    let mut times = Vec::new();
    while host.now < start + duration {
        host.announced.clear();
        host.pass(ms(100));
        let mut announced = host.announced.iter();
        if announced.any(|announcement| announcement.addresses == [ip(text)]) {
            times.push(host.now.since(start).as_secs());
        }
    }
    times
}

pub(super) fn conflicts(host: &Host) -> Vec<Conflict> {
    host.engine.snapshot().conflicts
}

/// The conflict, of which there is one.
pub(super) fn only_conflict(host: &Host) -> Conflict {
    let mut all = conflicts(host);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Records of conflicts: address, withheld, and whether there is one.
pub(super) fn recorded(host: &Host) -> Vec<(String, bool, bool)> {
    let records = host.records.iter();
    records
        .filter_map(|record| match record {
            Record::Conflict {
                address,
                withheld,
                conflict,
                ..
            } => Some((address.to_string(), *withheld, *conflict)),
            _ => None,
        })
        .collect()
}

#[test]
fn others_are_asked_three_times_before_an_address_is_brought_up() {
    let mut host = asking(&["ge0"]);
    host.ifconfig("ge0 plumb 192.168.0.86");
    let start = host.now;
    let id = host.begin(up("ge0"));
    host.pass(ms(119));
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    assert_eq!(host.list(), "ge0 1000842 192.168.0.86\n");
    assert_eq!(host.answer(id), None);
    host.pass(ms(1));
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert_eq!(host.answer(id), Some(Ok(Answer::Done)));
    assert_eq!(host.list(), "ge0 1000843 192.168.0.86\n");
    let on_ge0 = |at| (at, "ge0".to_owned());
    let times = [on_ge0(0), on_ge0(40), on_ge0(80)];
    assert_eq!(asked(&host, start, "192.168.0.86"), times);
    // They are asked once more when it is there, and that is all.
    host.pass(Duration::from_hours(1));
    let times = [on_ge0(0), on_ge0(40), on_ge0(80), on_ge0(35_120)];
    assert_eq!(asked(&host, start, "192.168.0.86"), times);
    assert_eq!(conflicts(&host), []);
}

#[test]
fn an_address_that_another_host_has_is_not_brought_up_until_it_is_free() {
    let mut host = asking(&["ge0", "ge1"]);
    take(&mut host, "192.168.0.86");
    host.ifconfig("ge0 plumb 192.168.0.86 group g");
    host.ifconfig("ge1 plumb 192.168.0.88 group g up");
    let begun = host.now;
    assert_eq!(
        host.ifconfig("ge0 up"),
        "up: 192.168.0.86 is in use by 8:0:20:1:2:3 on ge0; it comes up when that ends"
    );
    assert!(host.now.since(begun) < ms(120), "the first answer decides");
    assert_eq!(
        host.list(),
        "ge0 4001000842 192.168.0.86\nge1 1000843 192.168.0.88\n"
    );
    let said = "Address 192.168.0.86 is in use by another host, 8:0:20:1:2:3 on ge0; \
                it is not brought up";
    assert!(host.logged(said));
    let conflict = only_conflict(&host);
    assert!(conflict.withheld && conflict.mac == RIVAL);
    assert_eq!(conflict.again, Some(begun + Duration::from_secs(10)));

    // It is tried again after 10 s, 20 s ..., 5 minutes, and said once.
    host.enquiries.clear();
    host.pass(Duration::from_mins(20));
    let tries = asked(&host, begun, "192.168.0.86");
    let tries: Vec<u128> = tries.iter().map(|(at, _)| at / 1000).collect();
    assert_eq!(tries, [10, 30, 70, 150, 310, 610, 910]);
    assert!(!host.logged(said));
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);

    // The other members of its group work as ever.
    host.carrier("ge0", false);
    host.pass(Duration::from_mins(5));
    assert_eq!(host.holders("192.168.0.86"), [""; 0]);
    host.carrier("ge0", true);
    host.pass(Duration::from_mins(1));

    host.rivals.clear();
    host.pass(Duration::from_mins(6));
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert!(
        host.logged(
            "Address 192.168.0.86 is not in use by another host any more; it is brought up"
        )
    );
    assert_eq!(
        host.list(),
        "ge0 1000843 192.168.0.86\nge1 1000843 192.168.0.88\n"
    );
    let of = |conflict| ("192.168.0.86".to_owned(), true, conflict);
    assert_eq!(recorded(&host), [of(true), of(false)]);
    assert_eq!(conflicts(&host), []);
}

#[test]
fn a_command_that_names_it_and_new_settings_have_it_tried_again_at_once() {
    let mut host = asking(&["ge0"]);
    take(&mut host, "192.168.0.86");
    host.ifconfig("ge0 plumb 192.168.0.86");
    let refused = host.ifconfig("ge0 up");
    assert!(refused.starts_with("up: 192.168.0.86 is in use by"));
    assert_eq!(host.ifconfig("ge0 up"), refused);
    host.rivals.clear();
    assert_eq!(host.ifconfig("ge0 up"), "");
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);

    host.ifconfig("ge0 down");
    take(&mut host, "192.168.0.86");
    assert_eq!(host.ifconfig("ge0 up"), refused);
    host.rivals.clear();
    host.configure(host.settings.clone());
    host.pass(ms(130));
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);

    // Another address may be free.
    host.ifconfig("ge0 down");
    take(&mut host, "192.168.0.86");
    assert_eq!(host.ifconfig("ge0 up"), refused);
    assert_eq!(host.ifconfig("ge0 192.168.0.90"), "");
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
    assert_eq!(conflicts(&host), []);
    take(&mut host, "192.168.0.91");
    let refused = host.ifconfig("ge0 192.168.0.91");
    assert!(refused.contains("192.168.0.91 is in use by 8:0:20:1:2:3"));
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
}

#[test]
fn a_test_address_that_another_host_has_is_not_probed_from() {
    let mut host = asking(&["ge0", "ge1"]);
    take(&mut host, "192.168.0.87");
    for line in [
        "ge0 plumb 192.168.0.86 group g up",
        "ge0 addif 192.168.0.87 deprecated -failover up",
        "ge1 plumb 192.168.0.88 group g up",
    ] {
        host.ifconfig(line);
    }
    host.pass(Duration::from_mins(1));
    let test_address = |host: &Host| {
        let snapshot = host.engine.snapshot();
        let mut interfaces = snapshot.interfaces.into_iter();
        let ge0 = interfaces.find(|i| i.name.as_str() == "ge0").unwrap();
        ge0.probing.iter().find_map(|probing| probing.test_address)
    };
    assert_eq!(test_address(&host), None);
    assert!(host.list().contains("ge0:1 4009040842 192.168.0.87"));
    host.rivals.clear();
    host.pass(Duration::from_mins(6));
    assert_eq!(test_address(&host), Some(ip("192.168.0.87")));
    // Out of service and back it is in service again at once.
    host.ifconfig("ge0 offline");
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.87"), [""; 0]);
    let before = host.now;
    host.ifconfig("ge0 online");
    assert_eq!(host.now, before);
    assert_eq!(host.holders("192.168.0.87"), ["ge0"]);
}

#[test]
fn what_the_kernel_holds_is_in_service() {
    let mut host = lab1();
    take(&mut host, "192.168.0.86");
    host.operations.clear();
    host.restart();
    assert_eq!(host.operations, [""; 0]);
    assert_eq!(host.list(), LAB1);
    host.pass(Duration::from_secs(2));
    assert_eq!(host.operations, [""; 0]);
    // Others are asked all the same.
    let conflict = only_conflict(&host);
    assert_eq!(conflict.address, ip("192.168.0.86"));
    assert!(!conflict.withheld);
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
}

#[test]
fn a_daemon_that_is_started_anew_does_not_bring_up_what_another_host_has() {
    let mut host = lab1();
    take(&mut host, "192.168.0.90");
    host.ifconfig("ge0 addif 192.168.0.90 up");
    host.restart();
    host.pass(Duration::from_secs(5));
    assert_eq!(host.holders("192.168.0.90"), [""; 0]);
    assert!(conflicts(&host)[0].withheld);
}

#[test]
fn failover_and_failback_wait_for_nothing() {
    let mut host = lab1();
    let start = host.now;
    host.enquiries.clear();
    host.carrier("ge1", false);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    host.pass(Duration::from_secs(5));
    let asked_on = |host: &Host, name: &str| {
        let mut asked = asked(host, start, "192.168.0.88");
        asked.retain(|(_, on)| on == name);
        asked.into_iter().map(|(at, _)| at).collect::<Vec<_>>()
    };
    assert_eq!(asked_on(&host, "ge0"), [0, 1000]);
    host.pass(Duration::from_mins(1) - Duration::from_secs(5));
    host.carrier("ge1", true);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge1"]);
    let [first, second] = asked_on(&host, "ge1")[..] else {
        panic!("{:?}", host.enquiries);
    };
    assert!(
        (1000..=1010).contains(&(second - first)),
        "{second} {first}"
    );
    assert_eq!(conflicts(&host), []);
}

#[test]
fn others_are_not_asked_while_another_link_of_ours_would_answer() {
    let mut host = lab1();
    host.enquiries.clear();
    // The last address of a working link lingers there for a while after it moved.
    host.ifconfig("ge1 removeif 192.168.0.89");
    host.begin(Command::Offline {
        interface: "ge1".parse().unwrap(),
    });
    assert_eq!(host.holders("192.168.0.88"), ["ge0", "ge1"]);
    assert_eq!(host.enquiries, []);
    host.pass(Duration::from_secs(5));
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    assert_eq!(host.enquiries.len(), 2);
}

#[test]
fn an_address_in_service_stays_and_is_defended_seldom() {
    let mut host = lab1();
    host.log.clear();
    host.records.clear();
    take(&mut host, "192.168.0.86");
    host.gratuitous("192.168.0.86", RIVAL);
    assert_eq!(host.list(), LAB1, "neither down nor DUPLICATE");
    let said = "Address 192.168.0.86 is in use by another host too, 8:0:20:1:2:3 on ge0";
    assert!(host.logged(said));
    assert_eq!(
        host.announced.last().unwrap().addresses,
        [ip("192.168.0.86")]
    );

    let defences = defended(&mut host, "192.168.0.86", Duration::from_mins(25));
    // Others are asked every half minute, so that it is known that it lasts.
    assert_eq!(defences, [30, 60, 100, 180, 340, 640, 940, 1240]);
    assert!(!host.logged(said));
    assert_eq!(host.list(), LAB1);

    // A flood of claims changes nothing.
    let before = host.now;
    let operations = host.operations.len();
    for i in 0..5000_u32 {
        let [.., high, low] = i.to_be_bytes();
        host.gratuitous("192.168.0.86", MacAddress([2, 0, 0, 0, high, low]));
        host.pass(ms(1));
    }
    assert!(host.now.since(before) >= Duration::from_secs(5));
    assert_eq!(host.operations.len(), operations);
    assert_eq!(conflicts(&host).len(), 1);
    assert_eq!(host.log, [""; 0]);

    host.rivals.clear();
    host.pass(Duration::from_secs(59));
    assert_eq!(conflicts(&host).len(), 1);
    host.pass(Duration::from_secs(2));
    assert_eq!(conflicts(&host), []);
    assert!(host.logged("Address 192.168.0.86 is not in use by another host any more"));
    let of = |conflict| ("192.168.0.86".to_owned(), false, conflict);
    assert_eq!(recorded(&host), [of(true), of(false)]);
    host.enquiries.clear();
    host.pass(Duration::from_hours(1));
    assert_eq!(host.enquiries, []);
}

#[test]
fn what_our_own_interfaces_say_is_no_claim() {
    let mut host = lab1();
    let own = host.kernel.link(&"ge1".parse().unwrap()).unwrap().mac;
    host.gratuitous("192.168.0.86", own.unwrap());
    host.gratuitous("192.168.0.86", MacAddress::BROADCAST);
    assert_eq!(conflicts(&host), []);
    host.gratuitous("192.168.0.77", RIVAL);
    assert_eq!(conflicts(&host), []);
    host.gratuitous("192.168.0.86", RIVAL);
    assert_eq!(conflicts(&host).len(), 1);
}

#[test]
fn where_no_link_runs_nobody_is_asked_until_one_does() {
    let mut host = asking(&["ge0"]);
    take(&mut host, "192.168.0.86");
    host.pass(Duration::from_secs(5));
    host.carrier("ge0", false);
    let before = host.now;
    assert_eq!(host.ifconfig("ge0 plumb 192.168.0.86 up"), "");
    assert_eq!(host.now, before);
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.enquiries, []);
    host.carrier("ge0", true);
    host.pass(ms(10));
    assert_eq!(host.enquiries.len(), 1);
    let conflict = only_conflict(&host);
    assert!(!conflict.withheld);
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
}

#[test]
fn a_link_that_goes_leaves_the_asking_to_another_member() {
    let mut host = lab1();
    host.ifconfig("ge0 addif 192.168.0.90");
    host.enquiries.clear();
    let start = host.now;
    let id = host.begin(up("ge0:2"));
    host.pass(ms(50));
    host.carrier("ge0", false);
    host.pass(ms(119));
    assert_eq!(host.answer(id), None);
    host.pass(ms(11));
    assert_eq!(host.answer(id), Some(Ok(Answer::Done)));
    let asked = asked(&host, start, "192.168.0.90");
    let on: Vec<&str> = asked.iter().map(|(_, on)| on.as_str()).collect();
    assert_eq!(on, ["ge0", "ge0", "ge1", "ge1", "ge1"]);
    assert_eq!(host.holders("192.168.0.90"), ["ge1"]);
}

#[test]
fn a_host_that_can_send_nothing_serves_all_the_same() {
    let mut host = asking(&["ge0"]);
    host.is_mute = true;
    let before = host.now;
    assert_eq!(host.ifconfig("ge0 plumb 192.168.0.86 up"), "");
    assert!((ms(300)..ms(500)).contains(&host.now.since(before)));
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    let said = "Address 192.168.0.86 was brought up without asking other hosts: asking failed";
    assert!(host.logged(said));
    host.pass(Duration::from_mins(1));
    assert_eq!(host.enquiries, []);
    host.is_mute = false;
    host.pass(Duration::from_mins(1));
    assert_eq!(host.enquiries.len(), 2);
}

#[test]
fn only_links_that_have_others_are_asked() {
    let mut host = asking(&["ppp0"]);
    let mut link = host.kernel.link(&"ppp0".parse().unwrap()).unwrap().clone();
    link.kind = LinkKind::Other;
    host.change(crate::kernel::Change::Link(link));
    host.ifconfig("ppp0 plumb 192.168.0.86 up");
    host.ifconfig("lo addif 10.0.0.1 up");
    assert_eq!(host.holders("192.168.0.86"), ["ppp0"]);
    assert_eq!(host.holders("10.0.0.1"), ["lo"]);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.enquiries, []);
    assert!(host.listening.is_empty());
}

#[test]
fn inet6_is_asked_for_too_and_the_link_local_address_is_the_kernels() {
    let mut host = asking(&["ge0"]);
    take(&mut host, "2001:db8::86");
    host.ifconfig("ge0 inet6 plumb up");
    let said = host.ifconfig("ge0 inet6 addif 2001:db8::86/64 up");
    assert!(
        said.contains("2001:db8::86 is in use by 8:0:20:1:2:3 on ge0"),
        "{said}"
    );
    assert_eq!(host.holders("2001:db8::86"), [""; 0]);
    assert!(host.listening.is_empty(), "{:?}", host.listening);
    host.rivals.clear();
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("2001:db8::86"), ["ge0"]);
}

#[test]
fn what_is_taken_away_is_forgotten() {
    for line in ["ge0:2 down", "ge0 removeif 192.168.0.90", "ge0 unplumb"] {
        for is_taken in [false, true] {
            let mut host = lab1();
            if is_taken {
                take(&mut host, "192.168.0.90");
            }
            host.ifconfig("ge0 addif 192.168.0.90 up");
            if !is_taken {
                host.gratuitous("192.168.0.90", RIVAL);
            }
            assert_eq!(conflicts(&host).len(), 1);
            assert_eq!(host.ifconfig(line), "", "{line}");
            assert_eq!(conflicts(&host), [], "{line}");
            let mut listening = host.listening.iter();
            assert!(listening.all(|(_, on)| *on != ip("192.168.0.90")));
            host.enquiries.clear();
            host.log.clear();
            host.pass(Duration::from_hours(1));
            assert_eq!(host.enquiries, [], "{line}");
            assert_eq!(host.log, [""; 0]);
        }
    }
}

#[test]
fn teardown_asks_nobody_and_brings_nothing_up() {
    let mut host = lab1();
    take(&mut host, "192.168.0.90");
    host.ifconfig("ge0 addif 192.168.0.90 up");
    host.enquiries.clear();
    assert_eq!(host.ask(Command::Teardown), Ok(Answer::Done));
    host.pass(Duration::from_mins(1));
    assert!(host.engine.is_over());
    assert_eq!(host.holders("192.168.0.90"), [""; 0]);
    assert_eq!(host.holders("192.168.0.86"), ["ge0"]);
    assert_eq!(host.enquiries, []);
    assert!(host.listening.is_empty());
}

#[test]
fn switched_off_nothing_is_asked_and_nothing_withheld() {
    let mut host = lab1();
    take(&mut host, "192.168.0.90");
    host.ifconfig("ge0 addif 192.168.0.90 up");
    host.gratuitous("192.168.0.86", RIVAL);
    assert_eq!(conflicts(&host).len(), 2);
    host.configure(Settings {
        duplicate_address_detection: false,
        ..Settings::default()
    });
    assert_eq!(conflicts(&host), []);
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
    assert!(host.listening.is_empty());
    host.enquiries.clear();
    host.carrier("ge0", false);
    host.pass(Duration::from_hours(1));
    assert_eq!(host.enquiries, []);

    host.configure(Settings::default());
    assert_eq!(host.holders("192.168.0.86"), ["ge1"]);
    host.pass(Duration::from_secs(2));
    assert_eq!(conflicts(&host).len(), 1);
}

#[test]
fn everything_else_goes_on_while_a_command_waits() {
    let mut host = lab1();
    host.ifconfig("ge0 addif 192.168.0.90");
    let id = host.begin(up("ge0:2"));
    let next = host.begin(Command::SetMetric {
        logical: "ge0:1".parse().unwrap(),
        family: Family::Inet,
        metric: 1,
    });
    host.pass(ms(30));
    host.refused.push("192.168.0.88/24 on link 2".to_owned());
    host.carrier("ge1", false);
    host.refused.clear();
    host.pass(ms(50));
    assert_eq!(
        host.answer(id),
        None,
        "what was refused was not asked for by it"
    );
    host.pass(ms(500));
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    assert_eq!(host.answer(id), Some(Ok(Answer::Done)));
    assert_eq!(host.answer(next), Some(Ok(Answer::Done)));
    assert_eq!(host.holders("192.168.0.90"), ["ge0"]);
}

#[test]
fn what_the_kernel_refuses_when_it_is_free_refuses_the_command() {
    let mut host = lab1();
    host.refused.push("192.168.0.90".to_owned());
    host.ifconfig("ge0 addif 192.168.0.90");
    for _ in 0..3 {
        assert_eq!(host.ifconfig("ge0:2 up"), "up: refused");
    }
    host.enquiries.clear();
    host.pass(Duration::from_hours(1));
    assert_eq!(host.enquiries, []);
    host.refused.clear();
    assert_eq!(host.ifconfig("ge0:2 up"), "");
}

#[test]
fn who_brings_many_up_waits_once() {
    let mut host = asking(&["ge0"]);
    host.ifconfig("ge0 plumb 10.0.0.1 up");
    host.ifconfig("ge0 addif 10.0.0.2");
    let start = host.now;
    let mut numbers = Vec::new();
    for i in 2..=200_u32 {
        let created = host.ask(Command::AddLogical {
            interface: "ge0".parse().unwrap(),
            address: address(&format!("10.1.0.{i}")),
        });
        let Ok(Answer::Created(logical)) = created else {
            panic!("{created:?}");
        };
        numbers.push(host.begin(unwaited(&logical.to_string())));
    }
    take(&mut host, "10.1.0.7");
    assert_eq!(host.now, start);
    for id in numbers {
        assert_eq!(host.answer(id), Some(Ok(Answer::Done)));
    }
    assert_eq!(host.holders("10.1.0.6"), [""; 0]);
    assert_eq!(host.ask(Command::AwaitChecks), Ok(Answer::Done));
    assert_eq!(host.now.since(start), ms(120));
    assert_eq!(host.holders("10.1.0.6"), ["ge0"]);
    let taken: Vec<IpAddr> = conflicts(&host).iter().map(|c| c.address).collect();
    assert_eq!(taken, [ip("10.1.0.7")]);
    // All that became free did so together.
    let plans = host.announced.iter().filter(|a| a.addresses.len() > 100);
    assert!(plans.count() >= 1);
    assert_eq!(host.ask(Command::AwaitChecks), Ok(Answer::Done));
    assert_eq!(host.now.since(start), ms(120));
}

#[test]
fn what_another_hand_puts_into_place_is_in_service() {
    let mut host = asking(&["ge0"]);
    take(&mut host, "192.168.0.86");
    host.ifconfig("ge0 plumb 192.168.0.86 up");
    let index = host.index("ge0");
    let theirs = Operation::AddAddress(NewAddress {
        index,
        address: address("192.168.0.86"),
        broadcast: None,
        label: None,
        deprecated: false,
        no_prefix_route: false,
        plain: None,
    });
    host.by_hand(|kernel| reference::carry_out(kernel, &theirs).unwrap());
    let conflict = only_conflict(&host);
    assert!(!conflict.withheld);
    assert!(host.list().starts_with("ge0 1000843 192.168.0.86"));
}

#[test]
fn a_recording_from_before_is_one_of_a_host_that_asks_nobody() {
    let mut written = serde_json::to_value(Settings::default()).unwrap();
    let known = written.as_object_mut().unwrap();
    assert!(known.remove("duplicate_address_detection").is_some());
    let settings: Settings = serde_json::from_value(written).unwrap();
    assert!(!settings.duplicate_address_detection);
}

#[test]
fn events_and_refusals_can_be_written_down() {
    let events = [
        Event::Enquired { left: Vec::new() },
        Event::Claims(vec![crate::Claim {
            index: 2,
            ip: ip("2001:db8::1"),
            mac: RIVAL,
            received: Time::from_millis(7),
        }]),
        Event::Command {
            id: 1,
            command: up("ge0"),
        },
    ];
    for event in events {
        let text = serde_json::to_string(&event).unwrap();
        assert!(!text.contains("wait"), "as it was: {text}");
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
    for command in [unwaited("ge0"), Command::AwaitChecks] {
        let text = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
    }
    for kept in [None, Some(ip("192.168.0.90"))] {
        let refusal = Refusal::Taken {
            address: ip("192.168.0.86"),
            mac: RIVAL,
            interface: "ge0".parse().unwrap(),
            kept,
        };
        let text = serde_json::to_string(&refusal).unwrap();
        assert_eq!(text.contains("kept"), kept.is_some());
        assert_eq!(serde_json::from_str::<Refusal>(&text).unwrap(), refusal);
    }
}

#[test]
fn what_a_daemon_that_was_killed_left_elsewhere_is_in_service() {
    let mut host = asking(&["ge0", "ge1", "ge2"]);
    for line in [
        "ge0 plumb 192.168.0.86 group g up",
        "ge1 plumb 192.168.0.88 group g up",
        "ge2 plumb 192.168.0.90 group g up",
    ] {
        assert_eq!(host.ifconfig(line), "");
    }
    host.pass(Duration::from_mins(1));
    host.carrier("ge1", false);
    assert_eq!(host.holders("192.168.0.88"), ["ge0"]);
    // That ge0 is to leave the group is saved, and nothing of what follows is done.
    host.killed_after = Some(0);
    host.ifconfig("ge0 group none");
    assert!(host.is_dead);
    host.restart();
    assert_eq!(host.lost, [""; 0]);
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.88"), ["ge2"]);
}
