//! Other hands on what is ours: each case has its reaction, which comes at once and not with the full
//! scan every 20 s; whose hand it was is told where the kernel knows; and a fight is not fought to the
//! end.

use std::cell::Cell;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipmp_core::kernel::{PROTOCOL, Sysctl};
use ipmp_core::snapshot::InterfaceState;
use ipmp_core::{Family, MacAddress};
use ipmp_lab::labs::Moment;
use ipmp_lab::{Host, wait_until};
use libtest_mimic::Failed;

use crate::bed::{Bed, PATIENCE, find, reaches, same};
use crate::scene::{DATA0, DATA1, QUICK, TEST1, by_hand, fd, loses_nothing, recovers, text_of};

tests![
    deleted_address_is_set_anew_and_it_is_told_by_whom,
    address_of_ours_added_to_another_member_is_taken_away,
    address_of_ours_outside_the_group_is_left_alone,
    route_replaced_by_hand_is_not_followed,
    sysctls_set_back_are_set_again,
    nic_set_down_fails_and_comes_back,
    renamed_nic_is_gone_until_it_has_its_name_again,
    nic_moved_to_another_namespace_is_gone_until_it_is_back,
    new_hardware_address_is_announced,
    new_mtu_changes_nothing,
    mtu_too_small_for_inet6_moves_its_addresses,
    fight_ends_in_a_clear_state,
    refusal_of_the_kernel_is_shown_with_its_reason,
];

/// Longest that a reaction may take. Where nothing but the full scan would notice, it takes 20 s.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How often a hand may do the same until the reaction comes at once: the quickest counts, as the
/// machine may be slow once.
const TRIES: usize = 3;

/// Longest that traffic may stop on a loaded machine.
const OUTAGE: Duration = Duration::from_secs(5);

impl Bed {
    /// Has another hand do something until it is reacted to at once. `once` does it, whatever was done
    /// before, and tells how long the reaction took.
    #[expect(clippy::print_stderr, reason = "figures for docs/reliability.md")]
    fn reacts_at_once(
        &self,
        case: &str,
        once: impl Fn() -> Result<Duration, Failed>,
    ) -> Result<(), Failed> {
        let mut took = Vec::new();
        while took.len() < TRIES {
            let last = once()?;
            eprintln!("reaction: {case}: {} ms", last.as_millis());
            if last <= AT_ONCE {
                return Ok(());
            }
            took.push(last);
        }
        let said = self.messages().unwrap_or_default();
        Err(format!(
            "{case}\n  seen:     {took:?}\n  expected: one within {AT_ONCE:?}\n  the daemon has said {said:#?}"
        )
        .into())
    }

    /// Waits until `holds`, now that another hand did something; how long that took.
    fn reacts(&self, case: &str, holds: impl Fn() -> bool) -> Result<Duration, Failed> {
        wait_until(case, PATIENCE, &holds).map_err(|error| {
            let said = self.messages().unwrap_or_default();
            format!("{error}; the daemon has said {said:#?}").into()
        })
    }

    fn is_held_by(&self, ip: Ipv4Addr, nic: &str) -> bool {
        self.holders(ip).is_ok_and(|holders| holders == [nic])
    }

    fn is_lab1(&self) -> bool {
        self.lists(Moment::Lab1, true).is_ok()
    }

    fn awaits_mtu(&self, mtu: &str) -> Result<Duration, Failed> {
        let shown = format!("mtu {mtu} ");
        self.reacts("it is shown", || {
            self.entry("ge1").is_ok_and(|entry| entry.contains(&shown))
        })
    }

    /// Whether the route of the group's subnet that is ours stands first.
    fn has_our_route(&self) -> bool {
        by_hand(&self.host1, "ip route show 192.168.0.0/24").is_ok_and(|shown| {
            let first = shown.lines().next().unwrap_or_default();
            first.contains(&format!("proto {PROTOCOL}"))
                && shown.contains("ge0")
                && shown.contains("ge1")
        })
    }
}

