//! How the tests share the machine: how many run at a time, in which order, and which of them take
//! turns.
//!
//! Most of a test is waiting for detection times to pass, so that more run at a time than there are
//! processors. Some load the machine as much as they can; those go one at a time, and lie apart in
//! the list, as each that waits for its turn keeps a thread from other tests.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

use libtest_mimic::Failed;

use crate::Test;

/// Tests that run at a time for each processor, unless `--test-threads` says otherwise.
const PER_PROCESSOR: usize = 3;

/// Who holds this loads the machine.
static LOAD: Mutex<()> = Mutex::new(());

/// How many tests run at a time.
pub(crate) fn threads() -> usize {
    available_parallelism().map_or(1, NonZero::get) * PER_PROCESSOR
}

/// A test with its name and whether it waits for its turn.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) name: &'static str,
    test: fn() -> Result<(), Failed>,
    loads: bool,
}

impl Turn {
    /// Runs the test when it is its turn.
    pub(crate) fn run(self) -> Result<(), Failed> {
        let _turn = self
            .loads
            .then(|| LOAD.lock().unwrap_or_else(PoisonError::into_inner));
        (self.test)()
    }
}

/// The order in which tests begin: those that load the machine as far from each other as the others
/// allow, the first of them at once.
pub(crate) fn order(loading: &[Test], others: &[Test]) -> Vec<Turn> {
    let turn = |loads: bool| move |&(name, test): &Test| Turn { name, test, loads };
    let between = others.len().div_ceil(loading.len().max(1)).max(1);
    let mut loading = loading.iter().map(turn(true));
    let mut order = Vec::new();
    for some in others.chunks(between) {
        order.extend(loading.next());
        order.extend(some.iter().map(turn(false)));
    }
    order.extend(loading);
    order
}
