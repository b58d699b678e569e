"""Pairs and their cases: one open case per connected cluster. Always under the ledger lock.

Connected means: by open pairs, and by merges (the records of one person hang together). New pairs that bridge open cases
join them: the oldest survives, versions rise. Pairs that go away may cut a case in two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import bindparam
from sqlmodel import Session, col, delete, func, select, update

from backend.store import audit, case_events
from backend.store.caller import SYSTEM
from backend.store.decisions import standing, waiting
from backend.store.forest import chunks, roots, trees
from backend.store.ids import new_id
from backend.store.pairs import Circumstances, FoundPair, ends, new_pair, open_pairs, write
from backend.store.sides import of_either
from backend.store.tables import CaseKind, Decision, DuplicateCase, DuplicatePair, PairState
from backend.wire import CaseState

_CASES = select(DuplicateCase).where(col(DuplicateCase.id).in_(bindparam("ids", expanding=True)))
_OPEN_OF_THESE = (
    select(DuplicateCase.id)
    .join(DuplicatePair, col(DuplicatePair.case_id) == DuplicateCase.id)
    .where(
        of_either(DuplicatePair, gallery_id=bindparam("gallery_id"), records=bindparam("records", expanding=True)),
        DuplicatePair.kind == CaseKind.duplicate,
        DuplicatePair.state == PairState.open,
        DuplicateCase.state != CaseState.resolved,
    )
)


@dataclass(frozen=True)
class Placed:
    """In which case pairs are now, and what that did to cases, by their ids."""

    case: DuplicateCase
    opened: list[str]
    joined: list[str]
    """into `case`, which lives on"""
    reopened: bool
    """`case` was resolved before"""


def record(session: Session, found: Sequence[FoundPair], *, gallery_id: str, circumstances: Circumstances) -> DuplicateCase:
    """`place`, for whoever needs to know the case alone."""
    return place(session, found, gallery_id=gallery_id, circumstances=circumstances).case


def place(session: Session, found: Sequence[FoundPair], *, gallery_id: str, circumstances: Circumstances) -> Placed:
    """Put every pair into the one case of its cluster (they share a subject).

    A pair that was known keeps its better evidence. One whose case was resolved without an answer (a poor image, say)
    reopens that case: pairs that were answered never get here.
    """
    written = [write(session, pair.ordered(), gallery_id, circumstances) for pair in found]
    pairs, changed = [pair for pair, _ in written], any(change for _, change in written)
    return _into_one_case(session, pairs, changed=changed, source=circumstances.source, at=circumstances.at)


def bring_back(session: Session, pair: DuplicatePair, *, at: datetime) -> Placed:
    """One that was kept aside: see `aside`."""
    pair.state = PairState.open
    session.flush()
    return _into_one_case(session, [pair], changed=True, source=pair.source, at=at)


def _into_one_case(session: Session, pairs: Sequence[DuplicatePair], *, changed: bool, source: str, at: datetime) -> Placed:
    """`changed`: they are not what they were, so whoever judged their case has not seen this."""
    gallery_id = pairs[0].gallery_id
    known = {pair.case_id for pair in pairs if pair.case_id is not None}
    waking = [pair for case_id in known for pair in open_pairs(session, case_id)]
    touched = known | open_cases_of(session, gallery_id, ends([*pairs, *waking]))
    cases = _cases(session, touched)
    resolved = {case.id for case in cases if case.state == CaseState.resolved}
    if not cases:
        case = _new_case(session, gallery_id, CaseKind.duplicate, source, at)
    else:
        changed = changed or len(cases) > 1 or cases[0].state == CaseState.resolved
        case = join(session, cases, at=at)
    for pair in pairs:
        pair.case_id = case.id
    session.flush()
    if changed and cases:
        _bump(session, case, at)
    if case.id in resolved:
        refresh(session, case)
        case_events.reopened(session, case, at=at, cause="found")
    split = _fit(session, case, at=at, reason="decided")
    if not cases:
        case_events.opened(session, case, at=at)
    return Placed(
        case,
        opened=[*([] if cases else [case.id]), *split],
        joined=[other.id for other in cases if other.id != case.id],
        reopened=case.id in resolved,
    )


def record_held(
    session: Session, found: FoundPair, *, held_sample_id: str, gallery_id: str, circumstances: Circumstances
) -> DuplicateCase:
    """A case of its own for a sample that does not match its subject; both sides are that subject."""
    case = _new_case(session, gallery_id, CaseKind.sample, circumstances.source, circumstances.at)
    pair = new_pair(found, gallery_id, circumstances, kind=CaseKind.sample, held_sample_id=held_sample_id)
    pair.case_id = case.id
    session.add(pair)
    session.flush()
    refresh(session, case)
    case_events.opened(session, case, at=circumstances.at)
    return case


def record_closed(session: Session, found: Sequence[FoundPair], *, gallery_id: str, circumstances: Circumstances) -> None:
    """Evidence for a rejection: nobody has to review it. Some is known where a later one gave up waiting for the rejected."""
    for pair in found:
        row, _ = write(session, pair.ordered(), gallery_id, circumstances)
        row.state = PairState.closed
    session.flush()


def reopen(session: Session, case: DuplicateCase, *, loosened: Iterable[str], at: datetime) -> DuplicateCase:
    """After an undo: open again, joined with every open case that it now hangs together with.

    `loosened` are the subjects that are no longer merged: a case that only they held together is cut. A case that has
    nobody left in it, as they were erased meanwhile, stays resolved.
    """
    was_resolved = case.state == CaseState.resolved
    _bump(session, case, at)
    pairs = open_pairs(session, case.id)
    if pairs:
        case.state, case.closed_reason, case.opened_at = CaseState.open, None, at
        session.flush()
        if was_resolved:  # of what was not applied nobody was told
            refresh(session, case)
            case_events.reopened(session, case, at=at, cause="undo")
    if pairs and case.kind == CaseKind.duplicate:
        touched = {case.id} | open_cases_of(session, case.gallery_id, ends(pairs))
        if len(touched) > 1:
            case = join(session, _cases(session, touched), at=at)
            _bump(session, case, at)
            if case.state == CaseState.open:
                _start_over(session, case, at)
    for loose in _cases(session, {case.id} | open_cases_of(session, case.gallery_id, set(loosened))):
        if loose.state != CaseState.resolved:
            _fit(session, loose, at=at, reason="erased")
    session.flush()
    return case


def join(session: Session, cases: Sequence[DuplicateCase], *, at: datetime) -> DuplicateCase:
    """The oldest takes the pairs of all and is open; the others point at it, their claims end."""
    oldest, *others = sorted(cases, key=lambda case: (case.created_at, case.id))
    for case in cases:
        if others and case.state == CaseState.second_review:
            _start_over(session, case, at)  # what was judged is less than there is now
    oldest.opened_at = min((waits_since(case) for case in cases if case.state != CaseState.resolved), default=at)
    if any(case.state == CaseState.arbitration for case in cases):
        oldest.state, oldest.closed_reason = CaseState.arbitration, None  # what waits for a supervisor goes on waiting
    elif oldest.state == CaseState.resolved:
        oldest.state, oldest.closed_reason = CaseState.open, None
    for other in others:
        session.exec(update(DuplicatePair).where(col(DuplicatePair.case_id) == other.id).values(case_id=oldest.id))
        of_another = -func.abs(col(Decision.version))  # it was said of another case: see `decisions`
        session.exec(update(Decision).where(col(Decision.case_id) == other.id).values(case_id=oldest.id, version=of_another))
        other.joined_into, other.state = oldest.id, CaseState.resolved
        end_lease(other)
        _bump(session, other, at)
        case_events.closed(session, other, at=at, cause="joined")
    session.flush()
    return oldest


def drop_subjects(
    session: Session, subject_ids: Iterable[str], *, gallery_id: str, at: datetime, reason: Literal["rejected", "erased"]
) -> None:
    """Take subjects out of every pair: closed where one was rejected, deleted where one was erased; cut what falls apart."""
    session.flush()
    touched: set[str] = set()
    for chunk in chunks(subject_ids):
        theirs = of_either(DuplicatePair, gallery_id=gallery_id, records=chunk)
        touched |= {case_id for case_id in session.exec(select(DuplicatePair.case_id).where(theirs)) if case_id is not None}
        if reason == "erased":
            session.exec(delete(DuplicatePair).where(theirs))
        else:
            session.exec(update(DuplicatePair).where(theirs).values(state=PairState.closed))
    session.expire_all()
    refit(session, touched, at=at, reason=reason)


def refit(session: Session, case_ids: Iterable[str], *, at: datetime, reason: str) -> None:
    """After pairs went away: those of the cases that are under review are resolved, or cut where they fall apart."""
    for case in _cases(session, case_ids):
        if case.state != CaseState.resolved:
            _bump(session, case, at)
            _fit(session, case, at=at, reason=reason)


def resolve(session: Session, case: DuplicateCase, *, at: datetime, reason: str) -> None:
    if reason != "decided" and case.state == CaseState.second_review:
        _start_over(session, case, at)  # nothing was settled: what one of two said stays hidden
    case.state, case.closed_reason = CaseState.resolved, reason
    end_lease(case)
    _bump(session, case, at)


def waits_since(case: DuplicateCase) -> datetime:
    """When it was opened, the last time."""
    return case.opened_at or case.created_at


def refresh(session: Session, case: DuplicateCase) -> None:
    """Score and priority from the open pairs. A picture that may show somebody else is the more urgent the less it matches."""
    scores = [pair.score for pair in open_pairs(session, case.id)]
    if scores:
        case.score = max(scores)
        case.priority = 1.0 - case.score if case.kind == CaseKind.sample else case.score
    session.flush()


def _fit(session: Session, case: DuplicateCase, *, at: datetime, reason: str) -> list[str]:
    """A case under review is one connected cluster: without pairs it is resolved, in several parts it is cut.

    Ids of the cases that hold what was cut off.
    """
    pairs = open_pairs(session, case.id)
    if not pairs:
        resolve(session, case, at=at, reason=reason)
        session.flush()
        case_events.closed(session, case, at=at, cause=reason)
        return []
    parts = _components(session, pairs)
    if len(parts) > 1:
        _bump(session, case, at)
    cut = []
    for part in parts[1:]:
        split = _new_case(session, case.gallery_id, CaseKind(case.kind), case.source, at)
        split.opened_at = waits_since(case)
        cut.append(split.id)
        for pair in part:
            pair.case_id, pair.left_cases = split.id, [*(pair.left_cases or []), case.id]
        session.flush()
        refresh(session, split)
        case_events.opened(session, split, at=at, cut_from=case.id)
    refresh(session, case)
    return cut


def _components(session: Session, pairs: Sequence[DuplicatePair]) -> list[list[DuplicatePair]]:
    """Connected parts, that with the oldest pair first."""
    root = roots(session, ends(pairs))
    neighbours: defaultdict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        a, b = root[pair.a_subject_id], root[pair.b_subject_id]
        neighbours[a].add(b)
        neighbours[b].add(a)
    part_of: dict[str, str] = {}
    for start in neighbours:
        level = {start} - part_of.keys()
        while level:
            part_of.update(dict.fromkeys(level, start))
            level = set().union(*(neighbours[node] for node in level)) - part_of.keys()
    parts: defaultdict[str, list[DuplicatePair]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: pair.id):
        parts[part_of[root[pair.a_subject_id]]].append(pair)
    return list(parts.values())


def open_cases_of(session: Session, gallery_id: str, subject_ids: set[str]) -> set[str]:
    """Ids of the cases under review that hold a pair of these people, through any record of theirs."""
    records = trees(session, set(roots(session, subject_ids).values()))
    found: set[str] = set()
    for chunk in chunks(records):
        found.update(session.exec(_OPEN_OF_THESE, params={"gallery_id": gallery_id, "records": chunk}))
    return found


def _cases(session: Session, ids: Iterable[str]) -> list[DuplicateCase]:
    return [case for chunk in chunks(ids) for case in session.exec(_CASES, params={"ids": chunk})]


def _new_case(session: Session, gallery_id: str, kind: CaseKind, source: str, at: datetime) -> DuplicateCase:
    case = DuplicateCase(
        id=new_id("case"),
        gallery_id=gallery_id,
        kind=kind,
        state=CaseState.open,
        priority=0.0,
        score=0.0,
        source=source,
        opened_at=at,
        created_at=at,
        changed_at=at,
    )
    session.add(case)
    session.flush()
    return case


def _bump(session: Session, case: DuplicateCase, at: datetime) -> None:
    """What the case is about changed: whoever judged it has not seen this."""
    case.version += 1
    case.changed_at = at
    if case.state == CaseState.second_review:
        _start_over(session, case, at)


def _start_over(session: Session, case: DuplicateCase, at: datetime) -> None:
    """The first of two decisions was about less than there is now: it is taken back, and two judge the whole."""
    for first in waiting(standing(session, case.id)):
        row = Decision(
            id=new_id("dec"),
            gallery_id=case.gallery_id,
            case_id=case.id,
            version=case.version,
            round=first.round,
            verdict="undo",
            applied=False,
            undoes=first.id,
            actor=SYSTEM.id,
            actor_name=SYSTEM.name,
            at=at,
        )
        session.add(row)
        first.undone_by = row.id
        undoing = {"decision": row.id, "undoes": first.id}
        audit.append(session, SYSTEM, "case.start_over", case.id, undoing, gallery_id=case.gallery_id, at=at)
    case.state = CaseState.open
    session.flush()


def end_lease(case: DuplicateCase) -> None:
    case.lease_holder = case.lease_holder_name = case.lease_until = case.lease_key = None
