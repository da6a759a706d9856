//! Who wants to know what becomes of every probe.
//!
//! As long as there is nobody, the engine does not tell and nothing is done here. The loop tells and
//! never waits: a watcher that falls [`BEHIND`] probes back is dropped by whoever serves it. That the
//! last one has gone is noticed with the next probe.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipmp_api::interface::{FinishedProbe, ProbeKind, Probes};
use ipmp_api::wire::{FrameError, Reply};
use ipmp_core::Time;
use ipmp_core::detect::Probed;
use tokio::sync::broadcast;

/// How many probes a watcher may be behind: some seconds of what hundreds of interfaces send.
const BEHIND: usize = 8192;

/// How many may watch at a time: every one costs something with each probe.
const WATCHERS: usize = 8;

/// Everybody who watches probes.
#[derive(Clone, Debug)]
pub(crate) struct Watchers(broadcast::Sender<Arc<FinishedProbe>>);

impl Default for Watchers {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl Watchers {
    /// Tells what became of a probe that `left` then, as it was found at `now`. `false` if nobody
    /// watches.
    pub(crate) fn tell(&self, now: Time, left: Time, probed: Probed) -> bool {
        self.0.receiver_count() > 0
            && self
                .0
                .send(Arc::new(finished(now, SystemTime::now(), left, probed)))
                .is_ok()
    }

    /// What is told from now on; `None` if there are too many already.
    pub(super) fn watch(&self) -> Option<broadcast::Receiver<Arc<FinishedProbe>>> {
        (self.0.receiver_count() < WATCHERS).then(|| self.0.subscribe())
    }
}

/// A reply with these.
pub(super) fn several(probes: &[Arc<FinishedProbe>]) -> Result<Reply, FrameError> {
    Reply::result(&Probes {
        probes: probes
            .iter()
            .map(|probe| FinishedProbe::clone(probe))
            .collect(),
    })
}

/// What became of a probe that `left` then, as it was found at `now`, when the clock on the wall said
/// `wall`.
fn finished(now: Time, wall: SystemTime, left: Time, probed: Probed) -> FinishedProbe {
    let ago = now.since(probed.sent);
    let started = wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
    FinishedProbe {
        time: humantime::format_rfc3339_micros(started).to_string(),
        started: probed.sent,
        interface: probed.interface,
        target: probed.target,
        kind: if probed.solicitation {
            ProbeKind::Solicitation
        } else {
            ProbeKind::Echo
        },
        sequence: probed.sequence,
        answered: probed.received.is_some(),
        network_rtt: probed.received.map(|received| received.since(left)),
        rtt: probed.received.map(|_| ago),
        rtt_average: probed.rtt_average.filter(|&time| time > Duration::ZERO),
        rtt_deviation: probed.rtt_deviation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    fn probed(received: Option<u64>) -> Probed {
        Probed {
            interface: "ge0".parse().unwrap(),
            sequence: 7,
            target: "192.168.0.2".parse().unwrap(),
            solicitation: false,
            sent: at(1000),
            received: received.map(at),
            rtt_average: Some(Duration::from_micros(2500)),
            rtt_deviation: None,
        }
    }

    #[test]
    fn round_trips_are_told_by_the_wire_and_by_the_daemon() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let answered = finished(at(1003), wall, at(1001), probed(Some(1002)));
        let json = serde_json::to_value(&answered).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "time": "1970-01-01T00:00:04.997000Z",
                "monotonic_ms": 1000.0,
                "interface": "ge0",
                "target": "192.168.0.2",
                "kind": "echo",
                "sequence": 7,
                "answered": true,
                "network_rtt_ms": 1.0,
                "rtt_ms": 3.0,
                "rtt_average_ms": 2.5,
                "rtt_deviation_ms": null,
            })
        );
        assert_eq!(
            serde_json::from_value::<FinishedProbe>(json).unwrap(),
            answered
        );
        let lost = finished(at(1003), wall, at(1001), probed(None));
        assert_eq!(
            (lost.answered, lost.network_rtt, lost.rtt),
            (false, None, None)
        );
    }

    #[test]
    fn watchers_are_bounded_and_nobody_is_told_when_they_are_gone() {
        let watchers = Watchers::default();
        assert!(!watchers.tell(at(1003), at(1001), probed(None)));
        let mut some: Vec<_> = (0..WATCHERS).map(|_| watchers.watch().unwrap()).collect();
        assert!(watchers.watch().is_none());
        assert!(watchers.tell(at(1003), at(1001), probed(None)));
        for watcher in &mut some {
            assert_eq!(watcher.try_recv().unwrap().sequence, 7);
        }
        drop(some);
        assert!(!watchers.tell(at(1003), at(1001), probed(None)));
        assert!(watchers.watch().is_some());
    }
}
