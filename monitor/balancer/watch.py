"""The balancer as its clients and its own statistics see it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from monitor.balancer.access_log import AccessLog
from monitor.balancer.place import WILDCARDS, balancer_target
from monitor.balancer.process import BalancerProcesses, Usage
from monitor.balancer.servers import CsvHistory, of_haproxy, of_nginx
from monitor.balancer.stats import (
    HAPROXY_INFO_PATH,
    HaproxyCsv,
    NginxStatus,
    NotStats,
    ProcessInfo,
    Reader,
    Stats,
    show_info,
)
from monitor.clock import Clock, utc_now
from monitor.fleet import Balancer, BalancerKind, Fleet
from monitor.probe.connection import Target, TrustStore
from monitor.probe.outcome import Reason, Result
from monitor.probe.round import Plan, fetch, probe_once
from monitor.verdict import Outcome, Rule, Standing, heard, in_transition, is_up
from monitor.wire import BalancerServer, BalancerView, ProbeKind, State

READERS: dict[BalancerKind, Reader] = {BalancerKind.nginx: NginxStatus(), BalancerKind.haproxy: HaproxyCsv()}
NO_BACKEND = {502, 503, 504}
LOOPBACK = ("127.", "localhost", "[::1]")


@dataclass
class BalancerWatch:
    """Of one balancer; made anew when the fleet file names another."""

    balancer: Balancer
    standing: Standing = field(default_factory=Standing)
    stats: Stats | None = None
    stats_reason: Reason | None = None
    usage: Usage | None = None
    at: datetime | None = None
    processes: BalancerProcesses = field(default_factory=BalancerProcesses)
    info: ProcessInfo | None = None
    log: AccessLog | None = None
    counted: CsvHistory = field(default_factory=CsvHistory)
    servers: list[BalancerServer] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.log is None and self.balancer.kind is BalancerKind.nginx and self.balancer.access_log is not None:
            self.log = AccessLog(self.balancer.access_log)

    async def look(self, fleet: Fleet, trust: TrustStore, *, rule: Rule, now: Clock = utc_now) -> None:
        """One round: `/health` through the balancer, its statistics, its processes. Never raises for what it meets."""
        target = balancer_target(self.balancer)
        if target is None:
            return
        plan = Plan("balancer", target, fleet.service, fleet.probes.deadline_s)
        result = await probe_once(ProbeKind.health, plan, trust, now=now)
        self.standing = heard(self.standing, _outcome(result), rule)
        stats = await self._read_stats(trust, deadline_s=fleet.probes.deadline_s)
        self.stats, self.stats_reason = (None, stats) if isinstance(stats, Reason) else (stats, None)
        self.usage = await asyncio.to_thread(self._usage) if self._is_here() else None
        self.info = await self._read_info(trust, deadline_s=fleet.probes.deadline_s)
        self.servers = await self._read_servers(fleet, now())
        self.at = now()

    async def _read_servers(self, fleet: Fleet, now: datetime) -> list[BalancerServer]:
        if self.balancer.kind is BalancerKind.haproxy:
            if self.stats is not None:
                self.counted.add(self.stats.servers, now)
            return of_haproxy(self.counted, self.stats, fleet.backends) if self.stats else []
        if self.log is None or not self._is_here():
            return []
        return await asyncio.to_thread(_logged, self.log, fleet, now)

    async def _read_info(self, trust: TrustStore, *, deadline_s: float) -> ProcessInfo | None:
        """HAProxy's word on its own process, where its exporter is compiled in."""
        if self.balancer.kind is not BalancerKind.haproxy or self.balancer.stats_address is None or self.stats is None:
            return None
        address = self.balancer.stats_address
        got = await fetch(HAPROXY_INFO_PATH, Target(address, address, address, tls=False), trust, deadline_s=deadline_s)
        try:
            return None if isinstance(got, Reason) or got[0] != 200 else show_info(got[1].decode("utf-8", "replace"))
        except NotStats:
            return None

    async def _read_stats(self, trust: TrustStore, *, deadline_s: float) -> Stats | Reason | None:
        if self.balancer.stats_address is None:
            return None
        reader = READERS[self.balancer.kind]
        address = self.balancer.stats_address
        got = await fetch(reader.path, Target(address, address, address, tls=False), trust, deadline_s=deadline_s)
        if isinstance(got, Reason):
            return got
        status, body = got
        try:
            return reader.read(body.decode("utf-8", "replace")) if status == 200 else Reason(f"APP.STATUS.{status}", "statistics")
        except NotStats as error:
            return Reason("APP.BODY", str(error))

    def _usage(self) -> Usage | None:
        return self.processes.usage(self.balancer.kind, int(self.balancer.listen.rpartition(":")[2]))

    def _is_here(self) -> bool:
        """Whether it may run on this machine; another one's port number says nothing about our processes."""
        stats = self.balancer.stats_address or ""
        return self.balancer.listen.startswith((*LOOPBACK, *WILDCARDS)) or stats.startswith(LOOPBACK)

    def close(self) -> None:
        """Let go of its log."""
        if self.log is not None:
            self.log.close()

    def interval_s(self, fleet: Fleet, rule: Rule) -> float:
        return fleet.probes.fast_interval_s if in_transition(self.standing.health, rule) else fleet.probes.interval_s

    def opinion(self, name: str, address: str) -> str | None:
        """What the balancer thinks of one backend; None where it does not say."""
        opinions: Mapping[str, str] = self.stats.opinions if self.stats else {}
        return opinions.get(name) or opinions.get(address)

    def view(self, rule: Rule) -> BalancerView:
        up = is_up(self.standing.health, rule)
        failure = self.standing.failure
        return BalancerView(
            kind=self.balancer.kind,
            strategy=self.balancer.strategy,
            url=self.balancer.url,
            state=State.unknown if up is None else State.up if up else State.down,
            reason=failure.reason if failure and not up else None,
            connections=self.stats.connections if self.stats else None,
            cpu_percent=self.usage.cpu_percent if self.usage else self.info.cpu_percent if self.info else None,
            memory_bytes=self.usage.memory_bytes if self.usage else self.info.pool_bytes if self.info else None,
            at=self.at,
            servers=self.servers,
            traffic_reason=self._traffic_reason(),
        )

    def _traffic_reason(self) -> str | None:
        if self.balancer.kind is BalancerKind.haproxy:
            return self.stats_reason.detail if self.stats_reason else None
        if self.balancer.kind is BalancerKind.nginx and self.log is None:
            return "the fleet file names no access_log of the balancer"
        return self.log.reason if self.log else None


def _logged(log: AccessLog, fleet: Fleet, now: datetime) -> list[BalancerServer]:
    log.look()
    return of_nginx(log, fleet.backends, now) if log.reason is None else []


def _outcome(result: Result) -> Outcome:
    """A gateway error is the balancer's own: it lives, and reaches no backend."""
    outcome = result.outcome
    if result.status in NO_BACKEND and outcome.reason == f"APP.STATUS.{result.status}":
        return replace(outcome, reason="LB.NO_BACKEND", detail=f"the balancer answers {result.status}: it reaches no backend")
    return outcome
