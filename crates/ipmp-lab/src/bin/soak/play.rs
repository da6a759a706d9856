//! Plays rounds: lets their faults happen, waits until everything must be well again, and holds what
//! was lost against the oracle.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ipmp_lab::traffic::TcpConnection;
use ipmp_lab::{Dice, Direction};

use crate::faults::{Fault, Kind, round};
use crate::figures::{Figures, Loss};
use crate::hands::meddle;
use crate::holders::Holders;
use crate::oracle::{Cause, Oracle, Verdict};
use crate::stage::{DATA, EVERY, Stage, Timing};

/// How often a flapping link changes.
const FLAP: Duration = Duration::from_millis(150);

/// How long what was sent may be under way.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// How long a TCP connection may take to go on when everything is well: its retransmission timer has
/// doubled in the time without a path.
const TCP_PATIENCE: Duration = Duration::from_mins(1);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A run under way.
pub(crate) struct Play<'out> {
    pub(crate) figures: Figures,
    stage: Stage,
    holders: Holders,
    oracle: Oracle,
    dice: Dice,
    timing: Timing,
    shorter: bool,
    daemon_is_up: bool,
    start: Instant,
    out: &'out mut dyn Write,
}

/// What is done at a moment of a round.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    /// Of a flapping link: out, or in.
    Toggle(bool),
    End,
}

impl<'out> Play<'out> {
    pub(crate) fn new(
        stage: Stage,
        dice: Dice,
        timing: Timing,
        out: &'out mut dyn Write,
    ) -> Outcome<Self> {
        let holders = Holders::watch(&stage.host1)?;
        let start = Instant::now();
        let figures = Figures {
            connections: stage.connections.len(),
            ..Figures::default()
        };
        Ok(Self {
            figures,
            stage,
            holders,
            oracle: Oracle::new(timing, start),
            dice,
            timing,
            shorter: false,
            daemon_is_up: true,
            start,
            out,
        })
    }

    /// Plays one round.
    pub(crate) fn round(&mut self) -> Outcome<()> {
        self.figures.rounds += 1;
        let faults = round(&mut self.dice);
        let mut steps: Vec<(Duration, usize, Step)> = Vec::new();
        for (number, fault) in faults.iter().enumerate() {
            steps.push((fault.from, number, Step::Begin));
            if fault.kind.is_momentary() {
                continue;
            }
            let end = fault.from + fault.lasts;
            if fault.kind == Kind::Flap {
                let changes = (1..).map(|i| (i, fault.from + FLAP * i));
                let changes = changes.take_while(|(_, at)| *at < end);
                steps.extend(changes.map(|(i, at)| (at, number, Step::Toggle(i % 2 == 0))));
            }
            steps.push((end, number, Step::End));
        }
        steps.sort_by_key(|(at, number, _)| (*at, *number));
        let begin = Instant::now();
        let mut standing = vec![false; faults.len()];
        for (at, number, step) in steps {
            sleep((begin + at).saturating_duration_since(Instant::now()));
            let (Some(fault), Some(stands)) = (faults.get(number), standing.get_mut(number)) else {
                continue;
            };
            match step {
                Step::Begin => *stands = self.begins(fault)?,
                Step::Toggle(out) if out => self.stage.host1.find_nic(fault.nic)?.cable.pull()?,
                Step::Toggle(_) => self.stage.host1.find_nic(fault.nic)?.cable.plug()?,
                Step::End if *stands => {
                    // An offline NIC is put back by the daemon: by the next one if there is none.
                    if fault.kind != Kind::Offline || self.daemon_is_up {
                        self.ends(fault)?;
                        *stands = false;
                    }
                }
                Step::End => {}
            }
        }
        for (fault, stands) in faults.iter().zip(&standing) {
            if *stands {
                self.ends(fault)?;
            }
        }
        self.settles()
    }

