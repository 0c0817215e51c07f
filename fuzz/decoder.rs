//! A decoder and any bytes: the first chooses the format, then each packet has a byte of how it is taken, and one of its
//! length.

use mixpool::audio::{Codec, Format};

const MIXES: [(u32, u16); 6] = [
    (8_000, 1),
    (12_000, 2),
    (16_000, 1),
    (24_000, 2),
    (48_000, 1),
    (48_000, 2),
];

pub fn decode(codec: Codec, input: &[u8]) {
    let Some((choice, mut rest)) = input.split_first() else {
        return;
    };
    let (rate_hz, channels) = MIXES[usize::from(*choice) % MIXES.len()];
    let mix = Format::new(rate_hz, channels).unwrap();
    let format = codec.format(mix, mix);
    let channels = usize::from(format.channels());
    let mut decoder = codec.decoder(format);
    while let [how, length, packets @ ..] = rest {
        let (packet, more) = packets.split_at(packets.len().min(usize::from(*length)));
        rest = more;
        let gap = vec![0; usize::from(*how) * 8 * channels];
        match how % 4 {
            0 => drop(decoder.recover(packet, &mut { gap })),
            1 => drop(decoder.conceal(&mut { gap })),
            _ => {
                if let Ok(samples) = codec.samples(packet, format) {
                    let _ = decoder.decode(packet, &mut vec![0; samples * channels]);
                }
            }
        }
    }
}
