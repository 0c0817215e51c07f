//! Streams over stream sockets, from real sockets on the loopback to the mix and back.
//!
//! The mixer is run by the test, on the mix's own clock; a test that is late changes nothing, since the
//! clock decides where samples play.

mod desk;
mod ended;
mod refused;

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use desk::{Desk, audio, audio_kind, le_bytes, messages, read_now, take_messages, tone, uuid};
use mixpool::{
    ledger::{Entry, Refusal},
    net::conn::Listen,
    wire::audiosocket::{Message, parse},
};

use crate::{
    child::in_child,
    patience::{PATIENCE as TEST, wait_until},
};

fn audiosocket() -> Listen {
    Listen::AudioSocket {
        address: "127.0.0.1:0".parse().unwrap(),
        plain_hz: None,
        room: None,
    }
}

fn tcp(drop: bool) -> Listen {
    Listen::Tcp {
        address: "127.0.0.1:0".parse().unwrap(),
        drop,
        room: None,
    }
}

/// The part of the mix in which anything is heard.
fn sound(mix: &[i16]) -> &[i16] {
    let first = mix.iter().position(|&sample| sample != 0).unwrap_or(0);
    let last = mix.iter().rposition(|&sample| sample != 0).unwrap_or(0);
    &mix[first..=last]
}

#[test]
fn a_file_sent_at_once_plays_in_real_time_bit_for_bit() {
    // A ring of 47 blocks for three times as many: the sender waits, and nothing is lost. Almost a second is
    // in the ring, so that neither this thread nor the listener's finds it empty when it was kept waiting.
    let mut desk = Desk::builder().ring_bytes(16 << 10).start(vec![tcp(false)]);
    let samples = tone(24_000, 0.1);
    let mut peer = desk.connect(0);
    let bytes = le_bytes(&samples);
    let pour = thread::spawn(move || peer.write_all(&bytes));
    desk.run_until(TEST, |desk| desk.entry("tcp-").mixed == 24_000);
    pour.join().unwrap().unwrap();
    let entry = desk.entry("tcp-");
    desk.run_lookahead();
    assert!(sound(&desk.mix) == sound(&samples));
    assert_eq!(entry.offered, 24_000);
    assert_eq!((entry.dropped() + entry.discarded, entry.concealed), (0, 0));
    desk.run_until(TEST, |desk| desk.mixer.streams() == 0);
    desk.check();
}

#[test]
fn a_unix_socket_takes_headers_and_its_file_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.sock");
    let listen = Listen::Unix {
        path: path.clone(),
        drop: false,
        room: None,
    };
    let mut desk = Desk::builder().speed(4).start(vec![listen]);
    let samples = tone(4_000, 0.2);
    let mut peer = UnixStream::connect(&path).unwrap();
    peer.write_all(b"MIXPOOL/1 id=desk-3 gain=0\n").unwrap();
    peer.write_all(b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0")
        .unwrap();
    peer.write_all(&le_bytes(&samples)).unwrap();
    drop(peer);
    let mut plain = UnixStream::connect(&path).unwrap();
    plain.write_all(&[0; 2]).unwrap();
    desk.run_until(TEST, |desk| {
        desk.has("desk-3") && desk.entry("desk-3").mixed == 4_000 && desk.has("unix-2")
    });
    desk.run_lookahead();
    assert!(sound(&desk.mix) == sound(&samples));
    desk.check();
    drop(desk);
    assert!(!path.exists());
}

#[test]
fn a_line_that_cannot_be_obeyed_is_answered() {
    let desk = Desk::builder().start(vec![tcp(false)]);
    let mut peer = desk.connect(0);
    peer.write_all(b"MIXPOOL/1 volume=11\n").unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    assert_eq!(
        answer,
        "mixpool: there is no key \"volume\"; the keys are id, label, rate, channels, format, gain, room, muted\n"
    );
}

