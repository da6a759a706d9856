//! Watching carriers closer than the kernel tells of them.
//!
//! The kernel may tell of a lost carrier up to a second late (its link watch, see `docs/linux.md`), and
//! until then traffic goes on into the dead link. So a thread asks the links of tracked interfaces every
//! 100 ms. It is a thread, as asking waits for whoever holds the kernel's lock on network configuration,
//! for which detection must not wait. It sleeps while there is nothing to watch.

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use ipmp_linux::rtnl::Carriers;
use tokio::sync::mpsc;

/// How often links are asked. A tenth of how late the kernel may be; `docs/performance.md` tells what
/// it costs.
const INTERVAL: Duration = Duration::from_millis(100);

/// The thread that asks. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct CarrierWatch {
    links: Vec<u32>,
    wanted: Sender<Vec<u32>>,
    losses: mpsc::Receiver<Vec<u32>>,
}

impl CarrierWatch {
    /// Starts the thread, in the network namespace of the calling one. It watches nothing yet.
    pub(crate) fn start() -> io::Result<Self> {
        let carriers = Carriers::open()?;
        let (wanted, wishes) = channel();
        let (found, losses) = mpsc::channel(1);
        Builder::new()
            .name("carriers".to_owned())
            .spawn(move || watch(carriers, &wishes, &found))?;
        Ok(Self {
            links: Vec::new(),
            wanted,
            losses,
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

    /// Waits until links are found to have lost their carrier; each is told of once until it has it
    /// again.
    pub(crate) async fn lost(&mut self) -> Vec<u32> {
        match self.losses.recv().await {
            Some(lost) => lost,
            // Not without a reason, which is in the log.
            None => std::future::pending().await,
        }
    }
}

fn watch(mut carriers: Carriers, wishes: &Receiver<Vec<u32>>, found: &mpsc::Sender<Vec<u32>>) {
    let mut links: Vec<u32> = Vec::new();
    let mut told = BTreeSet::new();
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
        match carriers.lost(&links) {
            Ok(lost) => {
                let lost: BTreeSet<u32> = lost.into_iter().collect();
                told.retain(|link| lost.contains(link));
                let new: Vec<u32> = lost.difference(&told).copied().collect();
                // What finds no room is found again.
                if !new.is_empty() && found.try_send(new).is_ok() {
                    told = lost;
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
        let (found, mut losses) = mpsc::channel(1);
        let thread = std::thread::spawn(move || watch(carriers, &wishes, &found));
        // The loopback device has a carrier always, and nothing has this number.
        wanted.send(vec![1, u32::MAX]).unwrap();
        wanted.send(Vec::new()).unwrap();
        drop(wanted);
        thread.join().unwrap();
        assert_eq!(losses.blocking_recv(), None);
    }
}
