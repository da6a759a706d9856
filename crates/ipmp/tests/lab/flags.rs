//! What each word of the labs does to a logical, and each flag of the listings, when it is there and
//! what it means.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use ipmp_core::MacAddress;
use ipmp_core::kernel::Hop;
use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::labs::Moment;
use ipmp_linux::wire::{HEADER, LARGEST, Wire};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, PATIENCE, find, same};

tests![
    group_is_of_the_nic,
    group_joins_moves_and_leaves,
    group_starts_the_daemon,
    deprecated_is_not_chosen_as_source,
    deprecated_is_not_chosen_as_source_outside_groups,
    deprecated_is_chosen_where_nothing_else_fits,
    failover_minus_never_moves_and_probes,
    addif_takes_the_next_free_unit,
    standby_is_of_the_nic_and_carries_nothing,
    up_announces_the_address,
    down_takes_the_address_away,
    netmask_plus_looks_up,
    netmask_plus_without_an_entry_keeps_the_class,
    netmask_literal,
    broadcast_plus_is_recomputed,
    flags_of_lo0,
    flags_of_a_data_address,
    flags_of_a_test_address,
    flags_of_a_placeholder_and_test_address_of_a_failed_nic,
    flags_of_an_idle_standby,
];

const SLOW: u32 = 10_000;

const GE0: &str = "ifconfig ge0 plumb 192.168.0.86 group testgrp2 up";
const GE1: &str = "ifconfig ge1 plumb 192.168.0.88 group testgrp2 up";
const GE1_TEST: &str = "ifconfig ge1 addif 192.168.0.89 deprecated -failover up";

fn group_is_of_the_nic() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    bed.types("ifconfig ge0 inet6 plumb up")?;
    for family in ["inet", "inet6"] {
        let listing = bed.types(&format!("ifconfig ge0 {family}"))?;
        let groups = listing
            .lines()
            .filter(|line| *line == "\tgroupname testgrp2")
            .count();
        same(&format!("group lines of ge0, {family}"), &groups, &1)?;
    }
    // Only the NIC itself takes it, and only there it is shown.
    bed.refuses(
        "ifconfig ge0:1 group other",
        "ifconfig: group: ge0:1: only the interface itself (unit 0) takes this",
    )?;
    same(
        "ge0:1 shows its group",
        &bed.entry("ge0:1")?.contains("groupname"),
        &false,
    )?;
    bed.lists_lab1()
}

fn group_joins_moves_and_leaves() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    // The same once more is nothing.
    bed.types("ifconfig ge1 group testgrp2")?;
    bed.lists_lab1()?;
    bed.types("ifconfig ge1 group Testgrp2")?;
    let members = |snapshot: &ipmp_core::Snapshot| -> Vec<String> {
        snapshot
            .groups
            .iter()
            .map(|group| format!("{:?}: {:?}", group.name, group.active))
            .collect()
    };
    let seen = members(&bed.snapshot()?);
    same("groups, whose names differ in case", &seen.len(), &2)?;
    bed.types("ifconfig ge1 group ''")?;
    same(
        "ge1 shows a group",
        &bed.entry("ge1")?.contains("groupname"),
        &false,
    )?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "1000843")?;
    same("groups", &bed.snapshot()?.groups.len(), &1)
}

fn group_starts_the_daemon() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 up")?;
    bed.signals_daemon(Signal::SIGKILL)?;
    bed.awaits_no_daemon()?;
    let listing = bed.types("ifconfig -a")?;
    same(
        "daemons after listing",
        &bed.host1.pids_of("in.mpathd")?.len(),
        &0,
    )?;
    same(
        "ge0 is listed without a daemon",
        &listing.contains("inet 192.168.0.86 "),
        &true,
    )?;
    bed.types("ifconfig ge0 group testgrp2")?;
    same(
        "daemons after group",
        &bed.host1.pids_of("in.mpathd")?.len(),
        &1,
    )?;
    same("flags of ge0", bed.flags("ge0")?.as_str(), "1000843")
}

fn deprecated_is_not_chosen_as_source() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let data = Some("192.168.0.86".parse()?);
    // First on the NIC and lowest, so that the kernel would choose it.
    bed.types("ifconfig ge0 plumb 192.168.0.80 group testgrp2 deprecated up")?;
    bed.types("ifconfig ge0 addif 192.168.0.86 up")?;
    same("flags of ge0", bed.flags("ge0")?.as_str(), "1040843")?;
    same("source", &source_to(&bed, "192.168.0.2")?, &data)?;
    // Again after the other one was away.
    bed.types("ifconfig ge0:1 down")?;
    bed.types("ifconfig ge0:1 up")?;
    same("source afterwards", &source_to(&bed, "192.168.0.2")?, &data)?;
    bed.types("ifconfig ge0 -deprecated")?;
    same("flags of ge0", bed.flags("ge0")?.as_str(), "1000843")
}

