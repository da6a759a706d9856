//! `configinfo`: a logical as the words that make it.

use std::fmt::Write;

use ipmp_core::snapshot::{Interface, Logical};
use ipmp_core::{Family, Flags, LogicalName, Snapshot};

use super::line::family_word;
use super::listing::{display_name, find, shown_prefix6};

/// Flags of a logical and the words that set them, in the order in which they are best typed
/// (manual `ifconfig`: `-failover` before `standby`, and that before `up`).
const FLAG_WORDS: [(Flags, &str); 9] = [
    (Flags::DEPRECATED, "deprecated"),
    (Flags::NOFAILOVER, "-failover"),
    (Flags::PRIVATE, "private"),
    (Flags::NOXMIT, "-xmit"),
    (Flags::NOLOCAL, "-local"),
    (Flags::ROUTER, "router"),
    (Flags::NONUD, "-nud"),
    (Flags::ANYCAST, "anycast"),
    (Flags::PREFERRED, "preferred"),
];

/// The line that, given to `ifconfig`, makes the logical called `name` anew; `None` if there is none.
/// For a placeholder it is that of the address it holds the place of. Interface numbers are the
/// kernel's to give and left out.
pub(super) fn line(snapshot: &Snapshot, name: &LogicalName, family: Family) -> Option<String> {
    let (interface, found) = find(snapshot, name, family)?;
    let belongs = |logical: &&Logical| {
        logical.home == *name && logical.address.family() == family && !logical.placeholder
    };
    let mut all = snapshot.interfaces.iter().flat_map(|i| &i.logicals);
    let away = all.find(belongs).filter(|_| found.placeholder);
    Some(words(interface, name, away.unwrap_or(found)))
}

fn words(interface: &Interface, name: &LogicalName, logical: &Logical) -> String {
    let family = logical.address.family();
    let is_physical = name.unit == 0;
    let mut text = format!("{} {}", display_name(name), family_word(family));
    // Writing to a String cannot fail.
    let mut word = |word: std::fmt::Arguments<'_>| {
        let _ = write!(text, " {word}");
    };
    if !interface.loopback {
        word(format_args!("plumb"));
    }
    if logical.metric != 0 {
        word(format_args!("metric {}", logical.metric));
    }
    if is_physical && logical.mtu != 0 {
        word(format_args!("mtu {}", logical.mtu));
    }
    if let Some(mask) = logical.address.netmask() {
        word(format_args!("set {}", logical.address.ip));
        word(format_args!("netmask 0x{:x}", mask.to_bits()));
        if let Some(broadcast) = logical.broadcast {
            word(format_args!("broadcast {broadcast}"));
        }
    } else {
        let prefix = shown_prefix6(logical);
        word(format_args!("set {}/{prefix}", logical.address.ip));
    }
    if let Some(group) = interface.group.as_ref().filter(|_| is_physical) {
        word(format_args!("group {group}"));
    }
    for (flag, name) in FLAG_WORDS {
        if logical.flags.contains(flag) {
            word(format_args!("{name}"));
        }
    }
    if interface.standby && is_physical {
        word(format_args!("standby"));
    }
    if logical.flags.contains(Flags::UP) {
        word(format_args!("up"));
    }
    text
}
