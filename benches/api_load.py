#!/usr/bin/env python3
"""Does a hammered API make ticks late? Servers left alone and servers hammered take turns, and their late ticks are
compared. The clients share the processors, so only more than twice as many, and 1 % of all ticks, is a failure.

    cargo build --release --bins; benches/api_load.py [SECONDS_EACH]
"""

import http.client
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

MIXPOOL = Path(__file__).resolve().parent.parent / "target/release/mixpool"
CONFIG = MIXPOOL.parent.parent / "api_load.toml"
PATHS = ["/api/v1/status", "/api/v1/streams?limit=1000&sort=drop_rate&phase=all", "/api/v1/config", "/metrics", "/"]
CLIENTS, TURNS = 4, 3


def hammer(port, server, served):
    """Requests one path after the other, until the server has ended."""
    while server.poll() is None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            for path in PATHS * 100:
                client.request("GET", path)
                answer = client.getresponse()
                answer.read()
                served.append(answer.status)
        except (OSError, http.client.HTTPException):
            pass  # it has not begun, or has ended


def run(seconds, clients):
    """The report of one server, and the status of each request that it answered."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [MIXPOOL, "serve", "--synthetic", "1000", "--duration", f"{seconds}s", "--json", "--ring-size", "64KiB"]
    command += ["--http", f"127.0.0.1:{port}", "--config", CONFIG]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    served = []
    for _ in range(clients):
        threading.Thread(target=hammer, args=(port, server, served)).start()
    return json.loads(server.communicate(timeout=seconds + 60)[0]), served


CONFIG.write_text("http_requests_per_second = 1_000_000\n")
seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
late, ticks = {0: 0, CLIENTS: 0}, {0: 0, CLIENTS: 0}
for clients in [0, CLIENTS] * TURNS:
    report, served = run(seconds, clients)
    late[clients] += report["late_ticks"]
    ticks[clients] += report["ticks"]
    print(f"{clients} clients, {len(served)} requests: {report['late_ticks']} of {report['ticks']} ticks late,",
          f"by {report['tick_lateness']['p99_ns'] / 1e6:.1f} ms (99%)", flush=True)
    assert set(served) <= {200} and bool(served) == bool(clients), f"answers: {set(served)}"
if late[CLIENTS] > 2 * late[0] + ticks[CLIENTS] / 100:
    sys.exit(f"the API makes ticks late: {late[CLIENTS]} hammered, {late[0]} left alone")
