//! What outlives the daemon.

use super::Engine;
use crate::Action;
use crate::asked::Saved;

impl Engine {
    /// Has saved what is not as it was saved last.
    pub(super) fn save(&mut self, actions: &mut Vec<Action>) {
        let saved = Saved {
            version: Saved::VERSION,
            asked: self.asked.clone(),
            places: self
                .places
                .iter()
                .map(|((home, family), place)| (home.clone(), *family, place.clone()))
                .collect(),
            failed: self.failed.clone(),
            silent: self.silent.clone(),
            sysctls: self
                .sysctls
                .iter()
                .map(|((name, sysctl), value)| (name.clone(), *sysctl, *value))
                .collect(),
            nexthops: self
                .nexthops
                .iter()
                .map(|(key, id)| (key.clone(), *id))
                .collect(),
            found: self.found.clone(),
            shadowed: self.shadows.saved(),
            retired: self.retired.iter().copied().collect(),
            unfinished: self.unfinished.clone(),
            links: self
                .asked
                .interfaces
                .keys()
                .map(|name| (name.clone(), self.link(name).map(|link| link.index)))
                .collect(),
        };
        if saved != self.last_saved {
            self.last_saved = saved.clone();
            actions.push(Action::Save(Box::new(saved)));
        }
    }
}
