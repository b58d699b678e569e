"""A case as the API shows it: its subjects, the evidence for each pair, its claim and its decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlmodel import Session, col, select

from backend import wire
from backend.store.asked import asked_pairs
from backend.store.due import DueTimes
from backend.store.forest import chunks, roots
from backend.store.pairs import band_of_case
from backend.store.sealing import key_of
from backend.store.subject_view import views_by_id
from backend.store.tables import Decision, DuplicateCase, DuplicatePair, PairState, Subject
from backend.wire import CaseState

if TYPE_CHECKING:
    from backend.store.database import Store


def shown_state(case: DuplicateCase, now: datetime) -> CaseState:
    """An open case with a running lease is claimed."""
    return CaseState.claimed if case.state == CaseState.open and holder(case, now) is not None else CaseState(case.state)


def holder(case: DuplicateCase, now: datetime) -> str | None:
    """Who holds it now; an expired lease is nobody's."""
    return case.lease_holder if case.lease_until is not None and case.lease_until > now else None


def records_of(pairs: Sequence[DuplicatePair]) -> list[str]:
    return sorted({subject for pair in pairs for subject in (pair.a_subject_id, pair.b_subject_id)})


def view(store: Store, session: Session, case: DuplicateCase, *, due: DueTimes, hide_unapplied: bool) -> wire.Case:
    """`subjects` are the records that were compared and, where one was merged away, its survivor."""
    now = store.now(session)
    pairs = _pairs(session, [case.id])[case.id]
    root = roots(session, records_of(pairs))
    subjects = views_by_id(store, session, {*root, *root.values()}, landmarks=True)
    quality = {sample.id: sample.quality for subject in subjects for sample in subject.samples}
    band = band_of_case(pairs)
    return wire.Case(
        id=case.id,
        state=shown_state(case, now),
        version=case.version,
        priority=case.priority,
        score=case.score,
        source=_source(case.source),
        created_at=case.created_at,
        band=band,
        due_at=(due_at := due.due_at(case, band)),
        overdue=_is_past(due_at, now),
        lease=_lease(case, now),
        subjects=subjects,
        pairs=[_pair(pair, quality) for pair in pairs],
        asked=asked_pairs(store, session, pairs),
        decisions=_decisions(store, session, case.id, hide_unapplied=hide_unapplied),
    )


def summaries(store: Store, session: Session, cases: Sequence[DuplicateCase], *, due: DueTimes) -> list[wire.CaseSummary]:
    now = store.now(session)
    pairs = _pairs(session, [case.id for case in cases])
    root = roots(session, records_of([pair for case in cases for pair in pairs[case.id]]))
    return [
        wire.CaseSummary(
            id=case.id,
            state=shown_state(case, now),
            version=case.version,
            priority=case.priority,
            score=case.score,
            source=_source(case.source),
            created_at=case.created_at,
            band=(band := band_of_case(pairs[case.id])),
            due_at=(due_at := due.due_at(case, band)),
            overdue=_is_past(due_at, now),
            lease=_lease(case, now),
            subject_ids=sorted({s for record in records_of(pairs[case.id]) if record in root for s in (record, root[record])}),
        )
        for case in cases
    ]


def _pairs(session: Session, case_ids: Sequence[str]) -> dict[str, list[DuplicatePair]]:
    """Best first; closed ones only where nothing else is left to show."""
    found: dict[str, list[DuplicatePair]] = defaultdict(list)
    for chunk in chunks(case_ids):
        query = select(DuplicatePair).where(col(DuplicatePair.case_id).in_(chunk))
        for pair in session.exec(query.order_by(col(DuplicatePair.score).desc(), col(DuplicatePair.id))):
            found[pair.case_id or ""].append(pair)
    for case_id, pairs in found.items():
        found[case_id] = [pair for pair in pairs if pair.state == PairState.open] or pairs
    return found


def _is_past(due_at: datetime | None, now: datetime) -> bool:
    return due_at is not None and due_at <= now


def _pair(pair: DuplicatePair, quality: Mapping[str, wire.Quality]) -> wire.CasePair:
    return wire.CasePair(
        a=wire.CaseSide(subject_id=pair.a_subject_id, sample_id=pair.a_sample_id),
        b=wire.CaseSide(subject_id=pair.b_subject_id, sample_id=pair.b_sample_id),
        score=pair.score,
        threshold=pair.threshold,
        band="certain" if pair.band == "certain" else "review",
        gallery_size=pair.gallery_size,
        expected_fpir=pair.expected_fpir,
        calibration_id=pair.calibration_id,
        margin=pair.margin,
        margin_at_least=pair.margin_at_least,
        quality_a=quality.get(pair.a_sample_id),
        quality_b=quality.get(pair.b_sample_id),
        model_id=pair.model_id,
        found_at=pair.found_at,
    )


def _lease(case: DuplicateCase, now: datetime) -> wire.Lease | None:
    who = holder(case, now)
    if who is None or case.lease_until is None:
        return None
    return wire.Lease(holder=who, holder_name=case.lease_holder_name or who, until=case.lease_until)


def shown(rows: Sequence[Decision], *, hide_unapplied: bool) -> list[Decision]:
    """What was applied was for all to see, and so is its undo; of the rest nothing is shown where it is hidden."""
    applied = {row.id for row in rows if row.applied}
    return [row for row in rows if not hide_unapplied or row.applied or row.undoes in applied]


def _decisions(store: Store, session: Session, case_id: str, *, hide_unapplied: bool) -> list[wire.DecisionRecord]:
    rows = session.exec(select(Decision).where(Decision.case_id == case_id).order_by(col(Decision.id))).all()
    return [
        wire.DecisionRecord(
            id=row.id,
            verdict="undo" if row.verdict == "undo" else wire.Verdict(row.verdict),
            survivor_id=row.survivor_id,
            reason=row.reason,
            note=_note(store, session, row),
            bulk_id=row.bulk_id,
            actor=row.actor,
            actor_name=row.actor_name,
            at=row.at,
            undone=row.undone_by is not None,
        )
        for row in shown(rows, hide_unapplied=hide_unapplied)
    ]


def _note(store: Store, session: Session, row: Decision) -> str | None:
    subject = session.get(Subject, row.note_subject_id) if row.note_subject_id is not None else None
    key = key_of(store.keyring, subject) if subject is not None else None
    return None if key is None or row.sealed_note is None else key.open(row.sealed_note, context=f"note:{row.id}").decode()


def _source(source: str) -> wire.CaseSource:
    return "scan" if source == "scan" else "manual" if source == "manual" else "enrolment"
