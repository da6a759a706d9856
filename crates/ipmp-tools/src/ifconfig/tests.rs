//! Words -> commands, as tables; then what is printed.

use std::fmt::Write;
use std::fs;

use ipmp_core::{Answer, Command, Flags, Refusal};

use super::*;
use crate::daemon::Failure;
use crate::etc::Etc;
use crate::recorded::{self, Recorded, refused};
use crate::sample::{lab1, lab1_failed, lab2_failed};

fn etc() -> (tempfile::TempDir, Etc) {
    let root = tempfile::tempdir().unwrap();
    let etc = Etc::below(root.path());
    fs::create_dir(etc.directory()).unwrap();
    fs::write(etc.path("hosts"), "192.168.0.86 host1\nfe80::1 host1\n").unwrap();
    fs::write(etc.path("netmasks"), "172.20.0.0 255.255.255.0\n").unwrap();
    (root, etc)
}

/// A command in few words.
fn brief(command: &Command) -> String {
    let on = |on: &bool| if *on { "+" } else { "-" };
    match command {
        Command::AwaitChecks => "await checks".to_owned(),
        Command::Plumb {
            logical,
            family,
            absent,
        } => {
            format!(
                "plumb {logical} {family}{}",
                if *absent { " absent" } else { "" }
            )
        }
        Command::Unplumb { logical, family } => format!("unplumb {logical} {family}"),
        Command::SetAddress { logical, address } => format!("address {logical} {address}"),
        Command::SetPrefix {
            logical, prefix, ..
        } => format!("prefix {logical} /{prefix}"),
        Command::SetBroadcast {
            logical,
            broadcast: None,
        } => format!("broadcast {logical} +"),
        Command::SetBroadcast {
            logical,
            broadcast: Some(to),
        } => {
            format!("broadcast {logical} {to}")
        }
        Command::AddLogical { interface, address } => format!("add {interface} {address}"),
        Command::RemoveAddress { interface, address } => format!("remove {interface} {address}"),
        Command::SetFlag {
            logical,
            family,
            flag,
            on: set,
            wait,
        } => {
            let (_, name) = Flags::NAMES
                .iter()
                .find(|(known, _)| known == flag)
                .unwrap();
            let family = if *family == Family::Inet6 {
                " IPv6"
            } else {
                ""
            };
            let later = if *wait { "" } else { " later" };
            format!("{}{name} {logical}{family}{later}", on(set))
        }
        Command::SetGroup {
            interface,
            group: None,
        } => format!("group {interface} none"),
        Command::SetGroup {
            interface,
            group: Some(group),
        } => {
            format!("group {interface} {group}")
        }
        Command::SetStandby { interface, on: set } => format!("{}standby {interface}", on(set)),
        Command::SetFailed { interface, on: set } => format!("{}failed {interface}", on(set)),
        Command::SetMetric {
            logical, metric, ..
        } => format!("metric {logical} {metric}"),
        Command::SetMtu { interface, mtu } => format!("mtu {interface} {mtu}"),
        Command::SetMac { interface, mac } => format!("mac {interface} {mac}"),
        Command::SetLocalMac { local } => format!("local-mac {local:?}"),
        Command::Offline { interface } => format!("offline {interface}"),
        Command::Online { interface } => format!("online {interface}"),
        Command::Teardown => "teardown".to_owned(),
        Command::Move { address, interface } => format!("move {address} to {interface}"),
    }
}

/// Types `line`; `""` in it is an empty word.
fn typed(daemon: &mut Recorded, etc: &Etc, line: &str) -> String {
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| if word == "\"\"" { "" } else { word }.to_owned())
        .collect();
    let printed = recorded::run(daemon, etc, &words, run);
    let mut text = String::new();
    for command in daemon.commands.drain(..) {
        let _ = writeln!(text, "> {}", brief(&command));
    }
    text + &printed
}

fn check(table: &[(&str, &str)]) {
    let (_root, etc) = etc();
    for (line, expected) in table {
        let mut daemon = Recorded::default();
        assert_eq!(typed(&mut daemon, &etc, line), *expected, "ifconfig {line}");
    }
}

