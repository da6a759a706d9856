//! Another host of the link has an address of ours: noticed, said, and not fought over.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use ipmp_core::MacAddress;
use ipmp_core::action::Announcement;
use ipmp_core::snapshot::Conflict;
use ipmp_lab::labs::Moment;
use ipmp_lab::{Host, Nic, wait_until};
use ipmp_linux::announce::Announcer;
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, reaches, same};
use crate::scene::{
    DATA0, DATA1, Fault, QUICK, TEST0, TEST1, by_hand, fd, loses_nothing, text_of, within,
};
use crate::tap::{Packet, Tap};

tests![
    address_that_another_host_has_is_not_brought_up,
    inet6_address_that_another_host_has_is_not_brought_up,
    address_that_becomes_free_is_brought_up,
    address_stays_if_another_host_has_its_successor,
    others_are_asked_three_times_before_an_address_is_brought_up,
    boot_tells_each_conflict_and_brings_up_the_rest,
    boot_asks_for_all_addresses_together,
    address_in_service_is_kept_and_defended,
    inet6_address_in_service_is_kept_and_defended,
    defence_is_limited,
    conflict_is_noticed_at_failover,
    conflict_is_noticed_at_failback,
    conflict_is_noticed_when_the_daemon_starts_again,
    failover_does_not_wait_for_others_to_be_asked,
    own_interfaces_are_no_other_hosts,
    nobody_is_asked_if_it_is_switched_off,
];

/// A conflict in service is over when nobody has claimed the address for this long, and it is asked for
/// meanwhile.
const SILENCE: Duration = Duration::from_mins(1);

/// How long an address in service is not defended again, the first time.
const INTERVAL: Duration = Duration::from_secs(10);

/// What brings up a data address that is not there yet.
const UP: &str = "ifconfig ge0 plumb 192.168.0.86 netmask + broadcast + group testgrp2 up";

/// Another host on the switch, with addresses of ours.
pub(crate) struct Rival {
    host: Host,
    pub(crate) nic: Nic,
}

impl Rival {
    fn of(bed: &Bed) -> Result<Self, Failed> {
        let host = bed.lab.host("rival")?;
        let nic = host.nic("ge0", &bed.switch)?;
        host.set_up("ge0", true)?;
        // Until then the kernel drops what is sent.
        wait_until("the rival's link works", PATIENCE, || {
            let state = host.read_file("/sys/class/net/ge0/operstate");
            state.is_ok_and(|state| state.trim() == "up")
        })?;
        Ok(Self { host, nic })
    }

    /// One that has an address.
    pub(crate) fn with(bed: &Bed, ip: impl Into<IpAddr>) -> Result<Self, Failed> {
        let rival = Self::of(bed)?;
        rival.takes(ip)?;
        Ok(rival)
    }

    /// Takes an address without asking or telling anybody.
    fn takes(&self, ip: impl Into<IpAddr>) -> Result<(), Failed> {
        let ip = ip.into();
        let line = match ip {
            IpAddr::V4(_) => format!("ip address add {ip}/24 dev ge0"),
            IpAddr::V6(_) => format!("ip address add {ip}/64 dev ge0 nodad"),
        };
        by_hand(&self.host, &line).map(drop)
    }

    fn gives_up(&self, ip: impl Into<IpAddr>) -> Result<(), Failed> {
        by_hand(&self.host, &format!("ip address flush to {}", ip.into())).map(drop)
    }

    /// Tells everybody that it has an address.
    fn announces(&self, ip: impl Into<IpAddr>) -> Result<(), Failed> {
        let ip = ip.into();
        let errors = self.host.enter(|| -> Result<_, Failed> {
            let index = std::fs::read_to_string("/sys/class/net/ge0/ifindex")?;
            Ok(Announcer::new().announce(&Announcement {
                interface: self.nic.name.clone(),
                index: index.trim().parse()?,
                mac: self.nic.mac,
                addresses: vec![ip],
            }))
        })??;
        same("announcement", &errors.is_empty(), &true)
    }
}

impl Bed {
    /// What is in conflict, as the daemon sees it.
    pub(crate) fn conflicts(&self) -> Result<Vec<Conflict>, Failed> {
        Ok(self.snapshot()?.conflicts)
    }

