"""The work of a whole-gallery scan: a block at a time, by one replica at a time, from where it stopped.

A block is some hundred templates against everything older. What it found and how far the scan came are written in one
transaction, fenced by the lease. So a replica may die or freeze at any moment: another goes on from the last block, and what the
frozen one still wants to write is refused. Enrolments meanwhile compare themselves.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlmodel import Session

from backend.calibrations import calibration_row
from backend.errors import GalleryBehind
from backend.faces.calibration import expected_fpir
from backend.faces.engine import ModelCard
from backend.faces.score import scores
from backend.gallery.candidates import MARGIN
from backend.gallery.replica import Replica
from backend.recognition import Thresholds
from backend.store import job_leases, scans, templates
from backend.store.audit import Audit
from backend.store.caller import SYSTEM
from backend.store.database import Store
from backend.store.pairs import Circumstances, FoundPair, band_of
from backend.store.scans import JOB, Fence, Options
from backend.store.tables import CalibrationRow, Scan, ScanState
from backend.store.templates import StoredTemplate

BLOCK = 512
"""templates compared with everything older at once"""
AT_ONCE = 50
"""pairs written in one transaction: each holds the ledger lock for some milliseconds"""
LEASE_S = 30.0
WAIT_S = 10.0
MOST_PAIRS = 20_000
"""of one block: a threshold that finds more says nothing"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Block:
    """What is compared next, and what came of it."""

    last_seq: int
    templates: int
    found: list[FoundPair]


