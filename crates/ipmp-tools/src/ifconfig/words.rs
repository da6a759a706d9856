//! The words of `ifconfig`: what each is, and what it takes.

use ipmp_core::{Family, Flags};

/// A word and what it means.
#[derive(Debug)]
pub(crate) struct Word {
    /// As it is typed.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) meaning: Meaning,
    /// The only family it makes sense for.
    pub(crate) only: Option<Family>,
}

/// What a word does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Plumb,
    Unplumb,
    Set,
    AddIf,
    RemoveIf,
    /// A flag of the logical, and whether the word sets or clears it.
    Flag(Flags, bool),
    Netmask,
    Broadcast,
    Group,
    Standby(bool),
    Failed(bool),
    Metric,
    Mtu,
    Ether,
    Configinfo,
    /// Is so on Linux already: nothing to do.
    Nothing,
    /// Not on Linux: how many arguments it takes, and why not.
    Refused(usize, &'static str),
}

impl Meaning {
    /// Whether the next word belongs to it, whatever it is.
    pub(crate) const fn takes_argument(self) -> bool {
        matches!(
            self,
            Self::Set
                | Self::AddIf
                | Self::RemoveIf
                | Self::Netmask
                | Self::Broadcast
                | Self::Group
                | Self::Metric
                | Self::Mtu
        )
    }
}

/// What `word` means; `None` if it is not a word of `ifconfig` and so must be an address.
pub(crate) fn find(word: &str) -> Option<&'static Word> {
    WORDS.iter().find(|known| known.name == word)
}

const fn word(name: &'static str, meaning: Meaning) -> Word {
    Word {
        name,
        meaning,
        only: None,
    }
}

const fn inet(name: &'static str, meaning: Meaning) -> Word {
    Word {
        name,
        meaning,
        only: Some(Family::Inet),
    }
}

const fn set(name: &'static str, flag: Flags) -> Word {
    word(name, Meaning::Flag(flag, true))
}

const fn clear(name: &'static str, flag: Flags) -> Word {
    word(name, Meaning::Flag(flag, false))
}

const fn refused(name: &'static str, arguments: usize, reason: &'static str) -> Word {
    word(name, Meaning::Refused(arguments, reason))
}

const STREAMS: &str = "Linux has no STREAMS modules";
const TUNNEL: &str = "tunnels are made by 'ip tunnel'";
const DHCP: &str = "addresses under DHCP control cannot be in a group; use a DHCP client";
const ZONES: &str = "Linux has no zones; use network namespaces";
const LINK: &str = "use 'ip link'";

const WORDS: &[Word] = &[
    word("plumb", Meaning::Plumb),
    word("unplumb", Meaning::Unplumb),
    word("set", Meaning::Set),
    word("addif", Meaning::AddIf),
    word("removeif", Meaning::RemoveIf),
    set("up", Flags::UP),
    clear("down", Flags::UP),
    inet("netmask", Meaning::Netmask),
    inet("broadcast", Meaning::Broadcast),
    word("group", Meaning::Group),
    set("deprecated", Flags::DEPRECATED),
    clear("-deprecated", Flags::DEPRECATED),
    set("-failover", Flags::NOFAILOVER),
    clear("failover", Flags::NOFAILOVER),
    word("standby", Meaning::Standby(true)),
    word("-standby", Meaning::Standby(false)),
    word("failed", Meaning::Failed(true)),
    word("-failed", Meaning::Failed(false)),
    word("metric", Meaning::Metric),
    word("mtu", Meaning::Mtu),
    word("ether", Meaning::Ether),
    word("configinfo", Meaning::Configinfo),
    set("private", Flags::PRIVATE),
    clear("-private", Flags::PRIVATE),
    set("-local", Flags::NOLOCAL),
    clear("local", Flags::NOLOCAL),
    set("-xmit", Flags::NOXMIT),
    clear("xmit", Flags::NOXMIT),
    set("router", Flags::ROUTER),
    clear("-router", Flags::ROUTER),
    set("preferred", Flags::PREFERRED),
    clear("-preferred", Flags::PREFERRED),
    set("anycast", Flags::ANYCAST),
    clear("-anycast", Flags::ANYCAST),
    set("-nud", Flags::NONUD),
    clear("nud", Flags::NONUD),
    inet("arp", Meaning::Nothing),
    refused("-arp", 0, "an interface without ARP cannot be in a group"),
    refused("trailers", 0, "Linux has no trailer encapsulation"),
    refused("-trailers", 0, "Linux has no trailer encapsulation"),
    refused("debug", 0, LINK),
    refused("-debug", 0, LINK),
    refused(
        "ipmp",
        0,
        "there is no IPMP pseudo-interface: put interfaces into a group with 'group NAME'",
    ),
    refused("index", 1, "the kernel numbers interfaces"),
    refused("auto-revarp", 0, "Linux has no reverse ARP"),
    refused("revarp", 0, "Linux has no reverse ARP"),
    refused("dhcp", 0, DHCP),
    refused("auto-dhcp", 0, DHCP),
    refused("subnet", 1, "the subnet follows from address and netmask"),
    refused(
        "destination",
        1,
        "a point-to-point interface cannot be in a group",
    ),
    refused("token", 1, "set it with 'ip token'"),
    refused(
        "usesrc",
        1,
        "set the source of a route with 'ip route … src'",
    ),
    refused("zone", 1, ZONES),
    refused("-zone", 0, ZONES),
    refused("all-zones", 0, ZONES),
    refused("tsrc", 1, TUNNEL),
    refused("tdst", 1, TUNNEL),
    refused("thoplimit", 1, TUNNEL),
    refused("encaplimit", 1, TUNNEL),
    refused("-encaplimit", 0, TUNNEL),
    refused("auth_algs", 1, "IPsec is set up by 'ip xfrm'"),
    refused("encr_algs", 1, "IPsec is set up by 'ip xfrm'"),
    refused("encr_auth_algs", 1, "IPsec is set up by 'ip xfrm'"),
    refused("modlist", 0, STREAMS),
    refused("modinsert", 1, STREAMS),
    refused("modremove", 1, STREAMS),
];
