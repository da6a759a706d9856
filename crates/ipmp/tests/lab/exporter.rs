//! `ipmp metrics` and `ipmp exporter`: what Prometheus gets of a real daemon, over real HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ipmp_core::snapshot::InterfaceState;
use ipmp_lab::{Process, wait_until};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bad_input::one_line;
use crate::bed::{Bed, PATIENCE, same};
use crate::ordinary_user::NOBODY;
use crate::program;

tests![
    metrics_are_what_promtool_asks_for,
    metrics_follow_a_failover,
    exporter_of_an_ordinary_user_answers_over_http,
    exporter_of_an_ordinary_user_outlives_bad_requests_and_slow_clients,
    exporter_refuses_root_and_other_addresses,
];

fn metrics_are_what_promtool_asks_for() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    bed.ge1.cable.pull()?;
    bed.awaits("the failover is complete", |seen| {
        !seen.totals.outages.is_empty()
    })?;
    let promtool = program("promtool").ok_or("promtool is not installed")?;
    let promtool = promtool.display();
    for line in [
        format!("sh -c 'ipmp metrics | {promtool} check metrics'"),
        format!(
            "sh -c 'ipmp metrics --output /run/m.prom && {promtool} check metrics < /run/m.prom'"
        ),
    ] {
        let output = bed.host1.run(&line)?;
        same(
            &format!("{line}: {}{}", output.stdout, output.stderr),
            &output.success(),
            &true,
        )?;
    }
    Ok(())
}

fn metrics_follow_a_failover() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    let failovers = r#"ipmp_failovers_total{group="testgrp2",cause="link_down"}"#;
    let home = r#"ipmp_address_at_home{address="192.168.0.88",group="testgrp2"}"#;
    let text = bed.types("ipmp metrics")?;
    for (sample, value) in [("ipmp_up", "1"), (failovers, "0"), (home, "1")] {
        same(sample, &value_of(&text, sample), &Some(value))?;
    }
    bed.ge1.cable.pull()?;
    bed.awaits("the failover is complete", |seen| {
        !seen.totals.outages.is_empty()
    })?;
    let text = bed.types("ipmp metrics")?;
    for (sample, value) in [
        (failovers, "1"),
        (home, "0"),
        (
            r#"ipmp_group_state{group="testgrp2",state="degraded"}"#,
            "1",
        ),
        (
            r#"ipmp_interface_failures_total{interface="ge1",cause="link_down"}"#,
            "1",
        ),
        (
            r#"ipmp_outage_move_seconds_count{group="testgrp2",direction="failover",cause="link_down"}"#,
            "1",
        ),
    ] {
        same(sample, &value_of(&text, sample), &Some(value))?;
    }
    bed.ge1.cable.plug()?;
    bed.awaits_state("ge1", InterfaceState::Ok)?;
    bed.signals_daemon(Signal::SIGTERM)?;
    bed.awaits_no_daemon()?;
    let output = bed.host1.run("ipmp metrics")?;
    same("exit status", &output.status.code(), &Some(1))?;
    same("ipmp_up", &value_of(&output.stdout, "ipmp_up"), &Some("0"))
}

/// The value of a sample in a text.
fn value_of<'t>(text: &'t str, sample: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
}

/// An exporter on host1, and where it listens.
struct Exporter<'b> {
    bed: &'b Bed,
    process: Process,
    address: SocketAddr,
}

impl<'b> Exporter<'b> {
    fn start(bed: &'b Bed) -> Result<Self, Failed> {
        let mut process = bed
            .host1
            .spawn_as(NOBODY, "ipmp exporter --listen 127.0.0.1:0")?;
        let mut said = String::new();
        if let Some(stderr) = process.stderr.take() {
            BufReader::new(stderr).read_line(&mut said)?;
        }
        let address = said.trim_end().strip_suffix("/metrics");
        let address = address.and_then(|text| text.split_once("http://"));
        let (_, address) = address.ok_or_else(|| format!("the exporter said: {said}"))?;
        Ok(Self {
            bed,
            process,
            address: address.parse()?,
        })
    }

    fn connect(&self) -> Result<TcpStream, Failed> {
        let stream = self
            .bed
            .host1
            .enter(|| TcpStream::connect(self.address))??;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// What it answers to these bytes until it hangs up.
    fn says(&self, request: &[u8]) -> Result<String, Failed> {
        let mut stream = self.connect()?;
        // It may have hung up before it was all sent.
        let _cut_short = stream.write_all(request);
        let mut reply = Vec::new();
        match stream.read_to_end(&mut reply) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Err(format!("the exporter keeps who said {} bytes", request.len()).into())
            }
            // Reset: it hung up with bytes unread.
            _ => Ok(String::from_utf8_lossy(&reply).into_owned()),
        }
    }

    fn gets(&self, path: &str) -> Result<String, Failed> {
        self.says(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
    }
}

