//! What a host is: name, files, processes, network.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipmp_lab::traffic::Ping;
use ipmp_lab::wait_until;

use crate::{Outcome, Pair, Test, equal, holds, ip, lab, ms};

pub(crate) const TESTS: &[Test] = &[
    ("hosts::two_hosts_reach_each_other", reach),
    ("hosts::a_router_forwards", router),
    ("hosts::commands_run_inside", commands),
    ("hosts::the_machine_is_out_of_sight", out_of_sight),
    ("hosts::daemons_outlive_their_command", daemons),
    ("hosts::files_are_the_host_s_own", files),
    ("hosts::tools_are_links_to_the_program", tools),
    ("hosts::what_hangs_is_killed", hanging),
    ("hosts::power_off_ends_everything", power_off),
];

fn reach() -> Outcome {
    let pair = Pair::new()?;
    for to in [ip(2), "fd00::2".parse()?] {
        let trail = Ping::count(&pair.host1, to, 20, ms(5))?;
        equal("lost", trail.lost(), 0)?;
        equal("sent", trail.sent(), 20)?;
        equal("duplicates", trail.duplicates(), 0)?;
    }
    holds(
        "learnt",
        pair.switch.has_learnt(pair.nic1.mac, &pair.nic1.cable),
    )?;
    holds(
        "learnt",
        pair.switch.has_learnt(pair.nic2.mac, &pair.nic2.cable),
    )
}

fn router() -> Outcome {
    let lab = lab()?;
    let (inside, outside) = (lab.switch(), lab.switch());
    let routed = [
        (&inside, "10.0.1.254/24", "10.0.1.1/24", "10.0.1.254"),
        (&outside, "10.0.2.254/24", "10.0.2.1/24", "10.0.2.254"),
    ];
    let nets: Vec<_> = routed
        .iter()
        .map(|(switch, at, ..)| (*switch, *at))
        .collect();
    lab.router("router", &nets)?;
    let mut hosts = Vec::new();
    for (number, (switch, _, address, gateway)) in routed.iter().enumerate() {
        let host = lab.host(&format!("host{number}"))?;
        host.nic("ge0", switch)?;
        host.configure("ge0", address)?;
        host.route("0.0.0.0/0", gateway.parse::<IpAddr>()?)?;
        hosts.push(host);
    }
    let first = hosts.first().ok_or("no host")?;
    equal(
        "lost",
        Ping::count(first, "10.0.2.1".parse()?, 5, ms(5))?.lost(),
        0,
    )
}

