//! The same by RTP, both ways: each participant is a socket that was announced for its room, sends L16 all the time, and gets
//! its mix back. Half of them talk, the others send silence.

use std::{
    error::Error,
    net::{SocketAddr, UdpSocket},
    sync::atomic::Ordering,
    thread,
    time::Instant,
};

use mixpool::{
    config::{Config, Http, RtpAddress},
    engine::Handle,
    net::{Announcement, SenderMark},
    os::now_ns,
    server::{Running, Server},
    wire::{payload::PayloadMap, rtp::Packet},
};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::{BLOCK, GROUPS, Heard, Load, PTIME, Phase, Sent};

/// L16 of 8 kHz has no payload type of its own.
const PAYLOAD_TYPE: u8 = 96;

/// A server of rooms, which takes RTP and sends the mix back.
pub fn serve(load: Load) -> Result<Running, Box<dyn Error>> {
    let mut config = Config::default();
    config.control.http = Some(Http::Off);
    let mut payloads = PayloadMap::default();
    payloads.define("96=L16/8000/1")?;
    config.net.rtp = vec![RtpAddress {
        returns: true,
        payloads,
        ..SocketAddr::from(([127, 0, 0, 1], 0)).into()
    }];
    config.pool.streams_max = load.participants.into();
    config.mix.rooms_max = usize::from(load.rooms) + 1;
    Ok(Server::start(config)?)
}

/// Opens the rooms, and announces a socket for each participant.
pub fn connect(load: Load, handle: &Handle) -> Result<Vec<UdpSocket>, Box<dyn Error>> {
    let entrance = handle.expected().rtp_entrance().ok_or("no listener")?;
    for room in 0..load.rooms {
        handle.open_room(&format!("room-{room}"))?;
    }
    let participants = 0..usize::from(load.participants);
    let sockets = participants.map(|participant| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let sender = Announcement {
            mark: SenderMark::Rtp(socket.local_addr()?),
            room: format!("room-{}", load.room(participant)),
            label: None,
            gain: None,
            muted: false,
            ssrc: None,
            payloads: None,
            return_to: None,
            returns: true,
        };
        handle.expected().announce(sender, now_ns())?;
        socket.connect(entrance.address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    sockets.collect()
}

pub fn clones(sockets: &[UdpSocket]) -> Result<Vec<UdpSocket>, std::io::Error> {
    sockets.iter().map(UdpSocket::try_clone).collect()
}

/// Sends each participant's packet in each period.
pub fn send(load: Load, sockets: &[UdpSocket], phase: &Phase) -> Sent {
    let mut sent = Sent::default();
    let group = usize::from(load.participants).div_ceil(GROUPS);
    let mut due = Instant::now();
    let mut bytes = Vec::new();
    for number in 0_u32.. {
        if phase.over.load(Ordering::Relaxed) {
            break;
        }
        for (at, sockets) in sockets.chunks(group).enumerate() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            for (participant, socket) in (at * group..).zip(sockets) {
                bytes.clear();
                Packet {
                    marker: false,
                    payload_type: PAYLOAD_TYPE,
                    sequence: number as u16,
                    timestamp: number.wrapping_mul(BLOCK as u32),
                    ssrc: participant as u32 + 1,
                    payload: &load.constant(participant).to_be_bytes().repeat(BLOCK),
                }
                .write(&[], &mut bytes);
                match socket.send(&bytes) {
                    Ok(_) => sent.frames += 1,
                    Err(_) => sent.refused += 1,
                }
            }
            due += PTIME / GROUPS as u32;
        }
    }
    sent
}

/// Reads what all of them hear, to the end.
pub fn listen(load: Load, sockets: &[UdpSocket], phase: &Phase) -> std::io::Result<Heard> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (participant, socket) in sockets.iter().enumerate() {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, participant as u64);
        epoll.add(socket, event)?;
    }
    let expected: Vec<_> = (0..sockets.len())
        .map(|participant| load.expected(participant))
        .collect();
    let mut last: Vec<Option<u16>> = vec![None; sockets.len()];
    let mut heard = Heard::default();
    let mut events = [EpollEvent::empty(); 256];
    let mut buffer = [0; 2048];
    while !phase.over.load(Ordering::Relaxed) {
        let count = epoll.wait(&mut events, EpollTimeout::from(100_u8))?;
        for event in &events[..count] {
            let participant = event.data() as usize;
            while let Ok(count) = sockets[participant].recv(&mut buffer) {
                let packet = Packet::parse(&buffer[..count]);
                let Some(packet) = packet
                    .ok()
                    .filter(|packet| packet.payload_type == PAYLOAD_TYPE)
                else {
                    continue;
                };
                let before = last[participant].replace(packet.sequence);
                if !phase.measured.load(Ordering::Relaxed) {
                    continue;
                }
                let step = before.map_or(1, |before| packet.sequence.wrapping_sub(before));
                heard.missing += u64::from(step.saturating_sub(1));
                for sample in packet.payload.chunks_exact(2) {
                    let sample = i16::from_be_bytes([sample[0], sample[1]]);
                    heard.take(sample, expected[participant]);
                }
            }
        }
    }
    Ok(heard)
}
