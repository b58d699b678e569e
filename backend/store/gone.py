"""What must not come back with a backup: people and samples that were erased, keys that were revoked. Opaque ids alone.

Only the audit trail knows of those who left no row. A restore puts the backup's trail in the place of the present one, so what
this one knew beyond it is carried over: a later restore finds it there, however many came in between, and in whatever order.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, or_, select, update

from backend.store import conclusion, erasure, sample_erasure
from backend.store.audit import Audit
from backend.store.caller import SYSTEM
from backend.store.conclusion import Findings
from backend.store.forest import chunks
from backend.store.sample_erasure import Compare
from backend.store.tables import ApiKey, AuditRow, Enrolment, EnrolmentState, Sample, SampleState, Subject
from backend.wire import SubjectState

if TYPE_CHECKING:
    from backend.store.database import Store

ERASED, SAMPLE_ERASED, REVOKED = "subject.erase", "sample.erase", "key.revoke"
CARRIED = "ledger.carry"
"""Its detail has ids in lists named as the fields of `Gone` are, at most 500 in one event."""
REASON = {"reason": "restore"}


@dataclass(frozen=True)
class Gone:
    """Ids: `records` of people, `samples` of people who stayed, `keys` of machines."""

    records: Set[str] = field(default_factory=frozenset)
    samples: Set[str] = field(default_factory=frozenset)
    keys: Set[str] = field(default_factory=frozenset)

    def with_records(self, more: Set[str]) -> Gone:
        return replace(self, records=self.records | more)

    def beyond(self, other: Gone) -> Gone:
        """What `other` lacks."""
        return Gone(self.records - other.records, self.samples - other.samples, self.keys - other.keys)


@dataclass(frozen=True)
class TakenOut:
    """`bare`: records that are left without a picture, as the backup had none but the erased one."""

    records: int
    samples: int
    keys: int
    bare: tuple[str, ...]


def known(store: Store, session: Session) -> Gone:
    """By the ledger as it stands."""
    records, samples = set[str](), set[str]()
    over = or_(col(ApiKey.revoked_at).is_not(None), col(ApiKey.expires_at) <= store.now(session))
    keys = set(session.exec(select(ApiKey.id).where(over)))  # one that was replaced may have ended before its time
    told = select(AuditRow.detail).where(col(AuditRow.action).in_((ERASED, SAMPLE_ERASED, CARRIED)))
    told = told.where(AuditRow.gallery_id == store.gallery_id).execution_options(yield_per=1000)
    for detail in session.exec(told):
        records.update(detail.get("records", ()))
        samples.update(detail.get("samples", ()), filter(None, [detail.get("sample")]))
        keys.update(detail.get("keys", ()))
    return Gone(records, samples, keys)


def carry_over(store: Store, session: Session, gone: Gone) -> None:
    for kind in fields(gone):
        for some in chunks(getattr(gone, kind.name)):
            Audit(store).append(session, SYSTEM, CARRIED, None, {kind.name: some})


def take_out(store: Store, session: Session, gone: Gone, *, compare: Compare) -> TakenOut:
    """Erase and revoke again whatever of it the ledger holds, each told in the trail. Within a write transaction."""
    records = _erase(store, session, gone.records)
    samples = _samples(session, gone.samples)
    bare = {sample.subject_id for sample in samples if _erase_sample(store, session, sample, compare)}
    keys = _revoke(store, session, gone.keys)
    return TakenOut(records, len(samples), keys, tuple(sorted(bare)))


def _erase(store: Store, session: Session, ids: Set[str]) -> int:
    there = [found for some in chunks(ids) for found in session.exec(select(Subject.id).where(col(Subject.id).in_(some)))]
    for some in chunks(there):
        # A merge into one of them may have been undone since: who is left stands alone again.
        left = update(Subject).where(col(Subject.merged_into).in_(some))
        session.exec(left.values(merged_into=None, merged_by=None, state=SubjectState.active))
    if there:
        erasure.erase(store, session, there, at=store.now(session))
    for some in chunks(there):
        Audit(store).append(session, SYSTEM, ERASED, some[0], {"records": some, **REASON})
    return len(there)


def _samples(session: Session, ids: Set[str]) -> list[Sample]:
    return [found for some in chunks(ids) for found in session.exec(select(Sample).where(col(Sample.id).in_(some)))]


def _erase_sample(store: Store, session: Session, sample: Sample, compare: Compare) -> bool:
    """True where its record has no other now: the one that was the last when it was erased may be younger than the backup."""
    sample_erasure.erase_even_the_last(store, session, sample, compare=compare, at=store.now(session))
    Audit(store).append(session, SYSTEM, SAMPLE_ERASED, sample.subject_id, {"sample": sample.id, **REASON})
    if sample.state == SampleState.pending:
        _conclude(store, session, sample.enrolment_id)
    in_gallery = col(Sample.state).in_((SampleState.active, SampleState.pending))
    return not _any(session, col(Sample.subject_id) == sample.subject_id, in_gallery)


def _conclude(store: Store, session: Session, enrolment_id: str) -> None:
    """An enrolment of which nothing is left to search with is done: no sweep could go on with it."""
    enrolment = session.get_one(Enrolment, enrolment_id)
    if enrolment.state == EnrolmentState.pending and not _any(session, col(Sample.enrolment_id) == enrolment_id):
        conclusion.conclude(store, session, enrolment_id, Findings(evidence=(), held=()))


def _any(session: Session, *conditions: ColumnElement[bool]) -> bool:
    return session.exec(select(Sample.id).where(*conditions).limit(1)).first() is not None


def _revoke(store: Store, session: Session, ids: Set[str]) -> int:
    valid = col(ApiKey.revoked_at).is_(None)
    keys = [key for some in chunks(ids) for key in session.exec(select(ApiKey).where(col(ApiKey.id).in_(some), valid))]
    for key in keys:
        key.revoked_at = store.now(session)
        Audit(store).append(session, SYSTEM, REVOKED, key.id, REASON)
    return len(keys)
