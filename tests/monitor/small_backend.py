"""A small real server that answers as a backend does: for tests that start, freeze and kill a process.

`python -m tests.monitor.small_backend --name b1 --port 0 --facts FILE [--cert PEM --key PEM]` prints its port and serves.
FILE (JSON) says what it tells of itself, and is read for each answer, so that a test changes it while the server runs:
`{"database": true, "ever_ready": true, "failing": ["gallery"], "warning": [], "model_id": "…"}`.
"""

from __future__ import annotations

import argparse
import json
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

CHECKS = ("database", "schema", "model", "gallery", "inference", "resources", "draining")


class SmallBackend:
    """Its routes; `/v1/detect` is the client route that is counted, and answers with the status in its query."""

    def __init__(self, name: str, facts: Path) -> None:
        self._name, self._facts = name, facts
        self._registry = CollectorRegistry()
        labels = ["method", "route"]
        self._requests = Counter("http_requests", "Client requests.", [*labels, "status"], registry=self._registry)
        self._seconds = Histogram("http_request_duration_seconds", "Client requests.", labels, registry=self._registry)
        self._health = Counter("health_requests", "Health requests.", ["route", "status"], registry=self._registry)
        self._info = Info("face_auth", "Identity.", registry=self._registry)
        self._gauges = {
            key: Gauge(metric, "From the facts.", registry=self._registry)
            for key, metric in {
                "connections": "http_connections",
                "gallery_size": "face_auth_gallery_templates",
                "seq": "face_auth_gallery_seq",
            }.items()
        }
        ProcessCollector(registry=self._registry)
        self._threshold = Gauge("face_auth_threshold", "Thresholds.", ["kind"], registry=self._registry)

    def facts(self) -> dict[str, Any]:
        defaults = {"database": True, "ever_ready": True, "failing": [], "warning": [], "model_id": "m1", "version": "0.1.0"}
        return defaults | {"connections": 3, "gallery_size": 9, "seq": 10, "review": 0.4} | json.loads(self._facts.read_text())

    def app(self) -> Starlette:
        paths = {
            "live": self._live,
            "health": self._healthy,
            "ready": self._ready,
            "metrics": self._metrics,
            "v1/detect": self._detect,
        }
        return Starlette(routes=[Route(f"/{path}", endpoint) for path, endpoint in paths.items()])

    async def _live(self, request: Request) -> Response:
        self._health.labels("/live", "200").inc()
        return JSONResponse({"status": "alive", "timestamp": _now()})

    async def _healthy(self, request: Request) -> Response:
        good = self.facts()["database"]
        body = {
            "status": "healthy" if good else "unhealthy",
            "service": "face-auth-system",
            "version": "0.1.0",
            "timestamp": _now(),
        }
        return JSONResponse(body, 200 if good else 503)

    async def _ready(self, request: Request) -> Response:
        facts = self.facts()
        failing = set(facts["failing"]) | (set() if facts["database"] else {"database"})
        checks = {name: _check("fail" if name in failing else "warn" if name in facts["warning"] else "ok") for name in CHECKS}
        body = {"status": "not_ready" if failing else "ready", "instance": self._name, "version": "0.1.0", "timestamp": _now()}
        return JSONResponse(body | {"ever_ready": facts["ever_ready"], "checks": checks}, 503 if failing else 200)

    async def _detect(self, request: Request) -> Response:
        status = int(request.query_params.get("status", "200"))
        start = time.perf_counter()
        answer = PlainTextResponse("", status)
        self._seconds.labels("GET", "/v1/detect").observe(time.perf_counter() - start)
        self._requests.labels("GET", "/v1/detect", str(status)).inc()
        return answer

    async def _metrics(self, request: Request) -> Response:
        facts = self.facts()
        self._info.info({"version": facts["version"], "engine": "offline", "model_id": facts["model_id"], "instance": self._name})
        self._threshold.labels("review").set(facts["review"])
        for key, gauge in self._gauges.items():
            gauge.set(facts[key])
        return PlainTextResponse(generate_latest(self._registry))


def _check(status: str) -> dict[str, Any]:
    return {"status": status, "latency_ms": 0.1, "detail": f"it is {status}"}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--facts", type=Path, required=True)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    given = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", given.port))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        SmallBackend(given.name, given.facts).app(), log_level="error", ssl_certfile=given.cert, ssl_keyfile=given.key
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
