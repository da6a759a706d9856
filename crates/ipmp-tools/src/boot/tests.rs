//! Whole boots: files in, commands and console lines out.

use std::fmt::Write;
use std::fs;

use ipmp_core::{Answer, InterfaceAddress};

use super::*;
use crate::recorded::Recorded;
use crate::sample::{lab1, lab2, logical};

/// A host whose daemon is recorded.
struct Booted {
    daemon: Recorded,
    routes: Vec<(u32, IpAddr)>,
}

impl Daemon for Booted {
    fn execute(&mut self, command: Command) -> Result<Answer, Failure> {
        self.daemon.execute(command)
    }
    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        self.daemon.snapshot()
    }
    fn view(&mut self) -> Result<Snapshot, Failure> {
        self.daemon.view()
    }
}

impl Host for Booted {
    fn add_default_route(&mut self, index: u32, gateway: IpAddr) -> Result<(), String> {
        self.routes.push((index, gateway));
        Ok(())
    }
}

const GE0: &str = "\
192.168.0.86 netmask 255.255.255.0 broadcast + group host1 up \\
addif 192.168.0.87 deprecated -failover netmask 255.255.255.0 broadcast + up
";
const GE1: &str = "\
192.168.0.88 netmask 255.255.255.0 broadcast + group host1 deprecated -failover standby up
";
const GE1_WRAPPED: &str = "\
192.168.0.88 netmask 255.255.255.0 broadcast + group host1 deprecated -
failover standby up
";

/// What holds without any settings.
const ALL_DEFAULTS: &str = "\
all groups:
  failure-detection-time  10s             default
  failback                yes             default
  probe-method            auto            default
  probe-targets           found           default
  confirm                 yes             default
  confirm-silence         auto            default
  confirm-probes          10              default
  hold-down               0s              default
  dampening-half-life     1m              default
  quiet-period            40s             default
";

/// Boots with these files, or does `line` instead; what was printed, with the directory left out.
fn booted(files: &[(&str, &str)], snapshot: Snapshot, line: &str) -> (String, Booted) {
    answered(files, snapshot, line, [])
}

/// The same with a daemon that gives these answers first.
fn answered(
    files: &[(&str, &str)],
    snapshot: Snapshot,
    line: &str,
    answers: impl IntoIterator<Item = Result<Answer, Failure>>,
) -> (String, Booted) {
    let root = tempfile::tempdir().unwrap();
    let etc = Etc::below(root.path());
    fs::create_dir(etc.directory()).unwrap();
    fs::create_dir(etc.path("default")).unwrap();
    for (name, text) in files {
        fs::write(etc.path(name), text).unwrap();
    }
    let mut host = Booted {
        daemon: Recorded::showing(snapshot),
        routes: Vec::new(),
    };
    host.daemon.answers.extend(answers);
    let root = root.path().display().to_string();
    let mut arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    arguments.extend(["--root".to_owned(), root.clone()]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
    };
    let code = run(&arguments, &mut host, &mut console);
    let mut text = String::from_utf8(out).unwrap();
    for line in String::from_utf8(err).unwrap().lines() {
        let _ = writeln!(text, "2> {line}");
    }
    if code != OK {
        text.push_str("failed\n");
    }
    (text.replace(&root, ""), host)
}

#[test]
fn lab2_at_boot() {
    let files = [
        ("hostname.ge0", GE0),
        ("hostname.ge1", GE1),
        ("defaultrouter", "192.168.0.1\n192.168.0.2\n"),
    ];
    let (text, host) = booted(&files, lab2(), "");
    assert_eq!(text, "configuring IPv4 interfaces: ge0 ge1.\n");
    let plumb = |name: &str| Command::Plumb {
        logical: name.parse().unwrap(),
        family: Family::Inet,
        absent: true,
    };
    assert_eq!(host.daemon.commands[..2], [plumb("ge0"), plumb("ge1")]);
    let added = Command::AddLogical {
        interface: "ge0".parse().unwrap(),
        address: InterfaceAddress::new("192.168.0.87".parse().unwrap(), 24),
    };
    assert!(host.daemon.commands.contains(&added));
    let up = host
        .daemon
        .commands
        .iter()
        .filter(|c| matches!(c, Command::SetFlag { flag, on: true, .. } if *flag == Flags::UP));
    // The appended words act on what addif created, so nothing is up that was not typed so.
    assert_eq!(up.count(), 5);
    let routers = ["192.168.0.2", "192.168.0.1"].map(|ip| (6, ip.parse().unwrap()));
    assert_eq!(host.routes, routers);
}

