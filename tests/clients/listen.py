"""curl, ffmpeg, GStreamer and VLC as listeners: each hears a mix that is recorded, too."""

import array
import os
import subprocess

import audio
from ports import free_port
from rtp import FFMPEG
from server import Server, TIMEOUT_S

# What each hears at least.
HEARD_S = 3
STREAMS = 8


def _listen(folder, command, path="/listen.wav", ends=False, rate=8000, channels=1):
    """Has a program hear a mix into the file `heard`: until it has enough, or the server's end. The
    file's bytes and the recording."""
    port = free_port()
    flags = ["--synthetic", STREAMS, "--http", f"127.0.0.1:{port}"]
    heard = folder / "heard"
    with Server(folder, *flags, ports=[port], rate=rate, channels=channels) as server:
        words = [str(word) for word in command(f"http://127.0.0.1:{port}{path}", heard)]
        with open(folder / "client.log", "wb") as log:
            program = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            if ends:
                server.mix_for(HEARD_S)
            else:
                program.wait(TIMEOUT_S)
            _, mix = server.finish()
            code = program.wait(TIMEOUT_S)
        finally:
            if program.poll() is None:
                program.kill()
            program.wait()
    said = (folder / "client.log").read_text(errors="replace")
    assert code == 0, f"{words[0]} ended with {code}: {said}"
    return heard.read_bytes(), mix


def _expect_in_mix(heard, mix, rate=8000, channels=1):
    """What was heard is a piece of the mix, bit for bit."""
    assert len(heard) >= (HEARD_S - 0.5) * rate * channels, f"only {len(heard)} samples were heard"
    assert max(map(abs, heard)) > 500, "what was heard is silence"
    at = audio.position(heard, mix)
    return f"{len(heard)} samples bit for bit, from sample {at} on"


def _curl(url, heard):
    return ["curl", "-sSf", "-H", "Range: bytes=0-", "-H", "Icy-MetaData: 1", "-o", heard, url]


def curl_hears_the_mix_to_its_last_sample(folder):
    heard, mix = _listen(folder, _curl, ends=True)
    heard = audio.from_endless_wav(heard)
    assert mix[-len(heard) :] == heard, "it does not end as the mix does"
    return _expect_in_mix(heard, mix)


def curl_hears_the_mix_without_a_stream(folder):
    """And that stream alone: together they are the mix."""
    port = free_port()
    flags = ["--synthetic", STREAMS, "--http", f"127.0.0.1:{port}"]
    paths = {"alone": "/listen/synthetic-0002.wav", "without": "/listen/synthetic-0002.wav?mix=minus"}
    with Server(folder, *flags, ports=[port]) as server:
        programs = [
            subprocess.Popen([str(word) for word in _curl(f"http://127.0.0.1:{port}{path}", folder / name)])
            for name, path in paths.items()
        ]
        server.mix_for(HEARD_S)
        _, mix = server.finish()
        assert [program.wait(TIMEOUT_S) for program in programs] == [0, 0]
    alone, without = [audio.from_endless_wav((folder / name).read_bytes()) for name in paths]
    # Both end at the end, but that the limiter gives its last samples after the last tick.
    assert len(mix) >= len(without) and max(map(abs, alone)) > 100
    own = array.array("h", (a - b for a, b in zip(mix[-len(without) :], without)))
    settled = 4000
    at = audio.position(own[settled:-400], alone)
    return f"{len(own) - settled - 400} samples of a stream, from sample {at} of it on"


def _ffmpeg(url, heard):
    return [*FFMPEG, "-i", url, "-t", HEARD_S, "-c:a", "pcm_s16le", "-f", "s16le", heard]


def ffmpeg_hears_the_mix_bit_for_bit(folder):
    heard, mix = _listen(folder, _ffmpeg)
    return _expect_in_mix(audio.from_bytes(heard), mix)


def ffmpeg_hears_a_mix_in_stereo_bit_for_bit(folder):
    heard, mix = _listen(folder, _ffmpeg, rate=48000, channels=2)
    return _expect_in_mix(audio.from_bytes(heard), mix, 48000, 2)


def gstreamer_hears_the_mix_to_its_last_sample(folder):
    def command(url, heard):
        return ["gst-launch-1.0", "-q", *f"souphttpsrc location={url} ! wavparse ! filesink location={heard}".split()]

    heard, mix = _listen(folder, command, ends=True)
    heard = audio.from_bytes(heard)
    assert mix[-len(heard) :] == heard, "it does not end as the mix does"
    return _expect_in_mix(heard, mix)


def vlc_hears_the_mix_bit_for_bit(folder):
    def command(url, heard):
        # It does not run as root.
        folder.chmod(0o777)
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        sout = f"#std{{access=file,mux=wav,dst={heard}}}"
        options = ["-I", "dummy", "--no-sout-video", "--sout", sout, f"--run-time={HEARD_S + 1}"]
        return [*other, "env", f"HOME={folder}", "cvlc", *options, url, "vlc://quit"]

    heard, mix = _listen(folder, command)
    return _expect_in_mix(audio.from_bytes(heard[44:]), mix)
