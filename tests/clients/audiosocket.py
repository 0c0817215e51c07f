"""AudioSocket, as Asterisk speaks it: no client of it is packaged, so this is one."""

import array
import socket
import struct
import threading
import time
import uuid

import audio
from ports import free_port
from rtp import COUNT, DELAY, DELAY_S
from server import Server, TIMEOUT_S, expect_whole, join
from sip import ALPHABET

HANGUP, UUID, AUDIO = 0x00, 0x01, 0x10
FRAME = 160


class Peer(threading.Thread):
    """Sends samples in frames of 20 ms, each when its time has come, then hangs up; hears what comes back
    all the while."""

    def __init__(self, port, samples):
        super().__init__(daemon=True)
        self.sent = samples
        self.heard = array.array("h")
        self.error = None
        self._port = port

    def run(self):
        try:
            with socket.create_connection(("127.0.0.1", self._port), TIMEOUT_S) as connection:
                connection.settimeout(TIMEOUT_S)
                ear = threading.Thread(target=self._hear, args=[connection], daemon=True)
                connection.sendall(_message(UUID, uuid.uuid4().bytes))
                ear.start()
                begun = time.monotonic()
                for at in range(0, len(self.sent), FRAME):
                    connection.sendall(_message(AUDIO, self.sent[at : at + FRAME].tobytes()))
                    due = begun + (at + FRAME) / 8000
                    time.sleep(max(0, due - time.monotonic()))
                connection.sendall(_message(HANGUP, b""))
                connection.shutdown(socket.SHUT_WR)
                ear.join(TIMEOUT_S)
        except OSError as error:
            self.error = self.error or error

    def _hear(self, connection):
        try:
            waiting = b""
            while data := connection.recv(65536):
                waiting += data
                while len(waiting) >= 3:
                    kind, length = struct.unpack(">BH", waiting[:3])
                    if len(waiting) < 3 + length:
                        break
                    if kind == AUDIO:
                        self.heard.frombytes(waiting[3 : 3 + length])
                    waiting = waiting[3 + length :]
        except OSError as error:
            self.error = self.error or error


def _message(kind, payload):
    return struct.pack(">BH", kind, len(payload)) + payload


def two_audiosocket_peers_hear_exactly_each_other(folder):
    """They speak at the same time, and the mix is the sum of both."""
    port = free_port()
    words = [audio.halved(audio.read_wav(path)) for path in (COUNT, ALPHABET)]
    with Server(folder, "--audiosocket", f"127.0.0.1:{port}", *DELAY, ports=[port]) as server:
        # Each stays until it has heard the other to the end.
        peers = [Peer(port, audio.padded(words[0], 0.4, 5)), Peer(port, audio.padded(words[1], 0.8, 5))]
        for peer in peers:
            peer.start()
        join(peers)
        server.mix_for(DELAY_S)
        report, mix = server.finish()
    expect_whole(report, [len(peer.sent) for peer in peers])
    for peer, other in zip(peers, reversed(words)):
        at = audio.position(other, peer.heard)
        audio.expect_silence(peer.heard[:at], "what a peer hears before the other speaks")
        audio.expect_silence(peer.heard[at + len(other) :], "what a peer hears after the other spoke")
    audio.expect_sum(mix, *words)
    for stream in report["streams"]:
        events = [event["event"] for event in stream["network"]["events"]]
        assert any("hangup" in event for event in events), events
    frames = [len(peer.heard) // FRAME for peer in peers]
    return f"{len(words[0])} and {len(words[1])} samples heard bit for bit in {frames} frames, the mix their sum"
