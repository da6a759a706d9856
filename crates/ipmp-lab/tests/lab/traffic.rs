//! The generators notice what happens.

use std::time::{Duration, Instant};

use ipmp_lab::traffic::{Ping, TcpConnection, UdpStream};
use ipmp_lab::{Counter, Direction, wait_until};

use crate::{Outcome, Pair, Test, equal, holds, ip, ms};

pub(crate) const TESTS: &[Test] = &[
    ("traffic::ping_measures_an_outage", ping),
    ("traffic::udp_tells_the_directions_apart", udp),
    ("traffic::tcp_stalls_and_goes_on", tcp),
    ("traffic::tcp_breaks", tcp_breaks),
    ("traffic::large_segments_pass", large),
];

/// A limit that no test is to reach.
const LONG: Duration = Duration::from_secs(20);

/// Waits until the second host's cable has carried, or swallowed, so many more frames from the first.
fn frames(pair: &Pair, count: impl Fn(Counter) -> u64, more: u64) -> Outcome {
    let now = || count(pair.nic2.cable.counter(Direction::Receive));
    let enough = now() + more;
    wait_until("frames have come", LONG, || now() >= enough)?;
    Ok(())
}

fn ping() -> Outcome {
    let pair = Pair::new()?;
    let ping = Ping::start(&pair.host1, ip(2), ms(2), LONG)?;
    frames(&pair, |counter| counter.carried, 20)?;
    let fault = Instant::now();
    pair.nic2.cable.silence();
    frames(&pair, |counter| counter.swallowed, 100)?;
    pair.nic2.cable.unsilence();
    let repaired = Instant::now();
    frames(&pair, |counter| counter.carried, 20)?;
    let trail = ping.stop()?;
    // Some of the hundred frames may have been other ones than ours.
    let lost = trail.since(fault).lost();
    holds(&format!("about a hundred lost: {lost}"), lost >= 90)?;
    equal("lost none afterwards", trail.since(repaired).lost(), 0)?;
    // They were sent two milliseconds apart, between two that were answered.
    let (outage, least) = (trail.longest_outage(), ms(180));
    holds(
        &format!("{outage:?} is at least {least:?}"),
        outage >= least,
    )
}

fn udp() -> Outcome {
    let pair = Pair::new()?;
    let (from, to) = ((&pair.host1, ip(1)), (&pair.host2, ip(2)));
    let stream = UdpStream::start(from, to, ms(1), LONG)?;
    frames(&pair, |counter| counter.carried, 50)?;
    let fault = Instant::now();
    pair.nic2.cable.one_way(Direction::Transmit);
    frames(&pair, |counter| counter.swallowed, 50)?;
    pair.nic2.cable.heal()?;
    let repaired = Instant::now();
    frames(&pair, |counter| counter.carried, 50)?;
    let report = stream.stop()?;
    equal("back", report.back.lost(), 0)?;
    // Some of the fifty frames may have been other ones than ours.
    holds("forth", report.since(fault).forth.lost() >= 40)?;
    equal("afterwards", report.since(repaired).lost(), 0)?;
    holds("outage", report.longest_outage() >= ms(40))
}

fn tcp() -> Outcome {
    let pair = Pair::new()?;
    let (from, to) = ((&pair.host1, ip(1)), (&pair.host2, ip(2)));
    let connection = TcpConnection::start(from, to, ms(2), LONG)?;
    frames(&pair, |counter| counter.carried, 50)?;
    let fault = Instant::now();
    pair.nic2.cable.one_way(Direction::Transmit);
    // The first transmission and a second one.
    frames(&pair, |counter| counter.swallowed, 2)?;
    let out = fault.elapsed();
    pair.nic2.cable.heal()?;
    frames(&pair, |counter| counter.carried, 50)?;
    let report = connection.stop()?;
    equal("broken", report.broken.clone(), None)?;
    // The kernel's least retransmission timeout is 200 ms; one probe may come sooner.
    holds(
        &format!("{report:?} {out:?}"),
        report.longest_stall >= ms(5),
    )?;
    holds(&format!("{report:?}"), report.exchanges >= 20)
}

fn tcp_breaks() -> Outcome {
    let pair = Pair::new()?;
    let (from, to) = ((&pair.host1, ip(1)), (&pair.host2, ip(2)));
    let connection = TcpConnection::start(from, to, ms(2), LONG)?;
    // From now on the client has something to send again, for ever.
    pair.nic2.cable.one_way(Direction::Transmit);
    frames(&pair, |counter| counter.swallowed, 1)?;
    // Somebody else with the same address, who knows of no connection.
    pair.host2.power_off();
    let third = pair.lab.host("host3")?;
    third.nic_with_mac("ge0", &pair.switch, pair.nic2.mac)?;
    third.configure("ge0", "10.0.0.2/24")?;
    let report = connection.finish()?;
    let reset = report
        .broken
        .as_ref()
        .is_some_and(|reason| reason.contains("reset"));
    holds(&format!("{report:?}"), reset)
}

fn large() -> Outcome {
    use std::io::{Read, Write};
    let pair = Pair::new()?;
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let listener = pair
        .host2
        .enter(|| std::net::TcpListener::bind((ip(2), 0)))??;
    let address = listener.local_addr()?;
    let mut client = pair
        .host1
        .enter(|| std::net::TcpStream::connect(address))??;
    let (mut server, _) = listener.accept()?;
    let sent = bytes.clone();
    let sender = std::thread::spawn(move || client.write_all(&sent));
    let mut received = Vec::new();
    server.read_to_end(&mut received)?;
    sender.join().map_err(|_| "sender")??;
    holds("all came", received == bytes)?;
    // Segments were left in one piece: offload works through the switch.
    let frames = pair.nic1.cable.counter(Direction::Transmit).carried;
    holds(&format!("{frames} frames"), frames < 2000)
}
