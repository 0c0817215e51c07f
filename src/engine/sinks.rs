//! Where the mix goes, as the mixer thread sees it: recordings, and receivers of RTP.
//!
//! Recordings come and go while the mixer runs. They come whole, with a thread of their own that runs
//! already, and go back whole through a ring with room for all: to take and to return one allocates
//! nothing, frees nothing and never waits.

use rtrb::{Consumer, Producer};

use super::{
    EngineError, Settings,
    recordings::{Order, RECORDINGS_MAX},
};
use crate::{
    mixer::Block,
    output::{RecordingInput, RtpOut, RtpProgress, RtpSent},
};

/// All sinks of a server. Each has a thread and a ring of its own.
#[derive(Debug)]
pub(super) struct Sinks {
    /// Room for all there may be, so it never grows.
    recordings: Vec<Taken>,
    orders: Consumer<Order>,
    returned: Producer<RecordingInput>,
    rtp: Vec<RtpOut>,
}

/// A recording that the mixer writes to.
#[derive(Debug)]
struct Taken {
    id: u64,
    input: RecordingInput,
    /// It was asked to stop.
    stops: bool,
    /// Its thread knows: nothing more may be written.
    ended: bool,
}

impl Sinks {
    /// Opens the sockets, and starts their threads. Recordings come by orders, and go back.
    pub(super) fn start(
        settings: &Settings,
        block_samples: usize,
        orders: Consumer<Order>,
        returned: Producer<RecordingInput>,
    ) -> Result<Self, EngineError> {
        let rtp = settings
            .rtp_out
            .iter()
            .map(|&target| RtpOut::start(target, settings.format, block_samples))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            recordings: Vec::with_capacity(RECORDINGS_MAX),
            orders,
            returned,
            rtp,
        })
    }

    /// The description for receivers of the streams by RTP, as SDP.
    pub(super) fn sdp(&self) -> Vec<String> {
        self.rtp.iter().map(|rtp| rtp.sdp().to_owned()).collect()
    }

    /// The progress of the mix by RTP, for each target.
    pub(super) fn rtp_progress(&self) -> Vec<RtpProgress> {
        self.rtp.iter().map(RtpOut::progress).collect()
    }

    /// Between ticks: recordings begin and end as ordered. Enters the kernel only to wake the thread of one
    /// that ends.
    pub(super) fn obey(&mut self) {
        self.take_orders();
        for taken in &mut self.recordings {
            // Without room the next turn tries again: what is recorded meanwhile is more than was asked.
            taken.ended = taken.stops && taken.input.try_end();
        }
        self.return_ended();
    }

    #[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
    fn take_orders(&mut self) {
        while let Ok(order) = self.orders.pop() {
            match order {
                Order::Start(id, input) => self.recordings.push(Taken {
                    id,
                    input,
                    stops: false,
                    ended: false,
                }),
                Order::Stop(id) => {
                    for taken in &mut self.recordings {
                        taken.stops |= taken.id == id;
                    }
                }
            }
        }
    }

    #[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
    fn return_ended(&mut self) {
        let mut index = 0;
        while index < self.recordings.len() {
            if self.recordings[index].ended {
                let Taken { input, .. } = self.recordings.swap_remove(index);
                // There is room for as many as there may be; it is dropped where it is taken out.
                let sent = self.returned.push(input);
                debug_assert!(sent.is_ok(), "room for each recording");
            } else {
                index += 1;
            }
        }
    }

    /// Non-blocking; an output with a full ring loses the block. Enters the kernel to wake the threads.
    pub(super) fn write(&mut self, block: &Block<'_>) {
        for taken in &mut self.recordings {
            taken.input.write(block.samples);
        }
        self.send(block);
    }

    /// Waits until the recordings have room: for a mixer that is not bound to the clock.
    pub(super) fn write_waiting(&mut self, block: &Block<'_>) {
        for taken in &mut self.recordings {
            taken.input.write_waiting(block.samples);
        }
        self.send(block);
    }

    fn send(&mut self, block: &Block<'_>) {
        for rtp in &mut self.rtp {
            rtp.send(block.at, block.contributors, block.samples);
        }
    }

    /// Ends them all: waits until the RTP outputs have sent the rest, and signals the recordings' threads that no
    /// more will come. Returns the RTP outputs' counts, in the order of the settings.
    pub(super) fn finish(mut self) -> Vec<RtpSent> {
        self.take_orders();
        for taken in self.recordings {
            taken.input.finish();
        }
        self.rtp.into_iter().map(RtpOut::finish).collect()
    }
}
