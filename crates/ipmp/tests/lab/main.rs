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
mod commands;
mod control_socket;
mod eeprom;
mod faults;
mod files;
mod flags;
mod inet6;
mod labs;
mod ordinary_user;
mod recording;
mod restart;
mod routes;
mod scene;
mod settings;
mod solicit;
mod storm;
mod tap;
mod three;
mod tools;
mod trace;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A test: its name, which names the behaviour it proves, and what it does.
type Test = (&'static str, fn() -> Result<(), Failed>);

/// All tests, one list for each file.
fn tests() -> Vec<Test> {
    [
        bad_input::TESTS,
        behaviour::TESTS,
        carrier::TESTS,
        commands::TESTS,
        control_socket::TESTS,
        eeprom::TESTS,
        faults::TESTS,
        files::TESTS,
        flags::TESTS,
        inet6::TESTS,
        labs::TESTS,
        ordinary_user::TESTS,
        recording::TESTS,
        restart::TESTS,
        routes::TESTS,
        settings::TESTS,
        solicit::TESTS,
        storm::TESTS,
        three::TESTS,
        tools::TESTS,
        trace::TESTS,
    ]
    .concat()
}

/// The tests that `docs/acceptance.md` names are there, by file and function.
fn acceptance_names_tests_that_exist() -> Result<(), Failed> {
    let text = include_str!("../../../../docs/acceptance.md");
    let quoted = text.split('`').skip(1).step_by(2);
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let named: Vec<&str> = quoted
        .filter(|name| {
            name.split_once("::")
                .is_some_and(|(file, test)| is_word(file) && is_word(test))
        })
        .collect();
    if named.is_empty() {
        return Err("docs/acceptance.md names no tests".into());
    }
    let all = tests();
    let missing: Vec<&str> = named
        .into_iter()
        .filter(|name| {
            !all.iter()
                .any(|(known, _)| known.ends_with(&format!("::{name}")))
        })
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("docs/acceptance.md names tests that are not there: {missing:?}").into())
    }
}

fn main() -> ExitCode {
    let entered = ipmp_lab::enter();
    let arguments = Arguments::from_args();
    let refused = entered.err().map(|error| error.to_string());
    let must_run = std::env::var_os("CI").is_some();
    let user_is_missing = refused.is_none() && !ordinary_user::exists();
    let trials = tests()
        .into_iter()
        .map(|(name, test)| {
            let missing = match &refused {
                Some(reason) => Some(reason.as_str()),
                None if user_is_missing && name.contains("ordinary_user") => {
                    Some("no user but root here; run it with sudo")
                }
                None => None,
            };
            match missing.map(str::to_owned) {
                None => Trial::test(name, test),
                Some(reason) if must_run => {
                    Trial::test(name, move || Err(format!("cannot run: {reason}").into()))
                }
                Some(reason) => Trial::test(name, test)
                    .with_kind(reason)
                    .with_ignored_flag(true),
            }
        })
        .chain([Trial::test(
            "acceptance_names_tests_that_exist",
            acceptance_names_tests_that_exist,
        )])
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
