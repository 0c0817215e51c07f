use super::*;
use crate::{
    audio::{Format, Frame},
    ledger::GapQueue,
    queue::{Consumer, Pool},
};

/// Counts up; at its end it fails if `fails` is set.
struct Ramp {
    next: i16,
    end: i16,
    fails: bool,
}

/// Why a [`Ramp`] fails.
#[derive(Debug)]
struct Failed;

impl Ramp {
    fn read(&mut self, out: &mut [i16]) -> Result<usize, Failed> {
        let count = out.len().min((self.end - self.next) as usize);
        out.iter_mut()
            .zip(self.next..self.end)
            .for_each(|(out, sample)| *out = sample);
        self.next += count as i16;
        if count == 0 && self.fails {
            return Err(Failed);
        }
        Ok(count)
    }
}

fn stream(channels: u16) -> (Stream, Arc<Account>, Consumer) {
    let (pool, consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
    let account = Arc::new(Account::new("ramp"));
    let format = Format::new(8000, channels).unwrap();
    let stream = Stream::new(
        pool.acquire().unwrap(),
        Arc::clone(&account),
        Grid::new(format, 100),
    );
    (stream, account, consumer)
}

/// First sample, given samples and all samples of the oldest frame, which is acked.
fn take(consumer: &mut Consumer, lease: LeaseId) -> (u64, u32, Vec<i16>) {
    let message = consumer.get(lease).unwrap().unwrap();
    let frame = Frame::parse(&message).unwrap();
    assert!(frame.checksum_ok());
    let taken = (
        frame.header().first,
        frame.header().given,
        frame.samples().to_vec(),
    );
    message.ack();
    taken
}

#[test]
fn frames_are_contiguous_and_only_the_last_is_short() {
    for channels in [1, 2] {
        let (mut stream, account, mut consumer) = stream(channels);
        let len = 100 * channels as i16;
        let mut ramp = Ramp {
            next: 0,
            end: 2 * len + 50,
            fails: false,
        };
        let offered: Vec<_> = (0..5)
            .map(|_| stream.offer(|out| ramp.read(out)).unwrap())
            .collect();
        assert_eq!(offered[..2], [Offered::Published; 2]);
        assert_eq!(
            offered[2..],
            [Offered::Held, Offered::Ended, Offered::Ended]
        );
        let lease = stream.lease();
        assert_eq!(take(&mut consumer, lease), (0, 100, (0..len).collect()));
        let second = (len..2 * len).collect();
        assert_eq!(take(&mut consumer, lease), (100, 100, second));
        let last = (2 * len..2 * len + 50).collect();
        let given = 50 / u32::from(channels);
        assert_eq!(take(&mut consumer, lease), (200, given, last));
        assert_eq!(account.read().offered, 2 * len as u64 + 50);
    }
}

#[test]
fn a_full_ring_drops_the_block_and_keeps_its_place() {
    let (mut stream, account, mut consumer) = stream(1);
    let mut ramp = Ramp {
        next: 0,
        end: i16::MAX,
        fails: false,
    };
    let mut published = 0u32;
    while stream.has_room() {
        assert_eq!(
            stream.offer(|out| ramp.read(out)).unwrap(),
            Offered::Published
        );
        published += 1;
    }
    assert_eq!(
        stream.offer(|out| ramp.read(out)).unwrap(),
        Offered::Dropped
    );
    assert_eq!(
        stream.offer(|out| ramp.read(out)).unwrap(),
        Offered::Dropped
    );
    let lease = stream.lease();
    for _ in 0..published {
        take(&mut consumer, lease);
    }
    assert_eq!(
        stream.offer(|out| ramp.read(out)).unwrap(),
        Offered::Published
    );
    let number = published + 2;
    let first = number as i16 * 100;
    let expected = (u64::from(number) * 100, 100, (first..first + 100).collect());
    assert_eq!(take(&mut consumer, lease), expected);
    let entry = account.read();
    assert_eq!(
        (entry.offered, entry.dropped_full),
        (u64::from(number + 1) * 100, 200)
    );
}

#[test]
fn a_source_that_fails_leaves_nothing_half_published() {
    let (mut stream, account, mut consumer) = stream(1);
    let mut ramp = Ramp {
        next: 0,
        end: 100,
        fails: true,
    };
    assert_eq!(
        stream.offer(|out| ramp.read(out)).unwrap(),
        Offered::Published
    );
    assert!(stream.offer(|out| ramp.read(out)).is_err());
    let lease = stream.lease();
    take(&mut consumer, lease);
    assert!(consumer.get(lease).unwrap().is_none());
    account.count(crate::ledger::Fate::Mixed, 100);
    assert_eq!(account.check(|| 0), Ok(crate::ledger::Checked::Holds));
}

/// However a stream is cut where it comes in, the same blocks go out.
#[test]
fn pieces_of_any_length_make_the_same_blocks() {
    for piece in [1, 37, 80, 99, 100, 160, 999] {
        let (mut stream, _, mut consumer) = stream(1);
        let lease = stream.lease();
        let samples: Vec<i16> = (0..777).collect();
        for piece in samples.chunks(piece) {
            let mut rest = piece;
            while !rest.is_empty() {
                let read = |out: &mut [i16]| {
                    let count = out.len().min(rest.len());
                    out[..count].copy_from_slice(&rest[..count]);
                    rest = &rest[count..];
                    Ok::<_, Failed>(count)
                };
                stream.offer(read).unwrap();
            }
        }
        drop(stream);
        for (index, block) in (0..).zip(samples.chunks(100)) {
            let expected = (index * 100, block.len() as u32, block.to_vec());
            assert_eq!(take(&mut consumer, lease), expected, "pieces of {piece}");
        }
        assert!(consumer.is_finished(lease).unwrap());
    }
}

const PERIOD_NS: u64 = 20_000_000;

#[test]
fn what_is_shed_lies_behind_what_was_placed() {
    let gaps = Arc::new(GapQueue::new(8, 1));
    gaps.listen();
    let (mut stream, _consumer) = live_with(Account::new("live").with_gaps(Arc::clone(&gaps), 0));
    let place = |stream: &mut Stream, first| {
        stream.place(FrameHeader::new(first, 100), &[1; 100]);
    };
    place(&mut stream, 300);
    // Index 250 is under way when they come, then 350, then 1000.
    stream.shed(100, 3 * PERIOD_NS + PERIOD_NS / 2);
    stream.shed(100, 4 * PERIOD_NS + PERIOD_NS / 2);
    stream.shed(200, 11 * PERIOD_NS);
    let spans = std::iter::from_fn(|| gaps.pop().map(|gap| (gap.from, gap.to)));
    assert_eq!(
        spans.collect::<Vec<_>>(),
        [(400, 500), (500, 600), (800, 1000)]
    );
    assert_eq!(stream.account().read().discarded, 400);
}

/// A stream with a delay of three blocks, on a clock that runs.
fn live() -> (Stream, Consumer) {
    live_with(Account::new("live"))
}

fn live_with(account: Account) -> (Stream, Consumer) {
    let (pool, consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
    let account = Arc::new(account);
    let clock = MixClock {
        first_block: 0,
        first_ns: PERIOD_NS,
        period_ns: PERIOD_NS,
        format: Format::new(8000, 1).unwrap(),
        block_samples: 100,
    };
    let stream = Stream::new(pool.acquire().unwrap(), account, clock.into());
    (stream.delayed(3), consumer)
}

fn offer_block(stream: &mut Stream, now_ns: u64) {
    let whole = |out: &mut [i16]| Ok::<_, Failed>(out.len());
    assert_eq!(stream.offer_at(now_ns, whole).unwrap(), Offered::Published);
}

#[test]
fn blocks_follow_from_the_delay_after_the_next_tick() {
    let (mut stream, mut consumer) = live();
    let lease = stream.lease();
    // Between ticks 5 and 6.
    for block in 0..3 {
        offer_block(&mut stream, 6 * PERIOD_NS + 1 + block * PERIOD_NS);
    }
    for block in 0..3 {
        let message = consumer.get(lease).unwrap().unwrap();
        let header = Frame::parse(&message).unwrap().header();
        assert_eq!(header, FrameHeader::new((9 + block) * 100, 100));
        message.ack();
    }
}

#[test]
fn a_dry_stream_goes_on_a_delay_after_the_next_tick() {
    let (mut stream, mut consumer) = live();
    let lease = stream.lease();
    offer_block(&mut stream, 1);
    // Its block is due, but still waits: the mix stands behind its clock.
    offer_block(&mut stream, 20 * PERIOD_NS + 1);
    (0..2).for_each(|_| _ = take(&mut consumer, lease));
    offer_block(&mut stream, 20 * PERIOD_NS + 1);
    let message = consumer.get(lease).unwrap().unwrap();
    let header = Frame::parse(&message).unwrap().header();
    assert_eq!(header, FrameHeader::new(2300, 100));
}

#[test]
fn a_stream_that_waited_for_room_is_not_to_blame() {
    let (mut stream, mut consumer) = live();
    let lease = stream.lease();
    while stream.has_room() {
        offer_block(&mut stream, 1);
    }
    while let Some(message) = consumer.get(lease).unwrap() {
        message.ack();
    }
    offer_block(&mut stream, 100 * PERIOD_NS + 1);
    let message = consumer.get(lease).unwrap().unwrap();
    assert!(Frame::parse(&message).unwrap().header().after_pause);
}
