//! What became of a stream of numbered packets.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The packets of a stream in the order they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    packets: VecDeque<Packet>,
    /// How many there were before these and have been taken out.
    taken: u64,
    end: Option<Instant>,
}

/// One packet. One that the kernel refused to send counts as sent, and lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packet {
    sent: Instant,
    /// When the first of it arrived.
    arrived: Option<Instant>,
    /// How often it arrived.
    copies: u32,
}

impl Trail {
    /// Notes that the next packet is being sent; its number.
    pub(super) fn send(&mut self) -> u64 {
        self.packets.push_back(Packet {
            sent: Instant::now(),
            arrived: None,
            copies: 0,
        });
        self.taken + self.packets.len() as u64 - 1
    }

    /// Notes that packet `number` has arrived, `at` that time.
    pub(super) fn arrive(&mut self, number: u64, at: Instant) {
        let packet = number
            .checked_sub(self.taken)
            .and_then(|number| usize::try_from(number).ok())
            .and_then(|number| self.packets.get_mut(number));
        if let Some(packet) = packet {
            packet.arrived.get_or_insert(at);
            packet.copies += 1;
        }
    }

    /// Notes that no more will be sent.
    pub(super) fn end(&mut self) {
        self.end = Some(Instant::now());
    }

    /// Takes out what was sent before a moment. What of it arrives later is not noticed any more.
    pub(super) fn take(&mut self, before: Instant) -> Self {
        let count = self.packets.partition_point(|packet| packet.sent < before);
        let later = self.packets.split_off(count);
        let taken = Self {
            packets: std::mem::replace(&mut self.packets, later),
            taken: self.taken,
            end: self.end,
        };
        self.taken += count as u64;
        taken
    }

    /// Whether no more will be sent.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether nothing is under way.
    pub(super) fn is_complete(&self) -> bool {
        self.lost() == 0
    }

    /// The part of the trail that was sent at or after a moment: what happened since a fault.
    #[must_use]
    pub fn since(&self, moment: Instant) -> Self {
        let packets = self.packets.iter().filter(|packet| packet.sent >= moment);
        Self {
            packets: packets.copied().collect(),
            taken: 0,
            end: self.end,
        }
    }

    /// Packets sent.
    pub fn sent(&self) -> usize {
        self.packets.len()
    }

    /// Packets that arrived (an echo: came back).
    pub fn received(&self) -> usize {
        let arrived = self
            .packets
            .iter()
            .filter(|packet| packet.arrived.is_some());
        arrived.count()
    }

    /// Packets that did not.
    pub fn lost(&self) -> usize {
        self.sent() - self.received()
    }

    /// When those were sent that did not.
    pub fn losses(&self) -> impl Iterator<Item = Instant> {
        let lost = self
            .packets
            .iter()
            .filter(|packet| packet.arrived.is_none());
        lost.map(|packet| packet.sent)
    }

    /// Packets that arrived again, each time counted.
    pub fn duplicates(&self) -> u64 {
        let copies = |packet: &Packet| u64::from(packet.copies.saturating_sub(1));
        self.packets.iter().map(copies).sum()
    }

    /// The longest time without service: from the sending of the last packet that arrived before a
    /// loss to that of the first that arrived after it, or the start or end of the stream. Zero when
    /// nothing was lost.
    pub fn longest_outage(&self) -> Duration {
        let Some(first) = self.packets.front() else {
            return Duration::ZERO;
        };
        let mut longest = Duration::ZERO;
        let (mut good, mut losing) = (first.sent, false);
        for packet in &self.packets {
            if packet.arrived.is_none() {
                losing = true;
                continue;
            }
            if losing {
                longest = longest.max(packet.sent - good);
            }
            (good, losing) = (packet.sent, false);
        }
        match self.end {
            Some(end) if losing => longest.max(end - good),
            _ => longest,
        }
    }

    /// The longest a packet took to arrive (an echo: to come back), of those that did.
    pub fn longest_delay(&self) -> Duration {
        self.delays().max().unwrap_or_default()
    }

    /// The least a packet took to arrive, of those that did.
    pub fn shortest_delay(&self) -> Duration {
        self.delays().min().unwrap_or_default()
    }

    fn delays(&self) -> impl Iterator<Item = Duration> {
        let delay = |packet: &Packet| Some(packet.arrived?.saturating_duration_since(packet.sent));
        self.packets.iter().filter_map(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trail with a packet every 10 ms: `.` arrived, `x` lost, `2` arrived twice.
    fn trail(pattern: &str) -> (Trail, Instant) {
        let start = Instant::now();
        let tick = Duration::from_millis(10);
        let mut at = start;
        let mut packets = VecDeque::new();
        for c in pattern.chars() {
            let copies = match c {
                '.' => 1,
                '2' => 2,
                _ => 0,
            };
            packets.push_back(Packet {
                sent: at,
                arrived: (copies > 0).then_some(at),
                copies,
            });
            at += tick;
        }
        let end = Some(at);
        let trail = Trail {
            packets,
            taken: 0,
            end,
        };
        (trail, start)
    }

    #[test]
    fn outages_are_measured_by_when_packets_were_sent() {
        let ms = |pattern| trail(pattern).0.longest_outage().as_millis();
        assert_eq!(ms(""), 0);
        assert_eq!(ms("...."), 0);
        assert_eq!(ms("..x.."), 20);
        assert_eq!(ms("..x.xxx."), 40);
        assert_eq!(ms("xx.."), 20);
        assert_eq!(ms("..xx"), 30);
    }

    #[test]
    fn counts_since_a_moment() {
        let (trail, start) = trail("x2.x2");
        assert_eq!((trail.sent(), trail.received(), trail.lost()), (5, 3, 2));
        assert_eq!(trail.duplicates(), 2);
        let late = trail.since(start + Duration::from_millis(20));
        assert_eq!((late.sent(), late.lost(), late.duplicates()), (3, 1, 1));
    }

    #[test]
    fn what_was_taken_out_keeps_its_losses_and_the_rest_its_numbers() {
        let (mut rest, start) = trail(".x.x.");
        let taken = rest.take(start + Duration::from_millis(20));
        assert_eq!((taken.sent(), taken.lost()), (2, 1));
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(taken.losses().collect::<Vec<_>>(), [at(10)]);
        assert_eq!(rest.losses().collect::<Vec<_>>(), [at(30)]);
        rest.arrive(1, at(60)); // too late
        rest.arrive(3, at(60));
        assert_eq!((rest.sent(), rest.lost()), (3, 0));
        assert_eq!(rest.send(), 5);
    }
}
