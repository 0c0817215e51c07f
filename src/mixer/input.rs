//! The playout of one stream: which of its samples belong to which block.
//!
//! The first frame plays at a tick that the mixer sets, or its media time is the mix's own
//! ([`Timing`]). From then on media time decides: each tick has a window of one block, and the input
//! plays the samples of that window, from one frame, from parts of several, or silence where there are
//! none. A frame partly used stays in the ring.
//!
//! Positions here are in interleaved samples of the stream's media time.

use std::sync::Arc;

use crate::{
    audio::{Format, Frame, FrameKind, Gain, meter},
    ledger::{Account, Fate, Incident, StreamState},
    queue::{Consumer, LeaseId},
};

use super::{ChannelStrip, NewInput, Timing, fader::Fader, monitor::Alone, output::Target};

/// After so many ticks without a sample, frames that come late are not late but a new beginning:
/// the sender's clock stood still or jumped back. Otherwise it would be mute for good.
const RESTART_AFTER_TICKS: u16 = 25;

/// A frame further ahead than this is a new beginning too: the sender's clock jumped. In blocks, and
/// beyond what the ring refused.
const JUMP_BLOCKS: u64 = 500;

/// Media time is cut to this, in interleaved samples, so that no window reaches the end of `u64`. A
/// whole number of samples of all channels, and out of the reach of any clock that counts from zero.
const POSITION_MAX: u64 = 1 << 62;

/// Most frames of a stream that was ended by command that a tick discards: more than come in a tick, and
/// few enough that a thousand full rings do not make it late.
const DISCARDED_FRAMES: usize = 64;

/// Two whole cache lines: with a thousand inputs a tick waits for memory, so values that all share are in
/// [`Moment`]. With 144 bytes across three lines a tick took 4 % longer.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Input {
    pub(super) lease: LeaseId,
    pub(super) account: Arc<Account>,
    /// How the mix names it as a contributor.
    pub(super) source: Option<u32>,
    /// Whether an output leaves it out, or a monitor hears it.
    pub(super) is_heard_apart: bool,
    /// Whether it was ended by command: its samples are discarded, once it has gone to silence.
    pub(super) is_ended_by_command: bool,
    channel_strip: Arc<ChannelStrip>,
    fader: Fader,
    /// Largest magnitude that it gave since the levels were refreshed.
    peak: u16,
    /// At which ticks that is.
    turn: u32,
    timing: Timing,
    /// How many ticks a new beginning waits before it plays.
    playout_delay_ticks: u32,
    /// The tick that plays the window's first block, once a first frame came.
    starts_at: u64,
    /// Where the next block begins.
    window: u64,
    /// Samples before it are settled: mixed, or late.
    position: u64,
    /// Once the oldest frame's sequence and checksum were looked at: its samples that are accounted for.
    head_used: Option<u32>,
    last_sequence: Option<u32>,
    /// Ticks in a row that found nothing to mix.
    empty_ticks: u16,
    pub(super) ended: bool,
}

/// The tick as its inputs see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) tick: u64,
    pub(super) soloing: bool,
    /// The group of inputs that refreshes its levels.
    pub(super) turn: u32,
    /// Samples per channel of a block.
    pub(super) instants: u32,
    /// Samples per channel that a change of gain takes.
    pub(super) ramp: u32,
}

/// The stream's samples in its window so far.
#[derive(Debug, Default)]
struct Given {
    /// Samples that came in time.
    served: u64,
    /// Samples that were added to the mix.
    heard: u64,
}

/// The result of one look at the oldest frame.
enum Step {
    /// The frame is done: ack it and look at the next.
    Next,
    /// The window is served, or the frame's time has not come.
    Wait,
    /// The frame begins a new run of media time at this position.
    Restart(u64),
}

const _: () = assert!(size_of::<Input>() == 128);

