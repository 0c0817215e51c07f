//! G.722 and Opus against ffmpeg: its encoders to our decoders, and our encoders to its decoders. `.ci/codecs` runs
//! these; without ffmpeg they are left out.

use std::{fs, path::Path, process::Command};

use mixpool::audio::{Codec, Decoder, Format};
use tempfile::TempDir;

/// Opus decodes this much before the first sample, at 48 kHz; ffmpeg drops it.
const PRE_SKIP: u16 = 312;

/// Runs ffmpeg in a folder; its arguments are separated by spaces.
fn ffmpeg(folder: &Path, arguments: &str) {
    let status = Command::new("ffmpeg")
        .current_dir(folder)
        .args(["-loglevel", "error", "-nostdin", "-y"])
        .args(arguments.split(' '))
        .status()
        .expect("ffmpeg is installed");
    assert!(status.success(), "ffmpeg {arguments}");
}

fn format(rate_hz: u32, channels: u16) -> Format {
    Format::new(rate_hz, channels).unwrap()
}

/// What ffmpeg decodes of a file.
fn theirs(folder: &TempDir, input: &str) -> Vec<i16> {
    ffmpeg(folder.path(), &format!("{input} -f s16le out.raw"));
    let bytes = fs::read(folder.path().join("out.raw")).unwrap();
    let pairs = bytes.chunks_exact(2);
    pairs.map(|p| i16::from_le_bytes([p[0], p[1]])).collect()
}

/// Speech in this format, also as `speech.wav` in the folder; louder on the left.
fn speech(folder: &TempDir, format: Format) -> Vec<i16> {
    let (rate, channels) = (format.rate_hz(), format.channels());
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testdata/speech-alphabet-8000-mono-s16.wav"
    );
    let pan = if channels == 2 {
        "-af pan=stereo|c0=c0|c1=0.6*c0"
    } else {
        "-ac 1"
    };
    ffmpeg(
        folder.path(),
        &format!("-i {source} {pan} -ar {rate} speech.wav"),
    );
    theirs(folder, "-i speech.wav")
}

