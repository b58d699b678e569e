"""Erasing a person: key destroyed, rows gone, every index told. What stays are opaque ids in the log and the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, delete, func, or_, select, update

from backend.store import aside, clusters, gallery_log, outbox, scrubbing, tables
from backend.store.forest import chunks, roots
from backend.store.sides import of_either
from backend.store.tables import (
    Decision,
    DistinctPair,
    DuplicateCase,
    DuplicatePair,
    Enrolment,
    Sample,
    SampleState,
    Subject,
    Template,
)

if TYPE_CHECKING:
    from backend.store.database import Store


def erase(store: Store, session: Session, records: Sequence[str], *, at: datetime) -> None:
    """`records`: a subject and everything merged into it, itself first. Within a write transaction."""
    above = set(roots(session, records[:1]).values()) - set(records)
    for some in chunks(records):
        _forget_notes(store, session, some)
    clusters.drop_subjects(session, records, gallery_id=store.gallery_id, at=at, reason="erased")
    for some in chunks(records):
        _leave_gallery(store, session, some, at=at)
        _delete_around(store, session, some)
        # Overwritten before they are deleted: the row's key must not survive in a freed cell. And a record may be pointed at
        # from any chunk.
        blank = update(Subject).where(col(Subject.id).in_(some))
        session.exec(blank.values(wrapped_key=None, sealed_profile=None, external_id_index=None, merged_into=None))
    for some in chunks(records):
        session.exec(delete(Subject).where(col(Subject.id).in_(some)))
    scrubbing.ask(session, gallery_id=store.gallery_id, at=at)
    session.expire_all()
    # What was known of whoever stays may have been known through a record that is gone.
    aside.reconsider(session, above, gallery_id=store.gallery_id, at=at)


def _delete_around(store: Store, session: Session, records: Sequence[str]) -> None:
    theirs = of_either(DistinctPair, gallery_id=store.gallery_id, records=records)
    session.exec(delete(DistinctPair).where(theirs))
    for table in (tables.Idempotency, Enrolment, Template, Sample):
        session.exec(delete(table).where(col(table.subject_id).in_(records)))
    outbox.forget(session, records)


def _forget_notes(store: Store, session: Session, records: Sequence[str]) -> None:
    """Of every decision about one of them: a note may speak of either side."""
    theirs = of_either(DuplicatePair, gallery_id=store.gallery_id, records=records)
    about = select(DuplicatePair.case_id).where(theirs)
    left = _left_cases(session, theirs)
    asked = or_(col(DuplicatePair.case_id).in_(about), col(DuplicatePair.case_id).in_(left))
    session.exec(update(DuplicatePair).where(asked).values(sealed_asking_note=None))
    noted = or_(
        col(Decision.case_id).in_(about),
        col(Decision.case_id).in_(left),
        col(Decision.note_subject_id).in_(records),
    )
    session.exec(update(Decision).where(noted).values(sealed_note=None, note_subject_id=None))


def _left_cases(session: Session, theirs: ColumnElement[bool]) -> set[str]:
    """In which a pair of theirs stood before it was asked about again; of one that was joined away, also that which lives on."""
    query = select(DuplicatePair.left_cases).where(theirs, col(DuplicatePair.left_cases).is_not(None))
    found: set[str] = set()
    waiting = {case_id for cases in session.exec(query) for case_id in cases or []}
    while waiting:
        found |= waiting
        into = select(DuplicateCase.joined_into).where(col(DuplicateCase.id).in_(waiting))
        waiting = {case_id for case_id in session.exec(into) if case_id is not None} - found
    return found


def _leave_gallery(store: Store, session: Session, records: Sequence[str], *, at: datetime) -> None:
    in_gallery = (SampleState.active, SampleState.pending)
    query = select(Template).join(Sample, col(Sample.id) == Template.sample_id)
    query = query.where(col(Template.subject_id).in_(records), col(Sample.state).in_(in_gallery))
    for template in session.exec(query.order_by(col(Template.seq))).all():
        gallery_log.append_remove(session, template, at=at)
    active = select(func.count()).select_from(Sample)
    active = active.where(col(Sample.subject_id).in_(records), Sample.state == SampleState.active)
    store.gallery(session).active_templates -= session.exec(active).one()
    session.flush()
