//! When packets to a new IPv6 address are taken in.
//!
//! The kernel tells of a new IPv6 address, and acknowledges it, before it has the address's route in
//! the local table: that comes from a work queue (`addrconf_dad_work`, also without duplicate address
//! detection), which waits for the same lock as all requests do. Until then packets to the address are
//! dropped. Whoever takes it away from another link must not do so before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ipmp_core::plan::Operation;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use nix::libc;

use super::apply::Outcome;
use super::{Rtnl, decode, wire};

/// The work takes microseconds once it gets the lock. What takes longer than this has another reason,
/// and the address stays without traffic for no more than it would anyway.
const LONGEST: Duration = Duration::from_millis(250);

/// From one look to the next.
const NEXT_LOOK: Duration = Duration::from_micros(500);

impl Rtnl {
    /// Waits until the IPv6 addresses that were added on running links are taken in.
    pub(super) fn await_received(&mut self, operations: &[Operation], outcomes: &[Outcome]) {
        let mut missing: BTreeMap<u32, BTreeSet<IpAddr>> = BTreeMap::new();
        for (operation, outcome) in operations.iter().zip(outcomes) {
            if let (Operation::AddAddress(new), Ok(())) = (operation, outcome)
                && new.address.ip.is_ipv6()
                && self.memory.is_running(new.index)
            {
                let missing = missing.entry(new.index).or_default();
                missing.insert(new.address.ip);
            }
        }
        let began = Instant::now();
        for (index, mut addresses) in missing {
            loop {
                let Some(local) = self.local_addresses(index) else {
                    return;
                };
                addresses.retain(|address| !local.contains(address));
                if addresses.is_empty() {
                    break;
                }
                if began.elapsed() > LONGEST {
                    tracing::debug!("no local route on link {index} for {addresses:?}");
                    return;
                }
                sleep(NEXT_LOOK);
            }
        }
    }

    /// The IPv6 addresses that are taken in on a link; `None` if that cannot be read.
    fn local_addresses(&mut self, index: u32) -> Option<BTreeSet<IpAddr>> {
        let mut ask = RouteMessage::default();
        ask.header.address_family = AddressFamily::Inet6;
        ask.header.table = libc::RT_TABLE_LOCAL;
        ask.header.kind = RouteType::Local;
        ask.attributes.push(RouteAttribute::Oif(index));
        let sequence = self.next_sequence();
        let mut datagram = Vec::new();
        wire::push_request(
            &mut datagram,
            libc::RTM_GETROUTE,
            NLM_F_REQUEST | NLM_F_DUMP,
            sequence,
            &wire::bytes_of(&ask),
        );
        self.send(&datagram).ok()?;
        let mut local = BTreeSet::new();
        let mut whole = false;
        self.drain(&mut |message| {
            if message.sequence != sequence {
                return;
            }
            if matches!(message.kind, NLMSG_ERROR | NLMSG_DONE) {
                whole = wire::acknowledgement(message).is_ok();
            } else {
                local.extend(decode::local_address(message.payload));
            }
        })
        .ok()?;
        whole.then_some(local)
    }
}
