//! A thousand listeners on one mix of a thousand streams, all in one process: what it costs, and whether
//! anybody notices.
//!
//! It starts a server of synthetic streams and its control plane, as the command does, and connects
//! listeners to it over loopback. One thread reads what all of them get; a few more listen by WebSocket and
//! measure how long after its tick each chunk came. It prints late ticks, the tick's time,
//! processor time of each kind of thread, and missed samples.
//!
//! ```text
//! cargo run --release --example listen_load -- --streams 1000 --listeners 1000 --seconds 30
//! ```

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use mixpool::{
    audio::{Format, MixClock},
    control::{Control, ControlSettings},
    engine::{Clock, Engine, Running, Settings},
    ledger::SourceKind,
    net::StreamRequest,
    os::now_ns,
    source::{Feed, Imperfection, Schedule, synthetic},
};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    resource::{Resource, getrlimit, setrlimit},
};
use tungstenite::{Message, client::IntoClientRequest as _};

const PTIME: Duration = Duration::from_millis(20);

/// Listeners on a mix of synthetic streams.
#[derive(Parser)]
struct Load {
    /// Streams that mix.
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    /// Listeners that count bytes.
    #[arg(long, default_value_t = 1000)]
    listeners: usize,
    /// Whether they listen by WebSocket.
    #[arg(long)]
    websocket: bool,
    /// WebSocket listeners that measure latency, too.
    #[arg(long, default_value_t = 4)]
    timed: usize,
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    #[arg(long, default_value_t = 8000)]
    rate: u32,
    #[arg(long, default_value_t = 1)]
    channels: u16,
}

