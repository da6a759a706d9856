//! What others claim is heard in time, or not asked for.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipmp_core::MacAddress;
use ipmp_linux::wire::HEADER;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, same};
use crate::duplicates::asked;
use crate::flood::arp_reply;
use crate::tap::Tap;

tests![
    answer_counts_however_late_it_is_looked_at,
    nobody_is_asked_where_nobody_can_be_heard,
];

/// A host that is not there.
const STRANGER: MacAddress = MacAddress([2, 0, 0, 0, 0x77, 1]);

/// Nothing is to fail while the daemon is held up.
const SLOW: u32 = 10_000;

/// How long the daemon is held up: longer than it takes to decide.
const HELD_UP: Duration = Duration::from_millis(400);

/// It has not decided yet so soon after the last question.
const UNDECIDED: Duration = Duration::from_millis(20);

/// How often it is held up in time, as it may look by chance.
const TIMES: usize = 6;

/// How often that is tried on a machine that has too much to do.
const TRIES: u8 = 60;

impl Bed {
    /// Asks for an address on ge0, and holds the daemon up when it has asked others three times. Another host
    /// answers meanwhile. `None` if it was not held up in time, else whether the address was brought up.
    fn brings_up_what_is_claimed_late(
        &self,
        ip: Ipv4Addr,
        tap: &Tap,
    ) -> Result<Option<bool>, Failed> {
        let wire = self.ge0.cable.wire()?;
        let claim = arp_reply((STRANGER, MacAddress::BROADCAST), ip)?;
        let line = format!("ifconfig ge0 addif {ip}/24 up");
        std::thread::scope(|scope| {
            let command = scope.spawn(|| self.host1.run(&line));
            let times = || asked(tap, self.ge0.mac, ip);
            tap.awaits("others were asked", |_| times().len() == 3)?;
            self.signals_daemon(Signal::SIGSTOP)?;
            let is_in_time = times().last().is_some_and(|at| at.elapsed() < UNDECIDED);
            let answered = wire.send(&[&[0; HEADER], claim.as_slice()].concat());
            std::thread::sleep(HELD_UP);
            self.signals_daemon(Signal::SIGCONT)?;
            answered?;
            let output = command.join().map_err(|_| "the command broke off")??;
            Ok(is_in_time.then_some(output.success()))
        })
    }
}

fn answer_counts_however_late_it_is_looked_at() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 netmask + broadcast + group testgrp2 up")?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    let mut times = 0;
    for n in 0..TRIES {
        let ip = Ipv4Addr::new(192, 168, 0, 100 + n);
        if let Some(is_up) = bed.brings_up_what_is_claimed_late(ip, &tap)? {
            same(&format!("{ip} is brought up"), &is_up, &false)?;
            same("holders", &bed.holders(ip)?, &Vec::<String>::new())?;
            times += 1;
        }
        if times == TIMES {
            return Ok(());
        }
    }
    Err(format!("held up in time {times} times of {TRIES}").into())
}

/// Bounds the memory that each socket of host1 may have for its filter (`net.core.optmem_max`, of its own in
/// each namespace since 6.8).
fn allow_filters(bed: &Bed, bytes: u32) -> Result<(), Failed> {
    let bound = "/proc/sys/net/core/optmem_max";
    Ok(bed
        .host1
        .enter(|| std::fs::write(bound, bytes.to_string()))??)
}

fn nobody_is_asked_where_nobody_can_be_heard() -> Result<(), Failed> {
    const DEAF: &str =
        "cannot hear who else has an IPv4 address, so nobody is asked before one is brought up";
    let bed = Bed::lab1(SLOW)?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    let comes_up = |last: u8, expected: usize| -> Result<(), Failed> {
        let ip = Ipv4Addr::new(192, 168, 0, last);
        bed.types(&format!("ifconfig ge0 addif {ip}/24 up"))?;
        tap.awaits("it is announced", |_| {
            !tap.announcements(ip, bed.ge0.mac).is_empty()
        })?;
        same("holders", &bed.holders(ip)?, &vec!["ge0".to_owned()])?;
        let questions = asked(&tap, bed.ge0.mac, ip);
        let announced = tap.announcements(ip, bed.ge0.mac);
        let before = questions.iter().filter(|at| Some(*at) < announced.first());
        same(&format!("questions about {ip}"), &before.count(), &expected)
    };
    let said = |text: &str| -> Result<usize, Failed> {
        let messages = bed.messages()?;
        Ok(messages.iter().filter(|one| one.contains(text)).count())
    };
    comes_up(90, 3)?;
    same("complaints", &said(DEAF)?, &0)?;
    allow_filters(&bed, 0)?;
    comes_up(91, 0)?;
    comes_up(92, 0)?;
    same("complaints", &said(DEAF)?, &1)?;
    allow_filters(&bed, 128 << 10)?;
    comes_up(93, 3)?;
    same("complaints", &said(DEAF)?, &1)?;
    same(
        "ends",
        &said("who else has an IPv4 address is heard again")?,
        &1,
    )
}
