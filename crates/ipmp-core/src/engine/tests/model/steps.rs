//! What may happen to a host, and how.

use std::net::IpAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::host::Host;
use crate::asked::Logical;
use crate::kernel::{Address, Change, Kernel, Route, TABLE_MAIN, Via};
use crate::snapshot::InterfaceState;
use crate::{Command, Family, InterfaceAddress, LogicalName, MacAddress, reference};

pub(super) const NAMES: [&str; 4] = ["ge0", "ge1", "ge2", "ge3"];

/// A link that belongs to nobody.
pub(super) const OUTSIDE: &str = "out0";

/// Tables in which another hand installs routes.
const TABLES: [u32; 2] = [TABLE_MAIN, 100];

/// `RTPROT_STATIC`.
const STATIC: u8 = 4;

/// What the kernel may refuse, by the text of the operation.
const REFUSED: [&str; 6] = [
    "add address",
    "remove address",
    "set nexthop",
    "route",
    "set ",
    "2001:db8::",
];

/// Something that happens to a host. Numbers choose among what is there.
#[derive(Clone, Debug)]
pub(in super::super) enum Step {
    /// Something happens in the kernel, and the daemon hears of it.
    Happen(Happening),
    /// Things happen in the kernel, the notifications are lost, and everything is read anew.
    Unheard(Vec<Happening>),
    /// The administrator types something.
    Type(Typed),
    /// The network swallows an interface's probes, or does not.
    Silence(usize, bool),
    /// Seconds pass.
    Pass(u64),
    /// Addresses come home by themselves, or do not.
    Failback(bool),
    /// The daemon dies after so many operations of what it does about something, more happens
    /// meanwhile, and a new daemon starts; the saved state may be lost.
    Kill {
        after: usize,
        amid: Cause,
        meanwhile: Vec<Happening>,
        forgotten: bool,
    },
    /// The kernel refuses operations of a kind.
    Refuse(usize),
    /// The kernel has no memory for the next operations.
    Fail(usize),
    /// The kernel refuses nothing any more, and time passes.
    Permit,
    /// Another host takes an address that we have or may get, saying so or not, or gives it up.
    Rival(usize, Option<bool>),
    /// Other hosts are asked for addresses, or not any more.
    Detect(bool),
}

/// What a daemon may die amid.
#[derive(Clone, Debug)]
pub(in super::super) enum Cause {
    Happening(Happening),
    Typed(Typed),
}

/// Something that happens in the kernel by no doing of ours.
#[derive(Clone, Debug)]
pub(in super::super) enum Happening {
    Carrier(usize, bool),
    AdminUp(usize, bool),
    Unplug(usize),
    Plug(usize),
    /// A device goes, and comes back under another number.
    Exchange(usize),
    /// An interface gets another name, or its own again.
    Rename(usize),
    /// An interface gets the hardware address that another one had at first, or its own again.
    Mac(usize, usize),
    /// An interface gets an MTU too small for IPv6, or one that is not.
    Mtu(usize, bool),
    /// Another hand adds an address of its own in our subnet.
    Foreign(usize, u8),
    /// Another hand adds an address of ours, on a member or outside.
    Copy(usize, usize, bool),
    /// Another hand removes an address.
    RemoveAddress(usize),
    RemoveNexthop(usize),
    /// Another hand installs a default route through an interface, in a table of those.
    AddRoute(usize, usize),
    RemoveRoute(usize),
    /// Another hand puts sysctls back.
    ResetSysctls(usize),
}

/// Something that the administrator types.
#[derive(Clone, Debug)]
pub(in super::super) enum Typed {
    Offline(usize, bool),
    Group(usize, bool),
    Standby(usize, bool),
    Move(usize, usize),
    Add(usize, u8),
    Remove(usize, u8),
    Up(usize, bool),
}

