//! Sources at other rates and channels than the mix.

use super::*;
use crate::audio::Converter;

const HZ: u64 = 48_000;
const LONG: usize = 960;

fn tone(from: usize, count: usize) -> Vec<i16> {
    let sample =
        |n: usize| (9000.0 * (n as f64 * 0.05).sin() + 3000.0 * (n as f64 * 0.011).cos()) as i16;
    (from..from + count)
        .flat_map(|n| [sample(n), sample(2 * n)])
        .collect()
}

fn send_stereo(rig: &mut Rig, lost: &[u64]) {
    for number in (0..50).filter(|number| !lost.contains(number)) {
        let at_ns = 1_003 * MS + number * 20 * MS;
        rig.run_until(at_ns);
        let start = number * LONG as u64;
        rig.push(number, start, &tone(start as usize, LONG), at_ns);
    }
}

fn converted(conceal: bool) -> Rig {
    let settings = PlayoutSettings {
        conceal,
        ..fixed(100)
    };
    let mut rig = Rig::new(settings);
    rig.playout = Playout::new(settings, HZ as u32, 2, clock()).unwrap();
    rig
}

fn reference() -> Vec<i16> {
    let mut converter = Converter::new(HZ as u32, 2, clock().format).unwrap();
    let floats: Vec<f32> = tone(0, 50 * LONG)
        .iter()
        .map(|&s| f32::from(s) / 32_768.0)
        .collect();
    converter.push(&floats);
    converter.finish();
    let mut out = vec![0; converter.buffered()];
    converter.pull(&mut out);
    out
}

#[test]
fn a_converted_stream_is_the_converters_output_in_its_place() {
    let mut rig = converted(true);
    send_stereo(&mut rig, &[]);
    let (entry, _) = play_out(&mut rig);
    assert_eq!(
        (entry.offered, entry.mixed, entry.concealed),
        (8000, 8000, 0)
    );
    let first = rig
        .heard
        .iter()
        .position(|(kind, _)| *kind != Sound::Silence)
        .unwrap();
    // 1103 ms.
    assert_eq!(first, 103 * 8);
    assert_eq!(rig.audio(), reference());
}

#[test]
fn audio_and_concealment_are_told_apart_behind_the_converter() {
    for conceal in [false, true] {
        let mut rig = converted(conceal);
        send_stereo(&mut rig, &[20, 33]);
        let (entry, _) = play_out(&mut rig);
        assert_eq!((entry.offered, entry.concealed), (48 * 160, 320));
        let made = if conceal {
            Sound::Concealment
        } else {
            Sound::Silence
        };
        let reference = reference();
        for (index, &(kind, sample)) in rig.heard[103 * 8..][..8000].iter().enumerate() {
            if [20, 33].contains(&(index / 160)) {
                assert_eq!(kind, made, "{index}");
                continue;
            }
            assert_eq!(kind, Sound::Audio, "{index}");
            // The filter reaches 64 samples beyond the edges of the gap.
            if [20, 33]
                .iter()
                .all(|gap| index + 64 < gap * 160 || index >= gap * 160 + 224)
            {
                assert_eq!(sample, reference[index], "{index}");
            }
        }
    }
}
