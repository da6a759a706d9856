//! The daemon is killed before and after every single request it sends to the kernel, and at every
//! step of saving its state, in whatever it does: what worked goes on working while no daemon is
//! there, and the next one ends where the killed one would have.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use ipmp_core::kernel::{Hop, Kernel, PROTOCOL, Route, Via};
use ipmp_fault::Point;
use ipmp_lab::traffic::Ping;
use ipmp_lab::wait_until;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::bed::{Bed, PATIENCE, same};
use crate::scene::by_hand;

tests![
    killed_in_failover_and_failback,
    killed_in_offline_and_online,
    killed_in_leaving_and_joining,
    killed_in_booting_and_unplumbing,
    killed_in_tearing_down,
];

/// Link state alone decides, so that every change is known at once; and no number of failures has a NIC
/// wait.
const SETTINGS: &str = "\
[defaults]
probe-method = \"icmp\"
dampening-half-life = \"off\"
";

/// Two NICs with a data address of each family, one that stays, and a default route of somebody else's.
const FILES: [(&str, &str); 4] = [
    (
        "/etc/hostname.ge0",
        "192.168.0.86 netmask + broadcast + group g up\naddif 192.168.0.87 deprecated -failover -xmit up\n",
    ),
    (
        "/etc/hostname.ge1",
        "192.168.0.88 netmask + broadcast + group g up\naddif 192.168.0.89 deprecated -failover -xmit up\n",
    ),
    ("/etc/hostname6.ge0", "up\naddif fd00::86/64 up\n"),
    ("/etc/hostname6.ge1", "up\naddif fd00::88/64 up\n"),
];

/// Where it is told to die.
const FAULT: &str = "/run/fault";

/// What the daemon is to do, and what must be there whenever it is killed amid it.
struct Deed {
    name: &'static str,
    does: fn(&Bed) -> Result<(), Failed>,
    /// Addresses that nobody can be asked to serve before it is done, as they have no NIC that works.
    homeless: &'static [&'static str],
    /// The NIC that does not work meanwhile.
    dead: Option<&'static str>,
    /// Whether whoever asks for it starts the next daemon by himself, and goes on with that one.
    revives: bool,
}

const ADDRESSES: [&str; 4] = ["192.168.0.86", "192.168.0.88", "fd00::86", "fd00::88"];
const OF_GE1: [&str; 2] = ["192.168.0.88", "fd00::88"];

fn killed_in_failover_and_failback() -> Result<(), Failed> {
    there_and_back(
        &Deed {
            name: "failover",
            does: |bed| Ok(bed.ge1.cable.pull()?),
            homeless: &OF_GE1,
            dead: Some("ge1"),
            revives: false,
        },
        &Deed {
            name: "failback",
            does: |bed| Ok(bed.ge1.cable.plug()?),
            homeless: &[],
            dead: None,
            revives: false,
        },
    )
}

fn killed_in_offline_and_online() -> Result<(), Failed> {
    there_and_back(
        &command("offline", |bed| types(bed, "if_mpadm -d ge0")),
        &command("online", |bed| types(bed, "if_mpadm -r ge0")),
    )
}

fn killed_in_leaving_and_joining() -> Result<(), Failed> {
    // Else it would start the next daemon itself, and nobody would see what is left.
    const ALONE: &str = "env SUNW_NO_MPATHD=1 ifconfig ge0 group";
    there_and_back(
        &command("leaving", |bed| types(bed, &format!("{ALONE} ''"))),
        &command("joining", |bed| types(bed, &format!("{ALONE} g"))),
    )
}

fn killed_in_booting_and_unplumbing() -> Result<(), Failed> {
    let unplumb = |bed: &Bed| {
        for line in [
            "ifconfig ge1 inet6 unplumb",
            "ifconfig ge1 unplumb",
            "ifconfig ge0 inet6 unplumb",
            "ifconfig ge0 unplumb",
        ] {
            let output = bed.host1.run(line)?;
            if !output.success() && !output.stderr.contains("no such interface") {
                // The next one would start another daemon.
                break;
            }
        }
        Ok(())
    };
    there_and_back(
        &Deed {
            homeless: &ADDRESSES,
            ..command("unplumbing", unplumb)
        },
        &Deed {
            revives: true,
            // It does not give up for that.
            ..command("booting", |bed| bed.types("ipmp boot").map(drop))
        },
    )
}

