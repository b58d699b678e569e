"""How far a server's clock is from ours, from what it says of the time and when it was asked. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# A token of a dashboard is taken with half a minute of leeway; a certificate of this hour, a lease, a log's order need better.
NOTABLE_S = 2.0
HARMFUL_S = 30.0


def told(body: bytes, date_header: str | None) -> tuple[datetime | None, float]:
    """The time that an answer gives, and how finely (s): its own `timestamp`, else the Date header, which has whole seconds."""
    try:
        stamp = json.loads(body)["timestamp"]
        found = datetime.fromisoformat(stamp)
        if found.tzinfo is not None:
            return found.astimezone(UTC), 0.0
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    try:
        found = parsedate_to_datetime(date_header or "")
    except (ValueError, TypeError, IndexError):
        return None, 0.0
    return (found if found.tzinfo else found.replace(tzinfo=UTC)), 1.0


def skew_s(said: datetime, fineness_s: float, *, asked_at: datetime, answered_at: datetime) -> float:
    """Its clock less ours; 0 where the answer fits somewhere between the question and the answer."""
    early = (said - asked_at).total_seconds() + fineness_s
    late = (said - answered_at).total_seconds()
    if early < 0:
        return round(early, 3)
    return round(late, 3) if late > 0 else 0.0
