//! From a called program to a running daemon, and back out again.

use std::io::{self, Write as _};
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use ipmp_api::{Client, RunDirectory, saved};
use ipmp_core::asked::Saved;
use ipmp_linux::process::{Detached, Launch, detach, network_namespace_cookie};
use ipmp_linux::realtime::be_on_time;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;
use sd_notify::NotifyState;
use tokio::net::UnixListener;

use crate::driver::{Driver, End, notify};
use crate::instance::{Instance, InstanceError};
use crate::log::TIMER;
use crate::options::Options;
use crate::saving::Saving;
use crate::signals::Signals;
use crate::{NAME, log, settings};

/// How long a daemon that found another one waits for that one to be ready, or to end.
const OTHER_READY: Duration = Duration::from_secs(5);

/// How often it asks.
const OTHER_ASKED: Duration = Duration::from_millis(20);

/// Runs the daemon, or starts it and waits until it is ready.
pub(crate) fn run(options: &Options) -> ExitCode {
    let run = match RunDirectory::of_this_namespace() {
        Ok(run) => run,
        Err(error) => return failed(&error.to_string()),
    };
    // Before anything is locked or bound: both are the daemon's, not the launcher's.
    let launch = if options.stays() {
        None
    } else {
        match detach() {
            Ok(Detached::Launcher(Ok(()))) => return ExitCode::SUCCESS,
            Ok(Detached::Launcher(Err(reason))) => return failed(&reason),
            Ok(Detached::Daemon(launch)) => Some(launch),
            Err(error) => return failed(&format!("cannot detach: {error}")),
        }
    };
    match be(options, &run, launch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error:#}")),
    }
}

fn failed(reason: &str) -> ExitCode {
    complain(reason);
    ExitCode::FAILURE
}

/// Says something on standard error. Where that is closed there is nobody to hear it.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{NAME}: {text}");
}

/// Is the daemon until it ends.
fn be(options: &Options, run: &RunDirectory, mut launch: Option<Launch>) -> anyhow::Result<()> {
    let ended = prepare(options, run).and_then(|prepared| match prepared {
        Some(daemon) => daemon.run(&mut launch),
        None => Ok(()),
    });
    // What failed before it was ready is said by the launcher; later, in the log.
    match (launch, ended) {
        (Some(launch), Ok(())) => launch.ready().context("cannot let go of the terminal"),
        (Some(launch), Err(error)) => {
            tracing::error!("{error:#}");
            launch.gave_up(&format!("{error:#}"));
            Ok(())
        }
        (None, ended) => ended,
    }
}

/// What the daemon has when it is the daemon.
struct Daemon {
    options: Options,
    run: RunDirectory,
    instance: Instance,
    listener: StdListener,
}

/// Becomes the daemon of the namespace; `None` if another one is, which is no failure: what the
/// caller wanted is there.
fn prepare(options: &Options, run: &RunDirectory) -> anyhow::Result<Option<Daemon>> {
    // Whatever whoever called us has: others are to read the log, and not to write anything.
    umask(Mode::from_bits_truncate(0o022));
    let usable = run.create();
    usable.context(if geteuid().is_root() {
        "cannot use the run directory"
    } else {
        "only root may run it: cannot use the run directory"
    })?;
    log::start(options.debug, options.mask, run.log());
    let Some(instance) = claim(run)? else {
        return Ok(None);
    };
    Ok(Some(Daemon {
        listener: instance.listen()?,
        instance,
        options: options.clone(),
        run: run.clone(),
    }))
}

/// Becomes the daemon of the namespace; `None` if there is one to talk to. One that is there and does
/// not listen is about to, or about to end: then this one takes its place.
fn claim(run: &RunDirectory) -> Result<Option<Instance>, InstanceError> {
    let start = Instant::now();
    loop {
        match Instance::claim(run) {
            Err(error @ InstanceError::Other) => {
                if Client::connect_to(&run.socket()).is_ok() {
                    tracing::error!("{error}; this one ends without harm");
                    return Ok(None);
                }
                if start.elapsed() > OTHER_READY {
                    return Err(error);
                }
                sleep(OTHER_ASKED);
            }
            claimed => return claimed.map(Some),
        }
    }
}

