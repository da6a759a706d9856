//! By what means an interface probes in one family, and whom it can reach by them.

use std::net::IpAddr;

use super::{Echo, Probe, Solicitation, Watched};
use crate::address::is_link_local6;
use crate::{Family, InterfaceAddress, InterfaceName, MacAddress, ProbeMethod};

/// From what address probes are sent, and to which subnets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Means {
    family: Family,
    index: u32,
    /// The test address echo requests are sent from.
    test: Option<InterfaceAddress>,
    /// What solicitations are sent from: hardware address, and an IPv6 link-local one if there is one.
    asks: Option<(MacAddress, Option<IpAddr>)>,
    /// Where targets may be if there is no test address.
    subnets: Vec<InterfaceAddress>,
    /// Whether nobody asked for it: without targets it is as if it were not there.
    optional: bool,
}

impl Means {
    /// What an interface has in one family; `None` if it cannot or is not to probe there.
    pub(super) fn of(watched: &Watched, family: Family, method: ProbeMethod) -> Option<Self> {
        let [inet, inet6] = watched.test;
        let test = match family {
            Family::Inet => inet,
            Family::Inet6 => inet6,
        }
        .filter(|_| method != ProbeMethod::Arp);
        let asks = watched
            .mac
            .filter(|_| method != ProbeMethod::Icmp)
            .map(|mac| (mac, watched.link_local.filter(|_| family == Family::Inet6)));
        let subnets: Vec<_> = watched
            .subnets
            .iter()
            .copied()
            .filter(|subnet| test.is_none() && subnet.family() == family)
            .collect();
        (test.is_some() || (asks.is_some() && !subnets.is_empty())).then_some(Self {
            family,
            index: watched.index,
            test,
            asks,
            subnets,
            optional: test.is_none() && method == ProbeMethod::Auto,
        })
    }

    /// Whether what is known by the one still holds for the other: the same test address, or both
    /// without one.
    pub(super) fn continues(&self, earlier: &Self) -> bool {
        self.index == earlier.index && self.test == earlier.test
    }

    pub(super) const fn family(&self) -> Family {
        self.family
    }

    pub(super) const fn is_optional(&self) -> bool {
        self.optional
    }

    pub(super) const fn test(&self) -> Option<InterfaceAddress> {
        self.test
    }

    /// Whether echo requests can be sent; otherwise solicitations are all there is.
    pub(super) const fn has_echo(&self) -> bool {
        self.test.is_some()
    }

    /// Whether `address` can be a target: somebody on the test address's subnet, or on one of the
    /// group's. For IPv6 echoes that is the link itself.
    pub(super) fn reaches(&self, address: IpAddr) -> bool {
        if Family::of(address) != self.family {
            return false;
        }
        let in_subnets = || self.subnets.iter().any(|subnet| subnet.contains(address));
        let near = match address {
            IpAddr::V4(ip) => {
                !ip.is_unspecified()
                    && !ip.is_multicast()
                    && !ip.is_broadcast()
                    && self
                        .test
                        .map_or_else(in_subnets, |test| test.contains(address))
            }
            IpAddr::V6(ip) => {
                !ip.is_multicast()
                    && (is_link_local6(address) || (self.test.is_none() && in_subnets()))
            }
        };
        near && self.test.is_none_or(|test| address != test.ip)
    }

    /// An echo request; `None` without test address.
    pub(super) fn echo(
        &self,
        name: &InterfaceName,
        target: IpAddr,
        identifier: u16,
        sequence: u16,
        payload: [u8; 16],
    ) -> Option<Probe> {
        Some(Probe::Echo(Echo {
            interface: name.clone(),
            index: self.index,
            source: self.test?.ip,
            target,
            identifier,
            sequence,
            payload,
        }))
    }

    /// A solicitation; `None` if there is no hardware address, or none are to be sent.
    pub(super) fn solicitation(&self, name: &InterfaceName, target: IpAddr) -> Option<Probe> {
        let (mac, source) = self.asks?;
        Some(Probe::Solicitation(Solicitation {
            interface: name.clone(),
            index: self.index,
            mac,
            source,
            target,
        }))
    }
}
