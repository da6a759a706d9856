//! What others on the links are asked about addresses of ours, and what they claim.
//!
//! Claims are worth nothing but to be told: anybody on a link can make them, as many as he likes. So
//! they are looked at when there are some, but not again for a while, and no more of them than a busy link
//! brings in earnest; what does not fit is dropped by the kernel. While an answer is awaited they are also
//! looked at before each decision, within the same number.

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

/// How long after a question its answer may be decided on.
const AWAITED: Duration = Duration::from_millis(200);

/// How long a hardware address that a link had is not taken for somebody else's: frames that it sent may
/// still be on their way, or come back from a switch that learns slowly.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The sockets, and what is to be known of ourselves.
#[derive(Debug)]
pub(crate) struct Claims {
    sockets: Sockets,
    inet: Option<Listening>,
    inet6: Option<Listening>,
    /// Hardware addresses that links of ours had, and until when.
    former: BTreeMap<MacAddress, Time>,
    /// Since when what was taken is counted.
    counted: Time,
    /// When the loop is to be woken by claims again.
    rests_until: Option<Time>,
    asked: Option<Time>,
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
            former: BTreeMap::new(),
            counted: Time::ZERO,
            rests_until: None,
            asked: None,
        })
    }

    /// From now on claims of exactly these are told, each on its link.
    pub(crate) fn listen(&mut self, places: &BTreeSet<(u32, IpAddr)>) {
        for family in Family::ALL {
            let is_wanted = places.iter().any(|(_, ip)| Family::of(*ip) == family);
            if !is_wanted && slot(&mut self.inet, &mut self.inet6, family).is_none() {
                continue;
            }
            let listening = self.opened(family);
            let listens = listening.and_then(|listening| listening.socket.listen(places));
            if let Err(error) = listens {
                tracing::warn!("cannot listen to who else has an address: {error}");
            }
        }
    }

    /// Asks; which questions have left.
    pub(crate) fn enquire(&mut self, now: Time, enquiries: &[Enquiry]) -> Vec<Enquiry> {
        self.asked = Some(now);
        let mut left: BTreeSet<&Enquiry> = enquiries.iter().collect();
        for family in Family::ALL {
            let of_family = enquiries.iter().filter(|one| Family::of(one.ip) == family);
            let of_family: Vec<&Enquiry> = of_family.collect();
            if of_family.is_empty() {
                continue;
            }
            match self.opened(family) {
                Ok(listening) => listening.socket.ask_all(&of_family, |enquiry, error| {
                    left.remove(enquiry);
                    let Enquiry { index, ip, .. } = enquiry;
                    tracing::debug!(target: PROBE, "cannot ask for {ip} on link {index}: {error}");
                }),
                Err(error) => {
                    left.retain(|one| Family::of(one.ip) != family);
                    tracing::debug!(target: PROBE, "no socket to ask for addresses: {error}");
                }
            }
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

    /// Whether what was asked lately may be answered.
    pub(crate) fn are_awaited(&self, now: Time) -> bool {
        self.asked.is_some_and(|asked| now < asked + AWAITED)
    }

    /// Takes claims of others that are there: of each address one on each link. `is_own` tells whether a
    /// link of ours has a hardware address: what is said on one of them the others hear.
    pub(crate) fn take(&mut self, now: Time, is_own: impl Fn(MacAddress) -> bool) -> Vec<Claim> {
        self.former.retain(|_, until| *until > now);
        let are_counted_anew = now >= self.counted + REST;
        if are_counted_anew {
            self.counted = now;
        }
        let former = &self.former;
        let is_own = |mac| former.contains_key(&mac) || is_own(mac);
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
        let until = now + REMEMBERED;
        self.former.extend(own.into_iter().map(|mac| (mac, until)));
    }

    fn watch(&mut self, wanted: bool) {
        let all = [&self.inet, &self.inet6].map(|slot| slot.as_ref().map(AsFd::as_fd));
        if let Err(error) = self.sockets.watch(wanted, all) {
            tracing::error!("cannot wait: {error}");
        }
    }

    fn opened(&mut self, family: Family) -> io::Result<&mut Listening> {
        let slot = slot(&mut self.inet, &mut self.inet6, family);
        self.sockets.opened(slot, || {
            Ok(Listening {
                socket: ClaimSocket::open(family)?,
                taken: 0,
            })
        })
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
