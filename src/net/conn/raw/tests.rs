use std::time::Duration;

use super::{
    super::tests::{BLOCK, CLOCK_NS, PERIOD_NS, Rig, le_bytes, ramp},
    *,
};
use crate::audio::{Gain, measure::tone_dbfs};

/// The outcome of one connection.
struct Playing {
    rig: Rig,
    runs: Vec<(u64, Vec<i16>)>,
}

/// Feeds the pieces, ends the connection, and plays what is left.
fn hear(rig: Rig, raw: Raw, pieces: &[&[u8]]) -> Playing {
    let (mut raw, mut caller) = (raw, Caller::default());
    for piece in pieces {
        raw.receive(piece, &mut caller, &rig.context(), &mut |_| true)
            .unwrap();
    }
    raw.finish(true, &mut caller, &rig.context());
    let mut inputs: Vec<_> = caller.into_input().into_iter().collect();
    let mut tick = rig.clock.next_tick(rig.now_ns);
    while inputs.iter().any(|input| !input.is_done()) {
        for input in &mut inputs {
            input.before_tick(tick, rig.clock.due_ns(tick) - 1);
        }
        tick += 1;
        assert!(tick < 1_000, "it comes to an end");
    }
    let runs = if rig.streams() > 0 {
        rig.played()
    } else {
        Vec::new()
    };
    Playing { rig, runs }
}

fn raw() -> Raw {
    Raw::new("tcp-192.0.2.1:4000".into(), false, None)
}

fn refusal(bytes: &[u8]) -> (Rig, String) {
    let rig = Rig::new(1 << 16, 1);
    let Err(EndReason::Malformed(_, why)) =
        raw().receive(bytes, &mut Caller::default(), &rig.context(), &mut |_| true)
    else {
        panic!("{bytes:?} is obeyed");
    };
    (rig, why)
}

fn wav(rate_hz: u32, channels: u16, data_bytes: u32) -> Vec<u8> {
    let block = channels * 2;
    [
        b"RIFF\xff\xff\xff\xffWAVELIST\x03\0\0\0odd\0fmt \x10\0\0\0\x01\0",
        &channels.to_le_bytes()[..],
        &rate_hz.to_le_bytes(),
        &(rate_hz * u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        b"\x10\0data",
        &data_bytes.to_le_bytes(),
    ]
    .concat()
}

#[test]
fn the_label_of_the_line_is_the_streams() {
    let line = "MIXPOOL/1 label=Bühne%20links\n\0\0".as_bytes();
    let played = hear(Rig::new(1 << 16, 1), raw(), &[line]);
    assert_eq!(
        played.rig.account().label().get().as_deref(),
        Some("Bühne links")
    );
}

#[test]
fn bare_samples_are_placed_unchanged_in_any_pieces() {
    let samples = ramp(300);
    let bytes = le_bytes(&samples);
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        let played = hear(Rig::new(1 << 16, 1), raw(), &[first, second]);
        // 40 ms after the block that is due next.
        assert_eq!(played.runs, [(4 * BLOCK as u64, samples.clone())], "{cut}");
        assert_eq!(played.rig.account().id(), "tcp-192.0.2.1:4000");
        let entry = played.rig.entry();
        assert_eq!(
            (entry.offered, entry.segments, entry.concealed),
            (300, 1, 0)
        );
    }
    let bytewise: Vec<_> = bytes.chunks(1).collect();
    let played = hear(Rig::new(1 << 16, 1), raw(), &bytewise);
    assert_eq!(played.runs, [(4 * BLOCK as u64, samples)]);
}

#[test]
fn samples_that_begin_like_a_line_or_a_header_are_samples() {
    for bytes in [
        &b"MIXP"[..],
        b"MI",
        b"RI",
        b"RIFE",
        b"MIXPOOL 1234",
        b"MIXPOOL/",
    ] {
        let samples: Vec<_> = bytes
            .chunks(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let played = hear(Rig::new(1 << 16, 1), raw(), &[bytes]);
        assert_eq!(played.runs, [(4 * BLOCK as u64, samples)]);
    }
}

#[test]
fn a_line_is_obeyed_wherever_it_is_cut() {
    let line = b"MIXPOOL/1 id=desk format=s16be gain=-6\n";
    let samples = ramp(50);
    let bytes: Vec<u8> = samples
        .iter()
        .flat_map(|sample| sample.to_be_bytes())
        .collect();
    let bytes = [&line[..], &bytes].concat();
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        let played = hear(Rig::new(1 << 16, 1), raw(), &[first, second]);
        assert_eq!(played.runs, [(4 * BLOCK as u64, samples.clone())], "{cut}");
        assert_eq!(played.rig.account().id(), "desk");
        assert_eq!(played.rig.gain(), Some(Gain::from_db(-6.0).unwrap()));
    }
}

