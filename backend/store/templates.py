"""Reading templates: always through SQL, always opened with their subject's key, never from an index."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import Select

from backend.store.forest import chunks
from backend.store.keyring import Keyring
from backend.store.sealing import open_vector
from backend.store.tables import Sample, Subject, Template

# Written once, with parameters: writing a statement anew takes SQLAlchemy three times as long as running it.
_READ: Select[*tuple[Any, ...]] = (
    Select(
        col(Template.seq),
        col(Template.id),
        col(Template.model_id),
        col(Template.sample_id),
        col(Template.sealed_vector),
        col(Sample.state).label("sample_state"),
        col(Sample.enrolment_id),
        col(Template.subject_id),
        col(Subject.state).label("subject_state"),
        col(Subject.wrapped_key),
    )
    .join(Sample, col(Sample.id) == Template.sample_id)
    .join(Subject, col(Subject.id) == Template.subject_id)
    .where(Template.gallery_id == bindparam("gallery_id"), col(Subject.wrapped_key).is_not(None))
)
_BY_SEQS = _READ.where(col(Template.seq).in_(bindparam("seqs", expanding=True)))
# By their samples' ids: by subject or enrolment, SQLite without statistics begins with all templates of the gallery.
_OF_SUBJECTS = _READ.where(
    col(Template.sample_id).in_(select(Sample.id).where(col(Sample.subject_id).in_(bindparam("subject_ids", expanding=True)))),
    Template.model_id == bindparam("model_id"),
)
_OF_ENROLMENT = _READ.where(
    col(Template.sample_id).in_(select(Sample.id).where(Sample.enrolment_id == bindparam("enrolment_id"))),
    Template.model_id == bindparam("model_id"),
)
_ALL = (
    _READ.where(Template.model_id == bindparam("model_id"))
    .order_by(col(Template.seq))
    .execution_options(yield_per=2000, stream_results=True)
)
_OWNERS = select(Template.seq, Template.subject_id).where(
    Template.gallery_id == bindparam("gallery_id"), col(Template.seq).in_(bindparam("seqs", expanding=True))
)


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
    for chunk in chunks(seqs):
        found.extend(_opened(session, keyring, _BY_SEQS, gallery_id=gallery_id, seqs=chunk))
    return found


def owners(session: Session, *, gallery_id: str, seqs: Iterable[int]) -> dict[int, str]:
    """seq → the record that the template is of, for those that still exist; nothing is opened for it."""
    found: dict[int, str] = {}
    for chunk in chunks(seqs):
        rows = session.exec(_OWNERS, params={"gallery_id": gallery_id, "seqs": chunk})
        found.update(rows.all())
    return found


def of_subjects(
    session: Session, keyring: Keyring, *, gallery_id: str, subject_ids: Sequence[str], model_id: str
) -> list[StoredTemplate]:
    found: list[StoredTemplate] = []
    for chunk in chunks(subject_ids):
        found.extend(_opened(session, keyring, _OF_SUBJECTS, gallery_id=gallery_id, subject_ids=chunk, model_id=model_id))
    return sorted(found, key=lambda template: template.seq)


def of_enrolment(
    session: Session, keyring: Keyring, *, gallery_id: str, enrolment_id: str, model_id: str
) -> list[StoredTemplate]:
    found = _opened(session, keyring, _OF_ENROLMENT, gallery_id=gallery_id, enrolment_id=enrolment_id, model_id=model_id)
    return sorted(found, key=lambda template: template.seq)


def all_of(session: Session, keyring: Keyring, *, gallery_id: str, model_id: str) -> Generator[StoredTemplate, None, None]:
    """Every template of a model whose subject still has its key, a few thousand rows in memory at a time, by seq.

    Who may not read it to its end closes it before the session ends.
    """
    return _opened(session, keyring, _ALL, gallery_id=gallery_id, model_id=model_id)


def _opened(
    session: Session, keyring: Keyring, query: Select[*tuple[Any, ...]], **asked: object
) -> Generator[StoredTemplate, None, None]:
    session.flush()
    with session.connection().execute(query, asked) as rows:
        yield from _each(keyring, rows)


def _each(keyring: Keyring, rows: Iterable[Any]) -> Iterator[StoredTemplate]:
    for seq, template_id, model_id, sample_id, sealed, sample_state, enrolment_id, subject_id, subject_state, wrapped_key in rows:
        key = keyring.subject_key(subject_id, wrapped_key)
        yield StoredTemplate(
            seq=seq,
            id=template_id,
            model_id=model_id,
            sample_id=sample_id,
            sample_state=sample_state,
            enrolment_id=enrolment_id,
            subject_id=subject_id,
            subject_state=subject_state,
            vector=open_vector(key, sealed, template_id=template_id, model_id=model_id),
        )
