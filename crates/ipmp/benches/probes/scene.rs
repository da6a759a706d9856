//! The host with many NICs, its targets, and what is read off the kernel.

#![expect(
    clippy::format_push_string,
    reason = "lines for ip(8) read best as they are typed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ipmp_api::{Client, RunDirectory};
use ipmp_core::snapshot::Probing;
use ipmp_core::{MacAddress, Snapshot};
use ipmp_lab::{Host, Lab, wait_until};
use ipmp_linux::rtnl::{Rtnl, VethEnd};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

/// The executable under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ipmp");

/// Targets of each NIC.
pub(crate) const TARGETS: u16 = 5;

/// The failure detection time.
pub(crate) const DETECTION_MS: u32 = 100;

/// Milliseconds between two probes of a NIC: a seventh of the failure detection time.
const INTERVAL_MS: u32 = DETECTION_MS / 7;

/// How many probes `fping` may send to each target before its numbers run out.
const ROUND: u32 = 50;

/// How long setting up may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Seconds that it may take to start as many `fping` as there are NICs.
const FPINGS_START: u32 = 60;

/// How long the daemon is left alone before it is watched.
const SETTLING: Duration = Duration::from_secs(3);

/// What probing took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Probes that arrived at the targets.
    pub(crate) probes: u64,
    /// Answers that arrived back.
    pub(crate) answers: u64,
    pub(crate) cpu: Duration,
    switches: u64,
    pub(crate) elapsed: Duration,
    /// Sends left out because the daemon was late.
    pub(crate) missed: u64,
    /// Samples void for the same reason.
    pub(crate) void: u64,
    /// Suspicions that were looked into by a burst.
    pub(crate) bursts: u64,
}

impl Cost {
    pub(crate) fn rate(&self) -> f64 {
        count(self.probes) / self.elapsed.as_secs_f64()
    }

    pub(crate) fn switch_rate(&self) -> f64 {
        count(self.switches) / self.elapsed.as_secs_f64()
    }

    /// Processor time for one probe, in seconds.
    pub(crate) fn each(&self) -> f64 {
        self.cpu.as_secs_f64() / count(self.probes)
    }

