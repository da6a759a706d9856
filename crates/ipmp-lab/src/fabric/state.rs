//! Which cable leads where, what is wrong with it, and what the switches have learnt.

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use ipmp_core::MacAddress;
use ipmp_linux::wire::Wire;

use super::dice::Dice;
use super::frame::{Arrival, Delayed, Frame, Side};

/// How long a switch remembers where a station is; what IEEE 802.1D recommends.
const AGEING: Duration = Duration::from_mins(5);

/// Trunks that a frame may cross. No lab has that many in a row: it is going round in circles.
const HOPS: u8 = 16;

/// Which cable of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CableId(pub(crate) usize);

/// Which switch of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SwitchId(usize);

/// A port of a switch: the end of a cable.
type Port = (CableId, Side);

/// What is wrong with a cable. Of two values the first is for frames from its near end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) pulled: bool,
    pub(crate) blocked: [bool; 2],
    pub(crate) loss: u8,
    pub(crate) duplicate: u8,
    pub(crate) delay: Duration,
}

/// Frames that a cable has carried and swallowed, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Frames that entered it and will come out, or have.
    pub carried: u64,
    /// Frames that a fault swallowed.
    pub swallowed: u64,
}

#[derive(Debug)]
struct Cable {
    near: Near,
    far: SwitchId,
    faults: Faults,
    dice: [Dice; 2],
    counters: [Counter; 2],
}

#[derive(Debug)]
enum Near {
    /// A NIC; `None` while it is unplugged.
    Nic(Option<Wire>),
    Switch(SwitchId),
}

#[derive(Debug)]
struct Switch {
    ports: Vec<Port>,
    stations: HashMap<MacAddress, (Port, Instant)>,
    ageing: Duration,
}

