//! Many RTP streams of PCMU from one process, on an absolute schedule, their packets spread evenly over
//! time: a load for a server. It reports how late the load itself was.
//!
//! Run it with `cargo run --release --example rtp_load -- --to 127.0.0.1:5004 --streams 1000`.

use std::{
    error::Error,
    io::IoSlice,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use mixpool::{audio::Encoding, wire::rtp::Packet};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

/// Packets of one socket that the kernel gets with one call and takes apart (`UDP_SEGMENT`), and their bytes: at most.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 65_000;

#[derive(Parser)]
struct Load {
    /// Where the streams go.
    #[arg(long)]
    to: SocketAddr,
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The streams begin one after the other within so many seconds.
    #[arg(long, default_value_t = 1)]
    ramp: u64,
    /// The length of a packet, in milliseconds.
    #[arg(long, default_value_t = 20)]
    ptime: u64,
    /// Sockets shared by the streams; 0 opens one for each.
    #[arg(long, default_value_t = 0)]
    sockets: usize,
    /// Streams with packets due within so many microseconds are sent together.
    #[arg(long, default_value_t = 1000)]
    quantum: u64,
}

/// One stream: where its next packet stands.
struct Stream {
    ssrc: u32,
    number: u16,
    timestamp: u32,
}

impl Stream {
    /// Appends the next packet.
    fn packet(&mut self, samples: u32, payload: &[u8], out: &mut Vec<u8>) {
        let packet = Packet {
            marker: false,
            payload_type: 0,
            sequence: self.number,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload,
        };
        packet.write(&[], out);
        self.number = self.number.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(samples);
    }
}

/// A quiet tone, of which a thousand are no louder than full scale; a whole number of its periods.
fn payload(samples: usize) -> Vec<u8> {
    let tone = |index: usize| (24.0 * (index as f64 * std::f64::consts::TAU / 20.0).sin()) as i16;
    let tone: Vec<i16> = (0..samples).map(tone).collect();
    let mut bytes = vec![0; samples];
    Encoding::MuLaw.encode(&tone, &mut bytes);
    bytes
}

fn main() -> Result<(), Box<dyn Error>> {
    let load = Load::parse();
    let sockets = match load.sockets {
        0 => load.streams,
        shared => shared.min(load.streams),
    };
    let any: SocketAddr = match load.to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let open = |_| {
        let socket = UdpSocket::bind(any)?;
        socket.connect(load.to)?;
        Ok(socket)
    };
    let sockets = (0..sockets)
        .map(open)
        .collect::<std::io::Result<Vec<_>>>()?;
    let samples = 8 * load.ptime as u32;
    let payload = payload(samples as usize);
    let mut streams: Vec<_> = (0..load.streams as u32)
        .map(|index| Stream {
            ssrc: 0x1000_0000 + index,
            number: index.wrapping_mul(7919) as u16,
            timestamp: index.wrapping_mul(104_729),
        })
        .collect();

    let packet_bytes = u16::try_from(12 + payload.len())?;
    let batch_max = (BATCH_BYTES / usize::from(packet_bytes)).clamp(1, BATCH);
    let mut bytes = Vec::with_capacity(BATCH_BYTES);
    let (mut sent, mut refused, mut late_us) = (0_u64, 0_u64, Vec::new());
    let begin = Instant::now();
    let count = load.streams as u64;
    let packets = count * load.seconds * 1000 / load.ptime;
    // Packet `p` of all is due at `p / streams` packet lengths: phases are spread evenly.
    let due_us = |packet: u64| packet * load.ptime * 1000 / count;
    let (mut next, mut due_now) = (0, Vec::new());
    while next < packets {
        let due = begin + Duration::from_micros(due_us(next) / load.quantum * load.quantum);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        late_us.push(due.elapsed().as_micros() as u32);
        let quantum = due_us(next) / load.quantum;
        let end = (next..packets).find(|&packet| due_us(packet) / load.quantum != quantum);
        let end = end.unwrap_or(packets);
        // Those of one socket together: the streams of a quantum follow each other.
        due_now.clear();
        due_now.extend((next..end).filter_map(|packet| {
            let (period, stream) = (packet / count, packet % count);
            let begins = stream * load.ramp * 1000 / (count * load.ptime);
            (period >= begins).then_some(stream as usize)
        }));
        due_now.sort_by_key(|stream| stream % sockets.len());
        for group in due_now.chunk_by(|a, b| a % sockets.len() == b % sockets.len()) {
            let socket = &sockets[group[0] % sockets.len()];
            for batch in group.chunks(batch_max) {
                bytes.clear();
                for &stream in batch {
                    streams[stream].packet(samples, &payload, &mut bytes);
                }
                let segments = [ControlMessage::UdpGsoSegments(&packet_bytes)];
                let segments = &segments[..usize::from(batch.len() > 1)];
                let slices = [IoSlice::new(&bytes)];
                let none = None::<&SockaddrStorage>;
                let fd = socket.as_raw_fd();
                match sendmsg(fd, &slices, segments, MsgFlags::empty(), none) {
                    Ok(_) => sent += batch.len() as u64,
                    Err(_) => refused += batch.len() as u64,
                }
            }
        }
        next = end;
    }
    late_us.sort_unstable();
    let at = |share: f64| late_us[((late_us.len() - 1) as f64 * share) as usize];
    println!(
        "{sent} packets sent, {refused} refused, in {:.3} s; late by {} us at the median, {} us at 99 %, \
         {} us at most",
        begin.elapsed().as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}
