use std::path::Path;

use insta::assert_snapshot;
use ipmp_core::LogicalName;
use ipmp_core::snapshot::{Probing, TargetMode};

use super::*;
use crate::etc::Etc;
use crate::recorded::{Recorded, Staged, transcript};
use crate::sample::{lab1, lab1_failed, lab2, lab2_failed, logical, outage, probing, troubled};

fn status(daemon: &mut Recorded, line: &str, terminal: &Staged) -> String {
    let etc = Etc::below(Path::new("/nonexistent"));
    transcript(daemon, &etc, line, |words, environment, console| {
        run(words, terminal, environment, console)
    })
}

/// Lab 1 after a failover.
fn failed() -> Snapshot {
    Snapshot {
        outages: vec![outage()],
        ..lab1_failed()
    }
}

/// The same with IPv6, in addresses that are made of hardware addresses.
fn inet6_failed() -> Snapshot {
    let mut snapshot = failed();
    let ge1 = "ge1".parse().unwrap();
    let moved = Logical {
        home: LogicalName::new(ge1, 2),
        ..logical("ge0:4", "2001:db8:11:22:a8:20ff:fec0:ffed/64", 0x200_0843)
    };
    let [_, ge0, ge1] = snapshot.interfaces.as_mut_slice() else {
        unreachable!()
    };
    ge0.logicals.extend([
        logical("ge0", "fe80::a8:20ff:fec0:ffec/64", 0xa00_0843),
        logical("ge0:3", "2001:db8:11:22:a8:20ff:fec0:ffec/64", 0x200_0843),
        moved,
    ]);
    let local = logical("ge1", "fe80::a8:20ff:fec0:ffed/64", 0xa00_0843);
    ge1.logicals.push(local);
    snapshot
}

#[test]
fn screens() {
    for (name, snapshot) in [
        ("lab1", lab1()),
        ("lab1_after_ge1_failed", failed()),
        ("troubled", troubled()),
        ("lab2", lab2()),
        ("lab2_after_ge0_failed", lab2_failed()),
        ("inet6_after_ge1_failed", inet6_failed()),
        ("nothing", Snapshot::default()),
    ] {
        let mut daemon = Recorded::showing(snapshot);
        let text = status(&mut daemon, "", &Staged::pipe());
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert_snapshot!(name, text);
    }
}

/// Names as long as those of VLANs often are.
#[test]
fn what_follows_a_long_name_stands_in_line() {
    let mut snapshot = lab1();
    let long: InterfaceName = "enp0s31f6.1000".parse().unwrap();
    let ge1 = &mut snapshot.interfaces[2];
    ge1.name = long.clone();
    for logical in &mut ge1.logicals {
        logical.name.interface = long.clone();
        logical.home.interface = long.clone();
    }
    let text = status(&mut Recorded::showing(snapshot), "", &Staged::pipe());
    let column = |what: &str| -> Vec<usize> {
        let lines = text.split_inclusive('\n');
        lines.filter_map(|line| line.find(what)).collect()
    };
    for what in ["ok, link up", " 192.168.0.", " data", " test\n"] {
        let columns = column(what);
        assert!(columns.len() >= 2, "{what}: {text}");
        assert!(columns.iter().all(|at| *at == columns[0]), "{what}: {text}");
    }
}

/// It fails again and again, and works at present.
#[test]
fn who_is_held_back_is_told_apart_from_who_does_not_work() {
    let mut snapshot = failed();
    snapshot.interfaces[2].held_until = Some(ipmp_core::Time::from_millis(86_586_000));
    let text = status(&mut Recorded::showing(snapshot), "", &Staged::pipe());
    let line = "  ge1        failed, link up, probes ok, held back for 96 s\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn an_address_that_its_own_nic_refused_says_so() {
    let mut snapshot = failed();
    let ge1 = &mut snapshot.interfaces[2];
    (ge1.state, ge1.probe) = (InterfaceState::Ok, ProbeState::Ok);
    ge1.refused = Some("cannot add 192.168.0.88: Invalid argument".to_owned());
    let text = status(&mut Recorded::showing(snapshot), "", &Staged::pipe());
    assert!(text.contains("data, here as ge1 refused it\n"), "{text}");
}

