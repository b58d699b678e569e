"""From what the monitor knows to what its API says: no network, no database, no clock of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor import fairness, sentences, wire
from monitor.backend_watch import BackendWatch
from monitor.balancer.watch import BalancerWatch
from monitor.certificates.judgement import SEVERITY, rotations
from monitor.distribution.watch import DistributionWatch
from monitor.fairness import Served
from monitor.fleet import BalancerKind, Strategy
from monitor.load import Member, loads
from monitor.verdict import is_up, progress
from monitor.watch import FleetWatch
from monitor.wire import ProbeKind

WINDOW_S = 60.0
# From this share of failed requests on, traffic itself says "down".
FAILING_RATIO = 0.5
# So many requests must be expected before their absence says anything.
EXPECTED_AT_LEAST = 20
# Backends are scraped one after another: none of them covers quite the same time.
WHOLE = 0.8


def fleet_view(watch: FleetWatch, balancer: BalancerWatch, *, lateness_s: float, now: datetime) -> wire.FleetView:
    """`GET /v1/fleet`."""
    backends = backend_views(watch, balancer, now=now)
    drifted = watch.compare(now)
    return wire.FleetView(
        items=backends,
        total=len(backends),
        sentence=sentences.of_fleet([sentences.Seen(b.name, b.state, b.stale, b.reason) for b in backends]),
        balancer=balancer.view(watch.rule) if watch.fleet.balancer.kind is not BalancerKind.none else None,
        drift=[one.sentence for one in drifted] + _rotations(watch),
        drift_findings=drifted,
        fail_open=_fail_open(watch, backends, now),
        fleet_error=watch.fleet_error,
        interval_s=watch.fleet.probes.interval_s,
        fall=watch.rule.fall,
        rise=watch.rule.rise,
        at=now,
        lateness_ms=round(lateness_s * 1000, 1),
    )


def _fail_open(watch: FleetWatch, backends: list[wire.Backend], now: datetime) -> str | None:
    """Only of requests that came after the backend fell: those of the same minute before it are nobody's fault."""
    if watch.fleet.balancer.kind is BalancerKind.none or any(one.stale for one in backends):
        return None
    unfit = [one for one in backends if "down" in (one.verdicts["probes"], one.verdicts["readiness"])]
    if len(unfit) < len(backends):
        return None
    served = {one.name: one.load.requests for one in unfit if one.load and _fell_before(one, now - timedelta(seconds=WINDOW_S))}
    return sentences.fail_open({name: count for name, count in served.items() if count}, window_s=WINDOW_S)


def _fell_before(one: wire.Backend, at: datetime) -> bool:
    return one.state is not wire.State.up and one.since is not None and one.since <= at


def backend_views(watch: FleetWatch, balancer: BalancerWatch, *, now: datetime) -> list[wire.Backend]:
    """In the order of the fleet file."""
    load = loads(_members(watch, WINDOW_S, now), window_s=WINDOW_S)
    # Once, not once for each: of a thousand backends that was a million additions, each second, for the alerts alone.
    requests = sum(one.requests for one in load.values())
    return [_backend(watch, one, balancer, _Traffic(load[name], requests), now) for name, one in watch.backends.items()]


@dataclass(frozen=True)
class _Traffic:
    """One backend's load, and the requests of the whole fleet."""

    load: wire.Load
    fleet_total: int


def load_view(watch: FleetWatch, distribution: DistributionWatch, *, window_s: float, now: datetime) -> wire.LoadView:
    """`GET /v1/load`."""
    members = _members(watch, window_s, now)
    shares = loads(members, window_s=window_s)
    served = [
        Served(member.name, member.weight, shares[member.name].requests, shares[member.name].in_flight or 0.0)
        for member in members
        if member.name in _through(watch, members, now)
    ]
    return wire.LoadView(
        window_s=window_s,
        total_requests=sum(load.requests for load in shares.values()),
        shares=shares,
        fairness=fairness.judge(served, kind=watch.fleet.balancer.kind, strategy=watch.fleet.balancer.strategy),
        at=now,
        findings=distribution.views(),
        findings_at=distribution.judged_at,
        decisions=distribution.decisions,
    )


def _through(watch: FleetWatch, members: list[Member], now: datetime) -> set[str]:
    """Who could serve for the whole of what was seen: one that came in the middle has its share to come."""
    seen_s = max((member.sum.covered_s for member in members if member.sum), default=0.0)
    found = set()
    for member in members:
        running_s = watch.backends[member.name].running_s(now)
        whole = member.sum is not None and member.sum.covered_s >= WHOLE * seen_s
        if member.eligible and whole and (running_s is None or running_s >= seen_s):
            found.add(member.name)
    return found


def certificates_view(watch: FleetWatch) -> list[wire.Certificate]:
    """`GET /v1/certificates`: the most pressing first."""

    def pressing(one: wire.Certificate) -> tuple[int, float, str]:
        return SEVERITY.index(one.state), one.days_left if one.days_left is not None else float("inf"), one.name

    return sorted(watch.certificates.values(), key=pressing)


