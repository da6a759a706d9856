//! What cannot be done is refused in one line with exit status 1; nothing is half done beyond the
//! words before it, and the daemon goes on as if nothing had been said.

use std::time::Duration;

use ipmp_lab::Output;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, find, same};

tests![
    ifconfig_refuses_in_one_line,
    ifconfig_refuses_a_missing_argument,
    ifconfig_keeps_what_the_words_before_did,
    ifconfig_refuses_an_address_that_is_on_another_member,
    if_mpadm_refuses_in_one_line,
    ipmpstat_refuses,
    eeprom_refuses,
    ipmp_refuses,
    in_mpathd_refuses,
    garbage_in_mpathd_settings,
    garbage_in_a_hostname_file,
    garbage_in_other_files,
];

const SLOW: u32 = 10_000;

fn ifconfig_refuses_in_one_line() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let long = "g".repeat(32);
    unharmed(&bed, || {
        for (line, reason) in [
            (
                "ge0 uup",
                "uup: ge0: 'uup' is neither a subcommand nor an address",
            ),
            (
                "ge0 '' up",
                ": ge0: '' is neither a subcommand nor an address",
            ),
            (
                "ge0 300.1.1.1",
                "300.1.1.1: ge0: '300.1.1.1' is neither a subcommand nor an address",
            ),
            ("ge7 plumb", "plumb: ge7: no such interface"),
            ("ge7 up", "up: ge7: no such interface"),
            ("ge0:7 up", "up: ge0:7: no such interface"),
            (
                "ge0 netmask 255.0.255.0",
                "netmask: ge0: '255.0.255.0' is not a netmask",
            ),
            (
                "ge0 netmask nonsense",
                "netmask: ge0: 'nonsense' is not a netmask",
            ),
            (
                "ge0 addif 192.168.0.95/33",
                "addif: ge0: '33' is not an IPv4 prefix length",
            ),
            ("ge0 addif 224.0.0.1", "addif: ge0: not a unicast address"),
            (
                "ge0 addif fd00::1",
                "addif: ge0: is an IPv6 address (say inet6 after the interface)",
            ),
            (
                "ge0 removeif 192.168.0.77",
                "removeif: ge0: no such address",
            ),
            (
                "ge0 removeif 192.168.0.86",
                "removeif: ge0: can't remove interface",
            ),
            ("ge0:0 unplumb", "unplumb: ge0: can't remove interface"),
            (
                "ge0 broadcast here",
                "broadcast: ge0: 'here' is not an IPv4 address; '+' computes it",
            ),
            (
                &format!("ge0 group {long}"),
                &format!("group: ge0: '{long}': name longer than 31 characters"),
            ),
            ("ge0 group 'a b'", "group: ge0: 'a b': name with ' ' in it"),
            (
                "ge0:1 group other",
                "group: ge0:1: only the interface itself (unit 0) takes this",
            ),
            ("ge0 mtu many", "mtu: ge0: 'many' is not a number"),
            ("ge0 mtu 67", "mtu: ge0: mtu below 68"),
            ("ge0 metric -1", "metric: ge0: '-1' is not a number"),
            (
                "ge0 inet6 netmask 255.255.255.0",
                "netmask: ge0: Operation netmask not supported for inet6",
            ),
            (
                "lo0 group testgrp2",
                "group: lo0: cannot be in a group: needs a broadcast link with ARP and multicast",
            ),
            ("lo0 unplumb", "unplumb: lo0: the loopback interface stays"),
        ] {
            bed.refuses(&format!("ifconfig {line}"), &format!("ifconfig: {reason}"))?;
        }
        // Names that no interface can have, and what is not there to be shown.
        for name in ["ge7", "ge0:7", "ge0:x", "averyveryverylongname", "a/b"] {
            one_line(
                &bed.host1.run(&format!("ifconfig {name}"))?,
                "ifconfig: ",
                name,
            )?;
            one_line(
                &bed.host1.run(&format!("ifconfig {name} up"))?,
                "ifconfig: ",
                name,
            )?;
        }
        one_line(
            &bed.host1.run("ifconfig ge0 ether 1:2:3")?,
            "ifconfig: ether: ge0: ",
            "'1:2:3'",
        )?;
        one_line(
            &bed.host1.run("ifconfig ge0 ether 1:0:5e:0:0:1")?,
            "ifconfig: ether: ge0: ",
            "unicast",
        )
    })
}

fn ifconfig_refuses_a_missing_argument() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        for word in [
            "set",
            "addif",
            "removeif",
            "netmask",
            "broadcast",
            "group",
            "metric",
            "mtu",
        ] {
            bed.refuses(
                &format!("ifconfig ge0 {word}"),
                &format!("ifconfig: {word}: ge0: no argument for {word}"),
            )?;
        }
        Ok(())
    })
}

