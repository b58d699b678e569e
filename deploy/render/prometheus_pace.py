"""Durations of rules: as they are, or all shorter by one factor, to rehearse alerts in minutes. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.fleet import Fleet
from monitor.fleet_observability import Prometheus

UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
SHORTEST_SCRAPE_S = 1.0


@dataclass(frozen=True)
class Pace:
    """`faster`: windows and waits are divided by it. 1 in production; anything else is a rehearsal and says so in the files."""

    faster: int = 1

    def seconds(self, real_s: float) -> float:
        return real_s / self.faster

    def of(self, real_s: float) -> str:
        """The duration as Prometheus writes it: ``5m``; ``1h30m``; ``500ms``."""
        return duration(self.seconds(real_s))

    def scrape(self, interval_s: float) -> str:
        """Between scrapes: not below a second, which is what a window of a rehearsal still has five of."""
        return duration(max(self.seconds(interval_s), SHORTEST_SCRAPE_S) if self.faster > 1 else interval_s)


PRODUCTION = Pace()


def pace_of(fleet: Fleet) -> Pace:
    """`prometheus.faster` of the fleet file."""
    return Pace((fleet.prometheus or Prometheus()).faster)


def duration(seconds: float) -> str:
    """``90`` becomes ``1m30s``; rounded to a millisecond."""
    left, parts = round(seconds * 1000), []
    for unit, size in UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
