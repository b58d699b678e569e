"""A subject as the API shows it: opened with its key, united with what was merged into it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import bindparam
from sqlalchemy.orm import defer
from sqlmodel import Session, col, select

from backend import wire
from backend.store.forest import chunks, sets
from backend.store.sealing import SampleDetails, key_of, open_details, open_profile
from backend.store.tables import Sample, SampleState, Subject

if TYPE_CHECKING:
    from backend.store.database import Store

SHOWN = (SampleState.active, SampleState.held)

_SUBJECTS = select(Subject).where(col(Subject.id).in_(bindparam("ids", expanding=True)))
_SAMPLES = (
    select(Sample, col(Sample.sealed_crop).is_not(None))
    .where(
        col(Sample.subject_id).in_(bindparam("ids", expanding=True)),
        col(Sample.state).in_(bindparam("states", expanding=True)),
    )
    .options(defer(Sample.sealed_crop))  # type: ignore[arg-type]
)


def views(store: Store, session: Session, subjects: Iterable[Subject], *, landmarks: bool = False) -> list[wire.Subject]:
    """In the order given. A survivor shows the samples of its whole set; a loser its own; `landmarks` are for comparing faces.

    The statements do not grow with the number of subjects: a list is one of the most frequent requests.
    """
    listed = list(subjects)
    records = sets(session, {subject.id for subject in listed})
    samples = _samples(store, session, set().union(*records.values()), landmarks=landmarks)
    return [_view(store, subject, records[subject.id], samples) for subject in listed]


def views_by_id(store: Store, session: Session, ids: Iterable[str], *, landmarks: bool = False) -> list[wire.Subject]:
    """Those that exist, by id."""
    found = [subject for chunk in chunks(ids) for subject in session.exec(_SUBJECTS, params={"ids": chunk})]
    return views(store, session, sorted(found, key=lambda subject: subject.id), landmarks=landmarks)


def _view(store: Store, subject: Subject, records: set[str], samples: Mapping[str, Sequence[wire.Sample]]) -> wire.Subject:
    profile = open_profile(key_of(store.keyring, subject), subject)
    shown = [sample for record in records for sample in samples.get(record, ())]
    return wire.Subject(
        id=subject.id,
        gallery_id=subject.gallery_id,
        external_id=profile.external_id,
        metadata=dict(profile.metadata),
        state=wire.SubjectState(subject.state),
        merged_into=subject.merged_into,
        merged=sorted(records - {subject.id}),
        retain_until=subject.retain_until,
        samples=sorted(shown, key=lambda sample: sample.id),  # oldest first
        version=subject.version,
        created_at=subject.created_at,
    )


def _samples(store: Store, session: Session, records: Iterable[str], *, landmarks: bool) -> dict[str, list[wire.Sample]]:
    """By record. A held one is shown too: somebody has to look at it."""
    found: defaultdict[str, list[wire.Sample]] = defaultdict(list)
    for chunk in chunks(records):
        keys = {subject.id: key_of(store.keyring, subject) for subject in session.exec(_SUBJECTS, params={"ids": chunk})}
        for sample, pictured in session.exec(_SAMPLES, params={"ids": chunk, "states": SHOWN}):
            key = keys[sample.subject_id]
            if key is not None:
                details = open_details(key, sample)
                found[sample.subject_id].append(_sample(sample, details, pictured=pictured, landmarks=landmarks and pictured))
    return found


def _sample(sample: Sample, details: SampleDetails, *, pictured: bool, landmarks: bool) -> wire.Sample:
    path = f"/v1/subjects/{sample.subject_id}/samples/{sample.id}/image"
    return wire.Sample(
        id=sample.id,
        created_at=sample.created_at,
        quality=wire.Quality.model_validate(details.quality),
        image=path if pictured else None,
        landmarks=[(x, y) for x, y in details.landmarks] if landmarks else None,
    )
