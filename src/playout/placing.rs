//! Places the blocks of the mix's ticks: from the line to the output.

use crate::stream::Stream;

use super::{AHEAD_BLOCKS, Playout, STEP_MS};

impl Playout {
    /// Places the block of this tick, and of those before it that were passed over. Does nothing for a
    /// tick that was topped up. Never allocates, but for what a converter grows by at first.
    pub fn top_up(&mut self, tick: u64, stream: &mut Stream) {
        if self.next_tick.is_some_and(|next| tick < next) {
            return;
        }
        self.next_tick = Some(tick + 1);
        if self.origin.is_none() {
            return;
        }
        let end = self.clock.start_of(tick + 1);
        let now_ns = self.clock.due_ns(tick);
        let correction = self.control.correction(now_ns, self.line.shift());
        self.line.steer(correction, self.accounting(stream));
        while self.output.reaches() < end {
            let missing = self.missing(end);
            self.decode_due((missing / self.channels) as u64, stream);
            if !self.play_plain(stream) {
                self.play(missing, stream);
            }
        }
        self.control.moved(self.line.moved(), now_ns);
        self.output.place_until(end, stream);
        self.play_ahead(end, stream);
        self.note_events(now_ns, stream);
    }

    fn note_events(&mut self, now_ns: u64, stream: &Stream) {
        self.cuts.look(stream.account(), &self.clock, now_ns, false);
        if let Some(ppm) = self.control.take_out_of_range()
            && let Some(network) = stream.account().network()
        {
            network.note(now_ns, format!("clock_out_of_range {ppm:.0} ppm"));
        }
    }

    /// Places whole blocks after `end` as far as their audio waits already, so that a thread that is late
    /// for the next tick, or for a few, costs nothing that came in time. Only what is in order: a gap
    /// waits to the last, and so does what a change of the delay may need.
    fn play_ahead(&mut self, end: u64, stream: &mut Stream) {
        let rates = self.output.rates();
        let block = self.clock.block_samples as u64;
        let spare = rates.to_bus(self.line.spare());
        let placed = self.output.at().saturating_sub(end);
        let blocks = |samples: u64| (samples / block).min(AHEAD_BLOCKS) * block;
        let far = end + blocks(placed + spare);
        while self.output.reaches() < far {
            let spare = self.line.spare() as usize * self.channels;
            let missing = self.missing(far).min(spare);
            if missing == 0 {
                // A converter holds some back.
                break;
            }
            if !self.play_plain(stream) {
                self.play(missing, stream);
            }
        }
        let whole = blocks(self.output.reaches().saturating_sub(end));
        self.output.place_until(end + whole, stream);
    }

    /// Plays up to so many samples, interleaved, of one kind.
    fn play(&mut self, samples: usize, stream: &mut Stream) {
        let accounting = self.accounting(stream);
        let (sound, count) = self.line.play(&mut self.piece[..samples], accounting);
        let samples = &self.piece[..count * self.channels];
        self.output.give(sound, samples, stream);
    }

    /// Makes the next block in the ring, if it is the sender's samples as they came. Whether it was.
    fn play_plain(&mut self, stream: &mut Stream) -> bool {
        let block = self.output.plain_block();
        let Some(block) = block.filter(|&block| self.line.is_plain(block)) else {
            return false;
        };
        self.output
            .place_plain(stream, |out| self.line.read_plain(out));
        self.line.pass_plain(block);
        true
    }

    /// How many samples to play next, interleaved: no more than the mix needs up to this index.
    fn missing(&self, end: u64) -> usize {
        let rates = self.output.rates();
        let mut missing = rates.to_source(end - self.output.at()).max(1);
        if self.output.converts() {
            // The converter does not say how much it needs for one output sample: small steps find out.
            missing = missing.min(self.samples(STEP_MS).max(1));
        }
        (missing as usize * self.channels).min(self.piece.len())
    }
}