    /// Waits until an address is in conflict with this host, withheld or not.
    fn awaits_conflict(
        &self,
        ip: impl Into<IpAddr>,
        rival: &Rival,
        withheld: bool,
    ) -> Result<Conflict, Failed> {
        let ip = ip.into();
        let is_it = |conflict: &&Conflict| {
            conflict.address == ip && conflict.mac == rival.nic.mac && conflict.withheld == withheld
        };
        self.awaits(&format!("{ip} is in conflict"), |snapshot| {
            snapshot.conflicts.iter().any(|conflict| is_it(&conflict))
        })?;
        let conflicts = self.conflicts()?;
        let found = conflicts.iter().find(is_it);
        found.cloned().ok_or_else(|| "no conflict".into())
    }

    /// Waits until nothing is.
    fn awaits_peace(&self, within: Duration) -> Result<(), Failed> {
        let is_over = || self.conflicts().is_ok_and(|conflicts| conflicts.is_empty());
        wait_until("no conflict", within, is_over)?;
        Ok(())
    }

    /// Fails unless nothing is, and nothing was.
    fn has_had_no_conflict(&self) -> Result<(), Failed> {
        same("conflicts", &self.conflicts()?, &Vec::new())?;
        self.never_says(0, "in use by")
    }

    /// Fails unless it is shown which other host has an address, and on which interface it was heard.
    fn shows_conflict(&self, ip: IpAddr, rival: &Rival, nic: &str) -> Result<(), Failed> {
        let by = format!("by {} on {nic}", rival.nic.mac);
        for (line, text) in [
            ("ipmp status", format!("in use by another host: {ip} {by}")),
            (
                "ipmp status --json",
                format!("\"mac\": \"{}\"", rival.nic.mac),
            ),
            ("ipmp events", format!("{ip} is in use {by}")),
            (&format!("ipmp explain {ip}"), format!("{ip} {by}")),
        ] {
            let shown = self.types(line)?;
            let words: Vec<_> = shown.split_whitespace().collect();
            let is_shown = words.join(" ").contains(&text);
            same(&format!("{line}: {shown}"), &is_shown, &true)?;
        }
        Ok(())
    }
}

/// How often somebody asked for an address by ARP without naming himself, by now.
pub(crate) fn asked(tap: &Tap, mac: MacAddress, ip: Ipv4Addr) -> Vec<Instant> {
    let probe = Packet::Arp {
        sender: Ipv4Addr::UNSPECIFIED,
        target: ip,
    };
    tap.times(&probe, mac)
}

/// How often neighbours are told where an address is that was put into place.
const ROUNDS: usize = 5;

/// Packets of ARP by which they are told: a request and a reply.
const ROUND: usize = 2;

/// When neighbours were told where an address is, by now.
fn announcements(tap: &Tap, ip: IpAddr, mac: MacAddress) -> Vec<Instant> {
    match ip {
        IpAddr::V4(ip) => tap.announcements(ip, mac),
        IpAddr::V6(ip) => tap.advertisements(ip, mac),
    }
}

/// Waits until neighbours were told for the last time of an address that was put into place since the tap
/// is there. Another host that takes it would answer that, and it looks like a defence.
fn awaits_last_announcement(tap: &Tap, ip: IpAddr, mac: MacAddress) -> Result<(), Failed> {
    let all = if ip.is_ipv4() { ROUNDS * ROUND } else { ROUNDS };
    tap.awaits(&format!("{ip} is announced for the last time"), |_| {
        announcements(tap, ip, mac).len() >= all
    })?;
    Ok(())
}

/// Lab 1, whose addresses were announced for the last time.
fn announced_lab1() -> Result<Bed, Failed> {
    let bed = Bed::new(QUICK)?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    bed.sets_up_lab1()?;
    awaits_last_announcement(&tap, DATA1.into(), bed.ge1.mac)?;
    Ok(bed)
}

