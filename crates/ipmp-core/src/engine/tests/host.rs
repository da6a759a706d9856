//! A host in a test: the engine on top of a model of the kernel, with virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::action::Announcement;
use crate::asked::{Logical, Saved};
use crate::command::{Answer, Command, Refusal};
use crate::detect::{Neighbour, Probe, Reply};
use crate::kernel::{Address, AddressKey, Change, Form, Hop, Link, LinkKind, Via};
use crate::plan::{Operation, OperationError, Plan};
use crate::{
    Action, Claim, Engine, Enquiry, Event, Family, Flags, InterfaceAddress, Kernel, LogicalName,
    MacAddress, Record, Settings, Time, reference,
};

/// A host with an engine that runs, or was killed.
#[derive(Clone)]
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
    /// Addresses that other hosts on the links have.
    pub(super) rivals: BTreeMap<IpAddr, MacAddress>,
    /// What others were asked for, and when.
    pub(super) enquiries: Vec<(Time, String, IpAddr)>,
    /// What is listened for.
    pub(super) listening: BTreeSet<(u32, IpAddr)>,
    /// Nothing can be sent.
    pub(super) is_mute: bool,
    /// The kernel refuses operations whose text has this in it.
    pub(super) refused: Vec<String>,
    /// Links which, after some operation, a route led through whose source would have been a test
    /// address.
    pub(super) bad_sources: BTreeSet<String>,
    /// The kernel has no memory for this many more operations.
    pub(super) failing: usize,
    /// Addresses that another hand put there, to be left alone.
    pub(super) others: BTreeSet<AddressKey>,
    /// What operations took away that should be somewhere, or that is not ours.
    pub(super) lost: Vec<String>,
    /// The daemon is killed before this many more operations are done.
    pub(super) killed_after: Option<usize>,
    /// It was.
    pub(super) is_dead: bool,
    /// What happens while plans are under way, one each.
    pub(super) meanwhile: VecDeque<fn(&mut Self)>,
    answers: BTreeMap<u64, Result<Answer, Refusal>>,
    replies: VecDeque<(Time, Reply)>,
    next_index: u32,
    next_id: u64,
}

/// Settings of a host that asks nobody else for its addresses: they are there as soon as they are asked up.
fn asking_nobody() -> Settings {
    Settings {
        duplicate_address_detection: false,
        ..Settings::default()
    }
}

