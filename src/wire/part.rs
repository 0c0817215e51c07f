//! Parts: the partial sums of one node and one block, as nodes of a cluster exchange them.
//!
//! ```text
//! byte 0      4         5          6      7       8        9      10              12      14     16
//!      +------+---------+----------+------+-------+--------+------+---------------+-------+------+---------+
//!      | MXPT | version | channels | lead | piece | pieces | zero | block_samples | rooms | zero | cluster |
//!      |      |   u8    |    u8    |  u8  |  u8   |   u8   |  u8  |      u16      |  u16  | u16  |   u32   |
//!      +------+---------+----------+------+-------+--------+------+---------------+-------+------+---------+
//!      20        24            32      40      44     48
//!      +---------+-------------+-------+-------+------+--------------+-----
//!      | rate_hz | incarnation | block | bytes | CRC  | of each room | ...
//!      |   u32   |     u64     |  u64  |  u32  | u32  |              |
//!      +---------+-------------+-------+-------+------+--------------+-----
//!
//! byte 0      8              16      20        24             28      30               31      32
//!      +------+--------------+-------+---------+--------------+-------+----------------+-------+------+
//!      | room | mixed_before | mixed | streams | finished_crc | solos | finished_nodes | width | sums |
//!      | u64  |     u64      |  u32  |   u32   |     u32      |  u16  |       u8       |  u8   |      |
//!      +------+--------------+-------+---------+--------------+-------+----------------+-------+------+
//! ```
//!
//! All is little endian. The CRC-32 is of all other bytes, `bytes` is the length of the message. The name of the node
//! is not in it: the subject by which it comes has that. A width is 0, 16, 24 or 32 bits a sum, two's complement;
//! 0 is silence, without bytes.
//!
//! A tick's rooms are one message, or several [pieces](Head::piece) of one block number where a message may not be so
//! long. A message that [parses](Message::parse) has been checked whole, against the format of the reader, and each of
//! its sums is below [`PEAK_LIMIT`]. Reading copies and allocates nothing.
//!
//! Whether the claims of a part can be true takes state: `cluster` judges them.

use sha2::{Digest as _, Sha256};
use thiserror::Error;

pub use self::{
    sums::{PEAK_LIMIT, Sums, Width},
    write::{PushError, Writer},
};
use crate::audio::Format;

mod sums;
#[cfg(test)]
mod tests;
mod write;

/// The version that is written, and the only one that is read.
pub const VERSION: u8 = 1;

/// Most nodes that a room has: so many parts below [`PEAK_LIMIT`] add in `i32` in any order.
pub const NODES_MAX: usize = 16;

const MAGIC: [u8; 4] = *b"MXPT";
/// The length of the head of a message.
pub const HEAD_BYTES: usize = 48;
/// The length of the head of a part.
pub const PART_HEAD_BYTES: usize = 32;
/// Where the CRC stands, and where what follows it begins.
const CRC_AT: std::ops::Range<usize> = 44..48;

/// A cluster as messages name it: the CRC-32 of its name.
pub fn cluster_id(name: &str) -> u32 {
    crc32fast::hash(name.as_bytes())
}

/// A room as parts name it: 8 bytes of the SHA-256 of its name and of its settings as canonical text. A room of the
/// same name with other settings is another room.
pub fn room_id(name: &str, settings: &str) -> u64 {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(name)
        .chain_update([0])
        .chain_update(settings)
        .finalize()
        .into();
    u64::from_be_bytes(at(&digest, 0))
}

/// The properties that all nodes of a cluster share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// See [`cluster_id`].
    pub cluster: u32,
    /// Rate and channels of the mix.
    pub format: Format,
    /// Samples per channel of a block.
    pub block_samples: u16,
    /// Ticks from a block's sum to its end.
    pub lead_ticks: u8,
}

impl Shape {
    /// Interleaved samples of a block.
    pub fn block(&self) -> usize {
        usize::from(self.block_samples) * usize::from(self.format.channels())
    }
}

/// The head of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The run of the node in which it counts blocks without a break.
    pub incarnation: u64,
    /// The number of the block: ticks since the Unix epoch.
    pub block: u64,
    /// The place of this message among those of its block, from 0.
    pub piece: u8,
    /// Messages of this block, at least 1.
    pub pieces: u8,
}