/// Host1 is asked for an address that another host has, and does without until that gives it up.
fn is_not_brought_up(bed: &Bed, ip: IpAddr, line: &str, logical: &str) -> Result<(), Failed> {
    let rival = Rival::with(bed, ip)?;
    let mac = rival.nic.mac;
    // The first command starts the daemon.
    let said = bed.messages().map_or(0, |said| said.len());
    let is_up = |flags: &str| flags.contains("UP,") && !flags.contains("DUPLICATE");

    let output = bed.host1.run(line)?;
    same("exit status", &output.status.code(), &Some(1))?;
    let told = format!("{ip} is in use by {mac} on ge0; it comes up when that ends\n");
    let is_told = output.stderr.ends_with(&told) && output.stderr.lines().count() == 1;
    same(&output.stderr, &is_told, &true)?;
    same("holders", &bed.holders(ip)?, &Vec::<String>::new())?;
    let entry = bed.entry(logical)?;
    same(&entry, &entry.contains("DUPLICATE"), &true)?;
    let conflict = bed.awaits_conflict(ip, &rival, true)?;
    same("interface", conflict.interface.as_str(), "ge0")?;
    same(
        "whether it is tried again",
        &conflict.again.is_some(),
        &true,
    )?;
    bed.shows_conflict(ip, &rival, "ge0")?;
    // The other one is not disturbed.
    reaches(&bed.host2, &ip.to_string())?;
    bed.awaits_neighbour(ip, rival.nic.mac)?;
    // Asked for by name it is tried at once, and still told once to the journal.
    let line = explained(bed, ip)?;
    let again = bed.host1.run(&line)?;
    same("exit status", &again.status.code(), &Some(1))?;
    let told = said_of(bed, said, ip)?;
    same(&format!("{told:#?}"), &told.len(), &1)?;

    rival.gives_up(ip)?;
    bed.types(&line)?;
    same("holders", &bed.holders(ip)?, &vec!["ge0".to_owned()])?;
    let entry = bed.entry(logical)?;
    same(&entry, &is_up(&entry), &true)?;
    bed.awaits_peace(PATIENCE)?;
    bed.awaits_neighbour(ip, bed.ge0.mac)?;
    reaches(&bed.host2, &ip.to_string())
}

/// The command by which an address that is withheld is tried at once, as `ipmp explain` has it.
fn explained(bed: &Bed, ip: IpAddr) -> Result<String, Failed> {
    let told = bed.types(&format!("ipmp explain {ip}"))?;
    let words: Vec<_> = told.split_whitespace().collect();
    let words = words.join(" ");
    let line = words.split_once("To try it at once: ");
    let line = line.and_then(|(_, rest)| rest.split_once("up."));
    let (line, _) = line.ok_or_else(|| format!("no command in: {told}"))?;
    Ok(format!("{line}up"))
}

/// What the daemon has said of an address being in use, after its first `since` messages.
fn said_of(bed: &Bed, since: usize, ip: IpAddr) -> Result<Vec<String>, Failed> {
    let text = format!("{ip} is in use by");
    let new = bed.messages()?.into_iter().skip(since);
    Ok(new.filter(|message| message.contains(&text)).collect())
}

fn address_that_another_host_has_is_not_brought_up() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    is_not_brought_up(&bed, DATA0.into(), UP, "ge0")?;
    // A test address neither.
    let line = "ifconfig ge0 addif 192.168.0.87/24 deprecated -failover up";
    is_not_brought_up(&bed, TEST0.into(), line, "ge0:1")
}

fn inet6_address_that_another_host_has_is_not_brought_up() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    bed.host2.configure("ge0", "fd00::2/64")?;
    bed.types("ifconfig ge0 inet6 plumb group testgrp2 up")?;
    let line = "ifconfig ge0 inet6 addif fd00::86/64 up";
    is_not_brought_up(&bed, fd(0x86).into(), line, "ge0:1")
}

fn address_that_becomes_free_is_brought_up() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    let rival = Rival::with(&bed, DATA0)?;
    same("success", &bed.host1.run(UP)?.success(), &false)?;
    // Everything else is as always.
    bed.types("ifconfig ge1 plumb 192.168.0.88 netmask + broadcast + group testgrp2 up")?;
    reaches(&bed.host2, "192.168.0.88")?;
    rival.gives_up(DATA0)?;
    bed.awaits_holder(DATA0, "ge0")?;
    bed.awaits_peace(PATIENCE)?;
    reaches(&bed.host2, "192.168.0.86")?;
    bed.awaits_neighbour(DATA0, bed.ge0.mac)
}

fn address_stays_if_another_host_has_its_successor() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let wanted = Ipv4Addr::new(192, 168, 0, 90);
    let rival = Rival::with(&bed, wanted)?;
    let pings = bed.pings(DATA0)?;
    let mac = rival.nic.mac;
    let reason = format!("{wanted} is in use by {mac} on ge0; {DATA0} stays");
    let output = bed.host1.run(&format!("ifconfig ge0 {wanted}"))?;
    same("exit status", &output.status.code(), &Some(1))?;
    let is_told = output.stderr.ends_with(&format!("{reason}\n"));
    same(&output.stderr, &is_told, &true)?;
    same("holders", &bed.holders(wanted)?, &Vec::<String>::new())?;
    bed.lists(Moment::Lab1, true)?;
    bed.has_had_no_conflict()?;
    loses_nothing("ping", &pings.stop()?)?;

    rival.gives_up(wanted)?;
    bed.types(&format!("ifconfig ge0 {wanted}"))?;
    same("holders", &bed.holders(wanted)?, &vec!["ge0".to_owned()])?;
    same("holders", &bed.holders(DATA0)?, &Vec::<String>::new())?;
    reaches(&bed.host2, &wanted.to_string())
}

