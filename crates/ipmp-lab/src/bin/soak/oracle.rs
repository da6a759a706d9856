//! What may be lost: knows for each moment which NICs have a path and whether a daemon is there, and so
//! for how long after a fault packets of a group may be lost.
//!
//! Every fault opens a window for the traffic of its group. It closes when the bound of the fault is
//! over, counted from when the group could be served: some NIC has had a path long enough for its
//! repair to be noticed, and a daemon runs. What is lost outside every window is lost without excuse.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::faults::Kind;
use crate::stage::{Group, NICS, Timing};

/// To what a loss is put down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// A fault, while another NIC had a path and a daemon ran.
    Fault(Kind),
    /// The end of a fault, when addresses go home.
    Repair,
    /// A fault while no daemon ran: counted from its start.
    NoDaemon,
    /// No NIC of the group had a path: counted from when one had.
    NoPath,
}

impl Cause {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fault(kind) => kind.name(),
            Self::Repair => "fault over",
            Self::NoDaemon => "fault, no daemon",
            Self::NoPath => "no NIC with a path",
        }
    }

    /// For how long packets may be lost.
    pub(crate) fn bound(self, timing: Timing) -> Duration {
        match self {
            Self::Fault(kind) => match kind {
                Kind::Pull | Kind::Unplug | Kind::Down | Kind::Flap => timing.link,
                Kind::Silent | Kind::Deaf | Kind::Mute | Kind::Loss => timing.silent(),
                Kind::AddressesDeleted
                | Kind::AddressAdded
                | Kind::RoutesDeleted
                | Kind::NexthopsDeleted
                | Kind::SysctlsReset => timing.hands,
                Kind::Delay | Kind::Offline | Kind::Kill | Kind::Reload => Duration::ZERO,
            },
            Self::Repair => Duration::ZERO,
            Self::NoDaemon => timing.start(),
            Self::NoPath => timing.repair() + timing.link,
        }
    }
}

/// A time in which packets of a group may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) cause: Cause,
    group: Group,
    nic: Option<&'static str>,
    pub(crate) from: Instant,
    /// From when on its bound counts.
    counted_from: Instant,
    /// Its end; `None` while that is not known.
    until: Option<Instant>,
    /// Whether its fault has to end before it can.
    lasts: bool,
    /// Whether it was open when there was no daemon.
    missed_daemon: bool,
}

/// How long the repair of a link that flaps is held back.
const HELD: Duration = Duration::from_mins(1);

/// How long before a fault something may have been sent that was under way when it came.
const UNDER_WAY: Duration = Duration::from_millis(100);

impl Window {
    /// One that opens, without an end so far.
    fn new(cause: Cause, group: Group, at: Instant) -> Self {
        Self {
            cause,
            group,
            nic: None,
            from: at,
            counted_from: at,
            until: None,
            lasts: false,
            missed_daemon: false,
        }
    }

    fn covers(&self, at: Instant) -> bool {
        // What excuses nothing has no time before it either.
        let before = match self.until {
            Some(until) if until == self.from => Duration::ZERO,
            _ => UNDER_WAY,
        };
        self.from <= at + before && self.until.is_none_or(|until| at <= until)
    }
}

/// A NIC as the oracle knows it.
#[derive(Debug)]
struct Nic {
    group: Group,
    has_path: bool,
    /// When its having a path must have been noticed.
    ready: Instant,
}

