//! How tests take random histories.

use proptest::test_runner::{Config, RngSeed};

/// So many times the usual number of histories, the same each time unless `PROPTEST_RNG_SEED` says
/// otherwise. What is new is found by who looks for it, and does not stop the work of those who do not.
pub(crate) fn always_the_same(times: u32) -> Config {
    let usual = Config::default();
    Config {
        cases: times * usual.cases,
        rng_seed: match usual.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            fixed @ RngSeed::Fixed(_) => fixed,
        },
        ..usual
    }
}
