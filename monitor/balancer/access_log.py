"""nginx' JSON access log (the format that `deploy render` writes): per upstream its requests, errors and times.

Open-source nginx tells nothing per upstream elsewhere. Each *attempt* counts for the upstream that was asked: one that failed and
was repeated elsewhere is an error of the first. Probes and marked demo traffic count nowhere.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from monitor.balancer.tail import Tail
from monitor.histogram import of_values
from monitor.tally import Served, Tally

KEEP_S = 120
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, float("inf"))
"""As the backends' own histogram has them, so that both can be laid side by side."""
PROBES = frozenset({"/health", "/live", "/ready", "/metrics"})
# "a, b" are attempts, "a : b" groups of them after an internal redirect; an address has no space in it.
BETWEEN = re.compile(r", | : ")


@dataclass(frozen=True)
class Attempt:
    """`status` 0 and `seconds` 0.0 where nginx wrote none; `last` is the one whose answer the client got."""

    address: str
    status: int
    seconds: float
    last: bool


@dataclass(frozen=True)
class Entry:
    at: datetime
    route: str
    attempts: tuple[Attempt, ...]


class NotAnEntry(ValueError):
    """The line is not of this log format."""


def parse(line: bytes) -> Entry | None:
    """None for what counts nowhere: probes, marked demo traffic, and what nginx answered itself. Raises `NotAnEntry`."""
    try:
        row = json.loads(line)
        at, path, method = datetime.fromisoformat(row["time"]), str(row["path"]), str(row["method"])
        addresses = _parts(row["upstream"])
        statuses, seconds = _parts(row["upstream_status"]), _parts(row["upstream_seconds"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotAnEntry(str(error)) from error
    if at.tzinfo is None or len(statuses) != len(addresses) or len(seconds) != len(addresses):
        raise NotAnEntry("the upstreams do not fit their statuses and times")
    if path in PROBES or row.get("synthetic") or not addresses:
        return None
    last = len(addresses) - 1
    numbers = enumerate(zip(addresses, statuses, seconds, strict=True))
    attempts = tuple(Attempt(a, int(_number(status)), _number(time), i == last) for i, (a, status, time) in numbers)
    return Entry(at.astimezone(UTC), f"{method} {'/'.join(path.split('/')[:3])}", attempts)


def _parts(text: object) -> list[str]:
    if not isinstance(text, str):
        raise NotAnEntry("an upstream that is no text")
    return BETWEEN.split(text) if text not in ("", "-") else []


def _number(text: str) -> float:
    try:
        return 0.0 if text in ("", "-") else float(text)
    except ValueError as error:
        raise NotAnEntry(str(error)) from error


@dataclass
class _Second:
    """One upstream in one second on one route; lists until they are asked for."""

    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    repeated: int = 0

    def tally(self) -> Tally:
        return Tally(
            requests=len(self.statuses),
            errors=sum(status >= 500 or status == 0 for status in self.statuses),
            refused=sum(status == 422 for status in self.statuses),
            latency=of_values(self.seconds, BOUNDS_S),
            latency_sum_s=sum(self.seconds),
        )


class AccessLog:
    """What the log said in the last two minutes, by upstream address. `garbage`: lines that were no entries; `reason`: why it
    cannot be read."""

    def __init__(self, path: Path) -> None:
        self.garbage = 0
        self.entries = 0
        self.behind_bytes = 0
        self.reason: str | None = None
        self._tail = Tail(path)
        self._seconds: dict[int, dict[tuple[str, str], _Second]] = defaultdict(lambda: defaultdict(_Second))

    def look(self) -> None:
        """Take in what came. Synchronous: for a thread. Never raises for what it meets."""
        try:
            lines = self._tail.look()
        except OSError as error:
            self.reason = f"{self._tail.path} cannot be read: {error.strerror or error}"
            return
        except ValueError:  # closed meanwhile by the loop's thread: the fleet file names another balancer
            self.reason = f"{self._tail.path} is no longer read"
            return
        self.reason = None if self._tail.path.exists() else f"{self._tail.path} does not exist"
        self.behind_bytes = lines.behind_bytes
        self.garbage += lines.too_long
        for line in lines.whole:
            try:
                entry = parse(line)
            except NotAnEntry:
                self.garbage += 1
                continue
            if entry is not None:
                self._take(entry)
        self._forget()

    def between(self, start: datetime, end: datetime) -> Mapping[str, Served]:
        """By address; entries carry whole seconds, and so does the window."""
        found: dict[str, dict[str, list[Tally]]] = defaultdict(lambda: defaultdict(list))
        for second in self._within(start, end):
            for (address, route), one in self._seconds[second].items():
                found[address][route].append(one.tally())
        return {
            address: Served({route: Tally.merged(parts) for route, parts in routes.items()}) for address, routes in found.items()
        }

    def repeated(self, start: datetime, end: datetime) -> Mapping[str, int]:
        """By address: attempts after which nginx asked another backend."""
        found: dict[str, int] = defaultdict(int)
        for second in self._within(start, end):
            for (address, _), one in self._seconds[second].items():
                found[address] += one.repeated
        return found

    def close(self) -> None:
        self._tail.close()

    def _within(self, start: datetime, end: datetime) -> list[int]:
        first, beyond = int(start.timestamp()), int(end.timestamp())
        return [second for second in self._seconds if first <= second < beyond]

    def _take(self, entry: Entry) -> None:
        self.entries += 1
        slot = self._seconds[int(entry.at.timestamp())]
        for attempt in entry.attempts:
            one = slot[attempt.address, entry.route]
            one.statuses.append(attempt.status)
            one.seconds.append(attempt.seconds)
            one.repeated += not attempt.last

    def _forget(self) -> None:
        if self._seconds:
            oldest = max(self._seconds) - timedelta(seconds=KEEP_S).seconds
            for second in [second for second in self._seconds if second < oldest]:
                del self._seconds[second]