fn others_are_asked_three_times_before_an_address_is_brought_up() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    bed.types(UP)?;
    tap.awaits("it is announced", |_| {
        !tap.announcements(DATA0, bed.ge0.mac).is_empty()
    })?;
    let asked = asked(&tap, bed.ge0.mac, DATA0);
    same("how often it was asked", &asked.len(), &3)?;
    let announced = tap.announcements(DATA0, bed.ge0.mac);
    let is_first = asked.last() < announced.first();
    same("whether asking came first", &is_first, &true)?;
    bed.has_had_no_conflict()
}

fn boot_tells_each_conflict_and_brings_up_the_rest() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    let rival = Rival::with(&bed, DATA0)?;
    rival.takes(TEST1)?;
    for (nic, data, test) in [("ge0", DATA0, TEST0), ("ge1", DATA1, TEST1)] {
        let text = format!("{data} group testgrp2 up addif {test} deprecated -failover up\n");
        bed.host1
            .write_file(&format!("/etc/hostname.{nic}"), &text)?;
    }
    let output = bed.host1.run("ipmp boot")?;
    same("success", &output.success(), &false)?;
    let mac = rival.nic.mac;
    let told = output.stderr.lines();
    let told: Vec<_> = told.filter(|line| line.contains("in use by")).collect();
    let expected = [(DATA0, "ge0"), (TEST1, "ge1")];
    let expected = expected.map(|(ip, nic)| format!("{ip} is in use by {mac} on {nic}"));
    let is_told = expected
        .iter()
        .all(|text| told.iter().any(|line| line.contains(text)));
    same(&format!("{told:#?}"), &(is_told, told.len()), &(true, 2))?;
    for (ip, nic) in [(TEST0, "ge0"), (DATA1, "ge1")] {
        same("holders", &bed.holders(ip)?, &vec![nic.to_owned()])?;
    }
    reaches(&bed.host2, "192.168.0.88")?;
    for ip in [DATA0, TEST1] {
        rival.gives_up(ip)?;
    }
    bed.awaits_holder(DATA0, "ge0")?;
    bed.awaits_holder(TEST1, "ge1")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.awaits_peace(PATIENCE)
}

fn boot_asks_for_all_addresses_together() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    let mut text = "192.168.0.86 group testgrp2 up".to_owned();
    let all: Vec<Ipv4Addr> = (101..165).map(|n| Ipv4Addr::new(192, 168, 0, n)).collect();
    for ip in &all {
        let _infallible = write!(text, " addif {ip} up");
    }
    bed.host1.write_file("/etc/hostname.ge0", &text)?;
    bed.types("ipmp boot")?;
    let mut times = Vec::new();
    for &ip in &all {
        let asked = asked(&tap, bed.ge0.mac, ip);
        same(&format!("how often {ip} was asked for"), &asked.len(), &3)?;
        same("holders", &bed.holders(ip)?, &vec!["ge0".to_owned()])?;
        times.extend(asked);
    }
    // One after the other it would be three pauses for each.
    let took = times.iter().max().zip(times.iter().min());
    let took = took.map_or(Duration::MAX, |(last, first)| *last - *first);
    let limit = Duration::from_millis(120) * 64 / 2;
    within("asking", took, Duration::ZERO, limit)
}

/// Another host takes an address in service and says so: it stays, and neighbours are told again.
fn is_kept_and_defended(bed: &Bed, ip: IpAddr, logical: &str) -> Result<Rival, Failed> {
    let rival = Rival::of(bed)?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    let said = bed.messages()?.len();
    rival.takes(ip)?;
    rival.announces(ip)?;
    let conflict = bed.awaits_conflict(ip, &rival, false)?;
    same("interface", conflict.interface.as_str(), "ge1")?;
    tap.awaits("it is defended", |_| {
        !announcements(&tap, ip, bed.ge1.mac).is_empty()
    })?;
    same("holders", &bed.holders(ip)?, &vec!["ge1".to_owned()])?;
    let entry = bed.entry(logical)?;
    let is_up = entry.contains("UP,") && !entry.contains("DUPLICATE");
    same(&entry, &is_up, &true)?;
    bed.shows_conflict(ip, &rival, "ge1")?;
    rival.announces(ip)?;
    let told = said_of(bed, said, ip)?;
    same(&format!("{told:#?}"), &told.len(), &1)?;
    Ok(rival)
}

