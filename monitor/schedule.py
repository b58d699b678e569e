"""When what runs: one APScheduler interval job is the tick; each duty is due on its own fixed grid, never twice at once.

A duty's grid is ``t ≡ crc32(name) mod interval`` on the monotonic clock: spread over the fleet, the same after every
restart, and without drift. One tick that starts all that is due costs a fifth of one scheduler job per duty.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from apscheduler.schedulers.asyncio import AsyncIOScheduler

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Duty:
    """Something to do again and again. `interval_s` is asked after each run, so a duty can change its speed."""

    name: str
    interval_s: Callable[[], float]
    run: Callable[[], Awaitable[None]]


@dataclass
class _Slot:
    duty: Duty
    due_at: float
    started_at: float | None = None
    task: asyncio.Task[None] | None = None
    free_at: float = -math.inf


def phase(name: str, interval_s: float) -> float:
    """Where on the grid of `interval_s` a name falls, in seconds; the same in every process (`hash()` is not)."""
    return (zlib.crc32(name.encode()) / 2**32) * interval_s


def next_due(after: float, *, interval_s: float, name: str) -> float:
    """The first point of the name's grid later than `after`."""
    offset = phase(name, interval_s)
    return (math.floor((after - offset) / interval_s) + 1) * interval_s + offset


class Schedule:
    """Runs duties until `stop`. All in the event loop's thread; the tick itself never waits for anything."""

    def __init__(self, *, tick_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tick_s = tick_s
        self._monotonic = monotonic
        self._slots: dict[str, _Slot] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduler: AsyncIOScheduler | None = None
        self.ticked_at: float | None = None
        self.lateness_s: dict[str, float] = {}
        self.failures = 0

    def start(self) -> None:
        """Begin to tick in the running loop."""
        self._scheduler = AsyncIOScheduler()
        # The default grace of one second would skip every run after a stall instead of making up for it.
        options = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        self._scheduler.add_job(self.tick, "interval", seconds=self._tick_s, **options)
        self._scheduler.start()

    def assign(self, duties: Iterable[Duty]) -> None:
        """Replace the duties; one that stays keeps its grid, one that went finishes its present run and is forgotten."""
        now = self._monotonic()
        wanted = {duty.name: duty for duty in duties}
        for name in self._slots.keys() - wanted.keys():
            del self._slots[name]
            self.lateness_s.pop(name, None)
        for name, duty in wanted.items():
            if name in self._slots:
                self._slots[name].duty = duty
            else:
                self._slots[name] = _Slot(duty, next_due(now, interval_s=duty.interval_s(), name=name))

    def urge(self, name: str) -> None:
        """Make a duty due now, e.g. a certificate check after a TLS failure. An unknown name is no error: the fleet changes."""
        if name in self._slots:
            self._slots[name].due_at = min(self._slots[name].due_at, self._monotonic())

    async def tick(self) -> None:
        """Start whatever is due and not running. A duty due within half a tick starts now: on average nothing is late."""
        now = self._monotonic()
        self.ticked_at = now
        for slot in list(self._slots.values()):
            if slot.task is None and slot.due_at <= now + self._tick_s / 2:
                self._launch(slot, now)

    def _launch(self, slot: _Slot, now: float) -> None:
        # A round that had to wait for its own predecessor is slow, not late.
        self.lateness_s[slot.duty.name] = max(0.0, now - max(slot.due_at, slot.free_at))
        slot.started_at = now
        slot.task = asyncio.create_task(self._run(slot), name=slot.duty.name)
        self._tasks.add(slot.task)  # the loop itself holds tasks weakly
        slot.task.add_done_callback(self._tasks.discard)

    async def _run(self, slot: _Slot) -> None:
        try:
            await slot.duty.run()
        except Exception:  # a duty gives back its failures as values; one that raises is a defect, and the others go on
            self.failures += 1
            log.exception("%s failed", slot.duty.name)
        finally:
            interval = slot.duty.interval_s()
            # Half an interval at least between two starts, so that a change of speed does not ask twice in a row.
            slot.due_at = next_due((slot.started_at or 0.0) + interval / 2, interval_s=interval, name=slot.duty.name)
            slot.free_at = self._monotonic()
            slot.task = None

    async def stop(self, *, drain_s: float) -> None:
        """Tick no more, wait for what is in flight, and cancel what is not done after `drain_s`.

        APScheduler's own `shutdown(wait=True)` cancels running coroutines at once, so the drain comes first.
        """
        if self._scheduler is not None:
            self._scheduler.pause()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=drain_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    @property
    def worst_lateness_s(self) -> float:
        return max(self.lateness_s.values(), default=0.0)

    def silent_s(self) -> float:
        """Seconds since the last tick; 0 before the first."""
        return 0.0 if self.ticked_at is None else self._monotonic() - self.ticked_at
