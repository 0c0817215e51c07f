//! The network between a sender and the receiver.

use std::{net::SocketAddr, rc::Rc};

use mixpool::ledger::Malformed;

use super::{Dice, Sent};

/// A datagram that comes.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub at_ns: u64,
    pub from: SocketAddr,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Packet(Rc<Sent>),
    /// Malformed in this way.
    Malformed(Malformed, Vec<u8>),
    /// Bytes that mean nothing to anybody.
    Garbage(Vec<u8>),
}

impl Arrival {
    pub fn bytes(&self) -> &[u8] {
        match &self.what {
            What::Packet(sent) => &sent.bytes,
            What::Malformed(_, bytes) | What::Garbage(bytes) => bytes,
        }
    }
}

/// One way through the network. A clear one takes 10 ms, for every packet.
#[derive(Debug, Clone)]
pub struct Path {
    dice: Dice,
    delay_ns: u64,
    loss: f64,
    /// Gilbert's model: how likely a good path turns bad before a packet, and a bad one good. A bad
    /// one loses all.
    bursts: Option<(f64, f64)>,
    bad: bool,
    twice: f64,
    /// Up to so much more delay, in order.
    jitter_ns: u64,
    /// How likely a packet is held back, and for how long at most: others overtake it.
    overtaking: (f64, u64),
    /// Every so often nothing comes for so long.
    stall: Option<(u64, u64)>,
    /// Packets of each segment that no stall holds up.
    begun: u64,
    /// Malformed and meaningless datagrams, per packet.
    malformed: f64,
    garbage: f64,
    last_ns: u64,
}

impl Path {
    pub fn clear(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed ^ 0x7061_7468),
            delay_ns: 10_000_000,
            loss: 0.0,
            bursts: None,
            bad: false,
            twice: 0.0,
            jitter_ns: 0,
            overtaking: (0.0, 0),
            stall: None,
            begun: 0,
            malformed: 0.0,
            garbage: 0.0,
            last_ns: 0,
        }
    }

    /// Packets are lost, each on its own.
    pub fn losing(mut self, loss: f64) -> Self {
        self.loss = loss;
        self
    }

    /// Packets are lost several in a row: so likely a row begins, and so likely it ends.
    pub fn losing_rows(mut self, begin: f64, end: f64) -> Self {
        self.bursts = Some((begin, end));
        self
    }

    pub fn doubling(mut self, twice: f64) -> Self {
        self.twice = twice;
        self
    }

    /// Up to so much more delay; the order stays.
    pub fn jitter(mut self, ns: u64) -> Self {
        self.jitter_ns = ns;
        self
    }

    /// Some are held back for up to so long, and overtaken meanwhile.
    pub fn overtaking(mut self, share: f64, ns: u64) -> Self {
        self.overtaking = (share, ns);
        self
    }

    /// Every so often nothing comes for so long, then all at once.
    pub fn stalling(mut self, every_ns: u64, ns: u64) -> Self {
        self.stall = Some((every_ns, ns));
        self
    }

    /// No segment begins in a stall: its first packets come through.
    pub fn beginning_in_time(mut self) -> Self {
        self.begun = 3;
        self
    }

    /// So many malformed datagrams, and so much garbage, for each packet.
    pub fn dirty(mut self, malformed: f64, garbage: f64) -> Self {
        (self.malformed, self.garbage) = (malformed, garbage);
        self
    }

    /// From now on it takes so long.
    pub fn take_ns(&mut self, ns: u64) {
        self.delay_ns = ns;
    }

    /// The arrivals of these packets, in order.
    pub fn carry(&mut self, sent: &[Rc<Sent>]) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for sent in sent {
            self.carry_one(sent, &mut arrivals);
        }
        arrivals.sort_by_key(|arrival| arrival.at_ns);
        arrivals
    }

    fn carry_one(&mut self, sent: &Rc<Sent>, arrivals: &mut Vec<Arrival>) {
        let dice = &mut self.dice;
        if let Some((begin, end)) = self.bursts {
            self.bad = if self.bad {
                !dice.hits(end)
            } else {
                dice.hits(begin)
            };
        }
        let lost = self.bad || dice.hits(self.loss);
        let mut at_ns = sent.at_ns + self.delay_ns + dice.up_to(self.jitter_ns);
        if sent.number >= self.begun {
            at_ns = after_stall(self.stall, at_ns);
        }
        at_ns = self.last_ns.max(at_ns);
        let held_back = dice.hits(self.overtaking.0) && !sent.protected;
        if held_back {
            at_ns += dice.up_to(self.overtaking.1);
        } else {
            self.last_ns = at_ns;
        }
        let mut come = |at_ns, what| {
            arrivals.push(Arrival {
                at_ns,
                from: sent.from,
                what,
            });
        };
        if dice.hits(self.malformed) {
            let (how, bytes) = malformed(&sent.bytes, dice);
            come(at_ns, What::Malformed(how, bytes));
        }
        if dice.hits(self.garbage) {
            come(at_ns, What::Garbage(garbage(dice)));
        }
        if lost && !sent.protected {
            return;
        }
        come(at_ns, What::Packet(Rc::clone(sent)));
        if dice.hits(self.twice) && !sent.protected {
            let later_ns = at_ns + dice.up_to(self.overtaking.1.max(self.jitter_ns));
            come(later_ns, What::Packet(Rc::clone(sent)));
        }
    }
}

/// All of these, in the order of coming.
pub fn merge(arrivals: &[Vec<Arrival>]) -> Vec<Arrival> {
    let mut merged = arrivals.concat();
    merged.sort_by_key(|arrival| arrival.at_ns);
    merged
}

/// When a packet comes through that would come now, if the path stalls.
fn after_stall(stall: Option<(u64, u64)>, at_ns: u64) -> u64 {
    let Some((every, length)) = stall else {
        return at_ns;
    };
    let since = at_ns % every;
    at_ns + length.saturating_sub(since)
}

/// A packet that something broke, and how.
fn malformed(packet: &[u8], dice: &mut Dice) -> (Malformed, Vec<u8>) {
    let mut bytes = packet.to_vec();
    let how = match dice.up_to(4) {
        0 => {
            bytes.truncate(dice.up_to(11) as usize);
            // Its kind is unknown.
            Malformed::TooShort
        }
        1 => {
            bytes[0] = [0x00, 0x40, 0xc0][dice.up_to(2) as usize] | bytes[0] & 0x3f;
            Malformed::Version
        }
        2 => {
            // Contributing sources beyond the end.
            bytes[0] |= 0x0f;
            bytes.truncate(12 + dice.up_to(59) as usize);
            Malformed::Length
        }
        3 => {
            // An extension beyond the end.
            bytes[0] |= 0x10;
            bytes.truncate(12);
            bytes.extend([0xbe, 0xde, 0xff, 0xff]);
            Malformed::Length
        }
        _ => {
            // Padding of nothing, or of more than there is.
            bytes[0] |= 0x20;
            bytes.truncate(12 + dice.up_to(100) as usize);
            let much = dice.hits(0.5) && bytes.len() < 12 + 100;
            bytes.push(if much { 255 } else { 0 });
            Malformed::Padding
        }
    };
    (how, bytes)
}

/// Any bytes, or a likeness of a packet of an unknown source.
fn garbage(dice: &mut Dice) -> Vec<u8> {
    let length = dice.up_to(200) as usize;
    let mut bytes = dice.bytes(length);
    if let Some(first) = bytes.first_mut().filter(|_| dice.hits(0.5)) {
        *first = 0x80 | *first & 0x1f;
    }
    bytes
}
