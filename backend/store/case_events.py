"""What happens to cases, told to the webhook. Of a decision nothing before it is applied: the queue's blindness holds here."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlmodel import Session

from backend.events import CaseData, ClosedData, DecidedData, EventType, OpenedData, ReopenedData
from backend.store import outbox
from backend.store.pairs import ends, open_pairs
from backend.store.tables import Decision, DuplicateCase


def opened(session: Session, case: DuplicateCase, *, at: datetime, cut_from: str | None = None) -> None:
    """Once its pairs are in it."""
    if outbox.wants(session, EventType.case_opened):
        cause = "found" if cut_from is None else "cut"
        _tell(session, EventType.case_opened, case, OpenedData(**_as_it_is(session, case), cause=cause, cut_from=cut_from), at)


def reopened(session: Session, case: DuplicateCase, *, at: datetime, cause: Literal["undo", "found"]) -> None:
    if outbox.wants(session, EventType.case_reopened):
        _tell(session, EventType.case_reopened, case, ReopenedData(**_as_it_is(session, case), cause=cause), at)


def decided(session: Session, case: DuplicateCase, decision: Decision, *, at: datetime) -> None:
    """Once it is resolved: of two blind decisions, with the second."""
    if outbox.wants(session, EventType.case_decided):
        data = DecidedData(
            **_as_it_is(session, case), decision_id=decision.id, verdict=decision.verdict, survivor_id=decision.survivor_id
        )
        _tell(session, EventType.case_decided, case, data, at)


def closed(session: Session, case: DuplicateCase, *, at: datetime, cause: str) -> None:
    """Without a decision on it."""
    data = ClosedData(case_id=case.id, version=case.version, cause=cause, joined_into=case.joined_into)
    _tell(session, EventType.case_closed, case, data, at)


def _tell(session: Session, event: EventType, case: DuplicateCase, data: CaseData | ClosedData, at: datetime) -> None:
    outbox.tell(session, event, data, gallery_id=case.gallery_id, object_id=case.id, at=at)


def _as_it_is(session: Session, case: DuplicateCase) -> dict[str, Any]:
    return {
        "case_id": case.id,
        "kind": case.kind,
        "version": case.version,
        "score": case.score,
        "source": case.source,
        "subject_ids": sorted(ends(open_pairs(session, case.id))),
    }
