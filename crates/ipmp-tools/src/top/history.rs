//! What became of the last probes to a target.

use std::collections::VecDeque;
use std::time::Duration;

use ipmp_api::interface::FinishedProbe;

/// How many probes are remembered of each target: more than a wide window shows.
const KEPT: usize = 120;

/// The last probes out of one interface to one target, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History(VecDeque<Fate>);

#[derive(Clone, Copy, Debug)]
struct Fate {
    sequence: u16,
    /// Round trip time on the wire; `None` if it was lost.
    rtt: Option<Duration>,
}

impl History {
    /// Takes note of a probe. One that was taken for lost may be answered yet.
    pub(super) fn take(&mut self, probe: &FinishedProbe) {
        let fate = Fate {
            sequence: probe.sequence,
            rtt: probe.network_rtt.filter(|_| probe.answered),
        };
        let known = self.0.iter_mut().rev();
        let mut same = known.filter(|known| known.sequence == fate.sequence);
        if let Some(known) = same.next().filter(|known| known.rtt.is_none()) {
            *known = fate;
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(fate);
    }

    /// Round trip times, newest first; `None` where a probe was lost.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = Option<Duration>> {
        self.0.iter().rev().map(|fate| fate.rtt)
    }

    /// How many of a hundred were lost, of those remembered; `None` if there are none.
    pub(super) fn loss(&self) -> Option<usize> {
        let lost = self.0.iter().filter(|fate| fate.rtt.is_none()).count();
        // A single loss is not to disappear.
        (!self.0.is_empty()).then(|| (lost * 100).div_ceil(self.0.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn loss_is_of_those_remembered_and_a_late_answer_is_none() {
        let mut history = History::default();
        assert_eq!(history.loss(), None);
        let answered = sample::probes().remove(0);
        let lost = FinishedProbe {
            answered: false,
            network_rtt: None,
            ..answered.clone()
        };
        for sequence in 0..1000 {
            history.take(&FinishedProbe {
                sequence,
                ..answered.clone()
            });
        }
        assert_eq!(
            (history.newest_first().count(), history.loss()),
            (KEPT, Some(0))
        );
        history.take(&FinishedProbe {
            sequence: 1000,
            ..lost
        });
        assert_eq!(history.loss(), Some(1));
        assert_eq!(history.newest_first().next(), Some(None));
        history.take(&FinishedProbe {
            sequence: 1000,
            ..answered
        });
        assert_eq!(
            (history.newest_first().count(), history.loss()),
            (KEPT, Some(0))
        );
    }
}
