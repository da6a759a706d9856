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
mod commands;
mod control_socket;
mod eeprom;
mod faults;
mod files;
mod flags;
mod inet6;
mod labs;
mod ordinary_user;
mod restart;
mod routes;
mod scene;
mod settings;
mod tap;
mod three;
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
        commands::TESTS,
        control_socket::TESTS,
        eeprom::TESTS,
        faults::TESTS,
        files::TESTS,
        flags::TESTS,
        inet6::TESTS,
        labs::TESTS,
        ordinary_user::TESTS,
        restart::TESTS,
        routes::TESTS,
        settings::TESTS,
        three::TESTS,
        trace::TESTS,
    ]
    .concat()
}

fn main() -> ExitCode {
    let entered = ipmp_lab::enter();
    let arguments = Arguments::from_args();
    let refused = entered.err().map(|error| error.to_string());
    if let (Some(reason), Some(_)) = (&refused, std::env::var_os("CI")) {
        eprintln!("the lab cannot run: {reason}");
        return ExitCode::FAILURE;
    }
    let trials = tests()
        .into_iter()
        .map(|(name, test)| {
            let trial = Trial::test(name, test);
            match &refused {
                Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
                None => trial,
            }
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
