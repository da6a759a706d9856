//! `ipmp status`: groups, their interfaces, where each address is and why, and what the last failover
//! took, on one screen.

use std::fmt::Write;
use std::io;

use ipmp_api::TO_START;
use ipmp_core::record::{Direction, Outage};
use ipmp_core::snapshot::{
    Conflict, Contested, Failing, GroupState, Interface, InterfaceState, Logical, ProbeState,
};
use ipmp_core::{Flags, GroupName, InterfaceName, Snapshot};

use crate::console::{Console, FAILED, OK};
use crate::daemon::{Clocks, Environment, Failure};
use crate::document::{self, Document};
use crate::events::complain;
use crate::ifconfig::display_name;
use crate::terminal::{Paint, Terminal, fitted};

const TOOL: &str = "ipmp";

const USAGE: &str = "\
usage: ipmp status [--json]
  Shows groups, their interfaces, where each address is and why, and what the
  last failover took: from the last sign of life to its being declared, from
  then until the addresses were in place, and until the neighbours had been
  told.
  --json    one JSON document with all there is to tell (docs/json.md)
Examples:
  ipmp status
  ipmp status --json | jq '.outages[-1].move_ms'
See also: ipmp explain ge0
";

/// Addresses of an interface that are shown at most; fewer where that would not fit.
const ADDRESSES: usize = 1000;

/// Columns that the screen is to fit into where there is no terminal.
const COLUMNS: usize = 80;

/// Columns in front of the name of a logical.
const INDENT: usize = 4;

/// Columns of its name, at least. The name of an interface has two less.
const NAME: usize = 12;

/// Columns in front of the name of an interface.
const INTERFACE_INDENT: usize = 2;

/// Columns of its address, at least.
const ADDRESS: usize = 24;

/// Runs `ipmp status` with `arguments`, the verb not among them.
pub fn run(
    arguments: &[String],
    terminal: &dyn Terminal,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> u8 {
    let result = match arguments {
        [] => show(false, terminal, environment, console),
        [json] if json == "--json" => show(true, terminal, environment, console),
        [help] if help == "--help" => return console.help(TOOL, USAGE),
        _ => Ok(console.misused(arguments, USAGE)),
    };
    console.finish(TOOL, result)
}

fn show(
    json: bool,
    terminal: &dyn Terminal,
    environment: &mut Environment<'_>,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let (seen, running) = match environment.daemon.snapshot() {
        Err(Failure::NotRunning) => (environment.daemon.view(), false),
        seen => (seen, true),
    };
    let snapshot = match seen {
        Ok(snapshot) => snapshot,
        Err(failure) => {
            complain(&failure, console);
            return Ok(FAILED);
        }
    };
    let clocks = environment.daemon.clocks();
    if json {
        console.say(document(&snapshot, running, clocks).text(false)?)?;
        return Ok(OK);
    }
    let paint = Paint(terminal.has_colours());
    let mut text = String::new();
    if !running {
        text.push_str("in.mpathd is not running: nothing is watched\n(");
        text.push_str(TO_START);
        text.push_str(")\n");
    }
    let size = terminal.size();
    let room = size.map_or(usize::MAX, |size| size.rows.saturating_sub(1));
    let columns = size.map_or(usize::MAX, |size| size.columns);
    let screen = |most| {
        let room = size.map_or(COLUMNS, |size| size.columns);
        let look = Look {
            paint,
            most,
            widths: widths(&snapshot, most, room),
            clocks,
            running,
        };
        within(&screen(&snapshot, look), columns)
    };
    // As many addresses as there is room for, an equal number of each interface.
    let fitting = [ADDRESSES, 16, 8, 6, 4, 3, 2, 1, 0]
        .map(screen)
        .into_iter()
        .find(|screen| text.lines().count() + screen.lines().count() <= room);
    match fitting {
        Some(fitting) => text.push_str(&fitting),
        None => text.push_str(&screen(0)),
    }
    console.out.write_all(text.as_bytes())?;
    Ok(OK)
}

/// The same lines, broken where they are wider than that, and set off from those that follow.
fn within(text: &str, columns: usize) -> String {
    let lines = text.lines().flat_map(|line| {
        let indent = line.len() - line.trim_start().len();
        fitted(line, columns, indent + 2)
    });
    lines.fold(String::new(), |mut text, line| {
        text.push_str(&line);
        text.push('\n');
        text
    })
}

