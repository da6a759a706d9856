//! Test beds: host1 with ge0 and ge1, host2 on the same switch, and what tests do with them.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use ipmp_api::{Client, RunDirectory};
use ipmp_core::Snapshot;
use ipmp_core::kernel::Kernel;
use ipmp_core::snapshot::{Interface, InterfaceState, ProbeState, Probing};
use ipmp_lab::labs::{LAB1, LAB2, Moment, comparable};
use ipmp_lab::traffic::Ping;
use ipmp_lab::{Host, Lab, LabError, Nic, Switch, wait_until};
use ipmp_linux::rtnl::Rtnl;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

/// The executable under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ipmp");

/// How long anything may take on a loaded machine beyond what it must take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Two hosts on one switch. host1 has ge0 and ge1, not configured; host2 is 192.168.0.2 and answers
/// probes, also those to all hosts.
pub(crate) struct Bed {
    pub(crate) host1: Host,
    pub(crate) host2: Host,
    pub(crate) ge0: Nic,
    pub(crate) ge1: Nic,
    pub(crate) switch: Switch,
    pub(crate) lab: Lab,
}

/// `/etc/default/mpathd` of a test that does not measure detection.
///
/// Where the tests are not run by root, the lab's switches are threads without priority. Several tests at a
/// time keep them from their work for longer than the silence that confirms a failure unless told
/// otherwise, and a test that expects one NIC to fail would see two.
pub(crate) fn unhurried(detection_ms: u32) -> String {
    format!(
        "FAILURE_DETECTION_TIME={detection_ms}\nCONFIRM_SILENCE={}\n",
        detection_ms / 2
    )
}

impl Bed {
    /// The hosts, with this `FAILURE_DETECTION_TIME`.
    pub(crate) fn new(detection_ms: u32) -> Result<Self, Failed> {
        Self::with(detection_ms, Host::nic)
    }

    /// The same, with NICs of host1 of another kind.
    pub(crate) fn with(
        detection_ms: u32,
        nic: impl Fn(&Host, &str, &Switch) -> Result<Nic, LabError>,
    ) -> Result<Self, Failed> {
        let lab = Lab::new(Path::new(PROGRAM))?;
        let switch = lab.switch();
        let host1 = lab.host("host1")?;
        let host2 = lab.host("host2")?;
        let ge0 = nic(&host1, "ge0", &switch)?;
        let ge1 = nic(&host1, "ge1", &switch)?;
        host2.nic("ge0", &switch)?;
        host2.configure("ge0", "192.168.0.2/24")?;
        host2.set_sysctl("net/ipv4/icmp_echo_ignore_broadcasts", "0")?;
        let bed = Self {
            host1,
            host2,
            ge0,
            ge1,
            switch,
            lab,
        };
        bed.settings(&unhurried(detection_ms))?;
        Ok(bed)
    }

    /// Lab 1 set up, probes answered.
    pub(crate) fn lab1(detection_ms: u32) -> Result<Self, Failed> {
        let bed = Self::new(detection_ms)?;
        bed.sets_up_lab1()?;
        Ok(bed)
    }

    /// The same with these lines in `[daemon]` of `/etc/ipmp.toml`.
    pub(crate) fn lab1_with(detection_ms: u32, daemon: &str) -> Result<Self, Failed> {
        let bed = Self::new(detection_ms)?;
        bed.host1
            .write_file("/etc/ipmp.toml", &format!("[daemon]\n{daemon}"))?;
        bed.sets_up_lab1()?;
        Ok(bed)
    }

    /// Sets up lab 1 and waits until probes are answered.
    pub(crate) fn sets_up_lab1(&self) -> Result<(), Failed> {
        for line in LAB1 {
            self.types(line)?;
        }
        self.awaits_probes(&["ge0", "ge1"])?;
        Ok(())
    }

