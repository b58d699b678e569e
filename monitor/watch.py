"""The fleet as the monitor knows it at this moment: rounds come in, verdicts and rows to store come out.

Lives in the event loop's thread. It reads no network; the time comes from its clock.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitor import fleet, wire
from monitor.clock import Clock, utc_now
from monitor.flapping import STATES, is_flapping
from monitor.load import Increment, LoadHistory
from monitor.probe.outcome import Reason, Result, Round
from monitor.store.history import Batch
from monitor.store.tables import BackendState, Event, Sample
from monitor.verdict import (
    DRAINING,
    Outcome,
    Readiness,
    Rule,
    Speed,
    Standing,
    Standings,
    Verdict,
    adapted,
    heard,
    is_stale,
    judge,
    speed,
)
from monitor.wire import AdminState, ProbeKind, State

log = logging.getLogger(__name__)

LOOPBACK_BROKEN = Reason("MON.LOOPBACK", "the monitor's own loopback does not work: what it sees says nothing about the fleet")


@dataclass
class BackendWatch:
    """One backend. `verdict` is what was last judged; `results` the last outcome of each kind."""

    spec: fleet.Backend
    standings: Standings = field(default_factory=Standings)
    readiness: Readiness = field(default_factory=Readiness)
    verdict: Verdict = field(default_factory=lambda: Verdict(State.unknown))
    since: datetime | None = None
    last_sample_at: datetime | None = None
    results: dict[ProbeKind, Result] = field(default_factory=dict)
    history: LoadHistory = field(default_factory=LoadHistory)
    scrape_reason: Reason | None = None
    monitor_fault: Reason | None = None
    unreached: bool = False
    answering_since: datetime | None = None
    states: deque[str] = field(default_factory=lambda: deque(maxlen=STATES))
    flapping: bool = False
    seqs: deque[tuple[datetime, int]] = field(default_factory=lambda: deque(maxlen=2))

    @property
    def admin_state(self) -> AdminState:
        return AdminState.draining if self.verdict.reason == DRAINING else AdminState.active

    def standing(self, kind: ProbeKind) -> Standing:
        standing: Standing = getattr(self.standings, kind.value)
        return standing

    def eligible(self) -> bool:
        """Whether clients' requests are meant to reach it."""
        return self.verdict.state in (State.up, State.degraded) and self.admin_state is AdminState.active

    def interval_s(self, probes: fleet.Probes) -> float:
        """Which of the three speeds is in force."""
        speeds = {Speed.fast: probes.fast_interval_s, Speed.normal: probes.interval_s, Speed.down: probes.down_interval_s}
        return speeds[speed(self.standings, rule_of(probes))]

    def stale(self, probes: fleet.Probes, now: datetime) -> bool:
        return is_stale(self.last_sample_at, now, interval_s=self.interval_s(probes), deadline_s=probes.deadline_s)

    def running_s(self, now: datetime) -> float | None:
        """How long its process runs: by its own metrics, else since it answers."""
        last = self.history.last
        started = self.answering_since
        # A scrape from before it last fell silent may be of an earlier process.
        if last is not None and last.process_started_at is not None and started is not None and last.at >= started:
            started = last.process_started_at
        return None if started is None else (now - started).total_seconds()

    def hear(self, heard_now: Round, probes: fleet.Probes) -> Increment | None:
        """Take in a round that has a verdict: standings, facts of readiness, load; then judge."""
        rule = rule_of(probes)
        self.results = dict(heard_now.results)
        self.monitor_fault = None
        self.standings = Standings(*(heard(self.standing(k), heard_now.results[k].outcome, rule) for k in ProbeKind))
        self.readiness = heard_now.results[ProbeKind.ready].readiness or self.readiness
        self._note_answering(heard_now)
        self.last_sample_at = heard_now.at
        new = self._take_load(heard_now)
        running = self.running_s(heard_now.at)
        self.verdict = judge(self.standings, self.readiness, rule, running_s=running, start_budget_s=probes.start_budget_s)
        self.states.append(self.verdict.state)
        self.flapping = is_flapping(self.states, was=self.flapping)
        return new

    def _note_answering(self, heard_now: Round) -> None:
        if heard_now.results[ProbeKind.live].reason is not None:
            self.answering_since = None
        elif self.answering_since is None:
            self.answering_since = heard_now.at

    def _take_load(self, heard_now: Round) -> Increment | None:
        self.scrape_reason = heard_now.scrape_reason
        if heard_now.scrape is None:
            return None
        if heard_now.scrape.seq is not None:
            self.seqs.append((heard_now.scrape.at, heard_now.scrape.seq))
        return self.history.add(heard_now.scrape)


def rule_of(probes: fleet.Probes) -> Rule:
    return Rule(rise=probes.rise, fall=probes.fall)


