"""Requests through the balancer, counted by who served them: one run at a time, bounded in number, rate and time.

Each is `GET /health` on a connection of its own, as a new client would open it. Backends and balancer answer and balance it as
any other request; it needs no key, asks no model, and counts in no share: probes have counters of their own everywhere.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from uuid6 import uuid7

from monitor import wire
from monitor.balancer.place import balancer_target
from monitor.clock import Clock
from monitor.distribution_check.judgement import Counted, Member, judge, shares
from monitor.fleet import Fleet, Strategy
from monitor.probe.call import call
from monitor.probe.connection import Target, TrustStore
from monitor.probe.outcome import Reason

PATH = "/health"
SERVED_BY = "x-served-by"
PER_S = 40.0
AT_ONCE = 8
# As long as the balancers wait for a backend: what a frozen one costs is seen, and the retry elsewhere too.
DEADLINE_S = 15.0
LONGEST_S = 60.0
REMEMBERED = 20
LONGEST_NAME = 80


class CheckUnderWay(Exception):
    """Another one is sending: two at once would disturb each other's shares."""


class NoBalancer(Exception):
    """The fleet file has none: clients call the backends themselves."""


@dataclass
class _Run:
    """`members`: as the fleet was when it began; who was out at any moment of it is not eligible."""

    id: str
    strategy: Strategy
    members: list[Member]
    requests: int
    started_at: datetime
    sent: int = 0
    served_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: Counter[str] = field(default_factory=Counter)
    finished_at: datetime | None = None
    stopped: bool = False


Members = Callable[[], Sequence[Member]]


class DistributionChecks:
    """The runs of this process's life, the last few; lives in the event loop's thread."""

    def __init__(self, trust: TrustStore, *, clock: Clock, members: Members) -> None:
        self._trust, self._clock, self._members = trust, clock, members
        self._runs: deque[_Run] = deque(maxlen=REMEMBERED)
        self._task: asyncio.Task[None] | None = None

    def start(self, requests: int, described: Fleet) -> wire.DistributionCheck:
        """Begin to send; the answer is the check as it begins. Raises CheckUnderWay, NoBalancer."""
        if self._task is not None and not self._task.done():
            raise CheckUnderWay
        target = balancer_target(described.balancer)
        if target is None:
            raise NoBalancer
        run = _Run(f"dchk_{uuid7().hex}", described.balancer.strategy, list(self._members()), requests, self._clock())
        self._runs.appendleft(run)
        self._task = asyncio.create_task(self._carry_out(run, target), name="distribution check")
        return _view(run, self._clock())

    def list(self) -> list[wire.DistributionCheck]:
        """Newest first."""
        return [_view(run, self._clock()) for run in self._runs]

    def get(self, check_id: str) -> wire.DistributionCheck | None:
        return next((_view(run, self._clock()) for run in self._runs if run.id == check_id), None)

    async def stop(self) -> None:
        """What is under way is given up, and judged by what came."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _carry_out(self, run: _Run, target: Target) -> None:
        try:
            async with asyncio.timeout(LONGEST_S):
                await self._send_all(run, target)
        except TimeoutError:
            run.stopped = True
        except asyncio.CancelledError:
            run.stopped = True
            raise
        finally:
            self._leave_out(run)
            run.finished_at = self._clock()

    async def _send_all(self, run: _Run, target: Target) -> None:
        places = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for number in range(run.requests):
                await places.acquire()
                sending = group.create_task(self._send(run, target))
                sending.add_done_callback(lambda _: places.release())
                if number + 1 < run.requests:
                    await asyncio.sleep(1 / PER_S)
                    self._leave_out(run)

    async def _send(self, run: _Run, target: Target) -> None:
        started = asyncio.get_running_loop().time()
        run.sent += 1
        got = await call(PATH, target, self._trust, key=None, deadline_s=DEADLINE_S, method="GET")
        if isinstance(got, Reason):
            run.failures[got.code] += 1
            return
        if got.status != 200:
            run.failures[f"APP.STATUS.{got.status}"] += 1
        if served_by := got.headers.get(SERVED_BY):
            run.served_ms[served_by[:LONGEST_NAME]].append((asyncio.get_running_loop().time() - started) * 1000)
        elif got.status == 200:
            run.failures["APP.HEADER"] += 1

    def _leave_out(self, run: _Run) -> None:
        """Who was out for a moment has no share that could be expected of it."""
        now: Mapping[str, bool] = {member.name: member.eligible for member in self._members()}
        run.members = [Member(one.name, one.weight, one.eligible and now.get(one.name, False)) for one in run.members]


def _view(run: _Run, now: datetime) -> wire.DistributionCheck:
    counted = Counted(run.served_ms, run.failures)
    judged = judge(counted, run.members, run.strategy, sent=run.sent) if run.finished_at else None
    return wire.DistributionCheck(
        id=run.id,
        state="running" if run.finished_at is None else "stopped" if run.stopped else "done",
        strategy=run.strategy.value,
        requests=run.requests,
        sent=run.sent,
        answered=counted.answered,
        failures=dict(run.failures),
        shares=shares(counted, run.members, run.strategy),
        verdict=judged.verdict if judged else None,
        sentence=judged.sentence if judged else None,
        cv=judged.cv if judged else None,
        noise_floor_cv=judged.noise_floor_cv if judged else None,
        started_at=run.started_at,
        finished_at=run.finished_at,
        estimated_s=None if run.finished_at else round((run.requests - run.sent) / PER_S, 1),
        at=now,
    )