#[test]
fn each_call_hears_the_mix_without_itself() {
    let mut desk = Desk::builder().start(vec![audiosocket()]);
    let levels = [1_000_i16, 300, 0];
    let mut calls: Vec<_> = (1_u8..)
        .zip(levels)
        .map(|(number, level)| {
            let mut call = desk.connect(0);
            call.write_all(&uuid(number)).unwrap();
            (call, level)
        })
        .collect();
    let sum: i16 = levels.iter().sum();
    let mut heard = [const { (Vec::new(), Vec::new()) }; 3];
    // At the pace of the mix, until each has heard the others for a while.
    desk.run_until(TEST, |_| {
        let others = calls.iter_mut().zip(&mut heard);
        let plateaus = others.map(|((call, level), (bytes, frames))| {
            call.write_all(&audio(&[*level; 160])).unwrap();
            read_now(call, bytes);
            frames.extend(take_messages(bytes));
            let is_all = |frame: &&Vec<i16>| frame.iter().all(|&sample| sample == sum - *level);
            frames.iter().filter(is_all).count()
        });
        plateaus.min() >= Some(10)
    });
    for ((_, level), (_, frames)) in calls.iter().zip(&heard) {
        // The first comes before any mix, and is silence.
        assert_eq!(frames[0], vec![0; 160]);
        assert_eq!(frames.iter().flatten().max(), Some(&(sum - *level)));
    }
    desk.check();
}

#[test]
fn a_call_at_another_rate_hears_the_mix_at_its_own() {
    let mut desk = Desk::builder().start(vec![audiosocket()]);
    let (mut low, mut high) = (desk.connect(0), desk.connect(0));
    low.write_all(&uuid(1)).unwrap();
    high.write_all(&uuid(2)).unwrap();
    let (mut bytes, mut loud) = (Vec::new(), 0);
    // Until it has heard a quarter of a second at the level of the other.
    desk.run_until(TEST, |_| {
        low.write_all(&audio(&[1_000; 160])).unwrap();
        high.write_all(&audio_kind(0x12, &[0; 320])).unwrap();
        read_now(&mut high, &mut bytes);
        while let Some((message, taken)) = parse(&bytes).unwrap() {
            if let Message::Audio {
                rate_hz: 16_000,
                payload,
            } = message
            {
                // The output begins within a block: the mix is delayed by the look-ahead.
                assert!([480, 640].contains(&payload.len()));
                let near =
                    |pair: &[u8]| i16::from_le_bytes([pair[0], pair[1]]).abs_diff(1_000) < 20;
                loud += payload.chunks(2).filter(|pair| near(pair)).count();
            }
            bytes.drain(..taken);
        }
        loud > 16_000 / 4
    });
    desk.check();
}

#[test]
fn a_peer_that_only_listens_hears_its_rate_from_the_first_frame() {
    let mut desk = Desk::builder().start(vec![audiosocket()]);
    let mut peers = [1, 2].map(|number| (desk.connect(0), number));
    for (peer, number) in &mut peers {
        // It says its rate by a message without samples, with its name or a moment later.
        let announced = audio_kind(0x12, &[]);
        if *number == 1 {
            peer.write_all(&[uuid(1), announced].concat()).unwrap();
        } else {
            peer.write_all(&uuid(2)).unwrap();
            thread::sleep(Duration::from_millis(5));
            peer.write_all(&announced).unwrap();
        }
    }
    desk.run_until(TEST, |desk| {
        ["0101", "0202"].map(|id| desk.network(id).totals.output_frames > 10) == [true; 2]
    });
    for (peer, _) in &mut peers {
        let (mut bytes, mut rates) = (Vec::new(), Vec::new());
        wait_until("it hears some frames", || {
            read_now(peer, &mut bytes);
            while let Some((message, taken)) = parse(&bytes).unwrap() {
                if let Message::Audio { rate_hz, .. } = message {
                    rates.push(rate_hz);
                }
                bytes.drain(..taken);
            }
            rates.len() > 5
        });
        assert_eq!(rates, vec![16_000; rates.len()]);
    }
    desk.check();
}

