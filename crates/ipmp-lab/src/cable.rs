//! Cables, and what can go wrong with them.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ipmp_core::MacAddress;
use ipmp_linux::wire::Wire;

use crate::error::{About, LabError};
use crate::fabric::{CableId, Counter, Faults, SwitchId};
use crate::lab::Core;

/// A way through a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the NIC to the switch; of a trunk, from the switch it was laid from.
    Transmit,
    /// From the switch to the NIC; of a trunk, to the switch it was laid from.
    Receive,
}

/// A cable between a NIC and a switch, or between two switches (a trunk). Clones are the same cable.
///
/// A fault takes effect at once, lasts until it is taken away, and does not touch the others.
#[derive(Clone, Debug)]
pub struct Cable {
    core: Arc<Core>,
    id: CableId,
}

impl Cable {
    pub(crate) fn new(core: Arc<Core>, id: CableId) -> Self {
        Self { core, id }
    }

    pub(crate) const fn id(&self) -> CableId {
        self.id
    }

    /// The device in the backplane that is the switch's port, where the cable leads to a NIC.
    pub(crate) fn port(&self) -> String {
        format!("port{}", self.id.0)
    }

    /// Pulls the cable out: the NIC loses its carrier at once, and the switch forgets the stations
    /// behind the port. A trunk pulled just carries nothing.
    pub fn pull(&self) -> Result<(), LabError> {
        self.set_pulled(true)
    }

    /// Puts the cable back: the NIC has its carrier at once. Its host sends through it again when the
    /// kernel's link watch has had its turn, some milliseconds later.
    pub fn plug(&self) -> Result<(), LabError> {
        self.set_pulled(false)
    }

    fn set_pulled(&self, pulled: bool) -> Result<(), LabError> {
        // Held throughout, so that a NIC plugged in meanwhile finds the cable in one state.
        let mut links = self.core.links();
        let attached = {
            let mut state = self.core.fabric.state();
            state.change(self.id, |faults| faults.pulled = pulled);
            if pulled {
                state.forget(self.id);
            }
            state.is_attached(self.id)
        };
        if attached {
            links.set_up(&self.port(), !pulled)?;
        }
        Ok(())
    }

    /// Pulls the cable and puts it back, `times` times: out for `interval`, in for `interval`. The
    /// moments are counted from the first, so lateness does not add up. Returns when it is over.
    pub fn flap(&self, times: u32, interval: Duration) -> Result<(), LabError> {
        let start = Instant::now();
        let until = |changes: u32| {
            let at = start + interval * changes;
            sleep(at.saturating_duration_since(Instant::now()));
        };
        for time in 0..times {
            self.pull()?;
            until(2 * time + 1);
            self.plug()?;
            until(2 * time + 2);
        }
        Ok(())
    }

    /// Lets the cable swallow every frame, either way, while the carrier stays: a fault that only
    /// probes can find. The switch remembers the stations behind the port as real ones do.
    pub fn silence(&self) {
        self.block([true; 2]);
    }

    /// Ends [`Cable::silence`] and [`Cable::one_way`].
    pub fn unsilence(&self) {
        self.block([false; 2]);
    }

    /// Lets the cable carry frames in this direction only, while the carrier stays.
    pub fn one_way(&self, open: Direction) {
        self.block([open != Direction::Transmit, open != Direction::Receive]);
    }

    fn block(&self, blocked: [bool; 2]) {
        self.change(|faults| faults.blocked = blocked);
    }

    /// Loses so many frames in a hundred, in each direction, by chance (that of the lab's seed).
    pub fn loss(&self, percent: u8) {
        self.change(|faults| faults.loss = percent);
    }

    /// Delivers so many frames in a hundred twice, in each direction.
    pub fn duplicate(&self, percent: u8) {
        self.change(|faults| faults.duplicate = percent);
    }

    /// Holds every frame back for that time, in each direction.
    pub fn delay(&self, time: Duration) {
        self.change(|faults| faults.delay = time);
    }

    /// Takes all faults away and plugs the cable in.
    pub fn heal(&self) -> Result<(), LabError> {
        self.change(|faults| {
            faults.blocked = [false; 2];
            faults.loss = 0;
            faults.duplicate = 0;
            faults.delay = Duration::ZERO;
        });
        self.plug()
    }

    /// A socket at the port of the switch: what is sent by it arrives at the NIC, past the switch's thread
    /// and whatever is wrong with the cable. For more frames than that thread can carry.
    pub fn wire(&self) -> Result<Wire, LabError> {
        let port = self.port();
        let index = self.core.links().index_of(&port)?;
        let open = || Wire::open(index);
        self.core.backplane.run(open).about(port)
    }

    /// Frames that went this way since the cable was laid.
    pub fn counter(&self, direction: Direction) -> Counter {
        let [transmitted, received] = self.core.fabric.state().counters(self.id);
        match direction {
            Direction::Transmit => transmitted,
            Direction::Receive => received,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.core.fabric.state().change(self.id, change);
    }
}

/// A learning switch. Clones are the same switch.
#[derive(Clone, Debug)]
pub struct Switch {
    core: Arc<Core>,
    id: SwitchId,
}

impl Switch {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let id = core.fabric.state().add_switch();
        Self { core, id }
    }

    pub(crate) const fn id(&self) -> SwitchId {
        self.id
    }

    /// Lays a trunk to another switch of the lab; what this one sends over it is
    /// [`Direction::Transmit`]. There is no spanning tree: do not lay a ring.
    pub fn trunk(&self, other: &Self) -> Cable {
        let id = self.core.fabric.state().add_trunk(self.id, other.id);
        Cable::new(self.core.clone(), id)
    }

    /// Sets how long the switch remembers where a station is: five minutes unless told.
    pub fn ageing(&self, time: Duration) {
        self.core.fabric.state().set_ageing(self.id, time);
    }

    /// Whether the switch believes the NIC with this address to be behind this cable.
    pub fn has_learnt(&self, mac: MacAddress, behind: &Cable) -> bool {
        self.core.fabric.state().station(self.id, mac) == Some(behind.id)
    }
}
