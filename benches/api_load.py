#!/usr/bin/env python3
"""Does a hammered API make ticks late? Servers left alone and servers hammered take turns, and their late ticks are
compared. Some clients read; one opens and closes rooms as fast as it can, most of which is refused; one opens rooms,
moves streams into them, switches them, and closes the rooms with the streams inside. The clients share the processors, so
only more than twice as many, and 1 % of all ticks, is a failure.

    cargo build --release --bins; benches/api_load.py [SECONDS_EACH]
"""

import collections
import http.client
import itertools
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

MIXPOOL = Path(__file__).resolve().parent.parent / "target/release/mixpool"
CONFIG = MIXPOOL.parent.parent / "api_load.toml"
PATHS = ["/api/v1/status", "/api/v1/streams?limit=1000&sort=drop_rate&phase=all", "/api/v1/config", "/metrics", "/"]
ROOMS = "/api/v1/rooms"
STREAMS, ROOMS_PER_SECOND, ROOMS_MAX = 1000, 20, 256
TURNS = 3


class Client:
    """Requests to a server. `answers` counts them by method, whether it is about all rooms, and status."""

    def __init__(self, port, answers):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.answers = answers

    def ask(self, method, path, body=None):
        headers = {} if body is None else {"content-type": "application/json"}
        self.http.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.http.getresponse()
        answer.read()
        is_whole = answer.status != 429 or answer.getheader("retry-after")
        self.answers[method, path == ROOMS, answer.status if is_whole else "429 without Retry-After"] += 1
        return answer.status


def read(client):
    for path in PATHS + [ROOMS]:
        client.ask("GET", path)


def open_and_close(client, numbers=itertools.count()):
    """Far more rooms than may be opened."""
    name = f"brief-{next(numbers)}"
    if client.ask("POST", ROOMS, {"name": name}) == 201:
        client.ask("DELETE", f"{ROOMS}/{name}")


def steer(client, numbers=itertools.count()):
    """All that can be done with a room: two streams go in, and leave as it closes."""
    number = next(numbers)
    room = f"{ROOMS}/room-{number}"
    if client.ask("POST", ROOMS, {"name": f"room-{number}", "gain_db": -6}) != 201:
        return
    streams = [f"synthetic-{(2 * number + at) % STREAMS + 1:04}" for at in range(2)]
    for stream in streams:
        client.ask("PUT", f"{room}/streams/{stream}")
        client.ask("PATCH", f"/api/v1/streams/{stream}", {"gain_db": -3, "muted": True, "solo": True})
    client.ask("PATCH", room, {"gain_db": 3, "limiter": bool(number % 2)})
    for switch in ["solo", "mute"]:
        client.ask("DELETE", f"{room}/{switch}")
    client.ask("DELETE", f"{room}?streams=move:main")


HAMMERS = [read, read, read, open_and_close, steer]


def hammer(port, server, answers, strike):
    while server.poll() is None:
        try:
            client = Client(port, answers)
            while True:
                strike(client)
        except (OSError, http.client.HTTPException):
            pass  # it has not begun, or has ended


def run(seconds, hammers):
    """The report of one server, and how often it answered how."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [MIXPOOL, "serve", "--synthetic", f"{STREAMS}", "--duration", f"{seconds}s", "--json", "--ring-size", "64KiB"]
    command += ["--http", f"127.0.0.1:{port}", "--config", CONFIG, "--rooms-max", f"{ROOMS_MAX}"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    answers = collections.Counter()
    for strike in hammers:
        threading.Thread(target=hammer, args=(port, server, answers, strike)).start()
    return json.loads(server.communicate(timeout=seconds + 60)[0]), answers


CONFIG.write_text(f"http_requests_per_second = 1_000_000\nhttp_rooms_per_second = {ROOMS_PER_SECOND}\n")
seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
late, ticks = {False: 0, True: 0}, {False: 0, True: 0}
for hammered in [False, True] * TURNS:
    report, answers = run(seconds, HAMMERS if hammered else [])
    late[hammered] += report["late_ticks"]
    ticks[hammered] += report["ticks"]
    opened, refused = (answers["POST", True, status] for status in [201, 429])
    print(f"{sum(answers.values())} requests, {opened} rooms opened and {refused} refused:",
          f"{report['late_ticks']} of {report['ticks']} ticks late,",
          f"by {report['tick_lateness']['p99_ns'] / 1e6:.1f} ms (99%)", flush=True)
    assert report["ledger_imbalances"] == 0, f"{report['ledger_imbalances']} ledgers do not add up"
    if hammered:
        # Streams that end with the server are no longer changed: 409.
        wrong = [ask for ask in answers if ask[2] not in [200, 201, 204, 409] and ask != ("POST", True, 429)]
        assert not wrong and len(answers) > 5 and refused, f"answers: {answers}"
        assert opened <= ROOMS_MAX + ROOMS_PER_SECOND * (seconds + 1), f"{opened} rooms in {seconds} s"
        minute = 60 * (opened + refused) / seconds
        print(f"  {minute:.0f} rooms a minute were asked for" + ("" if minute >= 10_000 else ": fewer than 10000"))
if late[True] > 2 * late[False] + ticks[True] / 100:
    sys.exit(f"the API makes ticks late: {late[True]} hammered, {late[False]} left alone")