#[test]
fn a_peer_that_never_reads_loses_only_its_own_frames() {
    // Blocks of 20 ms at 48 kHz, four times as fast: the kernel's buffers are full soon.
    let mut desk = Desk::builder()
        .rate_hz(48_000)
        .speed(4)
        .start(vec![audiosocket()]);
    let (mut deaf, mut other) = (desk.connect(0), desk.connect(0));
    deaf.write_all(&uuid(1)).unwrap();
    other.write_all(&uuid(2)).unwrap();
    for call in [&mut deaf, &mut other] {
        call.write_all(&audio_kind(0x16, &[0; 960])).unwrap();
    }
    let mut reader = other.try_clone().unwrap();
    let reading = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = reader.read_to_end(&mut bytes);
        bytes
    });
    // A thread that was kept waiting loses frames of both; those that the deaf one loses beside are its own.
    desk.run_until(TEST, |desk| {
        let dropped = |id| desk.network(id).totals.output_dropped_frames;
        dropped("0101") > dropped("0202") + 20
    });
    assert!(desk.network("0101").totals.output_frames > 0);
    let expected = desk.network("0202").totals.output_frames;
    // The deaf peer at last reads whole messages, of which the first came before any mix.
    let (mut bytes, mut whole) = (Vec::new(), 0);
    wait_until("it finds all that was sent", || {
        read_now(&mut deaf, &mut bytes);
        whole += take_messages(&mut bytes).len() as u64;
        whole >= desk.network("0101").totals.output_frames
    });
    desk.finish();
    deaf.set_read_timeout(Some(TEST)).unwrap();
    deaf.read_to_end(&mut bytes).unwrap();
    whole += messages(bytes).len() as u64;
    let sent = desk.network("0101").totals.output_frames;
    assert!(whole <= sent + 2, "{whole} of {sent}");
    assert!(messages(reading.join().unwrap()).len() as u64 >= expected);
}

/// Messages of a flood: some minutes of audio.
const MESSAGES: usize = 20_000;

#[test]
fn a_flood_is_drained_and_accounted_for_and_slows_nobody() {
    let mut desk = Desk::builder().start(vec![audiosocket()]);
    let (mut flood, mut other) = (desk.connect(0), desk.connect(0));
    other.write_all(&uuid(2)).unwrap();
    let pour = thread::spawn(move || {
        flood.write_all(&uuid(1)).unwrap();
        let message = audio(&[50; 160]);
        (0..MESSAGES).for_each(|_| flood.write_all(&message).unwrap());
        flood
    });
    let mut sent = 0;
    while !pour.is_finished() || sent < 25 {
        other.write_all(&audio(&[700; 160])).unwrap();
        sent += 1;
        desk.run_ticks(1);
    }
    let flood = pour.join().unwrap();
    // Closed with the mix unread, they would reset the connection, and what was not yet taken were lost.
    for call in [&flood, &other] {
        call.shutdown(Shutdown::Write).unwrap();
    }
    desk.run_until(TEST, |desk| {
        desk.entry("0101").offered == 160 * MESSAGES as u64
            && desk.entry("0202").offered == 160 * sent
            && desk.mixer.streams() == 0
    });
    let (flooded, steady) = (desk.entry("0101"), desk.entry("0202"));
    let events = desk.network("0101").events;
    let bursts = events
        .iter()
        .filter(|event| event.what.starts_with("burst: "));
    assert_eq!(bursts.count(), 1);
    assert_eq!(flooded.offered, 160 * MESSAGES as u64);
    let placed = |entry: &Entry| entry.mixed + entry.dropped() + entry.discarded;
    assert_eq!(placed(&flooded), flooded.offered);
    assert!(flooded.discarded > flooded.offered / 2);
    assert_eq!(steady.offered, 160 * sent);
    assert_eq!(placed(&steady), steady.offered);
    desk.check();
}

