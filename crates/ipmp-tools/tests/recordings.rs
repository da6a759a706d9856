//! Cases from the field: recordings of real daemons, decided again as they were, and told as in the
//! file beside them.
//!
//! Recorded by the lab (`crates/ipmp/tests/lab/recording.rs`), which writes them anew where
//! `IPMP_RECORDINGS` names this directory. That is needed when the engine's probes change, as answers
//! belong to the probes that were sent; what is decided may then not have changed otherwise than
//! meant, which the timelines show.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use ipmp_tools::replay::replay;

#[test]
fn recordings_are_decided_as_they_were() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        let mut told = String::new();
        let replayed = replay(BufReader::new(File::open(&path).unwrap()), |line| {
            told += &line;
            told.push('\n');
        });
        let replayed = replayed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(replayed.probes > 0, "{}", path.display());
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(
            told + &format!("{replayed}\n"),
            expected,
            "{}",
            path.display()
        );
        let size = fs::metadata(&path).unwrap().len();
        assert!(size < 200_000, "{}: {size} bytes", path.display());
        names.push(path.file_stem().unwrap().display().to_string());
    }
    names.sort();
    assert_eq!(names, ["flapping", "pull", "silent"]);
}