fn nic() -> std::ops::Range<usize> {
    0..NAMES.len()
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    prop_oneof![
        8 => (nic(), any::<bool>()).prop_map(|(i, on)| H::Carrier(i, on)),
        2 => (nic(), any::<bool>()).prop_map(|(i, on)| H::AdminUp(i, on)),
        2 => nic().prop_map(H::Unplug),
        4 => nic().prop_map(H::Plug),
        1 => nic().prop_map(H::Exchange),
        2 => nic().prop_map(H::Rename),
        2 => (nic(), nic()).prop_map(|(i, j)| H::Mac(i, j)),
        2 => (nic(), any::<bool>()).prop_map(|(i, on)| H::Mtu(i, on)),
        1 => (nic(), 0..4_u8).prop_map(|(i, n)| H::Foreign(i, n)),
        2 => (0..16_usize, 0..=NAMES.len(), any::<bool>()).prop_map(|(n, i, on)| H::Copy(n, i, on)),
        4 => (0..24_usize).prop_map(H::RemoveAddress),
        1 => (0..8_usize).prop_map(H::RemoveNexthop),
        2 => (nic(), 0..TABLES.len()).prop_map(|(i, table)| H::AddRoute(i, table)),
        2 => (0..8_usize).prop_map(H::RemoveRoute),
        2 => nic().prop_map(H::ResetSysctls),
    ]
}

fn typed() -> impl Strategy<Value = Typed> {
    use Typed as T;
    prop_oneof![
        2 => (nic(), any::<bool>()).prop_map(|(i, on)| T::Offline(i, on)),
        1 => (nic(), any::<bool>()).prop_map(|(i, on)| T::Group(i, on)),
        1 => (nic(), any::<bool>()).prop_map(|(i, on)| T::Standby(i, on)),
        2 => (0..16_usize, nic()).prop_map(|(n, i)| T::Move(n, i)),
        1 => (nic(), 0..4_u8).prop_map(|(i, n)| T::Add(i, n)),
        1 => (nic(), 0..4_u8).prop_map(|(i, n)| T::Remove(i, n)),
        2 => (0..16_usize, any::<bool>()).prop_map(|(n, on)| T::Up(n, on)),
    ]
}

pub(in super::super) fn step() -> impl Strategy<Value = Step> {
    let cause = prop_oneof![
        2 => happening().prop_map(Cause::Happening),
        1 => typed().prop_map(Cause::Typed),
    ];
    let killed = (0..12_usize, cause, vec(happening(), 0..3), 0..8_u8);
    prop_oneof![
        10 => happening().prop_map(Step::Happen),
        2 => vec(happening(), 1..4).prop_map(Step::Unheard),
        4 => typed().prop_map(Step::Type),
        3 => (nic(), any::<bool>()).prop_map(|(i, on)| Step::Silence(i, on)),
        3 => (0..40_u64).prop_map(Step::Pass),
        1 => any::<bool>().prop_map(Step::Failback),
        4 => killed.prop_map(|(after, amid, meanwhile, lot)| Step::Kill {
            after,
            amid,
            meanwhile,
            forgotten: lot == 0,
        }),
        1 => (0..REFUSED.len()).prop_map(Step::Refuse),
        1 => (1..6_usize).prop_map(Step::Fail),
        2 => Just(Step::Permit),
        3 => (0..24_usize, any::<Option<bool>>()).prop_map(|(n, takes)| Step::Rival(n, takes)),
        1 => prop::bool::weighted(0.7).prop_map(Step::Detect),
    ]
}

/// The hardware address of another host.
const RIVAL: MacAddress = MacAddress([8, 0, 0x20, 1, 2, 3]);

