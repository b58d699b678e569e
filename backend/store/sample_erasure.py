"""Erasing one sample of a person who stays: picture and template gone, every index told, what rested on it judged anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlmodel import Session, col, delete, func, or_, select

from backend.errors import LastSample
from backend.store import clusters, gallery_log, scans, scrubbing, templates
from backend.store.forest import chunks, roots, tree
from backend.store.pairs import band_of
from backend.store.sides import of_either
from backend.store.tables import CaseKind, DuplicatePair, Enrolment, PairState, Sample, SampleState, Subject, Template
from backend.store.templates import StoredTemplate

if TYPE_CHECKING:
    from backend.store.database import Store


@dataclass(frozen=True)
class Comparison:
    """The two samples, one of each side, that score best."""

    sample_ids: tuple[str, str]
    score: float


Compare = Callable[[Sequence[StoredTemplate], Sequence[StoredTemplate]], Comparison | None]
"""Two sides' templates of one model → their best comparison; None where a side is empty."""


def erase_sample(store: Store, session: Session, sample: Sample, *, compare: Compare, at: datetime) -> None:
    """Within a write transaction. The stored answer of its enrolment (ids, figures of quality) lives out its 24 h.

    Raises:
        LastSample: nothing would be left of its record that could be recognised.
    """
    if sample.state == SampleState.active:
        _refuse_last(session, sample)
    erase_even_the_last(store, session, sample, compare=compare, at=at)


def erase_even_the_last(store: Store, session: Session, sample: Sample, *, compare: Compare, at: datetime) -> None:
    """As `erase_sample`, of any state and whatever is left: for a restore, as it was erased once and must not come back."""
    _leave_gallery(store, session, sample, at=at)
    session.exec(delete(Template).where(col(Template.sample_id) == sample.id))
    session.exec(delete(Sample).where(col(Sample.id) == sample.id))
    touched = _judge_anew(store, session, sample, compare)
    clusters.refit(session, touched, at=at, reason="sample_erased")
    _raise_versions(session, sample.subject_id)
    scrubbing.ask(session, gallery_id=store.gallery_id, at=at)
    session.flush()


def _refuse_last(session: Session, sample: Sample) -> None:
    others = select(func.count()).select_from(Sample).where(Sample.subject_id == sample.subject_id)
    if session.exec(others.where(Sample.state == SampleState.active, Sample.id != sample.id)).one() == 0:
        raise LastSample(sample.subject_id)


def _leave_gallery(store: Store, session: Session, sample: Sample, *, at: datetime) -> None:
    """A held or refused one left it before; a pending one is in the log and not yet counted."""
    if sample.state in (SampleState.active, SampleState.pending):
        for template in session.exec(select(Template).where(Template.sample_id == sample.id)).all():
            gallery_log.append_remove(session, template, at=at)
    if sample.state == SampleState.active:
        store.gallery(session).active_templates -= 1
    session.flush()


def _judge_anew(store: Store, session: Session, sample: Sample, compare: Compare) -> set[str]:
    """Pairs with other evidence keep the best of it, the others are closed. Ids of the cases that this changed."""
    pairs = _resting_on(session, sample)
    enrolment = session.get(Enrolment, sample.enrolment_id)
    for pair in pairs:
        best = _remaining(store, session, pair, sample, compare)
        if best is None:
            pair.state = PairState.closed
            continue
        pair.a_sample_id, pair.b_sample_id = best.sample_ids
        pair.score = best.score
        pair.model_id = _model_of(store, session, pair)
        pair.margin = pair.margin_at_least = None  # it was of other samples
        pair.band = band_of(best.score, math.inf if enrolment is None else enrolment.certain_threshold)
    session.flush()
    return {pair.case_id for pair in pairs if pair.case_id is not None}


def _resting_on(session: Session, sample: Sample) -> list[DuplicatePair]:
    """A held sample may have come closest to one of another record of its person."""
    rests = or_(
        col(DuplicatePair.a_sample_id) == sample.id,
        col(DuplicatePair.b_sample_id) == sample.id,
        col(DuplicatePair.held_sample_id) == sample.id,
    )
    found: dict[str, DuplicatePair] = {}
    for records in chunks(_set_of(session, sample)):
        theirs = of_either(DuplicatePair, gallery_id=sample.gallery_id, records=records)
        query = select(DuplicatePair).where(theirs, rests)
        found.update({pair.id: pair for pair in session.exec(query)})
    return list(found.values())


def _remaining(store: Store, session: Session, pair: DuplicatePair, sample: Sample, compare: Compare) -> Comparison | None:
    """What still speaks for the pair, at the lowest threshold that was asked for.

    Whatever comes closest for a held sample, and for two that a person put before reviewers: no score brought them there. And
    for two whom a model found that is no longer in force: its threshold says nothing of today's scores, and reviewers can tell.
    """
    if pair.held_sample_id == sample.id:
        return None
    if pair.kind == CaseKind.sample:
        own = _templates(store, session, pair, _set_of(session, sample))
        held = [template for template in own if template.sample_id == pair.held_sample_id]
        return compare(_active(own), held)
    sides = [_active(_templates(store, session, pair, [side])) for side in (pair.a_subject_id, pair.b_subject_id)]
    best = compare(*sides)
    if pair.asked_by is not None or pair.model_id != _model_of(store, session, pair):
        return best
    asked = scans.lowest_done(store, session, model_id=pair.model_id)
    return best if best is not None and best.score >= min(pair.threshold, asked) else None


def _templates(store: Store, session: Session, pair: DuplicatePair, subject_ids: Sequence[str]) -> list[StoredTemplate]:
    model_id = _model_of(store, session, pair)
    return templates.of_subjects(session, store.keyring, gallery_id=store.gallery_id, subject_ids=subject_ids, model_id=model_id)


def _model_of(store: Store, session: Session, pair: DuplicatePair) -> str:
    """By which it is judged anew: `compare` is of the one in force."""
    return store.gallery(session).model_id or pair.model_id


def _active(found: Sequence[StoredTemplate]) -> list[StoredTemplate]:
    return [template for template in found if template.sample_state == SampleState.active]


def _set_of(session: Session, sample: Sample) -> list[str]:
    return tree(session, roots(session, [sample.subject_id])[sample.subject_id])


def _raise_versions(session: Session, subject_id: str | None) -> None:
    """Of its record and of every survivor above: reading any of them shows the sample no more."""
    while subject_id is not None:
        subject = session.get_one(Subject, subject_id)
        subject.version += 1
        subject_id = subject.merged_into
