//! What `--help` of the real executable prints, verb by verb, as golden files.

#[path = "lab/verbs.rs"]
mod verbs;

use std::error::Error;
use std::process::Command;

use insta::assert_snapshot;

use self::verbs::verbs;

const WIDTH: usize = 80;

/// What it prints for these words; that is all it does.
fn told(words: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(env!("CARGO_BIN_EXE_ipmp"))
        .args(words)
        .output()?;
    assert!(output.status.success(), "{words:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn every_verb_has_help_with_an_example_that_fits_a_terminal() -> Result<(), Box<dyn Error>> {
    let usage = told(&["--help"])?;
    let verbs = verbs(&usage);
    for known in ["demo", "offline", "online", "top", "eeprom", "in.mpathd"] {
        assert!(verbs.contains(&known), "{known}: {verbs:?}");
    }
    assert!(usage.lines().all(|line| line.chars().count() <= WIDTH));
    assert_eq!(told(&["help"])?, usage);
    assert_snapshot!("ipmp", usage);
    for verb in verbs {
        let help = told(&[verb, "--help"])?;
        let wide = help.lines().find(|line| line.chars().count() > WIDTH);
        assert_eq!(wide, None, "{verb}");
        assert!(help.contains("\nExample"), "{verb}: {help}");
        assert_eq!(told(&["help", verb])?, help);
        assert_snapshot!(verb, help);
    }
    Ok(())
}