/// Whether a step can be taken as things are, and was.
pub(in super::super) fn take(host: &mut Host, step: &Step) -> bool {
    match step {
        Step::Happen(happening) => happen(host, happening),
        Step::Unheard(happenings) => {
            let happened = happen_unheard(host, happenings);
            let kernel = host.kernel.clone();
            host.change(Change::Resync(kernel));
            happened
        }
        Step::Type(typed) => enter(host, typed),
        Step::Silence(i, true) => host.silent.insert(NAMES[*i].to_owned()),
        Step::Silence(i, false) => host.silent.remove(NAMES[*i]),
        Step::Pass(seconds) => {
            host.pass(Duration::from_secs(*seconds));
            *seconds > 0
        }
        Step::Failback(on) => host.failback(*on),
        Step::Kill {
            after,
            amid,
            meanwhile,
            forgotten,
        } => {
            host.killed_after = Some(*after);
            match amid {
                Cause::Happening(happening) => happen(host, happening),
                Cause::Typed(typed) => enter(host, typed),
            };
            host.is_dead = true;
            happen_unheard(host, meanwhile);
            if *forgotten {
                host.saved = None;
            }
            host.restart();
            true
        }
        Step::Refuse(i) => {
            host.refused.push(REFUSED[*i].to_owned());
            true
        }
        Step::Fail(count) => {
            host.failing += count;
            true
        }
        Step::Rival(n, takes) => {
            let asked = host.engine.asked.logicals.iter();
            let asked = asked.map(|logical| logical.address.ip);
            let free = (150..154).map(|host| [192, 168, 0, host].into());
            let ours = |ip: &IpAddr| !ip.is_unspecified();
            let Some(ip) = asked.filter(ours).chain(free).nth(*n) else {
                return false;
            };
            let is_new = match *takes {
                Some(is_said) => {
                    if is_said {
                        host.gratuitous(&ip.to_string(), RIVAL);
                    }
                    host.rivals.insert(ip, RIVAL).is_none()
                }
                None => host.rivals.remove(&ip).is_some(),
            };
            // Unheard they do nothing.
            is_new && host.settings.duplicate_address_detection
        }
        Step::Detect(detects) => {
            let mut settings = host.settings.clone();
            settings.duplicate_address_detection = *detects;
            let is_new = settings != host.settings;
            host.configure(settings);
            is_new
        }
        Step::Permit => {
            host.refused.clear();
            host.failing = 0;
            host.pass(Duration::from_mins(2));
            true
        }
    }
}

/// Nothing stands in the way any more, no other host has an address of ours, and time passes until that
/// was noticed.
pub(in super::super) fn mend(host: &mut Host) {
    host.rivals.clear();
    // Whatever they are called.
    let links: Vec<u32> = host.kernel.links.keys().copied().collect();
    for index in links {
        host.by_hand(|kernel| {
            reference::set_link(kernel, index, |link| link.mtu = link.mtu.max(1500)).unwrap()
        });
    }
    take(host, &Step::Permit);
    host.pass(Duration::from_mins(1));
    // Seldom, and longer than all else takes.
    let mut conflicts = host.engine.conflicts.seen().into_iter();
    if conflicts.any(|conflict| conflict.withheld) {
        host.pass(Duration::from_mins(3));
    }
}

fn happen_unheard(host: &mut Host, happenings: &[Happening]) -> bool {
    let was_dead = std::mem::replace(&mut host.is_dead, true);
    let mut happened = false;
    for happening in happenings {
        happened |= happen(host, happening);
    }
    host.is_dead = was_dead;
    happened
}

/// The link called so, by number.
fn called(kernel: &Kernel, name: &str) -> Option<u32> {
    let mut links = kernel.links.values();
    links
        .find(|link| link.name.as_str() == name)
        .map(|link| link.index)
}

/// What an interface is called while it has not its own name.
fn other_name(i: usize) -> String {
    format!("eth{i}")
}

fn own_mac(i: usize) -> MacAddress {
    MacAddress([8, 0, 0x20, 0xc0, 0, u8::try_from(i).unwrap()])
}

