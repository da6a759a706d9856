//! A host in a test: the engine on top of a model of the kernel, with virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::action::Announcement;
use crate::asked::Saved;
use crate::command::{Answer, Command, Refusal};
use crate::detect::{Advertisement, EchoReply, Neighbour, Probe, Reply};
use crate::kernel::{Address, Change, Form, Hop, Link, LinkKind, Sysctl, Via};
use crate::plan::{Operation, OperationError, Plan};
use crate::{
    Action, Engine, Event, Family, Flags, InterfaceAddress, Kernel, LogicalName, MacAddress,
    Record, Settings, Time,
};

/// A host with an engine that runs, or was killed.
pub(super) struct Host {
    pub(super) now: Time,
    pub(super) engine: Engine,
    pub(super) kernel: Kernel,
    pub(super) saved: Option<Saved>,
    pub(super) settings: Settings,
    pub(super) log: Vec<String>,
    pub(super) announced: Vec<Announcement>,
    pub(super) records: Vec<Record>,
    /// Links whose probes are swallowed.
    pub(super) silent: BTreeSet<String>,
    /// Every operation that was carried out, as text.
    pub(super) operations: Vec<String>,
    /// The kernel refuses operations whose text has this in it.
    pub(super) refused: Vec<String>,
    /// Links which, after some operation, a route led through whose source would have been a test
    /// address.
    pub(super) bad_sources: BTreeSet<String>,
    /// The daemon is killed before this many more operations are done.
    pub(super) killed_after: Option<usize>,
    answers: BTreeMap<u64, Result<Answer, Refusal>>,
    replies: VecDeque<(Time, Reply)>,
    next_index: u32,
    next_id: u64,
}

impl Host {
    /// A host with these interfaces, up and with carrier, each with its own hardware address.
    pub(super) fn new(names: &[&str]) -> Self {
        let mut host = Self {
            now: Time::from_millis(1000),
            engine: Engine::new(Settings::default(), None, 1),
            kernel: Kernel::default(),
            saved: None,
            settings: Settings::default(),
            log: Vec::new(),
            announced: Vec::new(),
            records: Vec::new(),
            silent: BTreeSet::new(),
            operations: Vec::new(),
            refused: Vec::new(),
            bad_sources: BTreeSet::new(),
            killed_after: None,
            answers: BTreeMap::new(),
            replies: VecDeque::new(),
            next_index: 1,
            next_id: 1,
        };
        host.plug("lo");
        for name in names {
            host.plug(name);
        }
        host.restart();
        host
    }

    /// A new daemon on the host, with what the last one saved.
    pub(super) fn restart(&mut self) {
        self.killed_after = None;
        self.replies.clear();
        self.records.clear();
        self.engine = Engine::new(self.settings.clone(), self.saved.clone(), 1);
        self.feed(Event::Kernel(vec![Change::Resync(self.kernel.clone())]));
    }

    pub(super) fn configure(&mut self, settings: Settings) {
        self.settings = settings.clone();
        self.feed(Event::Settings(settings));
    }

    /// A device appears.
    pub(super) fn plug(&mut self, name: &str) {
        let index = self.next_index;
        self.next_index += 1;
        let number = u8::try_from(index).unwrap();
        let loopback = name == "lo";
        let link = Link {
            index,
            name: name.parse().unwrap(),
            mac: Some(MacAddress([8, 0, 0x20, 0xc0, 0xff, number])).filter(|_| !loopback),
            permanent_mac: None,
            mtu: if loopback { 65536 } else { 1500 },
            up: true,
            carrier: true,
            kind: if loopback {
                LinkKind::Loopback
            } else {
                LinkKind::Broadcast
            },
        };
        for sysctl in Sysctl::ALL {
            self.kernel.sysctls.insert((index, sysctl), 0);
        }
        self.change(Change::Link(link));
        if loopback {
            self.change(Change::Address(Address {
                index,
                address: InterfaceAddress::new("127.0.0.1".parse().unwrap(), 8),
                broadcast: None,
                label: Some("lo".to_owned()),
                protocol: 0,
                deprecated: false,
                secondary: false,
                no_prefix_route: false,
                duplicate: false,
                dynamic: false,
                form: Form::default(),
            }));
        }
    }

