//! The little world each test has: this thread's namespace, another one, and cables between them.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use ipmp_core::detect::{Echo, Solicitation};
use ipmp_core::kernel::{Change, Hop, Kernel, Nexthop, PROTOCOL, Route, TABLE_MAIN, Via};
use ipmp_core::plan::{NewAddress, Operation, OperationError, Plan};
use ipmp_core::{Family, InterfaceAddress, InterfaceName};
use ipmp_linux::netns::NetNs;
use ipmp_linux::probe::{ArpSocket, EchoSocket, NeighbourSocket};
use ipmp_linux::rtnl::{Rtnl, VethEnd};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};

/// How long something may take that takes milliseconds when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A test: its name and what it does.
pub(crate) type Test = (&'static str, fn(World));

/// Two namespaces. The calling thread is in the near one.
pub(crate) struct World {
    /// Here.
    pub(crate) near: Rtnl,
    /// There; its sysctls are not to be asked for from here.
    pub(crate) far: Rtnl,
    /// The other namespace.
    pub(crate) far_namespace: NetNs,
}

impl World {
    /// Takes the calling thread to a new namespace and makes another.
    pub(crate) fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let far_namespace = NetNs::create().unwrap();
        let open = || Rtnl::open().map_err(io::Error::other);
        Self {
            near: open().unwrap(),
            far: far_namespace.run(open).unwrap(),
            far_namespace,
        }
    }

    /// Lays a cable: link `near` here, `far` there, both up. Gives their indices.
    pub(crate) fn cable(&mut self, near: &str, far: &str) -> (u32, u32) {
        let here = NetNs::current().unwrap();
        self.near
            .create_veth(
                &end(&name(near), here.as_fd()),
                &end(&name(far), self.far_namespace.as_fd()),
            )
            .unwrap();
        let ends = (
            self.near.link_index(&name(near)).unwrap().unwrap(),
            self.far.link_index(&name(far)).unwrap().unwrap(),
        );
        self.near.set_link_up(ends.0, true).unwrap();
        self.far.set_link_up(ends.1, true).unwrap();
        until(
            &mut self.near,
            |change| matches!(change, Change::Link(link) if link.index == ends.0 && link.is_running()),
        );
        ends
    }

    /// Gives the far link an address with its kernel-made route.
    pub(crate) fn far_address(&mut self, index: u32, text: &str) {
        must(&mut self.far, [add_address(index, text)]);
    }

    /// The IPv4 neighbours whose hardware address a far link knows, as the kernel prints them.
    pub(crate) fn far_neighbours(&self, link: &str) -> String {
        let mut ip = Command::new("ip");
        ip.args(["-4", "neighbour", "show", "nud", "all", "dev", link]);
        let shown = self.far_namespace.run(|| ip.output()).unwrap();
        assert!(shown.status.success(), "{shown:?}");
        let shown = String::from_utf8_lossy(&shown.stdout);
        shown
            .lines()
            .filter(|line| line.contains("lladdr"))
            .collect()
    }
}

/// A socket that sends many probes at a time.
pub(crate) trait Sends<P> {
    /// As the socket's own.
    fn send_all(&mut self, probes: &[&P], unsent: impl FnMut(&P, io::Error));

    /// Sends one probe.
    fn send(&mut self, probe: &P) -> io::Result<()> {
        let mut result = Ok(());
        self.send_all(&[probe], |_, error| result = Err(error));
        result
    }
}

impl Sends<Echo> for EchoSocket {
    fn send_all(&mut self, probes: &[&Echo], unsent: impl FnMut(&Echo, io::Error)) {
        Self::send_all(self, probes, unsent);
    }
}

impl Sends<Solicitation> for ArpSocket {
    fn send_all(&mut self, probes: &[&Solicitation], unsent: impl FnMut(&Solicitation, io::Error)) {
        Self::send_all(self, probes, unsent);
    }
}

impl Sends<Solicitation> for NeighbourSocket {
    fn send_all(&mut self, probes: &[&Solicitation], unsent: impl FnMut(&Solicitation, io::Error)) {
        Self::send_all(self, probes, unsent);
    }
}

/// An end of a cable of which the kernel chooses what it can.
pub(crate) fn end<'a>(name: &'a InterfaceName, namespace: BorrowedFd<'a>) -> VethEnd<'a> {
    VethEnd {
        name,
        namespace,
        mac: None,
        index: None,
    }
}

