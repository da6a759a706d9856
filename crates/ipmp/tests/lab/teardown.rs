//! `ipmp teardown`: the kernel holds what it held before the first word of IPMP was typed.
//!
//! What it holds is read with iproute2, whole and with all details, and compared line by line. Left out
//! are neighbours, which are learnt and forgotten by themselves, and the secret of stable addresses, which
//! cannot be read before one was set.

use std::net::IpAddr;
use std::time::Duration;

use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::traffic::Ping;
use ipmp_lab::wait_until;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, PATIENCE, same};
use crate::scene::{DATA0, DATA1, Fault, QUICK, by_hand, fd, loses_nothing};

tests![
    host_is_as_it_was_after_failover_and_failback,
    host_is_as_it_was_with_a_nic_failed,
    host_is_as_it_was_with_a_cable_out,
    host_is_as_it_was_when_nics_had_left_their_group,
    routes_of_others_come_back_when_their_nic_leaves_its_group,
    host_has_its_own_on_link_routes_again,
    host_is_as_it_was_when_the_daemon_was_killed,
    host_is_as_it_was_with_its_own_test_address_out_of_service,
    teardown_loses_no_packet,
    typed_addresses_stay_and_answer,
    second_teardown_has_nothing_to_do,
    teardown_is_refused_in_one_line,
];

/// What shows all that a kernel has of a network.
const DUMPS: [&str; 7] = [
    "ip -d addr",
    "ip -d route show table all",
    "ip -6 -d route show table all",
    "ip -d rule",
    "ip -6 -d rule",
    "ip -d nexthop",
    "grep -r --exclude=stable_secret . /proc/sys/net/ipv4/conf/ge0 /proc/sys/net/ipv4/conf/ge1 \
     /proc/sys/net/ipv6/conf/ge0 /proc/sys/net/ipv6/conf/ge1",
];

impl Bed {
    /// A host as another administrator configured it: two NICs with addresses of both families, one of
    /// them with a second address and with the way to everywhere else.
    fn configured() -> Result<Self, Failed> {
        let bed = Self::new(QUICK)?;
        bed.host2.configure("ge0", "fd00::2/64")?;
        for nic in ["ge0", "ge1"] {
            // Else link-local addresses come seconds later, and what is compared is half done.
            for name in ["dad_transmits", "router_solicitation_delay"] {
                let sysctl = format!("net/ipv6/conf/{nic}/{name}");
                bed.host1.set_sysctl(&sysctl, "0")?;
            }
        }
        for line in [
            "ip link set ge0 up",
            "ip link set ge1 up",
            "ip addr add 192.168.0.86/24 brd + dev ge0",
            "ip addr add 192.168.0.90/24 dev ge0 label ge0:old metric 70",
            "ip addr add 192.168.0.88/24 brd + dev ge1",
            "ip addr add 10.1.0.1/16 dev ge1 scope link noprefixroute",
            "ip addr add fd00::86/64 dev ge0",
            "ip addr add fd00::88/64 dev ge1",
            "ip route add default via 192.168.0.2 dev ge0",
            "ip route add 10.2.0.0/16 via 192.168.0.2 dev ge0 metric 5",
            "ip route add 10.3.0.0/16 via 192.168.0.2 dev ge0 src 192.168.0.86",
            "ip route add default via fd00::2 dev ge0 metric 1024",
        ] {
            by_hand(&bed.host1, line)?;
        }
        wait_until("IPv6 addresses are in use", PATIENCE, || {
            let listed = by_hand(&bed.host1, "ip -6 addr");
            let routes = by_hand(&bed.host1, "ip -6 route show table local");
            listed.is_ok_and(|text| {
                text.matches("inet6 fe80").count() == 2 && !text.contains("tentative")
            }) && routes.is_ok_and(|text| text.matches("local fd00::").count() == 2)
        })?;
        Ok(bed)
    }

