//! What is known, and where the user is in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use ipmp_api::interface::Event;
use ipmp_core::{InterfaceName, Snapshot};
use ratatui::layout::Rect;

use super::feed::{Message, Watching};
use super::history::History;
use super::input::{Step, Stroke, Wish, stroke};
use super::{rows, view};
use crate::daemon::Clocks;

/// How many events are kept.
const KEPT: usize = 1000;

/// The lists, from top to bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Interfaces,
    Addresses,
    Probes,
    Events,
}

impl List {
    pub(super) const ALL: [Self; 4] = [
        Self::Interfaces,
        Self::Addresses,
        Self::Probes,
        Self::Events,
    ];
}

/// Where the user is in a list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// The row chosen.
    pub(super) chosen: usize,
    /// The topmost row that is shown.
    pub(super) top: usize,
    /// How many rows are shown.
    pub(super) height: usize,
}

impl Place {
    fn step(&mut self, step: Step) {
        self.chosen = match step {
            Step::Up => self.chosen.saturating_sub(1),
            Step::Down => self.chosen.saturating_add(1),
            Step::PageUp => self.chosen.saturating_sub(self.height.max(1)),
            Step::PageDown => self.chosen.saturating_add(self.height.max(1)),
            Step::First => 0,
            Step::Last => usize::MAX,
        };
    }

    /// Brings the chosen row into a window of this height onto so many rows.
    fn fit(&mut self, height: usize, rows: usize) {
        self.height = height;
        self.chosen = self.chosen.min(rows.saturating_sub(1));
        let lowest = self.chosen.saturating_sub(height.saturating_sub(1));
        self.top = self.top.clamp(lowest, self.chosen);
        self.top = self.top.min(rows.saturating_sub(height));
    }
}

/// How it is with the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// It has not answered yet.
    Asking,
    /// It answers.
    Running,
    /// It does not run: what an earlier one left is shown, over what the kernel holds.
    NotRunning,
    /// It cannot be asked: why.
    Lost(String),
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Model {
    /// Name of this host.
    pub(super) host: String,
    /// The time, as it is shown.
    pub(super) time: String,
    /// Whether colours are welcome.
    pub(super) colours: bool,
    /// Whether the terminal knows bars of eighths.
    pub(super) blocks: bool,
    pub(super) contact: Contact,
    pub(super) snapshot: Snapshot,
    pub(super) watching: Watching,
    /// What became of probes, out of each interface to each target.
    pub(super) probes: BTreeMap<(InterfaceName, IpAddr), History>,
    /// What changed, newest first.
    pub(super) events: VecDeque<Event>,
    /// The list the user is in.
    pub(super) focus: List,
    /// Where the user is in each of [`List::ALL`].
    pub(super) places: [Place; 4],
}

impl Model {
    /// Nothing is known yet.
    pub(super) fn new(host: String, colours: bool, blocks: bool) -> Self {
        Self {
            host,
            time: String::new(),
            colours,
            blocks,
            contact: Contact::Asking,
            snapshot: Snapshot::default(),
            watching: Watching::No,
            probes: BTreeMap::new(),
            events: VecDeque::new(),
            focus: List::Interfaces,
            places: [Place::default(); 4],
        }
    }

    /// Takes note of the time.
    pub(super) fn clock(&mut self, clocks: Clocks) {
        let time = humantime::format_rfc3339_seconds(clocks.wall).to_string();
        self.time = time.replace('T', " ").replace('Z', " UTC");
    }

    /// Takes something new.
    pub(super) fn take(&mut self, message: Message) -> Wish {
        match message {
            Message::Seen(snapshot, is_running) => {
                self.contact = if is_running {
                    Contact::Running
                } else {
                    Contact::NotRunning
                };
                self.snapshot = *snapshot;
                self.forget_targets();
            }
            // What was seen last is shown on.
            Message::Unseen(reason) => self.contact = Contact::Lost(reason),
            Message::Events(events) => events.into_iter().for_each(|event| self.note(event)),
            Message::Probes(probes) => {
                for probe in probes {
                    let target = (probe.interface.clone(), probe.target);
                    self.probes.entry(target).or_default().take(&probe);
                }
            }
            Message::Watching(watching) => self.watching = watching,
            Message::Key(key) => return stroke(key).map_or(Wish::Nothing, |it| self.strike(it)),
            Message::Resized => return Wish::See,
            Message::End => return Wish::End,
        }
        Wish::Nothing
    }

    fn strike(&mut self, stroke: Stroke) -> Wish {
        let at = self.focus as usize;
        let lists = List::ALL.len();
        let to = match stroke {
            Stroke::End => return Wish::End,
            Stroke::Redraw => return Wish::Redraw,
            Stroke::Next => (at + 1) % lists,
            Stroke::Previous => (at + lists - 1) % lists,
            Stroke::Move(step) => {
                if let Some(place) = self.places.get_mut(at) {
                    place.step(step);
                }
                at
            }
        };
        self.focus = List::ALL.get(to).copied().unwrap_or(self.focus);
        Wish::See
    }

    /// Takes note of an event, unless it is known: a daemon tells all it remembers to whoever comes, or
    /// comes again.
    fn note(&mut self, event: Event) {
        let is_newer = self.events.front().is_none_or(|last| {
            (event.monotonic_ms, event.sequence) > (last.monotonic_ms, last.sequence)
        });
        if !is_newer {
            return;
        }
        self.events.push_front(event);
        self.events.truncate(KEPT);
        // Whoever reads on further down stays where he is.
        if let Some(place) = self.places.get_mut(List::Events as usize)
            && place.chosen > 0
        {
            place.chosen += 1;
            place.top += 1;
        }
    }

    /// Forgets what became of probes to those who are no targets any more.
    fn forget_targets(&mut self) {
        let mut targets = BTreeSet::new();
        for interface in &self.snapshot.interfaces {
            for target in interface.probing.iter().flat_map(|it| &it.targets) {
                targets.insert((interface.name.clone(), target.address));
            }
        }
        self.probes.retain(|target, _| targets.contains(target));
    }

    /// Brings what is chosen into a window of this size.
    pub(super) fn fit(&mut self, area: Rect) {
        let wanted = List::ALL.map(|list| rows::of(self, list).len());
        let heights = view::heights(area.height, wanted, self);
        for ((place, height), rows) in self.places.iter_mut().zip(heights).zip(wanted) {
            place.fit(height.into(), rows);
        }
    }
}
