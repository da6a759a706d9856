//! The lab tier: the real daemon and tools on hosts out of namespaces, traffic flowing, cables pulled.
//!
//! Needs root or user namespaces. Where neither is to be had, the tests are reported as ignored with
//! the reason; with `CI` set they fail instead.

mod bed;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A test: its name, which names the behaviour it proves, and what it does.
type Test = (&'static str, fn() -> Result<(), Failed>);

/// All tests, one list for each file.
fn tests() -> Vec<Test> {
    [].concat()
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
