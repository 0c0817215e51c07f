#!/usr/bin/env python3
"""Makes the WAV fixtures beside it.

    python3 testdata/make.py           write every fixture (the spoken ones only if espeak-ng is installed)
    python3 testdata/make.py --check   make the code-made ones in memory and compare them byte for byte

Python's standard library alone. The spoken fixtures depend on the espeak-ng version, so `--check` skips them.
"""

import math
import shutil
import struct
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

HERE = Path(__file__).resolve().parent

PCM, ADPCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 2, 3, 6, 7, 0xFFFE
# The tail of the sub-format GUID that turns a format tag into an extensible one.
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
UNKNOWN = 0xFFFFFFFF  # The length that a program writing into a pipe leaves in the header.


def chunk(tag, body, claimed=None):
    """A RIFF chunk, padded to an even length; `claimed` overrides the length in its header."""
    size = len(body) if claimed is None else claimed
    return tag + struct.pack("<I", size) + body + b"\0" * (len(body) % 2)


def fmt(tag, channels, rate, bits):
    """The 16-byte format chunk."""
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits))


def fmt_extensible(tag, channels, rate, bits, mask):
    """The 40-byte format chunk of multichannel and high-resolution files."""
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", EXTENSIBLE, channels, rate, rate * block, block, bits)
    return chunk(b"fmt ", head + struct.pack("<HHIH", 22, bits, mask, tag) + GUID_TAIL)


def riff(*chunks, claimed=None):
    body = b"WAVE" + b"".join(chunks)
    size = len(body) if claimed is None else claimed
    return b"RIFF" + struct.pack("<I", size) + body


def tone(rate, seconds, frequency, amplitude=0.5):
    """A sine as floats in -1..1, starting at zero."""
    step = 2 * math.pi * frequency / rate
    return [amplitude * math.sin(step * n) for n in range(round(rate * seconds))]


def interleave(*channels):
    return [sample for samples in zip(*channels) for sample in samples]


def u8(samples):
    return bytes(round(s * 127) + 128 for s in samples)


def s16(samples):
    return b"".join(struct.pack("<h", round(s * 32767)) for s in samples)


def s24(samples):
    return b"".join(struct.pack("<i", round(s * 8388607))[:3] for s in samples)


def s32(samples):
    return b"".join(struct.pack("<i", round(s * 2147483647)) for s in samples)


def f32(samples):
    return b"".join(struct.pack("<f", s) for s in samples)


def f64(samples):
    return b"".join(struct.pack("<d", s) for s in samples)


def s24_in_32(samples):
    """24 bits in the lower three of four bytes, as ALSA's programs write S24_LE."""
    return b"".join(struct.pack("<i", round(s * 8388607)) for s in samples)


def mu_law(code):
    """The sample of a code of G.711, on the scale of 16 bits."""
    code ^= 0xFF
    magnitude = (((code & 15) * 8 + 132) << (code >> 4 & 7)) - 132
    return -magnitude if code & 128 else magnitude


def a_law(code):
    code ^= 0x55
    segment, step = code >> 4 & 7, (code & 15) * 16 + 8
    magnitude = step if segment == 0 else (step + 256) << segment - 1
    return magnitude if code & 128 else -magnitude


def g711(samples, decode):
    """For each sample the code of the nearest one."""
    codes = [(decode(code), code) for code in range(256)]
    return bytes(min(codes, key=lambda pair: abs(pair[0] - s * 32767))[1] for s in samples)


def big_endian(body, width):
    """Samples of this width with their most significant byte first."""
    return b"".join(body[at:at + width][::-1] for at in range(0, len(body), width))


