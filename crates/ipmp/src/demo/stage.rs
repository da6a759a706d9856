//! The stage of the demo: hosts, cables, what is typed on them and what is checked.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use ipmp_api::{Client, RunDirectory};
use ipmp_core::snapshot::{InterfaceState, Probing, Snapshot};
use ipmp_lab::labs::{Moment, comparable};
use ipmp_lab::traffic::Ping;
use ipmp_lab::{Host, Lab, Nic, wait_until};

use super::Fault;

/// Time between two pings.
const PING_EVERY: Duration = Duration::from_millis(5);

/// How long the pings go on before a fault, when it was noticed and after its repair, so that what
/// there is to lose is seen to be lost.
const BREATH: Duration = Duration::from_millis(600);

/// Longest time for a state that must come about, beyond the detection times.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the labs are played.
pub(super) struct Stage<'out> {
    // Goes last: with it goes everything below.
    _lab: Lab,
    host1: Host,
    host2: Host,
    fault: Fault,
    detection: Duration,
    checks: Vec<Check>,
    out: &'out mut dyn Write,
}

/// Something that was expected, and what was seen.
struct Check {
    what: String,
    expected: String,
    seen: String,
    passed: bool,
}

/// A NIC's failure and repair.
pub(super) struct Failure {
    /// Which NIC.
    pub(super) nic: &'static str,
    /// What host2 pings meanwhile.
    pub(super) pinged: &'static str,
    /// Whether that address has to move.
    pub(super) moves: bool,
    /// The listing while the NIC is away.
    pub(super) during: Moment,
    /// The listing after its repair.
    pub(super) after: Moment,
}

impl<'out> Stage<'out> {
    /// Builds host1, host2 and the switch between them.
    pub(super) fn build(
        fault: Fault,
        detection_ms: u32,
        out: &'out mut dyn Write,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("own executable")?;
        let lab = Lab::new(&program)?;
        let switch = lab.switch();
        let host1 = lab.host("host1")?;
        let host2 = lab.host("host2")?;
        // As on the machines of the labs' time: all NICs of a host have one hardware address.
        let shared = "8:0:20:c0:ff:ec".parse()?;
        host1.nic_with_mac("ge0", &switch, shared)?;
        host1.nic_with_mac("ge1", &switch, shared)?;
        host1.configure("ge0", "192.168.0.10/24")?;
        host1.configure("ge1", "192.168.0.11/24")?;
        host1.write_file(
            "/etc/default/mpathd",
            &format!("FAILURE_DETECTION_TIME={detection_ms}\nFAILBACK=yes\n"),
        )?;
        host2.nic("ge0", &switch)?;
        host2.configure("ge0", "192.168.0.2/24")?;
        // host2 is the probe target, found by multicast, which Linux does not answer by default.
        host2.set_sysctl("net/ipv4/icmp_echo_ignore_broadcasts", "0")?;
        let detection = Duration::from_millis(detection_ms.into());
        let stage = Self {
            _lab: lab,
            host1,
            host2,
            fault,
            detection,
            checks: Vec::new(),
            out,
        };
        let how = match fault {
            Fault::Pull => "cables are pulled",
            Fault::Silent => "switch ports fall silent, links stay up",
        };
        writeln!(
            stage.out,
            "host1 (ge0, ge1) -- switch -- host2 (192.168.0.2): namespaces of this process.\n\
             FAILURE_DETECTION_TIME={detection_ms} ms; {how}; host2 pings every {} ms.",
            PING_EVERY.as_millis()
        )?;
        Ok(stage)
    }

    /// A heading.
    pub(super) fn title(&mut self, title: &str) -> anyhow::Result<()> {
        writeln!(self.out, "\n== {title}\n")?;
        Ok(self.out.flush()?)
    }

    /// Types a command on host1 and shows what it says. A command that fails fails the demo.
    pub(super) fn types(&mut self, line: &str) -> anyhow::Result<String> {
        writeln!(self.out, "host1# {line}")?;
        self.out.flush()?;
        let output = self.host1.run(line)?;
        write!(self.out, "{}{}", output.stdout, output.stderr)?;
        self.out.flush()?;
        if !output.success() {
            let seen = output.stderr.trim().to_owned();
            self.note(line.to_owned(), "exit 0".to_owned(), seen, false)?;
        }
        Ok(output.stdout)
    }

