//! The hosts of the soak, what is typed on them, and the traffic between them.
//!
//! ```text
//!           web: ge0 ge1 (ge2 standby)       db: ge3 ge4
//! host1 ----------- switch A ---------+------- switch B
//!                   |        |        |        |
//!                 gate     peer (net0)       peer (net1)
//!                   |
//!                  far
//! ```
//!
//! The group web has data addresses of both families, test addresses and a standby; db has no test
//! addresses, so that it is probed by ARP. `far` is behind a router, to which host1's route leads.

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use ipmp_api::{Client, RunDirectory};
use ipmp_core::snapshot::ProbeState;
use ipmp_core::{Family, Snapshot};
use ipmp_lab::traffic::{Ping, TcpConnection, UdpStream};
use ipmp_lab::{Host, Lab, wait_until};
use nix::sys::signal::Signal;

/// A group of host1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// ge0, ge1 and the standby ge2.
    Web,
    /// ge3 and ge4.
    Db,
}

impl Group {
    pub(crate) const ALL: [Self; 2] = [Self::Web, Self::Db];
}

/// The NICs of host1.
pub(crate) const NICS: [(&str, Group); 5] = [
    ("ge0", Group::Web),
    ("ge1", Group::Web),
    ("ge2", Group::Web),
    ("ge3", Group::Db),
    ("ge4", Group::Db),
];

/// The data addresses: where at home, and whose neighbour talks to them.
pub(crate) const DATA: [Data; 6] = [
    Data::new("192.168.0.86", 24, "ge0", Group::Web, "192.168.0.2"),
    Data::new("192.168.0.88", 24, "ge1", Group::Web, "192.168.0.2"),
    Data::new("fd00::86", 64, "ge0", Group::Web, "fd00::2"),
    Data::new("fd00::88", 64, "ge1", Group::Web, "fd00::2"),
    Data::new("192.168.1.84", 24, "ge3", Group::Db, "192.168.1.2"),
    Data::new("192.168.1.85", 24, "ge4", Group::Db, "192.168.1.2"),
];

/// A data address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data {
    pub(crate) address: &'static str,
    pub(crate) prefix: u8,
    pub(crate) home: &'static str,
    pub(crate) group: Group,
    peer: &'static str,
}

impl Data {
    const fn new(
        address: &'static str,
        prefix: u8,
        home: &'static str,
        group: Group,
        peer: &'static str,
    ) -> Self {
        Self {
            address,
            prefix,
            home,
            group,
            peer,
        }
    }
}

/// The host behind the router, and the router.
const FAR: &str = "10.9.0.2";
const GATE: &str = "192.168.0.1";

const SETUP: [&str; 12] = [
    "ifconfig ge0 plumb 192.168.0.86 group web up",
    "ifconfig ge0 addif 192.168.0.87 deprecated -failover up",
    "ifconfig ge1 plumb 192.168.0.88 group web up",
    "ifconfig ge1 addif 192.168.0.89 deprecated -failover up",
    "ifconfig ge2 plumb 192.168.0.90 group web deprecated -failover standby up",
    "ifconfig ge0 inet6 plumb -failover up",
    "ifconfig ge0 inet6 addif fd00::86/64 up",
    "ifconfig ge1 inet6 plumb -failover up",
    "ifconfig ge1 inet6 addif fd00::88/64 up",
    "ifconfig ge2 inet6 plumb -failover up",
    "ifconfig ge3 plumb 192.168.1.84 group db up",
    "ifconfig ge4 plumb 192.168.1.85 group db up",
];

/// Time between two datagrams of a stream, each way.
pub(crate) const EVERY: Duration = Duration::from_millis(20);

/// Time between two messages of a TCP connection.
const TCP_EVERY: Duration = Duration::from_millis(100);

/// How long setting up anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is set, and what is promised by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// `FAILURE_DETECTION_TIME`; the longest of those that are set in turn.
    detection: Duration,
    /// `QUIET_PERIOD`.
    quiet: Duration,
    /// From the loss of a link until the addresses are served elsewhere.
    pub(crate) link: Duration,
    /// From what another hand does until it is undone.
    pub(crate) hands: Duration,
}

