"""Whole-gallery scans in the ledger: what was asked for, how far one came, and what a block of it found, written in one piece."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, func, select

from backend.store import gallery_log, job_leases
from backend.store.tables import (
    Enrolment,
    EnrolmentState,
    Gallery,
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
STARTED_BY = "started_by"
"""Among a scan's options: id and name of who asked for it."""
UNDER_WAY = (ScanState.waiting, ScanState.running)
RESUMABLE = (ScanState.cancelled, ScanState.failed)


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
    return gallery_log.head_seq(session, store.gallery_id) if first is None else first - 1


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


def comparisons(templates: int, older: int) -> int:
    """Of so many templates with each other and with those that are older."""
    return templates * older + templates * (templates - 1) // 2


def last_pace(store: Store, session: Session) -> float | None:
    """Comparisons per second of work in the last scan that was finished; None where none was."""
    query = select(Scan).where(Scan.gallery_id == store.gallery_id, Scan.state == ScanState.done, col(Scan.busy_s) > 0)
    last = session.exec(query.order_by(col(Scan.id).desc()).limit(1)).first()
    if last is None:
        return None
    older = count_templates(store, session, model_id=last.model_id or "", after=0, up_to=last.from_seq)
    return comparisons(last.templates_done, older) / last.busy_s or None


def count_templates(store: Store, session: Session, *, model_id: str, after: int, up_to: int) -> int:
    found = _templates(store, model_id=model_id, after=after, up_to=up_to)
    return session.exec(select(func.count()).select_from(found.subquery())).one()


def next_seqs(store: Store, session: Session, scan: Scan, limit: int) -> list[int]:
    """Of the templates to be compared next, in their order."""
    query = _templates(store, model_id=scan.model_id or "", after=scan.position_seq, up_to=scan.last_seq)
    return list(session.exec(query.order_by(col(Template.seq)).limit(limit)))


def _templates(store: Store, *, model_id: str, after: int, up_to: int) -> Any:
    return (
        select(Template.seq)
        .join(Sample, col(Sample.id) == Template.sample_id)
        .where(
            Template.gallery_id == store.gallery_id,
            Template.model_id == model_id,
            col(Template.seq) > after,
            col(Template.seq) <= up_to,
            Sample.state == SampleState.active,
        )
    )


def still(store: Store, session: Session, scan_id: str, fence: Fence) -> Scan | None:
    """The scan, within a write transaction, where this worker may write; None: cancelled, or somebody else's."""
    scan = session.get(Scan, scan_id, populate_existing=True)
    if scan is None or scan.state not in UNDER_WAY:
        return None
    return scan if job_leases.holds(store, session, JOB, holder=fence.holder, epoch=fence.epoch) else None


def end(store: Store, session: Session, scan: Scan, state: ScanState) -> None:
    scan.state, scan.finished_at = state, store.now(session)
    session.flush()


def go_on(session: Session, scan: Scan) -> None:
    """Back among those under way, where it stopped. What was enrolled meanwhile compared itself, and is the next scan's."""
    scan.state, scan.finished_at, scan.problem = ScanState.waiting, None, None
    session.flush()


def outlived(scan: Scan, gallery: Gallery) -> str | None:
    """Why no work on it makes sense any more, with what to do; by what the gallery is now, in SQL."""
    if scan.epoch != gallery.epoch:
        return "the database was restored since: start a new scan"
    return None if scan.model_id == gallery.model_id else "the gallery's model changed since: start a new scan"


def counts(scan: Scan) -> dict[str, int]:
    """For the audit trail: the pairs that it found, and how many of them had been decided to be different people."""
    return {"pairs": scan.pairs_found, "reopened": scan.options.get("reopened", 0)}