fn ifconfig_keeps_what_the_words_before_did() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let output = bed
        .host1
        .run("ifconfig ge0 addif 192.168.0.95 deprecated nonsense private up")?;
    same("exit status", &output.status.code(), &Some(1))?;
    same(
        "standard output",
        output.stdout.as_str(),
        "Created new logical interface ge0:2\n",
    )?;
    same(
        "standard error",
        output.stderr.as_str(),
        "ifconfig: nonsense: ge0:2: 'nonsense' is neither a subcommand nor an address\n",
    )?;
    same("flags of ge0:2", bed.flags("ge0:2")?.as_str(), "1040842")?;
    bed.types("ifconfig ge0 removeif 192.168.0.95")?;
    bed.snapshot().map(drop)
}

fn ifconfig_refuses_an_address_that_is_on_another_member() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        bed.refuses(
            "ifconfig ge1 addif 192.168.0.86 up",
            "ifconfig: addif: ge1: address already on ge0",
        )?;
        bed.refuses(
            "ifconfig ge1:1 192.168.0.87",
            "ifconfig: 192.168.0.87: ge1:1: address already on ge0:1",
        )?;
        // As is one that somebody else put on a NIC of no group.
        bed.host1.nic("ge2", &bed.switch)?;
        bed.host1.configure("ge2", "192.168.77.1/24")?;
        bed.refuses(
            "ifconfig ge1 addif 192.168.77.1 up",
            "ifconfig: addif: ge1: address already on ge2",
        )?;
        bed.host1.unplug_nic("ge2")?;
        bed.awaits("ge2 is gone", |seen| find(seen, "ge2").is_none())
            .map(drop)
    })
}

fn if_mpadm_refuses_in_one_line() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    bed.host1.nic("ge2", &bed.switch)?;
    bed.types("ifconfig ge2 plumb 192.168.1.1 up")?;
    unharmed(&bed, || {
        one_line(&bed.host1.run("if_mpadm -d ge7")?, "if_mpadm: ", "ge7")?;
        one_line(&bed.host1.run("if_mpadm -d ge0:1")?, "if_mpadm: ", "ge0:1")?;
        one_line(
            &bed.host1.run("if_mpadm -d ge2")?,
            "if_mpadm: ",
            "IPMP group",
        )?;
        one_line(
            &bed.host1.run("if_mpadm -r ge1")?,
            "if_mpadm: ",
            "is not offline",
        )
    })?;
    bed.types("if_mpadm -d ge1")?;
    unharmed(&bed, || {
        one_line(
            &bed.host1.run("if_mpadm -d ge1")?,
            "if_mpadm: ",
            "is already offline",
        )?;
        one_line(
            &bed.host1.run("if_mpadm -d ge0")?,
            "if_mpadm: ",
            "no other functioning interface",
        )
    })
}

fn ipmpstat_refuses() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        for line in ["", "-x", "-n", "-g extra", "-P -g", "-P -o all -g"] {
            let output = bed.host1.run(&format!("ipmpstat {line}"))?;
            one_line(&output, "ipmpstat: ", "")?;
        }
        one_line(
            &bed.host1.run("ipmpstat -g -i")?,
            "ipmpstat: ",
            "only one output format",
        )?;
        one_line(
            &bed.host1.run("ipmpstat -P -o nonsense -g")?,
            "ipmpstat: ",
            "nonsense",
        )
    })
}

fn eeprom_refuses() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        one_line(
            &bed.host1.run("eeprom 'boot-device'")?,
            "eeprom: ",
            "boot-device",
        )?;
        one_line(
            &bed.host1.run("eeprom 'boot-device=disk'")?,
            "eeprom: ",
            "boot-device",
        )?;
        one_line(
            &bed.host1.run("eeprom 'local-mac-address?=perhaps'")?,
            "eeprom: ",
            "local-mac-address?: neither true nor false",
        )?;
        one_line(
            &bed.host1.run("eeprom 'local-mac-address?='")?,
            "eeprom: ",
            "local-mac-address?",
        )?;
        same(
            "afterwards",
            bed.types("eeprom 'local-mac-address?'")?.as_str(),
            "local-mac-address?=true\n",
        )
    })
}

fn ipmp_refuses() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        for line in [
            "ipmp",
            "ipmp nonsense",
            "ipmp boot --nonsense",
            "ipmp status nonsense",
            "ipmp demo --lab 3",
        ] {
            one_line(&bed.host1.run(line)?, "ipmp", "")?;
        }
        one_line(&bed.host1.run("ipmp nonsense")?, "ipmp: ", "nonsense")
    })
}

fn in_mpathd_refuses() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let pids = bed.host1.pids_of("in.mpathd")?;
    unharmed(&bed, || {
        for line in ["-x", "-D", "-D nonsense", "ge0", "-a extra"] {
            let output = bed.host1.run(&format!("in.mpathd {line}"))?;
            one_line(&output, "in.mpathd: ", "see in.mpathd --help")?;
        }
        Ok(())
    })?;
    same("daemons", &bed.host1.pids_of("in.mpathd")?, &pids)
}