    /// What its kernel holds, line by line.
    fn dump(&self) -> Result<Vec<String>, Failed> {
        let mut lines = Vec::new();
        for command in DUMPS {
            lines.push(format!("# {command}"));
            let text = by_hand(&self.host1, command)?;
            lines.extend(text.lines().map(|line| line.trim_end().to_owned()));
        }
        Ok(lines)
    }

    /// Puts both NICs into a group, with test addresses.
    fn groups(&self) -> Result<(), Failed> {
        for (nic, test) in [("ge0", "192.168.0.87"), ("ge1", "192.168.0.89")] {
            self.types(&format!("ifconfig {nic} group g"))?;
            self.types(&format!(
                "ifconfig {nic} addif {test} netmask + broadcast + deprecated -failover up"
            ))?;
        }
        self.awaits_probes(&["ge0", "ge1"])?;
        Ok(())
    }

    /// A NIC fails and is repaired, and its addresses go and come home.
    fn fails_over_and_back(&self, fault: Fault, nic: &str) -> Result<(), Failed> {
        let (at, data, six) = match nic {
            "ge0" => (&self.ge0, DATA0, fd(0x86)),
            _ => (&self.ge1, DATA1, fd(0x88)),
        };
        let other = if nic == "ge0" { "ge1" } else { "ge0" };
        self.fails(fault, at)?;
        for ip in [IpAddr::from(data), six.into()] {
            self.awaits_holder(ip, other)?;
        }
        self.repairs(at)?;
        for ip in [IpAddr::from(data), six.into()] {
            self.awaits_holder(ip, nic)?;
        }
        Ok(())
    }

    /// Waits until no IPv4 route goes through a NIC.
    fn awaits_no_route_through(&self, nic: &str) -> Result<(), Failed> {
        let line = format!("ip route show dev {nic}");
        wait_until("its routes are gone", PATIENCE, || {
            by_hand(&self.host1, &line).is_ok_and(|routes| routes.is_empty())
        })?;
        Ok(())
    }

    fn tears_down(&self) -> Result<(), Failed> {
        let said = self.types("ipmp teardown")?;
        same("output of ipmp teardown", said.as_str(), "")?;
        same("daemons", &self.host1.pids_of("in.mpathd")?.len(), &0)
    }
}

/// Fails unless both dumps are the same.
fn is_as_it_was(bed: &Bed, before: &[String]) -> Result<(), Failed> {
    let after = bed.dump()?;
    if after == before {
        return Ok(());
    }
    let only = |these: &[String], those: &[String], mark: &str| -> String {
        let lines = these.iter().filter(|line| !those.contains(line));
        lines.flat_map(|line| [mark, " ", line, "\n"]).collect()
    };
    let differs = only(before, &after, "  before:") + &only(&after, before, "  after: ");
    Err(if differs.is_empty() {
        format!("lines are in another order\n  after: {after:#?}\n  before: {before:#?}")
    } else {
        format!("the kernel holds something else\n{differs}")
    }
    .into())
}

fn host_is_as_it_was_after_failover_and_failback() -> Result<(), Failed> {
    for nic in ["ge0", "ge1"] {
        let bed = Bed::configured()?;
        let before = bed.dump()?;
        bed.groups()?;
        for fault in Fault::BOTH {
            bed.fails_over_and_back(fault, nic)?;
        }
        bed.tears_down()?;
        is_as_it_was(&bed, &before).map_err(|error| format!("{nic} failed: {error:?}"))?;
    }
    Ok(())
}

fn host_is_as_it_was_with_a_nic_failed() -> Result<(), Failed> {
    let bed = Bed::configured()?;
    let before = bed.dump()?;
    bed.groups()?;
    bed.fails(Fault::Silence, &bed.ge0)?;
    bed.awaits_holder(DATA0, "ge1")?;
    bed.tears_down()?;
    is_as_it_was(&bed, &before)
}

