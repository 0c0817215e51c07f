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

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
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
        "bad/a-law.wav": riff(fmt(6, 1, 8000, 8), chunk(b"data", bytes([0xD5] * 800))),
        # Claims 4 GiB less 16 bytes and holds a tenth of a second.
        "bad/huge-length.wav": riff(mono_8000, chunk(b"data", short, claimed=0xFFFFFFF0)),
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