fn killed_in_tearing_down() -> Result<(), Failed> {
    let bed = booted()?;
    let start = bed.settles()?;
    bed.types("ipmp teardown")?;
    let end = bed.settles()?;
    let deed = command("tearing down", |_| Ok(()));
    let mut killed = 0;
    for point in Point::ALL {
        for number in 1.. {
            let what = format!("torn down, killed {} {number}", point.name());
            // What stays are ordinary addresses. Those that are there before stay as they are.
            for nic in ["ge0", "ge1"] {
                by_hand(&bed.host1, &format!("ip addr flush dev {nic} scope global"))?;
            }
            bed.starts_mortal()?;
            bed.types("ipmp boot")?;
            bed.becomes(&format!("{what}: booted"), &start)?;
            bed.dooms(point, number)?;
            // It cannot start the next daemon itself.
            let output = bed
                .host1
                .run("env IPMP_MPATHD=/nonexistent ipmp teardown")?;
            if output.success() {
                // It was done before it came that far.
                bed.host1.write_file(FAULT, "")?;
                bed.becomes(&what, &end)?;
                break;
            }
            bed.awaits_no_daemon()?;
            bed.serves(&deed)
                .map_err(|error| format!("{what}: {error:?}"))?;
            bed.types("ipmp teardown")?;
            bed.becomes(&what, &end)?;
            killed += 1;
        }
    }
    writeln!(
        std::io::stdout(),
        "the daemon was killed this often amid tearing down: {killed}"
    )?;
    same("killed often", &(killed > 20), &true)
}

fn command(name: &'static str, does: fn(&Bed) -> Result<(), Failed>) -> Deed {
    Deed {
        name,
        does,
        homeless: &[],
        dead: None,
        revives: false,
    }
}

/// Types a command that fails where the daemon dies of it, or says that it was done before.
fn types(bed: &Bed, line: &str) -> Result<(), Failed> {
    bed.host1.run(line)?;
    Ok(())
}

/// What there is to see of a host once it is quiet, line by line: listings, and what the kernel holds.
/// Nexthop objects stand there as what they are, as their numbers mean nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen(Vec<String>);

impl Seen {
    fn of(bed: &Bed) -> Result<Self, Failed> {
        let mut lines = Vec::new();
        for listing in ["ifconfig -a", "ipmpstat -i", "ipmpstat -a", "ipmpstat -g"] {
            lines.extend(bed.host1.run(listing)?.stdout.lines().map(str::to_owned));
        }
        let kernel = bed.kernel()?;
        lines.extend(kernel.links.values().map(|link| format!("{link:?}")));
        let addresses = kernel.addresses.values();
        lines.extend(addresses.map(|address| format!("{address:?}")));
        let sysctls = kernel.sysctls.iter();
        lines.extend(sysctls.map(|((link, name), value)| format!("link {link}: {name:?}={value}")));
        let routes = kernel.routes.iter();
        let mut routes: Vec<_> = routes
            .map(|route| match route.via {
                Via::Nexthop(id) => {
                    let via = Via::Nexthop(0);
                    let numberless = Route {
                        via,
                        ..route.clone()
                    };
                    format!("{numberless:?} through {:?}", hops(&kernel, id))
                }
                Via::Link { .. } | Via::Other => format!("{route:?}"),
            })
            .collect();
        let nexthops = kernel.nexthops.values();
        let ours = nexthops.filter(|nexthop| nexthop.protocol == PROTOCOL);
        routes.extend(ours.map(|nexthop| format!("nexthop {:?}", hops(&kernel, nexthop.id))));
        routes.sort();
        lines.append(&mut routes);
        Ok(Self(lines))
    }