#[test]
fn lines_of_the_labs() {
    check(&[
        ("ge0 unplumb", "> unplumb ge0 IPv4\n"),
        (
            "ge0 plumb 192.168.0.86 group testgrp2 up",
            "> plumb ge0 IPv4\n> address ge0 192.168.0.86/24\n> group ge0 testgrp2\n> +UP ge0\n",
        ),
        (
            "ge0 addif 192.168.0.87 deprecated -failover up",
            "> add ge0 192.168.0.87/24\n> +DEPRECATED ge0:1\n> +NOFAILOVER ge0:1\n> +UP ge0:1\n\
             Created new logical interface ge0:1\n",
        ),
        (
            "ge1 plumb 192.168.0.88 group testgrp2 deprecated -failover standby up",
            "> plumb ge1 IPv4\n> address ge1 192.168.0.88/24\n> group ge1 testgrp2\n\
             > +DEPRECATED ge1\n> +NOFAILOVER ge1\n> +standby ge1\n> +UP ge1\n",
        ),
        (
            "hme0 192.168.10.215 broadcast + netmask + up group test \
             addif 192.168.10.216 -failover deprecated netmask + broadcast + up",
            "> address hme0 192.168.10.215/24\n> broadcast hme0 +\n> +UP hme0\n\
             > group hme0 test\n> add hme0 192.168.10.216/24\n> +NOFAILOVER hme0:1\n\
             > +DEPRECATED hme0:1\n> broadcast hme0:1 +\n> +UP hme0:1\n\
             Created new logical interface hme0:1\n",
        ),
    ]);
}

#[test]
fn words_one_by_one() {
    check(&[
        ("ge0:3 plumb", "> plumb ge0:3 IPv4\n"),
        ("ge0 inet6 plumb up", "> plumb ge0 IPv6\n> +UP ge0 IPv6\n"),
        ("lo0 set 127.0.0.1", "> address lo 127.0.0.1/8\n"),
        ("ge0 group \"\"", "> group ge0 none\n"),
        (
            "ge0:1 -failover -deprecated",
            "> +NOFAILOVER ge0:1\n> -DEPRECATED ge0:1\n",
        ),
        ("ge0:1 failover down", "> -NOFAILOVER ge0:1\n> -UP ge0:1\n"),
        (
            "ge0:1 -standby failed -failed",
            "> -standby ge0\n> +failed ge0\n> -failed ge0\n",
        ),
        ("ge0 removeif 192.168.0.87", "> remove ge0 192.168.0.87\n"),
        ("ge0 metric 3 mtu 9000", "> metric ge0 3\n> mtu ge0 9000\n"),
        ("ge0 ether 08:00:20:00:00:01", "> mac ge0 8:0:20:0:0:1\n"),
        (
            "ge0 private -private -local local -xmit xmit router -nud nud",
            "> +PRIVATE ge0\n> -PRIVATE ge0\n> +NOLOCAL ge0\n> -NOLOCAL ge0\n> +NOXMIT ge0\n\
             > -NOXMIT ge0\n> +ROUTER ge0\n> +NONUD ge0\n> -NONUD ge0\n",
        ),
        ("ge0 arp", ""),
        ("ge0 host1 up", "> address ge0 192.168.0.86/24\n> +UP ge0\n"),
        (
            "ge0 inet6 addif 2001:db8::5 up",
            "> add ge0 2001:db8::5/64\n> +UP ge0:1 IPv6\nCreated new logical interface ge0:1\n",
        ),
        ("ge0 inet6 set fe80::5/10", "> address ge0 fe80::5/64\n"),
        // Each addif starts from the interface again.
        (
            "ge0 addif 10.0.0.2/24 up addif 10.0.0.3/24 up",
            "> add ge0 10.0.0.2/24\n> +UP ge0:1\n> add ge0 10.0.0.3/24\n> +UP ge0:2\n\
             Created new logical interface ge0:1\nCreated new logical interface ge0:2\n",
        ),
    ]);
}