fn deleted_address_is_set_anew_and_it_is_told_by_whom() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let ping = bed.pings(DATA1)?;
    bed.reacts_at_once("address deleted", || {
        by_hand(&bed.host1, "ip address del 192.168.0.88/24 dev ge1")?;
        bed.reacts("it is back", || bed.is_held_by(DATA1, "ge1"))
    })?;
    recovers(&ping.stop()?, OUTAGE)?;
    // The process may have ended before it could be looked at; its number is known all the same.
    let names_a_hand = |message: &String| {
        let is_it = message.contains(" undid address 192.168.0.88 on ge1");
        is_it && (message.starts_with("ip[") || message.starts_with("netlink port "))
    };
    wait_until("a hand is named", PATIENCE, || {
        bed.messages()
            .is_ok_and(|said| said.iter().any(names_a_hand))
    })
    .map_err(|error| format!("{error}: {:#?}", bed.messages()))?;
    // A test address as well.
    bed.reacts_at_once("test address deleted", || {
        by_hand(&bed.host1, "ip address del 192.168.0.89/24 dev ge1")?;
        bed.reacts("it is back", || bed.is_held_by(TEST1, "ge1"))
    })?;
    bed.lists(Moment::Lab1, true)
}

fn address_of_ours_added_to_another_member_is_taken_away() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.reacts_at_once("address added elsewhere", || {
        by_hand(&bed.host1, "ip address add 192.168.0.88/24 dev ge0")?;
        bed.reacts("it is at home only", || bed.is_held_by(DATA1, "ge1"))
    })?;
    // host2 may have heard ge0 answer for it.
    wait_until("pings are answered", PATIENCE, || {
        reaches(&bed.host2, "192.168.0.88").is_ok()
    })?;
    bed.lists(Moment::Lab1, true)
}

fn address_of_ours_outside_the_group_is_left_alone() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    bed.host1.nic("net0", &bed.lab.switch())?;
    by_hand(&bed.host1, "ip link set net0 up")?;
    by_hand(&bed.host1, "ip address add 192.168.0.88/32 dev net0")?;
    // A move later it is there still.
    bed.ge1.cable.pull()?;
    bed.awaits("ge1 has failed", |snapshot| {
        find(snapshot, "ge1").is_some_and(|nic| nic.state == InterfaceState::Failed)
    })?;
    let expected = vec!["ge0".to_owned(), "net0".to_owned()];
    wait_until("ge0 has it too", PATIENCE, || {
        bed.holders(DATA1).is_ok_and(|holders| holders == expected)
    })?;
    bed.repairs(&bed.ge1)?;
    let expected = vec!["ge1".to_owned(), "net0".to_owned()];
    wait_until("ge1 has it again", PATIENCE, || {
        bed.holders(DATA1).is_ok_and(|holders| holders == expected)
    })?;
    Ok(())
}

fn route_replaced_by_hand_is_not_followed() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    same("whether our route is there", &bed.has_our_route(), &true)?;
    let ping = bed.pings(DATA0)?;
    bed.reacts_at_once("route replaced", || {
        by_hand(&bed.host1, "ip route replace 192.168.0.0/24 dev ge1")?;
        bed.reacts("ours stands first", || bed.has_our_route())
    })?;
    bed.awaits_log("(route protocol boot) undid route to 192.168.0.0/24")?;
    recovers(&ping.stop()?, OUTAGE)?;
    // Theirs stands behind ours, and goes by nobody's hand but theirs.
    by_hand(&bed.host1, "ip route del 192.168.0.0/24 proto boot")?;
    same("whether our route is there", &bed.has_our_route(), &true)
}

fn sysctls_set_back_are_set_again() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    for sysctl in Sysctl::ALL {
        let (family, file) = sysctl.file();
        let family = match family {
            Family::Inet => "ipv4",
            Family::Inet6 => "ipv6",
        };
        let wanted = sysctl.member_value().to_string();
        let path = format!("net/{family}/conf/ge1/{file}");
        let value = || {
            let text = bed.host1.read_file(&format!("/proc/sys/{path}"));
            text.is_ok_and(|text| text.trim() == wanted)
        };
        same(&format!("{path} before"), &value(), &true)?;
        bed.reacts_at_once(&format!("{file} ({family}) set back"), || {
            bed.host1.set_sysctl(&path, "0")?;
            bed.reacts("it is as it was", value)
        })?;
    }
    Ok(())
}

fn nic_set_down_fails_and_comes_back() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let ping = bed.pings(DATA1)?;
    bed.reacts_at_once("NIC set down", || {
        by_hand(&bed.host1, "ip link set ge1 up")?;
        bed.awaits_holder(DATA1, "ge1")?;
        by_hand(&bed.host1, "ip link set ge1 down")?;
        bed.reacts("ge0 serves", || bed.is_held_by(DATA1, "ge0"))
    })?;
    bed.awaits_state("ge1", InterfaceState::Failed)?;
    // It is not set up against the administrator's will.
    let shown = by_hand(&bed.host1, "ip link show ge1")?;
    same(&shown, &shown.contains("state DOWN"), &true)?;
    by_hand(&bed.host1, "ip link set ge1 up")?;
    bed.awaits_holder(DATA1, "ge1")?;
    recovers(&ping.stop()?, OUTAGE)?;
    wait_until("lab 1 as before", PATIENCE, || bed.is_lab1())?;
    Ok(())
}

