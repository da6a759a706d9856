//! The way back out (`ipmp teardown`): the host as it was before there were groups.
//!
//! What the kernel is to hold of ours becomes less, and each step waits until the one before it was seen
//! to be done:
//!
//! 1. data addresses go home, those of a NIC that does not work too; test addresses go. What others are
//!    being asked for is waited for first, and what one of them has stays away;
//! 2. addresses become somebody else's, those that were there before as they were (`plan/plain.rs`);
//! 3. routes of others that went with their NIC's addresses are put back;
//! 4. our routes and nexthops go, then routes of others are put back that the kernel did not take beside
//!    ours, and sysctls are put back.
//!
//! Then nothing is left to be remembered, and the engine is over. A daemon that is killed amid this leaves
//! a group: the next one mends it, and is told again.

use std::collections::BTreeSet;

use super::{Engine, shadow};
use crate::asked::{Asked, Logical};
use crate::command::{Answer, Refusal};
use crate::desired::Layout;
use crate::kernel::{Address, Form, PROTOCOL, Route, Via};
use crate::plan::{self, NewAddress, Operation, Plain};
use crate::{Action, Family, Flags, InterfaceName, Message};

/// After how many plans it is given up: some kernel does not do what it says.
const MOST_PLANS: u32 = 64;

/// How far the way back out has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Teardown {
    /// Routes of others that the kernel does not take as long as ours are there: it looks for a gateway in
    /// the first route to its subnet, and ours does not lead through a link that does not work.
    waiting: BTreeSet<Route>,
    /// Routes of others that the kernel does not take any more.
    given_up: BTreeSet<Route>,
    /// How many plans were made.
    plans: u32,
}

impl Engine {
    /// Whether all is as it was before: there is nothing left to do, and nothing will be done any more.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Begins to put everything back.
    pub(super) fn tear_down(&mut self) -> Answer {
        self.teardown = Some(Teardown::default());
        for logical in &mut self.asked.logicals {
            logical.moved_to = None;
        }
        let is_nothing =
            self.asked.interfaces.is_empty() && self.sysctls.is_empty() && !self.is_anything_ours();
        if is_nothing {
            Answer::AlreadyExists
        } else {
            Answer::Done
        }
    }

    /// Whether the kernel holds anything that bears our mark.
    fn is_anything_ours(&self) -> bool {
        let kernel = &self.kernel;
        kernel.addresses.values().any(|a| a.protocol == PROTOCOL)
            || self.has_routes_of_ours()
            || kernel.nexthops.values().any(|n| n.protocol == PROTOCOL)
    }

    /// Takes what is not to be there any more from a layout, as far as its turn has come.
    pub(super) fn reduce(&mut self, layout: Layout, teardown: &Teardown) -> Layout {
        let plain = self.plain();
        let placed = layout.placed.into_iter().filter(|placed| {
            let mut there = plain.iter();
            there.any(|plain| (plain.index, plain.address) == (placed.index, placed.address))
        });
        let layout = Layout {
            placed: placed.collect(),
            // What others are not asked for by now they will not be.
            awaited: BTreeSet::new(),
            plain: plain.clone(),
            put_back: Vec::new(),
            ..layout
        };
        if !plan::is_settled(&self.kernel, &layout.desired(&self.kernel)) {
            return layout;
        }
        let mut put_back = self.to_put_back(teardown);
        put_back.retain(|route| !teardown.waiting.contains(route));
        if !put_back.is_empty() {
            return Layout { put_back, ..layout };
        }
        Layout {
            plain,
            put_back: self.to_put_back_without_ours(teardown),
            restore: self.sysctls_to_restore(&[], true),
            ..Layout::default()
        }
    }

    /// The addresses that stay, in the order in which they stand: first those that were there before, then
    /// those that were typed.
    fn plain(&self) -> Vec<NewAddress> {
        let mut plain: Vec<(bool, bool, usize, NewAddress)> = Vec::new();
        for logical in &self.asked.logicals {
            if !logical.is_up() || logical.address.is_link_local6() {
                continue;
            }
            let place = self.place_of(logical);
            let Some(index) = self.link(&place.interface).map(|link| link.index) else {
                continue;
            };
            let found = self.found.get(&place.interface).into_iter().flatten();
            let found = found.enumerate();
            let mut found = found.filter(|(_, found)| {
                found.address == logical.address && place.interface == logical.home.interface
            });
            let new = match found.next() {
                Some((position, found)) => {
                    let address = as_found(index, found);
                    (false, found.secondary, position, address)
                }
                None if self.is_for_probes_only(logical) => continue,
                // What stood there before goes back there, whoever else has it by now.
                None if self.conflicts.is_taken(logical.address.ip) => continue,
                None => {
                    let form = Form {
                        nodad: logical.family() == Family::Inet6,
                        ..Form::default()
                    };
                    let address = NewAddress {
                        index,
                        address: logical.address,
                        broadcast: logical.broadcast,
                        label: super::layout::label(&place, logical.family()),
                        deprecated: logical.flags.contains(Flags::DEPRECATED),
                        no_prefix_route: false,
                        plain: Some(Plain { protocol: 0, form }),
                    };
                    (true, false, plain.len(), address)
                }
            };
            plain.push(new);
        }
        plain.sort_by(|one, other| {
            let key = |(typed, secondary, position, new): &(bool, bool, usize, NewAddress)| {
                (new.index, *typed, *secondary, *position)
            };
            key(one).cmp(&key(other))
        });
        plain.into_iter().map(|(.., new)| new).collect()
    }

