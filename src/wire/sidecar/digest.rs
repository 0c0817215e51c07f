//! The SHA-256 of a recording's samples, as they come.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

/// A SHA-256 of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleDigest([u8; 32]);

impl SampleDigest {
    /// As 64 digits.
    pub fn hex(&self) -> String {
        self.0.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    fn from_hex(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl Serialize for SampleDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for SampleDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        Self::from_hex(&hex).ok_or_else(|| D::Error::custom("a SHA-256 has 64 hexadecimal digits"))
    }
}

/// The hash of samples as they come: the same for any container, and however they are cut.
#[derive(Debug, Clone, Default)]
pub struct SampleHash(Sha256);

impl SampleHash {
    /// Takes the next bytes of samples, interleaved and little-endian.
    pub fn update_bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes the next samples, interleaved.
    pub fn update(&mut self, samples: &[i16]) {
        for_bytes(samples, |bytes| self.0.update(bytes));
    }

    /// The hash of the samples so far. Copies the state, about 100 bytes.
    pub fn digest(&self) -> SampleDigest {
        SampleDigest(self.0.clone().finalize().into())
    }
}

/// Hands on samples as little-endian bytes, some hundred at a time.
fn for_bytes(samples: &[i16], mut take: impl FnMut(&[u8])) {
    let mut bytes = [0; 1024];
    for samples in samples.chunks(bytes.len() / 2) {
        let bytes = &mut bytes[..2 * samples.len()];
        for (bytes, sample) in bytes.chunks_exact_mut(2).zip(samples) {
            bytes.copy_from_slice(&sample.to_le_bytes());
        }
        take(bytes);
    }
}