#[test]
fn a_word_broken_across_lines_is_refused_before_anything_is_done() {
    let files = [("hostname.ge0", GE0), ("hostname.ge1", GE1_WRAPPED)];
    let complaint = "2> ipmp: /etc/hostname.ge1:1: -: ge1: '-' is neither a subcommand nor an \
                     address; did you mean '-failover'?\n";
    let (text, host) = booted(&files, lab2(), "");
    assert_eq!(
        text,
        format!(
            "configuring IPv4 interfaces: ge0.\n{complaint}\
             2> Failed to configure IPv4 interface(s): ge1\nfailed\n"
        )
    );
    let said = format!("{:?}", host.daemon.commands);
    assert!(!said.contains("ge1"), "{said}");
    assert!(said.contains("ge0"));

    let (text, host) = booted(&files, lab2(), "--check");
    let listing = format!("{ALL_DEFAULTS}group host1: as all groups\n");
    assert_eq!(text, format!("{listing}{complaint}failed\n"));
    assert!(host.daemon.commands.is_empty());
}

#[test]
fn a_missing_interfaces_addresses_are_told() {
    let files = [("hostname.ge0", GE0), ("hostname.ge1", GE0)];
    let absent = |place: &str| {
        let mut snapshot = lab1();
        let moved = Logical {
            home: "ge1".parse().unwrap(),
            ..logical(place, "192.168.0.88/24", 0x100_0843)
        };
        snapshot.interfaces[2].index = None;
        snapshot.interfaces[2].logicals.remove(0);
        let on = if place.starts_with("ge0") { 1 } else { 2 };
        snapshot.interfaces[on].logicals.push(moved);
        snapshot
    };
    let (text, _) = booted(&files, absent("ge0:2"), "");
    assert_eq!(
        text,
        "configuring IPv4 interfaces: ge0.\n\
         moving addresses from failed IPv4 interfaces: ge1 (moved to ge0).\n"
    );
    let (text, _) = booted(&files, absent("ge1"), "");
    assert_eq!(
        text,
        "configuring IPv4 interfaces: ge0.\n\
         moving addresses from failed IPv4 interfaces: \
         ge1 (couldn't move, no alternative interface).\nfailed\n"
    );
}

#[test]
fn what_the_daemon_refuses_is_told_and_the_others_go_on() {
    let files = [("hostname.ge0", GE0), ("hostname.ge1", GE1)];
    let refused = Err(Failure::Refused(ipmp_core::Refusal::NotGroupable));
    // Two plumbs, then address, netmask and broadcast of ge0.
    let answers = std::iter::repeat_n(Ok(Answer::Done), 5).chain([refused]);
    let (text, _) = answered(&files, lab2(), "", answers);
    assert_eq!(
        text,
        "configuring IPv4 interfaces: ge0 ge1.\n\
         2> ipmp: /etc/hostname.ge0:1: group: ge0: cannot be in a group: \
         needs a broadcast link with ARP and multicast\n\
         2> Failed to configure IPv4 interface(s): ge0\nfailed\n"
    );
}

#[test]
fn everything_wrong_is_named() {
    let files = [
        ("hostname.ge0", "192.168.0.86/24 group a up\n# fine\n\n"),
        ("hostname.ge1", "192.168.0.88/24 group b up\n"),
        ("hostname.ge2", "nonsense mtu x\nnetmask 1.2.3.4 up\n"),
        ("hostname.ge2.bak", "whatever\n"),
        ("netmasks", "10.0.0.0\n"),
        ("defaultrouter", "nobody\n"),
    ];
    let (text, host) = booted(&files, lab1(), "--check");
    let listing = format!("{ALL_DEFAULTS}group a: as all groups\ngroup b: as all groups\n");
    assert_eq!(
        text.strip_prefix(&listing).unwrap(),
        "2> ipmp: /etc/hostname.ge2:1: nonsense: ge2: \
         'nonsense' is neither a subcommand nor an address\n\
         2> ipmp: /etc/hostname.ge2:1: mtu: ge2: 'x' is not a number\n\
         2> ipmp: /etc/hostname.ge2:2: netmask: ge2: '1.2.3.4' is not a netmask\n\
         2> ipmp: /etc/netmasks:1: not a network number and a netmask\n\
         2> ipmp: /etc/defaultrouter:1: 'nobody' is neither an address nor in /etc/hosts\n\
         2> ipmp: /etc/hostname.ge1: warning: ge1 is in group b, \
         but ge0 on the same subnet is in group a\n\
         2> ipmp: /etc/hostname.ge2.bak: warning: ignored, \
         as its name does not end in a digit\nfailed\n"
    );
    assert!(host.daemon.commands.is_empty());
}

#[test]
fn nothing_to_do_asks_nobody() {
    let (text, host) = booted(&[], Snapshot::default(), "");
    assert_eq!(text, "");
    assert!(host.daemon.commands.is_empty());
}

