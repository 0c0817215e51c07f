//! One RTP stream on its way in: from packets in their order to samples in its playout.
//!
//! Finds out what a packet's payload is, and extends its number and time. The [`Playout`] judges whether the packet
//! is new, and when its samples play.

use std::{net::SocketAddr, sync::Arc};

mod payload;
mod return_path;
mod returning;

pub(super) use return_path::{ReturnPath, goodbye};

use super::{
    Key, Shared,
    table::{Succession, Unheard},
    telephone::Presses,
    timing::{Jitter, Steps, Timestamps},
};
use crate::{
    audio::Format,
    ledger::Packet as Count,
    net::{
        Expected,
        overload::{SHED, TAKEN_BACK},
        quota::Share,
        sequence::{MAX_DROPOUT, Sequence},
    },
    playout::{Playout, Verdict},
    queue::prefetch_to_write,
    stream::Stream,
    wire::{
        label::Label,
        payload::AudioPayload,
        rtcp::{Report, SenderInfo},
        rtp::Packet,
    },
};

/// A stream has another name so often at most.
const NAME_PERIOD_NS: u64 = 1_000_000_000;

/// Events of a stream that are logged.
const LOGGED_EVENTS_MAX: u32 = 256;

/// By how much more than the time that passed the time stamps may go on where a stream changes its port.
const MOVE_SLACK_NS: u64 = 1_000_000_000;

/// One stream.
pub(super) struct RtpStream {
    pub key: Key,
    /// The receiver's count of datagrams at its admission: the later, the younger.
    pub admitted: u64,
    /// When the last packet or report came.
    pub last_ns: u64,
    /// The receiver's count of datagrams at the last packet that was ahead of all before it.
    pub last_count: u64,
    /// How long the last packet of audio was.
    pub packet_ns: u64,
    /// The same in interleaved samples of the mix, as the account counts.
    packet_samples: u64,
    /// The port that it came from before.
    pub moved_from: Option<SocketAddr>,
    /// It closes when it has played what waits, unless its sender goes on.
    pub ending: bool,
    /// It ends because its sender said so.
    pub said_bye: bool,
    /// Packets ahead of all before it that came since it began to end.
    since_end: u32,
    stream: Stream,
    /// Its part of what its address may have.
    _share: Share,
    sequence: Sequence,
    timestamps: Option<Timestamps>,
    jitter: Option<Jitter>,
    steps: Steps,
    sound: Option<Sound>,
    presses: Presses,
    events_logged: u32,
    /// Bit `n` is set if the log has that type `n` is not decoded.
    warned: u128,
    /// Packets came since the figures were brought up to date.
    stale: bool,
    /// The middle of the last sender report's time, and when it came.
    sender_report: Option<(u32, u64)>,
    /// The checksum of the name that its sender said last, and when a name may be another.
    said_name: (u32, u64),
    /// Its announcement, if there was one.
    pub expected: Option<Arc<Expected>>,
    /// The mix that goes back, if it does.
    pub return_path: Option<Box<ReturnPath>>,
}

/// How the stream sounds at present.
struct Sound {
    payload: AudioPayload,
    /// Of the samples.
    format: Format,
    playout: Playout,
}

impl RtpStream {
    /// A stream that was proved by the packet after this one, which is still to be given to
    /// [`packet`](Self::packet).
    pub(crate) fn new(
        key: Key,
        stream: Stream,
        share: Share,
        first: u16,
        at_ns: u64,
        count: u64,
    ) -> Self {
        Self {
            key,
            admitted: count,
            last_ns: at_ns,
            packet_ns: 0,
            packet_samples: 0,
            last_count: count,
            moved_from: None,
            ending: false,
            said_bye: false,
            since_end: 0,
            stream,
            _share: share,
            sequence: Sequence::new(first),
            timestamps: None,
            jitter: None,
            steps: Steps::default(),
            sound: None,
            presses: Presses::default(),
            events_logged: 0,
            warned: 0,
            stale: true,
            sender_report: None,
            said_name: (0, 0),
            expected: None,
            return_path: None,
        }
    }

    /// Its sender says what people call it, every few seconds: only another name costs a lock and an allocation, and
    /// there is one a second at most.
    pub(crate) fn say_name(&mut self, name: &[u8], now_ns: u64) {
        let (said, not_before) = self.said_name;
        let sum = crc32fast::hash(name);
        if sum == said || now_ns < not_before {
            return;
        }
        self.said_name = (sum, now_ns + NAME_PERIOD_NS);
        if let Some(label) = Label::cleaned(name) {
            self.stream.account().label().say(label.into());
        }
    }

    /// The name in the report.
    pub(crate) fn id(&self) -> &str {
        self.stream.id()
    }

