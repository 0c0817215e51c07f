#!/usr/bin/env python3
"""A real Prometheus scrapes a real server, in both text formats: what it stores is what the server says.

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

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from ports import free_port
from relay import Relay

MIXPOOL = os.environ.get("MIXPOOL", str(ROOT / "target/release/mixpool"))
FOLDER = ROOT / "target/metrics"
SYNTHETIC = 40
WITH_SERIES = 5
PATIENCE_S = 60

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLASSIC = "text/plain; version=0.0.4; charset=utf-8"


def get(url, accept="*/*"):
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
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


def check_formats(server):
    """promtool has nothing to say of the one, and the reference parser takes the other."""
    kind, classic = get(f"{server}/metrics")
    assert kind == CLASSIC, kind
    said = subprocess.run(
        ["promtool", "check", "metrics"], input=classic, capture_output=True, text=True, timeout=30
    )
    assert said.returncode == 0 and not said.stdout and not said.stderr, f"promtool: {said}"
    kind, openmetrics = get(f"{server}/metrics", "application/openmetrics-text")
    assert kind == OPENMETRICS, kind
    families = list(text_string_to_metric_families(openmetrics))
    streams = {
        sample.labels["stream"]
        for family in families for sample in family.samples if "stream" in sample.labels
    }
    assert len(streams) == WITH_SERIES, streams
    return len(families), openmetrics.count("\n")


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

    def value(self, name, job):
        """Of the one series of this name, from a scrape that begins after this call."""
        begun = time.time()

        def fresh():
            found = self.query(f'timestamp({name}{{job="{job}"}})')
            assert len(found) <= 1, found
            return True if found and found[0][1] > begun else None

        until(f"a scrape of {name}", fresh)
        [(_, value)] = self.query(f'{name}{{job="{job}"}}')
        return value


def write_config(path, jobs):
    scrapes = "".join(
        f"  - job_name: {job}\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
        for job, port in jobs.items()
    )
    path.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
        f"rule_files: [{ROOT / 'docs/alerts.yml'}]\nscrape_configs:\n{scrapes}"
    )


def check_scrapes(prometheus, relays):
    """Both jobs are up, in the format that is meant, and nothing was refused."""
    for job, (relay, kind) in relays.items():
        def up(job=job):
            return True if prometheus.query(f'up{{job="{job}"}} == 1') else None

        until(f"{job} is up", up)
        assert relay.kinds == {kind}, relay.kinds
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


def check_values(prometheus, server, jobs):
    """What only goes up lies between what the status says before and after; what stands is the same."""
    def status(key):
        value = json.loads(get(f"{server}/api/v1/status")[1])
        for word in key.split("."):
            value = value[word]
        return value

    for job in jobs:
        for key, name in COUNTERS.items():
            before = status(key)
            value = prometheus.value(name, job)
            after = status(key)
            # The status has the time of the answer, the metrics that of the snapshot.
            slack = 0.2 if key == "uptime_s" else 0
            assert before - slack <= value <= after, f"{job} {name}: {before} {value} {after}"
        for key, name in STANDING.items():
            assert prometheus.value(name, job) == status(key), f"{job} {name}"
        assert prometheus.value("mixpool_streams", job) == SYNTHETIC + 1
        assert prometheus.value("mixpool_streams_without_series", job) == SYNTHETIC + 1 - WITH_SERIES
        assert prometheus.value("mixpool_tick_period_seconds", job) == 0.02
    # Both tell of the same server: the same start to the last digit.
    starts = {value for _, value in prometheus.query("mixpool_start_time_seconds")}
    assert len(starts) == 1 and abs(starts.pop() - time.time()) < 120
    [(_, drift)] = prometheus.query(
        "mixpool_offered_samples_total - on (job) mixpool_mixed_samples_total"
        ' - on (job) sum by (job) (mixpool_dropped_samples_total)'
        ' - on (job) sum by (job) (mixpool_discarded_samples_total) and on (job) up{job="mixpool"}'
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
    serve = [
        MIXPOOL, "serve", "--synthetic", SYNTHETIC, "--streams-max", 100, "--http", f"127.0.0.1:{http}",
        "--rtp", f"127.0.0.1:{rtp}", "--rtp-out", f"127.0.0.1:{out}", "--metrics-streams-max", WITH_SERIES,
        "--record", FOLDER / "mix.wav",
    ]
    stop = threading.Event()
    with program("mixpool", *serve), contextlib.ExitStack() as stack:
        until("the server answers", lambda: get(f"{server}/metrics"))
        sender = threading.Thread(target=send_rtp, args=(rtp, stop))
        sender.start()
        stack.callback(sender.join)
        stack.callback(stop.set)
        relays = {
            "mixpool": (stack.enter_context(Relay(server, None)), OPENMETRICS),
            "classic": (stack.enter_context(Relay(server, "text/plain")), CLASSIC),
        }
        config = FOLDER / "prometheus.yml"
        write_config(config, {job: relay.port for job, (relay, _) in relays.items()})
        stack.enter_context(program(
            "prometheus", "prometheus", f"--config.file={config}",
            f"--storage.tsdb.path={FOLDER / 'data'}", "--storage.tsdb.retention.time=1h",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
        ))
        prometheus = Prometheus(prometheus_port)
        until("prometheus is ready", lambda: get(f"{prometheus.url}/-/ready"))
        check_scrapes(prometheus, relays)
        families, lines = check_formats(server)
        print(f"ok   both formats are sound: {families} families, {lines} lines of OpenMetrics")
        check_values(prometheus, server, relays)
        print("ok   what Prometheus stores is what the status says, by both formats")
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
