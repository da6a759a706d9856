//! Floods of forged answers on a member: nothing fails that works, and nothing is kept alive by them that
//! does not. What they cost the daemon is printed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipmp_core::MacAddress;
use ipmp_core::record::Cause;
use ipmp_core::snapshot::{InterfaceState, TargetMode};
use ipmp_lab::wait_until;
use ipmp_linux::wire::{HEADER, LARGEST, Wire};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, PATIENCE, find, reaches, same};
use crate::daemon::Daemon;
use crate::flood::{
    Flood, Flooded, RATE, advertisement, arp_reply, echo_reply, repeated_advertisement,
};
use crate::scene::{DATA0, DATA1, PEER, TEST1, by_hand, fd};
use crate::solicit::{ONLY_DATA, probed_by, solicited};

tests![
    members_with_test_addresses_bear_floods,
    members_without_test_address_bear_floods,
    inet6_members_bear_floods,
    claims_do_no_more_than_be_told,
    inet6_claims_do_no_more_than_be_told,
    floods_keep_no_silenced_member_alive,
    advertisements_keep_no_silenced_member_alive,
];

/// Failure detection time in milliseconds.
const DETECTION: u32 = 2000;

/// The same.
const IN_TIME: Duration = Duration::from_millis(DETECTION as u64);

/// No number of failures has a NIC wait.
const SETTINGS: &str = "[defaults]\ndampening-half-life = \"off\"\n";

/// How long a flood is looked at of which nothing is to come.
const WHILE: Duration = Duration::from_secs(3);

/// How often a member is silenced: the quickest counts, as the machine may be slow once.
const TRIES: usize = 3;

/// A machine that has too much to do may send less than [`RATE`]: a flood it is all the same.
const LEAST: u32 = RATE / 20;

/// A host that is not there.
const STRANGER: MacAddress = MacAddress([2, 0, 0, 0, 0x77, 1]);

