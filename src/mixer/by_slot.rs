//! Values of some of the streams, found by slot and visited in turn.

/// A table by the slots of streams.
#[derive(Debug)]
pub(super) struct BySlot<T> {
    boxes: Box<[Option<Box<T>>]>,
    /// The slots that have one. Room for all, so it never grows.
    slots: Vec<usize>,
    /// The place of each slot's entry among them.
    places: Box<[usize]>,
}

impl<T> BySlot<T> {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            boxes: (0..slots).map(|_| None).collect(),
            slots: Vec::with_capacity(slots),
            places: vec![0; slots].into(),
        }
    }

    /// The slot has none.
    pub(super) fn insert(&mut self, slot: usize, value: Box<T>) {
        self.places[slot] = self.slots.len();
        self.slots.push(slot);
        self.boxes[slot] = Some(value);
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Box<T>> {
        let removed = self.boxes[slot].take()?;
        let place = self.places[slot];
        self.slots.swap_remove(place);
        if let Some(&moved) = self.slots.get(place) {
            self.places[moved] = place;
        }
        Some(removed)
    }

    pub(super) fn get(&self, slot: usize) -> Option<&T> {
        self.boxes[slot].as_deref()
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.boxes[slot].as_deref_mut()
    }

    pub(super) fn has(&self, slot: usize) -> bool {
        self.boxes[slot].is_some()
    }

    pub(super) fn each(&mut self, mut act: impl FnMut(&mut T)) {
        for &slot in &self.slots {
            if let Some(value) = &mut self.boxes[slot] {
                act(value);
            }
        }
    }
}
