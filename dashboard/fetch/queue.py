"""The review queue: asked with the person's token, kept in that person's session alone."""

from __future__ import annotations

from datetime import UTC, datetime

from backend import wire
from dashboard import identity, parts
from dashboard.fetch.seen import Seen, own
from dashboard.queue_filters import QueueFilters

PAGE = 20
CODES_S = 300.0
"""how long reasons and calibration are believed: they are settings of the service"""


def cases(filters: QueueFilters, cursor: str | None) -> Seen[wire.Page[wire.CaseSummary]]:
    person = identity.person()

    def ask() -> wire.Page[wire.CaseSummary]:
        now = datetime.fromtimestamp(parts.current().now(), UTC)
        return parts.current().backend.cases(cursor=cursor, limit=PAGE, **filters.as_question(person.id, now))

    # not by the moment: an age that is asked again is the same question
    return own().ask(("cases", filters, cursor), ask, parts.current().now)


def codes() -> Seen[wire.ReviewCodes]:
    """Which verdicts and reasons this site offers."""
    return own().held("codes", parts.current().backend.review_codes, parts.current().now, for_s=CODES_S)


def calibration() -> Seen[wire.CalibrationInForce]:
    return own().held("calibration", parts.current().backend.calibration, parts.current().now, for_s=CODES_S)
