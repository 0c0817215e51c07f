#!/usr/bin/env python3
"""How many RTP streams does this machine take, what do they cost, and what breaks first?

For each count of streams: a server, and a sender of PCMU packets of 20 ms on the same machine. What was
sent must have been received and mixed, or be named in the report; the row says what was not. Processor
time is that of each thread of the server, and of the sender beside it. Before it stands a bare receiver, fed by
the same sender: the same system calls, and nothing done with what comes.

A stream is whole if every sample of it was mixed in its place from --settle seconds after the last began to a
second before the end.

    cargo build --release --bins --examples
    benches/rtp_load.py [--seconds 60] [--json FILE] 1000 [2000 ...]
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target" / "release"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def free_port():
    """An even port that nobody has, nor the one above it."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(
            socket.AF_INET, socket.SOCK_DGRAM
        ) as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            if port % 2 == 0:
                return port


def cpu_by_thread(pid):
    """Seconds of processor time of each thread, by its name without its number."""
    seconds = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name, rest = re.fullmatch(r"\d+ \((.*)\) (.*)", (task / "stat").read_text().strip()).groups()
        except (OSError, AttributeError):
            continue
        fields = rest.split()
        name = name.rstrip("0123456789").rstrip("-")
        used = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
        seconds[name] = seconds.get(name, 0.0) + used
    return seconds


def percent(after, before, elapsed):
    """Processor time of each thread in percent of one processor."""
    return {name: round(100 * (used - before.get(name, 0.0)) / elapsed, 2) for name, used in after.items()}


