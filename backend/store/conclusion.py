"""T2, the second transaction of an enrolment: who is a duplicate of whom, and what follows. One writer wins.

Everything that could have changed since the search is read again here, under the ledger lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from sqlalchemy import bindparam
from sqlalchemy.orm import defer
from sqlmodel import Session, col, delete, select

from backend import wire
from backend.errors import SubjectNotFound
from backend.events import DuplicateOf, EventType, RejectedData
from backend.store import answers, aside, audit, clusters, distinct, gallery_log, outbox, scrubbing
from backend.store.caller import Caller
from backend.store.forest import chunks, roots, trees
from backend.store.pairs import Circumstances, FoundPair, band_of, margin_of
from backend.store.rows import change
from backend.store.sealing import key_of, open_details, open_profile
from backend.store.tables import (
    CalibrationRow,
    Enrolment,
    EnrolmentKind,
    EnrolmentState,
    Sample,
    SampleState,
    Subject,
    Template,
)
from backend.wire import OnDuplicate, SubjectState

if TYPE_CHECKING:
    from backend.store.database import Store

CREATED, REJECTED = 201, 409
_KNOWN = select(CalibrationRow.id).where(
    CalibrationRow.id == bindparam("calibration_id"), CalibrationRow.gallery_id == bindparam("gallery_id")
)
_BEGUN = (
    select(Enrolment, Subject, Sample, _KNOWN.exists())
    .join(Subject, col(Subject.id) == Enrolment.subject_id)
    .outerjoin(Sample, col(Sample.enrolment_id) == Enrolment.id)
    .where(Enrolment.id == bindparam("enrolment_id"))
    .order_by(col(Sample.id))
    .options(defer(Sample.sealed_crop))  # type: ignore[arg-type]
    .execution_options(populate_existing=True)
)
_STATES = (
    select(Template.seq, Sample.state, Subject.state)
    .join(Sample, col(Sample.id) == Template.sample_id)
    .join(Subject, col(Subject.id) == Template.subject_id)
    .where(Template.gallery_id == bindparam("gallery_id"), col(Template.seq).in_(bindparam("seqs", expanding=True)))
)


@dataclass(frozen=True)
class Evidence:
    """A new sample and an older template that reached the review threshold together."""

    new_sample_id: str
    old_seq: int
    old_sample_id: str
    old_subject_id: str
    score: float


@dataclass(frozen=True)
class Held:
    """A new sample that does not match its own subject; `best_sample_id` is the one that it comes closest to."""

    sample_id: str
    best_sample_id: str
    score: float


@dataclass(frozen=True)
class Findings:
    """What the search found. `expected_fpir` at the present size of the gallery, or why it is None, is for the caller to say.

    `searched_as`: the enrolment's model and first number, by which the search went; None where there was none.
    """

    evidence: Sequence[Evidence]
    held: Sequence[Held]
    searched_as: tuple[str, int] | None = None
    calibration_id: str | None = None
    calibration: Callable[[datetime], CalibrationRow | None] = lambda _: None
    """its row, made at that time, for a ledger that does not have it yet"""
    expected_fpir: float | None = None
    expected_fpir_reason: str | None = None


class SearchOutdated(Exception):
    """The gallery's model was changed since the search: nothing may be concluded from it, and it is done again."""


@dataclass
class _Case:
    """What T2 works on; not a review case."""

    store: Store
    session: Session
    enrolment: Enrolment
    subject: Subject
    samples: list[Sample]
    now: datetime
    circumstances: Circumstances
    expected_fpir_reason: str | None
    roots: Mapping[str, str] = field(default_factory=dict)
    reach: dict[str, float] = field(default_factory=dict)
    """the best score with each other person (root) that reached the threshold, also with those known to differ"""


