use super::*;
use crate::wire::audiosocket::{Message, parse};

const BLOCK: u64 = 160;

fn return_format(rate_hz: u32) -> ReturnFormat {
    ReturnFormat {
        rate_hz,
        form: Form::AudioSocket {
            claimed_hz: rate_hz,
        },
    }
}

fn tone(at: u64, step: f64) -> Vec<i16> {
    (at..at + BLOCK)
        .map(|at| ((at as f64 * step).sin() * 9_000.0) as i16)
        .collect()
}

fn samples(message: &[u8]) -> Vec<i16> {
    let Ok(Some((Message::Audio { payload, .. }, taken))) = parse(message) else {
        panic!("{message:?}")
    };
    assert_eq!(taken, message.len());
    let (pairs, []) = payload.as_chunks() else {
        panic!("whole samples")
    };
    pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
}

const MAIN: RoomId = RoomId::MAIN;

fn mixes() -> Mixes {
    Mixes::new(Format::new(8_000, 1).unwrap())
}

/// A frame that is its room's block, or its participant's own.
fn frame(room: Option<RoomId>, at: u64, samples: &[i16]) -> Piece<'_> {
    Piece {
        first: at,
        samples,
        contributors: &[],
        same: room,
        is_lost: false,
    }
}

fn room(slot: u32) -> RoomId {
    RoomId::new(slot, 0)
}

#[test]
fn listeners_to_one_room_get_one_message() {
    let mut mixes = mixes();
    for slot in 0..3 {
        let block = tone(0, 0.1 * f64::from(slot + 1));
        mixes.push(room(slot), 0, &block);
        let [mut one, mut other, mut low] =
            [16_000, 16_000, 8_000].map(|hz| ReturnEncoder::new(return_format(hz)));
        let frame = frame(Some(room(slot)), 0, &block);
        let first = one.encode(&frame, &mut mixes).unwrap().unwrap().as_ptr();
        let second = other.encode(&frame, &mut mixes).unwrap().unwrap().as_ptr();
        assert_eq!(first, second);
        let message = low.encode(&frame, &mut mixes).unwrap().unwrap();
        assert_eq!(samples(message), block);
    }
}

#[test]
fn rates_that_nobody_hears_any_more_are_forgotten() {
    let bare = |rate_hz| ReturnFormat {
        rate_hz,
        form: Form::Bare(Encoding::S16Le),
    };
    let mut mixes = mixes();
    let mut stays = ReturnEncoder::new(bare(16_000));
    for tick in 0..130 {
        let at = tick * BLOCK;
        let block = tone(at, 0.1);
        mixes.push(MAIN, at, &block);
        let mut passes = ReturnEncoder::new(bare(16_050 + 50 * tick as u32));
        for encoder in [&mut stays, &mut passes] {
            let frame = frame(Some(MAIN), at, &block);
            assert!(encoder.encode(&frame, &mut mixes).unwrap().is_some());
        }
    }
    // Blocks of two seconds, and the one that stays.
    let shared = &mixes.rooms[&MAIN].shared;
    assert!(shared.len() <= 102, "{}", shared.len());
    assert!(shared.contains_key(&bare(16_000)));
}

#[test]
fn a_frame_of_a_room_that_is_not_heard_has_no_message() {
    let mut mixes = mixes();
    let block = tone(0, 0.1);
    mixes.push(MAIN, 0, &block);
    let mut encoder = ReturnEncoder::new(return_format(8_000));
    let unknown = frame(Some(room(1)), 0, &block);
    assert_eq!(encoder.encode(&unknown, &mut mixes), Ok(None));
    mixes.end(MAIN);
    let ended = frame(Some(MAIN), 0, &block);
    assert_eq!(encoder.encode(&ended, &mut mixes), Ok(None));
}

#[test]
fn a_history_is_no_longer_than_converters_need() {
    let mut mixes = mixes();
    let mut kept = |encoder: Option<&mut ReturnEncoder>, tick: u64| {
        let block = tone(tick * BLOCK, 0.1);
        mixes.push(MAIN, tick * BLOCK, &block);
        if let Some(encoder) = encoder {
            let frame = frame(Some(MAIN), tick * BLOCK, &block);
            encoder.encode(&frame, &mut mixes).unwrap();
        }
        let mut known = Vec::new();
        let end = (tick + 1) * BLOCK;
        mixes.history(Some(MAIN)).copy(0, end as i64, &mut known);
        known.iter().filter(|&&sample| sample != 0.0).count() as u64
    };
    let mut same_rate = ReturnEncoder::new(return_format(8_000));
    for tick in 0..100 {
        assert!(kept(Some(&mut same_rate), tick) <= BLOCK);
    }
    let mut other_rate = ReturnEncoder::new(return_format(16_000));
    kept(Some(&mut other_rate), 100);
    let memory = Rated::new(Format::new(8_000, 1).unwrap(), 16_000)
        .unwrap()
        .memory();
    for tick in 101..200 {
        let kept = kept(None, tick);
        assert!(kept <= memory + BLOCK, "{kept} of {memory}");
        assert!(tick < 110 || kept > memory, "{kept} of {memory}");
    }
}

