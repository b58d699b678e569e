"""What is said of single backends beside their state: by the load's detectors, and by operators. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo

from dashboard import phrases
from dashboard.tables.backend import active
from monitor import wire


def findings(found: Iterable[wire.LoadFinding]) -> dict[str | None, list[str]]:
    """Sentences by backend; None: of the fleet as a whole."""
    told: dict[str | None, list[str]] = {}
    for one in found:
        told.setdefault(one.backend, []).append(one.sentence)
    return told


def out_of_service(
    backends: Iterable[wire.Backend], windows: Sequence[wire.Maintenance], now: float, zone: tzinfo
) -> dict[str, list[str]]:
    """Of each backend that is drained or maintained, since when, until when and why."""
    told: dict[str, list[str]] = {}
    for backend in backends:
        lines = [maintained(window, now, zone) for window in active(windows, backend.name, now)]
        if backend.drain_since is not None:
            lines.insert(0, f"Drained by an operator since {phrases.when(backend.drain_since, now, zone)}.")
        if lines:
            told[backend.name] = lines
    return told


def maintained(window: wire.Maintenance, now: float, zone: tzinfo) -> str:
    of = "of the whole fleet " if not window.backends else ""
    return f"Maintenance {of}until {phrases.when(window.ends_at, now, zone)}: {window.comment}"
