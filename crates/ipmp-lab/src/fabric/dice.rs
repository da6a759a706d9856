//! Chance that comes out the same every time.

/// Steele, Lea and Flood's `SplitMix64`: small, and good enough to lose frames by.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice number `stream` of those that belong to `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed ^ stream.wrapping_mul(0xd605_1b2c_7a2f_4c69));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below `bound`, each as likely as the others; 0 if `bound` is.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bounds of labs are so small that the remainder's bias does not show.
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// True `percent` times in a hundred. Takes no chance where there is none, so that a fault on
    /// one cable does not change what happens later on.
    pub fn roll(&mut self, percent: u8) -> bool {
        match percent {
            0 => false,
            1..100 => self.next() % 100 < u64::from(percent),
            100.. => true,
        }
    }
}
