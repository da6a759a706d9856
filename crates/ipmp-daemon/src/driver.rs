//! The loop: wait for the kernel, a reply, a client, a signal or a deadline; feed the engine; carry
//! out what it wants; feed the results back.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use std::{io, iter, mem};

use ipmp_config::{Configuration, Recording};
use ipmp_core::asked::Saved;
use ipmp_core::kernel::Change;
use ipmp_core::snapshot::{self, Resyncs};
use ipmp_core::{Action, Engine, Event, Snapshot, Time};
use ipmp_linux::announce::Announcer;
use ipmp_linux::neighbours::neighbours;
use ipmp_linux::rtnl::{Rtnl, RtnlError};
use ipmp_linux::{Alarm, monotonic_now};
use sd_notify::NotifyState;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;
use tokio::select;
use tokio::sync::{mpsc, oneshot};

use crate::carrier::CarrierWatch;
use crate::claims::Claims;
use crate::control::{self, Asker, Request, Shown};
use crate::hook::Hook;
use crate::journal::Causes;
use crate::log::{self, FAILOVER, TARGET, TIMER};
use crate::options::Options;
use crate::probes::Probes;
use crate::record::{self, Recorder};
use crate::saving::Saving;
use crate::signals::{Signals, Told};
use crate::{dump, settings};

mod conflicts;
mod kernel;

/// How long after the kernel could not be read, or the state not be saved, it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Least time between two turns for the engine's deadlines. With many interfaces they are all over the
/// place; half a millisecond is little beside the least interval of probes.
const TOGETHER: Duration = Duration::from_micros(500);

/// How long replies may lie before they are looked at: not longer than the receive buffers hold them
/// at any rate of probes.
const SOON: Duration = Duration::from_millis(5);

/// Interval of full scans (manual `in.mpathd`).
const SCAN: Duration = Duration::from_secs(20);

/// How many requests are taken in one turn of the loop.
const REQUESTS: usize = 16;

/// The engine and its hands.
pub(crate) struct Driver {
    options: Options,
    engine: Engine,
    /// What was asked for at start, and what came of it.
    recording: Recording,
    recorder: Option<Recorder>,
    /// The program that is to be told events, and what tells it.
    hook_path: Option<PathBuf>,
    hook: Option<Hook>,
    /// What the journal is told with messages.
    causes: Causes,
    rtnl: AsyncFd<Rtnl>,
    probes: Probes,
    claims: Claims,
    announcer: Announcer,
    carriers: CarrierWatch,
    /// When everything is to be read again.
    scan_at: Time,
    /// What clients are told past this loop.
    told: control::Told,
    alarm: AsyncFd<Alarm>,
    /// When a deadline of the engine was served last.
    ticked: Time,
    /// Clients that wait for what came of their command.
    waiting: BTreeMap<u64, Asker>,
    next_id: u64,
    /// Ends when who had everything put back was told that it is done.
    last_told: Option<oneshot::Receiver<Infallible>>,
    saving: Saving,
    /// When to try again what failed.
    again_at: Option<Time>,
    must_observe: bool,
    /// When the daemon was started, as time since 1970.
    started: Duration,
    resyncs: Resyncs,
}

/// Why the daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to, and addresses stay where they are.
    Signal,
    /// Everything is as it was before there were groups, and nothing is left to be remembered.
    TornDown,
}

