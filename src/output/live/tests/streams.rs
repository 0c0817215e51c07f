//! Single streams, alone and as a mix-minus.

use super::*;

#[test]
fn a_stream_alone_and_a_mix_minus_are_heard_beside_the_mix() {
    let (mut live, mut mixing) = live();
    let mut other = mixing.rig.sender();
    let stream = other.lease();
    let (without, _) = mixing.open(&mut live, stream, Feed::mix_minus);
    let (alone, _) = mixing.open(&mut live, stream, Feed::alone);
    let mut readers = [without, alone, OutputId::MIX].map(|output| Reader::new(&live, output, 0));
    for tick in 0..60 {
        if tick % 7 < 3 {
            other.say(tick, &[3; 160]);
        }
        mixing.ticks(1);
        if tick % 4 == 0 {
            live.drain();
            for reader in &mut readers {
                reader.read(&mut live, usize::MAX);
            }
        }
    }
    mixing.end(&mut live);
    for reader in &mut readers {
        assert!(reader.read(&mut live, usize::MAX));
        reader.expect_all_accounted();
        assert_eq!(reader.received.last().unwrap().0 + 1, 60 * 160);
    }
    let [without, alone, mix] = readers;
    assert_eq!(without.samples(), ramp(without.began.unwrap(), 60 * 160));
    let own = |index: u64| if index / 160 % 7 < 3 { 3 } else { 0 };
    assert!(alone.received.iter().all(|&(at, sample)| sample == own(at)));
    for (index, sample) in mix.received {
        assert_eq!(sample, index as i16 + own(index), "sample {index}");
    }
}

#[test]
fn a_stream_that_ends_plays_to_its_end_and_frees_its_ring() {
    let (mut live, mut mixing) = live();
    for round in 0..3 * MONITORS_MAX as u64 {
        let mut sender = mixing.rig.sender();
        let (id, _) = mixing.open(&mut live, sender.lease(), Feed::alone);
        let mut reader = Reader::new(&live, id, 0);
        let tick = 3 * round;
        // Less than a chunk.
        sender.say(tick, &[5; 160]);
        mixing.ticks(1);
        live.drain();
        reader.read(&mut live, usize::MAX);
        sender.say(tick + 1, &[6; 100]);
        drop(sender);
        mixing.ticks(2);
        live.drain();
        assert!(reader.read(&mut live, usize::MAX));
        reader.expect_all_accounted();
        assert_eq!(reader.cursor.at(), Some((tick + 2) * 160));
        live.close(id);
        assert_eq!(live.figures(id), None);
        assert!(reader.read(&mut live, 1), "a closed output has ended");
    }
}
