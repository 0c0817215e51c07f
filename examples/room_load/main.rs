//! Participants that all talk, a few in each of many rooms, over AudioSocket; or half of them, over RTP both ways. Each must
//! hear the others of its room and no other stream, and the mixer must keep its pace.
//!
//! First a server of as many synthetic streams runs, so that ticks that this machine makes late anyway are known. Then
//! each participant sends a constant of its own, so that a sample names the streams in it: each
//! should hear the sum of the others in its room. Servers and participants are in this process. It fails if anybody hears something else.
//!
//! ```text
//! cargo run --release --example room_load -- --participants 500 --rooms 250 --seconds 60
//! cargo run --release --example room_load -- --rtp --participants 500 --rooms 100 --seconds 60
//! ```

mod rtp;

use std::{
    error::Error,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use clap::Parser;
use mixpool::{
    config::{AudioSocketAddress, Config, Http},
    engine::{Handle, Status},
    server::{Running, Server},
    wire::audiosocket::{Message, audio_header, parse},
};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    resource::{Resource, getrlimit, setrlimit},
};

const PTIME: Duration = Duration::from_millis(20);
const BLOCK: usize = 160;
/// A UUID's message.
const UUID: [u8; 3] = [0x01, 0, 16];
/// Before a measurement: all play, and hear each other.
const SETTLING: Duration = Duration::from_secs(2);
/// Parts of a period in which the participants send, one group after the other.
const GROUPS: usize = 20;

/// Participants in rooms.
#[derive(Parser, Clone, Copy)]
struct Load {
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=4000))]
    participants: u16,
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u16).range(1..=4000))]
    rooms: u16,
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// By RTP, and every other participant of a room is silent.
    #[arg(long)]
    rtp: bool,
}

impl Load {
    /// The sample that a participant sends all the time.
    fn constant(self, participant: usize) -> i16 {
        let is_silent = self.rtp && participant / usize::from(self.rooms) % 2 == 1;
        if is_silent { 0 } else { participant as i16 + 1 }
    }

    fn room(self, participant: usize) -> usize {
        participant % usize::from(self.rooms)
    }

