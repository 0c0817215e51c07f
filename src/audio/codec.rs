//! Codecs: samples as the payload of a packet. One codec a file, and one table of them.
//!
//! A codec of the table has a [`Decoder`] and an [`Encoder`]. Any bytes decode or are refused as [`Malformed`]:
//! none make a decoder panic. Decoders allocate when they are made and reset, not while they decode, so
//! they may run on the threads that receive packets. The mixer's tick decodes nothing. Encoders run
//! on the threads of outputs.
//!
//! Samples as bare bytes, on connections and in files, are written in an [`Encoding`], without state.

mod g722;
mod opus;
mod pcm;

use std::fmt;

use super::Format;

pub use pcm::Encoding;

/// A payload that its codec cannot have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its payload is none of its codec's")]
pub struct Malformed;

/// Packets of one stream, in their order, become samples.
///
/// Samples are interleaved, in the format that the decoder was [made](Codec::decoder) for.
pub trait Decoder: fmt::Debug + Send {
    /// Decodes the next packet. `out` has exactly its [length](Codec::samples).
    ///
    /// # Errors
    /// If the payload is malformed.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<(), Malformed>;

    /// Fills the place of a lost packet from what the one after it, `next`, repeats of it: in-band FEC.
    /// Conceals if that is nothing. False if the codec does neither; `out` is then as it was.
    fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        let _ = next;
        self.conceal(out)
    }

    /// Fills the place of lost packets. False if the codec has no concealment of its own; `out` is then
    /// as it was.
    fn conceal(&mut self, out: &mut [i16]) -> bool {
        let _ = out;
        false
    }

    /// Another sender begins: as a new decoder. May allocate.
    fn reset(&mut self) {}
}

/// Samples become packets. Samples are interleaved, in the format that the encoder was
/// [made](Codec::encoder) for.
pub trait Encoder: fmt::Debug + Send {
    /// Encodes a packet's samples, and appends its payload to `out`.
    ///
    /// # Panics
    /// If a codec with state is passed another length than 20 ms.
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>);
}

/// A codec of the table, by its name in SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// 16 bits, most significant byte first.
    L16,
    /// ITU-T G.722: 7 kHz in 64 kbit/s.
    G722,
    /// RFC 6716: speech and music, mono or stereo.
    Opus,
}

/// A row of the table.
struct Row {
    name: &'static str,
    /// The one clock of its time stamps, and the channels beside it in SDP; none if any will do.
    only: Option<(u32, u16)>,
    /// Payload types of RFC 3551, each with clock and channels.
    static_types: &'static [(u8, (u32, u16))],
    /// The encoding of each sample, if packets depend on none before them.
    stateless: Option<Encoding>,
    /// From clock and channels in SDP, and the format of the mix, to the format of the samples.
    format: fn(Format, Format) -> Format,
    samples: fn(&[u8], Format) -> Option<usize>,
    decoder: fn(Format) -> Box<dyn Decoder>,
    encoder: fn(Format) -> Box<dyn Encoder>,
}

