"""Until when the request that this work is for must be answered; it travels with the context into every thread."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar

_until: ContextVar[float] = ContextVar("request_deadline", default=math.inf)


def begin(within_s: float) -> None:
    """The request of this context is answered within that many seconds from now, 503 if need be."""
    _until.set(time.monotonic() + within_s)


def left_s() -> float:
    """Seconds; infinite for work that no request waits for, below 0 where nobody waits any more."""
    return _until.get() - time.monotonic()
