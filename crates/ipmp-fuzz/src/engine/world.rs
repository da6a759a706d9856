//! A host: an engine on the reference kernel, which does what it is told unless it refuses, and a network
//! that answers; and what must be so on it.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipmp_core::asked::{Logical, Saved};
use ipmp_core::detect::{Neighbour, Probe, Reply};
use ipmp_core::kernel::{Change, Link, LinkKind};
use ipmp_core::plan::{Operation, OperationError, Plan};
use ipmp_core::{
    Action, Claim, Command, Engine, Enquiry, Event, Family, Flags, InterfaceAddress, InterfaceName,
    Kernel, LogicalName, MacAddress, Settings, Time, reference,
};

use super::rivals::Rivals;

pub(super) const NICS: [&str; 3] = ["ge0", "ge1", "ge2"];
/// Data addresses, of ge0 and ge1.
pub(super) const DATA: [Ipv4Addr; 2] = [
    Ipv4Addr::new(192, 168, 0, 10),
    Ipv4Addr::new(192, 168, 0, 11),
];
/// Test addresses, of all; that of ge2 is there if it is a standby.
pub(super) const TEST: [Ipv4Addr; 3] = [
    Ipv4Addr::new(192, 168, 0, 100),
    Ipv4Addr::new(192, 168, 0, 101),
    Ipv4Addr::new(192, 168, 0, 102),
];
/// Who is in the kernel's neighbour tables.
const PEER: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);

/// All of our addresses.
pub(super) fn ours() -> impl Iterator<Item = IpAddr> {
    DATA.into_iter().chain(TEST).map(IpAddr::from)
}

/// Rounds of events and actions without time passing, after which the engine goes in circles.
const ROUNDS: usize = 2000;

pub(super) struct World {
    pub(super) now: Time,
    pub(super) engine: Engine,
    pub(super) kernel: Kernel,
    /// How many of the next operations the kernel refuses.
    pub(super) refused: usize,
    silent: BTreeSet<&'static str>,
    pub(super) rivals: Rivals,
    saved: Option<Saved>,
    settings: Settings,
    /// The daemon is killed before this many more operations are done.
    killed_after: Option<usize>,
    replies: VecDeque<(Time, Reply)>,
    next_index: u32,
    has_tests: bool,
    has_standby: bool,
    busy: bool,
}

impl World {
    pub(super) fn new(settings: Settings, saved: Option<Saved>) -> Self {
        let mut world = Self {
            now: Time::from_millis(1000),
            engine: Engine::new(settings.clone(), saved.clone(), 1),
            kernel: Kernel::default(),
            refused: 0,
            silent: BTreeSet::new(),
            rivals: Rivals::default(),
            saved,
            settings,
            killed_after: None,
            replies: VecDeque::new(),
            next_index: 1,
            has_tests: false,
            has_standby: false,
            busy: false,
        };
        for nic in ["lo"].into_iter().chain(NICS) {
            let link = world.new_link(nic);
            reference::plug(&mut world.kernel, link);
        }
        world.restart();
        world
    }

    /// Types what sets up the group.
    pub(super) fn set_up(&mut self, tests: bool, standby: bool, inet6: bool) {
        (self.has_tests, self.has_standby) = (tests, standby);
        for (nic, test) in NICS.into_iter().zip(TEST) {
            let logical = LogicalName::new(name(nic), 0);
            let plumb = |family| Command::Plumb {
                logical: logical.clone(),
                family,
                absent: false,
            };
            let flag = |logical: &LogicalName, flag| Command::SetFlag {
                logical: logical.clone(),
                family: Family::Inet,
                flag,
                on: true,
                wait: true,
            };
            let own = DATA.get(usize::from(nic == "ge1")).filter(|_| nic != "ge2");
            let address = |ip: Ipv4Addr| InterfaceAddress::new(ip.into(), 24);
            self.ask(plumb(Family::Inet));
            self.ask(Command::SetGroup {
                interface: name(nic),
                group: "g".parse().ok(),
            });
            let first = own.copied().or(Some(test).filter(|_| standby));
            if let Some(ip) = first {
                self.ask(Command::SetAddress {
                    logical: logical.clone(),
                    address: address(ip),
                });
            }
            if own.is_none() && standby {
                self.ask(flag(&logical, Flags::DEPRECATED));
                self.ask(flag(&logical, Flags::NOFAILOVER));
                self.ask(Command::SetStandby {
                    interface: name(nic),
                    on: true,
                });
            }
            if first.is_some() {
                self.ask(flag(&logical, Flags::UP));
            }
            if own.is_some() && tests {
                self.ask(Command::AddLogical {
                    interface: name(nic),
                    address: address(test),
                });
                let logical = LogicalName::new(name(nic), 1);
                for set in [Flags::DEPRECATED, Flags::NOFAILOVER, Flags::UP] {
                    self.ask(flag(&logical, set));
                }
            }
            if inet6 {
                self.ask(plumb(Family::Inet6));
            }
        }
    }