def conclude(store: Store, session: Session, enrolment_id: str, findings: Findings) -> tuple[int, wire.Enrolment]:
    """Finish an enrolment, or give the answer of whoever finished it first.

    Raises:
        SubjectNotFound: it is gone.
        SearchOutdated: and nothing may be kept of this transaction.
    """
    session.flush()
    asked = {"enrolment_id": enrolment_id, "calibration_id": findings.calibration_id, "gallery_id": store.gallery_id}
    begun = session.exec(_BEGUN, params=asked).all()
    if not begun:
        raise SubjectNotFound()
    enrolment, subject, _, calibration_is_known = begun[0]
    if enrolment.state != EnrolmentState.pending:
        return answers.read(store, session, enrolment)
    _refuse_outdated(store, session, enrolment, findings)
    now = store.now(session)
    if not calibration_is_known:
        _keep_calibration(session, findings, now)
    samples = [sample for _, _, sample, _ in begun if sample is not None]
    return _finish(_case(store, session, enrolment, subject, samples, findings, now), findings)


def _refuse_outdated(store: Store, session: Session, enrolment: Enrolment, findings: Findings) -> None:
    if findings.searched_as is None:
        return
    in_force = store.gallery(session).model_id
    if in_force != enrolment.model_id or findings.searched_as != (enrolment.model_id, enrolment.first_seq):
        raise SearchOutdated()


def _keep_calibration(session: Session, findings: Findings, now: datetime) -> None:
    if findings.calibration_id is not None and (row := findings.calibration(now)) is not None:
        session.add(row)
        session.flush()


def _case(
    store: Store,
    session: Session,
    enrolment: Enrolment,
    subject: Subject,
    samples: list[Sample],
    findings: Findings,
    now: datetime,
) -> _Case:
    circumstances = Circumstances(
        threshold=enrolment.review_threshold,
        gallery_size=store.gallery(session).active_templates,
        expected_fpir=findings.expected_fpir,
        calibration_id=findings.calibration_id,
        model_id=enrolment.model_id,
        source="enrolment",
        at=now,
    )
    return _Case(store, session, enrolment, subject, samples, now, circumstances, findings.expected_fpir_reason)


def _finish(case: _Case, findings: Findings) -> tuple[int, wire.Enrolment]:
    held = {held.sample_id for held in findings.held}
    standing, settled = _standing(case, [e for e in findings.evidence if e.new_sample_id not in held])
    certain = [e for e, pending in standing if not pending and e.score >= case.enrolment.certain_threshold]
    evidence = [e for e, _ in standing]
    if certain and case.enrolment.policy == OnDuplicate.reject and case.enrolment.kind == EnrolmentKind.subject:
        return _reject(case, evidence)
    return _flag(case, evidence, settled, findings.held)


def _standing(case: _Case, evidence: Sequence[Evidence]) -> tuple[list[tuple[Evidence, bool]], list[Evidence]]:
    """What is to be asked now, with whether the other side is itself pending; and what needs no asking, for now, as the two
    are one person or known to differ. The rest is gone, or was rejected.
    """
    if not evidence:
        return [], []
    session, gallery = case.session, case.enrolment.gallery_id
    states = _states(session, gallery, {e.old_seq for e in evidence})
    case.roots = roots(session, {case.subject.id, *(e.old_subject_id for e in evidence)})
    own = case.roots[case.subject.id]
    others = {root for root in case.roots.values() if root != own}
    mine = trees(session, [own])
    differing = distinct.partners(session, gallery_id=gallery, records=mine)
    records = trees(session, others) if differing else {}
    differ = {records[record] for record in differing & records.keys()}
    standing: list[tuple[Evidence, bool]] = []
    settled: list[Evidence] = []
    for e in evidence:
        sample_state, subject_state = states.get(e.old_seq, (None, None))
        pending = SampleState.pending in (sample_state, subject_state)
        living = sample_state == SampleState.active and subject_state in (SubjectState.active, SubjectState.merged)
        root = case.roots.get(e.old_subject_id)
        if not (pending or living) or root is None or e.old_subject_id == case.subject.id:
            continue
        if root != own:
            case.reach[root] = max(e.score, case.reach.get(root, e.score))
        if root == own or root in differ:
            settled.append(e)
        else:
            standing.append((e, pending))
    return standing, settled


