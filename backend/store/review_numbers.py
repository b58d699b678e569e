"""How reviewing goes: who decided how much and how quickly, how far two who judge blind agree, what was overturned.

Nothing of a decision that is still hidden is in any of the numbers.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlmodel import Session, col, func, select

from backend import wire
from backend.review_policy import Round, decisions_are_hidden
from backend.store.caller import SYSTEM
from backend.store.case_view import shown
from backend.store.forest import chunks
from backend.store.tables import AuditRow, Decision, DuplicateCase
from backend.wire import CaseState, Verdict

if TYPE_CHECKING:
    from backend.store.database import Store

CLAIMS = ("case.claim", "case.takeover")
Claims = Mapping[tuple[str, str], Sequence[datetime]]


def review_numbers(store: Store, *, days: int) -> wire.ReviewNumbers:
    """Of the last `days`, by the database's clock. One short read."""
    with store.read() as session:
        since = store.now(session) - timedelta(days=days)
        told = _told(session, store.gallery_id, since)
        here = (DuplicateCase.gallery_id == store.gallery_id, col(DuplicateCase.joined_into).is_(None))
        counting = select(func.count()).select_from(DuplicateCase).where(*here)
        return wire.ReviewNumbers(
            since=since,
            opened=session.exec(counting.where(DuplicateCase.changed_at >= since, DuplicateCase.created_at >= since)).one(),
            resolved=session.exec(
                counting.where(DuplicateCase.state == CaseState.resolved, DuplicateCase.changed_at >= since)
            ).one(),
            reviewers=_reviewers(told, _claims(session, store.gallery_id, since)),
            agreement=_agreement(told),
        )


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two ratings of each of several cases: 1 = always alike, 0 = as often as by chance.

    None without cases, and where chance alone would make all of them alike. Cohen, Educ. Psychol. Meas. 20 (1960).
    """
    if not pairs:
        return None
    observed = sum(a == b for a, b in pairs) / len(pairs)
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    by_chance = sum(first[rating] * second[rating] for rating in first) / len(pairs) ** 2
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def _told(session: Session, gallery_id: str, since: datetime) -> list[Decision]:
    """Oldest first, undone ones and undos too: all that anybody may see."""
    query = select(Decision).where(Decision.gallery_id == gallery_id, Decision.at >= since)
    rows = session.exec(query.order_by(col(Decision.at), col(Decision.id))).all()
    asking = select(DuplicateCase.id, DuplicateCase.state, DuplicateCase.closed_reason)
    cases = [
        one
        for chunk in chunks({row.case_id for row in rows})
        for one in session.exec(asking.where(col(DuplicateCase.id).in_(chunk)))
    ]
    hiding = {case_id for case_id, state, closed in cases if decisions_are_hidden(CaseState(state), closed)}
    open_ones = {row.id for row in shown([row for row in rows if row.case_id in hiding], hide_unapplied=True)}
    return [row for row in rows if row.case_id not in hiding or row.id in open_ones]


def _claims(session: Session, gallery_id: str, since: datetime) -> Claims:
    """(actor, case) → when, in order."""
    query = select(AuditRow.actor, AuditRow.object_id, AuditRow.at).where(
        AuditRow.gallery_id == gallery_id, AuditRow.at >= since, col(AuditRow.action).in_(CLAIMS)
    )
    found: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for actor, case_id, at in session.exec(query.order_by(col(AuditRow.seq))):
        found[actor, case_id or ""].append(at)
    return found


def _reviewers(told: Sequence[Decision], claims: Claims) -> list[wire.ReviewerNumbers]:
    by_actor: dict[str, list[Decision]] = defaultdict(list)
    for row in told:
        if row.verdict != "undo":
            by_actor[row.actor].append(row)
    overturned = Counter(row.actor for row in _overturned(told))
    made = [
        wire.ReviewerNumbers(
            actor=actor,
            actor_name=rows[-1].actor_name,
            decisions=len(rows),
            verdicts={Verdict(verdict): count for verdict, count in sorted(Counter(row.verdict for row in rows).items())},
            median_s=_median_s(rows, claims),
            overturned=overturned[actor],
        )
        for actor, rows in by_actor.items()
    ]
    return sorted(made, key=lambda one: (-one.decisions, one.actor))


def _median_s(rows: Iterable[Decision], claims: Claims) -> float | None:
    """From the last claim before a decision to it; None where nothing was claimed before it was decided."""
    took = []
    for row in rows:
        times = claims.get((row.actor, row.case_id), ())
        if before := bisect_right(times, row.at):
            took.append((row.at - times[before - 1]).total_seconds())
    return statistics.median(took) if took else None


def _overturned(told: Sequence[Decision]) -> list[Decision]:
    """What somebody else took back, or a supervisor settled otherwise."""
    undoes = {row.id: row.actor for row in told if row.verdict == "undo"}
    by_case: defaultdict[str, list[Decision]] = defaultdict(list)
    for row in told:
        by_case[row.case_id].append(row)
    return [row for rows in by_case.values() for row in _overturned_in(rows, undoes)]


def _overturned_in(told: Sequence[Decision], actor_of_undo: Mapping[str, str]) -> list[Decision]:
    """`told`: of one case. A case that grew is judged anew by itself: that overturns nobody."""
    found = []
    for place, row in enumerate(told):
        if row.verdict == "undo":
            continue
        if row.undone_by is not None:
            found += [row] if actor_of_undo.get(row.undone_by, row.actor) not in (row.actor, SYSTEM.id) else []
            continue
        settled = (later for later in told[place + 1 :] if later.undone_by is None)
        arbitration = next((later for later in settled if later.round == Round.arbitration and later.verdict != "undo"), None)
        if not row.applied and arbitration is not None and not _alike(row, arbitration):
            found.append(row)
    return found


def _agreement(told: Sequence[Decision]) -> wire.Agreement:
    """Of cases that two judged, each without knowing of the other."""
    first: dict[str, Decision] = {}
    pairs: list[tuple[Decision, Decision]] = []
    for row in told:
        if row.round == Round.first and row.verdict != "undo":
            first[row.case_id] = row
        elif row.round == Round.second and row.verdict != "undo" and row.case_id in first:
            pairs.append((first[row.case_id], row))
    return wire.Agreement(
        cases=len(pairs),
        agreed=sum(_alike(a, b) for a, b in pairs),
        kappa=kappa([(a.verdict, b.verdict) for a, b in pairs]),
    )


def _alike(a: Decision, b: Decision) -> bool:
    return (a.verdict, a.survivor_id) == (b.verdict, b.survivor_id)
