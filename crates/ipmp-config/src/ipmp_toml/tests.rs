use std::net::IpAddr;
use std::time::Duration;

use ipmp_core::{Confirm, GroupSettings, ProbeMethod};
use proptest::prelude::*;

use super::*;
use crate::layer::Effective;

fn parse(text: &str) -> (Option<Parsed>, Vec<String>) {
    let mut problems = Vec::new();
    let parsed = super::parse(Path::new("ipmp.toml"), text, &mut problems);
    assert_eq!(parsed.is_some(), problems.is_empty());
    assert!(problems.iter().all(|problem| problem.is_error));
    (parsed, problems.iter().map(ToString::to_string).collect())
}

fn of(layer: &Layer) -> GroupSettings {
    Effective::of(&[layer]).settings()
}

/// The file we ship, with every setting taken out of its comment.
fn uncommented() -> String {
    include_str!("../../../../dist/ipmp.toml")
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[test]
fn the_file_we_ship_says_the_defaults() {
    let (shipped, problems) = parse(include_str!("../../../../dist/ipmp.toml"));
    assert_eq!(problems, [""; 0]);
    let shipped = shipped.unwrap();
    assert!(shipped.defaults.is_empty() && shipped.groups.is_empty());

    let text = uncommented();
    let (parsed, problems) = parse(&text);
    assert_eq!(problems, [""; 0]);
    let parsed = parsed.unwrap();
    // Every setting there is.
    assert!(parsed.defaults.keys().eq(Key::ALL.iter()));
    assert_eq!(of(&parsed.defaults), GroupSettings::default());
    assert_eq!(parsed.track_only_groups, Some(true));
    assert_eq!(parsed.ignore_links, Some(false));
    assert_eq!(parsed.multicast_targets_only, Some(false));
    assert_eq!(parsed.duplicate_address_detection, Some(true));
    assert_eq!(parsed.recording, Recording::default());
    for key in DAEMON_KEYS {
        let line = format!("\n{key} = ");
        assert!(text.contains(&line), "{key}");
    }
}

#[test]
fn the_example_in_the_file_we_ship_is_right() {
    let example: String = include_str!("../../../../dist/ipmp.toml")
        .lines()
        .filter_map(|line| line.strip_prefix("#     "))
        .flat_map(|line| [line, "\n"])
        .collect();
    let (parsed, problems) = parse(&example);
    assert_eq!(problems, [""; 0]);
    let groups = parsed.unwrap().groups;
    let web = groups.get(&"web".parse().unwrap()).unwrap();
    assert_eq!(web.len(), 2);
}

#[test]
fn every_setting_in_its_forms() {
    let default = GroupSettings::default;
    let confirm = |change: fn(&mut Confirm)| {
        let mut confirm = Confirm::default();
        change(&mut confirm);
        GroupSettings {
            confirm: Some(confirm),
            ..default()
        }
    };
    for (line, expected) in [
        (
            "failure-detection-time = \"20ms\"",
            GroupSettings {
                failure_detection_time: Duration::from_millis(20),
                ..default()
            },
        ),
        (
            "failure-detection-time = '1m 30s'",
            GroupSettings {
                failure_detection_time: Duration::from_secs(90),
                ..default()
            },
        ),
        (
            "failure-detection-time = \"1day\"",
            GroupSettings {
                failure_detection_time: Duration::from_hours(24),
                ..default()
            },
        ),
        (
            "failback = false",
            GroupSettings {
                failback: false,
                ..default()
            },
        ),
        (
            "probe-method = \"icmp\"",
            GroupSettings {
                probe: ProbeMethod::Icmp,
                ..default()
            },
        ),
        (
            "probe-method = \"arp\"",
            GroupSettings {
                probe: ProbeMethod::Arp,
                ..default()
            },
        ),
        (
            "probe-targets = [\n  \"192.168.0.1\", # the router\n  \"fd00::1\",\n]",
            GroupSettings {
                targets: vec!["192.168.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
                ..default()
            },
        ),
        (
            "confirm = false\nconfirm-probes = 20",
            GroupSettings {
                confirm: None,
                ..default()
            },
        ),
        (
            "confirm-silence = \"80ms\"",
            confirm(|confirm| confirm.silence = Some(Duration::from_millis(80))),
        ),
        ("confirm-silence = \"auto\"", default()),
        ("confirm-probes = 4", confirm(|confirm| confirm.probes = 4)),
        (
            "confirm-probes = 0x28",
            confirm(|confirm| confirm.probes = 40),
        ),
        (
            "hold-down = \"5m\"",
            GroupSettings {
                hold_down: Duration::from_mins(5),
                ..default()
            },
        ),
        ("hold-down = \"0\"", default()),
        (
            "dampening-half-life = \"off\"",
            GroupSettings {
                dampening: None,
                ..default()
            },
        ),
        (
            "dampening-half-life = \"1s\"",
            GroupSettings {
                dampening: Some(Duration::from_secs(1)),
                ..default()
            },
        ),
        (
            "quiet-period = \"0s\"",
            GroupSettings {
                quiet_period: Duration::ZERO,
                ..default()
            },
        ),
    ] {
        let (parsed, problems) = parse(&format!("[defaults]\n{line}\n"));
        assert_eq!(problems, [""; 0]);
        assert_eq!(of(&parsed.unwrap().defaults), expected, "{line}");
        let (parsed, _) = parse(&format!("[group.\"a.b\"]\n{line}\n"));
        let groups = parsed.unwrap().groups;
        assert_eq!(of(&groups[&"a.b".parse().unwrap()]), expected, "{line}");
    }
}

#[test]
fn values_that_are_not_allowed() {
    let time = "a time from 0s to 1day such as \"10s\"";
    for (line, complaint) in [
        (
            "failure-detection-time = \"19ms\"",
            "failure-detection-time: a time from 20ms to 1day such as \"10s\", not \"19ms\"",
        ),
        (
            "failure-detection-time = 10000",
            "failure-detection-time: a time from 20ms to 1day such as \"10s\", not 10000",
        ),
        (
            "failure-detection-time = \"10\"",
            "failure-detection-time: a time from 20ms to 1day such as \"10s\", not \"10\"",
        ),
        ("failback = \"no\"", "failback: true or false, not \"no\""),
        (
            "probe-method = \"ping\"",
            "probe-method: \"auto\", \"icmp\" or \"arp\", not \"ping\"",
        ),
        (
            "probe-method = true",
            "probe-method: \"auto\", \"icmp\" or \"arp\", not true",
        ),
        (
            "probe-targets = \"192.168.0.1\"",
            "probe-targets: at most 64 unicast addresses of other hosts, not \"192.168.0.1\"",
        ),
        (
            "probe-targets = [\"192.168.0.1\", 2]",
            "probe-targets: at most 64 unicast addresses of other hosts, not 2",
        ),
        (
            "probe-targets = [\"127.0.0.1\"]",
            "probe-targets: at most 64 unicast addresses of other hosts, not \"127.0.0.1\"",
        ),
        (
            "probe-targets = [\"ff02::1\"]",
            "probe-targets: at most 64 unicast addresses of other hosts, not \"ff02::1\"",
        ),
        (
            "confirm-silence = \"off\"",
            "confirm-silence: \"auto\" or a time from 1ms to 1day such as \"10s\", not \"off\"",
        ),
        (
            "confirm-probes = 3",
            "confirm-probes: a number from 4 to 40, not 3",
        ),
        (
            "confirm-probes = -10",
            "confirm-probes: a number from 4 to 40, not -10",
        ),
        (
            "confirm-probes = 99999999999999999999999",
            "confirm-probes: a number from 4 to 40, not 99999999999999999999999",
        ),
        (
            "confirm-probes = 10.0",
            "confirm-probes: a number from 4 to 40, not 10.0",
        ),
        (
            "hold-down = \"25h\"",
            &format!("hold-down: {time}, not \"25h\""),
        ),
        (
            "quiet-period = {}",
            &format!("quiet-period: {time}, not a table"),
        ),
        (
            "dampening-half-life = \"0s\"",
            "dampening-half-life: \"off\" or a time from 1s to 1day such as \"10s\", not \"0s\"",
        ),
    ] {
        for table in ["defaults", "group.web"] {
            let (_, problems) = parse(&format!("# us\n\n[{table}]\n{line}\n"));
            assert_eq!(problems, [format!("ipmp.toml:4: {complaint}")], "{line}");
        }
    }
    let many: Vec<String> = (1..=65).map(|n| format!("\"10.0.0.{n}\"")).collect();
    let (_, problems) = parse(&format!("[defaults]\nprobe-targets = [{}]", many.join(",")));
    assert_eq!(
        problems,
        ["ipmp.toml:2: probe-targets: at most 64 unicast addresses of other hosts, not this list"]
    );
}

#[test]
fn the_daemons_own() {
    let text = "[daemon]\ntrack-interfaces-only-with-groups = false\nignore-links = true\n\
                multicast-targets-only = true\nduplicate-address-detection = false\n\
                record = \"/var/log/ipmp/events\"\nrecord-limit = \"1 MiB\"\n";
    let (parsed, problems) = parse(text);
    assert_eq!(problems, [""; 0]);
    let parsed = parsed.unwrap();
    assert_eq!(parsed.track_only_groups, Some(false));
    assert_eq!(parsed.ignore_links, Some(true));
    assert_eq!(parsed.multicast_targets_only, Some(true));
    assert_eq!(parsed.duplicate_address_detection, Some(false));
    let recording = Recording {
        path: Some("/var/log/ipmp/events".into()),
        limit: 1 << 20,
    };
    assert_eq!(parsed.recording, recording);
    for (line, complaint) in [
        (
            "record = \"events\"",
            "record: \"off\" or a path such as \"/var/log/ipmp/events\", not \"events\"",
        ),
        (
            "record = true",
            "record: \"off\" or a path such as \"/var/log/ipmp/events\", not true",
        ),
        (
            "record-limit = \"1KiB\"",
            "record-limit: a size from \"64KiB\" to \"4GiB\" such as \"64MiB\", not \"1KiB\"",
        ),
        (
            "record-limit = 67108864",
            "record-limit: a size from \"64KiB\" to \"4GiB\" such as \"64MiB\", not 67108864",
        ),
        ("ignore-links = 1", "ignore-links: true or false, not 1"),
    ] {
        let (_, problems) = parse(&format!("[daemon]\n{line}\n"));
        assert_eq!(problems, [format!("ipmp.toml:2: {complaint}")]);
    }
}

#[test]
fn unknown_keys_and_what_may_have_been_meant() {
    for (text, complaint) in [
        (
            "[defaults]\nfailbak = true",
            "2: unknown key 'failbak' in [defaults]; did you mean 'failback'?",
        ),
        (
            "[defaults]\nfailure_detection_time = \"1s\"",
            "2: unknown key 'failure_detection_time' in [defaults]; \
             did you mean 'failure-detection-time'?",
        ),
        (
            "[group.web]\nHOLD_DOWN = \"1s\"",
            "2: unknown key 'HOLD_DOWN' in [group.web]; did you mean 'hold-down'?",
        ),
        (
            "[group.web]\ncolour = \"blue\"",
            "2: unknown key 'colour' in [group.web]",
        ),
        (
            "[default]\n",
            "1: unknown key 'default' outside of tables; did you mean 'defaults'?",
        ),
        (
            "[groups.web]\n",
            "1: unknown key 'groups' outside of tables; did you mean 'group'?",
        ),
        (
            "failback = true",
            "1: unknown key 'failback' outside of tables; \
             'failback' goes into [defaults] or [group.NAME]",
        ),
        (
            "[defaults]\nrecord = \"off\"",
            "2: unknown key 'record' in [defaults]; 'record' goes into [daemon]",
        ),
        (
            "[daemon]\nrecrd = \"off\"",
            "2: unknown key 'recrd' in [daemon]; did you mean 'record'?",
        ),
        (
            "[group]\nfailback = true",
            "2: failback: goes into [defaults] or [group.NAME], not into [group]",
        ),
        ("[group]\nweb = 1", "2: web: is a table; write [group.NAME]"),
        ("defaults = 1", "1: defaults: is a table; write [defaults]"),
        ("[group.\"a b\"]\n", "1: group 'a b': name with ' ' in it"),
        ("[group.\"\"]\n", "1: group '': empty name"),
    ] {
        let (_, problems) = parse(text);
        assert_eq!(problems, [format!("ipmp.toml:{complaint}")], "{text}");
    }
}

#[test]
fn all_that_is_wrong_is_said() {
    let text = "\
[group.web]
failback = 1
fail back = 2
hold-down = \"1s\"
hold-down = \"2s\"
probe-method = icmp

[defaults
confirm = 1
[daemon]
record = 7
[defaults]
confirm 7
hold-down = [
";
    let (parsed, problems) = parse(text);
    assert!(parsed.is_none());
    let lines: Vec<&str> = problems
        .iter()
        .filter_map(|problem| problem.split(':').nth(1))
        .collect();
    assert_eq!(
        lines,
        ["2", "3", "5", "6", "8", "11", "13", "14"],
        "{problems:#?}"
    );
    assert!(problems.iter().all(|problem| !problem.contains('\n')));
}

#[test]
fn anything_may_be_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ipmp.toml");
    let mut problems = Vec::new();
    assert!(read(&path, &mut problems).is_some_and(|parsed| parsed.defaults.is_empty()));
    assert_eq!(problems, []);

    std::fs::write(&path, b"# fine\n[defaults]\nfailback = \xff\n").unwrap();
    assert!(read(&path, &mut problems).is_none());
    assert_eq!(problems[0].line, Some(3));
    assert_eq!(problems[0].text, "is not UTF-8");

    for text in [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a{} = 1", ".a".repeat(100_000)),
        "\0\u{1}\u{7f}".repeat(100),
        "é = 'ö\n\"".to_owned(),
    ] {
        let (parsed, problems) = parse(&text);
        assert!(parsed.is_none());
        assert!(!problems.is_empty());
    }

    problems.clear();
    std::fs::write(&path, " ".repeat(2 << 20)).unwrap();
    assert!(read(&path, &mut problems).is_none());
    assert_eq!(
        problems[0].text,
        "cannot be read: longer than 1048576 bytes"
    );
    problems.clear();
    assert!(read(directory.path(), &mut problems).is_none());
    assert_eq!(problems.len(), 1);
}

#[test]
fn addresses_of_other_hosts() {
    for word in ["192.168.0.1", "fe80::1", "10.255.255.255"] {
        assert_eq!(target(word), Some(word.parse::<IpAddr>().unwrap()));
    }
    for word in [
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "::1",
        "192.168.0.1/24",
        "a",
    ] {
        assert_eq!(target(word), None, "{word}");
    }
}

/// What slips of the hand make of the file we ship.
fn mangled() -> impl Strategy<Value = String> {
    let slip = (
        any::<prop::sample::Index>(),
        prop_oneof![
            Just(String::new()),
            "[\\[\\]{}\"'=.,#\\n\\\\ a-z0-9-]{1,3}",
            any::<char>().prop_map(String::from),
        ],
        0..4usize,
    );
    let slips = proptest::collection::vec(slip, 1..12);
    let text = uncommented() + "[group.web]\nprobe-targets = [\n\"10.0.0.1\",\n]\n";
    slips.prop_map(move |slips| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, put, take) in slips {
            let at = at.index(chars.len());
            let end = (at + take).min(chars.len());
            chars.splice(at..end, put.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// The daemon reads this file while it holds a host's addresses.
    #[test]
    fn no_file_breaks_the_reader(text in mangled()) {
        let (_, problems) = parse(&text);
        let lines = text.lines().count() + 1;
        for problem in problems {
            let line: usize = problem.split(':').nth(1).unwrap().parse().unwrap();
            prop_assert!((1..=lines).contains(&line), "{problem}");
            prop_assert!(!problem.contains('\n'), "{problem}");
        }
    }
}

/// What stands in a file.
fn read(path: &Path, problems: &mut Vec<Problem>) -> Option<Parsed> {
    let bytes = crate::problem::contents(path, problems)?;
    take(path, &bytes, problems)
}
