"""From what the monitor knows at this moment to the facts that the rules look at. Runs in the event loop; reads no network."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor import views
from monitor.alerts.client_errors import ClientErrors
from monitor.alerts.facts import (
    BackendFacts,
    BalancerFacts,
    CertificateFacts,
    DriftFacts,
    Finding,
    FindingKind,
    SyntheticFacts,
    Traffic,
)
from monitor.backend_watch import BackendWatch
from monitor.balancer.watch import BalancerWatch
from monitor.distribution.watch import WINDOW_S as JUDGED_S
from monitor.distribution.watch import DistributionWatch
from monitor.fleet import BalancerKind
from monitor.load import LoadHistory
from monitor.synthetic.watch import SyntheticWatch
from monitor.verdict import is_up
from monitor.watch import FleetWatch
from monitor.wire import DriftKind
from monitor.wire import FindingKind as Found

WINDOW_S = 300.0
BEFORE_S = 3600.0
# A scrape this much older than the usual distance says nothing of now.
FRESH = timedelta(seconds=60)
# Opinions are compared over a window of a minute, and must differ for another one: no need to look each second.
COMPARED_EVERY = timedelta(seconds=5)
# Windows are judged one after the other: with a third one overdue, what was found says nothing of now.
JUDGED_LATELY = timedelta(seconds=3 * JUDGED_S)
FINDINGS = {
    Found.unfair_share: (FindingKind.uneven, "LB.UNEVEN"),
    Found.fleet_share: (FindingKind.uneven, "LB.UNEVEN"),
    Found.sinkhole: (FindingKind.sinkhole, "APP.SINKHOLE"),
    Found.errors: (FindingKind.outlier, "APP.ERRORS"),
    Found.fleet_errors: (FindingKind.outlier, "APP.ERRORS"),
    Found.latency: (FindingKind.outlier, "APP.SLOW"),
    Found.fleet_latency: (FindingKind.outlier, "APP.SLOW"),
    Found.decision_mix: (FindingKind.outlier, "APP.DECISION_MIX"),
    Found.fleet_mix: (FindingKind.outlier, "APP.DECISION_MIX"),
}


class Reader:
    """Keeps what the watch itself does not count, 4xx answers, and who disagreed when it was last looked at."""

    def __init__(self) -> None:
        self._disagree: dict[str, str | None] = {}
        self._compared_at: datetime | None = None
        self._client_errors: dict[str, ClientErrors] = {}

    def backends(self, watch: FleetWatch, balancer: BalancerWatch, now: datetime) -> tuple[BackendFacts, ...]:
        """In the order of the fleet file."""
        late = _late_galleries(watch, now)
        disagree = self._disagreements(watch, balancer, now)
        self._client_errors = {name: self._client_errors.get(name) or ClientErrors(keep_s=WINDOW_S) for name in watch.backends}
        return tuple(
            self._backend(watch, one, disagreement=disagree.get(name), behind=late.get(name), now=now)
            for name, one in watch.backends.items()
        )

    def _disagreements(self, watch: FleetWatch, balancer: BalancerWatch, now: datetime) -> dict[str, str | None]:
        if self._compared_at is None or not timedelta(0) <= now - self._compared_at < COMPARED_EVERY:
            self._disagree, self._compared_at = views.disagreements(watch, balancer, now=now), now
        return self._disagree

    def _backend(
        self, watch: FleetWatch, one: BackendWatch, *, disagreement: str | None, behind: str | None, now: datetime
    ) -> BackendFacts:
        name, last = one.spec.name, one.history.last
        if last is not None:
            self._client_errors[name].add(last)
        fresh = last is not None and now - last.at <= FRESH
        load = one.history.over(WINDOW_S, now)
        return BackendFacts(
            name=name,
            state=one.verdict.state,
            stale=one.stale(watch.fleet.probes, now),
            admin_state=one.admin_state,
            reason=one.verdict.reason,
            detail=one.verdict.detail,
            flapping=one.flapping,
            monitor_fault=one.monitor_fault.code if one.monitor_fault else None,
            disagreement=disagreement,
            traffic=_traffic(one.history, self._client_errors[name].over_window(now), now) if fresh else None,
            requests_before=_before(one.history, now),
            connections=last.connections if last and fresh else None,
            in_flight=load.latency_sum_s / load.covered_s if load and fresh and load.covered_s > 0 else None,
            model_id=last.model_id if last else None,
            version=last.version if last else None,
            review_threshold=last.review_threshold if last else None,
            behind=behind,
        )


def certificates(watch: FleetWatch) -> tuple[CertificateFacts, ...]:
    return tuple(
        CertificateFacts(
            name=one.name,
            endpoint=one.endpoint,
            state=one.state,
            reason=one.reason,
            detail=one.detail,
            fingerprint=one.fingerprint_sha256,
            server_name=one.server_name,
            is_backend=one.name in watch.backends,
        )
        for one in watch.certificates.values()
    )


def balancer_facts(watch: FleetWatch, balancer: BalancerWatch) -> BalancerFacts | None:
    """None where the fleet has none."""
    if watch.fleet.balancer.kind is BalancerKind.none:
        return None
    up = is_up(balancer.standing.health, watch.rule)
    failure, usage = balancer.standing.failure, balancer.usage
    return BalancerFacts(
        failed=None if up is None else not up,
        reason=failure.reason if failure else None,
        detail=failure.detail if failure else None,
        stats_reason=balancer.stats_reason.code if balancer.stats_reason else None,
        cpu_percent=usage.cpu_percent if usage else None,
        memory_mb=usage.memory_bytes / 2**20 if usage and usage.memory_bytes is not None else None,
    )


def findings(distribution: DistributionWatch, now: datetime) -> tuple[Finding, ...] | None:
    """What the load's judges found; None before they have judged, and when that is long ago."""
    if distribution.judged_at is None or now - distribution.judged_at > JUDGED_LATELY:
        return None
    return tuple(
        Finding(FINDINGS[one.kind][0], one.backend or "fleet", one.sentence, FINDINGS[one.kind][1])
        for one in distribution.findings
    )


def drift(watch: FleetWatch, now: datetime) -> tuple[DriftFacts, ...]:
    return tuple(DriftFacts(one.kind, one.sentence, one.code) for one in watch.compare(now))


def synthetic(found: SyntheticWatch) -> tuple[SyntheticFacts, ...]:
    return tuple(SyntheticFacts(one.through, one.pair, one.passed, one.reason, one.detail) for one in found.results())


def _traffic(history: LoadHistory, client_errors: int | None, now: datetime) -> Traffic | None:
    found = history.over(WINDOW_S, now)
    if found is None:
        return None
    p95 = found.latency.quantile(0.95)
    return Traffic(found.requests, found.errors, None if p95 is None else p95 * 1000, client_errors)


def _before(history: LoadHistory, now: datetime) -> int | None:
    found, lately = history.over(BEFORE_S, now), history.over(WINDOW_S, now)
    return None if found is None else found.requests - (lately.requests if lately else 0)


def _late_galleries(watch: FleetWatch, now: datetime) -> dict[str, str]:
    """By backend, of those that are alive."""
    found = (one for one in watch.compare(now) if one.kind is DriftKind.gallery_seq)
    return {name: one.sentence for one in found for name in one.backends}
