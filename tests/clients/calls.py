"""Calls both ways: phones in two rooms hear those of their own, and nobody else. SIPp plays speech, baresip tones."""

import contextlib
import math
import select
import socket
import subprocess
import threading
import time

import audio
from ports import free_port
from rtp import COUNT, DELAY
from server import Server, TIMEOUT_S, run
from sip import ALPHABET
from sipp import HERE, caller

# Of the sender's speech, away from its silent ends, in samples.
PART = slice(8000, 16000)
TONES_HZ = {"a1": 400, "a2": 700, "b1": 1100}


class _Tap:
    """Stands between a phone and the server, and remembers what each sends; with `echoes` it sends the server's packets
    back to it, too, as a phone does whose line has no end."""

    def __init__(self, server_port, echoes=False):
        self.port = free_port()
        self.sent, self.heard = {}, {}
        self._server = ("127.0.0.1", server_port)
        self._echoes = echoes
        self._near, self._far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self._near.bind(("127.0.0.1", self.port))
        self._far.bind(("127.0.0.1", 0))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._near.close()
        self._far.close()

    def _carry(self):
        phone = None
        while not self._over.is_set():
            ready, _, _ = select.select([self._near, self._far], [], [], 0.1)
            for end in ready:
                packet, address = end.recvfrom(2048)
                if end is self._near:
                    phone = address
                    self._keep(packet, self.sent)
                    self._far.sendto(packet, self._server)
                elif phone is not None:
                    self._keep(packet, self.heard)
                    self._near.sendto(packet, phone)
                    if self._echoes:
                        self._far.sendto(packet, self._server)

    def _keep(self, packet, kept):
        # The numbers begin anywhere, and do not wrap twice in a minute.
        number = int.from_bytes(packet[2:4], "big")
        first = next(iter(kept), number)
        kept[first + (number - first + 0x8000) % 0x10000 - 0x8000] = packet[12:]

    @staticmethod
    def samples(kept, table):
        return audio.decoded(b"".join(kept[number] for number in sorted(kept)), table)


