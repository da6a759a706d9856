//! The inputs that fuzzing has found go through their targets, on machines without cargo-fuzz too.

use std::fs;
use std::path::{Path, PathBuf};

use ipmp_fuzz::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

#[test]
fn every_input_of_the_corpus_is_taken() {
    for (name, target) in TARGETS {
        let mut taken = 0;
        for entry in fs::read_dir(fuzz().join("corpus").join(name)).unwrap() {
            let path = entry.unwrap().path();
            // Said only if the test fails.
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
            taken += 1;
        }
        assert!(taken > 0, "no corpus of {name}");
    }
}

#[test]
fn every_target_has_its_executable() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let text = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("ipmp_fuzz::{name}(")), "{text}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
