//! What is counted by name, for as many names as a host can have, and not for ever for those that are
//! never used again, as those of containers.

use std::collections::BTreeMap;

/// How many keys are remembered: more than a host has in use.
const MOST: usize = 4096;

/// Values by key; of too many, the one that was changed longest ago is forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Remembered<Key, Value> {
    values: BTreeMap<Key, (u64, Value)>,
    /// How often anything was changed.
    changes: u64,
}

impl<Key, Value> Default for Remembered<Key, Value> {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            changes: 0,
        }
    }
}

impl<Key: Ord + Clone, Value> Remembered<Key, Value> {
    /// The value of a key, to be changed; `new` if it has none.
    pub(crate) fn change(&mut self, key: Key, new: impl FnOnce() -> Value) -> &mut Value {
        if self.values.len() >= MOST && !self.values.contains_key(&key) {
            let oldest = self.values.iter().min_by_key(|(_, (change, _))| *change);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.values.remove(&oldest);
            }
        }
        self.changes += 1;
        let (change, value) = self.values.entry(key).or_insert_with(|| (0, new()));
        *change = self.changes;
        value
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Value> {
        self.values.get(key).map(|(_, value)| value)
    }

    /// All that is remembered, in the order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.values.iter().map(|(key, (_, value))| (key, value))
    }
}

#[cfg(test)]
mod tests;
