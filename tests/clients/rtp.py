"""ffmpeg and GStreamer as senders of RTP."""

import array
import pathlib
import random
import wave

import audio
from audio import A_LAW, MU_LAW
from ports import free_port
from server import ROOT, Server, expect_alone, expect_whole, run

COUNT = ROOT / "testdata/speech-count-8000-mono-s16.wav"
FFMPEG = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
# Sends frames of 20 ms when their time has come. Plain `-re` reads 256 ms at once.
PACED = ["-af", "asetnsamples=n=160:p=0,arealtime"]
BYE = ["-rtpflags", "send_bye"]
# Longer than ffmpeg's bursts, and than a busy machine keeps a sender waiting: so that what plays is
# decided by the samples and not by the machine.
DELAY = ["--playout-delay", "600ms", "--latency-cap", "2s"]
DELAY_S = 0.6

# Codec of ffmpeg, its raw container, bytes per sample, and what decodes it.
PCMU = ("pcm_mulaw", "mulaw", 1, lambda data: audio.decoded(data, MU_LAW))
PCMA = ("pcm_alaw", "alaw", 1, lambda data: audio.decoded(data, A_LAW))
L16 = ("pcm_s16be", "s16be", 2, lambda data: audio.from_bytes(data, big_endian=True))


def _encoded(source, codec):
    """What ffmpeg's own encoder makes of a file, decoded."""
    name, container, _, decode = codec
    return decode(run([*FFMPEG, "-i", source, "-c:a", name, "-f", container, "-"]))


def _output(codec, port, samples, options=()):
    """Arguments of ffmpeg for RTP to this port, in packets of so many samples; of any size if None."""
    size = f"?pkt_size={12 + samples * codec[2]}" if samples else ""
    return ["-c:a", codec[0], *options, *BYE, "-f", "rtp", f"rtp://127.0.0.1:{port}{size}"]


def _one_sender(folder, command, port, types, sent, original, rate=8000):
    """Lets a program send a file. The mix must be what it sent, which must be like the original."""
    with Server(folder, "--rtp", f"127.0.0.1:{port}{types}", *DELAY, ports=[port, port + 1], rate=rate) as server:
        run(command)
        server.mix_for(DELAY_S)
        report, mix = server.finish()
    expect_whole(report, [len(sent)])
    expect_alone(sent, mix)
    snr = audio.snr_db(original, sent)
    assert snr > 30, f"{snr:.1f} dB"
    network = report["streams"][0]["network"]
    return f"{len(sent)} samples bit for bit, {network['received_packets']} packets, {snr:.1f} dB"


def _ffmpeg(folder, codec, inputs, samples, types="", options=(), source=COUNT, rate=8000):
    port = free_port()
    command = [*FFMPEG, *inputs, *_output(codec, port, samples, options)]
    return _one_sender(folder, command, port, types, _encoded(source, codec), audio.read_wav(source), rate)


def ffmpeg_pcmu_at_20_ms_is_mixed_as_sent(folder):
    return _ffmpeg(folder, PCMU, ["-i", COUNT, *PACED], 160)


def ffmpeg_pcma_at_20_ms_is_mixed_as_sent(folder):
    return _ffmpeg(folder, PCMA, ["-i", COUNT, *PACED], 160)


def ffmpeg_l16_at_20_ms_is_mixed_bit_for_bit(folder):
    return _ffmpeg(folder, L16, ["-i", COUNT, *PACED], 160, ",96=L16/8000/1", ["-payload_type", "96"])


def ffmpeg_l16_at_16_khz_is_mixed_bit_for_bit(folder):
    wide = folder / "wide.wav"
    run(["sox", "-D", COUNT, "-r", "16000", wide])
    inputs = ["-i", wide, "-af", "asetnsamples=n=320:p=0,arealtime"]
    options = ["-payload_type", "96"]
    return _ffmpeg(folder, L16, inputs, 320, ",96=L16/16000/1", options, wide, 16000)