fn deprecated_is_not_chosen_as_source_outside_groups() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 192.168.0.80 deprecated up")?;
    bed.types("ifconfig ge0 addif 192.168.0.86 up")?;
    let data = Some("192.168.0.86".parse()?);
    same("source", &source_to(&bed, "192.168.0.2")?, &data)
}

fn deprecated_is_chosen_where_nothing_else_fits() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2 deprecated up")?;
    same(
        "source",
        &source_to(&bed, "192.168.0.2")?,
        &Some("192.168.0.86".parse()?),
    )
}

fn failover_minus_never_moves_and_probes() -> Result<(), Failed> {
    let bed = Bed::new(1000)?;
    for line in [
        GE0,
        "ifconfig ge0 addif 192.168.0.87 -failover up",
        GE1,
        GE1_TEST,
    ] {
        bed.types(line)?;
    }
    same("flags of ge0:1", bed.flags("ge0:1")?.as_str(), "9000843")?;
    bed.awaits_probes(&["ge0", "ge1"])?;
    bed.ge0.cable.pull()?;
    bed.awaits_state("ge0", InterfaceState::Failed)?;
    let entry = bed.entry("ge0:1")?;
    same(
        "192.168.0.87 is on ge0:1",
        &entry.contains("inet 192.168.0.87 "),
        &true,
    )?;
    let snapshot = bed.snapshot()?;
    let ge0 = find(&snapshot, "ge0").ok_or("no ge0 in the snapshot")?;
    let from: Vec<_> = ge0
        .probing
        .iter()
        .filter_map(|probing| probing.test_address)
        .collect();
    same(
        "probes of ge0 leave from",
        &from,
        &vec!["192.168.0.87".parse::<IpAddr>()?],
    )
}

fn addif_takes_the_next_free_unit() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types(GE0)?;
    for (address, unit) in [("90", 1), ("91", 2), ("92", 3)] {
        let said = bed.types(&format!("ifconfig ge0 addif 192.168.0.{address} up"))?;
        same(
            "addif",
            &said,
            &format!("Created new logical interface ge0:{unit}\n"),
        )?;
    }
    bed.types("ifconfig ge0 removeif 192.168.0.91")?;
    let said = bed.types("ifconfig ge0 addif 192.168.0.93 up addif 192.168.0.94 up")?;
    same(
        "addif twice",
        said.as_str(),
        "Created new logical interface ge0:2\nCreated new logical interface ge0:4\n",
    )
}

fn standby_is_of_the_nic_and_carries_nothing() -> Result<(), Failed> {
    let bed = Bed::new(1000)?;
    bed.types(GE0)?;
    bed.types("ifconfig ge0 addif 192.168.0.87 deprecated -failover up")?;
    bed.types("ifconfig ge1 plumb 192.168.0.88 group testgrp2 deprecated -failover up")?;
    bed.types("ifconfig ge1 addif 192.168.0.89 deprecated -failover up")?;
    bed.types("ifconfig ge1:1 standby")?;
    for logical in ["ge1", "ge1:1"] {
        same(
            &format!("flags of {logical}"),
            bed.flags(logical)?.as_str(),
            "69040843",
        )?;
    }
    bed.awaits_probes(&["ge0", "ge1"])?;
    same("NICs in use", &paths(&bed)?, &vec!["ge0".to_owned()])?;
    bed.ge0.cable.pull()?;
    bed.awaits_state("ge0", InterfaceState::Failed)?;
    same(
        "NICs in use without ge0",
        &paths(&bed)?,
        &vec!["ge1".to_owned()],
    )?;
    bed.ge0.cable.plug()?;
    bed.awaits_state("ge0", InterfaceState::Ok)?;
    same(
        "NICs in use afterwards",
        &paths(&bed)?,
        &vec!["ge0".to_owned()],
    )?;
    bed.types("ifconfig ge1 -standby")?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "9040843")
}

