"""A replica's turn at a scan: the lease, kept while the work goes on and let go when it ends; and the rests in between."""

from __future__ import annotations

import threading
import time

from backend.store import job_leases
from backend.store.database import Store
from backend.store.scans import JOB, Fence

KEEP_EVERY = 0.1
"""of the lease's term: how often it is asked for again"""
REST = 0.25
"""How long the work rests after a part, as a share of what that took: requests come first."""
LONGEST_REST_S = 1.0


class Interrupted(Exception):
    """Somebody else has the lease, or this replica is to stop: the block under way is done again by whoever goes on."""


class Turn:
    def __init__(self, store: Store, fence: Fence, *, seconds: float, stopping: threading.Event) -> None:
        self.fence = fence
        self._store, self._seconds, self._stopping = store, seconds, stopping
        self._rested_at = self._kept_at = time.monotonic()

    def keep(self) -> None:
        """Between two parts of the work, each much shorter than the lease. Raises Interrupted."""
        self._stopping.wait(min(LONGEST_REST_S, REST * (time.monotonic() - self._rested_at)))
        self._rested_at = time.monotonic()
        if self._stopping.is_set():
            raise Interrupted()
        if self._rested_at - self._kept_at >= KEEP_EVERY * self._seconds:
            self._renew()
            self._kept_at = time.monotonic()

    def _renew(self) -> None:
        """A new epoch is a new turn: the lease had run out, and somebody else may have come and gone."""
        if job_leases.hold(self._store, JOB, holder=self.fence.holder, seconds=self._seconds) != self.fence.epoch:
            raise Interrupted()

    def end(self) -> None:
        """Others need not wait for the lease to run out."""
        job_leases.release(self._store, JOB, holder=self.fence.holder, epoch=self.fence.epoch)
