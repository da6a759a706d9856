//! Faults and repairs, and the traffic that goes on meanwhile.
//!
//! ge1 fails. The datagrams to its data address come in through it, and so that those from it go out
//! through it too, host2 has several addresses: which NIC a flow leaves by is decided by a hash of its
//! addresses. What goes on is read off the cables' frame counters, since asking the daemon all the
//! time would keep it from its work.

use std::net::{IpAddr, Ipv4Addr};
use std::thread::sleep;
use std::time::Duration;

use ipmp_api::interface::Event;
use ipmp_core::Time;
use ipmp_core::record::Record;
use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::traffic::{TcpConnection, UdpStream};
use ipmp_lab::{Direction, Nic, wait_until};
use ipmp_linux::monotonic_now;
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, client};
use crate::{Fault, Rule};

/// The data address of ge1.
const DATA: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 88));

/// The addresses of host2, by their last byte. With two NICs, one in 512 hosts finds no address here
/// to which its flow leaves by ge1.
const PEERS: std::ops::RangeInclusive<u8> = 2..=10;

/// Time between two datagrams of one direction.
const EVERY: Duration = Duration::from_millis(1);

/// Time between two messages of a connection.
const MESSAGE_EVERY: Duration = Duration::from_millis(10);

/// A stream that is not stopped ends by itself.
const LIMIT: Duration = Duration::from_mins(1);

/// How many frames a cable must carry each way for a stream to be under way.
const UNDER_WAY: u64 = 100;

/// How many frames a cable must carry for a move to be over, aftermath included.
const OVER: u64 = 400;

/// How many frames tell which way a flow goes.
const TRIED: u64 = 20;

/// How long a connection is given to come to itself after a move: the kernel's first retransmission
/// is after 200 ms, and the pauses double.
const RECOVERY: Duration = Duration::from_secs(2);

/// A connection that stood still for this long counts as broken.
const STILL: Duration = Duration::from_secs(3);

/// What a stream went through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    /// Datagrams to the data address that were lost.
    pub(crate) to: usize,
    /// Datagrams from the data address that were lost.
    pub(crate) from: usize,
    /// The longest time without service in either direction.
    pub(crate) outage: Duration,
    /// How long after it happened a failure was declared; of a repair, nothing.
    pub(crate) found: Duration,
}

/// When something is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    Failure,
    Repair,
}

impl Moment {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Repair => "repair",
        }
    }
}

/// A failure and its repair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    failure: Span,
    repair: Span,
    /// The failure detection time in force when it failed: longer than asked for where replies were late.
    pub(crate) in_force: Duration,
}

impl Run {
    pub(crate) const fn at(&self, moment: Moment) -> Span {
        match moment {
            Moment::Failure => self.failure,
            Moment::Repair => self.repair,
        }
    }
}

/// How connections fared.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) connections: usize,
    /// Why those that broke did.
    pub(crate) broken: Vec<String>,
    pub(crate) longest_stall: Duration,
}

/// Measures datagrams across so many failures and repairs.
pub(crate) fn outages(fault: Fault, rule: Rule, runs: u32) -> Result<Vec<Run>, Failed> {
    let bed = build(rule)?;
    (0..runs)
        .map(|run| {
            let peer = peer_by(&bed, &bed.ge1)?;
            let last = events(&bed, 0)?.last().map_or(0, |event| event.sequence);
            let in_force = detection_time(&bed)?;
            let mut failed = Time::ZERO;
            let mut failure = stream(&bed, peer, &bed.ge1, &bed.ge0, || {
                // What was awaited so far ended with a probe. Failures do not wait for probes: they
                // are spread over several intervals, or all would come in the same part of one.
                sleep(Duration::from_millis(rule.detection_ms.into()) * run / runs);
                failed = monotonic_now();
                fail(&bed, fault)
            })?;
            bed.awaits_state("ge1", InterfaceState::Failed)?;
            failure.found = declared(&bed, last)?.since(failed);
            let repair = stream(&bed, peer, &bed.ge0, &bed.ge1, || repair(&bed, fault))?;
            bed.awaits_state("ge1", InterfaceState::Ok)?;
            bed.awaits_probes(&["ge0", "ge1"])?;
            Ok(Run {
                failure,
                repair,
                in_force,
            })
        })
        .collect()
}

/// Takes established connections, so many made from each host, through a failure and a repair.
pub(crate) fn connections(fault: Fault, rule: Rule, from_each: usize) -> Result<Survey, Failed> {
    let bed = build(rule)?;
    let peers = || PEERS.cycle().map(peer).take(from_each);
    let inside = (&bed.host1, DATA);
    let mut connections = Vec::new();
    for peer in peers() {
        let outside = (&bed.host2, peer);
        connections.push(TcpConnection::start(inside, outside, MESSAGE_EVERY, LIMIT)?);
        connections.push(TcpConnection::start(outside, inside, MESSAGE_EVERY, LIMIT)?);
    }
    fail(&bed, fault)?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    sleep(RECOVERY);
    repair(&bed, fault)?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    sleep(RECOVERY);
    let mut survey = Survey {
        connections: connections.len(),
        ..Survey::default()
    };
    for connection in connections {
        let report = connection.stop()?;
        survey.longest_stall = survey.longest_stall.max(report.longest_stall);
        let still = (report.longest_stall >= STILL).then(|| "stood still".to_owned());
        survey.broken.extend(report.broken.or(still));
    }
    Ok(survey)
}