impl Driver {
    /// Reads the kernel and lets the engine decide for the first time. To be called inside the
    /// runtime.
    pub(crate) fn new(
        options: Options,
        saving: Saving,
        configuration: Configuration,
        saved: Option<Saved>,
    ) -> Result<Self, RtnlError> {
        let mut rtnl = Rtnl::open()?;
        let kernel = rtnl.observe()?;
        let now = monotonic_now();
        let seed = seed(now);
        let settings = configuration.settings;
        let recording = configuration.recording;
        let hook_path = configuration.hook;
        let recorder = Recorder::start(&recording, || {
            record::header(seed, &settings, saved.as_ref())
        });
        let mut driver = Self {
            options,
            engine: Engine::new(settings, saved, seed),
            recording,
            recorder,
            hook: Hook::start(hook_path.as_ref()),
            hook_path,
            causes: Causes::default(),
            rtnl: watched(rtnl)?,
            probes: Probes::new()?,
            claims: Claims::new()?,
            announcer: Announcer::new(),
            carriers: CarrierWatch::start()?,
            scan_at: now + SCAN,
            told: control::Told::default(),
            alarm: watched(Alarm::new()?)?,
            ticked: Time::ZERO,
            waiting: BTreeMap::new(),
            next_id: 0,
            last_told: None,
            saving,
            again_at: None,
            must_observe: false,
            started: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            resyncs: Resyncs::default(),
        };
        driver.feed(Event::Kernel(vec![Change::Resync(kernel)]));
        Ok(driver)
    }

    /// Whether there is an interface to be watched.
    pub(crate) fn has_work(&self) -> bool {
        let snapshot = self.engine.snapshot();
        snapshot
            .interfaces
            .iter()
            .any(|interface| interface.tracked)
    }

    /// Runs until a signal ends it, or until everything was put back as it was.
    pub(crate) async fn run(mut self, listener: UnixListener, mut signals: Signals) -> End {
        let mut requests = control::serve(listener, self.told.clone());
        while !self.engine.is_over() {
            self.set_alarm();
            select! {
                ready = self.rtnl.readable_mut() => {
                    if let Ok(mut guard) = ready {
                        let told = guard.get_inner_mut().changes();
                        // What is left is taken after everything else has had its turn.
                        if guard.get_inner().is_drained() {
                            guard.clear_ready();
                        }
                        self.listen(told);
                    }
                }
                _ = self.probes.readable() => self.hear(),
                _ = self.claims.readable() => self.hear_claims(),
                found = self.carriers.found() => self.look_after(&found),
                request = requests.recv() => self.serve(request, &mut requests),
                signal = signals.next() => match signal {
                    Told::Hangup => self.reload(),
                    Told::Dump => self.dump(),
                    Told::End => break,
                    Told::Nothing => {}
                },
                _ = rings(&self.alarm) => {}
            }
            self.on_time();
        }
        // What stays untaken is not asked for again by anybody else.
        self.save();
        if let Some(recorder) = self.recorder.take() {
            recorder.end();
        }
        if !self.engine.is_over() {
            return End::Signal;
        }
        if let Some(told) = self.last_told.take() {
            // Nothing is ever sent: it ends when the answer is written.
            let _ = told.await;
        }
        End::TornDown
    }

    fn next_deadline(&self) -> Time {
        [
            self.engine.next_deadline(),
            self.again_at,
            self.claims.rest_ends(),
        ]
        .into_iter()
        .flatten()
        .fold(self.scan_at, Time::min)
    }

    /// Sets the alarm for what is to be done next. What is due in quick succession is done together,
    /// and if that is soon, replies are looked at then: each has its time from the kernel.
    fn set_alarm(&mut self) {
        let next = self.next_deadline().max(self.ticked + TOGETHER);
        let is_soon = next.since(monotonic_now()) <= SOON;
        let set = self.alarm.get_mut().set(next);
        for failed in [set, self.probes.watch(!is_soon)]
            .into_iter()
            .filter_map(Result::err)
        {
            tracing::error!("cannot wait: {failed}");
        }
    }

