"""sox, cat and nc as senders of bare samples and WAV files."""

import array
import math
import struct

import audio
from ports import free_port
from rtp import COUNT
from server import Server, expect_alone, expect_whole, pipe, run


def _poured(folder, first, listen, send, *flags, **bus):
    """Pours what `first` prints into a server, all at once. Its report and mix."""
    with Server(folder, *listen, *flags, **bus) as server:
        pipe(first, send)
        server.mix_for(LONGEST_S)
        return server.finish()


# Nothing that is poured plays for longer than this, and its delay.
LONGEST_S = 4


def _over_tcp(folder, first, *flags, **bus):
    port = free_port()
    send = ["nc", "-N", "127.0.0.1", port]
    return _poured(folder, first, ["--tcp", f"127.0.0.1:{port}"], send, *flags, ports=[port], **bus)


def _expect_exact(report, mix, sent):
    expect_whole(report, [len(sent)])
    at = expect_alone(sent, mix)
    return f"{len(sent)} samples bit for bit, from sample {at} on"


def raw_samples_from_sox_and_nc_are_mixed_bit_for_bit(folder):
    raw = ["sox", COUNT, "-t", "raw", "-e", "signed", "-b", "16", "-L", "-"]
    report, mix = _over_tcp(folder, raw)
    return _expect_exact(report, mix, audio.read_wav(COUNT))


def a_wav_file_from_cat_and_nc_is_mixed_bit_for_bit(folder):
    report, mix = _over_tcp(folder, ["cat", COUNT])
    return _expect_exact(report, mix, audio.read_wav(COUNT))


def a_wav_of_unknown_length_from_sox_is_mixed_bit_for_bit(folder):
    report, mix = _over_tcp(folder, ["sox", COUNT, "-t", "wav", "-"])
    return _expect_exact(report, mix, audio.read_wav(COUNT))


def a_wav_file_over_a_unix_socket_is_mixed_bit_for_bit(folder):
    path = folder / "socket"
    report, mix = _poured(folder, ["cat", COUNT], ["--unix", path], ["nc", "-N", "-U", path], paths=[path])
    return _expect_exact(report, mix, audio.read_wav(COUNT))


def stereo_poured_into_a_small_ring_is_mixed_bit_for_bit(folder):
    """Some ten times what the ring holds: the sender waits, and nothing is dropped."""
    tones = folder / "tones.wav"
    run(["sox", "-D", "-n", "-r", "48000", "-c", "2", "-b", "16", tones,
         "synth", "3.5", "sine", "440", "sine", "660", "gain", "-6"])
    report, mix = _over_tcp(folder, ["cat", tones], "--ring-size", "64KiB", rate=48000, channels=2)
    return _expect_exact(report, mix, audio.read_wav(tones))


def _in_f32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def the_first_line_is_obeyed(folder):
    """Name, format and gain: -6 dB are multiplied in single precision and rounded to even."""
    (folder / "line").write_bytes(b"MIXPOOL/1 id=desk-3 rate=8000 channels=1 format=mulaw gain=-6\n")
    coded = run(["sox", COUNT, "-t", "ul", "-"])
    (folder / "coded").write_bytes(coded)
    report, mix = _over_tcp(folder, ["cat", folder / "line", folder / "coded"])
    assert [stream["id"] for stream in report["streams"]] == ["desk-3"], report["streams"]
    factor = _in_f32(10 ** (-6 / 20))
    expected = [round(_in_f32(sample * factor)) for sample in audio.decoded(coded, audio.MU_LAW)]
    return _expect_exact(report, mix, array.array("h", expected))


def a_wav_of_another_rate_is_converted(folder):
    """A tone stays what it is: all but a thousandth of the mix is the same sine."""
    tone = folder / "tone.wav"
    run(["sox", "-D", "-n", "-r", "44100", "-c", "2", "-b", "16", tone,
         "synth", "2", "sine", "440", "sine", "440", "gain", "-6"])
    report, mix = _over_tcp(folder, ["cat", tone])
    (stream,) = report["streams"]
    assert abs(stream["offered_samples"] - 16000) <= 1, stream
    expect_whole(report, [stream["offered_samples"]])
    begin = next(at for at, sample in enumerate(mix) if sample)
    end = len(mix) - next(at for at, sample in enumerate(reversed(mix)) if sample)
    # A filter rings a little before and after.
    assert 15900 <= end - begin <= 16300, f"{end - begin} samples sound"
    heard = mix[begin + 500 : end - 500]
    amplitude, residual_db = _tone(heard, 440 / 8000)
    assert abs(amplitude / 16384 - 1) < 0.01, f"amplitude {amplitude:.0f}"
    assert residual_db > 60, f"{residual_db:.1f} dB"
    return f"{stream['offered_samples']} samples, a sine to {residual_db:.1f} dB"


def _tone(samples, cycles):
    """The amplitude of a sine of so many cycles per sample, and how far all else lies below it."""
    # Whole cycles, so that sine and cosine are orthogonal to each other.
    samples = samples[: len(samples) // 200 * 200]
    turns = [2 * math.pi * cycles * at for at in range(len(samples))]
    sine = 2 * sum(s * math.sin(t) for s, t in zip(samples, turns)) / len(samples)
    cosine = 2 * sum(s * math.cos(t) for s, t in zip(samples, turns)) / len(samples)
    fitted = [sine * math.sin(t) + cosine * math.cos(t) for t in turns]
    return math.hypot(sine, cosine), audio.snr_db(fitted, samples)
