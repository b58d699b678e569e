"""A fleet started as a user would start it (`python3 -m deploy up`), in a run folder and on ports of its own."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from backend.client import BackendClient
from monitor.client import MonitorClient

ROOT = Path(__file__).resolve().parents[2]
PORTS = (8001, 8002, 8003, 8443, 8088, 8080, 8404, 8600, 8501)
START_LIMIT_S = 400

Value = TypeVar("Value")


def eventually(probe: Callable[[], Value], *, within_s: float, every_s: float = 0.1) -> tuple[Value, float]:
    """Call `probe` until it gives something true; answer with that and the seconds it took. Fails after `within_s`."""
    start = time.monotonic()
    last: object = None
    while (elapsed := time.monotonic() - start) < within_s:
        last = probe()
        if last:
            return last, time.monotonic() - start  # type: ignore[return-value]
        time.sleep(every_s)
    raise AssertionError(f"not within {within_s:.0f} s (after {elapsed:.1f} s, last: {last!r})")


def free_offset() -> int:
    """An offset at which all ports of the fleet are free. Tests that run beside each other look in different places."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    for offset in range(10_000 + 6_000 * worker, 16_000 + 6_000 * worker, 100):
        if all(_is_free(port + offset) for port in PORTS):
            return offset
    raise AssertionError("no free range of ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Fleet:
    run_dir: Path
    offset: int
    root: Path = ROOT
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    settings: Mapping[str, str] = field(default_factory=dict)
    """of its programs, by their whole names: nothing else of ours is taken from the environment"""
    summary: dict[str, Any] = field(default_factory=dict)

    def up(self, *options: str) -> dict[str, Any]:
        """Start, detached; the summary that `up --json` prints."""
        done = self.deploy("up", "--detach", "--wait", str(START_LIMIT_S), "--json", *options, timeout=START_LIMIT_S + 60)
        assert done.returncode == 0, f"up failed ({done.returncode}):\n{done.stdout}\n{done.stderr}"
        self.summary = json.loads(done.stdout[done.stdout.index("{") :])
        return self.summary

    def down(self) -> None:
        done = self.deploy("down", timeout=90)
        assert done.returncode == 0, f"down failed:\n{done.stdout}\n{done.stderr}"

    def deploy(self, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
        environment = {
            **{
                name: value
                for name, value in self.environment.items()
                if not name.startswith(("BACKEND_", "MONITOR_", "DASHBOARD_"))
            },
            **self.settings,
            "FLEET_RUN_DIR": str(self.run_dir),
            "FLEET_PORT_OFFSET": str(self.offset),
        }
        return subprocess.run(
            [self.python, "-m", "deploy", *arguments],
            cwd=self.root, env=environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    @property
    def access(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run_dir / "access.json").read_text())
        return found

    def backend(self, name: str | None = None, *, key: str = "admin") -> BackendClient:
        """A client of one backend, or of the balancer (of every backend where there is none)."""
        access = self.access
        urls = (
            [access["backends"][name]]
            if name
            else [access["balancer"]]
            if access["balancer"]
            else list(access["backends"].values())
        )
        return BackendClient(urls, token=access["keys"][key], ca_file=Path(access["ca"]))

    def monitor(self) -> MonitorClient:
        return MonitorClient(self.access["monitor"], token=self.access["keys"]["operator"])

    def processes(self) -> list[psutil.Process]:
        """Everything alive that was started for this run folder."""
        mark = str(self.run_dir)
        return [process for process in psutil.process_iter() if process.pid != os.getpid() and mark in _told(process)]

    def pid_of(self, backend: str) -> int:
        """The process that listens on the backend's port."""
        port = int(self.access["backends"][backend].rsplit(":", 1)[1])
        owners = {
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid
        }
        (pid,) = owners
        return pid

    def ports_accepting(self) -> list[int]:
        return [port + self.offset for port in PORTS if accepts(port + self.offset)]

    def served_certificate(self, backend: str) -> bytes:
        host, port = self.access["backends"][backend].removeprefix("https://").rsplit(":", 1)
        return ssl.get_server_certificate((host, int(port)), timeout=5).encode()


def _told(process: psutil.Process) -> str:
    """Command line and environment of a process, as far as they may be read."""
    try:
        return " ".join(process.cmdline()) + " " + " ".join(process.environ().values()) + " " + process.cwd()
    except psutil.Error:
        return ""


@contextmanager
def running_fleet(run_dir: Path, *options: str, settings: Mapping[str, str] | None = None) -> Iterator[Fleet]:
    fleet = Fleet(run_dir, free_offset(), settings=settings or {})
    try:
        fleet.up(*options)
        yield fleet
    finally:
        fleet.down()


def status_of(url: str, ca: str) -> int | None:
    """HTTP status of one GET; None where no answer came."""
    try:
        return httpx.get(url, verify=ssl.create_default_context(cafile=ca), timeout=5).status_code
    except httpx.TransportError:
        return None