@contextlib.contextmanager
def _callee(folder, tap):
    """Answers a call in the server's name: its media is the tap. The port of SIP."""
    port = free_port()
    answers = subprocess.Popen(
        ["sipp", "-sf", HERE / "callee.xml", "-key", "rtp_port", str(tap.port), "-p", str(port), "-i", "127.0.0.1",
         "-mi", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "40"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )
    try:
        yield port
    finally:
        answers.terminate()
        answers.wait(TIMEOUT_S)


def _rooms(folder, stack):
    """A server with the rooms a and b, each behind a port of its own, which sends the mix back."""
    ports = {room: free_port() for room in "ab"}
    flags = [flag for room in ports for flag in ("--room", room)]
    for room, port in ports.items():
        flags += ["--rtp", f"127.0.0.1:{port},room={room},return=on"]
    bound = [port + more for port in ports.values() for more in (0, 1)]
    return stack.enter_context(Server(folder, *flags, *DELAY, ports=bound)), ports


def sipp_calls_hear_their_room_bit_for_bit_through_an_echo(folder):
    """a1 and a2 play at once, b1 in the other room; the way back of each comes to the server again, as an echo."""
    played = {"a1": COUNT, "a2": ALPHABET, "b1": COUNT}
    with contextlib.ExitStack() as stack:
        server, ports = _rooms(folder, stack)
        taps, threads = {}, []
        for name, source in played.items():
            own = folder / name
            own.mkdir()
            encoded = own / "encoded"
            run(["sox", "-D", source, "-t", "ul", encoded, "trim", "0", "4", "pad", "0", "2"])
            taps[name] = stack.enter_context(_Tap(ports[name[0]], echoes=True))
            callee = stack.enter_context(_callee(own, taps[name]))
            scenario = caller(own, audio=encoded, payload_type=0, encoding="PCMU")
            words = ["sipp", f"127.0.0.1:{callee}", "-sf", scenario, "-p", free_port(), "-mp", free_port(), "-d", 6500,
                     "-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "30"]
            threads.append(threading.Thread(target=run, args=(words,), kwargs={"cwd": own}))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
        report, _ = server.finish()
    assert len(report["streams"]) == 3, "an echo was taken for a stream"
    samples = {
        name: tuple(tap.samples(kept, audio.MU_LAW) for kept in (tap.sent, tap.heard)) for name, tap in taps.items()
    }
    for listener, talker in (("a1", "a2"), ("a2", "a1")):
        part = samples[talker][0][PART]
        assert audio.find(part, samples[listener][1]) is not None, f"{listener} does not hear {talker}"
        assert audio.find(samples[listener][0][PART], samples[listener][1]) is None, f"{listener} hears itself"
    assert not any(samples["b1"][1]), "b1 hears somebody"
    echoed = sum(len(tap.heard) for tap in taps.values())
    left_out = sum(listener["unadmitted_packets"] for listener in report["listeners"])
    assert left_out >= 0.9 * echoed > 0, f"{left_out} of {echoed} echoed packets were left out"
    return f"{PART.stop - PART.start} samples bit for bit each way, {left_out} echoed packets left out"


BARESIP = """poll_method epoll
sip_listen 127.0.0.1:{port}
call_max_calls 1
audio_source aufile,{tone}
audio_player aubridge,none
audio_alert aubridge,none
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module_app account.so
module_app menu.so
"""


def _level(samples, tone_hz):
    """How loud a tone is in samples of 8 kHz."""
    turn = [2 * math.pi * tone_hz * at / 8000 for at in range(len(samples))]
    real = sum(sample * math.cos(angle) for sample, angle in zip(samples, turn))
    imaginary = sum(sample * math.sin(angle) for sample, angle in zip(samples, turn))
    return 2 * math.hypot(real, imaginary) / max(1, len(samples))


def a_pair_of_baresip_phones_hear_each_other_and_no_other_room(folder):
    modules = run(["sh", "-c", "dirname $(dpkg -L baresip-core | grep /g711.so)"]).decode().strip()
    with contextlib.ExitStack() as stack:
        server, ports = _rooms(folder, stack)
        taps = {}
        for name, tone_hz in TONES_HZ.items():
            own = folder / name
            own.mkdir()
            taps[name] = stack.enter_context(_Tap(ports[name[0]]))
            callee = stack.enter_context(_callee(own, taps[name]))
            tone = own / "tone.wav"
            run(["sox", "-n", "-r", "8000", "-c", "1", "-b", "16", tone, "synth", "60", "sine", tone_hz, "vol", "0.1"])
            (own / "config").write_text(BARESIP.format(port=free_port(), tone=tone, modules=modules))
            (own / "accounts").write_text(f"<sip:{name}@127.0.0.1>;regint=0;audio_codecs=pcma\n")
            (own / "contacts").write_text("")
            with open(own / "baresip.log", "wb") as log:
                phone = subprocess.Popen(
                    ["baresip", "-f", own, "-e", f"/dial sip:mix@127.0.0.1:{callee}", "-t", "20"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=own,
                )
            stack.callback(phone.wait)
            stack.callback(phone.terminate)
        deadline = time.monotonic() + TIMEOUT_S
        while any(len(tap.heard) < 200 for tap in taps.values()):
            short = {name: (len(tap.sent), len(tap.heard)) for name, tap in taps.items()}
            assert time.monotonic() < deadline, f"packets there and back: {short}"
            time.sleep(0.1)
        server.finish()
    heard = {name: tap.samples(tap.heard, audio.A_LAW)[-8000:] for name, tap in taps.items()}
    levels = {name: {tone: _level(heard[name], TONES_HZ[tone]) for tone in TONES_HZ} for name in taps}
    for name, other in (("a1", "a2"), ("a2", "a1")):
        for tone, level in levels[name].items():
            assert (level > 500) == (tone == other), f"{name} hears {levels[name]}"
    assert max(levels["b1"].values()) < 50, f"b1 hears {levels['b1']}"
    return ", ".join(f"{name} hears {max(of, key=of.get)} at {max(of.values()):.0f}" for name, of in levels.items())
