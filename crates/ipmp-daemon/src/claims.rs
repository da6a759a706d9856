//! What others on the links are asked about addresses of ours, and what they claim.
//!
//! Claims are worth nothing but to be told: anybody on a link can make them, as many as he likes. So
//! they are looked at when there are some, but not again for a while, and no more of them than a busy link
//! brings in earnest; what does not fit is dropped by the kernel. While others are being asked for an address
//! that is to be brought up they are also looked at before each tick, which may decide on it, within the same
//! number.
//!
//! What cannot be heard is not asked for: silence would be taken for nobody's having it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use ipmp_core::{Claim, Enquiry, Family, MacAddress, Time};
use ipmp_linux::probe::ClaimSocket;

use crate::log::{LOGICAL, PROBE};
use crate::sockets::Sockets;

/// How long what comes in is left alone after a look. A claim that has waited so long is as true.
const REST: Duration = Duration::from_millis(100);

/// How many are taken off a socket in that time: more than come when all of 256 addresses are another's and
/// each is asked for three times.
const MOST: usize = 1024;

/// How long a hardware address that a link had is not taken for somebody else's: frames that it sent may
/// still be on their way, or come back from a switch that learns slowly.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The sockets, and what is to be known of ourselves.
#[derive(Debug)]
pub(crate) struct Claims {
    sockets: Sockets,
    inet: Option<Listening>,
    inet6: Option<Listening>,
    /// What is to be listened for, each on its link.
    places: BTreeSet<(u32, IpAddr)>,
    /// Families of which that cannot be heard.
    deaf: BTreeSet<Family>,
    former: Former,
    /// Since when what was taken is counted.
    counted: Time,
    /// When the loop is to be woken by claims again.
    rests_until: Option<Time>,
    /// How many datagrams were looked at so far.
    pub(crate) looked_at: u64,
}

/// A socket.
#[derive(Debug)]
struct Listening {
    socket: ClaimSocket,
    /// How many claims were taken since they are counted.
    taken: usize,
}

