//! A stream as a test plays it.

use super::*;

/// The sending end of one stream, that can do everything wrong.
pub struct TestStream {
    pub producer: Producer,
    pub account: Arc<Account>,
    pub(super) channels: usize,
    pub(super) delay: u64,
    pub(super) next_tick: Arc<AtomicU64>,
    /// Where the next block that is [said](Self::say) begins.
    pub(super) next: Option<u64>,
}

impl TestStream {
    pub fn lease(&self) -> LeaseId {
        self.producer.lease()
    }

    pub(super) fn input(&self) -> NewInput {
        NewInput::new(self.lease(), Arc::clone(&self.account))
    }

    pub fn entry(&self) -> Entry {
        self.account.read()
    }

    /// Where the next block begins: at first, a delay after the next tick.
    pub fn next(&mut self) -> u64 {
        *self.next.get_or_insert_with(|| {
            self.account.begin_segment();
            self.next_tick.load(Ordering::Relaxed) * BLOCK as u64 + self.delay
        })
    }

    /// Sends the samples as the next blocks in order, the last of them short if they do not fill it; false if the
    /// ring refused any.
    pub fn say(&mut self, samples: &[i16]) -> bool {
        let mut published = true;
        for block in samples.chunks(BLOCK * self.channels) {
            let next = self.next();
            published &= self.place(next, block);
            self.skip(1);
        }
        published
    }

    /// [`say`](Self::say), and the ring takes them all.
    pub fn say_all(&mut self, samples: &[i16]) {
        assert!(self.say(samples), "the ring is full");
    }

    /// The next blocks never come: their time passes.
    pub fn skip(&mut self, blocks: u64) {
        self.next = Some(self.next() + blocks * BLOCK as u64);
    }

    /// Sends the last block again.
    pub fn repeat(&mut self, samples: &[i16]) -> bool {
        let next = self.next();
        self.place(next - BLOCK as u64, samples)
    }

    /// Sends samples to this place in the mix.
    pub fn place(&mut self, first: u64, samples: &[i16]) -> bool {
        self.send(self.given(first, samples), samples, 0)
    }

    /// The same after a pause.
    pub fn place_after_pause(&mut self, first: u64, samples: &[i16]) -> bool {
        let header = FrameHeader {
            after_pause: true,
            ..self.given(first, samples)
        };
        self.send(header, samples, 0)
    }

    /// Sends samples of which none is the sender's.
    pub fn conceal(&mut self, first: u64, samples: &[i16]) -> bool {
        self.send(FrameHeader::new(first, 0), samples, 0)
    }

    /// [`place`](Self::place), with a bit of the last sample flipped after the frame was sealed.
    pub fn place_damaged(&mut self, first: u64, samples: &[i16]) -> bool {
        self.send(self.given(first, samples), samples, 0x10)
    }

    fn given(&self, first: u64, samples: &[i16]) -> FrameHeader {
        FrameHeader::new(first, samples.len() / self.channels)
    }

    /// Sends any frame at all, with these bits of its last byte flipped; false if the ring is full.
    pub fn send(&mut self, header: FrameHeader, samples: &[i16], flip: u8) -> bool {
        let bytes = frame_bytes(samples.len());
        let given = u64::from(header.given) * self.channels as u64;
        self.account.offer(given);
        if !self.producer.has_room(bytes) {
            self.producer.count_drop(bytes);
            self.account.settle_dropped(given);
            self.account.miss(given);
            let (first, given) = (header.first, header.given.into());
            let end = first + (samples.len() / self.channels) as u64;
            self.account
                .note_gap(GapKind::DroppedFull, first, end, given);
            return false;
        }
        self.account.fill(samples.len() as u64 - given);
        self.producer
            .publish_with(bytes, |message| {
                let mut frame = FrameMut::new(message).unwrap();
                frame.samples_mut().copy_from_slice(samples);
                frame.seal(header);
                message[bytes - 1] ^= flip;
            })
            .unwrap();
        self.account.settle();
        true
    }

    /// Nothing more will come. The account stays.
    pub fn close(self) -> Arc<Account> {
        self.producer.close();
        self.account
    }
}
