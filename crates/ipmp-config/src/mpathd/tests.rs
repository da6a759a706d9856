use ipmp_core::{Confirm, GroupSettings, ProbeMethod};

use super::*;
use crate::layer::Effective;

/// What the file sets for all groups, whether only groups are tracked, and what is said of it.
fn parse(text: &str) -> (GroupSettings, Option<bool>, Vec<Problem>) {
    let mut problems = Vec::new();
    let parsed = super::parse(Path::new("mpathd"), text, &mut problems);
    let common = Effective::of(&[&parsed.common]).settings();
    (common, parsed.track_only_groups, problems)
}

fn texts(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("|")
}

#[test]
fn failure_detection_times() {
    let default = 10_000;
    for (value, ms, complaint) in [
        ("10000", 10_000, ""),
        ("0x1388", 5000, ""),
        ("0X64", 100, ""),
        ("01750", 1000, ""),
        ("10s", 10_000, ""),
        ("500ms", 500, ""),
        ("10 S", 10_000, ""),
        ("100", 100, ""),
        ("\"2000\"", 2000, ""),
        ("4294967296", 4_294_967_296, ""),
        (
            "99",
            100,
            "mpathd:1: failure detection time '99' is too small; using minimum of 100 ms",
        ),
        (
            "1",
            100,
            "mpathd:1: failure detection time '1' is too small; using minimum of 100 ms",
        ),
        (
            "0",
            default,
            "mpathd:1: invalid failure detection time '0'; using 10000 ms",
        ),
        (
            "00",
            default,
            "mpathd:1: invalid failure detection time '00'; using 10000 ms",
        ),
        (
            "0s",
            default,
            "mpathd:1: invalid failure detection time '0s'; using 10000 ms",
        ),
        (
            "-5",
            default,
            "mpathd:1: invalid failure detection time '-5'; using 10000 ms",
        ),
        (
            "+5",
            default,
            "mpathd:1: invalid failure detection time '+5'; using 10000 ms",
        ),
        (
            "",
            default,
            "mpathd:1: invalid failure detection time ''; using 10000 ms",
        ),
        (
            "0x",
            default,
            "mpathd:1: invalid failure detection time '0x'; using 10000 ms",
        ),
        (
            "089",
            default,
            "mpathd:1: invalid failure detection time '089'; using 10000 ms",
        ),
        (
            "1.5",
            default,
            "mpathd:1: invalid failure detection time '1.5'; using 10000 ms",
        ),
        (
            "ten",
            default,
            "mpathd:1: invalid failure detection time 'ten'; using 10000 ms",
        ),
        (
            "s",
            default,
            "mpathd:1: invalid failure detection time 's'; using 10000 ms",
        ),
        (
            "18446744073709551616",
            default,
            "mpathd:1: invalid failure detection time '18446744073709551616'; using 10000 ms",
        ),
        ("18446744073709551s", 18_446_744_073_709_551_000, ""),
        (
            "18446744073709552s",
            default,
            "mpathd:1: invalid failure detection time '18446744073709552s'; using 10000 ms",
        ),
    ] {
        let (settings, _, problems) = parse(&format!("FAILURE_DETECTION_TIME={value}\n"));
        assert_eq!(
            settings.failure_detection_time,
            Duration::from_millis(ms),
            "{value}"
        );
        assert_eq!(texts(&problems), complaint, "{value}");
        assert!(problems.iter().all(|problem| problem.is_error));
    }
}

#[test]
fn yes_and_no() {
    for (value, taken, complaint) in [
        ("yes", true, ""),
        ("YES", true, ""),
        ("no", false, ""),
        (" No ", false, ""),
        (
            "yesterday",
            true,
            "mpathd:1: value 'yesterday' for FAILBACK is taken as yes; write yes",
        ),
        (
            "nope",
            false,
            "mpathd:1: value 'nope' for FAILBACK is taken as no; write no",
        ),
        (
            "n",
            true,
            "mpathd:1: invalid value 'n' for FAILBACK, not yes or no; using yes",
        ),
        (
            "ye",
            true,
            "mpathd:1: invalid value 'ye' for FAILBACK, not yes or no; using yes",
        ),
        (
            "true",
            true,
            "mpathd:1: invalid value 'true' for FAILBACK, not yes or no; using yes",
        ),
        (
            "",
            true,
            "mpathd:1: invalid value '' for FAILBACK, not yes or no; using yes",
        ),
        (
            "ñ",
            true,
            "mpathd:1: invalid value 'ñ' for FAILBACK, not yes or no; using yes",
        ),
    ] {
        let (settings, _, problems) = parse(&format!("FAILBACK={value}"));
        assert_eq!(settings.failback, taken, "{value}");
        assert_eq!(texts(&problems), complaint, "{value}");
        let (_, track, problems) = parse(&format!("track_interfaces_only_with_groups={value}"));
        assert_eq!(track, Some(taken), "{value}");
        assert_eq!(problems.is_empty(), complaint.is_empty(), "{value}");
        let (settings, _, problems) = parse(&format!("CONFIRM={value}"));
        assert_eq!(settings.confirm.is_some(), taken, "{value}");
        assert_eq!(problems.is_empty(), complaint.is_empty(), "{value}");
    }
}