/// Whether something can happen as things are, and did.
fn happen(host: &mut Host, happening: &Happening) -> bool {
    let kernel = &host.kernel;
    let set = |host: &mut Host, i: usize, set: &dyn Fn(&mut crate::kernel::Link)| {
        let Some(index) = called(&host.kernel, NAMES[i]) else {
            return false;
        };
        host.by_hand(|kernel| reference::set_link(kernel, index, set).unwrap());
        true
    };
    match *happening {
        Happening::Carrier(i, on) => {
            let is_there = called(kernel, NAMES[i]).is_some();
            if is_there {
                host.carrier(NAMES[i], on);
            }
            is_there
        }
        Happening::AdminUp(i, on) => set(host, i, &|link| link.up = on),
        Happening::Unplug(i) => {
            let is_there = called(kernel, NAMES[i]).is_some();
            if is_there {
                host.unplug(NAMES[i]);
            }
            is_there
        }
        Happening::Plug(i) => {
            let is_known = host.engine.asked.interfaces.keys();
            let mut is_known = is_known.map(crate::InterfaceName::as_str);
            let is_away = is_known.any(|known| known == NAMES[i])
                && called(kernel, NAMES[i]).is_none()
                && called(kernel, &other_name(i)).is_none();
            if is_away {
                host.plug(NAMES[i]);
            }
            is_away
        }
        Happening::Exchange(i) => {
            let Some(index) = called(kernel, NAMES[i]) else {
                return false;
            };
            let link = host.new_link(NAMES[i]);
            host.by_hand(|kernel| {
                kernel.apply(Change::LinkGone(index));
                let mut changes = vec![Change::LinkGone(index)];
                changes.extend(reference::plug(kernel, link));
                changes
            });
            true
        }
        Happening::Rename(i) => {
            let own = called(kernel, NAMES[i]);
            let (index, name) = match own {
                Some(index) => (Some(index), other_name(i)),
                None => (called(kernel, &other_name(i)), NAMES[i].to_owned()),
            };
            let Some(index) = index else {
                return false;
            };
            let name = name.parse().unwrap();
            host.by_hand(|kernel| {
                reference::set_link(kernel, index, |link| link.name = name).unwrap()
            });
            true
        }
        Happening::Mac(i, j) => set(host, i, &|link| link.mac = Some(own_mac(j))),
        Happening::Mtu(i, on) => set(host, i, &|link| link.mtu = if on { 1500 } else { 1000 }),
        Happening::Foreign(i, n) => {
            let ip = format!("192.168.0.{}", 200 + n);
            put(
                host,
                NAMES[i],
                InterfaceAddress::new(ip.parse().unwrap(), 24),
                true,
            )
        }
        Happening::Copy(n, i, is_alone) => {
            let data = host.engine.asked.logicals.iter();
            let data = data.filter(|l| l.is_movable() && l.is_up() && l.address.ip.is_ipv4());
            let Some(ip) = data.map(|logical| logical.address.ip).nth(n) else {
                return false;
            };
            let prefix = if is_alone { 32 } else { 24 };
            let name = NAMES.get(i).copied().unwrap_or(OUTSIDE);
            put(
                host,
                name,
                InterfaceAddress::new(ip, prefix),
                name == OUTSIDE,
            )
        }
        Happening::RemoveAddress(n) => {
            let key = kernel.addresses.keys().nth(n).copied();
            let Some((index, address)) = key.filter(|(index, _)| *index > 1) else {
                return false;
            };
            host.by_hand(|kernel| reference::remove_address(kernel, index, address));
            true
        }
        Happening::RemoveNexthop(n) => {
            let Some(id) = kernel.nexthops.keys().nth(n).copied() else {
                return false;
            };
            host.change(Change::NexthopGone(id));
            true
        }
        Happening::AddRoute(i, table) => {
            let Some(index) = called(kernel, NAMES[i]) else {
                return false;
            };
            let gateway = Some("192.168.0.1".parse().unwrap());
            let route = Route {
                table: TABLES[table],
                destination: InterfaceAddress::new("0.0.0.0".parse().unwrap(), 0),
                metric: 100,
                protocol: STATIC,
                via: Via::Link { index, gateway },
                source: None,
            };
            let is_new = !kernel.routes.contains(&route);
            if is_new {
                host.change(Change::Route(route));
            }
            is_new
        }
        Happening::RemoveRoute(n) => {
            let Some(route) = kernel.routes.iter().nth(n).cloned() else {
                return false;
            };
            host.change(Change::RouteGone(route));
            true
        }
        Happening::ResetSysctls(i) => {
            let Some(index) = called(kernel, NAMES[i]) else {
                return false;
            };
            let of_link = kernel.sysctls.keys().filter(|(on, _)| *on == index);
            let changes = of_link.map(|&(on, sysctl)| Change::Sysctl(on, sysctl, 0));
            host.changes(changes.collect());
            true
        }
    }
}