/// Whose loss it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Within the window of this number.
    Excused(usize),
    /// In none; the last one that began before has this number.
    Unexcused(Option<usize>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Oracle {
    timing: Timing,
    nics: BTreeMap<&'static str, Nic>,
    /// Since when there is none.
    daemon_gone: Option<Instant>,
    windows: Vec<Window>,
}

impl Oracle {
    /// Everything works, and has for long.
    pub(crate) fn new(timing: Timing, now: Instant) -> Self {
        let nics = NICS.iter().map(|&(name, group)| {
            let nic = Nic {
                group,
                has_path: true,
                ready: now,
            };
            (name, nic)
        });
        Self {
            timing,
            nics: nics.collect(),
            daemon_gone: None,
            windows: Vec::new(),
        }
    }

    /// A fault of a NIC, or of what is on it, began.
    pub(crate) fn begins(&mut self, at: Instant, kind: Kind, nic: &'static str, group: Group) {
        if kind.breaks_nic()
            && let Some(nic) = self.nics.get_mut(nic)
        {
            nic.has_path = false;
        }
        let mut window = Window::new(Cause::Fault(kind), group, at);
        window.nic = Some(nic);
        window.lasts = kind.loses_throughout();
        if window.cause.bound(self.timing).is_zero() && !kind.breaks_nic() {
            window.until = Some(at);
        } else if !window.lasts {
            self.count(&mut window, at);
        }
        self.windows.push(window);
    }

    /// A fault of a NIC ended.
    pub(crate) fn ends(&mut self, at: Instant, kind: Kind, name: &'static str) {
        let Some(nic) = self.nics.get_mut(name) else {
            return;
        };
        if kind.breaks_nic() {
            nic.has_path = true;
            nic.ready = at + self.timing.repair();
        }
        let mut repair = Window::new(Cause::Repair, nic.group, at);
        repair.until = Some(at);
        let mut windows = std::mem::take(&mut self.windows);
        for window in &mut windows {
            if window.lasts && window.nic == Some(name) {
                window.lasts = false;
                self.count(window, at);
            }
        }
        windows.push(repair);
        self.windows = windows;
        self.settle(at);
    }

    /// Lets the bound of a window begin, if its group can be served.
    fn count(&self, window: &mut Window, at: Instant) {
        if let Some(base) = self.served_from(window.group, at) {
            window.counted_from = base;
            window.until = Some(base + window.cause.bound(self.timing));
        } else if self.daemon_gone.is_some() {
            window.missed_daemon = true;
        }
    }

    /// From when on a group must be served as things are.
    fn served_from(&self, group: Group, at: Instant) -> Option<Instant> {
        if self.daemon_gone.is_some() {
            return None;
        }
        let members = self.nics.values().filter(|nic| nic.group == group);
        let paths = members.filter(|nic| nic.has_path).map(|nic| nic.ready);
        paths.min().map(|ready| ready.max(at))
    }

    /// The daemon was killed.
    pub(crate) fn daemon_goes(&mut self, at: Instant) {
        self.daemon_gone = Some(at);
        for window in &mut self.windows {
            // What it had not done by then it need not have done.
            if window.until.is_none_or(|until| until > at) {
                window.until = None;
                window.missed_daemon = true;
            }
        }
        for group in Group::ALL {
            let mut window = Window::new(Cause::Fault(Kind::Kill), group, at);
            window.until = Some(at);
            self.windows.push(window);
        }
    }

    /// A daemon is there again.
    pub(crate) fn daemon_returns(&mut self, at: Instant) {
        if let Some(gone) = self.daemon_gone.take() {
            for nic in self.nics.values_mut() {
                // Its repair is yet to be noticed, from the beginning.
                if nic.ready > gone {
                    nic.ready = at + self.timing.repair();
                }
            }
        }
        self.settle(at);
    }

    /// Lets the windows end for which somebody waited: a NIC with a path, or a daemon.
    fn settle(&mut self, at: Instant) {
        let mut windows = std::mem::take(&mut self.windows);
        for window in &mut windows {
            if window.until.is_some() || window.lasts {
                continue;
            }
            let Some(base) = self.served_from(window.group, at) else {
                window.missed_daemon |= self.daemon_gone.is_some();
                continue;
            };
            let (cause, limit) = if window.missed_daemon {
                (Cause::NoDaemon, self.timing.start())
            } else {
                (Cause::NoPath, self.timing.link)
            };
            window.cause = cause;
            window.counted_from = at;
            window.until = Some(base + limit);
        }
        self.windows = windows;
    }

    /// Whether packets of a group may still be lost after this moment as far as is known.
    pub(crate) fn is_open(&self, at: Instant) -> bool {
        let open = |window: &Window| window.until.is_none_or(|until| until > at);
        self.windows.iter().any(open)
    }

    /// When every NIC that has a path must have been noticed to have it.
    pub(crate) fn all_ready(&self) -> Option<Instant> {
        let paths = self.nics.values().filter(|nic| nic.has_path);
        paths.map(|nic| nic.ready).max()
    }

    /// To what the loss of something that was sent at a moment is put down.
    pub(crate) fn judge(&self, group: Group, at: Instant) -> Verdict {
        let mut ours = self.windows.iter().enumerate().rev();
        let mut last = None;
        for (number, window) in ours.by_ref() {
            if window.group != group {
                continue;
            }
            if window.covers(at) {
                return Verdict::Excused(number);
            }
            if last.is_none() && window.from <= at {
                last = Some(number);
            }
        }
        Verdict::Unexcused(last)
    }

    /// How long after its bound began to count something was sent in the window of this number.
    pub(crate) fn counted(&self, number: usize, sent: Instant) -> Duration {
        let window = self.windows.get(number);
        window.map_or(Duration::ZERO, |window| {
            sent.saturating_duration_since(window.counted_from)
        })
    }

    /// Whether the group of a NIC must have another one that can be used: with a path, and none whose
    /// repair may be held back as its link has come up again and again of late.
    pub(crate) fn has_other_path(&self, at: Instant, name: &str) -> bool {
        let Some(nic) = self.nics.get(name) else {
            return false;
        };
        let mut others = self.nics.iter().filter(|(other, _)| **other != name);
        others.any(|(_, other)| {
            let is_steady = at.saturating_duration_since(other.ready) > HELD;
            other.group == nic.group && other.has_path && is_steady
        })
    }

    /// Takes out all windows, in the order of the numbers that [`Oracle::judge`] gave.
    pub(crate) fn take_windows(&mut self) -> Vec<Window> {
        std::mem::take(&mut self.windows)
    }
}

#[cfg(test)]
mod tests;
