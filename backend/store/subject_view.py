"""A subject as the API shows it: opened with its key, united with what was merged into it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from backend import wire
from backend.store.forest import chunks, trees
from backend.store.sealing import key_of, open_details, open_profile
from backend.store.tables import Sample, SampleState, Subject

if TYPE_CHECKING:
    from backend.store.database import Store

SHOWN = (SampleState.active, SampleState.held)


def views(store: Store, session: Session, subjects: Iterable[Subject]) -> list[wire.Subject]:
    """In the order given. A survivor shows the samples of its whole set; a loser its own."""
    listed = list(subjects)
    return [_view(store, session, subject) for subject in listed]


def views_by_id(store: Store, session: Session, ids: Iterable[str]) -> list[wire.Subject]:
    """Those that exist, by id."""
    found = [subject for chunk in chunks(ids) for subject in session.exec(select(Subject).where(col(Subject.id).in_(chunk)))]
    return views(store, session, sorted(found, key=lambda subject: subject.id))


def _view(store: Store, session: Session, subject: Subject) -> wire.Subject:
    profile = open_profile(key_of(store.keyring, subject), subject)
    records = trees(session, [subject.id])
    return wire.Subject(
        id=subject.id,
        gallery_id=subject.gallery_id,
        external_id=profile.external_id,
        metadata=dict(profile.metadata),
        state=wire.SubjectState(subject.state),
        merged_into=subject.merged_into,
        merged=sorted(set(records) - {subject.id}),
        retain_until=subject.retain_until,
        samples=_samples(store, session, records),
        version=subject.version,
        created_at=subject.created_at,
    )


def _samples(store: Store, session: Session, records: Iterable[str]) -> list[wire.Sample]:
    """Oldest first. A held one is shown too: somebody has to look at it."""
    found: list[wire.Sample] = []
    for chunk in chunks(records):
        query = (
            select(Sample, Subject, col(Sample.sealed_crop).is_not(None))
            .join(Subject, col(Subject.id) == Sample.subject_id)
            .where(col(Sample.subject_id).in_(chunk), col(Sample.state).in_(SHOWN))
            .options(defer(Sample.sealed_crop))  # type: ignore[arg-type]
        )
        for sample, subject, pictured in session.exec(query):
            key = key_of(store.keyring, subject)
            if key is not None:
                found.append(_sample(sample, wire.Quality.model_validate(open_details(key, sample).quality), pictured=pictured))
    return sorted(found, key=lambda sample: sample.id)


def _sample(sample: Sample, quality: wire.Quality, *, pictured: bool) -> wire.Sample:
    path = f"/v1/subjects/{sample.subject_id}/samples/{sample.id}/image"
    return wire.Sample(id=sample.id, created_at=sample.created_at, quality=quality, image=path if pictured else None)