/// All switches and cables of a lab.
#[derive(Debug)]
pub(crate) struct State {
    seed: u64,
    cables: Vec<Cable>,
    switches: Vec<Switch>,
    arrivals: VecDeque<Arrival>,
    delayed: BinaryHeap<Delayed>,
    delayed_ever: u64,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            cables: Vec::new(),
            switches: Vec::new(),
            arrivals: VecDeque::new(),
            delayed: BinaryHeap::new(),
            delayed_ever: 0,
        }
    }

    /// A new switch without ports.
    pub(crate) fn add_switch(&mut self) -> SwitchId {
        self.switches.push(Switch {
            ports: Vec::new(),
            stations: HashMap::new(),
            ageing: AGEING,
        });
        SwitchId(self.switches.len() - 1)
    }

    /// A new cable from a NIC that is yet to be attached to a switch.
    pub(crate) fn add_cable(&mut self, switch: SwitchId) -> CableId {
        self.add(Near::Nic(None), switch)
    }

    /// A new cable from switch to switch.
    pub(crate) fn add_trunk(&mut self, near: SwitchId, far: SwitchId) -> CableId {
        let cable = self.add(Near::Switch(near), far);
        if let Some(switch) = self.switches.get_mut(near.0) {
            switch.ports.push((cable, Side::Near));
        }
        cable
    }

    fn add(&mut self, near: Near, far: SwitchId) -> CableId {
        let id = self.cables.len();
        let stream = 2 * id as u64;
        self.cables.push(Cable {
            near,
            far,
            faults: Faults::default(),
            dice: [
                Dice::new(self.seed, stream),
                Dice::new(self.seed, stream + 1),
            ],
            counters: [Counter::default(); 2],
        });
        if let Some(switch) = self.switches.get_mut(far.0) {
            switch.ports.push((CableId(id), Side::Far));
        }
        CableId(id)
    }

    /// Puts a wire to the NIC end of a cable, or takes it away.
    pub(crate) fn attach(&mut self, cable: CableId, wire: Option<Wire>) {
        if let Some(cable) = self.cables.get_mut(cable.0) {
            cable.near = Near::Nic(wire);
        }
    }

    /// Whether there is a NIC at the near end.
    pub(crate) fn is_attached(&self, cable: CableId) -> bool {
        self.cables
            .get(cable.0)
            .is_some_and(|cable| matches!(cable.near, Near::Nic(Some(_))))
    }

    /// Whether the cable is pulled out.
    pub(crate) fn is_pulled(&self, cable: CableId) -> bool {
        self.cables
            .get(cable.0)
            .is_some_and(|cable| cable.faults.pulled)
    }

    /// What is wrong with a cable, to be changed.
    pub(crate) fn change(&mut self, cable: CableId, change: impl FnOnce(&mut Faults)) {
        if let Some(cable) = self.cables.get_mut(cable.0) {
            change(&mut cable.faults);
        }
    }

    /// Frames from the near end, and frames from the far end.
    pub(crate) fn counters(&self, cable: CableId) -> [Counter; 2] {
        self.cables
            .get(cable.0)
            .map(|cable| cable.counters)
            .unwrap_or_default()
    }

    /// The switches at the ends of a cable forget the stations behind it, as they do when a port
    /// loses its carrier.
    pub(crate) fn forget(&mut self, cable: CableId) {
        for switch in &mut self.switches {
            switch
                .stations
                .retain(|_, &mut ((behind, _), _)| behind != cable);
        }
    }

    /// Sets how long a switch remembers where a station is.
    pub(crate) fn set_ageing(&mut self, switch: SwitchId, ageing: Duration) {
        if let Some(switch) = self.switches.get_mut(switch.0) {
            switch.ageing = ageing;
        }
    }

    /// The cable behind which a switch believes a station to be.
    pub(crate) fn station(&self, switch: SwitchId, mac: MacAddress) -> Option<CableId> {
        let switch = self.switches.get(switch.0)?;
        let &((cable, _), seen) = switch.stations.get(&mac)?;
        (seen.elapsed() < switch.ageing).then_some(cable)
    }

    /// Takes in up to `turn` frames from the NIC of a cable.
    pub(super) fn receive(&mut self, cable: CableId, buffer: &mut [u8], turn: usize) {
        for _ in 0..turn {
            let Some(Near::Nic(Some(wire))) = self.cables.get(cable.0).map(|cable| &cable.near)
            else {
                return;
            };
            // No frame left, or the device has just gone down: it may come back.
            let Ok(length) = wire.receive(buffer) else {
                return;
            };
            if let Some(bytes) = buffer.get(..length) {
                let frame = Frame {
                    bytes: bytes.to_vec(),
                    hops: 0,
                };
                self.enter(cable, Side::Near, &frame);
            }
        }
    }

    /// When the next delayed frame is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.peek().map(|delayed| delayed.due)
    }

    /// Moves every frame that can move now.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            while let Some(arrival) = self.arrivals.pop_front() {
                self.arrive(arrival, now);
            }
            match self.delayed.peek() {
                Some(delayed) if delayed.due <= now => {
                    if let Some(delayed) = self.delayed.pop() {
                        self.arrivals.push_back(delayed.arrival);
                    }
                }
                _ => return,
            }
        }
    }

    /// A frame enters a cable at an end, and meets what is wrong with it.
    fn enter(&mut self, id: CableId, side: Side, frame: &Frame) {
        let Some(cable) = self.cables.get_mut(id.0) else {
            return;
        };
        let [near, far] = &mut cable.counters;
        let [near_dice, far_dice] = &mut cable.dice;
        let [near_blocked, far_blocked] = cable.faults.blocked;
        let (counter, dice, blocked) = match side {
            Side::Near => (near, near_dice, near_blocked),
            Side::Far => (far, far_dice, far_blocked),
        };
        let faults = cable.faults;
        if faults.pulled || blocked || dice.roll(faults.loss) {
            counter.swallowed += 1;
            return;
        }
        counter.carried += 1;
        let copies = if dice.roll(faults.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let arrival = Arrival {
                cable: id,
                side: side.other(),
                frame: frame.clone(),
            };
            if faults.delay.is_zero() {
                self.arrivals.push_back(arrival);
            } else {
                self.delayed_ever += 1;
                self.delayed.push(Delayed {
                    due: Instant::now() + faults.delay,
                    number: self.delayed_ever,
                    arrival,
                });
            }
        }
    }

    /// A frame comes out of a cable.
    fn arrive(&mut self, arrival: Arrival, now: Instant) {
        let Arrival {
            cable: id,
            side,
            mut frame,
        } = arrival;
        let Some(cable) = self.cables.get(id.0) else {
            return;
        };
        if cable.faults.pulled {
            return; // while a delayed frame was on its way
        }
        let (switch, trunk) = match (side, &cable.near) {
            (Side::Near, Near::Nic(wire)) => {
                if let Some(wire) = wire {
                    // A device that cannot take a frame now loses it, as NICs do.
                    let _lost = wire.send(&frame.bytes);
                }
                return;
            }
            (Side::Near, Near::Switch(near)) => (*near, true),
            (Side::Far, near) => (cable.far, matches!(near, Near::Switch(_))),
        };
        frame.hops += u8::from(trunk);
        if frame.hops > HOPS {
            return;
        }
        let Some(switch) = self.switches.get_mut(switch.0) else {
            return;
        };
        for port in switch.forward((id, side), &frame, now) {
            self.enter(port.0, port.1, &frame);
        }
    }
}

impl Switch {
    /// Learns where the sender is, and tells the ports a frame goes out of.
    fn forward(&mut self, from: Port, frame: &Frame, now: Instant) -> Vec<Port> {
        let (Some(source), Some(destination)) = (frame.source(), frame.destination()) else {
            return Vec::new(); // too short for Ethernet
        };
        if source.is_unicast() {
            self.stations.insert(source, (from, now));
        }
        let known = self
            .stations
            .get(&destination)
            .filter(|(_, seen)| now.saturating_duration_since(*seen) < self.ageing);
        match known {
            Some(&(port, _)) if port == from => Vec::new(),
            Some(&(port, _)) => vec![port],
            None => {
                let others = self.ports.iter().filter(|port| **port != from);
                others.copied().collect()
            }
        }
    }
}