def load(port, receiver, arguments, streams, look=lambda: None):
    """Runs the sender, and calls `look` once the streams have settled, and before their end. Returns what it said, and
    the processor time of the receiver's threads and its own."""
    sender = subprocess.Popen(
        [RELEASE / "examples" / "rtp_load", "--to", f"127.0.0.1:{port}", "--streams", str(streams)]
        + ["--seconds", str(arguments.seconds), "--ramp", str(arguments.ramp), "--sockets", str(arguments.sockets)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        # A network does not wait for the processors that receive from it.
        os.sched_setscheduler(sender.pid, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass
    time.sleep(arguments.ramp + arguments.settle)
    look()
    begun, before, sender_before = time.monotonic(), cpu_by_thread(receiver.pid), cpu_by_thread(sender.pid)
    time.sleep(arguments.seconds - arguments.ramp - arguments.settle - 1)
    elapsed = time.monotonic() - begun
    after, sender_after = cpu_by_thread(receiver.pid), cpu_by_thread(sender.pid)
    look()
    said, _ = sender.communicate(timeout=arguments.seconds + 60)
    used = sum(percent(sender_after, sender_before, elapsed).values())
    return said.strip(), percent(after, before, elapsed), used


def run_bare(streams, arguments):
    port = free_port()
    receiver = subprocess.Popen(
        [RELEASE / "examples" / "rtp_receive", "--listen", f"127.0.0.1:{port}", "--threads", str(arguments.threads)]
        + ["--seconds", str(arguments.seconds + 3)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(1)
        said, cpu, _ = load(port, receiver, arguments, streams)
        received, dropped = map(int, re.findall(r"\d+", receiver.communicate(timeout=arguments.seconds + 60)[0]))
    finally:
        receiver.kill()
    sent = int(re.match(r"\d+", said).group())
    return {"streams": streams, "sent_packets": sent, "received_packets": received,
            "kernel_dropped_packets": dropped, "cpu_percent": cpu.get("bare", 0.0)}


def read_streams(port):
    """The streams that run, by their names."""
    streams, count = {}, 1
    while len(streams) < count:
        url = f"http://127.0.0.1:{port}/api/v1/streams?limit=1000&offset={len(streams)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            page = json.load(answer)
        count = page["total"]
        if not page["streams"]:
            break
        streams.update((stream["id"], stream) for stream in page["streams"])
    return streams


# What a sample of a stream may have become that was not mixed in its place.
NOT_WHOLE = ("dropped_full_samples", "dropped_late_samples", "discarded_samples", "concealed_samples", "lost_samples")


def count_whole(before, after):
    """The streams of both readings of which every sample between them was mixed in its place."""
    both = [(stream, after[name]) for name, stream in before.items() if name in after]
    return sum(all(then[term] == now[term] for term in NOT_WHOLE) for then, now in both)


def run(streams, arguments):
    port, http = free_port(), free_port()
    server = subprocess.Popen(
        [RELEASE / "mixpool", "serve", "--rtp", f"127.0.0.1:{port}", "--streams-max", str(streams + 16)]
        + ["--http", f"127.0.0.1:{http}", "--duration", f"{arguments.seconds + 3}s", "--ring-size", "64KiB", "--json"]
        + ["--rtp-threads", str(arguments.threads)]
        + arguments.serve.split(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(1)
        readings = []
        look = lambda: readings.append(read_streams(http))
        said, cpu, sender_cpu = load(port, server, arguments, streams, look)
        report = json.loads(server.communicate(timeout=arguments.seconds + 60)[0])
    finally:
        server.kill()
    network = [stream["network"] for stream in report["streams"]]
    total = report["totals"]
    return {
        "streams": streams,
        "sent_packets": int(re.match(r"\d+", said).group()),
        "received_packets": sum(stream["received_packets"] for stream in network),
        "kernel_dropped_packets": sum(one["kernel_dropped_packets"] for one in report["listeners"]),
        "mixed_streams": len(network),
        "whole_streams": count_whole(*readings),
        "shed_streams": sum(stream["discarded_overload_samples"] > 0 for stream in report["streams"]),
        "drop_rate": total["drop_rate"],
        "concealed_samples": total["concealed_samples"],
        "late_ticks": report["late_ticks"],
        "tick_time_p50_us": report["tick_time"]["p50_ns"] / 1e3,
        "tick_lateness_max_ms": report["tick_lateness"]["max_ns"] / 1e6,
        "playout_delay_ms": max((stream["playout_delay_ms"] for stream in network), default=0.0),
        "ledger_imbalances": report["ledger_imbalances"],
        "cpu_percent": cpu,
        "sender_cpu_percent": sender_cpu,
        "sender": said,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", type=int, nargs="+")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=1, help="threads that receive")
    parser.add_argument("--ramp", type=int, default=2, help="seconds within which the streams begin")
    parser.add_argument("--settle", type=int, default=3, help="seconds from then until they must be whole")
    parser.add_argument(
        "--sockets", type=int, default=0, help="of the sender, which pays less with few; one for each stream if 0"
    )
    parser.add_argument("--serve", default="", help="more flags for the server")
    arguments = parser.parse_args()
    least = arguments.ramp + arguments.settle + 2
    if arguments.seconds < least:
        parser.error(f"--seconds {arguments.seconds} is too short: --ramp and --settle leave time from {least} on")
    columns = ("streams", "whole", "shed", "not received", "dropped", "concealed", "late ticks", "rtp", "mixer", "sender", "bare", "rtp/bare")
    print("".join(f"{column:>13}" for column in columns))
    rows = []
    for streams in arguments.streams:
        bare = run_bare(streams, arguments)
        row = run(streams, arguments)
        row["bare"] = bare
        # Of what each received: a receiver that loses packets is cheap.
        price = lambda cpu, of: cpu / max(of["received_packets"], 1)
        ratio = price(row["cpu_percent"].get("rtp", 0.0), row) / max(price(bare["cpu_percent"], bare), 1e-12)
        rows.append(row)
        cells = (
            row["streams"],
            row["whole_streams"],
            row["shed_streams"],
            row["sent_packets"] - row["received_packets"],
            f"{100 * row['drop_rate']:.3f}%",
            row["concealed_samples"],
            row["late_ticks"],
            f"{row['cpu_percent'].get('rtp', 0.0)}%",
            f"{row['cpu_percent'].get('mixer', 0.0)}%",
            f"{row['sender_cpu_percent']:.1f}%",
            f"{bare['cpu_percent']:.1f}%" + (f" -{bare['sent_packets'] - bare['received_packets']}" if bare["sent_packets"] > bare["received_packets"] else ""),
            f"{ratio:.2f}",
        )
        print("".join(f"{cell:>13}" for cell in cells), flush=True)
        assert row["ledger_imbalances"] == 0, row
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
