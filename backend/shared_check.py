"""A check that many callers share: at most one runs at a time, in a thread of its own, and its answer is good for a while.

Probes come often and from everywhere; the database is asked once for all of them. A check that hangs is reported as late and is
not started again beside itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

Value = TypeVar("Value")

MAX_AGE_S = 1.0
DEADLINE_S = 0.8
"""With the age below two seconds from a failure to the answer that tells it, and inside a probe's own time-out of one second."""


class SharedCheck(Generic[Value]):
    def __init__(self, ask: Callable[[], Value], *, max_age_s: float = MAX_AGE_S, deadline_s: float = DEADLINE_S) -> None:
        """`ask` blocks, and returns its failures as values: it must not raise."""
        self._ask = ask
        self._max_age_s, self._deadline_s = max_age_s, deadline_s
        self._value: Value | None = None
        self._taken_at = float("-inf")
        self._running: asyncio.Task[None] | None = None
        self._limiter: CapacityLimiter | None = None

    async def value(self) -> Value | None:
        """The latest answer, at most `max_age_s` old; None where none came within the deadline."""
        if time.monotonic() - self._taken_at <= self._max_age_s:
            return self._value
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._refresh())
        done, _ = await asyncio.wait({self._running}, timeout=self._deadline_s)
        return self._value if done else None

    async def _refresh(self) -> None:
        # A limiter of its own: anyio starts a further thread rather than wait behind those that are busy with work.
        self._limiter = self._limiter or CapacityLimiter(1)
        started = time.monotonic()
        self._value = await anyio.to_thread.run_sync(self._ask, limiter=self._limiter, abandon_on_cancel=True)
        self._taken_at = started