    /// Asks for what a packet and a tick read to find their samples, and for what they count.
    pub(crate) fn prefetch(&self) {
        if let Some(network) = self.stream.account().network() {
            prefetch_to_write(network);
        }
        if let Some(sound) = &self.sound {
            sound
                .playout
                .waiting()
                .inspect(|&run| prefetch_to_write(run));
        }
    }

    /// Asks for the memory of the next packet's samples.
    pub(crate) fn prefetch_packet(&self) {
        if let Some(sound) = &self.sound {
            let samples = self.packet_ns * u64::from(sound.format.rate_hz()) / 1_000_000_000;
            prefetch_to_write(sound.playout.memory_to_insert(samples));
        }
    }

    /// Asks for the memory of the next block, in the jitter buffer and in the ring.
    pub(crate) fn prefetch_tick(&self) {
        self.stream.prefetch();
        if let Some(sound) = &self.sound {
            prefetch_to_write(sound.playout.memory_to_play());
        }
    }

    /// Another source takes the stream over, as a new segment of it, which begins with a packet of this number, still
    /// to be given to [`packet`](Self::packet).
    pub(crate) fn take_over(&mut self, ssrc: u32, first: u16) {
        self.key.ssrc = ssrc;
        self.sender_report = None;
        self.sequence.restart(self.sequence.extend(first));
        self.begin_segment();
    }

    /// The number furthest ahead, of 16 bits.
    pub(crate) fn highest(&self) -> u16 {
        self.sequence.highest() as u16
    }

    /// A packet of the stream, the receiver's `count`-th datagram. Allocates nothing but where a stream changes its
    /// payload, or may be about to start over.
    pub(crate) fn packet(
        &mut self,
        packet: &Packet<'_>,
        at_ns: u64,
        count: u64,
        shared: &mut Shared,
    ) {
        let number = self.receive(packet.sequence, at_ns);
        let ahead = number.saturating_sub(self.sequence.highest());
        let verdict = self.deliver(packet, number, at_ns, shared);
        let Some(overtaken) = self.sequence.count(number, verdict) else {
            return;
        };
        if let Some(path) = &mut self.return_path {
            path.came(ahead, self.packet_ns, at_ns);
        }
        if overtaken {
            self.count(Count::Reordered);
        } else {
            self.last_count = count;
        }
        if self.ending {
            self.after_end(verdict, overtaken, at_ns);
        }
    }

    /// A packet came, with any fate. Returns its number, extended.
    fn receive(&mut self, number: u16, at_ns: u64) -> u64 {
        self.last_ns = at_ns;
        self.stale = true;
        self.count(Count::Received);
        self.sequence.extend(number)
    }

    /// Packets that came are discarded, for want of time. Their numbers are not missing.
    pub(crate) fn leave_out(&mut self, unheard: Unheard) {
        for before in (0..unheard.packets).rev() {
            let number = self.receive(unheard.last.wrapping_sub(before), unheard.at_ns);
            if number.abs_diff(self.sequence.highest()) > MAX_DROPOUT.into() {
                self.sequence.restart(number);
            }
            self.sequence.count(number, Verdict::Taken);
        }
        self.stream.shed(unheard.samples, unheard.at_ns);
    }

    /// Sheds the stream: its waiting audio is discarded. Its packets are [left out](Self::leave_out) from now on.
    pub(crate) fn shed(&mut self, now_ns: u64, shared: &mut Shared) {
        self.abandon(shared);
        self.stream.account().shed(true);
        self.note_event(SHED, now_ns);
    }

    /// The stream plays again, from its next packet on.
    pub(crate) fn take_back(&mut self, now_ns: u64) {
        self.timestamps = None;
        self.jitter = None;
        self.stream.account().shed(false);
        self.note_event(TAKEN_BACK, now_ns);
    }

    /// A packet came and was taken after the end. One that is ahead of all before may have been overtaken by
    /// the goodbye; two show that the sender goes on.
    fn after_end(&mut self, verdict: Verdict, overtaken: bool, at_ns: u64) {
        self.since_end += match verdict {
            Verdict::Begins { first: Some(_) } => 2,
            _ => u32::from(!overtaken),
        };
        if self.since_end >= 2 {
            self.ending = false;
            self.said_bye = false;
            self.note("goes on", at_ns);
        } else if let Some(sound) = &mut self.sound {
            sound.playout.end(&mut self.stream);
        }
    }

    /// Whether another source, or the same from another port, may succeed: not before a packet is overdue.
    pub(crate) fn succession(&self, slot: usize, now_ns: u64) -> Succession {
        if now_ns.saturating_sub(self.last_ns) < self.packet_ns * 3 / 2 {
            Succession::Open
        } else {
            Succession::Of(slot)
        }
    }

