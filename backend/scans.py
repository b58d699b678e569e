"""Whole-gallery scans: every two people compared, asked for here; `scan_job` does the work."""

from __future__ import annotations

from dataclasses import asdict

from sqlmodel import Session, col, func, select

from backend import wire
from backend.errors import InvalidThreshold, ModelMismatch, ScanNotFound, ScanStateConflict, ScanUnderWay
from backend.faces.engine import ModelCard
from backend.recognition import Thresholds
from backend.store import answers, gallery_log, scans
from backend.store.answers import Idempotency
from backend.store.audit import Audit
from backend.store.caller import Caller
from backend.store.database import Store
from backend.store.ids import new_id
from backend.store.paging import decode_cursor, encode_cursor, total_of
from backend.store.scans import Options
from backend.store.tables import Scan, ScanState

LOWEST_SHARE = 0.5
"""of the review threshold: below it nearly everybody is a pair"""


class Scans:
    def __init__(self, store: Store, card: ModelCard, thresholds: Thresholds) -> None:
        self._store, self._card, self._thresholds = store, card, thresholds
        self._audit = Audit(store)

    def start(self, request: wire.ScanRequest, caller: Caller, *, idempotency: Idempotency | None = None) -> wire.Scan:
        """The same request again gets the same scan, as it is by then.

        Raises ScanUnderWay, InvalidThreshold, IdempotencyKeyReused, and ModelMismatch where this replica's model is not the
        gallery's.
        """
        options = Options(reopen_distinct=request.reopen_distinct, dry_run=request.dry_run)
        with self._store.write() as session:
            if idempotency and (before := answers.earlier(self._store, session, caller, idempotency)) is not None:
                return shown(self._get(session, before))
            threshold = self._threshold(session, request.threshold)
            if self._store.gallery(session).model_id != self._card.model_id:
                raise ModelMismatch()
            if (other := scans.under_way(self._store, session)) is not None:
                raise ScanUnderWay(f"{other.id} is under way: wait for it, or cancel it")
            scan = self._made(session, threshold, options, whole=request.whole or options.reopen_distinct)
            scan.options = {**scan.options, scans.STARTED_BY: {"id": caller.id, "name": caller.name}}
            session.add(scan)
            session.flush()
            answers.remember_made(session, scan, caller, idempotency)
            detail = {"threshold": threshold, "from_seq": scan.from_seq, **asdict(options)}
            self._audit.append(session, caller, "scan.start", scan.id, detail)
        return shown(scan)

    def plan(self, *, threshold: float | None = None, whole: bool = False) -> wire.ScanPlan:
        """Changes nothing. Raises InvalidThreshold, and ModelMismatch as `start`."""
        with self._store.read() as session:
            if self._store.gallery(session).model_id != self._card.model_id:
                raise ModelMismatch()
            scan = self._made(session, self._threshold(session, threshold), Options(), whole=whole)
            older = scans.count_templates(self._store, session, model_id=self._card.model_id, after=0, up_to=scan.from_seq)
            pace = scans.last_pace(self._store, session)
        comparisons = scans.comparisons(scan.templates_total, older)
        return wire.ScanPlan(
            threshold=scan.threshold or 0.0,
            since_seq=scan.from_seq,
            up_to_seq=scan.last_seq,
            templates_total=scan.templates_total,
            templates_older=older,
            comparisons=comparisons,
            estimated_s=None if pace is None else round(comparisons / pace, 1),
        )

    def _threshold(self, session: Session, asked: float | None) -> float:
        """With a target FPIR the one in force at the gallery's present size; the scan keeps it to its end."""
        review = self._thresholds.at(self._store.gallery(session).active_templates).review
        threshold, lowest = review if asked is None else asked, LOWEST_SHARE * review
        if not lowest <= threshold <= 1.0:
            raise InvalidThreshold(f"threshold must be between {lowest:g}, half of the review threshold, and 1")
        return threshold

    def _made(self, session: Session, threshold: float, options: Options, *, whole: bool) -> Scan:
        epoch, model = self._store.gallery(session).epoch, self._card.model_id
        before = scans.done_up_to(self._store, session, model_id=model, epoch=epoch, threshold=threshold)
        from_seq = 0 if whole else before
        last_seq = gallery_log.head_seq(session, self._store.gallery_id)
        return Scan(
            id=new_id("scan"),
            gallery_id=self._store.gallery_id,
            state=ScanState.waiting,
            options={**asdict(options), "reopened": 0, scans.SETTLED: scans.settled_seq(self._store, session)},
            model_id=model,
            threshold=threshold,
            epoch=epoch,
            from_seq=from_seq,
            position_seq=from_seq,
            last_seq=last_seq,
            templates_total=scans.count_templates(self._store, session, model_id=model, after=from_seq, up_to=last_seq),
            created_at=self._store.now(session),
        )

    def read(self, scan_id: str) -> wire.Scan:
        """Raises ScanNotFound."""
        with self._store.read() as session:
            return shown(self._get(session, scan_id))

    def list(self, *, cursor: str | None = None, limit: int = 50) -> wire.Page[wire.Scan]:
        """Newest first. Raises BadCursor."""
        query = select(Scan).where(Scan.gallery_id == self._store.gallery_id)
        with self._store.read() as session:
            total, total_is = total_of(session, query)
            if cursor is not None:
                query = query.where(col(Scan.id) < decode_cursor(cursor, str)[0])
            rows = session.exec(query.order_by(col(Scan.id).desc()).limit(limit + 1)).all()
        following = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
        return wire.Page(items=[shown(row) for row in rows[:limit]], next=following, total=total, total_is=total_is)

    def cancel(self, scan_id: str, caller: Caller) -> wire.Scan:
        """What it found stays. Raises ScanNotFound, ScanStateConflict."""
        with self._store.write() as session:
            scan = self._get(session, scan_id)
            if scan.state not in scans.UNDER_WAY:
                raise ScanStateConflict(f"The scan is {scan.state} already")
            scans.end(self._store, session, scan, ScanState.cancelled)
            self._audit.append(session, caller, "scan.cancel", scan.id, scans.counts(scan))
        return shown(scan)

    def resume(self, scan_id: str, caller: Caller) -> wire.Scan:
        """One that was cancelled or failed goes on after its last block, up to where it was to go when it was started.

        Raises ScanNotFound, ScanStateConflict, ScanUnderWay.
        """
        with self._store.write() as session:
            scan = self._get(session, scan_id)
            if scan.state not in scans.RESUMABLE:
                raise ScanStateConflict(f"The scan is {scan.state}: only one that was cancelled or failed can be resumed")
            if problem := scans.outlived(scan, self._store.gallery(session)):
                raise ScanStateConflict(f"It cannot go on: {problem}")
            if (other := scans.under_way(self._store, session)) is not None:
                raise ScanUnderWay(f"{other.id} is under way: wait for it, or cancel it")
            scans.go_on(session, scan)
            self._audit.append(session, caller, "scan.resume", scan.id, scans.counts(scan))
        return shown(scan)

    def _get(self, session: Session, scan_id: str) -> Scan:
        scan = session.get(Scan, scan_id)
        if scan is None or scan.gallery_id != self._store.gallery_id:
            raise ScanNotFound()
        return scan

    def progress(self) -> tuple[int, int]:
        """Templates done and to be done by the scan that is under way; zeros where there is none."""
        with self._store.read() as session:
            query = select(func.coalesce(func.sum(Scan.templates_done), 0), func.coalesce(func.sum(Scan.templates_total), 0))
            done, total = session.exec(
                query.where(Scan.gallery_id == self._store.gallery_id, col(Scan.state).in_(scans.UNDER_WAY))
            ).one()
        return int(done), int(total)