    /// A device disappears.
    pub(super) fn unplug(&mut self, name: &str) {
        let index = self.index(name);
        self.change(Change::LinkGone(index));
    }

    /// A cable is pulled or plugged.
    pub(super) fn carrier(&mut self, name: &str, carrier: bool) {
        let mut link = self.kernel.link(&name.parse().unwrap()).unwrap().clone();
        if !carrier {
            // The driver asks now and then, and tells what it saw before it tells of a loss.
            let running = self.kernel.links.values().filter(|link| link.is_running());
            let asked = self.now - Duration::from_millis(40);
            let seen = running.map(|link| (link.index, asked)).collect();
            self.feed(Event::Carriers(seen));
        }
        link.carrier = carrier;
        self.change(Change::Link(link));
    }

    /// Something happens in the kernel, and netlink tells.
    pub(super) fn change(&mut self, change: Change) {
        self.changes(vec![change]);
    }

    /// Several things happen in the kernel before anybody is told.
    pub(super) fn changes(&mut self, changes: Vec<Change>) {
        for change in &changes {
            self.kernel.apply(change.clone());
        }
        self.feed(Event::Kernel(changes));
    }

    pub(super) fn index(&self, name: &str) -> u32 {
        self.kernel.link(&name.parse().unwrap()).unwrap().index
    }

    /// Types a command.
    pub(super) fn ask(&mut self, command: Command) -> Result<Answer, Refusal> {
        let id = self.begin(command);
        // A daemon that was killed answers nothing.
        let killed = self.killed_after == Some(0);
        let silence = Err(Refusal::Invalid("no answer".to_owned()));
        self.answers
            .remove(&id)
            .or(killed.then_some(silence))
            .expect("answered at once")
    }