    /// Everything is repaired and allowed, and other hands rest.
    pub(super) fn mend(&mut self, settings: Settings) {
        self.refused = 0;
        self.silent.clear();
        self.rivals.leave();
        for (nic, number) in NICS.into_iter().zip(1..) {
            self.plug(nic);
            self.change_link(nic, |link| {
                (link.up, link.carrier) = (true, true);
                link.mac = Some(MacAddress([2, 0, 0, 0, 1, number]));
            });
        }
        if self.killed_after.take() == Some(0) {
            self.restart();
        }
        self.configure(settings);
        // A command is refused if the kernel refuses what it asks for, which may be for want of
        // something that is left alone as it was done over and over.
        self.pass(Duration::from_secs(20));
        for nic in NICS {
            self.ask(Command::SetFailed {
                interface: name(nic),
                on: false,
            });
            self.ask(Command::Online {
                interface: name(nic),
            });
            self.ask(Command::SetStandby {
                interface: name(nic),
                on: nic == "ge2" && self.has_standby,
            });
        }
        // When others were asked for what came back, and all is called what it is called at home.
        self.pass(Duration::from_secs(20));
        for ip in ours() {
            if !self.is_up(ip) {
                self.bring_up(ip, true);
            }
        }
    }

    /// What must be so at the end.
    pub(super) fn is_well(&mut self) {
        for (address, home) in DATA.into_iter().zip(NICS) {
            let holders = self.holders(address.into());
            assert_eq!(holders, [home], "{address}: {}", self.picture());
        }
        if self.has_tests {
            for (address, home) in TEST.into_iter().zip(NICS).take(2) {
                let holders = self.holders(address.into());
                assert_eq!(holders, [home], "{address}: {}", self.picture());
            }
        }
        let conflicts = self.engine.snapshot().conflicts;
        assert!(conflicts.is_empty(), "nobody else is there: {conflicts:?}");
        self.busy = false;
        self.feed(Event::Tick);
        assert!(
            !self.busy,
            "something is left to be done: {}",
            self.picture()
        );
    }

    /// What must be so after any step.
    pub(super) fn check(&mut self) {
        if self.asks() && self.killed_after != Some(0) {
            let (seen, up) = (self.engine.snapshot(), self.up());
            self.rivals.check(&seen, &self.kernel, &up);
        }
    }

    fn picture(&self) -> String {
        format!("{:#?}\n{:#?}", self.engine.snapshot(), self.kernel)
    }

    fn holders(&self, ip: IpAddr) -> Vec<&str> {
        let there = self.kernel.addresses.values();
        let there = there.filter(|address| address.address.ip == ip);
        let links = there.filter_map(|address| self.kernel.links.get(&address.index));
        links.map(|link| link.name.as_str()).collect()
    }

    // What happens

    pub(super) fn ask(&mut self, command: Command) {
        self.feed(Event::Command { id: 1, command });
    }

    /// The administrator brings an address of ours up, or takes it out of service.
    pub(super) fn bring_up(&mut self, ip: IpAddr, on: bool) {
        let Some(logical) = self.logical(ip) else {
            return;
        };
        let mut places = self.saved.iter().flat_map(|saved| &saved.places);
        let place =
            places.find(|(home, family, _)| *home == logical.home && *family == Family::Inet);
        let command = Command::SetFlag {
            logical: place.map_or(&logical.home, |(.., place)| place).clone(),
            family: Family::Inet,
            flag: Flags::UP,
            on,
            wait: true,
        };
        self.ask(command);
    }

    pub(super) fn configure(&mut self, settings: Settings) {
        if !(self.asks() && settings.duplicate_address_detection) {
            self.rivals.forget();
        }
        self.settings = settings.clone();
        self.feed(Event::Settings(settings));
    }

    pub(super) fn reply(&mut self, reply: Reply) {
        self.feed(Event::Reply(reply));
    }

    pub(super) fn neighbours(&mut self, known: Vec<Neighbour>) {
        self.feed(Event::Neighbours(known));
    }

    /// Whether other hosts are asked for addresses.
    pub(super) const fn asks(&self) -> bool {
        self.settings.duplicate_address_detection
    }

