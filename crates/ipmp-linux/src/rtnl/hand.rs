//! Whose doing notifications tell of.
//!
//! Where the kernel knows who asked for a change (most that is asked for by netlink, but IPv6
//! addresses and the state of links), the notification bears the port of his socket.

use std::collections::BTreeMap;
use std::fs;

use ipmp_core::Hand;
use ipmp_core::kernel::Change;

/// The hands behind what is told.
#[derive(Debug)]
pub(super) struct Hands {
    /// Our own port.
    own: u32,
    /// The hand behind the last change that was passed on.
    last: u32,
    /// Names of those that were seen since it began: each is looked up once.
    known: BTreeMap<u32, Hand>,
}

impl Hands {
    pub(super) const fn new(own: u32) -> Self {
        Self {
            own,
            last: 0,
            known: BTreeMap::new(),
        }
    }

    /// A new list of changes begins.
    pub(super) fn begin(&mut self) {
        self.last = 0;
        self.known.clear();
    }

    /// What is to be told before a change from this port: the hand, if it is another one than that of the
    /// change before.
    pub(super) fn turn(&mut self, port: u32) -> Option<Change> {
        let port = if port == self.own { 0 } else { port };
        if std::mem::replace(&mut self.last, port) == port {
            return None;
        }
        let mut hand = || self.known.entry(port).or_insert_with(|| hand(port)).clone();
        Some(Change::By((port != 0).then(&mut hand)))
    }
}

/// Who has a port: often its number is that of the process. One that asked for a single thing may have
/// ended already.
fn hand(port: u32) -> Hand {
    // Numbers of further sockets of a process are above all those of processes.
    let name = i32::try_from(port)
        .ok()
        .and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
    let process = name
        .map(|name| name.trim_end().to_owned())
        .filter(|name| !name.is_empty());
    Hand { port, process }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hand_is_told_when_it_begins() {
        let mut hands = Hands::new(7);
        assert_eq!(hands.turn(0), None);
        assert_eq!(hands.turn(7), None, "ours");
        let me = std::process::id();
        let told = hands.turn(me).unwrap();
        let Change::By(Some(Hand { port, process })) = &told else {
            panic!("{told:?}");
        };
        assert_eq!(*port, me);
        assert!(process.is_some());
        assert_eq!(hands.turn(me), None);
        assert_eq!(hands.turn(7), Some(Change::By(None)));
        let nobody = Hand {
            port: u32::MAX,
            process: None,
        };
        assert_eq!(hands.turn(u32::MAX), Some(Change::By(Some(nobody))));
        hands.begin();
        assert_eq!(hands.turn(me), Some(told));
    }
}