    /// Shows that the daemon runs.
    pub(super) fn shows_daemon(&mut self) -> anyhow::Result<()> {
        let pids = self.host1.pids_of("in.mpathd")?;
        let seen = format!("{} running", pids.len());
        self.check("ifconfig group starts in.mpathd", "1 running", &seen)
    }

    /// Waits until a probe of each of these NICs was answered: until then, a silent one is not missed.
    pub(super) fn awaits_probes(&mut self, nics: &[&str]) -> anyhow::Result<()> {
        let answered = |snapshot: &Snapshot| {
            nics.iter().all(|nic| {
                let interface = snapshot.interfaces.iter().find(|i| i.name.as_str() == *nic);
                interface.is_some_and(|i| i.probing.iter().any(Probing::is_answered))
            })
        };
        self.awaits("probes are answered", self.detection + PATIENCE, answered)
    }

    /// Shows `ifconfig -a` and checks it.
    pub(super) fn lists(&mut self, what: &str, moment: Moment) -> anyhow::Result<()> {
        let listing = self.types("ifconfig -a")?;
        let running = self.fault == Fault::Silent;
        let passed = comparable(&listing) == moment.listing(running);
        let seen = if passed { "as expected" } else { "differs" };
        self.note(
            format!("{what}: ifconfig -a"),
            "as in the manual".into(),
            seen.into(),
            passed,
        )
    }

    /// Lets a NIC fail and recover while host2 pings.
    pub(super) fn fails(&mut self, failure: &Failure) -> anyhow::Result<()> {
        let Failure {
            nic, pinged, moves, ..
        } = *failure;
        let cable = self.host1.find_nic(nic)?;
        writeln!(self.out, "\nhost2# ping {pinged}")?;
        let to: IpAddr = pinged.parse()?;
        let ping = Ping::start(&self.host2, to, PING_EVERY, Duration::from_secs(50))?;
        std::thread::sleep(BREATH);
        self.breaks(&cable)?;
        let state = |wanted: InterfaceState| {
            move |snapshot: &Snapshot| {
                let found = snapshot.interfaces.iter().find(|i| i.name.as_str() == nic);
                found.is_some_and(|interface| interface.state == wanted)
            }
        };
        self.awaits(
            &format!("{nic} is failed"),
            self.detection + PATIENCE,
            state(InterfaceState::Failed),
        )?;
        std::thread::sleep(BREATH);
        let trail = ping.stop()?;
        let outage = trail.longest_outage();
        writeln!(
            self.out,
            "{} pings, {} lost, outage {} ms",
            trail.sent(),
            trail.lost(),
            outage.as_millis()
        )?;
        self.lists(&format!("{nic} away"), failure.during)?;
        let what = format!("{nic} away: outage of {pinged}");
        let limit = match (moves, self.fault) {
            (false, _) => Duration::ZERO,
            (true, Fault::Pull) => Duration::from_millis(500),
            (true, Fault::Silent) => self.detection,
        };
        let seen = format!("{} lost, {} ms", trail.lost(), outage.as_millis());
        let expected = match limit {
            Duration::ZERO => "0 lost".to_owned(),
            limit => format!("at most {} ms", limit.as_millis()),
        };
        self.note(what, expected, seen, outage <= limit)?;

        writeln!(self.out, "\nhost2# ping {pinged}")?;
        let ping = Ping::start(&self.host2, to, PING_EVERY, Duration::from_secs(50))?;
        std::thread::sleep(BREATH);
        self.mends(&cable)?;
        let repair = self.detection * 2 + PATIENCE;
        self.awaits(
            &format!("{nic} is repaired"),
            repair,
            state(InterfaceState::Ok),
        )?;
        std::thread::sleep(BREATH);
        let trail = ping.stop()?;
        writeln!(self.out, "{} pings, {} lost", trail.sent(), trail.lost())?;
        self.lists(&format!("{nic} back"), failure.after)?;
        let seen = format!("{} lost", trail.lost());
        let passed = trail.lost() == 0;
        self.note(
            format!("{nic} back: pings of {pinged}"),
            "0 lost".into(),
            seen,
            passed,
        )
    }

