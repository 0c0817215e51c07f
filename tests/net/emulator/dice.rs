//! Chance, the same for the same seed on any machine.

use rand::{Rng, RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

#[derive(Debug, Clone)]
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Whether something of this probability happens.
    pub fn hits(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.0.random_bool(probability)
    }

    /// 0 to `most`.
    pub fn up_to(&mut self, most: u64) -> u64 {
        self.0.random_range(0..=most)
    }

    pub fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.up_to(choices.len() as u64 - 1) as usize].clone()
    }

    pub fn byte(&mut self) -> u8 {
        self.0.next_u32() as u8
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    pub fn word(&mut self) -> u32 {
        self.0.next_u32()
    }
}
