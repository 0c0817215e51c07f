//! The values of a room between the sum of a tick and its finish, some ticks later.

/// The values of the last ticks, in the order of ticks.
#[derive(Debug)]
pub(super) struct Lead<T> {
    kept: Box<[T]>,
    oldest: usize,
}

impl<T> Lead<T> {
    /// A lead of so many ticks. Allocates.
    pub(super) fn new(ticks: u64, silence: impl Fn() -> T) -> Self {
        Self {
            kept: (0..ticks).map(|_| silence()).collect(),
            oldest: 0,
        }
    }

    /// Exchanges the value of this tick for the oldest one.
    pub(super) fn swap(&mut self, value: &mut T) {
        std::mem::swap(&mut self.kept[self.oldest], value);
        self.oldest = (self.oldest + 1) % self.kept.len();
    }

    /// The value that was kept last.
    pub(super) fn newest(&self) -> &T {
        let ticks = self.kept.len();
        &self.kept[(self.oldest + ticks - 1) % ticks]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.kept.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.kept.iter_mut()
    }
}