#[test]
fn netmasks_go_with_their_address() {
    check(&[
        (
            "ge0 10.0.0.1 netmask 255.255.255.0 up",
            "> address ge0 10.0.0.1/24\n> prefix ge0 /24\n> +UP ge0\n",
        ),
        (
            "ge0 netmask 0xffff0000 10.0.0.1",
            "> prefix ge0 /16\n> address ge0 10.0.0.1/16\n",
        ),
        (
            "ge0 10.0.0.1/30 netmask 255.255.255.0",
            "> address ge0 10.0.0.1/30\n> prefix ge0 /24\n",
        ),
        ("ge0 10.0.0.1 up", "> address ge0 10.0.0.1/8\n> +UP ge0\n"),
        // The last one on the line counts for the first address, its own for each addif.
        (
            "ge0 10.0.0.1 addif 10.0.0.2 netmask 255.255.255.0",
            "> address ge0 10.0.0.1/24\n> add ge0 10.0.0.2/24\n> prefix ge0:1 /24\n\
             Created new logical interface ge0:1\n",
        ),
        (
            "ge0 10.0.0.1 netmask 255.255.0.0 addif 10.0.0.2 netmask 255.255.255.0",
            "> address ge0 10.0.0.1/16\n> prefix ge0 /16\n> add ge0 10.0.0.2/24\n\
             > prefix ge0:1 /24\nCreated new logical interface ge0:1\n",
        ),
        // A group may be called netmask.
        (
            "ge0 group netmask 10.0.0.1",
            "> group ge0 netmask\n> address ge0 10.0.0.1/8\n",
        ),
        (
            "ge0 172.20.2.3 netmask + broadcast + up",
            "> address ge0 172.20.2.3/24\n> prefix ge0 /24\n> broadcast ge0 +\n> +UP ge0\n\
             Setting netmask of ge0 to 255.255.255.0\n",
        ),
        ("ge0 172.16.0.1 netmask +", "> address ge0 172.16.0.1/16\n"),
        ("ge0 netmask +", ""),
        ("ge0 broadcast 10.0.0.255", "> broadcast ge0 10.0.0.255\n"),
    ]);
}

#[test]
fn errors_are_one_line_and_leave_what_was_done() {
    check(&[
        (
            "ge0 plumb nonsense up",
            "> plumb ge0 IPv4\n\
             2> ifconfig: nonsense: ge0: 'nonsense' is neither a subcommand nor an address\nexit 1\n",
        ),
        (
            "ge1 deprecated - failover",
            "> +DEPRECATED ge1\n2> ifconfig: -: ge1: '-' is neither a subcommand nor an address; \
             did you mean '-failover'?\nexit 1\n",
        ),
        (
            "ge0 netmask",
            "2> ifconfig: netmask: ge0: no argument for netmask\nexit 1\n",
        ),
        (
            "ge0 group",
            "2> ifconfig: group: ge0: no argument for group\nexit 1\n",
        ),
        (
            "ge0 netmask 255.0.255.0",
            "2> ifconfig: netmask: ge0: '255.0.255.0' is not a netmask\nexit 1\n",
        ),
        (
            "ge0 group aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "2> ifconfig: group: ge0: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa': \
             name longer than 31 characters\nexit 1\n",
        ),
        (
            "ge0:1 group web",
            "2> ifconfig: group: ge0:1: only the interface itself (unit 0) takes this\nexit 1\n",
        ),
        (
            "ge0:1 addif 10.0.0.1",
            "2> ifconfig: addif: ge0:1: only the interface itself (unit 0) takes this\nexit 1\n",
        ),
        (
            "ge0:0 unplumb",
            "2> ifconfig: unplumb: ge0: can't remove interface\nexit 1\n",
        ),
        (
            "ge0 inet6 broadcast +",
            "2> ifconfig: broadcast: ge0: Operation broadcast not supported for inet6\nexit 1\n",
        ),
        (
            "ge0 2001:db8::1",
            "2> ifconfig: 2001:db8::1: ge0: is an IPv6 address \
             (say inet6 after the interface)\nexit 1\n",
        ),
        (
            "ge0 10.0.0.1/33",
            "2> ifconfig: 10.0.0.1/33: ge0: '33' is not an IPv4 prefix length\nexit 1\n",
        ),
        (
            "ge0 224.0.0.1",
            "2> ifconfig: 224.0.0.1: ge0: not a unicast address\nexit 1\n",
        ),
        (
            "ge0 10.0.0.1 10.0.0.2",
            "> address ge0 10.0.0.1/8\n2> ifconfig: 10.0.0.2: ge0: a second address is the other \
             end of a point-to-point link, which cannot be in a group\nexit 1\n",
        ),
        (
            "ge0 mtu big",
            "2> ifconfig: mtu: ge0: 'big' is not a number\nexit 1\n",
        ),
        (
            "ge0 ether 1:2",
            "2> ifconfig: ether: ge0: '1:2' is not an Ethernet address\nexit 1\n",
        ),
        (
            "ge0 trailers",
            "2> ifconfig: trailers: ge0: Linux has no trailer encapsulation\nexit 1\n",
        ),
        (
            "ge0 usesrc ge1",
            "2> ifconfig: usesrc: ge0: set the source of a route with \
             'ip route … src'\nexit 1\n",
        ),
        (
            "ge0: up",
            "2> ifconfig: interface: ge0:: '' is not a unit number\nexit 1\n",
        ),
        (
            "ge0",
            "2> ifconfig: status: ge0: no such interface\nexit 1\n",
        ),
    ]);
}

