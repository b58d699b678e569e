"""T1, the first transaction of an enrolment: what is enrolled is written, and enters the log, but nobody sees it yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from backend.errors import CaseStateConflict, ExternalIdTaken, ModelMismatch, RetainUntilPast, SubjectNotFound
from backend.store import gallery_log
from backend.store.caller import Caller
from backend.store.ids import new_id
from backend.store.keyring import SubjectKey
from backend.store.sealing import Profile, SampleDetails, key_of, seal_crop, seal_details, seal_profile, seal_vector
from backend.store.tables import Enrolment, EnrolmentKind, EnrolmentState, Sample, SampleState, Subject, Template
from backend.wire import OnDuplicate, SubjectState

if TYPE_CHECKING:
    from backend.store.database import Store


class Judging(Protocol):
    """The thresholds by which an enrolment is judged."""

    @property
    def verification(self) -> float: ...
    @property
    def review(self) -> float: ...
    @property
    def certain(self) -> float: ...


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


def admit_again(store: Store, session: Session, enrolment: Enrolment, sample: Sample, *, caller: Caller) -> Enrolment:
    """A held sample that a reviewer accepted: it enters the log anew, and the next sweep finishes it as it finishes any other.

    Raises CaseStateConflict for one that a change of model left without a template.
    """
    now = store.now(session)
    seq = _log_anew(session, sample, model_id=store.gallery(session).model_id, at=now)
    if seq is None:
        raise CaseStateConflict("This picture has no template of the gallery's model: refuse it, and take another one")
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


def begin_anew(store: Store, session: Session, enrolment: Enrolment, *, model_id: str, thresholds: Judging) -> bool:
    """A pending enrolment, under the model that came into force since it began: as if it began only now.

    So everybody who has a smaller number is found by its search, and whoever comes after finds it. False where nothing was to be
    done, or a template of the model is missing: a switch leaves none behind.
    """
    if enrolment.state != EnrolmentState.pending or store.gallery(session).model_id != model_id or enrolment.model_id == model_id:
        return False
    now = store.now(session)
    samples = session.exec(select(Sample).where(Sample.enrolment_id == enrolment.id).order_by(col(Sample.id))).all()
    mine = [template for sample in samples for template in _templates_of(session, sample) if template.model_id == model_id]
    if len(mine) != len(samples):
        return False
    for template in mine:
        gallery_log.append_remove(session, template, at=now)
        _add_to_log(session, template, at=now)
    enrolment.model_id = model_id
    enrolment.first_seq, enrolment.last_seq = mine[0].seq, mine[-1].seq
    enrolment.verification_threshold = thresholds.verification
    enrolment.review_threshold = thresholds.review
    enrolment.certain_threshold = thresholds.certain
    session.flush()
    return True


def add_template(
    session: Session, sample: Sample, key: SubjectKey, vector: NDArray[np.float32], *, model_id: str, at: datetime
) -> int:
    """The template of a sample by one model, in the log; its number."""
    template_id = new_id("tpl")
    seq = gallery_log.append_add(session, gallery_id=sample.gallery_id, template_id=template_id, model_id=model_id, at=at)
    template = Template(
        id=template_id,
        gallery_id=sample.gallery_id,
        subject_id=sample.subject_id,
        sample_id=sample.id,
        model_id=model_id,
        seq=seq,
        sealed_vector=seal_vector(key, vector, template_id=template_id, model_id=model_id),
        created_at=at,
    )
    session.add(template)
    session.flush()
    return seq


def _log_anew(session: Session, sample: Sample, *, model_id: str | None, at: datetime) -> int | None:
    """One that left the log enters it again, of every model that it has a template of; its number in the given one."""
    found = None
    for template in _templates_of(session, sample):
        seq = _add_to_log(session, template, at=at)
        found = seq if template.model_id == model_id else found
    return found


def _templates_of(session: Session, sample: Sample) -> Sequence[Template]:
    return session.exec(select(Template).where(Template.sample_id == sample.id).order_by(col(Template.seq))).all()


def _add_to_log(session: Session, template: Template, *, at: datetime) -> int:
    template.seq = gallery_log.append_add(
        session, gallery_id=template.gallery_id, template_id=template.id, model_id=template.model_id, at=at
    )
    session.flush()
    return template.seq


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
    sample_id = new_id("smp")
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
    seq = add_template(session, sample, key, new.vector, model_id=model_id, at=now)
    kept_beside = store.gallery(session).other_model_id
    if kept_beside is not None and (vector := new.others.get(kept_beside)) is not None:
        add_template(session, sample, key, vector, model_id=kept_beside, at=now)
    return seq