/// ge1 goes by `away` and comes back by `back`; meanwhile ge0 serves and nothing of ours is on `alias`.
fn goes_and_returns(case: &str, away: &str, back: &str, alias: &str) -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    by_hand(&bed.host1, "ip netns add other")?;
    let ping = bed.pings(DATA1)?;
    // What goes once goes twice.
    for _ in 0..2 {
        bed.reacts_at_once(case, || {
            by_hand(&bed.host1, away)?;
            let took = bed.reacts("ge0 serves", || bed.is_held_by(DATA1, "ge0"))?;
            bed.awaits("ge1 is absent", |snapshot| {
                find(snapshot, "ge1").is_some_and(|nic| nic.index.is_none())
            })?;
            if !alias.is_empty() {
                let show = format!("ip -4 address show {alias}");
                let nothing = || by_hand(&bed.host1, &show).is_ok_and(|shown| shown.is_empty());
                bed.reacts("nothing of ours is left on it", nothing)?;
            }
            by_hand(&bed.host1, back)?;
            bed.awaits_holder(DATA1, "ge1")?;
            wait_until("lab 1 as before", PATIENCE, || bed.is_lab1())?;
            Ok(took)
        })?;
    }
    recovers(&ping.stop()?, OUTAGE)
}

fn renamed_nic_is_gone_until_it_has_its_name_again() -> Result<(), Failed> {
    goes_and_returns(
        "NIC renamed",
        "ip link set ge1 name lan7",
        "ip link set lan7 name ge1",
        "lan7",
    )
}

fn nic_moved_to_another_namespace_is_gone_until_it_is_back() -> Result<(), Failed> {
    goes_and_returns(
        "NIC moved to another namespace",
        "ip link set ge1 netns other",
        "ip -n other link set ge1 netns 1",
        "",
    )
}

fn new_hardware_address_is_announced() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    reaches(&bed.host2, "192.168.0.88")?;
    bed.awaits_neighbour(DATA1, bed.ge1.mac)?;
    let tries = Cell::new(0);
    bed.reacts_at_once("hardware address changed", || {
        tries.set(tries.get() + 1);
        let new = text_of(MacAddress([2, 0, 0, 0, 0x77, tries.get()]));
        by_hand(&bed.host1, &format!("ip link set ge1 address {new}"))?;
        let entry = format!("lladdr {new}");
        // Nothing is sent there: it has to be told.
        bed.reacts("host2 knows", || {
            by_hand(&bed.host2, "ip neighbour show to 192.168.0.88")
                .is_ok_and(|shown| shown.contains(&entry))
        })
    })?;
    reaches(&bed.host2, "192.168.0.88")?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.awaits_holder(DATA1, "ge1")
}

fn new_mtu_changes_nothing() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let said = bed.messages()?.len();
    let pings = [bed.pings(DATA0)?, bed.pings(DATA1)?];
    bed.reacts_at_once("mtu changed", || {
        by_hand(&bed.host1, "ip link set ge1 mtu 1500")?;
        bed.awaits_mtu("1500")?;
        by_hand(&bed.host1, "ip link set ge1 mtu 1400")?;
        bed.awaits_mtu("1400")
    })?;
    bed.awaits_holder(DATA1, "ge1")?;
    for ping in pings {
        loses_nothing("ping", &ping.stop()?)?;
    }
    bed.never_says(said, "fail")
}

fn mtu_too_small_for_inet6_moves_its_addresses() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    for line in [
        "ifconfig ge0 inet6 plumb up",
        "ifconfig ge1 inet6 plumb up",
        "ifconfig ge1 inet6 addif fd00::88/64 up",
    ] {
        bed.types(line)?;
    }
    bed.awaits_holder(fd(0x88), "ge1")?;
    let is_on = |nic: &str| {
        let holders = bed.holders(fd(0x88));
        holders.is_ok_and(|holders| holders == [nic])
    };
    bed.reacts_at_once("mtu below what IPv6 needs", || {
        // Below 1280 the kernel turns IPv6 off.
        by_hand(&bed.host1, "ip link set ge1 mtu 1000")?;
        let took = bed.reacts("ge0 serves", || is_on("ge0"))?;
        bed.awaits_holder(DATA1, "ge1")?;
        by_hand(&bed.host1, "ip link set ge1 mtu 1500")?;
        // A link that refused an address is passed over for it for half a minute.
        wait_until("it is at home again", 3 * PATIENCE, || is_on("ge1"))?;
        Ok(took)
    })
}

