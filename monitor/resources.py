"""What a backend's process takes, read off its metrics: the present figures, and one of each minute of the last hour. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

KEEP = 60
EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Resources:
    """Of one scrape; None where the backend does not say. `cpu_s`: since its process started."""

    cpu_s: float | None = None
    memory_bytes: int | None = None
    inference_busy: int | None = None
    inference_waiting: int | None = None
    gallery_memory_bytes: int | None = None
    gallery_memory_limit_bytes: int | None = None
    lag_s: float | None = None


@dataclass(frozen=True)
class Taken:
    """At one moment. `cpu_percent` is of one core, since the scrape before; None for a process's first."""

    at: datetime
    resources: Resources
    cpu_percent: float | None
    in_flight: int | None
    connections: int | None
    gallery_size: int | None
    seq: int | None


class ResourceHistory:
    """The last scrape's, and those of the last hour, a minute apart: as much as a thousand backends may keep in memory."""

    def __init__(self) -> None:
        self._last: Taken | None = None
        self._kept: deque[Taken] = deque(maxlen=KEEP)

    def add(self, taken: Taken) -> None:
        """`taken.cpu_percent` is filled in here."""
        known = replace(taken, cpu_percent=_cpu_percent(self._last, taken))
        self._last = known
        if not self._kept or known.at - self._kept[-1].at >= EVERY:
            self._kept.append(known)

    def points(self) -> list[Taken]:
        """Oldest first; the last one is the present."""
        kept = list(self._kept)
        return kept if self._last is None or (kept and kept[-1] is self._last) else [*kept, self._last]


def _cpu_percent(before: Taken | None, after: Taken) -> float | None:
    if before is None or before.resources.cpu_s is None or after.resources.cpu_s is None:
        return None
    seconds = (after.at - before.at).total_seconds()
    used = after.resources.cpu_s - before.resources.cpu_s
    # Below zero it is another process.
    return round(100 * used / seconds, 1) if seconds > 0 and used >= 0 else None