impl Host {
    /// A host with these interfaces, up and with carrier, each with its own hardware address. It asks nobody
    /// else for addresses.
    pub(super) fn new(names: &[&str]) -> Self {
        let mut host = Self {
            now: Time::from_millis(1000),
            engine: Engine::new(asking_nobody(), None, 1),
            kernel: Kernel::default(),
            saved: None,
            settings: asking_nobody(),
            log: Vec::new(),
            announced: Vec::new(),
            records: Vec::new(),
            silent: BTreeSet::new(),
            operations: Vec::new(),
            rivals: BTreeMap::new(),
            enquiries: Vec::new(),
            listening: BTreeSet::new(),
            is_mute: false,
            refused: Vec::new(),
            bad_sources: BTreeSet::new(),
            failing: 0,
            others: BTreeSet::new(),
            lost: Vec::new(),
            killed_after: None,
            is_dead: false,
            meanwhile: VecDeque::new(),
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
        self.is_dead = false;
        self.replies.clear();
        self.records.clear();
        self.listening.clear();
        self.engine = Engine::new(self.settings.clone(), self.saved.clone(), 1);
        self.feed(Event::Kernel(vec![Change::Resync(self.kernel.clone())]));
    }

    pub(super) fn configure(&mut self, settings: Settings) {
        self.settings = settings.clone();
        self.feed(Event::Settings(settings));
    }

    /// Addresses come home by themselves from now on, or do not (`FAILBACK`); whether that is new.
    pub(super) fn failback(&mut self, on: bool) -> bool {
        let mut settings = self.settings.clone();
        settings.common.failback = on;
        let is_new = settings != self.settings;
        self.configure(settings);
        is_new
    }

    /// A device appears.
    pub(super) fn plug(&mut self, name: &str) {
        let link = self.new_link(name);
        let index = link.index;
        self.by_hand(|kernel| reference::plug(kernel, link));
        if name == "lo" {
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

    /// A device as it comes out of its box.
    pub(super) fn new_link(&mut self, name: &str) -> Link {
        let index = self.next_index;
        self.next_index += 1;
        let [.., high, low] = index.to_be_bytes();
        let loopback = name == "lo";
        Link {
            index,
            name: name.parse().unwrap(),
            mac: Some(MacAddress([8, 0, 0x20, 0xc0, 0xff - high, low])).filter(|_| !loopback),
            permanent_mac: None,
            mtu: if loopback { 65536 } else { 1500 },
            up: true,
            carrier: true,
            kind: if loopback {
                LinkKind::Loopback
            } else {
                LinkKind::Broadcast
            },
        }
    }

    /// A device disappears.
    pub(super) fn unplug(&mut self, name: &str) {
        let index = self.index(name);
        self.by_hand(|kernel| reference::unplug(kernel, index));
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

    /// Another hand does something, and netlink tells.
    pub(super) fn by_hand(&mut self, deed: impl FnOnce(&mut Kernel) -> Vec<Change>) {
        let told = deed(&mut self.kernel);
        self.feed(Event::Kernel(told));
    }

    pub(super) fn index(&self, name: &str) -> u32 {
        self.kernel.link(&name.parse().unwrap()).unwrap().index
    }

    /// Types a command.
    pub(super) fn ask(&mut self, command: Command) -> Result<Answer, Refusal> {
        let id = self.begin(command);
        // Other hosts are asked before that, or a link is waited for, which takes its time; more than 5 s
        // where a link can be put up only after a while.
        if self.settings.duplicate_address_detection {
            for _ in 0..3000 {
                if self.is_dead || self.answers.contains_key(&id) {
                    break;
                }
                self.pass(Duration::from_millis(10));
            }
        }
        // A daemon that was killed answers nothing.
        let killed = self.is_dead;
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
                wait: true,
            };
            let command = match word {
                "inet" => continue,
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
        let mut idle = 0;
        while !self.is_dead {
            let reply = self.replies.front().map(|&(at, _)| at);
            let next = [self.engine.next_deadline(), reply]
                .into_iter()
                .flatten()
                .min();
            let Some(at) = next.filter(|&at| at <= end) else {
                break;
            };
            idle = if at > self.now { 0 } else { idle + 1 };
            assert!(idle < 10_000, "deadlines are never over");
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
        if self.is_dead {
            return;
        }
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
                    Action::Enquire(enquiries) => events.extend(self.enquire(enquiries)),
                    Action::Listen(listening) => self.listening = listening,
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
                    self.is_dead = true;
                    return None;
                }
                *left -= 1;
            }
            self.operations.push(operation.to_string());
            let result = match self.refusal(&operation) {
                Some(refusal) => Err(refusal),
                None => reference::carry_out(&mut self.kernel, &operation),
            };
            results.push(result.map(|changes| {
                self.note_lost(&operation, &changes);
                told.extend(changes);
            }));
            let bad = self.links_with_bad_source();
            self.bad_sources.extend(bad);
        }
        if let Some(happen) = self.meanwhile.pop_front() {
            happen(self);
        }
        Some(vec![Event::Kernel(told), Event::Applied(results)])
    }

    /// Why the kernel refuses an operation, if it does.
    fn refusal(&mut self, operation: &Operation) -> Option<OperationError> {
        let (errno, text) = if self.failing > 0 {
            self.failing -= 1;
            (105, "No buffer space available")
        } else if self.misses_gateway(operation) {
            (22, "Nexthop has invalid gateway")
        } else {
            let text = operation.to_string();
            let mut refused = self.refused.iter();
            refused.find(|refused| text.contains(*refused))?;
            (1, "refused")
        };
        Some(OperationError {
            errno,
            text: text.to_owned(),
        })
    }

    /// Whether an IPv4 route is to go through a gateway that the kernel does not find on the route's link: it
    /// looks no further than the first nexthop object to its subnet (`fib_table_lookup`).
    fn misses_gateway(&self, operation: &Operation) -> bool {
        let Operation::AddRoute(route) = operation else {
            return false;
        };
        let Via::Link {
            index,
            gateway: Some(gateway @ IpAddr::V4(_)),
        } = route.via
        else {
            return false;
        };
        let nexthops = &self.kernel.nexthops;
        let leads_there = |id: &u32| matches!(nexthops.get(id).map(|n| &n.hop), Some(Hop::Link { index: on, .. }) if *on == index);
        self.kernel.routes.iter().any(|other| {
            let on_link = other.destination.prefix > 0 && other.destination.contains(gateway);
            let hop = match other.via {
                Via::Nexthop(id) if on_link => nexthops.get(&id).map(|nexthop| &nexthop.hop),
                _ => None,
            };
            matches!(hop, Some(Hop::Group(members)) if !members.iter().any(leads_there))
        })
    }

    /// Takes note of what an operation took away that should be somewhere, or that is not ours.
    fn note_lost(&mut self, operation: &Operation, changes: &[Change]) {
        for change in changes {
            let Change::AddressGone(index, address) = change else {
                continue;
            };
            // Outside groups the kernel takes along what it takes along.
            let link = self.kernel.links.get(index);
            let is_theirs = self.others.remove(&(*index, *address))
                && !self.engine.our_addresses().contains(&(*index, address.ip))
                && link.is_some_and(|link| self.engine.is_member(&link.name));
            if is_theirs || self.is_missed(address.ip) {
                self.lost.push(format!("{operation} takes {address} away"));
            }
        }
    }

    /// Whether a data address is nowhere, though its group has a member that is there and plumbed for
    /// its family.
    fn is_missed(&self, ip: IpAddr) -> bool {
        let mut logicals = self.engine.asked.logicals.iter();
        let is_it = |logical: &&Logical| logical.address.ip == ip;
        let Some(logical) = logicals.find(is_it) else {
            return false;
        };
        let home = &logical.home.interface;
        let group = self.engine.group_of(home);
        let mut interfaces = self.engine.asked.interfaces.iter();
        let is_possible = interfaces.any(|(name, interface)| {
            let is_mate = group.is_some()
                && interface.group.as_ref() == group
                && interface.families.contains(&logical.family());
            (is_mate || name == home) && self.kernel.link(name).is_some()
        });
        let mut there = self.kernel.addresses.keys();
        let is_there = there.any(|(_, address)| address.ip == ip);
        logical.is_movable() && logical.is_up() && is_possible && !is_there
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

    /// Asks the other hosts on the links; what became of it, and what they say.
    fn enquire(&mut self, mut enquiries: Vec<Enquiry>) -> Vec<Event> {
        let kernel = &self.kernel;
        enquiries.retain(|enquiry| {
            let link = kernel.links.get(&enquiry.index);
            !self.is_mute
                && link.is_some_and(|link| link.is_running() && link.mac == Some(enquiry.mac))
        });
        let asked = enquiries.iter().map(|enquiry| {
            let name = kernel.links[&enquiry.index].name.to_string();
            (self.now, name, enquiry.ip)
        });
        self.enquiries.extend(asked);
        let heard = enquiries.iter().filter_map(|enquiry| {
            let is_heard = !self
                .silent
                .contains(kernel.links[&enquiry.index].name.as_str());
            let mac = *self.rivals.get(&enquiry.ip).filter(|_| is_heard)?;
            self.claim(enquiry.index, enquiry.ip, mac)
        });
        let claims = Event::Claims(heard.collect());
        vec![Event::Enquired { left: enquiries }, claims]
    }

    /// What the driver makes of it if another host says on a link that it has an address.
    fn claim(&self, index: u32, ip: IpAddr, mac: MacAddress) -> Option<Claim> {
        let received = self.now;
        let claim = Claim {
            index,
            ip,
            mac,
            received,
        };
        Some(claim).filter(|_| self.listening.contains(&(index, ip)))
    }

    /// Another host says unasked, on all links, that it has an address.
    pub(super) fn gratuitous(&mut self, ip: &str, mac: MacAddress) {
        let ip = ip.parse().unwrap();
        let links = self.kernel.links.values().filter(|link| link.is_running());
        let claims = links.filter_map(|link| self.claim(link.index, ip, mac));
        self.feed(Event::Claims(claims.collect()));
    }

    /// The network answers what gets through.
    fn answer_probe(&mut self, probe: &Probe) {
        if !self.silent.contains(probe.interface().as_str()) {
            let answer = reference::answer(&self.kernel, self.now, probe);
            self.replies.extend(answer);
        }
    }
}

/// ge0 has an address of each family, and ge1 is not plumbed for IPv6.
pub(super) fn plumb_one_for_both_families(host: &mut Host) {
    host.ifconfig("ge0 plumb 192.168.0.10 group g up");
    host.ifconfig("ge0 inet6 plumb");
    host.ifconfig("ge0 inet6 addif 2001:db8::10/64 up");
    host.ifconfig("ge1 plumb 192.168.0.11 group g up");
    host.pass(Duration::from_mins(1));
}

pub(super) fn address(text: &str) -> InterfaceAddress {
    match text.split_once('/') {
        Some((ip, prefix)) => InterfaceAddress::new(ip.parse().unwrap(), prefix.parse().unwrap()),
        None => InterfaceAddress::new(text.parse().unwrap(), 24),
    }
}
