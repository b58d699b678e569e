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


@dataclass(frozen=True)
class Stats:
    """`opinions`: what the balancer thinks of each of its servers (``up down drain maint``), by server name and by address."""

    connections: int | None
    opinions: Mapping[str, str] = field(default_factory=dict)


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
        return Stats(sum(int(row.get("scur") or 0) for row in frontends), opinions)


def _opinion(status: str) -> str:
    """HAProxy writes ``UP``, ``UP 1/3``, ``DOWN``, ``DOWN 1/2``, ``DRAIN``, ``MAINT (via …)``, ``NOLB``, ``no check``."""
    word = status.split()[0].lower()
    return {"nolb": "drain", "no": "up"}.get(word, word)
