//! What bash, zsh and fish really offer, each asked at its own prompt: what the help names, interfaces and
//! files.

#[path = "lab/verbs.rs"]
mod verbs;

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use self::verbs::verbs;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ipmp");

type Done = Result<(), Box<dyn Error>>;

/// What it prints for these words; that is all it does.
fn told(words: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = Command::new(PROGRAM).args(words).output()?;
    assert!(output.status.success(), "{words:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Somebody who has a shell that completes, and a directory to work in.
struct User {
    shell: &'static str,
    home: TempDir,
}

impl User {
    /// One for each shell that is installed, with its completions where the help says to put them.
    fn all() -> Result<Vec<Self>, Box<dyn Error>> {
        let mut all = Vec::new();
        for shell in ["bash", "zsh", "fish"] {
            if Command::new(shell).arg("--version").output().is_err() {
                // CI has all of them.
                assert!(env::var_os("CI").is_none(), "no {shell}");
                writeln!(io::stderr(), "LEFT OUT: no {shell}")?;
                continue;
            }
            let home = TempDir::new()?;
            let place = match shell {
                "bash" => "bash",
                "zsh" => "_ipmp",
                _ => "fish/conf.d/ipmp.fish",
            };
            for made in ["programs", "work", "fish/conf.d"] {
                fs::create_dir_all(home.path().join(made))?;
            }
            fs::write(home.path().join(place), told(&["completions", shell])?)?;
            fs::write(
                home.path().join(".zshrc"),
                include_str!("completions/zshrc"),
            )?;
            symlink(PROGRAM, home.path().join("programs/ipmp"))?;
            all.push(Self { shell, home });
        }
        Ok(all)
    }

    /// The shell with these arguments, in the user's directory.
    fn shell(&self, arguments: &[&str]) -> Command {
        let mut path = self.home.path().join("programs").into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut shell = Command::new(self.shell);
        shell
            .args(arguments)
            .current_dir(self.home.path().join("work"))
            .env("PATH", path)
            .env("HOME", self.home.path())
            .env("ZDOTDIR", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path())
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        shell
    }

    /// What is offered for the last word of each of these lines, as the user types them one after another.
    fn offered(&self, lines: &[&str]) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
        let said = match self.shell {
            "bash" => self.bash(lines)?,
            "zsh" => self.said(&["-f", "-c", include_str!("completions/driver.zsh"), "-"], lines)?,
            _ => self.said(
                &[
                    "-c",
                    "for line in $argv; echo '== '; complete -C $line | string replace -r '\\t.*' ''; end; true",
                ],
                lines,
            )?,
        };
        // One part for each line.
        let parts = said.split("== \n").skip(1);
        let parts: Vec<Vec<String>> = parts
            .map(|part| part.lines().map(str::to_owned).collect())
            .collect();
        assert_eq!(parts.len(), lines.len(), "{}: {said}", self.shell);
        Ok(parts)
    }

    /// The same for one line, in order.
    fn offers(&self, line: &str) -> Result<Vec<String>, Box<dyn Error>> {
        let mut offered = self.offered(&[line])?.pop().unwrap_or_default();
        offered.sort_unstable();
        Ok(offered)
    }

    /// What the shell says, which must have no complaints.
    fn said(&self, arguments: &[&str], lines: &[&str]) -> Result<String, Box<dyn Error>> {
        let output = self.shell(arguments).args(lines).output()?;
        assert!(output.status.success(), "{lines:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{lines:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Bash has all that it offers put into the line (M-*), where it quotes it as it must be. A word in
    /// front of the line (C-a) then makes it say what it reads there.
    fn bash(&self, lines: &[&str]) -> Result<String, Box<dyn Error>> {
        let mut typed = format!(
            "set -u; source '{}'\nsaid() {{ shift $(($1 + 1)); printf '%s\\n' '== ' \"$@\"; }}\n",
            self.home.path().join("bash").display()
        );
        for line in lines {
            let stood = line.matches(' ').count();
            writeln!(typed, "{line}\x1b*\x01said {stood} ")?;
        }
        let mut bash = self.shell(&["--norc", "--noprofile", "-i"]).spawn()?;
        let mut keyboard = bash.stdin.take().ok_or("no input")?;
        keyboard.write_all(typed.as_bytes())?;
        drop(keyboard);
        // Standard error is what it shows of the line.
        let output = bash.wait_with_output()?;
        assert!(output.status.success(), "{lines:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }
}

#[test]
fn every_verb_is_offered_by_its_beginning() -> Done {
    let usage = told(&["--help"])?;
    let mut all = verbs(&usage);
    all.extend(["--help", "--version"]);
    all.sort_unstable();
    for user in User::all()? {
        assert_eq!(user.offers("ipmp ")?, all, "{}", user.shell);
        let beginnings = all.iter().map(|verb| verb.get(..verb.len() - 1));
        let beginnings: Vec<&str> = beginnings.map(Option::unwrap_or_default).collect();
        let lines: Vec<String> = beginnings.iter().map(|it| format!("ipmp {it}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for (beginning, mut offered) in beginnings.into_iter().zip(user.offered(&lines)?) {
            offered.sort_unstable();
            let mut expected = all.clone();
            expected.retain(|verb| verb.starts_with(beginning));
            assert_eq!(offered, expected, "{}: {beginning}", user.shell);
        }
    }
    Ok(())
}

#[test]
fn options_are_offered_that_the_help_names() -> Done {
    let usage = told(&["--help"])?;
    let verbs = verbs(&usage);
    let lines: Vec<String> = verbs.iter().map(|verb| format!("ipmp {verb} -")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for user in User::all()? {
        for (verb, known) in verbs.iter().zip(user.offered(&lines)?) {
            for option in options(&told(&[verb, "--help"])?) {
                assert!(
                    known.contains(&option),
                    "{}: {verb}: {option}: {known:?}",
                    user.shell
                );
            }
        }
    }
    Ok(())
}

/// The options with two dashes of a help text.
fn options(help: &str) -> Vec<String> {
    let lines = help.lines().filter(|line| {
        line.to_ascii_lowercase().starts_with("usage: ") || line.trim_start().starts_with('-')
    });
    let words = lines.flat_map(|line| line.split(|c: char| !(c.is_ascii_lowercase() || c == '-')));
    let options = words.filter(|word| word.starts_with("--") && word.len() > 2);
    options.map(str::to_owned).collect()
}

#[test]
fn tools_are_completed_by_their_own_names() -> Done {
    for user in User::all()? {
        let shell = user.shell;
        let mpadm = user.offers("if_mpadm -")?;
        assert_eq!(mpadm, ["--help", "-d", "-r"], "{shell}");
        for (line, one) in [
            ("ipmpstat -", "--watch"),
            ("ipmpstat -", "-g"),
            ("ipmpstat --j", "--json"),
            ("in.mpathd --f", "--foreground"),
            ("ipmp completions ", "zsh"),
            ("ipmp ifconfig lo plu", "plumb"),
        ] {
            let offered = user.offers(line)?;
            assert!(
                offered.iter().any(|it| it == one),
                "{shell}: {line}: {offered:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn interfaces_and_files_are_offered_where_they_may_stand() -> Done {
    for user in User::all()? {
        let shell = user.shell;
        let work = user.home.path().join("work");
        fs::write(work.join("recorded by hand"), "")?;
        let lines = [
            "ipmp offline l",
            "ipmp explain l",
            "ipmp ifconfig l",
            "if_mpadm -d l",
        ];
        for (line, offered) in lines.iter().zip(user.offered(&lines)?) {
            assert!(
                offered.iter().any(|it| it == "lo"),
                "{shell}: {line}: {offered:?}"
            );
        }
        let offered = user.offers("ipmp replay recorded")?;
        assert!(
            is_file(&offered, "recorded by hand"),
            "{shell}: {offered:?}"
        );
        let offered = user.offers("ipmp status recorded")?;
        assert!(
            !is_file(&offered, "recorded by hand"),
            "{shell}: {offered:?}"
        );
    }
    Ok(())
}

/// Whether a file is among what is offered. Fish says it as it is to be typed.
fn is_file(offered: &[String], name: &str) -> bool {
    offered.iter().any(|it| it.replace('\\', "") == name)
}

/// A verb is a verb where a directory has its name, and a word that has a colon or an equals sign in it is
/// completed as one.
#[test]
fn words_are_no_files() -> Done {
    for user in User::all()? {
        let shell = user.shell;
        fs::create_dir(user.home.path().join("work/status"))?;
        assert_eq!(user.offers("ipmp sta")?, ["status"], "{shell}");
        let whole = "local-mac-address?=true";
        let quoted = if shell == "bash" { "" } else { "\\" };
        let offered = user.offers(&format!("ipmp eeprom local-mac-address{quoted}?=t"))?;
        let is_whole = offered.iter().any(|it| it.replace('\\', "") == whole);
        assert!(is_whole, "{shell}: {offered:?}");
    }
    Ok(())
}