impl Input {
    /// `turns` is after how many ticks the levels are refreshed.
    pub(super) fn new(new: &NewInput, format: Format, turns: u64) -> Self {
        Self {
            lease: new.lease,
            account: Arc::clone(&new.account),
            source: new.source,
            is_heard_apart: new.output.is_some(),
            is_ended_by_command: false,
            channel_strip: Arc::clone(&new.channel_strip),
            fader: Fader::new(new.gain, format),
            peak: 0,
            turn: (new.lease.slot() as u64 % turns) as u32,
            timing: new.timing,
            playout_delay_ticks: u32::try_from(new.playout_delay_ticks).unwrap_or(u32::MAX),
            starts_at: 0,
            window: 0,
            position: 0,
            head_used: None,
            last_sequence: None,
            empty_ticks: 0,
            ended: false,
        }
    }

    pub(super) fn set_gain(&mut self, gain: Gain) {
        self.fader.gain = gain;
        self.channel_strip.set_gain(gain);
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.fader.muted = muted;
        self.channel_strip.set_muted(muted);
    }

    pub(super) fn end_by_command(&mut self) {
        self.is_ended_by_command = true;
        self.account.advance(StreamState::Ending);
        self.fader.close();
    }

    /// Whether all further samples are discarded.
    pub(super) fn is_discarded(&self) -> bool {
        self.is_ended_by_command && self.fader.is_silent()
    }

    /// Returns whether that changed anything.
    pub(super) fn set_solo(&mut self, solo: bool) -> bool {
        self.channel_strip.set_solo(solo);
        std::mem::replace(&mut self.fader.solo, solo) != solo
    }

    /// The stream is over, and its account settled.
    pub(super) fn tell_end(&self) {
        self.channel_strip.refresh(0, 0);
        self.account.advance(StreamState::Ended);
    }

    /// Begins the stream if a frame came, before this tick; the tick's block begins at `mix`: its playout
    /// delay later, or where the frame says. Returns false if there is no frame yet.
    pub(super) fn start(&mut self, consumer: &mut Consumer, tick: u64, mix: u64) -> bool {
        while let Some(message) = get(consumer, self.lease) {
            if let Ok(frame) = Frame::parse(&message) {
                match self.timing {
                    Timing::Arrival => {
                        let start = self.start_of(&frame);
                        self.begin(start, tick);
                    }
                    Timing::Clock => {
                        self.starts_at = tick;
                        self.window = mix;
                        self.position = mix;
                    }
                }
                self.account.advance(StreamState::Playing);
                return true;
            }
            // It carries no time.
            self.note_malformed();
            message.ack();
        }
        false
    }

    /// A message that is no frame is a damaged one. The samples it should have held are unknown;
    /// if they were offered, the ledger's equation shows it.
    fn note_malformed(&self) {
        self.account.note(Incident::ChecksumError, 1);
    }

    /// Begins at this position, the playout delay after this tick.
    fn begin(&mut self, position: u64, tick: u64) {
        self.starts_at = tick + u64::from(self.playout_delay_ticks);
        self.window = position;
        self.position = position;
        self.empty_ticks = 0;
        self.account.note(Incident::Segment, 1);
    }

    fn start_of(&self, frame: &Frame<'_>) -> u64 {
        let position = frame
            .media_time()
            .saturating_mul(u64::from(self.fader.channels));
        position.min(POSITION_MAX)
    }

    /// Whether the next block can be served in full, or never better than now: its samples wait in
    /// the ring, or nothing more will come.
    pub(super) fn has_window(&self, consumer: &mut Consumer, block: u64) -> bool {
        let end = self.window.saturating_add(block);
        // One frame is a block, mostly: look at the rest only where the first does not settle it.
        [1, usize::MAX].into_iter().any(|frames| {
            let batch = consumer.get_batch(self.lease, frames).expect(OURS);
            batch.iter().any(|message| {
                Frame::parse(message).is_ok_and(|frame| {
                    self.start_of(&frame)
                        .saturating_add(frame.samples().len() as u64)
                        >= end
                })
            })
        }) || consumer.is_closed(self.lease).expect(OURS)
    }