    /// Does what is due.
    fn on_time(&mut self) {
        let now = monotonic_now();
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.save();
            if self.must_observe {
                self.scan();
            }
        }
        if self.scan_at <= now {
            self.resyncs.periodic += 1;
            self.scan();
        }
        self.claims.wake(now);
        if self.engine.next_deadline().is_some_and(|at| at <= now) {
            tracing::debug!(target: TIMER, "deadline reached");
            self.ticked = now;
            // Replies that are there already were in time, however late we look: they go first.
            self.hear();
            self.tick();
            // What has probes to send leaves what else there is to decide for after they are sent.
            if self.engine.next_deadline().is_some_and(|at| at <= now) {
                self.tick();
            }
        }
    }

    /// Has the engine do what is due. What others have answered by then was in time, too, if they are being
    /// asked for an address.
    fn tick(&mut self) {
        if self.engine.awaits_claims() {
            self.hear_claims();
        }
        self.feed(Event::Tick);
    }

    /// Takes replies to probes.
    fn hear(&mut self) {
        let replies = self.probes.replies();
        self.feed_all(replies.into_iter().map(Event::Reply).collect());
    }

    /// Takes a request, and with it the ones that wait behind it: a client that has many changes is
    /// not to wait for a round of the loop with each.
    fn serve(&mut self, first: Option<Request>, requests: &mut mpsc::Receiver<Request>) {
        let rest = iter::from_fn(|| requests.try_recv().ok());
        let mut onlookers = Vec::new();
        for request in first.into_iter().chain(rest).take(REQUESTS) {
            match request {
                Request::Snapshot(client) => onlookers.push(client),
                Request::TellProbes(client) => {
                    self.probes.departures.watch(true);
                    self.feed(Event::TellProbes(true));
                    // One that has gone meanwhile is noticed with the first probe.
                    let _ = client.send(());
                }
                Request::Execute(command, client) => {
                    let id = self.next_id;
                    self.next_id = self.next_id.wrapping_add(1);
                    self.waiting.insert(id, client);
                    self.feed(Event::Command { id, command });
                }
            }
        }
        // One is enough for all: they see what has been done by the time they are answered.
        if !onlookers.is_empty() {
            let shown = Shown::of(self.snapshot());
            for client in onlookers {
                drop(client.send(shown.clone()));
            }
        }
    }

    /// What there is to see of the engine, and of the daemon itself.
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            daemon: Some(snapshot::Daemon {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                started: self.started,
                resyncs: self.resyncs,
            }),
            ..self.engine.snapshot()
        }
    }

    fn feed(&mut self, event: Event) {
        self.feed_all(VecDeque::from([event]));
    }

    /// Feeds the engine with these events and with what comes of them.
    fn feed_all(&mut self, mut events: VecDeque<Event>) {
        let mut may_differ = false;
        while let Some(event) = events.pop_front() {
            may_differ |= !matches!(event, Event::Reply(_) | Event::Tick);
            let now = monotonic_now();
            self.remember_macs(now, &event);
            let noted = self.recorder.as_ref().map(|_| event.clone());
            let actions = self.engine.handle(now, event);
            if let (Some(recorder), Some(event)) = (&mut self.recorder, noted) {
                recorder.note(now, event, &actions);
            }
            let told: Vec<Action> = actions
                .iter()
                .filter(|action| matches!(action, Action::Log(_) | Action::Record(_)))
                .cloned()
                .collect();
            self.carry_out(now, actions, &mut events);
            // What is to be done goes before what is to be said.
            log::tell(&told, &mut self.causes);
        }
        if may_differ {
            self.carriers.watch(self.engine.tracked_links());
        }
    }

    /// Carries out in order what was `decided` then; probes that stand together leave together.
    fn carry_out(&mut self, decided: Time, actions: Vec<Action>, events: &mut VecDeque<Event>) {
        let mut probes = Vec::new();
        for action in actions {
            if !matches!(action, Action::Probe(_)) {
                self.probes.send(decided, &mem::take(&mut probes));
            }
            match action {
                Action::Apply(plan) => self.apply(&plan, events),
                Action::Probe(probe) => probes.push(probe),
                Action::Probed(probed) => {
                    let left = self.probes.departures.of(&probed);
                    if !self.told.watchers.tell(monotonic_now(), left, probed) {
                        self.probes.departures.watch(false);
                        events.push_back(Event::TellProbes(false));
                    }
                }
                Action::ReadNeighbours(links) => match neighbours(&links) {
                    Ok(found) => events.push_back(Event::Neighbours(found)),
                    Err(error) => {
                        tracing::debug!(target: TARGET, "cannot read neighbours: {error}");
                    }
                },
                Action::Announce(announcement) => {
                    tracing::debug!(
                        target: FAILOVER,
                        "announcing {:?} on {}", announcement.addresses, announcement.interface
                    );
                    for error in self.announcer.announce(&announcement) {
                        tracing::debug!(target: FAILOVER, "{error}");
                    }
                }
                Action::Enquire(enquiries) => {
                    let left = self.claims.enquire(&enquiries);
                    events.push_back(Event::Enquired { left });
                }
                Action::Listen(places) => self.claims.listen(places),
                // Said when everything of this moment is done.
                Action::Log(_) => {}
                Action::Record(record) => {
                    let event = self.told.history.add(monotonic_now(), record);
                    if let Some(hook) = &self.hook {
                        hook.tell(event);
                    }
                }
                Action::Save(saved) => {
                    self.saving.take(saved);
                    self.save();
                }
                Action::Answer { id, answer } => {
                    // A client that did not wait has its change all the same.
                    if let Some(client) = self.waiting.remove(&id) {
                        drop(client.answer.send(answer));
                        self.last_told = Some(client.told).filter(|_| self.engine.is_over());
                    }
                }
                Action::Observe => {
                    self.resyncs.doubt += 1;
                    self.observe(Vec::new(), events);
                }
            }
        }
        self.probes.send(decided, &probes);
    }

    /// Saves what is not saved yet, now or in a while.
    fn save(&mut self) {
        if !self.saving.save() {
            self.again_at.get_or_insert(monotonic_now() + AGAIN);
        }
    }

    fn reload(&mut self) {
        notify(&[NotifyState::Reloading]);
        tracing::info!("HUP received; reading the settings again");
        if let Some(configuration) = settings::again(&settings::files(), &self.options) {
            if configuration.recording != self.recording {
                tracing::warn!("record: takes effect when the daemon is started next");
            }
            if configuration.hook != self.hook_path {
                self.hook_path = configuration.hook;
                self.hook = Hook::start(self.hook_path.as_ref());
            }
            self.feed(Event::Settings(configuration.settings));
        }
        notify(&[NotifyState::Ready]);
    }

    fn dump(&self) {
        let counters = dump::Counters {
            unsent: self.probes.unsent,
            claims: self.claims.looked_at,
        };
        for line in dump::lines(&self.engine.snapshot(), counters) {
            tracing::info!("{line}");
        }
    }
}

/// Tells the service manager, if there is one. What it does not hear it finds out.
pub(crate) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}

/// Waits until the alarm rings.
async fn rings(alarm: &AsyncFd<Alarm>) -> io::Result<()> {
    alarm.readable().await?.clear_ready();
    Ok(())
}

/// Lets the runtime wait for a file descriptor.
#[expect(
    deprecated,
    reason = "the replacement is unsafe, as it believes any `AsRawFd`; what is watched here owns its \
              descriptor and keeps it as long as it lives"
)]
pub(crate) fn watched<T: AsRawFd>(owner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::new(owner)
}

/// Something that no two hosts share, so that their probes do not march in step.
fn seed(now: Time) -> u64 {
    let mut seed =
        u64::from(now.since_origin().subsec_nanos()) ^ u64::from(std::process::id()) << 32;
    if let Ok(id) = std::fs::read_to_string("/proc/sys/kernel/random/uuid") {
        for byte in id.bytes() {
            seed = seed.rotate_left(5) ^ u64::from(byte);
        }
    }
    seed
}