#[test]
fn what_is_there_and_not_plumbed_is_told_how_to_be() {
    let (_root, etc) = etc();
    let no_such = |line: &str, devices: &[&str]| {
        let mut daemon = Recorded::default();
        daemon.devices = devices.iter().map(|name| name.parse().unwrap()).collect();
        daemon.answers.push_back(refused(Refusal::NoSuchInterface));
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        recorded::run(&mut daemon, &etc, &words, run)
    };
    let ending = "no such interface\nexit 1\n";
    for line in ["ge0 group web", "ge0 up", "ge0"] {
        let hint = "no such interface (plumb it first: ifconfig ge0 plumb)\nexit 1\n";
        assert!(no_such(line, &["ge0"]).ends_with(hint), "{line}");
        assert!(no_such(line, &["ge1"]).ends_with(ending), "{line}");
    }
    let hint = "(plumb it first: ifconfig ge0 inet6 plumb)\nexit 1\n";
    assert!(no_such("ge0 inet6 up", &["ge0"]).ends_with(hint));
    for line in ["ge0 unplumb", "ge0:1 up"] {
        assert!(no_such(line, &["ge0"]).ends_with(ending), "{line}");
    }
}

#[test]
fn the_daemons_refusals_and_absence() {
    let (_root, etc) = etc();
    for (answer, expected) in [
        (
            refused(Refusal::NoSuchInterface),
            "> unplumb ge0 IPv4\n2> ifconfig: unplumb: ge0: no such interface\nexit 1\n",
        ),
        (
            Err(Failure::PermissionDenied),
            "> unplumb ge0 IPv4\n2> ifconfig: unplumb: ge0: permission denied\nexit 1\n",
        ),
        (
            Err(Failure::Unreachable("cannot start it".into())),
            "> unplumb ge0 IPv4\n2> ifconfig: in.mpathd: cannot start it\nexit 1\n",
        ),
        (
            Err(Failure::NotRunning),
            "> unplumb ge0 IPv4\n2> ifconfig: in.mpathd is not running \
             (start it: systemctl start ipmp, or in.mpathd)\nexit 1\n",
        ),
    ] {
        let mut daemon = Recorded::default();
        daemon.answers.push_back(answer);
        assert_eq!(typed(&mut daemon, &etc, "ge0 unplumb group x"), expected);
    }
}

#[test]
fn what_is_plumbed_already_goes_on() {
    let (_root, etc) = etc();
    let mut daemon = Recorded::default();
    daemon.answers.push_back(Ok(Answer::AlreadyExists));
    assert_eq!(
        typed(&mut daemon, &etc, "ge0 plumb up"),
        "> plumb ge0 IPv4\n> +UP ge0\n2> ifconfig: plumb: ge0: already exists\n"
    );
}

