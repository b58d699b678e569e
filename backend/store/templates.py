"""Reading templates: always through SQL, always opened with their subject's key, never from an index."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import Select

from backend.store.forest import CHUNK, chunks
from backend.store.keyring import Keyring
from backend.store.sealing import key_of, open_vector
from backend.store.tables import Sample, Subject, Template


@dataclass(frozen=True)
class StoredTemplate:
    """One template with what stands around it at the moment of reading."""

    seq: int
    id: str
    model_id: str
    sample_id: str
    sample_state: str
    enrolment_id: str
    subject_id: str
    subject_state: str
    vector: NDArray[np.float32]
    """(d,) float32 on the engine's scale"""


def by_seqs(session: Session, keyring: Keyring, *, gallery_id: str, seqs: Iterable[int]) -> list[StoredTemplate]:
    """Those that still exist, in no particular order."""
    found: list[StoredTemplate] = []
    listed = sorted(set(seqs))
    for start in range(0, len(listed), CHUNK):
        rows = _select(gallery_id).where(col(Template.seq).in_(listed[start : start + CHUNK]))
        found.extend(_opened(session, keyring, rows))
    return found


def owners(session: Session, *, gallery_id: str, seqs: Iterable[int]) -> dict[int, str]:
    """seq → the record that the template is of, for those that still exist; nothing is opened for it."""
    found: dict[int, str] = {}
    for chunk in chunks(seqs):
        query = select(Template.seq, Template.subject_id).where(Template.gallery_id == gallery_id, col(Template.seq).in_(chunk))
        found.update(session.exec(query).all())
    return found


def of_subjects(
    session: Session, keyring: Keyring, *, gallery_id: str, subject_ids: Sequence[str], model_id: str
) -> list[StoredTemplate]:
    found: list[StoredTemplate] = []
    for chunk in chunks(subject_ids):
        rows = _select(gallery_id).where(col(Template.subject_id).in_(chunk), Template.model_id == model_id)
        found.extend(_opened(session, keyring, rows))
    return sorted(found, key=lambda template: template.seq)


def of_enrolment(session: Session, keyring: Keyring, *, gallery_id: str, enrolment_id: str) -> list[StoredTemplate]:
    rows = _select(gallery_id).where(Sample.enrolment_id == enrolment_id)
    return sorted(_opened(session, keyring, rows), key=lambda template: template.seq)


def all_of(session: Session, keyring: Keyring, *, gallery_id: str) -> Generator[StoredTemplate, None, None]:
    """Every template whose subject still has its key, a few thousand rows in memory at a time, by seq.

    Who may not read it to its end closes it before the session ends.
    """
    query = _select(gallery_id).order_by(col(Template.seq)).execution_options(yield_per=2000)
    return _opened(session, keyring, query)


Rows = Select[Template, str, str, Subject]


def _select(gallery_id: str) -> Rows:
    query = (
        select(Template, Sample.state, Sample.enrolment_id, Subject)
        .join(Sample, col(Sample.id) == Template.sample_id)
        .join(Subject, col(Subject.id) == Template.subject_id)
    )
    return query.where(Template.gallery_id == gallery_id, col(Subject.wrapped_key).is_not(None))


def _opened(session: Session, keyring: Keyring, query: Rows) -> Generator[StoredTemplate, None, None]:
    with session.exec(query) as rows:
        yield from _each(keyring, rows)


def _each(keyring: Keyring, rows: Iterable[tuple[Template, str, str, Subject]]) -> Iterator[StoredTemplate]:
    for template, sample_state, enrolment_id, subject in rows:
        key = key_of(keyring, subject)
        if key is None:  # excluded by the query
            continue
        yield StoredTemplate(
            seq=template.seq,
            id=template.id,
            model_id=template.model_id,
            sample_id=template.sample_id,
            sample_state=sample_state,
            enrolment_id=enrolment_id,
            subject_id=template.subject_id,
            subject_state=subject.state,
            vector=open_vector(key, template),
        )
