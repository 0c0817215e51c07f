#!/usr/bin/env python3
"""Recordings under load and on bad disks, each with its bar; an exit code of 1 if one is not met.

streams   500 streams in 50 rooms, each stream recorded, beside a server that records none: lost samples, late ticks,
          the writing threads' share of a core, threads and descriptors
frozen    one of 50 rooms is recorded to a file system that is frozen for a minute (fsfreeze): the others lose nothing
full      the same file system is full for some seconds: the hole is silence, named, and nothing else is lost
played    twenty streams recorded at once in segments, WAV and FLAC, are what flac, ffmpeg and sox play
day       a day of audio, replayed into segments of ten minutes, beside the same in one FLAC: the same samples

    cargo build --release --bins; benches/recorded.py [--seconds N] [streams|frozen|full|day|played...]

`frozen` and `full` mount a file of 64 MiB, and need root.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path

MIXPOOL = Path(os.environ.get("MIXPOOL") or Path(__file__).resolve().parent.parent / "target/release/mixpool")
RATE = 8000
TICKS_PER_SECOND = 50


class Server:
    """A server of synthetic streams, spread over rooms."""

    def __init__(self, streams, rooms, flags=()):
        self.report = tempfile.NamedTemporaryFile(suffix=".json")
        command = [MIXPOOL, "serve", "--http", "127.0.0.1:0", "--synthetic", streams, "--synthetic-rooms", rooms]
        command += ["--streams-max", streams, "--report", self.report.name, *flags]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {} if body is None else {"content-type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content}")
        return json.loads(content)

    def late_ticks(self):
        return self.ask("GET", "/api/v1/status")["late_ticks"]

    def threads(self):
        """Threads by name: how many, and the seconds of a processor that they took."""
        found = {}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            count, before = found.get(name, (0, 0))
            found[name] = (count + 1, before + seconds)
        return found

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self):
        """The report."""
        self.process.terminate()
        self.process.wait(120)
        return json.load(open(self.report.name))


def verify(folder):
    """Has `mixpool recordings verify` read all of a folder."""
    done = subprocess.run([MIXPOOL, "recordings", "verify", folder], capture_output=True, text=True)
    print("           ", done.stdout.strip().splitlines()[-1])
    return done.returncode == 0


def streams(seconds):
    folder = tempfile.mkdtemp()
    idle, server = Server(500, 50), None
    try:
        # Half as long: late ticks are compared by their share.
        time.sleep(seconds / 2)
        idle_late = idle.late_ticks()
        idle.end()
        server = Server(500, 50, ["--recordings", folder, "--recordings-max", 500])
        listed = server.ask("GET", "/api/v1/streams?limit=1000")["streams"]
        for stream in listed:
            # Half as often as the server allows.
            time.sleep(0.01)
            server.ask("POST", "/api/v1/recordings", {"name": "{stream}.wav", "stream": stream["id"]})
        # Threads that took the requests have ended by then.
        time.sleep(13)
        late, before, descriptors = server.late_ticks(), server.threads(), server.descriptors()
        time.sleep(seconds)
        late = server.late_ticks() - late
        after, then = server.threads(), server.descriptors()
        used = sum(after[name][1] - before[name][1] for name in after if name.startswith("recording"))
        lost = sum(recording["lost_samples"] for recording in server.ask("GET", "/api/v1/recordings")["recordings"])
        report = server.end()
        constant = {name: count for name, (count, _) in before.items()} == {n: c for n, (c, _) in after.items()}
        share = used / seconds
        print(f"streams     {len(listed)} recordings for {seconds} s: {lost} samples lost; late ticks {late} of "
              f"{seconds * TICKS_PER_SECOND} beside {idle_late} of {seconds * TICKS_PER_SECOND // 2}; writing takes {share:.1%} of a core; threads constant: "
              f"{constant}; descriptors {descriptors} and {then}; imbalances {report['ledger_imbalances']}")
        right = verify(folder)
        return right and lost == 0 and share <= 0.1 and constant and then <= descriptors + 2
    finally:
        for one in (idle, server):
            if one and one.process.poll() is None:
                one.process.kill()
        shutil.rmtree(folder)


def played(seconds):
    folder = tempfile.mkdtemp()
    server = Server(20, 4, ["--recordings", folder, "--segment", "3s"])
    try:
        for at, stream in enumerate(server.ask("GET", "/api/v1/streams")["streams"]):
            end = ["wav", "flac"][at % 2]
            server.ask("POST", "/api/v1/recordings", {"name": f"{{stream}}-{{segment}}.{end}", "stream": stream["id"]})
        time.sleep(seconds)
        recordings = server.ask("GET", "/api/v1/recordings")["recordings"]
        server.end()
        files = sorted(path for path in Path(folder).iterdir() if path.suffix != ".json")
        for path in files:
            players = [["ffmpeg", "-v", "error", "-i", path, "-f", "null", "-"]]
            # sox of Debian may be without FLAC.
            players += [["sox", path, "-n", "stat"] if path.suffix == ".wav" else ["flac", "-s", "-t", "-w", path]]
            for player in players:
                done = subprocess.run([str(part) for part in player], capture_output=True, text=True)
                if done.returncode or "WARNING" in done.stderr:
                    print(f"{path.name}: {player[0]}: {done.stderr}")
                    return False
        lost = sum(recording["lost_samples"] for recording in recordings)
        print(f"played      {len(recordings)} recordings in {len(files)} files for {seconds} s: {lost} samples lost")
        return verify(folder) and lost == 0 and len(files) >= 20 * (seconds // 3)
    finally:
        if server.process.poll() is None:
            server.process.kill()
        shutil.rmtree(folder)


@contextlib.contextmanager
def mounted():
    """A file system of its own."""
    folder = tempfile.mkdtemp()
    image, mount = f"{folder}/image", f"{folder}/mount"
    os.mkdir(mount)
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", mount], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def on_disk(name, seconds, trouble, end_trouble):
    """49 rooms are recorded to one file system and one to another, which has trouble for some seconds."""
    others = tempfile.mkdtemp()
    with mounted() as mount:
        # The synthetic rooms are named so.
        rooms = ["main"] + [f"room-{number}" for number in range(2, 51)]
        place = lambda room: f"{mount if room == 'room-2' else others}/{room}.wav"
        flags = [flag for room in rooms[1:] for flag in ("--room", f"{room},record={place(room)}")]
        server = Server(100, 50, flags + ["--record", place("main")])
        try:
            time.sleep(3)
            trouble(mount)
            try:
                time.sleep(seconds)
                asked = time.monotonic()
                during = server.ask("GET", "/api/v1/recordings")["recordings"]
                asked = time.monotonic() - asked
            finally:
                end_trouble(mount)
            time.sleep(5)
            recordings = server.ask("GET", "/api/v1/recordings")["recordings"]
            report = server.end()
        finally:
            if server.process.poll() is None:
                server.process.kill()
        lost = {recording["room"]: recording["lost_samples"] for recording in recordings}
        beside = sum(count for room, count in lost.items() if room != "room-2")
        phases = {recording["phase"] for recording in during if recording["room"] == "room-2"}
        sidecar = json.load(open(f"{mount}/room-2.json"))
        holes = sum(gap["to"] - gap["from"] for gap in sidecar["gaps"] if gap["why"] == "disk")
        print(f"{name:<11} for {seconds} s: room-2 was {phases}, lost {lost['room-2'] / RATE:.1f} s, of which its sidecar names "
              f"{holes / RATE:.1f} s; the other {len(lost) - 1} recordings lost {beside} samples; the API answered within "
              f"{asked * 1000:.0f} ms; imbalances {report['ledger_imbalances']}")
        right = all([verify(mount), verify(others)])
    shutil.rmtree(others)
    return right and beside == 0 and holes == lost["room-2"] and len(lost) == 50


def frozen(seconds):
    freeze = lambda how: lambda mount: subprocess.run(["fsfreeze", how, mount], check=True)
    return on_disk("frozen", seconds, freeze("-f"), freeze("-u"))


def full(seconds):
    def fill(mount):
        with contextlib.suppress(OSError), open(f"{mount}/filling", "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    return on_disk("full", min(seconds, 10), fill, lambda mount: os.remove(f"{mount}/filling"))


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"RssAnon:\s+(\d+)", status.read())[1]) / 1024


def replay(folder, hours, flags):
    """Replays a minute of noise again and again; the memory of its own in each quarter of the time."""
    noise = random.Random(1)
    source = f"{folder}/source.wav"
    with wave.open(source, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(struct.pack(f"<{60 * RATE}h", *(noise.randint(-9000, 9000) for _ in range(60 * RATE))))
    command = [MIXPOOL, "replay", source, "--loop", 60 * hours, "--speed", "max", "--json", *flags]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    resident = []

    def look():
        while process.poll() is None:
            with contextlib.suppress(OSError, TypeError):
                resident.append(resident_mib(process.pid))
            time.sleep(0.1)

    threading.Thread(target=look, daemon=True).start()
    report = json.loads(process.communicate()[0])
    quarters = [max(resident[at * len(resident) // 4:][:max(1, len(resident) // 4)]) for at in range(4)]
    return report, quarters


def decoded_sha256(paths):
    """Of the samples of these files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with wave.open(str(path)) as file:
            while piece := file.readframes(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def day(_, hours=int(os.environ.get("DAY_HOURS", 24))):
    folder = tempfile.mkdtemp()
    try:
        parts = f"{folder}/parts"
        os.mkdir(parts)
        flags = ["--record", f"{parts}/{{segment}}.wav", "--segment", "10min"]
        report, quarters = replay(folder, hours, flags)
        whole, _ = replay(folder, hours, ["--record", f"{folder}/whole.wav"])
        files = sorted(Path(parts).glob("*.wav"))
        lengths = [json.load(open(path.with_suffix(".json")))["samples"] for path in files]
        same = decoded_sha256(files) == decoded_sha256([Path(f"{folder}/whole.wav")])
        print(f"day         {hours} h in {len(files)} segments: {sum(lengths)} samples of {whole['recorded_samples']}, the same: "
              f"{same}; anonymous memory by quarters {', '.join(f'{mib:.0f}' for mib in quarters)} MiB")
        right = verify(parts)
        return right and same and sum(lengths) == whole["recorded_samples"] and quarters[3] <= quarters[0] * 1.1 + 1
    finally:
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("what", nargs="*", default=["streams", "frozen", "full", "day"])
    arguments = parser.parse_args()
    measures = {"streams": streams, "frozen": frozen, "full": full, "day": day, "played": played}
    missed = [what for what in arguments.what if not measures[what](arguments.seconds)]
    if missed:
        sys.exit(f"not met: {', '.join(missed)}")


main()
