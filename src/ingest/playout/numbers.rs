//! Which packets came, by their sequence numbers.
//!
//! Numbers are extended to 64 bits by the caller. A window of the newest is remembered, as bits: far
//! more than a receiver lets packets fall behind (RFC 3550, A.1, has 100).

/// Numbers remembered.
const WINDOW: u64 = 1024;
const WORD: u64 = u64::BITS as u64;

#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The highest that came.
    newest: Option<u64>,
    bits: [u64; (WINDOW / WORD) as usize],
}

impl Numbers {
    /// The highest number that came.
    pub(super) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// A packet came. Gives whether it came before. Of those too old to be remembered nothing is known.
    pub(super) fn mark(&mut self, number: u64) -> bool {
        match self.newest {
            None => self.newest = Some(number),
            Some(newest) if number > newest => {
                let passed = (number - newest).min(WINDOW);
                for number in number - passed + 1..=number {
                    self.set(number, false);
                }
                self.newest = Some(number);
            }
            Some(newest) if newest - number >= WINDOW => return false,
            Some(_) => {}
        }
        let seen = self.has(number);
        self.set(number, true);
        seen
    }

    /// How many of the numbers between these two never came.
    pub(super) fn missing(&self, after: u64, before: u64) -> u64 {
        let Some(newest) = self.newest else { return 0 };
        let first = after.saturating_add(1);
        if first >= before {
            return 0;
        }
        let remembered = first.max((newest + 1).saturating_sub(WINDOW)).min(before);
        let known = (remembered..before).filter(|&number| number > newest || !self.has(number));
        (remembered - first) + known.count() as u64
    }

    fn has(&self, number: u64) -> bool {
        let bit = number % WINDOW;
        self.bits[(bit / WORD) as usize] >> (bit % WORD) & 1 == 1
    }

    fn set(&mut self, number: u64, came: bool) {
        let bit = number % WINDOW;
        let word = &mut self.bits[(bit / WORD) as usize];
        *word = *word & !(1 << (bit % WORD)) | u64::from(came) << (bit % WORD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_twice_only_if_it_came() {
        let mut numbers = Numbers::default();
        for (number, twice) in [
            (5000, false),
            (5002, false),
            (5001, false),
            (5001, true),
            (5002, true),
            (5000 + 2 * WINDOW, false),
            (5002 + WINDOW, false),
            (5001 + WINDOW, false),
            // Forgotten.
            (5002, false),
        ] {
            assert_eq!(numbers.mark(number), twice, "{number}");
        }
    }

    #[test]
    fn what_never_came_is_counted_between_two_that_did() {
        let mut numbers = Numbers::default();
        for number in [10, 11, 14, 17] {
            numbers.mark(number);
        }
        assert_eq!(numbers.missing(10, 11), 0);
        assert_eq!(numbers.missing(11, 14), 2);
        assert_eq!(numbers.missing(10, 17), 4);
        assert_eq!(numbers.missing(17, 17), 0);
        numbers.mark(12);
        assert_eq!(numbers.missing(11, 14), 1);
        numbers.mark(17 + 3 * WINDOW);
        assert_eq!(numbers.missing(17, 17 + 3 * WINDOW), 3 * WINDOW - 1);
    }
}
