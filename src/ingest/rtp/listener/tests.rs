//! Over the loopback, in real time: no figure of time is asserted.

use std::{
    net::UdpSocket,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    audio::{Format, Frame},
    ingest::{
        Limits, Newcomer, Refused, Stream, lease,
        playout::{Delay, PlayoutSettings},
    },
    ledger::{Account, Fate, Malformed},
    queue::{Consumer, LeaseId, Pool, Producer},
    wire::{payload::PayloadMap, rtcp, rtp::Packet},
};

struct Door {
    pool: Pool,
    admitted: Mutex<Vec<(Arc<Account>, LeaseId)>>,
}

impl Admission for Door {
    fn admit(&self, newcomer: Newcomer) -> Result<Stream, Refused> {
        let producer = lease(&self.pool, &newcomer.id)?;
        let account = Arc::new(Account::with_network(newcomer.id));
        self.admitted
            .lock()
            .unwrap()
            .push((Arc::clone(&account), producer.lease()));
        Ok(Stream::new(
            producer,
            account,
            Format::new(8000, 1).unwrap(),
            160,
        ))
    }

    fn tap(&self, _output: Producer) {}
}

fn listen(threads: usize) -> (RtpListener, Arc<Door>, Consumer) {
    let (pool, consumer) = Pool::builder()
        .slots(16)
        .ring_bytes(1 << 16)
        .build()
        .unwrap();
    let door = Arc::new(Door {
        pool,
        admitted: Mutex::default(),
    });
    let settings = RtpSettings {
        address: "127.0.0.1:0".parse().unwrap(),
        threads,
        receive_buffer_bytes: 1 << 18,
        streams: Settings {
            payloads: PayloadMap::default(),
            playout: PlayoutSettings {
                delay: Delay::Fixed(Duration::from_millis(60)),
                latency_cap: Duration::from_secs(2),
                conceal: true,
            },
            limits: Limits {
                streams_per_source: 100,
                connections_max: 1,
                first_message_timeout: Duration::from_secs(1),
                idle_timeout: Duration::from_secs(30),
                allowed: Vec::new(),
            },
            gain: None,
            cname: "mix@example.org".to_owned(),
        },
    };
    let clock = MixClock {
        first_ns: now_ns(),
        period_ns: 20_000_000,
        format: Format::new(8000, 1).unwrap(),
        block_samples: 160,
    };
    let admission: Arc<dyn Admission> = Arc::clone(&door) as _;
    let listener = RtpListener::start(settings, clock, &admission).unwrap();
    (listener, door, consumer)
}

/// A packet of 20 ms of mu-law.
fn packet(ssrc: u32, number: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    Packet {
        marker: false,
        payload_type: 0,
        sequence: number,
        timestamp: u32::from(number) * 160,
        ssrc,
        payload: &[ssrc as u8; 160],
    }
    .write(&[], &mut bytes);
    bytes
}

/// Takes all that is in the rings, and counts it. Gives samples by stream.
fn take_all(door: &Door, consumer: &mut Consumer) -> Vec<u64> {
    let admitted = door.admitted.lock().unwrap();
    let taken = admitted.iter().map(|(account, lease)| {
        let mut samples = 0;
        while let Some(message) = consumer.get(*lease).unwrap() {
            let frame = Frame::parse(&message).unwrap();
            let count = frame.samples().len() as u64;
            match frame.kind() {
                crate::audio::FrameKind::Audio => {
                    account.count(Fate::Mixed, count);
                    samples += count;
                }
                crate::audio::FrameKind::Concealment => account.count(Fate::Filled, count),
            }
            message.ack();
        }
        samples
    });
    taken.collect()
}

#[test]
fn streams_from_many_ports_come_through_all_threads_and_balance_at_the_end() {
    for threads in [1, 2] {
        let (listener, door, mut consumer) = listen(threads);
        let to = listener.local_addr();
        let phones: Vec<_> = (0..8)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        for number in 0..10 {
            for (ssrc, phone) in (1..).zip(&phones) {
                phone.send_to(&packet(ssrc, number), to).unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let begun = Instant::now();
        while door.admitted.lock().unwrap().len() < 8 && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let account = Arc::clone(listener.account());
        listener.join();
        take_all(&door, &mut consumer);
        let admitted = door.admitted.lock().unwrap();
        assert_eq!(admitted.len(), 8);
        for (stream, lease) in &*admitted {
            let (entry, network) = (stream.read(), stream.network().unwrap().read());
            assert_eq!(network.totals.received, 10, "{}", stream.id());
            assert_eq!(entry.offered, 1600);
            assert_eq!(stream.check(|| 0), Ok(crate::ledger::Checked::Holds));
            assert!(consumer.is_finished(*lease).unwrap());
        }
        assert_eq!(account.read().malformed, [0; Malformed::ALL.len()]);
    }
}

#[test]
fn reports_of_the_next_port_reach_the_thread_that_has_the_stream() {
    let (listener, door, _consumer) = listen(3);
    let to = listener.local_addr();
    let next = SocketAddr::new(to.ip(), to.port() + 1);
    let phones: Vec<_> = (0..8)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    for number in 0..3 {
        for (ssrc, phone) in (1..).zip(&phones) {
            phone.send_to(&packet(ssrc, number), to).unwrap();
        }
    }
    let ended = |door: &Door| {
        let admitted = door.admitted.lock().unwrap();
        let byes = admitted
            .iter()
            .flat_map(|(account, _)| account.network().unwrap().read().events);
        byes.filter(|event| event.what == "bye").count()
    };
    let begun = Instant::now();
    while ended(&door) < 8 && begun.elapsed() < Duration::from_secs(5) {
        // Again, as the stream may not have begun; a goodbye that was heard is none any more.
        for (ssrc, phone) in (1..).zip(&phones) {
            let mut bye = Vec::new();
            rtcp::write_receiver_report(ssrc, &[], "phone", &mut bye);
            rtcp::write_bye(ssrc, "", &mut bye);
            phone.send_to(&bye, next).unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ended(&door), 8);
    listener.join();
}
