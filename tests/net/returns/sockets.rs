//! The way back over real sockets, out of a whole server.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use mixpool::{
    audio::Encoding,
    config::{Config, Http, Layer},
    ledger::NetworkEntry,
    server::{Running, Server},
    wire::rtp::Packet,
};

use super::Phone;
use crate::patience::{PATIENCE, wait_for, wait_until};

pub fn serve(rtp: &str, threads: usize) -> (Running, SocketAddr) {
    let mut layer = Layer::default();
    layer.set("rtp", rtp.into()).unwrap();
    layer.set("rtp_threads", threads.into()).unwrap();
    let mut config = Config::default().with(&layer);
    config.control.http = Some(Http::Off);
    config.mix.limiter = false;
    let running = Server::start(config).unwrap();
    let listeners = running.handle();
    let name = listeners.listeners()[0].name().to_owned();
    let address = name.split(' ').nth(1).unwrap().parse().unwrap();
    (running, address)
}

fn figures(running: &Running, stream: usize) -> Option<NetworkEntry> {
    let streams = running.handle().running();
    let network = streams.get(stream)?.account().network()?;
    Some(network.figures())
}

#[test]
fn each_phone_hears_the_others_and_not_itself() {
    for threads in [1, 2] {
        let (running, to) = serve("127.0.0.1:0,return=on,96=L16/8000/1", threads);
        let levels = [100_i16, 20, 3];
        let phones = levels.map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        for phone in &phones {
            phone.set_nonblocking(true).unwrap();
        }
        // The last sample that each hears: the sum of the others, once all have begun.
        let mut heard = [0; 3];
        let mut number = 0_u16;
        wait_until("each phone hears the others", || {
            for (phone, level) in phones.iter().zip(levels) {
                phone.send_to(&packet(level, number), to).unwrap();
            }
            number += 1;
            thread::sleep(Duration::from_millis(20));
            for (phone, heard) in phones.iter().zip(&mut heard) {
                let mut bytes = [0; 2048];
                while let Ok((count, from)) = phone.recv_from(&mut bytes) {
                    assert_eq!(from, to);
                    let packet = Packet::parse(&bytes[..count]).unwrap();
                    let last = packet.payload.last_chunk().unwrap();
                    *heard = i16::from_be_bytes(*last);
                }
            }
            heard == [23, 103, 120]
        });
        assert!(running.finish().is_sound());
    }
}

fn packet(level: i16, number: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    Packet {
        marker: false,
        payload_type: 96,
        sequence: number,
        timestamp: u32::from(number) * 160,
        ssrc: level as u32,
        payload: &level.to_be_bytes().repeat(160),
    }
    .write(&[], &mut bytes);
    bytes
}

#[test]
fn a_port_that_refuses_is_counted_and_its_stream_goes_on() {
    let (running, to) = serve("127.0.0.1:0,return=on", 1);
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    phone.set_read_timeout(Some(PATIENCE)).unwrap();
    let from = phone.local_addr().unwrap();
    let mut sender = Phone::new(from.port(), 0, Encoding::MuLaw);
    let receiving = phone.try_clone().unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut other_sender = Phone::new(other.local_addr().unwrap().port(), 0, Encoding::MuLaw);
    for _ in 0..20 {
        phone.send_to(&sender.next(), to).unwrap();
        other.send_to(&other_sender.next(), to).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    receiving.recv_from(&mut [0; 2048]).unwrap();
    // The port closes without a goodbye.
    drop((phone, receiving));
    let refused = wait_for("a refusal", || {
        figures(&running, 0).filter(|figures| figures.totals.return_refused > 0)
    });
    assert!(refused.totals.return_refused >= 1);
    // It comes again from there: the same stream, which hears again; the other one never was concerned.
    let phone = UdpSocket::bind(from).unwrap();
    phone
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    sender.pause(10);
    wait_until("the stream hears again", || {
        phone.send_to(&sender.next(), to).unwrap();
        other.send_to(&other_sender.next(), to).unwrap();
        phone.recv_from(&mut [0; 2048]).is_ok()
    });
    assert_eq!(running.handle().running().len(), 2);
    assert_eq!(figures(&running, 1).unwrap().totals.return_refused, 0);
    assert!(running.finish().is_sound());
}
