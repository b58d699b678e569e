"""Inference beside the event loop: a fixed number of threads, a bounded queue, a deadline.

When the queue is full the answer is no, at once: a client that is told to come back is better served than one that
waits in a line that nobody will reach the end of.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from backend.errors import DeadlineExceeded, Overloaded

T = TypeVar("T")
NICENESS = 5
"""of threads that compute for milliseconds at a time without the interpreter's lock"""


class InferencePool:
    """`workers` jobs run, `queue` more may wait; beyond that `run` raises Overloaded at once.

    A job that has begun cannot be stopped: after its deadline the caller has his answer, and the slot stays
    busy until the job ends by itself. `stuck_for_s` makes a job that never ends visible.
    """

    def __init__(self, workers: int, queue: int, deadline_s: float) -> None:
        self._workers = workers
        self._places = workers + queue
        self._deadline_s = deadline_s
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="inference", initializer=_stand_back)
        self._lock = threading.Lock()
        self._admitted = 0
        self._running = 0
        self._last_progress = 0.0

    @property
    def workers(self) -> int:
        return self._workers

    @property
    def busy(self) -> int:
        """Jobs that run."""
        return self._running

    @property
    def waiting(self) -> int:
        """Jobs that are admitted and have not begun."""
        with self._lock:
            return self._admitted - self._running

    def stuck_for_s(self, now: float | None = None) -> float:
        """Seconds since a job last began or ended, while all threads are busy and some wait; else 0. `now`: time.monotonic().

        Those that wait give up at their deadline, so threads that are all past it count as well when nobody waits just now.
        """
        with self._lock:
            if self._running < self._workers:
                return 0.0
            still_s = max(0.0, (time.monotonic() if now is None else now) - self._last_progress)
            return still_s if self._admitted > self._running or still_s > self._deadline_s else 0.0

    async def run(self, fn: Callable[[], T]) -> T:
        """What `fn` returns or raises. Raises Overloaded at once, DeadlineExceeded after the deadline, waiting included."""
        self._admit()
        context = contextvars.copy_context()  # so that what `fn` logs carries the request's id
        try:
            future = self._executor.submit(context.run, self._work, fn)
        except RuntimeError:  # closed meanwhile
            self._leave()
            raise Overloaded("The service is shutting down") from None
        future.add_done_callback(self._on_done)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if future.done() and not future.cancelled() and isinstance(future.exception(), TimeoutError):
                raise  # the job's own
            raise DeadlineExceeded(f"The image was not processed within {self._deadline_s:g} s") from None

    def close(self) -> None:
        """No further jobs; waiting ones are cancelled, running ones are left to end."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _admit(self) -> None:
        with self._lock:
            if self._admitted >= self._places:
                raise Overloaded
            self._admitted += 1

    def _work(self, fn: Callable[[], T]) -> T:
        with self._lock:
            self._running += 1
            self._last_progress = time.monotonic()
        try:
            return fn()
        finally:
            with self._lock:
                self._running -= 1
                self._admitted -= 1
                self._last_progress = time.monotonic()

    def _on_done(self, future: Future[T]) -> None:
        if future.cancelled():  # it never began, so _work did not count it out
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._admitted -= 1


def _stand_back() -> None:
    """Of this thread alone: whoever holds the interpreter's lock for some microseconds, and all others wait for, gets a core at
    once and not when an inference has used up its slice. Only Linux knows priorities of threads.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
