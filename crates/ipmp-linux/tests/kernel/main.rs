//! Tests against the running kernel. Each has a network namespace of its own, with virtual cables to
//! another one; nothing outside is touched.
//!
//! Where namespaces are not to be had, the tests are ignored and the reason is printed; under CI
//! that is a failure.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that finds something else than expected is to stop right there"
)]

mod announce;
mod carrier;
mod claims;
mod neighbours;
mod probe;
mod realtime;
mod routes;
mod rtnl;
mod silence;
mod solicit;
mod world;

use std::process::ExitCode;

use ipmp_linux::netns;
use libtest_mimic::{Arguments, Trial};

#[expect(clippy::print_stderr, reason = "says why tests are ignored")]
fn main() -> ExitCode {
    if std::env::args_os()
        .next()
        .is_some_and(|name| name == realtime::CHILD)
    {
        return realtime::child();
    }
    let arguments = Arguments::from_args();
    // A user namespace can only be entered while this is the only thread.
    let refused = netns::leave_the_machine().err();
    if let Some(why) = &refused {
        eprintln!("no namespaces for the kernel tests: {why}");
        if std::env::var_os("CI").is_some() {
            return ExitCode::FAILURE;
        }
    }
    let trials = [
        rtnl::TESTS,
        routes::TESTS,
        silence::TESTS,
        probe::TESTS,
        solicit::TESTS,
        claims::TESTS,
        neighbours::TESTS,
        realtime::TESTS,
        announce::TESTS,
        carrier::TESTS,
    ]
    .concat()
    .into_iter()
    .map(|(name, test)| {
        Trial::test(name, move || {
            netns::on_thread(|| test(world::World::new()));
            Ok(())
        })
        .with_ignored_flag(refused.is_some())
    })
    .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
