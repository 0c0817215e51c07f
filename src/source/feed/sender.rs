//! A source that is fed as a network sender sends: numbered packets with time stamps, that come late by their jitter
//! from a clock of their own, through a playout.

use crate::{
    audio::MixClock,
    ledger::Packet,
    playout::{Arrived, Playout, PlayoutSettings},
    source::{Source, SourceError},
    stream::Stream,
};

#[derive(Debug)]
pub(super) struct Sender {
    settings: PlayoutSettings,
    /// With the first packet, as the clock may not run before.
    running: Option<Running>,
    packets: u64,
}

#[derive(Debug)]
struct Running {
    playout: Playout,
    clock: MixClock,
    next_tick: u64,
    packet: Vec<i16>,
}

impl Sender {
    pub(super) fn new(settings: PlayoutSettings) -> Self {
        Self {
            settings,
            running: None,
            packets: 0,
        }
    }

    /// Sends the next packet of the source, a block long, to arrive at this time. False once the source has ended:
    /// what was sent still plays. Allocates with the first packet.
    pub(super) fn send(
        &mut self,
        source: &mut dyn Source,
        stream: &mut Stream,
        at_ns: u64,
    ) -> Result<bool, SourceError> {
        if self.running.is_none() {
            let clock = stream.clock().expect("a live thread has a clock");
            let format = clock.format;
            self.running = Some(Running {
                playout: Playout::new(self.settings, format.rate_hz(), format.channels(), clock)
                    .expect("the mix's own format needs no conversion"),
                clock,
                next_tick: clock.next_tick(at_ns + clock.lead_ns()),
                packet: vec![0; clock.block_samples * usize::from(format.channels())],
            });
        }
        let Some(Running {
            playout,
            clock,
            packet,
            ..
        }) = &mut self.running
        else {
            return Ok(false);
        };
        let samples = match source.read(packet) {
            Ok(0) => {
                playout.end(stream);
                return Ok(false);
            }
            Ok(samples) => samples,
            Err(error) => {
                playout.end(stream);
                return Err(error);
            }
        };
        let arrived = Arrived {
            sequence: self.packets,
            timestamp: self.packets * clock.block_samples as u64,
            samples: &packet[..samples],
            at_ns,
        };
        playout.push(arrived, stream);
        self.packets += 1;
        if let Some(network) = stream.account().network() {
            network.count(Packet::Received);
            network.set_expected(self.packets, 0, 0);
            network.set_last_packet(at_ns);
        }
        Ok(true)
    }

    /// When blocks are placed next.
    pub(super) fn placed_ns(&self) -> Option<u64> {
        let running = self.running.as_ref()?;
        Some(running.clock.placed_ns(running.next_tick))
    }

    /// Places the blocks of the ticks that are near.
    pub(super) fn place(&mut self, now_ns: u64, stream: &mut Stream) {
        if let Some(running) = &mut self.running {
            while running.clock.placed_ns(running.next_tick) <= now_ns {
                running.playout.top_up(running.next_tick, stream);
                running.next_tick += 1;
            }
        }
    }

    /// Whether all that was sent is placed.
    pub(super) fn is_done(&self) -> bool {
        self.running
            .as_ref()
            .is_none_or(|running| running.playout.is_empty())
    }

    /// Discards what is not placed, counted.
    pub(super) fn abandon(&mut self, stream: &mut Stream) {
        if let Some(running) = &mut self.running {
            running.playout.abandon(stream);
        }
    }
}
