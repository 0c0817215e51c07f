//! This core's side: the ways to add up the frames of the other core. This is timed.

use std::hint::black_box;

use mixpool::{
    audio::{Frame, Gain, frame::frame_bytes, sum},
    mixer::Mixer,
    queue::{Consumer, LeaseId},
};

use super::{BLOCK, RECORD_BYTES};
use crate::measure::total;

/// Rings asked for ahead, a group at a time, as the mixer does it.
pub const GROUP: usize = 8;

/// A way to add up frames.
pub enum Pass {
    /// The bare loop over rings.
    Rings(Consumer, Vec<LeaseId>),
    /// The mixer.
    Mixer(Box<Mixer>),
    /// A loop over one message that holds all frames.
    Flat(Consumer, LeaseId),
}

/// How a pass is done, where there is a choice.
#[derive(Debug, Clone, Copy)]
pub enum How {
    /// Everything in the order it comes.
    Plain,
    /// Each sample with this gain.
    Gained(Gain),
    /// Each frame's checksum looked at first.
    Checked,
    /// Without asking for the next rings ahead.
    WithoutPrefetch,
    /// The bytes are read, not taken as samples, and left there.
    ReadOnly,
}

impl Pass {
    /// Reads all frames that have just come, and returns their sums.
    pub fn run(&mut self, how: How) -> Option<[i32; BLOCK]> {
        let mut sums = [0; BLOCK];
        match self {
            Self::Rings(consumer, leases) => {
                add_rings(consumer, leases, how, &mut sums);
                if let How::ReadOnly = how {
                    return None;
                }
            }
            Self::Mixer(mixer) => {
                sums.copy_from_slice(mixer.sum(mixer.next_tick()));
                black_box(mixer.finish());
            }
            Self::Flat(consumer, lease) => {
                let message = consumer.get(*lease).expect(OURS).expect("filled");
                if let How::ReadOnly = how {
                    black_box(total(&message));
                    return None;
                }
                for record in message.chunks_exact(RECORD_BYTES) {
                    let frame = Frame::parse(&record[8..]).expect("a frame");
                    sum::add(&mut sums, frame.samples());
                }
                message.ack();
            }
        }
        Some(sums)
    }
}

const OURS: &str = "nobody releases the leases";

fn add_rings(consumer: &mut Consumer, leases: &[LeaseId], how: How, sums: &mut [i32; BLOCK]) {
    let gain = match how {
        How::Gained(gain) => gain,
        _ => Gain::UNITY,
    };
    let (checked, ahead) = match how {
        How::Checked => (true, true),
        How::WithoutPrefetch => (false, false),
        _ => (false, true),
    };
    for (index, &lease) in leases.iter().enumerate() {
        if ahead && index.is_multiple_of(GROUP) {
            let group = |ahead: usize| leases.iter().skip(index + ahead * GROUP).take(GROUP);
            for &next in group(2) {
                consumer.prefetch_position(next);
            }
            for &next in group(1) {
                consumer.prefetch(next, frame_bytes(BLOCK));
            }
        }
        let message = consumer.get(lease).expect(OURS).expect("filled");
        if let How::ReadOnly = how {
            black_box(total(&message));
            continue;
        }
        let frame = Frame::parse(&message).expect("a frame");
        assert!(!checked || frame.checksum_ok(), "a damaged frame");
        sum::add_gained(sums, frame.samples(), gain);
        message.ack();
    }
}