fn garbage_in_mpathd_settings() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let long = "x".repeat(100_000);
    bed.settings(&format!(
        "\u{0}\u{1}\u{7f}garbage\nFAILBACK\n=\nNONSENSE=1\n{long}\nFAILBACK=no=yes\n"
    ))?;
    for line in ipmp_lab::labs::LAB1 {
        bed.types(line)?;
    }
    bed.awaits_log("/etc/default/mpathd:2: 'FAILBACK' is not NAME=value; ignored")?;
    bed.awaits_log("/etc/default/mpathd:4: unknown variable 'NONSENSE'; ignored")?;
    unharmed(&bed, || {
        bed.signals_daemon(Signal::SIGHUP)?;
        bed.awaits_log("HUP received").map(drop)
    })?;
    let seen = bed.snapshot()?;
    let time = seen
        .groups
        .first()
        .and_then(|group| group.failure_detection_time);
    same("detection time", &time, &Some(Duration::from_secs(10)))
}

fn garbage_in_a_hostname_file() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    bed.host1.write_file(
        "/etc/hostname.ge0",
        "\u{1}\u{2}\u{7f} garbage \u{0}\nmore of it\n",
    )?;
    bed.host1
        .write_file("/etc/hostname.ge1", "192.168.0.88 group testgrp2 up\n")?;
    for command in ["ipmp boot --check", "ipmp boot"] {
        let output = bed.host1.run(command)?;
        same(
            &format!("exit status of {command}"),
            &output.status.code(),
            &Some(1),
        )?;
        let told = output
            .stderr
            .lines()
            .any(|line| line.contains("/etc/hostname.ge0"));
        same(
            &format!("the file is named in: {}", output.stderr),
            &told,
            &true,
        )?;
        let is_clean = output.stderr.chars().all(|c| c == '\n' || !c.is_control());
        same(
            &format!("no control characters in: {:?}", output.stderr),
            &is_clean,
            &true,
        )?;
    }
    // The other NIC works.
    same("flags of ge1", bed.flags("ge1")?.as_str(), "1000843")?;
    bed.snapshot().map(drop)
}

fn garbage_in_other_files() -> Result<(), Failed> {
    let bed = Bed::new(SLOW)?;
    let garbage = "\u{1}\u{2} garbage\n255.255 1.2.3.4.5 \u{7f}\n";
    for file in [
        "/etc/netmasks",
        "/etc/hosts",
        "/etc/defaultrouter",
        "/etc/ipmp/eeprom",
    ] {
        bed.host1.write_file(file, garbage)?;
    }
    bed.types("ifconfig ge0 plumb 192.168.0.86 netmask + broadcast + group testgrp2 up")?;
    same("flags of ge0", bed.flags("ge0")?.as_str(), "1000843")?;
    bed.host1.write_file(
        "/etc/hostname.ge1",
        "192.168.0.88 netmask + group testgrp2 up\n",
    )?;
    unharmed(&bed, || {
        let output = bed.host1.run("ipmp boot --check")?;
        same(
            "exit status of ipmp boot --check",
            &output.status.code(),
            &Some(1),
        )?;
        for file in ["/etc/netmasks", "/etc/defaultrouter"] {
            let told = output.stderr.lines().any(|line| line.contains(file));
            same(
                &format!("{file} is named in: {}", output.stderr),
                &told,
                &true,
            )?;
        }
        Ok(())
    })?;
    bed.host1.run("ipmp boot")?;
    same("flags of ge1", bed.flags("ge1")?.as_str(), "1000843")
}

/// Does something that must leave the listing as it is, and the daemon the same, answering and
/// probing.
pub(crate) fn unharmed(bed: &Bed, work: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    let (pids, listing) = (bed.host1.pids_of("in.mpathd")?, bed.types("ifconfig -a")?);
    work()?;
    same(
        "daemons afterwards",
        &bed.host1.pids_of("in.mpathd")?,
        &pids,
    )?;
    same(
        "ifconfig -a afterwards",
        &bed.types("ifconfig -a")?,
        &listing,
    )?;
    let sent = |seen: &ipmp_core::Snapshot| -> u64 {
        seen.interfaces
            .iter()
            .flat_map(|i| &i.probing)
            .map(|probing| probing.acknowledged)
            .sum()
    };
    let before = bed.snapshot()?;
    if sent(&before) == 0 {
        return Ok(());
    }
    bed.awaits("more probes are answered", |seen| {
        sent(seen) > sent(&before)
    })
    .map(drop)
}

/// Checks that a command failed with status 1 and one line of this beginning that says this, and
/// nothing else.
pub(crate) fn one_line(output: &Output, beginning: &str, part: &str) -> Result<(), Failed> {
    let stderr = output.stderr.as_str();
    let is_one = stderr.ends_with('\n') && stderr.lines().count() == 1;
    if output.status.code() == Some(1)
        && output.stdout.is_empty()
        && is_one
        && stderr.starts_with(beginning)
        && stderr.contains(part)
    {
        return Ok(());
    }
    Err(format!("seen: {output:?}\n  expected: one line '{beginning}…{part}…', status 1").into())
}