    /// The lines that are in one of both only.
    fn differs(&self, expected: &Self) -> String {
        let only = |these: &[String], those: &[String], mark: &str| {
            let mut left: Vec<&String> = those.iter().collect();
            let mut only = String::new();
            for line in these {
                match left.iter().position(|other| *other == line) {
                    Some(at) => drop(left.remove(at)),
                    None => only.extend([mark, line, "\n"]),
                }
            }
            only
        };
        only(&self.0, &expected.0, "  seen:     ") + &only(&expected.0, &self.0, "  expected: ")
    }
}

/// What a nexthop is, or the members of the group that it is.
fn hops(kernel: &Kernel, id: u32) -> Vec<Hop> {
    let mut hops = match kernel.nexthops.get(&id).map(|nexthop| &nexthop.hop) {
        Some(Hop::Group(members)) => {
            let members = members.iter().filter_map(|id| kernel.nexthops.get(id));
            members.map(|member| member.hop.clone()).collect()
        }
        Some(hop) => vec![hop.clone()],
        None => Vec::new(),
    };
    hops.sort();
    hops
}

impl Bed {
    /// Starts a daemon that may be told to die.
    fn starts_mortal(&self) -> Result<(), Failed> {
        self.types(&format!("env IPMP_FAULT={FAULT} in.mpathd"))?;
        Ok(())
    }

    /// Tells it where.
    fn dooms(&self, point: Point, number: u32) -> Result<(), Failed> {
        Ok(self
            .host1
            .write_file(FAULT, &format!("{} {number}", point.name()))?)
    }

    /// Waits until it has died, or the deed is done without it having come that far: what it does varies
    /// with what it is told at once. Whether it has died.
    fn dies(&self, deed: &Deed, end: &Seen) -> Result<bool, Failed> {
        let is_dead = || {
            let fault = self.host1.read_file(FAULT);
            fault.is_ok_and(|text| text.ends_with(" 0"))
        };
        wait_until("it dies or is done", PATIENCE, || {
            is_dead() || Seen::of(self).is_ok_and(|seen| seen == *end)
        })?;
        let died = is_dead();
        if !died {
            self.host1.write_file(FAULT, "")?;
        }
        if deed.revives {
            // By one that is immortal.
            self.signals_daemon(Signal::SIGTERM)?;
        }
        if died || deed.revives {
            self.awaits_no_daemon()?;
        }
        Ok(died)
    }

    /// How often it has passed a point since this was last asked.
    fn passed(&self) -> Result<BTreeMap<&'static str, u32>, Failed> {
        let file = format!("{FAULT}.passed");
        let text = self.host1.read_file(&file).unwrap_or_default();
        self.host1.write_file(&file, "")?;
        let count = |point: Point| {
            let lines = text.lines().filter(|line| *line == point.name());
            u32::try_from(lines.count()).unwrap_or(u32::MAX)
        };
        Ok(Point::ALL
            .into_iter()
            .map(|point| (point.name(), count(point)))
            .collect())
    }

    /// Waits until nothing has changed for a while; what there is to see then.
    fn settles(&self) -> Result<Seen, Failed> {
        let mut last = None;
        let mut since = 0;
        wait_until("nothing changes any more", PATIENCE, || {
            let seen = Seen::of(self).ok();
            since = if seen == last { since + 1 } else { 0 };
            last = seen;
            since > 10
        })?;
        last.ok_or_else(|| "nothing to be seen".into())
    }

    /// Waits until there is this to see.
    fn becomes(&self, what: &str, expected: &Seen) -> Result<(), Failed> {
        let mut last = None;
        let is = wait_until(what, PATIENCE, || {
            last = Seen::of(self).ok();
            last.as_ref() == Some(expected)
        });
        is.map_err(|error| {
            let differs = last.map(|last| last.differs(expected));
            let log = self.log().unwrap_or_default();
            format!("{error}\n{}{log}", differs.unwrap_or_default())
        })?;
        Ok(())
    }

    /// Fails unless whatever can be served is, without a daemon.
    fn serves(&self, deed: &Deed) -> Result<(), Failed> {
        // What neighbours believe, and how soon they doubt it, is theirs.
        by_hand(&self.host2, "ip neighbour flush all")?;
        for address in ADDRESSES {
            let ip: IpAddr = address.parse()?;
            let holders = self.holders(ip)?;
            let works = |nic: &String| Some(nic.as_str()) != deed.dead;
            if !holders.iter().any(works) {
                if deed.homeless.contains(&address) {
                    continue;
                }
                return Err(format!("{address} is on {holders:?}").into());
            }
            let trail = Ping::count(&self.host2, ip, 3, Duration::from_millis(20))?;
            if trail.received() == 0 {
                return Err(format!("{address}, on {holders:?}, does not answer").into());
            }
        }
        Ok(())
    }
}

