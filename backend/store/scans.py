"""Whole-gallery scans in the ledger: what was asked for, how far one came, and what a block of it found, written in one piece."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, delete, func, or_, select

from backend.store import clusters, distinct, gallery_log, job_leases
from backend.store.forest import roots, trees
from backend.store.pairs import Circumstances, FoundPair
from backend.store.tables import (
    DistinctPair,
    DuplicatePair,
    Enrolment,
    EnrolmentState,
    PairState,
    Sample,
    SampleState,
    Scan,
    ScanState,
    Template,
)

if TYPE_CHECKING:
    from backend.store.database import Store

JOB = "scan"
SETTLED = "settled_seq"
"""Among a scan's options: what `settled_seq` was when it began."""
UNDER_WAY = (ScanState.waiting, ScanState.running)


@dataclass(frozen=True)
class Options:
    """`reopen_distinct`: also pairs that were decided to be different people; `dry_run`: count, change nothing."""

    reopen_distinct: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Fence:
    """Who works on the scan: a block of somebody who lost the lease meanwhile is not written."""

    holder: str
    epoch: int


def under_way(store: Store, session: Session) -> Scan | None:
    query = select(Scan).where(Scan.gallery_id == store.gallery_id, col(Scan.state).in_(UNDER_WAY))
    return session.exec(query.order_by(col(Scan.created_at)).limit(1)).first()


def settled_seq(store: Store, session: Session) -> int:
    """Up to where every enrolment is decided: a scan passes over who is pending, so the next one must begin before them."""
    pending = select(func.min(Enrolment.first_seq)).where(
        Enrolment.gallery_id == store.gallery_id, Enrolment.state == EnrolmentState.pending
    )
    first = session.exec(pending).one()
    head = gallery_log.head(session, store.gallery_id)
    return ((head.seq or 0) if head else 0) if first is None else first - 1


def done_up_to(store: Store, session: Session, *, model_id: str, epoch: str, threshold: float) -> int:
    """After which number there may be pairs that no scan of this gallery's life looked for, at this threshold or a lower one."""
    query = select(Scan).where(
        Scan.gallery_id == store.gallery_id,
        Scan.state == ScanState.done,
        Scan.model_id == model_id,
        Scan.epoch == epoch,
        col(Scan.threshold) <= threshold,
    )
    return max((scan.options.get(SETTLED, 0) for scan in session.exec(query) if not scan.options.get("dry_run")), default=0)


def lowest_done(store: Store, session: Session, *, model_id: str) -> float:
    """The lowest threshold at which a whole scan of this gallery's life looked for pairs; infinite where none did."""
    query = select(Scan).where(
        Scan.gallery_id == store.gallery_id,
        Scan.state == ScanState.done,
        Scan.model_id == model_id,
        Scan.epoch == store.gallery(session).epoch,
    )
    done = [scan.threshold for scan in session.exec(query) if scan.threshold is not None and not scan.options.get("dry_run")]
    return min(done, default=math.inf)


def count_templates(store: Store, session: Session, *, after: int, up_to: int) -> int:
    return session.exec(select(func.count()).select_from(_templates(store, after=after, up_to=up_to).subquery())).one()


def next_seqs(store: Store, session: Session, scan: Scan, limit: int) -> list[int]:
    """Of the templates to be compared next, in their order."""
    query = _templates(store, after=scan.position_seq, up_to=scan.last_seq)
    return list(session.exec(query.order_by(col(Template.seq)).limit(limit)))


def _templates(store: Store, *, after: int, up_to: int) -> Any:
    return (
        select(Template.seq)
        .join(Sample, col(Sample.id) == Template.sample_id)
        .where(
            Template.gallery_id == store.gallery_id,
            col(Template.seq) > after,
            col(Template.seq) <= up_to,
            Sample.state == SampleState.active,
        )
    )


def still(store: Store, session: Session, scan_id: str, fence: Fence) -> Scan | None:
    """The scan, within a write transaction, where this worker may write what it found; None: cancelled, or somebody else's."""
    scan = session.get(Scan, scan_id, populate_existing=True)
    if scan is None or scan.state not in UNDER_WAY:
        return None
    return scan if job_leases.holds(store, session, JOB, holder=fence.holder, epoch=fence.epoch) else None


def end(store: Store, session: Session, scan: Scan, state: ScanState) -> None:
    scan.state, scan.finished_at = state, store.now(session)
    session.flush()


@dataclass(frozen=True)
class Written:
    pairs: int
    reopened: int


def write(
    session: Session, found: Sequence[FoundPair], *, gallery_id: str, circumstances: Circumstances, options: Options
) -> Written:
    """Pairs that still stand, into their cases; what is known already with as good a score is left alone.

    Doing it twice changes nothing, so a block that was interrupted is simply done again.
    """
    pairs = reopened = 0
    for pair in found:
        people = _people(session, pair)
        if people is None:
            continue
        records = trees(session, people)
        theirs = [[record for record, root in records.items() if root == one] for one in people]
        differs = not distinct.partners(session, gallery_id=gallery_id, records=theirs[0]).isdisjoint(theirs[1])
        settled = not options.reopen_distinct if differs else _is_known(session, pair.ordered(), gallery_id)
        if settled:
            continue
        pairs, reopened = pairs + 1, reopened + differs
        if options.dry_run:
            continue
        if differs:
            _forget(session, *theirs)
        clusters.record(session, [pair], gallery_id=gallery_id, circumstances=circumstances)
    return Written(pairs, reopened)


def _is_known(session: Session, pair: FoundPair, gallery_id: str) -> bool:
    query = select(DuplicatePair.state, DuplicatePair.score).where(
        DuplicatePair.gallery_id == gallery_id,
        DuplicatePair.a_subject_id == pair.subject_ids[0],
        DuplicatePair.b_subject_id == pair.subject_ids[1],
        DuplicatePair.held_sample_id == "",
    )
    known = session.exec(query).first()
    return known is not None and known[0] == PairState.open and known[1] >= pair.score


def _people(session: Session, pair: FoundPair) -> tuple[str, str] | None:
    """The two persons; None where they are one by now, or one of the samples has left the gallery."""
    living = select(func.count()).where(col(Sample.id).in_(pair.sample_ids), Sample.state == SampleState.active)
    root = roots(session, set(pair.subject_ids))
    one, other = (root.get(subject) for subject in pair.subject_ids)
    if one is None or other is None or one == other or session.exec(living).one() != len(set(pair.sample_ids)):
        return None
    return one, other


def _forget(session: Session, ours: Iterable[str], theirs: Iterable[str]) -> None:
    """That these two people were decided to be different: the scan was told to ask again."""
    a, b = list(ours), list(theirs)
    either = or_(
        col(DistinctPair.a_subject_id).in_(a) & col(DistinctPair.b_subject_id).in_(b),
        col(DistinctPair.a_subject_id).in_(b) & col(DistinctPair.b_subject_id).in_(a),
    )
    session.exec(delete(DistinctPair).where(either))