fn document(snapshot: &Snapshot, running: bool, clocks: Clocks) -> Document {
    Document {
        running: Some(running),
        groups: Some(document::groups(snapshot)),
        interfaces: Some(document::interfaces(snapshot)),
        addresses: Some(document::addresses(snapshot)),
        targets: Some(document::targets(snapshot)),
        outages: Some(document::outages(snapshot, clocks)),
        contested: Some(document::contested(snapshot, clocks)),
        conflicts: Some(document::conflicts(snapshot, clocks)),
        failing: Some(document::failing(snapshot, clocks)),
        ..Document::new()
    }
}

/// How interfaces and addresses are shown.
#[derive(Clone, Copy)]
struct Look {
    paint: Paint,
    /// How many addresses of each interface at most.
    most: usize,
    widths: Widths,
    clocks: Clocks,
    /// Whether a daemon runs. If not, states are those that the last one left.
    running: bool,
}

impl Look {
    /// A state, and of when it is.
    fn since(self, state: String) -> String {
        if self.running {
            state
        } else {
            state + " when last watched"
        }
    }
}

/// How wide what stands in line is.
#[derive(Clone, Copy)]
struct Widths {
    /// The name of a logical.
    name: usize,
    address: usize,
}

/// The addresses of an interface, placeholders left out.
fn addresses(interface: &Interface) -> impl Iterator<Item = &Logical> {
    let logicals = interface.logicals.iter();
    logicals.filter(|logical| !logical.placeholder && !logical.address.ip.is_unspecified())
}

/// How wide the names and addresses that are shown must be for what follows them to stand in line, addresses so
/// far as all fits into these columns.
fn widths(snapshot: &Snapshot, most: usize, columns: usize) -> Widths {
    let interfaces = || snapshot.interfaces.iter().filter(|it| !it.loopback);
    let shown = interfaces().flat_map(|interface| addresses(interface).take(most));
    let names = interfaces().map(|interface| interface.name.as_str().len() + INTERFACE_INDENT);
    let (mut name, mut address, mut rest) = (names.max().unwrap_or(0).max(NAME), ADDRESS, 0);
    for logical in shown {
        name = name.max(display_name(&logical.name).len());
        address = address.max(logical.address.to_string().len());
        rest = rest.max(role(logical, snapshot).len());
    }
    // The name is indented, and a blank stands behind it and the address.
    let room = columns.saturating_sub(INDENT + name + 1 + 1 + rest);
    Widths {
        name,
        address: address.min(room).max(ADDRESS),
    }
}

/// The screen, line by line as wide as it comes.
fn screen(snapshot: &Snapshot, look: Look) -> String {
    let Look { paint, clocks, .. } = look;
    let mut text = String::new();
    for group in &snapshot.groups {
        let title = match &group.name {
            Some(name) => format!("group {name}"),
            None => "no group, but watched".to_owned(),
        };
        let detection = match group.failure_detection_time {
            Some(time) => format!("failures detected within {:.2}s", time.as_secs_f64()),
            None => "failures detected by link only".to_owned(),
        };
        let state = match group.state {
            GroupState::Ok => paint.good(group.state),
            GroupState::Degraded => paint.warning(group.state),
            GroupState::Failed => paint.bad(group.state),
        };
        // Writing to a String cannot fail.
        let _ = if look.running {
            writeln!(text, "{title}: {state}, {detection}")
        } else {
            writeln!(text, "{title}: {}", look.since(state))
        };
        members(&mut text, snapshot, group.name.as_ref(), true, look);
    }
    let has_others = snapshot
        .interfaces
        .iter()
        .any(|interface| !interface.tracked && !interface.loopback);
    if has_others {
        let _ = writeln!(text, "not watched:");
        members(&mut text, snapshot, None, false, look);
    }
    if snapshot.groups.is_empty() {
        text.push_str("no group; a first one: ifconfig IF plumb ADDRESS group NAME up\n");
    }
    lateness(&mut text, snapshot);
    for direction in [Direction::Failover, Direction::Failback, Direction::Move] {
        let mut outages = snapshot.outages.iter().rev();
        if let Some(last) = outages.find(|outage| outage.direction == direction) {
            last_outage(&mut text, last, clocks);
        }
    }
    for contested in &snapshot.contested {
        let _ = writeln!(
            text,
            "contested: {}\n  {}",
            contested.what,
            by_whom(contested, clocks)
        );
    }
    for conflict in &snapshot.conflicts {
        let (ip, whose) = (conflict.address, by_which(conflict, clocks));
        let _ = writeln!(text, "in use by another host: {ip}\n  {whose}");
    }
    for failing in &snapshot.failing {
        let _ = writeln!(
            text,
            "refused: {}\n  {}",
            failing.what,
            how_often(failing, clocks)
        );
    }
    text
}

