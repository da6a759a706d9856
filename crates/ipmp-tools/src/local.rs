//! The daemon of the network namespace the tool runs in.

mod asking;

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;

use asking::{Asking, Door};
use ipmp_api::interface::Event;
use ipmp_api::{CallError, Client, RunDirectory, saved};
use ipmp_core::kernel::{Route, TABLE_MAIN, Via};
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

/// Whether changes start the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first change starts it unless it runs, and whatever is asked after that, if it was killed.
    IfNeeded,
    /// It must be running.
    Never,
}

/// The daemon of this network namespace. Nothing is connected or started before it is needed.
#[derive(Debug)]
pub struct Local {
    asking: Asking<Namespace>,
}

impl Local {
    /// The daemon, started by changes as `start` says.
    pub const fn new(start: Start) -> Self {
        Self {
            asking: Asking::new(Namespace, start),
        }
    }
}

/// Where the daemon of this network namespace is found.
#[derive(Debug)]
struct Namespace;

impl Door for Namespace {
    fn connect(&self) -> Result<Client, CallError> {
        Client::connect()
    }

    fn ensure(&self) -> Result<Client, Failure> {
        if !geteuid().is_root() {
            return Err(Failure::PermissionDenied);
        }
        ipmp_api::ensure_daemon().map_err(|error| Failure::Unreachable(error.to_string()))
    }
}

impl Local {
    /// A connection for what is told to whoever reads our output.
    fn following(&mut self) -> Result<Client, Failure> {
        let mut client = self.asking.connection()?;
        if let Ok(output) = io::stdout().as_fd().try_clone_to_owned() {
            client.set_audience(output);
        }
        Ok(client)
    }
}

impl Daemon for Local {
    fn execute(&mut self, command: Command) -> Result<Answer, Failure> {
        self.asking.execute(&command)
    }

    fn tear_down(&mut self) -> Result<Answer, Failure> {
        let answer = self.execute(Command::Teardown)?;
        // Whoever comes next is not to find one that is ending.
        if let Some(client) = self.asking.take() {
            client.await_end()?;
        }
        Ok(answer)
    }

    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        self.asking.ask(Client::snapshot)
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
        self.asking.ask(|client| client.events(None))
    }

    fn follow(&mut self, each: Each<'_>) -> Result<(), Failure> {
        Ok(self.following()?.follow(None, each)?)
    }

    fn probes(&mut self, each: EachProbes<'_>) -> Result<(), Failure> {
        Ok(self.following()?.probes(each)?)
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
            route.table == TABLE_MAIN && route.destination == destination && through
        });
        if is_there {
            return Ok(());
        }
        let route = Route {
            table: TABLE_MAIN,
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