#[test]
fn a_wav_is_parsed_at_any_cut_and_its_trailer_is_not_played() {
    let samples = ramp(100);
    let trailer = b"LIST\x08\0\0\0not heard";
    for (header, known) in [(wav(8_000, 1, 200), true), (wav(8_000, 1, u32::MAX), false)] {
        let mut bytes = [&header[..], &le_bytes(&samples)].concat();
        if known {
            bytes.extend(trailer);
        }
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let played = hear(Rig::new(1 << 16, 1), raw(), &[first, second]);
            assert_eq!(played.runs, [(4 * BLOCK as u64, samples.clone())], "{cut}");
            assert_eq!(played.rig.listener.read().malformed, [0; 8]);
        }
    }
}

#[test]
fn a_wav_after_a_line_is_what_its_header_says() {
    let samples = ramp(100);
    let line = b"MIXPOOL/1 id=file rate=48000 format=alaw\n";
    let bytes = [&line[..], &wav(8_000, 1, 0), &le_bytes(&samples)].concat();
    let played = hear(Rig::new(1 << 16, 1), raw(), &[&bytes]);
    assert_eq!(played.runs, [(4 * BLOCK as u64, samples)]);
    assert_eq!(played.rig.account().id(), "file");
}

#[test]
fn another_rate_and_other_channels_become_the_bus_s() {
    let played = hear(
        Rig::new(1 << 16, 1),
        raw(),
        &[&wav(16_000, 2, 0), &le_bytes(&vec![1_000; 2 * 16_000])],
    );
    let [(at, run)] = &played.runs[..] else {
        panic!("one run")
    };
    assert_eq!((*at, run.len()), (4 * BLOCK as u64, 8_000));
    assert!(
        run[500..7_500]
            .iter()
            .all(|sample| sample.abs_diff(1_000) <= 1)
    );
    assert_eq!(played.rig.entry().offered, 8_000);
}

#[test]
fn half_a_sample_at_the_end_is_counted() {
    let bytes = [le_bytes(&ramp(10)), vec![1]].concat();
    let played = hear(Rig::new(1 << 16, 1), raw(), &[&bytes]);
    assert_eq!(played.runs[0].1, ramp(10));
    assert_eq!(played.rig.network().totals.malformed, 1);
    let malformed = played.rig.listener.read().malformed;
    assert_eq!(malformed[Malformed::Payload as usize], 1);
}

#[test]
fn half_a_pair_of_channels_is_counted() {
    let bytes = le_bytes(&ramp(11));
    let played = hear(Rig::new(1 << 16, 2), raw(), &[&bytes]);
    assert_eq!(played.runs[0].1, ramp(10));
    assert_eq!(played.rig.network().totals.malformed, 1);
}

