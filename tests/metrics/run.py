#!/usr/bin/env python3
"""A real Prometheus scrapes a real server: it stores the figures that the server's status has.

All is bound to loopback, and what is written is under target/metrics.

    /usr/bin/python3 tests/metrics/run.py
"""

import contextlib
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/clients"))

from prometheus_client.parser import text_string_to_metric_families
from ports import free_port

MIXPOOL = os.environ.get("MIXPOOL", str(ROOT / "target/release/mixpool"))
FOLDER = ROOT / "target/metrics"
SYNTHETIC = 40
WITH_SERIES = 5
PATIENCE_S = 60

FORMAT = "text/plain; version=0.0.4; charset=utf-8"


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def until(what, holds):
    """What `holds` gives, once it is not None."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            held = holds()
            if held is not None:
                return held
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def program(name, *words):
    """A program that runs, and is ended by us; its log is FOLDER/name.log."""
    log_path = FOLDER / f"{name}.log"
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=FOLDER
        )
    try:
        yield process
        assert process.poll() is None, f"{name} ended by itself: {log_path.read_text()}"
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        assert code == 0, f"{name} ended with {code}: {log_path.read_text()}"
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def send_rtp(port, stop):
    """A sender of mu-law silence, each tenth packet of which never leaves."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        number = 0
        while not stop.wait(0.02):
            number += 1
            if number % 10:
                head = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, 7)
                out.sendto(head + b"\xff" * 160, ("127.0.0.1", port))


def check_format(server):
    """promtool finds no fault, and the reference parser reads each line."""
    kind, text = get(f"{server}/metrics")
    assert kind == FORMAT, kind
    said = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30
    )
    assert said.returncode == 0 and not said.stdout and not said.stderr, f"promtool: {said}"
    families = list(text_string_to_metric_families(text))
    streams = {
        sample.labels["stream"]
        for family in families for sample in family.samples if "stream" in sample.labels
    }
    assert len(streams) == WITH_SERIES, streams
    return len(families), text.count("\n")