fn main() -> Result<(), Box<dyn Error>> {
    let load = Load::parse();
    // Both ends of each connection are here.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let running = serve(&load)?;
    let handle = running.handle();
    let clock = handle.clock().ok_or("a live server has a clock")?;
    let connections_max = load.listeners + load.timed + 16;
    let settings = ControlSettings {
        listeners_max: load.listeners + load.timed,
        connections_max,
        connections_per_address_max: connections_max,
        // All of them come at once, from one address.
        requests_per_second: connections_max as u32,
        ..ControlSettings::default()
    };
    let control = Control::start(TcpListener::bind("127.0.0.1:0")?, settings, handle.clone())?;
    let address = control.local_addr();

    let (received, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let crowd = crowd(&load, address, &received, &stop)?;
    let timed: Vec<_> = (0..load.timed)
        .map(|_| {
            let stop = Arc::clone(&stop);
            thread::Builder::new()
                .name("ears".into())
                .spawn(move || listen(address, clock, &stop))
        })
        .collect::<Result<_, _>>()?;
    // In full swing, and not at the edges.
    thread::sleep(Duration::from_secs(3));
    let (begun, before, cpu) = (Instant::now(), handle.status(), cpu_by_thread()?);
    let bytes = received.load(Ordering::Relaxed);
    thread::sleep(Duration::from_secs(load.seconds));
    let (elapsed, after, cpu_after) = (begun.elapsed(), handle.status(), cpu_by_thread()?);
    let bytes = received.load(Ordering::Relaxed) - bytes;
    let listeners = totals(address)?;
    stop.store(true, Ordering::Relaxed);
    let mut late_us: Vec<u64> = timed
        .into_iter()
        .flat_map(|listener| listener.join().expect("an ear panicked"))
        .collect();
    crowd.join().expect("the crowd's thread panicked");
    running.finish();
    control.join();

    let by = if load.websocket { "WebSocket" } else { "HTTP" };
    println!(
        "{} streams, {} listeners by {by}, {} s",
        load.streams, load.listeners, load.seconds
    );
    let ticks = after.ticks - before.ticks;
    println!(
        "ticks       {ticks}, {} late",
        after.late_ticks - before.late_ticks
    );
    let us = |ns: u64| ns / 1000;
    let (time, lateness) = (after.tick_time, after.tick_lateness);
    println!(
        "tick time   {} us median, {} us at 99 %, {} us at most",
        us(time.p50_ns),
        us(time.p99_ns),
        us(time.max_ns)
    );
    println!(
        "began after {} us median, {} us at 99 %, {} us at most",
        us(lateness.p50_ns),
        us(lateness.p99_ns),
        us(lateness.max_ns)
    );
    for (name, seconds) in &cpu_after {
        let used = seconds - cpu.get(name).copied().unwrap_or(0.0);
        println!(
            "cpu         {name}: {:.1} %",
            100.0 * used / elapsed.as_secs_f64()
        );
    }
    let expected = elapsed.as_secs_f64() * f64::from(load.rate * u32::from(load.channels) * 2);
    println!(
        "received    {:.4} of the mix by each listener",
        bytes as f64 / expected / load.listeners.max(1) as f64
    );
    println!("listeners   {listeners}");
    late_us.sort_unstable();
    if let Some(last) = late_us.len().checked_sub(1) {
        let at = |share: f64| late_us[(last as f64 * share) as usize];
        println!(
            "chunks came {} us after their newest block's tick was due (median), {} us at 99 %, {} us at most",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    Ok(())
}

fn serve(load: &Load) -> Result<Running, Box<dyn Error>> {
    let format = Format::new(load.rate, load.channels)?;
    let clock = Clock::Live {
        speed: 1.0,
        playout_delay: Duration::from_millis(100),
        ticks: None,
    };
    let mut engine = Engine::new(Settings {
        format,
        ptime: PTIME,
        streams_max: load.streams.max(1),
        ring_bytes: 1 << 20,
        prefault: true,
        clock,
        ..Settings::default()
    })?;
    for index in 0..load.streams {
        let stream = engine.open(StreamRequest::new(
            format!("synthetic-{index:04}"),
            SourceKind::Synthetic,
            "synthetic",
        ))?;
        let source = synthetic::nth(format, None, 1, index, synthetic::level_dbfs(load.streams));
        let phase = PTIME.mul_f64(index as f64 / load.streams as f64);
        let schedule = Schedule::new(PTIME, phase, Imperfection::default(), index as u64);
        engine.feed(Feed::new(stream, Box::new(source)), schedule);
    }
    Ok(engine.start()?)
}

/// Connects the listeners, and starts the thread that reads what they get.
fn crowd(
    load: &Load,
    address: SocketAddr,
    received: &Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
) -> Result<thread::JoinHandle<()>, Box<dyn Error>> {
    let request = if load.websocket {
        format!(
            "GET /ws/listen HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    } else {
        format!("GET /listen.wav HTTP/1.0\r\nHost: {address}\r\n\r\n")
    };
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut sockets = Vec::new();
    for index in 0..load.listeners {
        let mut socket = TcpStream::connect(address)?;
        socket.write_all(request.as_bytes())?;
        socket.set_nonblocking(true)?;
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        sockets.push(socket);
    }
    let (received, stop) = (Arc::clone(received), Arc::clone(stop));
    let read = move || {
        let mut events = [EpollEvent::empty(); 256];
        let mut bytes = vec![0; 1 << 16];
        while !stop.load(Ordering::Relaxed) {
            let ready = epoll
                .wait(&mut events, EpollTimeout::from(100_u8))
                .unwrap_or(0);
            for event in &events[..ready] {
                match sockets[event.data() as usize].read(&mut bytes) {
                    Ok(0) => panic!("a listener was dropped"),
                    Ok(count) => {
                        received.fetch_add(count as u64, Ordering::Relaxed);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => panic!("a listener was dropped: {error}"),
                }
            }
        }
    };
    Ok(thread::Builder::new().name("crowd".into()).spawn(read)?)
}

/// Listens by WebSocket: how long after the tick that made its newest block each chunk came, in
/// microseconds.
fn listen(address: SocketAddr, clock: MixClock, stop: &AtomicBool) -> Vec<u64> {
    let stream = TcpStream::connect(address).expect("the server listens");
    let request = format!("ws://{address}/ws/listen")
        .into_client_request()
        .expect("a sound address");
    let (mut socket, _) = tungstenite::client(request, stream).expect("a handshake");
    let (mut at, mut late_us) = (None, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        match socket.read().expect("the server goes on") {
            Message::Text(text) => {
                let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                at = told["at"].as_u64();
            }
            Message::Binary(bytes) => {
                let now = now_ns();
                let samples = bytes.len() / 2 / usize::from(clock.format.channels());
                let end = at.expect("a first message") + samples as u64;
                at = Some(end);
                // The limiter's delay makes a block end before the tick's last sample.
                let tick = end.div_ceil(clock.block_samples as u64) - 1;
                late_us.push(now.saturating_sub(clock.due_ns(tick)) / 1000);
            }
            _ => {}
        }
    }
    late_us
}

/// The server's figures of its listeners.
fn totals(address: SocketAddr) -> Result<serde_json::Value, Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET /api/v1/listeners HTTP/1.0\r\nHost: {address}\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("an answer has a head")?;
    let body: serde_json::Value = serde_json::from_str(body)?;
    Ok(body["totals"].clone())
}

/// Seconds of processor time of each kind of thread.
fn cpu_by_thread() -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    let mut seconds = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end meanwhile.
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else {
            continue;
        };
        let name = stat.split(['(', ')']).nth(1).ok_or("a thread has a name")?;
        let name = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '-');
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        // A hundredth of a second each, on every Linux.
        *seconds.entry(name.to_owned()).or_insert(0.0) += ticks / 100.0;
    }
    Ok(seconds)
}
