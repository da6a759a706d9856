//! Another hand changes thousands of things at once, such as a routing daemon that learns its table.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipmp_core::kernel::PROTOCOL;
use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::labs::{Moment, comparable};
use ipmp_lab::traffic::TcpConnection;
use ipmp_lab::{Host, wait_until};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, PATIENCE, find, reaches, same};
use crate::scene::{
    DATA0, DATA1, Fault, OFTEN, PEER, QUICK, WHILE, by_hand, loses_nothing, recovers,
};

tests![
    lost_notifications_are_made_up_for,
    failures_are_found_in_a_storm,
    routes_through_a_member_follow_in_thousands,
];

/// Routes or addresses in a storm.
const MANY: u32 = 10_000;

/// Where the files with the commands are.
const COME: &str = "/run/come";
const GO: &str = "/run/go";

/// A line for each of many destinations.
fn lines(line: impl Fn(u32, u32) -> String) -> String {
    let mut text = String::new();
    for i in 0..MANY {
        let _infallible = writeln!(text, "{}", line(i / 250, i % 250));
    }
    text
}

/// Lab 1, and a NIC of no concern to it over which a storm may go.
fn with_outsider() -> Result<Bed, Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.host1.nic("net0", &bed.lab.switch())?;
    bed.host1.configure("net0", "172.16.0.1/24")?;
    let storm = |verb: &str| {
        lines(|a, b| format!("route {verb} 10.{a}.{b}.0/24 via 172.16.0.9 dev net0"))
            + &lines(|a, b| format!("address {verb} 10.{a}.{b}.1/32 dev net0"))
    };
    bed.host1.write_file(COME, &storm("add"))?;
    bed.host1.write_file(GO, &storm("del"))?;
    Ok(bed)
}

impl Bed {
    /// Waits until `ifconfig -a` shows the group as it was, and of the outsider what is there without
    /// a storm.
    fn awaits_lab1(&self) -> Result<(), Failed> {
        let mut seen = String::new();
        wait_until("the list of lab 1", PATIENCE, || {
            seen = self.types("ifconfig -a").unwrap_or_default();
            let (ours, others) = seen.split_once("net0").unwrap_or((&seen, ""));
            comparable(ours) == Moment::Lab1.listing(true) && !others.contains("net0")
        })
        .map_err(|error| {
            let first: Vec<_> = seen.lines().take(20).collect();
            format!("{error}\n  seen first: {first:#?}")
        })?;
        Ok(())
    }
}

fn storms(host: &Host, file: &str) -> Result<(), Failed> {
    by_hand(host, &format!("ip -batch {file}")).map(drop)
}

/// How many messages the kernel had no room for in a netlink socket of a process of host1.
fn drops(bed: &Bed, pid: i32) -> Result<u64, Failed> {
    let text = bed.host1.read_file(&format!("/proc/{pid}/net/netlink"))?;
    let mut lines = text.lines();
    let heads: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let at = |name| heads.iter().position(|head| *head == name);
    let (family, owner, drops) = (at("Eth"), at("Pid"), at("Drops"));
    let (Some(family), Some(owner), Some(drops)) = (family, owner, drops) else {
        return Err(format!("no such columns in: {text}").into());
    };
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|row| row.get(family) == Some(&"0") && row.get(owner) == Some(&&*pid.to_string()))
        .filter_map(|row| row.get(drops).map(|count| count.parse::<u64>()))
        .sum::<Result<u64, _>>()
        .map_err(Failed::from)
}

