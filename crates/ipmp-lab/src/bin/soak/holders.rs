//! Where the data addresses are, as the kernel of host1 tells when it is asked again and again. The
//! daemon has no part in this.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use ipmp_core::kernel::Kernel;
use ipmp_lab::{Host, LabError};
use ipmp_linux::rtnl::Rtnl;

use crate::stage::DATA;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// The NICs that each data address is on.
pub(crate) type Places = BTreeMap<IpAddr, Vec<String>>;

/// The changes seen, oldest first.
type Seen = Arc<Mutex<Vec<(Instant, Places)>>>;

/// A thread on host1 that looks where the data addresses are.
pub(crate) struct Holders {
    seen: Seen,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Holders {
    /// Begins to look.
    pub(crate) fn watch(host: &Host) -> Result<Self, LabError> {
        let seen = Seen::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (here, over) = (seen.clone(), stop.clone());
        let thread = host.thread(move || {
            while !over.load(Ordering::Relaxed) {
                look(&here);
                sleep(LOOK);
            }
        })?;
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// The places last seen, and the changes since the last call, each with its moment.
    pub(crate) fn take(&self) -> Vec<(Instant, Places)> {
        let mut seen = lock(&self.seen);
        let last = seen.last().cloned();
        let taken = std::mem::take(&mut *seen);
        seen.extend(last);
        taken
    }

    /// The places last seen.
    pub(crate) fn last(&self) -> Places {
        let seen = lock(&self.seen);
        seen.last()
            .map(|(_, places)| places.clone())
            .unwrap_or_default()
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // If it panicked it has said so.
            let _panicked = thread.join();
        }
    }
}

fn look(seen: &Seen) {
    // A dump that a change interrupted is made again at the next look.
    let Ok(kernel) = Rtnl::open().and_then(|mut rtnl| rtnl.observe()) else {
        return;
    };
    let places = places(&kernel);
    let mut seen = lock(seen);
    if seen.last().is_none_or(|(_, last)| *last != places) {
        seen.push((Instant::now(), places));
    }
}

fn places(kernel: &Kernel) -> Places {
    let addresses = DATA.iter().filter_map(|data| data.address.parse().ok());
    let mut places: Places = addresses.map(|address| (address, Vec::new())).collect();
    for address in kernel.addresses.values() {
        let Some(link) = kernel.links.get(&address.index) else {
            continue;
        };
        if let Some(holders) = places.get_mut(&address.address.ip) {
            holders.push(link.name.to_string());
        }
    }
    places
}

fn lock(seen: &Seen) -> MutexGuard<'_, Vec<(Instant, Places)>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