#[test]
fn each_kind_of_wav_plays() {
    for (name, count, tone_hz) in [
        ("tone-440-11025-mono-u8", 8_000, 440.0),
        ("tone-1000-44100-mono-s24", 4_000, 1_000.0),
        ("tone-440-16000-stereo-s32", 4_000, 440.0),
        ("tone-1000-48000-mono-f32", 4_000, 1_000.0),
        ("tone-1000-48000-mono-f64", 2_000, 1_000.0),
        ("tone-440-48000-4ch-extensible-s24", 2_000, 440.0),
        ("tone-440-8000-mono-s24in32", 4_000, 440.0),
        ("tone-440-8000-mono-alaw", 4_000, 440.0),
        ("tone-440-8000-mono-mulaw", 4_000, 440.0),
        ("tone-440-8000-mono-rifx-s24", 4_000, 440.0),
        ("tone-440-8000-mono-rf64-s16", 4_000, 440.0),
        ("chunks-around-8000-mono-s16", 8_000, 440.0),
        ("streamed-8000-mono-s16", 8_000, 440.0),
    ] {
        let path = format!("{}/testdata/{name}.wav", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        let pieces: Vec<_> = bytes.chunks(1_000).collect();
        let (id, from) = ("song".to_owned(), "http 192.0.2.1:4000".to_owned());
        let raw = Raw::of(id, from, Hello::default(), ContentType::Wav);
        let runs = hear(Rig::new(1 << 16, 1), raw, &pieces).runs;
        let samples: Vec<_> = runs.into_iter().flat_map(|(_, run)| run).collect();
        assert_eq!(samples.len(), count, "{name}");
        let level = tone_dbfs(&samples, 8_000, tone_hz);
        assert!((level + 6.02).abs() < 0.15, "{name}: {level} dBFS");
    }
}

#[test]
fn what_cannot_be_obeyed_is_refused_counted_and_told() {
    let (rig, why) = refusal(b"MIXPOOL/1 rate=8001000\n");
    assert_eq!(why, "a rate of 8001000 Hz is outside 1000 to 384000 Hz");
    assert_eq!(rig.listener.read().malformed[Malformed::Header as usize], 1);
    let (rig, _) = refusal(b"MIXPOOL/2\n");
    assert_eq!(
        rig.listener.read().malformed[Malformed::Version as usize],
        1
    );
    let (rig, why) = refusal(b"RIFF\0\0\0\0AVI LIST");
    assert_eq!(
        why,
        r#"no WAV: it begins with "RIFF\x00\x00\x00\x00AVI ", and not with RIFF and WAVE"#
    );
    assert_eq!(rig.listener.read().malformed[Malformed::Header as usize], 1);
    assert_eq!(rig.streams(), 0);
}

#[test]
fn a_wav_that_is_cut_short_plays_and_says_so() {
    let bytes = [wav(8_000, 1, 1_000), le_bytes(&ramp(BLOCK))].concat();
    let played = hear(Rig::new(1 << 16, 1), raw(), &[&bytes]);
    let missing = 1_000 - 2 * BLOCK;
    let said = format!("cut short: its WAV header claims {missing} bytes more");
    assert_eq!(played.rig.events(), [said]);
    let samples: Vec<_> = played.runs.into_iter().flat_map(|(_, run)| run).collect();
    assert!(samples.starts_with(&ramp(BLOCK)[..BLOCK / 2]));
}

#[test]
fn what_ends_before_its_samples_is_no_stream() {
    for (bytes, malformed) in [
        (&b"MIXPOOL/1 id=x"[..], 1),
        (b"RIFF\0\0\0\0WAVE", 1),
        (b"MIXPOOL/1 id=x\n", 0),
        (b"", 0),
    ] {
        let played = hear(Rig::new(1 << 16, 1), raw(), &[bytes]);
        assert_eq!(played.rig.streams(), 0);
        assert_eq!(
            played.rig.listener.read().malformed.iter().sum::<u64>(),
            malformed
        );
    }
}

#[test]
fn a_file_sent_at_once_waits_for_room_and_loses_nothing() {
    let rig = Rig::new(4096, 1);
    let samples = ramp(100 * BLOCK);
    let bytes = le_bytes(&samples);
    let (mut raw, mut caller) = (raw(), Caller::default());
    let (mut fed, mut tick, mut now_ns) = (0, 0, CLOCK_NS);
    let mut played = Vec::new();
    while fed < bytes.len() {
        let context = Context {
            now_ns,
            ..rig.context()
        };
        let wanted = raw.read_budget(&caller).min(bytes.len() - fed);
        if wanted > 0 {
            let bytes = &bytes[fed..fed + wanted];
            raw.receive(bytes, &mut caller, &context, &mut |_| true)
                .unwrap();
            fed += wanted;
            continue;
        }
        // Full: the mixer plays a block, and then there is room for one.
        played.extend(rig.take(1));
        tick += 1;
        now_ns = CLOCK_NS + tick * PERIOD_NS;
        caller.before_tick(tick, now_ns);
    }
    // Samples of one read at most wait, however much there is.
    assert!(tick > 70, "{tick} ticks");
    let context = Context {
        now_ns,
        ..rig.context()
    };
    raw.finish(true, &mut caller, &context);
    let mut input = caller.into_input().unwrap();
    while !input.is_done() {
        played.extend(rig.take(1));
        tick += 1;
        input.before_tick(tick, CLOCK_NS + tick * PERIOD_NS);
    }
    played.extend(rig.played());
    let mut next = played[0].0;
    for (at, run) in &played {
        assert_eq!(*at, next);
        next += run.len() as u64;
    }
    let all: Vec<_> = played.into_iter().flat_map(|(_, run)| run).collect();
    assert_eq!(all, samples);
    let entry = rig.entry();
    assert_eq!(
        (entry.offered, entry.dropped_full, entry.concealed),
        (samples.len() as u64, 0, 0)
    );
}

#[test]
fn with_drop_all_is_read_and_the_oldest_beyond_the_cap_goes() {
    let rig = Rig::new(1 << 16, 1);
    let samples = ramp(50 * BLOCK);
    let raw = Raw::new("tcp".into(), true, None);
    let played = hear(rig, raw, &[&le_bytes(&samples)]);
    let entry = played.rig.entry();
    assert_eq!(entry.offered, samples.len() as u64);
    assert!(entry.discarded > 30 * BLOCK as u64, "{}", entry.discarded);
    assert_eq!(played.rig.network().discarded_latency_cap, entry.discarded);
    assert!(played.rig.settings.playout.latency_cap < Duration::from_secs(1));
}