/// The mix's rate, and others.
const RATES: [u32; 3] = [8_000, 16_000, 44_100];

/// A participant, and a converter for its frames alone.
struct Compared {
    encoder: ReturnEncoder,
    alone: Rated,
    rate_hz: u32,
}

impl Compared {
    fn new(rate_hz: u32) -> Self {
        Self {
            encoder: ReturnEncoder::new(return_format(rate_hz)),
            alone: Rated::new(Format::new(8_000, 1).unwrap(), rate_hz).unwrap(),
            rate_hz,
        }
    }

    fn hear(&mut self, frame: &Piece<'_>, mixes: &mut Mixes) {
        let played = self.encoder.encode(frame, mixes).unwrap().unwrap();
        let (played, mut expected) = (samples(played), Vec::new());
        let nothing = History::new(1);
        (self.alone).convert(frame.first, frame.samples, &nothing, &mut expected);
        let most = u16::from(self.rate_hz != 8_000);
        let off = |(a, b): (&i16, &i16)| a.abs_diff(*b);
        let worst = played.iter().zip(&expected).map(off).max();
        assert_eq!(played.len(), expected.len());
        assert!(
            worst <= Some(most),
            "{} Hz, sample {}: {worst:?}",
            self.rate_hz,
            frame.first
        );
    }
}

#[test]
fn to_speak_now_and_then_leaves_no_seam() {
    for rate_hz in RATES {
        let mut mixes = mixes();
        let mut compared = Compared::new(rate_hz);
        for tick in 0..60 {
            let at = tick * BLOCK;
            let (all, own) = (tone(at, 0.1), tone(at, 0.23));
            mixes.push(MAIN, at, &all);
            let speaks = matches!(tick, 5..12 | 14..16 | 30..31 | 50..);
            let heard = if speaks {
                frame(None, at, &own)
            } else {
                frame(Some(MAIN), at, &all)
            };
            compared.hear(&heard, &mut mixes);
        }
    }
}

#[test]
fn to_move_leaves_no_seam_and_lets_nothing_of_before_be_heard() {
    for rate_hz in RATES {
        // A mixer with a look-ahead sends the first frame of a room as samples.
        for as_samples in [false, true] {
            let mut mixes = mixes();
            let mut moves = Compared::new(rate_hz);
            // These share each room's messages from its beginning on.
            let mut stays = [0, 1, 2].map(|_| Compared::new(rate_hz));
            for tick in 0..80 {
                let at = tick * BLOCK;
                let blocks = [0.1, 0.23, 0.41].map(|step| tone(at, step));
                for (slot, block) in (0..).zip(&blocks) {
                    mixes.push(room(slot), at, block);
                    let heard = frame(Some(room(slot)), at, block);
                    stays[slot as usize].hear(&heard, &mut mixes);
                }
                let slot_at = |tick| match tick {
                    0..10 | 40 => 0,
                    10..30 | 42.. => 1,
                    _ => 2,
                };
                let slot = slot_at(tick);
                let is_first = tick > 0 && slot_at(tick - 1) != slot;
                let named = (!(is_first && as_samples)).then(|| room(slot));
                let heard = frame(named, at, &blocks[slot as usize]);
                moves.hear(&heard, &mut mixes);
            }
        }
    }
}

#[test]
fn a_frame_that_was_lost_at_a_move_lets_no_other_room_be_heard() {
    let mut mixes = mixes();
    let mut encoder = ReturnEncoder::new(return_format(16_000));
    let loud = [9_000; BLOCK as usize];
    for tick in 0..10 {
        mixes.push(MAIN, tick * BLOCK, &loud);
        let heard = frame(Some(MAIN), tick * BLOCK, &loud);
        // It leaves before the last ones.
        if tick < 5 {
            encoder.encode(&heard, &mut mixes).unwrap();
        }
    }
    let silence = [0; BLOCK as usize];
    mixes.push(room(1), 10 * BLOCK, &silence);
    let heard = frame(Some(room(1)), 10 * BLOCK, &silence);
    let message = encoder.encode(&heard, &mut mixes).unwrap().unwrap();
    assert!(samples(message).iter().all(|&sample| sample == 0));
}

#[test]
fn more_samples_than_a_message_holds_are_several_messages() {
    let mut out = Vec::new();
    return_format(192_000).write(&vec![7; 70_000], &mut out);
    let mut rest = &out[..];
    let mut count = 0;
    while let Some((Message::Audio { payload, .. }, taken)) = parse(rest).unwrap() {
        count += payload.len() / 2;
        rest = &rest[taken..];
    }
    assert_eq!((count, rest.len()), (70_000, 0));
}
