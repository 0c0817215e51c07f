use super::{
    super::tests::{BLOCK, PERIOD_NS, Rig, le_bytes, ramp},
    *,
};
use crate::output::RoomId;

const UUID: &[u8] = b"\x01\x00\x10\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";

fn audio(kind: u8, samples: &[i16]) -> Vec<u8> {
    let [high, low] = (2 * samples.len() as u16).to_be_bytes();
    [&[kind, high, low][..], &le_bytes(samples)].concat()
}

/// A call that is fed by hand.
struct Line {
    rig: Rig,
    call: Call,
    caller: Caller,
    replies: Vec<Vec<u8>>,
}

impl Line {
    fn new(plain_hz: Option<u32>) -> Self {
        Self {
            rig: Rig::new(1 << 16, 1),
            call: Call::new(plain_hz, None),
            caller: Caller::default(),
            replies: Vec::new(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), EndReason> {
        let replies = &mut self.replies;
        let mut reply = |message: &[u8]| {
            replies.push(message.to_vec());
            true
        };
        let context = self.rig.context();
        self.call
            .receive(bytes, &mut self.caller, &context, &mut reply)
    }

    /// Ends the connection, and plays the rest. Returns all that was played.
    fn end(self) -> (Rig, Vec<(u64, Vec<i16>)>) {
        let Self {
            rig,
            mut call,
            mut caller,
            ..
        } = self;
        call.end(&EndReason::HungUp, &mut caller, &rig.context());
        let played = rig.play_out(caller.into_input());
        (rig, played)
    }
}

/// The played samples, from the first that is not zero to the last.
fn sound(played: &[(u64, Vec<i16>)]) -> Vec<i16> {
    let all: Vec<_> = played.iter().flat_map(|(_, run)| run).copied().collect();
    let first = all
        .iter()
        .position(|&sample| sample != 0)
        .unwrap_or(all.len());
    let last = all
        .iter()
        .rposition(|&sample| sample != 0)
        .map_or(first, |at| at + 1);
    all[first..last].to_vec()
}

#[test]
fn a_call_identifies_plays_and_hangs_up_in_any_pieces() {
    let samples = ramp(3 * BLOCK);
    let messages: Vec<_> = samples
        .chunks(BLOCK)
        .map(|chunk| audio(0x10, chunk))
        .collect();
    let bytes = [UUID, &messages.concat(), b"\x03\0\x015", b"\0\0\0"].concat();
    for cut in 0..=bytes.len() {
        let mut line = Line::new(None);
        let (first, second) = bytes.split_at(cut);
        let done = line.feed(first).and_then(|()| line.feed(second));
        assert!(matches!(done, Err(EndReason::HungUp)), "{cut}");
        assert_eq!(
            line.rig.account().id(),
            "00010203-0405-0607-0809-0a0b0c0d0e0f"
        );
        let (rig, played) = line.end();
        assert_eq!(sound(&played), samples, "{cut}");
        assert_eq!(rig.entry().offered, samples.len() as u64);
        assert_eq!(rig.events(), ["dtmf 5", "hangup"]);
        let network = rig.network();
        assert_eq!(
            (network.totals.received, network.totals.telephone_event),
            (4, 1)
        );
        assert_eq!(rig.listener.read().malformed, [0; 8]);
    }
}

#[test]
fn bytes_one_by_one_come_to_the_same() {
    let samples = ramp(BLOCK);
    let bytes = [UUID, &audio(0x10, &samples)].concat();
    let mut line = Line::new(None);
    for byte in bytes.chunks(1) {
        line.feed(byte).unwrap();
    }
    let (_, played) = line.end();
    assert_eq!(sound(&played), samples);
}

#[test]
fn the_first_frame_back_is_silence_at_the_callers_rate() {
    for (plain_hz, kind, samples) in [
        (None, 0x10, 160),
        (Some(16_000), 0x10, 320),
        (None, 0x12, 320),
        (Some(16_000), 0x16, 960),
    ] {
        for played in [&[][..], &[1; 7]] {
            let mut line = Line::new(plain_hz);
            line.feed(UUID).unwrap();
            assert!(line.replies.is_empty());
            assert!(line.caller.mix_minus().is_some());
            line.feed(&audio(kind, played)).unwrap();
            line.feed(&audio(kind, played)).unwrap();
            assert_eq!(line.replies, [audio(kind, &vec![0; samples])]);
            assert_eq!(line.rig.network().totals.output_frames, 1);
        }
    }
}

#[test]
fn a_peer_that_sends_no_audio_hears_from_the_third_frame_on() {
    let mut line = Line::new(None);
    line.feed(UUID).unwrap();
    let mut mixes = Mixes::new(line.rig.clock.format);
    let mut sent = (0..5).map(|frame| {
        let frame = Piece::of_main(frame * BLOCK as u64, &[5; BLOCK]);
        mixes.push(RoomId::MAIN, frame.first, frame.samples);
        match line.call.encode(&frame, &mut mixes).unwrap() {
            Reply::Message(message) => Some(message.to_vec()),
            Reply::HeldBack => None,
            reply => panic!("{reply:?}"),
        }
    });
    assert_eq!(sent.by_ref().take(2).collect::<Vec<_>>(), [None, None]);
    assert!(sent.all(|message| message == Some(audio(0x10, &[5; BLOCK]))));
}

#[test]
fn the_kind_of_a_message_tells_how_its_peer_is_spoken_to() {
    for (kind, rate_hz) in [(0x10, 8_000), (0x12, 16_000), (0x16, 48_000)] {
        let mut line = Line::new(None);
        line.feed(&[UUID, &audio(kind, &ramp(480))].concat())
            .unwrap();
        let return_format = line.call.encoder.return_format();
        let form = Form::AudioSocket {
            claimed_hz: rate_hz,
        };
        assert_eq!((return_format.rate_hz, return_format.form), (rate_hz, form));
    }
}

#[test]
fn a_listener_s_rate_is_that_of_messages_that_claim_8_khz() {
    // A second of a low tone at 16 kHz, as old releases send it, and the same as they should.
    let tone: Vec<i16> = (0..16_000)
        .map(|at| ((f64::from(at) * 0.05).sin() * 8_000.0) as i16)
        .collect();
    let played = |plain_hz, kind| {
        let mut line = Line::new(plain_hz);
        // The latency cap is not what is looked at.
        line.rig.settings.playout.latency_cap = std::time::Duration::from_secs(10);
        line.feed(&[UUID, &audio(kind, &tone)].concat()).unwrap();
        let claimed_hz = if kind == 0x10 { 8_000 } else { 16_000 };
        let form = line.call.encoder.return_format().form;
        assert_eq!(form, Form::AudioSocket { claimed_hz });
        sound(&line.end().1)
    };
    let right = played(None, 0x12);
    assert!(right.len().abs_diff(8_000) < 100, "{}", right.len());
    assert_eq!(played(Some(16_000), 0x10), right);
    assert!(played(None, 0x10).len().abs_diff(16_000) < 10);
}

#[test]
fn another_rate_in_the_middle_of_a_call_goes_on_with_it() {
    let mut line = Line::new(None);
    line.rig.settings.playout.latency_cap = std::time::Duration::from_secs(10);
    let low = vec![1_000; 4 * BLOCK];
    let high = vec![1_000; 8 * BLOCK];
    let bytes = [
        UUID,
        &audio(0x10, &low),
        &audio(0x12, &high),
        &audio(0x10, &low),
    ]
    .concat();
    line.feed(&bytes).unwrap();
    let (rig, played) = line.end();
    // Less what the change's filter keeps for itself: a few milliseconds.
    let length = sound(&played).len();
    assert!((10 * BLOCK..=12 * BLOCK).contains(&length), "{length}");
    assert_eq!(rig.entry().segments, 1);
}

#[test]
fn a_call_that_goes_without_a_word_ends_as_others_do() {
    let samples = ramp(2 * BLOCK);
    let mut line = Line::new(None);
    line.feed(&[UUID, &audio(0x10, &samples)].concat()).unwrap();
    let (rig, played) = line.end();
    assert_eq!(sound(&played), samples);
    assert_eq!(rig.listener.read().malformed, [0; 8]);
    assert_eq!(rig.network().totals.malformed, 0);
}

#[test]
fn an_error_of_the_peer_is_an_event() {
    let mut line = Line::new(None);
    line.feed(&[UUID, b"\xff\0\x01\x02"].concat()).unwrap();
    assert_eq!(line.rig.events(), ["error [02] of the peer"]);
}

#[test]
fn a_connection_that_does_not_begin_with_a_uuid_is_none() {
    for bytes in [
        audio(0x10, &[1, 2]),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x03\0\x015".to_vec(),
    ] {
        let mut line = Line::new(None);
        // The length in a peer's header is waited for only as far as it may be true.
        let mut padded = bytes.clone();
        padded.resize(70_000, b' ');
        assert!(
            matches!(line.feed(&padded), Err(EndReason::Malformed(..))),
            "{bytes:?}"
        );
        assert_eq!(line.rig.streams(), 0);
        assert_eq!(line.rig.listener.read().malformed.iter().sum::<u64>(), 1);
    }
    let mut line = Line::new(None);
    assert!(matches!(line.feed(b"\0\0\0"), Err(EndReason::HungUp)));
}

#[test]
fn a_stranger_s_half_message_takes_no_more_than_a_uuid() {
    for header in [b"\x10\xff\xff", b"\x02\xff\xff", b"\xff\xff\xff"] {
        let mut line = Line::new(None);
        assert!(line.feed(header).is_err(), "{header:?}");
    }
}

#[test]
fn what_is_no_message_is_counted_and_what_can_be_used_is() {
    let mut line = Line::new(None);
    let samples = ramp(BLOCK);
    let mut odd = audio(0x10, &samples);
    odd[1..3].copy_from_slice(&(2 * BLOCK as u16 + 1).to_be_bytes());
    odd.push(0x55);
    line.feed(&[UUID, UUID, &odd, b"\x42\0\x02hi"].concat())
        .unwrap();
    let network = line.rig.network();
    assert_eq!(
        (network.totals.malformed, network.totals.unsupported),
        (2, 1)
    );
    assert!(matches!(
        line.feed(b"\x03\0\x02"),
        Err(EndReason::Malformed(..))
    ));
    let (rig, played) = line.end();
    assert_eq!(sound(&played), samples);
    let malformed = rig.listener.read().malformed;
    assert_eq!(malformed[Malformed::Payload as usize], 1);
    assert_eq!(malformed[Malformed::Kind as usize], 1);
    assert_eq!(malformed[Malformed::Length as usize], 1);
    assert_eq!(rig.network().totals.malformed, 3);
}

#[test]
fn a_connection_that_ends_in_a_message_is_counted() {
    let mut line = Line::new(None);
    line.feed(&[UUID, b"\x10\x01\x40half"].concat()).unwrap();
    let (rig, _) = line.end();
    assert_eq!(
        rig.listener.read().malformed[Malformed::TooShort as usize],
        1
    );
    assert_eq!(rig.network().totals.malformed, 1);
}

#[test]
fn a_call_beyond_the_last_slot_is_refused_and_counted() {
    let mut line = Line::new(None);
    line.feed(UUID).unwrap();
    let rig = line.rig;
    let mut others = [Call::new(None, None), Call::new(None, None)];
    let answers = others
        .each_mut()
        .map(|call| call.receive(UUID, &mut Caller::default(), &rig.context(), &mut |_| true));
    assert!(matches!(answers, [Ok(()), Err(EndReason::Refused(_))]));
    assert_eq!(rig.streams(), 2);
    assert_eq!(rig.listener.read().refused[1], 1);
}

#[test]
fn a_flood_is_read_and_discarded_beyond_the_latency_cap() {
    let mut line = Line::new(None);
    line.feed(UUID).unwrap();
    let second = ramp(8_000);
    for chunk in second.chunks(1_000) {
        line.feed(&audio(0x10, chunk)).unwrap();
    }
    let (rig, played) = line.end();
    let entry = rig.entry();
    let kept: usize = played.iter().map(|(_, run)| run.len()).sum();
    assert_eq!(entry.offered, 8_000);
    assert_eq!(entry.discarded, 8_000 - kept as u64);
    assert_eq!(rig.network().discarded_latency_cap, entry.discarded);
    // The newest are kept, no more than the cap.
    assert!((320..=1_600 + BLOCK).contains(&kept), "{kept}");
    assert_eq!(sound(&played), second[8_000 - kept..]);
}

#[test]
fn a_flood_of_keys_is_logged_ever_more_rarely_and_bounded() {
    let mut line = Line::new(None);
    line.feed(UUID).unwrap();
    line.feed(&b"\x03\0\x015".repeat(10_000)).unwrap();
    let network = line.rig.network();
    assert_eq!((network.events.len(), network.events_beyond), (256, 9_744));
    assert_eq!(network.totals.telephone_event, 10_000);
}

#[test]
fn a_paced_call_is_heard_whole_and_in_time() {
    let mut line = Line::new(None);
    line.feed(UUID).unwrap();
    let samples = ramp(50 * BLOCK);
    for (tick, chunk) in (0..).zip(samples.chunks(BLOCK)) {
        line.rig.now_ns += PERIOD_NS;
        line.feed(&audio(0x10, chunk)).unwrap();
        line.caller.before_tick(tick, line.rig.now_ns);
    }
    let (rig, played) = line.end();
    assert_eq!(sound(&played), samples);
    let entry = rig.entry();
    assert_eq!(
        (entry.discarded, entry.dropped_late, entry.concealed),
        (0, 0, 0)
    );
}

/// A call that comes evenly, but for 300 ms of which all is read at their end: before the ticks that were due
/// meanwhile, as by a thread that stood still, or after them.
fn read_at_once(before_ticks: bool) -> (Rig, Vec<(u64, Vec<i16>)>) {
    let mut line = Line::new(None);
    line.feed(UUID).unwrap();
    let samples = ramp(50 * BLOCK);
    let mut blocks = samples.chunks(BLOCK);
    let mut turn = |ticks: std::ops::Range<u64>, ticks_first: bool| {
        line.rig.now_ns = line.rig.clock.placed_ns(ticks.end - 1);
        for ticks_now in [ticks_first, !ticks_first] {
            for tick in ticks.clone() {
                if ticks_now {
                    let at_ns = if ticks_first {
                        line.rig.clock.placed_ns(tick)
                    } else {
                        line.rig.now_ns
                    };
                    line.caller.before_tick(tick, at_ns);
                } else {
                    line.feed(&audio(0x10, blocks.next().unwrap())).unwrap();
                }
            }
        }
    };
    (0..20).for_each(|tick| turn(tick..tick + 1, false));
    turn(20..35, !before_ticks);
    (35..50).for_each(|tick| turn(tick..tick + 1, false));
    line.end()
}

#[test]
fn a_thread_that_stood_still_finds_each_sample_in_its_place() {
    let (rig, played) = read_at_once(true);
    assert!(sound(&played) == ramp(50 * BLOCK), "some are not heard");
    assert_eq!(played.len(), 1);
    let entry = rig.entry();
    assert_eq!(
        (entry.discarded, entry.dropped_late, entry.concealed),
        (0, 0, 0)
    );
}

#[test]
fn a_burst_that_is_read_in_time_is_a_stall() {
    let (rig, played) = read_at_once(false);
    assert!(played.len() > 1, "it is heard without a gap");
    // It waits no longer than the latency cap lets it.
    assert_eq!(rig.network().discarded_latency_cap, rig.entry().discarded);
    assert!(rig.entry().discarded > 0);
}

#[test]
fn a_call_that_changes_its_rate_again_and_again_is_none() {
    let mut line = Line::new(None);
    line.feed(UUID).unwrap();
    let pair = [audio(0x12, &[1; 32]), audio(0x10, &[1; 16])].concat();
    assert!(line.feed(&pair.repeat(32)).is_ok());
    assert!(matches!(line.feed(&pair), Err(EndReason::Malformed(..))));
}

#[test]
fn what_we_end_ourselves_is_no_fault_of_the_peer() {
    let mut line = Line::new(None);
    line.feed(&[UUID, &audio(0x10, &[5; 320]), b"\x10\x01\x40half"].concat())
        .unwrap();
    let Line {
        rig,
        mut call,
        mut caller,
        ..
    } = line;
    call.end(&EndReason::EndedByCommand, &mut caller, &rig.context());
    let mut input = caller.into_input().unwrap();
    assert!(!input.is_done());
    input.abandon();
    let (entry, network) = (rig.entry(), rig.network());
    assert_eq!((entry.offered, entry.discarded), (320, 320));
    assert_eq!(
        (network.discarded_ended, network.totals.malformed),
        (320, 0)
    );
}
