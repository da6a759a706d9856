//! What netlink told, taken into what is known of the kernel.

use std::collections::BTreeMap;

use super::Engine;
use crate::kernel::Change;
use crate::{Action, InterfaceName, Message, Time};

impl Engine {
    /// Takes what changed in the kernel.
    pub(super) fn observe(&mut self, now: Time, changes: Vec<Change>, actions: &mut Vec<Action>) {
        let mut first = false;
        let mut is_about_links = false;
        let mut hand = None;
        for change in changes {
            if let Change::By(by) = change {
                hand = by;
                continue;
            }
            first |= !self.seen && matches!(change, Change::Resync(_));
            is_about_links |= matches!(
                change,
                Change::Link(_) | Change::LinkGone(_) | Change::Resync(_)
            );
            self.shadows.observe(now, &change, &self.kernel);
            self.conflicts.observe(now, &change, &self.kernel);
            self.refusals.observe(&change, &self.kernel);
            // What is put back as it was comes in the place of ours: nobody undoes anything.
            if self.teardown.is_none() {
                let index = &self.index;
                self.contests
                    .observe(now, &change, hand.as_ref(), &self.kernel, |ip| {
                        index.is_asked(ip)
                    });
            }
            if let Change::LinkGone(index) = &change
                && let Some(link) = self.kernel.links.get(index)
                && self.is_member(&link.name)
            {
                let interface = link.name.clone();
                actions.push(Action::Log(Message::InterfaceRemoved { interface }));
            }
            self.kernel.apply(change);
        }
        self.seen |= first;
        if is_about_links {
            let before = self.index.renew_links(&self.kernel);
            if !first {
                self.find_returned(&before, actions);
            }
        }
        if first {
            self.find_exchanged();
            self.adopt();
            // An earlier daemon may have been killed between putting an address into place and
            // telling the neighbours.
            let names = self.asked.interfaces.keys();
            let members: Vec<InterfaceName> =
                names.filter(|name| self.is_member(name)).cloned().collect();
            for name in &members {
                self.announce_all(now, name);
            }
        }
        self.adopt_link_local();
    }

    /// A plumbed interface whose device came back, under whatever circumstances, is set up again.
    fn find_returned(&mut self, before: &BTreeMap<InterfaceName, u32>, actions: &mut Vec<Action>) {
        let returned: Vec<InterfaceName> = self
            .asked
            .interfaces
            .keys()
            .filter(|name| {
                let index = self.link(name).map(|link| link.index);
                index.is_some() && index != before.get(*name).copied()
            })
            .cloned()
            .collect();
        if !returned.is_empty() {
            // Its sysctls are new too.
            actions.push(Action::Observe);
        }
        self.raising.extend(returned);
    }

    /// The same, when the device came back while no daemon ran. One that is as it was, but down, was set
    /// down by somebody.
    fn find_exchanged(&mut self) {
        let exchanged: Vec<InterfaceName> = self
            .last_saved
            .links
            .iter()
            .filter(|(name, index)| self.link(name).is_some_and(|l| Some(l.index) != **index))
            .map(|(name, _)| name.clone())
            .collect();
        self.raising.extend(exchanged);
    }
}