/// The figures of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// See [`room_id`].
    pub room: u64,
    /// Interleaved samples that the node mixed in this room before this block.
    pub mixed_before: u64,
    /// Interleaved samples of streams that the sums are made of.
    pub mixed: u32,
    /// Streams of the node in the room.
    pub streams: u32,
    /// Those of them that are solo.
    pub solos: u16,
    /// The CRC-32 of the room's block `block - lead_ticks`, as the node finished it.
    pub finished_crc: u32,
    /// The nodes of which that block was made, the sender among them; 0 if it finished none of this number.
    pub finished_nodes: u8,
}

/// The part of one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its figures.
    pub figures: Figures,
    /// Its sums: those of a block.
    pub sums: Sums<'a>,
}

/// A message, read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its head.
    pub head: Head,
    rooms: u16,
    /// Interleaved samples of a block.
    block: usize,
    parts: &'a [u8],
}

/// Why bytes are no message for this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PartError {
    /// Shorter than a head.
    #[error("a message has at least {HEAD_BYTES} bytes, this one {bytes}")]
    TooShort {
        /// The length of the bytes.
        bytes: usize,
    },
    /// Another protocol.
    #[error("the message does not begin with {:?}", str::from_utf8(&MAGIC).unwrap_or_default())]
    Magic,
    /// Written by another version.
    #[error("the message has version {version}, not {VERSION}: run one release on all nodes")]
    Version {
        /// The version found.
        version: u8,
    },
    /// Longer or shorter than its head claims.
    #[error("the message has {bytes} bytes, its head claims {claimed}")]
    Length {
        /// The length of the bytes.
        bytes: usize,
        /// The length that the head has.
        claimed: u32,
    },
    /// The checksum is that of other bytes.
    #[error("the message is damaged: its CRC-32 is {found:#010x}, its head has {claimed:#010x}")]
    Checksum {
        /// The CRC-32 of the bytes.
        found: u32,
        /// The CRC-32 that the head has.
        claimed: u32,
    },
    /// From another cluster.
    #[error("the message is of cluster {cluster:#010x}: check --cluster-name")]
    Cluster {
        /// See [`cluster_id`].
        cluster: u32,
    },
    /// From a node with another rate, other channels or blocks.
    #[error(
        "the message has {rate_hz} Hz, {channels} channels and blocks of {block_samples} samples: run all nodes with \
         one --rate, --channels and --ptime"
    )]
    Format {
        /// The sender's rate.
        rate_hz: u32,
        /// The sender's channels.
        channels: u8,
        /// Samples per channel of the sender's blocks.
        block_samples: u16,
    },
    /// From a node with another lead.
    #[error("the sender has a lead of {ticks} ticks: run all nodes with one --cluster-lead")]
    Lead {
        /// The sender's lead.
        ticks: u8,
    },
    /// A piece that there is not.
    #[error("piece {piece} of {pieces} is none")]
    Piece {
        /// The number that the head has, from 0.
        piece: u8,
        /// The count that the head has.
        pieces: u8,
    },
    /// The rooms end before or after the bytes do.
    #[error("{rooms} rooms are not {bytes} bytes long")]
    Rooms {
        /// The count that the head has.
        rooms: u16,
        /// The bytes behind the head.
        bytes: usize,
    },
    /// Sums of a width that there is not.
    #[error("sums of {bits} bits: a width is 0, 16, 24 or 32")]
    Width {
        /// The width found.
        bits: u8,
    },
    /// Sums that could overflow with those of other nodes.
    #[error("a sum of magnitude {peak}: a part stays below {PEAK_LIMIT}")]
    Peak {
        /// The largest magnitude.
        peak: u32,
    },
    /// Bytes that are zero in this version.
    #[error("a byte that is zero in version {VERSION} is not")]
    Reserved,
}

const FITS: &str = "the length was checked";

/// The `N` bytes at this place.
fn at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect(FITS)
}

