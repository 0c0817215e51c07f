//! Gain, mute and solo while streams play: every change is a straight line of 20 ms, by the mix's time,
//! from the gain that was in force; what is silenced is accounted for; and a channel strip shows all of it.

mod model;

use std::sync::Arc;

use mixpool::{
    audio::Gain,
    ledger::StreamState,
    mixer::{ChannelStrip, Command, NewInput},
    queue::LeaseId,
};

use crate::rig::{BLOCK, Rig, Setup, TestStream, noise};

const N: u64 = BLOCK as u64;
const SILENCE: [i16; BLOCK] = [0; BLOCK];

fn gain(linear: f32) -> Gain {
    Gain::from_linear(linear).unwrap()
}

#[test]
fn a_mute_takes_20_ms_in_a_straight_line() {
    for (rate_hz, blocks) in [(8_000, 1), (24_000, 3)] {
        let mut rig = Setup {
            rate_hz,
            ..Setup::mono()
        }
        .rig();
        let mut stream = rig.stream();
        let length = blocks * BLOCK;
        stream.say_all(&vec![16_000; 2 * BLOCK + length]);
        rig.tick();
        rig.mixer.apply(Command::SetMuted(stream.lease(), true));
        let heard = rig.ticks(blocks);
        let line = (1..=length).map(|passed| {
            let left = (length - passed) as f64 / length as f64;
            (16_000.0 * left).round_ties_even() as i16
        });
        assert!(heard.into_iter().eq(line));
        assert_eq!(stream.entry().muted, 0, "samples on the way are heard");
        assert_eq!(rig.tick(), SILENCE);
        assert_eq!(stream.entry().muted, N);
    }
}

#[test]
fn a_stream_admitted_muted_is_silent_from_its_first_sample() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.unadmitted();
    let new = NewInput::new(stream.lease(), Arc::clone(&stream.account));
    let new = new.muted(true);
    assert!(new.channel_strip().read().muted);
    rig.mixer.apply(Command::Admit(new));
    stream.say_all(&[16_000; 3 * BLOCK]);
    assert_eq!(rig.tick(), SILENCE);
    assert_eq!((stream.entry().mixed, stream.entry().muted), (0, N));
    rig.mixer.apply(Command::SetMuted(stream.lease(), false));
    let heard = rig.tick();
    assert!(heard.is_sorted() && heard[0] < 200 && heard[BLOCK - 1] == 16_000);
}

/// Streams that say noise, block after block.
struct Choir {
    rig: Rig,
    senders: Vec<TestStream>,
    block: u64,
}

impl Choir {
    fn new(setup: Setup, count: usize) -> Self {
        let mut rig = setup.rig();
        let senders = (0..count).map(|_| rig.stream()).collect();
        Self {
            rig,
            senders,
            block: 0,
        }
    }

    fn lease(&self, who: usize) -> LeaseId {
        self.senders[who].lease()
    }

    fn solo(&mut self, who: usize, solo: bool) {
        let lease = self.lease(who);
        self.rig.mixer.apply(Command::SetSolo(lease, solo));
    }

    fn signal(&self, who: usize) -> Vec<i16> {
        let channels = usize::from(self.rig.format.channels());
        noise(self.block * 100 + who as u64, BLOCK * channels, 20_000)
    }

    fn sing(&mut self) -> Vec<i16> {
        for who in 0..self.senders.len() {
            let signal = self.signal(who);
            self.senders[who].say(&signal);
        }
        self.block += 1;
        self.rig.tick()
    }
}

#[test]
fn soloing_and_back_again_restores_the_mix_bit_for_bit() {
    for setup in [Setup::mono(), Setup::stereo(), Setup::mono().limited()] {
        let (mut soloed, mut plain) = (Choir::new(setup, 5), Choir::new(setup, 5));
        for block in 0..60 {
            match block {
                5 => soloed.solo(2, true),
                10 => soloed.solo(4, true),
                15 => soloed.solo(2, false),
                20 => soloed.solo(4, false),
                _ => {}
            }
            let (one, other) = (soloed.sing(), plain.sing());
            // The limiter takes its time to forget.
            let restored = setup.limiting == mixpool::mixer::Limiting::Saturate || block > 55;
            if block < 5 || block > 20 && restored {
                assert!(one == other, "block {block}");
            } else if restored {
                assert!(one != other, "block {block}");
            }
        }
    }
}

