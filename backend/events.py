"""What a webhook tells: pydantic models only, shared with whoever receives it.

Opaque ids, codes and scores; no name, external id, metadata or note is ever in one. Receivers ignore fields, and types, that they
do not know: both may be added. `docs/webhooks.md` has an example of each.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from backend.wire import CaseSource, Verdict


class EventType(StrEnum):
    case_opened = "case.opened"
    case_reopened = "case.reopened"
    case_decided = "case.decided"
    case_closed = "case.closed"
    enrolment_rejected = "enrolment.rejected"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class CaseData(_Part):
    """A case as it was when the event happened; `version` rises with every change of a case."""

    case_id: str
    kind: Literal["duplicate", "sample"] = Field(description="Two records of one person? Or: does this picture show its subject?")
    version: int
    score: float = Field(description="The highest of its pairs, on the engine's own scale.")
    source: CaseSource
    subject_ids: list[str] = Field(description="Its records; those that were erased before the delivery are left out.")


class OpenedData(CaseData):
    cause: Literal["found", "cut"] = Field(description="New pairs; or what fell off a case that no longer hangs together.")
    cut_from: str | None = Field(None, description="That other case, which goes on with the rest.")


class ReopenedData(CaseData):
    cause: Literal["undo", "found"] = Field(description="Its decision was taken back; or better evidence came after it was left.")


class DecidedData(CaseData):
    decision_id: str
    verdict: Verdict
    survivor_id: str | None = Field(None, description="The record that the others now point at, where the verdict is `same`.")


class ClosedData(_Part):
    """Closed without a decision: nothing is left to be decided here."""

    case_id: str
    version: int
    cause: str = Field(description="`joined`, `erased`, `sample_erased`, `rejected`, `decided` (elsewhere).")
    joined_into: str | None = Field(None, description="The case that took its pairs over.")


class DuplicateOf(_Part):
    subject_id: str
    score: float


class RejectedData(_Part):
    enrolment_id: str
    subject_id: str = Field(description="Of whom nothing is kept but this id.")
    model_id: str
    duplicate_of: list[DuplicateOf] = Field(description="Best first; those that were erased before the delivery are left out.")


class Event(_Part):
    """One message. `id` is its `webhook-id`, the same at every attempt; `timestamp` is when it happened, not when it was sent."""

    id: str
    type: str
    timestamp: AwareDatetime


class CaseOpened(Event):
    type: Literal["case.opened"]
    data: OpenedData


class CaseReopened(Event):
    type: Literal["case.reopened"]
    data: ReopenedData


class CaseDecided(Event):
    type: Literal["case.decided"]
    data: DecidedData


class CaseClosed(Event):
    type: Literal["case.closed"]
    data: ClosedData


class EnrolmentRejected(Event):
    type: Literal["enrolment.rejected"]
    data: RejectedData


class WebhookTest(Event):
    """What `python -m backend webhooks test` sends; there is nothing to be done about it."""

    type: Literal["webhook.test"]


class OtherEvent(Event):
    """A type that this version does not know: answer 2xx and pass it over."""

    data: dict[str, Any] = {}


_KNOWN: dict[str, type[Event]] = {
    "case.opened": CaseOpened,
    "case.reopened": CaseReopened,
    "case.decided": CaseDecided,
    "case.closed": CaseClosed,
    "enrolment.rejected": EnrolmentRejected,
    "webhook.test": WebhookTest,
}


def read_event(event_id: str, body: bytes) -> Event:
    """Raises ValueError where the body is no event."""
    said = _Said.model_validate_json(body)
    return _KNOWN.get(said.type, OtherEvent).model_validate({"id": event_id, **said.model_dump()})


class _Said(_Part):
    type: str
    timestamp: AwareDatetime
    data: dict[str, Any] = {}