fn exporter_of_an_ordinary_user_answers_over_http() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    let exporter = Exporter::start(&bed)?;
    let reply = exporter.gets("/metrics")?;
    let (head, text) = reply.split_once("\r\n\r\n").ok_or("no head")?;
    let head = head.to_ascii_lowercase();
    same("status", &head.lines().next(), &Some("http/1.1 200 ok"))?;
    let is_classic = head.contains("content-type: text/plain; version=0.0.4");
    same("classic format", &is_classic, &true)?;
    same("ipmp_up", &value_of(text, "ipmp_up"), &Some("1"))?;
    let group = r#"ipmp_group_state{group="testgrp2",state="ok"}"#;
    same(group, &value_of(text, group), &Some("1"))?;

    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK"),
        ("GET /metrics HTTP/1.0\r\n\r\n", "200 OK"),
        ("GET /metrics?a=b HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK"),
        ("GET /other HTTP/1.1\r\nHost: h\r\n\r\n", "404 Not Found"),
        (
            "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
            "405 Method Not Allowed",
        ),
        (
            "DELETE / HTTP/1.1\r\nHost: h\r\n\r\n",
            "405 Method Not Allowed",
        ),
    ] {
        let reply = exporter.says(request.as_bytes())?;
        let first = reply.lines().next().unwrap_or_default();
        same(request, &first.ends_with(status), &true)
            .map_err(|_| format!("{request:?}: {reply}"))?;
    }

    // It has none of root's powers, and cannot get any.
    for pid in bed.host1.pids_of("ipmp")? {
        let status = bed.types(&format!("cat /proc/{pid}/status"))?;
        for line in ["CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
            same(line, &status.lines().any(|found| found == line), &true)?;
        }
    }

    // A daemon that ends, or does not answer, is a metric; and so is one that comes back.
    let shows = |what: &str, up: &str| -> Result<(), Failed> {
        let reply = exporter.gets("/metrics")?;
        same(what, &value_of(&reply, "ipmp_up"), &Some(up))
    };
    bed.signals_daemon(Signal::SIGTERM)?;
    bed.awaits_no_daemon()?;
    shows("no daemon", "0")?;
    bed.types("in.mpathd")?;
    shows("another daemon", "1")?;
    bed.signals_daemon(Signal::SIGSTOP)?;
    shows("a daemon that does not answer", "0")?;
    bed.signals_daemon(Signal::SIGCONT)?;
    wait_until("the daemon answers again", PATIENCE, || {
        shows("the daemon", "1").is_ok()
    })?;
    Ok(())
}

fn exporter_of_an_ordinary_user_outlives_bad_requests_and_slow_clients() -> Result<(), Failed> {
    let bed = Bed::lab1(1000)?;
    let exporter = Exporter::start(&bed)?;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    for request in [
        b"\r\n\r\n".as_slice(),
        b"\0\0\0\0",
        b"nonsense\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        long.as_bytes(),
        headers.as_bytes(),
        &vec![b'x'; 1_000_000],
    ] {
        let reply = exporter.says(request)?;
        let is_no_result = reply.is_empty() || reply.starts_with("HTTP/1.1 4");
        same("a refusal", &is_no_result, &true).map_err(|_| {
            let beginning = String::from_utf8_lossy(request.get(..40).unwrap_or(request));
            format!("{beginning:?}: {reply}")
        })?;
    }

    // Many that say nothing, that say half, that dribble, and that do not read.
    let mut crowd = Vec::new();
    for number in 0..200 {
        let mut stream = exporter.connect()?;
        match number % 4 {
            0 => {}
            1 => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost")?,
            2 => stream.write_all(b"G")?,
            _ => stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")?,
        }
        crowd.push(stream);
    }
    wait_until("a scrape gets through", PATIENCE * 3, || {
        exporter
            .gets("/metrics")
            .is_ok_and(|reply| reply.contains("\nipmp_up 1\n"))
    })?;
    // Whoever said nothing whole has been hung up on by the time those behind had their turn.
    let mut first = crowd.swap_remove(0);
    first.set_read_timeout(Some(PATIENCE))?;
    let hung_up = first.read_to_end(&mut Vec::new());
    same("the silent are hung up on", &hung_up.is_ok(), &true)?;
    same(
        "the exporter runs",
        &exporter.process.wait(Duration::ZERO)?,
        &None,
    )
}

fn exporter_refuses_root_and_other_addresses() -> Result<(), Failed> {
    let bed = Bed::new(1000)?;
    let output = bed.host1.run("ipmp exporter")?;
    one_line(&output, "ipmp: exporter: ", "not as root")?;
    for address in ["0.0.0.0:9873", "192.168.0.2:9873", "[::]:0"] {
        let output = bed
            .host1
            .run(&format!("ipmp exporter --listen {address}"))?;
        one_line(&output, "ipmp: exporter: ", "not a loopback address")?;
    }
    Ok(())
}
