"""One backend as the monitor knows it at this moment: what it was heard to say, and what follows from that."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from monitor import fleet
from monitor.drain import Intent
from monitor.drift import Said
from monitor.flapping import STATES, is_flapping
from monitor.load import Increment, LoadHistory
from monitor.probe.outcome import Reason, Result, Round
from monitor.probe.scrape import Scrape
from monitor.resources import ResourceHistory, Taken
from monitor.verdict import (
    DRAINING,
    Readiness,
    Rule,
    Speed,
    Standing,
    Standings,
    Verdict,
    heard,
    is_stale,
    judge,
    speed,
    stale_after_s,
)
from monitor.wire import AdminState, ProbeKind, State


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
    resources: ResourceHistory = field(default_factory=ResourceHistory)
    scrape_reason: Reason | None = None
    monitor_fault: Reason | None = None
    unreached: bool = False
    answering_since: datetime | None = None
    states: deque[str] = field(default_factory=lambda: deque(maxlen=STATES))
    flapping: bool = False
    in_maintenance: bool = False
    drain: Intent | None = None
    scores: dict[str, float] = field(default_factory=dict)
    seqs: deque[tuple[datetime, int]] = field(default_factory=lambda: deque(maxlen=2))

    @property
    def admin_state(self) -> AdminState:
        """Maintenance is the monitor's own word, draining the backend's, or what it is about to be told."""
        if self.in_maintenance:
            return AdminState.maintenance
        return AdminState.draining if self.drain is not None or self.verdict.reason == DRAINING else AdminState.active

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

    def valid_s(self, probes: fleet.Probes) -> float:
        """How long its last sample speaks for it: until it would be stale."""
        return stale_after_s(interval_s=self.interval_s(probes), deadline_s=probes.deadline_s)

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

    def said(self) -> Said:
        """What it says it is, for the comparison with the others."""
        last = self.history.last
        if last is None:
            return Said(self.spec.name, scores=self.scores)
        return Said(
            self.spec.name, last.version, last.model_id, last.review_threshold, last.gallery_size, list(self.seqs), self.scores
        )

    def must_be_told(self) -> bool:
        """Whether it shall be out of service, and its last answer says that it is not: it was restarted, or never told."""
        ready = self.results.get(ProbeKind.ready)
        return self.drain is not None and ready is not None and ready.status is not None and _code(ready) != DRAINING

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
        self.resources.add(_taken(heard_now.scrape))
        return self.history.add(heard_now.scrape)


def _taken(scrape: Scrape) -> Taken:
    return Taken(
        scrape.at,
        scrape.resources,
        cpu_percent=None,
        in_flight=scrape.in_flight,
        connections=scrape.connections,
        gallery_size=scrape.gallery_size,
        seq=scrape.seq,
    )


def _code(result: Result) -> str | None:
    return result.reason.code if result.reason else None


def rule_of(probes: fleet.Probes) -> Rule:
    return Rule(rise=probes.rise, fall=probes.fall)
