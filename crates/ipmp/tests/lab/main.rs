//! The lab tier: the real daemon and tools on hosts out of namespaces, traffic flowing, cables pulled.
//!
//! Needs root or user namespaces. Where neither is to be had, the tests are reported as ignored with
//! the reason; with `CI` set they fail instead.

/// The list of a file's tests, each called as its function with the file's name in front.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::Test] =
            &[$((concat!(module_path!(), "::", stringify!($name)), $name)),*];
    };
}

mod bad_input;
mod bed;
mod behaviour;
mod carrier;
mod claims;
mod commands;
mod completed;
mod control_socket;
mod crowd;
#[expect(dead_code, reason = "shared with a bench, which needs more of it")]
mod daemon;
mod demo;
mod duplicates;
mod eeprom;
mod every_verb;
mod explained;
mod exporter;
mod faults;
mod files;
mod flags;
mod flood;
mod floods;
mod hands;
mod hooks;
mod inet6;
mod journal;
mod killed;
mod labs;
mod late_links;
mod limits;
mod moving;
mod ordinary_user;
mod privileges;
mod protocol;
mod recording;
mod restart;
mod routes;
mod saved;
mod scene;
mod settings;
mod solicit;
mod stacked;
mod storm;
mod tap;
mod teardown;
mod three;
mod tools;
mod top;
mod trace;
mod turns;
mod unplug;
mod verbs;
mod watched_probes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A test: its name, which names the behaviour it proves, and what it does.
type Test = (&'static str, fn() -> Result<(), Failed>);

/// Tests that load the machine, which take turns.
fn loading() -> Vec<Test> {
    [storm::TESTS, floods::TESTS, limits::TESTS].concat()
}

/// All other tests, one list for each file.
fn others() -> Vec<Test> {
    [
        // The longest, which would be left over at the end.
        killed::TESTS,
        bad_input::TESTS,
        behaviour::TESTS,
        carrier::TESTS,
        claims::TESTS,
        commands::TESTS,
        completed::TESTS,
        control_socket::TESTS,
        demo::TESTS,
        duplicates::TESTS,
        eeprom::TESTS,
        every_verb::TESTS,
        explained::TESTS,
        exporter::TESTS,
        faults::TESTS,
        files::TESTS,
        flags::TESTS,
        hands::TESTS,
        hooks::TESTS,
        inet6::TESTS,
        journal::TESTS,
        labs::TESTS,
        late_links::TESTS,
        moving::TESTS,
        ordinary_user::TESTS,
        privileges::TESTS,
        protocol::TESTS,
        recording::TESTS,
        restart::TESTS,
        routes::TESTS,
        saved::TESTS,
        settings::TESTS,
        solicit::TESTS,
        stacked::TESTS,
        teardown::TESTS,
        three::TESTS,
        tools::TESTS,
        top::TESTS,
        trace::TESTS,
        unplug::TESTS,
        watched_probes::TESTS,
    ]
    .concat()
}

/// The tests that documents name are there: `file::function` of this tier, or with a path below `crates`
/// any other.
fn documents_name_tests_that_exist() -> Result<(), Failed> {
    let documents = [
        (
            "docs/acceptance.md",
            include_str!("../../../../docs/acceptance.md"),
        ),
        ("SECURITY.md", include_str!("../../../../SECURITY.md")),
        (
            "docs/reliability.md",
            include_str!("../../../../docs/reliability.md"),
        ),
    ];
    let all = [loading(), others()].concat();
    for (document, text) in documents {
        let quoted = text.split('`').skip(1).step_by(2);
        let named: Vec<(&str, &str)> = quoted
            .filter_map(|name| name.split_once("::"))
            .filter(|(file, test)| (is_word(file) || is_path(file)) && is_word(test))
            .collect();
        if named.is_empty() {
            return Err(format!("{document} names no tests").into());
        }
        let missing: Vec<_> = named
            .into_iter()
            .filter(|(file, test)| {
                if is_path(file) {
                    !is_function_of(file, test)
                } else {
                    let end = format!("::{file}::{test}");
                    !all.iter().any(|(known, _)| known.ends_with(&end))
                }
            })
            .collect();
        if !missing.is_empty() {
            return Err(format!("{document} names tests that are not there: {missing:?}").into());
        }
    }
    Ok(())
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_path(text: &str) -> bool {
    text.contains('/')
        && Path::new(text)
            .extension()
            .is_some_and(|extension| extension == "rs")
}

/// Whether a file below `crates` has a function of this name.
fn is_function_of(file: &str, function: &str) -> bool {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(crates.join(file))
        .is_ok_and(|text| text.contains(&format!("fn {function}(")))
}

/// What some tests need and is not there: a word in their names, and what to do about it.
fn lacking() -> Vec<(&'static str, &'static str)> {
    let mut lacking = Vec::new();
    if !ordinary_user::exists() {
        lacking.push(("ordinary_user", "no user but root here; run it with sudo"));
    }
    if program("promtool").is_none() {
        lacking.push(("promtool", "promtool is not installed"));
    }
    if program("socat").is_none() {
        lacking.push(("socat", "socat is not installed"));
    }
    lacking
}

/// Where a program of the machine is; hosts see it there too.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&path).map(|directory| directory.join(name));
    candidates.find(|candidate| candidate.is_file())
}

fn main() -> ExitCode {
    if let Some(code) = crowd::main() {
        return code;
    }
    let entered = ipmp_lab::enter();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert_with(turns::threads);
    let refused = entered.err().map(|error| error.to_string());
    let must_run = std::env::var_os("CI").is_some();
    let lacking = if refused.is_none() {
        lacking()
    } else {
        Vec::new()
    };
    let trials = turns::order(&loading(), &others())
        .into_iter()
        .map(|turn| {
            let name = turn.name;
            let lacks = || {
                let mut lacking = lacking.iter();
                lacking.find_map(|(word, reason)| name.contains(word).then_some(*reason))
            };
            let missing = refused.as_deref().or_else(lacks);
            match missing.map(str::to_owned) {
                None => Trial::test(name, move || turn.run()),
                Some(reason) if must_run => {
                    Trial::test(name, move || Err(format!("cannot run: {reason}").into()))
                }
                Some(reason) => Trial::test(name, move || turn.run())
                    .with_kind(reason)
                    .with_ignored_flag(true),
            }
        })
        .chain([Trial::test(
            "documents_name_tests_that_exist",
            documents_name_tests_that_exist,
        )])
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
