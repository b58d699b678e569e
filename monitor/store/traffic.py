"""Requests and errors of the whole fleet over long windows, from the minutes that are rolled up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import func
from sqlmodel import col, select

from monitor.alerts.facts import Burn
from monitor.store.database import Database
from monitor.store.tables import Minute


def burn(database: Database, windows_s: Iterable[int], now: datetime) -> Burn:
    """One sum per window; a window without requests has no ratio."""
    requests: dict[int, int] = {}
    ratios: dict[int, float] = {}
    with database.read() as session:
        for window in windows_s:
            since = now - timedelta(seconds=window)
            sums = select(func.sum(Minute.requests), func.sum(Minute.errors)).where(col(Minute.at) >= since)
            served, failed = session.exec(sums).one()
            requests[window] = round(served or 0)
            if served:
                ratios[window] = (failed or 0) / served
    return Burn(ratios, requests)
