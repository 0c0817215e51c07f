//! Writes the messages of one block.

use thiserror::Error;

use super::{
    CRC_AT, Figures, HEAD_BYTES, MAGIC, PART_HEAD_BYTES, PEAK_LIMIT, Shape, VERSION, Width, crc,
    sums,
};

/// Most messages of a block: they are numbered in a byte.
const PIECES_MAX: usize = u8::MAX as usize;

/// Writes the parts of a block into messages that are no longer than may be sent.
///
/// Its memory is used again for the next block: it allocates while blocks still become longer.
#[derive(Debug)]
pub struct Writer {
    shape: Shape,
    payload_bytes_max: usize,
    incarnation: u64,
    block: u64,
    /// Those of the block come first.
    messages: Vec<Message>,
    /// Messages of this block.
    used: usize,
}

#[derive(Debug, Default)]
struct Message {
    bytes: Vec<u8>,
    rooms: u16,
}

/// Why a part was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PushError {
    /// Its sums could overflow with those of other nodes.
    #[error("a sum of magnitude {peak}: a part stays below {PEAK_LIMIT}")]
    Peak {
        /// The largest magnitude.
        peak: u32,
    },
    /// All messages that a block may have are full.
    #[error("the parts of a block do not fit {PIECES_MAX} messages of {payload_bytes_max} bytes")]
    Pieces {
        /// The longest message.
        payload_bytes_max: usize,
    },
}

impl Writer {
    /// The longest message that may be asked for: one room, in 32 bits.
    pub fn payload_bytes_min(shape: &Shape) -> usize {
        HEAD_BYTES + PART_HEAD_BYTES + Width::Bits32.bytes() * shape.block()
    }

    /// Writes messages of up to so many bytes, at least those of [one room](Self::payload_bytes_min).
    pub fn new(shape: Shape, payload_bytes_max: usize) -> Self {
        Self {
            shape,
            payload_bytes_max: payload_bytes_max.max(Self::payload_bytes_min(&shape)),
            incarnation: 0,
            block: 0,
            messages: Vec::new(),
            used: 0,
        }
    }

    /// Sets how many bytes a message may have, from the next block on.
    pub fn set_payload_bytes_max(&mut self, bytes: usize) {
        self.payload_bytes_max = bytes.max(Self::payload_bytes_min(&self.shape));
    }

    /// Begins a block.
    pub fn begin(&mut self, incarnation: u64, block: u64) {
        (self.incarnation, self.block, self.used) = (incarnation, block, 0);
    }

    /// Adds a part. No sums are silence.
    ///
    /// # Errors
    /// The part is not in the block if its peak could overflow, or if there is no room for it.
    ///
    /// # Panics
    /// If the sums are neither none nor those of a block.
    pub fn push(&mut self, figures: &Figures, sums: &[i32]) -> Result<(), PushError> {
        assert!(
            sums.is_empty() || sums.len() == self.shape.block(),
            "a part of {} sums in blocks of {}",
            sums.len(),
            self.shape.block()
        );
        let peak = sums::peak(sums);
        if peak >= PEAK_LIMIT {
            return Err(PushError::Peak { peak });
        }
        let width = Width::that_holds(sums);
        let bytes = PART_HEAD_BYTES + width.bytes() * sums.len();
        let message = self.message_for(bytes)?;
        message.rooms += 1;
        let out = &mut message.bytes;
        out.extend_from_slice(&figures.room.to_le_bytes());
        out.extend_from_slice(&figures.mixed_before.to_le_bytes());
        out.extend_from_slice(&figures.mixed.to_le_bytes());
        out.extend_from_slice(&figures.streams.to_le_bytes());
        out.extend_from_slice(&figures.finished_crc.to_le_bytes());
        out.extend_from_slice(&figures.solos.to_le_bytes());
        out.extend_from_slice(&[figures.finished_nodes, width.bits()]);
        sums::write(sums, width, out);
        Ok(())
    }

    /// The message that takes a part of so many bytes.
    fn message_for(&mut self, bytes: usize) -> Result<&mut Message, PushError> {
        let is_room = |message: &Message| {
            message.bytes.len() + bytes <= self.payload_bytes_max && message.rooms < u16::MAX
        };
        let last = self.used.checked_sub(1);
        if !last.is_some_and(|last| is_room(&self.messages[last])) {
            if self.used == PIECES_MAX {
                return Err(PushError::Pieces {
                    payload_bytes_max: self.payload_bytes_max,
                });
            }
            if self.used == self.messages.len() {
                self.messages.push(Message::default());
            }
            let message = &mut self.messages[self.used];
            message.rooms = 0;
            message.bytes.clear();
            message.bytes.resize(HEAD_BYTES, 0);
            self.used += 1;
        }
        Ok(&mut self.messages[self.used - 1])
    }

    /// Ends the block: its messages, none if it has no part.
    pub fn finish(&mut self) -> impl ExactSizeIterator<Item = &[u8]> {
        let Self { shape, used, .. } = *self;
        let (incarnation, block) = (self.incarnation, self.block);
        let messages = &mut self.messages[..used];
        for (piece, message) in (0..=u8::MAX).zip(&mut *messages) {
            let bytes = &mut message.bytes;
            bytes[..4].copy_from_slice(&MAGIC);
            bytes[4] = VERSION;
            bytes[5] = shape.format.channels() as u8;
            bytes[6] = shape.lead_ticks;
            bytes[7] = piece;
            bytes[8] = used as u8;
            bytes[10..12].copy_from_slice(&shape.block_samples.to_le_bytes());
            bytes[12..14].copy_from_slice(&message.rooms.to_le_bytes());
            bytes[16..20].copy_from_slice(&shape.cluster.to_le_bytes());
            bytes[20..24].copy_from_slice(&shape.format.rate_hz().to_le_bytes());
            bytes[24..32].copy_from_slice(&incarnation.to_le_bytes());
            bytes[32..40].copy_from_slice(&block.to_le_bytes());
            let len = bytes.len() as u32;
            bytes[40..44].copy_from_slice(&len.to_le_bytes());
            let crc = crc(bytes);
            bytes[CRC_AT].copy_from_slice(&crc.to_le_bytes());
        }
        messages.iter().map(|message| &message.bytes[..])
    }
}
