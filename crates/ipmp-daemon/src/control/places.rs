//! Who is in the house, and who goes when it is full.
//!
//! A client that asks nothing takes a place away from nobody: when all are taken, the one that has
//! been silent longest goes, if it has never asked anything or not for [`LATELY`]. So a crowd of
//! idle connections locks nobody out, while whoever asks is not put out by those who come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Clients at a time.
pub(super) const ANYBODY: usize = 64;

/// Clients at a time that only root may be, beyond the others.
pub(super) const ROOT: usize = 16;

/// Whoever asked something within this time keeps its place.
const LATELY: Duration = Duration::from_secs(5);

/// All places.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    clients: BTreeMap<u64, Client>,
    next: u64,
}

#[derive(Debug)]
struct Client {
    /// Whether the place is one of those for root.
    is_roots: bool,
    /// Since when it has been silent; nobody goes whose request is being answered.
    silent: Option<Instant>,
    /// It has asked something. To have come is not to have asked.
    has_asked: bool,
    task: Option<AbortHandle>,
}

/// A client's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
}

impl Places {
    /// A place for a newcomer; `None` if the house is full of clients that ask.
    pub(super) fn take(&self, is_root: bool, now: Instant) -> Option<Place> {
        let mut taken = self.lock();
        let roots = taken.clients.values().filter(|c| c.is_roots).count();
        let is_roots = if taken.clients.len() - roots < ANYBODY {
            false
        } else if is_root && roots < ROOT {
            true
        } else {
            taken.put_out(is_root, now)?
        };
        let number = taken.next;
        taken.next = taken.next.wrapping_add(1);
        let client = Client {
            is_roots,
            silent: Some(now),
            has_asked: false,
            task: None,
        };
        taken.clients.insert(number, client);
        Some(Place {
            places: self.clone(),
            number,
        })
    }

    /// Notes which task serves the client: the one to be ended if the place is given away.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        match self.lock().clients.get_mut(&number) {
            Some(client) => client.task = Some(task),
            // It is over already, or has lost its place before it began.
            None => task.abort(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Ends the client that has been silent longest, for a newcomer that may have its place; tells
    /// whether that is one for root.
    fn put_out(&mut self, is_root: bool, now: Instant) -> Option<bool> {
        let (_, number) = self
            .clients
            .iter()
            .filter(|(_, client)| is_root || !client.is_roots)
            .filter_map(|(number, client)| Some((client.silent?, client.has_asked, *number)))
            .filter(|&(silent, has_asked, _)| !has_asked || now.duration_since(silent) >= LATELY)
            .map(|(silent, _, number)| (silent, number))
            .min()?;
        let client = self.clients.remove(&number)?;
        if let Some(task) = client.task {
            task.abort();
        }
        Some(client.is_roots)
    }
}

impl Place {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The client asks something.
    pub(super) fn asks(&self) {
        self.set_silent(None);
    }

    /// The client has been answered.
    pub(super) fn is_answered(&self, now: Instant) {
        self.set_silent(Some(now));
    }

    fn set_silent(&self, silent: Option<Instant>) {
        if let Some(client) = self.places.lock().clients.get_mut(&self.number) {
            client.silent = silent;
            client.has_asked = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().clients.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_goes_and_whoever_asks_stays() {
        let places = Places::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let crowd: Vec<_> = (0..ANYBODY)
            .zip(0..)
            .map(|(_, ms)| places.take(false, at(ms)).unwrap())
            .collect();
        crowd[0].asks();
        crowd[1].asks();
        crowd[1].is_answered(at(100));
        let newcomer = places.take(false, at(100)).unwrap();
        let is_in = |place: &Place| places.lock().clients.contains_key(&place.number);
        assert!(is_in(&crowd[0]) && is_in(&crowd[1]) && !is_in(&crowd[2]));
        for place in &crowd {
            place.asks();
            place.is_answered(at(200));
        }
        // The newcomer has not asked yet, and so it is the only one that can go.
        let asker = places.take(false, at(300)).unwrap();
        asker.asks();
        assert!(!is_in(&newcomer));
        assert!(places.take(false, at(300)).is_none());
        assert!(places.take(false, at(200) + LATELY).is_some());
    }

    #[test]
    fn roots_places_are_roots() {
        let places = Places::default();
        let now = Instant::now();
        let silent: Vec<_> = (0..ANYBODY + ROOT)
            .map(|_| places.take(true, now).unwrap())
            .collect();
        for place in &silent[..ANYBODY] {
            place.asks();
        }
        assert!(places.take(false, now).is_none());
        assert!(places.take(true, now).is_some());
    }

    #[test]
    fn whoever_goes_is_ended() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let places = Places::default();
            let mut tasks = Vec::new();
            for _ in 0..=ANYBODY {
                let place = places.take(false, Instant::now()).unwrap();
                let number = place.number();
                let task = tokio::spawn(async move {
                    std::future::pending::<()>().await;
                    drop(place);
                });
                places.served_by(number, task.abort_handle());
                tasks.push(task);
            }
            assert!(tasks.remove(0).await.unwrap_err().is_cancelled());
            assert!(tasks.iter().all(|task| !task.is_finished()));
        });
    }
}
