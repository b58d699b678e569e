"""`/health` of a real backend process beside a bare Starlette handler on the same uvicorn, asked over one kept connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.bench.measure import Benchmark, Setting, compared, seconds
from tests.system.kills import free_port
from tests.system.running_fleet import ROOT, eventually

REQUESTS = 300


async def _bare(_: Request) -> JSONResponse:
    return JSONResponse({"status": "healthy", "time": time.time()})


bare = Starlette(routes=[Route("/health", _bare)])


def health(setting: Setting) -> Iterator[Benchmark]:
    folder = setting.folder
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BACKEND_")},
        "BACKEND_DATABASE_URL": f"sqlite:///{folder / 'bench.db'}",
        "BACKEND_MASTER_KEY_FILE": str(folder / "bench.key"),
        "BACKEND_LOG_DIR": str(folder),
        "BACKEND_DRAIN_S": "0",
    }
    subprocess.run([sys.executable, "-m", "backend", "migrate"], cwd=ROOT, env=environment, check=True, capture_output=True)
    ports = free_port(), free_port()
    ours = [sys.executable, "-m", "backend", "serve", "--port", str(ports[0])]
    peer = [
        sys.executable,
        "-m",
        "uvicorn",
        "tests.bench.health:bare",
        "--port",
        str(ports[1]),
        "--log-level",
        "warning",
        "--no-access-log",
    ]
    with _served(ours, ports[0], environment) as mine, _served(peer, ports[1], environment) as peers:
        yield compared(
            "/health, one client",
            lambda: _rate(mine),
            lambda: _rate(peers),
            unit="requests/s",
            peer="bare Starlette handler",
            aim="≥ 0.7",
            rounds=setting.rounds,
        )


def _rate(client: httpx.Client) -> float:
    return REQUESTS / seconds(lambda: [client.get("/health") for _ in range(REQUESTS)])


@contextmanager
def _served(command: list[str], port: int, environment: dict[str, str]) -> Iterator[httpx.Client]:
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            eventually(lambda: _answers(client), within_s=60)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: httpx.Client) -> bool:
    try:
        return json.loads(client.get("/health").content)["status"] == "healthy"
    except (httpx.TransportError, ValueError, KeyError):
        return False
