//! The engine: one function of (state, time, event).

use crate::asked::Saved;
use crate::{Action, Event, Kernel, Settings, Snapshot, Time};

/// Everything IPMP knows about one network namespace.
#[derive(Clone, Debug)]
pub struct Engine {}

impl Engine {
    /// An engine that has not seen the kernel yet: the first event must be a
    /// [`crate::kernel::Change::Resync`]. `saved` is what an earlier daemon left; `seed`
    /// de-synchronises this host's probes from others'.
    pub fn new(settings: Settings, saved: Option<Saved>, seed: u64) -> Self {
        let _ = (settings, saved, seed);
        Self {}
    }

    /// Takes one event at `now` and says what is to be done. `now` never goes backwards.
    pub fn handle(&mut self, now: Time, event: Event) -> Vec<Action> {
        let _ = (now, event);
        Vec::new()
    }

    /// When [`Event::Tick`] is to be fed next at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// Everything there is to see.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::default()
    }

    /// What there is to see without a daemon: what an earlier one left, over what the kernel holds.
    pub fn view(saved: Option<Saved>, kernel: Kernel) -> Snapshot {
        let mut engine = Self::new(Settings::default(), saved, 0);
        engine.handle(
            Time::ZERO,
            Event::Kernel(crate::kernel::Change::Resync(kernel)),
        );
        engine.snapshot()
    }
}