class FleetWatch:
    """All backends of the present fleet file, and what is still to be written."""

    def __init__(
        self, described: fleet.Fleet, *, own_connectivity: Callable[[], Awaitable[bool]], clock: Clock = utc_now
    ) -> None:
        self.fleet = described
        self.fleet_error: str | None = None
        self.backends = {spec.name: BackendWatch(spec) for spec in described.backends}
        self.certificates: dict[str, wire.Certificate] = {}
        self._own_connectivity = own_connectivity
        self._clock = clock
        self._batch = Batch()

    @property
    def rule(self) -> Rule:
        return rule_of(self.fleet.probes)

    def now(self) -> datetime:
        return self._clock()

    def adopt(self, described: fleet.Fleet) -> None:
        """Watch another fleet. Who is still the same target keeps what is known of it."""
        old, rule = self.backends, rule_of(described.probes)
        self.fleet, self.fleet_error = described, None
        self.backends = {}
        for spec in described.backends:
            known = old.get(spec.name)
            if known is None or not _same_target(known.spec, spec):
                known = BackendWatch(spec)
            known.spec = spec
            known.standings = Standings(*(adapted(known.standing(kind), rule) for kind in ProbeKind))
            self.backends[spec.name] = known

    def restore(self, rows: Mapping[str, BackendState], certificates: Mapping[str, wire.Certificate]) -> None:
        """What was known before a restart: shown as it was, and as stale until a fresh sample comes."""
        for name, backend in self.backends.items():
            row = rows.get(name)
            if row is None or row.standings.get("address") != backend.spec.address:
                continue
            backend.standings = Standings(
                *(adapted(_standing_from(row.standings.get(kind.value)), self.rule) for kind in ProbeKind)
            )
            backend.verdict = Verdict(State(row.state), row.reason, row.detail)
            backend.since, backend.last_sample_at = row.since, row.last_sample_at
        self.certificates = dict(certificates)

    async def hear(self, heard_now: Round, spec: fleet.Backend) -> None:
        """Judge a round of `spec`, unless the fault is the monitor's own, or the fleet file changed meanwhile."""
        backend = self.backends.get(heard_now.backend)
        if backend is None or not _same_target(backend.spec, spec):
            return
        backend.unreached = heard_now.failed_without_answer
        fault = heard_now.monitor_fault or await self._fault_behind(heard_now)
        if fault is not None:
            backend.monitor_fault = fault
            log.warning("no verdict on %s: %s %s", heard_now.backend, fault.code, fault.detail)
            return
        old = backend.verdict
        increment = backend.hear(heard_now, self.fleet.probes)
        self._note(backend, old, heard_now, increment)

    async def _fault_behind(self, heard_now: Round) -> Reason | None:
        """When more than half of the fleet seems gone, the monitor suspects itself first."""
        gone = sum(backend.unreached for backend in self.backends.values())
        if not heard_now.failed_without_answer or gone * 2 <= len(self.backends):
            return None
        return None if await self._own_connectivity() else LOOPBACK_BROKEN

    def _note(self, backend: BackendWatch, old: Verdict, heard_now: Round, increment: Increment | None) -> None:
        new, name = backend.verdict, backend.spec.name
        if new.state is not old.state:
            # The moment of the verdict, not of the round's begin: events stand in the order of their ids.
            now = self._clock()
            backend.since = now
            log.info("%s: %s -> %s %s", name, old.state, new.state, new.reason or "")
            self._batch.events.append(
                Event(at=now, backend=name, old=old.state, new=new.state, reason=new.reason, detail=new.detail)
            )
        self._batch.states[name] = _row(backend)
        self._batch.samples.append(_sample(backend, heard_now, increment))

    def note_certificate(self, found: wire.Certificate) -> None:
        self.certificates[found.name] = found
        self._batch.certificates[found.name] = found

    def keep_certificates(self, names: set[str]) -> None:
        """Forget those that the fleet file no longer asks for."""
        self.certificates = {name: found for name, found in self.certificates.items() if name in names}
        self._batch.certificate_names = names

    def take_batch(self) -> Batch:
        batch, self._batch = self._batch, Batch()
        return batch

    def give_back(self, batch: Batch, *, most_samples: int = 50_000) -> None:
        """What could not be written goes before what came since; samples alone are given up when they become too many."""
        newer, self._batch = self._batch, batch
        batch.states |= newer.states
        batch.events += newer.events
        batch.samples = (batch.samples + newer.samples)[-most_samples:]
        batch.certificates |= newer.certificates
        batch.certificate_names = newer.certificate_names or batch.certificate_names


def _same_target(a: fleet.Backend, b: fleet.Backend) -> bool:
    return (a.url, a.address, a.server_name) == (b.url, b.address, b.server_name)


def _row(backend: BackendWatch) -> BackendState:
    standings: dict[str, Any] = {kind.value: _standing_to(backend.standing(kind)) for kind in ProbeKind}
    return BackendState(
        name=backend.spec.name,
        state=backend.verdict.state,
        since=backend.since,
        reason=backend.verdict.reason,
        detail=backend.verdict.detail,
        last_sample_at=backend.last_sample_at,
        standings=standings | {"address": backend.spec.address},
    )


def _sample(backend: BackendWatch, heard_now: Round, increment: Increment | None) -> Sample:
    live = heard_now.results[ProbeKind.live]
    return Sample(
        at=heard_now.at,
        backend=backend.spec.name,
        state=backend.verdict.state,
        up=backend.verdict.state is State.up,
        probe_ms=live.latency_ms if live.reason is None else None,
        requests=increment.requests if increment else None,
        errors=increment.errors if increment else None,
        latency=increment.latency.to_pairs() if increment else None,
    )


def _standing_to(standing: Standing) -> dict[str, Any]:
    failure = standing.failure
    return {
        "health": standing.health,
        "failing": standing.failing,
        "failure": [failure.reason, failure.detail] if failure else None,
    }


def _standing_from(stored: Any) -> Standing:
    if not isinstance(stored, dict):
        return Standing()
    failure = stored.get("failure")
    return Standing(
        health=stored.get("health"),
        failing=bool(stored.get("failing")),
        failure=Outcome(False, failure[0], failure[1]) if failure else None,
    )
