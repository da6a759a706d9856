//! Other hosts that have addresses of ours, and what must be so among them: what was not in service is brought
//! up only if nobody claims it, what is withheld is on no link, and what was in service is not withheld.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipmp_core::kernel::{Link, LinkKind};
use ipmp_core::{Claim, Enquiry, Flags, Kernel, MacAddress, Snapshot, Time};

/// How often others are asked before an address is brought up.
const ENQUIRIES: u8 = 3;

#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// Addresses that other hosts have.
    macs: BTreeMap<IpAddr, MacAddress>,
    /// What the daemon listens for.
    listening: BTreeSet<(u32, IpAddr)>,
    /// How often others were asked for addresses on no link since they were claimed.
    asked: BTreeMap<IpAddr, u8>,
    /// Addresses that were in service since the daemon asks others, and that it has not taken out of service.
    served: BTreeSet<IpAddr>,
}

impl Rivals {
    /// Another host takes an address, or gives it up.
    pub(super) fn toggle(&mut self, ip: IpAddr, mac: MacAddress) {
        if self.macs.remove(&ip).is_none() {
            self.macs.insert(ip, mac);
        }
    }

    /// All other hosts give up all addresses.
    pub(super) fn leave(&mut self) {
        self.macs.clear();
    }

    /// The daemon listens for this from now on.
    pub(super) fn listen(&mut self, listening: BTreeSet<(u32, IpAddr)>) {
        self.listening = listening;
    }

    /// The daemon knows nothing of other hosts any more.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
        self.served.clear();
    }

    /// The daemon has done what it was asked for, after which these addresses are to be in service.
    pub(super) fn keep(&mut self, up: &BTreeSet<IpAddr>) {
        self.asked.retain(|ip, _| up.contains(ip));
        self.served.retain(|ip| up.contains(ip));
    }

    /// Other hosts are asked; what the daemon hears, whom they reach on links that are not silent.
    pub(super) fn answer(
        &mut self,
        now: Time,
        asked: &[Enquiry],
        kernel: &Kernel,
        is_silent: impl Fn(&Link) -> bool,
    ) -> Vec<Claim> {
        let mut claims = Vec::new();
        for &Enquiry { index, ip, .. } in asked {
            let is_heard = kernel
                .links
                .get(&index)
                .is_some_and(|link| !is_silent(link));
            // What bears the hardware address of a link of ours is taken for that link.
            let is_other =
                |mac: &&MacAddress| kernel.links.values().all(|link| link.mac != Some(**mac));
            let rival = self.macs.get(&ip).filter(|_| is_heard).filter(is_other);
            let Some(&mac) = rival else {
                let asked = self.asked.entry(ip).or_default();
                *asked = asked.saturating_add(1);
                continue;
            };
            self.asked.insert(ip, 0);
            if self.listening.contains(&(index, ip)) {
                let received = now;
                claims.push(Claim {
                    index,
                    ip,
                    mac,
                    received,
                });
            }
        }
        claims
    }

    /// Asserts that an address may be brought up, if it is not in service.
    pub(super) fn may_have(&mut self, ip: IpAddr, kernel: &Kernel) {
        let mut links = kernel.links.values();
        let can_ask = links.any(|link| link.kind == LinkKind::Broadcast && link.is_running());
        let times = self.asked.get(&ip).copied();
        let is_free = times >= Some(ENQUIRIES) || times != Some(0) && !can_ask;
        assert!(
            is_free || self.served.contains(&ip) || is_held(kernel, ip),
            "{ip} is brought up, and others were not asked, or have it"
        );
        // The daemon may try again.
        self.asked.insert(ip, ENQUIRIES);
    }

    /// Asserts what must be so after a step. `up` are the addresses that are to be in service.
    pub(super) fn check(&mut self, snapshot: &Snapshot, kernel: &Kernel, up: &BTreeSet<IpAddr>) {
        let conflicts = snapshot.conflicts.iter();
        let taken: BTreeSet<IpAddr> = conflicts
            .filter(|conflict| conflict.withheld)
            .map(|conflict| conflict.address)
            .collect();
        let interfaces = snapshot.interfaces.iter();
        let logicals = interfaces.flat_map(|interface| &interface.logicals);
        for logical in logicals.filter(|logical| up.contains(&logical.address.ip)) {
            let ip = logical.address.ip;
            if logical.flags.contains(Flags::UP) {
                self.may_have(ip, kernel);
                // What the kernel refuses is in service nowhere.
                if is_held(kernel, ip) {
                    self.served.insert(ip);
                }
            } else if logical.is_data() || taken.contains(&ip) {
                // Others are out of service with their interface.
                let is_served = self.served.contains(&ip) || is_held(kernel, ip);
                assert!(!is_served, "{ip} is withheld, and was in service or is");
            }
        }
        let is_up = |ip: &IpAddr| up.contains(ip);
        self.asked
            .retain(|ip, times| !is_held(kernel, *ip) && (*times > 0 || is_up(ip)));
    }

    /// The daemon starts, on what the kernel holds.
    pub(super) fn start(&mut self, kernel: &Kernel, up: &BTreeSet<IpAddr>) {
        self.forget();
        self.listening.clear();
        self.served = up
            .iter()
            .copied()
            .filter(|ip| is_held(kernel, *ip))
            .collect();
    }
}

fn is_held(kernel: &Kernel, ip: IpAddr) -> bool {
    kernel
        .addresses
        .values()
        .any(|there| there.address.ip == ip)
}