    pub(super) fn toggle_asking(&mut self) {
        let mut settings = self.settings.clone();
        settings.duplicate_address_detection = !settings.duplicate_address_detection;
        self.configure(settings);
    }

    pub(super) fn claim(&mut self, claim: Claim) {
        self.feed(Event::Claims(vec![claim]));
    }

    pub(super) fn toggle_silence(&mut self, nic: &'static str) {
        if !self.silent.remove(nic) {
            self.silent.insert(nic);
        }
    }

    pub(super) fn kill_after(&mut self, operations: usize) {
        if self.killed_after == Some(0) {
            self.restart();
        } else {
            self.killed_after = Some(operations);
        }
    }

    pub(super) fn index(&self, nic: &str) -> Option<u32> {
        let link = self
            .kernel
            .links
            .values()
            .find(|link| link.name.as_str() == nic);
        link.map(|link| link.index)
    }

    pub(super) fn change_link(&mut self, nic: &str, change: impl FnOnce(&mut Link)) {
        if let Some(index) = self.index(nic)
            && let Ok(told) = reference::set_link(&mut self.kernel, index, change)
        {
            self.feed(Event::Kernel(told));
        }
    }

    pub(super) fn plug(&mut self, nic: &str) {
        if self.index(nic).is_none() {
            let link = self.new_link(nic);
            let told = reference::plug(&mut self.kernel, link);
            self.feed(Event::Kernel(told));
        }
    }

    pub(super) fn unplug(&mut self, nic: &str) {
        if let Some(index) = self.index(nic) {
            let told = reference::unplug(&mut self.kernel, index);
            self.feed(Event::Kernel(told));
        }
    }

    /// Another hand does something, unless the kernel refuses.
    pub(super) fn hand(&mut self, operation: &Operation) {
        if let Ok(told) = reference::carry_out(&mut self.kernel, operation) {
            self.feed(Event::Kernel(told));
        }
    }

    /// The daemon reads everything anew.
    pub(super) fn observe(&mut self) {
        self.feed(Event::Kernel(vec![Change::Resync(self.kernel.clone())]));
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut idle = 0;
        loop {
            let reply = self.replies.front().map(|&(at, _)| at);
            let deadlines = [self.engine.next_deadline(), reply].into_iter().flatten();
            let Some(at) = deadlines.min().filter(|at| *at <= end) else {
                break;
            };
            idle = if at > self.now { 0 } else { idle + 1 };
            assert!(
                idle < ROUNDS,
                "deadlines are never over: {}",
                self.picture()
            );
            self.now = self.now.max(at);
            if reply.is_some_and(|due| due <= self.now) {
                if let Some((_, reply)) = self.replies.pop_front() {
                    self.feed(Event::Reply(reply));
                }
            } else if self.killed_after == Some(0) {
                break;
            } else {
                self.feed(Event::Tick);
            }
        }
        self.now = end;
    }

    // The daemon

    fn restart(&mut self) {
        self.killed_after = None;
        self.replies.clear();
        self.rivals.start(&self.kernel, &self.up());
        self.engine = Engine::new(self.settings.clone(), self.saved.clone(), 1);
        self.feed(Event::Kernel(vec![Change::Resync(self.kernel.clone())]));
    }

    fn feed(&mut self, event: Event) {
        if self.killed_after == Some(0) {
            return;
        }
        let mut events = VecDeque::from([event]);
        for _ in 0..ROUNDS {
            let Some(event) = events.pop_front() else {
                return;
            };
            for action in self.engine.handle(self.now, event) {
                match action {
                    Action::Apply(plan) => match self.apply(&plan) {
                        Some(news) => events.extend(news),
                        None => return,
                    },
                    Action::Probe(probe) => self.answer(&probe),
                    Action::ReadNeighbours(links) => {
                        let known = links.into_iter().map(|index| Neighbour {
                            index,
                            address: PEER.into(),
                        });
                        events.push_back(Event::Neighbours(known.collect()));
                    }
                    Action::Save(saved) => self.saved = Some(*saved),
                    Action::Observe => {
                        let kernel = self.kernel.clone();
                        events.push_back(Event::Kernel(vec![Change::Resync(kernel)]));
                    }
                    Action::Enquire(enquiries) => events.extend(self.enquire(enquiries)),
                    Action::Listen(listening) => self.rivals.listen(listening),
                    Action::Answer { answer: Ok(_), .. } => self.rivals.keep(&self.up()),
                    Action::Answer { answer: Err(_), .. }
                    | Action::Probed(_)
                    | Action::Announce(_)
                    | Action::Record(_)
                    | Action::Log(_) => {}
                }
            }
        }
        assert!(events.is_empty(), "goes in circles: {}", self.picture());
    }

