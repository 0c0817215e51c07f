//! The expected sound and counts for a fixed playout delay and equal clocks: computed sample
//! by sample from sent and arrived packets, apart from the receiver.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use mixpool::{
    audio::GapReason,
    ledger::{Entry, Malformed, NetworkEntry},
};

use super::{Arrival, Kind, MS, Sent, What, next_tick, play, topped_up_ns};

/// A stranger's packet is remembered for so long.
const MEMORY_NS: u64 = 2_000_000_000;

/// The expected account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Truth {
    /// Packets.
    pub received: u64,
    pub expected: u64,
    pub duplicate: u64,
    pub reordered: u64,
    pub late: u64,
    pub malformed: u64,
    pub unsupported: u64,
    pub comfort_noise: u64,
    pub telephone_event: u64,
    /// Samples.
    pub offered: u64,
    pub mixed: u64,
    pub dropped_late: u64,
    pub concealed: u64,
    /// How often the sender restarted.
    pub segments: u64,
}

impl Truth {
    /// The same figures of an account. All others must be zero.
    pub fn of_account(entry: &Entry, network: &NetworkEntry) -> Self {
        let elsewhere = [
            entry.muted,
            entry.dropped_full,
            entry.discarded,
            entry.in_ring,
        ];
        assert_eq!(elsewhere, [0; 4], "{entry:?}");
        // Each packet that came counts once, however often it did.
        let came = network.totals.received - network.totals.duplicate;
        let lost = network.totals.expected - came;
        assert_eq!(network.totals.lost, lost, "lost: {network:?}");
        Self {
            received: network.totals.received,
            expected: network.totals.expected,
            duplicate: network.totals.duplicate,
            reordered: network.totals.reordered,
            late: network.totals.late,
            malformed: network.totals.malformed,
            unsupported: network.totals.unsupported,
            comfort_noise: network.totals.comfort_noise,
            telephone_event: network.totals.telephone_event,
            offered: entry.offered,
            mixed: entry.mixed,
            dropped_late: entry.dropped_late,
            concealed: entry.concealed,
            segments: entry.segments,
        }
    }
}

/// One stream's.
#[derive(Debug, Default)]
pub struct Reference {
    /// The stream's samples, where they play. Zero where there is none.
    pub mix: Vec<i16>,
    pub truth: Truth,
    /// Where its samples are missing that were sent, and why.
    pub gaps: BTreeMap<u64, GapReason>,
    /// Packets that were sent and never came, from the first that came to the last.
    pub lost: u64,
    /// The place after the last sample that came.
    newest: u64,
    /// Samples of a block.
    block: usize,
}

impl Reference {
    /// Of one sender's packets, of which these came, in a mix of this rate.
    pub fn new(sent: &[Rc<Sent>], arrivals: &[Arrival], delay_ms: u64, rate_hz: u32) -> Self {
        let mut reference = Self {
            block: rate_hz as usize / 50,
            ..Self::default()
        };
        let segments = sent.iter().map(|sent| sent.segment).max().unwrap_or(0);
        for segment in 0..=segments {
            let sent: Vec<_> = sent.iter().filter(|sent| sent.segment == segment).collect();
            let came: Vec<_> = arrivals
                .iter()
                .filter_map(|arrival| match &arrival.what {
                    What::Packet(packet) => Some((arrival.at_ns, packet)),
                    _ => None,
                })
                .filter(|(_, packet)| packet.segment == segment)
                .collect();
            reference.segment(&sent, &came, delay_ms);
        }
        reference
    }

