//! Randomness of a run, all from its seed; each part of the run draws from a stream of its own, so
//! that one more draw in one part does not change the others.

use std::time::Duration;

/// A stream of random numbers: `SplitMix64`, as published by Steele, Lea and Flood.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of one part of a run.
    pub const fn of(seed: u64, part: u64) -> Self {
        let mut dice = Self(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.draw();
        dice
    }

    /// Draws 64 bits.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Draws from `0..end`; 0 if that is empty.
    pub const fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.draw() % end }
    }

    /// Draws from `low..=high`.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// Draws from `low..=high`, each order of magnitude as likely as the next.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let mut top = low.max(1);
        let mut steps = 0;
        while top < high {
            top = top.saturating_mul(2);
            steps += 1;
        }
        let floor = low.max(1) << self.below(steps + 1).min(62);
        self.between(floor, floor.saturating_mul(2)).clamp(low, high)
    }

    /// True so many times in a thousand.
    pub const fn per_mille(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    /// Draws an index of something that has `len` items.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// Draws one of several.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        let index = self.index(items.len());
        items.get(index).copied()
    }

    /// Draws a time of `low..=high` ms, each order of magnitude as likely as the next.
    pub fn time(&mut self, low_ms: u64, high_ms: u64) -> Duration {
        Duration::from_millis(self.magnitude(low_ms, high_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_their_range_and_reach_its_ends() {
        let mut dice = Dice::of(1, 1);
        let drawn: Vec<u64> = (0..20_000).map(|_| dice.magnitude(20, 200)).collect();
        assert!(drawn.iter().all(|n| (20..=200).contains(n)));
        assert!(drawn.contains(&20) && drawn.contains(&200));
        let few: Vec<u64> = (0..100).map(|_| dice.between(1, 3)).collect();
        assert!([1, 2, 3].iter().all(|n| few.contains(n)));
    }

    #[test]
    fn parts_of_a_run_draw_apart() {
        assert_ne!(Dice::of(7, 1).draw(), Dice::of(7, 2).draw());
        assert_ne!(Dice::of(7, 1).draw(), Dice::of(8, 1).draw());
    }
}
