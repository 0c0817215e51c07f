//! A WAV file played several times over, without a gap.

use std::{
    fs::File,
    io::{self, Seek as _},
    path::Path,
};

use super::{Source, SourceError, wav::WavSource};
use crate::audio::Format;

/// How a play begins: from the file's first sample.
type Begin = Box<dyn FnMut() -> Result<WavSource, SourceError> + Send>;

/// A [`WavSource`] that begins again at its end.
pub struct Looped {
    begin: Begin,
    bus: Format,
    source: WavSource,
    plays: u64,
    /// Plays to come after this one.
    left: u64,
    /// Whether this play gave a sample. One that does not would loop without end.
    sounded: bool,
    /// The error that ended the source, returned after all samples before it.
    fault: Option<SourceError>,
}

impl Looped {
    /// Opens the file, to be played `plays` times, at least once.
    ///
    /// # Errors
    /// As [`WavSource::open`].
    pub fn open(path: &Path, bus: Format, plays: u64) -> Result<Self, SourceError> {
        let path = path.to_owned();
        Self::new(Box::new(move || WavSource::open(&path, bus)), bus, plays)
    }

    /// The same of an open file; it stays the same if its name goes. Errors call it
    /// `path`.
    ///
    /// # Errors
    /// As [`WavSource::open`].
    pub(crate) fn of_file(
        file: File,
        path: &Path,
        bus: Format,
        plays: u64,
    ) -> Result<Self, SourceError> {
        let path = path.to_owned();
        let begin = move || {
            // One play at a time has its place in the file.
            let again = file.try_clone().and_then(|mut file| {
                file.rewind()?;
                Ok(file)
            });
            let again = again.map_err(|source| SourceError::Open {
                path: path.clone(),
                source,
            });
            WavSource::from_file(&path, again?, bus)
        };
        Self::new(Box::new(begin), bus, plays)
    }

    /// A pipe, which can be played once; errors call it `path`. Waits for its header.
    ///
    /// # Errors
    /// As [`WavSource::from_pipe`].
    pub fn of_pipe(file: File, path: &Path, bus: Format) -> Result<Self, SourceError> {
        let (path, mut file) = (path.to_owned(), Some(file));
        let begin = move || {
            // It has one play, so it begins once.
            let file = file.take().ok_or_else(|| SourceError::Open {
                path: path.clone(),
                source: io::ErrorKind::UnexpectedEof.into(),
            });
            WavSource::from_pipe(&path, file?, bus)
        };
        Self::new(Box::new(begin), bus, 1)
    }

    fn new(mut begin: Begin, bus: Format, plays: u64) -> Result<Self, SourceError> {
        let plays = plays.max(1);
        let source = begin()?;
        Ok(Self {
            begin,
            bus,
            source,
            plays,
            left: plays - 1,
            sounded: false,
            fault: None,
        })
    }

    /// Reads the next samples of this play, or goes on to the next play; false when there is no more.
    fn step(&mut self, out: &mut [i16], filled: &mut usize) -> Result<bool, SourceError> {
        let count = self.source.read(&mut out[*filled..])?;
        *filled += count;
        if count > 0 {
            self.sounded = true;
            return Ok(true);
        }
        if self.left == 0 || !self.sounded {
            return Ok(false);
        }
        self.left -= 1;
        self.sounded = false;
        self.source = (self.begin)()?;
        Ok(true)
    }
}