class Prometheus:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def api(self, path, **parameters):
        answer = json.loads(get(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")[1])
        assert answer["status"] == "success" and not answer.get("warnings"), answer
        return answer["data"]

    def query(self, expression):
        """Labels and value of each series."""
        result = self.api("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def value(self, name):
        """Of the one series of this name, from a scrape that begins after this call."""
        begun = time.time()

        def fresh():
            found = self.query(f"timestamp({name})")
            assert len(found) <= 1, found
            return True if found and found[0][1] > begun else None

        until(f"a scrape of {name}", fresh)
        [(_, value)] = self.query(name)
        return value


def write_config(path, port):
    path.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
        f"rule_files: [{ROOT / 'docs/alerts.yml'}]\nscrape_configs:\n"
        f"  - job_name: mixpool\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    )


def check_scrapes(prometheus):
    """The server is up, and no scrape was refused."""
    until("mixpool is up", lambda: True if prometheus.query("up == 1") else None)
    for target in prometheus.api("targets")["activeTargets"]:
        assert target["health"] == "up" and not target["lastError"], target


# Of /api/v1/status, and the expression that says the same.
COUNTERS = {
    "ticks": "mixpool_ticks_total",
    "late_ticks": "mixpool_late_ticks_total",
    "uptime_s": "mixpool_uptime_seconds",
    "totals.offered_samples": "mixpool_offered_samples_total",
    "totals.mixed_samples": "mixpool_mixed_samples_total",
}
STANDING = {
    "pool.slots": "mixpool_slots",
    "pool.ring_bytes": "mixpool_ring_bytes",
    "streams": "mixpool_streams",
    "admitted_streams": "mixpool_admitted_streams_total",
}


def check_values(prometheus, server):
    """A counter lies between the status before and after it; a constant equals the status."""
    def status(key):
        value = json.loads(get(f"{server}/api/v1/status")[1])
        for word in key.split("."):
            value = value[word]
        return value

    for key, name in COUNTERS.items():
        before = status(key)
        value = prometheus.value(name)
        after = status(key)
        # The status has the time of the answer, the metrics that of the snapshot.
        slack = 0.2 if key == "uptime_s" else 0
        assert before - slack <= value <= after, f"{name}: {before} {value} {after}"
    for key, name in STANDING.items():
        assert prometheus.value(name) == status(key), name
    assert prometheus.value("mixpool_streams") == SYNTHETIC + 1
    assert prometheus.value("mixpool_streams_without_series") == SYNTHETIC + 1 - WITH_SERIES
    assert prometheus.value("mixpool_tick_period_seconds") == 0.02
    assert abs(prometheus.value("mixpool_start_time_seconds") - time.time()) < 120
    [(_, drift)] = prometheus.query(
        "mixpool_offered_samples_total - on (job) mixpool_mixed_samples_total"
        " - on (job) sum by (job) (mixpool_dropped_samples_total)"
        " - on (job) sum by (job) (mixpool_discarded_samples_total)"
    )
    # What was offered and is neither mixed, dropped nor discarded waits in rings.
    assert 0 <= drift <= (SYNTHETIC + 1) * 8000, drift


def dashboard_queries():
    dashboard = json.loads((ROOT / "docs/grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) < 24, "panels overlap"
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "job", "instance", "top"}
    for panel in panels:
        if panel["type"] != "row":
            assert panel["description"] and panel["datasource"]["uid"] == "${datasource}", panel
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


# Queries that show only what is wrong, or only what somebody asked for.
MAY_BE_EMPTY = re.compile(r"> 0|ALERTS|_drift_ratio|_jitter_|_playout_delay_|histogram_quantile")


def check_dashboard(prometheus):
    """Each query is understood, and shows something where there is something to show."""
    count = 0
    for title, expression in dashboard_queries():
        for variable, value in {
            "$job": "mixpool", "$instance": ".+", "$top": "10", "$__rate_interval": "15s",
        }.items():
            expression = expression.replace(variable, value)
        assert "$" not in expression, expression
        found = prometheus.query(expression)
        assert found or MAY_BE_EMPTY.search(expression), f"{title} shows nothing: {expression}"
        count += 1
    for name in ["mixpool_stream_jitter_seconds", "mixpool_stream_drift_ratio"]:
        assert not prometheus.query(name), "the network stream came last, so it has no series"
    quantile = "histogram_quantile(0.99, sum by (le) (rate(mixpool_tick_time_seconds_bucket[15s])))"
    [(_, tick_s)] = prometheus.query(quantile)
    assert not math.isnan(tick_s) and 0 < tick_s < 10, tick_s
    return count


def check_rules(prometheus):
    """All rules are understood, and none that fires at once does."""
    rules = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]
    unwell = [rule for rule in rules if rule["health"] != "ok"]
    assert rules and not unwell, unwell
    firing = [rule["name"] for rule in rules if rule["state"] == "firing"]
    assert not firing, firing
    return len(rules)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    http, rtp, out, prometheus_port = (free_port() for _ in range(4))
    server = f"http://127.0.0.1:{http}"
    config = FOLDER / "serve.toml"
    config.write_text(f"metrics_streams_max = {WITH_SERIES}\n")
    serve = [
        MIXPOOL, "serve", "--synthetic", SYNTHETIC, "--streams-max", 100, "--http", f"127.0.0.1:{http}",
        "--rtp", f"127.0.0.1:{rtp}", "--rtp-out", f"127.0.0.1:{out}", "--config", config,
        "--record", FOLDER / "mix.wav",
    ]
    stop = threading.Event()
    with program("mixpool", *serve), contextlib.ExitStack() as stack:
        until("the server answers", lambda: get(f"{server}/metrics"))
        sender = threading.Thread(target=send_rtp, args=(rtp, stop))
        sender.start()
        stack.callback(sender.join)
        stack.callback(stop.set)
        config = FOLDER / "prometheus.yml"
        write_config(config, http)
        stack.enter_context(program(
            "prometheus", "prometheus", f"--config.file={config}",
            f"--storage.tsdb.path={FOLDER / 'data'}", "--storage.tsdb.retention.time=1h",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
        ))
        prometheus = Prometheus(prometheus_port)
        until("prometheus is ready", lambda: get(f"{prometheus.url}/-/ready"))
        check_scrapes(prometheus)
        families, lines = check_format(server)
        print(f"ok   the format is sound: {families} families, {lines} lines")
        check_values(prometheus, server)
        print("ok   Prometheus stores the figures that the status has")
        time.sleep(5)
        queries = check_dashboard(prometheus)
        print(f"ok   the dashboard's {queries} queries are understood, and show what there is")
        print(f"ok   {check_rules(prometheus)} alerts are evaluated, and none fires")
        [(_, loss)] = prometheus.query(
            '1 - rate(mixpool_received_packets_total{job="mixpool"}[8s])'
            ' / rate(mixpool_expected_packets_total{job="mixpool"}[8s])'
        )
        assert 0.05 < loss < 0.15, f"a tenth of the packets never left, and {loss} is told"
        print(f"ok   of a tenth of the packets that never left, {loss:.3f} is told")


if __name__ == "__main__":
    main()