#[test]
fn while_any_stream_is_solo_the_others_are_consumed_unheard() {
    let mut choir = Choir::new(Setup::mono(), 3);
    choir.sing();
    choir.solo(1, true);
    choir.sing();
    for _ in 0..3 {
        let signal = choir.signal(1);
        assert_eq!(choir.sing(), signal);
    }
    for (who, sender) in choir.senders.iter().enumerate() {
        let expected = if who == 1 { (5 * N, 0) } else { (2 * N, 3 * N) };
        assert_eq!((sender.entry().mixed, sender.entry().muted), expected);
    }
    // Mute is stronger.
    let lease = choir.lease(1);
    choir.rig.mixer.apply(Command::SetMuted(lease, true));
    choir.sing();
    assert_eq!(choir.sing(), SILENCE);
}

#[test]
fn the_others_return_when_the_solo_stream_ends_in_any_way() {
    for by_command in [false, true] {
        let mut choir = Choir::new(Setup::mono(), 2);
        choir.solo(0, true);
        choir.sing();
        assert_eq!(choir.senders[1].entry().muted, N);
        let first = choir.senders.remove(0);
        if by_command {
            choir.rig.mixer.apply(Command::End(first.lease()));
        } else {
            first.close();
            // Its end is seen by a tick.
            choir.sing();
        }
        choir.sing();
        let signal = choir.signal(0);
        assert_eq!(choir.sing(), signal);
    }
}

#[test]
fn a_stream_that_waits_can_be_solo_and_silences_the_others() {
    let mut rig = Setup::mono().rig();
    let (waits, mut talks) = (rig.stream(), rig.stream());
    talks.say_all(&[900; 4 * BLOCK]);
    rig.tick();
    rig.mixer.apply(Command::SetSolo(waits.lease(), true));
    rig.tick();
    assert_eq!(rig.tick(), SILENCE);
    rig.mixer.apply(Command::SetSolo(waits.lease(), true));
    rig.mixer.apply(Command::SetSolo(waits.lease(), false));
    assert_eq!(rig.tick()[BLOCK - 1], 900);
}

#[test]
fn commands_before_the_first_sample_apply_to_it() {
    for delay in [0, 3] {
        for told_after_the_frame in [false, true] {
            let mut rig = Setup::mono().delay(delay).rig();
            let (mut stream, mut solo) = (rig.stream(), rig.stream());
            let tell = |rig: &mut Rig, stream: &TestStream, solo: &TestStream| {
                rig.mixer.apply(Command::SetGain(stream.lease(), gain(0.5)));
                rig.mixer.apply(Command::SetSolo(solo.lease(), true));
                rig.mixer.apply(Command::SetGain(solo.lease(), gain(2.0)));
            };
            if !told_after_the_frame {
                tell(&mut rig, &stream, &solo);
            }
            stream.say(&[100; BLOCK]);
            solo.say(&[10; BLOCK]);
            rig.mixer.collect();
            if told_after_the_frame {
                tell(&mut rig, &stream, &solo);
            }
            rig.ticks(delay as usize);
            assert_eq!(rig.tick(), [20; BLOCK]);
            assert_eq!((stream.entry().mixed, stream.entry().muted), (0, N));
            rig.mixer.apply(Command::SetSolo(solo.lease(), false));
            stream.say(&[100; BLOCK]);
            assert_eq!(rig.tick()[BLOCK - 1], 50);
        }
    }
}

#[test]
fn a_ramp_goes_on_where_samples_are_missing() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    stream.say(&[1_000; BLOCK]);
    rig.tick();
    rig.mixer.apply(Command::SetMuted(stream.lease(), true));
    stream.skip(1);
    stream.say(&[1_000; BLOCK]);
    assert_eq!(rig.ticks(2), [0; 2 * BLOCK]);
}

