//! Sums as bytes, in the smallest width that holds them.

use super::FITS;

/// A sum of a part is smaller in magnitude: those of 16 nodes stay below 2^31.
pub const PEAK_LIMIT: u32 = 1 << 27;

/// The bits of each sum of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// All sums are 0, and take no bytes.
    Silence,
    /// 16 bits.
    Bits16,
    /// 24 bits.
    Bits24,
    /// 32 bits.
    Bits32,
}

impl Width {
    /// The smallest width that holds these sums.
    pub fn that_holds(sums: &[i32]) -> Self {
        let folded = sums.iter().fold(0, |folded, &sum| folded | fold(sum));
        match folded {
            0 if sums.iter().all(|&sum| sum == 0) => Self::Silence,
            0..0x8000 => Self::Bits16,
            0x8000..0x80_0000 => Self::Bits24,
            _ => Self::Bits32,
        }
    }

    pub(super) const fn of_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Silence),
            16 => Some(Self::Bits16),
            24 => Some(Self::Bits24),
            32 => Some(Self::Bits32),
            _ => None,
        }
    }

    /// Bits of a sum.
    pub const fn bits(self) -> u8 {
        8 * self.bytes() as u8
    }

    /// Bytes of a sum.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Silence => 0,
            Self::Bits16 => 2,
            Self::Bits24 => 3,
            Self::Bits32 => 4,
        }
    }
}

/// The magnitude, one less for a negative sum: all bits below the sign's that a width must have.
fn fold(sum: i32) -> u32 {
    (sum ^ (sum >> 31)) as u32
}

/// The largest magnitude of these sums.
pub(super) fn peak(sums: &[i32]) -> u32 {
    sums.iter().map(|sum| sum.unsigned_abs()).max().unwrap_or(0)
}

/// Appends these sums in this width, which holds them.
pub(super) fn write(sums: &[i32], width: Width, out: &mut Vec<u8>) {
    match width {
        Width::Silence => {}
        Width::Bits16 => out.extend(sums.iter().flat_map(|sum| (*sum as i16).to_le_bytes())),
        Width::Bits24 => out.extend(sums.iter().flat_map(|sum| {
            let [a, b, c, _] = sum.to_le_bytes();
            [a, b, c]
        })),
        Width::Bits32 => out.extend(sums.iter().flat_map(|sum| sum.to_le_bytes())),
    }
}

/// The sums of a part, in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums<'a> {
    width: Width,
    bytes: &'a [u8],
}

impl<'a> Sums<'a> {
    pub(super) const fn new(width: Width, bytes: &'a [u8]) -> Self {
        Self { width, bytes }
    }

    /// Bits of each.
    pub const fn width(self) -> Width {
        self.width
    }

    /// Whether there are none: all are 0.
    pub const fn is_silence(self) -> bool {
        matches!(self.width, Width::Silence)
    }

    /// The largest magnitude. Costs a pass over sums of 32 bits, and none over others, which stay below
    /// [`PEAK_LIMIT`]: of these it is an upper bound.
    pub(super) fn peak(self) -> u32 {
        match self.width {
            Width::Silence => 0,
            Width::Bits16 => 1 << 15,
            Width::Bits24 => 1 << 23,
            Width::Bits32 => self
                .bytes
                .chunks_exact(4)
                .map(|sum| of_32_bits(sum).unsigned_abs())
                .max()
                .unwrap_or(0),
        }
    }

    /// Copies them out.
    ///
    /// # Panics
    /// If `out` has not the length of a block.
    pub fn read(self, out: &mut [i32]) {
        let bytes = self.width.bytes();
        assert!(
            self.is_silence() || self.bytes.len() == bytes * out.len(),
            "{} bytes of sums met a block of {}: both must be one block's length",
            self.bytes.len(),
            out.len()
        );
        match self.width {
            Width::Silence => out.fill(0),
            Width::Bits16 => {
                for (out, sum) in out.iter_mut().zip(self.bytes.chunks_exact(2)) {
                    *out = i16::from_le_bytes(sum.try_into().expect(FITS)).into();
                }
            }
            Width::Bits24 => {
                for (out, sum) in out.iter_mut().zip(self.bytes.chunks_exact(3)) {
                    *out = i32::from_le_bytes([0, sum[0], sum[1], sum[2]]) >> 8;
                }
            }
            Width::Bits32 => {
                for (out, sum) in out.iter_mut().zip(self.bytes.chunks_exact(4)) {
                    *out = of_32_bits(sum);
                }
            }
        }
    }
}

fn of_32_bits(bytes: &[u8]) -> i32 {
    i32::from_le_bytes(bytes.try_into().expect(FITS))
}