impl Timing {
    pub(crate) const SOAK: Self = Self {
        detection: Duration::from_secs(1),
        quiet: Duration::from_secs(1),
        link: Duration::from_secs(1),
        hands: Duration::from_secs(1),
    };

    /// From the silence of a NIC until its addresses are served elsewhere.
    pub(crate) const fn silent(self) -> Duration {
        self.detection.saturating_add(Duration::from_secs(1))
    }

    /// From a NIC's having a path until it may be used.
    pub(crate) const fn repair(self) -> Duration {
        self.detection
            .saturating_mul(2)
            .saturating_add(Duration::from_secs(1))
    }

    /// From a daemon's start until it has done what a fault before it asks for.
    pub(crate) const fn start(self) -> Duration {
        self.quiet.saturating_add(self.silent())
    }

    /// The settings file, with one of two detection times.
    pub(crate) fn settings(self, shorter: bool) -> String {
        let detection = if shorter {
            self.detection * 7 / 10
        } else {
            self.detection
        };
        format!(
            "FAILURE_DETECTION_TIME={}\nQUIET_PERIOD={}\nDAMPENING_HALF_LIFE=2s\n",
            detection.as_millis(),
            self.quiet.as_millis()
        )
    }
}

/// A stream of datagrams.
pub(crate) struct Stream {
    pub(crate) group: Group,
    pub(crate) name: String,
    pub(crate) udp: UdpStream,
}

/// The hosts, everything on them running.
pub(crate) struct Stage {
    pub(crate) streams: Vec<Stream>,
    pub(crate) connections: Vec<TcpConnection>,
    pub(crate) host1: Host,
    peer: Host,
    far: Host,
    // Goes last: with it goes everything above.
    _lab: Lab,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

impl Stage {
    /// Builds the hosts, sets host1 up and waits until it is probed and reached. There is no traffic
    /// yet.
    pub(crate) fn build(program: &Path, seed: u64, timing: Timing) -> Outcome<Self> {
        let lab = Lab::with_seed(program, seed)?;
        let (a, b, c) = (lab.switch(), lab.switch(), lab.switch());
        let host1 = lab.host("host1")?;
        for (nic, group) in NICS {
            let switch = match group {
                Group::Web => &a,
                Group::Db => &b,
            };
            host1.nic(nic, switch)?;
        }
        let peer = lab.host("peer")?;
        peer.nic("net0", &a)?;
        peer.configure("net0", "192.168.0.2/24")?;
        peer.configure("net0", "fd00::2/64")?;
        peer.nic("net1", &b)?;
        peer.configure("net1", "192.168.1.2/24")?;
        // So that it is found as a target.
        peer.set_sysctl("net/ipv4/icmp_echo_ignore_broadcasts", "0")?;
        lab.router("gate", &[(&a, "192.168.0.1/24"), (&c, "10.9.0.1/24")])?;
        let far = lab.host("far")?;
        far.nic("net0", &c)?;
        far.configure("net0", "10.9.0.2/24")?;
        far.route("0.0.0.0/0", "10.9.0.1".parse()?)?;
        host1.write_file("/etc/default/mpathd", &timing.settings(false))?;
        let stage = Self {
            _lab: lab,
            host1,
            peer,
            far,
            streams: Vec::new(),
            connections: Vec::new(),
        };
        for line in SETUP {
            stage.types(line)?;
        }
        stage.host1.route("10.9.0.0/24", GATE.parse()?)?;
        for data in DATA {
            reaches(&stage.host1, data.peer)?;
            reaches(&stage.peer, data.address)?;
        }
        reaches(&stage.host1, FAR)?;
        // Only now: the group without test addresses takes its targets from the neighbour table.
        stage.awaits_probes()?;
        Ok(stage)
    }