#[test]
fn concealment_is_faded_like_samples_and_is_in_no_term() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    for block in 0..3 {
        stream.conceal(block * N, &[1_000; BLOCK]);
    }
    rig.tick();
    rig.mixer.apply(Command::SetMuted(stream.lease(), true));
    let heard = rig.tick();
    assert_eq!((heard[BLOCK / 2 - 1], heard[BLOCK - 1]), (500, 0));
    assert_eq!(rig.tick(), SILENCE);
    let entry = stream.entry();
    assert_eq!((entry.offered, entry.mixed, entry.muted), (0, 0, 0));
}

#[test]
fn a_channel_strip_shows_commands_at_once_and_the_phase() {
    let mut rig = Setup::mono().slots(1).rig();
    for round in 0..3 {
        let (mut stream, channel_strip) = rig.channel_strip();
        let lease = stream.lease();
        assert_eq!(stream.account.state(), StreamState::Waiting);
        rig.tick();
        assert_eq!(stream.account.state(), StreamState::Waiting);
        stream.say(&[5; BLOCK]);
        rig.mixer.apply(Command::SetGain(lease, gain(0.25)));
        rig.mixer.apply(Command::SetMuted(lease, true));
        rig.mixer.apply(Command::SetSolo(lease, round > 0));
        let state = channel_strip.read();
        let told = (state.gain, state.muted, state.solo);
        assert_eq!(told, (gain(0.25), true, round > 0));
        rig.tick();
        assert_eq!(stream.account.state(), StreamState::Playing);
        match round {
            0 => {}
            1 => rig.mixer.apply(Command::End(lease)),
            _ => rig.mixer.apply(Command::SetSolo(lease, false)),
        }
        assert!(!channel_strip.read().solo);
        let account = stream.close();
        rig.tick();
        let unreleased = match round {
            1 => StreamState::Ending,
            _ => StreamState::Playing,
        };
        assert_eq!(account.state(), unreleased, "its ring is not given back");
        rig.mixer.collect();
        let state = channel_strip.read();
        assert_eq!((account.state(), state.peak), (StreamState::Ended, 0));
        assert_eq!((state.gain, state.muted), (gain(0.25), true));
        assert_eq!(account.read().muted, N);
        // A command that comes too late for it changes nothing.
        rig.mixer.apply(Command::SetMuted(lease, false));
        assert!(channel_strip.read().muted);
    }
}

#[test]
fn levels_show_the_peak_of_five_ticks_and_the_ring_fill() {
    // More than fit a window's ticks, and some of them leave.
    const STREAMS: usize = 23;
    let mut rig = Setup::mono().slots(STREAMS).rig();
    let mut streams: Vec<(TestStream, Arc<ChannelStrip>)> =
        (0..STREAMS).map(|_| rig.channel_strip()).collect();
    let mut peaks: Vec<Vec<u16>> = vec![Vec::new(); STREAMS];
    for (stream, _) in &streams[..9] {
        // Before gain and mute.
        rig.mixer.apply(Command::SetMuted(stream.lease(), true));
    }
    for tick in 0..100_u64 {
        if tick % 10 == 9 {
            let gone = (tick * 7) as usize % streams.len();
            drop(streams.swap_remove(gone));
            peaks.swap_remove(gone);
        }
        for (at, ((stream, _), peaks)) in streams.iter_mut().zip(&mut peaks).enumerate() {
            let peak = (tick * 31 + at as u64 * 101) as i16 % 3_000 + 1;
            let mut samples = [0; BLOCK];
            samples[tick as usize] = -peak;
            stream.say(&samples);
            // So that something waits.
            if tick == 0 {
                stream.say(&[0; BLOCK]);
            }
            peaks.push(peak.unsigned_abs());
        }
        rig.tick();
        if tick < 10 {
            continue;
        }
        for ((stream, channel_strip), peaks) in streams.iter().zip(&peaks) {
            let state = channel_strip.read();
            // The last command waits one tick.
            let played = &peaks[..peaks.len() - 1];
            let windows: Vec<_> = (0..5)
                .map(|back| {
                    let end = played.len() - back;
                    *played[end - 5..end].iter().max().unwrap()
                })
                .collect();
            assert!(
                windows.contains(&state.peak),
                "{} of {windows:?}",
                state.peak
            );
            assert_eq!(state.ring_filled_bytes, 344);
            assert_eq!(stream.entry().in_ring, N);
        }
    }
}