/// What is sent: a name for it, and the frames.
type Forged = (&'static str, Vec<Vec<u8>>);

impl Bed {
    /// Lets a flood run over ge1 for a while, in which nothing fails.
    fn bears(&self, (case, frames): &Forged) -> Result<Flooded, Failed> {
        let said = self.messages()?.len();
        let daemon = Daemon::of(self)?;
        let received = self.received()?;
        let flood = Flood::at(&self.ge1, frames)?;
        let before = daemon.cpu()?;
        std::thread::sleep(WHILE);
        let used = daemon.cpu()?.saturating_sub(before);
        let flooded = flood.stop()?;
        is_flood(case, flooded, used)?;
        let received = self.received()?.saturating_sub(received);
        let what = format!("{case}: ge1 received {received} of {}", flooded.frames);
        same(&what, &(received >= flooded.frames / 2), &true)?;
        let snapshot = self.snapshot()?;
        for nic in ["ge0", "ge1"] {
            let state = find(&snapshot, nic).map(|nic| nic.state);
            let what = format!("{nic} after {case}");
            same(&what, &state, &Some(InterfaceState::Ok))?;
        }
        self.never_says(said, "fail")?;
        Ok(flooded)
    }

    /// The same of one that the kernel does not let through to the daemon, but for what was guessed
    /// right.
    fn hears_nothing_of(&self, forged: &Forged) -> Result<(), Failed> {
        let before = self.unknown()?;
        let flooded = self.bears(forged)?;
        let heard = self.unknown()?.saturating_sub(before);
        let what = format!("{}: {heard} of {} were heard", forged.0, flooded.frames);
        same(&what, &(heard <= flooded.frames / 1000), &true)
    }

    /// Frames that ge1 has received so far.
    fn received(&self) -> Result<u64, Failed> {
        let counter = "/sys/class/net/ge1/statistics/rx_packets";
        let text = self.host1.enter(|| std::fs::read_to_string(counter))??;
        Ok(text.trim().parse()?)
    }

    /// Replies on ge1 so far that belonged to no probe.
    fn unknown(&self) -> Result<u64, Failed> {
        let snapshot = self.snapshot()?;
        let ge1 = find(&snapshot, "ge1").ok_or("no ge1")?;
        Ok(ge1.probing.iter().map(|probing| probing.unknown).sum())
    }

    /// Silences ge1 amid a flood: it is found within that time, by the daemon's own account.
    fn finds_amid(&self, within: Duration, (case, frames): &Forged) -> Result<(), Failed> {
        let mut took = Vec::new();
        for _ in 0..TRIES {
            let known = self.outages()?.len();
            let flood = Flood::at(&self.ge1, frames)?;
            self.ge1.cable.silence();
            let daemon = Daemon::of(self)?;
            let before = daemon.cpu()?;
            self.awaits_state("ge1", InterfaceState::Failed)
                .map_err(|failed| format!("{case}: {failed:?}"))?;
            let used = daemon.cpu()?.saturating_sub(before);
            is_flood(case, flood.stop()?, used)?;
            wait_until("it is accounted for", PATIENCE, || {
                self.outages().is_ok_and(|outages| outages.len() > known)
            })?;
            took.extend(self.outages()?.last().copied());
            self.ge1.cable.heal()?;
            self.awaits_state("ge1", InterfaceState::Ok)?;
            self.awaits_probes(&["ge0", "ge1"])?;
            if took.last().is_some_and(|took| *took <= within) {
                return Ok(());
            }
        }
        Err(format!("{case}: ge1 was found to be silent after {took:?}").into())
    }

    /// What it took to detect each failure by probes so far.
    fn outages(&self) -> Result<Vec<Duration>, Failed> {
        let outages = self.snapshot()?.outages;
        let by_probes = outages.iter().filter(|one| one.cause == Cause::ProbesLost);
        Ok(by_probes.filter_map(|one| one.detection).collect())
    }

    /// What host2 sees of an echo request that ge1 sent: identifier, sequence number and payload.
    fn overhears(&self) -> Result<(u16, u16, Vec<u8>), Failed> {
        let wire = self.host2.enter(|| -> Result<Wire, Failed> {
            let index = std::fs::read_to_string("/sys/class/net/ge0/ifindex")?;
            Ok(Wire::open(index.trim().parse()?)?)
        })??;
        let mut buffer = vec![0; LARGEST];
        let mut heard = None;
        wait_until("a probe of ge1", PATIENCE, || {
            while let Ok(length) = wire.receive(&mut buffer) {
                let frame = buffer.get(HEADER..length).unwrap_or_default();
                heard = heard.take().or_else(|| echo_request(frame, self.ge1.mac));
            }
            heard.is_some()
        })?;
        heard.ok_or_else(|| "no probe".into())
    }

    /// Echo replies to ge1 that answer nothing.
    fn echo_replies(&self) -> Result<[Forged; 2], Failed> {
        let macs = (STRANGER, self.ge1.mac);
        let ips = (PEER, TEST1);
        let guessed = each(|n| echo_reply(macs, ips, (n, n), &[0x55; 16]))?;
        // Everything of a probe is known but the number in the next one.
        let (identifier, sequence, payload) = self.overhears()?;
        let known = each(|n| {
            let mut payload = payload.clone();
            for (byte, guess) in payload.iter_mut().zip(n.to_be_bytes()) {
                *byte ^= guess | 1;
            }
            let sequence = sequence.wrapping_add(n % 64);
            echo_reply(macs, ips, (identifier, sequence), &payload)
        })?;
        Ok([
            ("echo replies, identifier guessed", guessed),
            ("echo replies, identifier known", known),
        ])
    }

    /// ARP replies to ge1 as its target would give them.
    fn targets_arp_replies(&self) -> Result<Forged, Failed> {
        let macs = (self.host2.find_nic("ge0")?.mac, self.ge1.mac);
        Ok((
            "ARP replies as of the target",
            always(arp_reply(macs, PEER))?,
        ))
    }

    /// ARP replies to ge1 of hosts that nobody asked.
    fn others_arp_replies(&self) -> Result<Forged, Failed> {
        let replies = each(|n| {
            let [high, low] = n.to_be_bytes();
            arp_reply(
                (STRANGER, self.ge1.mac),
                Ipv4Addr::new(192, 168, 128 | high, low),
            )
        })?;
        Ok(("ARP replies of others", replies))
    }
}

/// So many different frames.
fn each(frame: impl Fn(u16) -> Result<Vec<u8>, Failed>) -> Result<Vec<Vec<u8>>, Failed> {
    (0..=u16::MAX).map(frame).collect()
}

/// The same frame is enough where nothing in it can be guessed.
fn always(frame: Result<Vec<u8>, Failed>) -> Result<Vec<Vec<u8>>, Failed> {
    Ok(vec![frame?])
}

/// Fails if too few frames were sent for a flood; tells how many, and what they cost.
#[expect(clippy::print_stderr, reason = "figures for docs/reliability.md")]
fn is_flood(case: &str, flooded: Flooded, used: Duration) -> Result<(), Failed> {
    let rate = flooded.rate();
    let percent = 100.0 * used.as_secs_f64() / flooded.time.as_secs_f64();
    eprintln!("flood: {case}: {rate:.0} frames per second, daemon CPU {percent:.1} %");
    is_fast(case, flooded)
}

/// Fails if too few frames were sent for a flood.
fn is_fast(case: &str, flooded: Flooded) -> Result<(), Failed> {
    let rate = flooded.rate();
    let what = format!("{case}: a flood of {rate:.0} frames per second");
    same(&what, &(rate >= f64::from(LEAST)), &true)
}

fn echo_request(frame: &[u8], from: MacAddress) -> Option<(u16, u16, Vec<u8>)> {
    let word = |at: usize| Some(u16::from_be_bytes(*frame.get(at..)?.first_chunk()?));
    // IPv4 without options, ICMP, echo request.
    let is_it = frame.get(6..12)? == from.0
        && word(12)? == 0x0800
        && *frame.get(14)? == 0x45
        && *frame.get(23)? == 1
        && *frame.get(34)? == 8;
    is_it.then_some(())?;
    Some((word(38)?, word(40)?, frame.get(42..58)?.to_vec()))
}

fn members_with_test_addresses_bear_floods() -> Result<(), Failed> {
    let bed = Bed::lab1(DETECTION)?;
    let [guessed, known] = bed.echo_replies()?;
    bed.hears_nothing_of(&guessed)?;
    bed.bears(&known)?;
    bed.hears_nothing_of(&bed.others_arp_replies()?)?;
    bed.bears(&bed.targets_arp_replies()?).map(drop)
}

fn members_without_test_address_bear_floods() -> Result<(), Failed> {
    let bed = Bed::new(DETECTION)?;
    for line in ONLY_DATA {
        bed.types(line)?;
    }
    reaches(&bed.host2, &DATA0.to_string())?;
    probed_by(&bed, &["ge0", "ge1"], 0, TargetMode::Arp)?;
    bed.hears_nothing_of(&bed.others_arp_replies()?)?;
    // Whoever believes this sends to nobody; probes are for all.
    let replies = always(arp_reply((STRANGER, bed.ge1.mac), PEER))?;
    bed.bears(&("ARP replies in the target's name", replies))
        .map(drop)
}

/// Members that are probed by neighbour solicitations.
fn inet6() -> Result<Bed, Failed> {
    let bed = solicited(DETECTION)?;
    // Until then nobody asks, and he takes whatever is told to all.
    wait_until("no address is tentative", PATIENCE, || {
        by_hand(&bed.host1, "ip -6 address show tentative").is_ok_and(|shown| shown.is_empty())
    })?;
    Ok(bed)
}

impl Bed {
    /// The IPv6 targets of ge1.
    fn targets6(&self) -> Result<Vec<Ipv6Addr>, Failed> {
        let snapshot = self.snapshot()?;
        let ge1 = find(&snapshot, "ge1").ok_or("no ge1")?;
        let targets = ge1.probing.iter().flat_map(|probing| &probing.targets);
        Ok(targets
            .filter_map(|target| match target.address {
                IpAddr::V6(ip) => Some(ip),
                IpAddr::V4(_) => None,
            })
            .collect())
    }

    /// Advertisements in the name of all targets of ge1.
    fn advertisements_in_their_name(&self) -> Result<Forged, Failed> {
        let targets = self.targets6()?;
        same("there are targets", &targets.is_empty(), &false)?;
        let frames = targets.into_iter().map(|ip| advertisement(STRANGER, ip));
        let frames = frames.collect::<Result<_, _>>()?;
        Ok(("advertisements in the target's name", frames))
    }
}

fn inet6_members_bear_floods() -> Result<(), Failed> {
    let bed = inet6()?;
    let others = each(|n| advertisement(STRANGER, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, n)))?;
    for forged in [
        ("advertisements of others", others),
        bed.advertisements_in_their_name()?,
    ] {
        bed.hears_nothing_of(&forged)?;
    }
    Ok(())
}

