"""A review desk at full size: a planted queue behind a real backend, a monitor of fifty backends, the dashboard before them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from backend.client import BackendClient
from tests.api.service import Service, Site, make_site, serving
from tests.bench.probing import describe, targets
from tests.monitor.processes import MonitorProcess, free_port
from tests.system.planted_queue import plant
from tests.system.running_fleet import ROOT, eventually

BACKENDS = 50
VIEWER = "fa_viewer_for_the_bench"
ACCOUNT = {"name": "bench", "password": "correct horse battery"}
SUPERVISED = "admin"


@dataclass(frozen=True)
class Place:
    dashboard: str
    site: Site
    service: Service
    runs_file: Path
    """a line per script run, as `timed_dashboard` writes it"""

    def runs(self, since: float, until: float) -> list[dict[str, Any]]:
        """Those that began in between, in seconds since the epoch."""
        lines = self.runs_file.read_text().splitlines() if self.runs_file.exists() else []
        return [run for run in map(json.loads, lines) if since <= run["at"] < until]

    def backend(self) -> BackendClient:
        """As a reviewer of another name, without a dashboard between."""
        return self.service.client(self.site.dashboard.token("reviewer", name="bare"))


@contextmanager
def place(folder: Path, *, cases: int) -> Iterator[Place]:
    site = make_site(folder / "site")
    plant(site.environment()["BACKEND_DATABASE_URL"], site.folder / "master.key", cases=cases, seed=7)
    signers = _dashboard(folder, {}, "keys", "init", "--jwks", str(folder / "jwks.json"))
    assert signers.returncode == 0, signers.stderr
    ours = json.loads((folder / "jwks.json").read_text())["keys"]
    both = folder / "signers.json"
    both.write_text(json.dumps({"keys": [*ours, *json.loads(site.dashboard.jwks.read_text())["keys"]]}))
    with (
        serving(site, BACKEND_LOG_LEVEL="WARNING", BACKEND_SIGNERS_FILE=str(both)) as service,
        _monitor(folder, both) as monitor,
        _serving_dashboard(folder, service.url, f"http://127.0.0.1:{monitor.port}") as url,
    ):
        yield Place(url, site, service, folder / "runs.jsonl")


@contextmanager
def _monitor(folder: Path, signers: Path) -> Iterator[MonitorProcess]:
    keys = folder / "monitor-keys.json"
    digest = hashlib.sha256(VIEWER.encode()).hexdigest()
    keys.write_text(json.dumps([{"id": "key_bench", "name": "bench", "sha256": digest, "scopes": ["viewer"]}]))
    settings = {"MONITOR_KEYS_FILE": str(keys), "MONITOR_SIGNERS_FILE": str(signers), "MONITOR_LOG_LEVEL": "WARNING"}
    settings |= {"MONITOR_SCRAPE_S": "15"}
    with targets(folder, BACKENDS) as some:
        monitor = MonitorProcess(folder, settings=settings)
        describe(monitor, some)
        monitor.start()
        try:
            yield monitor
        finally:
            monitor.kill()


@contextmanager
def _serving_dashboard(folder: Path, backend: str, monitor: str) -> Iterator[str]:
    port = free_port()
    settings = {
        "DASHBOARD_BACKEND_URLS": backend,
        "DASHBOARD_MONITOR_URL": monitor,
        "DASHBOARD_KEY": VIEWER,
        "DASHBOARD_COOKIE_SECRET": "for this measurement",
    }
    added = _dashboard(folder, settings, "users", "add", ACCOUNT["name"], "--role", SUPERVISED, "--password-file", "-")
    assert added.returncode == 0, added.stderr
    command = [sys.executable, "-m", "tests.bench.timed_dashboard", str(folder / "runs.jsonl"), "serve", "--port", str(port)]
    with (folder / "dashboard.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=_environment(folder, settings), stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _healthy(url, process, folder), within_s=120)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _healthy(url: str, process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "dashboard.log").read_text()
    try:
        return httpx.get(f"{url}/_stcore/health", timeout=5, trust_env=False).text == "ok"
    except httpx.TransportError:
        return False


def _environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DASHBOARD_")}
    files = {"DASHBOARD_USERS_FILE": str(folder / "users.json"), "DASHBOARD_SIGNING_KEY_FILE": str(folder / "signing.pem")}
    return {**inherited, **files, **settings}


def _dashboard(folder: Path, settings: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    needed = {"DASHBOARD_BACKEND_URLS": "http://127.0.0.1:1", "DASHBOARD_MONITOR_URL": "http://127.0.0.1:1"} | settings
    command: Sequence[str] = [sys.executable, "-m", "dashboard", *words]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=_environment(folder, needed),
        input=ACCOUNT["password"],
        capture_output=True,
        text=True,
        check=False,
    )
