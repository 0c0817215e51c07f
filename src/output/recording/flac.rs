//! A FLAC that grows: whole frames are appended, then its header is brought up to date.

use std::io::Write as _;

use super::{
    file::{Fault, RecordingFile},
    growing::Growing,
};
use crate::{
    audio::Format,
    wire::{
        flac::{FrameEncoder, HEADER_BYTES, SAMPLES_MAX, SampleMd5, StreamInfo},
        sidecar::{SampleDigest, SampleHash},
    },
};

/// A frame is at most as long as its samples and so many bytes more: its header, that of each channel, and a checksum.
const FRAME_BYTES_MORE: u64 = 32;

pub(super) struct GrowingFlac {
    file: RecordingFile,
    /// Counts the frames that the kernel took as a whole.
    info: StreamInfo,
    encoder: FrameEncoder,
    /// Samples without a frame that the kernel took, little-endian.
    waiting: Vec<u8>,
    /// Frames that are being written.
    frames: Vec<u8>,
    /// Bytes of the file up to the last whole frame.
    written_bytes: u64,
    md5: SampleMd5,
    hash: SampleHash,
    has_header: bool,
}

impl GrowingFlac {
    /// # Panics
    /// Never for a file that was opened at this format: its rate was checked then.
    pub(super) fn new(file: RecordingFile, format: Format) -> Self {
        let info = StreamInfo::new(format);
        let has_header = !file.is_stream();
        Self {
            encoder: FrameEncoder::new(&info).expect("the rate was checked as the file was opened"),
            file,
            info,
            waiting: Vec::new(),
            frames: Vec::new(),
            written_bytes: HEADER_BYTES as u64,
            md5: SampleMd5::default(),
            hash: SampleHash::default(),
            has_header,
        }
    }

    fn sample_bytes(&self) -> usize {
        2 * usize::from(self.info.format.channels())
    }

    /// Makes frames of the samples that wait: of whole blocks, or of all. Returns where each ends, and the bytes
    /// of its samples.
    fn encode(&mut self, all: bool) -> Vec<(usize, usize)> {
        let block_samples = usize::from(self.info.block_samples);
        let block_bytes = block_samples * self.sample_bytes();
        let number = self.info.samples / block_samples as u64;
        self.frames.clear();
        let mut ends = Vec::new();
        for (number, block) in (number..).zip(self.waiting.chunks(block_bytes)) {
            if block.len() == block_bytes || all {
                self.encoder.encode(number, block, &mut self.frames);
                ends.push((self.frames.len(), block.len()));
            }
        }
        ends
    }

    /// Counts the frames that are in the file as a whole.
    fn count(&mut self, ends: &[(usize, usize)], taken: usize) {
        let sample_bytes = self.sample_bytes();
        let (mut from, mut samples) = (0, 0);
        for &(end, block_bytes) in ends.iter().take_while(|(end, _)| *end <= taken) {
            let block = &self.waiting[samples..samples + block_bytes];
            self.md5.update_bytes(block);
            self.hash.update_bytes(block);
            self.info.samples += (block_bytes / sample_bytes) as u64;
            let bytes = (end - from) as u32;
            let [shortest, longest] = self.info.frame_bytes.unwrap_or([bytes; 2]);
            self.info.frame_bytes = Some([shortest.min(bytes), longest.max(bytes)]);
            (from, samples) = (end, samples + block_bytes);
        }
        self.waiting.drain(..samples);
        self.written_bytes += from as u64;
        if self.info.samples > 0 {
            self.info.md5 = self.md5.digest();
        }
    }

    fn write(&mut self, all: bool) -> Result<(), Fault> {
        self.check()?;
        if !self.has_header {
            self.file.as_file().write_all(&self.info.to_bytes())?;
            self.has_header = true;
        }
        let ends = self.encode(all);
        let (taken, written) = self.file.write(&self.frames, self.written_bytes);
        self.count(&ends, taken);
        written?;
        self.put_header()
    }

    fn put_header(&self) -> Result<(), Fault> {
        if !self.file.is_stream() {
            self.file.put_header(&self.info.to_bytes())?;
        }
        Ok(())
    }
}

impl Growing for GrowingFlac {
    fn file(&self) -> &RecordingFile {
        &self.file
    }

    fn push(&mut self, samples: &[i16]) {
        let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
        self.waiting.extend(bytes);
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.write(false)
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.write(true)
    }

    fn check(&self) -> Result<(), Fault> {
        let checked = self.file.check_unchanged(self.written_bytes)?;
        checked.map_err(Fault::Changed)
    }

    fn salvage(&mut self) -> Option<u64> {
        if !self.file.is_stream() {
            let own = self.file.as_file();
            if own.metadata().ok()?.len() < self.written_bytes {
                return None;
            }
            self.put_header().ok()?;
            // The header says where the samples end, whether or not this is done.
            let _ = own.set_len(self.written_bytes);
        }
        Some(self.written_samples())
    }

    fn written_samples(&self) -> u64 {
        self.info.samples * u64::from(self.info.format.channels())
    }

    fn file_bytes(&self) -> u64 {
        self.written_bytes
    }

    fn bytes_max(&self, samples: u64) -> u64 {
        let block = u64::from(self.info.block_samples) * u64::from(self.info.format.channels());
        let new = samples.saturating_sub(self.written_samples());
        self.written_bytes + 2 * new + (new / block + 2) * FRAME_BYTES_MORE
    }

    fn samples_max(&self) -> u64 {
        if self.file.is_stream() {
            u64::MAX
        } else {
            SAMPLES_MAX * u64::from(self.info.format.channels())
        }
    }

    fn sha256(&self) -> SampleDigest {
        self.hash.digest()
    }
}