    /// Starts all traffic, which ends by itself after `limit`.
    pub(crate) fn starts_traffic(&mut self, limit: Duration) -> Outcome<()> {
        let peers = DATA.map(|data| (data, data.peer));
        let far = DATA.first().map(|&data| (data, FAR));
        for (data, other) in peers.into_iter().chain(far) {
            let host = if other == FAR { &self.far } else { &self.peer };
            let (here, there): (IpAddr, IpAddr) = (data.address.parse()?, other.parse()?);
            let (here, there) = ((&self.host1, here), (host, there));
            self.streams.push(Stream {
                group: data.group,
                name: format!("{} {other}", data.address),
                udp: UdpStream::start(here, there, EVERY, limit)?,
            });
            for (from, to) in [(here, there), (there, here)] {
                let connection = TcpConnection::start(from, to, TCP_EVERY, limit)?;
                self.connections.push(connection);
            }
        }
        Ok(())
    }

    /// Types a command on host1 that must succeed.
    pub(crate) fn types(&self, line: &str) -> Outcome<()> {
        let output = self.host1.run(line)?;
        if output.success() {
            return Ok(());
        }
        Err(format!("{line}: {}: {}", output.status, output.stderr.trim()).into())
    }

    /// Kills every daemon of host1 and waits for its end.
    pub(crate) fn kills_daemon(&self) -> Outcome<()> {
        for pid in self.host1.pids_of("in.mpathd")? {
            self.host1.kill(pid, Signal::SIGKILL)?;
        }
        let is_gone = || {
            self.host1
                .pids_of("in.mpathd")
                .is_ok_and(|pids| pids.is_empty())
        };
        wait_until("no in.mpathd", PATIENCE, is_gone)?;
        Ok(())
    }

    /// Has the daemon read its settings again.
    pub(crate) fn reloads(&self, settings: &str) -> Outcome<()> {
        self.host1.write_file("/etc/default/mpathd", settings)?;
        for pid in self.host1.pids_of("in.mpathd")? {
            self.host1.kill(pid, Signal::SIGHUP)?;
        }
        Ok(())
    }

    /// What the daemon has written to its log.
    pub(crate) fn log(&self) -> Outcome<String> {
        Ok(self
            .host1
            .enter(|| fs::read_to_string(run_directory()?.log()))??)
    }

    /// Waits until probes are answered on every NIC, in each family it has a test address in.
    fn awaits_probes(&self) -> Outcome<()> {
        let answered = |snapshot: &Snapshot| {
            NICS.iter().all(|(nic, group)| {
                let found = snapshot.interfaces.iter().find(|i| i.name.as_str() == *nic);
                let families = match group {
                    Group::Web => &Family::ALL[..],
                    Group::Db => &[Family::Inet],
                };
                families.iter().all(|family| {
                    found.is_some_and(|interface| {
                        interface.probe == ProbeState::Ok
                            && interface
                                .probing
                                .iter()
                                .any(|probing| probing.family == *family && probing.is_answered())
                    })
                })
            })
        };
        self.host1.enter(|| -> Result<(), String> {
            let run = run_directory().map_err(|error| error.to_string())?;
            let mut last = String::new();
            let seen = || {
                let snapshot =
                    Client::connect_to(&run.socket()).and_then(|mut client| client.snapshot());
                last = format!("{snapshot:#?}");
                snapshot.is_ok_and(|snapshot| answered(&snapshot))
            };
            wait_until("probes are answered", PATIENCE, seen)
                .map(drop)
                .map_err(|error| format!("{error}; the daemon sees {last}"))
        })??;
        Ok(())
    }
}

/// The run directory of the host whose network and files the calling thread has.
fn run_directory() -> std::io::Result<RunDirectory> {
    let inode = fs::metadata("/proc/1/ns/net")?.ino();
    Ok(RunDirectory::at(
        Path::new(RunDirectory::BASE).join(inode.to_string()),
    ))
}

/// Waits until a host gets an answer from an address.
fn reaches(host: &Host, address: &str) -> Outcome<()> {
    let ip: IpAddr = address.parse()?;
    wait_until(
        &format!("{} reaches {address}", host.name()),
        PATIENCE,
        || Ping::count(host, ip, 1, EVERY).is_ok_and(|trail| trail.received() == 1),
    )?;
    Ok(())
}