    /// Whether number and time of a packet go on where the last one was.
    pub(crate) fn goes_on_with(&self, packet: &Packet<'_>, now_ns: u64) -> bool {
        let (Some(timestamps), Some(sound)) = (self.timestamps, &self.sound) else {
            return false;
        };
        let passed_ns = now_ns.saturating_sub(self.last_ns) + MOVE_SLACK_NS;
        let passed =
            u128::from(passed_ns) * u128::from(sound.payload.clock.rate_hz()) / 1_000_000_000;
        let ahead = packet.sequence.wrapping_sub(self.highest());
        let later = timestamps.ahead(packet.timestamp);
        (1..MAX_DROPOUT).contains(&ahead) && later >= 0 && later as u128 <= passed
    }

    /// A packet of the source that this stream had before, which was sent before the change.
    pub(crate) fn straggler(&mut self, packet: &Packet<'_>, shared: &Shared) {
        self.count(Count::Received);
        self.count(Count::Late);
        if let Some(samples) = shared.samples_in(packet) {
            self.stream.account().offer(samples);
            self.stream.account().settle_late(samples);
        }
    }

    /// Places the stream's audio for this tick. Never allocates.
    pub(crate) fn before_tick(&mut self, tick: u64, shared: &mut Shared) {
        if let Some(sound) = &mut self.sound {
            sound.playout.top_up(tick, &mut self.stream);
        }
        self.report_undecodable(shared);
        self.bring_up_to_date();
    }

    /// Writes the figures of what came into the account.
    fn bring_up_to_date(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let (expected, lost) = self.sequence.totals();
        if let Some(network) = self.stream.account().network() {
            network.set_expected(expected, lost, self.packet_samples);
            network.set_last_packet(self.last_ns);
            if let Some(jitter) = &self.jitter {
                network.set_jitter(jitter.time());
            }
        }
    }

    /// Nothing more should come: what waits is still played.
    pub(crate) fn end(&mut self) {
        self.ending = true;
        self.since_end = 0;
        if let Some(path) = &mut self.return_path {
            path.stop();
        }
        if let Some(sound) = &mut self.sound {
            sound.playout.end(&mut self.stream);
        }
    }

    /// Whether its end was commanded.
    pub(crate) fn is_ending(&self) -> bool {
        self.stream.is_ending()
    }

    /// Whether it has ended and played what there was.
    pub(crate) fn is_done(&self) -> bool {
        self.ending
            && self
                .sound
                .as_ref()
                .is_none_or(|sound| sound.playout.is_empty())
    }

    /// The mix ends, or the stream by command: what waits plays no more, and is accounted for.
    pub(crate) fn close(&mut self, shared: &mut Shared) {
        self.bring_up_to_date();
        self.abandon(shared);
    }

    fn abandon(&mut self, shared: &mut Shared) {
        self.report_undecodable(shared);
        if let Some(mut sound) = self.sound.take() {
            sound.playout.abandon(&mut self.stream);
        }
    }

    /// Takes the report of the stream's sender.
    pub(crate) fn sender_report(&mut self, info: &SenderInfo, at_ns: u64) {
        self.sender_report = Some((info.ntp_middle(), at_ns));
    }

    /// The report to the stream's sender.
    pub(crate) fn report(&mut self, now_ns: u64) -> Report {
        let numbers = self.sequence.report();
        let (last, since) = match self.sender_report {
            None => (0, 0),
            Some((ntp_middle, at_ns)) => {
                let since = u128::from(now_ns.saturating_sub(at_ns)) << 16;
                (ntp_middle, (since / 1_000_000_000) as u32)
            }
        };
        Report {
            ssrc: self.key.ssrc,
            fraction_lost: numbers.fraction_lost,
            lost: numbers.cumulative_lost,
            highest_sequence: numbers.highest,
            jitter: self.jitter.as_ref().map_or(0, Jitter::units),
            last_sender_report: last,
            since_last_sender_report: since,
        }
    }

    /// Notes an event, in the account and the log. Locks and allocates.
    pub(crate) fn note(&mut self, what: &str, at_ns: u64) {
        self.note_event(what, at_ns);
        if self.events_logged < LOGGED_EVENTS_MAX {
            self.events_logged += 1;
            tracing::info!(stream = self.id(), "{what}");
        }
    }

    /// Notes an event in the account alone: of many streams at once, each in the log would cost more than they do.
    fn note_event(&self, what: &str, at_ns: u64) {
        if let Some(network) = self.stream.account().network() {
            network.note(at_ns, what);
        }
    }

    fn count(&self, what: Count) {
        if let Some(network) = self.stream.account().network() {
            network.count(what);
        }
    }

    /// The sender's clock restarts.
    fn begin_segment(&mut self) {
        self.timestamps = None;
        if let Some(jitter) = &mut self.jitter {
            jitter.restart();
        }
        if let Some(sound) = &mut self.sound {
            sound.playout.restart(&mut self.stream);
        }
    }
}
