//! The protocols of telephony: each caller is heard by the others, and hears the mix without itself.

use std::{
    thread,
    time::{Duration, Instant},
};

use mixpool::{audio::Encoding, wire::twilio};
use tungstenite::Message;

use super::{
    desk::{BLOCK, Desk, PATIENCE, Peer, contains, le_bytes, samples_of},
    paced,
};

fn mu_law(samples: &[i16]) -> Vec<u8> {
    let mut bytes = vec![0; samples.len()];
    Encoding::MuLaw.encode(samples, &mut bytes);
    bytes
}

fn of_mu_law(bytes: &[u8]) -> Vec<i16> {
    let mut samples = vec![0; bytes.len()];
    Encoding::MuLaw.decode(bytes, &mut samples);
    samples
}

/// A caller of one telephony protocol, at a level that mu-law has exactly.
struct Caller {
    peer: Peer,
    level: i16,
    sequence: usize,
    speaks: Spoken,
    heard: Vec<i16>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Bare,
    Media,
    Twilio,
    Linear,
}

impl Caller {
    fn new(peer: Peer, code: u8, speaks: Spoken) -> Self {
        Self {
            peer,
            level: of_mu_law(&[code])[0],
            sequence: 1,
            speaks,
            heard: Vec::new(),
        }
    }

    fn speak(&mut self) {
        let samples = [self.level; BLOCK];
        match self.speaks {
            Spoken::Bare | Spoken::Linear => self.peer.send(le_bytes(&samples)),
            Spoken::Media => self.peer.send(mu_law(&samples)),
            Spoken::Twilio => {
                let mut payload = Vec::new();
                twilio::encode(&mu_law(&samples), &mut payload);
                let payload = String::from_utf8(payload).unwrap();
                let (number, time) = (self.sequence + 1, 20 * (self.sequence - 1));
                self.peer.say(&format!(
                    r#"{{"event":"media","sequenceNumber":"{number}","media":{{"track":"inbound","chunk":"{}","timestamp":"{time}","payload":"{payload}"}},"streamSid":"MZ1"}}"#,
                    self.sequence
                ));
                self.sequence += 1;
            }
        }
    }