/// Has another program remove .88 as often as it can until told otherwise, `work` meanwhile.
fn while_fighting(host: &Host, work: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    let mut lines = String::new();
    for _ in 0..1000 {
        let _infallible = writeln!(lines, "address del 192.168.0.88/24 dev ge1");
    }
    host.write_file("/run/fight", &lines)?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<(), Failed> {
        let fight = scope.spawn(|| -> Result<(), Failed> {
            while !is_over.load(Ordering::Relaxed) {
                // What is gone cannot be removed: its exit status tells nothing.
                host.run("ip -force -batch /run/fight")?;
            }
            Ok(())
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        fight.join().map_err(|_| "the fight broke off")??;
        done
    })
}

fn fight_ends_in_a_clear_state() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    let ping = bed.pings(DATA0)?;
    let what = "address 192.168.0.88 on ge1";
    while_fighting(&bed.host1, || {
        bed.awaits("it is contested, and by whom", |snapshot| {
            let mut contested = snapshot.contested.iter();
            contested.any(|contested| {
                contested.what == what
                    && contested
                        .by
                        .as_ref()
                        .is_some_and(|by| by.starts_with("ip["))
            })
        })?;
        // Left alone twice: what was tried after the first pause was undone again.
        bed.awaits("it was tried again", |snapshot| {
            let mut contested = snapshot.contested.iter();
            contested.any(|contested| {
                contested
                    .again
                    .is_some_and(|again| again.since(contested.since) > Duration::from_secs(12))
            })
        })?;
        for (line, text) in [
            ("ipmp status", format!("contested: {what}\n  ip[")),
            ("ipmp status --json", format!("\"what\": \"{what}\"")),
            (
                "ipmp explain 192.168.0.88",
                format!("Contested: {what}: ip["),
            ),
            ("ipmp events", format!("{what} is contested: ip[")),
        ] {
            let shown = bed.types(line)?;
            same(&format!("{line}: {shown}"), &shown.contains(&text), &true)?;
        }
        Ok(())
    })?;
    // Twenty at once, one after each pause, and some that were on their way.
    let undone = bed
        .log()?
        .matches("undid address 192.168.0.88 on ge1")
        .count();
    within_count("messages about it", undone, 1, 10)?;

    bed.awaits_holder(DATA1, "ge1")?;
    bed.awaits_log(&format!("Not contested any more: {what}"))?;
    let snapshot = bed.snapshot()?;
    same("what is contested", &snapshot.contested.len(), &0)?;
    bed.lists(Moment::Lab1, true)?;
    reaches(&bed.host2, "192.168.0.88")?;
    // Nobody else has noticed.
    recovers(&ping.stop()?, Duration::from_secs(1))
}

fn within_count(what: &str, seen: usize, least: usize, most: usize) -> Result<(), Failed> {
    if (least..=most).contains(&seen) {
        return Ok(());
    }
    Err(format!("{what}\n  seen:     {seen}\n  expected: {least} to {most}").into())
}

fn refusal_of_the_kernel_is_shown_with_its_reason() -> Result<(), Failed> {
    let bed = Bed::lab1(QUICK)?;
    for line in [
        "ifconfig ge0 inet6 plumb up",
        "ifconfig ge1 inet6 plumb up",
        "ifconfig ge1 inet6 addif fd00::88/64 up",
    ] {
        bed.types(line)?;
    }
    bed.awaits_holder(fd(0x88), "ge1")?;
    bed.host1
        .set_sysctl("net/ipv6/conf/ge1/disable_ipv6", "1")?;
    bed.awaits_holder(fd(0x88), "ge0")?;
    bed.awaits("the reason is there", |snapshot| {
        find(snapshot, "ge1").is_some_and(|nic| nic.refused.is_some())
    })?;
    for line in ["ipmp status", "ipmp status --json", "ipmp explain ge1"] {
        let shown = bed.types(line)?.replace('\n', " ");
        let text = "cannot add fd00::88: ";
        same(&format!("{line}: {shown}"), &shown.contains(text), &true)?;
    }
    Ok(())
}
