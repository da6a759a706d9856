//! The lab is what it says it is. `main` is ours, since namespaces are entered before there are
//! threads.

mod faults;
mod hosts;
mod leftovers;
mod traffic;

use std::error::Error;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use ipmp_lab::{Host, Lab, Nic, Switch};
use libtest_mimic::{Arguments, Failed, Trial};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let refused = ipmp_lab::enter().err();
    if std::env::args().nth(1).as_deref() == Some(leftovers::DOOMED) {
        return leftovers::doomed();
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (name, test) in [
        hosts::TESTS,
        faults::TESTS,
        traffic::TESTS,
        leftovers::TESTS,
    ]
    .concat()
    {
        let refused = refused.as_ref().map(ToString::to_string);
        let ignored = refused.is_some() && std::env::var_os("CI").is_none();
        let name = match &refused {
            Some(reason) if ignored => format!("{name} ({reason})"),
            _ => name.to_owned(),
        };
        let trial = Trial::test(name, move || match refused {
            Some(reason) => Err(Failed::from(reason)),
            None => test().map_err(|error| Failed::from(error.to_string())),
        });
        trials.push(trial.with_ignored_flag(ignored));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One test.
type Test = (&'static str, fn() -> Outcome);

fn lab() -> Result<Lab, Box<dyn Error>> {
    Ok(Lab::new(&std::env::current_exe()?)?)
}

/// Two hosts on a switch: `host1` has 10.0.0.1 and `fd00::1`, `host2` has 10.0.0.2 and `fd00::2`.
struct Pair {
    host1: Host,
    host2: Host,
    nic1: Nic,
    nic2: Nic,
    switch: Switch,
    lab: Lab,
}

impl Pair {
    fn new() -> Result<Self, Box<dyn Error>> {
        let lab = lab()?;
        let switch = lab.switch();
        let (host1, nic1) = host(&lab, &switch, 1)?;
        let (host2, nic2) = host(&lab, &switch, 2)?;
        Ok(Self {
            host1,
            host2,
            nic1,
            nic2,
            switch,
            lab,
        })
    }
}

/// `host<number>` with ge0 on the switch, 10.0.0.`number` and `fd00::<number>`.
fn host(lab: &Lab, switch: &Switch, number: u8) -> Result<(Host, Nic), Box<dyn Error>> {
    let host = lab.host(&format!("host{number}"))?;
    let nic = host.nic("ge0", switch)?;
    host.configure("ge0", &format!("10.0.0.{number}/24"))?;
    host.configure("ge0", &format!("fd00::{number}/64"))?;
    Ok((host, nic))
}

const fn ip(number: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, number))
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Fails with what was compared.
#[expect(clippy::needless_pass_by_value, reason = "callers read better")]
fn equal<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should_be: T) -> Outcome {
    if is == should_be {
        Ok(())
    } else {
        Err(format!("{what}: {is:?} instead of {should_be:?}").into())
    }
}

fn holds(what: &str, condition: bool) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(format!("not so: {what}").into())
    }
}