    fn listen(&mut self) {
        for message in self.peer.take() {
            let before = self.heard.len();
            match (self.speaks, message) {
                (Spoken::Bare | Spoken::Linear, Message::Binary(bytes)) => {
                    self.heard.extend(samples_of(&bytes));
                }
                (Spoken::Media, Message::Binary(bytes)) => {
                    self.heard.extend(of_mu_law(&bytes));
                }
                (Spoken::Twilio, Message::Text(text)) => {
                    let Ok(twilio::Event::Media { payload, .. }) = twilio::parse(&text) else {
                        panic!("{text}")
                    };
                    assert!(text.contains(r#""streamSid":"MZ1""#));
                    self.heard.extend(of_mu_law(&payload));
                }
                (_, other) => panic!("{other:?}"),
            }
            let length = self.heard.len() - before;
            // Its output begins within a block: the mix is delayed by the look-ahead.
            assert!(length == BLOCK || (before == 0 && length == BLOCK - 40));
        }
    }
}

#[test]
fn each_protocol_reaches_all_others_and_gets_its_mix_minus() {
    let desk = Desk::patient();
    let open = |query, subprotocol| Peer::speaking(&desk, query, subprotocol);
    let mut callers = vec![
        Caller::new(
            open("?id=bare&rate=8000&listen=true", None),
            0xc1,
            Spoken::Bare,
        ),
        Caller::new(open("", Some("media")), 0xb2, Spoken::Media),
        Caller::new(open("", None), 0xa3, Spoken::Twilio),
        Caller::new(open("", Some("audio.jambonz.org")), 0x94, Spoken::Linear),
        Caller::new(open("?id=vonage", None), 0xcf, Spoken::Linear),
    ];
    callers[1].peer.say("MEDIA_START connection_id:c-1 channel:WebSocket/x format:ulaw optimal_frame_size:160 ptime:20");
    callers[2]
        .peer
        .say(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    callers[2].peer.say(r#"{"event":"start","sequenceNumber":"1","start":{"streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"streamSid":"MZ1"}"#);
    callers[3]
        .peer
        .say(r#"{"callSid":"j-1","sampleRate":8000,"mixType":"mono"}"#);
    callers[4]
        .peer
        .say(r#"{"event":"websocket:connected","content-type":"audio/l16;rate=8000"}"#);
    let ids = ["bare", "c-1", "MZ1", "j-1", "vonage"];
    for id in ids {
        desk.stream(id);
    }
    let sum: i16 = callers.iter().map(|caller| caller.level).sum();
    // Two seconds until the first is heard, and as long as that once more.
    paced(200, |_| {
        callers.iter_mut().for_each(Caller::speak);
        callers.iter_mut().for_each(Caller::listen);
    });
    for (caller, id) in callers.iter_mut().zip(ids) {
        let others = sum - caller.level;
        let expected = match caller.speaks {
            Spoken::Media | Spoken::Twilio => of_mu_law(&mu_law(&[others]))[0],
            Spoken::Bare | Spoken::Linear => others,
        };
        // The last words are still to be played.
        let begun = Instant::now();
        let plateau = |caller: &Caller| {
            let samples = caller.heard.iter();
            samples.filter(|&&sample| sample == expected).count()
        };
        while plateau(caller) <= 30 * BLOCK {
            assert!(begun.elapsed() < PATIENCE, "{id}: {others} is not heard");
            thread::sleep(Duration::from_millis(5));
            caller.listen();
        }
        let loudest = caller.heard.iter().max();
        assert_eq!(loudest, Some(&expected), "{id} hears itself, or more");
    }
    for caller in &mut callers {
        match caller.speaks {
            Spoken::Media => caller.peer.say("HANGUP"),
            Spoken::Twilio => caller
                .peer
                .say(r#"{"event":"stop","sequenceNumber":"202","stop":{}}"#),
            Spoken::Bare | Spoken::Linear => caller.peer.socket.close(None).unwrap(),
        }
    }
    for id in ids {
        let network = desk.wait_ended(id).account().network().unwrap().read();
        assert!(
            network.totals.output_frames > 50,
            "{id}: {}",
            network.totals.output_frames
        );
        if id == "MZ1" {
            assert_eq!((network.totals.expected, network.totals.lost), (202, 0));
            assert_eq!(network.totals.received, 202);
        }
    }
    let (_, mix) = desk.finish();
    assert!(contains(&mix, &vec![sum; 30 * BLOCK]));
}

#[test]
fn what_twilio_says_is_missing_is_lost_and_its_time_passes() {
    let desk = Desk::patient();
    let mut peer = Peer::open(&desk, "?id=call");
    peer.say(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    peer.say(r#"{"event":"start","sequenceNumber":"1","start":{"streamSid":"MZ1","tracks":["inbound"]},"streamSid":"MZ1"}"#);
    let mut caller = Caller::new(peer, 0xa3, Spoken::Twilio);
    paced(30, |time| {
        if (10..13).contains(&time) {
            caller.sequence += 1;
        } else {
            caller.speak();
        }
    });
    caller.peer.say(r#"{"event":"stop","sequenceNumber":"32"}"#);
    assert_eq!(caller.peer.closed().0, 1000);
    let account = desk.wait_ended("call");
    let network = account.account().network().unwrap().read();
    assert_eq!((network.totals.expected, network.totals.lost), (32, 3));
    assert_eq!(network.totals.received, 29);
    assert_eq!(account.account().read().mixed, 27 * BLOCK as u64);
    let (_, mix) = desk.finish();
    let first = mix.iter().position(|&sample| sample != 0).unwrap();
    let last = mix.iter().rposition(|&sample| sample != 0).unwrap();
    assert_eq!(last + 1 - first, 30 * BLOCK);
    assert_eq!(mix[first + 10 * BLOCK..first + 13 * BLOCK], [0; 3 * BLOCK]);
}