fn up_announces_the_address() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 group testgrp2")?;
    same("flags of ge0", bed.flags("ge0")?.as_str(), "1000842")?;
    let wire = bed.host2.enter(|| -> Result<Wire, Failed> {
        let index = std::fs::read_to_string("/sys/class/net/ge0/ifindex")?;
        Ok(Wire::open(index.trim().parse()?)?)
    })??;
    bed.types("ifconfig ge0 up")?;
    hears_announcement(&wire, bed.ge0.mac, Ipv4Addr::new(192, 168, 0, 86))
}

fn down_takes_the_address_away() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types(GE0)?;
    bed.types("ifconfig ge0 addif 192.168.0.90 up")?;
    bed.types("ifconfig ge0:1 down")?;
    same("flags of ge0:1", bed.flags("ge0:1")?.as_str(), "1000842")?;
    same("in the kernel", &bed.has_address("192.168.0.90")?, &false)?;
    bed.types("ifconfig ge0:1 up")?;
    same("in the kernel", &bed.has_address("192.168.0.90")?, &true)
}

fn netmask_plus_looks_up() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1.write_file(
        "/etc/netmasks",
        "# network  mask\n192.168.0.0\t255.255.255.0\n192.168.0.64 255.255.255.192\n",
    )?;
    let said = bed.types("ifconfig ge0 plumb 192.168.0.86 netmask + broadcast + up")?;
    same(
        "standard output",
        said.as_str(),
        "Setting netmask of ge0 to 255.255.255.192\n",
    )?;
    mask_is(&bed, "ge0", "ffffffc0", "192.168.0.127")?;
    let said = bed.types("ifconfig ge0 addif 192.168.0.200 netmask + broadcast + up")?;
    same(
        "standard output",
        said.as_str(),
        "Created new logical interface ge0:1\nSetting netmask of ge0:1 to 255.255.255.0\n",
    )?;
    mask_is(&bed, "ge0:1", "ffffff00", "192.168.0.255")
}

fn netmask_plus_without_an_entry_keeps_the_class() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let said = bed.types("ifconfig ge0 plumb 10.1.2.3 netmask + broadcast + up")?;
    same("standard output", said.as_str(), "")?;
    mask_is(&bed, "ge0", "ff000000", "10.255.255.255")
}

fn netmask_literal() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 10.1.2.3 netmask 255.255.255.0 up")?;
    mask_is(&bed, "ge0", "ffffff00", "10.1.2.255")?;
    bed.types("ifconfig ge0 netmask 0xffff0000")?;
    mask_is(&bed, "ge0", "ffff0000", "10.1.255.255")?;
    bed.types("ifconfig ge0 10.1.2.3/28")?;
    mask_is(&bed, "ge0", "fffffff0", "10.1.2.15")
}

fn broadcast_plus_is_recomputed() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb 192.168.0.86 broadcast 192.168.0.0 up")?;
    mask_is(&bed, "ge0", "ffffff00", "192.168.0.0")?;
    bed.types("ifconfig ge0 broadcast +")?;
    mask_is(&bed, "ge0", "ffffff00", "192.168.0.255")
}

fn flags_of_lo0() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let mtu = bed.host1.read_file("/sys/class/net/lo/mtu")?;
    let expected = format!(
        "lo0: flags=1000849<UP,LOOPBACK,RUNNING,MULTICAST,IPv4> mtu {} index 1\n\
         \tinet 127.0.0.1 netmask ff000000 \n",
        mtu.trim()
    );
    // Without the daemon, and with it.
    same("lo0", &bed.types("ifconfig lo0")?, &expected)?;
    same("first entry", &bed.types("ifconfig -a4")?, &expected)?;
    bed.types(GE0)?;
    same("lo0", &bed.types("ifconfig lo0")?, &expected)
}

fn flags_of_a_data_address() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.types("ifconfig ge0 plumb")?;
    first_line(
        &bed,
        "ge0",
        "1000842<BROADCAST,RUNNING,MULTICAST,IPv4>",
        1500,
    )?;
    bed.types("ifconfig ge0 192.168.0.86 group testgrp2 up")?;
    first_line(
        &bed,
        "ge0",
        "1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4>",
        1500,
    )
}

fn flags_of_a_test_address() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let flags = "9040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER>";
    first_line(&bed, "ge0:1", flags, 1500)?;
    first_line(&bed, "ge1:1", flags, 1500)
}

