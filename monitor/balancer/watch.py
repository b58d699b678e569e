"""The balancer as its clients and its own statistics see it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from monitor.balancer.place import WILDCARDS, balancer_target
from monitor.balancer.process import BalancerProcesses, Usage
from monitor.balancer.stats import HaproxyCsv, NginxStatus, NotStats, Reader, Stats
from monitor.clock import Clock, utc_now
from monitor.fleet import Balancer, BalancerKind, Fleet
from monitor.probe.connection import Target, TrustStore
from monitor.probe.outcome import Reason, Result
from monitor.probe.round import Plan, fetch, probe_once
from monitor.verdict import Outcome, Rule, Standing, heard, in_transition, is_up
from monitor.wire import BalancerView, ProbeKind, State

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
        self.at = now()

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
            cpu_percent=self.usage.cpu_percent if self.usage else None,
            memory_bytes=self.usage.memory_bytes if self.usage else None,
            at=self.at,
        )


def _outcome(result: Result) -> Outcome:
    """A gateway error is the balancer's own: it lives, and reaches no backend."""
    outcome = result.outcome
    if result.status in NO_BACKEND and outcome.reason == f"APP.STATUS.{result.status}":
        return replace(outcome, reason="LB.NO_BACKEND", detail=f"the balancer answers {result.status}: it reaches no backend")
    return outcome