impl Source for Looped {
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let whole = out.len() - out.len() % usize::from(self.bus.channels());
        let out = &mut out[..whole];
        let mut filled = 0;
        // Frames stay whole across the loop: the next play fills what this one left.
        while filled < out.len() {
            match self.step(out, &mut filled) {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => {
                    // No play follows one that failed.
                    self.left = 0;
                    if filled == 0 {
                        return Err(fault);
                    }
                    self.fault = Some(fault);
                    break;
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    fn testdata(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata")
            .join(name)
    }

    fn bus(channels: u16) -> Format {
        Format::new(8000, channels).unwrap()
    }

    /// All samples, asked for `frame` at a time, and the error at the end.
    fn drain(source: &mut Looped, frame: usize) -> (Vec<i16>, Option<SourceError>) {
        let mut all = Vec::new();
        let mut out = vec![0; frame];
        loop {
            match source.read(&mut out) {
                Ok(0) => return (all, None),
                Ok(count) => all.extend_from_slice(&out[..count]),
                Err(error) => return (all, Some(error)),
            }
        }
    }

    fn wav(dir: &tempfile::TempDir, rate_hz: u32, samples: &[i16]) -> PathBuf {
        let path = dir.path().join("made.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: rate_hz,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for &sample in samples {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
        path
    }

    #[test]
    fn a_file_repeats_without_a_gap_whatever_the_frame_length() {
        let dir = tempfile::tempdir().unwrap();
        let samples: Vec<i16> = (1..=1003).collect();
        let path = wav(&dir, 8000, &samples);
        for frame in [1, 160, 1003, 5000] {
            let mut source = Looped::open(&path, bus(1), 3).unwrap();
            assert_eq!(source.length(), Some(3009));
            let (all, error) = drain(&mut source, frame);
            assert!(
                error.is_none() && all == samples.repeat(3),
                "frames of {frame}"
            );
            assert_eq!(source.read(&mut [0; 10]).unwrap(), 0);
        }
    }

    #[test]
    fn no_plays_are_one_play() {
        let path = testdata("tone-440-8000-mono-s16.wav");
        let mut source = Looped::open(&path, bus(1), 0).unwrap();
        assert_eq!(drain(&mut source, 160).0.len(), 8000);
    }

    #[test]
    fn half_a_sample_of_room_is_not_taken_for_the_end() {
        let path = testdata("tone-440-8000-stereo-s16.wav");
        let mut even = Looped::open(&path, bus(2), 2).unwrap();
        let mut odd = Looped::open(&path, bus(2), 2).unwrap();
        assert!(drain(&mut even, 320).0 == drain(&mut odd, 321).0);
    }

    #[test]
    fn samples_before_the_damage_come_first_then_the_error() {
        let mut source = Looped::open(&testdata("bad/truncated.wav"), bus(1), 5).unwrap();
        let (all, error) = drain(&mut source, 160);
        assert_eq!(all.len(), 1000);
        assert!(matches!(error, Some(SourceError::Truncated { .. })));
        assert_eq!(source.read(&mut [0; 160]).unwrap(), 0);
    }

    #[test]
    fn a_file_that_vanishes_ends_the_loop_after_its_samples() {
        let dir = tempfile::tempdir().unwrap();
        let path = wav(&dir, 8000, &[7; 250]);
        let mut source = Looped::open(&path, bus(1), 5).unwrap();
        fs::remove_file(&path).unwrap();
        let (all, error) = drain(&mut source, 160);
        assert_eq!(all, [7; 250]);
        assert!(matches!(error, Some(SourceError::Open { .. })));
        assert_eq!(source.read(&mut [0; 160]).unwrap(), 0);
    }

    #[test]
    fn a_file_shorter_than_one_bus_sample_does_not_loop_forever() {
        let dir = tempfile::tempdir().unwrap();
        let path = wav(&dir, 48_000, &[9]);
        let mut source = Looped::open(&path, bus(1), u64::MAX).unwrap();
        assert_eq!(source.length(), Some(0));
        assert_eq!(drain(&mut source, 160).0.len(), 0);
    }

    #[test]
    fn an_open_file_repeats_though_its_name_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let samples: Vec<i16> = (1..=1003).collect();
        let path = wav(&dir, 8000, &samples);
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let mut source = Looped::of_file(file, Path::new("made.wav"), bus(1), 3).unwrap();
        let (all, error) = drain(&mut source, 160);
        assert!(error.is_none() && all == samples.repeat(3));
    }
}
