//! What `--help` of the real executable prints, verb by verb, as golden files; and that shells complete
//! what it names.

#[path = "lab/verbs.rs"]
mod verbs;

use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};

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
    assert_snapshot!("ipmp", usage);
    for verb in verbs {
        let help = told(&[verb, "--help"])?;
        let wide = help.lines().find(|line| line.chars().count() > WIDTH);
        assert_eq!(wide, None, "{verb}");
        assert!(help.contains("\nExample"), "{verb}: {help}");
        assert_snapshot!(verb, help);
    }
    Ok(())
}

/// What bash, having read its completions, offers for the last of these words.
fn offered(words: &[&str]) -> Result<Vec<String>, Box<dyn Error>> {
    let script = told(&["completions", "bash"])?;
    // What asks the daemon is asked of the executable under test.
    let program = env!("CARGO_BIN_EXE_ipmp");
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return Err("no words".into());
    };
    let at = words.len() - 1;
    let asked = format!(
        "{script}\nipmp() {{ '{program}' \"$@\"; }}\nCOMP_WORDS=({} '')\nCOMP_CWORD={at}\n\
         _ipmp '{first}' '{last}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        words.join(" "),
    );
    let mut bash = Command::new("bash")
        .args(["--norc", "-u"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    bash.stdin
        .take()
        .ok_or("no input")?
        .write_all(asked.as_bytes())?;
    let output = bash.wait_with_output()?;
    assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
    let offered = String::from_utf8(output.stdout)?;
    Ok(offered.lines().map(str::to_owned).collect())
}

#[test]
fn bash_completes_what_the_help_names() -> Result<(), Box<dyn Error>> {
    let usage = told(&["--help"])?;
    let mut verbs = verbs(&usage);
    verbs.extend(["--help", "--version"]);
    verbs.sort_unstable();
    let mut all = offered(&["ipmp", ""])?;
    all.sort_unstable();
    assert_eq!(all, verbs);
    assert_eq!(offered(&["ipmp", "sta"])?, ["status"]);
    assert!(offered(&["ipmp", "offline", "l"])?.contains(&"lo".to_owned()));
    assert_eq!(offered(&["if_mpadm", "-"])?, ["-d", "-r", "--help"]);
    for verb in verbs.into_iter().filter(|verb| !verb.starts_with('-')) {
        let help = told(&[verb, "--help"])?;
        let known = offered(&["ipmp", verb, "-"])?;
        let lines = help.lines().filter(|line| {
            line.starts_with("usage: ")
                || line.starts_with("Usage: ")
                || line.trim_start().starts_with('-')
        });
        let named =
            lines.flat_map(|line| line.split(|c: char| !(c.is_ascii_lowercase() || c == '-')));
        for option in named.filter(|word| word.starts_with("--")) {
            assert!(
                known.iter().any(|known| known == option),
                "{verb}: {option}: {known:?}"
            );
        }
    }
    Ok(())
}

/// Whether a shell can read its completions, where there is that shell.
#[test]
fn other_shells_read_theirs() -> Result<(), Box<dyn Error>> {
    let file = tempfile::NamedTempFile::new()?;
    for shell in ["bash", "zsh", "fish"] {
        std::fs::write(file.path(), told(&["completions", shell])?)?;
        let read = Command::new(shell).arg("-n").arg(file.path()).output();
        match read {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            // CI has all of them.
            Err(error) => assert!(std::env::var_os("CI").is_none(), "{shell}: {error}"),
        }
    }
    Ok(())
}
