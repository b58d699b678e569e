"""Scans: asked with the person's token, as they name who started them."""

from __future__ import annotations

from backend import wire
from dashboard import parts
from dashboard.fetch.seen import Seen, own

SHOWN = 20


def scans(cursor: str | None) -> Seen[wire.Page[wire.Scan]]:
    """Newest first."""
    return own().ask(("scans", cursor), lambda: parts.current().backend.scans(cursor=cursor, limit=SHOWN), parts.current().now)


def plan(threshold: float | None, *, whole: bool) -> Seen[wire.ScanPlan]:
    """What a scan would cost; asked where the choice changes, not at each refresh."""

    def ask() -> wire.ScanPlan:
        return parts.current().backend.scan_plan(threshold=threshold, whole=whole)

    return own().ask(("plan", threshold, whole), ask, parts.current().now)
