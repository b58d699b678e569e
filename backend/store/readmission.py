"""What left the gallery's log, or stands in it under another model, enters it anew: like any other it is searched for then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from sqlmodel import Session, col, select

from backend.errors import CaseStateConflict
from backend.store import gallery_log
from backend.store.caller import Caller
from backend.store.ids import new_id
from backend.store.tables import Enrolment, EnrolmentKind, EnrolmentState, Sample, SampleState, Template
from backend.wire import OnDuplicate

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
