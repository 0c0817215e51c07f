//! Sources that begin while the server runs: sound that is made up, and files of the recordings folder.

use std::{path::Path, sync::Arc, time::Duration};

use super::{Admitted, FolderError, Handle, handle::Shared};
use crate::{
    audio::Gain,
    ledger::SourceKind,
    net::{Refused, StreamRequest},
    source::{
        Feed, FeedersEnded, Imperfection, Limited, Looped, Schedule, Source, SourceError,
        Synthetic, Waveform,
    },
    wire::id::{ID_BYTES_MAX, is_id},
};

/// Frequency of a tone that names none.
const TONE_HZ: f64 = 440.0;
/// Pitch of a voice that names none.
const PITCH_HZ: f64 = 120.0;
/// Quieter than a 16-bit sample can be.
const LEVEL_DBFS_MIN: f64 = -120.0;

/// The kind of a source.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceSpec {
    /// Sound that is made up.
    Synthetic {
        /// Its kind.
        waveform: Waveform,
        /// Its level, -120 to 0; the waveform says whether that is peak or RMS.
        level_dbfs: f64,
        /// A tone's frequency or a voice's pitch, above 0 and below half the rate; 440 and 120 Hz if none is
        /// given. The others have none.
        frequency_hz: Option<f64>,
        /// Equal seeds yield equal samples.
        seed: u64,
        /// How long it lasts; without end if nothing is said.
        duration: Option<Duration>,
    },
    /// A WAV file of the recordings folder.
    File {
        /// Its name, without a folder.
        name: String,
        /// Whether it begins again at its end, for ever.
        looped: bool,
    },
}

/// How the stream of a source joins the mix: all of it is in force before its first sample.
#[derive(Debug, Clone, Default)]
pub struct Joining {
    /// Its gain; the server's own if none is given.
    pub gain: Option<Gain>,
    /// The room that it is in: `main` if none is given.
    pub room: Option<String>,
    /// Whether it is muted.
    pub muted: bool,
}

/// Why a source is not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name of the stream.
    #[error(
        "a stream's name is 1 to {ID_BYTES_MAX} printable characters of ASCII without spaces, but not . or .."
    )]
    Id,
    /// The level is beyond what 16 bits hold, or no number.
    #[error("a level is {LEVEL_DBFS_MIN} to 0 dBFS")]
    Level,
    /// No such frequency can be heard at this rate.
    #[error("a frequency is above 0 Hz and below half the rate, {max_hz} Hz")]
    Frequency {
        /// Half the rate.
        max_hz: u32,
    },
    /// Nothing would be played.
    #[error("a source lasts for more than 0 s")]
    Duration,
    /// There is nowhere to read files from.
    #[error("this server has no folder to play files from: start it with --recordings DIR")]
    NoFolder,
    /// The name of the file, or the file.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The file's error.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// All rings are in use, or its room is not open.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The server has no threads for sources, or it is ending.
    #[error("no thread feeds streams any more: the server is ending")]
    Ended(#[from] FeedersEnded),
}

impl Handle {
    /// Starts a source as a stream of its own: it is played from the playout delay on, and fed in real time
    /// by one of the ingest threads. Reads the header of a file, and so may wait for the disk. A name that a
    /// running stream has gets a number behind it.
    ///
    /// # Errors
    /// [`StartError`]; then there is no stream.
    pub fn start_source(
        &self,
        spec: &SourceSpec,
        id: &str,
        joining: Joining,
    ) -> Result<Arc<Admitted>, StartError> {
        if self.is_done() {
            return Err(FeedersEnded.into());
        }
        self.shared().start_source(spec, id, joining)
    }
}

impl Shared {
    fn start_source(
        &self,
        spec: &SourceSpec,
        id: &str,
        joining: Joining,
    ) -> Result<Arc<Admitted>, StartError> {
        if !is_id(id) {
            return Err(StartError::Id);
        }
        let intake = self.intake.as_ref().ok_or(FeedersEnded)?;
        let (source, kind, from) = self.source(spec)?;
        let Joining { gain, room, muted } = joining;
        let (stream, admitted) = self.streams.open(StreamRequest {
            gain,
            room,
            muted,
            ..StreamRequest::new(id, kind, from)
        })?;
        let period = self.period();
        let schedule = Schedule::new(period, Duration::ZERO, Imperfection::default(), 0);
        intake.take(Feed::new(stream, source), schedule)?;
        Ok(admitted)
    }

    /// The source, its kind, and where it comes from, for people.
    fn source(
        &self,
        spec: &SourceSpec,
    ) -> Result<(Box<dyn Source>, SourceKind, String), StartError> {
        let format = self.settings.format;
        match spec {
            SourceSpec::Synthetic {
                waveform,
                level_dbfs,
                frequency_hz,
                seed,
                duration,
            } => {
                if !(LEVEL_DBFS_MIN..=0.0).contains(level_dbfs) {
                    return Err(StartError::Level);
                }
                let max_hz = format.rate_hz() / 2;
                let frequency_hz = frequency_hz.unwrap_or(match waveform {
                    Waveform::Speech => PITCH_HZ,
                    _ => TONE_HZ.min(f64::from(max_hz) / 2.0),
                });
                let audible = frequency_hz > 0.0 && frequency_hz < f64::from(max_hz);
                if !audible {
                    return Err(StartError::Frequency { max_hz });
                }
                let sound = Synthetic::new(format, *waveform, *seed, frequency_hz, *level_dbfs);
                let source: Box<dyn Source> = match duration {
                    None => Box::new(sound),
                    Some(Duration::ZERO) => return Err(StartError::Duration),
                    Some(duration) => {
                        let samples = duration.as_nanos() * u128::from(format.rate_hz());
                        let samples = samples.div_ceil(1_000_000_000);
                        let samples = u64::try_from(samples).unwrap_or(u64::MAX);
                        Box::new(Limited::new(sound, format.channels(), samples))
                    }
                };
                Ok((source, SourceKind::Synthetic, "synthetic".to_owned()))
            }
            SourceSpec::File { name, looped } => {
                let folder = self.recordings.folder().ok_or(StartError::NoFolder)?;
                let file = folder.read(name)?;
                let plays = if *looped { u64::MAX } else { 1 };
                let source = Looped::of_file(file, Path::new(name), format, plays)?;
                Ok((Box::new(source), SourceKind::File, format!("file {name}")))
            }
        }
    }
}