impl Daemon {
    fn run(self, launch: &mut Option<Launch>) -> anyhow::Result<()> {
        let configuration = settings::at_start(&settings::files(), &self.options);
        if self.run.dedicate(network_namespace_cookie())? {
            tracing::warn!("forgot what was saved for an earlier network namespace of this number");
        }
        let saved = read_saved(&self.run.state())?;
        for refused in be_on_time() {
            tracing::debug!(target: TIMER, "{refused}");
        }
        drop_capabilities()?;
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the event loop")?
            .block_on(async {
                let signals = Signals::take().context("cannot take signals")?;
                let saving = Saving::to(self.run.state());
                let driver = Driver::new(self.options.clone(), saving, configuration, saved)?;
                if self.options.adopt && !driver.has_work() {
                    tracing::info!("no interface is to be watched");
                    return Ok(());
                }
                let listener = UnixListener::from_std(self.listener)
                    .context("cannot listen on the control socket")?;
                tracing::info!("version {} is running", env!("CARGO_PKG_VERSION"));
                if let Some(launch) = launch.take() {
                    launch.ready().context("cannot let go of the terminal")?;
                }
                notify(&[NotifyState::Ready]);
                let end = driver.run(listener, signals).await;
                notify(&[NotifyState::Stopping]);
                match end {
                    End::Signal => tracing::info!("ending; addresses stay where they are"),
                    End::TornDown => {
                        // Nothing stands in it, if the disk had room for that.
                        if let Err(error) = saved::remove(&self.run.state()) {
                            tracing::error!("cannot remove the saved state: {error}");
                        }
                        tracing::info!("ending; everything is as it was before");
                    }
                }
                drop(self.instance);
                Ok(())
            })
    }
}

/// What an earlier daemon left. What cannot be used is kept for looking into, and not taken for
/// nothing: what the kernel holds is adopted then.
fn read_saved(path: &Path) -> anyhow::Result<Option<Saved>> {
    match saved::read(path) {
        Ok(saved) => Ok(saved),
        Err(error) => {
            let aside = saved::set_aside(path)
                .with_context(|| format!("{error}; and it cannot be set aside"))?;
            tracing::error!("{error}; set aside as {}", aside.display());
            Ok(None)
        }
    }
}

/// Keeps what netlink, sysctls and raw sockets need, of all that root may. What it starts does not get
/// more either, whatever file it is: root's programs have what the bounding set leaves, and none is
/// given more for its set-user-id bit or its file's capabilities.
///
/// An error means that this process may do more than it should. What concerns other programs only is
/// done as far as whoever started this one lets it: without `CAP_SETPCAP` the bounding set stays.
///
/// To be called by the only thread there is: these are a thread's own, and threads have those of the
/// one that made them.
fn drop_capabilities() -> anyhow::Result<()> {
    let keep: CapsHashSet = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW].into();
    for (what, done) in [
        // While there is still the right to.
        ("the bounding set", bound(&keep)),
        ("the ambient set", caps::clear(None, CapSet::Ambient)),
        (
            "the inheritable set",
            caps::clear(None, CapSet::Inheritable),
        ),
    ] {
        if let Err(error) = done {
            tracing::warn!("cannot take capabilities out of {what}: {error}");
        }
    }
    if let Err(errno) = set_no_new_privs() {
        tracing::warn!("PR_SET_NO_NEW_PRIVS: {errno}");
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        reduce(set, &keep).with_context(|| format!("cannot drop {set:?} capabilities"))?;
    }
    Ok(())
}

/// Takes all others out of the bounding set. A capability that this kernel does not know is not in it.
fn bound(keep: &CapsHashSet) -> Result<(), CapsError> {
    for capability in caps::all().difference(keep) {
        if caps::has_cap(None, CapSet::Bounding, *capability).unwrap_or(false) {
            caps::drop(None, CapSet::Bounding, *capability)?;
        }
    }
    Ok(())
}

/// Takes all others out of a set of this thread, and looks whether they are out.
fn reduce(set: CapSet, keep: &CapsHashSet) -> anyhow::Result<()> {
    let had = caps::read(None, set)?;
    caps::set(None, set, &had.intersection(keep).copied().collect())?;
    let has = caps::read(None, set)?;
    anyhow::ensure!(has.is_subset(keep), "there still are {has:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_touch_the_bounding_set_drops_the_rest() {
        // Capabilities are a thread's own.
        let dropped = std::thread::spawn(|| {
            for set in [CapSet::Effective, CapSet::Permitted] {
                caps::drop(None, set, Capability::CAP_SETPCAP).unwrap();
            }
            let bounding = caps::read(None, CapSet::Bounding).unwrap();
            drop_capabilities().unwrap();
            assert_eq!(caps::read(None, CapSet::Bounding).unwrap(), bounding);
            let keep: CapsHashSet = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW].into();
            for set in [CapSet::Effective, CapSet::Permitted] {
                assert!(caps::read(None, set).unwrap().is_subset(&keep), "{set:?}");
            }
            for set in [CapSet::Ambient, CapSet::Inheritable] {
                assert_eq!(caps::read(None, set).unwrap(), CapsHashSet::new());
            }
            assert!(nix::sys::prctl::get_no_new_privs().unwrap());
        });
        dropped.join().unwrap();
    }
}
