"""Real nginx and HAProxy, started on free ports over three small TLS servers."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.environment import Environment
from deploy.local import balancers, temporary
from deploy.local.certificates import LocalCa
from deploy.render import documents, folder
from tests.deploy.fleets import COMMON_NAME, eventually, fleet, fleet_data
from tests.deploy.small_backend import SmallBackend


def need(program: str) -> str:
    found = balancers.installed(program)
    if found is None:
        pytest.skip(f"{program} is not installed: `make system`")
    return found


def tool(environment: Environment, name: str) -> str:
    """A program of one of the environments that `make tools` makes."""
    found = environment.folder / "bin" / name
    if not found.exists():
        pytest.skip(f"{name} is not here: `make tools`")
    return str(found)


@dataclass
class Running:
    kind: str
    data: dict[str, Any]
    ca_file: Path
    folder: Path
    backends: list[SmallBackend]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://{self.data['balancer']['listen']}"

    @property
    def redirect_url(self) -> str:
        return f"http://{self.data['balancer']['redirect_listen']}"

    @property
    def stats_url(self) -> str:
        return f"http://{self.data['balancer']['stats_address']}"

    def client(self, **options: Any) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        return httpx.Client(base_url=self.url, verify=context, timeout=20, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        with self.client() as client:
            return client.get(path, **options)


@contextmanager
def running(
    kind: str, where: Path, *, probes: dict[str, Any] | None = None, weights: dict[str, int] | None = None, **balancer: Any
) -> Iterator[Running]:
    """The real program over three backends, with the configuration that `up` would render."""
    need(kind)
    where.mkdir(exist_ok=True)
    data = fleet_data(where, kind, **balancer)
    data["probes"] = probes or {}
    data["balancer"]["url"] = f"https://{data['balancer']['listen']}"
    backends = _backends(where)
    try:
        for backend, row in zip(backends, data["backends"], strict=True):
            backend.start()
            row["weight"] = (weights or {}).get(backend.name, 100)
            row["url"], row["address"] = f"https://127.0.0.1:{backend.port}", f"127.0.0.1:{backend.port}"
        yield from _serve(Running(kind, data, where / "ca.pem", where, backends, where / f"{kind}.log"))
    finally:
        for backend in backends:
            backend.stop()


def _backends(where: Path) -> list[SmallBackend]:
    ca = LocalCa(where)
    return [SmallBackend(name, *ca.leaf(name, [f"{name}.face-auth.internal", COMMON_NAME])) for name in ("b1", "b2", "b3")]


def _serve(what: Running) -> Iterator[Running]:
    folder.write_all(what.folder, documents.local_documents(fleet(what.data), balancers.place(what.kind, what.folder)))
    balancers.check(what.kind, what.folder)
    with what.log.open("wb") as log:
        process = what.process = subprocess.Popen(
            balancers.command(what.kind, what.folder), cwd=what.folder, stdout=log, stderr=log
        )
    try:
        eventually(lambda: _is_up(what), within_s=20)
        for backend in what.backends:
            backend.asked.clear()
        yield what
    finally:
        process.terminate()
        process.wait(10)
        temporary.forget(what.folder)


def _is_up(what: Running) -> bool:
    """Every backend was reached through the balancer; with a hash one address reaches one alone."""
    try:
        what.get("/health")
    except httpx.TransportError:
        return False
    reached = any if what.data["balancer"].get("strategy") == "ip_hash" else all
    return reached(any(asked.path in ("/health", "/ready") for asked in backend.asked) for backend in what.backends)


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def balancer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture
def own_balancer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """One whose backends the test may take away."""
    with running(request.param, tmp_path / "balancer") as found:
        yield found
