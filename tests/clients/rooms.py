"""Two rooms of one server: in each a peer by AudioSocket, one by WebSocket, and curl as a listener."""

import array
import contextlib
import itertools
import json
import math
import subprocess
import time

import audio
import audiosocket
import web
from ports import free_port
from rtp import COUNT, DELAY, DELAY_S
from server import Server, TIMEOUT_S, expect_alone, expect_whole, join, run
from sip import ALPHABET

ROOMS = ["a", "b"]
# Whole cycles of each tone: a tone repeats from window to window, bit for bit, and has no part in the level of another.
WINDOW = 160
TONES_HZ = {"a1": 400, "a2": 700, "b1": 1100, "b2": 1700}
AMPLITUDE = 4000


class _Rooms:
    """A server with the rooms a and b. The peers a1 and b1 come by AudioSocket, to an address each that names the
    room; a2 and b2 by WebSocket, whose query does."""

    def __init__(self, folder):
        self._folder = folder
        self._http = free_port()
        self._ports = {room: free_port() for room in ROOMS}

    def play(self, samples, meanwhile=lambda: None):
        """Has the peers of these names send, and calls `meanwhile` once they do. The peers, what curl heard of each
        room, and the mix of `main`."""
        flags = ["--http", f"127.0.0.1:{self._http}", *DELAY]
        for room, port in self._ports.items():
            flags += ["--room", room, "--audiosocket", f"127.0.0.1:{port},room={room}"]
        with Server(self._folder, *flags, ports=[self._http, *self._ports.values()]) as server:
            with self._listeners() as listeners:
                peers = {name: self._peer(name, samples[name]) for name in samples}
                for peer in peers.values():
                    peer.start()
                meanwhile()
                join(peers.values())
                server.mix_for(DELAY_S)
                report, mix = server.finish()
                assert [listener.wait(TIMEOUT_S) for listener in listeners] == [0, 0]
        expect_whole(report, [len(peer.sent) for peer in peers.values()])
        heard = {room: audio.from_endless_wav(self._heard(room).read_bytes()) for room in ROOMS}
        return peers, heard, mix

    def _peer(self, name, samples):
        room, number = name
        if number == "1":
            return audiosocket.Peer(self._ports[room], samples)
        query = f"id={name}&room={room}&rate=8000&listen=true"
        return web.Peer(f"ws://127.0.0.1:{self._http}/ws/ingest?{query}", samples)

    def _heard(self, room):
        return self._folder / f"{room}.wav"

    @contextlib.contextmanager
    def _listeners(self):
        """A curl for each room, from its first samples on."""
        programs = [
            subprocess.Popen(["curl", "-sSfN", "-o", self._heard(room), f"{self._url()}/listen/rooms/{room}.wav"])
            for room in ROOMS
        ]
        try:
            self.wait_for_listeners(0.1)
            yield programs
        finally:
            for program in programs:
                if program.poll() is None:
                    program.kill()
                program.wait()

    def _url(self):
        return f"http://127.0.0.1:{self._http}"

    def wait_for_listeners(self, seconds):
        """Until each has heard so much more."""

        def sizes():
            return [path.stat().st_size if path.exists() else 0 for path in map(self._heard, ROOMS)]

        goals = [size + seconds * 16000 for size in sizes()]
        _wait_until(lambda: all(size >= goal for size, goal in zip(sizes(), goals)))

    def wait_for_contributors(self, counts):
        """Until so many streams are heard in each room."""

        def found():
            rooms = [json.loads(run(["curl", "-sSf", f"{self._url()}/api/v1/rooms/{room}"])) for room in ROOMS]
            return [len(room["contributors"]) for room in rooms]

        _wait_until(lambda: found() == counts)

    def move(self, name, room):
        """Moves a stream from one sample to the next."""
        body = ["-H", "Content-Type: application/json", "-d", '{"fade": false}']
        url = f"{self._url()}/api/v1/rooms/{room}/streams/{name}"
        moved = json.loads(run(["curl", "-sS", "--fail-with-body", "-X", "PUT", *body, url]))
        assert (moved["id"], moved["room"]) == (name, room), moved


def _wait_until(holds):
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {TIMEOUT_S} s in vain"
        time.sleep(0.05)