def _members(watch: FleetWatch, window_s: float, now: datetime) -> list[Member]:
    return [
        Member(name, one.spec.weight, one.eligible(), one.history.last, one.history.over(window_s, now))
        for name, one in watch.backends.items()
    ]


def disagreements(watch: FleetWatch, balancer: BalancerWatch, *, now: datetime) -> dict[str, str | None]:
    """By backend, the sentence where its verdicts disagree: the alerts look once a second, and need no more of a view."""
    load = loads(_members(watch, WINDOW_S, now), window_s=WINDOW_S)
    requests = sum(one.requests for one in load.values())
    return {
        name: _disagreement(watch, one, _verdicts(watch, one, balancer, _Traffic(load[name], requests)), now)
        for name, one in watch.backends.items()
    }


def _disagreement(watch: FleetWatch, one: BackendWatch, verdicts: dict[str, str | None], now: datetime) -> str | None:
    if one.stale(watch.fleet.probes, now) or not _settled(watch, one, now):
        return None
    hanging = sentences.waited_for(
        one.spec.name, verdicts["probes"], one.verdict.reason, behind_nginx=watch.fleet.balancer.kind is BalancerKind.nginx
    )
    return hanging or sentences.disagreement(one.spec.name, verdicts)


def _backend(watch: FleetWatch, one: BackendWatch, balancer: BalancerWatch, traffic: _Traffic, now: datetime) -> wire.Backend:
    spec = one.spec
    verdicts = _verdicts(watch, one, balancer, traffic)
    certificate = watch.certificates.get(spec.name)
    return wire.Backend(
        name=spec.name,
        url=spec.url,
        region=spec.region,
        zone=spec.zone,
        weight=spec.weight,
        state=one.verdict.state,
        stale=one.stale(watch.fleet.probes, now),
        admin_state=one.admin_state,
        since=one.since,
        reason=one.verdict.reason,
        detail=one.verdict.detail,
        verdicts=verdicts,
        disagreement=_disagreement(watch, one, verdicts, now),
        flapping=one.flapping,
        monitor_fault=one.monitor_fault.code if one.monitor_fault else None,
        probes=[_probe(one, kind, watch) for kind in ProbeKind],
        load=traffic.load,
        identity=_identity(one),
        certificate_days_left=certificate.days_left if certificate else None,
        last_sample_at=one.last_sample_at,
        drain_since=one.drain.since if one.drain else None,
    )


def _settled(watch: FleetWatch, one: BackendWatch, now: datetime) -> bool:
    """A balancer with the same fall and interval may take as long as we did to notice: until then it does not disagree."""
    probes = watch.fleet.probes
    return one.since is not None and (now - one.since).total_seconds() >= probes.fall * probes.interval_s


def _verdicts(watch: FleetWatch, one: BackendWatch, balancer: BalancerWatch, traffic: _Traffic) -> dict[str, str | None]:
    """Four opinions: our probes (alive, and its database answers), the balancer's, its own readiness, its real traffic."""
    live, health, ready = (is_up(one.standing(kind).health, watch.rule) for kind in ProbeKind)
    probes = None if live is None or health is None else live and health
    return {
        "probes": _word(probes),
        "balancer": balancer.opinion(one.spec.name, one.spec.address),
        "readiness": _word(ready),
        "traffic": _traffic(traffic.load, traffic.fleet_total, watch.fleet.balancer.strategy),
    }


def _traffic(load: wire.Load, fleet_total: int, strategy: Strategy) -> str | None:
    """``up``, ``down`` (half of its requests fail), ``starved`` (none, though many were expected), ``no traffic``, or None."""
    if load.rate is None:
        return None
    if load.requests:
        return "down" if (load.error_ratio or 0.0) >= FAILING_RATIO else "up"
    expected = (load.expected_share or 0.0) * fleet_total
    return "starved" if expected >= EXPECTED_AT_LEAST and strategy is not Strategy.ip_hash else "no traffic"


def _word(up: bool | None) -> str | None:
    return None if up is None else "up" if up else "down"


def _probe(one: BackendWatch, kind: ProbeKind, watch: FleetWatch) -> wire.Probe:
    standing, result = one.standing(kind), one.results.get(kind)
    failure = standing.failure if standing.failing else None
    return wire.Probe(
        kind=kind,
        up=is_up(standing.health, watch.rule),
        health=max(0, standing.health or 0),
        rise=watch.rule.rise,
        fall=watch.rule.fall,
        progress=progress(standing.health, watch.rule),
        reason=failure.reason if failure else None,
        detail=failure.detail if failure else None,
        status=result.status if result else None,
        stage=result.stage if result else None,
        timings_ms=dict(result.timings_ms) if result else {},
        at=result.at if result else one.last_sample_at,
    )


def _identity(one: BackendWatch) -> wire.Identity:
    last = one.history.last
    if last is None:
        return wire.Identity()
    return wire.Identity(
        version=last.version,
        model_id=last.model_id,
        gallery_size=last.gallery_size,
        seq=last.seq,
        review_threshold=last.review_threshold,
        process_started_at=last.process_started_at,
    )


def _rotations(watch: FleetWatch) -> list[str]:
    return rotations([found for name, found in watch.certificates.items() if name in watch.backends])
