//! Parts of one peer that wait for older ones: they are handed over in the order of blocks.

/// The parts of one block, of rooms that are open here.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The number of messages that it has; 0 if none has come.
    pieces: u8,
    /// Those that came.
    came: u8,
    /// Which of them: bit `n % 64` of word `n / 64`.
    have: [u64; 4],
    /// The parts as they came.
    pub(super) parts: Vec<u8>,
}

impl Slot {
    /// Whether every message of the block has come.
    pub(super) fn is_complete(&self) -> bool {
        self.pieces > 0 && self.came == self.pieces
    }

    fn clear(&mut self) {
        (self.pieces, self.came, self.have) = (0, 0, [0; 4]);
        self.parts.clear();
    }
}

/// Why a message has no place in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// Its block was handed over, or judged late.
    Late,
    /// Its block is beyond the window.
    Ahead,
    /// It came before.
    Duplicate,
    /// Other messages of its block say that there are more or fewer.
    Pieces,
}

/// The next blocks of one peer, as many as may come before the oldest of them is late.
#[derive(Debug)]
pub(super) struct Window {
    /// The block that is handed over next.
    next: u64,
    /// By number.
    slots: Box<[Slot]>,
}

impl Window {
    /// A window of so many blocks from this one on.
    pub(super) fn new(blocks: usize, next: u64) -> Self {
        Self {
            next,
            slots: (0..blocks).map(|_| Slot::default()).collect(),
        }
    }

    /// The block that is handed over next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// How many blocks it has.
    pub(super) fn blocks(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.pieces == 0)
    }

    /// Begins at another block, and forgets what waits.
    pub(super) fn restart(&mut self, next: u64) {
        self.next = next;
        self.slots.iter_mut().for_each(Slot::clear);
    }

    /// The place of a message's parts.
    pub(super) fn place(
        &mut self,
        number: u64,
        piece: u8,
        pieces: u8,
    ) -> Result<&mut Slot, Misfit> {
        let blocks = self.slots.len() as u64;
        match number.checked_sub(self.next) {
            None => return Err(Misfit::Late),
            Some(ahead) if ahead >= blocks => return Err(Misfit::Ahead),
            Some(_) => {}
        }
        let slot = &mut self.slots[(number % blocks) as usize];
        if slot.pieces != 0 && slot.pieces != pieces {
            return Err(Misfit::Pieces);
        }
        let (word, bit) = (usize::from(piece) / 64, 1 << (piece % 64));
        if slot.have[word] & bit != 0 {
            return Err(Misfit::Duplicate);
        }
        slot.have[word] |= bit;
        slot.pieces = pieces;
        slot.came += 1;
        Ok(slot)
    }

    /// Whether the next block is complete.
    pub(super) fn is_ready(&self) -> bool {
        let at = self.next % self.slots.len() as u64;
        self.slots[at as usize].is_complete()
    }

    /// Goes on to the block after the next one, and returns that, which `swapped` becomes: a slot to be used again.
    pub(super) fn pass(&mut self, swapped: &mut Slot) -> u64 {
        let (number, blocks) = (self.next, self.slots.len() as u64);
        swapped.clear();
        std::mem::swap(&mut self.slots[(number % blocks) as usize], swapped);
        self.next += 1;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(window: &mut Window) -> (u64, bool, Vec<u8>) {
        let mut slot = Slot::default();
        let number = window.pass(&mut slot);
        (number, slot.is_complete(), slot.parts)
    }

    #[test]
    fn blocks_pass_in_their_order() {
        let mut window = Window::new(4, 10);
        for number in [12, 10, 11] {
            let slot = window.place(number, 0, 1).unwrap();
            slot.parts.push(number as u8);
        }
        for number in 10..13 {
            assert!(window.is_ready());
            assert_eq!(pass(&mut window), (number, true, vec![number as u8]));
        }
        assert!(!window.is_ready());
        assert_eq!(pass(&mut window), (13, false, vec![]));
    }

    #[test]
    fn a_block_is_ready_with_all_its_messages() {
        let mut window = Window::new(2, 5);
        for piece in (0..=254).rev() {
            assert!(!window.is_ready());
            window.place(5, piece, 255).unwrap();
        }
        assert!(window.is_ready());
    }

    #[test]
    fn a_message_without_a_place_has_its_reason() {
        let mut window = Window::new(4, 10);
        let misfit =
            |window: &mut Window, number, piece, pieces| window.place(number, piece, pieces).err();
        assert_eq!(misfit(&mut window, 9, 0, 1), Some(Misfit::Late));
        assert_eq!(misfit(&mut window, 14, 0, 1), Some(Misfit::Ahead));
        assert_eq!(misfit(&mut window, 13, 0, 2), None);
        assert_eq!(misfit(&mut window, 13, 0, 2), Some(Misfit::Duplicate));
        assert_eq!(misfit(&mut window, 13, 1, 3), Some(Misfit::Pieces));
        window.restart(20);
        assert_eq!(misfit(&mut window, 13, 0, 1), Some(Misfit::Late));
        assert_eq!(misfit(&mut window, 21, 0, 1), None);
    }
}
