//! The engine on a host whose every move comes from the input: cables, devices, other hands, other hosts
//! with our addresses, commands, refusals, kills, forged answers and claims, and time.
//!
//! Whatever happens: no plan takes a data address off the last working link that has it, no address is brought
//! up that another host has ([`rivals`]), the engine comes to rest, and when all is mended every data address
//! is on one link that works, the test addresses on their own, no conflict is left, and nothing is left to
//! be planned.

mod rivals;
mod world;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipmp_core::detect::{Advertisement, EchoReply, Neighbour, Reply};
use ipmp_core::kernel::{Kernel, Route};
use ipmp_core::plan::{NewAddress, Operation, Plain};
use ipmp_core::{
    Claim, Command, Confirm, Engine, GroupSettings, InterfaceAddress, MacAddress, ProbeMethod,
    Settings,
};

use self::world::{DATA, NICS, World, ours};
use crate::input::Input;

/// More steps tell nothing new.
const STEPS: usize = 64;

/// How long everything may take to be well again when all is mended: two holds on links that flap.
const CALM: Duration = Duration::from_mins(3);

/// Three links as a daemon finds them, and loopback.
pub(crate) fn three_links() -> Kernel {
    World::new(asking_nobody(), None).kernel
}

/// An engine with lab 1 set up on three links.
pub(crate) fn set_up() -> Engine {
    let mut world = World::new(asking_nobody(), None);
    world.set_up(true, false, false);
    world.engine
}

/// See the module.
pub fn engine(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let shape = input.byte();
    let settings = Settings {
        duplicate_address_detection: shape & 16 != 0,
        ..calm_settings(input.byte())
    };
    let mut world = World::new(settings.clone(), None);
    world.set_up(shape & 1 == 0, shape & 2 != 0, shape & 4 != 0);
    world.pass(Duration::from_secs(5));
    for _ in 0..STEPS {
        if input.is_over() {
            break;
        }
        step(&mut world, &mut input);
        world.check();
    }
    world.mend(settings);
    world.pass(CALM);
    world.is_well();
}

/// Settings under which nobody else is asked for addresses.
fn asking_nobody() -> Settings {
    Settings {
        duplicate_address_detection: false,
        ..Settings::default()
    }
}

/// Settings under which repairs are not held back for long.
fn calm_settings(choice: u8) -> Settings {
    Settings {
        common: GroupSettings {
            failure_detection_time: Duration::from_secs(if choice & 1 == 0 { 10 } else { 2 }),
            probe: match choice & 6 {
                2 => ProbeMethod::Icmp,
                4 => ProbeMethod::Arp,
                _ => ProbeMethod::Auto,
            },
            confirm: (choice & 8 == 0).then(Confirm::default),
            dampening: None,
            quiet_period: Duration::from_secs(1),
            ..GroupSettings::default()
        },
        ..asking_nobody()
    }
}