    /// Adds the next block of the stream to `target`, passes it to `alone` unchanged, and moves the window
    /// on. Returns whether any of it is heard. Never allocates, locks or enters the kernel.
    pub(super) fn play(
        &mut self,
        consumer: &mut Consumer,
        moment: Moment,
        target: &mut (impl Target + ?Sized),
        alone: Option<&mut Alone>,
    ) -> bool {
        let mut heard = false;
        if self.is_discarded() {
            self.discard_waiting(consumer);
        } else if moment.tick < self.starts_at {
            self.fader.rest(moment.soloing);
        } else {
            self.fader.begin(moment.soloing, moment.ramp);
            heard = self.play_window(consumer, moment, target, alone);
            self.fader.end(moment.instants);
        }
        if moment.turn == self.turn {
            // Not from the ring's counters: those lie in the other core's cache, and one input in five waiting for
            // them made a tick of a thousand 5 % dearer.
            let filled = consumer.filled(self.lease).expect(OURS);
            let peak = std::mem::take(&mut self.peak);
            self.channel_strip.refresh(peak, filled);
        }
        heard
    }

    fn play_window(
        &mut self,
        consumer: &mut Consumer,
        moment: Moment,
        target: &mut (impl Target + ?Sized),
        mut alone: Option<&mut Alone>,
    ) -> bool {
        let block = target.block() as u64;
        let mut given = Given::default();
        let drained = loop {
            let Some(message) = get(consumer, self.lease) else {
                break true;
            };
            let step = if let Ok(frame) = Frame::parse(&message) {
                let refused = message.dropped_before();
                self.step(&frame, refused, target, alone.as_deref_mut(), &mut given)
            } else {
                self.note_malformed();
                Step::Next
            };
            match step {
                Step::Next => {
                    message.ack();
                    self.head_used = None;
                }
                Step::Wait => break false,
                Step::Restart(position) => {
                    self.begin(position, moment.tick + 1);
                    return given.heard > 0;
                }
            }
        };
        self.ended = drained && consumer.is_finished(self.lease).expect(OURS);
        // Where the source places its frames, it knows what is missing, and says so. Of a stream that is
        // being ended nothing is missed.
        if self.timing == Timing::Arrival && !self.is_ended_by_command {
            // Silence after the last sample is the end, not a loss.
            let wanted = if self.ended {
                self.position - self.window
            } else {
                block
            };
            self.account.conceal(wanted - given.served);
        }
        self.empty_ticks = if given.served == 0 {
            self.empty_ticks.saturating_add(1)
        } else {
            0
        };
        self.window += block;
        self.position = self.position.max(self.window);
        given.heard > 0
    }

    /// Discards the frames that wait of a stream that was ended by command.
    fn discard_waiting(&mut self, consumer: &mut Consumer) {
        for _ in 0..DISCARDED_FRAMES {
            let Some(message) = get(consumer, self.lease) else {
                self.ended = consumer.is_finished(self.lease).expect(OURS);
                return;
            };
            if let Ok(frame) = Frame::parse(&message) {
                let used = u64::from(self.head_used.unwrap_or(0));
                let samples = frame.samples().len() as u64 - used;
                self.account.count(fate(&frame, Fate::Ended), samples);
            } else {
                self.note_malformed();
            }
            message.ack();
            self.head_used = None;
        }
    }

    /// Serves the window from the oldest frame, as far as it goes. The ring refused `refused` frames
    /// just before it.
    fn step(
        &mut self,
        frame: &Frame<'_>,
        refused: u32,
        target: &mut (impl Target + ?Sized),
        alone: Option<&mut Alone>,
        given: &mut Given,
    ) -> Step {
        let samples = frame.samples();
        let (start, len, block) = (
            self.start_of(frame),
            samples.len() as u64,
            target.block() as u64,
        );
        let (stop, end) = (start + len, self.window + block);
        // Frames that the ring refused are a loss with its place in time, however long, and no jump.
        let ahead = JUMP_BLOCKS * block + u64::from(refused) * len;
        if start >= end && (self.timing == Timing::Clock || start - end <= ahead) {
            return Step::Wait;
        }
        if self.head_used.is_none() && !self.check(frame) {
            return Step::Next;
        }
        let late = start < self.position && stop <= self.position;
        let stuck = late && self.empty_ticks >= RESTART_AFTER_TICKS;
        if self.timing == Timing::Arrival && (start >= end || stuck) {
            // The sender may have restarted its numbers.
            self.last_sequence = Some(frame.sequence());
            return Step::Restart(start);
        }
        // The unsettled part of this frame: [begin, stop).
        let begin = start + u64::from(self.head_used.unwrap_or(0));
        if begin < self.position {
            let before = |position: u64| stop.min(position).saturating_sub(begin);
            self.drop_late(frame.kind(), before(self.position), before(self.window));
        }
        let (from, to) = (begin.max(self.position), stop.min(end));
        if from < to {
            let part = &samples[(from - start) as usize..(to - start) as usize];
            let place = (from - self.window) as usize;
            self.peak = self.peak.max(meter::peak(part));
            if let Some(alone) = alone {
                alone.put(place, part);
            }
            let heard = self.fader.add(place, part, target) as u64;
            for (became, samples) in [(Fate::Mixed, heard), (Fate::Muted, to - from - heard)] {
                if samples > 0 {
                    self.account.count(fate(frame, became), samples);
                }
            }
            given.served += to - from;
            given.heard += heard;
            self.position = to;
        }
        if stop <= end {
            Step::Next
        } else {
            self.head_used = Some((to.max(begin) - start) as u32);
            Step::Wait
        }
    }

