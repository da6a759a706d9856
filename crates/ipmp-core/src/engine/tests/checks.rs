//! What becomes of commands while other hosts are asked for an address, and after that.

use std::time::Duration;

use super::conflicts::{asking, ms, take, up};
use super::host::Host;
use super::teardown::{found, tear_down};
use crate::kernel::Change;
use crate::{Answer, Command};

/// Two members, the first one with a test address that stood there before IPMP.
fn with_found_test_address() -> Host {
    let mut host = asking(&["ge0", "ge1"]);
    let test_address = found(&host, "ge0", "192.168.0.87", false);
    host.change(Change::Address(test_address));
    for line in [
        "ge0 deprecated -failover group g",
        "ge0 addif 192.168.0.86 up",
        "ge1 plumb 192.168.0.88 group g up",
    ] {
        host.ifconfig(line);
    }
    host.pass(Duration::from_mins(1));
    assert_eq!(host.holders("192.168.0.87"), ["ge0"]);
    host
}

#[test]
fn teardown_puts_back_what_stood_there_before_and_was_out_of_service() {
    let mut host = with_found_test_address();
    host.ifconfig("ge0 offline");
    host.pass(Duration::from_secs(1));
    assert_eq!(host.holders("192.168.0.87"), [""; 0]);
    host.restart();
    tear_down(&mut host);
    assert_eq!(host.holders("192.168.0.87"), ["ge0"]);
}

#[test]
fn teardown_waits_for_what_others_are_being_asked_for() {
    let mut host = with_found_test_address();
    host.ifconfig("ge1 addif 192.168.0.90");
    host.ifconfig("ge1 addif 192.168.0.91");
    take(&mut host, "192.168.0.91");
    for name in ["ge1:1", "ge1:2"] {
        let Command::SetFlag {
            logical,
            family,
            flag,
            on,
            ..
        } = up(name)
        else {
            unreachable!()
        };
        host.begin(Command::SetFlag {
            logical,
            family,
            flag,
            on,
            wait: false,
        });
    }
    let id = host.begin(Command::Teardown);
    host.pass(ms(110));
    assert_eq!(host.answer(id), None);
    host.pass(Duration::from_secs(1));
    assert_eq!(host.answer(id), Some(Ok(Answer::Done)));
    assert!(host.engine.is_over());
    assert_eq!(host.holders("192.168.0.90"), ["ge1"]);
    assert_eq!(host.holders("192.168.0.91"), [""; 0]);
}
