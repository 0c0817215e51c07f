//! Over the loopback, in real time: no figure of time is asserted.

use std::{
    net::UdpSocket,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    audio::{Format, Frame, Grid},
    ledger::{Account, Fate, Malformed},
    net::{Limits, Refused, StreamRequest, lease},
    output::{MixRing, ReaderId},
    playout::{Delay, PlayoutSettings},
    queue::{Consumer, LeaseId, Pool},
    stream::{PlacingThreads, Stream},
    wire::{payload::PayloadMap, rtcp, rtp::Packet},
};

/// Far beyond what any event here takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct TestAdmission {
    pool: Pool,
    admitted: Mutex<Vec<(Arc<Account>, LeaseId)>>,
    placing: PlacingThreads,
}

impl Admission for TestAdmission {
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused> {
        let producer = lease(&self.pool, &request.id)?;
        let account = Arc::new(Account::with_network(request.id, 0));
        self.admitted
            .lock()
            .unwrap()
            .push((Arc::clone(&account), producer.lease()));
        let grid = Grid::new(Format::new(8000, 1).unwrap(), 160);
        Ok(Stream::new(producer, account, grid))
    }

    fn placing_thread(&self) -> PlacingThread {
        self.placing.add()
    }

    fn rooms_max(&self) -> usize {
        1
    }

    fn open_reader(&self, _ring: MixRing) -> Result<ReaderId, crate::net::Busy> {
        Ok(ReaderId(0))
    }
}

fn listen(threads: usize) -> (RtpListener, Arc<TestAdmission>, Consumer) {
    listen_on("127.0.0.1:0", None, threads).unwrap()
}

fn listen_on(
    address: &str,
    interface: Option<&str>,
    threads: usize,
) -> io::Result<(RtpListener, Arc<TestAdmission>, Consumer)> {
    let (pool, consumer) = Pool::builder()
        .slots(16)
        .ring_bytes(1 << 16)
        .build()
        .unwrap();
    let server = Arc::new(TestAdmission {
        pool,
        admitted: Mutex::default(),
        placing: PlacingThreads::default(),
    });
    let settings = RtpSettings {
        address: address.parse().unwrap(),
        interface: interface.map(str::to_owned),
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
            room: None,
            returns_max: 0,
            cname: "mix@example.org".to_owned(),
        },
    };
    let clock = MixClock {
        first_block: 0,
        first_ns: now_ns(),
        period_ns: 20_000_000,
        format: Format::new(8000, 1).unwrap(),
        block_samples: 160,
    };
    let admission: Arc<dyn Admission> = Arc::clone(&server) as _;
    let listener = RtpSockets::bind(settings)?.start(clock, &admission, None)?;
    Ok((listener, server, consumer))
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

/// Takes all that is in the rings, and counts it. Returns samples by stream.
fn take_all(server: &TestAdmission, consumer: &mut Consumer) -> Vec<u64> {
    let admitted = server.admitted.lock().unwrap();
    let taken = admitted.iter().map(|(account, lease)| {
        let mut samples = 0;
        while let Some(message) = consumer.get(*lease).unwrap() {
            let frame = Frame::parse(&message).unwrap();
            let given = u64::from(frame.header().given);
            account.count(Fate::Mixed, given);
            account.count(Fate::Filled, frame.samples().len() as u64 - given);
            samples += given;
            message.ack();
        }
        samples
    });
    taken.collect()
}

#[test]
fn streams_from_many_ports_use_all_threads_and_balance() {
    for threads in [1, 2] {
        let (listener, server, mut consumer) = listen(threads);
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
        let received = || -> u64 {
            let admitted = server.admitted.lock().unwrap();
            let networks = admitted
                .iter()
                .map(|(stream, _)| stream.network().unwrap().read());
            networks.map(|network| network.totals.received).sum()
        };
        let begun = Instant::now();
        while received() < 80 && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        let account = Arc::clone(listener.account());
        listener.join();
        take_all(&server, &mut consumer);
        let admitted = server.admitted.lock().unwrap();
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
fn all_threads_say_up_to_which_tick_they_have_placed() {
    let (listener, server, _consumer) = listen(2);
    let begun = Instant::now();
    while !server.placing.have_placed_before(5) {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!server.placing.have_placed_before(u64::MAX));
    listener.join();
    assert!(server.placing.have_placed_before(u64::MAX));
}

#[test]
fn reports_of_the_next_port_reach_their_streams_thread() {
    let (listener, server, _consumer) = listen(3);
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
    let ended = |server: &TestAdmission| {
        let admitted = server.admitted.lock().unwrap();
        let byes = admitted
            .iter()
            .flat_map(|(account, _)| account.network().unwrap().read().events);
        byes.filter(|event| event.what == "bye").count()
    };
    let begun = Instant::now();
    while ended(&server) < 8 && begun.elapsed() < PATIENCE {
        // Again, as the stream may not have begun; a goodbye that was heard is none any more.
        for (ssrc, phone) in (1..).zip(&phones) {
            let mut bye = Vec::new();
            rtcp::write_receiver_report(ssrc, &[], "phone", &mut bye);
            rtcp::write_bye(ssrc, "", &mut bye);
            phone.send_to(&bye, next).unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ended(&server), 8);
    listener.join();
}

/// Sends packets until they are a stream. Returns how many it received, or none after a while.
fn received_from(phone: &UdpSocket, to: SocketAddr, server: &TestAdmission) -> Option<u64> {
    let begun = Instant::now();
    for number in 0.. {
        phone.send_to(&packet(1, number), to).unwrap();
        if let Some((account, _)) = server.admitted.lock().unwrap().first() {
            return account.network().map(|network| network.totals().received);
        }
        if begun.elapsed() > Duration::from_secs(30) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

#[test]
fn a_multicast_group_is_joined_on_the_interface_named() {
    let (listener, server, _consumer) = listen_on("239.69.1.1:0", Some("lo"), 2).unwrap();
    // The address of the sender says on which interface it sends.
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let received = received_from(&phone, listener.local_addr(), &server);
    listener.join();
    assert!(received.is_some());
    // One stream, though two threads were asked for: each would get all of a group.
    assert_eq!(server.admitted.lock().unwrap().len(), 1);
}

#[test]
fn a_multicast_group_of_ipv6_is_joined_on_the_interface_named() {
    let Ok(joined) = std::fs::read_to_string("/proc/net/igmp6") else {
        // A host without IPv6.
        return;
    };
    let group = "ff120000000000000000000000694d70";
    assert!(!joined.contains(group));
    let (listener, ..) = listen_on("[ff12::69:4d70]:0", Some("lo"), 1).unwrap();
    let joined = std::fs::read_to_string("/proc/net/igmp6").unwrap();
    listener.join();
    let members = joined.lines().filter(|line| line.contains(group));
    let interfaces: Vec<_> = members
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(interfaces, ["lo"]);
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let error = listen_on("239.69.1.1:0", Some("none-such"), 1)
        .err()
        .unwrap();
    assert!(error.to_string().contains("interface none-such"), "{error}");
}

#[test]
fn a_refused_recvmmsg_is_counted_and_streams_are_heard() {
    let heard = std::thread::spawn(|| {
        // The listener's threads have it, too.
        super::super::socket::tests::refuse_recvmmsg();
        let (listener, server, _consumer) = listen(1);
        let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
        let received = received_from(&phone, listener.local_addr(), &server);
        let account = Arc::clone(listener.account());
        listener.join();
        (received, account.read().receive_errors)
    });
    let (received, errors) = heard.join().unwrap();
    assert!(received.is_some());
    assert_eq!(errors, 1);
}