/// Signal over noise in dB, over what both have.
fn snr(original: &[i16], copy: &[i16]) -> f64 {
    let (mut signal, mut noise) = (0.0, 1.0f64);
    for (&a, &b) in original.iter().zip(copy) {
        signal += f64::from(a).powi(2);
        noise += (f64::from(a) - f64::from(b)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// The signal over noise at the delay where that of the first half second is best.
fn best_snr(original: &[i16], copy: &[i16], format: Format) -> f64 {
    let (rate, channels) = (format.rate_hz() as usize, usize::from(format.channels()));
    let begin = &original[..rate / 2 * channels];
    let at = |part: &[i16], delay: usize| snr(part, &copy[delay * channels..]);
    let delays = (0..rate / 120).map(|delay| (at(begin, delay), delay));
    let best = delays.max_by(|one, other| one.0.total_cmp(&other.0));
    at(original, best.map_or(0, |(_, delay)| delay))
}

/// Prints both, in dB, and asserts that ours is at most 1 dB below theirs, which is above `least`.
fn compare(what: &str, ours: f64, theirs: f64, least: f64) {
    let line = format!("{what}: ours {ours:.2} dB, theirs {theirs:.2} dB");
    println!("{line}");
    assert!(theirs > least && ours > theirs - 1.0, "{line}");
}

fn decode(codec: Codec, format: Format, packets: &[Vec<u8>]) -> Vec<i16> {
    let mut decoder = codec.decoder(format);
    let decode = |packet: &Vec<u8>| decoded(codec, &mut *decoder, format, packet);
    packets.iter().flat_map(decode).collect()
}

fn decoded(codec: Codec, decoder: &mut dyn Decoder, format: Format, packet: &[u8]) -> Vec<i16> {
    let samples = codec.samples(packet, format).unwrap();
    let mut out = vec![0; samples * usize::from(format.channels())];
    decoder.decode(packet, &mut out).unwrap();
    out
}

fn encode(codec: Codec, format: Format, samples: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = codec.encoder(format);
    let packet = format.rate_hz() as usize / 50 * usize::from(format.channels());
    let encode = |samples: &[i16]| {
        let mut out = Vec::new();
        encoder.encode(samples, &mut out);
        out
    };
    samples.chunks_exact(packet).map(encode).collect()
}

/// The packets of an Ogg file, without its two headers (RFC 3533, RFC 7845).
fn read_ogg(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (mut packets, mut packet, mut rest) = (Vec::new(), Vec::new(), &bytes[..]);
    while rest.starts_with(b"OggS") {
        let segments = usize::from(rest[26]);
        let (table, mut body) = rest[27..].split_at(segments);
        for &length in table {
            packet.extend_from_slice(&body[..length.into()]);
            body = &body[length.into()..];
            if length < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
        rest = body;
    }
    packets.split_off(2)
}

/// Writes packets of 20 ms as an Ogg file, a page each.
fn write_ogg(path: &Path, channels: u8, packets: &[Vec<u8>]) {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(channels);
    head.extend(PRE_SKIP.to_le_bytes());
    head.extend([0x80, 0xbb, 0, 0, 0, 0, 0]);
    let tags = b"OpusTags\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    let pages = [(0, &head), (0, &tags)].into_iter();
    let pages = pages.chain(
        packets
            .iter()
            .enumerate()
            .map(|(n, p)| (960 * (n as u64 + 1), p)),
    );
    let mut file = Vec::new();
    for (number, (position, packet)) in pages.enumerate() {
        let mut page = b"OggS\x00".to_vec();
        page.push(if number == 0 { 2 } else { 0 });
        page.extend(position.to_le_bytes());
        page.extend(1u32.to_le_bytes());
        page.extend((number as u32).to_le_bytes());
        page.extend([0; 4]);
        let (whole, last) = (packet.len() / 255, packet.len() % 255);
        page.push(whole as u8 + 1);
        page.extend(std::iter::repeat_n(255, whole));
        page.push(last as u8);
        page.extend(packet);
        let sum = checksum(&page);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        file.extend(page);
    }
    fs::write(path, file).unwrap();
}

/// That of Ogg's pages: polynomial 0x04c11db7, most significant bit first.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| {
            sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[test]
#[ignore = "needs ffmpeg: .ci/codecs"]
fn g722_of_ffmpeg_decodes_as_well_as_there() {
    let folder = TempDir::new().unwrap();
    let format = format(16_000, 1);
    let original = speech(&folder, format);
    ffmpeg(folder.path(), "-i speech.wav -c:a g722 -f g722 coded");
    let coded = fs::read(folder.path().join("coded")).unwrap();
    let packets: Vec<_> = coded.chunks(160).map(<[u8]>::to_vec).collect();
    let ours = decode(Codec::G722, format, &packets);
    let theirs = theirs(&folder, "-f g722 -i coded");
    let quality = |copy: &[i16]| best_snr(&original, copy, format);
    compare("G.722", quality(&ours), quality(&theirs), 20.0);
}

#[test]
#[ignore = "needs ffmpeg: .ci/codecs"]
fn g722_of_ours_is_as_good_at_ffmpeg_as_its_own() {
    let folder = TempDir::new().unwrap();
    let format = format(16_000, 1);
    let original = speech(&folder, format);
    let coded = encode(Codec::G722, format, &original).concat();
    fs::write(folder.path().join("ours"), coded).unwrap();
    ffmpeg(folder.path(), "-i speech.wav -c:a g722 -f g722 theirs");
    let quality = |name: &str| {
        let heard = theirs(&folder, &format!("-f g722 -i {name}"));
        best_snr(&original, &heard, format)
    };
    compare("G.722", quality("ours"), quality("theirs"), 20.0);
}

/// Arguments of ffmpeg's libopus for each mode of Opus, and for each length of its frames.
const LIBOPUS: [(&str, u16); 9] = [
    ("-application voip -b:a 12k -frame_duration 20", 1),
    ("-application voip -b:a 16k -frame_duration 60", 1),
    ("-application voip -b:a 20k -frame_duration 40", 2),
    (
        "-application voip -b:a 32k -frame_duration 10 -cutoff 20000",
        1,
    ),
    ("-application voip -b:a 48k -frame_duration 20", 2),
    ("-application audio -b:a 64k -frame_duration 20", 1),
    ("-application audio -b:a 96k -frame_duration 10", 2),
    ("-application lowdelay -b:a 64k -frame_duration 5", 1),
    ("-application lowdelay -b:a 96k -frame_duration 2.5", 2),
];

/// What ffmpeg and we decode of `coded.ogg`, with the same delay.
fn both(folder: &TempDir, format: Format) -> (Vec<i16>, Vec<i16>) {
    let packets = read_ogg(&folder.path().join("coded.ogg"));
    let skipped = vec![0; usize::from(PRE_SKIP * format.channels())];
    let theirs = theirs(folder, "-c:a libopus -i coded.ogg");
    let ours = decode(Codec::Opus, format, &packets);
    (ours, [skipped, theirs].concat())
}

#[test]
#[ignore = "needs ffmpeg: .ci/codecs"]
fn opus_of_ffmpeg_decodes_as_well_as_there() {
    for (options, channels) in LIBOPUS {
        let folder = TempDir::new().unwrap();
        let format = format(48_000, channels);
        let original = speech(&folder, format);
        let arguments = format!("-i speech.wav -c:a libopus {options} coded.ogg");
        ffmpeg(folder.path(), &arguments);
        let (ours, theirs) = both(&folder, format);
        let quality = |copy: &[i16]| best_snr(&original, copy, format);
        compare(options, quality(&ours), quality(&theirs), 8.0);
    }
}

#[test]
#[ignore = "needs ffmpeg: .ci/codecs"]
fn opus_of_ours_decodes_at_ffmpeg_as_well_as_here() {
    for channels in [1, 2] {
        let folder = TempDir::new().unwrap();
        let format = format(48_000, channels);
        let original = speech(&folder, format);
        let packets = encode(Codec::Opus, format, &original);
        write_ogg(&folder.path().join("coded.ogg"), channels as u8, &packets);
        let (ours, theirs) = both(&folder, format);
        let quality = |copy: &[i16]| best_snr(&original, copy, format);
        compare("our Opus", quality(&ours), quality(&theirs), 18.0);
    }
}

#[test]
#[ignore = "needs ffmpeg: .ci/codecs"]
fn in_band_fec_of_ffmpeg_makes_five_percent_of_loss_less() {
    let folder = TempDir::new().unwrap();
    let format = format(16_000, 1);
    speech(&folder, format);
    ffmpeg(
        folder.path(),
        "-i speech.wav -c:a libopus -application voip -b:a 24k -fec 1 -packet_loss 10 -frame_duration 20 coded.ogg",
    );
    let packets = read_ogg(&folder.path().join("coded.ogg"));
    let whole = decode(Codec::Opus, format, &packets);
    let lossy = |fec: bool| {
        let mut decoder = Codec::Opus.decoder(format);
        let mut heard = Vec::new();
        for (number, packet) in packets.iter().enumerate() {
            let mut out = vec![0; Codec::Opus.samples(packet, format).unwrap()];
            match packets.get(number + 1).filter(|_| number % 20 == 10) {
                Some(next) if fec => assert!(decoder.recover(next, &mut out)),
                Some(_) => assert!(decoder.conceal(&mut out)),
                None => decoder.decode(packet, &mut out).unwrap(),
            }
            heard.extend(out);
        }
        snr(&whole, &heard)
    };
    let (with, without) = (lossy(true), lossy(false));
    println!("with {with:.2} dB, without {without:.2} dB");
    assert!(
        with > without + 2.0,
        "with {with:.2} dB, without {without:.2} dB"
    );
}