fn step(world: &mut World, input: &mut Input<'_>) {
    let kind = input.byte();
    let nic = input.pick(&NICS).copied().unwrap_or("ge0");
    // Others than ours came to be when there were inputs already.
    if kind >= OTHER_HOSTS {
        return other_hosts(world, nic, kind - OTHER_HOSTS, input);
    }
    match kind % 24 {
        0 | 1 => world.change_link(nic, |link| link.carrier = !link.carrier),
        2 => world.change_link(nic, |link| link.up = !link.up),
        3 | 4 => world.toggle_silence(nic),
        5 => world.unplug(nic),
        6 => world.plug(nic),
        7 | 8 => world.pass(Duration::from_millis(u64::from(input.byte()) * 40)),
        9 => world.ask(Command::Offline {
            interface: world::name(nic),
        }),
        10 => world.ask(Command::Online {
            interface: world::name(nic),
        }),
        11 => world.refused = usize::from(input.byte() % 8),
        12 => {
            let keys: Vec<_> = world.kernel.addresses.keys().copied().collect();
            if let Some(&(index, address)) = input.pick(&keys) {
                world.hand(&Operation::RemoveAddress { index, address });
            }
        }
        13 => {
            let ids: Vec<u32> = world.kernel.nexthops.keys().copied().collect();
            if let Some(&id) = input.pick(&ids) {
                world.hand(&Operation::RemoveNexthop(id));
            }
        }
        14 => {
            let routes: Vec<Route> = world.kernel.routes.iter().cloned().collect();
            if let Some(route) = input.pick(&routes) {
                world.hand(&Operation::RemoveRoute(route.clone()));
            }
        }
        15 => world.kill_after(usize::from(input.byte() % 12)),
        16 => {
            let settings = Settings {
                common: GroupSettings {
                    failback: input.bit(),
                    failure_detection_time: Duration::from_millis(
                        20 + u64::from(input.byte()) * 100,
                    ),
                    ..calm_settings(input.byte()).common
                },
                duplicate_address_detection: world.asks(),
                ..Settings::default()
            };
            world.configure(settings);
        }
        17 => {
            let address = input.pick(&DATA).copied();
            if let (Some(index), Some(address)) = (world.index(nic), address) {
                let (deprecated, is_like_ours) = (input.bit(), input.bit());
                world.hand(&Operation::AddAddress(NewAddress {
                    index,
                    address: InterfaceAddress::new(address.into(), 24),
                    broadcast: None,
                    label: None,
                    deprecated,
                    no_prefix_route: is_like_ours,
                    plain: (!is_like_ours).then(Plain::default),
                }));
            }
        }
        18 => world.reply(forged(world, nic, input)),
        19 => {
            let known = (0..input.byte() % 4).map(|_| Neighbour {
                index: u32::from(input.byte() % 6),
                address: any_address(input),
            });
            let known = known.collect();
            world.neighbours(known);
        }
        20 => world.ask(Command::SetStandby {
            interface: world::name(nic),
            on: input.bit(),
        }),
        21 => world.ask(Command::SetFailed {
            interface: world::name(nic),
            on: input.bit(),
        }),
        22 => world.observe(),
        _ => {
            let mac = MacAddress([2, 0, 0, 0, 0, input.byte() % 4]);
            world.change_link(nic, |link| link.mac = Some(mac));
        }
    }
}

/// The first of the kinds of steps in which other hosts matter.
const OTHER_HOSTS: u8 = 240;

/// Other hosts have our addresses, or say so; others are asked, or not any more.
fn other_hosts(world: &mut World, nic: &str, kind: u8, input: &mut Input<'_>) {
    let ours: Vec<IpAddr> = ours().collect();
    let Some(&ip) = input.pick(&ours) else {
        return;
    };
    // Some are those of our own links.
    let mac = MacAddress([2, 0, 0, 0, input.byte() % 4, input.byte()]);
    match kind {
        0..5 => world.rivals.toggle(ip, mac),
        5..9 => {
            let index = world.index(nic).unwrap_or_default();
            let received = world.now;
            world.claim(Claim {
                index,
                ip,
                mac,
                received,
            });
        }
        9..11 => world.toggle_asking(),
        _ => world.bring_up(ip, input.bit()),
    }
}

/// Something that looks like an answer.
fn forged(world: &World, nic: &str, input: &mut Input<'_>) -> Reply {
    let index = world.index(nic).unwrap_or_default();
    let received = world.now;
    if input.bit() {
        let mut payload = [0; 16];
        payload.fill_with(|| input.byte());
        Reply::Echo(EchoReply {
            index,
            source: any_address(input),
            destination: any_address(input),
            identifier: input.byte().into(),
            sequence: input.byte().into(),
            payload,
            received,
        })
    } else {
        Reply::Advertisement(Advertisement {
            index,
            target: any_address(input),
            mac: MacAddress([2, 0, 0, 0, 0, input.byte()]),
            received,
        })
    }
}

fn any_address(input: &mut Input<'_>) -> IpAddr {
    Ipv4Addr::new(192, 168, 0, input.byte()).into()
}
