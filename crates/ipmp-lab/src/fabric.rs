//! The switches of a lab, and the cables that lead to them: one thread through which every frame
//! passes.
//!
//! | what | how many | owned by |
//! |---|---|---|
//! | [`Fabric`] | one per lab | the lab, shared with its thread |
//! | [`State`] | one per fabric, behind its lock | the thread; faults change it in between |
//! | [`Wire`] | one per NIC that is plugged in | its cable's near end |
//!
//! A cable has a near and a far end. At the far end there is always a switch; at the near end a NIC
//! (its device's other end, really) or, if the cable is a trunk, another switch. A frame arrives at an
//! end, and what it finds there decides: a NIC takes it, a switch sends it on over other cables. Faults
//! are applied where a cable is entered.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ipmp_linux::wire::{LARGEST, Wire};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

pub use self::dice::Dice;
pub use self::state::Counter;
pub(crate) use self::state::{CableId, Faults, State, SwitchId};

mod dice;
mod frame;
mod state;

/// What epoll says when the lab ends.
const STOP: u64 = u64::MAX;
/// What epoll says when a delayed frame is due.
const TIMER: u64 = u64::MAX - 1;

/// Frames taken from one NIC before the others have their turn.
const TURN: usize = 64;

/// The switches and cables of one lab.
#[derive(Debug)]
pub(crate) struct Fabric {
    state: Mutex<State>,
    epoll: Epoll,
    timer: TimerFd,
    stop: EventFd,
}

impl Fabric {
    pub(crate) fn new(seed: u64) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        epoll.add(&stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        Ok(Self {
            state: Mutex::new(State::new(seed)),
            epoll,
            timer,
            stop,
        })
    }

    /// The state, to look at or to change. No frame moves while it is held.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a NIC's wire to the near end of its cable, in place of the one that may have been there.
    pub(crate) fn attach(&self, cable: CableId, wire: Wire) -> io::Result<()> {
        let mut state = self.state();
        self.epoll.add(
            wire.as_fd(),
            EpollEvent::new(EpollFlags::EPOLLIN, cable.0 as u64),
        )?;
        state.attach(cable, Some(wire));
        Ok(())
    }

    /// Makes the thread return from [`Fabric::run`].
    pub(crate) fn stop(&self) {
        // It can only fail when the counter is full, and then the thread is being told already.
        let _full = self.stop.write(1);
    }

    /// Moves frames until the lab ends.
    pub(crate) fn run(&self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        let mut buffer = vec![0; LARGEST];
        loop {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                other => other?,
            };
            let mut state = self.state();
            for event in events.iter().take(ready) {
                match event.data() {
                    STOP => return Ok(()),
                    TIMER => {
                        // Only to make it quiet; what is due is decided by the clock below.
                        let _already = self.timer.wait();
                    }
                    cable => {
                        let cable = CableId(usize::try_from(cable).map_err(io::Error::other)?);
                        state.receive(cable, &mut buffer, TURN);
                    }
                }
            }
            let now = Instant::now();
            state.settle(now);
            match state.next_due() {
                Some(due) => {
                    // Zero would switch the timer off.
                    let left = due.saturating_duration_since(now);
                    let left = left.max(std::time::Duration::from_nanos(1));
                    let expiration = Expiration::OneShot(TimeSpec::from_duration(left));
                    self.timer.set(expiration, TimerSetTimeFlags::empty())?;
                }
                None => self.timer.unset()?,
            }
        }
    }
}