fn floods_keep_no_silenced_member_alive() -> Result<(), Failed> {
    let bed = Bed::new(DETECTION)?;
    bed.host1.write_file("/etc/ipmp.toml", SETTINGS)?;
    bed.sets_up_lab1()?;
    for forged in &bed.echo_replies()? {
        bed.finds_amid(IN_TIME, forged)?;
    }
    bed.finds_amid(IN_TIME, &bed.others_arp_replies()?)?;
    // With a test address the link layer alone is no proof. It looks like a target that limits its echo
    // replies: the silence that is waited for begins with the first probe that is late.
    bed.finds_amid(IN_TIME * 3 / 2, &bed.targets_arp_replies()?)
}

fn advertisements_keep_no_silenced_member_alive() -> Result<(), Failed> {
    let bed = inet6()?;
    bed.finds_amid(IN_TIME, &bed.advertisements_in_their_name()?)
}

impl Bed {
    /// How many claims of addresses of ours the daemon has looked at so far, by its own account.
    fn looked_at(&self) -> Result<u64, Failed> {
        let since = self.messages()?.len();
        self.signals_daemon(Signal::SIGUSR1)?;
        let told = || -> Result<Option<u64>, Failed> {
            let messages = self.messages()?.split_off(since);
            let mut numbers = messages
                .iter()
                .filter_map(|message| message.strip_prefix("claims of addresses looked at: "));
            Ok(numbers.next().map(str::parse).transpose()?)
        };
        wait_until("the daemon tells what it has looked at", PATIENCE, || {
            told().is_ok_and(|number| number.is_some())
        })?;
        told()?.ok_or_else(|| "no number".into())
    }