/// Who contests something, since when, and when it is tried again.
pub(crate) fn by_whom(contested: &Contested, clocks: Clocks) -> String {
    let by = contested.by.as_deref().unwrap_or("another hand");
    let since = clocks.since(contested.since).as_secs();
    let next = match contested.again {
        Some(again) => format!("again in {} s", again.since(clocks.monotonic).as_secs()),
        None => "tried just now".to_owned(),
    };
    format!("{by} undoes it again and again, since {since} s; {next}")
}

/// Which other host has an address, since when, and what becomes of it.
pub(crate) fn by_which(conflict: &Conflict, clocks: Clocks) -> String {
    let Conflict { mac, interface, .. } = conflict;
    let since = clocks.since(conflict.since).as_secs();
    match conflict.again {
        Some(again) => format!(
            "by {mac} on {interface}, since {since} s; not brought up, again in {} s",
            again.since(clocks.monotonic).as_secs()
        ),
        None => format!(
            "by {mac} on {interface}, since {since} s, last heard {}",
            ago(clocks.since(conflict.heard).as_secs())
        ),
    }
}

/// Why something is refused, how often it was tried, and when it is tried again.
pub(crate) fn how_often(failing: &Failing, clocks: Clocks) -> String {
    let since = clocks.since(failing.since).as_secs();
    let again = failing.again.since(clocks.monotonic).as_secs();
    format!(
        "{}; tried {} times in {since} s, again in {again} s",
        failing.reason, failing.times
    )
}

/// What the daemon itself was too late for, if anything: the machine is too busy for its detection times.
fn lateness(text: &mut String, snapshot: &Snapshot) {
    let all = || snapshot.interfaces.iter().flat_map(|it| &it.probing);
    let missed: u64 = all().map(|probing| probing.missed).sum();
    let void: u64 = all().map(|probing| probing.void).sum();
    if missed + void > 0 {
        let _ = writeln!(
            text,
            "in.mpathd was late itself: {missed} probes left out, {void} not counted"
        );
    }
}

fn last_outage(text: &mut String, outage: &Outage, clocks: Clocks) {
    let ago = ago(clocks.since(outage.declared).as_secs());
    // The list of what it took on a line of its own, so that it fits.
    let told = outage.to_string();
    let (what, took) = told.split_once(", ").unwrap_or((&told, ""));
    let _ = writeln!(text, "last {what}, {ago}\n  {took}");
}

/// A time as people say it.
fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

fn members(
    text: &mut String,
    snapshot: &Snapshot,
    group: Option<&GroupName>,
    tracked: bool,
    look: Look,
) {
    let Look {
        paint,
        most,
        widths: Widths {
            name: wide,
            address: width,
        },
        ..
    } = look;
    let members = snapshot
        .interfaces
        .iter()
        .filter(|i| i.tracked == tracked && i.group.as_ref() == group && !i.loopback);
    for interface in members {
        let name = interface.name.as_str();
        let room = wide.saturating_sub(INTERFACE_INDENT);
        let condition = condition(snapshot, interface, look);
        let _ = writeln!(text, "{:INTERFACE_INDENT$}{name:<room$} {condition}", "");
        if let Some(refused) = &interface.refused {
            let _ = writeln!(text, "    {}: {refused}", paint.warning("refused"));
        }
        let logicals: Vec<&Logical> = addresses(interface).collect();
        for logical in logicals.iter().take(most) {
            let name = display_name(&logical.name);
            let address = logical.address.to_string();
            let role = role(logical, snapshot);
            let _ = writeln!(text, "{:INDENT$}{name:<wide$} {address:<width$} {role}", "");
        }
        if let Some(more @ 1..) = logicals.len().checked_sub(most) {
            let also = if most == 0 { "" } else { "and " };
            let more_word = if most == 0 { "" } else { " more" };
            let plural = if more == 1 { "" } else { "es" };
            let _ = writeln!(text, "    {also}{more}{more_word} address{plural}");
        }
    }
}