impl<'a> Message<'a> {
    /// Reads a message of a node that has this shape, too. Costs a pass over the bytes.
    ///
    /// # Errors
    /// [`PartError`], in the order of its kinds: the first that applies.
    pub fn parse(bytes: &'a [u8], shape: &Shape) -> Result<Self, PartError> {
        let Some((head, parts)) = bytes.split_at_checked(HEAD_BYTES) else {
            return Err(PartError::TooShort { bytes: bytes.len() });
        };
        if head[..4] != MAGIC {
            return Err(PartError::Magic);
        }
        let [version, channels, ticks, piece, pieces, zero] = at(head, 4);
        if version != VERSION {
            return Err(PartError::Version { version });
        }
        let claimed = u32::from_le_bytes(at(head, 40));
        if claimed as usize != bytes.len() {
            let bytes = bytes.len();
            return Err(PartError::Length { bytes, claimed });
        }
        let (found, claimed) = (crc(bytes), u32::from_le_bytes(at(head, CRC_AT.start)));
        if found != claimed {
            return Err(PartError::Checksum { found, claimed });
        }
        let cluster = u32::from_le_bytes(at(head, 16));
        if cluster != shape.cluster {
            return Err(PartError::Cluster { cluster });
        }
        let block_samples = u16::from_le_bytes(at(head, 10));
        let rate_hz = u32::from_le_bytes(at(head, 20));
        let ours = (shape.format.rate_hz(), shape.format.channels());
        if (rate_hz, u16::from(channels), block_samples) != (ours.0, ours.1, shape.block_samples) {
            return Err(PartError::Format {
                rate_hz,
                channels,
                block_samples,
            });
        }
        if ticks != shape.lead_ticks {
            return Err(PartError::Lead { ticks });
        }
        if piece >= pieces {
            return Err(PartError::Piece { piece, pieces });
        }
        let message = Self {
            head: Head {
                incarnation: u64::from_le_bytes(at(head, 24)),
                block: u64::from_le_bytes(at(head, 32)),
                piece,
                pieces,
            },
            rooms: u16::from_le_bytes(at(head, 12)),
            block: shape.block(),
            parts,
        };
        message.check()?;
        if zero != 0 || head[14..16] != [0; 2] {
            return Err(PartError::Reserved);
        }
        Ok(message)
    }

    /// Checks that the parts can be read.
    fn check(&self) -> Result<(), PartError> {
        let mut rest = self.parts;
        let ends = PartError::Rooms {
            rooms: self.rooms,
            bytes: self.parts.len(),
        };
        for _ in 0..self.rooms {
            let (part, after) = Part::split(rest, self.block, ends)?;
            let peak = part.sums.peak();
            if peak >= PEAK_LIMIT {
                return Err(PartError::Peak { peak });
            }
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(ends) }
    }

    /// The count of its parts.
    pub fn rooms(&self) -> u16 {
        self.rooms
    }

    /// Its parts, in their order. Each is as [`Part::parse`] takes it back.
    pub fn parts(self) -> impl Iterator<Item = (Part<'a>, &'a [u8])> {
        let mut rest = self.parts;
        (0..self.rooms).map_while(move |_| {
            let (part, after) = Part::parse(rest, self.block)?;
            let bytes = &rest[..rest.len() - after.len()];
            rest = after;
            Some((part, bytes))
        })
    }
}

impl<'a> Part<'a> {
    /// Reads the first of parts that were checked with their message, of so many interleaved samples; and the bytes after
    /// it. None at the end.
    pub fn parse(bytes: &'a [u8], block: usize) -> Option<(Self, &'a [u8])> {
        // The error is that of no bytes at all, too.
        let ends = PartError::Rooms {
            rooms: 1,
            bytes: bytes.len(),
        };
        Self::split(bytes, block, ends).ok()
    }

    fn split(
        bytes: &'a [u8],
        block: usize,
        ends: PartError,
    ) -> Result<(Self, &'a [u8]), PartError> {
        let (head, rest) = bytes.split_at_checked(PART_HEAD_BYTES).ok_or(ends)?;
        let [finished_nodes, bits] = at(head, 30);
        let width = Width::of_bits(bits).ok_or(PartError::Width { bits })?;
        let (sums, rest) = rest.split_at_checked(width.bytes() * block).ok_or(ends)?;
        let figures = Figures {
            room: u64::from_le_bytes(at(head, 0)),
            mixed_before: u64::from_le_bytes(at(head, 8)),
            mixed: u32::from_le_bytes(at(head, 16)),
            streams: u32::from_le_bytes(at(head, 20)),
            finished_crc: u32::from_le_bytes(at(head, 24)),
            solos: u16::from_le_bytes(at(head, 28)),
            finished_nodes,
        };
        let sums = Sums::new(width, sums);
        Ok((Self { figures, sums }, rest))
    }
}

/// The CRC-32 of a whole message, but for the CRC itself.
fn crc(message: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&message[..CRC_AT.start]);
    hasher.update(&message[CRC_AT.end..]);
    hasher.finalize()
}
