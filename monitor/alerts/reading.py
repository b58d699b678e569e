"""From what the monitor knows at this moment to the facts that the rules look at. Runs in the event loop; reads no network."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor import views, wire
from monitor.alerts.client_errors import ClientErrors
from monitor.alerts.facts import BackendFacts, BalancerFacts, CertificateFacts, Finding, FindingKind, Traffic
from monitor.backend_watch import BackendWatch
from monitor.balancer.watch import BalancerWatch
from monitor.fleet import BalancerKind
from monitor.load import LoadHistory
from monitor.sentences import Identified, behind
from monitor.verdict import is_up
from monitor.watch import FleetWatch
from monitor.wire import State

WINDOW_S = 300.0
BEFORE_S = 3600.0
# A scrape this much older than the usual distance says nothing of now.
FRESH = timedelta(seconds=60)


class Reader:
    """Keeps what the watch itself does not count: 4xx answers."""

    def __init__(self) -> None:
        self._client_errors: dict[str, ClientErrors] = {}

    def backends(self, watch: FleetWatch, balancer: BalancerWatch, now: datetime) -> tuple[BackendFacts, ...]:
        """In the order of the fleet file."""
        said = {name: _identified(one) for name, one in watch.backends.items() if _is_alive(watch, one, now)}
        shown = views.backend_views(watch, balancer, now=now)
        self._client_errors = {name: self._client_errors.get(name) or ClientErrors(keep_s=WINDOW_S) for name in watch.backends}
        return tuple(self._backend(watch, watch.backends[view.name], view, said, now) for view in shown)

    def _backend(
        self, watch: FleetWatch, one: BackendWatch, view: wire.Backend, said: dict[str, Identified], now: datetime
    ) -> BackendFacts:
        name, last = view.name, one.history.last
        if last is not None:
            self._client_errors[name].add(last)
        fresh = last is not None and now - last.at <= FRESH
        load = one.history.over(WINDOW_S, now)
        return BackendFacts(
            name=name,
            state=view.state,
            stale=view.stale,
            admin_state=view.admin_state,
            reason=view.reason,
            detail=view.detail,
            flapping=view.flapping,
            monitor_fault=view.monitor_fault,
            disagreement=view.disagreement,
            traffic=_traffic(one.history, self._client_errors[name].over_window(now), now) if fresh else None,
            requests_before=_before(one.history, now),
            connections=last.connections if last and fresh else None,
            in_flight=load.latency_sum_s / load.covered_s if load and fresh and load.covered_s > 0 else None,
            model_id=view.identity.model_id,
            version=view.identity.version,
            review_threshold=view.identity.review_threshold,
            behind=behind(said[name], list(said.values())) if name in said else None,
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


def findings(watch: FleetWatch, now: datetime) -> tuple[Finding, ...] | None:
    """What the load's judges found; None where there was too little to judge."""
    load = views.load_view(watch, window_s=WINDOW_S, now=now)
    if load.total_requests == 0:
        return None
    if not load.fairness.flagged:
        return ()
    return (Finding(FindingKind.uneven, "fleet", load.fairness.sentence, "LB.UNEVEN"),)


def _traffic(history: LoadHistory, client_errors: int | None, now: datetime) -> Traffic | None:
    found = history.over(WINDOW_S, now)
    if found is None:
        return None
    p95 = found.latency.quantile(0.95)
    return Traffic(found.requests, found.errors, None if p95 is None else p95 * 1000, client_errors)


def _before(history: LoadHistory, now: datetime) -> int | None:
    found, lately = history.over(BEFORE_S, now), history.over(WINDOW_S, now)
    return None if found is None else found.requests - (lately.requests if lately else 0)


def _is_alive(watch: FleetWatch, one: BackendWatch, now: datetime) -> bool:
    return one.verdict.state not in (State.down, State.unknown) and not one.stale(watch.fleet.probes, now)


def _identified(one: BackendWatch) -> Identified:
    return Identified(one.spec.name, None, None, None, list(one.seqs))
