"""Open cases of two records with the very same picture, which may be decided many at a time; and why others may not."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, and_, col, or_, select

from backend.store import distinct
from backend.store.caller import Caller
from backend.store.case_view import holder
from backend.store.decisions import standing
from backend.store.forest import trees
from backend.store.pairs import open_pairs
from backend.store.queue import PRESSING_FIRST, after
from backend.store.tables import CaseKind, DuplicateCase, DuplicatePair, Sample, SampleState, Subject
from backend.wire import CaseSource, CaseState, LeftOutReason, SubjectState

CEILING = 0.9999
"""What identical vectors score on either scale, less what float32 may lose of it."""
PAGE = 200


def page(
    session: Session,
    *,
    gallery_id: str,
    source: CaseSource | None,
    created_from: datetime | None,
    created_until: datetime | None,
    last: DuplicateCase | None,
) -> list[DuplicateCase]:
    """The most pressing of those whose score is at the ceiling, behind `last`."""
    query = select(DuplicateCase).where(
        DuplicateCase.gallery_id == gallery_id,
        DuplicateCase.kind == CaseKind.duplicate,
        DuplicateCase.state == CaseState.open,
        col(DuplicateCase.joined_into).is_(None),
        DuplicateCase.score >= CEILING,
    )
    if source is not None:
        query = query.where(DuplicateCase.source == source)
    if created_from is not None:
        query = query.where(col(DuplicateCase.created_at) >= created_from)
    if created_until is not None:
        query = query.where(col(DuplicateCase.created_at) <= created_until)
    if last is not None:
        query = query.where(after(last.priority, last.id))
    return list(session.exec(query.order_by(*PRESSING_FIRST).limit(PAGE)))


def survivor_of(
    session: Session, case: DuplicateCase, caller: Caller, *, now: datetime, two_must_agree: bool
) -> str | LeftOutReason:
    """The record that was enrolled first, where the case may be decided `same` in bulk; else why not."""
    if holder(case, now) not in (None, caller.id):
        return LeftOutReason.held
    pairs = open_pairs(session, case.id)
    sides = _sides(session, pairs[0]) if len(pairs) == 1 else None
    if sides is None:
        return LeftOutReason.several_members
    if not _is_identical(session, pairs[0]):
        return LeftOutReason.not_identical
    if standing(session, case.id):
        return LeftOutReason.judged_before
    owner = trees(session, [side.id for side in sides])
    if distinct.contradiction(session, gallery_id=case.gallery_id, owner=owner) is not None:
        return LeftOutReason.decided_different
    if two_must_agree:
        return LeftOutReason.needs_second_review
    return min(sides, key=lambda side: (side.created_at, side.id)).id


def _sides(session: Session, pair: DuplicatePair) -> tuple[Subject, Subject] | None:
    """None where one of the two was merged into a third record meanwhile."""
    a, b = session.get(Subject, pair.a_subject_id), session.get(Subject, pair.b_subject_id)
    if a is None or b is None or {a.state, b.state} != {SubjectState.active}:
        return None
    return a, b


def _is_identical(session: Session, pair: DuplicatePair) -> bool:
    if pair.band != "certain" or pair.score < CEILING:
        return False
    query = select(Sample.image_digest).where(
        or_(
            and_(col(Sample.id) == pair.a_sample_id, col(Sample.subject_id) == pair.a_subject_id),
            and_(col(Sample.id) == pair.b_sample_id, col(Sample.subject_id) == pair.b_subject_id),
        ),
        Sample.state == SampleState.active,
        col(Sample.image_digest).is_not(None),
    )
    digests = session.exec(query).all()
    return len(digests) == 2 and len(set(digests)) == 1