def ffmpeg_bursts_of_20_ms_packets_are_mixed_as_sent(folder):
    return _ffmpeg(folder, PCMU, ["-re", "-i", COUNT], 160)


def ffmpeg_packets_of_any_length_are_mixed_as_sent(folder):
    return _ffmpeg(folder, PCMU, ["-re", "-i", COUNT], None)


def ffmpeg_l16_packets_of_any_length_are_mixed_bit_for_bit(folder):
    return _ffmpeg(folder, L16, ["-re", "-i", COUNT], None, ",97=L16/8000/1")


def ffmpeg_on_the_default_delay_is_accounted_for(folder):
    """What its bursts cost until the adaptive delay has followed them depends on the machine; where each
    sample went does not."""
    port = free_port()
    with Server(folder, "--rtp", f"127.0.0.1:{port}", ports=[port, port + 1]) as server:
        run([*FFMPEG, "-re", "-i", COUNT, *_output(PCMU, port, 160)])
        server.mix_for(1)
        report, _ = server.finish()
    (stream,) = report["streams"]
    late, discarded = stream["dropped_late_samples"], stream["discarded_samples"]
    assert stream["offered_samples"] == len(audio.read_wav(COUNT)), stream
    assert stream["mixed_samples"] + late + discarded == stream["offered_samples"], stream
    assert stream["network"]["lost_packets"] == 0, stream
    delay = stream["network"]["playout_delay_ms"]
    return f"{stream['mixed_samples']} mixed, {late} late, {discarded} discarded, delay {delay:.0f} ms"


def ffmpeg_g722_is_mixed_as_ffmpeg_decodes_it(folder):
    return _coded(folder, "g722", [], 16000, ["-f", "g722"])


def ffmpeg_opus_is_mixed_as_ffmpeg_decodes_it(folder):
    options = ["-application", "voip", "-b:a", "32k", "-fec:a", "1", "-packet_loss", "5"]
    return _coded(folder, "libopus", options, 48000, ["-f", "ogg"], ["-c:a", "libopus"], ",111=opus/48000/2")


def ffmpeg_opus_music_of_5_ms_frames_is_mixed_as_ffmpeg_decodes_it(folder):
    options = ["-application", "lowdelay", "-b:a", "64k", "-frame_duration", "5"]
    return _coded(folder, "libopus", options, 48000, ["-f", "ogg"], ["-c:a", "libopus"], ",111=opus/48000/2")


def _coded(folder, codec, options, rate, container, decoder=(), types=""):
    """Lets ffmpeg send a file by a codec with state. The mix must be what its own decoder makes of that."""
    wide, coded, port = folder / "wide.wav", folder / "coded", free_port()
    run(["sox", "-D", COUNT, "-r", str(rate), wide])
    run([*FFMPEG, "-i", wide, "-c:a", codec, *options, *container, coded])
    sent = audio.from_bytes(run([*FFMPEG, *container, *decoder, "-i", coded, "-f", "s16le", "-"]))
    kind = ["-payload_type", "111"] if types else []
    with Server(folder, "--rtp", f"127.0.0.1:{port}{types}", *DELAY, ports=[port, port + 1], rate=rate) as server:
        run([*FFMPEG, "-re", "-i", wide, "-c:a", codec, *options, *kind, *BYE, "-f", "rtp", f"rtp://127.0.0.1:{port}"])
        server.mix_for(DELAY_S)
        report, mix = server.finish()
    (stream,) = report["streams"]
    network = stream["network"]
    # The last packet is longer than the file.
    assert stream["mixed_samples"] == stream["offered_samples"] >= len(sent), stream
    assert stream["concealed_samples"] == 0 and network["lost_packets"] == 0, stream
    snr = audio.aligned_snr_db(sent, mix)
    assert snr > 30, f"{snr:.1f} dB"
    return f"{len(sent)} samples, {network['received_packets']} packets, {snr:.1f} dB"


