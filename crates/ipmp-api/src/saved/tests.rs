use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};

use ipmp_core::asked::{Asked, Interface, Logical, NexthopKey};
use ipmp_core::kernel::{Address, Form, Hop, Route, Sysctl, TABLE_MAIN, Via};
use ipmp_core::plan::Operation;
use ipmp_core::{Family, Flags, InterfaceAddress};

use super::*;

/// What the first daemon that saved anything had of lab 1 while ge0 was set down and another hand's default
/// route went through ge1.
const VERSION_1: &str = include_str!("version-1.json");

/// All that could be saved in version 2: nothing of who was silent, and routes of the main table only.
const VERSION_2: &str = include_str!("version-2.json");

/// All that can be saved.
const VERSION_3: &str = include_str!("version-3.json");

fn sample() -> Saved {
    let mut saved = Saved {
        version: Saved::VERSION,
        ..Saved::default()
    };
    saved.asked.local_mac = Some(true);
    saved.failed.insert("ge1".parse().unwrap());
    saved
}

#[test]
fn what_was_written_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    assert_eq!(read(&path).unwrap(), None);
    write(&path, &sample()).unwrap();
    assert_eq!(read(&path).unwrap(), Some(sample()));
    // Again, over the old one and over what an interrupted write left.
    fs::write(directory.path().join("state.new"), "{").unwrap();
    write(
        &path,
        &Saved {
            version: Saved::VERSION,
            ..Saved::default()
        },
    )
    .unwrap();
    assert_eq!(read(&path).unwrap().unwrap().failed.len(), 0);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn every_truncation_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    write(&path, &sample()).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(
            matches!(read(&path), Err(ReadError::Damaged(..))),
            "{length} bytes"
        );
    }
}

#[test]
fn damaged_and_newer_files_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let whole = serde_json::to_value(sample()).unwrap();
    let with = |key: &str, value: serde_json::Value| {
        let mut whole = whole.clone();
        whole[key] = value;
        whole.to_string().into_bytes()
    };
    for bytes in [
        b"\xff\x00garbage".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        with("surprise", 1.into()),
        with("version", 0.into()),
        with("version", "1".into()),
        with("failed", 1.into()),
    ] {
        fs::write(&path, &bytes).unwrap();
        let read = read(&path);
        assert!(matches!(read, Err(ReadError::Damaged(..))), "{read:?}");
    }
    // Also where the version is all that a newer daemon changed.
    let next = Saved::VERSION + 1;
    fs::write(&path, with("version", next.into())).unwrap();
    assert!(matches!(read(&path), Err(ReadError::Newer(_, v)) if v == u64::from(next)));
    fs::write(&path, b"{\"version\": 7, \"all\": \"different\"}").unwrap();
    assert!(matches!(read(&path), Err(ReadError::Newer(_, 7))));
}

#[test]
fn symbolic_links_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, serde_json::to_vec(&sample()).unwrap()).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert!(matches!(read(&path), Err(ReadError::Io(..))));
    // Writing replaces the link, and what it pointed to stays as it was.
    fs::write(&elsewhere, "untouched").unwrap();
    write(&path, &sample()).unwrap();
    assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
    assert_eq!(read(&path).unwrap(), Some(sample()));
}

#[test]
fn files_are_set_aside_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    for n in 1..=3 {
        fs::write(&path, "{").unwrap();
        let aside = set_aside(&path).unwrap();
        assert_eq!(aside, directory.path().join(format!("state.damaged-{n}")));
        assert!(!path.exists());
    }
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_nothing_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    // A directory that is not empty cannot be replaced by a file.
    fs::create_dir_all(path.join("old")).unwrap();
    assert!(write(&path, &sample()).is_err());
    assert!(path.join("old").exists());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// Something in every member.