fn commands() -> Outcome {
    let lab = lab()?;
    let host = lab.host("host1")?;
    equal("name", host.run("hostname")?.stdout, "host1\n".into())?;
    let words = host.run(r#"printf %s+ a 'b  c' "d 'e'" f\ g ''"#)?;
    equal("words", words.stdout, "a+b  c+d 'e'+f g++".into())?;
    let failed = host.run("sh -c 'echo no >&2; exit 3'")?;
    equal("status", failed.status.code(), Some(3))?;
    equal("stderr", failed.stderr, "no\n".into())?;
    let unknown = host.run("no-such-program");
    holds(
        "unknown program",
        unknown.is_err_and(|error| error.reason.contains("No such file")),
    )?;
    holds("quote", host.run("echo 'a").is_err())?;
    let much = host.run("head -c 1000000 /dev/zero")?;
    equal("length", much.stdout.len(), 1_000_000)
}

fn out_of_sight() -> Outcome {
    let lab = lab()?;
    let host = lab.host("host1")?;
    let seen = host.run("sh -c 'echo /proc/[0-9]*'")?.stdout;
    equal("processes", seen.split_whitespace().count(), 2)?;
    equal(
        "devices",
        host.run("ls /sys/class/net")?.stdout,
        "lo\n".into(),
    )?;
    equal(
        "runtime files",
        host.run("ls /run")?.stdout,
        "ipmp-lab\n".into(),
    )?;
    let environment = host.run("env")?.stdout;
    holds("environment", !environment.contains("CARGO"))
}

fn daemons() -> Outcome {
    let lab = lab()?;
    let host = lab.host("host1")?;
    let start = Instant::now();
    // It keeps our pipes open, and that must not matter.
    host.run("sh -c 'sleep 1000 & exit 0'")?;
    holds(
        "returned at once",
        start.elapsed() < Duration::from_secs(30),
    )?;
    let mut pids = Vec::new();
    wait_until("sleep runs", Duration::from_secs(10), || {
        pids = host.pids_of("sleep").unwrap_or_default();
        !pids.is_empty()
    })?;
    let [pid] = pids.as_slice() else {
        return Err(format!("pids {pids:?}").into());
    };
    let status = host.read_file(&format!("/proc/{pid}/status"))?;
    holds("parent is process 1", status.contains("PPid:\t1\n"))?;
    host.kill(*pid, nix::sys::signal::Signal::SIGTERM)?;
    wait_until("sleep has gone", Duration::from_secs(10), || {
        // Reaped too, or it would still have its directory.
        host.read_file(&format!("/proc/{pid}/status")).is_err()
    })?;
    Ok(())
}

fn files() -> Outcome {
    let lab = lab()?;
    let host = lab.host("host1")?;
    let other = lab.host("host2")?;
    for path in [
        "/etc/hostname.ge0",
        "/etc/default/mpathd",
        "/var/lib/ipmp/eeprom",
        "/etc/passwd",
    ] {
        host.write_file(path, "text\n")?;
        equal(
            path,
            host.run(&format!("cat {path}"))?.stdout,
            "text\n".into(),
        )?;
        equal(path, host.read_file(path)?, "text\n".into())?;
        let elsewhere = other.read_file(path);
        holds(
            path,
            elsewhere.is_ok_and(|text| text != "text\n") == (path == "/etc/passwd"),
        )?;
        host.remove_file(path)?;
        holds(path, host.read_file(path).is_err())?;
    }
    for path in ["/tmp/lab", "/etc/../tmp/lab", "etc/lab"] {
        holds(path, host.write_file(path, "").is_err())?;
    }
    // The machine's own directories can be looked at, not written.
    let output =
        host.run("sh -c 'for d in /etc/*/; do [ $d = /etc/default/ ] || touch $d/lab; done'")?;
    holds("touch was refused", !output.success())
}

fn tools() -> Outcome {
    let program = std::env::current_exe()?;
    let lab = lab()?;
    let host = lab.host("host1")?;
    for tool in [
        "in.mpathd",
        "ifconfig",
        "ipmpstat",
        "if_mpadm",
        "eeprom",
        "ipmp",
    ] {
        let found = host.run(&format!("sh -c 'command -v {tool}'"))?.stdout;
        holds(tool, found.trim_end().ends_with(&format!("/sbin/{tool}")))?;
        let same = host.run(&format!("cmp {} {}", found.trim_end(), program.display()))?;
        holds(tool, same.success())?;
    }
    Ok(())
}

fn hanging() -> Outcome {
    let lab = lab()?;
    let host = lab.host("host1")?;
    let result = host.run_within(ms(100), "sh -c 'echo waiting; sleep 1000'");
    let error = result.err().ok_or("it did not hang")?;
    holds(
        "says so",
        error
            .to_string()
            .contains("still running after 100 ms; said: waiting"),
    )
}

fn power_off() -> Outcome {
    let pair = Pair::new()?;
    let process = pair.host2.spawn("sleep 1000")?;
    equal("runs", process.wait(Duration::ZERO)?, None)?;
    pair.host2.power_off();
    holds("ended", process.wait(Duration::ZERO)?.is_some())?;
    let refused = pair.host2.run("true").err().map(|error| error.to_string());
    equal(
        "commands",
        refused.as_deref(),
        Some("lab: host2: switched off"),
    )?;
    equal(
        "answers",
        Ping::count(&pair.host1, ip(2), 3, ms(5))?.received(),
        0,
    )?;
    pair.host2.power_off();
    drop(pair.lab);
    Ok(())
}
