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

    /// Removes the value at this place, in the order of a visit. The last one moves there.
    pub(super) fn remove_at(&mut self, place: usize) -> Option<Box<T>> {
        self.remove(*self.slots.get(place)?)
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

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether one is so.
    pub(super) fn any(&mut self, mut is_so: impl FnMut(&mut T) -> bool) -> bool {
        let Self { boxes, slots, .. } = self;
        let mut slots = slots.iter();
        slots.any(|&slot| boxes[slot].as_deref_mut().is_some_and(&mut is_so))
    }

    /// The value at this place, in the order of a visit. A removal moves the last to its place.
    pub(super) fn at_mut(&mut self, place: usize) -> Option<&mut T> {
        let slot = *self.slots.get(place)?;
        self.boxes[slot].as_deref_mut()
    }

    /// Whether there is such a slot, and it has none.
    pub(super) fn is_free(&self, slot: usize) -> bool {
        self.boxes.get(slot).is_some_and(Option::is_none)
    }

    pub(super) fn each(&mut self, mut act: impl FnMut(&mut T)) {
        for &slot in &self.slots {
            if let Some(value) = &mut self.boxes[slot] {
                act(value);
            }
        }
    }
}
