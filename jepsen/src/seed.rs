//! Randomness from one printed seed: splitmix64, so that a plan can be repeated.

/// A small generator; not for secrets.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// Starts from a printed number.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for one process of the run, independent of how much the others have drawn.
    pub const fn of(seed: u64, process: u64) -> Self {
        Self(seed ^ process.wrapping_mul(0xA24B_AED4_963E_E407))
    }

    /// Draws 64 bits.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Draws from `0..below`; 0 if `below` is 0. The bias of the remainder is far too small to
    /// matter.
    pub const fn below(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.draw() % below }
    }

    /// Draws from `low..=high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }
}
