"""Each server as its balancer sees it: the balancer's opinion, and the traffic that it really sent there.

nginx' comes out of its access log; HAProxy's are the counters of its CSV, as differences over the window.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.balancer.access_log import AccessLog
from monitor.balancer.stats import Server, Stats
from monitor.fleet import Backend
from monitor.tally import Tally
from monitor.wire import BalancerServer

WINDOW_S = 60.0


@dataclass(frozen=True)
class _Look:
    at: datetime
    servers: Mapping[str, Server]


class CsvHistory:
    """HAProxy's counters over the last window, by server name and address."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()

    def add(self, servers: Mapping[str, Server], at: datetime) -> None:
        self._looks.append(_Look(at, servers))
        while len(self._looks) > 2 and self._looks[1].at <= at - timedelta(seconds=WINDOW_S):
            self._looks.popleft()

    def over(self, name: str) -> tuple[Server, float] | None:
        """What came since the oldest look, and how many seconds ago that was; a counter that went back began anew."""
        looks = [(look.at, look.servers[name]) for look in self._looks if name in look.servers]
        if len(looks) < 2:
            return None
        came = Server(connections=looks[-1][1].connections)
        for (_, before), (_, after) in itertools.pairwise(looks):
            came = came.plus(after.since(before))
        return came, (looks[-1][0] - looks[0][0]).total_seconds()


def of_haproxy(history: CsvHistory, stats: Stats | None, backends: Sequence[Backend]) -> list[BalancerServer]:
    """In the order of the fleet file."""
    known = stats.servers if stats else {}
    came = {one.name: history.over(_key(known, one)) for one in backends}
    total = sum(found[0].requests for found in came.values() if found)
    return [_from_csv(one, known.get(_key(known, one)), came[one.name], total, stats) for one in backends]


def _key(known: Mapping[str, Server], backend: Backend) -> str:
    return backend.name if backend.name in known else backend.address


def _from_csv(
    backend: Backend, now: Server | None, came: tuple[Server, float] | None, total: int, stats: Stats | None
) -> BalancerServer:
    opinions = stats.opinions if stats else {}
    opinion = opinions.get(backend.name) or opinions.get(backend.address)
    served, window_s = came if came else (None, 0.0)
    return BalancerServer(
        name=backend.name,
        source="haproxy_csv",
        opinion=opinion,
        connections=now.connections if now else None,
        window_s=window_s,
        requests=served.requests if served else None,
        share=served.requests / total if served and total else None,
        errors=served.errors if served else None,
        error_ratio=served.errors / served.requests if served and served.requests else None,
        failed_attempts=served.failed_attempts if served else None,
        mean_ms=float(now.response_ms) if now and now.requests else None,
    )


def of_nginx(log: AccessLog, backends: Sequence[Backend], now: datetime) -> list[BalancerServer]:
    """In the order of the fleet file. Open-source nginx has no opinion to show: `opinion` is null."""
    end = now.replace(microsecond=0)
    start = end - timedelta(seconds=WINDOW_S)
    served, repeated = log.between(start, end), log.repeated(start, end)
    tallies = {one.name: Tally.merged(served[one.address].routes.values()) for one in backends if one.address in served}
    total = sum(tally.requests for tally in tallies.values())
    return [_from_log(one, tallies.get(one.name, Tally()), repeated.get(one.address, 0), total) for one in backends]


def _from_log(backend: Backend, tally: Tally, failed_attempts: int, total: float) -> BalancerServer:
    requests = round(tally.requests)
    p50, p95, p99 = (tally.latency.quantile(q) for q in (0.5, 0.95, 0.99))
    return BalancerServer(
        name=backend.name,
        source="nginx_log",
        window_s=WINDOW_S,
        requests=requests,
        share=requests / total if total else None,
        errors=round(tally.errors),
        error_ratio=tally.errors / requests if requests else None,
        failed_attempts=failed_attempts,
        mean_ms=_ms(tally.latency_sum_s / requests if requests else None),
        p50_ms=_ms(p50),
        p95_ms=_ms(p95),
        p99_ms=_ms(p99),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
