"""Samples: read, written, decoded, found again, compared. Interleaved signed 16-bit in arrays."""

import array
import math
import wave


def read_wav(path):
    """The samples of a 16-bit WAV file."""
    with wave.open(str(path)) as file:
        return from_bytes(file.readframes(file.getnframes()))


def from_bytes(data, big_endian=False):
    samples = array.array("h", data)
    if big_endian:
        samples.byteswap()
    return samples


def from_endless_wav(wav):
    """The samples of a WAV without an end."""
    assert wav[:4] == b"RIFF" and wav[8:16] == b"WAVEfmt " and wav[36:40] == b"data", wav[:44]
    assert wav[4:8] == wav[40:44] == b"\xff" * 4, wav[:44]
    return from_bytes(wav[44:])


def padded(samples, before_s, length_s):
    """Samples between silence, in whole frames."""
    padded = array.array("h", bytes(2 * round(before_s * 8000)))
    padded.extend(samples)
    padded.frombytes(bytes(2 * (round(length_s * 8000) - len(padded))))
    return padded


def halved(samples):
    """At half of their level: the sum of two needs no limiting, however they meet."""
    return array.array("h", (sample // 2 for sample in samples))


def _mu_law(code):
    """G.711, table 2a: a sign, an exponent and a mantissa, all inverted."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 132 << (code >> 4 & 7)) - 132
    return -magnitude if code & 0x80 else magnitude


def _a_law(code):
    """G.711, table 1a: every other bit inverted."""
    code ^= 0x55
    exponent = code >> 4 & 7
    magnitude = (code & 0x0F) << 4
    magnitude = magnitude + 8 if exponent == 0 else magnitude + 264 << exponent - 1
    return magnitude if code & 0x80 else -magnitude


MU_LAW = [_mu_law(code) for code in range(256)]
A_LAW = [_a_law(code) for code in range(256)]
# How far from a decoded value the samples lie that it stands for.
A_LAW_HALF_STEP = {_a_law(code): 8 << max(0, ((code ^ 0x55) >> 4 & 7) - 1) for code in range(256)}


def decoded(data, table):
    """G.711 as samples."""
    return array.array("h", [table[code] for code in data])


def snr_db(original, copy):
    """How far the difference of the two lies below the original."""
    assert len(original) == len(copy), f"{len(original)} samples against {len(copy)}"
    signal = sum(a * a for a in original)
    noise = sum((a - b) ** 2 for a, b in zip(original, copy))
    return math.inf if noise == 0 else 10 * math.log10(signal / noise)


def aligned_snr_db(original, whole):
    """How well `original` stands in `whole`, at the place where the middle of it stands best."""
    at = first(whole, 400) - first(original, 400)
    middle = range(len(original) // 2, len(original) // 2 + 4000)
    copies = {at + off: whole[at + off : at + off + len(original)] for off in range(-60, 61) if at + off >= 0}
    copies = {place: copy for place, copy in copies.items() if len(copy) == len(original)}
    noise = {place: sum((original[n] - copy[n]) ** 2 for n in middle) for place, copy in copies.items()}
    return snr_db(original, copies[min(noise, key=noise.get)])


def first(samples, loudness):
    """Where the first sample at least so loud stands."""
    return next(at for at, sample in enumerate(samples) if abs(sample) >= loudness)


def find(part, whole):
    """Where `part` stands in `whole`, bit for bit; None if it does not."""
    needle, haystack = part.tobytes(), whole.tobytes()
    at = haystack.find(needle)
    while at >= 0 and at % 2 == 1:
        at = haystack.find(needle, at + 1)
    return None if at < 0 else at // 2


def position(part, whole):
    """Where `part` stands in `whole`, bit for bit. If it does not, the error says where they part."""
    at = find(part, whole)
    assert at is not None, _difference(part, whole)
    return at


def _difference(part, whole):
    length = 400
    anchors = range(0, max(1, len(part) - length), length)
    anchors = [start for start in anchors if max(map(abs, part[start : start + length]), default=0) > 500]
    found = [(start, find(part[start : start + length], whole)) for start in anchors]
    places = sorted({(at - start) for start, at in found if at is not None})
    missing = [start for start, at in found if at is None]
    text = f"{len(part)} samples are not in the {len(whole)} of the recording as one piece: "
    text += f"of {len(anchors)} pieces of {length}, {len(missing)} are nowhere (from {missing[:5]})"
    if len(places) != 1:
        return text + f", the others at the offsets {places[:8]}"
    heard = whole[places[0] : places[0] + len(part)]
    wrong = [index for index, pair in enumerate(zip(part, heard)) if pair[0] != pair[1]]
    wrong += range(len(heard), len(part))
    return text + f"; at offset {places[0]} {len(wrong)} samples differ, the first at {wrong[:3]}"


def expect_silence(samples, what):
    loudest = max(map(abs, samples), default=0)
    assert loudest == 0, f"{what} is not silent: {loudest}"


def added(parts, length):
    """The sum of pieces, each at its place: pairs of a place and samples."""
    total = array.array("i", bytes(4 * length))
    for at, samples in parts:
        for index, sample in enumerate(samples, at):
            total[index] += sample
    return array.array("h", total)


def expect_sum(mix, first, second):
    """The mix is both, each at its place. The first one begins alone."""
    at = position(first[:2400], mix)
    rest = mix[:]
    for index, sample in enumerate(first, at):
        rest[index] -= sample
    at = position(second, rest)
    expect_silence(rest[:at], "the mix before")
    expect_silence(rest[at + len(second) :], "the mix after")
