"""Where blocking work runs: in threads, under limits of its own for each kind, never under the one that probes might need."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

Result = TypeVar("Result")
P = ParamSpec("P")

LEDGER = 16
"""transactions at once: more would only queue at the database"""
BODIES = 2
"""bodies parsed at once: parsing holds the interpreter's lock"""
BACKGROUND = 16
"""more than there are jobs: a long one must not hold up the sweep"""


class Threads:
    """Made inside the event loop, once."""

    def __init__(self) -> None:
        self._ledger = CapacityLimiter(LEDGER)
        self._bodies = CapacityLimiter(BODIES)
        self._background = CapacityLimiter(BACKGROUND)

    async def ledger(self, do: Callable[P, Result], *args: P.args, **named: P.kwargs) -> Result:
        """A use case: short transactions."""
        return await _run(self._ledger, do, args, named)

    async def parse(self, do: Callable[P, Result], *args: P.args, **named: P.kwargs) -> Result:
        return await _run(self._bodies, do, args, named)

    async def background(self, do: Callable[P, Result], *args: P.args, **named: P.kwargs) -> Result:
        return await _run(self._background, do, args, named)


async def _run(limiter: CapacityLimiter, do: Callable[..., Result], args: tuple[Any, ...], named: dict[str, Any]) -> Result:
    return await anyio.to_thread.run_sync(partial(do, *args, **named), limiter=limiter)