fn lost_notifications_are_made_up_for() -> Result<(), Failed> {
    let bed = with_outsider()?;
    let pids = bed.host1.pids_of("in.mpathd")?;
    let pid = *pids.first().ok_or("no daemon")?;
    let said = bed.messages()?.len();
    let pings = [bed.pings(DATA0)?, bed.pings(DATA1)?];
    bed.signals_daemon(Signal::SIGSTOP)?;
    // Until there is no more room for what the daemon does not read.
    wait_until("notifications are lost", 3 * PATIENCE, || {
        let stormed = storms(&bed.host1, COME).and_then(|()| storms(&bed.host1, GO));
        stormed.is_err() || drops(&bed, pid).is_ok_and(|drops| drops > 0)
    })?;
    same(
        "whether notifications were lost",
        &(drops(&bed, pid)? > 0),
        &true,
    )?;
    // Of this the daemon is told nothing.
    by_hand(&bed.host1, "ip address del 192.168.0.88/24 dev ge1")?;
    bed.signals_daemon(Signal::SIGCONT)?;
    bed.awaits_holder(DATA1, "ge1")?;
    for data in [DATA0, DATA1] {
        reaches(&bed.host2, &data.to_string())?;
    }
    bed.awaits_lab1()?;
    let daemon = bed.snapshot()?.daemon.ok_or("no daemon")?;
    same(
        "whether that was counted",
        &(daemon.resyncs.overrun > 0),
        &true,
    )?;
    let [ping0, _cut_off_by_hand] = pings;
    loses_nothing("ping of the address nobody touched", &ping0.stop()?)?;
    // It slept through many probes, and blames nobody.
    bed.never_says(said, "failure detected")?;
    bed.never_says(said, "failed")
}

fn failures_are_found_in_a_storm() -> Result<(), Failed> {
    for fault in Fault::BOTH {
        let bed = with_outsider()?;
        let said = bed.messages()?.len();
        let ping = bed.pings(DATA1)?;
        let (here, there): (IpAddr, IpAddr) = (DATA0.into(), PEER.into());
        let tcp = TcpConnection::start((&bed.host1, here), (&bed.host2, there), OFTEN, WHILE)?;
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| -> Result<(), Failed> {
            let storm = scope.spawn(|| -> Result<u32, Failed> {
                let mut rounds = 0;
                while !is_over.load(Ordering::Relaxed) {
                    storms(&bed.host1, COME)?;
                    storms(&bed.host1, GO)?;
                    rounds += 1;
                }
                Ok(rounds)
            });
            let found = bed
                .fails(fault, &bed.ge1)
                .and_then(|_| bed.awaits_holder(DATA1, "ge0"))
                .and_then(|()| bed.repairs(&bed.ge1).map(drop))
                .and_then(|()| bed.awaits_holder(DATA1, "ge1"));
            is_over.store(true, Ordering::Relaxed);
            let rounds = storm.join().map_err(|_| "the storm broke off")??;
            found?;
            same("whether there was a storm", &(rounds > 0), &true)
        })?;
        recovers(
            &ping.stop()?,
            Duration::from_millis(u64::from(QUICK) + 1000),
        )?;
        same("tcp", &tcp.stop()?.broken, &None)?;
        bed.awaits_state("ge0", InterfaceState::Ok)?;
        bed.awaits_lab1()?;
        bed.never_says(said, "on ge0")?;
    }
    Ok(())
}

fn routes_through_a_member_follow_in_thousands() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let line =
        |verb| lines(move |a, b| format!("route {verb} 10.{a}.{b}.0/24 via 192.168.0.2 dev ge1"));
    bed.host1.write_file(COME, &line("add"))?;
    bed.host1.write_file(GO, &line("del"))?;
    let awaits = |count: usize| -> Result<(), Failed> {
        let ours = || {
            let kernel = bed.kernel().ok()?;
            let routes = kernel.routes.iter();
            Some(
                routes
                    .filter(|route| route.protocol == PROTOCOL && is_ten(route.destination.ip))
                    .count(),
            )
        };
        wait_until("as many routes of ours", 3 * PATIENCE, || {
            ours() == Some(count)
        })
        .map_err(|error| format!("{error}; {:?} of {count}", ours()))?;
        Ok(())
    };
    let many = usize::try_from(MANY)?;
    let ping = bed.pings(DATA0)?;
    storms(&bed.host1, COME)?;
    awaits(many)?;
    // One object changes, not ten thousand routes.
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    let way = by_hand(&bed.host1, "ip route get 10.39.7.1")?;
    same(&format!("ge0 in: {way}"), &way.contains("dev ge0"), &true)?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA1, "ge1")?;
    storms(&bed.host1, GO)?;
    awaits(0)?;
    let snapshot = bed.snapshot()?;
    let works = |nic| find(&snapshot, nic).is_some_and(|nic| nic.active);
    same(
        "whether both NICs are active",
        &(works("ge0") && works("ge1")),
        &true,
    )?;
    // Its answers may have been on their way out of the other one.
    recovers(&ping.stop()?, Duration::from_millis(500))
}

/// Whether an address is in 10.0.0.0/8.
fn is_ten(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10)
}