#[test]
fn what_the_original_had_not() {
    for (line, expected) in [
        (
            "PROBE_METHOD=arp",
            GroupSettings {
                probe: ProbeMethod::Arp,
                ..GroupSettings::default()
            },
        ),
        (
            "probe_method='ICMP'",
            GroupSettings {
                probe: ProbeMethod::Icmp,
                ..GroupSettings::default()
            },
        ),
        (
            "PROBE_TARGETS=\"192.168.0.1, fd00::1 192.168.0.1\"",
            GroupSettings {
                targets: vec!["192.168.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
                ..GroupSettings::default()
            },
        ),
        ("PROBE_TARGETS=", GroupSettings::default()),
        (
            "CONFIRM=no\nCONFIRM_PROBES=20",
            GroupSettings {
                confirm: None,
                ..GroupSettings::default()
            },
        ),
        (
            "CONFIRM_SILENCE=80",
            GroupSettings {
                confirm: Some(Confirm {
                    silence: Some(Duration::from_millis(80)),
                    ..Confirm::default()
                }),
                ..GroupSettings::default()
            },
        ),
        ("CONFIRM_SILENCE=Auto", GroupSettings::default()),
        (
            "CONFIRM_PROBES=40",
            GroupSettings {
                confirm: Some(Confirm {
                    probes: 40,
                    ..Confirm::default()
                }),
                ..GroupSettings::default()
            },
        ),
        (
            "HOLD_DOWN=30s",
            GroupSettings {
                hold_down: Duration::from_secs(30),
                ..GroupSettings::default()
            },
        ),
        (
            "DAMPENING_HALF_LIFE=off",
            GroupSettings {
                dampening: None,
                ..GroupSettings::default()
            },
        ),
        (
            "DAMPENING_HALF_LIFE=120000",
            GroupSettings {
                dampening: Some(Duration::from_mins(2)),
                ..GroupSettings::default()
            },
        ),
        (
            "QUIET_PERIOD=0",
            GroupSettings {
                quiet_period: Duration::ZERO,
                ..GroupSettings::default()
            },
        ),
    ] {
        let (settings, _, problems) = parse(line);
        assert_eq!(settings, expected, "{line}");
        assert_eq!(problems, [], "{line}");
    }
}

#[test]
fn bad_values_are_replaced_by_the_default() {
    let times = "a time from 0s to 1day such as 10s";
    for (line, complaint) in [
        (
            "PROBE_METHOD=ping",
            "invalid value 'ping' for PROBE_METHOD, not auto, icmp or arp; using auto".to_owned(),
        ),
        (
            "PROBE_TARGETS=192.168.0.1,router",
            "invalid value '192.168.0.1,router' for PROBE_TARGETS, \
             not at most 64 unicast addresses of other hosts; using found"
                .to_owned(),
        ),
        (
            "PROBE_TARGETS=224.0.0.1",
            "invalid value '224.0.0.1' for PROBE_TARGETS, \
             not at most 64 unicast addresses of other hosts; using found"
                .to_owned(),
        ),
        (
            "CONFIRM_SILENCE=0",
            "invalid value '0' for CONFIRM_SILENCE, \
             not auto or a time from 1ms to 1day such as 10s; using auto"
                .to_owned(),
        ),
        (
            "CONFIRM_PROBES=3",
            "invalid value '3' for CONFIRM_PROBES, not a number from 4 to 40; using 10".to_owned(),
        ),
        (
            "CONFIRM_PROBES=41",
            "invalid value '41' for CONFIRM_PROBES, not a number from 4 to 40; using 10".to_owned(),
        ),
        (
            "CONFIRM_PROBES=-4",
            "invalid value '-4' for CONFIRM_PROBES, not a number from 4 to 40; using 10".to_owned(),
        ),
        (
            "HOLD_DOWN=86401s",
            format!("invalid value '86401s' for HOLD_DOWN, not {times}; using 0s"),
        ),
        (
            "DAMPENING_HALF_LIFE=999",
            "invalid value '999' for DAMPENING_HALF_LIFE, \
             not off or a time from 1s to 1day such as 10s; using 1m"
                .to_owned(),
        ),
        (
            "QUIET_PERIOD=long",
            format!("invalid value 'long' for QUIET_PERIOD, not {times}; using 40s"),
        ),
    ] {
        let (settings, _, problems) = parse(&format!("\n{line}\n"));
        assert_eq!(settings, GroupSettings::default(), "{line}");
        assert_eq!(texts(&problems), format!("mpathd:2: {complaint}"));
        assert!(problems[0].is_error);
    }
}

#[test]
fn one_bad_line_leaves_the_others() {
    let text = "\u{feff}# comment\n\n  # another\nFAILBACK = no \nfailure_detection_time=5s\r\n\
                COLOUR=blue\nwhat is this\nFAILBACK=no\n=\n";
    let (settings, track, problems) = parse(text);
    assert!(!settings.failback);
    assert_eq!(settings.failure_detection_time, Duration::from_secs(5));
    assert_eq!(track, None);
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "mpathd:1: '\u{feff}# comment' is not NAME=value; ignored",
            "mpathd:6: unknown variable 'COLOUR'; ignored",
            "mpathd:7: 'what is this' is not NAME=value; ignored",
            "mpathd:8: FAILBACK is set again; the last value is used",
            "mpathd:9: unknown variable ''; ignored",
        ]
    );
    assert!(problems.iter().all(|problem| !problem.is_error));
}

#[test]
fn the_file_we_ship_says_the_defaults() {
    let shipped = include_str!("../../../../dist/default/mpathd");
    // What is commented out says what holds without it.
    let uncommented: String = shipped
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    for (text, set) in [(shipped, 2), (&uncommented, Key::ALL.len())] {
        let mut problems = Vec::new();
        let parsed = super::parse(Path::new("mpathd"), text, &mut problems);
        assert_eq!(problems, []);
        assert_eq!(parsed.common.len(), set);
        assert_eq!(parsed.track_only_groups, Some(true));
        let common = Effective::of(&[&parsed.common]).settings();
        assert_eq!(common, GroupSettings::default());
    }
}
