//! The sums that a stream adds to, and its own part of them.

use super::Settings;
use crate::audio::sum;

/// All that one stream adds to one room in a block: a mix-minus leaves it out, a track is made of it.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) samples: Box<[i32]>,
    /// Whether any of them is not zero.
    pub(super) sounds: bool,
}

impl Own {
    /// A block of silence. Allocates.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            samples: vec![0; settings.block()].into(),
            sounds: false,
        }
    }

    pub(super) fn clear(&mut self) {
        if self.sounds {
            self.samples.fill(0);
            self.sounds = false;
        }
    }
}

/// A room's sums, as one stream adds to them.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) sums: &'a mut [i32],
    /// Gets the same, if a feed needs it.
    pub(super) own: Option<&'a mut Own>,
}

impl Target<'_> {
    /// Has `add` add samples to their place, the first at number `from` of the block; no two calls for a block pass the
    /// same of its samples.
    pub(super) fn add(
        &mut self,
        from: usize,
        samples: &[i16],
        add: impl FnOnce(&mut [i32], &[i16]),
    ) {
        let range = from..from + samples.len();
        let Some(Own {
            samples: own,
            sounds,
        }) = &mut self.own
        else {
            return add(&mut self.sums[range], samples);
        };
        // Most participants are silent, and there is nothing to add. Not `all`: it would look at one sample after the
        // other.
        if samples.iter().fold(0, |bits, &sample| bits | sample) == 0 {
            return;
        }
        let own = &mut own[range.clone()];
        add(own, samples);
        sum::add_sums(&mut self.sums[range], own);
        *sounds |= own.iter().fold(0, |bits, &sample| bits | sample) != 0;
    }
}