    /// Lab 2 set up, probes answered.
    pub(crate) fn lab2(detection_ms: u32) -> Result<Self, Failed> {
        let bed = Self::new(detection_ms)?;
        for line in LAB2 {
            bed.types(line)?;
        }
        bed.awaits_probes(&["ge0", "ge1"])?;
        Ok(bed)
    }

    /// Writes `/etc/default/mpathd`.
    pub(crate) fn settings(&self, text: &str) -> Result<(), Failed> {
        Ok(self.host1.write_file("/etc/default/mpathd", text)?)
    }

    /// Types a command on host1 that must succeed; its standard output.
    pub(crate) fn types(&self, line: &str) -> Result<String, Failed> {
        let output = self.host1.run(line)?;
        if output.success() {
            return Ok(output.stdout);
        }
        Err(format!("{line}: {}: {}", output.status, output.stderr).into())
    }

    /// Types a command on host1 that must fail with exit status 1 and this one line.
    pub(crate) fn refuses(&self, line: &str, stderr: &str) -> Result<(), Failed> {
        let output = self.host1.run(line)?;
        same(
            &format!("exit status of {line}"),
            &output.status.code(),
            &Some(1),
        )?;
        same(
            &format!("standard error of {line}"),
            output.stderr.as_str(),
            &format!("{stderr}\n"),
        )
    }

    /// What the daemon sees.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Failed> {
        self.host1
            .enter(|| client()?.snapshot().map_err(Failed::from))?
    }

    /// Waits until the daemon sees what `holds` asks for; how long that took.
    pub(crate) fn awaits(
        &self,
        what: &str,
        holds: impl Fn(&Snapshot) -> bool + Sync,
    ) -> Result<Duration, Failed> {
        self.host1.enter(|| {
            let mut last = String::new();
            let waited = wait_until(what, PATIENCE, || {
                let seen = client().and_then(|mut client| Ok(client.snapshot()?));
                let so = seen.as_ref().is_ok_and(&holds);
                last = format!("{seen:#?}");
                so
            });
            waited.map_err(|error| format!("{error}\n  last seen: {last}").into())
        })?
    }

    /// Waits until an interface is in a state.
    pub(crate) fn awaits_state(
        &self,
        nic: &str,
        state: InterfaceState,
    ) -> Result<Duration, Failed> {
        self.awaits(&format!("{nic} is {state:?}"), |snapshot| {
            find(snapshot, nic).is_some_and(|interface| interface.state == state)
        })
    }

    /// Waits until probes of these NICs have been answered, which ends their quiet period, and none is
    /// lost lately.
    pub(crate) fn awaits_probes(&self, nics: &[&str]) -> Result<Duration, Failed> {
        self.awaits("probes are answered", |snapshot| {
            nics.iter().all(|nic| {
                find(snapshot, nic).is_some_and(|nic| {
                    nic.probe == ProbeState::Ok && nic.probing.iter().any(Probing::is_answered)
                })
            })
        })
    }

    /// What the daemon of host1 has written to its log so far.
    pub(crate) fn log(&self) -> Result<String, Failed> {
        self.host1.enter(|| -> Result<String, Failed> {
            let run = run_directory()?;
            Ok(fs::read_to_string(run.log())?)
        })?
    }

    /// Waits until the daemon of host1 has written a line with `text` in it.
    pub(crate) fn awaits_log(&self, text: &str) -> Result<Duration, Failed> {
        let seen = || {
            self.log()
                .is_ok_and(|log| log.lines().any(|line| line.contains(text)))
        };
        wait_until(&format!("log line '{text}'"), PATIENCE, seen).map_err(|error| {
            format!("{error}; the log:\n{}", self.log().unwrap_or_default()).into()
        })
    }

    /// The entry of a logical in `ifconfig -a` on host1, all its lines; empty if there is none.
    pub(crate) fn entry(&self, logical: &str) -> Result<String, Failed> {
        let listing = self.types("ifconfig -a")?;
        let mut lines = listing.split_inclusive('\n').skip_while(|line| {
            line.split_once(": ")
                .is_none_or(|(name, _)| name != logical)
        });
        let first: String = lines.next().unwrap_or_default().to_owned();
        Ok(first
            + &lines
                .take_while(|line| line.starts_with('\t'))
                .collect::<String>())
    }

    /// The flags of a logical in `ifconfig -a` on host1, in hexadecimal.
    pub(crate) fn flags(&self, logical: &str) -> Result<String, Failed> {
        let entry = self.entry(logical)?;
        let flags = entry
            .split_once(": flags=")
            .and_then(|(_, rest)| rest.split_once('<'));
        flags
            .map(|(flags, _)| flags.to_owned())
            .ok_or_else(|| format!("no flags of {logical} in: {entry}").into())
    }

    /// What the kernel of host1 holds.
    pub(crate) fn kernel(&self) -> Result<Kernel, Failed> {
        let seen = self
            .host1
            .enter(|| Rtnl::open().and_then(|mut rtnl| rtnl.observe()))?;
        Ok(seen?)
    }

    /// Whether an address is anywhere in the kernel of host1.
    pub(crate) fn has_address(&self, address: &str) -> Result<bool, Failed> {
        let ip: IpAddr = address.parse()?;
        Ok(self
            .kernel()?
            .addresses
            .keys()
            .any(|(_, address)| address.ip == ip))
    }

    /// Waits until no daemon runs on host1.
    pub(crate) fn awaits_no_daemon(&self) -> Result<(), Failed> {
        let is_gone = || {
            self.host1
                .pids_of("in.mpathd")
                .is_ok_and(|pids| pids.is_empty())
        };
        wait_until("no in.mpathd", PATIENCE, is_gone)?;
        Ok(())
    }

    /// Sends a signal to the daemon of host1.
    pub(crate) fn signals_daemon(&self, signal: Signal) -> Result<(), Failed> {
        for pid in self.host1.pids_of("in.mpathd")? {
            self.host1.kill(pid, signal)?;
        }
        Ok(())
    }

    /// Checks `ifconfig -a` on host1. `running`: whether a failed NIC still has its link.
    pub(crate) fn lists(&self, moment: Moment, running: bool) -> Result<(), Failed> {
        let listing = self.types("ifconfig -a")?;
        same(
            "ifconfig -a",
            comparable(&listing).as_str(),
            &moment.listing(running),
        )
    }
}