fn host_is_as_it_was_with_a_cable_out() -> Result<(), Failed> {
    let bed = Bed::configured()?;
    let before = bed.dump()?;
    // Nothing stays on ge0: the kernel drops all routes through it.
    bed.types("ifconfig ge0 group g")?;
    bed.types("ifconfig ge1 group g")?;
    bed.fails(Fault::Pull, &bed.ge0)?;
    bed.awaits_holder(DATA0, "ge1")?;
    bed.awaits_holder(fd(0x86), "ge1")?;
    bed.tears_down()?;
    bed.ge0.cable.heal()?;
    wait_until("the kernel knows of the cable", PATIENCE, || {
        bed.dump()
            .is_ok_and(|lines| !lines.concat().contains(" linkdown"))
    })?;
    is_as_it_was(&bed, &before)
}

fn host_is_as_it_was_when_nics_had_left_their_group() -> Result<(), Failed> {
    let bed = Bed::configured()?;
    let before = bed.dump()?;
    bed.groups()?;
    bed.types("if_mpadm -d ge1")?;
    bed.types("if_mpadm -r ge1")?;
    for (nic, test) in [("ge0", "192.168.0.87"), ("ge1", "192.168.0.89")] {
        bed.types(&format!("ifconfig {nic} removeif {test}"))?;
        bed.types(&format!("ifconfig {nic} group ''"))?;
    }
    bed.tears_down()?;
    is_as_it_was(&bed, &before)
}

fn routes_of_others_come_back_when_their_nic_leaves_its_group() -> Result<(), Failed> {
    for order in [["ge0", "ge1"], ["ge1", "ge0"]] {
        let bed = Bed::configured()?;
        let before = bed.dump()?;
        bed.types("ifconfig ge0 group g")?;
        bed.types("ifconfig ge1 group g")?;
        bed.fails_over_and_back(Fault::Pull, "ge0")?;
        for nic in order {
            bed.types(&format!("ifconfig {nic} group ''"))?;
        }
        for route in [
            "default via 192.168.0.2 dev ge0",
            "10.2.0.0/16 via 192.168.0.2 dev ge0 metric 5",
            "10.3.0.0/16 via 192.168.0.2 dev ge0 src 192.168.0.86",
        ] {
            wait_until(route, PATIENCE, || {
                by_hand(&bed.host1, "ip route").is_ok_and(|text| text.contains(route))
            })?;
        }
        bed.tears_down()?;
        is_as_it_was(&bed, &before).map_err(|error| format!("{order:?}: {error:?}"))?;
    }
    Ok(())
}

/// As `NetworkManager` has them: the addresses have none of the kernel's making.
fn host_has_its_own_on_link_routes_again() -> Result<(), Failed> {
    let bed = Bed::configured()?;
    for line in [
        "ip addr del 192.168.0.90/24 dev ge0",
        "ip addr del 192.168.0.86/24 dev ge0",
        "ip addr del 192.168.0.88/24 dev ge1",
        "ip addr add 192.168.0.86/24 brd + dev ge0 noprefixroute",
        "ip addr add 192.168.0.88/24 brd + dev ge1",
        "ip route add 192.168.0.0/24 dev ge0 proto kernel scope link src 192.168.0.86 metric 100",
        "ip route add default via 192.168.0.2 dev ge0 proto dhcp src 192.168.0.86 metric 100",
    ] {
        by_hand(&bed.host1, line)?;
    }
    let before = bed.dump()?;
    bed.types("ifconfig ge0 group g")?;
    bed.types("ifconfig ge1 group g")?;
    bed.types("if_mpadm -d ge0")?;
    bed.awaits_no_route_through("ge0")?;
    bed.tears_down()?;
    is_as_it_was(&bed, &before)
}

fn host_is_as_it_was_when_the_daemon_was_killed() -> Result<(), Failed> {
    let bed = Bed::configured()?;
    let before = bed.dump()?;
    bed.groups()?;
    bed.fails_over_and_back(Fault::Pull, "ge0")?;
    bed.signals_daemon(Signal::SIGKILL)?;
    bed.awaits_no_daemon()?;
    bed.tears_down()?;
    is_as_it_was(&bed, &before)
}

