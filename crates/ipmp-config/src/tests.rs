//! Both files together.

use std::fs;
use std::time::Duration;

use ipmp_core::{GroupSettings, ProbeMethod};

use super::*;

/// What two files with these texts say; `None` for a file that is not there.
fn read(mpathd: Option<&str>, toml: Option<&str>) -> Configuration {
    let root = tempfile::tempdir().unwrap();
    let files = Files::below(root.path());
    fs::create_dir_all(files.mpathd.parent().unwrap()).unwrap();
    for (path, text) in [(&files.mpathd, mpathd), (&files.toml, toml)] {
        if let Some(text) = text {
            fs::write(path, text).unwrap();
        }
    }
    let mut read = files.read(Called::default());
    let short = |path: &mut PathBuf| {
        *path = path.strip_prefix(root.path()).unwrap().to_owned();
    };
    read.problems.iter_mut().for_each(|p| short(&mut p.path));
    read.refused.iter_mut().for_each(short);
    read
}

fn group<'a>(read: &'a Configuration, name: &str) -> &'a GroupSettings {
    read.settings.of(Some(&name.parse().unwrap()))
}

#[test]
fn without_files_everything_is_as_by_default() {
    let read = read(None, None);
    assert_eq!(read.settings, Settings::default());
    assert_eq!(read.problems, []);
    assert!(read.refused.is_empty());
    assert_eq!(read.recording, Recording::default());
}

/// Every combination of the four places where a setting can stand: the last one that has it wins.
#[test]
fn precedence() {
    let millis = Duration::from_millis;
    for places in 0..16u32 {
        let [mpathd, common, web, db] = [1, 2, 4, 8].map(|bit| places & bit != 0);
        let mut toml = "[defaults]\n".to_owned();
        if common {
            toml += "failure-detection-time = \"2s\"\nprobe-method = \"icmp\"\n";
        }
        toml += "[group.web]\n";
        if web {
            toml += "failure-detection-time = \"3s\"\nprobe-method = \"arp\"\n";
        }
        if db {
            toml += "[group.db]\nfailure-detection-time = \"4s\"\n";
        }
        let text = "FAILURE_DETECTION_TIME=1000\nPROBE_METHOD=arp\nHOLD_DOWN=7s\n";
        let read = read(mpathd.then_some(text), Some(&toml));
        assert_eq!(read.problems, []);

        let common_ms = [(common, 2000), (mpathd, 1000), (true, 10_000)];
        let first = |list: &[(bool, u64)]| list.iter().find(|(set, _)| *set).unwrap().1;
        let found = |name: &str| group(&read, name).failure_detection_time;
        assert_eq!(found("other"), millis(first(&common_ms)), "{places:b}");
        for (name, own, ms) in [("web", web, 3000), ("db", db, 4000)] {
            let expected = first(&[&[(own, ms)][..], &common_ms].concat());
            assert_eq!(found(name), millis(expected), "{name} {places:b}");
        }
        let method = match (mpathd, common, web) {
            (_, _, true) | (true, false, _) => ProbeMethod::Arp,
            (_, true, _) => ProbeMethod::Icmp,
            _ => ProbeMethod::Auto,
        };
        assert_eq!(group(&read, "web").probe, method, "{places:b}");
        let hold_down = if mpathd { millis(7000) } else { Duration::ZERO };
        assert_eq!(group(&read, "db").hold_down, hold_down, "{places:b}");
        assert_eq!(read.settings.groups.len(), 1 + usize::from(db));
    }
}

#[test]
fn every_setting_can_be_set_in_every_place() {
    let values = [
        ("FAILURE_DETECTION_TIME=1s", "\"1s\""),
        ("FAILBACK=no", "false"),
        ("PROBE_METHOD=arp", "\"arp\""),
        ("PROBE_TARGETS=10.0.0.1", "[\"10.0.0.1\"]"),
        ("CONFIRM=no", "false"),
        ("CONFIRM_SILENCE=70", "\"70ms\""),
        ("CONFIRM_PROBES=5", "5"),
        ("HOLD_DOWN=1s", "\"1s\""),
        ("DAMPENING_HALF_LIFE=off", "\"off\""),
        ("QUIET_PERIOD=1s", "\"1s\""),
    ];
    for (key, (variable, value)) in Key::ALL.into_iter().zip(values) {
        let line = format!("{} = {value}\n", key.name());
        let own = format!("[group.a]\n{line}");
        let common = format!("[defaults]\n{line}\n[group.a]\n");
        let [mpathd, common, own] = [
            read(Some(variable), Some("[group.a]\n")),
            read(None, Some(&common)),
            read(None, Some(&own)),
        ];
        assert_ne!(*group(&own, "a"), GroupSettings::default(), "{line}");
        assert_eq!(own.settings.common, GroupSettings::default(), "{line}");
        for read in [&mpathd, &common] {
            assert_eq!(group(read, "a"), group(&own, "a"), "{line}");
            assert_eq!(read.settings.common, *group(&own, "a"), "{line}");
        }
    }
}