    /// Types a command that may take its time; its number.
    pub(super) fn begin(&mut self, command: Command) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.feed(Event::Command { id, command });
        id
    }

    /// The answer to it, if there is one by now.
    pub(super) fn answer(&mut self, id: u64) -> Option<Result<Answer, Refusal>> {
        self.answers.remove(&id)
    }

    /// Types words of `ifconfig`, one command each: enough of them for tests.
    pub(super) fn ifconfig(&mut self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let mut name: LogicalName = words.next().unwrap().parse().unwrap();
        let physical = name.interface.clone();
        let mut family = Family::Inet;
        let mut said = String::new();
        while let Some(word) = words.next() {
            let flag = |flag, on| Command::SetFlag {
                logical: name.clone(),
                family,
                flag,
                on,
            };
            let command = match word {
                "inet6" => {
                    family = Family::Inet6;
                    continue;
                }
                "plumb" => Command::Plumb {
                    logical: name.clone(),
                    family,
                    absent: true,
                },
                "unplumb" => Command::Unplumb {
                    logical: name.clone(),
                    family,
                },
                "up" => flag(Flags::UP, true),
                "down" => flag(Flags::UP, false),
                "deprecated" => flag(Flags::DEPRECATED, true),
                "-failover" => flag(Flags::NOFAILOVER, true),
                "failover" => flag(Flags::NOFAILOVER, false),
                "standby" => Command::SetStandby {
                    interface: physical.clone(),
                    on: true,
                },
                "-standby" => Command::SetStandby {
                    interface: physical.clone(),
                    on: false,
                },
                "group" => Command::SetGroup {
                    interface: physical.clone(),
                    group: words
                        .next()
                        .filter(|name| *name != "none")
                        .map(|g| g.parse().unwrap()),
                },
                "addif" => Command::AddLogical {
                    interface: physical.clone(),
                    address: address(words.next().unwrap()),
                },
                "removeif" => Command::RemoveAddress {
                    interface: physical.clone(),
                    address: words.next().unwrap().parse().unwrap(),
                },
                "offline" => Command::Offline {
                    interface: physical.clone(),
                },
                "online" => Command::Online {
                    interface: physical.clone(),
                },
                ip => Command::SetAddress {
                    logical: name.clone(),
                    address: address(ip),
                },
            };
            match self.ask(command) {
                Ok(Answer::Created(created)) => {
                    write!(said, "{created}").unwrap();
                    name = created;
                }
                Ok(Answer::Done | Answer::AlreadyExists) => {}
                Err(refusal) => return format!("{word}: {refusal}"),
            }
        }
        said
    }

    /// Virtual time passes.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let reply = self.replies.front().map(|&(at, _)| at);
            let next = [self.engine.next_deadline(), reply]
                .into_iter()
                .flatten()
                .min();
            let Some(at) = next.filter(|&at| at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if reply.is_some_and(|due| due <= self.now) {
                if let Some((_, reply)) = self.replies.pop_front() {
                    self.feed(Event::Reply(reply));
                }
            } else {
                self.feed(Event::Tick);
            }
        }
        self.now = end;
    }

    /// One line for each logical that has an address or flags worth seeing.
    pub(super) fn list(&self) -> String {
        let mut text = String::new();
        for interface in self
            .engine
            .snapshot()
            .interfaces
            .iter()
            .filter(|i| !i.loopback)
        {
            for logical in &interface.logicals {
                writeln!(
                    text,
                    "{} {:x} {}",
                    logical.name, logical.flags.0, logical.address.ip
                )
                .unwrap();
            }
        }
        text
    }

    /// On which links the kernel has an address.
    pub(super) fn holders(&self, ip: &str) -> Vec<String> {
        let ip: IpAddr = ip.parse().unwrap();
        self.kernel
            .addresses
            .values()
            .filter(|address| address.address.ip == ip)
            .map(|address| self.kernel.links[&address.index].name.to_string())
            .collect()
    }

    /// Whether something is logged; the log is read up to it.
    pub(super) fn logged(&mut self, text: &str) -> bool {
        let found = self.log.iter().position(|line| line.contains(text));
        if let Some(found) = found {
            self.log.drain(..=found);
        }
        found.is_some()
    }

    fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        let mut rounds = 0;
        while let Some(event) = events.pop_front() {
            rounds += 1;
            assert!(rounds < 1000, "the engine goes round in circles: {event:?}");
            for action in self.engine.handle(self.now, event) {
                match action {
                    Action::Apply(plan) => match self.apply(plan) {
                        Some(news) => events.extend(news),
                        None => return,
                    },
                    Action::Probe(probe) => self.answer_probe(&probe),
                    Action::Probed(probed) => panic!("nobody asked for {probed:?}"),
                    Action::ReadNeighbours(links) => {
                        let known = links.into_iter().map(|index| Neighbour {
                            index,
                            address: "192.168.0.2".parse().unwrap(),
                        });
                        events.push_back(Event::Neighbours(known.collect()));
                    }
                    Action::Announce(announcement) => self.announced.push(announcement),
                    Action::Record(record) => self.records.push(record),
                    Action::Log(message) => self.log.push(message.to_string()),
                    Action::Save(saved) => {
                        let text = serde_json::to_string(&saved).unwrap();
                        self.saved = Some(serde_json::from_str(&text).unwrap());
                    }
                    Action::Answer { id, answer } => {
                        self.answers.insert(id, answer);
                    }
                    Action::Observe => {
                        let kernel = self.kernel.clone();
                        events.push_back(Event::Kernel(vec![Change::Resync(kernel)]));
                    }
                }
            }
        }
    }

    /// Carries out a plan; the events that come of it, or nothing if the daemon was killed.
    fn apply(&mut self, plan: Plan) -> Option<Vec<Event>> {
        let mut told = Vec::new();
        let mut results = Vec::new();
        for operation in plan.operations {
            if let Some(left) = &mut self.killed_after {
                if *left == 0 {
                    return None;
                }
                *left -= 1;
            }
            self.operations.push(operation.to_string());
            let (changes, result) = if self.refuses(&operation) {
                (
                    Vec::new(),
                    Err(OperationError {
                        errno: 1,
                        text: "refused".to_owned(),
                    }),
                )
            } else {
                self.operate(&operation)
            };
            for change in changes {
                self.kernel.apply(change.clone());
                told.push(change);
            }
            let bad = self.links_with_bad_source();
            self.bad_sources.extend(bad);
            results.push(result);
        }
        Some(vec![Event::Kernel(told), Event::Applied(results)])
    }

    /// Links which a route of ours leads through, naming no source, and whose first IPv4 address is one
    /// for tests.
    fn links_with_bad_source(&self) -> Vec<String> {
        let routes = self.kernel.routes.iter();
        let unnamed =
            routes.filter(|route| route.destination.ip.is_ipv4() && route.source.is_none());
        let groups = unnamed.filter_map(|route| match route.via {
            Via::Nexthop(id) => Some(&self.kernel.nexthops[&id].hop),
            Via::Link { .. } | Via::Other => None,
        });
        let members = groups.flat_map(|hop| match hop {
            Hop::Group(members) => members.clone(),
            Hop::Link { .. } => Vec::new(),
        });
        let links = members.filter_map(|id| match self.kernel.nexthops[&id].hop {
            Hop::Link { index, .. } => Some(index),
            Hop::Group(_) => None,
        });
        links
            .filter(|&index| {
                self.kernel
                    .addresses_on(index)
                    .any(|there| there.address.ip.is_ipv4() && there.deprecated && !there.secondary)
            })
            .map(|index| self.kernel.links[&index].name.to_string())
            .collect()
    }

    fn refuses(&self, operation: &Operation) -> bool {
        let text = operation.to_string();
        self.refused.iter().any(|refused| text.contains(refused))
    }

    /// What the kernel does for an operation.
    fn operate(&mut self, operation: &Operation) -> (Vec<Change>, Result<(), OperationError>) {
        let fail = |errno, text: &str| {
            (
                Vec::new(),
                Err(OperationError {
                    errno,
                    text: text.to_owned(),
                }),
            )
        };
        let changes = match operation {
            Operation::AddAddress(new) => {
                if !self.kernel.links.contains_key(&new.index) {
                    return fail(19, "No such device");
                }
                let secondary = self.kernel.addresses_on(new.index).any(|there| {
                    there.address != new.address
                        && !there.secondary
                        && there.address.family() == Family::Inet
                        && there.address.subnet() == new.address.subnet()
                });
                let there = self.kernel.addresses.get(&(new.index, new.address));
                if let Some(there) = there.filter(|_| new.address.family() == Family::Inet) {
                    // All else stays as it is.
                    return (
                        vec![Change::Address(Address {
                            protocol: new
                                .plain
                                .map_or(crate::kernel::PROTOCOL, |plain| plain.protocol),
                            deprecated: new.deprecated,
                            ..there.clone()
                        })],
                        Ok(()),
                    );
                }
                vec![Change::Address(Address {
                    index: new.index,
                    address: new.address,
                    broadcast: new.broadcast,
                    label: new.label.clone(),
                    protocol: new
                        .plain
                        .map_or(crate::kernel::PROTOCOL, |plain| plain.protocol),
                    deprecated: new.deprecated,
                    secondary,
                    no_prefix_route: new.no_prefix_route,
                    duplicate: false,
                    dynamic: false,
                    form: new.plain.map_or(
                        Form {
                            nodad: new.address.family() == Family::Inet6,
                            ..Form::default()
                        },
                        |plain| plain.form,
                    ),
                })]
            }
            Operation::RemoveAddress { index, address } => self.remove_address(*index, *address),
            Operation::SetNexthop(nexthop) => {
                let links = match &nexthop.hop {
                    Hop::Link { index, .. } => self.kernel.links.get(index).map(|link| vec![link]),
                    Hop::Group(members) => members
                        .iter()
                        .all(|id| self.kernel.nexthops.contains_key(id))
                        .then(Vec::new),
                };
                match links {
                    Some(links) if links.iter().all(|link| link.is_running()) => {
                        vec![Change::Nexthop(nexthop.clone())]
                    }
                    _ => return fail(100, "Carrier for nexthop device is down"),
                }
            }
            Operation::RemoveNexthop(id) => vec![Change::NexthopGone(*id)],
            Operation::AddRoute(route) | Operation::ReplaceRoute(route) => {
                if let Via::Nexthop(id) = route.via
                    && !self.kernel.nexthops.contains_key(&id)
                {
                    return fail(22, "Nexthop id does not exist");
                }
                let mut changes: Vec<Change> = self
                    .kernel
                    .routes
                    .iter()
                    .filter(|there| {
                        there.protocol == route.protocol
                            && (there.destination, there.metric)
                                == (route.destination, route.metric)
                    })
                    .map(|there| Change::RouteGone(there.clone()))
                    .collect();
                changes.push(Change::Route(route.clone()));
                changes
            }
            Operation::RemoveRoute(route) => vec![Change::RouteGone(route.clone())],
            Operation::SetUp { index, .. }
            | Operation::SetMac { index, .. }
            | Operation::SetMtu { index, .. } => {
                let Some(mut link) = self.kernel.links.get(index).cloned() else {
                    return fail(19, "No such device");
                };
                match operation {
                    Operation::SetUp { up, .. } => link.up = *up,
                    Operation::SetMac { mac, .. } => link.mac = Some(*mac),
                    Operation::SetMtu { mtu, .. } => link.mtu = *mtu,
                    _ => {}
                }
                vec![Change::Link(link)]
            }
            Operation::SetSysctl {
                index,
                sysctl,
                value,
                ..
            } => {
                self.kernel.sysctls.insert((*index, *sysctl), *value);
                Vec::new()
            }
        };
        (changes, Ok(()))
    }

    /// With a primary address go its secondaries, unless they are promoted.
    fn remove_address(&mut self, index: u32, address: InterfaceAddress) -> Vec<Change> {
        let Some(gone) = self.kernel.addresses.get(&(index, address)).cloned() else {
            return Vec::new();
        };
        let mut changes = vec![Change::AddressGone(index, address)];
        if gone.secondary || address.family() == Family::Inet6 {
            return changes;
        }
        let promotes = self
            .kernel
            .sysctls
            .get(&(index, Sysctl::PromoteSecondaries))
            == Some(&1);
        let mut secondaries = self
            .kernel
            .addresses_on(index)
            .filter(|there| there.secondary && there.address.subnet() == address.subnet());
        if promotes {
            changes.extend(secondaries.next().map(|there| {
                Change::Address(Address {
                    secondary: false,
                    ..there.clone()
                })
            }));
        } else {
            changes.extend(secondaries.map(|there| Change::AddressGone(index, there.address)));
        }
        changes
    }

    /// The network: a neighbour `.2` (or `::2`) answers everything that gets through.
    fn answer_probe(&mut self, probe: &Probe) {
        let link = self.kernel.links.get(&probe.index());
        let gets_through =
            link.is_some_and(Link::is_running) && !self.silent.contains(probe.interface().as_str());
        if !gets_through {
            return;
        }
        let source = match probe.target() {
            IpAddr::V4(target) if target.is_multicast() => "192.168.0.2".parse().unwrap(),
            IpAddr::V6(target) if target.is_multicast() => "fe80::2".parse().unwrap(),
            target => target,
        };
        let received = self.now + Duration::from_micros(300);
        let reply = match probe {
            Probe::Echo(echo) => Reply::Echo(EchoReply {
                index: echo.index,
                source,
                destination: echo.source,
                identifier: echo.identifier,
                sequence: echo.sequence,
                payload: echo.payload,
                received,
            }),
            Probe::Solicitation(solicitation) => Reply::Advertisement(Advertisement {
                index: solicitation.index,
                target: source,
                mac: MacAddress([2, 0, 0, 0, 0, 0xfe]),
                received,
            }),
        };
        self.replies.push_back((received, reply));
    }
}

pub(super) fn address(text: &str) -> InterfaceAddress {
    match text.split_once('/') {
        Some((ip, prefix)) => InterfaceAddress::new(ip.parse().unwrap(), prefix.parse().unwrap()),
        None => InterfaceAddress::new(text.parse().unwrap(), 24),
    }
}
