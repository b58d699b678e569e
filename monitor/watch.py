"""The fleet as the monitor knows it at this moment: rounds come in, verdicts and rows to store come out.

Lives in the event loop's thread. It reads no network; the time comes from its clock.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from monitor import fleet, wire
from monitor.backend_watch import BackendWatch, rule_of
from monitor.clock import Clock, utc_now
from monitor.drain import Intent, Left, left_without
from monitor.drift import DriftWatch
from monitor.load import Increment
from monitor.probe.outcome import Reason, Round
from monitor.rows import sample_row, state_row, take_up
from monitor.shared_answer import SharedAnswer
from monitor.store.history import Batch
from monitor.store.tables import BackendState, Event
from monitor.verdict import Rule, Standings, Verdict, adapted
from monitor.wire import ProbeKind, State

log = logging.getLogger(__name__)

# Each round may change what the fleet says; a look at all of it takes longer the larger it is.
COMPARE_EVERY = timedelta(seconds=1)
LOOPBACK_BROKEN = Reason("MON.LOOPBACK", "the monitor's own loopback does not work: what it sees says nothing about the fleet")


class FleetWatch:
    """All backends of the present fleet file, and what is still to be written."""

    def __init__(
        self,
        described: fleet.Fleet,
        *,
        own_connectivity: Callable[[], Awaitable[bool]],
        way_out: Callable[[], Awaitable[Reason | None]] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """`own_connectivity`: does the monitor's loopback work? `way_out`: what is wrong with its way to the others?"""
        self.fleet = described
        self.fleet_error: str | None = None
        self.backends = {spec.name: BackendWatch(spec) for spec in described.backends}
        self.certificates: dict[str, wire.Certificate] = {}
        self._own_connectivity = own_connectivity
        self._way_out = way_out
        # Of a large fleet hundreds seem gone at once: what the monitor is short of must not go into asking that often.
        self._own = SharedAnswer(self._own_fault)
        self._clock = clock
        self._batch = Batch()
        self._drift = DriftWatch()
        self._drifted: list[wire.DriftFinding] = []
        self._compared_at: datetime | None = None

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
            if name in rows:
                take_up(backend, rows[name], self.rule)
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
        self.compare(self._clock())
        self._note(backend, old, heard_now, increment)

    async def _fault_behind(self, heard_now: Round) -> Reason | None:
        """When more than half of the fleet seems gone, the monitor suspects itself first."""
        if not heard_now.failed_without_answer:
            return None
        gone = sum(backend.unreached for backend in self.backends.values())
        if gone * 2 <= len(self.backends):
            return None
        return await self._own.answer()

    async def _own_fault(self) -> Reason | None:
        if not await self._own_connectivity():
            return LOOPBACK_BROKEN
        return await self._way_out() if self._way_out is not None else None

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
        self._batch.states[name] = state_row(backend)
        valid_s = backend.valid_s(self.fleet.probes)
        self._batch.samples.append(sample_row(backend, heard_now, increment, valid_s=valid_s))

    def left_without(self, name: str) -> Left:
        """Who would serve without this one: fresh, in service, and meant to get requests."""
        now = self._clock()
        serving = [n for n, one in self.backends.items() if one.eligible() and not one.stale(self.fleet.probes, now)]
        return left_without(name, serving, total=len(self.backends))

    def set_drain(self, name: str, intent: Intent | None) -> None:
        """Remember that it shall be out of service, or no longer; stored with the next batch.

        One that left the fleet file while somebody waited has nothing to be remembered of.
        """
        backend = self.backends.get(name)
        if backend is None:
            return
        backend.drain = intent
        self._batch.states[name] = state_row(backend)

    def compare(self, now: datetime) -> list[wire.DriftFinding]:
        """Drift among those that are alive: what a dead one last said is none. Looked at anew at most once a second."""
        if self._compared_at is not None and timedelta(0) <= now - self._compared_at < COMPARE_EVERY:
            return self._drifted
        self._compared_at = now
        alive = (
            one
            for one in self.backends.values()
            if one.verdict.state not in (State.down, State.unknown) and not one.stale(self.fleet.probes, now)
        )
        self._drifted = self._drift.look([one.said() for one in alive], now, roll_grace_s=self.fleet.drift.roll_grace_s)
        return self._drifted

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
