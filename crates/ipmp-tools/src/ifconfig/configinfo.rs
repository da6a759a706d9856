//! `configinfo`: a logical as the words that make it.

use std::fmt::Write;

use ipmp_core::Flags;
use ipmp_core::snapshot::{Interface, Logical};

use super::line::family_word;
use super::listing::{display_name, shown_prefix6};

/// Flags of a logical and the words that set them, in the order in which they are best typed
/// (manual `ifconfig`: `-failover` before `standby`, and that before `up`).
const FLAG_WORDS: [(Flags, &str); 10] = [
    (Flags::DEPRECATED, "deprecated"),
    (Flags::NOFAILOVER, "-failover"),
    (Flags::PRIVATE, "private"),
    (Flags::NOXMIT, "-xmit"),
    (Flags::NOLOCAL, "-local"),
    (Flags::ROUTER, "router"),
    (Flags::NONUD, "-nud"),
    (Flags::ANYCAST, "anycast"),
    (Flags::PREFERRED, "preferred"),
    (Flags::STANDBY, "standby"),
];

/// The line that, given to `ifconfig`, makes `logical` anew. Interface numbers are the kernel's to
/// give and left out.
pub(super) fn line(interface: &Interface, logical: &Logical) -> String {
    let family = logical.address.family();
    let is_physical = logical.name.unit == 0;
    let mut text = format!("{} {}", display_name(&logical.name), family_word(family));
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
        if logical.flags.contains(flag) && (flag != Flags::STANDBY || is_physical) {
            word(format_args!("{name}"));
        }
    }
    if logical.flags.contains(Flags::UP) {
        word(format_args!("up"));
    }
    text
}
