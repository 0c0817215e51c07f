use std::sync::atomic::{AtomicUsize, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proptest::prelude::*;

use super::*;
use crate::audio::{FrameHeader, FrameMut};

const BLOCK: usize = 160;
const CHUNK: Duration = Duration::from_millis(100);

fn live() -> (Live, Producer) {
    Live::new(Format::new(8_000, 1).unwrap(), BLOCK).unwrap()
}

/// Acts as the mixer: a frame, or a drop if the ring is full.
fn publish(producer: &mut Producer, at: u64, samples: &[i16]) {
    let bytes = frame_bytes(samples.len());
    let Ok(mut reservation) = producer.reserve(bytes) else {
        return producer.count_drop(bytes);
    };
    let mut frame = FrameMut::new(&mut reservation).unwrap();
    frame.samples_mut().copy_from_slice(samples);
    frame.seal(FrameHeader::new(at, 0));
    reservation.commit();
}

fn readable(live: &Live) -> bool {
    let mut fds = [PollFd::new(live.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
}

/// The samples `from..to` of a mix that counts its own indices.
fn ramp(from: u64, to: u64) -> Vec<i16> {
    (from..to).map(|index| index as i16).collect()
}

/// A block of it.
fn block(number: u64) -> (u64, Vec<i16>) {
    let at = number * BLOCK as u64;
    (at, ramp(at, at + BLOCK as u64))
}

fn decoded(chunk: &Chunk) -> Vec<i16> {
    let mut samples = vec![0; chunk.bytes.len() / 2];
    crate::audio::Encoding::S16Le.decode(&chunk.bytes, &mut samples);
    assert_eq!(samples.len() as u64, chunk.samples);
    samples
}

/// A listener that checks the order of what it hears.
struct Reader {
    output: OutputId,
    cursor: Cursor,
    /// Where it began, and all it heard: the index of each sample, and the sample.
    began: Option<u64>,
    received: Vec<(u64, i16)>,
    skipped: u64,
}

impl Reader {
    fn new(live: &Live, output: OutputId, number: u64) -> Self {
        let cursor = Cursor::new(live.grid(CHUNK, number));
        Self {
            output,
            cursor,
            began: None,
            received: Vec::new(),
            skipped: 0,
        }
    }

    /// Reads all there is, at most so many times. Whether the output has ended.
    fn read(&mut self, live: &mut Live, times: usize) -> bool {
        for _ in 0..times {
            let before = self.cursor.at();
            let received = live.read(self.output, &mut self.cursor);
            if !matches!(received, Delivery::Chunk(_)) {
                self.began = self.began.or(self.cursor.at());
            }
            match received {
                Delivery::Chunk(chunk) => {
                    assert_eq!(before.unwrap_or(chunk.at), chunk.at);
                    self.began.get_or_insert(chunk.at);
                    self.received.extend((chunk.at..).zip(decoded(&chunk)));
                }
                Delivery::Skipped(samples) => self.skipped += samples,
                Delivery::Nothing => break,
                Delivery::Ended => return true,
            }
        }
        false
    }

    /// Sent and skipped samples add up to all, to the sample.
    fn expect_all_accounted(&self) {
        let passed = self.cursor.at().unwrap_or(0) - self.began.unwrap_or(0);
        assert_eq!(
            self.cursor.sent_samples() + self.cursor.skipped_samples(),
            passed
        );
        assert_eq!(self.cursor.sent_samples(), self.received.len() as u64);
        assert_eq!(self.cursor.skipped_samples(), self.skipped);
    }

    fn samples(&self) -> Vec<i16> {
        self.received.iter().map(|&(_, sample)| sample).collect()
    }
}

#[test]
fn every_listener_in_step_gets_a_copy_of_the_mix_bit_for_bit() {
    let (mut live, mut tap) = live();
    let mut readers: Vec<_> = (0..12)
        .map(|number| Reader::new(&live, OutputId::MIX, number))
        .collect();
    // As a limiter makes them: the first is shorter.
    publish(&mut tap, 0, &ramp(0, 120));
    for number in 0..100_u64 {
        let at = 120 + number * 160;
        publish(&mut tap, at, &ramp(at, at + 160));
        live.drain();
        for reader in &mut readers {
            reader.read(&mut live, usize::MAX);
        }
    }
    drop(tap);
    live.drain();
    for reader in &mut readers {
        assert!(reader.read(&mut live, usize::MAX));
        reader.expect_all_accounted();
        assert_eq!(reader.skipped, 0);
        // It begins with what there was when it came, and hears the end, whole chunk or not.
        assert_eq!(reader.began, Some(reader.cursor.grid().before(280, 280)));
        assert_eq!(
            reader.samples(),
            ramp(reader.began.unwrap(), 120 + 100 * 160)
        );
    }
}

#[test]
fn listeners_in_step_share_the_bytes_however_many_they_are() {
    let (mut live, mut tap) = live();
    let mut cursors = vec![Cursor::new(live.grid(CHUNK, 0)); 1_000];
    for number in 0..20 {
        let (at, samples) = block(number);
        publish(&mut tap, at, &samples);
        live.drain();
        let pointers: std::collections::HashSet<_> = cursors
            .iter_mut()
            .filter_map(|cursor| match live.read(OutputId::MIX, cursor) {
                Delivery::Chunk(chunk) => Some(chunk.bytes.as_ptr()),
                _ => None,
            })
            .collect();
        let due = number > 0 && (number + 1) % 5 == 0;
        assert_eq!(pointers.len(), usize::from(due), "block {number}");
    }
}

#[test]
fn a_slow_listener_skips_to_the_newest_and_learns_how_far() {
    let (mut live, mut tap) = live();
    let mut slow = Reader::new(&live, OutputId::MIX, 0);
    let mut quick = Reader::new(&live, OutputId::MIX, 0);
    for number in 0..400 {
        let (at, samples) = block(number);
        publish(&mut tap, at, &samples);
        live.drain();
        quick.read(&mut live, usize::MAX);
        if number < 10 {
            slow.read(&mut live, usize::MAX);
        }
    }
    // 6.2 s behind where 4 s are kept.
    let behind = |live: &Live, slow: &Reader| {
        let end = live.figures(OutputId::MIX).unwrap().end;
        end - slow.cursor.at().unwrap()
    };
    let skips = behind(&live, &slow);
    slow.read(&mut live, usize::MAX);
    assert_eq!(slow.skipped, skips);
    assert_eq!(behind(&live, &slow), 0);
    let (at, samples) = block(400);
    publish(&mut tap, at, &samples);
    live.drain();
    slow.read(&mut live, usize::MAX);
    slow.expect_all_accounted();
    quick.expect_all_accounted();
    assert_eq!(live.figures(OutputId::MIX).unwrap().skipped_samples, skips);
    assert_eq!((live.skipped_samples(), live.lost_samples()), (skips, 0));
    // Nothing of that is the other's affair.
    assert_eq!(quick.samples(), ramp(quick.began.unwrap(), 64_000));
}

#[test]
fn samples_a_full_ring_refused_are_silence_at_their_index() {
    let (mut live, mut tap) = live();
    let mut reader = Reader::new(&live, OutputId::MIX, 0);
    let capacity = (tap.capacity() as usize / (frame_bytes(BLOCK) + 8)) as u64;
    let (at, samples) = block(0);
    publish(&mut tap, at, &samples);
    live.drain();
    reader.read(&mut live, usize::MAX);
    // The owner is late for longer than the ring holds.
    let late = capacity + 13;
    for number in 1..=late {
        let (at, samples) = block(number);
        publish(&mut tap, at, &samples);
    }
    let lost = tap.stats().dropped.messages * BLOCK as u64;
    assert!(lost > 0);
    for number in late + 1..late + 10 {
        live.drain();
        let (at, samples) = block(number);
        publish(&mut tap, at, &samples);
    }
    drop(tap);
    live.drain();
    reader.read(&mut live, usize::MAX);
    reader.expect_all_accounted();
    assert_eq!(live.figures(OutputId::MIX).unwrap().lost_samples, lost);
    let gap = (late + 1) * BLOCK as u64 - lost..(late + 1) * BLOCK as u64;
    for &(index, sample) in &reader.received {
        let expected = if gap.contains(&index) {
            0
        } else {
            index as i16
        };
        assert_eq!(sample, expected, "sample {index} of a gap {gap:?}");
    }
    assert_eq!(
        reader.received.last().unwrap().0 + 1,
        (late + 10) * BLOCK as u64
    );
    // The meter counts the silence, too.
    assert_eq!(live.measure().samples, (late + 10) * BLOCK as u64);
}

/// A monitor of the mix without a stream carries samples, or empty frames where it is the mix.
#[test]
fn a_mix_minus_is_its_own_frames_or_the_whole_mix() {
    let (mut live, mut tap) = live();
    let (without, mut ring) = live.open().unwrap();
    let (alone, mut other) = live.open().unwrap();
    let mut readers = [without, alone, OutputId::MIX].map(|output| Reader::new(&live, output, 0));
    let own = |at: u64| -> Vec<i16> { ramp(at, at + 160).iter().map(|sample| !sample).collect() };
    for number in 0..60 {
        let (at, samples) = block(number);
        publish(&mut tap, at, &samples);
        publish(
            &mut ring,
            at,
            if number % 7 < 3 { own(at) } else { vec![] }.as_slice(),
        );
        publish(&mut other, at, &[3; 160]);
        if number % 4 == 0 {
            live.drain();
            for reader in &mut readers {
                reader.read(&mut live, usize::MAX);
            }
        }
    }
    drop((tap, ring, other));
    live.drain();
    for reader in &mut readers {
        assert!(reader.read(&mut live, usize::MAX));
        reader.expect_all_accounted();
        assert_eq!(reader.received.last().unwrap().0 + 1, 60 * 160);
    }
    let [without, alone, mix] = readers;
    for (index, sample) in without.received {
        let expected = if index / 160 % 7 < 3 {
            !(index as i16)
        } else {
            index as i16
        };
        assert_eq!(sample, expected, "sample {index}");
    }
    assert!(alone.received.iter().all(|&(_, sample)| sample == 3));
    assert_eq!(mix.samples(), ramp(mix.began.unwrap(), 60 * 160));
}

/// The mixer goes on while a pass is under way: the ring of the mix has been seen, and then comes a block
/// and a frame that means it.
#[test]
fn a_frame_never_comes_before_the_block_that_it_means() {
    let (mut live, mut tap) = live();
    let opened: Vec<_> = (0..MONITORS_MAX).map(|_| live.open().unwrap()).collect();
    let (outputs, mut rings): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..2_000 {
                let (at, samples) = block(number);
                // Nothing is lost here, so all must be there: no ring is full, and no frame waits for longer
                // than the blocks are kept.
                let waits = |ring: &Producer| ring.stats().filled_bytes > 1_000;
                while !tap.has_room(frame_bytes(BLOCK)) || rings.iter().any(waits) {
                    std::thread::yield_now();
                }
                publish(&mut tap, at, &samples);
                for ring in &mut rings {
                    publish(ring, at, &[]);
                }
            }
            done.store(1, Ordering::Release);
        });
        while done.load(Ordering::Acquire) == 0 {
            live.drain();
        }
    });
    while readable(&live) {
        live.drain();
    }
    for output in outputs {
        let figures = live.figures(output).unwrap();
        assert_eq!(
            (figures.end, figures.lost_samples),
            (2_000 * BLOCK as u64, 0)
        );
    }
}

