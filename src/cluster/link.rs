//! The account of one peer's samples in one room.
//!
//! ```text
//! claimed = delivered + late + lost + refused
//! ```
//!
//! in interleaved samples, after each part from the first on. `claimed` is how many the peer says that it has mixed since
//! then: a part says how many before its block, and how many in it. So a part that never comes is lost in the number that
//! the next one claims; if it comes after all, it moves from `lost` to its own term.

use super::Refusal;
use crate::{audio::sum::STREAMS_MAX, wire::part::Figures};

/// So many blocks back a part and its duplicate are distinguished.
const SEEN_BLOCKS: u64 = 128;

/// So many parts in a row that claim less than before, and agree among themselves, are those of a room that the peer has
/// opened again.
const BACK_MAX: u32 = 5;

/// The fate of a part's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Handed to the mixer.
    Delivered,
    /// Came after its time.
    Late,
    /// Came, and was not taken.
    Refused,
}

/// The terms of a link's equation, in interleaved samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkTerms {
    /// Mixed by the peer since its first part, as its parts say.
    pub claimed: u64,
    /// Handed to the mixer. It counts itself what it could not take in time
    /// (`RoomStrip::parts_missed`): that is late.
    pub delivered: u64,
    /// In parts that came after their time.
    pub late: u64,
    /// In parts that never came.
    pub lost: u64,
    /// In parts that came and were not taken.
    pub refused: u64,
}

impl LinkTerms {
    /// Whether the equation holds.
    pub fn is_closed(&self) -> bool {
        let terms = [self.delivered, self.late, self.lost, self.refused];
        self.claimed == terms.iter().sum::<u64>()
    }

    /// The same, with so many of the delivered samples late: those that the mixer has missed.
    #[must_use]
    pub fn with_missed(self, missed: u64) -> Self {
        let missed = missed.min(self.delivered);
        Self {
            delivered: self.delivered - missed,
            late: self.late + missed,
            ..self
        }
    }
}

/// One peer in one room.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) terms: LinkTerms,
    /// The peer is in the room: its parts come, or are missing.
    pub(super) is_joined: bool,
    /// The streams that its last part has, and those of them that are solo.
    pub(super) streams: u32,
    pub(super) solos: u16,
    run: Option<Run>,
}

/// Parts of which each claims what the ones before add up to.
#[derive(Debug)]
struct Run {
    /// The block of the newest part.
    last: u64,
    /// Samples mixed before the first, and up to the end of the newest, as they claim.
    base: u64,
    mixed: u64,
    /// Blocks up to it of which parts came: bit `n` is `last - n`.
    seen: u128,
    /// The end that the last part claimed which went back, and how many such came in a row.
    back: Option<(u64, u32)>,
}

impl Run {
    fn begin(block: u64, mixed: u64) -> Self {
        Self {
            last: block,
            base: mixed,
            mixed,
            seen: 0,
            back: None,
        }
    }
}

impl Link {
    /// The block of the newest part.
    pub(super) fn last(&self) -> Option<u64> {
        self.run.as_ref().map(|run| run.last)
    }

    /// The next part is another's first: no equation reaches over the time between.
    pub(super) fn begin_again(&mut self) {
        self.run = None;
        self.is_joined = false;
        (self.streams, self.solos) = (0, 0);
    }

    /// Whether the claims of a part can be true, and it has not come before. `block` is the interleaved samples of a
    /// block.
    pub(super) fn judge(
        &mut self,
        number: u64,
        part: &Figures,
        block: usize,
    ) -> Result<(), Refusal> {
        let block = block as u64;
        if part.streams as usize > STREAMS_MAX || u32::from(part.solos) > part.streams {
            return Err(Refusal::Streams);
        }
        if u64::from(part.mixed) > u64::from(part.streams) * block {
            return Err(Refusal::Mixed);
        }
        let Some(end) = part.mixed_before.checked_add(part.mixed.into()) else {
            return Err(Refusal::MixedBefore);
        };
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        if let Some(missing) = number.checked_sub(run.last).and_then(|n| n.checked_sub(1)) {
            let gap_max = missing.saturating_mul(STREAMS_MAX as u64 * block);
            let gap = part.mixed_before.checked_sub(run.mixed);
            if gap.is_some_and(|gap| gap <= gap_max) {
                run.back = None;
                return Ok(());
            }
            let agreeing = run.back.filter(|(end, _)| part.mixed_before >= *end);
            let count = agreeing.map_or(1, |(_, count)| count + 1);
            run.back = Some((end, count));
            if count < BACK_MAX {
                return Err(Refusal::MixedBefore);
            }
            self.run = None;
            return Ok(());
        }
        let back = run.last - number;
        if back >= SEEN_BLOCKS || part.mixed_before < run.base {
            return Err(Refusal::Old);
        }
        if run.seen >> back & 1 == 1 {
            return Err(Refusal::Duplicate);
        }
        if end > run.mixed || u64::from(part.mixed) > self.terms.lost {
            return Err(Refusal::MixedBefore);
        }
        Ok(())
    }

    /// Counts a part that was judged.
    pub(super) fn account(&mut self, number: u64, part: &Figures, fate: Fate) {
        let mixed = u64::from(part.mixed);
        let run = self
            .run
            .get_or_insert_with(|| Run::begin(number, part.mixed_before));
        if number > run.last || run.seen == 0 {
            let ahead = u32::try_from(number - run.last).ok();
            let seen = ahead.and_then(|ahead| run.seen.checked_shl(ahead));
            run.seen = seen.unwrap_or(0) | 1;
            let gap = part.mixed_before - run.mixed;
            run.last = number;
            run.mixed = part.mixed_before + mixed;
            self.terms.claimed += gap + mixed;
            self.terms.lost += gap;
            (self.streams, self.solos) = (part.streams, part.solos);
        } else {
            run.seen |= 1 << (run.last - number);
            self.terms.lost -= mixed;
        }
        let term = match fate {
            Fate::Delivered => &mut self.terms.delivered,
            Fate::Late => &mut self.terms.late,
            Fate::Refused => &mut self.terms.refused,
        };
        *term += mixed;
    }
}

#[cfg(test)]
mod tests;