fn everything() -> Saved {
    let [ge0, ge1] = ["ge0", "ge1"].map(|name| name.parse().unwrap());
    let on = |address: &str, prefix| InterfaceAddress::new(address.parse().unwrap(), prefix);
    let interface = |standby, offline| Interface {
        families: Family::ALL.into(),
        group: Some("testgrp2".parse().unwrap()),
        standby,
        offline,
    };
    let data = Logical {
        home: "ge1".parse().unwrap(),
        address: on("192.168.0.88", 24),
        broadcast: Some("192.168.0.255".parse().unwrap()),
        flags: Flags::UP,
        metric: 1,
        moved_to: Some("ge0".parse().unwrap()),
    };
    let hop = Hop::Link {
        family: Family::Inet,
        index: 2,
        gateway: Some("192.168.0.1".parse().unwrap()),
    };
    let group = NexthopKey::Group {
        group: "testgrp2".parse().unwrap(),
        family: Family::Inet6,
        gateway: None,
    };
    let shadowed = Route {
        table: TABLE_MAIN,
        destination: on("0.0.0.0", 0),
        metric: 0,
        protocol: 4,
        via: Via::Link {
            index: 2,
            gateway: Some("192.168.0.1".parse().unwrap()),
        },
        source: Some("192.168.0.88".parse().unwrap()),
    };
    let policy = Route {
        table: 100,
        ..shadowed.clone()
    };
    let found = Address {
        index: 3,
        address: on("192.168.0.88", 24),
        broadcast: Some("192.168.0.255".parse().unwrap()),
        label: Some("ge1:web".into()),
        protocol: 4,
        deprecated: false,
        secondary: true,
        no_prefix_route: false,
        duplicate: false,
        dynamic: false,
        form: Form {
            scope: 253,
            metric: 7,
            nodad: true,
        },
    };
    Saved {
        version: 3,
        asked: Asked {
            interfaces: [
                (ge0, interface(false, true)),
                ("ge1".parse().unwrap(), interface(true, false)),
            ]
            .into(),
            logicals: vec![data],
            local_mac: Some(true),
        },
        places: vec![(
            "ge1".parse().unwrap(),
            Family::Inet,
            "ge0:2".parse().unwrap(),
        )],
        failed: ["ge1".parse().unwrap()].into(),
        silent: ["ge1".parse().unwrap()].into(),
        sysctls: vec![("ge0".parse().unwrap(), Sysctl::ArpIgnore, 0)],
        found: [(ge1, vec![found])].into(),
        nexthops: vec![(NexthopKey::Link(hop), 1_229_979_648), (group, 7)],
        shadowed: [shadowed, policy]
            .map(|route| ("ge0".parse().unwrap(), route))
            .into(),
        retired: vec![(2, on("fd00::86", 64))],
        unfinished: vec![Operation::SetUp { index: 2, up: true }],
        links: [
            ("ge0".parse().unwrap(), Some(2)),
            ("ge1".parse().unwrap(), None),
        ]
        .into(),
    }
}

#[test]
fn the_format_is_that_of_its_version() {
    // If this differs, earlier daemons of this version call it damaged: it is to be the next version, with
    // a file of its own here, and this one is to be read by the test below.
    let written = serde_json::to_string_pretty(&everything()).unwrap();
    assert_eq!(written, VERSION_3.trim_end(), "{written}");
    let read = take(Path::new("state"), VERSION_3.as_bytes()).unwrap();
    assert_eq!(read, everything());
}

#[test]
fn version_2_is_read() {
    let mut expected = everything();
    expected.version = 2;
    expected.silent.clear();
    expected.shadowed.pop();
    let read = take(Path::new("state"), VERSION_2.as_bytes()).unwrap();
    assert_eq!(read, expected);
}

#[test]
fn version_1_is_read() {
    let saved = take(Path::new("state"), VERSION_1.as_bytes()).unwrap();
    assert_eq!(saved.version, 1);
    let [ge0, ge1] = ["ge0", "ge1"].map(|name| name.parse().unwrap());
    let groups = saved.asked.interfaces.values().map(|i| i.group.clone());
    assert_eq!(
        groups.collect::<Vec<_>>(),
        vec![Some("testgrp2".parse().unwrap()); 2]
    );
    let homes = saved.asked.logicals.iter().map(|l| l.home.to_string());
    assert_eq!(homes.collect::<Vec<_>>(), ["ge0", "ge0:1", "ge1", "ge1:1"]);
    assert_eq!(saved.failed, [ge0].into());
    let away = (
        "ge0".parse().unwrap(),
        Family::Inet,
        "ge1:2".parse().unwrap(),
    );
    assert_eq!(saved.places, [away]);
    assert_eq!(saved.sysctls.len(), 2 * Sysctl::ALL.len());
    assert_eq!(saved.nexthops.len(), 4);
    assert!(matches!(saved.shadowed.as_slice(), [(through, _)] if *through == ge1));
    // What it does not have.
    let without = Saved {
        found: BTreeMap::new(),
        retired: Vec::new(),
        unfinished: Vec::new(),
        links: BTreeMap::new(),
        ..saved.clone()
    };
    assert_eq!(saved, without);
    assert!(saved.asked.logicals.iter().all(|l| l.moved_to.is_none()));
}
