"""All the short steps that the monitor's duties would do one by one."""

from __future__ import annotations

from datetime import datetime

from monitor.store.history import History


def roll_up(history: History, now: datetime) -> int:
    """Gives how many rows were written."""
    rows = 0
    while (some := history.roll_up_some(now)) is not None:
        rows += some
    return rows


def prune(history: History, now: datetime) -> list[int]:
    """Gives how many rows went in each transaction."""
    gone = []
    while (some := history.prune_some(now)) is not None:
        gone.append(some)
    return gone
