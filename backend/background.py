"""Work that comes round every few seconds, in a thread, beside the requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from backend.errors import Unavailable
from backend.threads import Threads

log = logging.getLogger(__name__)


async def every(seconds: float, do: Callable[[], object], *, threads: Threads) -> None:
    """Call `do` for ever, with that pause between; a failure is logged and the next turn tries again. Cancel to stop."""
    while True:
        try:
            await threads.background(do)
        except Unavailable:
            log.warning("background work waits for the database")
        except Exception as error:
            log.error("background work failed", exc_info=error)
        await asyncio.sleep(seconds)