STREAMS = 32
SLOT = 800


def _part(path, index):
    """A stream that is alone for 20 ms in its slot, then all sound at once for a second. Returns the slot's
    place."""
    rng = random.Random(index)
    marker, together = index * SLOT, STREAMS * SLOT
    samples = array.array("h", bytes(2 * (together + 8000)))
    for at in range(marker, marker + 160):
        samples[at] = rng.randint(-8000, 8000)
    for at in range(together, together + 8000):
        samples[at] = rng.randint(-900, 900)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return marker


def ffmpeg_with_32_streams_adds_up_bit_for_bit(folder):
    port = free_port()
    paths = [pathlib.Path(folder, f"{index}.wav") for index in range(STREAMS)]
    markers = [_part(path, index) for index, path in enumerate(paths)]
    codecs = [(PCMU, L16)[index % 2] for index in range(STREAMS)]
    inputs = [word for path in paths for word in ("-re", "-i", path)]
    outputs = []
    for index, codec in enumerate(codecs):
        options = ["-payload_type", "96"] if codec is L16 else []
        outputs += ["-map", f"{index}:a", *_output(codec, port, 160, options)]
    server = Server(folder, "--rtp", f"127.0.0.1:{port},96=L16/8000/1", *DELAY, ports=[port, port + 1])
    with server:
        run([*FFMPEG, *inputs, *outputs])
        server.mix_for(DELAY_S)
        report, mix = server.finish()
    sent = [_encoded(path, codec) for path, codec in zip(paths, codecs)]
    expect_whole(report, [len(samples) for samples in sent])
    parts = []
    for marker, samples in zip(markers, sent):
        at = audio.position(samples[marker : marker + 160], mix) - marker
        parts.append((at, samples))
    assert audio.added(parts, len(mix)) == mix, "the mix is not the sum of its streams"
    places = sorted(at for at, _ in parts)
    return f"{STREAMS} streams, {sum(map(len, sent))} samples, the sum bit for bit, begun within {places[-1] - places[0]}"


def _gst(source, encoder, payloader, port):
    pipeline = f"filesrc location={source} ! wavparse ! audioconvert ! {encoder} {payloader}"
    pipeline += f" ! udpsink host=127.0.0.1 port={port}"
    return ["gst-launch-1.0", "-q", *pipeline.split()]


def _gst_encoded(folder, source, encoder, decode):
    path = folder / "encoded"
    pipeline = f"filesrc location={source} ! wavparse ! audioconvert ! {encoder} filesink location={path}"
    run(["gst-launch-1.0", "-q", *pipeline.split()])
    return decode(path.read_bytes())


def _gstreamer(folder, encoder, decode, payloader, types=""):
    port = free_port()
    sent = _gst_encoded(folder, COUNT, encoder, decode)
    command = _gst(COUNT, encoder, payloader, port)
    return _one_sender(folder, command, port, types, sent, audio.read_wav(COUNT))


PTIME = "min-ptime=20000000 max-ptime=20000000"


def gstreamer_pcmu_is_mixed_as_sent_while_its_numbers_wrap(folder):
    payloader = f"rtppcmupay {PTIME} seqnum-offset=65500 timestamp-offset=4294960000"
    return _gstreamer(folder, "mulawenc !", PCMU[3], payloader)


def gstreamer_l16_is_mixed_bit_for_bit_while_its_numbers_wrap(folder):
    payloader = f"rtpL16pay pt=96 {PTIME} seqnum-offset=65500 timestamp-offset=4294960000"
    return _gstreamer(folder, "audio/x-raw,format=S16BE !", L16[3], payloader, ",96=L16/8000/1")


def gstreamer_pcma_in_packets_of_any_length_is_mixed_as_sent(folder):
    return _gstreamer(folder, "alawenc !", PCMA[3], "rtppcmapay")
