"""Work that comes round every few seconds, in a thread, beside the requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from backend.errors import Unavailable
from backend.threads import Threads

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """`do` blocks; it returns when nothing is left to be done for now, and soon after the service is told to stop."""

    name: str
    every_s: float
    do: Callable[[], object]


async def every(job: Job, *, threads: Threads) -> None:
    """Do it for ever, with its pause between; a failure is logged and the next turn tries again. Cancel to stop."""
    about = {"fields": {"job": job.name}}
    while True:
        try:
            await threads.background(job.do)
        except Unavailable:
            log.warning("background work waits for the database", extra=about)
        except Exception as error:
            log.error("background work failed", exc_info=error, extra=about)
        await asyncio.sleep(job.every_s)
