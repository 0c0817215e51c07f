"""ffmpeg and curl as senders of bodies, and the `websockets` package as a peer by WebSocket."""

import array
import base64
import json
import threading
import time

import audio
from ports import free_port
from rtp import COUNT, DELAY, DELAY_S, FFMPEG
from server import Server, TIMEOUT_S, expect_alone, expect_whole, join, pipe, run
from sip import ALPHABET

FRAME = 160
# Nothing that is poured plays for longer than this, and its delay.
LONGEST_S = 4


def _body(folder, send, id="desk-1"):
    """Has something send a body; `send` gets its URL. The report and the mix."""
    port = free_port()
    with Server(folder, "--http", f"127.0.0.1:{port}", ports=[port]) as server:
        send(f"http://127.0.0.1:{port}/ingest/{id}")
        server.mix_for(LONGEST_S)
        return server.finish()


def _expect_exact(report, mix, sent):
    expect_whole(report, [len(sent)])
    assert report["streams"][0]["network"]["events"] == [], report["streams"][0]
    at = expect_alone(sent, mix)
    return f"{len(sent)} samples bit for bit, from sample {at} on"


def _ffmpeg(method, *output):
    def send(url):
        run([*FFMPEG, "-i", COUNT, *output, "-method", method, url])

    return send


def a_wav_that_ffmpeg_streams_is_mixed_bit_for_bit(folder):
    report, mix = _body(folder, _ffmpeg("POST", "-f", "wav"))
    return _expect_exact(report, mix, audio.read_wav(COUNT))


def a_wav_that_ffmpeg_streams_at_its_pace_is_mixed_bit_for_bit(folder):
    def send(url):
        run([*FFMPEG, "-re", "-i", COUNT, "-f", "wav", "-method", "PUT", url])

    # It is read as it plays: each piece is there before its time, or the gap would be heard.
    report, mix = _body(folder, send)
    return _expect_exact(report, mix, audio.read_wav(COUNT))


def l16_that_ffmpeg_streams_is_mixed_bit_for_bit(folder):
    kind = "audio/L16;rate=8000;channels=1"
    output = ["-f", "s16be", "-content_type", kind]
    report, mix = _body(folder, _ffmpeg("POST", *output))
    return _expect_exact(report, mix, audio.read_wav(COUNT))


def _curl(*words):
    """Has curl send, which must be answered with what was taken."""

    def send(url):
        answer = run(["curl", "-sS", "--fail-with-body", *words, url])
        taken = json.loads(answer)
        assert taken == {
            "id": "desk-1", "rate_hz": 8000, "channels": 1, "taken_samples": len(audio.read_wav(COUNT)),
        }, taken

    return send


def a_file_that_curl_puts_is_mixed_bit_for_bit(folder):
    report, mix = _body(folder, _curl("-T", COUNT))
    return _expect_exact(report, mix, audio.read_wav(COUNT))


def a_file_for_which_curl_asks_first_is_mixed_bit_for_bit(folder):
    expect = ["-H", "Expect: 100-continue", "--expect100-timeout", TIMEOUT_S]
    report, mix = _body(folder, _curl("-T", COUNT, *expect))
    return _expect_exact(report, mix, audio.read_wav(COUNT))


def a_pipe_that_curl_sends_in_chunks_is_mixed_bit_for_bit(folder):
    def send(url):
        wav = ["sox", COUNT, "-t", "wav", "-"]
        pipe(wav, ["curl", "-sS", "--fail-with-body", "-T", "-", "-H", "Content-Type: audio/wav", url])

    report, mix = _body(folder, send)
    return _expect_exact(report, mix, audio.read_wav(COUNT))


