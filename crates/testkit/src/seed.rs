//! Seeds: every random test prints one, and repeats its choices when given it.

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// The seed of one random test.
///
/// Repeats the *choices* of a run (sizes, moments, which file to delete), not the scheduling of
/// threads and processes: the second run takes the same plan, and races go as they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed in this environment variable (decimal), or a new one; printed in either case.
    pub fn from_env(variable: &str) -> Self {
        let given = std::env::var(variable).ok().and_then(|text| text.trim().parse().ok());
        let seed = Self(given.unwrap_or_else(|| rand::rng().random()));
        eprintln!("seed {}: repeat with {variable}={}", seed.0, seed.0);
        seed
    }

    /// The generator of an independent part of the test, the same for the same number.
    pub fn part(self, number: u64) -> StdRng {
        StdRng::seed_from_u64(self.0 ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_repeats_itself_and_differs_from_the_others() {
        let draw = |part| Seed(5).part(part).random::<u64>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