fn condition(snapshot: &Snapshot, interface: &Interface, look: Look) -> String {
    let Look { paint, clocks, .. } = look;
    if interface.index.is_none() {
        return paint.bad("absent");
    }
    let state = match interface.state {
        InterfaceState::Ok => paint.good(interface.state),
        InterfaceState::Failed => paint.bad(interface.state),
        InterfaceState::Offline | InterfaceState::Unknown => paint.warning(interface.state),
    };
    let link = format!("link {}", interface.link);
    let mut words = vec![look.since(state), link];
    if interface.tracked && look.running {
        words.push(match interface.probe {
            ProbeState::Unknown => "no probe target".to_owned(),
            ProbeState::Disabled => "not probed".to_owned(),
            // It is answered, or it would not be held back.
            ProbeState::Failed if interface.held_until.is_some() => "probes ok".to_owned(),
            probe => format!("probes {probe}"),
        });
    }
    if let Some(until) = interface.held_until {
        let seconds = until.since(clocks.monotonic).as_secs();
        words.push(format!("held back for {seconds} s"));
    }
    let is_bare = interface.down && !is_elsewhere(snapshot, &interface.name);
    let more = [
        (interface.standby, "standby"),
        (interface.inactive, "inactive"),
        (is_bare, "no address up"),
        (interface.duplicate_mac, "hardware address not unique"),
    ];
    words.extend(
        more.into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, word)| word.to_owned()),
    );
    words.join(", ")
}

/// Whether an address comes and goes by itself.
pub(crate) const fn is_leased(logical: &Logical) -> bool {
    logical.flags.contains(Flags::DHCP) || logical.flags.contains(Flags::ADDRCONF)
}

/// What an address is for, and why it is here.
fn role(logical: &Logical, snapshot: &Snapshot) -> String {
    let mut text = if is_leased(logical) {
        "leased, never moves"
    } else if logical.is_data() {
        "data"
    } else if logical.flags.contains(Flags::NOFAILOVER) {
        "test"
    } else {
        "link-local"
    }
    .to_owned();
    let at = &logical.name.interface;
    if logical.moved_to.as_ref() == Some(at) {
        let _ = write!(text, ", moved here from {}", logical.home.interface);
    } else if logical.home.interface != *at {
        let home = &logical.home.interface;
        let why = why_away(snapshot.interfaces.iter().find(|i| i.name == *home));
        let _ = write!(text, ", here as {home} {why}");
    }
    if logical.flags.contains(Flags::DUPLICATE) {
        text.push_str(", another host has it");
    } else if !logical.flags.contains(Flags::UP) {
        text.push_str(", down");
    }
    text
}

/// Whether an address of an interface is on another one.
pub(crate) fn is_elsewhere(snapshot: &Snapshot, home: &InterfaceName) -> bool {
    let others = snapshot.interfaces.iter().filter(|at| at.name != *home);
    let mut logicals = others.flat_map(|at| &at.logicals);
    logicals.any(|logical| logical.is_data() && logical.home.interface == *home)
}

/// Whether what is away from an interface that works is so because its kernel refused it.
pub(crate) fn is_refusing(home: &Interface) -> bool {
    let works = matches!(home.state, InterfaceState::Ok | InterfaceState::Unknown);
    works && home.index.is_some() && home.refused.is_some() && !home.inactive && !home.standby
}

/// Why an address is not where it belongs: how that interface is.
pub(crate) fn why_away(home: Option<&Interface>) -> &'static str {
    match home {
        None => "is gone",
        Some(home) if home.index.is_none() => "is absent",
        Some(home) if is_refusing(home) => "refused it",
        Some(home) => match home.state {
            InterfaceState::Failed => "failed",
            InterfaceState::Offline => "is offline",
            InterfaceState::Ok | InterfaceState::Unknown if home.standby => "is a standby",
            // FAILBACK=no, or it is on its way.
            InterfaceState::Ok | InterfaceState::Unknown => "failed before",
        },
    }
}

#[cfg(test)]
mod tests;