    /// Looks at a frame for the first time: sequence and checksum. Returns whether it may be played; what
    /// may not is counted.
    fn check(&mut self, frame: &Frame<'_>) -> bool {
        self.head_used = Some(0);
        let sequence = frame.sequence();
        if self.last_sequence == Some(sequence) {
            self.account.note(Incident::DuplicateFrame, 1);
            self.discard(frame, 0);
            return false;
        }
        if let Some(last) = self.last_sequence {
            // Ahead by less than half the numbers: a gap. Behind: out of order, which is no loss.
            let ahead = sequence.wrapping_sub(last);
            if ahead < u32::MAX / 2 {
                self.account
                    .note(Incident::SequenceGap, u64::from(ahead - 1));
                self.last_sequence = Some(sequence);
            }
        } else {
            self.last_sequence = Some(sequence);
        }
        if !frame.checksum_ok() {
            self.account.note(Incident::ChecksumError, 1);
            self.discard(frame, frame.samples().len() as u64);
            return false;
        }
        true
    }

    /// Counts samples of a frame that came after their playout; `missed` of them because their time had
    /// passed, the others because another frame had given them.
    fn drop_late(&self, kind: FrameKind, samples: u64, missed: u64) {
        self.drop(kind, Fate::DroppedLate, samples, missed);
    }

    /// Counts a frame that came twice or is damaged; `missed` of its samples play no more.
    fn discard(&self, frame: &Frame<'_>, missed: u64) {
        let samples = frame.samples().len() as u64;
        self.drop(frame.kind(), Fate::Discarded, samples, missed);
    }

    fn drop(&self, kind: FrameKind, fate: Fate, samples: u64, missed: u64) {
        match kind {
            // The samples it replaces were counted as missing when it was made.
            FrameKind::Concealment => self.account.count(Fate::Filled, samples),
            FrameKind::Audio => {
                self.account.count(fate, samples);
                // Its source placed it, and cannot know. Elsewhere each tick counts the samples it lacks.
                if self.timing == Timing::Clock {
                    self.account.conceal(missed);
                }
            }
        }
    }

    /// Samples that wait in the ring and are not accounted for, concealment included, by the ring's own
    /// counters.
    pub(super) fn in_ring(&self, consumer: &Consumer) -> u64 {
        let waiting = consumer.waiting(self.lease).expect(OURS);
        let headers = waiting.messages * crate::audio::frame::HEADER_BYTES as u64;
        // A frame may be published between the looks at the two counters, and a message that is no
        // frame may be shorter than a header.
        let samples = waiting.payload_bytes.saturating_sub(headers) / 2;
        samples.saturating_sub(u64::from(self.head_used.unwrap_or(0)))
    }
}

/// Only the mixer releases leases: those of its inputs are never stale.
pub(super) const OURS: &str = "an input's lease lives as long as the input";

/// The fate of this frame's samples, if a source's own would have `audio`: concealment is in no
/// term of the equation.
fn fate(frame: &Frame<'_>, audio: Fate) -> Fate {
    match frame.kind() {
        FrameKind::Concealment => Fate::Filled,
        FrameKind::Audio => audio,
    }
}

fn get(consumer: &mut Consumer, lease: LeaseId) -> Option<crate::queue::Message<'_>> {
    consumer.get(lease).expect(OURS)
}