    fn segment(&mut self, sent: &[&Rc<Sent>], came: &[(u64, &Rc<Sent>)], delay_ms: u64) {
        // Two in sequence prove it; earlier packets belong to no stream.
        let proof = came.windows(2).position(|pair| {
            let [(before_ns, one), (at_ns, other)] = pair else {
                return false;
            };
            other.number == one.number + 1 && at_ns - before_ns <= MEMORY_NS
        });
        let Some(proof) = proof else { return };
        let (first_ns, first) = came[proof];
        self.truth.segments += 1;
        // It was held until the second came. It plays as if it had not been, if that is still possible,
        // and never before what waits.
        let next = next_tick(came[proof + 1].0) * self.block as u64;
        let origin = play(first_ns + delay_ms * MS, self.block).max(next);
        let origin = origin.max(self.newest) as i64;
        // How many samples of each packet came in time, and where they play.
        let mut came_in_time = BTreeMap::new();
        let mut heard = BTreeSet::new();
        let place_of = |time: u64| origin + time as i64 - first.time as i64;
        let (mut highest, mut heard_of) = (first.number, first.number);
        for (index, &(at_ns, packet)) in came.iter().enumerate().skip(proof) {
            self.truth.received += 1;
            if came_in_time.contains_key(&packet.number) {
                self.truth.duplicate += 1;
                continue;
            }
            self.truth.reordered += u64::from(packet.number < highest);
            highest = highest.max(packet.number);
            match packet.kind {
                Kind::Audio | Kind::Empty => {}
                Kind::ComfortNoise => self.truth.comfort_noise += 1,
                Kind::TelephoneEvent => self.truth.telephone_event += 1,
                Kind::Unsupported => self.truth.unsupported += 1,
                Kind::Odd => self.truth.malformed += 1,
            }
            if matches!(
                packet.kind,
                Kind::Audio | Kind::ComfortNoise | Kind::Unsupported
            ) {
                heard_of = heard_of.max(packet.number);
            }
            let at_ns = if index == proof {
                came[proof + 1].0
            } else {
                at_ns
            };
            let mut in_time = 0;
            for (time, &sample) in (packet.time..).zip(&packet.samples) {
                let place = place_of(time);
                let tick = place.div_euclid(self.block as i64);
                if tick >= 0 && topped_up_ns(tick as u64) > at_ns {
                    self.put(place as usize, sample);
                    heard.insert(place);
                    self.newest = self.newest.max(place as u64 + 1);
                    in_time += 1;
                }
            }
            // It stands for silence: nothing is missing in its time.
            let silent = packet.kind == Kind::Unsupported;
            let present = if silent { packet.length } else { in_time };
            came_in_time.insert(packet.number, present);
            let late = packet.samples.len() as u64 - in_time;
            self.truth.offered += packet.samples.len() as u64;
            self.truth.mixed += in_time;
            self.truth.dropped_late += late;
            self.truth.late += u64::from(late > 0);
        }
        let lowest = came_in_time.keys().min().unwrap_or(&first.number);
        self.truth.expected += highest - lowest + 1;
        for packet in sent {
            let within = (first.number..=highest).contains(&packet.number);
            self.lost += u64::from(within && !came_in_time.contains_key(&packet.number));
            if (first.number..=heard_of).contains(&packet.number) {
                let in_time = came_in_time.get(&packet.number).unwrap_or(&0);
                self.truth.concealed += packet.length - in_time;
                let came = came_in_time.contains_key(&packet.number);
                let why = if came && !packet.samples.is_empty() {
                    GapReason::Late
                } else {
                    GapReason::Lost
                };
                let places = (packet.time..packet.time + packet.length).map(place_of);
                let missing =
                    places.filter(|place| *in_time < packet.length && !heard.contains(place));
                self.gaps.extend(missing.map(|place| (place as u64, why)));
            }
        }
    }

    fn put(&mut self, place: usize, sample: i16) {
        let length = self.mix.len().max(place + 1);
        self.mix.resize(length, 0);
        assert_eq!(self.mix[place], 0, "two samples at {place}");
        self.mix[place] = sample;
    }
}

/// How many of these came malformed, by kind.
pub fn malformed(arrivals: &[Arrival]) -> [u64; Malformed::ALL.len()] {
    let mut counts = [0; Malformed::ALL.len()];
    for arrival in arrivals {
        if let What::Malformed(how, _) = arrival.what {
            counts[how as usize] += 1;
        }
    }
    counts
}