/// Carries out operations all of which succeed.
pub(crate) fn must(rtnl: &mut Rtnl, operations: impl IntoIterator<Item = Operation>) {
    let plan = Plan {
        operations: operations.into_iter().collect(),
    };
    for (operation, result) in plan.operations.iter().zip(rtnl.apply(&plan)) {
        assert_eq!(result, Ok(()), "{operation}");
    }
}

/// Carries out one operation that fails.
pub(crate) fn fails(rtnl: &mut Rtnl, operation: Operation) -> OperationError {
    let plan = Plan {
        operations: vec![operation],
    };
    rtnl.apply(&plan).remove(0).unwrap_err()
}

/// Waits for a change and gives all that came until then, it included.
pub(crate) fn until(rtnl: &mut Rtnl, wanted: impl Fn(&Change) -> bool) -> Vec<Change> {
    let start = Instant::now();
    let mut seen = Vec::new();
    while start.elapsed() < PATIENCE {
        seen.extend(rtnl.changes().unwrap());
        if seen.iter().any(&wanted) {
            return seen;
        }
        wait_readable(&rtnl, PATIENCE);
    }
    panic!("not among {seen:#?}");
}

/// Waits until there is something to read; not longer than `within`.
pub(crate) fn wait_readable(fd: &impl AsFd, within: Duration) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::try_from(within).unwrap()).unwrap() > 0
}

/// Follows the changes until `kernel` is what a fresh look shows, as it must soon be.
pub(crate) fn keeps_step(rtnl: &mut Rtnl, kernel: &mut Kernel) {
    let mut other = Rtnl::open().unwrap();
    let start = Instant::now();
    loop {
        match rtnl.changes() {
            Ok(changes) => take(kernel, changes),
            Err(overrun) => panic!("{overrun}"),
        }
        let real = other.observe().unwrap();
        if *kernel == real {
            return;
        }
        if start.elapsed() > PATIENCE {
            assert_eq!(*kernel, real);
        }
        wait_readable(rtnl, Duration::from_millis(50));
    }
}

/// Applies changes.
pub(crate) fn take(kernel: &mut Kernel, changes: Vec<Change>) {
    for change in changes {
        kernel.apply(change);
    }
}

/// The routes of the main table to `destination`, in the kernel's order.
pub(crate) fn routes_to(destination: &str) -> Vec<Route> {
    routes_of(TABLE_MAIN, destination)
}

/// The routes of a table to `destination`, in the kernel's order.
pub(crate) fn routes_of(table: u32, destination: &str) -> Vec<Route> {
    let mut rtnl = Rtnl::open().unwrap();
    rtnl.routes_in_order(table, net(destination)).unwrap()
}

pub(crate) fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `192.0.2.1/24` as an address, `192.0.2.0/24` as a destination.
pub(crate) fn net(text: &str) -> InterfaceAddress {
    let (ip, prefix) = text.split_once('/').unwrap();
    InterfaceAddress::new(ip.parse().unwrap(), prefix.parse().unwrap())
}

pub(crate) fn new_address(index: u32, text: &str) -> NewAddress {
    NewAddress {
        index,
        address: net(text),
        broadcast: None,
        label: None,
        deprecated: false,
        no_prefix_route: false,
        plain: None,
    }
}

pub(crate) fn add_address(index: u32, text: &str) -> Operation {
    Operation::AddAddress(new_address(index, text))
}

pub(crate) fn hop(id: u32, index: u32, gateway: Option<&str>) -> Nexthop {
    Nexthop {
        id,
        protocol: PROTOCOL,
        hop: Hop::Link {
            family: Family::Inet,
            index,
            gateway: gateway.map(ip),
        },
    }
}

pub(crate) fn group(id: u32, members: &[u32]) -> Nexthop {
    Nexthop {
        id,
        protocol: PROTOCOL,
        hop: Hop::Group(members.to_vec()),
    }
}

pub(crate) fn route(destination: &str, metric: u32, via: Via) -> Route {
    Route {
        table: TABLE_MAIN,
        destination: net(destination),
        metric,
        protocol: PROTOCOL,
        via,
        source: None,
    }
}