def peers_and_listeners_hear_exactly_their_room(folder):
    """All four speak at the same time, in b backwards."""
    words = [audio.halved(audio.read_wav(path)) for path in (COUNT, ALPHABET)]
    words = {"a1": words[0], "a2": words[1], "b1": words[0][::-1], "b2": words[1][::-1]}
    begins_s = {"1": 0.4, "2": 0.8}
    sent = {name: audio.padded(words[name], begins_s[name[1]], 5) for name in words}
    peers, heard, main = _Rooms(folder).play(sent)
    for name, other in [("a1", "a2"), ("a2", "a1"), ("b1", "b2"), ("b2", "b1")]:
        expect_alone(words[other], peers[name].heard)
    for room in ROOMS:
        audio.expect_sum(heard[room], words[f"{room}1"], words[f"{room}2"])
    audio.expect_silence(main, "the room that nobody is in")
    return (f"{[len(peer.heard) for peer in peers.values()]} samples heard by peers are the other's, "
            f"{[len(samples) for samples in heard.values()]} of listeners the sums of their rooms, bit for bit")


def a_peer_that_moves_is_heard_in_one_room_at_a_time(folder):
    """Each peer sends a tone of its own. The sum of both rooms goes on through the move, bit for bit."""
    # a2 moves, and stays longest: it is silent in a because it left, not because it ended.
    sent = {name: _tone(hz, 6 if name == "a2" else 5) for name, hz in TONES_HZ.items()}
    rooms = _Rooms(folder)

    def move():
        rooms.wait_for_contributors([2, 2])
        rooms.wait_for_listeners(0.5)
        rooms.move("a2", "b")
        rooms.wait_for_contributors([1, 3])

    peers, heard, main = rooms.play(sent, move)
    _expect_change(peers["a1"].heard, ["a2"], [])
    _expect_change(peers["a2"].heard, ["a1"], ["b1", "b2"])
    _expect_change(peers["b1"].heard, ["b2"], ["a2", "b2"])
    _expect_change(peers["b2"].heard, ["b1"], ["a2", "b1"])
    _expect_change(heard["a"], ["a1", "a2"], ["a1"])
    _expect_change(heard["b"], ["b1", "b2"], ["a2", "b1", "b2"])
    # Both listeners end at the same sample. A sample that is in no room, or in both, breaks the repetition.
    length = min(map(len, heard.values()))
    both = array.array("h", map(sum, zip(*(samples[-length:] for samples in heard.values()))))
    windows = _windows(both)
    whole = [at for at, tones in enumerate(windows) if tones == list(TONES_HZ)]
    between = range(whole[0], whole[-1] + 1)
    assert whole == list(between), f"{[at for at in between if at not in whole]} of {between} are not the four tones"
    audio.expect_silence(main, "the room that nobody is in")
    return f"{len(whole) * WINDOW} samples of all four tones without a gap, in a up to the move and in b from it on"


def _tone(hz, seconds):
    one = [round(AMPLITUDE * math.sin(2 * math.pi * hz * at / 8000)) for at in range(WINDOW)]
    return array.array("h", one * (seconds * 8000 // WINDOW))


def _windows(samples):
    """The names of the tones in each window; None if the next one is not the same, as a tone begins or ends."""
    windows = [samples[at : at + WINDOW] for at in range(0, len(samples) - WINDOW + 1, WINDOW)]
    return [_tones(window) if window == following else None for window, following in itertools.pairwise(windows)]


def _tones(window):
    levels = {name: _level(window, hz) / AMPLITUDE for name, hz in TONES_HZ.items()}
    # Samples are rounded.
    assert all(min(level, abs(level - 1)) < 0.001 for level in levels.values()), levels
    return [name for name, level in levels.items() if level > 0.5]


def _level(window, hz):
    turns = [2 * math.pi * hz * at / 8000 for at in range(WINDOW)]
    sine = sum(sample * math.sin(turn) for sample, turn in zip(window, turns))
    cosine = sum(sample * math.cos(turn) for sample, turn in zip(window, turns))
    return 2 * math.hypot(sine, cosine) / WINDOW


def _expect_change(samples, before, after):
    """Some of `before` are heard, then all of them; then all of `after` at once, and then some. No tone else is."""
    windows = _windows(samples)
    runs = [tones for tones, _ in itertools.groupby(tones for tones in windows if tones is not None)]
    change = next((at for at, pair in enumerate(itertools.pairwise(runs), 1) if pair == (before, after)), None)
    assert change, f"{before} is not followed by {after}: {runs}"
    assert all(set(tones) <= set(before) for tones in runs[:change]), f"before {before}: {runs}"
    assert all(set(tones) <= set(after) for tones in runs[change:]), f"after {after}: {runs}"
    # Each tone begins and ends once: a window holds a part of it, and the one before is followed by another.
    unsteady = windows.count(None)
    assert unsteady <= 4 * len(set(before + after)), f"{unsteady} of {len(windows)} windows are no whole tones: {runs}"