/// Both NICs in a group, by the files, with a daemon that may be told to die.
fn booted() -> Result<Bed, Failed> {
    let bed = Bed::new(1000)?;
    bed.host2.configure("ge0", "fd00::2/64")?;
    bed.host1.write_file("/etc/ipmp.toml", SETTINGS)?;
    for nic in ["ge0", "ge1"] {
        // Else link-local addresses come seconds later.
        for name in ["dad_transmits", "router_solicitation_delay"] {
            let sysctl = format!("net/ipv6/conf/{nic}/{name}");
            bed.host1.set_sysctl(&sysctl, "0")?;
        }
    }
    for (file, text) in FILES {
        bed.host1.write_file(file, text)?;
    }
    bed.starts_mortal()?;
    bed.types("ipmp boot")?;
    Ok(bed)
}

/// Does one thing and the other in turns, each time killed somewhere else, until both were killed
/// everywhere.
fn there_and_back(there: &Deed, back: &Deed) -> Result<(), Failed> {
    let bed = booted()?;
    bed.settles()?;
    by_hand(&bed.host1, "ip route add default via 192.168.0.2 dev ge0")?;
    bed.settles()?;

    // Once through undisturbed, to see where each ends and how much it does. Twice, as unplumbing
    // takes the route of the other hand along.
    let mut ends = Vec::new();
    for deed in [there, back, there, back] {
        bed.passed()?;
        (deed.does)(&bed)?;
        let end = bed.settles()?;
        ends.push((deed, bed.passed()?, end));
    }
    let ends = ends.split_off(2);

    let most = |(_, passed, _): &(&Deed, BTreeMap<&str, u32>, Seen)| {
        passed.values().copied().max().unwrap_or_default()
    };
    let most = ends.iter().map(most).max().unwrap_or_default();
    let mut killed = BTreeMap::new();
    for point in Point::ALL {
        for number in 1..=most {
            let reached = |(_, passed, _): &&(&Deed, BTreeMap<&str, u32>, Seen)| {
                passed.get(point.name()).is_some_and(|&many| many >= number)
            };
            if !ends.iter().any(|end| reached(&end)) {
                break;
            }
            for end in &ends {
                let (deed, _, seen) = end;
                let what = format!("{} killed {} {number}", deed.name, point.name());
                let is_doomed = reached(&end);
                if is_doomed {
                    bed.dooms(point, number)?;
                }
                (deed.does)(&bed).map_err(|error| format!("{what}: {error:?}"))?;
                if is_doomed && deed.revives {
                    bed.becomes(&format!("{what}, and done"), seen)?;
                }
                if is_doomed {
                    let died = bed
                        .dies(deed, seen)
                        .and_then(|died| bed.serves(deed).map(|()| died))
                        .map_err(|error| format!("{what}: {error:?}"))?;
                    if died || deed.revives {
                        bed.starts_mortal()?;
                    }
                    // Whoever typed it was told that it failed, and types it again.
                    (deed.does)(&bed)?;
                    *killed.entry(deed.name).or_insert(0) += u32::from(died);
                }
                bed.becomes(&what, seen)?;
            }
        }
    }
    let mut out = std::io::stdout();
    writeln!(out, "the daemon was killed this often amid: {killed:?}")?;
    for deed in [there, back] {
        let times = killed.get(deed.name).copied().unwrap_or_default();
        same(
            &format!("{} was killed often", deed.name),
            &(times > 4),
            &true,
        )?;
    }
    Ok(())
}