/// All codecs, in the order of [`Codec`].
static TABLE: [Row; 5] = [
    Row {
        name: "PCMU",
        only: None,
        static_types: &[(0, (8_000, 1))],
        stateless: Some(Encoding::MuLaw),
        format: |clock, _| clock,
        samples: |payload, format| Encoding::MuLaw.samples(payload, format),
        decoder: |_| Box::new(Encoding::MuLaw),
        encoder: |_| Box::new(Encoding::MuLaw),
    },
    Row {
        name: "PCMA",
        only: None,
        static_types: &[(8, (8_000, 1))],
        stateless: Some(Encoding::ALaw),
        format: |clock, _| clock,
        samples: |payload, format| Encoding::ALaw.samples(payload, format),
        decoder: |_| Box::new(Encoding::ALaw),
        encoder: |_| Box::new(Encoding::ALaw),
    },
    Row {
        name: "L16",
        only: None,
        static_types: &[(10, (44_100, 2)), (11, (44_100, 1))],
        stateless: Some(Encoding::S16Be),
        format: |clock, _| clock,
        samples: |payload, format| Encoding::S16Be.samples(payload, format),
        decoder: |_| Box::new(Encoding::S16Be),
        encoder: |_| Box::new(Encoding::S16Be),
    },
    Row {
        name: "G722",
        only: Some((g722::CLOCK_HZ, 1)),
        static_types: &[(9, (g722::CLOCK_HZ, 1))],
        stateless: None,
        format: |_, _| format(g722::FORMAT),
        samples: |payload, _| Some(g722::samples(payload)),
        decoder: |_| Box::new(g722::Decoder::new()),
        encoder: |_| Box::new(g722::Encoder::new()),
    },
    Row {
        name: "opus",
        only: Some((opus::CLOCK_HZ, 2)),
        static_types: &[],
        stateless: None,
        format: |_, mix| opus::format(mix),
        samples: opus::samples,
        decoder: |format| Box::new(opus::Decoder::new(format)),
        encoder: |format| Box::new(opus::Encoder::new(format)),
    },
];

/// Length of the packets that a codec with state sends. RFC 3551 has it as the default of all.
const PACKETS_PER_SECOND: u32 = 50;

/// A rate and channels of the table.
fn format((rate_hz, channels): (u32, u16)) -> Format {
    Format::new(rate_hz, channels).expect("the table has rates and channels of formats alone")
}

impl Codec {
    /// The whole table.
    pub const ALL: [Self; 5] = [Self::Pcmu, Self::Pcma, Self::L16, Self::G722, Self::Opus];

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The codec of a name, in capitals or not.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// The name in SDP.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The one clock of its time stamps, and the channels beside it in SDP; none if any will do.
    pub(crate) fn only(self) -> Option<Format> {
        self.row().only.map(format)
    }

    /// Payload types of RFC 3551, each with clock and channels.
    pub(crate) fn static_types(self) -> impl Iterator<Item = (u8, Format)> {
        let types = self.row().static_types.iter();
        types.map(|&(number, clock)| (number, format(clock)))
    }

    /// The encoding of each sample, if packets depend on none before them.
    pub fn stateless(self) -> Option<Encoding> {
        self.row().stateless
    }

    /// The format of the samples in packets of this clock and these channels in SDP. Where the codec leaves
    /// the choice it is that of the mix, so that nothing needs to be converted.
    pub fn format(self, clock: Format, mix: Format) -> Format {
        (self.row().format)(clock, mix)
    }

    /// Samples per channel of a payload, without decoding it.
    ///
    /// # Errors
    /// If the payload is malformed. One that passes may still be refused when it is decoded.
    pub fn samples(self, payload: &[u8], format: Format) -> Result<usize, Malformed> {
        (self.row().samples)(payload, format).ok_or(Malformed)
    }

    /// Samples per channel of a packet to send, if all must be of one length.
    pub(crate) fn packet_samples(self, format: Format) -> Option<usize> {
        let any = self.stateless().is_some();
        (!any).then(|| (format.rate_hz() / PACKETS_PER_SECOND) as usize)
    }

    /// Bytes of a decoder, as measured: as many in stereo.
    pub(crate) fn decoder_bytes(self) -> u64 {
        match self {
            Self::Opus => 190_000,
            Self::G722 => 1_000,
            _ => 0,
        }
    }

    /// A decoder to a format that [`format`](Self::format) returned. Allocates
    /// `decoder_bytes`.
    pub fn decoder(self, format: Format) -> Box<dyn Decoder> {
        (self.row().decoder)(format)
    }

    /// An encoder from a format that [`format`](Self::format) returned. Allocates.
    pub fn encoder(self, format: Format) -> Box<dyn Encoder> {
        (self.row().encoder)(format)
    }
}

#[cfg(test)]
mod tests;