/// Fails unless a host gets an answer from an address.
pub(crate) fn reaches(host: &Host, address: &str) -> Result<(), Failed> {
    let trail = Ping::count(host, address.parse()?, 5, Duration::from_millis(50))?;
    same(
        &format!("pings of {address} that were answered"),
        &trail.received(),
        &5,
    )
}

/// The run directory of the host whose network and files the calling thread has. The thread is no
/// process of the host, so that it must not ask that host's `/proc` about itself.
pub(crate) fn run_directory() -> Result<RunDirectory, Failed> {
    let inode = fs::metadata("/proc/1/ns/net")?.ino();
    Ok(RunDirectory::at(
        Path::new(RunDirectory::BASE).join(inode.to_string()),
    ))
}

/// A connection to the daemon of that host.
/// A client of the daemon on the host this is called on.
pub(crate) fn client() -> Result<Client, Failed> {
    Ok(Client::connect_to(&run_directory()?.socket())?)
}

/// The interface called so.
pub(crate) fn find<'s>(snapshot: &'s Snapshot, nic: &str) -> Option<&'s Interface> {
    snapshot
        .interfaces
        .iter()
        .find(|interface| interface.name.as_str() == nic)
}

/// Fails unless both are equal.
pub(crate) fn same<T: PartialEq<U> + std::fmt::Debug + ?Sized, U: std::fmt::Debug + ?Sized>(
    what: &str,
    seen: &T,
    expected: &U,
) -> Result<(), Failed> {
    if seen == expected {
        return Ok(());
    }
    Err(format!("{what}\n  seen:     {seen:?}\n  expected: {expected:?}").into())
}
