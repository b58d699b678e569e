"""What an attempt to deliver a message leads to: pure functions of what came back and a time."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 3600.0
JITTER = 0.2
"""the part of a pause by which it may be shorter"""
LONGEST_ASKED_S = 86_400.0
"""of what a receiver asks for with Retry-After"""
PAUSED = frozenset({429, 503})
GONE = 410


class Outcome(StrEnum):
    delivered = "delivered"
    retried = "retried"
    dropped = "dropped"


@dataclass(frozen=True)
class Answer:
    """What came of one attempt, never an exception. `status`: None where none came, and `problem` says in a word why."""

    status: int | None
    problem: str | None
    seconds: float
    retry_after: str | None = None
    """the header, as it came"""

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def word(self) -> str:
        return str(self.status) if self.status is not None else self.problem or "no answer"


def outcome_of(answer: Answer, *, next_at: datetime, give_up_at: datetime) -> Outcome:
    """Whatever is not 2xx is tried again, as a receiver may be wrong for a while; 410 says that nobody will ever take it."""
    if answer.ok:
        return Outcome.delivered
    return Outcome.dropped if answer.status == GONE or next_at > give_up_at else Outcome.retried


def pause_s(attempts: int, *, spread: float) -> float:
    """Before the next one, after `attempts` (from 1) that failed: 5, 10, 20 s … 1 h, less up to a fifth by `spread`, 0 to 1."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 30))
    return longest * (1.0 - JITTER * spread)


def spread_of(event_id: str, attempts: int) -> float:
    """0 to 1, of this attempt of this message: messages that failed together do not come back together."""
    return zlib.crc32(f"{event_id}.{attempts}".encode()) / 2**32


def asked_pause_s(answer: Answer, *, now: datetime) -> float:
    """What the receiver asked for: seconds, or a date, with 429 and 503 alone; 0 where it asked for nothing that can be read."""
    text = (answer.retry_after or "").strip()
    if answer.status not in PAUSED or not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_ASKED_S)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a year or an hour that no clock has
        return 0.0
    date = date.replace(tzinfo=UTC) if date.tzinfo is None else date
    return min(max((date - now).total_seconds(), 0.0), LONGEST_ASKED_S)


def next_try(event_id: str, attempts: int, answer: Answer, *, now: datetime) -> datetime:
    own = pause_s(attempts, spread=spread_of(event_id, attempts))
    return now + timedelta(seconds=max(own, asked_pause_s(answer, now=now)))