    /// Bears claims, of which the daemon looks at no more than it is to, and at some.
    fn looks_at_few_of(&self, forged: &Forged) -> Result<(), Failed> {
        /// A thousand each 100 ms, and no more than a batch beyond.
        const AT_A_TIME: u64 = 1024 + 32;
        let (start, before) = (Instant::now(), self.looked_at()?);
        let flooded = self.bears(forged)?;
        let looked_at = self.looked_at()? - before;
        let times = u64::try_from(start.elapsed().as_millis() / 100)?;
        // The beginning and the end may each be one.
        let most = (times + 2) * AT_A_TIME;
        let what = format!(
            "{}: {looked_at} of {} were looked at, at most {most}",
            forged.0, flooded.frames
        );
        same(&what, &(looked_at > 0 && looked_at <= most), &true)
    }

    /// Bears claims that are longer than any in earnest, which count for nothing.
    fn bears_long_claims(&self, forged: &Forged) -> Result<(), Failed> {
        let is_long = forged.1.iter().all(|frame| frame.len() >= 300);
        same("long", &is_long, &true)?;
        self.looks_at_few_of(forged)?;
        same("conflicts", &self.conflicts()?, &Vec::new())
    }
}

/// A hardware address for each number.
fn stranger(n: u16) -> MacAddress {
    let [high, low] = n.to_be_bytes();
    MacAddress([2, 0, 0, 0x78, high, low])
}

/// Bears claims of an address on ge1, upon which it is in conflict, and nothing else is. Then it is asked
/// for another one.
fn bears_claims(bed: &Bed, forged: &Forged, ip: IpAddr, line: &str) -> Result<(), Failed> {
    let said = bed.messages()?.len();
    let before = bed.conflicts()?;
    same("conflicts", &before, &Vec::new())?;
    bed.looks_at_few_of(forged)?;
    let conflicts = bed.conflicts()?;
    let seen: Vec<_> = conflicts
        .iter()
        .map(|one| (one.address, one.withheld))
        .collect();
    same("conflicts", &seen, &vec![(ip, false)])?;
    same("holders", &bed.holders(ip)?, &vec!["ge1".to_owned()])?;
    // Whoever claims it, it is told once.
    let messages = bed.messages()?.split_off(said);
    let told = messages
        .iter()
        .filter(|message| message.contains("in use by"));
    same(&format!("{messages:#?}"), &told.count(), &1)?;
    // Amid it another one is brought up.
    let flood = Flood::at(&bed.ge1, &forged.1)?;
    bed.types(line)?;
    is_fast(forged.0, flood.stop()?)?;
    same("conflicts", &bed.conflicts()?.len(), &1)
}

fn claims_do_no_more_than_be_told() -> Result<(), Failed> {
    let bed = Bed::lab1(DETECTION)?;
    let to_all = |from, sender| arp_reply((from, MacAddress::BROADCAST), sender);
    let others = each(|n| {
        let [high, low] = n.to_be_bytes();
        to_all(stranger(n), Ipv4Addr::new(192, 168, 128 | high, low))
    })?;
    let before = bed.looked_at()?;
    bed.hears_nothing_of(&("ARP announcements of others", others))?;
    // Some that ge0 sends itself are among them.
    let looked_at = bed.looked_at()? - before;
    same(&format!("{looked_at} looked at"), &(looked_at < 100), &true)?;
    let mut long = to_all(STRANGER, DATA1)?;
    long.resize(300, 0);
    bed.bears_long_claims(&("long ARP claims", vec![long]))?;
    let ours = each(|n| to_all(stranger(n), DATA1))?;
    let forged = ("ARP claims of an address of ours", ours);
    let line = "ifconfig ge1 addif 192.168.0.90/24 up";
    bears_claims(&bed, &forged, DATA1.into(), line)
}

fn inet6_claims_do_no_more_than_be_told() -> Result<(), Failed> {
    let bed = inet6()?;
    let line = "ifconfig ge1 inet6 addif fd00::88/64 up";
    bed.types(line)?;
    let long = repeated_advertisement(STRANGER, fd(0x88), 32)?;
    bed.bears_long_claims(&("long advertised claims", vec![long]))?;
    let ours = each(|n| advertisement(stranger(n), fd(0x88)))?;
    let forged = ("advertised claims of an address of ours", ours);
    let line = "ifconfig ge1 inet6 addif fd00::90/64 up";
    bears_claims(&bed, &forged, fd(0x88).into(), line)
}
