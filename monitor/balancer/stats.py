"""What nginx' stub_status and HAProxy's CSV say, as one small value; pure parsing."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

NGINX_PATH = "/nginx-status"
HAPROXY_PATH = "/stats;csv"
HAPROXY_INFO_PATH = "/metrics?scope=global"


@dataclass(frozen=True)
class Server:
    """HAProxy's counters of one server since its start; `connections` (open now) and `response_ms` (mean of the last 1,024) are
    gauges. `failed_attempts`: connections that failed, and answers that broke off; the client may have got another's."""

    connections: int = 0
    requests: int = 0
    errors: int = 0
    failed_attempts: int = 0
    response_ms: int = 0

    def since(self, before: Server) -> Server:
        """A counter that went back began anew: what it shows came since."""
        if self.requests < before.requests:
            return self
        return Server(
            self.connections,
            self.requests - before.requests,
            max(0, self.errors - before.errors),
            max(0, self.failed_attempts - before.failed_attempts),
            self.response_ms,
        )

    def plus(self, more: Server) -> Server:
        return Server(
            more.connections,
            self.requests + more.requests,
            self.errors + more.errors,
            self.failed_attempts + more.failed_attempts,
            more.response_ms,
        )


@dataclass(frozen=True)
class Stats:
    """`opinions`: what the balancer thinks of each of its servers (``up down drain maint``), by server name and by address."""

    connections: int | None
    opinions: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, Server] = field(default_factory=dict)
    """by name and by address, as far as this kind tells"""


@dataclass(frozen=True)
class ProcessInfo:
    """HAProxy's `show info`, as its exporter gives it: what its own process says where nobody may look at it from outside.

    `cpu_percent`: of one thread, 100 less its idle time; `pool_bytes`: what its memory pools use.
    """

    cpu_percent: float | None
    pool_bytes: int | None


def show_info(text: str) -> ProcessInfo:
    """Raises `NotStats`."""
    found = dict(re.findall(r"^(haproxy_process_\w+) ([0-9.e+-]+)$", text, re.MULTILINE))
    if "haproxy_process_idle_time_percent" not in found:
        raise NotStats("this is not `show info` of HAProxy")
    pool = found.get("haproxy_process_pool_used_bytes")
    idle = float(found["haproxy_process_idle_time_percent"])
    return ProcessInfo(round(100 - idle, 1), int(float(pool)) if pool is not None else None)


class NotStats(ValueError):
    """The text is not what this kind of balancer answers."""


class Reader(Protocol):
    """One per kind of balancer."""

    path: str

    def read(self, text: str) -> Stats:
        """Raises `NotStats`."""


class NginxStatus:
    """Seven numbers for the whole process and nothing per upstream: open-source nginx has no opinion to show."""

    path = NGINX_PATH

    def read(self, text: str) -> Stats:
        found = re.search(r"Active connections:\s*(\d+)", text)
        if found is None:
            raise NotStats("this is not nginx' stub_status")
        # The status request itself is one of them.
        return Stats(connections=max(0, int(found.group(1)) - 1))


class HaproxyCsv:
    """CSV rather than its Prometheus output, which takes five times as long."""

    path = HAPROXY_PATH

    def read(self, text: str) -> Stats:
        if not text.startswith("# "):
            raise NotStats("this is not HAProxy's CSV")
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("# "))))
        servers = [row for row in rows if row.get("svname") not in ("FRONTEND", "BACKEND") and row.get("status")]
        # The statistics' own frontend serves no client.
        frontends = [row for row in rows if row.get("svname") == "FRONTEND" and "stats" not in (row.get("pxname") or "")]
        opinions = {row["svname"]: _opinion(row["status"]) for row in servers}
        opinions |= {row["addr"]: _opinion(row["status"]) for row in servers if row.get("addr")}
        counters = {row["svname"]: _server(row) for row in servers}
        counters |= {row["addr"]: _server(row) for row in servers if row.get("addr")}
        return Stats(sum(_int(row, "scur") for row in frontends), opinions, counters)


def _server(row: Mapping[str, str]) -> Server:
    """`stot` counts sessions given to the server, one per request in HTTP mode; retries are in `wretr`, on whichever server."""
    return Server(
        connections=_int(row, "scur"),
        requests=_int(row, "stot"),
        errors=_int(row, "hrsp_5xx"),
        failed_attempts=_int(row, "econ") + _int(row, "eresp"),
        response_ms=_int(row, "rtime"),
    )


def _int(row: Mapping[str, str], name: str) -> int:
    text = row.get(name) or "0"
    return int(text) if text.isdigit() else 0


def _opinion(status: str) -> str:
    """HAProxy writes ``UP``, ``UP 1/3``, ``DOWN``, ``DOWN 1/2``, ``DRAIN``, ``MAINT (via …)``, ``NOLB``, ``no check``."""
    word = status.split()[0].lower()
    return {"nolb": "drain", "no": "up"}.get(word, word)
