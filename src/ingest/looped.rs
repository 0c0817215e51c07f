//! A WAV file played several times over, without a gap.

use std::path::{Path, PathBuf};

use super::{
    source::{Source, SourceError},
    wav::WavSource,
};
use crate::audio::Format;

/// A [`WavSource`] that begins again at its end.
pub struct Looped {
    path: PathBuf,
    bus: Format,
    source: WavSource,
    plays: u64,
    /// Plays to come after this one.
    left: u64,
    /// Whether this play gave a sample. One at 48 kHz is none at 8 kHz, however often it is played.
    heard: bool,
}

impl Looped {
    /// Opens the file, to be played `plays` times, at least once.
    ///
    /// # Errors
    /// As [`WavSource::open`].
    pub fn open(path: &Path, bus: Format, plays: u64) -> Result<Self, SourceError> {
        let plays = plays.max(1);
        let source = WavSource::open(path, bus)?;
        Ok(Self {
            path: path.to_owned(),
            bus,
            source,
            plays,
            left: plays - 1,
            heard: false,
        })
    }
}

impl Source for Looped {
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
        let mut filled = 0;
        // Frames stay whole across the loop: the next play fills what this one left.
        while filled < out.len() {
            let count = self.source.read(&mut out[filled..])?;
            filled += count;
            self.heard |= count > 0;
            if count == 0 {
                if self.left == 0 || !self.heard {
                    break;
                }
                self.heard = false;
                self.left -= 1;
                self.source = WavSource::open(&self.path, self.bus)?;
            }
        }
        Ok(filled)
    }

    fn length(&self) -> Option<u64> {
        self.source
            .length()
            .map(|length| length.saturating_mul(self.plays))
    }
}
