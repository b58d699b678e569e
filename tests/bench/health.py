"""`/health` of a real backend beside a bare Starlette handler on uvicorn: its rate, and how soon it answers under load."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from backend.client import BackendClient
from backend.faces.cores import usable_cores
from tests.api.service import make_site, serving
from tests.bench.measure import Benchmark, Setting, compared, seconds
from tests.system.kills import free_port
from tests.system.running_fleet import ROOT, eventually

REQUESTS = 300
PACED, PACE_S = 200, 0.01
BUSY_AT_MOST_S = 300


async def _answer(_: Request) -> JSONResponse:
    return JSONResponse({"status": "healthy", "time": time.time()})


bare = Starlette(routes=[Route("/health", _answer)])


def health(setting: Setting) -> Iterator[Benchmark]:
    pack = setting.testdata / "models" / "test_mbf"
    photograph = min((setting.testdata / "gallery").glob("*.jpg")).read_bytes()
    site = make_site(setting.folder / "site", BACKEND_ENGINE="insightface", BACKEND_MODEL_PACK=str(pack))
    with serving(site, BACKEND_LOG_LEVEL="WARNING") as service, _bare() as peer, _asking(service.url) as ours:
        yield compared(
            "/health, one client", lambda: _rate(ours), lambda: _rate(peer),
            unit="requests/s", peer="bare Starlette handler", aim="≥ 0.7", rounds=setting.rounds,
        )  # fmt: skip
        with _all_slots_busy(service.client(site.key("client")), photograph):
            yield compared(
                "/health while every inference slot is busy, p99", lambda: _p99_ms(ours), lambda: _p99_ms(peer),
                unit="ms", peer="bare Starlette handler, idle itself", aim="< 50 ms", rounds=setting.rounds,
            )  # fmt: skip


@contextmanager
def _all_slots_busy(backend: BackendClient, photograph: bytes) -> Iterator[None]:
    """Twice as many clients as there are slots identify all the while."""
    stop = threading.Event()

    def client() -> None:
        until = time.monotonic() + BUSY_AT_MOST_S
        while not stop.is_set() and time.monotonic() < until:
            backend.identify(photograph)

    with ThreadPoolExecutor(2 * usable_cores()) as pool:
        asked = [pool.submit(client) for _ in range(2 * usable_cores())]
        try:
            yield
        finally:
            stop.set()
            for one in asked:
                one.result()


def _p99_ms(client: httpx.Client) -> float:
    """Asked at a steady pace, as balancers do."""
    took = []
    for _ in range(PACED):
        took.append(seconds(lambda: client.get("/health")))
        time.sleep(PACE_S)
    return float(np.percentile(took, 99)) * 1000


def _rate(client: httpx.Client) -> float:
    return REQUESTS / seconds(lambda: [client.get("/health") for _ in range(REQUESTS)])


@contextmanager
def _bare() -> Iterator[httpx.Client]:
    port = free_port()
    quiet = ["--log-level", "warning", "--no-access-log"]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "tests.bench.health:bare", "--port", str(port), *quiet], cwd=ROOT
    )
    try:
        with _asking(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _asking(url: str) -> Iterator[httpx.Client]:
    """Over one kept connection, once it answers."""
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
        eventually(lambda: _answers(client), within_s=60)
        yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return bool(client.get("/health").json()["status"] == "healthy")
    except (httpx.TransportError, ValueError, KeyError):
        return False
