"""The work of a whole-gallery scan: a block at a time, by one replica at a time, from where it stopped.

A block is some hundred templates against everything older. What it found and how far the scan came are written in one
transaction, fenced by the lease, which is renewed and asked for between the block's tiles. So a replica may die, freeze or be
stopped at any moment: another goes on from the last block, and what the frozen one still wants to write is refused. Enrolments
meanwhile compare themselves.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from sqlmodel import Session

from backend.circumstances import circumstances_of
from backend.errors import GalleryBehind
from backend.faces.engine import ModelCard
from backend.fitness import Fitness
from backend.gallery.replica import Replica
from backend.recognition import Thresholds
from backend.scan_block import MOST_PAIRS, Asked, BlockSearch, TooManyPairs
from backend.scan_turn import Interrupted, Turn
from backend.store import job_leases, scan_findings, scans, templates
from backend.store.audit import Audit
from backend.store.caller import SYSTEM
from backend.store.database import Store
from backend.store.pairs import FoundPair
from backend.store.scans import JOB, Fence, Options
from backend.store.tables import Scan, ScanState

BLOCK = 512
"""templates compared with everything older at once"""
AT_ONCE = 50
"""pairs written in one transaction: each holds the ledger lock for some milliseconds"""
LEASE_S = 30.0
WAIT_S = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Block:
    """What was compared since `started` (monotonic), and what came of it."""

    started: float
    last_seq: int
    templates: int
    found: list[FoundPair]


class ScanJob:
    def __init__(
        self, store: Store, replica: Replica, card: ModelCard, thresholds: Thresholds, *, holder: str, lease_s: float = LEASE_S
    ) -> None:
        self._store, self._replica, self._card, self._thresholds = store, replica, card, thresholds
        self._holder, self._lease_s = holder, lease_s
        self._fitness = Fitness(store, lambda: replica)
        self._search = BlockSearch(store, replica, card.metric)
        self._audit = Audit(store)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """The block under way is given up; another replica does it again."""
        self._stopping.set()

    def work(self) -> int:
        """The background job: go on with the scan that is under way, where no other replica does; how many blocks were done."""
        turn, blocks = self._turn(), 0
        if turn is None:
            return blocks
        try:
            while self._step(turn):
                blocks += 1
        except (GalleryBehind, Interrupted) as why:
            log.info("scan left to another replica", extra={"fields": {"why": type(why).__name__}})
        finally:
            turn.end()
        return blocks

    def _turn(self) -> Turn | None:
        """Whoever has nothing to do, or could not do it, only looks."""
        scan = None if self._stopping.is_set() else self._under_way()
        if scan is None or not self._is_fit_for(scan):
            return None
        epoch = job_leases.hold(self._store, JOB, holder=self._holder, seconds=self._lease_s)
        fence = None if epoch is None else Fence(self._holder, epoch)
        return None if fence is None else Turn(self._store, fence, seconds=self._lease_s, stopping=self._stopping)

    def _under_way(self) -> Scan | None:
        with self._store.read() as session:
            return scans.under_way(self._store, session)

    def _step(self, turn: Turn) -> bool:
        """One block, or the end; False where there is nothing to do here any more. Raises GalleryBehind, Interrupted."""
        turn.keep()
        scan = self._under_way()  # read under the lease: nobody else moves it on
        if scan is None:
            return False
        if problem := self._outlived(scan):
            return self._fail(scan, turn, problem)
        self._replica.wait_for(scan.last_seq, timeout_s=WAIT_S, epoch=scan.epoch)
        try:
            block = self._compared(scan, turn)
        except TooManyPairs:
            return self._fail(scan, turn, f"more than {MOST_PAIRS} pairs in {BLOCK} templates: raise the threshold")
        return self._finish(scan, turn) if block is None else self._write(scan, turn, block)

    def _is_fit_for(self, scan: Scan) -> bool:
        """Of one that was outlived all that is left is to say so: for that no numbers of its gallery have to be reached."""
        if self._outlived(scan):
            return self._fitness.trouble() is None
        return scan.model_id == self._card.model_id and self._fitness.trouble(reaching=scan.last_seq) is None

    def _outlived(self, scan: Scan) -> str | None:
        """By what the gallery is now, in SQL; what this replica has is no reason to end a scan for all."""
        with self._store.read() as session:
            return scans.outlived(scan, self._store.gallery(session))

    def _compared(self, scan: Scan, turn: Turn) -> _Block | None:
        started = time.monotonic()
        with self._store.read() as session:
            seqs = scans.next_seqs(self._store, session, scan, BLOCK)
            new = templates.by_seqs(session, self._store.keyring, gallery_id=self._store.gallery_id, seqs=seqs)
        if not seqs:
            return None
        found = self._search.pairs(new, Asked(scan.threshold or 0.0, self._thresholds.certain), between=turn.keep)
        return _Block(started, seqs[-1], len(seqs), found)

    def _write(self, scan: Scan, turn: Turn, block: _Block) -> bool:
        """In several transactions where there is much; the last one moves the scan on, so an interrupted block is done again."""
        options = Options(scan.options["reopen_distinct"], scan.options["dry_run"])
        parts = [block.found[start : start + AT_ONCE] for start in range(0, len(block.found), AT_ONCE)] or [[]]
        pairs = reopened = 0
        for number, part in enumerate(parts, start=1):
            turn.keep()
            with self._store.write() as session:
                now = scans.still(self._store, session, scan.id, turn.fence)
                if now is None or now.model_id != self._store.gallery(session).model_id:
                    return now is not None  # the model was changed since: the next step says so
                circumstances = circumstances_of(self._store, session, self._card, threshold=scan.threshold or 0.0, source="scan")
                done = scan_findings.write(self._store, session, now, part, circumstances=circumstances, options=options)
                pairs, reopened = pairs + done.pairs, reopened + done.reopened
                # Also for a part: if this process dies here, those pairs are known, and will not be counted again.
                now.pairs_found += done.pairs if not options.dry_run else 0
                now.options = {**now.options, "reopened": now.options["reopened"] + (0 if options.dry_run else done.reopened)}
                if number == len(parts):
                    self._move_on(session, now, block)
                    if options.dry_run:  # nothing is known afterwards, so a block that is done again must count once
                        now.pairs_found += pairs
                        now.options = {**now.options, "reopened": now.options["reopened"] + reopened}
        return True

    def _move_on(self, session: Session, scan: Scan, block: _Block) -> None:
        scan.state = ScanState.running
        scan.started_at = scan.started_at or self._store.now(session)
        scan.position_seq = block.last_seq
        scan.templates_done += block.templates
        scan.busy_s += time.monotonic() - block.started

    def _finish(self, scan: Scan, turn: Turn) -> bool:
        return self._close(scan, turn, ScanState.done, None)

    def _fail(self, scan: Scan, turn: Turn, problem: str) -> bool:
        log.warning("scan given up", extra={"fields": {"scan": scan.id, "why": problem}})
        return self._close(scan, turn, ScanState.failed, problem)

    def _close(self, scan: Scan, turn: Turn, state: ScanState, problem: str | None) -> bool:
        with self._store.write() as session:
            now = scans.still(self._store, session, scan.id, turn.fence)
            if now is not None:
                now.problem = problem
                scans.end(self._store, session, now, state)
                self._audit.append(session, SYSTEM, f"scan.{state}", scan.id, scans.counts(now))
        return False
