//! The daemon of the network namespace the tool runs in.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use ipmp_api::interface::Event;
use ipmp_api::{CallError, Client, RunDirectory, saved};
use ipmp_core::kernel::{Route, Via};
use ipmp_core::plan::{Operation, Plan};
use ipmp_core::{Answer, Command, Engine, Family, InterfaceAddress, Snapshot};
use ipmp_linux::process::network_namespace_cookie;
use ipmp_linux::rtnl::Rtnl;
use nix::unistd::geteuid;

use crate::boot::Host;
use crate::daemon::{Daemon, Each, EachProbes, Failure};

/// The protocol number of routes that an administrator configured (`RTPROT_STATIC`).
const PROTOCOL_STATIC: u8 = 4;

/// The metric of IPv6 routes that come without one (`IP6_RT_PRIO_USER`).
const METRIC6: u32 = 1024;

/// How long a daemon that is ending may take connections without answering.
const ENDING: Duration = Duration::from_secs(1);

/// From one attempt to reach it to the next.
const AGAIN: Duration = Duration::from_millis(5);

/// Whether changes start the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first change starts it unless it runs.
    IfNeeded,
    /// It must be running.
    Never,
}

/// The daemon of this network namespace. Nothing is connected or started before it is needed.
#[derive(Debug)]
pub struct Local {
    start: Start,
    client: Option<Client>,
}

impl Local {
    /// The daemon, started by changes as `start` says.
    pub const fn new(start: Start) -> Self {
        Self {
            start,
            client: None,
        }
    }

    /// A connection to the daemon that runs.
    fn running(&mut self) -> Result<&mut Client, Failure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::connect().map_err(failure)?,
        };
        Ok(self.client.insert(client))
    }

    /// A connection to the daemon, which is started if need be.
    fn started(&mut self) -> Result<&mut Client, Failure> {
        if self.start == Start::Never || self.client.is_some() {
            return self.running();
        }
        let client = match Client::connect() {
            Err(CallError::NotRunning) if !geteuid().is_root() => {
                return Err(Failure::PermissionDenied);
            }
            Err(CallError::NotRunning) => ipmp_api::ensure_daemon()
                .map_err(|error| Failure::Unreachable(error.to_string()))?,
            client => client.map_err(failure)?,
        };
        Ok(self.client.insert(client))
    }
}

impl Local {
    /// Makes sure that the daemon, started if need be, is none that is just ending: such a one takes
    /// connections until its socket is closed, and answers nothing.
    fn await_alive(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            match self.started()?.ping() {
                Err(CallError::Closed) if began.elapsed() < ENDING => {
                    self.client = None;
                    thread::sleep(AGAIN);
                }
                pong => return self.or_disconnect(pong).map(drop),
            }
        }
    }

    /// What a call brought. After one that failed, a late answer to it would be taken for that to the
    /// next; so the next has a connection of its own.
    fn or_disconnect<T>(&mut self, outcome: Result<T, CallError>) -> Result<T, Failure> {
        outcome.map_err(|error| {
            self.client = None;
            failure(error)
        })
    }
}

impl Daemon for Local {
    fn execute(&mut self, command: Command) -> Result<Answer, Failure> {
        let answer = self.started()?.execute(&command);
        Ok(self.or_disconnect(answer)??)
    }

    fn tear_down(&mut self) -> Result<Answer, Failure> {
        self.await_alive()?;
        let answer = self.execute(Command::Teardown)?;
        // Whoever comes next is not to find one that is ending.
        if let Some(client) = self.client.take() {
            client.await_end().map_err(failure)?;
        }
        Ok(answer)
    }

    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        let began = Instant::now();
        loop {
            match self.running()?.snapshot() {
                // A daemon that is ending takes connections until its socket is closed. Then there is
                // none, or the next one.
                Err(CallError::Closed) if began.elapsed() < ENDING => {
                    self.client = None;
                    thread::sleep(AGAIN);
                }
                snapshot => return self.or_disconnect(snapshot),
            }
        }
    }

    fn view(&mut self) -> Result<Snapshot, Failure> {
        match self.snapshot() {
            Err(Failure::NotRunning) => {}
            seen => return seen,
        }
        // A state file that cannot be used is the daemon's to complain about when it starts.
        let saved = RunDirectory::of_this_namespace()
            .ok()
            // An inode number is given to another namespace once its own is gone.
            .filter(|directory| directory.is_of(network_namespace_cookie()))
            .and_then(|directory| saved::read(&directory.state()).ok().flatten());
        let kernel = Rtnl::open()
            .and_then(|mut rtnl| rtnl.observe())
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        Ok(Engine::view(saved, kernel))
    }

    fn events(&mut self) -> Result<Vec<Event>, Failure> {
        let events = self.running()?.events(None);
        self.or_disconnect(events)
    }

    fn follow(&mut self, each: Each<'_>) -> Result<(), Failure> {
        // This one is used up by following.
        let client = Client::connect().map_err(failure)?;
        client.follow(None, each).map_err(failure)
    }

    fn probes(&mut self, each: EachProbes<'_>) -> Result<(), Failure> {
        let client = Client::connect().map_err(failure)?;
        client.probes(each).map_err(failure)
    }
}

impl Host for Local {
    fn add_default_route(&mut self, index: u32, gateway: IpAddr) -> Result<(), String> {
        let mut rtnl = Rtnl::open().map_err(|error| error.to_string())?;
        let kernel = rtnl.observe().map_err(|error| error.to_string())?;
        let family = Family::of(gateway);
        let destination = InterfaceAddress::new(family.unspecified(), 0);
        let is_there = kernel.routes.iter().any(|route| {
            let through =
                matches!(route.via, Via::Link { gateway: Some(there), .. } if there == gateway);
            route.destination == destination && through
        });
        if is_there {
            return Ok(());
        }
        let route = Route {
            destination,
            metric: if family == Family::Inet { 0 } else { METRIC6 },
            protocol: PROTOCOL_STATIC,
            via: Via::Link {
                index,
                gateway: Some(gateway),
            },
            source: None,
        };
        let plan = Plan {
            operations: vec![Operation::AddRoute(route)],
        };
        let results = rtnl.apply(&plan).into_iter();
        results
            .collect::<Result<(), _>>()
            .map_err(|error| error.text)
    }
}

fn failure(error: CallError) -> Failure {
    match error {
        CallError::NotRunning => Failure::NotRunning,
        CallError::PermissionDenied => Failure::PermissionDenied,
        CallError::Busy => Failure::Busy,
        other => Failure::Unreachable(other.to_string()),
    }
}