class ScanJob:
    def __init__(
        self, store: Store, replica: Replica, card: ModelCard, thresholds: Thresholds, *, holder: str, lease_s: float = LEASE_S
    ) -> None:
        self._store, self._replica, self._card, self._thresholds = store, replica, card, thresholds
        self._holder, self._lease_s = holder, lease_s
        self._audit = Audit(store)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """The block under way is the last; another replica goes on."""
        self._stopping.set()

    def work(self) -> int:
        """The background job: go on with the scan that is under way, where no other replica does; how many blocks were done."""
        blocks = 0
        while not self._stopping.is_set():
            epoch = self._lease()
            scan = None if epoch is None else self._under_way()  # read under the lease: nobody else moves it on
            if epoch is None or scan is None:
                return blocks
            started = time.monotonic()
            if not self._step(scan, Fence(self._holder, epoch), started):
                return blocks
            blocks += 1
            self._stopping.wait(min(1.0, scans.REST * (time.monotonic() - started)))
        self._let_go()
        return blocks

    def _lease(self) -> int | None:
        """Idle replicas only look."""
        if self._under_way() is None:
            return None
        return job_leases.hold(self._store, JOB, holder=self._holder, seconds=self._lease_s)

    def _under_way(self) -> Scan | None:
        with self._store.read() as session:
            return scans.under_way(self._store, session)

    def _let_go(self) -> None:
        epoch = job_leases.hold(self._store, JOB, holder=self._holder, seconds=self._lease_s)
        if epoch is not None:
            job_leases.release(self._store, JOB, holder=self._holder, epoch=epoch)

    def _step(self, scan: Scan, fence: Fence, started: float) -> bool:
        """One block, or the end; False where this replica has nothing to do here any more."""
        if problem := self._misfit(scan):
            return self._fail(scan, fence, problem)
        try:
            self._replica.wait_for(scan.last_seq, timeout_s=WAIT_S, epoch=scan.epoch)
        except GalleryBehind:
            return False
        block = self._compared(scan)
        if block is None:
            return self._finish(scan, fence)
        if len(block.found) > MOST_PAIRS:
            return self._fail(scan, fence, f"more than {MOST_PAIRS} pairs in {block.templates} templates: raise the threshold")
        return self._write(scan, fence, block, started)

    def _misfit(self, scan: Scan) -> str | None:
        with self._store.read() as session:
            epoch = self._store.gallery(session).epoch
        if scan.epoch != epoch:
            return "the database was restored since: start a new scan"
        return None if scan.model_id == self._card.model_id else "the gallery's model changed since: start a new scan"

    def _compared(self, scan: Scan) -> _Block | None:
        with self._store.read() as session:
            seqs = scans.next_seqs(self._store, session, scan, BLOCK)
            if not seqs:
                return None
            new = self._opened(session, seqs)
        found: list[FoundPair] = []
        if new:
            queries, ids = np.stack([one.vector for one in new]), np.array([one.seq for one in new], dtype=np.int64)
            hits = list(self._replica.block_within(queries, ids, (scan.threshold or 0.0) - MARGIN))
            rows, old = [row for one in hits for row in one.rows.tolist()], [seq for one in hits for seq in one.ids.tolist()]
            found = self._scored(new, rows, old, scan.threshold or 0.0)
        return _Block(seqs[-1], len(seqs), found)

    def _opened(self, session: Session, seqs: Sequence[int]) -> list[StoredTemplate]:
        found = templates.by_seqs(session, self._store.keyring, gallery_id=self._store.gallery_id, seqs=seqs)
        return sorted(found, key=lambda template: template.seq)

    def _scored(self, new: Sequence[StoredTemplate], rows: list[int], ids: list[int], threshold: float) -> list[FoundPair]:
        """Exact scores from SQL; the best two samples of every two records."""
        if len(rows) > 10 * MOST_PAIRS:
            rows, ids = rows[: 10 * MOST_PAIRS], ids[: 10 * MOST_PAIRS]
        with self._store.read() as session:
            old = {template.seq: template for template in self._opened(session, sorted(set(ids)))}
        best: dict[tuple[str, str], FoundPair] = {}
        for row, seq in zip(rows, ids, strict=True):
            one, other = new[row], old.get(seq)
            if other is None or one.subject_id == other.subject_id:
                continue
            score = float(scores(self._card.metric, one.vector[None], other.vector[None])[0, 0])
            if score < threshold:
                continue
            band = band_of(score, self._thresholds.certain)
            pair = FoundPair((one.subject_id, other.subject_id), (one.sample_id, other.sample_id), score, band).ordered()
            if (known := best.get(pair.subject_ids)) is None or pair.score > known.score:
                best[pair.subject_ids] = pair
        return list(best.values())

    def _write(self, scan: Scan, fence: Fence, block: _Block, started: float) -> bool:
        """In several transactions where there is much; the last one moves the scan on, so an interrupted block is done again."""
        options = Options(scan.options["reopen_distinct"], scan.options["dry_run"])
        parts = [block.found[start : start + AT_ONCE] for start in range(0, len(block.found), AT_ONCE)] or [[]]
        pairs = reopened = 0
        for number, part in enumerate(parts, start=1):
            with self._store.write() as session:
                now = scans.still(self._store, session, scan.id, fence)
                if now is None:
                    return False
                circumstances = self._circumstances(session, scan)
                done = scans.write(session, part, gallery_id=self._store.gallery_id, circumstances=circumstances, options=options)
                pairs, reopened = pairs + done.pairs, reopened + done.reopened
                # Also for a part: if this process dies here, those pairs are known, and will not be counted again.
                now.pairs_found += done.pairs if not options.dry_run else 0
                now.options = {**now.options, "reopened": now.options["reopened"] + (0 if options.dry_run else done.reopened)}
                if number == len(parts):
                    self._move_on(session, now, block, started)
                    if options.dry_run:  # nothing is known afterwards, so a block that is done again must count once
                        now.pairs_found += pairs
                        now.options = {**now.options, "reopened": now.options["reopened"] + reopened}
        return True

    def _move_on(self, session: Session, scan: Scan, block: _Block, started: float) -> None:
        scan.state = ScanState.running
        scan.started_at = scan.started_at or self._store.now(session)
        scan.position_seq = block.last_seq
        scan.templates_done += block.templates
        scan.busy_s += time.monotonic() - started

    def _circumstances(self, session: Session, scan: Scan) -> Circumstances:
        now, size = self._store.now(session), self._store.gallery(session).active_templates
        calibration = calibration_row(self._card, self._store.gallery_id, now)
        if calibration is not None and session.get(CalibrationRow, (calibration.id, calibration.gallery_id)) is None:
            session.add(calibration)
        return Circumstances(
            threshold=scan.threshold or 0.0,
            gallery_size=size,
            expected_fpir=expected_fpir(self._card.calibration, scan.threshold or 0.0, size),
            calibration_id=None if calibration is None else calibration.id,
            model_id=self._card.model_id,
            source="scan",
            at=now,
        )

    def _finish(self, scan: Scan, fence: Fence) -> bool:
        return self._close(scan, fence, ScanState.done, None)

    def _fail(self, scan: Scan, fence: Fence, problem: str) -> bool:
        log.warning("scan given up", extra={"fields": {"scan": scan.id, "why": problem}})
        return self._close(scan, fence, ScanState.failed, problem)

    def _close(self, scan: Scan, fence: Fence, state: ScanState, problem: str | None) -> bool:
        with self._store.write() as session:
            now = scans.still(self._store, session, scan.id, fence)
            if now is not None:
                now.problem = problem
                scans.end(self._store, session, now, state)
                self._audit.append(session, SYSTEM, f"scan.{state}", scan.id, {"pairs": now.pairs_found})
        return False
