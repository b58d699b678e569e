"""All that is held on one subject, and on everybody merged into it, as one JSON document that is made while it is sent.

Rows first, at one moment; then the samples, one short read and one piece of the document each: no export takes more memory for
pictures than one of them does, and no transaction lasts as long as a slow receiver. Samples erased meanwhile are left out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Mapped
from sqlmodel import Session, SQLModel, col, select

from backend.errors import SubjectNotFound
from backend.export_format import (
    ExportedCase,
    ExportedDecision,
    ExportedDistinction,
    ExportedEnrolment,
    ExportedEvent,
    ExportedPair,
    ExportedRecord,
    ExportedSample,
    ExportedTemplate,
    SubjectExport,
)
from backend.review_policy import decisions_are_hidden
from backend.store.audit import Audit
from backend.store.caller import Caller
from backend.store.case_view import shown
from backend.store.database import Store
from backend.store.forest import chunks, tree
from backend.store.sealing import key_of, open_crop, open_details, open_profile, open_vector
from backend.store.sides import of_either
from backend.store.tables import (
    AuditRow,
    Decision,
    DistinctPair,
    DuplicateCase,
    DuplicatePair,
    Enrolment,
    Sample,
    Subject,
    Template,
)
from backend.wire import CaseState, Quality, SubjectState

Row = TypeVar("Row", bound=SQLModel)
Pair = TypeVar("Pair", DuplicatePair, DistinctPair)


@dataclass(frozen=True)
class Export:
    """`pieces`: the document in UTF-8; each step blocks for a short read, and raises as `Store.read`."""

    version: int
    pieces: Iterator[bytes]


class Exports:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._audit = Audit(store)

    def export(self, subject_id: str, *, caller: Caller) -> Export:
        """Audited before the first byte is given. Raises SubjectNotFound."""
        with self._store.write() as session:
            self._visible(session, subject_id)
            self._audit.append(session, caller, "subject.export", subject_id)
        with self._store.snapshot() as session:
            subject = self._visible(session, subject_id)
            records = tree(session, subject_id)
            sample_ids = _sample_ids(session, records)
            document = self._document(session, subject, records, sample_ids)
        return Export(subject.version, self._pieces(document, sample_ids))

    def _visible(self, session: Session, subject_id: str) -> Subject:
        subject = session.get(Subject, subject_id)
        if subject is None or subject.gallery_id != self._store.gallery_id or subject.state == SubjectState.pending:
            raise SubjectNotFound()
        return subject

    def _pieces(self, document: SubjectExport, sample_ids: Sequence[str]) -> Iterator[bytes]:
        yield document.model_dump_json(exclude={"samples"}).removesuffix("}").encode() + b',"samples":['
        separator = b""
        for sample_id in sample_ids:
            if (sample := self._sample(sample_id)) is not None:
                yield separator + sample.model_dump_json().encode()
                separator = b","
        yield b"]}"

    def _sample(self, sample_id: str) -> ExportedSample | None:
        with self._store.read() as session:
            sample = session.get(Sample, sample_id)
            subject = session.get(Subject, sample.subject_id) if sample is not None else None
            key = key_of(self._store.keyring, subject) if subject is not None else None
            if sample is None or key is None:
                return None
            templates = session.exec(select(Template).where(Template.sample_id == sample_id).order_by(col(Template.seq))).all()
        details, crop = open_details(key, sample), open_crop(key, sample)
        return ExportedSample(
            id=sample.id,
            record_id=sample.subject_id,
            state=sample.state,
            landmarks=[(x, y) for x, y in details.landmarks],
            quality=Quality.model_validate(details.quality),
            crop=None if crop is None else base64.b64encode(crop),
            templates=[
                ExportedTemplate(
                    id=row.id,
                    model_id=row.model_id,
                    seq=row.seq,
                    vector=_float32(open_vector(key, row.sealed_vector, template_id=row.id, model_id=row.model_id)),
                    created_at=row.created_at,
                )
                for row in templates
            ],
            created_at=sample.created_at,
        )

    def _document(self, session: Session, subject: Subject, records: Sequence[str], sample_ids: Sequence[str]) -> SubjectExport:
        pairs = _of_either_side(session, DuplicatePair, subject.gallery_id, records)
        about = [case_id for pair in pairs for case_id in (pair.case_id, *(pair.left_cases or [])) if case_id]
        cases = _rows(session, DuplicateCase, about, col(DuplicateCase.id))
        decided = _rows(session, Decision, [case.id for case in cases], col(Decision.case_id))
        hiding = {case.id for case in cases if decisions_are_hidden(CaseState(case.state), case.closed_reason)}
        told = [row for row in decided if row.case_id not in hiding]
        told += shown([row for row in decided if row.case_id in hiding], hide_unapplied=True)
        own = frozenset(records)
        return SubjectExport(
            subject_id=subject.id,
            gallery_id=subject.gallery_id,
            exported_at=self._store.now(session),
            records=[self._record(row) for row in _rows(session, Subject, records, col(Subject.id))],
            enrolments=[
                ExportedEnrolment(**row.model_dump(), record_id=row.subject_id)
                for row in _rows(session, Enrolment, records, col(Enrolment.subject_id))
            ],
            pairs=[_pair(row, own) for row in pairs],
            cases=[ExportedCase(**row.model_dump()) for row in cases],
            decisions=[_decision(row) for row in sorted(told, key=lambda row: row.id)],
            distinct=[_distinction(row, own) for row in _of_either_side(session, DistinctPair, subject.gallery_id, records)],
            audit=_events(session, [*records, *sample_ids]),
        )

    def _record(self, subject: Subject) -> ExportedRecord:
        profile = open_profile(key_of(self._store.keyring, subject), subject)
        return ExportedRecord(**subject.model_dump(), external_id=profile.external_id, metadata=dict(profile.metadata))


def _sample_ids(session: Session, records: Sequence[str]) -> list[str]:
    query = select(Sample.id)
    return sorted(found for chunk in chunks(records) for found in session.exec(query.where(col(Sample.subject_id).in_(chunk))))


def _rows(session: Session, table: type[Row], ids: Sequence[str], column: Mapped[str]) -> list[Row]:
    """Oldest first: ids begin with the time."""
    found = [row for chunk in chunks(ids) for row in session.exec(select(table).where(column.in_(chunk)))]
    return sorted(found, key=_id)


def _of_either_side(session: Session, table: type[Pair], gallery_id: str, records: Sequence[str]) -> list[Pair]:
    found: dict[str, Pair] = {}
    for chunk in chunks(records):
        query = select(table).where(of_either(table, gallery_id=gallery_id, records=chunk))
        found.update({row.id: row for row in session.exec(query)})
    return sorted(found.values(), key=_id)


def _id(row: SQLModel) -> str:
    return str(row.id)  # type: ignore[attr-defined]


def _pair(row: DuplicatePair, own: frozenset[str]) -> ExportedPair:
    first = row.a_subject_id in own
    return ExportedPair(
        **row.model_dump(),
        record_id=row.a_subject_id if first else row.b_subject_id,
        sample_id=row.a_sample_id if first else row.b_sample_id,
        other_record_id=row.b_subject_id if first else row.a_subject_id,
    )


def _distinction(row: DistinctPair, own: frozenset[str]) -> ExportedDistinction:
    a, b = row.a_subject_id, row.b_subject_id
    record, other = (a, b) if a in own else (b, a)
    return ExportedDistinction(record_id=record, other_record_id=other, decision_id=row.decision_id, at=row.at)


def _decision(row: Decision) -> ExportedDecision:
    shown = row.model_dump() | {"version": abs(row.version)}
    return ExportedDecision(**shown, undone=row.undone_by is not None, has_note=row.sealed_note is not None)


def _events(session: Session, object_ids: Sequence[str]) -> list[ExportedEvent]:
    found = [
        row for chunk in chunks(object_ids) for row in session.exec(select(AuditRow).where(col(AuditRow.object_id).in_(chunk)))
    ]
    return [ExportedEvent(**row.model_dump()) for row in sorted(found, key=lambda row: row.seq or 0)]


def _float32(vector: NDArray[np.float32]) -> bytes:
    """Base64 of little-endian float32."""
    return base64.b64encode(vector.astype("<f4").tobytes())