#[test]
fn the_eeproms_wish_is_told_before_the_first_plumb() {
    let (_root, etc) = etc();
    etc.set_local_mac(true).unwrap();
    assert_eq!(
        typed(&mut Recorded::default(), &etc, "ge0 plumb plumb"),
        "> local-mac Some(true)\n> plumb ge0 IPv4\n> plumb ge0 IPv4\n"
    );
}

#[test]
fn later_words_act_on_what_was_created_elsewhere() {
    let (_root, etc) = etc();
    let mut daemon = Recorded::default();
    let created = Answer::Created("ge1:3".parse().unwrap());
    daemon.answers.push_back(Ok(created));
    assert_eq!(
        typed(&mut daemon, &etc, "ge0 addif 10.0.0.1 up"),
        "> add ge0 10.0.0.1/8\n> +UP ge1:3\nCreated new logical interface ge1:3\n"
    );
}

#[test]
fn later_words_act_on_an_address_that_went_elsewhere() {
    let (_root, etc) = etc();
    let (done, away) = (
        || Ok(Answer::Done),
        || Err(Failure::Refused(Refusal::Placeholder)),
    );
    let mut daemon = Recorded::showing(lab1_failed());
    let answers = [done(), done(), away(), done(), away()];
    daemon.answers.extend(answers);
    assert_eq!(
        typed(
            &mut daemon,
            &etc,
            "ge1 192.168.0.88/24 up broadcast + metric 1"
        ),
        "> address ge1 192.168.0.88/24\n> +UP ge1\n> broadcast ge1 +\n\
         > broadcast ge0:2 +\n> metric ge1 1\n> metric ge0:2 1\n"
    );
    // One that this line does not name is not meant by what holds its place.
    daemon.answers.extend([away()]);
    let printed = typed(&mut daemon, &etc, "ge1 down");
    assert!(
        printed.starts_with("> -UP ge1\n2> ifconfig: down: ge1: placeholder"),
        "{printed}"
    );
}

#[test]
fn listings() {
    let (_root, etc) = etc();
    let mut daemon = Recorded::showing(lab1());
    assert_eq!(
        typed(&mut daemon, &etc, "ge1"),
        "ge1: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index 7\n\
         \tinet 192.168.0.88 netmask ffffff00 broadcast 192.168.0.255\n\
         \tgroupname testgrp2\n\tether 8:0:20:c0:ff:ed \n"
    );
    let without_ether = typed(&mut daemon, &etc, "ge1 inet");
    assert!(without_ether.ends_with("\tgroupname testgrp2\n"));
    assert!(typed(&mut daemon, &etc, "-a").starts_with("lo0: flags=1000849<"));
    assert!(typed(&mut daemon, &etc, "lo0").starts_with("lo0: flags=1000849<"));
    assert_eq!(typed(&mut daemon, &etc, "-ad"), "");
    assert_eq!(
        typed(&mut daemon, &etc, "ge0 ether"),
        "\tether 8:0:20:c0:ff:ec \n"
    );
    assert!(
        typed(&mut daemon, &etc, "-ax")
            .starts_with("2> ifconfig: -ax: does not fit; usage: ifconfig IF ")
    );
    assert!(typed(&mut daemon, &etc, "").ends_with("exit 1\n"));
}

#[test]
fn words_on_all() {
    let (_root, etc) = etc();
    let mut daemon = Recorded::showing(lab1());
    assert_eq!(
        typed(&mut daemon, &etc, "-au down"),
        "> -UP lo\n> -UP ge0\n> -UP ge0:1\n> -UP ge1\n> -UP ge1:1\n"
    );
}

#[test]
fn all_but_the_loopback_interface_are_unplumbed() {
    let (_root, etc) = etc();
    let mut daemon = Recorded::showing(lab2_failed());
    assert_eq!(
        typed(&mut daemon, &etc, "-a unplumb"),
        "> unplumb ge0 IPv4\n> unplumb ge1 IPv4\n"
    );
}

