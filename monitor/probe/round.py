"""One round: a fresh connection to a backend, over which `/live`, `/health`, `/ready` and, when due, `/metrics` are asked.

A round returns a value whatever happens; each probe has one total deadline for connect, handshake and answer together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from monitor.clock import Clock, utc_now
from monitor.probe.answers import read
from monitor.probe.connection import BodyTooLarge, Connection, StageClock, Target, TrustFileUnreadable, TrustStore, connection
from monitor.probe.outcome import Reason, Result, Round, Stage
from monitor.probe.reasons import of_exception, of_timeout
from monitor.probe.scrape import NotMetrics, Scrape, parse
from monitor.wire import ProbeKind

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 64 * 1024
MAX_METRICS_BYTES = 2 * 1024 * 1024

Value = TypeVar("Value")


@dataclass(frozen=True)
class Plan:
    """What a round asks: `service` is the name that `/health` must give, `deadline_s` holds for each probe."""

    backend: str
    target: Target
    service: str
    deadline_s: float
    scrape: bool = False


async def probe_round(plan: Plan, trust: TrustStore, *, now: Clock = utc_now) -> Round:
    """Ask everything; never raises (but for cancellation)."""
    at = now()
    results: dict[ProbeKind, Result] = {}
    scrape: Scrape | Reason | None = None
    try:
        async with connection(plan.target, trust) as opened:
            for kind in ProbeKind:
                results[kind] = await _probe(kind, plan, opened, now)
                reason = results[kind].reason
                if kind is ProbeKind.live and reason is not None and reason.without_answer:
                    break
            else:
                scrape = await _scrape(plan, opened, now) if plan.scrape else None
    except TrustFileUnreadable as error:
        results[ProbeKind.live] = Result(ProbeKind.live, at, Reason("MON.TRUST", str(error)), stage="tls")
    except Exception as error:  # closing what broke may break as well
        log.debug("closing the connection to %s: %r", plan.backend, error)
    return Round(
        plan.backend,
        at,
        _completed(results),
        scrape if isinstance(scrape, Scrape) else None,
        scrape if isinstance(scrape, Reason) else None,
    )


async def probe_once(kind: ProbeKind, plan: Plan, trust: TrustStore, *, now: Clock = utc_now) -> Result:
    """One probe over a connection of its own; never raises."""
    result: Result | None = None
    try:
        async with connection(plan.target, trust) as opened:
            result = await _probe(kind, plan, opened, now)
    except TrustFileUnreadable as error:
        return Result(kind, now(), Reason("MON.TRUST", str(error)), stage="tls")
    except Exception as error:
        log.debug("closing the connection to %s: %r", plan.backend, error)
    return result or Result(kind, now(), Reason("MON.PROBE", "the probe did not run"))


async def fetch(path: str, target: Target, trust: TrustStore, *, deadline_s: float) -> tuple[int, bytes] | Reason:
    """Any small document, under the same rules as a probe: status and body, or why not."""
    clock = StageClock()
    try:
        async with connection(target, trust) as opened:
            return await _bounded(lambda: opened.get(path, clock=clock, max_bytes=MAX_METRICS_BYTES), clock, deadline_s)
    except TrustFileUnreadable as error:
        return Reason("MON.TRUST", str(error))


def _completed(results: dict[ProbeKind, Result]) -> dict[ProbeKind, Result]:
    """Where `/live` could not even be asked, the other two failed in the same way."""
    live = results[ProbeKind.live]
    return {kind: results.get(kind) or replace(live, kind=kind) for kind in ProbeKind}


async def _probe(kind: ProbeKind, plan: Plan, opened: Connection, now: Clock) -> Result:
    clock = StageClock()
    at = now()
    got = await _bounded(lambda: opened.get(f"/{kind}", clock=clock, max_bytes=MAX_ANSWER_BYTES), clock, plan.deadline_s)
    timings = {stage: round(ms, 2) for stage, ms in clock.timings_ms.items()}
    if isinstance(got, Reason):
        return Result(kind, at, got, stage=clock.stage, timings_ms=timings)
    status, body = got
    reading = read(kind, status, body, service=plan.service)
    stage: Stage | None = "body" if reading.reason else None
    return Result(kind, at, reading.reason, status, stage, timings, reading.readiness)


async def _scrape(plan: Plan, opened: Connection, now: Clock) -> Scrape | Reason:
    clock = StageClock()
    at = now()
    got = await _bounded(lambda: opened.get("/metrics", clock=clock, max_bytes=MAX_METRICS_BYTES), clock, plan.deadline_s)
    if isinstance(got, Reason):
        return got
    status, body = got
    if status != 200:
        return Reason(f"APP.STATUS.{status}", f"/metrics answers {status}")
    try:
        return await asyncio.to_thread(lambda: parse(body.decode("utf-8", "replace"), at=at))
    except NotMetrics as error:
        return Reason("APP.METRICS", str(error))


async def _bounded(ask: Callable[[], Awaitable[Value]], clock: StageClock, deadline_s: float) -> Value | Reason:
    """The one place where a request's failure becomes a value."""
    try:
        async with asyncio.timeout(deadline_s):
            return await ask()
    except TimeoutError:
        return of_timeout(clock.stage, deadline_s)
    except BodyTooLarge as error:
        return Reason("APP.BODY", str(error))
    except Exception as error:  # every foreign exception is translated; what is unknown becomes MON.PROBE: no verdict
        return of_exception(error, clock.stage)
    finally:
        clock.leave()