#[test]
fn a_lost_block_of_the_mix_is_lost_to_its_references_too() {
    let (mut live, mut tap) = live();
    let (without, mut ring) = live.open().unwrap();
    for number in 0..10 {
        let (at, samples) = block(number);
        if number != 5 {
            publish(&mut tap, at, &samples);
        }
        publish(&mut ring, at, &[]);
    }
    live.drain();
    assert_eq!(live.figures(without).unwrap().lost_samples, 160);
    assert_eq!(live.figures(OutputId::MIX).unwrap().lost_samples, 160);
    let mut reader = Reader::new(&live, without, 0);
    drop(ring);
    live.drain();
    assert!(reader.read(&mut live, usize::MAX));
}

#[test]
fn a_stream_that_ends_plays_to_its_end_and_frees_its_ring() {
    let (mut live, _tap) = live();
    for round in 0..3 * MONITORS_MAX as u64 {
        let (id, mut ring) = live.open().unwrap();
        let mut reader = Reader::new(&live, id, 0);
        // Half a chunk, and never a whole one.
        publish(&mut ring, round * 160, &[5; 160]);
        live.drain();
        reader.read(&mut live, usize::MAX);
        publish(&mut ring, round * 160 + 160, &[6; 100]);
        drop(ring);
        live.drain();
        assert!(reader.read(&mut live, usize::MAX));
        reader.expect_all_accounted();
        assert_eq!(reader.cursor.at(), Some(round * 160 + 260));
        live.close(id);
        assert_eq!(live.figures(id), None);
        assert!(reader.read(&mut live, 1), "a closed output has ended");
    }
}

