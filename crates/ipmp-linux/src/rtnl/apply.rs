//! Carrying out plans.
//!
//! Operations go to the kernel many at a time; it does them in order, goes on after one that fails,
//! and acknowledges each. What needs more than one request, or no netlink at all, waits until what
//! stands before it is done.

use std::net::IpAddr;

use ipmp_core::kernel::{Change, Hop, Nexthop, Route, Via};
use ipmp_core::plan::{Operation, OperationError, Plan};
use ipmp_fault::Point;
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NLMSG_ERROR};
use nix::libc;

use super::encode::{self, Request};
use super::nexthop::Reach;
use super::{Rtnl, RtnlError, wire};
use crate::sysctl;

/// How many requests go in one datagram: enough that the number of system calls does not matter, few
/// enough that their notifications and acknowledgements fit any receive buffer.
const BATCH: usize = 64;

pub(super) type Outcome = Result<(), OperationError>;

impl Rtnl {
    /// Carries out a plan. Gives one result for each of its operations, in order; one that has failed
    /// does not keep the next from being tried. Notifications that come meanwhile are kept for
    /// [`Rtnl::changes`].
    pub fn apply(&mut self, plan: &Plan) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(plan.operations.len());
        let mut batch = Vec::new();
        for operation in &plan.operations {
            if let Some(request) = self.request(operation) {
                batch.push(request);
                if batch.len() == BATCH {
                    outcomes.append(&mut self.send_batch(&std::mem::take(&mut batch)));
                }
            } else {
                outcomes.append(&mut self.send_batch(&std::mem::take(&mut batch)));
                outcomes.push(self.carry_out(operation));
            }
        }
        outcomes.append(&mut self.send_batch(&batch));
        self.await_received(&plan.operations, &outcomes);
        outcomes
    }

    /// The one request that an operation is; `None` if it is another matter.
    fn request(&mut self, operation: &Operation) -> Option<Request> {
        Some(match operation {
            Operation::AddAddress(new) => encode::add_address(new),
            Operation::RemoveAddress { index, address } => encode::remove_address(*index, *address),
            Operation::SetNexthop(nexthop) if !is_gateway6(nexthop) => {
                // Remembered before it is so, for routes through it that follow in the same batch.
                self.memory.nexthops.insert(nexthop.id, nexthop.clone());
                encode::set_nexthop(nexthop, Reach::Asserted)
            }
            Operation::RemoveNexthop(id) => encode::remove_nexthop(*id),
            Operation::AddRoute(route) => encode::add_route(route, &self.memory.nexthops),
            Operation::SetUp { index, up } => encode::set_up(*index, *up),
            Operation::SetMtu { index, mtu } => encode::set_mtu(*index, *mtu),
            Operation::SetNexthop(_)
            | Operation::ReplaceRoute(_)
            | Operation::RemoveRoute(_)
            | Operation::SetMac { .. }
            | Operation::SetSysctl { .. } => return None,
        })
    }

    /// Carries out an operation that is more than one request, or needs to know what is there.
    fn carry_out(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::SetNexthop(nexthop) => {
                self.memory.nexthops.insert(nexthop.id, nexthop.clone());
                // Where the route to the gateway is a group's, the kernel compares with the group's
                // first link alone, and calls every other one a mismatch
                // (`ip6_route_check_nh_onlink`). Asked by route it looks at each.
                match self.send_one(&encode::set_nexthop(nexthop, Reach::Asserted)) {
                    Err(error) if error.errno == libc::EINVAL => {
                        self.send_one(&encode::set_nexthop(nexthop, Reach::Routed))
                    }
                    outcome => outcome,
                }
            }
            Operation::ReplaceRoute(route) => self.replace_route(route),
            Operation::RemoveRoute(route) => self.remove_route(route),
            Operation::SetMac { index, mac } => {
                let set = encode::set_mac(*index, *mac);
                match self.send_one(&set) {
                    Err(error) if error.errno == libc::EBUSY => {
                        self.send_one(&encode::set_up(*index, false))?;
                        let outcome = self.send_one(&set);
                        self.send_one(&encode::set_up(*index, true))?;
                        outcome
                    }
                    outcome => outcome,
                }
            }
            Operation::SetSysctl {
                index,
                interface,
                sysctl,
                value,
            } => {
                ipmp_fault::pass(Point::BeforeOperation);
                let written = sysctl::write(interface, *sysctl, *value);
                ipmp_fault::pass(Point::AfterOperation);
                written.map_err(|error| wire::operation_error(&error))?;
                self.digest();
                self.queue.push(Change::Sysctl(*index, *sysctl, *value));
                Ok(())
            }
            single => match self.request(single) {
                Some(request) => self.send_one(&request),
                None => Ok(()),
            },
        }
    }

    /// Puts a route of ours in the place of another of ours. Only where there is no third one with
    /// `NLM_F_REPLACE`, which in IPv4 hits the first route in the slot, whosever it is.
    fn replace_route(&mut self, route: &Route) -> Outcome {
        let rivals = self.memory.rivals(route);
        if let [old] = rivals.as_slice()
            && route.destination.ip.is_ipv4()
            && self.memory.has_alone(old)
        {
            return self.replace_only(old, route);
        }
        let add = encode::add_route(route, &self.memory.nexthops);
        // A request to remove the old one would find the new one first.
        let (before, after): (Vec<&Route>, Vec<&Route>) = rivals
            .iter()
            .partition(|old| encode::differ_in_source_only(old, route));
        // Meanwhile a third one stands in front, lest packets go by somebody else's.
        let guard = if before.is_empty() {
            None
        } else {
            self.through_one(route)
                .filter(|guard| !rivals.contains(guard))
        };
        // It may have no way any more of which nobody was told yet. The change is made all the same.
        let guard = guard.filter(|guard| {
            let add = encode::add_route(guard, &self.memory.nexthops);
            self.send_one(&add).is_ok()
        });
        let mut outcome = before
            .into_iter()
            .try_for_each(|old| self.remove_route(old));
        outcome = outcome.and_then(|()| self.send_one(&add));
        for old in after.into_iter().chain(&guard) {
            outcome = outcome.and(self.remove_route(old));
        }
        outcome
    }

    /// The same route through a single nexthop of its group, whose link runs: others are no more.
    fn through_one(&self, route: &Route) -> Option<Route> {
        let Via::Nexthop(id) = route.via else {
            return None;
        };
        match &self.memory.nexthops.get(&id)?.hop {
            Hop::Group(members) => {
                let mut running = members.iter().filter(|id| self.memory.has_running(**id));
                Some(Route {
                    via: Via::Nexthop(*running.next()?),
                    ..route.clone()
                })
            }
            Hop::Link { .. } => None,
        }
    }

    /// Replaces the only route in its slot. The kernel tells of the new one alone; that
    /// the old one went is known here.
    fn replace_only(&mut self, old: &Route, new: &Route) -> Outcome {
        let request = encode::replace_route(new, &self.memory.nexthops);
        self.memory.replace(old, new);
        let outcome = self.send_one(&request);
        if outcome.is_ok() {
            self.queue.push(Change::RouteGone(old.clone()));
        } else {
            self.memory.replace(new, old);
        }
        outcome
    }

    fn remove_route(&mut self, route: &Route) -> Outcome {
        if self.memory.is_mistakable(route) {
            return Ok(());
        }
        self.send_one(&encode::remove_route(route))
    }

    /// Sends one request for a method that names what it does.
    pub(super) fn execute(&mut self, what: &str, request: &Request) -> Result<(), RtnlError> {
        self.send_one(request).map_err(|error| RtnlError::Refused {
            what: what.to_owned(),
            error,
        })
    }

    fn send_one(&mut self, request: &Request) -> Outcome {
        self.send_batch(std::slice::from_ref(request))
            .pop()
            .unwrap_or(Ok(()))
    }

    /// Sends requests in one datagram and collects their acknowledgements, which are all there when
    /// the datagram is sent.
    fn send_batch(&mut self, requests: &[Request]) -> Vec<Outcome> {
        if requests.is_empty() {
            return Vec::new();
        }
        if ipmp_fault::is_armed() && requests.len() > 1 {
            let one_by_one = requests.chunks(1);
            return one_by_one.flat_map(|one| self.send_batch(one)).collect();
        }
        ipmp_fault::pass(Point::BeforeOperation);
        let mut datagram = Vec::new();
        let mut sequences = Vec::with_capacity(requests.len());
        for request in requests {
            let sequence = self.next_sequence();
            sequences.push(sequence);
            wire::push_request(
                &mut datagram,
                request.kind,
                request.flags | NLM_F_REQUEST | NLM_F_ACK,
                sequence,
                &request.body,
            );
        }
        // What stays here is what was lost to a full receive buffer: done or not, nobody knows, and
        // the overrun makes everybody look.
        let mut outcomes = vec![Err(wire::error_of(libc::ENOBUFS)); requests.len()];
        let done = self.send(&datagram).and_then(|()| {
            self.drain(&mut |message| {
                let slot = sequences.iter().position(|&s| s == message.sequence);
                if let Some(slot) = slot.filter(|_| message.kind == NLMSG_ERROR)
                    && let (Some(outcome), Some(request)) =
                        (outcomes.get_mut(slot), requests.get(slot))
                {
                    *outcome = wire::acknowledgement(message).or_else(|error| {
                        if request.forgiven.contains(&error.errno) {
                            Ok(())
                        } else {
                            Err(error)
                        }
                    });
                }
            })
        });
        ipmp_fault::pass(Point::AfterOperation);
        if let Err(error) = done {
            outcomes.fill(Err(wire::operation_error(&error)));
        }
        self.digest();
        outcomes
    }
}

/// Whether a nexthop is an IPv6 gateway, which may take a second try.
fn is_gateway6(nexthop: &Nexthop) -> bool {
    matches!(
        nexthop.hop,
        Hop::Link {
            gateway: Some(IpAddr::V6(_)),
            ..
        }
    )
}
