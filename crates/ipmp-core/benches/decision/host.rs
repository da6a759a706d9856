//! A host whose engine is timed: two NICs in a group, one of them with all the data addresses.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it is from outside that the engine is timed"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use ipmp_core::asked::{Interface, Logical, Saved};
use ipmp_core::detect::Reply;
use ipmp_core::kernel::{Change, Link, LinkKind, Route, TABLE_MAIN, Via};
use ipmp_core::{
    Action, Asked, Engine, Event, Family, Flags, InterfaceAddress, Kernel, LogicalName, MacAddress,
    Settings, Time, reference,
};

/// The NIC that fails.
const FAILING: u32 = 1;

/// The NIC that takes its addresses.
const OTHER: u32 = 2;

/// A NIC that is none of ours.
const STRANGER: u32 = 3;

/// How long it takes at most until everything is decided, told to the neighbours and quiet again.
const QUIET: Duration = Duration::from_mins(1);

/// What the turns of an engine took.
#[derive(Clone, Copy)]
pub(crate) struct Turns {
    /// The turn by which the first operations came out.
    pub(crate) decision: Duration,
    /// The longest one.
    pub(crate) longest: Duration,
    /// All of them, until everything was in its place and told.
    pub(crate) all: Duration,
    /// One in which the kernel tells afterwards of something that is no concern of ours.
    pub(crate) other: Duration,
}

impl Turns {
    /// What any others are shorter than.
    pub(crate) const LONGEST: Self = Self {
        decision: Duration::MAX,
        longest: Duration::MAX,
        all: Duration::MAX,
        other: Duration::MAX,
    };

    /// The shorter one of each.
    pub(crate) fn min(self, other: Self) -> Self {
        Self {
            decision: self.decision.min(other.decision),
            longest: self.longest.min(other.longest),
            all: self.all.min(other.all),
            other: self.other.min(other.other),
        }
    }
}

/// An engine on the kernel that tests have.
#[derive(Clone)]
pub(crate) struct Host {
    now: Time,
    engine: Engine,
    kernel: Kernel,
    replies: VecDeque<(Time, Reply)>,
    turns: Vec<Duration>,
    decision: Option<Duration>,
}

impl Host {
    /// A host on which nothing happens any more.
    pub(crate) fn new(addresses: u32) -> Result<Self, String> {
        let mut kernel = Kernel::default();
        for (index, name) in [(FAILING, "ge1"), (OTHER, "ge0"), (STRANGER, "net0")] {
            reference::plug(&mut kernel, link(index, name)?);
        }
        let settings = Settings::default();
        let mut host = Self {
            now: Time::from_millis(1000),
            engine: Engine::new(settings, Some(saved(addresses)?), 1),
            kernel,
            replies: VecDeque::new(),
            turns: Vec::new(),
            decision: None,
        };
        let resync = Change::Resync(host.kernel.clone());
        host.after(|host| host.feed(Event::Kernel(vec![resync])))?;
        host.has_failed_back(addresses)?;
        Ok(host)
    }

