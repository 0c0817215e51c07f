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
    came: Bits,
    /// Numbers that came and carried no audio.
    mute: Bits,
}

impl Numbers {
    /// The highest number that came.
    pub(super) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Whether a packet came that is not above the newest, nor too old to be remembered.
    pub(super) fn came(&self, number: u64) -> bool {
        self.came.has(number)
    }

    /// A packet came, with audio or not. Returns whether it came before. Of those too old to be remembered
    /// nothing is known.
    pub(super) fn mark(&mut self, number: u64, audio: bool) -> bool {
        match self.newest {
            None => self.newest = Some(number),
            Some(newest) if number > newest => {
                let passed = (number - newest).min(WINDOW);
                for number in number - passed + 1..=number {
                    self.came.set(number, false);
                    self.mute.set(number, false);
                }
                self.newest = Some(number);
            }
            Some(newest) if newest - number >= WINDOW => return false,
            Some(_) => {}
        }
        let twice = self.came.has(number);
        self.came.set(number, true);
        if !twice {
            self.mute.set(number, !audio);
        }
        twice
    }

    /// How many of the numbers between these two had audio, or never came.
    pub(super) fn sounding(&self, after: u64, before: u64) -> u64 {
        let first = after.saturating_add(1);
        let Some(newest) = self.newest.filter(|_| first < before) else {
            return 0;
        };
        let remembered = first.max((newest + 1).saturating_sub(WINDOW));
        let mute = (remembered..before.min(newest + 1)).filter(|&number| self.mute.has(number));
        before - first - mute.count() as u64
    }
}

#[derive(Debug, Default)]
struct Bits([u64; (WINDOW / WORD) as usize]);

impl Bits {
    fn has(&self, number: u64) -> bool {
        let bit = number % WINDOW;
        self.0[(bit / WORD) as usize] >> (bit % WORD) & 1 == 1
    }

    fn set(&mut self, number: u64, on: bool) {
        let bit = number % WINDOW;
        let word = &mut self.0[(bit / WORD) as usize];
        *word = *word & !(1 << (bit % WORD)) | u64::from(on) << (bit % WORD);
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
            assert_eq!(numbers.mark(number, true), twice, "{number}");
        }
    }

    #[test]
    fn between_two_numbers_all_but_those_without_audio_sound() {
        let mut numbers = Numbers::default();
        for (number, audio) in [(10, true), (11, true), (12, false), (15, false), (17, true)] {
            numbers.mark(number, audio);
        }
        assert_eq!(numbers.sounding(10, 11), 0);
        assert_eq!(numbers.sounding(11, 13), 0);
        // 11, 13, 14, 16: whether they came or not.
        assert_eq!(numbers.sounding(10, 17), 4);
        assert_eq!(numbers.sounding(17, 17), 0);
        assert_eq!(numbers.sounding(20, 17), 0);
        numbers.mark(17 + 3 * WINDOW, true);
        assert_eq!(numbers.sounding(17, 17 + 3 * WINDOW), 3 * WINDOW - 1);
        // They were forgotten with the window.
        numbers.mark(12 + 3 * WINDOW, true);
        assert_eq!(numbers.sounding(11 + 3 * WINDOW, 13 + 3 * WINDOW), 1);
    }
}
