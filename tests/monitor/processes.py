"""Small backends and a monitor as real processes on loopback, for tests that kill, freeze and mend them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from monitor import wire
from monitor.client import MonitorClient, MonitorClientError
from tests.monitor.certs import Authority, Pair

ROOT = Path(__file__).parents[2]
Value = TypeVar("Value")


def until(look: Callable[[], Value | None], *, within_s: float, what: str) -> Value:
    """The first true value that `look` gives; an error with the last one when the time is over."""
    end = time.monotonic() + within_s
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class BackendProcess:
    """One small backend; its port stays the same over restarts."""

    name: str
    folder: Path
    pair: Pair | None
    port: int = 0
    process: subprocess.Popen[str] | None = None
    log: Any = field(default=None, repr=False)

    @property
    def facts_file(self) -> Path:
        return self.folder / f"{self.name}.json"

    def say(self, **facts: Any) -> None:
        """Change what it tells of itself."""
        fresh = self.facts_file.with_suffix(".new")
        fresh.write_text(json.dumps(facts))
        fresh.replace(self.facts_file)

    def start(self) -> None:
        if not self.facts_file.exists():
            self.say()
        tls = ["--cert", str(self.pair.cert), "--key", str(self.pair.key)] if self.pair else []
        command = [sys.executable, "-m", "tests.monitor.small_backend", "--name", self.name, "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--facts", str(self.facts_file), *tls], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            if self.process.stdout is not None:
                self.process.stdout.close()
            self.process = None

    @property
    def url(self) -> str:
        return f"{'https' if self.pair else 'http'}://127.0.0.1:{self.port}"


@dataclass
class MonitorProcess:
    """`python -m monitor run` on a port of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def fleet_file(self) -> Path:
        return self.folder / "fleet.yaml"

    @property
    def log_file(self) -> Path:
        return self.folder / "monitor.stderr"

    def describe(self, data: dict[str, Any]) -> None:
        """Write the fleet file as an editor does: a new file in the old one's place."""
        fresh = self.fleet_file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(data))
        fresh.replace(self.fleet_file)

    def start(self) -> None:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
        environment = (
            ours | {"MONITOR_DATABASE_URL": f"sqlite:///{self.folder}/monitor.db", "MONITOR_SCRAPE_S": "1"} | self.settings
        )
        command = [sys.executable, "-m", "monitor", "run", "--fleet", str(self.fleet_file), "--port", str(self.port)]
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, text=True)
        until(self._answers, within_s=60, what="the monitor answers")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the monitor ended:\n{self.log_file.read_text()}")
        try:
            with self.client() as client:
                return bool(client.live())
        except MonitorClientError:
            return False

    def client(self, token: str | None = None) -> MonitorClient:
        return MonitorClient(f"http://127.0.0.1:{self.port}", token=token)

    def stop(self) -> int:
        """SIGTERM; gives the exit status."""
        assert self.process is not None
        self.process.terminate()
        status = self.process.wait(30)
        self.process = None
        return status

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


class SmallFleet:
    """Backends b1…bn over TLS and a monitor that watches them fast."""

    PROBES = {"interval_s": 0.6, "fast_interval_s": 0.3, "down_interval_s": 0.6, "deadline_s": 0.8, "fall": 3, "rise": 2}

    def __init__(self, folder: Path, authority: Authority, names: tuple[str, ...] = ("b1", "b2", "b3")) -> None:
        self.authority = authority
        self.backends = {
            name: BackendProcess(name, folder, authority.issue(f"{name}.face-auth.internal", "127.0.0.1")) for name in names
        }
        self.monitor = MonitorProcess(folder)

    def start(self) -> None:
        for backend in self.backends.values():
            backend.start()
        self.monitor.describe(self.description())
        self.monitor.start()

    def description(self, **probes: Any) -> dict[str, Any]:
        return {
            "version": 1,
            "probes": self.PROBES | probes,
            "certificates": {"check_interval_s": 1},
            "balancer": {"kind": "none"},
            "backends": [
                {
                    "name": name,
                    "url": backend.url,
                    "address": f"127.0.0.1:{backend.port}",
                    "server_name": f"{name}.face-auth.internal",
                    "ca_file": str(self.authority.ca_file),
                }
                for name, backend in self.backends.items()
            ],
        }

    def stop(self) -> None:
        self.monitor.kill()
        for backend in self.backends.values():
            backend.kill()

    def see(self, name: str, *, state: wire.State, reason: str | None = None, within_s: float) -> tuple[wire.Backend, float]:
        """Wait until the API shows it; gives the backend and the seconds that it took."""
        start = time.monotonic()

        def look() -> wire.Backend | None:
            with self.monitor.client() as client:
                found = client.backend(name)
            fits = found.state is state and not found.stale and (reason is None or (found.reason or "").startswith(reason))
            return found if fits else None

        found = until(look, within_s=within_s, what=f"{name} is {state} {reason or ''}")
        return found, time.monotonic() - start