    /// Lets a fault begin; whether it stands now, to be ended.
    fn begins(&mut self, fault: &Fault) -> Outcome<bool> {
        let mut what = fault.nic.to_owned();
        let host = &self.stage.host1;
        // What is to be lost may be lost from before it was done.
        let at = Instant::now();
        let mut stands = !fault.kind.is_momentary();
        let cable = host.find_nic(fault.nic)?.cable;
        match fault.kind {
            Kind::Pull | Kind::Flap => cable.pull()?,
            Kind::Silent => cable.silence(),
            Kind::Deaf => cable.one_way(Direction::Transmit),
            Kind::Mute => cable.one_way(Direction::Receive),
            Kind::Unplug => host.unplug_nic(fault.nic)?,
            Kind::Down => host.set_up(fault.nic, false)?,
            Kind::Loss => {
                let percent = u8::try_from(10 + fault.chance % 40)?;
                cable.loss(percent);
                what = format!("{what}: {percent} %");
            }
            Kind::Delay => {
                let time = Duration::from_millis(1 + fault.chance % 30);
                cable.delay(time);
                what = format!("{what}: {} ms", time.as_millis());
            }
            Kind::Offline => {
                let output = host.run(&format!("if_mpadm -d {}", fault.nic))?;
                stands = output.success();
                if !stands {
                    let reason = output.stderr.trim().to_owned();
                    what = format!("{what} refused: {reason}");
                    if self.daemon_is_up && self.oracle.has_other_path(at, fault.nic) {
                        self.figures.refused += 1;
                        what = format!("{what} (WITHOUT REASON)");
                    }
                }
            }
            Kind::Kill => {
                self.stage.kills_daemon()?;
                self.daemon_is_up = false;
                what.clear();
            }
            Kind::Reload => {
                self.shorter = !self.shorter;
                self.stage.reloads(&self.timing.settings(self.shorter))?;
                what.clear();
            }
            Kind::AddressesDeleted
            | Kind::AddressAdded
            | Kind::RoutesDeleted
            | Kind::NexthopsDeleted
            | Kind::SysctlsReset => {
                let count = meddle(host, fault)?;
                what = format!("{what}: {count}");
            }
        }
        if fault.kind == Kind::Kill {
            self.oracle.daemon_goes(at);
        } else if stands || fault.kind.is_momentary() {
            self.oracle.begins(at, fault.kind, fault.nic, fault.group);
        }
        if matches!(fault.kind, Kind::RoutesDeleted | Kind::NexthopsDeleted) {
            // Those of every group.
            for group in crate::stage::Group::ALL {
                if group != fault.group {
                    self.oracle.begins(at, fault.kind, fault.nic, group);
                }
            }
        }
        let lasts = match fault.lasts.as_millis() {
            0 => String::new(),
            ms if what.is_empty() => format!("for {ms} ms"),
            ms => format!(" for {ms} ms"),
        };
        let said = format!("{} {what}{lasts}", fault.kind.name());
        self.says(at, said.trim_end())?;
        Ok(stands)
    }

    fn ends(&mut self, fault: &Fault) -> Outcome<()> {
        let host = &self.stage.host1;
        match fault.kind {
            Kind::Unplug => host.plug_nic(fault.nic)?,
            Kind::Down => host.set_up(fault.nic, true)?,
            Kind::Offline => self.stage.types(&format!("if_mpadm -r {}", fault.nic))?,
            Kind::Kill => {
                self.stage.types("in.mpathd")?;
                self.daemon_is_up = true;
                let at = Instant::now();
                self.oracle.daemon_returns(at);
                return self.says(at, "daemon started");
            }
            _ => host.find_nic(fault.nic)?.cable.heal()?,
        }
        let at = Instant::now();
        self.oracle.ends(at, fault.kind, fault.nic);
        self.says(at, &format!("{} {} over", fault.kind.name(), fault.nic))
    }

    /// Waits until nothing may be lost any more, and holds what was lost against the oracle.
    fn settles(&mut self) -> Outcome<()> {
        while self.oracle.is_open(Instant::now()) {
            sleep(EVERY);
        }
        if let Some(ready) = self.oracle.all_ready() {
            sleep(ready.saturating_duration_since(Instant::now()));
        }
        let end = Instant::now();
        sleep(UNDER_WAY);
        for (address, holders) in self.holders.last() {
            if holders.len() != 1 {
                self.figures.lost_addresses += 1;
                self.complains(&format!("{address} is on {holders:?}"))?;
            }
        }
        self.judges(end)?;
        self.counts_moves()?;
        Ok(())
    }