def rifx(channels, rate, bits, body):
    """The big-endian twin of `riff`, of PCM."""
    def field(tag, content):
        return tag + struct.pack(">I", len(content)) + content
    block = channels * bits // 8
    format_chunk = struct.pack(">HHIIHH", PCM, channels, rate, rate * block, block, bits)
    return field(b"RIFX", b"WAVE" + field(b"fmt ", format_chunk) + field(b"data", big_endian(body, bits // 8)))


def rf64(format_chunk, body):
    """A WAV with its lengths in 64 bits."""
    whole = 4 + 36 + len(format_chunk) + 8 + len(body)
    long = chunk(b"ds64", struct.pack("<QQQI", whole, len(body), 0, 0))
    return b"RF64" + struct.pack("<I", UNKNOWN) + b"WAVE" + long + format_chunk + chunk(b"data", body, claimed=UNKNOWN)


def info(text):
    """A LIST chunk with one comment."""
    return chunk(b"LIST", b"INFO" + chunk(b"ICMT", text))


def code_made():
    """Name -> bytes of every fixture that needs no other program."""
    tone_440 = s16(tone(8000, 1, 440))
    mono_8000 = fmt(PCM, 1, 8000, 16)
    short = s16(tone(8000, 0.1, 440))
    impulse = [0.0] * 8000
    impulse[0] = impulse[4000] = 1.0
    stereo = interleave(tone(48000, 0.5, 1000), tone(48000, 0.5, 2000))
    return {
        "tone-440-8000-mono-s16.wav": riff(mono_8000, chunk(b"data", tone_440)),
        "tone-440-8000-stereo-s16.wav": riff(
            fmt(PCM, 2, 8000, 16), chunk(b"data", s16(interleave(tone(8000, 0.5, 440), tone(8000, 0.5, 880))))),
        "tone-1000-48000-stereo-s16.wav": riff(fmt(PCM, 2, 48000, 16), chunk(b"data", s16(stereo))),
        "tone-1000-44100-mono-s24.wav": riff(
            fmt(PCM, 1, 44100, 24), chunk(b"data", s24(tone(44100, 0.5, 1000)))),
        "tone-440-11025-mono-u8.wav": riff(fmt(PCM, 1, 11025, 8), chunk(b"data", u8(tone(11025, 1, 440)))),
        "tone-440-16000-stereo-s32.wav": riff(
            fmt(PCM, 2, 16000, 32), chunk(b"data", s32(interleave(*[tone(16000, 0.5, 440)] * 2)))),
        "tone-1000-48000-mono-f32.wav": riff(
            fmt(FLOAT, 1, 48000, 32), chunk(b"data", f32(tone(48000, 0.5, 1000)))),
        "tone-440-48000-4ch-extensible-s24.wav": riff(
            fmt_extensible(PCM, 4, 48000, 24, 0x33), chunk(b"data", s24(interleave(*[tone(48000, 0.25, 440)] * 4)))),
        "tone-1000-48000-mono-f64.wav": riff(
            fmt(FLOAT, 1, 48000, 64), chunk(b"data", f64(tone(48000, 0.25, 1000)))),
        "tone-440-8000-mono-s24in32.wav": riff(
            chunk(b"fmt ", struct.pack("<HHIIHH", PCM, 1, 8000, 32000, 4, 24)),
            chunk(b"data", s24_in_32(tone(8000, 0.5, 440)))),
        "tone-440-8000-mono-alaw.wav": riff(
            fmt(A_LAW, 1, 8000, 8), chunk(b"data", g711(tone(8000, 0.5, 440), a_law))),
        "tone-440-8000-mono-mulaw.wav": riff(
            fmt(MU_LAW, 1, 8000, 8), chunk(b"data", g711(tone(8000, 0.5, 440), mu_law))),
        "tone-440-8000-mono-rifx-s24.wav": rifx(1, 8000, 24, s24(tone(8000, 0.5, 440))),
        # Its end is known: what follows the samples is none.
        "tone-440-8000-mono-rf64-s16.wav": rf64(mono_8000, s16(tone(8000, 0.5, 440))) + info(b"\xff\x7f" * 400),
        "impulse-8000-mono-s16.wav": riff(mono_8000, chunk(b"data", s16(impulse))),
        # LIST has an odd length here: the padding byte belongs to no chunk and must be skipped.
        "chunks-around-8000-mono-s16.wav": riff(
            info(b"before the format"), mono_8000, chunk(b"odd ", b"odd"),
            chunk(b"data", tone_440), info(b"\xff\x7f" * 400)),
        # As a program writes it that cannot seek back to fill in the lengths.
        "streamed-8000-mono-s16.wav": riff(mono_8000, chunk(b"data", tone_440, claimed=UNKNOWN), claimed=UNKNOWN),
        "bad/empty.wav": b"",
        "bad/header-only.wav": riff(mono_8000, chunk(b"data", b"")),
        "bad/truncated.wav": riff(mono_8000, chunk(b"data", tone_440))[:44 + 2 * 1000 + 1],
        "bad/cut-header.wav": riff(mono_8000)[:30],
        "bad/no-data.wav": riff(mono_8000, info(b"no data chunk follows")),
        "bad/no-format.wav": riff(chunk(b"data", short)),
        "bad/not-a-wav.wav": b"OggS" + bytes(range(200)),
        "bad/zero-channels.wav": riff(fmt(PCM, 0, 8000, 16), chunk(b"data", short)),
        "bad/zero-rate.wav": riff(fmt(PCM, 1, 0, 16), chunk(b"data", short)),
        "bad/zero-bits.wav": riff(fmt(PCM, 1, 8000, 0), chunk(b"data", short)),
        "bad/adpcm.wav": riff(fmt(ADPCM, 1, 8000, 4), chunk(b"data", bytes(800))),
        # Claims 1 GiB and holds a tenth of a second.
        "bad/huge-length.wav": riff(mono_8000, chunk(b"data", short, claimed=0x40000000)),
        "bad/text.txt": b"This is not audio.\n",
    }


def at_8000(samples, rate):
    """Resamples by a windowed sinc that passes up to 3.6 kHz; slow, and short enough for words."""
    cutoff, reach = 3600.0, 16 * rate / 8000
    out = []
    for n in range(len(samples) * 8000 // rate):
        centre = n * rate / 8000
        total = 0.0
        for k in range(max(0, math.ceil(centre - reach)), min(len(samples), math.floor(centre + reach) + 1)):
            x = k - centre
            phase = 2 * math.pi * cutoff / rate * x
            sinc = 2 * cutoff / rate * (math.sin(phase) / phase if phase else 1.0)
            total += samples[k] * sinc * (0.5 + 0.5 * math.cos(math.pi * x / reach))
        out.append(max(-1.0, min(32767 / 32768, total)))
    return out


def spoken(words, voice):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", "190", "-w", str(path), words], check=True)
        with wave.open(str(path)) as file:
            rate = file.getframerate()
            raw = file.readframes(file.getnframes())
    samples = [s / 32768 for (s,) in struct.iter_unpack("<h", raw)]
    return riff(fmt(PCM, 1, 8000, 16), chunk(b"data", s16(at_8000(samples, rate))))


SPOKEN = {
    "speech-count-8000-mono-s16.wav": ("one, two, three, four, five, six", "en-us"),
    "speech-alphabet-8000-mono-s16.wav": ("alpha, bravo, charlie, delta", "en-gb"),
}


def check():
    wrong = [name for name, made in code_made().items()
             if not (HERE / name).is_file() or (HERE / name).read_bytes() != made]
    wrong += [f"{name} (missing)" for name in SPOKEN if not (HERE / name).is_file()]
    for name in wrong:
        print(f"differs: {name}", file=sys.stderr)
    print(f"{len(code_made()) - len(wrong)} of {len(code_made())} code-made fixtures are as made")
    return 1 if wrong else 0


def write():
    (HERE / "bad").mkdir(exist_ok=True)
    for name, made in code_made().items():
        (HERE / name).write_bytes(made)
    if shutil.which("espeak-ng") is None:
        print("espeak-ng is not installed: the spoken fixtures stay as they are", file=sys.stderr)
        return 0
    for name, (words, voice) in SPOKEN.items():
        (HERE / name).write_bytes(spoken(words, voice))
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    sys.exit(check() if sys.argv[1:] else write())
