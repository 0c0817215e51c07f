//! Samples become frames, one by one.

use flacenc::{
    bitsink::ByteSink,
    component::{self, BitRepr as _, FrameHeader, FrameOffset},
    config::Encoder,
    encode_fixed_size_frame,
    error::{Verified, Verify as _},
    source::{Fill as _, FrameBuf},
};

use super::{FlacError, StreamInfo};

/// Highest rate that flacenc takes for a stream; a frame's header is made here where it is higher.
const ENCODER_RATE_HZ_MAX: u32 = 96_000;
/// Highest rate that a frame's header says to 1 Hz.
const EXACT_RATE_HZ_MAX: u32 = u16::MAX as u32;

/// Makes the frames of one file. Allocates for each frame, some times its samples, and frees that again.
#[derive(Debug)]
pub struct FrameEncoder {
    config: Verified<Encoder>,
    info: component::StreamInfo,
    rate_hz: u32,
    channels: usize,
    samples: FrameBuf,
    sink: ByteSink,
}

impl FrameEncoder {
    /// For the frames behind this header.
    ///
    /// # Errors
    /// [`FlacError::Rate`].
    ///
    /// # Panics
    /// Never: flacenc takes each block length of [`StreamInfo::new`].
    pub fn new(header: &StreamInfo) -> Result<Self, FlacError> {
        let (rate_hz, channels) = (header.format.rate_hz(), header.format.channels());
        if rate_hz > EXACT_RATE_HZ_MAX && !rate_hz.is_multiple_of(10) {
            return Err(FlacError::Rate { rate_hz });
        }
        let mut config = Encoder::default();
        config.multithread = false;
        // Linear prediction takes four times as long, for 1 to 4 % of the bytes.
        config.subframe_coding.use_lpc = false;
        let channels = usize::from(channels);
        let encoder_rate_hz = rate_hz.min(ENCODER_RATE_HZ_MAX) as usize;
        Ok(Self {
            config: config.into_verified().expect("a config that flacenc has"),
            info: component::StreamInfo::new(encoder_rate_hz, channels, 16)
                .expect("a format that FLAC has"),
            rate_hz,
            channels,
            samples: FrameBuf::with_size(channels, header.block_samples.into())
                .expect("a block that FLAC has"),
            sink: ByteSink::new(),
        })
    }

    /// Appends the frame of this number, from 0, to `frames`: a block of samples, or fewer in the last frame of
    /// all. They are interleaved and little-endian.
    ///
    /// # Panics
    /// If `samples` are none, are not whole for all channels, or are more than a block; from 2^31 frames on, more
    /// than a header counts samples.
    pub fn encode(&mut self, number: u64, samples: &[u8], frames: &mut Vec<u8>) {
        let count = samples.len() / 2 / self.channels;
        assert!(
            count > 0 && count <= self.samples.size() && samples.len() == 2 * count * self.channels
        );
        let filled = self.samples.fill_le_bytes(samples, 2);
        filled.expect("samples fit their block");
        let number = number as usize;
        let frame = encode_fixed_size_frame(&self.config, &self.samples, number, &self.info);
        let mut frame = frame.expect("samples of 16 bits");
        if self.rate_hz > ENCODER_RATE_HZ_MAX {
            frame = self.with_rate(&frame, number);
        }
        self.sink.clear();
        let written = frame.write(&mut self.sink);
        written.expect("memory takes all bits");
        frames.extend_from_slice(self.sink.as_slice());
    }

    /// The same frame, at the rate of the file.
    fn with_rate(&self, frame: &component::Frame, number: usize) -> component::Frame {
        let header = frame.header();
        let header = FrameHeader::new(
            header.block_size(),
            header.channel_assignment().clone(),
            16,
            self.rate_hz as usize,
            FrameOffset::Frame(number as u32),
        );
        let header = header.expect("a rate that a frame's header has");
        let channels = (0..self.channels).filter_map(|channel| frame.subframe(channel).cloned());
        component::Frame::new(header, channels).expect("as many channels as before")
    }
}