fn address_in_service_is_kept_and_defended() -> Result<(), Failed> {
    let bed = announced_lab1()?;
    let rival = is_kept_and_defended(&bed, DATA1.into(), "ge1")?;
    rival.gives_up(DATA1)?;
    bed.awaits_peace(SILENCE + PATIENCE)?;
    bed.awaits_neighbour(DATA1, bed.ge1.mac)?;
    reaches(&bed.host2, "192.168.0.88")?;
    bed.lists(Moment::Lab1, true)
}

fn inet6_address_in_service_is_kept_and_defended() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    bed.host2.configure("ge0", "fd00::2/64")?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    for line in [
        "ifconfig ge0 inet6 plumb group testgrp2 up",
        "ifconfig ge1 inet6 plumb group testgrp2 up",
        "ifconfig ge1 inet6 addif fd00::88/64 up",
    ] {
        bed.types(line)?;
    }
    awaits_last_announcement(&tap, fd(0x88).into(), bed.ge1.mac)?;
    is_kept_and_defended(&bed, fd(0x88).into(), "ge1:1").map(drop)
}

fn defence_is_limited() -> Result<(), Failed> {
    let bed = announced_lab1()?;
    let rival = Rival::of(&bed)?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    // At once, and after ten seconds.
    let mut claims = 0;
    wait_until("it is defended twice", INTERVAL + PATIENCE, || {
        claims += u32::from(rival.announces(DATA1).is_ok());
        announcements(&tap, DATA1.into(), bed.ge1.mac).len() >= 2 * ROUND
    })?;
    bed.awaits_conflict(DATA1, &rival, false)?;
    let defended = announcements(&tap, DATA1.into(), bed.ge1.mac);
    let [first, _, second, _] = defended[..] else {
        return Err(format!("defended against {claims} claims: {defended:?}").into());
    };
    let pause = second - first;
    within("pause", pause, INTERVAL / 2, INTERVAL + PATIENCE)?;
    // Rather more often than it was defended.
    same(&format!("{claims} claims"), &(claims > 100), &true)?;
    same("holders", &bed.holders(DATA1)?, &vec!["ge1".to_owned()])?;
    bed.lists(Moment::Lab1, true)
}

fn conflict_is_noticed_at_failover() -> Result<(), Failed> {
    let bed = announced_lab1()?;
    let rival = Rival::of(&bed)?;
    rival.takes(DATA1)?;
    bed.has_had_no_conflict()?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    bed.fails(Fault::Pull, &bed.ge1)?;
    bed.awaits_holder(DATA1, "ge0")?;
    let conflict = bed.awaits_conflict(DATA1, &rival, false)?;
    same("interface", conflict.interface.as_str(), "ge0")?;
    // Nobody was asked before neighbours were told that it is there.
    let told = announcements(&tap, DATA1.into(), bed.ge0.mac);
    let asked = asked(&tap, bed.ge0.mac, DATA1);
    let is_told_first = told
        .first()
        .zip(asked.first())
        .map(|(told, asked)| told < asked);
    same(
        &format!("told first at {told:?}, asked at {asked:?}"),
        &is_told_first,
        &Some(true),
    )?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA1, "ge1")
}

fn conflict_is_noticed_at_failback() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let rival = Rival::of(&bed)?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    bed.fails(Fault::Pull, &bed.ge1)?;
    awaits_last_announcement(&tap, DATA1.into(), bed.ge0.mac)?;
    rival.takes(DATA1)?;
    bed.has_had_no_conflict()?;
    bed.repairs(&bed.ge1)?;
    bed.awaits_holder(DATA1, "ge1")?;
    let conflict = bed.awaits_conflict(DATA1, &rival, false)?;
    same("interface", conflict.interface.as_str(), "ge1")?;
    bed.lists(Moment::Lab1, true)
}

fn conflict_is_noticed_when_the_daemon_starts_again() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let rival = Rival::of(&bed)?;
    bed.kills_daemon()?;
    rival.takes(DATA1)?;
    bed.types("in.mpathd")?;
    bed.awaits_conflict(DATA1, &rival, false)?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.lists(Moment::Lab1, true)
}