/// Its only address is elsewhere.
#[test]
fn who_has_failed_over_is_not_said_to_have_its_addresses_down() {
    let mut snapshot = failed();
    let ge1 = &mut snapshot.interfaces[2];
    ge1.logicals
        .retain(|logical| logical.address.ip.is_unspecified());
    ge1.down = true;
    let text = status(&mut Recorded::showing(snapshot), "", &Staged::pipe());
    assert!(!text.contains("no address up"), "{text}");
}

#[test]
fn own_lateness_is_shown() {
    let mut snapshot = lab1();
    for (interface, missed) in snapshot.interfaces.iter_mut().zip([2, 3]) {
        interface.probing = vec![Probing {
            missed,
            void: 1,
            ..probing(TargetMode::Routes, "192.168.0.87", &["192.168.0.1"])
        }];
    }
    let line = "in.mpathd was late itself: 5 probes left out, 2 not counted\n";
    let printed = status(&mut Recorded::showing(snapshot), "", &Staged::pipe());
    assert!(printed.contains(line), "{printed}");
}

#[test]
fn json() {
    let snapshot = Snapshot {
        outages: vec![outage()],
        ..troubled()
    };
    let mut daemon = Recorded::showing(snapshot);
    assert_snapshot!(status(&mut daemon, "--json", &Staged::pipe()));
}

#[test]
fn usage() {
    let mut daemon = Recorded::default();
    assert_snapshot!(status(&mut daemon, "--help", &Staged::pipe()));
    assert!(status(&mut daemon, "x", &Staged::pipe()).ends_with("exit 1\n"));
}

#[test]
fn without_a_daemon() {
    let mut daemon = Recorded::showing(lab1());
    daemon.is_down = true;
    let printed = status(&mut daemon, "", &Staged::pipe());
    assert!(printed.starts_with(
        "in.mpathd is not running: nothing is watched\n\
         (start it: systemctl start ipmp, or in.mpathd)\n\
         group testgrp2: ok when last watched\n  \
         ge0        ok when last watched, link up\n"
    ));
    let printed = status(&mut daemon, "--json", &Staged::pipe());
    assert!(printed.contains("\"running\": false"));
}

#[test]
fn it_fits_into_a_terminal_however_many_addresses_there_are() {
    let mut snapshot = failed();
    for number in 2..120 {
        let name = format!("ge0:{number}");
        let address = format!("192.168.1.{number}/24");
        if let Some(ge0) = snapshot.interfaces.get_mut(1) {
            ge0.logicals.push(logical(&name, &address, 0x100_0843));
        }
    }
    let terminal = Staged {
        rows: [24].into(),
        waits: 0,
    };
    let mut daemon = Recorded::showing(snapshot);
    let text = status(&mut daemon, "", &terminal);
    assert!(text.lines().count() < 24, "{text}");
    assert!(text.contains("more address"), "{text}");
}

#[test]
fn it_is_no_wider_than_the_terminal() {
    let mut snapshot = troubled();
    let ge0 = &mut snapshot.interfaces[1];
    (ge0.standby, ge0.inactive, ge0.down, ge0.duplicate_mac) = (true, true, true, true);
    let mut moved = logical(
        "ge0:10",
        "2001:db8:1111:2222:3333:4444:5555:6666/64",
        0x100_0842,
    );
    moved.home = "ge1".parse().unwrap();
    moved.flags |= Flags::DUPLICATE;
    ge0.logicals.push(moved);
    let mut terminal = Staged::pipe();
    let wide = status(&mut Recorded::showing(snapshot.clone()), "", &terminal);
    assert!(wide.lines().any(|line| line.len() > 80), "{wide}");
    terminal.rows = [60].into();
    let text = status(&mut Recorded::showing(snapshot), "", &terminal);
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>(),
        wide.split_whitespace().collect::<Vec<_>>()
    );
    assert_snapshot!("on_a_terminal", text);
}