#[test]
fn usage() {
    let (text, _) = booted(&[], Snapshot::default(), "now");
    assert!(text.contains("does not fit; usage: ipmp boot [--root DIR]"));
    for usage in [BOOT_USAGE, CHECK_USAGE] {
        assert!(usage.lines().all(|line| line.len() <= 80));
    }
}

#[test]
fn what_holds_is_listed_with_its_place() {
    let files = [
        ("hostname.ge0", GE0),
        (
            "default/mpathd",
            "FAILURE_DETECTION_TIME=2s\nFAILBACK=nope\n",
        ),
        (
            "ipmp.toml",
            "[defaults]\nconfirm-silence = \"2s\"\n\n[group.host1]\nfailback = true\n\
             probe-targets = [\"192.168.0.1\", \"fd00::1\"]\n[group.hots1]\n",
        ),
    ];
    let (text, _) = booted(&files, lab2(), "--check");
    assert_eq!(
        text,
        "\
all groups:
  failure-detection-time  2s              /etc/default/mpathd:1
  failback                no              /etc/default/mpathd:2
  probe-method            auto            default
  probe-targets           found           default
  confirm                 yes             default
  confirm-silence         2s              /etc/ipmp.toml:2
  confirm-probes          10              default
  hold-down               0s              default
  dampening-half-life     1m              default
  quiet-period            40s             default
group host1:
  failure-detection-time  2s              /etc/default/mpathd:1
  failback                yes             /etc/ipmp.toml:5
  probe-method            auto            default
  probe-targets           192.168.0.1,fd00::1 /etc/ipmp.toml:6
  confirm                 yes             default
  confirm-silence         2s              /etc/ipmp.toml:2
  confirm-probes          10              default
  hold-down               0s              default
  dampening-half-life     1m              default
  quiet-period            40s             default
group hots1:
  failure-detection-time  2s              /etc/default/mpathd:1
  failback                no              /etc/default/mpathd:2
  probe-method            auto            default
  probe-targets           found           default
  confirm                 yes             default
  confirm-silence         2s              /etc/ipmp.toml:2
  confirm-probes          10              default
  hold-down               0s              default
  dampening-half-life     1m              default
  quiet-period            40s             default
2> ipmp: /etc/default/mpathd:2: warning: value 'nope' for FAILBACK is taken as no; write no
2> ipmp: /etc/ipmp.toml:2: warning: confirm-silence 2s is more than half of a \
failure-detection-time of 2s; 1s is used
2> ipmp: /etc/ipmp.toml: warning: no /etc/hostname.IF puts an interface into group hots1
"
    );
}

#[test]
fn settings_with_errors_fail_the_check() {
    let files = [
        ("default/mpathd", "FAILURE_DETECTION_TIME=soon\n"),
        (
            "ipmp.toml",
            "[defaults]\nhold-down = 1\nholddown = 2\nfailback = false\n",
        ),
    ];
    let (text, _) = booted(&files, Snapshot::default(), "--check");
    let holding = ALL_DEFAULTS.replacen("default\n", "/etc/default/mpathd:1\n", 1);
    assert_eq!(
        text.strip_prefix(&holding).unwrap(),
        "2> ipmp: /etc/default/mpathd:1: invalid failure detection time 'soon'; using 10000 ms\n\
         2> ipmp: /etc/ipmp.toml:2: hold-down: a time from 0s to 1day such as \"10s\", not 1\n\
         2> ipmp: /etc/ipmp.toml:3: unknown key 'holddown' in [defaults]; did you mean 'hold-down'?\n\
         2> ipmp: /etc/ipmp.toml: has errors, so that nothing of it would be used\nfailed\n"
    );
}

#[test]
fn addresses_are_checked_together_and_told_when_another_host_has_them() {
    let mut snapshot = lab1();
    snapshot.conflicts = vec![ipmp_core::snapshot::Conflict {
        address: "192.168.0.87".parse().unwrap(),
        interface: "ge1".parse().unwrap(),
        mac: "8:0:20:1:2:3".parse().unwrap(),
        since: ipmp_core::Time::ZERO,
        heard: ipmp_core::Time::ZERO,
        withheld: true,
        again: None,
    }];
    let (said, host) = booted(&[("hostname.ge0", GE0)], snapshot, "");
    let line = "2> ipmp: up: ge0:1: 192.168.0.87 is in use by 8:0:20:1:2:3 on ge1; \
                it comes up when that ends\n";
    assert!(said.contains(line) && said.ends_with("failed\n"), "{said}");
    let commands = host.daemon.commands.iter();
    let mut ups = commands.filter_map(|command| match *command {
        Command::SetFlag {
            flag: Flags::UP,
            wait,
            ..
        } => Some(wait),
        _ => None,
    });
    assert!(ups.all(|waits| !waits));
    assert_eq!(host.daemon.commands.last(), Some(&Command::AwaitChecks));
}
