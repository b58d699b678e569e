"""What one backend is busy with, as the API says it: stages, routes, decisions, resources, and who would serve without it."""

from __future__ import annotations

from datetime import datetime

from monitor import wire
from monitor.distribution.watch import DistributionWatch
from monitor.drain import Left, refused
from monitor.resources import Taken
from monitor.tally import Tally
from monitor.watch import FleetWatch

WINDOW_S = 300.0
STAGES = ("decode", "detect", "embed", "search", "commit")


def figures_view(
    watch: FleetWatch, distribution: DistributionWatch, name: str, *, window_s: float, now: datetime
) -> wire.Figures:
    """`GET /v1/backends/{name}/figures`. Raises KeyError."""
    backend = watch.backends[name]
    served = distribution.served(name, window_s, now)
    decisions: dict[str, dict[str, int]] = {}
    for (operation, decision), count in served.decisions.items():
        if round(count):
            decisions.setdefault(operation, {})[decision] = round(count)
    last = backend.history.last
    return wire.Figures(
        backend=name,
        window_s=window_s,
        stages=[_stage(stage, served.stages[stage]) for stage in sorted(served.stages, key=_in_order)],
        routes=[_route(route, tally) for route, tally in served.routes.items() if round(tally.requests)],
        decisions=decisions,
        resources=[_resources(taken) for taken in backend.resources.points()],
        without_it=without(watch, name),
        drain_since=backend.drain.since if backend.drain else None,
        reason=backend.scrape_reason.code if backend.scrape_reason else None,
        at=last.at if last else None,
    )


def without(watch: FleetWatch, name: str) -> wire.Left:
    """The drain's guard, before anybody drains."""
    return left_view(watch.left_without(name))


def left_view(left: Left) -> wire.Left:
    return wire.Left(names=list(left.names), total=left.total, sentence=left.sentence, refused=refused(left, accept_left=None))


def _in_order(stage: str) -> tuple[int, str]:
    """As a request passes them; what a newer release adds comes last."""
    return (STAGES.index(stage) if stage in STAGES else len(STAGES)), stage


def _stage(stage: str, tally: Tally) -> wire.StageFigure:
    return wire.StageFigure(stage=stage, runs=round(tally.requests), mean_ms=_mean_ms(tally), p95_ms=_p95_ms(tally))


def _route(route: str, tally: Tally) -> wire.RouteFigure:
    return wire.RouteFigure(
        route=route,
        requests=round(tally.requests),
        errors=round(tally.errors),
        refused=round(tally.refused),
        mean_ms=_mean_ms(tally),
        p95_ms=_p95_ms(tally),
    )


def _mean_ms(tally: Tally) -> float | None:
    return round(1000 * tally.latency_sum_s / tally.requests, 2) if round(tally.requests) else None


def _p95_ms(tally: Tally) -> float | None:
    found = tally.latency.quantile(0.95) if round(tally.requests) else None
    return None if found is None else round(1000 * found, 2)


def _resources(taken: Taken) -> wire.Resources:
    said = taken.resources
    return wire.Resources(
        at=taken.at,
        cpu_percent=taken.cpu_percent,
        memory_bytes=said.memory_bytes,
        in_flight=taken.in_flight,
        connections=taken.connections,
        inference_busy=said.inference_busy,
        inference_waiting=said.inference_waiting,
        gallery_size=taken.gallery_size,
        gallery_memory_bytes=said.gallery_memory_bytes,
        gallery_memory_limit_bytes=said.gallery_memory_limit_bytes,
        seq=taken.seq,
        lag_s=said.lag_s,
    )
