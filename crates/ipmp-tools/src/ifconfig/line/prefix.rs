//! Which prefix length an address of a line gets: `netmask` may stand anywhere on it.

use std::net::IpAddr;

use super::Line;
use crate::daemon::Environment;
use crate::ifconfig::address;
use crate::ifconfig::words::{self, Meaning};

impl Line<'_> {
    /// The prefix length of an address given at `position`: the one typed with it, else that of the
    /// last `netmask` before the next address, else, for the line's first address, of the line's last
    /// one, else that of its class.
    pub(super) fn prefix(
        &self,
        ip: IpAddr,
        length: Option<u8>,
        position: usize,
        is_first: bool,
        environment: &Environment<'_>,
    ) -> u8 {
        let netmask = || {
            let IpAddr::V4(v4) = ip else { return None };
            let (own, any) = self.netmasks(position);
            match own.or_else(|| any.filter(|_| is_first))? {
                "+" => environment.etc.netmask_of(v4),
                text => address::parse_netmask(text),
            }
        };
        length
            .or_else(netmask)
            .unwrap_or_else(|| address::default_prefix(ip))
    }

    /// The arguments of the last `netmask` of the part of the line that `position` is in, and of the
    /// whole line. A part ends where `addif` or `set` begins another.
    fn netmasks(&self, position: usize) -> (Option<&str>, Option<&str>) {
        let (mut own, mut any) = (None, None);
        let mut is_past = false;
        let mut at = 0;
        while let Some(word) = self.words.get(at) {
            let meaning = words::find(word).map(|known| known.meaning);
            if matches!(meaning, Some(Meaning::AddIf | Meaning::Set)) {
                is_past = at > position;
                own = own.filter(|_| is_past);
            }
            if meaning == Some(Meaning::Netmask) {
                any = self.words.get(at + 1).map(String::as_str);
                own = if is_past { own } else { any };
            }
            at += 1 + usize::from(meaning.is_some_and(Meaning::takes_argument));
        }
        (own, any)
    }
}