#[test]
fn what_holds_for_the_daemon_is_set_by_either_file_or_its_call() {
    for (mpathd, toml, tracks) in [
        ("", "", true),
        ("TRACK_INTERFACES_ONLY_WITH_GROUPS=no", "", false),
        (
            "TRACK_INTERFACES_ONLY_WITH_GROUPS=no",
            "[daemon]\ntrack-interfaces-only-with-groups = true",
            true,
        ),
        (
            "",
            "[daemon]\ntrack-interfaces-only-with-groups = false",
            false,
        ),
    ] {
        let read = read(Some(mpathd), Some(toml));
        assert_eq!(read.settings.track_only_groups, tracks, "{mpathd} {toml}");
    }
    let root = tempfile::tempdir().unwrap();
    let files = Files::below(root.path());
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(&files.toml, "[daemon]\nignore-links = true\n").unwrap();
    for called in [
        Called::default(),
        Called {
            ignore_links: true,
            multicast_targets_only: true,
        },
    ] {
        let read = files.read(called);
        assert!(read.settings.ignore_links);
        let multicast = read.settings.multicast_targets_only;
        assert_eq!(multicast, called.multicast_targets_only);
    }
}

#[test]
fn a_file_with_an_error_is_refused_whole_and_the_other_stands() {
    let toml = "[defaults]\nfailback = false\nhold-down = 3\n[daemon]\nrecord = \"/x\"\n";
    let read = read(
        Some("FAILURE_DETECTION_TIME=2s\nFAILBACK=what\n"),
        Some(toml),
    );
    assert_eq!(read.refused, [PathBuf::from("etc/ipmp.toml")]);
    assert!(read.has_errors());
    assert_eq!(
        read.settings.common,
        GroupSettings {
            failure_detection_time: Duration::from_secs(2),
            ..GroupSettings::default()
        }
    );
    assert_eq!(read.recording, Recording::default());
    let said: Vec<String> = read.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "etc/default/mpathd:2: invalid value 'what' for FAILBACK, not yes or no; using yes",
            "etc/ipmp.toml:3: hold-down: a time from 0s to 1day such as \"10s\", not 3",
        ]
    );
}

#[test]
fn what_makes_little_sense_together_is_odd_but_no_error() {
    let toml = "[defaults]\nconfirm-silence = \"200ms\"\n\n\
                [group.web]\nfailure-detection-time = \"300ms\"\n\
                [group.db]\nfailure-detection-time = \"300ms\"\nconfirm = false\n";
    let read = read(None, Some(toml));
    assert!(!read.has_errors());
    let said: Vec<String> = read.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "etc/ipmp.toml:2: confirm-silence 200ms is more than half of a failure-detection-time \
             of 300ms; 150ms is used"
        ]
    );
}

#[test]
fn where_a_setting_was_made() {
    let toml = "[defaults]\nfailback = false\n[group.web]\n\n  hold-down = \"1s\"\n";
    let read = read(Some("\nQUIET_PERIOD=9s\nFAILBACK=yes"), Some(toml));
    let web = &read.groups[&"web".parse().unwrap()];
    let shown: Vec<String> = web
        .iter()
        .map(|(key, setting, origin)| {
            let origin = match origin {
                Origin::Default => "default".to_owned(),
                Origin::Line(path, line) => {
                    format!("{}:{line}", path.file_name().unwrap().display())
                }
            };
            format!("{} {setting} {origin}", key.name())
        })
        .collect();
    assert_eq!(
        shown,
        [
            "failure-detection-time 10s default",
            "failback no ipmp.toml:2",
            "probe-method auto default",
            "probe-targets found default",
            "confirm yes default",
            "confirm-silence auto default",
            "confirm-probes 10 default",
            "hold-down 1s ipmp.toml:5",
            "dampening-half-life 1m default",
            "quiet-period 9s mpathd:2",
        ]
    );
}