impl Claims {
    /// Nothing is listened to yet. To be called inside the runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            sockets: Sockets::new()?,
            inet: None,
            inet6: None,
            places: BTreeSet::new(),
            deaf: BTreeSet::new(),
            former: Former::default(),
            counted: Time::ZERO,
            rests_until: None,
            looked_at: 0,
        })
    }

    /// From now on claims of exactly these are told, each on its link.
    pub(crate) fn listen(&mut self, places: BTreeSet<(u32, IpAddr)>) {
        self.places = places;
        for family in Family::ALL {
            let is_wanted = self.places.iter().any(|(_, ip)| Family::of(*ip) == family);
            if is_wanted || slot(&mut self.inet, &mut self.inet6, family).is_some() {
                self.hears(family);
            }
        }
    }

    /// Has what is to be listened for heard in a family; whether it is. That it is not is said once.
    fn hears(&mut self, family: Family) -> bool {
        let slot = slot(&mut self.inet, &mut self.inet6, family);
        let listening = self.sockets.opened(slot, || Listening::open(family));
        match listening.and_then(|listening| listening.socket.listen(&self.places)) {
            Ok(()) => {
                if self.deaf.remove(&family) {
                    tracing::info!("who else has an {family} address is heard again");
                }
                true
            }
            Err(error) => {
                if self.deaf.insert(family) {
                    tracing::warn!(
                        "cannot hear who else has an {family} address, so nobody is asked before one is \
                         brought up: {error}"
                    );
                }
                false
            }
        }
    }

    /// Asks; which questions have left.
    pub(crate) fn enquire(&mut self, enquiries: &[Enquiry]) -> Vec<Enquiry> {
        let mut left: BTreeSet<&Enquiry> = enquiries.iter().collect();
        for family in Family::ALL {
            let of_family = enquiries.iter().filter(|one| Family::of(one.ip) == family);
            let of_family: Vec<&Enquiry> = of_family.collect();
            if of_family.is_empty() {
                continue;
            }
            let hears = !self.deaf.contains(&family) || self.hears(family);
            let listening = slot(&mut self.inet, &mut self.inet6, family).as_ref();
            let Some(listening) = listening.filter(|_| hears) else {
                left.retain(|one| Family::of(one.ip) != family);
                continue;
            };
            listening.socket.ask_all(&of_family, |enquiry, error| {
                left.remove(enquiry);
                let Enquiry { index, ip, .. } = enquiry;
                tracing::debug!(target: PROBE, "cannot ask for {ip} on link {index}: {error}");
            });
        }
        left.into_iter().copied().collect()
    }

    /// Waits until there may be claims that are to be looked at.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.sockets.readable().await
    }

    /// When [`Claims::wake`] is to be called.
    pub(crate) const fn rest_ends(&self) -> Option<Time> {
        self.rests_until
    }

    /// Has claims end [`Claims::readable`] again if the rest is over.
    pub(crate) fn wake(&mut self, now: Time) {
        if self.rests_until.is_some_and(|until| until <= now) {
            self.rests_until = None;
            self.watch(true);
        }
    }

    /// Takes claims of others that are there: of each address one on each link. `is_own` tells whether a
    /// link of ours has a hardware address: what is said on one of them the others hear.
    pub(crate) fn take(&mut self, now: Time, is_own: impl Fn(MacAddress) -> bool) -> Vec<Claim> {
        let are_counted_anew = now >= self.counted + REST;
        if are_counted_anew {
            self.counted = now;
        }
        let former = &self.former;
        let is_own = |mac| former.has(now, mac) || is_own(mac);
        let mut claims = BTreeMap::new();
        let mut were_there = false;
        for listening in [&mut self.inet, &mut self.inet6].into_iter().flatten() {
            if are_counted_anew {
                listening.taken = 0;
            }
            let most = MOST.saturating_sub(listening.taken);
            let taken = listening.socket.receive(most, |claim| {
                if !is_own(claim.mac) {
                    claims.entry((claim.index, claim.ip)).or_insert(claim);
                }
            });
            listening.taken += taken;
            were_there |= taken > 0;
            self.looked_at += u64::try_from(taken).unwrap_or(u64::MAX);
        }
        if were_there {
            self.rests_until = Some(now + REST);
            self.watch(false);
        }
        for claim in claims.values() {
            let Claim { index, ip, mac, .. } = claim;
            tracing::debug!(target: LOGICAL, "{mac} claims {ip} on link {index}");
        }
        claims.into_values().collect()
    }

    /// Takes note of hardware addresses of our links that may be others in a moment.
    pub(crate) fn remember(&mut self, now: Time, own: impl IntoIterator<Item = MacAddress>) {
        self.former.remember(now, own);
    }

    fn watch(&mut self, wanted: bool) {
        let all = [&self.inet, &self.inet6].map(|slot| slot.as_ref().map(AsFd::as_fd));
        if let Err(error) = self.sockets.watch(wanted, all) {
            tracing::error!("cannot wait: {error}");
        }
    }
}

impl Listening {
    fn open(family: Family) -> io::Result<Self> {
        Ok(Self {
            socket: ClaimSocket::open(family)?,
            taken: 0,
        })
    }
}

/// Hardware addresses that links of ours had, and until when each is remembered.
#[derive(Debug, Default)]
struct Former(BTreeMap<MacAddress, Time>);

impl Former {
    /// Takes note of some, and forgets what is over, as nobody may ever look.
    fn remember(&mut self, now: Time, own: impl IntoIterator<Item = MacAddress>) {
        self.0.retain(|_, until| *until > now);
        let until = now + REMEMBERED;
        self.0.extend(own.into_iter().map(|mac| (mac, until)));
    }

    fn has(&self, now: Time, mac: MacAddress) -> bool {
        self.0.get(&mac).is_some_and(|until| *until > now)
    }
}

/// Which of the two is for a family.
const fn slot<'s, S>(inet: &'s mut S, inet6: &'s mut S, family: Family) -> &'s mut S {
    match family {
        Family::Inet => inet,
        Family::Inet6 => inet6,
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