fn flags_of_a_placeholder_and_test_address_of_a_failed_nic() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    bed.ge1.cable.silence();
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    let flags = "19000842<BROADCAST,RUNNING,MULTICAST,IPv4,NOFAILOVER,FAILED>";
    first_line(&bed, "ge1", flags, 0)?;
    let entry = bed.entry("ge1")?;
    same(
        "address of ge1",
        &entry.lines().nth(1),
        &Some("\tinet 0.0.0.0 netmask 0 "),
    )?;
    let flags = "19040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,FAILED>";
    first_line(&bed, "ge1:1", flags, 1500)?;
    bed.refuses(
        "ifconfig ge1 down",
        "ifconfig: down: ge1: placeholder of an address that is on another interface",
    )?;
    // Without its link, RUNNING is gone too.
    bed.ge1.cable.pull()?;
    bed.awaits("the link of ge1 is down", |snapshot| {
        find(snapshot, "ge1").is_some_and(|ge1| ge1.link == ipmp_core::snapshot::LinkState::Down)
    })?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "19000802")?;
    same("flags of ge1:1", bed.flags("ge1:1")?.as_str(), "19040803")
}

fn flags_of_an_idle_standby() -> Result<(), Failed> {
    let bed = Bed::lab2(SLOW)?;
    let flags =
        "69040843<UP,BROADCAST,RUNNING,MULTICAST,DEPRECATED,IPv4,NOFAILOVER,STANDBY,INACTIVE>";
    first_line(&bed, "ge1", flags, 1500)
}

impl Bed {
    /// Checks that the listing is that of lab 1, IPv4 only.
    fn lists_lab1(&self) -> Result<(), Failed> {
        let listing = ipmp_lab::labs::comparable(&self.types("ifconfig -a4")?);
        same(
            "ifconfig -a4",
            listing.as_str(),
            &Moment::Lab1.listing(true),
        )
    }
}

/// Checks the first line of a logical's entry.
fn first_line(bed: &Bed, logical: &str, flags: &str, mtu: u32) -> Result<(), Failed> {
    let entry = bed.entry(logical)?;
    let line = entry
        .lines()
        .next()
        .and_then(|line| line.rsplit_once(" index "));
    let expected = format!("{logical}: flags={flags} mtu {mtu}");
    same(
        logical,
        &line.map(|(head, _)| head),
        &Some(expected.as_str()),
    )
}

/// Checks mask and broadcast address in a logical's entry.
fn mask_is(bed: &Bed, logical: &str, mask: &str, broadcast: &str) -> Result<(), Failed> {
    let entry = bed.entry(logical)?;
    let line = entry
        .lines()
        .nth(1)
        .and_then(|line| line.split_once(" netmask "));
    let expected = format!("{mask} broadcast {broadcast}");
    same(
        logical,
        &line.map(|(_, tail)| tail),
        &Some(expected.as_str()),
    )
}

/// The source address that host1 would speak to an address from.
fn source_to(bed: &Bed, to: &str) -> Result<Option<IpAddr>, Failed> {
    let source = bed.host1.enter(|| -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((to, 9))?;
        Ok(socket.local_addr()?.ip())
    })?;
    Ok(source.ok())
}

/// The NICs that the nexthop groups of host1 lead to.
fn paths(bed: &Bed) -> Result<Vec<String>, Failed> {
    let kernel = bed.kernel()?;
    let mut names = Vec::new();
    for nexthop in kernel.nexthops.values() {
        if let Hop::Group(members) = &nexthop.hop {
            for member in members {
                if let Some(Hop::Link { index, .. }) = kernel.nexthops.get(member).map(|n| &n.hop) {
                    names.extend(kernel.links.get(index).map(|link| link.name.to_string()));
                }
            }
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Waits for a gratuitous ARP of `ip` that comes from `mac`.
fn hears_announcement(wire: &Wire, mac: MacAddress, ip: Ipv4Addr) -> Result<(), Failed> {
    let mut buffer = vec![0; LARGEST];
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let Ok(length) = wire.receive(&mut buffer) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        let Some(frame) = buffer.get(HEADER..length) else {
            continue;
        };
        // Ethernet type ARP; sender's hardware and IP address; IP address asked for (RFC 826).
        let field = |from: usize, length: usize| frame.get(from..from + length);
        if field(12, 2) == Some(&[0x08, 0x06])
            && field(22, 6) == Some(&mac.0)
            && field(28, 4) == Some(&ip.octets())
            && field(38, 4) == Some(&ip.octets())
        {
            return Ok(());
        }
    }
    Err(format!("no gratuitous ARP of {ip} from {mac} within {PATIENCE:?}").into())
}
