"""Where blocking work runs: threads of its own for each kind, never those that probes might need.

A thread that hangs in a driver (a frozen database server acknowledges packets and never answers) cannot be ended. So whoever
waited for it is let go at the request's deadline, the thread stays counted, and there are never more of them than the lane has.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, ParamSpec, TypeVar

from backend.errors import NotReady

Result = TypeVar("Result")
P = ParamSpec("P")

LEDGER = 16
"""transactions at once: more would only queue at the database"""
BODIES = 2
"""bodies parsed at once: parsing holds the interpreter's lock"""
BACKGROUND = 16
"""more than there are jobs: a long one must not hold up the sweep"""


class Lane:
    """At most `workers` threads, started when they are needed; further work waits in line."""

    def __init__(self, name: str, workers: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._under_way: set[Future[Any]] = set()

    async def run(self, do: Callable[[], Result]) -> Result:
        """What `do` returns or raises. Cancelled while it waits in line, it never begins; cancelled later, it ends unheard.

        Raises NotReady once the lane is closed.
        """
        context = contextvars.copy_context()  # so that what `do` logs carries the request's id
        try:
            future = self._executor.submit(context.run, do)
        except RuntimeError:
            raise NotReady("The service is shutting down") from None
        with self._lock:
            self._under_way.add(future)
        future.add_done_callback(self._ended)
        return await asyncio.wrap_future(future)

    def _ended(self, future: Future[Any]) -> None:
        with self._lock:
            self._under_way.discard(future)

    def close(self, within_s: float) -> bool:
        """Nothing new begins; True where all that had begun ended in time."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running = set(self._under_way)
        return not wait(running, within_s).not_done


class Threads:
    def __init__(self) -> None:
        self._ledger = Lane("ledger", LEDGER)
        self._bodies = Lane("bodies", BODIES)
        self._background = Lane("background", BACKGROUND)

    async def ledger(self, do: Callable[P, Result], *args: P.args, **named: P.kwargs) -> Result:
        """A use case: short transactions."""
        return await self._ledger.run(partial(do, *args, **named))

    async def parse(self, do: Callable[P, Result], *args: P.args, **named: P.kwargs) -> Result:
        return await self._bodies.run(partial(do, *args, **named))

    async def background(self, do: Callable[P, Result], *args: P.args, **named: P.kwargs) -> Result:
        return await self._background.run(partial(do, *args, **named))

    def close(self, within_s: float) -> bool:
        """Before what they use is taken apart; False where a thread hangs, which is left behind."""
        deadline = time.monotonic() + within_s
        lanes = (self._background, self._ledger, self._bodies)
        closed = [lane.close(max(0.0, deadline - time.monotonic())) for lane in lanes]  # each of them, in any case
        return all(closed)
