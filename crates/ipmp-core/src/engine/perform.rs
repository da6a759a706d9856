//! From the difference to operations, and what became of them.

use super::Engine;
use crate::command::Refusal;
use crate::kernel::Change;
use crate::plan::{self, Operation, OperationError, Plan};
use crate::{Action, Message, Time};

impl Engine {
    /// What is to be done now to get from what the kernel holds to what it should hold.
    pub(super) fn plan(&mut self, now: Time, actions: &mut Vec<Action>) -> Plan {
        let mut layout = self.layout();
        if let Some(teardown) = self.teardown.clone() {
            layout = self.reduce(layout, &teardown);
        }
        let desired = layout.desired(&self.kernel);
        let ours = self.our_addresses();
        let retired = &self.retired;
        let held_back = self.held_back(&desired);
        let mut plan = plan::plan(&self.kernel, &desired, &mut self.nexthops, |address| {
            let key = (address.index, address.address);
            let is_ours = address.protocol == crate::kernel::PROTOCOL
                || retired.contains(&key)
                || ours.contains(&(address.index, address.address.ip));
            is_ours && held_back != Some(address.address.ip)
        });
        self.linger(now, &mut plan.operations);
        let index = &self.index;
        self.raising.retain(|name| {
            let link = index
                .link(name)
                .and_then(|index| self.kernel.links.get(&index));
            link.is_some_and(|link| !link.up)
        });
        let raised = self.raising.iter().filter_map(|name| index.link(name));
        let ups: Vec<Operation> = raised
            .map(|index| Operation::SetUp { index, up: true })
            .collect();
        self.retired
            .retain(|key| self.kernel.addresses.contains_key(key));

        plan.operations.splice(0..0, ups);

        // What failed a moment ago is not tried again at once, but does not hold up the rest.
        self.failures.retain(&plan.operations);
        self.contests.retain(now, &plan.operations);
        plan.operations.retain(|operation| {
            !self.failures.holds(now, operation) && !self.contests.is_contested(now, operation)
        });
        self.say_undone(&plan.operations, actions);

        // What a command asked for is done once, and so never left out. A link is set up before anything
        // is put on it, and down when nothing else is left to do at present: what was told to leave it has,
        // but for what it was known not to.
        self.unfinished.append(&mut self.once);
        let is_down =
            |operation: &&Operation| matches!(operation, Operation::SetUp { up: false, .. });
        let (downs, once): (Vec<&Operation>, Vec<&Operation>) =
            self.unfinished.iter().partition(is_down);
        plan.operations.splice(0..0, once.into_iter().cloned());
        if plan.is_empty() {
            plan.operations.extend(downs.into_iter().cloned());
        }
        plan
    }

    /// Takes the results of the plan under way, one for each operation.
    pub(super) fn applied(
        &mut self,
        now: Time,
        results: Vec<Result<(), OperationError>>,
        actions: &mut Vec<Action>,
    ) {
        let Some(plan) = self.applying.take() else {
            return;
        };
        let done = &plan.operations;
        self.unfinished
            .retain(|operation| !done.contains(operation));
        let mut refused = None;
        let mut failed = false;
        for (operation, result) in plan.operations.into_iter().zip(results) {
            let error = match result {
                Ok(()) => {
                    self.succeeded(now, &operation);
                    self.contests.note(now, &operation);
                    self.failures.forget(&operation);
                    self.refusals.forget(&operation);
                    continue;
                }
                Err(error) => error,
            };
            failed = true;
            if self.give_up(&operation, &error.text, actions) {
                continue;
            }
            let by_command = self.is_by_command(&operation) && !self.does_without(&operation);
            if by_command {
                refused.get_or_insert(error);
                continue;
            }
            if operation
                .link()
                .is_some_and(|index| !self.kernel.links.contains_key(&index))
            {
                // It went meanwhile, which is told of, and nothing is wanted of it any more.
                continue;
            }
            self.refusals.note(now, &operation, &error);
            let text = operation.text(|index| self.call(index));
            let reason = error.to_string();
            if self.failures.note(now, operation, reason.clone()) {
                actions.push(Action::Log(Message::OperationFailed {
                    operation: text,
                    reason,
                }));
            }
        }
        if failed {
            // What we believe of the kernel did not hold.
            actions.push(Action::Observe);
        }
        if let Some(error) = refused {
            self.refuse(Refusal::Kernel(error.errno, error.text), actions);
        }
    }

    fn succeeded(&mut self, now: Time, operation: &Operation) {
        match operation {
            Operation::AddAddress(new) => {
                self.announce(now, new.index, new.address.ip);
            }
            // The kernel tells of some sysctls only.
            Operation::SetSysctl {
                index,
                sysctl,
                value,
                ..
            } => {
                self.kernel.apply(Change::Sysctl(*index, *sysctl, *value));
            }
            _ => {}
        }
    }
}
