"""ffmpeg and GStreamer as receivers of the whole mix."""

import subprocess

import audio
from ports import free_port, wait_until_bound
from rtp import COUNT, FFMPEG
from server import Server, TIMEOUT_S, expect_whole, run

# What is received: the speech, its delay, and what a busy machine adds.
HEARD_S = 6


def _hear(folder, receiver, codec):
    """Plays a file into the mix while a program receives the mix. The file as it was mixed, and what the
    program wrote to `heard`."""
    port, tcp = free_port(), free_port()
    command = receiver(port, folder / "heard")
    flags = ["--tcp", f"127.0.0.1:{tcp}", "--rtp-out", f"127.0.0.1:{port},{codec}"]
    program = subprocess.Popen(
        [str(word) for word in command], cwd=folder,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    try:
        wait_until_bound([port], [], 10)
        with Server(folder, *flags, ports=[tcp]) as server:
            run(["sh", "-c", f"nc -N 127.0.0.1 {tcp} < {COUNT}"])
            server.mix_for(max(0, HEARD_S - server.mix_s()))
            report, mix = server.finish()
        _, said = program.communicate(timeout=TIMEOUT_S)
        assert program.returncode == 0, said.decode(errors="replace")
    finally:
        if program.poll() is None:
            program.kill()
        program.wait()
    sent = audio.read_wav(COUNT)
    expect_whole(report, [len(sent)])
    audio.position(sent, mix)
    return sent, (folder / "heard").read_bytes()


def ffmpeg_hears_the_mix_in_l16_bit_for_bit(folder):
    sdp = folder / "mix.sdp"

    def receiver(port, heard):
        sdp.write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=mix\nc=IN IP4 127.0.0.1\nt=0 0\n"
                       f"m=audio {port} RTP/AVP 96\na=rtpmap:96 L16/8000/1\n")
        return [*FFMPEG, "-protocol_whitelist", "file,udp,rtp", "-i", sdp, "-t", str(HEARD_S),
                "-c:a", "pcm_s16le", "-f", "s16le", heard]

    sent, heard = _hear(folder, receiver, "l16")
    at = audio.position(sent, audio.from_bytes(heard))
    return f"{len(sent)} samples bit for bit, from sample {at} on"


def gstreamer_hears_the_mix_in_pcma_to_the_step(folder):
    def receiver(port, heard):
        caps = "application/x-rtp,media=audio,clock-rate=8000,encoding-name=PCMA,payload=8"
        pipeline = f"udpsrc address=127.0.0.1 port={port} num-buffers={HEARD_S * 50} caps={caps}"
        return ["gst-launch-1.0", "-q", *f"{pipeline} ! rtppcmadepay ! filesink location={heard}".split()]

    sent, heard = _hear(folder, receiver, "pcma")
    heard = audio.decoded(heard, audio.A_LAW)
    # Silence is the smallest code, so the first louder one is the speech's.
    at = audio.first(heard, 16) - audio.first(sent, 16)
    heard = heard[at : at + len(sent)]
    wrong = [(a, b) for a, b in zip(sent, heard) if abs(a - b) > audio.A_LAW_HALF_STEP[b]]
    assert len(heard) == len(sent) and not wrong, f"from sample {at} on, {len(wrong)} are wrong: {wrong[:5]}"
    snr = audio.snr_db(sent, heard)
    assert snr > 30, f"{snr:.1f} dB"
    return f"{len(sent)} samples, each in the step of its code, {snr:.1f} dB"


def ffmpeg_hears_the_mix_in_g722(folder):
    return _hears_coded(folder, "g722", 9, "G722/8000/1")


def ffmpeg_hears_the_mix_in_opus(folder):
    return _hears_coded(folder, "opus", 96, "opus/48000/2")


def _hears_coded(folder, codec, kind, name):
    sdp = folder / "mix.sdp"

    def receiver(port, heard):
        sdp.write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=mix\nc=IN IP4 127.0.0.1\nt=0 0\n"
                       f"m=audio {port} RTP/AVP {kind}\na=rtpmap:{kind} {name}\n")
        return [*FFMPEG, "-protocol_whitelist", "file,udp,rtp", "-i", sdp, "-t", str(HEARD_S),
                "-ar", "8000", "-ac", "1", "-f", "s16le", heard]

    sent, heard = _hear(folder, receiver, codec)
    snr = audio.aligned_snr_db(sent, audio.from_bytes(heard))
    assert snr > 12, f"{snr:.1f} dB"
    return f"{len(sent)} samples, {snr:.1f} dB"
