"""What a block of a scan found, written: pairs into their cases, each change of a case into the audit trail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlmodel import Session, col, delete, func, or_, select

from backend.store import aside, clusters, distinct
from backend.store.audit import Audit
from backend.store.caller import SYSTEM
from backend.store.clusters import Placed
from backend.store.forest import roots, trees
from backend.store.pairs import Circumstances, FoundPair
from backend.store.scans import Options
from backend.store.tables import DistinctPair, DuplicatePair, PairState, Sample, SampleState, Scan

if TYPE_CHECKING:
    from backend.store.database import Store


@dataclass(frozen=True)
class Written:
    pairs: int
    reopened: int


def write(
    store: Store, session: Session, scan: Scan, found: Sequence[FoundPair], *, circumstances: Circumstances, options: Options
) -> Written:
    """Pairs that still stand, into their cases; what is known already with as good a score is left alone, and what needs no
    asking is kept aside.

    Doing it twice changes nothing, so a block that was interrupted is simply done again.
    """
    pairs = reopened = 0
    for pair in found:
        people = _people(session, pair)
        if people is None:
            continue
        if people[0] == people[1]:
            _keep_aside(store, session, pair, circumstances, options)
            continue
        records = trees(session, people)
        theirs = [[record for record, root in records.items() if root == one] for one in people]
        differs = distinct.differ(session, gallery_id=store.gallery_id, ours=theirs[0], theirs=theirs[1])
        settled = (
            not options.reopen_distinct
            if differs
            else _is_known(session, pair.ordered(), store.gallery_id, circumstances.model_id)
        )
        if settled:
            if differs:
                _keep_aside(store, session, pair, circumstances, options)
            continue
        pairs, reopened = pairs + 1, reopened + differs
        if options.dry_run:
            continue
        forgotten = _forget(session, store.gallery_id, *theirs) if differs else []
        placed = clusters.place(session, [pair], gallery_id=store.gallery_id, circumstances=circumstances)
        _tell(Audit(store), session, scan, placed, forgotten)
        for other in aside.reconsider(session, records, gallery_id=store.gallery_id, at=circumstances.at) if forgotten else []:
            _tell(Audit(store), session, scan, other, [])
    return Written(pairs, reopened)


def _keep_aside(store: Store, session: Session, pair: FoundPair, circumstances: Circumstances, options: Options) -> None:
    if not options.dry_run:
        aside.keep(session, [pair], gallery_id=store.gallery_id, circumstances=circumstances)


def _tell(audit: Audit, session: Session, scan: Scan, placed: Placed, forgotten: Sequence[str]) -> None:
    """The actor is the program: who started the scan stands in `scan.start`."""
    for case_id in placed.opened:
        audit.append(session, SYSTEM, "case.open", case_id, {"scan": scan.id})
    if placed.reopened:
        audit.append(session, SYSTEM, "case.reopen", placed.case.id, {"scan": scan.id})
    if placed.joined:
        audit.append(session, SYSTEM, "case.join", placed.case.id, {"scan": scan.id, "joined": sorted(placed.joined)})
    if forgotten:
        audit.append(session, SYSTEM, "decision.reopen", placed.case.id, {"scan": scan.id, "decisions": list(forgotten)})


def _is_known(session: Session, pair: FoundPair, gallery_id: str, model_id: str) -> bool:
    """Scores of two models say nothing of each other: what another one said is renewed."""
    query = select(DuplicatePair.state, DuplicatePair.score, DuplicatePair.model_id).where(
        DuplicatePair.gallery_id == gallery_id,
        DuplicatePair.a_subject_id == pair.subject_ids[0],
        DuplicatePair.b_subject_id == pair.subject_ids[1],
        DuplicatePair.held_sample_id == "",
    )
    known = session.exec(query).first()
    return known is not None and known[0] == PairState.open and known[1] >= pair.score and known[2] == model_id


def _people(session: Session, pair: FoundPair) -> tuple[str, str] | None:
    """The two persons, who may be one by now; None where one of the samples has left the gallery."""
    living = select(func.count()).where(col(Sample.id).in_(pair.sample_ids), Sample.state == SampleState.active)
    root = roots(session, set(pair.subject_ids))
    one, other = (root.get(subject) for subject in pair.subject_ids)
    if one is None or other is None or session.exec(living).one() != len(set(pair.sample_ids)):
        return None
    return one, other


def _forget(session: Session, gallery_id: str, ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """That these two people were decided to be different, as the scan was told to ask again; the decisions that said so."""
    a, b = list(ours), list(theirs)
    here = col(DistinctPair.gallery_id) == gallery_id
    either = or_(
        here & col(DistinctPair.a_subject_id).in_(a) & col(DistinctPair.b_subject_id).in_(b),
        here & col(DistinctPair.a_subject_id).in_(b) & col(DistinctPair.b_subject_id).in_(a),
    )
    decisions = sorted(set(session.exec(select(DistinctPair.decision_id).where(either))))
    session.exec(delete(DistinctPair).where(either))
    return decisions