fn host_is_as_it_was_with_its_own_test_address_out_of_service() -> Result<(), Failed> {
    let bed = Bed::configured()?;
    // The last one on ge0, in the order in which it is put back.
    let test_address = "192.168.0.91";
    let line = format!("ip addr add {test_address}/24 brd + dev ge0");
    by_hand(&bed.host1, &line)?;
    let before = bed.dump()?;
    bed.types("ifconfig ge0 group g")?;
    bed.types("ifconfig ge1 group g")?;
    let snapshot = bed.snapshot()?;
    let mut logicals = snapshot.interfaces.iter().flat_map(|nic| &nic.logicals);
    let logical = logicals.find(|logical| logical.address.ip.to_string() == test_address);
    let name = &logical.ok_or("the test address is not listed")?.name;
    bed.types(&format!("ifconfig {name} deprecated -failover"))?;
    bed.types("if_mpadm -d ge0")?;
    wait_until("it is out of service", PATIENCE, || {
        bed.has_address(test_address).is_ok_and(|has| !has)
    })?;
    // The next daemon knows of it by what was saved only.
    bed.signals_daemon(Signal::SIGKILL)?;
    bed.awaits_no_daemon()?;
    bed.tears_down()?;
    is_as_it_was(&bed, &before)
}

fn teardown_loses_no_packet() -> Result<(), Failed> {
    let bed = Bed::configured()?;
    bed.groups()?;
    bed.fails_over_and_back(Fault::Silence, "ge0")?;
    bed.types("ipmp move 192.168.0.88 ge0")?;
    bed.awaits_holder(DATA1, "ge0")?;
    let pings = [
        bed.pings(DATA0)?,
        bed.pings(DATA1)?,
        bed.pings(fd(0x86))?,
        bed.pings(fd(0x88))?,
    ];
    bed.tears_down()?;
    for ping in pings {
        loses_nothing("ping", &ping.stop()?)?;
    }
    Ok(())
}

fn typed_addresses_stay_and_answer() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.tears_down()?;
    for (address, nic) in [("192.168.0.86", "ge0"), ("192.168.0.88", "ge1")] {
        bed.awaits_holder(address.parse::<IpAddr>()?, nic)?;
        let trail = Ping::count(&bed.host2, address.parse()?, 3, Duration::from_millis(50))?;
        same(
            &format!("answers of {address}"),
            &(trail.received() > 0),
            &true,
        )?;
    }
    for test in ["192.168.0.87", "192.168.0.89"] {
        same(test, &bed.has_address(test)?, &false)?;
    }
    // They are ordinary addresses: a new daemon does not take them for its own.
    bed.types("in.mpathd")?;
    let snapshot = bed.snapshot()?;
    let groups = snapshot.groups.iter().filter(|group| group.name.is_some());
    same("groups", &groups.count(), &0)?;
    let tracked = snapshot.interfaces.iter().filter(|i| i.group.is_some());
    same("members", &tracked.count(), &0)
}

fn second_teardown_has_nothing_to_do() -> Result<(), Failed> {
    let bed = Bed::configured()?;
    let before = bed.dump()?;
    bed.groups()?;
    bed.tears_down()?;
    for _ in 0..2 {
        let said = bed.types("ipmp teardown")?;
        same("output", said.as_str(), "nothing of IPMP is here\n")?;
        is_as_it_was(&bed, &before)?;
    }
    // What was torn down can be set up again.
    bed.groups()?;
    bed.awaits_state("ge0", InterfaceState::Ok)?;
    bed.tears_down()?;
    is_as_it_was(&bed, &before)
}

fn teardown_is_refused_in_one_line() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    for words in ["now", "ge0 ge1", "-f"] {
        bed.refuses(
            &format!("ipmp teardown {words}"),
            &format!("ipmp teardown: {words}: does not fit; usage: ipmp teardown"),
        )?;
    }
    same("daemons", &bed.host1.pids_of("in.mpathd")?.len(), &1)
}
