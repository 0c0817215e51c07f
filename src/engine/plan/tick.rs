//! The time of a tick in which all streams play, by ticks of the mixer that are run just now.
//!
//! It grows with the streams, each of which is a ring to visit, and with the rooms that have streams, each of which is a
//! bus. So a mixer of as many of both as the plan has, or of a part of both, mixes a few ticks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{PlanRequest, cost::sample_bytes};
use crate::{
    audio::{FrameHeader, FrameMut, frame::frame_bytes},
    ledger::Account,
    mixer::{Command, Mixer, NewInput, Room, RoomId, Settings},
    queue::{BuildError, Host, Pool, PoolPlan, Producer},
};

/// Streams of the sample, at most.
const STREAMS_MAX: usize = 1000;
/// Ticks of which the median counts, ...
const TICKS: usize = 33;
/// ... but none begins later than this.
const BUDGET: Duration = Duration::from_millis(100);
/// So quiet that no room limits.
const SAMPLE: i16 = 20;

/// The estimate, and its source.
#[derive(Debug)]
pub(super) struct TickCost {
    pub(super) ns: Option<u64>,
    /// One sentence.
    pub(super) basis: String,
}

/// Runs some ticks and scales their median up. Takes about 100 ms and 16 MiB at most.
pub(super) fn estimate(request: &PlanRequest, host: &Host) -> TickCost {
    let sample = Sample::of(request, host);
    match sample.tick() {
        Ok(tick) => TickCost {
            ns: Some((tick.as_nanos() as f64 * sample.scale(request)) as u64),
            basis: format!(
                "A tick is estimated from streams that all play and rooms that do not limit ({} and {}, mixed just now); \
                 rings that are longer than the caches take longer.",
                sample.streams, sample.rooms
            ),
        },
        Err(error) => TickCost {
            ns: None,
            basis: format!("The time of a tick is not known: {error}."),
        },
    }
}

/// A part of the plan's streams and rooms.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    streams: usize,
    rooms: usize,
    ring_bytes: usize,
    mixing: Settings,
}

impl Sample {
    fn of(request: &PlanRequest, host: &Host) -> Self {
        let bytes = sample_bytes(host);
        let ring_bytes = PoolPlan::ring_bytes_for(1, request.audio.frame_bytes())
            .unwrap_or(request.plan.ring_bytes);
        let streams = request.plan.slots;
        let sampled = streams.min(STREAMS_MAX).min(bytes / ring_bytes).max(1);
        // A room without streams costs a tick nothing.
        let rooms = request.rooms.min(streams) * sampled / streams;
        Self {
            streams: sampled,
            rooms: rooms.max(1),
            ring_bytes,
            mixing: request.mixing(),
        }
    }

    fn scale(&self, request: &PlanRequest) -> f64 {
        request.plan.slots as f64 / self.streams as f64
    }

    /// The median of some ticks.
    fn tick(&self) -> Result<Duration, BuildError> {
        let (mut mixer, mut producers) = self.mixer()?;
        let deadline = Instant::now() + BUDGET;
        let mut times = Vec::with_capacity(TICKS);
        while times.len() < TICKS && (times.is_empty() || Instant::now() < deadline) {
            let tick = mixer.next_tick();
            for producer in &mut producers {
                self.publish(tick, producer);
            }
            mixer.collect();
            let begun = Instant::now();
            mixer.tick(tick);
            mixer.send_feeds();
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        Ok(times[times.len() / 2])
    }

    /// A mixer, and the producers of its streams, which are spread over its rooms.
    fn mixer(&self) -> Result<(Mixer, Vec<Producer>), BuildError> {
        let pool = Pool::builder()
            .slots(self.streams)
            .ring_bytes(self.ring_bytes)
            .polled(true);
        let (pool, consumer) = pool.build()?;
        let mut mixer = Mixer::new(self.mixing, consumer);
        let ids: Vec<_> = (0..self.rooms as u32)
            .map(|slot| RoomId::new(slot, 0))
            .collect();
        for &id in ids.iter().filter(|id| **id != RoomId::MAIN) {
            mixer.apply(Command::OpenRoom(Box::new(Room::new(id, &self.mixing))));
        }
        let mut producers = Vec::with_capacity(self.streams);
        for (number, &room) in (0..self.streams).zip(ids.iter().cycle()) {
            let producer = pool.acquire().expect("a ring for each stream");
            let account = Arc::new(Account::new(number.to_string()));
            let new = NewInput::new(producer.lease(), account).room(room);
            mixer.apply(Command::Admit(new));
            producers.push(producer);
        }
        Ok((mixer, producers))
    }

    /// A stream's block of a tick.
    fn publish(&self, tick: u64, producer: &mut Producer) {
        let block = self.mixing.block_samples;
        let samples = block * usize::from(self.mixing.format.channels());
        let bytes = frame_bytes(samples);
        let mut reservation = producer.reserve(bytes).expect("room for a frame");
        let mut frame = FrameMut::new(&mut reservation).expect("a message of a frame's length");
        frame.samples_mut().fill(SAMPLE);
        frame.seal(FrameHeader::new(tick * block as u64, block));
        reservation.commit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audio::Format, engine::plan::PlanAudio, playout::PlayoutSettings};

    fn request(streams: usize, rooms: usize, ptime_ms: u64) -> PlanRequest {
        let format = Format::new(48_000, 2).unwrap();
        PlanRequest {
            plan: PoolPlan::new(streams, 1 << 20).unwrap(),
            audio: PlanAudio::new(format, Duration::from_millis(ptime_ms)).unwrap(),
            rooms,
            chosen_for: None,
            lock: false,
            huge_pages: false,
            playout: PlayoutSettings::default(),
        }
    }

    #[test]
    fn a_sample_keeps_the_share_of_rooms_and_its_bounds() {
        let mut host = Host::detect();
        host.memory_bytes = Some(1 << 40);
        let of = |streams, rooms, host: &Host| {
            let sample = Sample::of(&request(streams, rooms, 20), host);
            (sample.streams, sample.rooms)
        };
        assert_eq!(of(10, 1, &host), (10, 1));
        assert_eq!(of(10, 100, &host), (10, 10), "the others are empty");
        assert_eq!(of(100_000, 50_000, &host), (1000, 500));
        host.memory_bytes = Some(1 << 20);
        let (streams, rooms) = of(1000, 500, &host);
        assert_eq!((streams, rooms), (16, 8), "64 KiB of rings of 4 KiB");
    }

    #[test]
    fn every_stream_plays_in_its_room() {
        let request = request(6, 3, 20);
        let sample = Sample::of(&request, &Host::detect());
        let (mut mixer, mut producers) = sample.mixer().unwrap();
        for producer in &mut producers {
            sample.publish(0, producer);
        }
        mixer.collect();
        mixer.tick(0);
        assert_eq!(mixer.mixed_in_rooms(), 6 * 1920);
        let main = mixer.main_strip().mixed();
        assert_eq!(main, 2 * 1920, "a third of the streams");
    }

    #[test]
    fn a_tick_of_twice_the_streams_is_scaled_up() {
        let sample = Sample::of(&request(4000, 1, 20), &Host::detect());
        assert!((sample.scale(&request(4000, 1, 20)) - 4.0).abs() < 1e-9);
        let cost = estimate(&request(10, 2, 20), &Host::detect());
        assert!(cost.ns.is_some_and(|ns| ns > 0), "{}", cost.basis);
        assert!(cost.basis.contains("(10 and 2,"), "{}", cost.basis);
    }
}
