use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;
use ipmp_core::record::{Cause, Direction};
use ipmp_core::snapshot::{Daemon, Resyncs, TargetMode};
use ipmp_core::totals::{FailureCount, OutageCount};
use ipmp_core::{Snapshot, Totals};

use super::run;
use crate::etc::Etc;
use crate::recorded::{Recorded, transcript};
use crate::sample;

/// A host of which there is something to tell with every metric.
fn everything() -> Snapshot {
    let mut probing = sample::probing(TargetMode::Routes, "192.168.0.89", &["192.168.0.1"]);
    probing.targets[0].rtt_average = Some(Duration::from_micros(250));
    probing.targets[0].rtt_deviation = Some(Duration::from_micros(25));
    (probing.sent, probing.acknowledged, probing.lost) = (700, 690, 9);
    (probing.missed, probing.void, probing.confirmations) = (2, 1, 3);
    let mut failover = OutageCount::none(
        Direction::Failover,
        Cause::ProbesLost,
        "testgrp2".parse().ok(),
    );
    failover.add(&sample::outage());
    failover.add(&sample::outage());
    let mut snapshot = Snapshot {
        totals: Totals {
            failures: vec![FailureCount {
                interface: "ge1".parse().unwrap(),
                cause: Cause::ProbesLost,
                count: 2,
            }],
            outages: vec![failover],
            contests: 1,
        },
        daemon: Some(Daemon {
            version: "0.1.0".into(),
            started: Duration::from_millis(1_795_394_972_500),
            resyncs: Resyncs {
                periodic: 4,
                ..Resyncs::default()
            },
        }),
        ..sample::lab1_failed()
    };
    snapshot.interfaces[2].probing = vec![probing];
    snapshot
}

fn ipmp_metrics(daemon: &mut Recorded, line: &str) -> String {
    transcript(daemon, &Etc::below(Path::new("/nonexistent")), line, run)
}

#[test]
fn text() {
    let mut daemon = Recorded::showing(everything());
    assert_snapshot!("metrics", ipmp_metrics(&mut daemon, ""));
    assert_snapshot!("metrics_usage", ipmp_metrics(&mut daemon, "--help"));
    for line in ["more", "--output", "--output a b"] {
        assert!(ipmp_metrics(&mut daemon, line).ends_with("exit 1\n"));
    }
}

#[test]
fn a_host_without_groups_has_the_metrics_of_its_daemon() {
    let mut daemon = Recorded::showing(Snapshot {
        daemon: everything().daemon,
        ..Snapshot::default()
    });
    assert_snapshot!("metrics_empty", ipmp_metrics(&mut daemon, ""));
}

#[test]
fn that_no_daemon_runs_is_a_metric() {
    let mut daemon = Recorded::default();
    daemon.is_down = true;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ipmp.prom");
    let says = "2> ipmp: in.mpathd is not running (start it: systemctl start ipmp, or in.mpathd)\n\
                exit 1\n";
    let line = format!("--output {}", file.display());
    assert_eq!(ipmp_metrics(&mut daemon, &line), says);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.ends_with("\nipmp_up 0\n"), "{text}");
    assert_eq!(ipmp_metrics(&mut daemon, ""), format!("{text}{says}"));
}

#[test]
fn a_file_is_replaced_in_one_step_and_may_be_read_by_all() {
    let mut daemon = Recorded::showing(everything());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ipmp.prom");
    let other = directory.path().join("other");
    fs::write(&other, "other").unwrap();
    // What somebody has put in its place is not written through.
    symlink(&other, &file).unwrap();
    let line = format!("--output {}", file.display());
    for _ in 0..2 {
        assert_eq!(ipmp_metrics(&mut daemon, &line), "");
        let found = fs::symlink_metadata(&file).unwrap();
        assert!(found.is_file());
        assert_eq!(found.permissions().mode() & 0o777, 0o644);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text, ipmp_metrics(&mut daemon, ""));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
    assert_eq!(fs::read_to_string(&other).unwrap(), "other");
    let missing = ipmp_metrics(&mut daemon, "--output /nonexistent/ipmp.prom");
    assert_eq!(
        missing,
        "2> ipmp: /nonexistent/ipmp.prom: No such file or directory (os error 2)\nexit 1\n"
    );
}

/// The names of all metrics there are.
fn names() -> BTreeSet<String> {
    let text = super::text(Some(&everything())).unwrap();
    let types = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    types.map(str::to_owned).collect()
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let table = include_str!("../../../../docs/metrics.md").lines();
    let documented: BTreeSet<String> = table
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, names());
}

#[test]
fn alerts_and_dashboard_use_metrics_that_exist() {
    let known = names();
    let dashboard = include_str!("../../../../dist/grafana/ipmp.json");
    let parsed: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    assert!(!parsed["panels"].as_array().unwrap().is_empty());
    for text in [
        dashboard,
        include_str!("../../../../dist/prometheus/ipmp.rules.yml"),
        include_str!("../../../../dist/prometheus/ipmp.rules.test.yml"),
    ] {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let used: BTreeSet<&str> = words.filter(|word| word.starts_with("ipmp_")).collect();
        assert!(used.len() > 5, "{used:?}");
        for name in used {
            let parts = ["_bucket", "_sum", "_count"];
            let of = parts.iter().find_map(|part| name.strip_suffix(part));
            assert!(
                known.contains(name) || of.is_some_and(|of| known.contains(of)),
                "there is no metric {name}"
            );
        }
    }
}