fn failover_does_not_wait_for_others_to_be_asked() -> Result<(), Failed> {
    /// A loaded machine may have asked three times before the cable is pulled.
    const TRIES: u8 = 10;
    let bed = Bed::new(QUICK)?;
    // Failing so often it would be kept out of use.
    let settings = "[defaults]\ndampening-half-life = \"off\"\n";
    bed.host1.write_file("/etc/ipmp.toml", settings)?;
    bed.sets_up_lab1()?;
    let mut order = Vec::new();
    for last in 100..100 + TRIES {
        let other = Ipv4Addr::new(192, 168, 0, last);
        let tap = Tap::at(&bed.host2, "ge0")?;
        let is_asked = || !asked(&tap, bed.ge0.mac, other).is_empty();
        let line = format!("ifconfig ge0 addif {other}/24 up");
        std::thread::scope(|scope| -> Result<(), Failed> {
            let command = scope.spawn(|| bed.types(&line).map(drop));
            tap.awaits("others are asked", |_| is_asked())?;
            bed.fails(Fault::Pull, &bed.ge1)?;
            command.join().map_err(|_| "the command broke off")?
        })?;
        tap.awaits("all is asked, and it is announced where it is", |_| {
            asked(&tap, bed.ge0.mac, other).len() >= 3
                && !announcements(&tap, DATA1.into(), bed.ge0.mac).is_empty()
        })?;
        // Were it to wait for the questions, all of them would come before it.
        let told = announcements(&tap, DATA1.into(), bed.ge0.mac);
        let asked = asked(&tap, bed.ge0.mac, other);
        let before = asked.iter().filter(|&at| Some(at) < told.first()).count();
        order.push(before);
        bed.repairs(&bed.ge1)?;
        bed.awaits_holder(DATA1, "ge1")?;
        if before < asked.len() {
            return Ok(());
        }
    }
    Err(format!("questions before the failover, of three: {order:?}").into())
}

fn own_interfaces_are_no_other_hosts() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    // A bridge hears what the members announce, and what is sent from one hardware address comes back
    // when that is another's.
    bed.host1.nic("ge2", &bed.switch)?;
    for line in [
        "ip link add br0 type bridge",
        "ip link set ge2 master br0",
        "ip link set ge2 up",
        "ip link set br0 up",
    ] {
        by_hand(&bed.host1, line)?;
    }
    for nic in [&bed.ge0, &bed.ge1] {
        bed.fails(Fault::Pull, nic)?;
        bed.repairs(nic)?;
    }
    bed.lists(Moment::Lab1, true)?;
    for last in 1..=3 {
        let new = text_of(MacAddress([2, 0, 0, 0, 0x77, last]));
        by_hand(&bed.host1, &format!("ip link set ge1 address {new}"))?;
        bed.awaits_holder(DATA1, "ge1")?;
    }
    let (own, twin) = (text_of(bed.ge1.mac), text_of(bed.ge0.mac));
    let tap = Tap::at(&bed.host2, "ge0")?;
    by_hand(&bed.host1, &format!("ip link set ge1 address {twin}"))?;
    awaits_last_announcement(&tap, DATA1.into(), bed.ge0.mac)?;
    by_hand(&bed.host1, &format!("ip link set ge1 address {own}"))?;
    awaits_last_announcement(&tap, DATA1.into(), bed.ge1.mac)?;
    bed.has_had_no_conflict()
}

fn nobody_is_asked_if_it_is_switched_off() -> Result<(), Failed> {
    let bed = Bed::new(QUICK)?;
    let switch = "[daemon]\nduplicate-address-detection = false\n";
    bed.host1.write_file("/etc/ipmp.toml", switch)?;
    let rival = Rival::with(&bed, DATA0)?;
    let tap = Tap::at(&bed.host2, "ge0")?;
    bed.sets_up_lab1()?;
    rival.announces(DATA0)?;
    bed.fails(Fault::Pull, &bed.ge1)?;
    // Others would be asked twice before the last one.
    awaits_last_announcement(&tap, DATA1.into(), bed.ge0.mac)?;
    for ip in [DATA0, TEST0, DATA1, TEST1] {
        for nic in [&bed.ge0, &bed.ge1] {
            same(
                &format!("questions about {ip}"),
                &asked(&tap, nic.mac, ip).len(),
                &0,
            )?;
        }
    }
    same("holders", &bed.holders(DATA0)?, &vec!["ge0".to_owned()])?;
    bed.has_had_no_conflict()
}
