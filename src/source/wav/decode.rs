//! Stored samples to floats, 1.0 at full scale: pure, slices in, slices out.
//!
//! Floats pass as they are; what is no finite number is the converter's to silence.

use super::header::Encoding;

/// Decodes all of `raw`, whole samples, into as many floats.
///
/// # Panics
/// If `raw` is not exactly as many samples as `out`: the caller's bug.
pub(super) fn decode(encoding: Encoding, raw: &[u8], out: &mut [f32]) {
    assert_eq!(raw.len(), out.len() * encoding.width(), "one sample each");
    match encoding {
        Encoding::U8 => each(raw, out, |[b]| (f32::from(b) - 128.0) / 128.0),
        Encoding::S16 => each(raw, out, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
        // In the upper three bytes, so that the sign is in its place.
        Encoding::S24 => each(raw, out, |[a, b, c]| whole([0, a, b, c])),
        Encoding::S32 => each(raw, out, whole),
        Encoding::F32 => each(raw, out, f32::from_le_bytes),
    }
}

fn whole(bytes: [u8; 4]) -> f32 {
    i32::from_le_bytes(bytes) as f32 / 2_147_483_648.0
}

fn each<const N: usize>(raw: &[u8], out: &mut [f32], sample: impl Fn([u8; N]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(raw.as_chunks::<N>().0) {
        *out = sample(*bytes);
    }
}
