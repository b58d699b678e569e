"""Silences and maintenance windows: what they hold for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from monitor.alerts.lifecycle import Quiet


@dataclass(frozen=True)
class Silence:
    """`matchers`: label → pattern (``*``, ``?``); all must fit. Labels: the alert's, and `rule`, `severity`, `owner`."""

    id: str
    matchers: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime

    def holds_for(self, labels: Mapping[str, str], now: datetime) -> bool:
        in_time = self.starts_at <= now < self.ends_at
        return in_time and all(fnmatchcase(labels.get(name, ""), pattern) for name, pattern in self.matchers.items())


@dataclass(frozen=True)
class Window:
    """Maintenance of some backends; none named: of the whole fleet."""

    id: str
    backends: frozenset[str]
    starts_at: datetime
    ends_at: datetime

    def is_on(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at


@dataclass(frozen=True)
class Quietness:
    """All that is quiet now: asked once per alert and evaluation."""

    silences: tuple[Silence, ...] = ()
    windows: tuple[Window, ...] = ()
    flapping: frozenset[str] = frozenset()

    def of(self, labels: Mapping[str, str], *, rule: str, severity: str, owner: str, now: datetime) -> Quiet | None:
        """`labels` of the alert. What a backend's flapping itself says is not quiet."""
        known = {**labels, "rule": rule, "severity": severity, "owner": owner}
        if any(silence.holds_for(known, now) for silence in self.silences):
            return Quiet.silenced
        backend = labels.get("backend") or labels.get("certificate", "")
        on = [window for window in self.windows if window.is_on(now)]
        # The fleet's maintenance is no reason to keep quiet about the monitor's own faults.
        if any(backend in window.backends if window.backends else not rule.startswith("Monitor") for window in on):
            return Quiet.maintenance
        # Only what its state says flaps; a wrong certificate of it is as wrong as ever.
        return Quiet.flapping if rule in FLAPPING_RULES and labels.get("backend") in self.flapping else None


FLAPPING_RULES = frozenset({"BackendDown", "BackendDegraded", "BackendDisagreement"})


def in_maintenance(windows: Iterable[Window], names: Iterable[str], now: datetime) -> frozenset[str]:
    """Which of the named backends are in maintenance now."""
    on = [window for window in windows if window.is_on(now)]
    return frozenset(name for name in names if any(not window.backends or name in window.backends for window in on))