class Peer(threading.Thread):
    """Sends samples in frames of 20 ms, each when its time has come, and hears what comes back."""

    def __init__(self, url, samples, subprotocol=None):
        super().__init__(daemon=True)
        self.sent = samples
        self.heard = array.array("h")
        self.frames = 0
        self.error = None
        self._url, self._subprotocol = url, subprotocol

    def begin(self, socket):
        """Says what it is."""

    def pack(self, samples, number):
        """A message of these samples."""
        return samples.tobytes()

    def unpack(self, message):
        """The samples of a message."""
        return audio.from_bytes(message)

    def finish(self, socket):
        """Says that it is done."""

    def run(self):
        # Of the package index, so that whoever runs no scenario of these needs none.
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.client import connect

        try:
            subprotocols = [self._subprotocol] if self._subprotocol else None
            with connect(self._url, subprotocols=subprotocols, compression="deflate") as socket:
                assert socket.subprotocol == self._subprotocol, socket.subprotocol
                ear = threading.Thread(target=self._hear, args=[socket, ConnectionClosed], daemon=True)
                self.begin(socket)
                ear.start()
                begun = time.monotonic()
                for at in range(0, len(self.sent), FRAME):
                    socket.send(self.pack(self.sent[at : at + FRAME], at // FRAME))
                    time.sleep(max(0, begun + (at + FRAME) / 8000 - time.monotonic()))
                self.finish(socket)
                # The close takes its time: what came before it is still heard.
                socket.close()
                ear.join(TIMEOUT_S)
                assert socket.close_code == 1000, (socket.close_code, socket.close_reason)
        except Exception as error:
            self.error = self.error or error

    def _hear(self, socket, closed):
        try:
            while True:
                self.heard.extend(self.unpack(socket.recv()))
                self.frames += 1
        except closed:
            pass
        except Exception as error:
            self.error = error


class _Asterisk(Peer):
    """What it hears may have commands among it."""

    def unpack(self, message):
        return audio.from_bytes(b"" if isinstance(message, str) else message)

    def begin(self, socket):
        socket.send(
            "MEDIA_START connection_id:call-1 channel:WebSocket/mix/0x7f channel_id:1.1 "
            "format:slin optimal_frame_size:320 ptime:20"
        )

    def finish(self, socket):
        socket.send("HANGUP")


class _Twilio(Peer):
    """Numbers are strings, audio is mu-law: what it hears is compared as such."""

    def begin(self, socket):
        socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        start = {"streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound"], "customParameters": {},
                 "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}}
        socket.send(json.dumps({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": "MZ1"}))

    def pack(self, samples, number):
        payload = bytes(_TO_MU_LAW[sample] for sample in samples)
        media = {"track": "inbound", "chunk": str(number + 1), "timestamp": str(20 * number),
                 "payload": base64.b64encode(payload).decode()}
        return json.dumps({"event": "media", "sequenceNumber": str(number + 2), "media": media, "streamSid": "MZ1"})

    def unpack(self, message):
        message = json.loads(message)
        if message["event"] == "clear":
            return audio.from_bytes(b"")
        assert message["event"] == "media" and message["streamSid"] == "MZ1", message
        return audio.decoded(base64.b64decode(message["media"]["payload"]), audio.MU_LAW)

    def finish(self, socket):
        number = len(self.sent) // FRAME + 2
        socket.send(json.dumps({"event": "stop", "sequenceNumber": str(number), "streamSid": "MZ1", "stop": {}}))


class _Vonage(Peer):
    def begin(self, socket):
        socket.send(json.dumps({"event": "websocket:connected", "content-type": "audio/l16;rate=8000"}))


_TO_MU_LAW = {sample: code for code, sample in enumerate(audio.MU_LAW)}


def _through_mu_law(samples):
    """What of samples mu-law can say: each becomes the nearest of its table."""
    table = sorted(_TO_MU_LAW)
    nearest = {}
    for sample in set(samples):
        nearest[sample] = min(table, key=lambda value: abs(value - sample))
    return array.array("h", [nearest[sample] for sample in samples])


def samples_over_a_websocket_are_mixed_bit_for_bit(folder):
    port = free_port()
    with Server(folder, "--http", f"127.0.0.1:{port}", *DELAY, ports=[port]) as server:
        samples = audio.read_wav(COUNT)
        peer = Peer(f"ws://127.0.0.1:{port}/ws/ingest?id=desk-1&rate=8000&channels=1", samples)
        peer.start()
        join([peer])
        server.mix_for(DELAY_S)
        report, mix = server.finish()
    expect_whole(report, [len(samples)])
    at = expect_alone(samples, mix)
    assert peer.frames == 0, "one who does not listen hears nothing"
    return f"{len(samples)} samples bit for bit, from sample {at} on"


def _two(folder, protocol, query="", subprotocol=None):
    """One of a protocol and one of bare samples hear each other, and nothing else."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}/ws/ingest"
    words = [_through_mu_law(audio.read_wav(path)) for path in (COUNT, ALPHABET)]
    with Server(folder, "--http", f"127.0.0.1:{port}", *DELAY, ports=[port]) as server:
        peers = [
            protocol(url + query, audio.padded(words[0], 0.4, 5), subprotocol),
            Peer(f"{url}?id=bare&rate=8000&listen=true", audio.padded(words[1], 0.8, 5)),
        ]
        for peer in peers:
            peer.start()
        join(peers)
        server.mix_for(DELAY_S)
        report, _ = server.finish()
    expect_whole(report, [len(peer.sent) for peer in peers])
    for peer, other in zip(peers, reversed(words)):
        at = audio.position(other, peer.heard)
        audio.expect_silence(peer.heard[:at], "what a peer hears before the other speaks")
        audio.expect_silence(peer.heard[at + len(other) :], "what a peer hears after the other spoke")
    frames = [peer.frames for peer in peers]
    return f"{len(words[0])} and {len(words[1])} samples heard bit for bit in {frames} frames", report


def a_peer_of_chan_websocket_and_one_of_bare_samples_hear_exactly_each_other(folder):
    return _two(folder, _Asterisk, subprotocol="media")[0]


def a_peer_of_twilio_and_one_of_bare_samples_hear_exactly_each_other(folder):
    figures, report = _two(folder, _Twilio)
    [stream] = [stream for stream in report["streams"] if stream["id"] == "MZ1"]
    network = stream["network"]
    # The beginning, each piece, and the end.
    assert network["expected_packets"] == stream["offered_samples"] // FRAME + 2, network
    return figures


def a_peer_of_vonage_and_one_of_bare_samples_hear_exactly_each_other(folder):
    return _two(folder, _Vonage, query="?id=vonage")[0]
