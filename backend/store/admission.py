"""T1, the first transaction of an enrolment: what is enrolled is written, and enters the log, but nobody sees it yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, select

from backend.errors import ExternalIdTaken, ModelMismatch, RetainUntilPast, SubjectNotFound
from backend.store import gallery_log
from backend.store.caller import Caller
from backend.store.ids import new_id
from backend.store.keyring import SubjectKey
from backend.store.rows import as_read, insert
from backend.store.sealing import Profile, SampleDetails, key_of, seal_crop, seal_details, seal_profile, seal_vector
from backend.store.tables import Enrolment, EnrolmentKind, EnrolmentState, Sample, SampleState, Subject, Template
from backend.store.templates import StoredTemplate
from backend.wire import OnDuplicate, SubjectState

if TYPE_CHECKING:
    from backend.store.database import Store


@dataclass(frozen=True)
class NewSample:
    """`crop`: JPEG, or None where pictures are not stored; `vector`: (d,) float32 on the engine's scale.

    `others`: the same face by other models, of which those are kept that the gallery keeps beside the one in force.
    """

    crop: bytes | None
    details: SampleDetails
    vector: NDArray[np.float32]
    others: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Begun:
    """What the transaction wrote, for whoever goes on without reading it again: `new` by the model of the terms, by `seq`."""

    enrolment: Enrolment
    new: list[StoredTemplate]


@dataclass(frozen=True)
class Terms:
    """Under which an enrolment is made: kept with it, so that whoever finishes it judges alike."""

    model_id: str
    policy: OnDuplicate
    verification_threshold: float
    review_threshold: float
    certain_threshold: float
    caller: Caller
    lease_holder: str
    lease_s: float


def admit_subject(
    store: Store,
    session: Session,
    profile: Profile,
    samples: Sequence[NewSample],
    *,
    terms: Terms,
    retain_until: datetime | None = None,
) -> Begun:
    """A new subject, pending.

    Raises:
        ExternalIdTaken: another subject of the gallery has it.
        RetainUntilPast.
        ModelMismatch: the gallery is pinned to another model.
    """
    now = store.now(session)
    subject_id = new_id("sub")
    wrapped, key = store.keyring_of(session).new_subject_key(subject_id)
    index = claim_external_id(store, session, profile.external_id)
    row = {
        "id": subject_id,
        "gallery_id": store.gallery_id,
        "state": SubjectState.pending,
        "version": 1,
        "external_id_index": index,
        "sealed_profile": seal_profile(key, profile, subject_id=subject_id),
        "wrapped_key": wrapped,
        "retain_until": to_come(retain_until, now=now),
        "created_at": now,
    }
    insert(session, Subject, row)
    whose = _Whose(store.gallery_id, subject_id, SubjectState.pending, key)
    return _admit(store, session, whose, samples, kind=EnrolmentKind.subject, terms=terms, now=now)


def admit_samples(store: Store, session: Session, subject_id: str, samples: Sequence[NewSample], *, terms: Terms) -> Begun:
    """Further samples of a known subject; they stay on this record, also where it was merged into another.

    Raises:
        SubjectNotFound: there is none, or it was rejected.
        ModelMismatch: the gallery is pinned to another model.
    """
    subject = session.get(Subject, subject_id)
    if subject is None or subject.gallery_id != store.gallery_id:
        raise SubjectNotFound()
    key = key_of(store.keyring, subject)
    if key is None or subject.state not in (SubjectState.active, SubjectState.merged):
        raise SubjectNotFound()
    whose = _Whose(subject.gallery_id, subject.id, subject.state, key)
    return _admit(store, session, whose, samples, kind=EnrolmentKind.samples, terms=terms, now=store.now(session))


def add_template(
    session: Session, sample: Sample, key: SubjectKey, vector: NDArray[np.float32], *, model_id: str, at: datetime
) -> int:
    """The template of a sample by one model, in the log; its number."""
    whose = _Whose(sample.gallery_id, sample.subject_id, "", key)
    return _write_template(session, whose, sample.id, vector, model_id=model_id, at=at)[1]


def _write_template(
    session: Session, whose: _Whose, sample_id: str, vector: NDArray[np.float32], *, model_id: str, at: datetime
) -> tuple[str, int]:
    """Its id and its number in the log."""
    template_id = new_id("tpl")
    seq = gallery_log.append_add(session, gallery_id=whose.gallery_id, template_id=template_id, model_id=model_id, at=at)
    row = {
        "id": template_id,
        "gallery_id": whose.gallery_id,
        "subject_id": whose.subject_id,
        "sample_id": sample_id,
        "model_id": model_id,
        "seq": seq,
        "sealed_vector": seal_vector(whose.key, vector, template_id=template_id, model_id=model_id),
        "created_at": at,
    }
    insert(session, Template, row)
    return template_id, seq


def to_come(retain_until: datetime | None, *, now: datetime) -> datetime | None:
    """As given; raises RetainUntilPast for a time that is over: the subject would go as soon as it came."""
    if retain_until is not None and retain_until <= now:
        raise RetainUntilPast()
    return retain_until


def claim_external_id(store: Store, session: Session, external_id: str | None) -> str | None:
    """Its blind index, where nobody else of the gallery has it; raises ExternalIdTaken."""
    if external_id is None:
        return None
    index = store.blind_index(session, external_id)
    taken = session.exec(select(Subject.id).where(Subject.gallery_id == store.gallery_id, Subject.external_id_index == index))
    if taken.first() is not None:
        raise ExternalIdTaken()
    return index


@dataclass(frozen=True)
class _Whose:
    gallery_id: str
    subject_id: str
    state: str
    key: SubjectKey


def _admit(
    store: Store,
    session: Session,
    whose: _Whose,
    samples: Sequence[NewSample],
    *,
    kind: EnrolmentKind,
    terms: Terms,
    now: datetime,
) -> Begun:
    if store.gallery(session).model_id != terms.model_id:
        raise ModelMismatch()
    enrolment_id = new_id("enr")
    new = [_add_sample(store, session, whose, sample, enrolment_id, terms.model_id, now) for sample in samples]
    row: dict[str, Any] = {
        "id": enrolment_id,
        "gallery_id": whose.gallery_id,
        "subject_id": whose.subject_id,
        "kind": kind,
        "policy": terms.policy,
        "state": EnrolmentState.pending,
        "first_seq": min(template.seq for template in new),
        "last_seq": max(template.seq for template in new),
        "model_id": terms.model_id,
        "verification_threshold": terms.verification_threshold,
        "review_threshold": terms.review_threshold,
        "certain_threshold": terms.certain_threshold,
        "caller_id": terms.caller.id,
        "caller_kind": terms.caller.kind,
        "caller_sid": terms.caller.sid,
        "caller_kid": terms.caller.kid,
        "lease_holder": terms.lease_holder,
        "lease_until": now + timedelta(seconds=terms.lease_s),
        "created_at": now,
    }
    insert(session, Enrolment, row)
    return Begun(as_read(Enrolment, row), new)


def _add_sample(
    store: Store, session: Session, whose: _Whose, new: NewSample, enrolment_id: str, model_id: str, now: datetime
) -> StoredTemplate:
    sample_id, key = new_id("smp"), whose.key
    row = {
        "id": sample_id,
        "gallery_id": whose.gallery_id,
        "subject_id": whose.subject_id,
        "enrolment_id": enrolment_id,
        "state": SampleState.pending,
        "sealed_crop": None if new.crop is None else seal_crop(key, new.crop, sample_id=sample_id),
        "sealed_details": seal_details(key, new.details, sample_id=sample_id),
        "image_digest": None if new.crop is None else store.image_digest(session, new.crop),
        "created_at": now,
    }
    insert(session, Sample, row)
    template_id, seq = _write_template(session, whose, sample_id, new.vector, model_id=model_id, at=now)
    kept_beside = store.gallery(session).other_model_id
    if kept_beside is not None and (vector := new.others.get(kept_beside)) is not None:
        _write_template(session, whose, sample_id, vector, model_id=kept_beside, at=now)
    return StoredTemplate(
        seq=seq,
        id=template_id,
        model_id=model_id,
        sample_id=sample_id,
        sample_state=SampleState.pending,
        enrolment_id=enrolment_id,
        subject_id=whose.subject_id,
        subject_state=whose.state,
        vector=np.ascontiguousarray(new.vector, dtype=np.float32),
    )