/// Another hand puts an address on a link.
fn put(host: &mut Host, name: &str, address: InterfaceAddress, is_theirs: bool) -> bool {
    let Some(index) = called(&host.kernel, name) else {
        return false;
    };
    let key = (index, address);
    if host.kernel.addresses.contains_key(&key) {
        return false;
    }
    if is_theirs {
        host.others.insert(key);
    }
    let new = Address {
        index,
        address,
        broadcast: None,
        label: Some(name.to_owned()),
        protocol: 0,
        deprecated: false,
        secondary: false,
        no_prefix_route: false,
        duplicate: false,
        dynamic: false,
        form: crate::kernel::Form::default(),
    };
    host.by_hand(|kernel| reference::add_address(kernel, new).unwrap());
    true
}

/// Whether what the administrator types is taken.
fn enter(host: &mut Host, typed: &Typed) -> bool {
    let set = |host: &mut Host, i: usize, words: &str| {
        host.ifconfig(&format!("{} {words}", NAMES[i])).is_empty()
    };
    match *typed {
        // The addresses of an absent interface have no other place when their group dissolves.
        Typed::Group(..) if is_any_absent(host) => false,
        Typed::Group(i, true) => set(host, i, "group g"),
        Typed::Group(i, false) => set(host, i, "group none"),
        Typed::Offline(i, true) => {
            let can = can_leave(host, NAMES[i]);
            let is_done = set(host, i, "offline");
            assert!(is_done || !can || host.is_dead, "{} may go", NAMES[i]);
            is_done
        }
        Typed::Offline(i, false) => set(host, i, "online"),
        Typed::Standby(i, true) => set(host, i, "standby"),
        Typed::Standby(i, false) => set(host, i, "-standby"),
        Typed::Move(n, i) => {
            let data = host.engine.asked.logicals.iter().filter(|l| l.is_movable());
            let Some(address) = data.map(|logical| logical.address.ip).nth(n) else {
                return false;
            };
            let interface = NAMES[i].parse().unwrap();
            host.ask(Command::Move { address, interface }).is_ok()
        }
        Typed::Add(i, n) => {
            let ip = format!("192.168.0.{}", 150 + n);
            let created = host.ifconfig(&format!("{} addif {ip}", NAMES[i]));
            let created = created.parse::<LogicalName>();
            created.is_ok_and(|name| host.ifconfig(&format!("{name} up")).is_empty())
        }
        Typed::Remove(i, n) => set(host, i, &format!("removeif 192.168.0.{}", 150 + n)),
        Typed::Up(n, on) => {
            let data = host.engine.asked.logicals.iter().filter(|l| l.is_movable());
            let data: Vec<&Logical> = data.filter(|l| !l.address.ip.is_unspecified()).collect();
            let Some(logical) = data.get(n).filter(|logical| logical.is_up() != on) else {
                return false;
            };
            let name = host.engine.place_of(logical);
            let family = match logical.family() {
                Family::Inet => "inet",
                Family::Inet6 => "inet6",
            };
            let word = if on { "up" } else { "down" };
            host.ifconfig(&format!("{name} {family} {word}")).is_empty()
        }
    }
}

/// Whether nothing keeps an interface in service: it has nothing up that moves, and another member works.
fn can_leave(host: &Host, name: &str) -> bool {
    let (engine, name) = (&host.engine, name.parse().unwrap());
    let Some(group) = engine.group_of(&name).filter(|_| !engine.is_offline(&name)) else {
        return false;
    };
    let mut logicals = engine.asked.logicals.iter();
    let mut members = engine.asked.interfaces.iter();
    host.refused.is_empty()
        && host.failing == 0
        && host.killed_after.is_none()
        && logicals.all(|logical| {
            !logical.is_movable() || !logical.is_up() || engine.place_of(logical).interface != name
        })
        && members.any(|(other, interface)| {
            let state = engine.state(other, engine.link(other));
            *other != name
                && interface.group.as_ref() == Some(group)
                && engine.link(other).is_some()
                && matches!(state, InterfaceState::Ok | InterfaceState::Unknown)
        })
}

fn is_any_absent(host: &Host) -> bool {
    let mut interfaces = host.engine.asked.interfaces.keys();
    interfaces.any(|name| host.kernel.link(name).is_none())
}