def shown(scan: Scan) -> wire.Scan:
    asked_for = scan.options.get(scans.STARTED_BY, {})
    return wire.Scan(
        id=scan.id,
        state=wire.ScanState(scan.state),
        threshold=scan.threshold or 0.0,
        model_id=scan.model_id or "",
        since_seq=scan.from_seq,
        up_to_seq=scan.last_seq,
        templates_total=scan.templates_total,
        templates_done=scan.templates_done,
        pairs_found=scan.pairs_found,
        reopened=scan.options.get("reopened", 0),
        reopen_distinct=scan.options.get("reopen_distinct", False),
        dry_run=scan.options.get("dry_run", False),
        rate_per_s=round(scan.templates_done / scan.busy_s, 1) if scan.busy_s else None,
        estimated_s=_estimate(scan),
        problem=scan.problem,
        started_by=asked_for.get("id"),
        started_by_name=asked_for.get("name"),
        created_at=scan.created_at,
        started_at=scan.started_at,
        finished_at=scan.finished_at,
    )


def _estimate(scan: Scan) -> float | None:
    """The n-th template is compared with n − 1 others, so the work done grows with the square; None before the first block."""
    if scan.state not in scans.UNDER_WAY or not scan.templates_done or not scan.last_seq:
        return None
    before = scan.from_seq / scan.last_seq * scan.templates_total if scan.from_seq else 0.0

    def work(templates_done: int) -> float:
        return (before + templates_done) ** 2 - before**2

    left = scan.busy_s * (work(scan.templates_total) / work(scan.templates_done) - 1)
    return round(max(0.0, left), 1)
