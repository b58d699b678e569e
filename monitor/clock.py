"""The one place that reads the wall clock: everything else is given a time, or this function."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """In whole milliseconds, as the store keeps them: what is shown before a restart is shown after it, to the digit."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