def _states(session: Session, gallery_id: str, seqs: Iterable[int]) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for chunk in chunks(seqs):
        rows = session.exec(_STATES, params={"gallery_id": gallery_id, "seqs": chunk})
        found.update({seq: (sample, subject) for seq, sample, subject in rows})
    return found


# --- flag ---------------------------------------------------------------------------------------------------------


def _flag(
    case: _Case, evidence: Sequence[Evidence], settled: Sequence[Evidence], held: Sequence[Held]
) -> tuple[int, wire.Enrolment]:
    session, subject = case.session, case.subject
    holding = {one.sample_id for one in held}
    for sample in case.samples:
        change(session, sample, state=SampleState.held if sample.id in holding else SampleState.active)
    _remove_from_log(case, holding)
    if case.enrolment.kind == EnrolmentKind.subject:
        change(session, subject, state=SubjectState.active)
    else:
        change(session, subject, version=subject.version + 1)
    gallery_row = case.store.gallery(session)
    change(session, gallery_row, active_templates=gallery_row.active_templates + len(case.samples) - len(holding))
    pairs, gallery = _pairs(case, evidence), case.enrolment.gallery_id
    review = clusters.record(session, pairs, gallery_id=gallery, circumstances=case.circumstances) if pairs else None
    aside.keep(session, _pairs(case, settled), gallery_id=gallery, circumstances=case.circumstances)
    for one in held:
        mismatch = clusters.record_held(
            session, _held_pair(case, one), held_sample_id=one.sample_id, gallery_id=gallery, circumstances=case.circumstances
        )
        review = review or mismatch
    answer = _answer(case, evidence, case_id=None if review is None else review.id)
    return _close(case, CREATED, answer, pairs=len(pairs))


def _held_pair(case: _Case, held: Held) -> FoundPair:
    return FoundPair(
        subject_ids=(case.subject.id, case.subject.id),
        sample_ids=(held.best_sample_id, held.sample_id),
        score=held.score,
        band="review",
    )


def _remove_from_log(case: _Case, sample_ids: Iterable[str]) -> None:
    for sample_id in sorted(sample_ids):
        for template in case.session.exec(select(Template).where(Template.sample_id == sample_id)).all():
            gallery_log.append_remove(case.session, template, at=case.now)


# --- reject -------------------------------------------------------------------------------------------------------


def _reject(case: _Case, evidence: Sequence[Evidence]) -> tuple[int, wire.Enrolment]:
    """The subject leaves the gallery and its key is destroyed; what remains are ids."""
    session, subject = case.session, case.subject
    pairs, gallery = _pairs(case, evidence), case.enrolment.gallery_id
    answer = _answer(case, evidence, case_id=None, ids_only=True)
    _remove_from_log(case, [sample.id for sample in case.samples])
    session.exec(delete(Template).where(col(Template.subject_id) == subject.id))
    session.exec(delete(Sample).where(col(Sample.subject_id) == subject.id))
    subject.state, subject.version = SubjectState.rejected, subject.version + 1
    subject.external_id_index = subject.sealed_profile = subject.wrapped_key = None
    clusters.drop_subjects(session, [subject.id], gallery_id=gallery, at=case.now, reason="rejected")
    clusters.record_closed(session, pairs, gallery_id=gallery, circumstances=case.circumstances)
    scrubbing.ask(session, gallery_id=gallery, at=case.now)
    _tell_rejected(case, answer)
    return _close(case, REJECTED, answer, pairs=len(pairs))