    /// Whether what was sent was answered, but for what was under way at the beginning or the end.
    pub(crate) fn is_answered(&self) -> bool {
        self.probes.abs_diff(self.answers) <= self.probes / 1000
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of packets, for a table")]
fn count(of: u64) -> f64 {
    of as f64
}

/// One host with many NICs, one with the targets.
pub(crate) struct Scene {
    host: Host,
    net: Host,
    nics: u16,
    _lab: Lab,
}

impl Scene {
    /// Lays the cables and configures the first NIC. The neighbour tables are filled by hand: the
    /// kernel keeps 1024 learnt entries for the whole machine (`gc_thresh3`), fewer than are needed.
    pub(crate) fn build(nics: u16) -> Result<Self, Failed> {
        let lab = Lab::new(Path::new(PROGRAM))?;
        let (host, net) = (lab.host("host1")?, lab.host("net")?);
        if !host.run("fping --version").is_ok_and(|o| o.success()) {
            return Err("fping is not there (apt-get install fping)".into());
        }
        for one in [&host, &net] {
            for which in ["all", "default"] {
                one.set_sysctl(&format!("net/ipv6/conf/{which}/disable_ipv6"), "1")?;
            }
        }
        ip(&net, "link add br0 type bridge\nlink set br0 up\n")?;
        let here = host.enter(|| fs::File::open("/proc/1/ns/net"))??;
        let there = net.enter(|| fs::File::open("/proc/1/ns/net"))??;
        let mut rtnl = host.enter(Rtnl::open)??;
        // Else the bridge takes the least of its ports' addresses.
        ip(&net, "link set br0 address 02:00:00:ff:00:01\n")?;
        let mut of_net = String::new();
        let mut of_host = String::new();
        for target in 1..=TARGETS {
            of_net += &format!("address add 10.0.0.{target}/16 dev br0\n");
        }
        for nic in 0..nics {
            let [high, low] = nic.to_be_bytes();
            let mac = MacAddress([2, 0, 0, 1, high, low]);
            // Ports that have not the index of their NIC: see `docs/linux.md`, Links.
            let port = VethEnd {
                name: &format!("port{nic}").parse()?,
                namespace: there.as_fd(),
                mac: None,
                index: Some(2000 + u32::from(nic)),
            };
            let end = VethEnd {
                name: &format!("ge{nic}").parse()?,
                namespace: here.as_fd(),
                mac: Some(mac),
                index: None,
            };
            rtnl.create_veth(&port, &end)?;
            of_net += &format!(
                "link set port{nic} master br0 up\n\
                 neighbour add {} dev br0 lladdr {mac} nud permanent\n",
                test_address(nic)
            );
            of_host += &format!("link set ge{nic} up\n");
            for target in 1..=TARGETS {
                of_host += &format!(
                    "neighbour add 10.0.0.{target} dev ge{nic} lladdr 02:00:00:ff:00:01 nud permanent\n"
                );
            }
        }
        ip(&net, &of_net)?;
        ip(&host, &of_host)?;
        let targets: Vec<String> = (1..=TARGETS).map(|t| format!("\"10.0.0.{t}\"")).collect();
        host.write_file(
            "/etc/ipmp.toml",
            &format!(
                "[defaults]\nfailure-detection-time = \"{DETECTION_MS}ms\"\nprobe-targets = [{}]\n",
                targets.join(", ")
            ),
        )?;
        let scene = Self {
            host,
            net,
            nics,
            _lab: lab,
        };
        scene.join(0)?;
        scene.awaits_probes(1)?;
        Ok(scene)
    }

    /// Puts all other NICs into the group.
    pub(crate) fn join_all(&self) -> Result<(), Failed> {
        for nic in 1..self.nics {
            self.join(nic)?;
        }
        self.awaits_probes(self.nics)?;
        sleep(SETTLING);
        Ok(())
    }

    fn join(&self, nic: u16) -> Result<(), Failed> {
        let address = test_address(nic);
        let line = format!(
            "ifconfig ge{nic} plumb {address} netmask 255.255.0.0 group many deprecated -failover up"
        );
        let output = self.host.run(&line)?;
        if output.success() {
            return Ok(());
        }
        Err(format!("{line}: {}", output.stderr).into())
    }

    fn awaits_probes(&self, nics: u16) -> Result<(), Failed> {
        let probing = || {
            self.snapshot().is_ok_and(|snapshot| {
                let answered = snapshot.interfaces.iter().filter(|interface| {
                    let mut probing = interface.probing.iter();
                    probing.any(Probing::is_answered)
                });
                answered.count() >= usize::from(nics)
            })
        };
        wait_until("probes are answered", PATIENCE, probing)?;
        Ok(())
    }

    fn snapshot(&self) -> Result<Snapshot, Failed> {
        self.host.enter(|| -> Result<Snapshot, Failed> {
            let inode = fs::metadata("/proc/1/ns/net")?.ino();
            let run = Path::new(RunDirectory::BASE).join(inode.to_string());
            Ok(Client::connect_to(&RunDirectory::at(run).socket())?.snapshot()?)
        })?
    }

    fn daemon(&self) -> Result<i32, Failed> {
        let pids = self.host.pids_of("in.mpathd")?;
        pids.first().copied().ok_or_else(|| "no daemon".into())
    }

    /// Resident memory of the daemon, in kB.
    pub(crate) fn memory(&self) -> Result<u64, Failed> {
        let status = self.proc(self.daemon()?, "status")?;
        field(&status, "VmRSS:")
    }

    /// The failure detection time in force, which is longer than set if answers were slow.
    pub(crate) fn detection_ms(&self) -> Result<u128, Failed> {
        let snapshot = self.snapshot()?;
        let times = snapshot.groups.iter();
        let times = times.filter_map(|group| group.failure_detection_time);
        times
            .map(|time| time.as_millis())
            .max()
            .ok_or_else(|| "no group".into())
    }

    /// What the daemon does in that time.
    pub(crate) fn watch_daemon(&self, seconds: u32) -> Result<Cost, Failed> {
        let pid = self.daemon()?;
        let late = |snapshot: &Snapshot| {
            let all = snapshot.interfaces.iter().flat_map(|i| &i.probing);
            all.fold((0, 0, 0), |(missed, void, bursts), one| {
                (
                    missed + one.missed,
                    void + one.void,
                    bursts + one.confirmations,
                )
            })
        };
        let (missed, void, bursts) = late(&self.snapshot()?);
        let before = self.reading(&[pid])?;
        sleep(Duration::from_secs(seconds.into()));
        let mut cost = self.reading(&[pid])?.since(&before);
        let (missed_now, void_now, bursts_now) = late(&self.snapshot()?);
        (cost.missed, cost.void) = (missed_now - missed, void_now - void);
        cost.bursts = bursts_now - bursts;
        Ok(cost)
    }

    /// Ends the daemon, so that the other one has the machine for itself.
    pub(crate) fn end_daemon(&self) -> Result<(), Failed> {
        self.host.kill(self.daemon()?, Signal::SIGTERM)?;
        let is_gone = || self.host.pids_of("in.mpathd").is_ok_and(|p| p.is_empty());
        wait_until("the daemon is gone", PATIENCE, is_gone)?;
        Ok(())
    }

    /// What `fping` takes for about that time.
    pub(crate) fn run_fping(&self, seconds: u32) -> Result<Cost, Failed> {
        let list: Vec<String> = (0..self.nics)
            .flat_map(|_| (1..=TARGETS).map(|target| format!("10.0.0.{target}")))
            .collect();
        self.host.write_file("/etc/targets", &list.join("\n"))?;
        let period = INTERVAL_MS * u32::from(TARGETS);
        let rounds = (seconds * 1000).div_ceil(period * ROUND);
        let line = format!("fping -q -i 0 -p {period} -c {ROUND} -f /etc/targets");
        let mut total = Cost::default();
        for _ in 0..rounds {
            let fping = self.host.spawn(&line)?;
            let pid = || self.host.pids_of("fping").ok()?.first().copied();
            let start = Instant::now();
            let pid = loop {
                if let Some(pid) = pid() {
                    break pid;
                }
                if start.elapsed() > PATIENCE {
                    return Err("fping does not start".into());
                }
            };
            let before = self.reading(&[pid])?;
            // Nearly to its end: what has ended cannot be asked.
            sleep(Duration::from_millis((period * (ROUND - 3)).into()));
            let round = self.reading(&[pid])?.since(&before);
            drop(fping);
            total.probes += round.probes;
            total.answers += round.answers;
            total.cpu += round.cpu;
            total.switches += round.switches;
            total.elapsed += round.elapsed;
        }
        Ok(total)
    }

    /// What as many `fping` as there are NICs take, each probing the targets through its own.
    pub(crate) fn run_fpings(&self, seconds: u32) -> Result<Cost, Failed> {
        let targets: Vec<String> = (1..=TARGETS).map(|t| format!("10.0.0.{t}")).collect();
        let period = INTERVAL_MS * u32::from(TARGETS);
        // They end by themselves if nobody ends them.
        let count = (seconds + FPINGS_START) * 1000 / period;
        let fpings = (0..self.nics)
            .map(|nic| {
                self.host.spawn(&format!(
                    "fping -q -I ge{nic} -S {} -i {INTERVAL_MS} -p {period} -c {count} {}",
                    test_address(nic),
                    targets.join(" ")
                ))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let pids = || self.host.pids_of("fping").unwrap_or_default();
        let all = usize::from(self.nics);
        wait_until("all fping run", PATIENCE, || pids().len() == all)?;
        let pids = pids();
        sleep(SETTLING);
        let before = self.reading(&pids)?;
        sleep(Duration::from_secs(seconds.into()));
        let cost = self.reading(&pids)?.since(&before);
        drop(fpings);
        Ok(cost)
    }

    fn proc(&self, pid: i32, file: &str) -> Result<String, Failed> {
        let path = format!("/proc/{pid}/{file}");
        let text = self.host.enter(|| fs::read_to_string(&path))?;
        text.map_err(|error| format!("{path}: {error}").into())
    }

    fn reading(&self, pids: &[i32]) -> Result<Reading, Failed> {
        let (mut ran, mut switches) = (0, 0);
        for &pid in pids {
            // On-processor time in nanoseconds: utime and stime are its parts, in hundredths of a
            // second.
            let times = self.proc(pid, "schedstat")?;
            ran += times.split(' ').next().unwrap_or_default().parse::<u64>()?;
            switches += field(&self.proc(pid, "status")?, "voluntary_ctxt_switches:")?;
        }
        let icmp = |host: &Host, name: &str| -> Result<u64, Failed> {
            let text = host.enter(|| fs::read_to_string("/proc/1/net/snmp"))??;
            let mut lines = text.lines().filter(|line| line.starts_with("Icmp:"));
            let (names, values) = (lines.next().unwrap_or_default(), lines.next());
            let values = values.unwrap_or_default().split(' ');
            let table: BTreeMap<&str, &str> = names.split(' ').zip(values).collect();
            Ok(table.get(name).copied().unwrap_or_default().parse()?)
        };
        Ok(Reading {
            at: Instant::now(),
            cpu: Duration::from_nanos(ran),
            switches,
            probes: icmp(&self.net, "InEchos")?,
            answers: icmp(&self.host, "InEchoReps")?,
        })
    }
}

/// What the kernel counts, at one moment.
struct Reading {
    at: Instant,
    cpu: Duration,
    switches: u64,
    probes: u64,
    answers: u64,
}

impl Reading {
    fn since(&self, before: &Self) -> Cost {
        Cost {
            probes: self.probes - before.probes,
            answers: self.answers - before.answers,
            cpu: self.cpu.saturating_sub(before.cpu),
            switches: self.switches - before.switches,
            elapsed: self.at - before.at,
            missed: 0,
            bursts: 0,
            void: 0,
        }
    }
}

/// The test address of a NIC.
fn test_address(nic: u16) -> String {
    format!("10.0.{}.{}", 1 + nic / 250, 1 + nic % 250)
}

/// A number of a line in `/proc/PID/status`.
fn field(status: &str, name: &str) -> Result<u64, Failed> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("no {name}"))?.parse()?)
}

/// Gives many commands to `ip` in a host's network.
fn ip(host: &Host, commands: &str) -> Result<(), Failed> {
    host.enter(|| -> Result<(), Failed> {
        let mut child = Command::new("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(commands.as_bytes())?;
        }
        if child.wait()?.success() {
            return Ok(());
        }
        Err("ip failed".into())
    })?
}
