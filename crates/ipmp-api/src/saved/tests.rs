use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

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
            version: 1,
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
    fs::write(&path, with("version", 2.into())).unwrap();
    assert!(matches!(read(&path), Err(ReadError::Newer(_, 2))));
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