def _tell_rejected(case: _Case, answer: wire.Enrolment) -> None:
    enrolment, subject_id = case.enrolment, case.subject.id
    others = [DuplicateOf(subject_id=one.subject_id, score=one.score) for one in answer.duplicates]
    data = RejectedData(enrolment_id=enrolment.id, subject_id=subject_id, model_id=enrolment.model_id, duplicate_of=others)
    about = {"gallery_id": enrolment.gallery_id, "object_id": enrolment.id, "subject_id": subject_id}
    outbox.tell(case.session, EventType.enrolment_rejected, data, **about, at=case.now)


# --- both ---------------------------------------------------------------------------------------------------------


def _pairs(case: _Case, evidence: Sequence[Evidence]) -> list[FoundPair]:
    """The best evidence for each older record."""
    best: dict[str, Evidence] = {}
    for e in sorted(evidence, key=lambda e: (-e.score, e.old_seq)):
        best.setdefault(e.old_subject_id, e)
    return [
        FoundPair(
            subject_ids=(case.subject.id, e.old_subject_id),
            sample_ids=(e.new_sample_id, e.old_sample_id),
            score=e.score,
            band=band_of(e.score, case.enrolment.certain_threshold),
            margin=margin_of(e.score, case.roots[e.old_subject_id], case.reach, threshold=case.enrolment.review_threshold),
        )
        for e in best.values()
    ]


def _answer(case: _Case, evidence: Sequence[Evidence], *, case_id: str | None, ids_only: bool = False) -> wire.Enrolment:
    """Candidates are people (roots), best first, each once."""
    best: dict[str, wire.DuplicateCandidate] = {}
    for e in sorted(evidence, key=lambda e: (-e.score, e.old_seq)):
        root = case.roots[e.old_subject_id]
        band = band_of(e.score, case.enrolment.certain_threshold)
        candidate = wire.DuplicateCandidate(subject_id=root, sample_id=e.old_sample_id, score=e.score, band=band)
        best.setdefault(root, candidate)
    key = key_of(case.store.keyring, case.subject)
    return wire.Enrolment(
        subject_id=case.subject.id,
        state=SubjectState.rejected if ids_only else SubjectState(case.subject.state),
        external_id=None if ids_only else open_profile(key, case.subject).external_id,
        sample_ids=[sample.id for sample in case.samples],
        duplicates=list(best.values()),
        case_id=case_id,
        seq=case.enrolment.last_seq,
        review_threshold=case.enrolment.review_threshold,
        expected_fpir=case.circumstances.expected_fpir,
        expected_fpir_reason=case.expected_fpir_reason,
        model_id=case.enrolment.model_id,
        quality=[]
        if ids_only or key is None
        else [wire.Quality.model_validate(open_details(key, sample).quality) for sample in case.samples],
    )


def _close(case: _Case, status: int, answer: wire.Enrolment, *, pairs: int) -> tuple[int, wire.Enrolment]:
    session, enrolment = case.session, case.enrolment
    state = EnrolmentState.rejected if status == REJECTED else EnrolmentState.done
    change(
        session, enrolment, state=state, finished_at=case.now, **answers.kept(case.store, enrolment, case.subject, status, answer)
    )
    action = "subject.reject" if status == REJECTED else _ACTIONS[EnrolmentKind(enrolment.kind)]
    detail = {"enrolment": enrolment.id, "pairs": pairs, "case": answer.case_id}
    audit.append(session, _caller(enrolment), action, case.subject.id, detail, gallery_id=enrolment.gallery_id, at=case.now)
    return status, answer


_ACTIONS = {
    EnrolmentKind.subject: "subject.enrol",
    EnrolmentKind.samples: "sample.add",
    EnrolmentKind.accepted: "sample.accept",
}


def _caller(enrolment: Enrolment) -> Caller:
    kind: Literal["key", "person"] = "person" if enrolment.caller_kind == "person" else "key"
    return Caller(id=enrolment.caller_id, name="", kind=kind, sid=enrolment.caller_sid, kid=enrolment.caller_kid)
