"""Ports of the loopback interface that nobody has."""

import pathlib
import socket
import threading
import time

_lock = threading.Lock()
_given = set()


def free_port():
    """An even port that is free with the one after it, for UDP and TCP; given once a run."""
    with _lock:
        while True:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1] & ~1
            if port not in _given and _is_free(port) and _is_free(port + 1):
                _given.add(port)
                return port


def _is_free(port):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def wait_until_bound(ports, paths, deadline_s):
    """Returns when a process has all of these, or raises after so many seconds."""
    deadline = time.monotonic() + deadline_s
    while True:
        bound = _bound()
        missing = [port for port in ports if port not in bound]
        missing += [path for path in paths if not path.is_socket()]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"nobody listens on {missing} after {deadline_s} s")
        time.sleep(0.02)


def _bound():
    """Local ports of UDP sockets, and of TCP sockets that listen."""
    ports = set()
    for table in ("udp", "udp6", "tcp", "tcp6"):
        try:
            lines = pathlib.Path("/proc/net", table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            if table.startswith("udp") or state == "0A":
                ports.add(int(local.rpartition(":")[2], 16))
    return ports
