"""The server under test, run as people run it, and the programs that talk to it."""

import json
import os
import pathlib
import signal
import subprocess
import time

import audio
from ports import wait_until_bound

ROOT = pathlib.Path(__file__).resolve().parents[2]
MIXPOOL = os.environ.get("MIXPOOL", str(ROOT / "target/release/mixpool"))

# Longer than any scenario takes on a slow machine.
TIMEOUT_S = 60
WAV_HEADER_BYTES = 44


class Server:
    """`mixpool serve` with these flags, recording into `folder`, from `with` on until its end."""

    def __init__(self, folder, *flags, ports=(), paths=(), rate=8000, channels=1):
        self.folder = folder
        self.recording = folder / "mix.wav"
        self.rate, self.channels = rate, channels
        self._ports, self._paths = ports, paths
        self._report = folder / "report.json"
        self._log = folder / "server.log"
        self._command = [MIXPOOL, "serve", "--streams-max", "64"]
        self._command += ["--rate", str(rate), "--channels", str(channels)]
        self._command += ["--record", self.recording, "--report", self._report, *flags]

    def __enter__(self):
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [str(word) for word in self._command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
            )
        try:
            wait_until_bound(self._ports, self._paths, 10)
        except AssertionError as error:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"{error}; the server says: {self._log.read_text()}") from None
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def mix_s(self):
        """Seconds of mix that are in the file: it is written once a second."""
        size = self.recording.stat().st_size if self.recording.exists() else 0
        return max(0, size - WAV_HEADER_BYTES) / 2 / self.channels / self.rate

    def mix_for(self, seconds):
        """Waits until the mix has grown by more than this: by its own clock, not by ours."""
        goal = self.mix_s() + seconds + 1
        deadline = time.monotonic() + TIMEOUT_S
        while self.mix_s() < goal:
            assert self._process.poll() is None, f"the server ended: {self._log.read_text()}"
            assert time.monotonic() < deadline, f"the mix stands still at {self.mix_s()} s"
            time.sleep(0.05)

    def finish(self):
        """Ends the server. Its report, checked for what holds in every scenario, and the mix."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(TIMEOUT_S)
        assert code == 0, f"exit code {code}: {self._log.read_text()}"
        report = json.loads(self._report.read_text())
        assert report["ledger_imbalances"] == 0 and report["source_errors"] == [], report
        assert report["recording_lost_samples"] == 0, "the disk was too slow"
        mix = audio.read_wav(self.recording)
        assert len(mix) == report["recorded_samples"]
        return report, mix


def expect_whole(report, offered):
    """Every sample that the senders sent was mixed, and nothing else happened: `offered` are the samples
    of each stream, in any order."""
    found = sorted(stream["offered_samples"] for stream in report["streams"])
    assert found == sorted(offered), f"offered {found}, expected {sorted(offered)}"
    for stream in report["streams"]:
        # What would be left out of the equation, or spoil the mix.
        unwanted = ["dropped_full_samples", "dropped_late_samples", "discarded_samples", "muted_samples",
                    "in_ring_samples", "concealed_samples", "checksum_errors", "underrun_samples",
                    "discarded_misplaced_samples"]
        _expect_zero(stream, unwanted, stream["id"])
        assert stream["mixed_samples"] == stream["offered_samples"], stream
        assert stream["segments"] == 1, stream
        network = stream["network"]
        unwanted = ["lost_packets", "duplicate_packets", "reordered_packets", "late_packets",
                    "malformed_packets", "unsupported_packets", "output_dropped_frames"]
        _expect_zero(network, unwanted, stream["id"])
    for listener in report["listeners"]:
        name = listener["listener"]
        _expect_zero(listener["refused"], listener["refused"], name)
        _expect_zero(listener["malformed"], listener["malformed"], name)
        _expect_zero(listener, ["kernel_dropped_packets"], name)


def _expect_zero(figures, keys, name):
    bad = {key: figures[key] for key in keys if figures[key] != 0}
    assert not bad, f"{name}: {bad}"


def expect_alone(part, mix):
    """The mix is this and silence around it."""
    at = audio.position(part, mix)
    audio.expect_silence(mix[:at], "the mix before the sender's first sample")
    audio.expect_silence(mix[at + len(part) :], "the mix after the sender's last sample")
    return at


def join(peers):
    """Waits for the ends of peers, which must be good ones."""
    for peer in peers:
        peer.join(TIMEOUT_S)
        assert not peer.is_alive() and peer.error is None, peer.error


def run(command, **options):
    """Runs a program to its end, which must be a good one; its standard output."""
    words = [str(word) for word in command]
    done = subprocess.run(words, timeout=TIMEOUT_S, capture_output=True, **{"stdin": subprocess.DEVNULL, **options})
    assert done.returncode == 0, f"{words}: exit code {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done.stdout


def pipe(first, second):
    """`first | second`, both to their ends."""
    first, second = [[str(word) for word in command] for command in (first, second)]
    producer = subprocess.Popen(first, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        return run(second, stdin=producer.stdout)
    finally:
        producer.stdout.close()
        if producer.poll() is None:
            producer.kill()
        producer.wait()