    /// Puts down every lost datagram to its cause.
    fn judges(&mut self, end: Instant) -> Outcome<()> {
        let mut losses: BTreeMap<usize, Loss> = BTreeMap::new();
        let mut complaints = Vec::new();
        for stream in &self.stage.streams {
            let report = stream.udp.take(end);
            for (way, trail) in [("from", &report.forth), ("to", &report.back)] {
                self.figures.sent += trail.sent();
                let mut unexcused = Vec::new();
                for lost in trail.losses() {
                    let number = match self.oracle.judge(stream.group, lost) {
                        Verdict::Excused(number) => Some(number),
                        Verdict::Unexcused(last) => {
                            unexcused.push(lost);
                            last
                        }
                    };
                    if let Some(number) = number {
                        let loss = losses.entry(number).or_default();
                        loss.datagrams += 1;
                        let after = self.oracle.counted(number, lost);
                        loss.last = loss.last.max(after);
                    }
                }
                self.figures.unexcused += unexcused.len();
                if let (Some(first), Some(last)) = (unexcused.first(), unexcused.last()) {
                    complaints.push(format!(
                        "{way} {}: {} lost, sent at {} to {}",
                        stream.name,
                        unexcused.len(),
                        self.time(*first),
                        self.time(*last)
                    ));
                }
            }
        }
        // What happened to both groups at once happened once.
        let mut events: BTreeMap<(Cause, Instant), Loss> = BTreeMap::new();
        for (number, window) in self.oracle.take_windows().into_iter().enumerate() {
            let loss = losses.remove(&number).unwrap_or_default();
            let event = events.entry((window.cause, window.from)).or_default();
            event.datagrams += loss.datagrams;
            event.last = event.last.max(loss.last);
        }
        for ((cause, _), loss) in events {
            self.figures.causes.entry(cause).or_default().push(loss);
        }
        for complaint in complaints {
            self.complains(&complaint)?;
        }
        Ok(())
    }

    /// Counts how often data addresses left and came home.
    fn counts_moves(&mut self) -> Outcome<()> {
        let seen = self.holders.take();
        for data in DATA {
            let address = data.address.parse()?;
            let homes: Vec<bool> = seen
                .iter()
                .filter_map(|(_, places)| places.get(&address))
                .filter(|holders| !holders.is_empty())
                .map(|holders| holders.iter().any(|holder| holder == data.home))
                .collect();
            for (before, after) in homes.iter().zip(homes.iter().skip(1)) {
                match (before, after) {
                    (true, false) => self.figures.failovers += 1,
                    (false, true) => self.figures.failbacks += 1,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Ends the run: every connection must still exchange messages.
    pub(crate) fn ends_traffic(&mut self) -> Outcome<()> {
        let before: Vec<u64> = self
            .stage
            .connections
            .iter()
            .map(TcpConnection::exchanges)
            .collect();
        let is_alive = |stage: &Stage, number: usize| {
            let connection = stage.connections.get(number);
            let before = before.get(number).copied().unwrap_or_default();
            connection.is_some_and(|connection| connection.exchanges() > before)
        };
        let deadline = Instant::now() + TCP_PATIENCE;
        let all = 0..before.len();
        while Instant::now() < deadline && !all.clone().all(|number| is_alive(&self.stage, number))
        {
            sleep(EVERY);
        }
        let alive: Vec<bool> = all.map(|number| is_alive(&self.stage, number)).collect();
        let connections = std::mem::take(&mut self.stage.connections);
        for (connection, alive) in connections.into_iter().zip(alive) {
            let report = connection.stop()?;
            if report.broken.is_some() || !alive {
                self.figures.broken += 1;
                let reason = report.broken.unwrap_or_else(|| "stands still".to_owned());
                self.complains(&format!("a TCP connection: {reason}"))?;
            }
        }
        Ok(())
    }

    /// The daemon's log.
    pub(crate) fn log(&self) -> Outcome<String> {
        self.stage.log()
    }

    fn time(&self, at: Instant) -> String {
        format!(
            "{:.3} s",
            at.saturating_duration_since(self.start).as_secs_f64()
        )
    }

    fn says(&mut self, at: Instant, what: &str) -> Outcome<()> {
        let time = self.time(at);
        writeln!(self.out, "{time:>12} {:>4} {what}", self.figures.rounds)?;
        Ok(())
    }

    fn complains(&mut self, what: &str) -> Outcome<()> {
        self.says(Instant::now(), &format!("!! {what}"))
    }
}