#[test]
fn many_calls_are_served_by_one_thread() {
    const CALLS: u8 = 100;
    if !in_child("connections::many_calls_are_served_by_one_thread", "true") {
        return;
    }
    let before = threads();
    let mut desk = Desk::builder().slots(128).start(vec![audiosocket()]);
    let mut calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let mut call = desk.connect(0);
            call.write_all(&[uuid(number), audio(&[10; 160])].concat())
                .unwrap();
            call
        })
        .collect();
    desk.run_until(TEST, |desk| desk.mixer.playing() == usize::from(CALLS));
    assert_eq!(threads(), before + 1);
    desk.run_ticks(10);
    for call in &mut calls {
        let (mut bytes, mut heard) = (Vec::new(), 0);
        wait_until("it hears the mix", || {
            read_now(call, &mut bytes);
            heard += take_messages(&mut bytes).len();
            heard >= 2
        });
        call.write_all(b"\0\0\0").unwrap();
    }
    desk.run_until(TEST, |desk| desk.mixer.streams() == 0);
    for entry in desk.entries() {
        // Frames that the listeners' thread was too late for do not depend on how many listeners there are.
        assert_eq!(
            (
                entry.offered,
                entry.mixed + entry.dropped() + entry.discarded
            ),
            (160, 160)
        );
    }
    desk.check();
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn a_silent_connection_is_closed_and_an_idle_stream_released() {
    let mut desk = Desk::builder()
        .timeouts(Duration::from_millis(100), Duration::from_millis(200))
        .start(vec![audiosocket(), tcp(false)]);
    let (mut mute, mut bare) = (desk.connect(0), desk.connect(1));
    let mut idle = desk.connect(0);
    idle.write_all(&uuid(1)).unwrap();
    let reading = thread::spawn(move || {
        let mut ends = Vec::new();
        for peer in [&mut mute, &mut bare, &mut idle] {
            let mut bytes = Vec::new();
            peer.read_to_end(&mut bytes).unwrap();
            ends.push(bytes);
        }
        ends
    });
    desk.run_until(TEST, |_| reading.is_finished());
    let ends = reading.join().unwrap();
    // The calls get a hangup, the second after its audio.
    assert_eq!(ends[0], [0, 0, 0]);
    let line = b"mixpool: nothing valid came in time: within 100ms (first_message_timeout)\n";
    assert_eq!(ends[1], line);
    assert!(ends[2].len() > 323 && ends[2].ends_with(&[0, 0, 0]));
    let accounts = desk.accounts();
    let first = Refusal::FirstMessage as usize;
    assert_eq!(
        (accounts[0].refused[first], accounts[1].refused[first]),
        (1, 1)
    );
    assert_eq!(accounts[0].timed_out, 1);
    assert_eq!(desk.network("0101").events[0].what, "idle for too long");
    desk.run_until(TEST, |desk| desk.mixer.streams() == 0);
    desk.check();
}

#[test]
fn a_sender_is_not_idle_while_its_audio_still_plays() {
    let mut desk = Desk::builder()
        .timeouts(Duration::from_secs(60), Duration::from_millis(200))
        .start(vec![tcp(false)]);
    let mut peer = desk.connect(0);
    peer.write_all(&le_bytes(&[100; 8_000])).unwrap();
    // Most of a second: the clock, not this test, says what has played.
    desk.run_ticks(40);
    peer.write_all(&le_bytes(&[100; 800])).unwrap();
    desk.run_until(TEST, |desk| desk.entry("tcp-").mixed == 8_800);
    assert_eq!(desk.entry("tcp-").concealed, 0);
    desk.run_until(TEST, |desk| desk.mixer.streams() == 0);
    assert_eq!(desk.accounts()[0].timed_out, 1);
    desk.check();
}

#[test]
fn a_call_that_is_sent_at_once_says_how_much_was_discarded() {
    let mut desk = Desk::builder().start(vec![audiosocket()]);
    let mut call = desk.connect(0);
    let second = vec![audio(&[50; 160]); 50].concat();
    call.write_all(&[uuid(1), second.repeat(4)].concat())
        .unwrap();
    drop(call);
    desk.run_until(TEST, |desk| {
        desk.has("0101") && desk.mixer.streams() == 0 && desk.entry("0101").offered == 32_000
    });
    let network = desk.network("0101");
    let discarded = network.discarded_latency_cap;
    assert!(discarded > 16_000, "{discarded}");
    let says = format!("burst: {:.2} s discarded", discarded as f64 / 8_000.0);
    let events: Vec<_> = network.events.iter().map(|event| &*event.what).collect();
    assert!(events.contains(&&*says), "{says}: {events:?}");
    desk.check();
}