#[test]
fn an_output_without_listeners_is_discarded_until_closed() {
    let (mut live, mut tap) = live();
    let (id, mut ring) = live.open().unwrap();
    live.close(id);
    for number in 0..100 {
        let (at, samples) = block(number);
        publish(&mut tap, at, &samples);
        publish(&mut ring, at, &samples);
        live.drain();
    }
    assert_eq!(ring.stats().dropped.messages, 0);
    assert_eq!(live.pool.stats().leases, 2);
    drop(ring);
    live.drain();
    assert_eq!(live.pool.stats().leases, 1);
}

#[test]
fn no_more_outputs_than_there_is_room_for() {
    let (mut live, _tap) = live();
    let mut opened: Vec<_> = (0..MONITORS_MAX).map(|_| live.open().unwrap()).collect();
    assert!(matches!(live.open(), Err(LiveError::Monitors)));
    // One that is left alone makes room when the mixer has closed its ring, too.
    let (id, ring) = opened.pop().unwrap();
    live.close(id);
    assert!(matches!(live.open(), Err(LiveError::Monitors)));
    drop(ring);
    live.drain();
    live.open().unwrap();
}

#[test]
fn its_descriptor_is_readable_when_there_is_something_to_drain() {
    let (mut live, mut tap) = live();
    live.drain();
    for number in 0..5 {
        assert!(!readable(&live));
        let (at, samples) = block(number);
        publish(&mut tap, at, &samples);
        assert!(readable(&live));
        live.drain();
    }
    assert!(!readable(&live));
    drop(tap);
    assert!(readable(&live));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whenever listeners come and read, and however late the owner is: sent + skipped = produced, and what
    /// was heard is the mix.
    #[test]
    fn what_was_sent_and_what_was_skipped_is_all_there_was(
        schedule in prop::collection::vec((1_u64..60, 0_usize..8, any::<bool>()), 1..120),
        numbers in prop::collection::vec(any::<u64>(), 1..6),
    ) {
        let (mut live, mut tap) = live();
        let mut readers: Vec<_> = numbers.iter().map(|&number| Reader::new(&live, OutputId::MIX, number)).collect();
        let (mut number, mut lost) = (0, 0);
        for (blocks, times, drains) in schedule {
            for _ in 0..blocks {
                let (at, samples) = block(number);
                publish(&mut tap, at, &samples);
                number += 1;
            }
            if drains {
                live.drain();
            }
            let reader = number as usize % readers.len();
            readers[reader].read(&mut live, times);
            lost = tap.stats().dropped.messages * 160;
        }
        drop(tap);
        live.drain();
        let mut skipped = 0;
        for reader in &mut readers {
            reader.read(&mut live, usize::MAX);
            reader.expect_all_accounted();
            skipped += reader.skipped;
            for &(index, sample) in &reader.received {
                prop_assert!(sample == index as i16 || lost > 0 && sample == 0);
            }
        }
        prop_assert_eq!(live.skipped_samples(), skipped);
        // Drops after the last frame that came cannot be known.
        let figures = live.figures(OutputId::MIX).unwrap();
        prop_assert_eq!(figures.lost_samples + (number * 160 - figures.end), lost);
    }
}
