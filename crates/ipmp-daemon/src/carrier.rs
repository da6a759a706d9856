//! Watching links closer than the kernel tells of them: carriers, and sysctls.
//!
//! The kernel may tell of a lost carrier up to a second late (its link watch, see `docs/linux.md`), and
//! until then traffic goes on into the dead link. So a thread asks the links of tracked interfaces every
//! 100 ms. It is a thread, as asking waits for whoever holds the kernel's lock on network configuration,
//! for which detection must not wait. It sleeps while there is nothing to watch.
//!
//! Of most sysctls that somebody changes the kernel does not tell at all. The answers show that, so that
//! it is noticed as soon, for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use ipmp_core::Time;
use ipmp_linux::monotonic_now;
use ipmp_linux::rtnl::{Carriers, LinkAnswer};
use tokio::sync::mpsc;

/// How often links are asked. A tenth of how late the kernel may be; `docs/performance.md` tells what
/// it costs.
const INTERVAL: Duration = Duration::from_millis(100);

/// The thread that asks. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct CarrierWatch {
    links: Vec<u32>,
    wanted: Sender<Vec<u32>>,
    found: mpsc::Receiver<Found>,
    seen: Seen,
}

/// When each link was asked last and had its carrier.
type Seen = Arc<Mutex<BTreeMap<u32, Time>>>;

/// What was found, by number of link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Lost their carrier.
    pub(crate) lost: Vec<u32>,
    /// Have other sysctls than when they were last asked.
    pub(crate) touched: Vec<u32>,
}

impl CarrierWatch {
    /// Starts the thread, in the network namespace of the calling one. It watches nothing yet.
    pub(crate) fn start() -> io::Result<Self> {
        let carriers = Carriers::open()?;
        let (wanted, wishes) = channel();
        let (tell, found) = mpsc::channel(1);
        let seen = Seen::default();
        let notes = Arc::clone(&seen);
        Builder::new()
            .name("carriers".to_owned())
            .spawn(move || watch(carriers, &wishes, &tell, &notes))?;
        Ok(Self {
            links: Vec::new(),
            wanted,
            found,
            seen,
        })
    }

    /// Watches these links from now on, and no others.
    pub(crate) fn watch(&mut self, links: Vec<u32>) {
        if links != self.links {
            self.links.clone_from(&links);
            // The thread ends after this does only.
            let _ended = self.wanted.send(links);
        }
    }

    /// When each link had its carrier last, of those that were asked.
    pub(crate) fn seen(&self) -> Vec<(u32, Time)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().map(|(&link, &at)| (link, at)).collect()
    }

    /// Waits until links are found to have lost their carrier, each of which is told of once until it has
    /// it again, or to have other sysctls.
    pub(crate) async fn found(&mut self) -> Found {
        match self.found.recv().await {
            Some(found) => found,
            // Not without a reason, which is in the log.
            None => std::future::pending().await,
        }
    }
}

/// What is known of the links that are watched.
#[derive(Default)]
struct Known {
    /// Told to have lost their carrier.
    lost: BTreeSet<u32>,
    sysctls: BTreeMap<u32, u64>,
}

impl Known {
    /// What is new in these answers, and what is known then.
    fn compare(&self, answers: &[LinkAnswer]) -> (Found, Self) {
        let lost = answers.iter().filter(|answer| answer.is_lost);
        let now = Self {
            lost: lost.map(|answer| answer.index).collect(),
            sysctls: answers
                .iter()
                .map(|answer| (answer.index, answer.sysctls))
                .collect(),
        };
        let touched = now.sysctls.iter().filter(|(index, sysctls)| {
            let before = self.sysctls.get(index);
            before.is_some_and(|before| before != *sysctls)
        });
        let found = Found {
            lost: now.lost.difference(&self.lost).copied().collect(),
            touched: touched.map(|(&index, _)| index).collect(),
        };
        (found, now)
    }
}

fn watch(
    mut carriers: Carriers,
    wishes: &Receiver<Vec<u32>>,
    tell: &mpsc::Sender<Found>,
    seen: &Seen,
) {
    let mut links: Vec<u32> = Vec::new();
    let mut known = Known::default();
    let mut complained = false;
    loop {
        let wish = if links.is_empty() {
            wishes.recv().map_err(RecvTimeoutError::from)
        } else {
            wishes.recv_timeout(INTERVAL)
        };
        match wish {
            Ok(wish) => links = wish,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // What is answered is how it is later than this.
        let asked = monotonic_now();
        match carriers.ask(&links) {
            Ok(answers) => {
                let running = answers.iter().filter(|answer| !answer.is_lost);
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.retain(|link, _| links.contains(link));
                seen.extend(running.map(|answer| (answer.index, asked)));
                drop(seen);
                let (found, now) = known.compare(&answers);
                // What finds no room is found again.
                if found == Found::default() || tell.try_send(found).is_ok() {
                    known = now;
                }
            }
            Err(error) if !complained => {
                complained = true;
                tracing::warn!("cannot ask links for their carrier: {error}");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_it_is_not_wanted_any_more() {
        let carriers = Carriers::open().unwrap();
        let (wanted, wishes) = channel();
        let (tell, mut found) = mpsc::channel(1);
        let seen = Seen::default();
        let notes = Arc::clone(&seen);
        let before = monotonic_now();
        let thread = std::thread::spawn(move || watch(carriers, &wishes, &tell, &notes));
        // The loopback device has a carrier always, and nothing has this number.
        wanted.send(vec![1, u32::MAX]).unwrap();
        wanted.send(Vec::new()).unwrap();
        drop(wanted);
        thread.join().unwrap();
        assert_eq!(found.blocking_recv(), None);
        // Each was noted when it was asked, before there was nothing to ask.
        let seen = seen.lock().unwrap();
        assert!(seen.values().all(|&at| at >= before));
    }

    #[test]
    fn each_change_is_found_once() {
        let answer = |index, is_lost, sysctls| LinkAnswer {
            index,
            is_lost,
            sysctls,
        };
        let found = |lost: &[u32], touched: &[u32]| Found {
            lost: lost.to_vec(),
            touched: touched.to_vec(),
        };
        let known = Known::default();
        let (new, known) = known.compare(&[answer(1, false, 7), answer(2, true, 7)]);
        assert_eq!(new, found(&[2], &[]));
        let (new, known) = known.compare(&[answer(1, false, 8), answer(2, true, 7)]);
        assert_eq!(new, found(&[], &[1]));
        let (new, known) = known.compare(&[answer(1, true, 8), answer(2, false, 7)]);
        assert_eq!(new, found(&[1], &[]));
        let (new, known) = known.compare(&[answer(2, true, 7), answer(3, false, 9)]);
        assert_eq!(new, found(&[2], &[]));
        let (new, _) = known.compare(&[answer(2, true, 7), answer(3, false, 9)]);
        assert_eq!(new, Found::default());
    }
}
