"""T1, the first transaction of an enrolment: what is enrolled is written, and enters the log, but nobody sees it yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, select

from backend.errors import ExternalIdTaken, ModelMismatch, RetainUntilPast, SubjectNotFound
from backend.store import gallery_log
from backend.store.caller import Caller
from backend.store.ids import new_id
from backend.store.keyring import SubjectKey
from backend.store.sealing import Profile, SampleDetails, key_of, seal_crop, seal_details, seal_profile, seal_vector
from backend.store.tables import Enrolment, EnrolmentKind, EnrolmentState, Sample, SampleState, Subject, Template
from backend.wire import OnDuplicate, SubjectState

if TYPE_CHECKING:
    from backend.store.database import Store


@dataclass(frozen=True)
class NewSample:
    """`crop`: JPEG, or None where pictures are not stored; `vector`: (d,) float32 on the engine's scale."""

    crop: bytes | None
    details: SampleDetails
    vector: NDArray[np.float32]


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
) -> Enrolment:
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
    subject = Subject(
        id=subject_id,
        gallery_id=store.gallery_id,
        state=SubjectState.pending,
        external_id_index=index,
        sealed_profile=seal_profile(key, profile, subject_id=subject_id),
        wrapped_key=wrapped,
        retain_until=to_come(retain_until, now=now),
        created_at=now,
    )
    session.add(subject)
    session.flush()
    return _admit(store, session, subject, key, samples, kind=EnrolmentKind.subject, terms=terms, now=now)


def admit_samples(store: Store, session: Session, subject_id: str, samples: Sequence[NewSample], *, terms: Terms) -> Enrolment:
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
    return _admit(store, session, subject, key, samples, kind=EnrolmentKind.samples, terms=terms, now=store.now(session))


def admit_again(session: Session, enrolment: Enrolment, sample: Sample, *, caller: Caller, now: datetime) -> Enrolment:
    """A held sample that a reviewer accepted: it enters the log anew, and the next sweep finishes it as it finishes any other."""
    template = session.exec(select(Template).where(Template.sample_id == sample.id)).one()
    seq = gallery_log.append_add(
        session, gallery_id=template.gallery_id, template_id=template.id, model_id=template.model_id, at=now
    )
    template.seq = seq
    again = Enrolment(
        **enrolment.model_dump(
            include={"gallery_id", "subject_id", "model_id", "verification_threshold", "review_threshold", "certain_threshold"}
        ),
        id=new_id("enr"),
        kind=EnrolmentKind.accepted,
        policy=OnDuplicate.flag,
        state=EnrolmentState.pending,
        first_seq=seq,
        last_seq=seq,
        caller_id=caller.id,
        caller_kind=caller.kind,
        caller_sid=caller.sid,
        caller_kid=caller.kid,
        lease_holder="",
        lease_until=now,
        created_at=now,
    )
    session.add(again)
    sample.state, sample.enrolment_id = SampleState.pending, again.id
    session.flush()
    return again


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


def _admit(
    store: Store,
    session: Session,
    subject: Subject,
    key: SubjectKey,
    samples: Sequence[NewSample],
    *,
    kind: EnrolmentKind,
    terms: Terms,
    now: datetime,
) -> Enrolment:
    if store.gallery(session).model_id != terms.model_id:
        raise ModelMismatch()
    enrolment_id = new_id("enr")
    seqs = [_add_sample(store, session, subject, key, sample, enrolment_id, terms.model_id, now) for sample in samples]
    enrolment = Enrolment(
        id=enrolment_id,
        gallery_id=subject.gallery_id,
        subject_id=subject.id,
        kind=kind,
        policy=terms.policy,
        state=EnrolmentState.pending,
        first_seq=min(seqs),
        last_seq=max(seqs),
        model_id=terms.model_id,
        verification_threshold=terms.verification_threshold,
        review_threshold=terms.review_threshold,
        certain_threshold=terms.certain_threshold,
        caller_id=terms.caller.id,
        caller_kind=terms.caller.kind,
        caller_sid=terms.caller.sid,
        caller_kid=terms.caller.kid,
        lease_holder=terms.lease_holder,
        lease_until=now + timedelta(seconds=terms.lease_s),
        created_at=now,
    )
    session.add(enrolment)
    session.flush()
    return enrolment


def _add_sample(
    store: Store,
    session: Session,
    subject: Subject,
    key: SubjectKey,
    new: NewSample,
    enrolment_id: str,
    model_id: str,
    now: datetime,
) -> int:
    sample_id, template_id = new_id("smp"), new_id("tpl")
    sample = Sample(
        id=sample_id,
        gallery_id=subject.gallery_id,
        subject_id=subject.id,
        enrolment_id=enrolment_id,
        state=SampleState.pending,
        sealed_crop=None if new.crop is None else seal_crop(key, new.crop, sample_id=sample_id),
        sealed_details=seal_details(key, new.details, sample_id=sample_id),
        image_digest=None if new.crop is None else store.image_digest(session, new.crop),
        created_at=now,
    )
    session.add(sample)
    session.flush()
    seq = gallery_log.append_add(session, gallery_id=subject.gallery_id, template_id=template_id, model_id=model_id, at=now)
    template = Template(
        id=template_id,
        gallery_id=subject.gallery_id,
        subject_id=subject.id,
        sample_id=sample_id,
        model_id=model_id,
        seq=seq,
        sealed_vector=seal_vector(key, new.vector, template_id=template_id, model_id=model_id),
        created_at=now,
    )
    session.add(template)
    session.flush()
    return seq
