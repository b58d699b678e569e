"""A real Prometheus and a real Alertmanager beside a local fleet, as `render` configures them from its fleet file.

The rules are a rehearsal's: `prometheus.faster: 60` makes every window and wait sixty times shorter than its name says, so that
what takes an hour can be seen within a minute. Everything else (expressions, routes, inhibition) is as in production.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from monitor.wire import AlertState
from tests.deploy.fleets import free_port
from tests.system.running_fleet import ROOT, Fleet, accepts, eventually

FASTER = 60
PROGRAMS = ("prometheus", "prometheus-alertmanager", "promtool")
FOR_S = {"BackendDown": 1.0, "BackendErrorRatioHigh": 1.0, "ThresholdDisagreement": 2.0}
"""The monitor's waits, as short as the rehearsal's."""


def missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


@dataclass
class Watching:
    """Who can be asked which alerts fire: each answers with label sets that hold `alertname`."""

    fleet: Fleet
    folder: Path
    prometheus_port: int
    alertmanager_port: int
    told_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.prometheus_port}"

    def in_prometheus(self) -> list[Mapping[str, str]]:
        found = httpx.get(f"{self.url}/api/v1/alerts", timeout=5).json()["data"]["alerts"]
        return [alert["labels"] for alert in found if alert["state"] == "firing"]

    def in_alertmanager(self) -> list[Mapping[str, str]]:
        """Those that hold, told or inhibited."""
        url = f"http://127.0.0.1:{self.alertmanager_port}/api/v2/alerts"
        return [alert["labels"] for alert in httpx.get(url, timeout=5).json()]

    def in_monitor(self) -> list[Mapping[str, str]]:
        with self.fleet.monitor() as monitor:
            firing = monitor.alerts(state=AlertState.firing).items
        return [{**alert.labels, "alertname": alert.rule, "severity": alert.severity} for alert in firing]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector that an expression gives now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def change_fleet(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit the fleet file as a person would, render again, and let Prometheus read it."""
        file = self.fleet.run_dir / "fleet.yaml"
        data = yaml.safe_load(file.read_text())
        change(data)
        fresh = file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(data, sort_keys=False))
        fresh.replace(file)
        render(file, self.folder)
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)


def render(fleet_file: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "deploy", "render", "--fleet", str(fleet_file), "--out", str(folder)]
    subprocess.run([*command, "--only", "prometheus,alertmanager"], cwd=ROOT, check=True, capture_output=True, timeout=60)


@contextmanager
def watching(fleet: Fleet, folder: Path) -> Iterator[Watching]:
    """Both programs over the fleet, from the moment at which every target answers."""
    watch = Watching(fleet, folder, free_port(), free_port(), free_port())
    watch.change_fleet(lambda data: data.update(_sections(watch, data)))
    files = folder / "prometheus"
    subprocess.run(["promtool", "check", "config", str(files / "prometheus.yml")], check=True, capture_output=True, timeout=30)
    listen = "--web.listen-address=127.0.0.1:"
    with _running(
        folder / "alertmanager.log", "prometheus-alertmanager", f"--config.file={files / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}", f"{listen}{watch.alertmanager_port}", "--cluster.listen-address=",
    ):  # fmt: skip
        # Prometheus tells an alert once and again only after its resend delay: it must not speak to nobody.
        eventually(lambda: accepts(watch.alertmanager_port), within_s=30)
        with _running(
            folder / "prometheus.log", "prometheus", f"--config.file={files / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}", f"{listen}{watch.prometheus_port}", "--log.level=warn",
            "--rules.alert.resend-delay=1s",
        ) as process:  # fmt: skip
            watch.process = process
            eventually(lambda: _all_up(watch), within_s=60, every_s=0.5)
            yield watch


def _sections(watch: Watching, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "prometheus": {
            "address": f"127.0.0.1:{watch.prometheus_port}",
            "alertmanagers": [f"127.0.0.1:{watch.alertmanager_port}"],
            "monitor": watch.fleet.access["monitor"].removeprefix("http://"),
            "faster": FASTER,
        },
        "alertmanager": {
            "receivers": [{"name": "team", "kind": "webhook", "url": f"http://127.0.0.1:{watch.told_port}/"}],
        },
        "certificates": {"check_interval_s": 2},
        "alerts": {**data.get("alerts", {}), "for_s": FOR_S},
    }


@contextmanager
def _running(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=log.parent, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _all_up(watch: Watching) -> bool:
    with suppress(httpx.TransportError):
        if httpx.get(f"{watch.url}/-/ready", timeout=10).status_code != 200:  # it listens before it answers questions
            return False
        found = [float(one["value"][1]) for one in watch.query("up")]
        return len(found) >= len(watch.fleet.access["backends"]) + 2 and all(found)
    return False


def stopped(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def goes_on(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
