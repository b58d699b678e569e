"""The monitor probing a thousand backends, half of them over TLS, beside blackbox_exporter on the same ones, one after the other.

Both ask /live, /health and /ready of each backend every 15 seconds and check what the answers say. The monitor does it over one
fresh connection per backend and round, and also judges, stores, evaluates alerts and looks at every certificate; the exporter
opens a connection per probe and keeps nothing. Who asks the exporter is not counted.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families

from monitor import wire
from monitor.client import Unreachable
from monitor.histogram import Histogram
from tests.bench.measure import Benchmark, Setting, machine
from tests.monitor.certs import Authority
from tests.monitor.processes import ROOT, MonitorProcess, free_port, until

EXPORTER = "prometheus-blackbox-exporter"
BACKENDS, FEWER = 1000, 100
INTERVAL_S, DEADLINE_S = 15.0, 2.0
WINDOW_S, SHORTER_S = 90.0, 30.0
PATHS = ("live", "health", "ready")
NAME = "targets.face-auth.internal"
TICK_MS = 500.0
# A start asks everybody and every certificate at once; what is measured is the day after, not the first minute.
SETTLED_S = 45.0


@dataclass(frozen=True)
class Targets:
    ports: Sequence[int]
    authority: Authority

    def url(self, place: int) -> str:
        scheme = "http" if place < len(self.ports) // 2 else "https"
        return f"{scheme}://127.0.0.1:{self.ports[place]}"


@dataclass(frozen=True)
class Cost:
    """Of one process over its window. `late_p99_ms` is None where nobody was late to anything."""

    cpu_s: float
    probes: int
    memory_mib: float
    late_p99_ms: float = 0.0

    @property
    def cpu_s_per_thousand(self) -> float:
        return self.cpu_s / self.probes * 1000


def probing(setting: Setting) -> Iterator[Benchmark]:
    count, window_s = (FEWER, SHORTER_S) if setting.quick else (BACKENDS, WINDOW_S)
    with targets(setting.folder, count) as some:
        ours = _of_monitor(setting.folder, some, window_s)
        peers = _of_exporter(setting.folder, some, window_s)
    what = f"{count:,} backends × 3 probes every {INTERVAL_S:g} s, half of them TLS"
    yield _row(f"{what}: lateness of a round, p99", ours.late_p99_ms, "ms", "the schedule's tick", TICK_MS, "< 500 ms")
    peer = f"blackbox_exporter, {peers.probes:,} probes"
    yield _row(f"{what}: CPU per 1,000 probes", ours.cpu_s_per_thousand, "s", peer, peers.cpu_s_per_thousand, "–")
    yield _row(f"{what}: memory", ours.memory_mib, "MiB", peer, peers.memory_mib, "–")


def _row(name: str, value: float, unit: str, peer: str, peer_value: float, aim: str) -> Benchmark:
    def short(number: float) -> float:
        return float(f"{number:.4g}")

    return Benchmark(name, short(value), unit, peer, short(peer_value), short(value / peer_value), 0.0, aim, machine(), "monitor")


@contextmanager
def targets(folder: Path, count: int) -> Iterator[Targets]:
    authority = Authority(folder)
    pair = authority.issue(NAME, "127.0.0.1")
    command = [sys.executable, "-m", "tests.bench.many_targets", str(count // 2), str(count - count // 2)]
    with subprocess.Popen([*command, str(pair.cert), str(pair.key)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Targets(json.loads(process.stdout.readline()), authority)
        finally:
            process.terminate()


# --- ours ------------------------------------------------------------------------------------------------------------


def describe(monitor: MonitorProcess, some: Targets) -> None:
    """The fleet file of all targets, named b0000 and so on."""
    probes = {"interval_s": INTERVAL_S, "fast_interval_s": INTERVAL_S, "down_interval_s": INTERVAL_S, "deadline_s": DEADLINE_S}
    backends = [
        {
            "name": f"b{place:04}",
            "url": some.url(place),
            "address": f"127.0.0.1:{port}",
            "server_name": NAME,
            "ca_file": str(some.authority.ca_file),
        }
        for place, port in enumerate(some.ports)
    ]
    monitor.describe({"version": 1, "probes": probes, "balancer": {"kind": "none"}, "backends": backends})


def _of_monitor(folder: Path, some: Targets, window_s: float) -> Cost:
    monitor = MonitorProcess(folder, settings={"MONITOR_SCRAPE_S": "86400", "MONITOR_LOG_LEVEL": "WARNING"})
    describe(monitor, some)
    monitor.start()
    try:
        assert monitor.process is not None
        until(lambda: _all_up(monitor, len(some.ports)), within_s=180, what="every backend is UP")
        time.sleep(SETTLED_S)
        process = psutil.Process(monitor.process.pid)
        before, late_before = _cpu_s(process), _lateness(monitor)
        time.sleep(window_s)
        late = _lateness(monitor).minus(late_before)
        p99 = late.quantile(0.99)
        assert p99 is not None
        return Cost(_cpu_s(process) - before, round(late.total) * len(PATHS), process.memory_info().rss / 2**20, p99 * 1000)
    finally:
        monitor.kill()


def _all_up(monitor: MonitorProcess, count: int) -> bool:
    time.sleep(2)  # a view of a thousand backends is not free
    try:
        with monitor.client() as client:
            return sum(one.state is wire.State.up for one in client.fleet().items) == count
    except Unreachable:  # busy with its start
        return False


def _lateness(monitor: MonitorProcess) -> Histogram:
    text = httpx.get(f"http://127.0.0.1:{monitor.port}/metrics", timeout=30, trust_env=False).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    name = "face_auth_monitor_probe_lateness_seconds_bucket"
    return Histogram.from_cumulative({float(s.labels["le"]): s.value for s in samples if s.name == name})


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# --- the peer --------------------------------------------------------------------------------------------------------


def _of_exporter(folder: Path, some: Targets, window_s: float) -> Cost:
    port, config = free_port(), folder / "blackbox.yml"
    common = {"preferred_ip_protocol": "ip4", "fail_if_body_not_matches_regexp": ['"status": *"(alive|healthy|ready)"']}
    trust = {"ca_file": str(some.authority.ca_file), "server_name": NAME}
    module = {"prober": "http", "timeout": f"{DEADLINE_S:g}s", "http": common | {"tls_config": trust}}
    config.write_text(yaml.safe_dump({"modules": {"it": module}}))
    command = [EXPORTER, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    try:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise SystemExit(f"{EXPORTER} is not installed: make system (as root)") from error
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: _listens(url), within_s=30, what="the exporter answers")
        asyncio.run(_ask(url, some, SHORTER_S))  # to warm up, as ours is
        measured = psutil.Process(process.pid)
        before = _cpu_s(measured)
        probes = asyncio.run(_ask(url, some, window_s))
        return Cost(_cpu_s(measured) - before, probes, measured.memory_info().rss / 2**20)
    finally:
        process.terminate()
        process.wait(10)


def _listens(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/healthy", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


async def _ask(url: str, some: Targets, window_s: float) -> int:
    """Every path of every target once per interval, evenly spread; gives how many probes there were, all of which passed."""
    asked = [f"{some.url(place)}/{path}" for place in range(len(some.ports)) for path in PATHS]
    pace_s = INTERVAL_S / len(asked)
    count = int(window_s / pace_s)
    start = time.monotonic()
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits, trust_env=False) as http:

        async def one(number: int) -> None:
            answer = await http.get("/probe", params={"target": asked[number % len(asked)], "module": "it"})
            assert "\nprobe_success 1\n" in answer.text, answer.text

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, start + number * pace_s - time.monotonic()))
                group.create_task(one(number))
    return count
