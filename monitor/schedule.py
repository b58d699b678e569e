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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass

from apscheduler.schedulers.asyncio import AsyncIOScheduler

log = logging.getLogger(__name__)

LATENESS_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)


@dataclass(frozen=True)
class Duty:
    """Something to do again and again. `interval_s` is asked after each run, so a duty can change its speed.

    `deadline_s` holds for one whole run: what hangs in spite of deadlines of its own would hold up its duty for ever.
    """

    name: str
    interval_s: Callable[[], float]
    run: Callable[[], Awaitable[None]]
    lane: Lane | None = None
    deadline_s: Callable[[], float] | None = None


class Lane:
    """Duties of one kind, of which only so many run at once; how late each began, its wait for a free place included."""

    def __init__(self, at_once: int) -> None:
        self._room = asyncio.Semaphore(at_once)
        self.late = dict.fromkeys(LATENESS_BOUNDS_S, 0)
        self.late_sum_s = 0.0
        self.running = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        async with self._room:
            self.running += 1
            try:
                yield
            finally:
                self.running -= 1

    def note(self, lateness_s: float) -> None:
        self.late[next(bound for bound in LATENESS_BOUNDS_S if lateness_s <= bound)] += 1
        self.late_sum_s += lateness_s


@dataclass
class _Slot:
    duty: Duty
    due_at: float
    started_at: float | None = None
    was_due_at: float = -math.inf
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
        self.overruns = 0

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
        slot.was_due_at = max(slot.due_at, slot.free_at)
        slot.started_at = now
        slot.task = asyncio.create_task(self._run(slot), name=slot.duty.name)
        self._tasks.add(slot.task)  # the loop itself holds tasks weakly
        slot.task.add_done_callback(self._tasks.discard)

    async def _run(self, slot: _Slot) -> None:
        duty = slot.duty
        deadline = asyncio.timeout(None)
        try:
            async with duty.lane.place() if duty.lane else nullcontext():
                self._note_lateness(slot, duty)
                async with asyncio.timeout(duty.deadline_s() if duty.deadline_s else None) as deadline:
                    await duty.run()
        except Exception as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                self.overruns += 1
                log.warning("%s was given up: it did not end within its deadline", duty.name)
            else:  # a duty gives back its failures as values; one that raises is a defect, and the others go on
                self.failures += 1
                log.exception("%s failed", duty.name)
        finally:
            interval = slot.duty.interval_s()
            # Half an interval at least between two starts, so that a change of speed does not ask twice in a row.
            slot.due_at = next_due((slot.started_at or 0.0) + interval / 2, interval_s=interval, name=slot.duty.name)
            slot.free_at = self._monotonic()
            slot.task = None

    def _note_lateness(self, slot: _Slot, duty: Duty) -> None:
        late = max(0.0, self._monotonic() - slot.was_due_at)
        if self._slots.get(duty.name) is slot:
            self.lateness_s[duty.name] = late
        if duty.lane is not None:
            duty.lane.note(late)

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