/// Lab 1, with more addresses for host2.
pub(crate) fn build(rule: Rule) -> Result<Bed, Failed> {
    let Rule {
        detection_ms,
        confirm,
    } = rule;
    let bed = Bed::new(1000)?;
    // All is in the other file: the original's goes down to 100 ms only.
    bed.settings("")?;
    let settings = format!(
        "[defaults]\nfailure-detection-time = \"{detection_ms}ms\"\nconfirm = {confirm}\ndampening-half-life = \"off\"\n"
    );
    bed.host1.write_file("/etc/ipmp.toml", &settings)?;
    bed.sets_up_lab1()?;
    // The first is its own already.
    for peer in PEERS.skip(1).map(peer) {
        bed.host2.configure("ge0", &format!("{peer}/24"))?;
    }
    Ok(bed)
}

/// The failure detection time in force.
pub(crate) fn detection_time(bed: &Bed) -> Result<Duration, Failed> {
    let snapshot = bed.snapshot()?;
    let group = snapshot.groups.first().ok_or("no group")?;
    Ok(group.failure_detection_time.ok_or("nothing is probed")?)
}

/// What the daemon of host1 remembers to have happened after the event of this number.
pub(crate) fn events(bed: &Bed, after: u64) -> Result<Vec<Event>, Failed> {
    bed.host1
        .enter(|| client()?.events(Some(after)).map_err(Failed::from))?
}

/// When the daemon declared the failure of ge1, after the event of this number.
fn declared(bed: &Bed, after: u64) -> Result<Time, Failed> {
    let events = events(bed, after)?;
    let event = events.iter().find(|event| {
        matches!(&event.record, Record::Interface { interface, to, .. }
            if interface.as_str() == "ge1" && *to == Some(InterfaceState::Failed))
    });
    let event = event.ok_or("no event tells of the failure")?;
    Ok(Time::new(Duration::from_secs_f64(
        event.monotonic_ms / 1000.0,
    )))
}

fn peer(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 168, 0, last).into()
}

fn fail(bed: &Bed, fault: Fault) -> Result<(), Failed> {
    match fault {
        Fault::Pull => bed.ge1.cable.pull()?,
        Fault::Silent => bed.ge1.cable.silence(),
    }
    Ok(())
}

fn repair(bed: &Bed, fault: Fault) -> Result<(), Failed> {
    match fault {
        Fault::Pull => bed.ge1.cable.plug()?,
        Fault::Silent => bed.ge1.cable.unsilence(),
    }
    Ok(())
}

/// An address of host2 to which datagrams from ge1's data address leave by this NIC.
fn peer_by(bed: &Bed, nic: &Nic) -> Result<IpAddr, Failed> {
    for peer in PEERS.map(peer) {
        let before = [&bed.ge0, &bed.ge1].map(|nic| frames(nic, Direction::Transmit));
        let start = (&bed.host1, DATA);
        let stream = UdpStream::start(start, (&bed.host2, peer), EVERY, LIMIT)?;
        let waited = wait_until("datagrams leave host1", PATIENCE, || {
            let now = [&bed.ge0, &bed.ge1].map(|nic| frames(nic, Direction::Transmit));
            now.iter()
                .zip(before)
                .any(|(now, before)| *now >= before + TRIED)
        });
        let leaves = frames(nic, Direction::Transmit);
        stream.stop()?;
        waited?;
        let [of_ge0, of_ge1] = before;
        let before = if nic.name == bed.ge0.name {
            of_ge0
        } else {
            of_ge1
        };
        if leaves >= before + TRIED {
            return Ok(peer);
        }
    }
    Err(format!("no flow of host1 leaves by {}", nic.name).into())
}

/// Lets datagrams go both ways while `event` moves them from one NIC to another.
fn stream(
    bed: &Bed,
    peer: IpAddr,
    from: &Nic,
    to: &Nic,
    event: impl FnOnce() -> Result<(), Failed>,
) -> Result<Span, Failed> {
    let stream = UdpStream::start((&bed.host1, DATA), (&bed.host2, peer), EVERY, LIMIT)?;
    carries(from, &[Direction::Transmit, Direction::Receive], UNDER_WAY)?;
    event()?;
    // Before the event is found out about, some frames of others arrive at the other NIC, few enough.
    carries(to, &[Direction::Receive], OVER)?;
    let report = stream.stop()?;
    Ok(Span {
        to: report.back.lost(),
        from: report.forth.lost(),
        outage: report.longest_outage(),
        found: Duration::ZERO,
    })
}

/// Waits until a NIC's cable has carried so many more frames, in each of these directions.
fn carries(nic: &Nic, directions: &[Direction], count: u64) -> Result<(), Failed> {
    let before: Vec<u64> = directions.iter().map(|&way| frames(nic, way)).collect();
    wait_until(
        &format!("traffic goes through {}", nic.name),
        PATIENCE,
        || {
            directions
                .iter()
                .zip(&before)
                .all(|(&way, before)| frames(nic, way) >= before + count)
        },
    )?;
    Ok(())
}

fn frames(nic: &Nic, way: Direction) -> u64 {
    nic.cable.counter(way).carried
}