    /// Does something, and takes the time until all that follows from it is done.
    pub(crate) fn after(&mut self, cause: impl FnOnce(&mut Self)) -> Result<Turns, String> {
        self.turns.clear();
        self.decision = None;
        cause(self);
        let end = self.now + QUIET;
        while let Some(at) = self.next().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            match self.replies.front() {
                Some(&(received, _)) if received <= self.now => {
                    if let Some((_, reply)) = self.replies.pop_front() {
                        self.feed(Event::Reply(reply));
                    }
                }
                _ => self.feed(Event::Tick),
            }
        }
        self.now = end;
        let turns = std::mem::take(&mut self.turns);
        self.stranger();
        Ok(Turns {
            decision: self.decision.ok_or("nothing was decided")?,
            longest: turns.iter().max().copied().unwrap_or_default(),
            all: turns.iter().sum(),
            other: self.turns.iter().sum(),
        })
    }

    /// The NIC's cable is pulled or plugged.
    pub(crate) fn carrier(&mut self, carrier: bool) {
        let told = reference::set_link(&mut self.kernel, FAILING, |link| link.carrier = carrier);
        self.feed(Event::Kernel(told.unwrap_or_default()));
    }

    /// A route comes that leads through a NIC that is none of ours, and goes again.
    fn stranger(&mut self) {
        let route = Route {
            table: TABLE_MAIN,
            destination: InterfaceAddress::new([10, 99, 0, 0].into(), 16),
            metric: 0,
            protocol: 4,
            via: Via::Link {
                index: STRANGER,
                gateway: None,
            },
            source: None,
        };
        self.feed(Event::Kernel(vec![Change::Route(route)]));
    }

    fn next(&self) -> Option<Time> {
        let reply = self.replies.front().map(|&(at, _)| at);
        [self.engine.next_deadline(), reply]
            .into_iter()
            .flatten()
            .min()
    }

    fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let start = Instant::now();
            let actions = self.engine.handle(self.now, event);
            let took = start.elapsed();
            self.turns.push(took);
            for action in actions {
                match action {
                    Action::Apply(plan) => {
                        self.decision.get_or_insert(took);
                        let mut told = Vec::new();
                        let mut results = Vec::new();
                        for operation in &plan.operations {
                            let result = reference::carry_out(&mut self.kernel, operation);
                            results.push(result.map(|changes| told.extend(changes)));
                        }
                        events.push_back(Event::Kernel(told));
                        events.push_back(Event::Applied(results));
                    }
                    Action::Probe(probe) => {
                        let answer = reference::answer(&self.kernel, self.now, &probe);
                        self.replies.extend(answer);
                    }
                    Action::Enquire(left) => events.push_back(Event::Enquired { left }),
                    Action::Observe => {
                        let resync = Change::Resync(self.kernel.clone());
                        events.push_back(Event::Kernel(vec![resync]));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Whether all addresses are at home.
    pub(crate) fn has_failed_back(&self, addresses: u32) -> Result<(), String> {
        let home = self.kernel.addresses_on(FAILING).count();
        let away = self.kernel.addresses_on(OTHER).count();
        if u32::try_from(home) == Ok(addresses) && away == 1 {
            Ok(())
        } else {
            Err(format!("{home} addresses at home, {away} on the other NIC"))
        }
    }
}

/// What an earlier daemon left: one data address on the other NIC, all else on the one that fails.
fn saved(addresses: u32) -> Result<Saved, String> {
    let mut asked = Asked::default();
    for name in ["ge0", "ge1"] {
        let interface = Interface {
            families: BTreeSet::from(Family::ALL),
            group: Some("g".parse().map_err(|_| "no group")?),
            ..Interface::default()
        };
        let name = name.parse().map_err(|_| "no interface")?;
        asked.interfaces.insert(name, interface);
    }
    for i in 0..=addresses {
        let [_, _, high, low] = i.to_be_bytes();
        let (name, unit) = if i == 0 { ("ge0", 0) } else { ("ge1", i - 1) };
        let name = name.parse().map_err(|_| "no interface")?;
        asked.logicals.push(Logical {
            home: LogicalName::new(name, unit),
            address: InterfaceAddress::new([10, 1, high, low].into(), 16),
            broadcast: None,
            flags: Flags::UP,
            metric: 0,
            moved_to: None,
        });
    }
    Ok(Saved {
        version: Saved::VERSION,
        asked,
        links: BTreeMap::new(),
        ..Saved::default()
    })
}

fn link(index: u32, name: &str) -> Result<Link, String> {
    let [.., low] = index.to_be_bytes();
    Ok(Link {
        index,
        name: name.parse().map_err(|_| "no interface")?,
        mac: Some(MacAddress([2, 0, 0, 0, 0, low])),
        permanent_mac: None,
        mtu: 1500,
        up: true,
        carrier: true,
        kind: LinkKind::Broadcast,
    })
}