    /// Whether an address is there for probes only: the test address of a member of a group that has data
    /// addresses. Where there are none it may be the only way to the host.
    fn is_for_probes_only(&self, logical: &Logical) -> bool {
        let group = self.group_of(&logical.home.interface);
        logical.flags.contains(Flags::NOFAILOVER)
            && group.is_some()
            && self.asked.logicals.iter().any(|other| {
                other.is_up()
                    && other.is_movable()
                    && other.family() == logical.family()
                    && self.group_of(&other.home.interface) == group
            })
    }

    /// Routes of others that are not there because we took the addresses of their NIC away, those first
    /// that lead to the gateways of others.
    fn to_put_back(&self, teardown: &Teardown) -> Vec<Route> {
        let lost = self.shadows.lost(&self.kernel);
        let lost =
            lost.filter_map(|(name, route)| shadow::anew(&self.kernel, route, self.link(name)?));
        let mut lost: Vec<Route> = lost
            .filter(|route| {
                !self.kernel.routes.contains(route) && !teardown.given_up.contains(route)
            })
            .collect();
        lost.sort_by_key(|route| !matches!(route.via, Via::Link { gateway: None, .. }));
        lost
    }

    /// Those that waited until ours were gone.
    fn to_put_back_without_ours(&self, teardown: &Teardown) -> Vec<Route> {
        if self.has_routes_of_ours() {
            return Vec::new();
        }
        self.to_put_back(teardown)
    }

    fn has_routes_of_ours(&self) -> bool {
        self.kernel.routes.iter().any(|r| r.protocol == PROTOCOL)
    }

    /// Counts a plan; refuses to go on for ever.
    pub(super) fn count_plan(&mut self, actions: &mut Vec<Action>) -> bool {
        let Some(teardown) = &mut self.teardown else {
            return true;
        };
        teardown.plans += 1;
        if teardown.plans <= MOST_PLANS {
            return true;
        }
        let reason = "the kernel does not put addresses back as they were".to_owned();
        self.refuse(Refusal::Invalid(reason), actions);
        false
    }

    /// Passes over a route of somebody else's that the kernel does not take, first until ours are gone;
    /// whether this is one.
    pub(super) fn give_up(
        &mut self,
        operation: &Operation,
        reason: &str,
        actions: &mut Vec<Action>,
    ) -> bool {
        let has_ours = self.has_routes_of_ours();
        let Operation::AddRoute(route) = operation else {
            return false;
        };
        if route.protocol == PROTOCOL {
            return false;
        }
        if let Some(teardown) = &mut self.teardown {
            if has_ours && teardown.waiting.insert(route.clone()) {
                return true;
            }
            teardown.given_up.insert(route.clone());
        } else {
            self.shadows.let_go(route);
        }
        actions.push(Action::Log(Message::OperationFailed {
            operation: operation.to_string(),
            reason: reason.to_owned(),
        }));
        true
    }

    /// Whether the way back out does without what the kernel refused: a route or nexthop of ours, which is
    /// about to go.
    pub(super) const fn does_without(&self, operation: &Operation) -> bool {
        let is_ours = matches!(
            operation,
            Operation::SetNexthop(_) | Operation::AddRoute(_) | Operation::ReplaceRoute(_)
        );
        self.teardown.is_some() && is_ours
    }

    /// When there is nothing to plan any more: forgets everything if it is done; whether it is.
    pub(super) fn end(&mut self) -> bool {
        if self.is_anything_ours() || !self.sysctls.is_empty() {
            return false;
        }
        self.asked = Asked::default();
        self.index.renew_asked(&self.asked);
        self.places.clear();
        self.failed.clear();
        self.silent.clear();
        self.returning.clear();
        self.retired.clear();
        self.raising.clear();
        self.found.clear();
        self.nexthops.clear();
        self.moved.clear();
        self.shadows = shadow::Shadows::new(Vec::new());
        self.teardown = None;
        self.is_over = true;
        true
    }

    /// Remembers an address as it was before it became ours.
    pub(super) fn remember_found(&mut self, home: &InterfaceName, address: &Address) {
        if address.protocol != PROTOCOL {
            let found = self.found.entry(home.clone()).or_default();
            found.push(address.clone());
        }
    }

    /// Forgets addresses that the administrator has taken away or changed since.
    pub(super) fn forget_found(&mut self) {
        let asked = &self.asked;
        self.found.retain(|name, found| {
            found.retain(|found| {
                let mut logicals = asked.logicals.iter();
                logicals.any(|logical| {
                    logical.home.interface == *name && logical.address == found.address
                })
            });
            !found.is_empty()
        });
    }
}

/// An address as it was found.
fn as_found(index: u32, found: &Address) -> NewAddress {
    NewAddress {
        index,
        address: found.address,
        broadcast: found.broadcast,
        label: found.label.clone(),
        deprecated: found.deprecated,
        no_prefix_route: found.no_prefix_route,
        plain: Some(Plain {
            protocol: found.protocol,
            form: found.form,
        }),
    }
}