    /// The sample that a participant should hear: the sum of the others in its room.
    fn expected(self, participant: usize) -> i16 {
        let all = 0..usize::from(self.participants);
        all.filter(|&other| other != participant && self.room(other) == self.room(participant))
            .map(|other| self.constant(other))
            .fold(0, i16::saturating_add)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let load = Load::parse();
    // Both ends of each connection are here.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;

    let mut config = Config::default();
    config.synthetic.synthetic = load.participants.into();
    config.pool.streams_max = load.participants.into();
    config.control.http = Some(Http::Off);
    let server = Server::start(config)?;
    thread::sleep(SETTLING);
    let alone = measure(&server.handle(), load.seconds);
    server.finish();

    let server = if load.rtp {
        rtp::serve(load)?
    } else {
        serve(load)?
    };
    let handle = server.handle();
    let phase = Arc::new(Phase::default());
    let (sender, listener) = begin(load, &handle, &phase)?;
    thread::sleep(SETTLING);
    phase.measured.store(true, Ordering::Relaxed);
    let measured = measure(&handle, load.seconds);
    phase.over.store(true, Ordering::Relaxed);
    let sent = sender.join().expect("the sender panicked");
    let heard = listener.join().expect("the listener panicked")?;
    let report = server.finish();

    let Load {
        participants,
        rooms,
        seconds,
        ..
    } = load;
    println!("{participants} participants in {rooms} rooms, {seconds} s");
    println!(
        "sent        {} frames, {} more were not taken",
        sent.frames, sent.refused
    );
    println!(
        "sent back   {} frames, {} dropped",
        measured.output_frames, measured.output_dropped_frames
    );
    println!(
        "lost        {} packets on their way in, {} back; {} samples dropped",
        measured.lost_packets, heard.missing, measured.dropped_samples
    );
    println!(
        "heard       {} samples: the others {:.4}, silence {:.4}, a part of them {:.4}, anything else {}",
        heard.all(),
        heard.share(heard.others),
        heard.share(heard.silence),
        heard.share(heard.part),
        heard.foreign
    );
    println!(
        "late ticks  {} of {}; with as many synthetic streams {} of {}",
        measured.late_ticks, measured.ticks, alone.late_ticks, alone.ticks
    );
    println!(
        "tick time   {} us median, {} us at 99 %",
        report.tick_time.p50_ns / 1000,
        report.tick_time.p99_ns / 1000
    );
    if heard.foreign > 0 || heard.others == 0 || report.ledger_imbalances > 0 {
        return Err(
            "a participant heard another room, or silence alone, or a ledger does not balance"
                .into(),
        );
    }
    Ok(())
}

/// The threads of all participants.
type Threads = (JoinHandle<Sent>, JoinHandle<std::io::Result<Heard>>);

/// Has all participants send and listen, each in its room.
fn begin(load: Load, handle: &Handle, phase: &Arc<Phase>) -> Result<Threads, Box<dyn Error>> {
    let phases = [Arc::clone(phase), Arc::clone(phase)];
    let [sending, listening] = phases;
    let thread = |name: &str| thread::Builder::new().name(name.to_owned());
    let (send_thread, listen_thread) = (thread("send"), thread("listen"));
    Ok(if load.rtp {
        let sockets = rtp::connect(load, handle)?;
        let clones = rtp::clones(&sockets)?;
        (
            send_thread.spawn(move || rtp::send(load, &clones, &sending))?,
            listen_thread.spawn(move || rtp::listen(load, &sockets, &listening))?,
        )
    } else {
        let sockets = connect(load, handle)?;
        let clones = clones(&sockets)?;
        (
            send_thread.spawn(move || send(load, clones, &sending))?,
            listen_thread.spawn(move || listen(load, sockets, &listening))?,
        )
    })
}

/// A server of rooms, without another way in.
fn serve(load: Load) -> Result<Running, Box<dyn Error>> {
    let mut config = Config::default();
    config.control.http = Some(Http::Off);
    config.net.audiosocket = vec![AudioSocketAddress {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        rate_hz: None,
        room: None,
    }];
    config.pool.streams_max = load.participants.into();
    config.limits.connections_max = load.participants.into();
    config.mix.rooms_max = usize::from(load.rooms) + 1;
    Ok(Server::start(config)?)
}

/// How far the run has come.
#[derive(Debug, Default)]
struct Phase {
    measured: AtomicBool,
    over: AtomicBool,
}

/// The difference that so many seconds make.
#[derive(Debug)]
struct Measured {
    ticks: u64,
    late_ticks: u64,
    output_frames: u64,
    output_dropped_frames: u64,
    lost_packets: u64,
    dropped_samples: u64,
}

fn measure(handle: &Handle, seconds: u64) -> Measured {
    let before = handle.status();
    thread::sleep(Duration::from_secs(seconds));
    let after = handle.status();
    let since = |figure: fn(&Status) -> u64| figure(&after) - figure(&before);
    Measured {
        ticks: since(|status| status.ticks),
        late_ticks: since(|status| status.late_ticks),
        output_frames: since(|status| status.network.output_frames),
        output_dropped_frames: since(|status| status.network.output_dropped_frames),
        lost_packets: since(|status| status.network.lost),
        dropped_samples: since(|status| status.ledger.dropped()),
    }
}

/// Connects all, and moves each into its room.
fn connect(load: Load, handle: &Handle) -> Result<Vec<TcpStream>, Box<dyn Error>> {
    let listeners = handle.listeners();
    let name = listeners.first().ok_or("no listener")?.name();
    let address: SocketAddr = name.rsplit(' ').next().ok_or("no address")?.parse()?;
    for room in 0..load.rooms {
        handle.open_room(&format!("room-{room}"))?;
    }
    let mut sockets = Vec::new();
    for participant in 0..usize::from(load.participants) {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.write_all(&UUID)?;
        socket.write_all(&(participant as u128).to_be_bytes())?;
        let id = format!("00000000-0000-0000-0000-{participant:012x}");
        let stream = loop {
            if let Some(stream) = handle.stream(&id) {
                break stream;
            }
            thread::sleep(Duration::from_millis(1));
        };
        let room = format!("room-{}", load.room(participant));
        handle.move_stream(&stream, &room, false)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn clones(sockets: &[TcpStream]) -> Result<Vec<TcpStream>, std::io::Error> {
    sockets.iter().map(TcpStream::try_clone).collect()
}

/// Frames that the participants sent.
#[derive(Debug, Default)]
struct Sent {
    frames: u64,
    /// Frames that the server's side did not take in time.
    refused: u64,
}

/// Sends each participant's frame in each period.
fn send(load: Load, mut sockets: Vec<TcpStream>, phase: &Phase) -> Sent {
    let mut sent = Sent::default();
    let header = audio_header(8000, 2 * BLOCK).expect("AudioSocket has the rate");
    let frames: Vec<Vec<u8>> = (0..sockets.len())
        .map(|participant| {
            let sample = load.constant(participant).to_le_bytes();
            [&header[..], &sample.repeat(BLOCK)].concat()
        })
        .collect();
    let group = usize::from(load.participants).div_ceil(GROUPS);
    let mut due = Instant::now();
    while !phase.over.load(Ordering::Relaxed) {
        for (sockets, frames) in sockets.chunks_mut(group).zip(frames.chunks(group)) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            for (socket, frame) in sockets.iter_mut().zip(frames) {
                match socket.write(frame) {
                    Ok(written) if written == frame.len() => sent.frames += 1,
                    // A part of a message cannot be taken back: the socket is full, so it is of no use any more.
                    _ => sent.refused += 1,
                }
            }
            due += PTIME / GROUPS as u32;
        }
    }
    sent
}

/// Samples that the participants heard while they were measured.
#[derive(Debug, Default)]
struct Heard {
    /// The sum of the others.
    others: u64,
    silence: u64,
    /// Less than the sum of the others, as when one of them begins or was concealed.
    part: u64,
    foreign: u64,
    /// Packets that never came back.
    missing: u64,
}

impl Heard {
    fn all(&self) -> u64 {
        self.others + self.silence + self.part + self.foreign
    }

    fn share(&self, samples: u64) -> f64 {
        samples as f64 / self.all().max(1) as f64
    }

    fn take(&mut self, sample: i16, expected: i16) {
        *match sample {
            0 => &mut self.silence,
            sample if sample == expected => &mut self.others,
            sample if (0..expected).contains(&sample) => &mut self.part,
            _ => &mut self.foreign,
        } += 1;
    }
}

/// Reads what all of them hear, to the end.
fn listen(load: Load, mut sockets: Vec<TcpStream>, phase: &Phase) -> std::io::Result<Heard> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (participant, socket) in sockets.iter().enumerate() {
        epoll.add(
            socket,
            EpollEvent::new(EpollFlags::EPOLLIN, participant as u64),
        )?;
    }
    let expected: Vec<_> = (0..sockets.len())
        .map(|participant| load.expected(participant))
        .collect();
    let mut waiting = vec![Vec::new(); sockets.len()];
    let mut heard = Heard::default();
    let mut events = [EpollEvent::empty(); 256];
    let mut buffer = [0; 16 << 10];
    while !phase.over.load(Ordering::Relaxed) {
        let count = epoll.wait(&mut events, EpollTimeout::from(100_u8))?;
        for event in &events[..count] {
            let participant = event.data() as usize;
            let bytes = &mut waiting[participant];
            match sockets[participant].read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            let mut taken = 0;
            while let Ok(Some((message, length))) = parse(&bytes[taken..]) {
                if let Message::Audio { payload, .. } = message
                    && phase.measured.load(Ordering::Relaxed)
                {
                    for sample in payload.chunks_exact(2) {
                        let sample = i16::from_le_bytes([sample[0], sample[1]]);
                        heard.take(sample, expected[participant]);
                    }
                }
                taken += length;
            }
            bytes.drain(..taken);
        }
    }
    Ok(heard)
}