    fn breaks(&mut self, nic: &Nic) -> anyhow::Result<()> {
        match self.fault {
            Fault::Pull => {
                writeln!(self.out, "        (the cable of {} is pulled)", nic.name)?;
                nic.cable.pull()?;
            }
            Fault::Silent => {
                writeln!(
                    self.out,
                    "        (the switch port of {} falls silent)",
                    nic.name
                )?;
                nic.cable.silence();
            }
        }
        Ok(self.out.flush()?)
    }

    fn mends(&mut self, nic: &Nic) -> anyhow::Result<()> {
        match self.fault {
            Fault::Pull => {
                writeln!(
                    self.out,
                    "        (the cable of {} is plugged in)",
                    nic.name
                )?;
                nic.cable.plug()?;
            }
            Fault::Silent => {
                writeln!(
                    self.out,
                    "        (the switch port of {} works again)",
                    nic.name
                )?;
                nic.cable.unsilence();
            }
        }
        Ok(self.out.flush()?)
    }

    /// Waits until the daemon says so. That it does not is a failed check, not the end.
    fn awaits(
        &mut self,
        what: &str,
        within: Duration,
        holds: impl Fn(&Snapshot) -> bool + Sync,
    ) -> anyhow::Result<()> {
        let waited = self.host1.enter(|| {
            let mut client = client()?;
            wait_until(what, within, || {
                client.snapshot().is_ok_and(|snapshot| holds(&snapshot))
            })
            .map_err(anyhow::Error::from)
        })?;
        match waited {
            Ok(waited) => writeln!(self.out, "        ({what} after {} ms)", waited.as_millis())?,
            Err(error) => {
                let within = format!("within {} ms", within.as_millis());
                self.note(what.to_owned(), within, error.to_string(), false)?;
            }
        }
        Ok(self.out.flush()?)
    }

    /// Checks that something is as expected.
    pub(super) fn check(&mut self, what: &str, expected: &str, seen: &str) -> anyhow::Result<()> {
        self.note(
            what.to_owned(),
            expected.to_owned(),
            seen.to_owned(),
            expected == seen,
        )
    }

    fn note(
        &mut self,
        what: String,
        expected: String,
        seen: String,
        passed: bool,
    ) -> anyhow::Result<()> {
        if !passed {
            writeln!(
                self.out,
                "        (FAILED: {what}: expected {expected}, seen {seen})"
            )?;
        }
        self.checks.push(Check {
            what,
            expected,
            seen,
            passed,
        });
        Ok(())
    }

    /// Shows all checks; whether all passed.
    pub(super) fn table(&mut self) -> anyhow::Result<bool> {
        writeln!(
            self.out,
            "\n{:<35}{:<18}{:<18}RESULT",
            "CHECK", "EXPECTED", "SEEN"
        )?;
        for check in &self.checks {
            let result = if check.passed { "pass" } else { "FAIL" };
            writeln!(
                self.out,
                "{:<35}{:<18}{:<18}{result}",
                check.what, check.expected, check.seen
            )?;
        }
        let failed = self.checks.iter().filter(|check| !check.passed).count();
        let passed = self.checks.len() - failed;
        writeln!(self.out, "\n{passed} passed, {failed} failed")?;
        self.out.flush()?;
        Ok(failed == 0)
    }

    /// A shell on host1, the lab running.
    pub(super) fn shell(&mut self) -> anyhow::Result<()> {
        writeln!(
            self.out,
            "\nA shell on host1 follows; ifconfig, ipmpstat, if_mpadm and ipmp are on PATH.\n\
             host2 is 192.168.0.2. The lab ends with the shell."
        )?;
        self.out.flush()?;
        let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
        self.host1.shell(&shell)?;
        Ok(())
    }
}

/// A connection to the daemon of the host whose files the calling thread sees. The host's `/proc` is
/// of its own processes, so the namespace cannot be looked up there; but there is one daemon only.
fn client() -> anyhow::Result<Client> {
    let mut runs = fs::read_dir(RunDirectory::BASE).context(RunDirectory::BASE)?;
    let run = runs.next().context("no daemon has run")??;
    Ok(Client::connect_to(&RunDirectory::at(run.path()).socket())?)
}