#[test]
fn a_line_may_be_repeated_where_addresses_are_away() {
    let (_root, etc) = etc();
    let mut daemon = Recorded::showing(lab2_failed());
    let in_use = |on: &str| refused(Refusal::AddressInUse(on.parse().unwrap()));
    let words = [
        "192.168.0.86",
        "group",
        "x",
        "up",
        "addif",
        "192.168.0.87",
        "up",
    ];
    let words = words.map(str::to_owned);
    let target = Target::parse("ge0").unwrap();
    let mut steps = |line: Line<'_>| {
        daemon.answers.clear();
        daemon.answers.push_back(in_use("ge1:1"));
        daemon.answers.push_back(Ok(Answer::Done));
        daemon.answers.push_back(refused(Refusal::Placeholder));
        daemon.answers.push_back(Ok(Answer::Done));
        daemon.answers.push_back(in_use("ge0:1"));
        let mut line = line;
        let mut environment = Environment {
            daemon: &mut daemon,
            etc: &etc,
            privileged: true,
        };
        while let Some(step) = line.step(&mut environment) {
            if let Err(error) = step {
                return error.text;
            }
        }
        daemon.commands.iter().map(|c| brief(c) + "\n").collect()
    };
    let line = || Line::new(target.clone(), Family::Inet, &words);
    assert_eq!(steps(line()), "192.168.0.86: ge0: address already on ge1:1");
    assert_eq!(
        steps(line().repeated()),
        "address ge0 192.168.0.86/24\naddress ge0 192.168.0.86/24\ngroup ge0 x\n+UP ge0\n\
         +UP ge1:1\nadd ge0 192.168.0.87/24\n+UP ge0:1\n"
    );
}

#[test]
fn a_repeated_line_means_what_belongs_to_its_interface_though_it_is_away() {
    let (_root, etc) = etc();
    let words = ["up".to_owned()];
    for (family, then) in [(Family::Inet, Some("+UP ge0:2\n")), (Family::Inet6, None)] {
        let mut daemon = Recorded::showing(lab1_failed());
        daemon.answers.push_back(refused(Refusal::Placeholder));
        let mut line = Line::new(Target::parse("ge1").unwrap(), family, &words).repeated();
        let mut environment = Environment {
            daemon: &mut daemon,
            etc: &etc,
            privileged: true,
        };
        let step = line.step(&mut environment).unwrap();
        assert_eq!(step.is_ok(), then.is_some(), "{step:?}");
        let asked = daemon.commands.iter().skip(1);
        let asked: String = asked.map(|command| brief(command) + "\n").collect();
        assert_eq!(asked, then.unwrap_or_default());
    }
}

#[test]
fn a_logical_as_the_words_that_make_it() {
    let (_root, etc) = etc();
    let mut daemon = Recorded::showing(lab2_failed());
    let line = "ge1 inet plumb mtu 1500 set 192.168.0.88 netmask 0xffffff00 \
                broadcast 192.168.0.255 group testgrp2 deprecated -failover standby up";
    let printed = typed(&mut daemon, &etc, "ge1 configinfo");
    assert_eq!(printed, format!("{line}\n"));
    assert_eq!(
        typed(&mut daemon, &etc, "ge1:1 configinfo"),
        "ge1:1 inet plumb set 192.168.0.86 netmask 0xffffff00 broadcast 192.168.0.255 up\n"
    );
    // Of a placeholder: what belongs there.
    assert_eq!(
        typed(&mut daemon, &etc, "ge0 configinfo"),
        "ge0 inet plumb mtu 1500 set 192.168.0.86 netmask 0xffffff00 \
         broadcast 192.168.0.255 group testgrp2 up\n"
    );
    // It can be typed again.
    assert!(!typed(&mut daemon, &etc, &printed).contains("2>"));
}

#[test]
fn the_variable_forbids_the_start() {
    let set = Some(OsStr::new("true"));
    assert_eq!(start(None), Start::IfNeeded);
    assert_eq!(start(set), Start::Never);
}

#[test]
fn the_usage_fits_a_terminal() {
    assert!(USAGE.lines().all(|line| line.chars().count() <= 80));
}