    /// Carries out a plan; nothing if the daemon was killed.
    fn apply(&mut self, plan: &Plan) -> Option<[Event; 2]> {
        let (mut told, mut results) = (Vec::new(), Vec::new());
        for operation in &plan.operations {
            self.busy = true;
            if let Some(left) = &mut self.killed_after {
                *left = left.checked_sub(1).unwrap_or_default();
                if *left == 0 {
                    return None;
                }
            }
            if let Operation::AddAddress(new) = operation
                && self.asks()
            {
                self.rivals.may_have(new.address.ip, &self.kernel);
            }
            let served = DATA.map(|address| self.is_served(address));
            let result = if self.refused > 0 {
                self.refused -= 1;
                Err(OperationError {
                    errno: 1,
                    text: "refused".to_owned(),
                })
            } else {
                reference::carry_out(&mut self.kernel, operation)
            };
            for (address, served) in DATA.into_iter().zip(served) {
                assert!(
                    !served
                        || self.is_served(address)
                        || !self.is_up(address.into())
                        || !self.is_in_use(operation),
                    "{operation} takes {address} away: {}",
                    self.picture()
                );
            }
            results.push(result.map(|changes| told.extend(changes)));
        }
        Some([Event::Kernel(told), Event::Applied(results)])
    }

    /// An address of ours, as the daemon saved it before it did anything about it.
    fn logical(&self, ip: IpAddr) -> Option<&Logical> {
        let mut logicals = self.saved.as_ref()?.asked.logicals.iter();
        logicals.find(|logical| logical.address.ip == ip)
    }

    fn is_up(&self, ip: IpAddr) -> bool {
        self.logical(ip).is_some_and(Logical::is_up)
    }

    fn up(&self) -> BTreeSet<IpAddr> {
        ours().filter(|ip| self.is_up(*ip)).collect()
    }

    /// Whether an address is on a link that runs.
    fn is_served(&self, ip: Ipv4Addr) -> bool {
        let there = self.kernel.addresses.values();
        let mut there = there.filter(|address| address.address.ip == ip);
        there.any(|address| {
            let link = self.kernel.links.get(&address.index);
            link.is_some_and(Link::is_running)
        })
    }

    /// Whether what is removed is removed from an interface that serves. One that is offline or failed
    /// gives its addresses away, whatever became of the one that took them.
    fn is_in_use(&self, operation: &Operation) -> bool {
        let Operation::RemoveAddress { index, .. } = operation else {
            return true;
        };
        let seen = self.engine.snapshot();
        let mut interfaces = seen.interfaces.iter();
        interfaces.any(|interface| interface.index == Some(*index) && interface.active)
    }

    // The kernel and the network

    fn new_link(&mut self, nic: &str) -> Link {
        let index = self.next_index;
        self.next_index += 1;
        let loopback = nic == "lo";
        let [.., low] = index.to_be_bytes();
        Link {
            index,
            name: name(nic),
            mac: (!loopback).then_some(MacAddress([2, 0, 0, 0, 2, low])),
            permanent_mac: None,
            mtu: 1500,
            up: true,
            carrier: true,
            kind: if loopback {
                LinkKind::Loopback
            } else {
                LinkKind::Broadcast
            },
        }
    }

    /// Other hosts are asked for addresses: which questions left, and what is heard.
    fn enquire(&mut self, mut left: Vec<Enquiry>) -> [Event; 2] {
        left.retain(|enquiry| {
            let link = self.kernel.links.get(&enquiry.index);
            link.is_some_and(|link| link.is_running() && link.mac == Some(enquiry.mac))
        });
        let is_silent = |link: &Link| self.silent.contains(link.name.as_str());
        let claims = self.rivals.answer(self.now, &left, &self.kernel, is_silent);
        [Event::Enquired { left }, Event::Claims(claims)]
    }

    /// The network answers what gets through.
    fn answer(&mut self, probe: &Probe) {
        if !self.silent.contains(probe.interface().as_str()) {
            let answer = reference::answer(&self.kernel, self.now, probe);
            self.replies.extend(answer);
        }
    }
}

/// The name of a link.
#[expect(clippy::expect_used, reason = "the names are those of this file")]
pub(super) fn name(nic: &str) -> InterfaceName {
    nic.parse().expect("a name of a link")
}
