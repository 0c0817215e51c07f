//! Where in a mix the pieces of what was sent are, if their places are not known: the delay adapts.

use std::collections::HashMap;

/// Samples that tell a place in noise from all others.
const WINDOW: usize = 8;

/// A piece of the mix that is, bit for bit, a piece of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its first sample in the mix, and in what was sent.
    pub at: usize,
    pub from: usize,
    pub length: usize,
}

/// All pieces of `sent` in `mix`, as long as they can be, in the order of the mix. `sent` is noise.
pub fn pieces(mix: &[i16], sent: &[i16]) -> Vec<Piece> {
    let mut places = HashMap::new();
    for (from, window) in sent.windows(WINDOW).enumerate() {
        places.entry(window).or_insert(from);
    }
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at + WINDOW <= mix.len() {
        let Some(&from) = places.get(&mix[at..at + WINDOW]) else {
            at += 1;
            continue;
        };
        let same = mix[at..].iter().zip(&sent[from..]);
        let length = same.take_while(|(one, other)| one == other).count();
        pieces.push(Piece { at, from, length });
        at += length;
    }
    pieces
}
